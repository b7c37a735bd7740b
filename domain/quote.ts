/** Quotes (R11): what a job is expected to cost before it runs, and what would pay. */
import { type Credits, credits, sumOf, ZERO } from './credits';
import { type Draw, drawDown, payingLots } from './drawdown';
import type { Instant } from './instant';
import type { Lot } from './lots';
import type { ServiceRates } from './rateCard';
import { rateUsage } from './rating';
import type { Dimensions, Estimate } from './usage';

export interface Forecast {
  readonly low: Credits;
  readonly expected: Credits;
  readonly high: Credits;
}

/** Rates the three scenarios of an estimate with one version of the card. */
export function rateEstimate(rates: ServiceRates, dimensions: Dimensions, estimate: Estimate): Forecast {
  const rated = (scenario: keyof Forecast) => rateUsage(rates, dimensions, estimate[scenario]).total;
  return { low: rated('low'), expected: rated('expected'), high: rated('high') };
}

/** What a quoted job reserves at first, by the policy of its service. */
export function amountToReserve(rates: ServiceRates, forecast: Forecast): Credits {
  return forecast[rates.reserves];
}

export interface Payers {
  /** The lots that would pay the amount at this instant; empty when they cannot cover it. */
  readonly draws: readonly Draw[];
  readonly available: Credits;
  readonly shortfall: Credits;
  /** What could still be spent afterwards. */
  readonly remaining: Credits;
}

/** Which of a user's lots would pay an amount at an instant (R6). Reserves nothing. */
export function payersOf(lots: readonly Lot[], amount: Credits, at: Instant): Payers {
  const available = sumOf(payingLots(lots, at), (lot) => lot.available);
  const drawdown = drawDown(lots, amount, at);
  return drawdown.covered
    ? { draws: drawdown.draws, available, shortfall: ZERO, remaining: credits(available - amount) }
    : { draws: [], available, shortfall: drawdown.shortfall, remaining: available };
}
