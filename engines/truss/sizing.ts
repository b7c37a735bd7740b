/**
 * Plastic design of a truss as a linear programme (Dorn, Gomory and Greenberg, 1964): the least volume Σ length · area for
 * which every load case has member forces in equilibrium within −compressive · area ≤ force ≤ tensile · area. A force is
 * the difference of a pull and a push, both not negative; the area is enough for pull / tensile + push / compressive.
 */
import { LinearProgramme, optimalityGap, solve } from '../linearProgramme';
import { InputFault } from '../protocol';
import type { Truss } from './truss';

export interface Sizing {
  /** mm², by member. */
  readonly areas: readonly number[];
  /** kN by load case and member; tension is positive. */
  readonly forces: readonly (readonly number[])[];
  /** m³, and kg. */
  readonly volume: number;
  readonly mass: number;
  /** The largest force in kN that any node is out of equilibrium by. */
  readonly equilibriumResidual: number;
  readonly optimalityGap: number;
  readonly simplexIterations: number;
}

/** The lightest areas. @throws InputFault when no areas carry the loads. */
export async function size(truss: Truss): Promise<Sizing> {
  const { members, loads, scale, file } = truss;
  const { tensileStress, compressiveStress } = file.material;
  // Areas are in those that the greatest load needs at the tensile stress, forces in that load, lengths in the longest.
  const unitArea = (1000 * scale) / tensileStress;
  const longest = Math.max(...members.map(({ length }) => length));
  const programme = new LinearProgramme();
  const areaColumns = members.map(({ length }) =>
    programme.column({
      cost: length / longest,
      lower: (file.minimumArea ?? 0) / unitArea,
      upper: (file.maximumArea ?? Number.POSITIVE_INFINITY) / unitArea,
    }),
  );
  const forceColumns = loads.map((load) => {
    const columns = members.map(() => [programme.column({}), programme.column({})] as const);
    const balance: [number, number][][] = Array.from({ length: truss.freedoms }, () => []);
    for (const [index, { ends }] of members.entries()) {
      const [pull, push] = columns[index] as readonly [number, number];
      for (const [freedom, share] of ends) balance[freedom]?.push([pull, share], [push, -share]);
      const area = areaColumns[index] as number;
      programme.row(0, Number.POSITIVE_INFINITY, [
        [area, 1],
        [pull, -1],
        [push, -tensileStress / compressiveStress],
      ]);
    }
    for (const [freedom, entries] of balance.entries()) {
      const outside = -(load[freedom] as number) / scale;
      programme.row(outside, outside, entries);
    }
    return columns;
  });
  const solution = await solve(programme);
  if (solution.status === 'infeasible') {
    throw new InputFault(
      file.maximumArea === undefined
        ? 'The members cannot carry the loads whatever their areas: the truss is a mechanism; add members or supports.'
        : 'The members cannot carry the loads: the truss is a mechanism, or the maximum area is too small.',
    );
  }
  if (solution.status === 'unsolved') throw new Error('the solver gave up');
  const value = (column: number) => Math.max(0, solution.values[column] as number);
  const areas = areaColumns.map((column) => value(column) * unitArea);
  const forces = forceColumns.map((columns) => columns.map(([pull, push]) => (value(pull) - value(push)) * scale));
  const volume = areas.reduce((sum, area, index) => sum + (area / 1e6) * (members[index]?.length as number), 0);
  const sizing = {
    areas,
    forces,
    volume,
    mass: volume * file.material.density,
    equilibriumResidual: residualOf(truss, forces),
    optimalityGap: optimalityGap(programme, solution),
    simplexIterations: solution.simplexIterations,
  };
  check(truss, sizing);
  return sizing;
}

function residualOf({ members, loads, freedoms }: Truss, forces: readonly (readonly number[])[]): number {
  let largest = 0;
  for (const [number, load] of loads.entries()) {
    const sum = Float64Array.from({ length: freedoms }, (_, freedom) => load[freedom] as number);
    for (const [index, { ends }] of members.entries()) {
      const force = forces[number]?.[index] as number;
      for (const [freedom, share] of ends) sum[freedom] = (sum[freedom] as number) + share * force;
    }
    for (const rest of sum) largest = Math.max(largest, Math.abs(rest));
  }
  return largest;
}

/** @throws Error when what was solved is no answer: out of equilibrium, overstressed, out of bounds, or not the lightest. */
function check({ scale, file }: Truss, { areas, forces, equilibriumResidual, optimalityGap: gap }: Sizing): void {
  const { tensileStress, compressiveStress } = file.material;
  if (!(equilibriumResidual <= ERROR * scale)) throw new Error(`out of equilibrium by ${equilibriumResidual} kN`);
  if (!(gap <= ERROR)) throw new Error(`the areas are not proved to be the lightest: ${gap}`);
  const slack = (ERROR * 1000 * scale) / tensileStress;
  for (const [index, area] of areas.entries()) {
    const isWithin = area >= (file.minimumArea ?? 0) - slack && area <= (file.maximumArea ?? area) + slack;
    const isStrong = forces.every((ofCase) => {
      const force = 1000 * (ofCase[index] as number);
      return (
        force <= tensileStress * area + ERROR * 1000 * scale &&
        -force <= compressiveStress * area + ERROR * 1000 * scale
      );
    });
    if (!isWithin || !isStrong) throw new Error(`member ${index} breaks a limit`);
  }
}

const ERROR = 1e-6;
