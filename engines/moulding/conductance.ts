/** How easily melt flows through a gap, and the linear system that follows from it. */
import type { Mould } from './mould';

/**
 * The Hele-Shaw conductance S of a gap of thickness h for a melt with the mobility m: flow per width is S times the fall of
 * pressure. For a power law, S = 2n/(2n+1) (h/2)^((2n+1)/n) m with m = K^(-1/n) |grad p|^((1-n)/n), which for n = 1 is
 * h³/(12 η) (C. A. Hieber and S. F. Shen, J. Non-Newtonian Fluid Mech. 7, 1980).
 */
export function conductanceOf({ exponent: n }: Mould, thickness: number, mobility: number): number {
  if (thickness === 0) return 0;
  return ((2 * n) / (2 * n + 1)) * (thickness / 2) ** ((2 * n + 1) / n) * mobility;
}

/** The mobility of a melt under a fall of pressure, in Pa/m. */
export function mobilityOf({ consistency, exponent: n }: Mould, gradient: number): number {
  return consistency ** (-1 / n) * gradient ** ((1 - n) / n);
}

/** Flow from cell to cell, and out of the filled region; all by cell, for pressures in parts of the gate's. */
export interface System {
  readonly cells: readonly number[];
  readonly stride: number;
  /** Between a filled cell and its filled right and upper neighbour; zero elsewhere. */
  readonly right: Float64Array;
  readonly up: Float64Array;
  readonly diagonal: Float64Array;
  readonly source: Float64Array;
}

const TOLERANCE = 1e-6;
const ITERATIONS_MAX = 5_000;

/**
 * Solves the system by conjugate gradients with its diagonal as preconditioner, from the pressures that are given.
 *
 * @returns the iterations that it took.
 */
export function solve(system: System, pressure: Float64Array, scratch: Scratch): number {
  const { cells, stride, right, up, diagonal, source } = system;
  const { residual, direction, image } = scratch;
  const apply = (from: Float64Array, to: Float64Array) => {
    for (const cell of cells) {
      to[cell] =
        at(diagonal, cell) * at(from, cell) -
        at(right, cell) * at(from, cell + 1) -
        at(right, cell - 1) * at(from, cell - 1) -
        at(up, cell) * at(from, cell + stride) -
        at(up, cell - stride) * at(from, cell - stride);
    }
  };
  apply(pressure, image);
  let size = 0;
  let aim = 0;
  for (const cell of cells) {
    residual[cell] = at(source, cell) - at(image, cell);
    const scaled = at(residual, cell) / at(diagonal, cell);
    direction[cell] = scaled;
    size += at(residual, cell) * scaled;
    aim += at(source, cell) ** 2 / at(diagonal, cell);
  }
  let iterations = 0;
  while (size > TOLERANCE ** 2 * aim && iterations < ITERATIONS_MAX) {
    iterations++;
    apply(direction, image);
    let along = 0;
    for (const cell of cells) along += at(direction, cell) * at(image, cell);
    const step = size / along;
    let next = 0;
    for (const cell of cells) {
      pressure[cell] = at(pressure, cell) + step * at(direction, cell);
      residual[cell] = at(residual, cell) - step * at(image, cell);
      next += at(residual, cell) ** 2 / at(diagonal, cell);
    }
    for (const cell of cells) {
      direction[cell] = at(residual, cell) / at(diagonal, cell) + (next / size) * at(direction, cell);
    }
    size = next;
  }
  return iterations;
}

/** Room for a solution, kept from one to the next. Outside the filled region it stays zero. */
export interface Scratch {
  readonly residual: Float64Array;
  readonly direction: Float64Array;
  readonly image: Float64Array;
}

function at(values: Float64Array, index: number): number {
  return values[index] as number;
}
