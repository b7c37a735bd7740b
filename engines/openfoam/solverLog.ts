/** What OpenFOAM says while it runs: steps, iterations of its linear solvers, residuals, errors. */
import type { ResidualCurve } from '../residualPlot';

/** Rows kept; then every second one is dropped, and only every second one is taken from there on. */
const ROWS_MAX = 8_000;

/** Follows a log line by line. */
export class SolverLog {
  cells = 0;
  steps = 0;
  iterations = 0;
  /** The time of the last step, in the case's own unit. */
  time = 0;
  /** Whether a steady solver said that it converged. */
  isConverged = false;
  /** The first complaint that ended a program. */
  fault: string | undefined;
  /** The corners of the mesh. */
  box: readonly [low: readonly number[], high: readonly number[]] | undefined;
  /** The largest Courant number so far: above one, a transient solver is no longer to be trusted. */
  courantMax = 0;

  #every = 1;
  #rows: { step: number; time: number; residuals: Map<string, number> }[] = [];
  #row: Map<string, number> | undefined;
  #startedAt: number | undefined;
  #faultLines = 0;

  read(line: string): void {
    if (this.#faultLines > 0) this.#readFault(line);
    else if (/FOAM FATAL/.test(line)) this.#expectFault();
    else this.#readProgress(line);
  }

  /** `step,time` and the initial residual of each field. */
  *table(): Generator<string> {
    const fields = this.#fields();
    yield `step,time,${fields.join(',')}\n`;
    for (const { step, time, residuals } of this.#rows) {
      yield `${step},${time},${fields.map((field) => residuals.get(field) ?? '').join(',')}\n`;
    }
  }

  /** The same as curves. */
  curves(): ResidualCurve[] {
    return this.#fields().map((name) => ({
      name,
      steps: this.#rows.map(({ step }) => step),
      values: this.#rows.map(({ residuals }) => residuals.get(name) ?? 0),
    }));
  }

  /** The initial residuals of the last step. */
  lastResiduals(): Record<string, number> {
    return Object.fromEntries(this.#row ?? []);
  }

  #readProgress(line: string): void {
    const time = /^Time = ([\d.eE+-]+)/.exec(line);
    if (time) this.#startStep(Number(time[1]));
    if (line.startsWith('ExecutionTime')) this.#endStep();
    const solved = /Solving for (\w+), Initial residual = (\S+), Final residual = \S+, No Iterations (\d+)/.exec(line);
    if (solved) this.#solved(solved[1] as string, Number(solved[2]), Number(solved[3]));
    const courant = /^Courant Number mean: \S+ max: (\S+)/.exec(line);
    if (courant) this.courantMax = Math.max(this.courantMax, Number(courant[1]));
    const cells = /^\s*nCells: (\d+)/.exec(line);
    if (cells) this.cells = Number(cells[1]);
    const box = /boundingBox: \(([^)]+)\) \(([^)]+)\)/.exec(line);
    if (box) this.box = [numbers(box[1] as string), numbers(box[2] as string)];
    if (/solution converged in \d+ iterations/.test(line)) this.isConverged = true;
  }

  #expectFault(): void {
    if (this.fault !== undefined) return;
    this.fault = '';
    this.#faultLines = 8;
  }

  /** The sentence runs until the program says where in itself it was. */
  #readFault(line: string): void {
    this.#faultLines--;
    if (/^\s+From |^FOAM (exiting|aborting)/.test(line)) this.#faultLines = 0;
    else this.fault = `${this.fault} ${line.trim().replaceAll('/job/case/', '')}`.slice(0, 500).trim();
  }

  #startStep(time: number): void {
    this.#row = new Map();
    this.#startedAt = time;
  }

  /** Only what is finished is counted. */
  #endStep(): void {
    if (!this.#row || this.#startedAt === undefined) return;
    this.steps++;
    this.time = this.#startedAt;
    this.#startedAt = undefined;
    if (this.steps % this.#every !== 0) return;
    this.#rows.push({ step: this.steps, time: this.time, residuals: this.#row });
    if (this.#rows.length < ROWS_MAX) return;
    this.#every *= 2;
    this.#rows = this.#rows.filter(({ step }) => step % this.#every === 0);
  }

  /** A field may be solved for several times a step; its first residual says how far off it was. */
  #solved(field: string, residual: number, iterations: number): void {
    this.iterations += iterations;
    if (this.#row && !this.#row.has(field)) this.#row.set(field, residual);
  }

  #fields(): string[] {
    return [...new Set(this.#rows.flatMap(({ residuals }) => [...residuals.keys()]))];
  }
}

function numbers(text: string): number[] {
  return text.trim().split(/\s+/).map(Number);
}
