/**
 * Arrays in Postgres's binary form. A batch sends a few hundred values at once; written as text they would cost the server
 * more to read than to store.
 */
import type { Instant } from '../domain/instant';

const OID = { bytea: 17, int8: 20, int4: 23, text: 25, timestamptz: 1184, uuid: 2950 } as const;

export function uuids(values: readonly (string | null)[]): Buffer {
  return fixed(OID.uuid, 16, values, writeUuid);
}

/**
 * The value of a hexadecimal digit by its character code; 255 for any other character. Capitals too: Postgres gives ids back
 * in small letters, and a chain that was digested with others would not be the one that is stored.
 */
const DIGITS = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(code));
  return value < 0 ? 255 : value;
});
/** Where the sixteen pairs of digits stand in 8-4-4-4-12. */
const DASH = 0x2d;
const PAIRS = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/** Digit by digit: `Buffer.write` in hexadecimal costs a microsecond a call, and an operation has several ids. */
function writeUuid(buffer: Buffer, value: string, at: number): void {
  let wrong = value.length === 36 ? 0 : 255;
  for (let n = 0; n < 16; n++) {
    const place = PAIRS[n] as number;
    const high = DIGITS[value.charCodeAt(place)] ?? 255;
    const low = DIGITS[value.charCodeAt(place + 1)] ?? 255;
    wrong |= high | low;
    buffer[at + n] = (high << 4) | low;
  }
  const dashes =
    (value.charCodeAt(8) ^ DASH) |
    (value.charCodeAt(13) ^ DASH) |
    (value.charCodeAt(18) ^ DASH) |
    (value.charCodeAt(23) ^ DASH);
  if (wrong > 15 || dashes !== 0) throw new RangeError(`${JSON.stringify(value)} is not a UUID in small letters`);
}

export function bigints(values: readonly (bigint | null)[]): Buffer {
  return fixed(OID.int8, 8, values, (buffer, value, at) => buffer.writeBigInt64BE(value, at));
}

export function integers(values: readonly (number | null)[]): Buffer {
  return fixed(OID.int4, 4, values, (buffer, value, at) => buffer.writeInt32BE(value, at));
}

export function instants(values: readonly (Instant | null)[]): Buffer {
  return fixed(OID.timestamptz, 8, values, (buffer, value, at) => buffer.writeBigInt64BE(microsecondsOf(value), at));
}

export function texts(values: readonly (string | null)[]): Buffer {
  return variable(OID.text, values, Buffer.byteLength, (buffer, value, at) => buffer.write(value, at, 'utf8'));
}

export function byteas(values: readonly (Buffer | null)[]): Buffer {
  return variable(
    OID.bytea,
    values,
    (value) => value.length,
    (buffer, value, at) => value.copy(buffer, at),
  );
}

const Y2K_MS = Date.UTC(2000, 0, 1);

/**
 * Microseconds since 2000, as Postgres counts; instants have exactly six decimals. The year 0 is one that Postgres writes in
 * another way, so it would not be given back as it was digested.
 */
function microsecondsOf(instant: Instant): bigint {
  if (instant.length !== 27 || instant.startsWith('0000'))
    throw new RangeError(`${instant} is not a canonical instant`);
  const seconds = Date.parse(`${instant.slice(0, 19)}Z`);
  return BigInt(seconds - Y2K_MS) * 1_000n + BigInt(instant.slice(20, 26));
}

const HEADER = 20;

function header(oid: number, count: number, hasNull: boolean, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(count === 0 ? 12 : bytes);
  buffer.writeInt32BE(count === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(Number(hasNull), 4);
  buffer.writeInt32BE(oid, 8);
  if (count > 0) {
    buffer.writeInt32BE(count, 12);
    buffer.writeInt32BE(1, 16);
  }
  return buffer;
}

function fixed<T>(
  oid: number,
  size: number,
  values: readonly (T | null)[],
  write: (buffer: Buffer, value: T, at: number) => unknown,
): Buffer {
  const buffer = header(oid, values.length, values.includes(null), HEADER + values.length * (4 + size));
  let at = HEADER;
  for (const value of values) {
    buffer.writeInt32BE(value === null ? -1 : size, at);
    at += 4;
    if (value === null) continue;
    write(buffer, value, at);
    at += size;
  }
  return buffer.subarray(0, values.length === 0 ? 12 : at);
}

function variable<T>(
  oid: number,
  values: readonly (T | null)[],
  lengthOf: (value: T) => number,
  write: (buffer: Buffer, value: T, at: number) => unknown,
): Buffer {
  const lengths = values.map((value) => (value === null ? -1 : lengthOf(value)));
  const bytes = lengths.reduce((sum, length) => sum + 4 + Math.max(0, length), HEADER);
  const buffer = header(oid, values.length, values.includes(null), bytes);
  let at = HEADER;
  values.forEach((value, index) => {
    const length = lengths[index] ?? -1;
    buffer.writeInt32BE(length, at);
    at += 4;
    if (value === null) return;
    write(buffer, value, at);
    at += length;
  });
  return buffer;
}
