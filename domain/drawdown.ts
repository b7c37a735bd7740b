/** Drawdown (R6): in which order lots pay. The order exists here and nowhere else. */
import { type Credits, credits, minCredits, ZERO } from './credits';
import type { Instant } from './instant';
import { isAlive, type Lot, type LotKind } from './lots';

/** A slice of one lot. */
export interface Draw {
  readonly lotId: string;
  readonly amount: Credits;
}

export type Drawdown =
  | { readonly covered: true; readonly draws: readonly Draw[] }
  | { readonly covered: false; readonly available: Credits; readonly shortfall: Credits };

type Ordered = Pick<Lot, 'id' | 'kind' | 'effectiveAt' | 'expiresAt'>;

const RANKS: Readonly<Record<LotKind, number>> = { individual: 0, shared: 1, courtesy: 2 };

/**
 * The order of R6: individual before shared before courtesy; within a kind the earliest expiry first and never-expiring
 * last, then the earliest effective, then the id, so that the order is total.
 */
export function compareForDrawdown(a: Ordered, b: Ordered): number {
  if (a.kind !== b.kind) return RANKS[a.kind] - RANKS[b.kind];
  if (a.expiresAt !== b.expiresAt) return compareExpiry(a.expiresAt, b.expiresAt);
  if (a.effectiveAt !== b.effectiveAt) return a.effectiveAt < b.effectiveAt ? -1 : 1;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

function compareExpiry(a: Instant | null, b: Instant | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a < b ? -1 : 1;
}

/** The lots that can pay at an instant, in the order in which they do. */
export function payingLots(lots: Iterable<Lot>, at: Instant): Lot[] {
  return [...lots].filter((lot) => lot.available > ZERO && isAlive(lot, at)).sort(compareForDrawdown);
}

/** Draws an amount from lots at an instant, all of it or nothing. Nothing is drawn for an amount of zero (R16). */
export function drawDown(lots: Iterable<Lot>, amount: Credits, at: Instant): Drawdown {
  const { draws, missing } = drawUpTo([new LotsInOrder(lots)], amount, at);
  if (missing > ZERO) return { covered: false, available: credits(amount - missing), shortfall: missing };
  return { covered: true, draws };
}

/**
 * Draws as much of an amount as lots can pay at an instant. The lists are used up one after the other, so a user's
 * individual lots stand in a list before the contract's.
 *
 * @throws RangeError when the amount is below zero.
 */
export function drawUpTo(
  lists: readonly LotsInOrder[],
  amount: Credits,
  at: Instant,
): { draws: Draw[]; missing: Credits } {
  if (amount < ZERO) throw new RangeError(`an amount of ${amount} cannot be drawn`);
  const draws: Draw[] = [];
  let missing = amount;
  for (const list of lists) missing = list.drawInto(draws, missing, at);
  return { draws, missing };
}

/**
 * The lots of one owner in drawdown order, kept while a batch draws on them again and again: sorted once, and what is
 * empty is passed over once. A lot may change in place; whoever changes its life takes it out and adds it again.
 */
export class LotsInOrder {
  private readonly lots: Lot[];
  private isSorted = false;
  /** All lots before this one are empty. */
  private first = 0;

  constructor(lots: Iterable<Lot> = []) {
    this.lots = [...lots];
  }

  /** Draws what is missing, in order, and returns what is missing then. Nothing of it is moved yet. */
  drawInto(draws: Draw[], amount: Credits, at: Instant): Credits {
    this.sort();
    let missing = amount;
    for (let index = this.first; missing > ZERO; index++) {
      const lot = this.lots[index];
      if (lot === undefined) break;
      if (lot.available === ZERO) {
        if (index === this.first) this.first += 1;
      } else if (isAlive(lot, at)) {
        const drawn = minCredits(lot.available, missing);
        draws.push({ lotId: lot.id, amount: drawn });
        missing = credits(missing - drawn);
      }
    }
    return missing;
  }

  add(lot: Lot): void {
    if (!this.isSorted) {
      this.lots.push(lot);
      return;
    }
    const index = this.indexOf(lot);
    this.lots.splice(index, 0, lot);
    this.first = Math.min(this.first, index);
  }

  remove(lot: Lot): void {
    this.sort();
    const index = this.indexOf(lot);
    this.lots.splice(index, 1);
    if (index < this.first) this.first -= 1;
  }

  /** Puts a lot where its copy stood. */
  replace(lot: Lot): void {
    this.sort();
    this.lots[this.indexOf(lot)] = lot;
  }

  /** To be told when something became available again. */
  refilled(lot: Lot): void {
    const first = this.lots[this.first];
    if (this.isSorted && (first === undefined || compareForDrawdown(lot, first) < 0)) this.first = this.indexOf(lot);
  }

  private sort(): void {
    if (this.isSorted) return;
    // Whoever keeps lots from batch to batch has them in order already; looking takes less than half of sorting then.
    if (!this.isInOrder()) this.lots.sort(compareForDrawdown);
    this.isSorted = true;
  }

  private isInOrder(): boolean {
    for (let index = 1; index < this.lots.length; index++) {
      if (compareForDrawdown(this.lots[index - 1] as Lot, this.lots[index] as Lot) > 0) return false;
    }
    return true;
  }

  /** Where a lot stands, or would stand. */
  private indexOf(lot: Lot): number {
    let [low, high] = [0, this.lots.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareForDrawdown(this.lots[middle] as Lot, lot) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Takes an amount from slices in the given order.
 *
 * @returns what was taken of each and what is left of each, without empty slices.
 * @throws RangeError when the amount is below zero.
 */
export function take(ordered: readonly Draw[], amount: Credits): { taken: Draw[]; left: Draw[] } {
  if (amount < ZERO) throw new RangeError(`an amount of ${amount} cannot be taken`);
  const taken: Draw[] = [];
  const left: Draw[] = [];
  let missing = amount;
  for (const slice of ordered) {
    const drawn = minCredits(slice.amount, missing);
    missing = credits(missing - drawn);
    if (drawn > ZERO) taken.push({ lotId: slice.lotId, amount: drawn });
    if (drawn < slice.amount) left.push({ lotId: slice.lotId, amount: credits(slice.amount - drawn) });
  }
  return { taken, left };
}

/** One slice per lot (R6), each lot where it came first. */
export function mergeDraws(first: readonly Draw[], second: readonly Draw[]): readonly Draw[] {
  if (second.length === 0) return first;
  if (first.length === 0) return second;
  const byLot = new Map<string, Credits>();
  for (const { lotId, amount } of first) byLot.set(lotId, amount);
  for (const { lotId, amount } of second) byLot.set(lotId, credits((byLot.get(lotId) ?? ZERO) + amount));
  return Array.from(byLot, ([lotId, amount]) => ({ lotId, amount }));
}
