/** Rating: usage x rates → rated lines and one amount (R10, R16). Exact until the one rounding at the end. */
import { type Credits, MICRO, parseCredits } from './credits';
import { type Exact, exact, exactOf, formatExact, formatFraction, isBelow, roundExact, sumOfExact } from './exact';
import type { Bounds, PricingModel, Rate, Rounding, ServiceRates } from './rateCard';
import { sayTier, unitsInTiers } from './tiers';
import { type Dimensions, formatQuantity, type Quantity, quantity, type Usage } from './usage';

/** One rated line, in decimal strings, so that a person can check it with a pencil. */
export interface RatedLine {
  readonly meter: string;
  readonly unit: string;
  readonly quantity: string;
  /** Credits per unit, or per block where the line has blocks. */
  readonly price: string;
  /** The class whose price was taken, such as quality `final`. */
  readonly class?: string;
  /** The tier whose price was taken, such as `above 10 up to 100`. */
  readonly tier?: string;
  /** Units in a block, and how many blocks are charged: whole ones, or a decimal or fraction such as `1/3`. */
  readonly block?: string;
  readonly blocks?: string;
  /** Exact credits before the charge is rounded: up to twelve decimals, or a fraction such as `100/3`. */
  readonly amount: string;
  /** Why the amount is not quantity x price. */
  readonly note?: string;
}

export interface Rating {
  readonly lines: readonly RatedLine[];
  /** The exact sum of the lines, in credits: up to twelve decimals, or a fraction. */
  readonly exact: string;
  readonly rounding: Rounding;
  readonly total: Credits;
}

/** Usage cannot be rated: a rate names a dimension or a class that the job does not have. The card or the service is wrong then. */
export class NotRatable extends Error {
  override readonly name = 'NotRatable';
}

/**
 * Rates usage. Meters without a rate are evidence and cost nothing.
 *
 * @throws NotRatable
 */
export function rateUsage(rates: ServiceRates, dimensions: Dimensions, usage: readonly Usage[]): Rating {
  const used = totalByMeter(usage);
  const rated = rates.rates.flatMap((rate) => rateLines(rate, dimensions, used.get(rate.meter) ?? quantity(0n)));
  const sum = sumOfExact(rated.map(({ amount }) => amount));
  return {
    lines: rated.map(({ amount, ...line }) => ({ ...line, amount: formatExact(amount) })),
    exact: formatExact(sum),
    rounding: rates.rounding,
    total: roundExact(sum, rates.rounding),
  };
}

/** The sum per meter of any number of usages. */
export function totalByMeter(usage: readonly Usage[]): Map<string, Quantity> {
  const totals = new Map<string, Quantity>();
  for (const { meter, quantity: amount } of usage) {
    totals.set(meter, quantity((totals.get(meter) ?? 0n) + amount));
  }
  return totals;
}

/** A line before its amount is written. */
type Line = Omit<RatedLine, 'amount'> & { readonly amount: Exact };

function rateLines({ meter, unit, model }: Rate, dimensions: Dimensions, used: Quantity): Line[] {
  const about = { meter, unit, quantity: formatQuantity(used) };
  switch (model.kind) {
    case 'per-unit':
      return bounded(model, dimensions, used, [{ ...about, ...pricedByUnit(model.price, used) }]);
    case 'by-class': {
      const label = dimensions[model.dimension];
      const priced = label !== undefined && Object.hasOwn(model.classes, label) ? model.classes[label] : undefined;
      if (label === undefined || priced === undefined) {
        throw new NotRatable(`the rate of ${meter} has no price for ${model.dimension} ${label ?? '(none)'}`);
      }
      return bounded(priced, dimensions, used, [{ ...about, class: label, ...pricedByUnit(priced.price, used) }]);
    }
    case 'tiered': {
      const lines = unitsInTiers(model, used).map(({ tier, units }) => ({
        ...about,
        quantity: formatQuantity(units),
        tier: sayTier(tier),
        ...pricedByUnit(tier.price, units),
      }));
      return bounded(model, dimensions, used, lines);
    }
    case 'block':
      return bounded(model, dimensions, used, [{ ...about, ...pricedByBlock(model, used) }]);
  }
}

function pricedByUnit(price: string, used: Quantity): { price: string; amount: Exact } {
  return { price, amount: exact(used * parseCredits(price)) };
}

/** Nobody gains a fraction here: a part of a block stays a fraction until the whole charge is rounded. */
function pricedByBlock(
  { size, price, rounding = 'started-block' }: Extract<PricingModel, { kind: 'block' }>,
  used: Quantity,
): { price: string; block: string; blocks: string; amount: Exact } {
  // Sizes are written like quantities: decimals with six places.
  const units = parseCredits(size);
  const perBlock = parseCredits(price);
  if (rounding === 'pro-rata') {
    const blocks = formatFraction(used, units, 6);
    return { price, block: size, blocks, amount: exact(used * perBlock * MICRO, units) };
  }
  const started = (used + units - 1n) / units;
  return { price, block: size, blocks: String(started), amount: exact(started * perBlock * MICRO) };
}

/** The lines of a rate, or one line for all of it where something else than its units decides. */
function bounded(
  { freeBelow, minimum, maximum }: Bounds,
  dimensions: Dimensions,
  used: Quantity,
  lines: readonly Line[],
): Line[] {
  const whole = (amount: Exact, note: string): Line[] => {
    const { tier: _tier, ...last } = lines.at(-1) as Line;
    return [{ ...last, quantity: formatQuantity(used), amount, note }];
  };
  if (freeBelow) {
    const size = dimensions[freeBelow.dimension];
    if (size === undefined) throw new NotRatable(`the job has no ${freeBelow.dimension}`);
    if (sizeOf(freeBelow.dimension, size) < parseCredits(freeBelow.threshold)) {
      return whole(exact(0n), `free below ${freeBelow.threshold} ${freeBelow.dimension}`);
    }
  }
  const sum = sumOfExact(lines.map(({ amount }) => amount));
  if (minimum !== undefined && used > 0n && isBelow(sum, exactOf(parseCredits(minimum)))) {
    return whole(exactOf(parseCredits(minimum)), `at least ${minimum}`);
  }
  if (maximum !== undefined && isBelow(exactOf(parseCredits(maximum)), sum)) {
    return whole(exactOf(parseCredits(maximum)), `at most ${maximum}`);
  }
  return [...lines];
}

function sizeOf(dimension: string, size: string): Credits {
  try {
    return parseCredits(size);
  } catch (cause) {
    throw new NotRatable(`the ${dimension} "${size}" is no decimal, so that nobody knows whether it is free`, {
      cause,
    });
  }
}
