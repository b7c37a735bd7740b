/** Whether a model is held: a body that can move as a whole has no answer. */
import { InputFault } from '../protocol';
import { diagonalOf, type Model } from './model';

/**
 * Each body (elements that share nodes) is held when its fixed directions stop all six movements of a rigid body, three
 * displacements and three rotations. A body that hangs on a hinge of its own is not seen here.
 *
 * @throws InputFault when a body is not held.
 */
export function checkSupport(model: Model): void {
  const body = bodiesOf(model);
  const held = new Map<number, number[]>();
  for (const { nodes } of model.elements) held.set(body(nodes[0] ?? 0), []);
  for (const degree of model.fixed.keys()) held.get(body(Math.floor(degree / 3)))?.push(degree);
  const length = diagonalOf(model);
  for (const [node, degrees] of held) {
    const stopped = rankOf(degrees.map((degree) => movementsAt(model, degree, degrees[0] ?? 0, length)));
    if (stopped === 6) continue;
    const where = held.size === 1 ? 'the model' : `the body with node ${model.nodeIds[node]}`;
    throw new InputFault(
      `${where} can still move as a whole: its supports (*BOUNDARY) stop ${stopped} of the 6 movements of a rigid body`,
    );
  }
}

/** How a degree of freedom moves with each of the six movements; rotations are about the node of `origin`. */
function movementsAt({ coordinates }: Model, degree: number, origin: number, length: number): number[] {
  const direction = degree % 3;
  const place = (axis: number) =>
    (coordinates[degree - direction + axis] ?? 0) - (coordinates[origin - (origin % 3) + axis] ?? 0);
  const [x, y, z] = [place(0) / length, place(1) / length, place(2) / length];
  const rotations =
    [
      [0, z, -y],
      [-z, 0, x],
      [y, -x, 0],
    ][direction] ?? [];
  return [...[0, 1, 2].map((axis) => (axis === direction ? 1 : 0)), ...rotations];
}

/** By orthogonal directions, one after the other; stops at six. */
function rankOf(rows: readonly number[][]): number {
  const found: number[][] = [];
  for (const row of rows) {
    let rest = row;
    // Twice, because once leaves rounding behind.
    for (const one of [...found, ...found]) {
      const along = one.reduce((sum, value, place) => sum + value * (rest[place] ?? 0), 0);
      rest = rest.map((value, place) => value - along * (one[place] ?? 0));
    }
    const size = Math.hypot(...rest);
    if (size > 1e-6) found.push(rest.map((value) => value / size));
    if (found.length === 6) break;
  }
  return found.length;
}

/** Which body a node belongs to, as one of the body's nodes. */
function bodiesOf({ nodeIds, elements }: Model): (node: number) => number {
  const parent = Int32Array.from(nodeIds, (_, place) => place);
  const root = (node: number): number => {
    let at = node;
    for (let up = parent[at] ?? at; up !== at; up = parent[at] ?? at) {
      parent[at] = parent[up] ?? up;
      at = up;
    }
    return at;
  };
  for (const { nodes } of elements) for (const node of nodes) parent[root(node)] = root(nodes[0] ?? node);
  return root;
}
