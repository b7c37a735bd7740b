/** What was, or will be, used: quantities on meters, exact to a millionth of the meter's unit. */
import { formatCredits } from './credits';

declare const brand: unique symbol;

/** A quantity in millionths of the meter's unit: 1 megapixel is 1,000,000, one simulation is 1,000,000. */
export type Quantity = bigint & { readonly [brand]: 'Quantity' };

/** One quantity on one meter of a job. */
export interface Usage {
  readonly meter: string;
  readonly quantity: Quantity;
}

/**
 * What classifies a job for its rates, fixed before it runs: quality `final`, 2.073600 megapixels an image.
 * Values are strings; numbers are exact decimals with at most six places.
 */
export type Dimensions = Readonly<Record<string, string>>;

/** A usage forecast of a job (R11): three scenarios, and in a sentence why they differ or do not. */
export interface Estimate {
  readonly low: readonly Usage[];
  readonly expected: readonly Usage[];
  readonly high: readonly Usage[];
  readonly reason: string;
}

export function quantity(millionths: bigint): Quantity {
  return millionths as Quantity;
}

/** Whole units of a meter: 3 frames, 1 simulation. */
export function wholeUnits(count: number | bigint): Quantity {
  return quantity(BigInt(count) * 1_000_000n);
}

/** Writes a quantity as an exact decimal of the meter's unit. */
export function formatQuantity(amount: Quantity): string {
  return formatCredits(amount);
}
