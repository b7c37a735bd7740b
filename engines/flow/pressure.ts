/**
 * The pressure equation: the five-point Laplacian with closed walls, and pressure zero at an outlet, solved by
 * conjugate gradients with a modified incomplete Cholesky factor (MIC(0); the parameters 0.97 and 0.25 after Bridson,
 * "Fluid Simulation for Computer Graphics").
 */
import type { Grid } from './grid';

const ITERATIONS_MAX = 2_000;

/** Solves `-∇²φ = b` on the fluid cells of one grid. */
export class PressureSolver {
  /** Iterations so far, over all solves. */
  iterations = 0;

  readonly #grid: Grid;
  readonly #cells: Int32Array;
  readonly #diagonal: Float64Array;
  readonly #east: Float64Array;
  readonly #north: Float64Array;
  readonly #factor: Float64Array;
  readonly #residual: Float64Array;
  readonly #direction: Float64Array;
  readonly #image: Float64Array;
  readonly #preconditioned: Float64Array;

  constructor(grid: Grid) {
    this.#grid = grid;
    const size = grid.fluid.length;
    this.#cells = Int32Array.from(grid.fluid.keys()).filter((cell) => grid.fluid[cell] === 1);
    this.#diagonal = new Float64Array(size);
    this.#east = new Float64Array(size);
    this.#north = new Float64Array(size);
    this.#factor = new Float64Array(size);
    this.#residual = new Float64Array(size);
    this.#direction = new Float64Array(size);
    this.#image = new Float64Array(size);
    this.#preconditioned = new Float64Array(size);
    this.#assemble();
    this.#factorise();
  }

  /**
   * Improves `solution` until no cell's residual is above `residualMax`; `right` is changed when the system is closed,
   * where only a mean of zero has a solution. Answers whether it got there.
   */
  solve(solution: Float64Array, right: Float64Array, residualMax: number): boolean {
    const cells = this.#cells;
    const residual = this.#residual;
    const direction = this.#direction;
    if (!this.#grid.hasOutlet) removeMean(right, cells);
    this.#multiply(solution, this.#image);
    for (const cell of cells) residual[cell] = (right[cell] as number) - (this.#image[cell] as number);
    if (largest(residual, cells) <= residualMax) return true;
    this.#precondition();
    for (const cell of cells) direction[cell] = this.#preconditioned[cell] as number;
    let power = dot(residual, this.#preconditioned, cells);
    for (let iteration = 0; iteration < ITERATIONS_MAX; iteration++) {
      this.iterations++;
      this.#multiply(direction, this.#image);
      const length = power / dot(direction, this.#image, cells);
      let worst = 0;
      for (const cell of cells) {
        solution[cell] = (solution[cell] as number) + length * (direction[cell] as number);
        const left = (residual[cell] as number) - length * (this.#image[cell] as number);
        residual[cell] = left;
        if (Math.abs(left) > worst) worst = Math.abs(left);
      }
      if (worst <= residualMax) return true;
      if (!Number.isFinite(worst) || !Number.isFinite(length)) return false;
      this.#precondition();
      const next = dot(residual, this.#preconditioned, cells);
      const turn = next / power;
      power = next;
      for (const cell of cells) {
        direction[cell] = (this.#preconditioned[cell] as number) + turn * (direction[cell] as number);
      }
    }
    return false;
  }

  #assemble(): void {
    const { fluid, stride, dx, dy, hasOutlet, columns } = this.#grid;
    const across = 1 / (dx * dx);
    const up = 1 / (dy * dy);
    for (const cell of this.#cells) {
      let diagonal = 0;
      if (fluid[cell + 1] === 1) this.#east[cell] = -across;
      if (fluid[cell + stride] === 1) this.#north[cell] = -up;
      for (const beside of [cell - 1, cell + 1]) if (fluid[beside] === 1) diagonal += across;
      for (const beside of [cell - stride, cell + stride]) if (fluid[beside] === 1) diagonal += up;
      // The outlet's pressure is held half a cell away.
      if (hasOutlet && cell % stride === columns) diagonal += 2 * across;
      this.#diagonal[cell] = diagonal;
    }
  }

  #factorise(): void {
    const { stride } = this.#grid;
    const east = this.#east;
    const north = this.#north;
    const factor = this.#factor;
    for (const cell of this.#cells) {
      const west = cell - 1;
      const south = cell - stride;
      const a = (east[west] as number) * (factor[west] as number);
      const b = (north[south] as number) * (factor[south] as number);
      const dropped =
        (east[west] as number) * (north[west] as number) * (factor[west] as number) ** 2 +
        (north[south] as number) * (east[south] as number) * (factor[south] as number) ** 2;
      const diagonal = this.#diagonal[cell] as number;
      const pivot = diagonal - a * a - b * b - 0.97 * dropped;
      factor[cell] = 1 / Math.sqrt(pivot < 0.25 * diagonal ? diagonal : pivot);
    }
  }

  #multiply(from: Float64Array, to: Float64Array): void {
    const { stride } = this.#grid;
    const east = this.#east;
    const north = this.#north;
    const diagonal = this.#diagonal;
    for (const cell of this.#cells) {
      to[cell] =
        (diagonal[cell] as number) * (from[cell] as number) +
        (east[cell] as number) * (from[cell + 1] as number) +
        (east[cell - 1] as number) * (from[cell - 1] as number) +
        (north[cell] as number) * (from[cell + stride] as number) +
        (north[cell - stride] as number) * (from[cell - stride] as number);
    }
  }

  /** Two triangular sweeps with the factor. */
  #precondition(): void {
    const { stride } = this.#grid;
    const cells = this.#cells;
    const east = this.#east;
    const north = this.#north;
    const factor = this.#factor;
    const to = this.#preconditioned;
    for (const cell of cells) {
      const known =
        (this.#residual[cell] as number) -
        (east[cell - 1] as number) * (factor[cell - 1] as number) * (to[cell - 1] as number) -
        (north[cell - stride] as number) * (factor[cell - stride] as number) * (to[cell - stride] as number);
      to[cell] = known * (factor[cell] as number);
    }
    for (let k = cells.length - 1; k >= 0; k--) {
      const cell = cells[k] as number;
      const own = factor[cell] as number;
      const known =
        (to[cell] as number) -
        (east[cell] as number) * own * (to[cell + 1] as number) -
        (north[cell] as number) * own * (to[cell + stride] as number);
      to[cell] = known * own;
    }
  }
}

function dot(a: Float64Array, b: Float64Array, cells: Int32Array): number {
  let sum = 0;
  for (const cell of cells) sum += (a[cell] as number) * (b[cell] as number);
  return sum;
}

function largest(values: Float64Array, cells: Int32Array): number {
  let worst = 0;
  for (const cell of cells) worst = Math.max(worst, Math.abs(values[cell] as number));
  return worst;
}

/** Takes the mean off, so that what flows in and out of a closed box is nothing. */
function removeMean(values: Float64Array, cells: Int32Array): void {
  let sum = 0;
  for (const cell of cells) sum += values[cell] as number;
  const mean = sum / cells.length;
  for (const cell of cells) values[cell] = (values[cell] as number) - mean;
}
