/** The charge of a job (R10, R11, R14) and the dossier that lets anyone recompute it offline. */
import { canonical } from './canonical';
import { type Credits, credits, formatCredits, minCredits, parseCredits, sumOf, ZERO } from './credits';
import type { Draw } from './drawdown';
import type { Instant } from './instant';
import type { JobEnd, Payment, ServiceRates } from './rateCard';
import { type Rating, rateUsage } from './rating';
import { type Dimensions, quantity, type Usage } from './usage';

/** What a job used on one meter in one attempt, in decimal strings. */
export interface AttemptUsage {
  readonly attempt: number;
  /** Usage of an attempt that the platform lost is metered and not charged. */
  readonly charged: boolean;
  readonly meter: string;
  readonly quantity: string;
}

export interface ChargeTerms {
  readonly rateCardVersion: number;
  readonly rates: ServiceRates;
  readonly dimensions: Dimensions;
}

export interface Assessment {
  readonly rating: Rating;
  readonly payment: Payment;
  /** What the policy lets the job be charged, before the not-to-exceed amount. */
  readonly actual: Credits;
}

/** Rates the charged attempts' usage with the frozen card and applies the policy for how the job ended. */
export function assess(terms: ChargeTerms, end: JobEnd, usage: readonly AttemptUsage[]): Assessment {
  const charged = usage.filter((one) => one.charged).map(usageOf);
  const rating = rateUsage(terms.rates, terms.dimensions, charged);
  const payment = terms.rates.policy[end];
  return { rating, payment, actual: pays(payment, rating.total) };
}

function pays(payment: Payment, total: Credits): Credits {
  if (payment.pays === 'nothing') return ZERO;
  return payment.upTo === undefined ? total : minCredits(total, parseCredits(payment.upTo));
}

function usageOf({ meter, quantity: amount }: AttemptUsage): Usage {
  // Quantities are written like amounts: decimals with six places.
  return { meter, quantity: quantity(parseCredits(amount)) };
}

/** A draw in decimal strings, with what decides its place in the drawdown order. */
export interface DossierDraw {
  readonly lotId: string;
  readonly kind: string;
  readonly amount: string;
}

/** Everything needed to recompute one charge offline. Plain JSON. */
export interface Dossier {
  readonly format: 'holdfast-dossier/1';
  readonly chargeId: string;
  readonly jobId: string;
  readonly service: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly inputDigest: string;
  readonly parameters: unknown;
  readonly quoteId: string | null;
  readonly terms: ChargeTerms;
  readonly end: JobEnd;
  readonly usage: readonly AttemptUsage[];
  readonly rating: {
    readonly lines: Rating['lines'];
    readonly exact: string;
    readonly rounding: string;
    readonly total: string;
  };
  readonly payment: Payment;
  readonly maxCredits: string;
  readonly reserved: readonly { readonly at: Instant; readonly kind: string; readonly draws: readonly DossierDraw[] }[];
  readonly charged: string;
  readonly absorbed: string;
  readonly draws: readonly DossierDraw[];
  readonly returned: readonly (DossierDraw & { readonly to: string })[];
  readonly bookedAt: Instant;
}

/** The sum of draws. */
export function drawn(draws: readonly Draw[]): Credits {
  return sumOf(draws, ({ amount }) => amount);
}

/**
 * Recomputes a charge from its dossier alone and names every figure that does not follow from the others.
 *
 * @returns sentences; none when the charge explains itself to the last microcredit.
 */
export function recomputeDossier(dossier: Dossier): string[] {
  const { rating, payment, actual } = assess(dossier.terms, dossier.end, dossier.usage);
  const due = minCredits(actual, parseCredits(dossier.maxCredits));
  const charged = sumOfDecimals(dossier.draws);
  const reserved = credits(dossier.reserved.reduce((sum: bigint, { draws }) => sum + sumOfDecimals(draws), 0n));
  const returned = sumOfDecimals(dossier.returned);
  const findings: string[] = [];
  const compare = (what: string, written: string | undefined, recomputed: string | undefined) => {
    if (written !== recomputed) findings.push(`${what} says ${written}, the dossier gives ${recomputed}`);
  };
  compare('the rating', canonical(dossier.rating.lines), canonical(rating.lines));
  compare('the exact sum', dossier.rating.exact, rating.exact);
  compare('the rounding', dossier.rating.rounding, rating.rounding);
  compare('the rated total', dossier.rating.total, formatCredits(rating.total));
  compare('the payment', canonical(dossier.payment), canonical(payment));
  compare('the charge', dossier.charged, formatCredits(charged));
  compare('what was absorbed', dossier.absorbed, formatCredits(credits(actual - charged)));
  if (charged > due) findings.push(`${formatCredits(charged)} were charged, above the ${formatCredits(due)} due`);
  compare('what was returned', formatCredits(returned), formatCredits(credits(reserved - charged)));
  return findings;
}

function sumOfDecimals(draws: readonly DossierDraw[]): Credits {
  return sumOf(draws, ({ amount }) => parseCredits(amount));
}
