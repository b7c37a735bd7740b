/**
 * Natural micro-batching: while a batch is in flight, what is asked of its pools waits; when it returns, all of it goes as
 * the next batch. Nothing waits for a timer. Operations on a pool keep the order in which they arrived.
 *
 * Measured: to let the next batch of a pool wait for the locks while the one before is committed, each with half of what
 * 128 clients ask, is a third slower than whole batches: a batch has a price of its own.
 */
import { BillingError } from '../../domain/errors';
import { type Outcome, subjectOf } from '../../domain/operations';
import type { Answer, Asked } from './batch';
import { poolsOf } from './load';

export interface BatcherOptions {
  /** How many operations may wait; more are refused with `overloaded`, so that memory and waiting stay bounded. */
  readonly waitingMax: number;
  readonly batchMax: number;
  readonly batchesAtOnce: number;
}

interface Waiting extends Asked {
  readonly poolIds: readonly string[];
  readonly keys: readonly string[];
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher {
  private waiting: Waiting[] = [];
  private readonly busy = new Set<string>();
  private inFlight = 0;
  private scheduled = false;
  private readonly idle: (() => void)[] = [];

  constructor(
    private readonly run: (asked: readonly Asked[]) => Promise<Answer[]>,
    private readonly options: BatcherOptions,
  ) {}

  /** @throws BillingError `overloaded` when too many operations wait already. */
  ask(asked: Asked): Promise<Outcome> {
    const { waitingMax } = this.options;
    if (this.waiting.length >= waitingMax) {
      return Promise.reject(
        new BillingError('overloaded', `${waitingMax} operations wait for the ledger already; try again in a second.`, {
          retryAfterSeconds: 1,
        }),
      );
    }
    return new Promise((resolve, reject) => {
      const { operation, companion } = asked;
      const key = `${subjectOf(operation)}/${operation.act}`;
      const keys = companion ? [key, companion.jobId] : [key];
      this.waiting.push({ operation, companion, keys, poolIds: poolsOf(operation), resolve, reject });
      this.schedule();
    });
  }

  /** Waits until nothing waits and nothing is in flight. */
  drain(): Promise<void> {
    if (this.waiting.length === 0 && this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle.push(resolve);
    });
  }

  /** Not at once: whoever was answered by the last batch asks again first, and goes with the next. */
  private schedule(): void {
    if (this.scheduled || this.inFlight >= this.options.batchesAtOnce) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      while (this.inFlight < this.options.batchesAtOnce) {
        const batch = this.take();
        if (batch.length === 0) break;
        void this.send(batch);
      }
      if (this.waiting.length === 0 && this.inFlight === 0) for (const resolve of this.idle.splice(0)) resolve();
    });
  }

  /** The next batch: in order of arrival, all whose pools are free of batches in flight and of earlier ones that wait. */
  private take(): Waiting[] {
    const batch: Waiting[] = [];
    const keys = new Set<string>();
    const held = new Set<string>();
    const left: Waiting[] = [];
    for (const one of this.waiting) {
      const blocked =
        batch.length >= this.options.batchMax ||
        // A key goes once per batch, so that its repeat finds what the first one recorded; so does a job's row.
        one.keys.some((key) => keys.has(key)) ||
        one.poolIds.some((id) => this.busy.has(id) || held.has(id));
      if (blocked) {
        for (const id of one.poolIds) held.add(id);
        left.push(one);
        continue;
      }
      for (const key of one.keys) keys.add(key);
      batch.push(one);
    }
    this.waiting = left;
    return batch;
  }

  private async send(batch: readonly Waiting[]): Promise<void> {
    const poolIds = new Set(batch.flatMap((one) => one.poolIds));
    for (const id of poolIds) this.busy.add(id);
    this.inFlight += 1;
    try {
      const answers = await this.run(batch);
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (answer instanceof Error || answer === undefined) reject(answer);
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      for (const id of poolIds) this.busy.delete(id);
      this.inFlight -= 1;
      this.schedule();
    }
  }
}
