/** Budgets (R17): ceilings on what jobs of a user or of a project reserve and cost, per calendar period or in total. */
import { CREDITS_MAX, type Credits, credits, mulDivCeil, ZERO } from './credits';
import { calendarDayOf, type Instant, parseInstant, startOfDay } from './instant';

export const BUDGET_PERIODS = ['day', 'month', 'quarter', 'year', 'total'] as const;
export type BudgetPeriodKind = (typeof BUDGET_PERIODS)[number];

/** A ceiling inside a contract, for one user or for one project. */
export interface Budget {
  readonly id: string;
  readonly contractId: string;
  /** Calendar periods are those of the contract's time zone. */
  readonly timeZone: string;
  /** Exactly one of the two is given. */
  readonly userId: string | null;
  readonly project: string | null;
  readonly period: BudgetPeriodKind;
  readonly amount: Credits;
  /** Whole percents of the amount; `null` does not warn, or does not refuse. */
  readonly warnPercent: number | null;
  readonly refusePercent: number | null;
}

/** What counts against a budget in one period, half-open: open reservations and net charges of the jobs reserved in it. */
export interface BudgetPeriod {
  readonly budgetId: string;
  readonly startsAt: Instant;
  readonly endsAt: Instant;
  readonly reserved: Credits;
  readonly charged: Credits;
}

/** That an operation brought a budget's period to its warning threshold. */
export interface BudgetWarning {
  readonly budgetId: string;
  readonly used: Credits;
  readonly amount: Credits;
}

/** The instants between which a period lies, half-open. */
export type PeriodBounds = Pick<BudgetPeriod, 'startsAt' | 'endsAt'>;

const ALWAYS: PeriodBounds = {
  startsAt: parseInstant('0001-01-01T00:00:00Z'),
  endsAt: parseInstant('9999-12-31T00:00:00Z'),
};

/**
 * The period of a budget that an instant lies in, by the calendar of its time zone: from midnight there to midnight.
 *
 * @throws RangeError when the time zone is not known.
 */
export function periodAt({ period, timeZone }: Pick<Budget, 'period' | 'timeZone'>, at: Instant): PeriodBounds {
  if (period === 'total') return ALWAYS;
  const known = knownPeriods(period, timeZone);
  const index = firstAfter(known, at);
  const found = known[index - 1];
  if (found !== undefined && at < found.endsAt) return found;
  const bounds = calendarPeriodAt(period, timeZone, at);
  if (known.length >= KNOWN_PERIODS_MAX) known.length = 0;
  known.splice(firstAfter(known, at), 0, bounds);
  return bounds;
}

/** The most that jobs may reserve and cost in a period; null for no limit. The fraction of a microcredit is not spent. */
export function limitOf({ amount, refusePercent }: Pick<Budget, 'amount' | 'refusePercent'>): Credits | null {
  return refusePercent === null ? null : credits((amount * BigInt(refusePercent)) / 100n);
}

/** What has to be used in a period for a warning; null for none. No warning comes a fraction of a microcredit early. */
export function warningThresholdOf({ amount, warnPercent }: Pick<Budget, 'amount' | 'warnPercent'>): Credits | null {
  return warnPercent === null ? null : credits(mulDivCeil(amount, BigInt(warnPercent), 100n));
}

/** What is wrong with a budget, as a sentence; null when nothing is. */
export function objectionToBudget({ userId, project, amount, warnPercent, refusePercent }: Budget): string | null {
  if ((userId === null) === (project === null)) return 'A budget is for a user or for a project, not both.';
  if (amount < ZERO || amount > CREDITS_MAX) return 'A budget is from zero to 9000000000000 credits.';
  const isPercent = (percent: number | null) =>
    percent === null || (Number.isInteger(percent) && percent >= 1 && percent <= 1000);
  if (!isPercent(warnPercent) || !isPercent(refusePercent)) return 'A threshold is a whole percent from 1 to 1000.';
  return null;
}

type CalendarPeriod = Exclude<BudgetPeriodKind, 'total'>;

function calendarPeriodAt(period: CalendarPeriod, timeZone: string, at: Instant): PeriodBounds {
  const { year, month, day } = calendarDayOf(at, timeZone);
  const between = (months: { from: number; to: number }): PeriodBounds => ({
    startsAt: startOfDay({ year, month: months.from, day: 1 }, timeZone),
    endsAt: startOfDay({ year, month: months.to, day: 1 }, timeZone),
  });
  switch (period) {
    case 'day':
      return {
        startsAt: startOfDay({ year, month, day }, timeZone),
        endsAt: startOfDay({ year, month, day: day + 1 }, timeZone),
      };
    case 'month':
      return between({ from: month, to: month + 1 });
    case 'quarter': {
      const from = month - ((month - 1) % 3);
      return between({ from, to: from + 3 });
    }
    case 'year':
      return between({ from: 1, to: 13 });
  }
}

/** Calendar arithmetic takes a tenth of a millisecond, an operation of a batch a few thousandths: periods are kept. */
const KNOWN_PERIODS_MAX = 4_096;
const knownByPeriod: Readonly<Record<CalendarPeriod, Map<string, PeriodBounds[]>>> = {
  day: new Map(),
  month: new Map(),
  quarter: new Map(),
  year: new Map(),
};

/** The periods of a time zone that were asked for before, in order. */
function knownPeriods(period: CalendarPeriod, timeZone: string): PeriodBounds[] {
  const known = knownByPeriod[period].get(timeZone) ?? [];
  if (known.length === 0) knownByPeriod[period].set(timeZone, known);
  return known;
}

/** The index of the first period that starts after an instant. */
function firstAfter(ordered: readonly PeriodBounds[], at: Instant): number {
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ordered[middle] as PeriodBounds).startsAt <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
