/** Linear programmes: built row by row, solved by HiGHS in a thread of its own, and proved optimal by their duals. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

/** What was asked, as the sparse rows that the solver takes: minimise cost · x within bounds of columns and rows. */
export class LinearProgramme {
  readonly cost: number[] = [];
  readonly columnLower: number[] = [];
  readonly columnUpper: number[] = [];
  readonly rowLower: number[] = [];
  readonly rowUpper: number[] = [];
  readonly starts: number[] = [0];
  readonly indices: number[] = [];
  readonly values: number[] = [];

  /** Adds a variable and gives its number. */
  column({ cost = 0, lower = 0, upper = Number.POSITIVE_INFINITY }): number {
    this.cost.push(cost);
    this.columnLower.push(lower);
    this.columnUpper.push(upper);
    return this.cost.length - 1;
  }

  /** Adds lower ≤ Σ value · column ≤ upper. */
  row(lower: number, upper: number, entries: readonly (readonly [column: number, value: number])[]): void {
    for (const [column, value] of entries) {
      this.indices.push(column);
      this.values.push(value);
    }
    this.starts.push(this.indices.length);
    this.rowLower.push(lower);
    this.rowUpper.push(upper);
  }
}

/** What the thread answers. */
export interface Solution {
  readonly status: 'optimal' | 'infeasible' | 'unsolved';
  /** The value of each column, and the price of each row. Empty unless optimal. */
  readonly values: Float64Array;
  readonly prices: Float64Array;
  readonly simplexIterations: number;
}

/** Solves in a thread, so that the main thread hears a stop meanwhile. A stop ends the process and the thread with it. */
export function solve(programme: LinearProgramme): Promise<Solution> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(join(__dirname, 'linearProgrammeThread.js'), { workerData: { ...programme } });
    thread.on('message', resolve);
    thread.on('error', reject);
    thread.on('exit', (code) => reject(new Error(`the solver's thread ended with ${code} and no answer`)));
  });
}

/**
 * How far a solution can be from the optimum, as a part of its cost. By weak duality any row prices give a lower bound of
 * the cost; it is computed here from the programme as it was asked, not from anything that the solver says of itself.
 */
export function optimalityGap(programme: LinearProgramme, { values, prices }: Solution): number {
  const reduced = [...programme.cost];
  let bound = 0;
  for (let row = 0; row < programme.rowLower.length; row++) {
    const price = prices[row] ?? 0;
    bound += leastOf(price, programme.rowLower[row] as number, programme.rowUpper[row] as number);
    for (let at = programme.starts[row] as number; at < (programme.starts[row + 1] as number); at++) {
      const column = programme.indices[at] as number;
      reduced[column] = (reduced[column] as number) - price * (programme.values[at] as number);
    }
  }
  let cost = 0;
  for (const [column, price] of reduced.entries()) {
    cost += (programme.cost[column] as number) * (values[column] as number);
    bound += leastOf(price, programme.columnLower[column] as number, programme.columnUpper[column] as number);
  }
  return Math.abs(cost - bound) / Math.max(1, Math.abs(cost));
}

/** The least of price · x for x within the bounds. A price of rounding errors does not make it endless. */
function leastOf(price: number, lower: number, upper: number): number {
  const bound = price > 0 ? lower : upper;
  return Number.isFinite(bound) ? price * bound : Math.abs(price) < PRICE_ERROR ? 0 : Number.NEGATIVE_INFINITY;
}

const PRICE_ERROR = 1e-6;
