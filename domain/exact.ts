/**
 * Exact credits while usage is rated: fractions of integers, in 10^-12 credits. Prices are microcredits and quantities
 * millionths, so that their product is whole; only a part of a block can need a denominator.
 */
import { type Credits, credits, MICRO } from './credits';
import type { Rounding } from './rateCard';

export interface Exact {
  readonly numerator: bigint;
  /** Above zero. */
  readonly denominator: bigint;
}

/** The exact form of 10^-12 credits, or of a part of them. */
export function exact(numerator: bigint, denominator = 1n): Exact {
  return { numerator, denominator };
}

/** A decimal amount, which counts in microcredits, as exact credits. */
export function exactOf(amount: Credits): Exact {
  return exact(amount * MICRO);
}

export function sumOfExact(amounts: readonly Exact[]): Exact {
  return amounts.reduce(
    (a, b) => exact(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator),
    exact(0n),
  );
}

export function isBelow(a: Exact, b: Exact): boolean {
  return a.numerator * b.denominator < b.numerator * a.denominator;
}

/** The one rounding of a charge. What it takes is an amount that was never rounded before. */
export function roundExact({ numerator, denominator }: Exact, rounding: Rounding): Credits {
  switch (rounding) {
    // The customer pays the fraction of a microcredit: less than a millionth of a credit per charge.
    case 'microcredit-up': {
      const microcredit = MICRO * denominator;
      return credits((numerator + microcredit - 1n) / microcredit);
    }
    // Half a credit and more is a credit of the provider's, less is the customer's.
    case 'nearest-credit': {
      const credit = ONE * denominator;
      return credits(((2n * numerator + credit) / (2n * credit)) * MICRO);
    }
  }
}

/** Writes credits as a decimal with up to twelve places, or as a fraction such as `100/3` where no such decimal is exact. */
export function formatExact({ numerator, denominator }: Exact): string {
  return formatFraction(numerator, denominator * ONE, 12);
}

/** Writes `a / b` as a decimal where one of at most so many places is exact, otherwise as a fraction in its lowest terms. */
export function formatFraction(a: bigint, b: bigint, places: number): string {
  const scale = 10n ** BigInt(places);
  if ((a * scale) % b !== 0n) {
    const divisor = greatestCommonDivisor(a, b);
    return `${a / divisor}/${b / divisor}`;
  }
  const scaled = (a * scale) / b;
  const fraction = (scaled % scale).toString().padStart(places, '0').replace(/0+$/, '');
  return `${scaled / scale}${fraction && `.${fraction}`}`;
}

const ONE = MICRO * MICRO;

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestCommonDivisor(b, a % b);
}
