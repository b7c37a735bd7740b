/** A plane through the middle of a mesh, laid on a regular grid so that it can be drawn. */
import type { FlowField } from '../flowField';

/** Values in the cells of a mesh: three numbers of a place or a velocity, one of a pressure. */
export interface MeshValues {
  readonly centres: Float64Array;
  readonly velocities: Float64Array;
  readonly pressures: Float64Array;
  readonly box: readonly [low: readonly number[], high: readonly number[]];
}

/** Cells of the drawn grid along a side, at most. */
const SIDE_MAX = 400;
const AXES = ['x', 'y', 'z'] as const;

/** The plane lies across the direction with the fewest layers of cells, in the middle one. */
export function middlePlane(mesh: MeshValues): FlowField {
  const cells = mesh.pressures.length;
  const along = AXES.map((_, axis) =>
    Float64Array.from({ length: cells }, (_, cell) => mesh.centres[cell * 3 + axis] as number),
  );
  const distinct = along.map((values, axis) => distinctOf(values, spanOf(mesh, axis) * 1e-6));
  const across = [2, 1, 0].reduce((fewest, axis) =>
    lengthOf(distinct, axis) < lengthOf(distinct, fewest) ? axis : fewest,
  );
  const [first, second] = [0, 1, 2].filter((axis) => axis !== across) as [number, number];
  const layers = distinct[across] as Float64Array;
  const middle = Math.floor((layers.length - 1) / 2);
  const inPlane = Int32Array.from({ length: cells }, (_, cell) => cell).filter(
    (cell) => nearest(layers, along[across]?.[cell] as number) === middle,
  );
  const [xs, ys] = [distinct[first] as Float64Array, distinct[second] as Float64Array];
  // Blocks that are rectangles share their lines; others have about a line a cell.
  const isRectilinear = xs.length * ys.length <= 4 * inPlane.length;
  const lookup = isRectilinear
    ? byLines(mesh, inPlane, first, second, xs, ys)
    : byDistance(mesh, inPlane, first, second);
  return fieldOf(mesh, first, second, lookup, sidesOf(mesh, first, second, inPlane.length, isRectilinear, xs, ys));
}

/** The cell at a point of the plane, or undefined where the mesh has none. */
type Lookup = (x: number, y: number) => number | undefined;

function fieldOf(
  { velocities, pressures, box: [low, high] }: MeshValues,
  first: number,
  second: number,
  lookup: Lookup,
  [columns, rows]: readonly [number, number],
): FlowField {
  const field = () => new Float64Array(columns * rows).fill(Number.NaN);
  const [u, v, pressure] = [field(), field(), field()];
  const [left, bottom] = [low[first] as number, low[second] as number];
  const [width, height] = [(high[first] as number) - left, (high[second] as number) - bottom];
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const cell = lookup(left + ((i + 0.5) / columns) * width, bottom + ((j + 0.5) / rows) * height);
      if (cell === undefined) continue;
      u[i + j * columns] = velocities[cell * 3 + first] as number;
      v[i + j * columns] = velocities[cell * 3 + second] as number;
      pressure[i + j * columns] = pressures[cell] as number;
    }
  }
  const axes = [AXES[first] as string, AXES[second] as string] as const;
  return { columns, rows, left, bottom, width, height, u, v, pressure, axes, pressureUnit: 'm²/s²' };
}

function byLines(
  { centres }: MeshValues,
  inPlane: Int32Array,
  first: number,
  second: number,
  xs: Float64Array,
  ys: Float64Array,
): Lookup {
  const cells = new Int32Array(xs.length * ys.length).fill(-1);
  for (const cell of inPlane) {
    const i = nearest(xs, centres[cell * 3 + first] as number);
    cells[i + nearest(ys, centres[cell * 3 + second] as number) * xs.length] = cell;
  }
  return (x, y) => {
    const cell = cells[nearest(xs, x) + nearest(ys, y) * xs.length] as number;
    return cell < 0 ? undefined : cell;
  };
}

/** The nearest cell, no further away than a cell and a half of mean size. */
function byDistance(mesh: MeshValues, inPlane: Int32Array, first: number, second: number): Lookup {
  const { centres, box } = mesh;
  const reach = 1.5 * Math.sqrt((spanOf(mesh, first) * spanOf(mesh, second)) / inPlane.length);
  const bucketOf = (x: number, y: number) =>
    `${Math.floor((x - (box[0][first] as number)) / reach)} ${Math.floor((y - (box[0][second] as number)) / reach)}`;
  const buckets = new Map<string, number[]>();
  for (const cell of inPlane) {
    const key = bucketOf(centres[cell * 3 + first] as number, centres[cell * 3 + second] as number);
    const bucket = buckets.get(key);
    if (bucket) bucket.push(cell);
    else buckets.set(key, [cell]);
  }
  return (x, y) => {
    let found: number | undefined;
    let closest = reach;
    for (const dx of [-reach, 0, reach]) {
      for (const dy of [-reach, 0, reach]) {
        for (const cell of buckets.get(bucketOf(x + dx, y + dy)) ?? []) {
          const away = Math.hypot(
            (centres[cell * 3 + first] as number) - x,
            (centres[cell * 3 + second] as number) - y,
          );
          if (away < closest) [found, closest] = [cell, away];
        }
      }
    }
    return found;
  };
}

/** As many columns and rows as the mesh has where its cells are of one size, and as the smallest cell needs elsewhere. */
function sidesOf(
  mesh: MeshValues,
  first: number,
  second: number,
  cells: number,
  isRectilinear: boolean,
  xs: Float64Array,
  ys: Float64Array,
): readonly [number, number] {
  const [width, height] = [spanOf(mesh, first), spanOf(mesh, second)];
  const bounded = (count: number) => Math.min(Math.max(Math.round(count), 1), SIDE_MAX);
  if (isRectilinear) return [bounded(width / smallestGap(xs, width)), bounded(height / smallestGap(ys, height))];
  return [bounded(Math.sqrt((cells * width) / height)), bounded(Math.sqrt((cells * height) / width))];
}

function spanOf({ box: [low, high] }: MeshValues, axis: number): number {
  return (high[axis] as number) - (low[axis] as number);
}

function lengthOf(lists: readonly Float64Array[], axis: number): number {
  return (lists[axis] as Float64Array).length;
}

/** In order, those that are closer than `tolerance` taken for one. */
function distinctOf(values: Float64Array, tolerance: number): Float64Array {
  const sorted = values.slice().sort();
  return sorted.filter((value, k) => k === 0 || value - (sorted[k - 1] as number) > tolerance);
}

function smallestGap(sorted: Float64Array, span: number): number {
  let gap = span;
  for (let k = 1; k < sorted.length; k++) gap = Math.min(gap, (sorted[k] as number) - (sorted[k - 1] as number));
  return gap;
}

/** The index of the nearest of sorted values, by halving. */
function nearest(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (((sorted[middle] as number) + (sorted[middle + 1] as number)) / 2 < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
