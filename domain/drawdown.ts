/** Drawdown (R6): in which order lots pay. The order exists here and nowhere else. */
import { type Credits, credits, minCredits, sumOf, ZERO } from './credits';
import type { Instant } from './instant';
import { isAlive, LOT_KINDS, type Lot } from './lots';

/** A slice of one lot. */
export interface Draw {
  readonly lotId: string;
  readonly amount: Credits;
}

export type Drawdown =
  | { readonly covered: true; readonly draws: readonly Draw[] }
  | { readonly covered: false; readonly available: Credits; readonly shortfall: Credits };

type Ordered = Pick<Lot, 'id' | 'kind' | 'effectiveAt' | 'expiresAt'>;

/**
 * The order of R6: individual before shared before courtesy; within a kind the earliest expiry first and never-expiring
 * last, then the earliest effective, then the id, so that the order is total.
 */
export function compareForDrawdown(a: Ordered, b: Ordered): number {
  return (
    LOT_KINDS.indexOf(a.kind) - LOT_KINDS.indexOf(b.kind) ||
    compareExpiry(a.expiresAt, b.expiresAt) ||
    compareText(a.effectiveAt, b.effectiveAt) ||
    compareText(a.id, b.id)
  );
}

/** The lots that can pay at an instant, in the order in which they do. */
export function payingLots(lots: Iterable<Lot>, at: Instant): Lot[] {
  return [...lots].filter((lot) => lot.available > 0n && isAlive(lot, at)).sort(compareForDrawdown);
}

/** Draws an amount from lots at an instant, all of it or nothing. Nothing is drawn for an amount of zero (R16). */
export function drawDown(lots: Iterable<Lot>, amount: Credits, at: Instant): Drawdown {
  const paying = payingLots(lots, at);
  const available = sumOf(paying, (lot) => lot.available);
  if (available < amount) return { covered: false, available, shortfall: credits(amount - available) };
  return { covered: true, draws: take(paying, (lot) => lot.available, amount).taken };
}

/**
 * Takes an amount from slices in the given order.
 *
 * @returns what was taken of each and what is left of each, without empty slices.
 */
export function take<T extends { readonly id: string }>(
  ordered: readonly T[],
  amountOf: (slice: T) => Credits,
  amount: Credits,
): { taken: Draw[]; left: Draw[] } {
  const taken: Draw[] = [];
  const left: Draw[] = [];
  let missing = amount;
  for (const slice of ordered) {
    const drawn = minCredits(amountOf(slice), missing);
    const rest = credits(amountOf(slice) - drawn);
    missing = credits(missing - drawn);
    if (drawn > ZERO) taken.push({ lotId: slice.id, amount: drawn });
    if (rest > ZERO) left.push({ lotId: slice.id, amount: rest });
  }
  return { taken, left };
}

function compareExpiry(a: Instant | null, b: Instant | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return compareText(a, b);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
