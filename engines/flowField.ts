/** A plane flow on a regular grid of cells: what the pictures and tables of flows are made from. */

/** Values in the middle of cells, row by row from the lower left; not a number where there is no fluid. SI units. */
export interface FlowField {
  readonly columns: number;
  readonly rows: number;
  /** The lower left corner and the extent, in metres. */
  readonly left: number;
  readonly bottom: number;
  readonly width: number;
  readonly height: number;
  readonly u: Float64Array;
  readonly v: Float64Array;
  readonly pressure: Float64Array;
  /** What the two directions are called. */
  readonly axes: readonly [across: string, up: string];
  /** Some solvers know no density, and their pressure is divided by it. */
  readonly pressureUnit: 'Pa' | 'm²/s²';
}

/** The speed in a cell, in m/s. */
export function speedIn({ u, v }: FlowField, cell: number): number {
  return Math.hypot(u[cell] as number, v[cell] as number);
}

/** The largest speed of a cell, in m/s. */
export function speedMax(field: FlowField): number {
  let fastest = 0;
  for (let cell = 0; cell < field.u.length; cell++) {
    const speed = speedIn(field, cell);
    if (speed > fastest) fastest = speed;
  }
  return fastest;
}

/** Velocity at a point between cells, bilinear; undefined outside and where there is no fluid. */
export function velocityAt(field: FlowField, x: number, y: number): readonly [number, number] | undefined {
  const { columns, rows, left, bottom, width, height, u, v } = field;
  const across = ((x - left) / width) * columns;
  const up = ((y - bottom) / height) * rows;
  if (!(across >= 0 && across < columns && up >= 0 && up < rows)) return undefined;
  if (Number.isNaN(u[Math.floor(across) + Math.floor(up) * columns])) return undefined;
  const i = Math.min(Math.max(Math.floor(across - 0.5), 0), columns - 1);
  const j = Math.min(Math.max(Math.floor(up - 0.5), 0), rows - 1);
  const right = Math.min(i + 1, columns - 1);
  const above = Math.min(j + 1, rows - 1);
  const s = Math.min(Math.max(across - 0.5 - i, 0), 1);
  const t = Math.min(Math.max(up - 0.5 - j, 0), 1);
  const corners = [i + j * columns, right + j * columns, i + above * columns, right + above * columns] as const;
  const weights = [(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t] as const;
  // A cell of the wall stands still.
  const mean = (values: Float64Array) =>
    corners.reduce((sum, cell, k) => sum + (weights[k] as number) * (values[cell] || 0), 0);
  return [mean(u), mean(v)];
}

/** One line a cell: its place, the velocity along both axes, and the pressure; the walls left out. */
export function* fieldTable(field: FlowField): Generator<string> {
  const { columns, rows, left, bottom, width, height, u, v, pressure, axes, pressureUnit } = field;
  yield `${axes[0]} (m),${axes[1]} (m),u (m/s),v (m/s),p (${pressureUnit})\n`;
  for (let j = 0; j < rows; j++) {
    let lines = '';
    const y = bottom + ((j + 0.5) * height) / rows;
    for (let i = 0; i < columns; i++) {
      const cell = i + j * columns;
      if (Number.isNaN(u[cell])) continue;
      const x = left + ((i + 0.5) * width) / columns;
      lines += `${short(x)},${short(y)},${short(u[cell])},${short(v[cell])},${short(pressure[cell])}\n`;
    }
    yield lines;
  }
}

/** Nine digits: more than any solver here computes. */
export function short(value: number | undefined): string {
  return String(Number((value ?? Number.NaN).toPrecision(9)));
}
