/** What is computed: nodes, solid elements, supports and loads, in the units of the input. */

/** Directions count from 0: x, y, z. Nodes are places in `nodeIds`, not the numbers of the deck. */
export interface Model {
  readonly title: string;
  readonly nodeIds: readonly number[];
  /** Three coordinates a node. */
  readonly coordinates: Float64Array;
  readonly elements: readonly Element[];
  readonly materials: ReadonlyMap<string, Material>;
  /** Prescribed displacements by degree of freedom: 3 × node + direction. */
  readonly fixed: ReadonlyMap<number, number>;
  /** Concentrated forces by degree of freedom, summed. */
  readonly loads: ReadonlyMap<number, number>;
  /** The length of the step, 1 where the deck names none. */
  readonly stepTime: number;
  /** Keywords, beside those of the model itself, that were seen. */
  readonly others: ReadonlySet<string>;
}

export interface Element {
  readonly id: number;
  readonly type: string;
  readonly nodes: readonly number[];
  /** Empty until a section names it. */
  readonly material: string;
}

/** Linear, the same in all directions. */
export interface Material {
  readonly youngsModulus: number;
  readonly poissonsRatio: number;
}

/** Solid elements, by how many nodes they have. */
export const SOLIDS: ReadonlyMap<string, number> = new Map([
  ['C3D4', 4],
  ['C3D6', 6],
  ['C3D8', 8],
  ['C3D8I', 8],
  ['C3D8R', 8],
  ['C3D10', 10],
  ['C3D15', 15],
  ['C3D20', 20],
  ['C3D20R', 20],
]);

/**
 * How many equations an analysis has: one a free direction of a node that an element uses. CalculiX keeps nine more for each
 * hexahedron with incompatible modes (C3D8I); with these it is what CalculiX says for a deck without constraints between nodes.
 */
export function countEquations({ elements, fixed }: Model, { modesCount }: { modesCount: boolean }): number {
  const used = new Set<number>();
  let modes = 0;
  for (const { type, nodes } of elements) {
    if (modesCount && type === 'C3D8I') modes += 9;
    for (const node of nodes) used.add(node);
  }
  let held = 0;
  for (const degree of fixed.keys()) if (used.has(Math.floor(degree / 3))) held++;
  return 3 * used.size - held + modes;
}

/** The diagonal of the box around all nodes: the size that displacements are held against. */
export function diagonalOf({ coordinates }: Pick<Model, 'coordinates'>): number {
  const low = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const high = low.map((value) => -value);
  for (const [place, value] of coordinates.entries()) {
    low[place % 3] = Math.min(low[place % 3] ?? value, value);
    high[place % 3] = Math.max(high[place % 3] ?? value, value);
  }
  return Math.hypot(...high.map((value, direction) => value - (low[direction] ?? 0)));
}
