/**
 * Natural micro-batching: while a batch is in flight, what is asked of its pools waits; when it returns, all of it goes as
 * the next batch. Nothing waits for a timer. Operations on a pool keep the order in which they arrived.
 *
 * What this process knows enough of goes *ahead*: it is planned without being loaded, and sent on the lane of the batch before
 * it, behind that one, while it is still in flight. Then the database works on one batch while the next is planned. Where more
 * than a few wait, the first of two such batches takes half of them: with 128 clients that is twice as fast as one after the
 * other. What shares no pool with a lane waits for nobody there: another process may keep a pool locked.
 */
import { isNativeError } from 'node:util/types';
import { entryOf } from '../../domain/entryOf';
import { BillingError } from '../../domain/errors';
import { type Outcome, subjectOf } from '../../domain/operations';
import type { Answer, Asked } from './batch';
import { poolsOf } from './load';

/** What happens to the batches. */
export interface Batching {
  /** Whether an operation can go ahead. */
  readonly knows: (asked: Asked) => boolean;
  /** Sends a batch behind those before it on a lane; undefined when it turns out that it has to be loaded. */
  readonly ahead: (asked: readonly Asked[], lane: number) => Promise<Answer[]> | undefined;
  /** Sends a batch that no other in flight shares a pool with. */
  readonly load: (asked: readonly Asked[]) => Promise<Answer[]>;
}

export interface BatcherOptions {
  /** How many operations may wait; more are refused with `overloaded`, so that memory and waiting stay bounded. */
  readonly waitingMax: number;
  readonly batchMax: number;
  /** How many batches that were loaded are in flight at most. */
  readonly batchesAtOnce: number;
}

export const LANES = 2;
/** On a lane one is worked on, the next is on its way. */
const AHEAD_AT_ONCE = 2;
/** A batch has a price of its own: fewer than so many go together. */
const DIVIDED_FROM = 64;

interface Waiting extends Asked {
  readonly poolIds: readonly string[];
  readonly keys: readonly string[];
  /** Whether it turned out that it has to be loaded. */
  mustLoad: boolean;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** The lane on which a batch goes ahead, or that it is loaded. */
type Way = number | 'load';

export class Batcher {
  private waiting: Waiting[] = [];
  /** By which way the batches in flight went that concern a pool, and how many. */
  private readonly busy = new Map<string, { readonly way: Way; count: number }>();
  private readonly inFlight = new Map<Way, number>();
  private scheduled = false;
  private readonly idle: (() => void)[] = [];

  constructor(
    private readonly batching: Batching,
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
      const poolIds = poolsOf(operation);
      this.waiting.push({ operation, companion, keys, poolIds, mustLoad: false, resolve, reject });
      this.schedule();
    });
  }

  /** Waits until nothing waits and nothing is in flight. */
  drain(): Promise<void> {
    if (this.isIdle()) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle.push(resolve);
    });
  }

  private isIdle(): boolean {
    return this.waiting.length === 0 && this.inFlight.size === 0;
  }

  /** Not at once: whoever was answered by the last batch asks again first, and goes with the next. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      while (this.sendAhead() || this.sendToLoad());
      if (this.isIdle()) for (const resolve of this.idle.splice(0)) resolve();
    });
  }

  /** @returns whether there is more to look for. */
  private sendAhead(): boolean {
    for (let lane = 0; lane < LANES; lane++) {
      const { length } = this.waiting;
      const inFlight = this.inFlight.get(lane) ?? 0;
      if (length === 0 || inFlight >= AHEAD_AT_ONCE) continue;
      const most = inFlight === 0 && length >= DIVIDED_FROM ? Math.ceil(length / 2) : length;
      const { batch, left } = this.take(lane, most);
      if (batch.length === 0) continue;
      const answers = this.batching.ahead(batch, lane);
      if (answers === undefined) {
        for (const one of batch) one.mustLoad = true;
        return true;
      }
      this.waiting = left;
      void this.await(batch, lane, answers);
      return true;
    }
    return false;
  }

  /** @returns whether there is more to look for. */
  private sendToLoad(): boolean {
    if (this.waiting.length === 0 || (this.inFlight.get('load') ?? 0) >= this.options.batchesAtOnce) return false;
    const { batch, left } = this.take('load', this.waiting.length);
    if (batch.length === 0) return false;
    this.waiting = left;
    void this.await(batch, 'load', this.batching.load(batch));
    return true;
  }

  /**
   * The next batch that goes a way: in order of arrival, all whose pools are free of earlier ones that wait and of batches
   * in flight. A batch that goes ahead may follow those of its lane, and then holds only what has to.
   */
  private take(way: Way, most: number): { batch: Waiting[]; left: Waiting[] } {
    const batch: Waiting[] = [];
    const keys = new Set<string>();
    const held = new Set<string>();
    const left: Waiting[] = [];
    const size = Math.min(most, this.options.batchMax);
    const follows = (this.inFlight.get(way) ?? 0) > 0 && way !== 'load';
    for (const one of this.waiting) {
      const blocked =
        batch.length >= size ||
        // A key goes once per batch, so that its repeat finds what the first one recorded; so does a job's row.
        one.keys.some((key) => keys.has(key)) ||
        one.poolIds.some((id) => held.has(id) || this.isClosedTo(way, id)) ||
        (way !== 'load' && !this.mayGoAhead(one)) ||
        (follows && !one.poolIds.some((id) => this.busy.has(id)));
      if (blocked) {
        for (const id of one.poolIds) held.add(id);
        left.push(one);
        continue;
      }
      for (const key of one.keys) keys.add(key);
      batch.push(one);
    }
    return { batch, left };
  }

  /** Whether a batch is in flight on a pool that another may not follow on its way. */
  private isClosedTo(way: Way, poolId: string): boolean {
    const busy = this.busy.get(poolId);
    return busy !== undefined && (way === 'load' || busy.way !== way);
  }

  private mayGoAhead(one: Waiting): boolean {
    return !one.mustLoad && this.batching.knows(one);
  }

  private async await(batch: readonly Waiting[], way: Way, sent: Promise<Answer[]>): Promise<void> {
    const poolIds = new Set(batch.flatMap((one) => one.poolIds));
    for (const id of poolIds) entryOf(this.busy, id, () => ({ way, count: 0 })).count += 1;
    this.inFlight.set(way, (this.inFlight.get(way) ?? 0) + 1);
    try {
      const answers = await sent;
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (isNativeError(answer) || answer === undefined) reject(answer);
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      for (const id of poolIds) {
        const busy = this.busy.get(id);
        if (busy && --busy.count === 0) this.busy.delete(id);
      }
      const left = (this.inFlight.get(way) ?? 0) - 1;
      if (left > 0) this.inFlight.set(way, left);
      else this.inFlight.delete(way);
      this.schedule();
    }
  }
}
