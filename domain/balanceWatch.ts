/** Low balances: when a person is told that little is left, and when that there is enough again. */
import { type Credits, credits, sumOf, ZERO } from './credits';
import type { Instant } from './instant';
import { isAlive, type Lot } from './lots';

/** Of what was granted in living lots; below it an administrator of a contract is warned who chose nothing else. */
const DEFAULT_PERCENT = 10n;

export interface Balance {
  readonly spendable: Credits;
  /** Of lots that live at the instant. */
  readonly granted: Credits;
}

export function balanceAt(lots: readonly Lot[], at: Instant): Balance {
  const alive = lots.filter((lot) => isAlive(lot, at));
  return { spendable: sumOf(alive, (lot) => lot.available), granted: sumOf(alive, (lot) => lot.granted) };
}

/** What counts as low when nobody chose: null where there is nothing that a part could be taken of. */
export function defaultThreshold({ granted }: Balance): Credits | null {
  return granted === ZERO ? null : credits((granted * DEFAULT_PERCENT) / 100n);
}

/** What a person is to be told: told once when it falls below, and once when it is back. */
export function balanceNews(
  { spendable }: Balance,
  threshold: Credits,
  wasLow: boolean,
): 'low-balance' | 'balance-recovered' | null {
  const isLow = spendable < threshold;
  if (isLow === wasLow) return null;
  return isLow ? 'low-balance' : 'balance-recovered';
}
