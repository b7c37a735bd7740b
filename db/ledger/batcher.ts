/**
 * Natural micro-batching: while a batch is in flight, what is asked of its pools waits; when it returns, all of it goes as
 * the next batch. Nothing waits for a timer. Operations on a pool keep the order in which they arrived.
 *
 * What this process knows enough of goes *ahead*: it is planned without being loaded, and sent behind the batch before it
 * while that one is still in flight. Then the database works on one batch while the next is planned. Where more than a few
 * wait, the first of two such batches takes half of them: with 128 clients that is twice as fast as one after the other.
 */
import { isNativeError } from 'node:util/types';
import { BillingError } from '../../domain/errors';
import { type Outcome, subjectOf } from '../../domain/operations';
import type { Answer, Asked } from './batch';
import { poolsOf } from './load';

/** What happens to the batches. */
export interface Batching {
  /** Whether an operation can go ahead. */
  readonly knows: (asked: Asked) => boolean;
  /** Sends a batch behind those that went ahead before it; undefined when it turns out that it has to be loaded. */
  readonly ahead: (asked: readonly Asked[]) => Promise<Answer[]> | undefined;
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

/** One is worked on, the next is on its way. */
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

type Way = 'ahead' | 'load';

export class Batcher {
  private waiting: Waiting[] = [];
  /** How many batches in flight concern a pool, by the way that they went. */
  private readonly busy: Readonly<Record<Way, Map<string, number>>> = { ahead: new Map(), load: new Map() };
  private readonly inFlight: Record<Way, number> = { ahead: 0, load: 0 };
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
    return this.waiting.length === 0 && this.inFlight.ahead === 0 && this.inFlight.load === 0;
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
    if (this.waiting.length === 0 || this.inFlight.ahead >= AHEAD_AT_ONCE) return false;
    const { length } = this.waiting;
    const most = this.inFlight.ahead === 0 && length >= DIVIDED_FROM ? Math.ceil(length / 2) : length;
    const { batch, left } = this.take('ahead', most);
    if (batch.length === 0) return false;
    const answers = this.batching.ahead(batch);
    if (answers === undefined) {
      for (const one of batch) one.mustLoad = true;
      return true;
    }
    this.waiting = left;
    void this.await(batch, 'ahead', answers);
    return true;
  }

  /** @returns whether there is more to look for. */
  private sendToLoad(): boolean {
    if (this.waiting.length === 0 || this.inFlight.load >= this.options.batchesAtOnce) return false;
    const { batch, left } = this.take('load', this.waiting.length);
    if (batch.length === 0) return false;
    this.waiting = left;
    void this.await(batch, 'load', this.batching.load(batch));
    return true;
  }

  /**
   * The next batch that goes a way: in order of arrival, all whose pools are free of earlier ones that wait and of batches
   * in flight. A batch that goes ahead may follow others that did.
   */
  private take(way: Way, most: number): { batch: Waiting[]; left: Waiting[] } {
    const batch: Waiting[] = [];
    const keys = new Set<string>();
    const held = new Set<string>();
    const left: Waiting[] = [];
    const size = Math.min(most, this.options.batchMax);
    const { ahead, load } = this.busy;
    for (const one of this.waiting) {
      const blocked =
        batch.length >= size ||
        // A key goes once per batch, so that its repeat finds what the first one recorded; so does a job's row.
        one.keys.some((key) => keys.has(key)) ||
        one.poolIds.some((id) => held.has(id) || load.has(id) || (way === 'load' && ahead.has(id))) ||
        (way === 'ahead' && !this.mayGoAhead(one));
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

  private mayGoAhead(one: Waiting): boolean {
    return !one.mustLoad && this.batching.knows(one);
  }

  private async await(batch: readonly Waiting[], way: Way, sent: Promise<Answer[]>): Promise<void> {
    const poolIds = new Set(batch.flatMap((one) => one.poolIds));
    const busy = this.busy[way];
    for (const id of poolIds) busy.set(id, (busy.get(id) ?? 0) + 1);
    this.inFlight[way] += 1;
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
        const count = busy.get(id) ?? 0;
        if (count > 1) busy.set(id, count - 1);
        else busy.delete(id);
      }
      this.inFlight[way] -= 1;
      this.schedule();
    }
  }
}
