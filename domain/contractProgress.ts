/** What is said of a contract between rooms: plain JSON, amounts in decimal strings. */
import type { ContractState } from './contract';
import type { CalendarAct } from './contractCalendar';
import type { ContractPhase } from './contractPhase';
import type { Instant } from './instant';
import type { Rejection } from './job';
import type { LotKind } from './lots';

/** How the ids of the calendar's own requests begin: nobody else's do, or the calendar would find its work done. */
export const CALENDAR_REQUESTS = 'calendar/';

export type ContractAnswer =
  | { readonly status: 'changed'; readonly contract: ContractState }
  | { readonly status: 'refused'; readonly rejection: Rejection };

/** What a contract's calendar brought, and how many people are told of it in their next digest. */
export interface DoneEntry {
  readonly act: CalendarAct;
  readonly at: Instant;
  readonly told: number;
}

/** Where a contract stands once its calendar is booked up to an instant. */
export interface ContractProgress {
  readonly contract: ContractState;
  readonly phase: ContractPhase;
  /** There is more to be booked by that instant. */
  readonly more: boolean;
  /** Nothing will ever happen to it again. */
  readonly isOver: boolean;
  readonly nextAt: Instant | null;
  /** What comes next, and the lots whose end is not booked: the first of them. */
  readonly calendar: readonly {
    readonly at: Instant;
    readonly act: CalendarAct;
    readonly credits: string;
    readonly because: string;
  }[];
  readonly lots: readonly {
    readonly id: string;
    readonly kind: LotKind;
    readonly available: string;
    readonly reserved: string;
    readonly expiresAt: Instant | null;
  }[];
  readonly lotsInAll: number;
  /** What was done last, the newest first. */
  readonly done: readonly DoneEntry[];
}
