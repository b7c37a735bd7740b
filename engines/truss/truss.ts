/** A truss as its file describes it: metres, kilonewtons, megapascals, square millimetres, kilograms per cubic metre. */
import { InputFault } from '../protocol';

export interface TrussFile {
  readonly title?: string;
  readonly material: { readonly tensileStress: number; readonly compressiveStress: number; readonly density: number };
  /** Two or three coordinates each. */
  readonly nodes: Readonly<Record<string, readonly number[]>>;
  readonly supports: Readonly<Record<string, readonly ('x' | 'y' | 'z')[]>>;
  readonly members: readonly (readonly [from: string, to: string])[];
  readonly loadCases: readonly { readonly name: string; readonly loads: Readonly<Record<string, readonly number[]>> }[];
  readonly minimumArea?: number;
  readonly maximumArea?: number;
}

export interface Member {
  readonly from: string;
  readonly to: string;
  readonly length: number;
  /** The degree of freedom of each component at both ends, and the share of the force that acts there. */
  readonly ends: readonly (readonly [freedom: number, share: number])[];
}

/** The truss as equations: one of equilibrium for each direction in which a node can move. */
export interface Truss {
  readonly file: TrussFile;
  readonly members: readonly Member[];
  readonly freedoms: number;
  /** By load case, the load on each degree of freedom in kN. */
  readonly loads: readonly Float64Array[];
  /** The greatest load, which the programme is scaled by. */
  readonly scale: number;
}

/** Numbers the degrees of freedom and the loads on them; a load on a supported direction goes to the ground. */
export function trussOf(file: TrussFile): Truss {
  const numbers = new Map<string, number>();
  for (const [node, at] of Object.entries(file.nodes)) {
    for (let axis = 0; axis < at.length; axis++) {
      if (!file.supports[node]?.includes(AXES[axis] as 'x')) numbers.set(`${axis} ${node}`, numbers.size);
    }
  }
  const members = file.members.map(([from, to]): Member => {
    const [a, b] = [file.nodes[from], file.nodes[to]];
    if (!a || !b) throw new InputFault(`The member from ${from} to ${to} has an end that is no node.`);
    const length = Math.hypot(...a.map((value, axis) => (b[axis] as number) - value));
    if (!(length > 0)) throw new InputFault(`The member from ${from} to ${to} has no length.`);
    const ends = a.flatMap((value, axis) => {
      const share = ((b[axis] as number) - value) / length;
      const both = [
        [numbers.get(`${axis} ${from}`), share],
        [numbers.get(`${axis} ${to}`), -share],
      ] as const;
      return both.filter((end): end is readonly [number, number] => end[0] !== undefined && end[1] !== 0);
    });
    return { from, to, length, ends };
  });
  const loads = file.loadCases.map(({ loads: asked }) => {
    const load = new Float64Array(numbers.size);
    for (const [node, force] of Object.entries(asked)) {
      for (const [axis, value] of force.entries()) {
        const number = numbers.get(`${axis} ${node}`);
        if (number !== undefined) load[number] = value;
      }
    }
    return load;
  });
  const scale = Math.max(0, ...loads.flatMap((load) => [...load].map(Math.abs)));
  if (!(scale > 0)) throw new InputFault('No load acts on a node that can move, so there is nothing to carry.');
  return { file, members, freedoms: numbers.size, loads, scale };
}

const AXES = ['x', 'y', 'z'] as const;
