/** Values from the fields of Postgres's COPY text format: what the database and an export give alike. */
import type { Instant } from '../../domain/instant';

/** How COPY writes null. */
export const NULL = '\\N';

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** A field as text. */
export function textOf(field: string): string {
  return field.includes('\\') ? field.replace(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter) : field;
}

/** A field as text, or `null`. */
export function nullableTextOf(field: string): string | null {
  return field === NULL ? null : textOf(field);
}

/**
 * A field as an instant: Postgres writes `2026-01-31 12:00:00.5+00`.
 *
 * @throws RangeError for anything that has no canonical form, such as a year of five digits.
 */
export function instantOf(field: string): Instant {
  const { length } = field;
  // The shape is looked at where it costs nothing: whatever else is wrong makes another digest.
  if (length < 22 || length > 29 || field.charCodeAt(10) !== 32 || !field.endsWith('+00') || length === 23) {
    throw new RangeError(`${JSON.stringify(field)} is no instant`);
  }
  const fraction = length === 22 ? '000000' : field.slice(20, -3).padEnd(6, '0');
  return `${field.slice(0, 10)}T${field.slice(11, 19)}.${fraction}Z` as Instant;
}

export function nullableInstantOf(field: string): Instant | null {
  return field === NULL ? null : instantOf(field);
}

/**
 * A field as an amount.
 *
 * @throws SyntaxError when it is no whole number.
 */
export function amountOf(field: string): bigint {
  if (field === '') throw new SyntaxError('an amount is missing');
  return BigInt(field);
}

/**
 * A field as a truth.
 *
 * @throws SyntaxError when it is none.
 */
export function truthOf(field: string): boolean {
  if (field !== 't' && field !== 'f') throw new SyntaxError(`${JSON.stringify(field)} is neither true nor false`);
  return field === 't';
}

/** A field as bytes in hexadecimal digits: COPY escapes the backslash of `\x…`. */
export function hexOf(field: string): string {
  if (!field.startsWith('\\\\x')) throw new SyntaxError(`${JSON.stringify(field)} is not bytes`);
  return field.slice(3);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes
const ESCAPED_IN_JSON = /[\u0000-\u001f"\\]/;

/** A field as it stands in a canonical line: a JSON string or null. */
export function quoted(field: string): string {
  if (!ESCAPED_IN_JSON.test(field)) return `"${field}"`;
  return field === NULL ? 'null' : JSON.stringify(textOf(field));
}
