/**
 * Amounts of credits (R1): integers of microcredits, `bigint` from Postgres to the last function,
 * decimal strings outside. No floating point touches an amount.
 */
declare const brand: unique symbol;

/** An amount in microcredits; 1 credit = 1,000,000 microcredits. */
export type Credits = bigint & { readonly [brand]: 'Credits' };

export const MICRO = 1_000_000n;
/** The largest amount anything may have: 9·10^12 credits, which still fits a signed 64-bit integer. */
export const CREDITS_MAX = credits(9_000_000_000_000n * MICRO);
export const ZERO = credits(0n);

/** Brands an integer of microcredits. The one place where a bare `bigint` becomes an amount. */
export function credits(microcredits: bigint): Credits {
  return microcredits as Credits;
}

const DECIMAL = /^(0|[1-9][0-9]{0,12})(?:\.([0-9]{1,6}))?$/;

/**
 * Reads a decimal string of credits such as `12.345`.
 *
 * @throws RangeError with a sentence for anything else: a sign, an exponent, leading zeros, more than six
 * decimals (R1: a microcredit is not divided), or more than 9·10^12 credits.
 */
export function parseCredits(text: string): Credits {
  const match = DECIMAL.exec(text);
  if (!match) {
    throw new RangeError(
      'an amount is a plain decimal of credits such as "12.345": digits, at most six decimals, no sign, no exponent',
    );
  }
  const [, whole = '0', fraction = ''] = match;
  const amount = BigInt(whole) * MICRO + BigInt(fraction.padEnd(6, '0'));
  if (amount > CREDITS_MAX) throw new RangeError('an amount is at most 9000000000000 credits');
  return credits(amount);
}

/** Writes microcredits as the shortest exact decimal string of credits: `12345000n` is `12.345`. */
export function formatCredits(amount: bigint): string {
  const absolute = amount < 0n ? -amount : amount;
  const fraction = (absolute % MICRO).toString().padStart(6, '0').replace(/0+$/, '');
  return `${amount < 0n ? '-' : ''}${absolute / MICRO}${fraction && `.${fraction}`}`;
}

/** An amount as a person says it: `1 credit`, `2.5 credits`. */
export function sayCredits(amount: bigint): string {
  return `${formatCredits(amount)} ${amount === MICRO ? 'credit' : 'credits'}`;
}

export function sumOf<T>(items: readonly T[], amountOf: (item: T) => Credits): Credits {
  return credits(items.reduce((sum, item) => sum + amountOf(item), 0n));
}

export function minCredits(a: Credits, b: Credits): Credits {
  return a < b ? a : b;
}

export function maxCredits(a: Credits, b: Credits): Credits {
  return a > b ? a : b;
}

/** `a * b / divisor`, rounded up. Whoever is charged the result pays the fraction of a microcredit. */
export function mulDivCeil(a: bigint, b: bigint, divisor: bigint): bigint {
  return (a * b + divisor - 1n) / divisor;
}
