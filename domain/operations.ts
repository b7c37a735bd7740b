/** The operations of the ledger: what is asked, what is written, what is answered. */
import type { Credits } from './credits';
import { credits, sumOf } from './credits';
import type { Draw } from './drawdown';
import type { RefusalCode } from './errors';
import type { Instant } from './instant';
import type { Bucket, LotKind, LotSource } from './lots';

interface OperationBase {
  /** Time-ordered id of the journal's row. */
  readonly id: string;
  /** Idempotency key: one key, one operation, ever. */
  readonly key: string;
  /** Business time; it alone decides lives and eligibility. */
  readonly at: Instant;
  readonly actor: string;
  readonly reason: string;
}

/** Who spends: always a user, on a contract or on individual credits alone. Both name the pools that are locked. */
export interface Spender {
  readonly userId: string;
  readonly contractId: string | null;
}

/** Creates a lot in the pool of its one owner (R2, R3, R4). */
export interface GrantOperation extends OperationBase {
  readonly kind: 'grant';
  readonly lot: {
    readonly id: string;
    readonly poolId: string;
    readonly kind: LotKind;
    readonly source: LotSource;
    readonly amount: Credits;
    readonly effectiveAt: Instant;
    readonly expiresAt: Instant | null;
    readonly purchasedAt: Instant | null;
    /** Order number or the like, for people. */
    readonly reference: string | null;
  };
}

/** Sets credits aside for a job, all of the amount or nothing. */
export interface ReserveOperation extends OperationBase, Spender {
  readonly kind: 'reserve';
  readonly jobId: string;
  readonly amount: Credits;
  /** The not-to-exceed amount (R11). */
  readonly cap: Credits;
}

/**
 * Brings an open reservation up to a total, never past the not-to-exceed amount: all that is missing or nothing. A
 * total, not a difference, so that a repeat asks for the same thing.
 */
export interface TopUpOperation extends OperationBase, Spender {
  readonly kind: 'topUp';
  readonly jobId: string;
  readonly target: Credits;
}

/** The submitter's explicit consent to a higher not-to-exceed amount (R11). */
export interface RaiseCapOperation extends OperationBase, Spender {
  readonly kind: 'raiseCap';
  readonly jobId: string;
  readonly cap: Credits;
}

/** Closes a job's billing: captures the actual cost up to the not-to-exceed amount, returns the rest. */
export interface SettleOperation extends OperationBase, Spender {
  readonly kind: 'settle';
  readonly jobId: string;
  readonly actual: Credits;
}

/** Gives a reservation back. Releasing what was never reserved leaves a mark that a late reserve finds. */
export interface ReleaseOperation extends OperationBase, Spender {
  readonly kind: 'release';
  readonly jobId: string;
}

export type JobOperation = ReserveOperation | TopUpOperation | RaiseCapOperation | SettleOperation | ReleaseOperation;
export type Operation = GrantOperation | JobOperation;

/** A positive amount of one lot from one bucket to another; `granted` is where a lot's credits come from. */
export interface Transfer {
  readonly lotId: string;
  readonly from: Bucket | 'granted';
  readonly to: Bucket;
  readonly amount: Credits;
}

export interface Accepted {
  readonly accepted: true;
  /** Whether this answers an operation that was applied before, under the same key. */
  readonly replayed: boolean;
  readonly transfers: readonly Transfer[];
  /** What the provider bears of a settlement. */
  readonly absorbed: Credits;
}

/** A refusal changes nothing and is not remembered: after a purchase the same operation may succeed. */
export interface Refused {
  readonly accepted: false;
  readonly code: RefusalCode;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
}

export type Outcome = Accepted | Refused;

/** What of an operation went into a bucket, by lot. */
export function drawsInto(bucket: Bucket, transfers: readonly Transfer[]): Draw[] {
  return transfers.filter(({ to }) => to === bucket).map(({ lotId, amount }) => ({ lotId, amount }));
}

/** How much an operation moved from a bucket or into one. */
export function amountMoved(transfers: readonly Transfer[], ends: { from?: Transfer['from']; to?: Bucket }): Credits {
  return sumOf(
    transfers.filter(({ from, to }) => (ends.from ?? from) === from && (ends.to ?? to) === to),
    ({ amount }) => credits(amount),
  );
}
