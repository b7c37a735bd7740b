/** Rating: usage x rates → rated lines and one amount (R10, R16). Exact until the one rounding at the end. */
import { type Credits, credits, MICRO, parseCredits } from './credits';
import type { Rate, Rounding, ServiceRates, UnitPrice } from './rateCard';
import { type Dimensions, formatQuantity, type Quantity, quantity, type Usage } from './usage';

/** One rated line, in decimal strings, so that a person can check it with a pencil. */
export interface RatedLine {
  readonly meter: string;
  readonly unit: string;
  readonly quantity: string;
  /** Credits per unit. */
  readonly price: string;
  /** The class whose price was taken, such as quality `final`. */
  readonly class?: string;
  /** Exact credits with up to twelve decimals, before the charge is rounded. */
  readonly amount: string;
  /** Why the amount is not quantity x price. */
  readonly note?: string;
}

export interface Rating {
  readonly lines: readonly RatedLine[];
  /** The exact sum of the lines, in credits with up to twelve decimals. */
  readonly exact: string;
  readonly rounding: Rounding;
  readonly total: Credits;
}

/** Prices are microcredits and quantities millionths: their product counts in 10^-12 credits. */
type Exact = bigint;

/**
 * Rates usage. Meters without a rate are evidence and cost nothing.
 *
 * @throws Error when a rate names a dimension or class that the job does not have; the card or the service is wrong then.
 */
export function rateUsage(rates: ServiceRates, dimensions: Dimensions, usage: readonly Usage[]): Rating {
  const used = totalByMeter(usage);
  const rated = rates.rates.map((rate) => rateLine(rate, dimensions, used.get(rate.meter) ?? quantity(0n)));
  const exact = rated.reduce((sum, { amount }) => sum + amount, 0n);
  return {
    lines: rated.map(({ line }) => line),
    exact: formatExact(exact),
    rounding: rates.rounding,
    total: round(exact, rates.rounding),
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

function rateLine(rate: Rate, dimensions: Dimensions, used: Quantity): { line: RatedLine; amount: Exact } {
  const { price, label } = priceOf(rate, dimensions);
  const { amount, note } = amountOf(price, dimensions, used);
  return {
    amount,
    line: {
      meter: rate.meter,
      unit: rate.unit,
      quantity: formatQuantity(used),
      price: price.price,
      ...(label !== undefined && { class: label }),
      amount: formatExact(amount),
      ...(note !== undefined && { note }),
    },
  };
}

function priceOf({ meter, model }: Rate, dimensions: Dimensions): { price: UnitPrice; label?: string } {
  if (model.kind === 'per-unit') return { price: model };
  const label = dimensions[model.dimension];
  const price = label === undefined ? undefined : model.classes[label];
  if (label === undefined || price === undefined) {
    throw new Error(`the rate of ${meter} has no price for ${model.dimension} ${label ?? '(none)'}`);
  }
  return { price, label };
}

function amountOf(price: UnitPrice, dimensions: Dimensions, used: Quantity): { amount: Exact; note?: string } {
  const { freeBelow, minimum } = price;
  if (freeBelow) {
    const size = dimensions[freeBelow.dimension];
    if (size === undefined) throw new Error(`the job has no ${freeBelow.dimension}`);
    if (parseCredits(size) < parseCredits(freeBelow.threshold)) {
      return { amount: 0n, note: `free below ${freeBelow.threshold} ${freeBelow.dimension}` };
    }
  }
  const amount = used * parseCredits(price.price);
  const least = minimum === undefined ? 0n : parseCredits(minimum) * MICRO;
  return used > 0n && amount < least ? { amount: least, note: `at least ${minimum}` } : { amount };
}

function round(exact: Exact, rounding: Rounding): Credits {
  switch (rounding) {
    // The customer pays the fraction of a microcredit: less than a millionth of a credit per charge.
    case 'microcredit-up':
      return credits((exact + MICRO - 1n) / MICRO);
    case 'nearest-credit':
      return credits(((exact + (MICRO * MICRO) / 2n) / (MICRO * MICRO)) * MICRO);
  }
}

function formatExact(exact: Exact): string {
  const one = MICRO * MICRO;
  const fraction = (exact % one).toString().padStart(12, '0').replace(/0+$/, '');
  return `${exact / one}${fraction && `.${fraction}`}`;
}
