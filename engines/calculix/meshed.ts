/** A deck for what gmsh made of a geometry: quadratic tetrahedra, one material, one held face and one loaded face. */
import { InputFault } from '../protocol';
import { type Block, type Row, readBlocks } from '../structure/deck';

/** What the geometry does not say itself. */
export interface Loading {
  readonly youngsModulus: number;
  readonly poissonsRatio: number;
  /** Names of physical surfaces. */
  readonly fixed: string;
  readonly loaded: string;
  /** On the whole loaded surface, in x, y and z. */
  readonly force: readonly number[];
}

/**
 * Makes the deck. The force is spread evenly over the area of the loaded surface: of each of its triangles every node in the middle of
 * an edge gets a third and no corner anything, which is what an even pull on a quadratic triangle comes to.
 *
 * @param mesh what gmsh wrote as `.inp`, with groups of nodes.
 * @throws InputFault when the mesh has no solids, or a group is not a surface of it.
 */
export function deckOf(mesh: string, loading: Loading, title: string): string {
  const blocks = [...readBlocks(mesh)];
  const kept = blocks.filter(isSolid);
  if (kept.length === 0) {
    throw new InputFault(
      'the geometry has no volume to compute: gmsh made no tetrahedra; name it with "Physical Volume"',
    );
  }
  const forces = forcesOn(blocks, setOf(blocks, 'ELSET', loading.loaded), loading);
  const held = setOf(blocks, 'NSET', loading.fixed);
  return [
    '*HEADING',
    title,
    '*NODE',
    ...blocks.filter(({ keyword }) => keyword === 'NODE').flatMap(({ rows }) => textOf(rows)),
    ...kept.flatMap(({ parameters, rows }) => [
      `*ELEMENT, TYPE=${parameters.get('TYPE')}, ELSET=SOLIDS`,
      ...textOf(rows),
    ]),
    '*NSET, NSET=HELD',
    ...held.map(String),
    '*MATERIAL, NAME=MATERIAL',
    '*ELASTIC',
    `${loading.youngsModulus}, ${loading.poissonsRatio}`,
    '*SOLID SECTION, ELSET=SOLIDS, MATERIAL=MATERIAL',
    '*BOUNDARY',
    'HELD, 1, 3',
    '*STEP',
    '*STATIC',
    '*CLOAD',
    ...forces,
    '*END STEP',
    '',
  ].join('\n');
}

function isSolid({ keyword, parameters }: Block): boolean {
  return keyword === 'ELEMENT' && (parameters.get('TYPE') ?? '').startsWith('C3D');
}

function textOf(rows: Iterable<Row>): string[] {
  return Array.from(rows, ({ fields }) => fields.join(', '));
}

/** Numbers of a group's nodes or elements. */
function setOf(blocks: readonly Block[], keyword: 'NSET' | 'ELSET', name: string): number[] {
  const wanted = name.replace(/\s+/g, '').toUpperCase();
  const found = blocks
    .filter((block) => block.keyword === keyword && block.parameters.get(keyword) === wanted)
    .flatMap(({ rows }) => Array.from(rows, ({ fields }) => fields.filter((text) => text !== '').map(Number)).flat());
  if (found.length === 0) throw new InputFault(`the mesh has nothing in the physical surface "${name}"`);
  return found;
}

function forcesOn(blocks: readonly Block[], elements: readonly number[], { loaded, force }: Loading): string[] {
  const wanted = new Set(elements);
  const places = new Map<number, readonly number[]>();
  for (const { keyword, rows } of blocks) {
    if (keyword !== 'NODE') continue;
    for (const { fields } of rows) places.set(Number(fields[0]), fields.slice(1, 4).map(Number));
  }
  const share = new Map<number, number>();
  let whole = 0;
  for (const { keyword, parameters, rows } of blocks) {
    if (keyword !== 'ELEMENT' || parameters.get('TYPE') !== 'CPS6') continue;
    for (const { fields } of rows) {
      const [element = 0, a = 0, b = 0, c = 0, ...middles] = fields.map(Number);
      if (!wanted.has(element)) continue;
      const area = areaOf(places.get(a), places.get(b), places.get(c));
      whole += area;
      for (const node of middles) share.set(node, (share.get(node) ?? 0) + area / 3);
    }
  }
  if (whole === 0)
    throw new InputFault(`the physical group "${loaded}" is no surface, so no force can be spread over it`);
  return [...share].flatMap(([node, area]) =>
    force.flatMap((value, axis) => (value === 0 ? [] : [`${node}, ${axis + 1}, ${(value * area) / whole}`])),
  );
}

function areaOf(
  [ax = 0, ay = 0, az = 0]: readonly number[] = [],
  [bx = 0, by = 0, bz = 0]: readonly number[] = [],
  [cx = 0, cy = 0, cz = 0]: readonly number[] = [],
): number {
  const [ux, uy, uz] = [bx - ax, by - ay, bz - az];
  const [vx, vy, vz] = [cx - ax, cy - ay, cz - az];
  return Math.hypot(uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx) / 2;
}
