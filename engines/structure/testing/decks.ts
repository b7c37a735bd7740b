/** Small decks with answers that are known. */

/** Eight nodes around one inner, distorted hexahedron: the arrangement of a patch test, after MacNeal and Harder (1985). */
const INNER = [
  [0.249, 0.342, 0.192],
  [0.826, 0.288, 0.288],
  [0.85, 0.649, 0.263],
  [0.273, 0.75, 0.23],
  [0.32, 0.186, 0.643],
  [0.677, 0.305, 0.683],
  [0.788, 0.694, 0.644],
  [0.165, 0.745, 0.702],
];
const OUTER = [
  [0, 0, 0],
  [1, 0, 0],
  [1, 1, 0],
  [0, 1, 0],
  [0, 0, 1],
  [1, 0, 1],
  [1, 1, 1],
  [0, 1, 1],
];
/** Inner nodes are 1 to 8, outer nodes 9 to 16. */
const PATCH = [
  [1, 2, 3, 4, 5, 6, 7, 8],
  [9, 10, 11, 12, 1, 2, 3, 4],
  [5, 6, 7, 8, 13, 14, 15, 16],
  [9, 10, 2, 1, 13, 14, 6, 5],
  [10, 11, 3, 2, 14, 15, 7, 6],
  [11, 12, 4, 3, 15, 16, 8, 7],
  [12, 9, 1, 4, 16, 13, 5, 8],
];

/** Seven distorted elements in a unit cube. `step` are the lines of the step; `boundary` those before it. */
export function patchDeck(type: 'C3D8' | 'C3D8I', { boundary, step }: { boundary: string[]; step: string[] }): string {
  return [
    '*Heading',
    'patch test',
    '*Node',
    ...[...INNER, ...OUTER].map((place, index) => `${index + 1}, ${place.join(', ')}`),
    `*Element, type=${type}, elset=all`,
    ...PATCH.map((nodes, index) => `${index + 1}, ${nodes.join(', ')}`),
    '*Nset, nset=outer, generate',
    '9, 16, 1',
    '*Nset, nset=left',
    '9, 12, 13, 16',
    '*Nset, nset=right',
    '10, 11, 14, 15',
    '*Material, name=m',
    '*Elastic',
    '1.E6, .25',
    '*Solid section, elset=all, material=m',
    '*Boundary',
    ...boundary,
    '*Step',
    '*Static',
    ...step,
    '*End step',
    '',
  ].join('\n');
}

/** Every outer node is moved as in a field of constant strain; inner nodes have to follow. */
export function strainField([x = 0, y = 0, z = 0]: readonly number[]): [number, number, number] {
  return [1e-3 * (2 * x + y + z) * 0.5, 1e-3 * (x + 2 * y + z) * 0.5, 1e-3 * (x + y + 2 * z) * 0.5];
}

export const OUTER_PLACES: ReadonlyMap<number, readonly number[]> = new Map(
  OUTER.map((place, index) => [index + 9, place]),
);

/** Two cubes that share one edge: one is held, the other hangs on it like a door, and is pushed. */
export function doorDeck(): string {
  const held = [...OUTER_PLACES].map(([node, place]) => `${node}, ${place.join(', ')}`);
  const door = OUTER.map(([x = 0, y = 0, z = 0], index) => `${index + 17}, ${x + 1}, ${y}, ${z + 1}`);
  return [
    '*NODE',
    ...held,
    ...door,
    '*ELEMENT, TYPE=C3D8I, ELSET=ALL',
    '1, 9, 10, 11, 12, 13, 14, 15, 16',
    '2, 14, 18, 19, 15, 21, 22, 23, 24',
    '*MATERIAL, NAME=M',
    '*ELASTIC',
    '1000., 0.3',
    '*SOLID SECTION, ELSET=ALL, MATERIAL=M',
    '*BOUNDARY',
    ...[9, 12, 13, 16].map((node) => `${node}, 1, 3`),
    '*STEP',
    '*STATIC',
    '*CLOAD',
    '22, 1, 1.',
    '23, 1, 1.1',
    '*END STEP',
    '',
  ].join('\n');
}
