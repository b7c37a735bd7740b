/**
 * The journal folded, operation by operation: every transfer must be legal from what the buckets held at that moment. What
 * an operation may do is written here once more, from the rules and not from the code that plans operations, so that a
 * mistake there is found here.
 */
import type { JobAccount, LotAccount, PoolAccount } from './accounts';
import { Advances } from './advances';
import type { Budgets } from './budgets';
import { Wrong } from './findings';
import { Jobs } from './jobs';
import { type JournalRow, mustFitItsKind, mustHaveMovedNothing } from './journalRow';
import { changeLife, endLot, grantLot } from './lotLives';
import type { RefundRequests } from './refundRequests';
import { refund } from './refunds';

export interface LedgerParts {
  readonly pools: ReadonlyMap<string, PoolAccount>;
  readonly lots: ReadonlyMap<string, LotAccount>;
  readonly budgets: Budgets;
  readonly requests: RefundRequests;
  /** Jobs that refunds or corrections point at. */
  readonly refundedLater: ReadonlyMap<string, unknown>;
  /** Hears of each job that is closed. */
  readonly onClosed: (job: JobAccount) => void;
}

export class Ledger {
  readonly jobs: Jobs;
  private readonly pools: ReadonlyMap<string, PoolAccount>;
  private readonly lots: ReadonlyMap<string, LotAccount>;
  private readonly budgets: Budgets;
  private readonly requests: RefundRequests;
  private readonly advances: Advances;

  constructor({ pools, lots, budgets, requests, refundedLater, onClosed }: LedgerParts) {
    this.pools = pools;
    this.lots = lots;
    this.budgets = budgets;
    this.requests = requests;
    this.advances = new Advances(lots.values());
    this.jobs = new Jobs((id) => this.poolOf(id), budgets, refundedLater, onClosed);
  }

  /**
   * Books an operation.
   *
   * @returns the pool to which it belongs whatever it moved; a repayment belongs to those of its lots alone.
   * @throws Wrong when it cannot have happened. What it moved until then stays moved.
   */
  book(row: JournalRow): PoolAccount | null {
    mustFitItsKind(row);
    const { jobs, lots, advances } = this;
    switch (row.kind) {
      case 'reserve':
        advances.mustBeDone();
        return jobs.reserve(row);
      case 'settle':
        advances.mustBeDone();
        return jobs.settle(row);
      case 'topUp':
        advances.mustBeDone();
        return jobs.topUp(row);
      case 'release':
        advances.mustBeDone();
        return jobs.release(row);
      case 'raiseCap':
        advances.mustBeDone();
        return jobs.raiseCap(row);
      case 'grant':
        advances.mustBeDone();
        return grantLot(row, lots, advances);
      case 'expire':
      case 'withdraw':
        advances.mustBeDone();
        return endLot(row, lots);
      case 'changeLife':
        advances.mustBeDone();
        return changeLife(row, lots);
      case 'openBudget':
      case 'closeBudget':
        advances.mustBeDone();
        return this.bookBudget(row);
      case 'repay':
        advances.repay(row);
        return null;
      case 'refund':
      case 'correct':
        return refund(row, { jobs, advances, requests: this.requests });
      default:
        throw new Wrong('there is no such kind of operation', undefined, row.kind);
    }
  }

  /** @throws Wrong when something had to follow in the batch and did not. */
  finishBatch(): void {
    this.advances.mustBeDone();
  }

  /** The pool to which an operation seems to belong, for saying whom a wrong one concerns. */
  homeOf({ subject, refersTo, userId, contractId }: JournalRow): PoolAccount | undefined {
    const jobId = refersTo ?? subject;
    const job = this.jobs.open.get(jobId) ?? this.jobs.refundable.get(jobId);
    return job?.home ?? this.lots.get(subject)?.pool ?? this.pools.get(contractId ?? userId ?? '');
  }

  private bookBudget(row: JournalRow): PoolAccount {
    const { kind, subject: id, act, contractId, bookedAt } = row;
    mustHaveMovedNothing(row);
    const budget =
      kind === 'openBudget' ? this.budgets.open(id, act) : this.budgets.close({ id, act, contractId, bookedAt });
    return this.poolOf(budget.contractId);
  }

  private poolOf(id: string): PoolAccount {
    const pool = this.pools.get(id);
    if (!pool) throw new Wrong('the pool of whom it concerns does not exist', 'a pool', id);
    return pool;
  }
}
