/** Reads the description of a truss that nobody vouches for, and refuses what no areas could make stand. */
import { z } from 'zod';
import { InputError } from '../service';

export interface TrussFacts {
  readonly title: string;
  readonly dimensions: 2 | 3;
  readonly nodes: number;
  readonly members: number;
  readonly loadCases: number;
}

/**
 * Reads the JSON text of a truss: metres, kilonewtons, megapascals (N/mm²), square millimetres, kg/m³.
 *
 * @throws InputError `input_not_truss`, `truss_too_large`, `truss_node_unknown`, `truss_member_invalid`,
 * `truss_disconnected`, `truss_not_loaded`, `truss_mechanism`.
 */
export function readTruss(text: string): TrussFacts {
  const truss = parse(text);
  const dimensions = Object.values(truss.nodes)[0]?.length === 3 ? 3 : 2;
  refuseShapes(truss, dimensions);
  refuseMembers(truss);
  refuseDisconnected(truss);
  refuseMechanism(truss, dimensions);
  return {
    title: truss.title ?? '',
    dimensions,
    nodes: Object.keys(truss.nodes).length,
    members: truss.members.length,
    loadCases: truss.loadCases.length,
  };
}

const NODES_MAX = 300;
const MEMBERS_MAX = 10_000;
/** Two forces for each member in each case: what a solver takes a minute for. */
const FORCES_MAX = 20_000;

const name = z.string().min(1).max(64);
const vector = z.array(z.number().min(-1e6).max(1e6)).min(2).max(3);
const area = z.number().min(0).max(1e8);

const schema = z.strictObject({
  title: z.string().max(200).optional(),
  material: z.strictObject({
    tensileStress: z.number().min(0.001).max(1e5),
    compressiveStress: z.number().min(0.001).max(1e5),
    density: z.number().min(0.001).max(1e5),
  }),
  nodes: z.record(name, vector),
  supports: z.record(
    name,
    z
      .array(z.enum(['x', 'y', 'z']))
      .min(1)
      .max(3),
  ),
  members: z.array(z.tuple([name, name])).min(1),
  loadCases: z
    .array(z.strictObject({ name, loads: z.record(name, vector) }))
    .min(1)
    .max(20),
  minimumArea: area.optional(),
  maximumArea: area.optional(),
});

type Truss = z.output<typeof schema>;

function parse(text: string): Truss {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError('input_not_truss', 'the file is not JSON', { cause: error });
  }
  // Counted before anything is made of it: the reader copies what it checks.
  const { nodes, members } = (json ?? {}) as { nodes?: object; members?: unknown[] };
  if (Array.isArray(members) && members.length > MEMBERS_MAX) {
    throw new InputError(
      'truss_too_large',
      `the truss has ${members.length} members; at most ${MEMBERS_MAX} are sized`,
    );
  }
  if (nodes && typeof nodes === 'object' && Object.keys(nodes).length > NODES_MAX) {
    throw new InputError('truss_too_large', `the truss has more than ${NODES_MAX} nodes`);
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new InputError('input_not_truss', `${issue?.path.join('.') || 'the file'}: ${issue?.message}`.slice(0, 300));
}

function refuseShapes(truss: Truss, dimensions: number): void {
  const vectors = [truss.nodes, ...truss.loadCases.map(({ loads }) => loads)].flatMap((one) => Object.entries(one));
  const odd = vectors.find(([, values]) => values.length !== dimensions);
  if (odd) throw new InputError('input_not_truss', `"${odd[0]}" needs ${dimensions} numbers, as the first node has`);
  const named = [
    ...Object.keys(truss.supports),
    ...truss.loadCases.flatMap(({ loads }) => Object.keys(loads)),
    ...truss.members.flat(),
  ];
  const unknown = named.find((one) => !Object.hasOwn(truss.nodes, one));
  if (unknown !== undefined) throw new InputError('truss_node_unknown', `"${unknown}" is not among the nodes`);
  if (truss.members.length * truss.loadCases.length > FORCES_MAX) {
    throw new InputError('truss_too_large', `members times load cases are more than ${FORCES_MAX}`);
  }
  if ((truss.minimumArea ?? 0) > (truss.maximumArea ?? Number.POSITIVE_INFINITY)) {
    throw new InputError('input_not_truss', 'the minimum area is above the maximum area');
  }
}

function refuseMembers({ members, nodes }: Truss): void {
  const seen = new Set<string>();
  for (const [from, to] of members) {
    const key = JSON.stringify([from, to].sort());
    const length = Math.hypot(...direction(nodes, from, to));
    if (seen.has(key))
      throw new InputError('truss_member_invalid', `the member from "${from}" to "${to}" is there twice`);
    if (!(length > 1e-6)) {
      throw new InputError('truss_member_invalid', `the member from "${from}" to "${to}" has no length`);
    }
    seen.add(key);
  }
}

/** Every node that carries a load or ends a member must hang together with a support. */
function refuseDisconnected({ members, supports, loadCases }: Truss): void {
  const neighbours = new Map<string, string[]>();
  for (const [from, to] of members) {
    neighbours.set(from, [...(neighbours.get(from) ?? []), to]);
    neighbours.set(to, [...(neighbours.get(to) ?? []), from]);
  }
  const reached = new Set(Object.keys(supports));
  // A set that grows while it is walked gives what was added, too.
  for (const node of reached) for (const next of neighbours.get(node) ?? []) reached.add(next);
  const alone = [...neighbours.keys(), ...loadCases.flatMap(({ loads }) => Object.keys(loads))].find(
    (one) => !reached.has(one),
  );
  if (alone !== undefined) {
    throw new InputError('truss_disconnected', `no members lead from "${alone}" to a support`);
  }
}

/**
 * Loads can be carried if they lie in the range of the equilibrium matrix B, which is that of B Bᵀ: elimination with the
 * largest pivot leaves a load where no stiffness is left only if nothing resists it.
 */
function refuseMechanism({ nodes, supports, members, loadCases }: Truss, dimensions: number): void {
  const freedoms = Object.keys(nodes).flatMap((node) =>
    AXES.slice(0, dimensions)
      .map((axis, index) => ({ node, axis, index }))
      .filter(({ axis }) => !supports[node]?.includes(axis)),
  );
  const numbers = new Map(freedoms.map(({ node, index }, number) => [`${index} ${node}`, number]));
  const size = freedoms.length;
  const loads = loadCases.map(({ loads: asked }) => freedoms.map(({ node, index }) => asked[node]?.[index] ?? 0));
  const largest = Math.max(0, ...loads.flat().map(Math.abs));
  if (largest === 0) throw new InputError('truss_not_loaded', 'no load acts on a node that can move');
  const rows = freedoms.map((_, row) => {
    const cells = new Float64Array(size + loads.length);
    for (const [column, load] of loads.entries()) cells[size + column] = (load[row] as number) / largest;
    return cells;
  });
  for (const [from, to] of members) {
    const along = direction(nodes, from, to);
    const length = Math.hypot(...along);
    const ends = along.flatMap((part, axis) => [
      { number: numbers.get(`${axis} ${from}`), share: part / length },
      { number: numbers.get(`${axis} ${to}`), share: -part / length },
    ]);
    for (const a of ends) {
      for (const b of ends) {
        const row = a.number === undefined ? undefined : rows[a.number];
        if (row && b.number !== undefined) row[b.number] = (row[b.number] as number) + a.share * b.share;
      }
    }
  }
  const left = new Set(freedoms.keys());
  while (left.size > 0) {
    const pivot = [...left].reduce((best, one) => (cell(rows, one, one) > cell(rows, best, best) ? one : best));
    const pivotCells = rows[pivot] as Float64Array;
    const stiffness = pivotCells[pivot] as number;
    if (stiffness < 1e-9) break;
    left.delete(pivot);
    for (const row of left) {
      const cells = rows[row] as Float64Array;
      const factor = (cells[pivot] as number) / stiffness;
      if (factor === 0) continue;
      for (let column = 0; column < cells.length; column++) {
        cells[column] = (cells[column] as number) - factor * (pivotCells[column] as number);
      }
    }
  }
  for (const row of left) {
    if (!loads.some((_, column) => Math.abs(cell(rows, row, size + column)) > 1e-6)) continue;
    const { node, axis } = freedoms[row] as (typeof freedoms)[number];
    throw new InputError(
      'truss_mechanism',
      `the truss is a mechanism: the loads move "${node}" along ${axis} and no member resists; add members or supports`,
    );
  }
}

const AXES = ['x', 'y', 'z'] as const;

function direction(nodes: Truss['nodes'], from: string, to: string): number[] {
  return (nodes[from] ?? []).map((value, axis) => (nodes[to]?.[axis] ?? 0) - value);
}

function cell(rows: readonly Float64Array[], row: number, column: number): number {
  return rows[row]?.[column] ?? 0;
}
