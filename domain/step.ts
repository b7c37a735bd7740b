/** What deciding one operation gives: a step, or a refusal. A step is data, so that a refusal has changed nothing. */
import type { Credits } from './credits';
import type { RefusalCode } from './errors';
import type { Lot } from './lots';
import type { Operation, Refused, Repayment, Transfer } from './operations';
import type { Reservation } from './reservation';

/** An accepted operation with what it moved: one row of the journal. */
export interface JournalEntry {
  readonly operation: Operation | Repayment;
  readonly transfers: readonly Transfer[];
  /** What the provider bears of it; negative where a correction unwinds it. */
  readonly absorbed: Credits;
}

export interface Step {
  readonly transfers: readonly Transfer[];
  readonly absorbed?: Credits;
  /** The job's reservation afterwards. */
  readonly reservation?: Reservation;
  /** A new lot, or a lot whose life is another afterwards; its buckets are the transfers' business. */
  readonly lot?: Lot;
  /** A budget that limits from here on, or one that does not any more (R17). */
  readonly openedBudgetId?: string;
  readonly closedBudgetId?: string;
  /** Repayments of advances that are undone before (R15). */
  readonly undone?: readonly JournalEntry[];
  /** Repayments of advances that follow (R9). */
  readonly repaid?: readonly JournalEntry[];
}

export function refused(code: RefusalCode, message: string, details: Record<string, string> = {}): Refused {
  return { accepted: false, code, message, details };
}
