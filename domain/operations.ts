/** The operations of the ledger: what is asked, what is written, what is answered. */
import type { Budget, BudgetWarning } from './budget';
import type { Credits } from './credits';
import { credits, sumOf } from './credits';
import type { Draw } from './drawdown';
import type { RefusalCode } from './errors';
import type { Instant } from './instant';
import type { Bucket, LotKind, LotLife, LotSource } from './lots';

interface OperationBase {
  /** What is done to the subject, such as `settle` or `topUp/2`. Subject and act are the idempotency key: one key, one operation, ever. */
  readonly act: string;
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

/** Creates a lot in the pool of its one owner (R2, R3, R4). A shared lot repays the contract's advances first (R9). */
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
    readonly graceUntil: Instant | null;
    readonly purchasedAt: Instant | null;
    /** Order number or the like, for people. */
    readonly reference: string | null;
    /** A courtesy lot that the next shared lots repay (R9). */
    readonly advance: boolean;
  };
}

interface LotOperationBase extends OperationBase {
  readonly lotId: string;
  /** The lot's owner, so that its pool is locked before the lot is read. */
  readonly poolId: string;
}

/** Books the end of a lot's life: what is available expires (R3). */
export interface ExpireOperation extends LotOperationBase {
  readonly kind: 'expire';
}

/** Books the withdrawal of an individual lot at the end of its notice (R4). */
export interface WithdrawOperation extends LotOperationBase {
  readonly kind: 'withdraw';
}

/** Gives a lot another life: a contract was renewed or cut short (R3), a notice was delivered or rescinded (R4). */
export interface ChangeLifeOperation extends LotOperationBase {
  readonly kind: 'changeLife';
  readonly life: LotLife;
}

interface JobOperationBase extends OperationBase, Spender {
  readonly jobId: string;
}

/** Sets credits aside for a job, all of the amount or nothing. */
export interface ReserveOperation extends JobOperationBase {
  readonly kind: 'reserve';
  readonly amount: Credits;
  /** The not-to-exceed amount (R11). */
  readonly cap: Credits;
  /** What the job is for, where its submitter said so; budgets can limit it (R17). */
  readonly project: string | null;
}

/**
 * Brings an open reservation up to a total, never past the not-to-exceed amount: all that is missing or nothing. A
 * total, not a difference, so that a repeat asks for the same thing.
 */
export interface TopUpOperation extends JobOperationBase {
  readonly kind: 'topUp';
  readonly target: Credits;
}

/** The submitter's explicit consent to a higher not-to-exceed amount (R11). */
export interface RaiseCapOperation extends JobOperationBase {
  readonly kind: 'raiseCap';
  readonly cap: Credits;
}

/** Closes a job's billing: captures the actual cost up to the not-to-exceed amount, returns the rest. */
export interface SettleOperation extends JobOperationBase {
  readonly kind: 'settle';
  /** Settling and releasing share it: a job's billing closes once. */
  readonly act: 'close';
  readonly actual: Credits;
}

/** Gives a reservation back. Releasing what was never reserved leaves a mark that a late reserve finds. */
export interface ReleaseOperation extends JobOperationBase {
  readonly kind: 'release';
  readonly act: 'close';
}

/** Gives an amount of a settled job's charge back to its lots, the captured draws walked backwards (R15). */
export interface RefundOperation extends JobOperationBase {
  readonly kind: 'refund';
  readonly refundId: string;
  readonly amount: Credits;
}

/** Brings a settled job's charge down to its true actual: unwinds what was absorbed first, then refunds (R15). */
export interface CorrectOperation extends JobOperationBase {
  readonly kind: 'correct';
  readonly refundId: string;
  readonly actual: Credits;
}

/** Opens a budget, counting what its user's or project's jobs have reserved and cost in its periods already (R17). */
export interface OpenBudgetOperation extends OperationBase {
  readonly kind: 'openBudget';
  readonly budget: Budget;
}

/** Closes a budget: from then on it limits nothing and counts nothing. */
export interface CloseBudgetOperation extends OperationBase {
  readonly kind: 'closeBudget';
  readonly budgetId: string;
  readonly contractId: string;
}

export type LotOperation = ExpireOperation | WithdrawOperation | ChangeLifeOperation;
export type RefundingOperation = RefundOperation | CorrectOperation;
export type JobOperation =
  | ReserveOperation
  | TopUpOperation
  | RaiseCapOperation
  | SettleOperation
  | ReleaseOperation
  | RefundingOperation;
export type BudgetOperation = OpenBudgetOperation | CloseBudgetOperation;
export type Operation = GrantOperation | LotOperation | JobOperation | BudgetOperation;

/**
 * What the planner adds to a batch by itself: a new shared lot repays an advance (R9), or a refund undoes such a
 * repayment. `subject` and `act` follow from the operation that caused it.
 */
export interface Repayment extends OperationBase {
  readonly kind: 'repay';
  readonly subject: string;
  /** The courtesy lot that was granted as an advance. */
  readonly advanceId: string;
}

/** What an operation is about: a lot, a job or a refund. With its act it is the operation's idempotency key. */
export function subjectOf(operation: Operation | Repayment): string {
  switch (operation.kind) {
    case 'repay':
      return operation.subject;
    case 'grant':
      return operation.lot.id;
    case 'expire':
    case 'withdraw':
    case 'changeLife':
      return operation.lotId;
    case 'refund':
    case 'correct':
      return operation.refundId;
    case 'openBudget':
      return operation.budget.id;
    case 'closeBudget':
      return operation.budgetId;
    default:
      return operation.jobId;
  }
}

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
  /** What the provider bears of a settlement; negative where a correction unwinds it. */
  readonly absorbed: Credits;
  /** Budgets that the operation brought to their warning threshold (R17); none for a replay. */
  readonly warnings: readonly BudgetWarning[];
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
