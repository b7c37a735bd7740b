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

/** What bounds the amount of a rate, whatever its model. Amounts and thresholds are decimal strings. */
export interface Bounds {
  /** Least amount as soon as anything was used. */
  readonly minimum?: string;
  /** Most that a job pays by this rate, however much it uses. */
  readonly maximum?: string;
  /** Free while a dimension of the job is below a threshold; before any minimum. */
  readonly freeBelow?: { readonly dimension: string; readonly threshold: string };
}

/** The price of one unit of a meter. */
export interface UnitPrice extends Bounds {
  /** Credits per unit of the meter. */
  readonly price: string;
}

/** The price of quantities above `from`, up to and including `upTo`; without that, of all above. In units of the meter. */
export interface Tier {
  readonly from: string;
  readonly upTo?: string;
  /** Credits per unit of the meter. */
  readonly price: string;
}

/** `graduated` prices the units in each tier by that tier, `volume` the whole quantity by the tier that it falls in. */
export const TIERINGS = ['graduated', 'volume'] as const;

/** What is paid for a block that was not used up: all of it, or the part that was used. */
export const BLOCK_ROUNDINGS = ['started-block', 'pro-rata'] as const;

export type PricingModel =
  | ({ readonly kind: 'per-unit' } & UnitPrice)
  | { readonly kind: 'by-class'; readonly dimension: string; readonly classes: Readonly<Record<string, UnitPrice>> }
  | ({ readonly kind: 'tiered'; readonly tiering: (typeof TIERINGS)[number]; readonly tiers: readonly Tier[] } & Bounds)
  | ({
      readonly kind: 'block';
      /** Units of the meter in a block. */
      readonly size: string;
      /** Credits per block. */
      readonly price: string;
      /** A started block is a block, unless said otherwise. */
      readonly rounding?: (typeof BLOCK_ROUNDINGS)[number];
    } & Bounds);

/** One line of a card: a meter and its price. */
export interface Rate {
  readonly meter: string;
  readonly unit: string;
  readonly model: PricingModel;
}

/** How the sum of a charge's lines becomes an amount: up to the next microcredit, or x.49 down and x.50 up. */
export const ROUNDINGS = ['microcredit-up', 'nearest-credit'] as const;
export type Rounding = (typeof ROUNDINGS)[number];

/** Which scenario of the estimate a job reserves at first. */
export const RESERVED_SCENARIOS = ['expected', 'high'] as const;

export interface ServiceRates {
  readonly service: string;
  readonly rates: readonly Rate[];
  readonly rounding: Rounding;
  readonly reserves: (typeof RESERVED_SCENARIOS)[number];
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

export const RATE_CARD_STATUSES = ['scheduled', 'in-force', 'superseded'] as const;
export type RateCardStatus = (typeof RATE_CARD_STATUSES)[number];

/**
 * Where a published card stands at an instant. A card that has not come yet is superseded, too, when a later version for
 * the same instant has taken its place: it will never be in force.
 */
export function statusOfCard(card: RateCard, cards: readonly RateCard[], at: Instant): RateCardStatus {
  if (cardInForce(cards, at)?.version === card.version) return 'in-force';
  const willBe = card.effectiveAt > at && cardInForce(cards, card.effectiveAt)?.version === card.version;
  return willBe ? 'scheduled' : 'superseded';
}
