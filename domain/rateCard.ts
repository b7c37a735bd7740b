/** Rate cards (R10, R12, R14, R16): what each service costs, who pays when a job does not complete. */
import type { Instant } from './instant';
import { versionInForce } from './versions';

/** How a job can end; the policy of a service says who pays for each. */
export const JOB_ENDS = [
  'completed',
  'cancelled',
  'input-failed',
  'platform-failed',
  'time-limit',
  'out-of-credits',
] as const;
export type JobEnd = (typeof JOB_ENDS)[number];

/** What a job that ended in some way is charged: nothing, its actual usage, or that up to an amount of credits. */
export type Payment = { readonly pays: 'nothing' } | { readonly pays: 'actual'; readonly upTo?: string };

/** The price of one unit of a meter. Amounts and thresholds are decimal strings. */
export interface UnitPrice {
  /** Credits per unit of the meter. */
  readonly price: string;
  /** Least amount as soon as anything was used. */
  readonly minimum?: string;
  /** Free while a dimension of the job is below a threshold. */
  readonly freeBelow?: { readonly dimension: string; readonly threshold: string };
}

/** One line of a card: a meter and its price, the same for all or by the class that a dimension names. */
export interface Rate {
  readonly meter: string;
  readonly unit: string;
  readonly model:
    | ({ readonly kind: 'per-unit' } & UnitPrice)
    | { readonly kind: 'by-class'; readonly dimension: string; readonly classes: Readonly<Record<string, UnitPrice>> };
}

/** How the sum of a charge's lines becomes an amount: up to the next microcredit, or x.49 down and x.50 up. */
export type Rounding = 'microcredit-up' | 'nearest-credit';

export interface ServiceRates {
  readonly service: string;
  readonly rates: readonly Rate[];
  readonly rounding: Rounding;
  /** Which scenario of the estimate a job reserves at first. */
  readonly reserves: 'expected' | 'high';
  readonly policy: Readonly<Record<JobEnd, Payment>>;
  /** Names or numbers that the published source does not give and that were inferred. */
  readonly inferred?: readonly string[];
}

/** One version; immutable once published. */
export interface RateCard {
  readonly version: number;
  readonly title: string;
  readonly effectiveAt: Instant;
  readonly services: readonly ServiceRates[];
}

/** The card in force at an instant (R10). */
export function cardInForce(cards: readonly RateCard[], at: Instant): RateCard | undefined {
  return versionInForce(cards, at);
}
