/** What a person gets of an analysis: two tables, a summary and a picture. Numbers are in the units of the input. */
import { writeResult } from '../protocol';
import { diagonalOf, type Model } from './model';
import { drawDeformed } from './picture';

/** xx, yy, zz, xy, yz, zx. */
export type ElementStress = readonly [number, number, number, number, number, number];

export interface Outcome {
  /** Three a node. */
  readonly displacements: Float64Array;
  /** One an element. */
  readonly stresses: readonly ElementStress[];
  /** Forces of the supports, at fixed degrees of freedom; what stands elsewhere is not read. */
  readonly reactions: Float64Array;
  readonly engine: string;
  /** Where the stress of an element is taken, in words. */
  readonly stressesAre: string;
  /** What the solver did, such as `equations`. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Keywords with which the forces on the model are others than those of *CLOAD: what they add up to is not known here. */
const OTHER_LOADS = ['DLOAD', 'AMPLITUDE'];

/** Writes `displacements.csv`, `stresses.csv`, `summary.json` and `deformed.svg`. */
export function writeResults(model: Model, outcome: Outcome): void {
  const equivalent = outcome.stresses.map(vonMises);
  writeResult('displacements.csv', 'text/csv', displacementTable(model, outcome.displacements));
  writeResult('stresses.csv', 'text/csv', stressTable(model, outcome.stresses, equivalent));
  writeResult(
    'summary.json',
    'application/json',
    `${JSON.stringify(summaryOf(model, outcome, equivalent), null, 2)}\n`,
  );
  writeResult('deformed.svg', 'image/svg+xml', drawDeformed(model, outcome.displacements, equivalent));
}

/** The stress of a bar that is as near to yielding (von Mises). */
export function vonMises([xx, yy, zz, xy, yz, zx]: ElementStress): number {
  const normal = (xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2;
  return Math.sqrt(normal / 2 + 3 * (xy * xy + yz * yz + zx * zx));
}

/** How far the supports are from holding the loads: 0 when forces balance; null when the loads are not all known here. */
export function imbalanceOf(model: Model, reactions: Float64Array): number | null {
  if (OTHER_LOADS.some((keyword) => model.others.has(keyword))) return null;
  const applied = sumOf(model.loads);
  const held = sumOf(reactionsOf(model, reactions));
  // Supports that press against each other add up to nothing: the size of what acts is the measure.
  const size = [...model.loads.values(), ...reactionsOf(model, reactions).values()].reduce(
    (sum, force) => sum + Math.abs(force),
    0,
  );
  return size === 0 ? 0 : Math.hypot(...applied.map((force, axis) => force + (held[axis] ?? 0))) / size;
}

function displacementTable({ nodeIds, coordinates }: Model, displacements: Float64Array): string {
  const rows = nodeIds.map((id, node) => {
    const [from, to] = [3 * node, 3 * node + 3];
    return [id, ...coordinates.subarray(from, to), ...displacements.subarray(from, to)].join(',');
  });
  return `node,x,y,z,ux,uy,uz\n${rows.join('\n')}\n`;
}

function stressTable({ elements }: Model, stresses: readonly ElementStress[], equivalent: readonly number[]): string {
  const rows = elements.map(({ id }, place) => [id, equivalent[place], ...(stresses[place] ?? [])].join(','));
  return `element,vonMises,sxx,syy,szz,sxy,syz,szx\n${rows.join('\n')}\n`;
}

function summaryOf(model: Model, outcome: Outcome, equivalent: readonly number[]): object {
  const { displacements, reactions } = outcome;
  const lengths = model.nodeIds.map((_, node) => Math.hypot(...displacements.subarray(3 * node, 3 * node + 3)));
  const furthest = placeOfMost(lengths);
  const strongest = placeOfMost(equivalent);
  const applied = OTHER_LOADS.some((keyword) => model.others.has(keyword)) ? null : sumOf(model.loads);
  return {
    title: model.title,
    engine: outcome.engine,
    units: 'as in the input',
    nodes: model.nodeIds.length,
    elements: Object.fromEntries(
      [...new Set(model.elements.map(({ type }) => type))].map((type) => [
        type,
        model.elements.filter((one) => one.type === type).length,
      ]),
    ),
    size: diagonalOf(model),
    maxDisplacement: {
      node: model.nodeIds[furthest],
      value: lengths[furthest],
      components: [...displacements.subarray(3 * furthest, 3 * furthest + 3)],
    },
    maxVonMises: { element: model.elements[strongest]?.id, value: equivalent[strongest], where: outcome.stressesAre },
    equilibrium: {
      appliedForce: applied,
      reactionForce: sumOf(reactionsOf(model, reactions)),
      imbalance: imbalanceOf(model, reactions),
    },
    ...outcome.counts,
  };
}

function reactionsOf({ fixed }: Model, reactions: Float64Array): Map<number, number> {
  return new Map([...fixed.keys()].map((degree) => [degree, reactions[degree] ?? 0]));
}

function sumOf(forces: ReadonlyMap<number, number>): number[] {
  const sums = [0, 0, 0];
  for (const [degree, force] of forces) sums[degree % 3] = (sums[degree % 3] ?? 0) + force;
  return sums;
}

function placeOfMost(values: readonly number[]): number {
  let most = 0;
  for (const [place, value] of values.entries()) if (value > (values[most] ?? 0)) most = place;
  return most;
}
