/**
 * Incompressible flow in two dimensions by a projection method in incremental form (Chorin 1968; Van Kan 1986) on the
 * staggered grid, second order in space. Convection is extrapolated (Adams-Bashforth), friction is explicit; each step
 * then removes the divergence with a correction of the pressure, which fades as the flow becomes steady.
 */
import type { FlowCase } from './caseFile';
import { fillGhosts, type Grid, layGrid } from './grid';
import { PressureSolver } from './pressure';

/** Allowed divergence, of speed / length. Far below what the steady tolerance can see. */
const DIVERGENCE_MAX = 1e-7;

/** A flow that is computed step by step. */
export class Flow {
  readonly grid: Grid;
  /** Velocities across faces in m/s, and the pressure in cells divided by the density, in m²/s². */
  readonly u: Float64Array;
  readonly v: Float64Array;
  readonly pressure: Float64Array;
  /** Change of the flow in the last step, per second and of speed² / length. */
  change = Number.POSITIVE_INFINITY;
  /** Largest part of a cell that was crossed in the last step: the step is too long above one. */
  crossed = 0;
  steps = 0;

  readonly #case: FlowCase;
  readonly #step: number;
  readonly #solver: PressureSolver;
  readonly #correction: Float64Array;
  readonly #right: Float64Array;
  readonly #uNext: Float64Array;
  readonly #vNext: Float64Array;
  readonly #uConvection: Float64Array;
  readonly #vConvection: Float64Array;

  /** @throws InputFault when the obstacle does not fit the cells. */
  constructor(flow: FlowCase, step: number) {
    this.#case = flow;
    this.#step = step;
    this.grid = layGrid(flow);
    const field = () => new Float64Array(this.grid.fluid.length);
    [this.u, this.v, this.pressure, this.#correction, this.#right] = [field(), field(), field(), field(), field()];
    [this.#uNext, this.#vNext, this.#uConvection, this.#vConvection] = [field(), field(), field(), field()];
    this.#solver = new PressureSolver(this.grid);
    if (flow.kind === 'channel') this.#openInlet();
  }

  get pressureIterations(): number {
    return this.#solver.iterations;
  }

  /** One step forward. Answers false when the numbers have left every bound. */
  advance(): boolean {
    fillGhosts(this.u, this.grid.uGhosts);
    fillGhosts(this.v, this.grid.vGhosts);
    this.#predictAcross();
    this.#predictUp();
    const isSolved = this.#project();
    this.#accept();
    this.steps++;
    return isSolved && Number.isFinite(this.change) && Number.isFinite(this.crossed);
  }

  /** The largest divergence of a cell, of speed / length. */
  divergence(): number {
    const { fluid, stride, dx, dy } = this.grid;
    let worst = 0;
    for (let cell = 0; cell < fluid.length; cell++) {
      if (fluid[cell] === 0) continue;
      const across = ((this.u[cell] as number) - (this.u[cell - 1] as number)) / dx;
      const up = ((this.v[cell] as number) - (this.v[cell - stride] as number)) / dy;
      worst = Math.max(worst, Math.abs(across + up));
    }
    return (worst * this.#case.referenceLength) / this.#case.speed;
  }

  /** The parabola of a developed flow, with exactly the mean that was asked for. */
  #openInlet(): void {
    const { rows, columns, stride } = this.grid;
    const profile = Array.from({ length: rows }, (_, j) => ((j + 0.5) / rows) * (1 - (j + 0.5) / rows));
    const mean = profile.reduce((sum, value) => sum + value, 0) / rows;
    for (let j = 0; j < rows; j++) {
      const speed = (this.#case.speed * (profile[j] as number)) / mean;
      this.u[(j + 1) * stride] = speed;
      this.#uNext[(j + 1) * stride] = speed;
      // Started along the whole channel; the first correction leads the flow around the obstacle.
      for (let i = 0; i < columns; i++) this.u[i + 1 + (j + 1) * stride] = speed;
    }
    const { fluid, hasOutlet } = this.grid;
    for (let cell = 0; cell < fluid.length; cell++) {
      const isOutlet = hasOutlet && cell % stride === columns;
      const isInlet = cell % stride === 0;
      if (!isInlet && (fluid[cell] === 0 || (fluid[cell + 1] === 0 && !isOutlet))) this.u[cell] = 0;
    }
  }

  #predictAcross(): void {
    const { u, v, pressure } = this;
    const { stride, dx, dy, uFaces, fluid } = this.grid;
    const { viscosity } = this.#case;
    const step = this.#step;
    const isFirst = this.steps === 0;
    for (const face of uFaces) {
      const here = u[face] as number;
      const east = u[face + 1] as number;
      const west = u[face - 1] as number;
      const north = u[face + stride] as number;
      const south = u[face - stride] as number;
      const above = ((v[face] as number) + (v[face + 1] as number)) / 2;
      const below = ((v[face - stride] as number) + (v[face + 1 - stride] as number)) / 2;
      const convection =
        ((here + east) ** 2 - (west + here) ** 2) / (4 * dx) +
        ((here + north) * above - (here + south) * below) / (2 * dy);
      const friction = viscosity * ((east - 2 * here + west) / (dx * dx) + (north - 2 * here + south) / (dy * dy));
      const push =
        fluid[face + 1] === 1
          ? ((pressure[face + 1] as number) - (pressure[face] as number)) / dx
          : (-2 * (pressure[face] as number)) / dx;
      const before = isFirst ? convection : (this.#uConvection[face] as number);
      this.#uNext[face] = here + step * (friction - push - 1.5 * convection + 0.5 * before);
      this.#uConvection[face] = convection;
    }
  }

  #predictUp(): void {
    const { u, v, pressure } = this;
    const { stride, dx, dy, vFaces } = this.grid;
    const { viscosity } = this.#case;
    const step = this.#step;
    const isFirst = this.steps === 0;
    for (const face of vFaces) {
      const here = v[face] as number;
      const east = v[face + 1] as number;
      const west = v[face - 1] as number;
      const north = v[face + stride] as number;
      const south = v[face - stride] as number;
      const right = ((u[face] as number) + (u[face + stride] as number)) / 2;
      const left = ((u[face - 1] as number) + (u[face - 1 + stride] as number)) / 2;
      const convection =
        ((here + east) * right - (here + west) * left) / (2 * dx) +
        ((here + north) ** 2 - (south + here) ** 2) / (4 * dy);
      const friction = viscosity * ((east - 2 * here + west) / (dx * dx) + (north - 2 * here + south) / (dy * dy));
      const push = ((pressure[face + stride] as number) - (pressure[face] as number)) / dy;
      const before = isFirst ? convection : (this.#vConvection[face] as number);
      this.#vNext[face] = here + step * (friction - push - 1.5 * convection + 0.5 * before);
      this.#vConvection[face] = convection;
    }
  }

  #project(): boolean {
    const { fluid, stride, dx, dy, uFaces, vFaces } = this.grid;
    const step = this.#step;
    const correction = this.#correction;
    for (let cell = 0; cell < fluid.length; cell++) {
      if (fluid[cell] === 0) continue;
      const across = ((this.#uNext[cell] as number) - (this.#uNext[cell - 1] as number)) / dx;
      const up = ((this.#vNext[cell] as number) - (this.#vNext[cell - stride] as number)) / dy;
      this.#right[cell] = -(across + up) / step;
    }
    correction.fill(0);
    const { speed, referenceLength } = this.#case;
    const isSolved = this.#solver.solve(correction, this.#right, (DIVERGENCE_MAX * speed) / referenceLength / step);
    for (const face of uFaces) {
      const push =
        fluid[face + 1] === 1
          ? ((correction[face + 1] as number) - (correction[face] as number)) / dx
          : (-2 * (correction[face] as number)) / dx;
      this.#uNext[face] = (this.#uNext[face] as number) - step * push;
    }
    for (const face of vFaces) {
      const push = ((correction[face + stride] as number) - (correction[face] as number)) / dy;
      this.#vNext[face] = (this.#vNext[face] as number) - step * push;
    }
    for (let cell = 0; cell < fluid.length; cell++) {
      if (fluid[cell] === 1) this.pressure[cell] = (this.pressure[cell] as number) + (correction[cell] as number);
    }
    return isSolved;
  }

  /** Takes the new velocities over and measures how much they changed. */
  #accept(): void {
    const { dx, dy, uFaces, vFaces } = this.grid;
    const step = this.#step;
    const [change, fast] = takeOver(this.u, this.#uNext, uFaces);
    const [changeUp, fastUp] = takeOver(this.v, this.#vNext, vFaces);
    const { speed, referenceLength } = this.#case;
    this.change = (Math.max(change, changeUp) / step / speed ** 2) * referenceLength;
    this.crossed = Math.max((fast * step) / dx, (fastUp * step) / dy);
  }
}

/** Answers the largest change and the largest value, either not a number when one of the values is not. */
function takeOver(to: Float64Array, from: Float64Array, faces: Int32Array): [change: number, largest: number] {
  let change = 0;
  let largest = 0;
  for (const face of faces) {
    const next = from[face] as number;
    const moved = Math.abs(next - (to[face] as number));
    // Math.max, unlike a comparison, keeps what is not a number.
    change = Math.max(change, moved);
    largest = Math.max(largest, Math.abs(next));
    to[face] = next;
  }
  return [change, largest];
}
