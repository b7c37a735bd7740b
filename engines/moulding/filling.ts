/**
 * Filling of a thin cavity. In a gap that is thin against its length the pressure obeys the Hele-Shaw equation
 * div(S grad p) = 0 in the filled region, with p = 0 at the front and no flow through walls (C. A. Hieber and S. F. Shen,
 * J. Non-Newtonian Fluid Mech. 7, 1980). The front is carried by the fill fractions of control volumes: from the pressure
 * follows the flow into each cell at the front, and the time advances until the first of them is full (the flow analysis
 * network of Z. Tadmor, E. Broyer and C. Gutfinger, Polym. Eng. Sci. 14, 1974). The melt is isothermal, incompressible and
 * leaves the air no resistance.
 */
import { conductanceOf, mobilityOf, type System, solve } from './conductance';
import type { Mould } from './mould';

/** One step of the front: from then on, until the next one. */
export interface Moment {
  readonly time: number;
  /** At the gate, in Pa. */
  readonly pressure: number;
  /** In m³/s. */
  readonly flowRate: number;
  readonly filled: number;
}

/** What ends a filling before the cavity is full. */
export type ShortShot = 'pressure' | 'time';

/** Starts with empty cells; {@link advance} fills at least one more. */
export class Filling {
  readonly moments: Moment[] = [];
  /** When a cell was full, in s; NaN for those that are not. */
  readonly filledAt: Float64Array;
  readonly volume: number;
  time = 0;
  lastCell = -1;
  shortShot: ShortShot | null = null;
  frontSteps = 0;
  pressureIterations = 0;
  cellsFilled = 0;
  private filledVolume = 0;
  private readonly fraction: Float64Array;
  private readonly pressure: Float64Array;
  private readonly mobility: Float64Array;
  /** The conductance of each cell for a mobility of 1. */
  private readonly gap: Float64Array;
  private readonly cellCount: number;
  private readonly scratch;
  private readonly system: System & { cells: number[] };

  constructor(private readonly mould: Mould) {
    const { thickness, stride, flowRate } = mould;
    const array = () => new Float64Array(thickness.length);
    this.gap = thickness.map((one) => conductanceOf(mould, one, 1));
    this.cellCount = thickness.reduce((count, one) => count + (one > 0 ? 1 : 0), 0);
    this.volume = thickness.reduce((sum, _, cell) => sum + this.volumeOf(cell), 0);
    this.filledAt = array().fill(Number.NaN);
    this.fraction = array();
    this.pressure = array();
    this.mobility = array().fill(mobilityOf(mould, GRADIENT_FIRST));
    this.scratch = { residual: array(), direction: array(), image: array() };
    this.system = { cells: [], stride, right: array(), up: array(), diagonal: array(), source: array() };
    const gateCells = [...new Set(mould.gates.map(({ cell }) => cell))];
    const gateVolume = gateCells.reduce((sum, cell) => sum + this.volumeOf(cell), 0);
    // The cells at the gate are the smallest filling that has a pressure. Under a given pressure they fill at once.
    this.time = flowRate === null ? 0 : gateVolume / flowRate;
    for (const cell of gateCells) this.fill(cell);
    this.filledVolume = gateVolume;
  }

  /** From 0 to 1. */
  get filled(): number {
    return Math.min(1, this.filledVolume / this.volume);
  }

  get isOver(): boolean {
    return this.shortShot !== null || this.cellsFilled === this.cellCount;
  }

  /** Solves for the pressure and moves the front until a cell is full, or finds that it stands still. */
  advance(): void {
    const { mould } = this;
    const { pressure, flowRate } = this.solvePressure();
    if (pressure > mould.pressure * (1 + 1e-9)) {
      this.shortShot = 'pressure';
      return;
    }
    this.moments.push({ time: this.time, pressure, flowRate, filled: this.filled });
    const inflow = this.inflowAt(pressure);
    let step = Number.POSITIVE_INFINITY;
    for (const [cell, flow] of inflow)
      step = Math.min(step, (this.volumeOf(cell) * (1 - at(this.fraction, cell))) / flow);
    if (this.time + step > mould.timeLimit) {
      step = mould.timeLimit - this.time;
      this.shortShot = 'time';
    }
    this.frontSteps++;
    const full: number[] = [];
    let missing = 0;
    for (const [cell, flow] of inflow) {
      const fraction = at(this.fraction, cell) + (flow * step) / this.volumeOf(cell);
      this.fraction[cell] = fraction;
      if (fraction < 1 - NEARLY_FULL) continue;
      full.push(cell);
      missing += (1 - fraction) * this.volumeOf(cell);
    }
    // What nearly full cells lack comes in too, and takes its time: melt is neither made nor lost.
    this.filledVolume += flowRate * step + missing;
    this.time += step + missing / flowRate;
    for (const cell of full) this.fill(cell);
  }

  private volumeOf(cell: number): number {
    const { thickness, dx, dy } = this.mould;
    return at(thickness, cell) * dx * dy;
  }

  private fill(cell: number): void {
    this.fraction[cell] = 1;
    // The melt brings its mobility along.
    const from = this.neighboursOf(cell).find(([next]) => this.isFull(next));
    if (from) this.mobility[cell] = at(this.mobility, from[0]);
    this.filledAt[cell] = this.time;
    this.system.cells.push(cell);
    this.cellsFilled++;
    this.lastCell = cell;
  }

  /**
   * The pressure and the flow at the gate. The solution is found for a gate at 1 and scaled. A power law makes the system
   * depend on its solution: it is solved again with mobilities moved by the exponent in their logarithm, which in a strip hits
   * the solution at once.
   */
  private solvePressure(): { pressure: number; flowRate: number } {
    const { mould } = this;
    let before = 0;
    for (let round = 0; ; round++) {
      this.assemble();
      this.pressureIterations += solve(this.system, this.pressure, this.scratch);
      let unitFlow = 0;
      for (const { cell, shape } of mould.gates) {
        unitFlow += shape * this.conductance(cell) * (1 - at(this.pressure, cell));
      }
      const pressure = mould.flowRate === null ? mould.pressure : mould.flowRate / unitFlow;
      const now = mould.flowRate === null ? unitFlow : pressure;
      if (mould.exponent === 1 || Math.abs(now - before) <= PICARD_TOLERANCE * now || round >= PICARD_MAX) {
        return { pressure, flowRate: unitFlow * pressure };
      }
      before = now;
      this.moveMobilities(pressure);
    }
  }

  /** Flow balances of all filled cells. The front lies in its cell as far as that is filled. */
  private assemble(): void {
    const { mould, system } = this;
    const { cells, stride, right, up, diagonal, source } = system;
    const { dx, dy } = mould;
    for (const cell of cells) {
      right[cell] = this.isFull(cell + 1) ? this.between(cell, cell + 1, dy / dx) : 0;
      up[cell] = this.isFull(cell + stride) ? this.between(cell, cell + stride, dx / dy) : 0;
      source[cell] = 0;
    }
    for (const { cell, shape } of mould.gates) source[cell] = at(source, cell) + shape * this.conductance(cell);
    for (const cell of cells) {
      diagonal[cell] = at(source, cell) + at(right, cell) + at(right, cell - 1) + at(up, cell) + at(up, cell - stride);
      for (const [next, ratio] of this.neighboursOf(cell)) {
        if (this.isFront(next)) diagonal[cell] = at(diagonal, cell) + this.toFront(cell, next, ratio);
      }
    }
  }

  private inflowAt(gatePressure: number): Map<number, number> {
    const inflow = new Map<number, number>();
    for (const cell of this.system.cells) {
      for (const [next, ratio] of this.neighboursOf(cell)) {
        if (!this.isFront(next)) continue;
        const flow = this.toFront(cell, next, ratio) * at(this.pressure, cell) * gatePressure;
        inflow.set(next, (inflow.get(next) ?? 0) + flow);
      }
    }
    return inflow;
  }

  private moveMobilities(gatePressure: number): void {
    const { mould, system } = this;
    const gradients = system.cells.map((cell) => gatePressure * this.gradientAt(cell));
    // Where the melt stands still the power law has no mobility at all; a little keeps the system solvable.
    const least = gradients.reduce((most, one) => Math.max(most, one), 0) * GRADIENT_LEAST;
    for (const [index, cell] of system.cells.entries()) {
      const wanted = mobilityOf(mould, Math.max(gradients[index] as number, least));
      this.mobility[cell] = at(this.mobility, cell) ** (1 - mould.exponent) * wanted ** mould.exponent;
    }
  }

  /** The fall of pressure in a cell, for a gate at 1: the mean over its open sides in each direction. */
  private gradientAt(cell: number): number {
    const { dx, dy, stride } = this.mould;
    return Math.hypot(
      this.meanFall(cell, [cell - 1, cell + 1], dx),
      this.meanFall(cell, [cell - stride, cell + stride], dy),
    );
  }

  /** Without its sign, since the melt leaves a cell at a gate to both sides. */
  private meanFall(cell: number, sides: readonly number[], size: number): number {
    const open = sides.filter((next) => at(this.mould.thickness, next) > 0);
    let sum = 0;
    for (const next of open) {
      const distance = this.isFull(next) ? size : size * (0.5 + at(this.fraction, next));
      sum += Math.abs(at(this.pressure, next) - at(this.pressure, cell)) / distance;
    }
    return open.length === 0 ? 0 : sum / open.length;
  }

  private neighboursOf(cell: number): readonly (readonly [number, number])[] {
    const { dx, dy, stride } = this.mould;
    const [across, along] = [dy / dx, dx / dy];
    return [
      [cell - 1, across],
      [cell + 1, across],
      [cell - stride, along],
      [cell + stride, along],
    ];
  }

  private isFull(cell: number): boolean {
    return at(this.fraction, cell) === 1;
  }

  private isFront(cell: number): boolean {
    return at(this.mould.thickness, cell) > 0 && !this.isFull(cell);
  }

  private conductance(cell: number): number {
    return at(this.gap, cell) * at(this.mobility, cell);
  }

  private between(cell: number, next: number, ratio: number): number {
    const [here, there] = [this.conductance(cell), this.conductance(next)];
    return (2 * ratio * here * there) / (here + there);
  }

  private toFront(cell: number, next: number, ratio: number): number {
    const here = this.conductance(cell);
    const there = at(this.gap, next) * at(this.mobility, cell);
    return ratio / (0.5 / here + at(this.fraction, next) / there);
  }
}

/** In Pa/m: where the search for the mobilities of a power law begins. */
const GRADIENT_FIRST = 1e8;
const GRADIENT_LEAST = 1e-3;
const PICARD_TOLERANCE = 5e-4;
const PICARD_MAX = 50;
/** Cells that lack this part or less are filled together with the first one: a symmetric part stays so, and steps are fewer. */
const NEARLY_FULL = 0.05;

function at(values: Float64Array, index: number): number {
  return values[index] as number;
}
