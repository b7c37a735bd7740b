/**
 * The canonical text of a batch, written byte by byte. Nearly all rows of a ledger are operations: making strings of all
 * their fields would take most of a verification's time.
 */
import { quoted } from './fields';

const SPACE = 32;
const QUOTE = 34;
const COMMA = 44;
const MINUS = 45;
const POINT = 46;
const DIGIT_0 = 48;
const COLON = 58;
const CAPITAL_T = 84;
const CAPITAL_Z = 90;
const BACKSLASH = 92;

/** The two hexadecimal digits of each byte. */
const HIGH = new Uint8Array(256);
const LOW = new Uint8Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  const digits = byte.toString(16).padStart(2, '0');
  HIGH[byte] = digits.charCodeAt(0);
  LOW[byte] = digits.charCodeAt(1);
}

const DAY_MICROSECONDS = 86_400_000_000;
const Y2K_DAYS = Date.UTC(2000, 0, 1) / 86_400_000;

export class CanonicalText {
  private bytes = Buffer.allocUnsafe(1 << 16);
  private used = 0;
  /** The day that was written last, in days since 2000. */
  private day = Number.NaN;
  private readonly date = Buffer.from('0000-00-00');

  get length(): number {
    return this.used;
  }

  get buffer(): Buffer {
    return this.bytes;
  }

  clear(): void {
    this.used = 0;
  }

  /** Makes room for so many bytes. */
  reserve(bytes: number): void {
    const needed = this.used + bytes;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * needed);
    this.bytes.copy(larger, 0, 0, this.used);
    this.bytes = larger;
  }

  put(byte: number): void {
    this.bytes[this.used++] = byte;
  }

  write(text: string): void {
    this.reserve(3 * text.length);
    this.used += this.bytes.write(text, this.used, 'utf8');
  }

  writeNull(): void {
    const { bytes, used } = this;
    bytes[used] = 110;
    bytes[used + 1] = 117;
    bytes[used + 2] = 108;
    bytes[used + 3] = 108;
    this.used = used + 4;
  }

  copy(from: Buffer, start: number, end: number): void {
    const { bytes } = this;
    let { used } = this;
    for (let at = start; at < end; at += 1) bytes[used++] = from[at] as number;
    this.used = used;
  }

  /** Text as a JSON string's inside. @returns false when something in it needs an escape; nothing is written then. */
  writePlainText(from: Buffer, start: number, end: number): boolean {
    const { bytes } = this;
    let { used } = this;
    for (let at = start; at < end; at += 1) {
      const byte = from[at] as number;
      if (byte < SPACE || byte === QUOTE || byte === BACKSLASH) return false;
      bytes[used++] = byte;
    }
    this.used = used;
    return true;
  }

  /** Text as a JSON string's inside, escaped. @param field as COPY writes it. */
  writeEscaped(field: string): void {
    this.write(quoted(field).slice(1, -1));
  }

  /** `{a,b}` as `a b`. */
  writeList(from: Buffer, start: number, end: number): void {
    const { bytes } = this;
    let { used } = this;
    for (let at = start + 1; at < end - 1; at += 1) {
      const byte = from[at] as number;
      bytes[used++] = byte === COMMA ? SPACE : byte;
    }
    this.used = used;
  }

  /** Bytes as hexadecimal digits. */
  writeHex(from: Buffer, start: number, end: number): void {
    const { bytes } = this;
    let { used } = this;
    for (let at = start; at < end; at += 1) {
      const byte = from[at] as number;
      bytes[used++] = HIGH[byte] as number;
      bytes[used++] = LOW[byte] as number;
    }
    this.used = used;
  }

  /** Sixteen bytes as a UUID. */
  writeUuid(from: Buffer, start: number): void {
    const { bytes } = this;
    let { used } = this;
    for (let index = 0; index < 16; index += 1) {
      const byte = from[start + index] as number;
      if (index === 4 || index === 6 || index === 8 || index === 10) bytes[used++] = MINUS;
      bytes[used++] = HIGH[byte] as number;
      bytes[used++] = LOW[byte] as number;
    }
    this.used = used;
  }

  /** Eight bytes as a whole number. */
  writeBigint(from: Buffer, start: number): void {
    const value = from.readInt32BE(start) * 0x1_0000_0000 + from.readUInt32BE(start + 4);
    if (Number.isSafeInteger(value)) this.writeInteger(value);
    else this.write(from.readBigInt64BE(start).toString());
  }

  /** A whole number that is exact. */
  writeInteger(value: number): void {
    if (value < 0) this.put(MINUS);
    this.writeDigits(Math.abs(value));
  }

  private writeDigits(value: number): void {
    if (value >= 1e8) {
      const high = Math.floor(value / 1e8);
      this.writeDigits(high);
      this.writePadded(value - high * 1e8, 8);
      return;
    }
    let count = 1;
    for (let limit = 10; value >= limit; limit *= 10) count += 1;
    this.writePadded(value, count);
  }

  /** `2026-01-31 12:00:00.5+00` as `2026-01-31T12:00:00.500000Z`. */
  writeInstantText(from: Buffer, start: number, end: number): void {
    const hasFraction = from[start + 19] === POINT;
    const length = end - start;
    if (length > 29 || length < 22 || from[start + 10] !== SPACE || (!hasFraction && length !== 22)) {
      // Whatever else is wrong makes another digest.
      throw new RangeError(`${JSON.stringify(from.toString('utf8', start, end))} is no instant`);
    }
    this.copy(from, start, start + 10);
    this.put(CAPITAL_T);
    this.copy(from, start + 11, start + 19);
    this.put(POINT);
    const digits = hasFraction ? length - 23 : 0;
    this.copy(from, start + 20, start + 20 + digits);
    for (let missing = digits; missing < 6; missing += 1) this.put(DIGIT_0);
    this.put(CAPITAL_Z);
  }

  /** Eight bytes of microseconds since 2000 as `2026-01-31T12:00:00.500000Z`. */
  writeInstant(from: Buffer, start: number): void {
    const value = from.readInt32BE(start) * 0x1_0000_0000 + from.readUInt32BE(start + 4);
    // A quotient of numbers that are not exact may be off by one: the rest says so.
    const isExact = Number.isSafeInteger(value);
    let day = Math.floor(value / DAY_MICROSECONDS);
    let microseconds = isExact
      ? value - day * DAY_MICROSECONDS
      : Number(from.readBigInt64BE(start) - BigInt(day) * BigInt(DAY_MICROSECONDS));
    while (microseconds < 0) {
      day -= 1;
      microseconds += DAY_MICROSECONDS;
    }
    while (microseconds >= DAY_MICROSECONDS) {
      day += 1;
      microseconds -= DAY_MICROSECONDS;
    }
    this.writeDate(day);
    const seconds = Math.floor(microseconds / 1e6);
    const minutes = Math.floor(seconds / 60);
    this.put(CAPITAL_T);
    this.writePadded(Math.floor(minutes / 60), 2);
    this.put(COLON);
    this.writePadded(minutes % 60, 2);
    this.put(COLON);
    this.writePadded(seconds % 60, 2);
    this.put(POINT);
    this.writePadded(microseconds - seconds * 1e6, 6);
    this.put(CAPITAL_Z);
  }

  private writeDate(day: number): void {
    if (day !== this.day) {
      const text = new Date((day + Y2K_DAYS) * 86_400_000).toISOString().slice(0, 10);
      // Other years are written with a sign.
      if (!/^[0-9]{4}-/.test(text)) throw new RangeError('an instant lies in the years 0000 to 9999');
      this.date.write(text, 'latin1');
      this.day = day;
    }
    this.copy(this.date, 0, 10);
  }

  /** A number below 10^8 with so many digits. */
  private writePadded(value: number, digits: number): void {
    const { bytes } = this;
    let rest = value | 0;
    for (let at = this.used + digits - 1; at >= this.used; at -= 1) {
      const next = (rest / 10) | 0;
      bytes[at] = DIGIT_0 + rest - next * 10;
      rest = next;
    }
    this.used += digits;
  }
}
