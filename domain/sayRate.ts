/** Rates and policies in words, as they are listed and compared for people. */
import type { Bounds, Payment, Rate, UnitPrice } from './rateCard';
import { sayTier } from './tiers';

/** `5 per simulation`; `100 per block of 5 km, started ones too`. */
export function sayRate({ unit, model }: Rate): string {
  switch (model.kind) {
    case 'per-unit':
      return sayUnitPrice(model, unit);
    case 'by-class': {
      const classes = Object.entries(model.classes).map(([label, price]) => `${label} ${sayUnitPrice(price, unit)}`);
      return `by ${model.dimension}: ${classes.join('; ')}`;
    }
    case 'tiered': {
      const tiers = model.tiers.map((tier) => `${tier.price} per ${unit} ${sayTier(tier)}`);
      const which = model.tiering === 'volume' ? 'all by the tier reached' : 'each tier by its price';
      return bounded(`${tiers.join(', ')} (${which})`, model);
    }
    case 'block': {
      const part = model.rounding === 'pro-rata' ? 'in parts' : 'started ones as whole ones';
      return bounded(`${model.price} per ${model.size} ${unit}, ${part}`, model);
    }
  }
}

/** `actual`, `actual up to 2`, `nothing`. */
export function sayPayment(payment: Payment): string {
  if (payment.pays === 'nothing') return 'nothing';
  return payment.upTo === undefined ? 'actual' : `actual up to ${payment.upTo}`;
}

function sayUnitPrice(price: UnitPrice, unit: string): string {
  return bounded(`${price.price} per ${unit}`, price);
}

function bounded(words: string, { minimum, maximum, freeBelow }: Bounds): string {
  const parts = [words];
  if (minimum !== undefined) parts.push(`at least ${minimum}`);
  if (maximum !== undefined) parts.push(`at most ${maximum}`);
  if (freeBelow) parts.push(`free below ${freeBelow.threshold} ${freeBelow.dimension}`);
  return parts.join(', ');
}
