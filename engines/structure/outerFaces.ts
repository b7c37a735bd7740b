/** The faces that a person sees of a model: those that belong to one element only. */
import type { Element } from './model';

/** Corners of an outer face, counter-clockwise seen from outside, and its element's place. */
export interface Face {
  readonly nodes: readonly number[];
  readonly element: number;
}

/** Faces by the corners of an element, counter-clockwise seen from outside; nodes on edges are left out. */
const TETRAHEDRON = [
  [0, 2, 1],
  [0, 1, 3],
  [1, 2, 3],
  [2, 0, 3],
];
const WEDGE = [
  [0, 2, 1],
  [3, 4, 5],
  [0, 1, 4, 3],
  [1, 2, 5, 4],
  [2, 0, 3, 5],
];
const HEXAHEDRON = [
  [0, 3, 2, 1],
  [4, 5, 6, 7],
  [0, 1, 5, 4],
  [1, 2, 6, 5],
  [2, 3, 7, 6],
  [3, 0, 4, 7],
];

/** How many of an element's nodes are corners. */
export function cornerCount(type: string): number {
  if (/^C3D(4|10)$/.test(type)) return 4;
  return /^C3D(6|15)$/.test(type) ? 6 : 8;
}

/** The outer faces of all elements, in the order of the elements. */
export function outerFaces(elements: readonly Element[]): Face[] {
  const faces = new Map<string, Face | undefined>();
  for (const [element, { type, nodes }] of elements.entries()) {
    for (const corners of { 4: TETRAHEDRON, 6: WEDGE, 8: HEXAHEDRON }[cornerCount(type)] ?? []) {
      const own = corners.map((corner) => nodes[corner] ?? 0);
      const key = [...own].sort((one, other) => one - other).join(' ');
      faces.set(key, faces.has(key) ? undefined : { nodes: own, element });
    }
  }
  return [...faces.values()].filter((face) => face !== undefined);
}
