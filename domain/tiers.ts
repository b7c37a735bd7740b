/** Tiers of a price: which units of a quantity fall into which. */
import { parseCredits } from './credits';
import type { PricingModel, Tier } from './rateCard';
import { type Quantity, quantity } from './usage';

export interface UnitsInTier {
  readonly tier: Tier;
  readonly units: Quantity;
}

/**
 * Graduated, a quantity fills one tier after the other; by volume all of it falls in the tier that its last unit reaches.
 * A tier includes its end: of tiers up to 10 and above, ten units are in the first. Nothing used is in the first, too.
 */
export function unitsInTiers(
  { tiering, tiers }: Pick<Extract<PricingModel, { kind: 'tiered' }>, 'tiering' | 'tiers'>,
  used: Quantity,
): UnitsInTier[] {
  const reached = tiers.filter(({ from }, index) => index === 0 || used > parseCredits(from));
  if (tiering === 'volume') return reached.slice(-1).map((tier) => ({ tier, units: used }));
  return reached.map((tier) => {
    const from = parseCredits(tier.from);
    const upTo = tier.upTo === undefined ? used : parseCredits(tier.upTo);
    return { tier, units: quantity((used < upTo ? used : upTo) - from) };
  });
}

/** `up to 10`, `above 10 up to 100`, `above 100`. */
export function sayTier({ from, upTo }: Tier): string {
  const above = from === '0' && upTo !== undefined ? '' : `above ${from}`;
  return [above, upTo === undefined ? '' : `up to ${upTo}`].filter(Boolean).join(' ');
}
