/**
 * Plans a batch of operations against the locked rows they concern. Operations are decided one after the other, in
 * arrival order; each succeeds or is refused on its own, and a refusal changes nothing.
 */
import { Book } from './book';
import type { Budget, BudgetPeriod } from './budget';
import { planCloseBudget, planOpenBudget } from './budgetSteps';
import type { Instant } from './instant';
import { planRaiseCap, planRelease, planReserve, planSettle, planTopUp } from './jobSteps';
import { planChangeLife, planExpire, planGrant, planWithdraw } from './lotSteps';
import type { Lot } from './lots';
import type { Operation, Outcome, Refused } from './operations';
import { planCorrect, planRefund } from './refund';
import type { RepaidAdvance } from './repayment';
import type { Reservation } from './reservation';
import type { JournalEntry, Step } from './step';

export type { JournalEntry } from './step';

export interface ContractTerm {
  readonly contractId: string;
  readonly startsAt: Instant;
  readonly endsAt: Instant;
  /** From when on nothing can be spent; null while the contract is not suspended. */
  readonly suspendedAt: Instant | null;
}

/** That a user may spend on a contract, from one instant to another. */
export interface Authorisation {
  readonly contractId: string;
  readonly userId: string;
  readonly authorisedAt: Instant;
  readonly removedAt: Instant | null;
}

/** The rows a batch concerns, read after their pools were locked. */
export interface LedgerState {
  /**
   * Lots of the batch's pools that can still pay, hold something reserved or are advances that are owed something; the
   * lots that operations name; for refunds the lots of the charge, and those that repaid its advances.
   */
  readonly lots: readonly Lot[];
  /** Of the jobs that operations name. */
  readonly reservations: readonly Reservation[];
  /** What repaid the advances that a refund can give back to, oldest first. */
  readonly repayments: readonly RepaidAdvance[];
  readonly contracts: readonly ContractTerm[];
  readonly authorisations: readonly Authorisation[];
  /** The open budgets that can concern the batch. */
  readonly budgets: readonly Budget[];
  /** Of those budgets, and what was counted for budgets that the batch opens; a period without a row counts zero. */
  readonly budgetPeriods: readonly BudgetPeriod[];
}

export interface Plan {
  /** One per operation, in the same order. */
  readonly outcomes: readonly Outcome[];
  /** Of accepted operations, with the repayments they cause, in order. */
  readonly entries: readonly JournalEntry[];
  /** New and changed lots as they are after the batch. */
  readonly lots: readonly Lot[];
  readonly reservations: readonly Reservation[];
  readonly budgetPeriods: readonly BudgetPeriod[];
}

/**
 * Decides a batch. Pure: the same state and operations give the same plan, and what was passed in stays as it was.
 *
 * @throws Error when a lot would break conservation; that is a bug, and nothing may be written then.
 */
export function planBatch(state: LedgerState, operations: readonly Operation[]): Plan {
  const book = new Book(state, operations);
  const outcomes = operations.map((operation): Outcome => {
    const decided = decide(book, operation);
    return 'code' in decided ? decided : book.post(operation, decided);
  });
  return {
    outcomes,
    entries: book.entries,
    lots: book.lotsAfter(),
    reservations: book.reservationsAfter(),
    budgetPeriods: book.budgets.periodsAfter(),
  };
}

function decide(book: Book, operation: Operation): Step | Refused {
  switch (operation.kind) {
    case 'grant':
      return planGrant(book, operation);
    case 'expire':
      return planExpire(book, operation);
    case 'withdraw':
      return planWithdraw(book, operation);
    case 'changeLife':
      return planChangeLife(book, operation);
    case 'reserve':
      return planReserve(book, operation);
    case 'topUp':
      return planTopUp(book, operation);
    case 'raiseCap':
      return planRaiseCap(book, operation);
    case 'settle':
      return planSettle(book, operation);
    case 'release':
      return planRelease(book, operation);
    case 'refund':
      return planRefund(book, operation);
    case 'correct':
      return planCorrect(book, operation);
    case 'openBudget':
      return planOpenBudget(book, operation);
    case 'closeBudget':
      return planCloseBudget(book, operation);
  }
}
