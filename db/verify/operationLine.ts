/**
 * A row of `operations`, read from its bytes: a line of an export, or a tuple as Postgres sends it in binary form, which costs
 * the server half as much. Either way its canonical line is written first; everything else is read from that.
 */
import type { Instant } from '../../domain/instant';
import type { LotAccount } from './accounts';
import { CanonicalText } from './canonicalText';
import { amountOf } from './fields';
import { Wrong } from './findings';
import { Interned } from './interned';
import type { JournalRow } from './journalRow';

/** The columns, in the order of the canonical line, behind the batch. */
const POSITION = 0;
const KIND = 1;
const SUBJECT = 2;
const ACT = 3;
const REFERS_TO = 4;
const USER = 5;
const CONTRACT = 6;
const PROJECT = 7;
const BOOKED_AT = 8;
const CAP = 9;
const ABSORBED = 10;
const EFFECTIVE_AT = 11;
const EXPIRES_AT = 12;
const WITHDRAWN_AT = 13;
const ACTOR = 14;
const REASON = 15;
const MOVES = 16;
const LOT_IDS = 17;
const AMOUNTS = 18;
const REQUEST_HASH = 19;
/** Stands at the end of the canonical line, behind what a grant or a budget adds, and only where there is one. */
const GRACE_UNTIL = 20;
const FIELDS = 21;

const [TEXT, UUID, INTEGER, BIGINT, INSTANT, UUIDS, BIGINTS, BYTES] = [0, 1, 2, 3, 4, 5, 6, 7];
const FORMS = new Uint8Array(FIELDS).fill(TEXT as number);
for (const field of [SUBJECT, REFERS_TO, USER, CONTRACT]) FORMS[field] = UUID as number;
for (const field of [BOOKED_AT, EFFECTIVE_AT, EXPIRES_AT, WITHDRAWN_AT, GRACE_UNTIL]) FORMS[field] = INSTANT as number;
for (const field of [CAP, ABSORBED]) FORMS[field] = BIGINT as number;
FORMS[POSITION] = INTEGER as number;
FORMS[LOT_IDS] = UUIDS as number;
FORMS[AMOUNTS] = BIGINTS as number;
FORMS[REQUEST_HASH] = BYTES as number;

const TAB = 9;
const LINE_END = 10;
const SPACE = 32;
const QUOTE = 34;
const COMMA = 44;
const DIGIT_0 = 48;
const CAPITAL_N = 78;
const BRACKET = 91;
const BACKSLASH = 92;
const BRACKET_END = 93;
const SMALL_X = 120;
const BRACE = 123;
const BRACE_END = 125;
/** No field grows more than that in its canonical form: a control character, to six. */
const GROWTH = 6;
/** Numbers of so many digits are exact. */
const EXACT_DIGITS = 15;
const UUID_LENGTH = 36;
const INSTANT_LENGTH = '2026-01-31T12:00:00.000000Z'.length;
const NO_FIELD = -1;

export class OperationLine {
  private bytes: Buffer = Buffer.alloc(0);
  private isBinary = false;
  private length = 0;
  /** Of the row: how many fields there are, and where the batch and each field begins and ends. */
  private count = 0;
  private batchFrom = 0;
  private batchTo = 0;
  /** The batch of the tuple that was read last. */
  private batch = '0';
  private batchHigh = 0;
  private batchLow = 0;
  private readonly from = new Int32Array(FIELDS);
  private readonly to = new Int32Array(FIELDS);
  private readonly text = new CanonicalText();
  /** Of the canonical text: where each field begins, behind its quote, and ends. */
  private readonly begins = new Int32Array(FIELDS);
  private readonly ends = new Int32Array(FIELDS);
  private lastInstant = '' as Instant;
  private readonly texts = new Interned(unescaped);
  private readonly lots: Interned<LotAccount>;
  private readonly row: { -readonly [Key in keyof JournalRow]: JournalRow[Key] } & {
    lots: LotAccount[];
    amounts: bigint[];
  };

  constructor(lotOf: (id: string) => LotAccount | undefined) {
    this.lots = new Interned(lotOf);
    this.row = {
      kind: '',
      subject: '',
      act: '',
      refersTo: null,
      userId: null,
      contractId: null,
      project: null,
      bookedAt: '' as Instant,
      cap: null,
      absorbed: null,
      effectiveAt: null,
      expiresAt: null,
      withdrawnAt: null,
      graceUntil: null,
      actor: () => this.string(ACTOR),
      reason: () => this.string(REASON),
      moves: '',
      count: 0,
      lots: [],
      amounts: [],
      isMigrated: false,
    };
  }

  /**
   * Finds the fields of the line or tuple that begins at an index. A line begins with its letter, a tuple with the higher
   * byte of how many fields it has.
   *
   * @returns the index behind it.
   */
  read(bytes: Buffer, at: number): number {
    this.bytes = bytes;
    this.isBinary = bytes[at] === 0;
    this.begins.fill(NO_FIELD);
    const end = this.isBinary ? this.findInTuple(at) : this.findInLine(at);
    this.length = end - at;
    return end;
  }

  /** Whether the row is of a batch. */
  isOf(batchId: string): boolean {
    return this.isBinary ? this.batchId() === batchId : this.isTextOf(batchId);
  }

  batchId(): string {
    const { bytes, batchFrom, batchTo } = this;
    if (!this.isBinary) return bytes.toString('utf8', batchFrom, batchTo);
    const high = bytes.readInt32BE(batchFrom);
    const low = bytes.readInt32BE(batchFrom + 4);
    // Mostly it is the batch of the row before.
    if (high !== this.batchHigh || low !== this.batchLow) {
      this.batchHigh = high;
      this.batchLow = low;
      this.batch = bytes.readBigInt64BE(batchFrom).toString();
    }
    return this.batch;
  }

  /** Begins the canonical text of another batch. */
  beginBatch(): void {
    this.text.clear();
  }

  /** The canonical text of the batch so far: `docs/ledger.md` says the form. */
  canonicalText(): Buffer {
    return this.text.buffer.subarray(0, this.text.length);
  }

  /**
   * Writes what the canonical line has of the row itself. {@link endLine} writes the rest.
   *
   * @throws Wrong, RangeError or SyntaxError when the row cannot be read.
   */
  beginLine(): void {
    if (this.count !== FIELDS) throw new Wrong('the row has other fields', `${FIELDS}`, `${this.count}`);
    const { text } = this;
    text.reserve(GROWTH * this.length + 8 * FIELDS);
    if (text.length > 0) text.put(LINE_END);
    text.put(BRACKET);
    for (let field = 0; field < GRACE_UNTIL; field += 1) {
      if (field > 0) text.put(COMMA);
      if (this.isNullInRow(field)) text.writeNull();
      else this.writeField(field);
    }
  }

  private writeField(field: number): void {
    const { text } = this;
    text.put(QUOTE);
    this.begins[field] = text.length;
    if (this.isBinary) this.writeBinary(field);
    else this.writeText(field);
    this.ends[field] = text.length;
    text.put(QUOTE);
  }

  /** @param more what the line of a grant or of a new budget goes on with. */
  endLine(more: string): void {
    const { text } = this;
    if (more !== '') text.write(more);
    text.reserve(4 + INSTANT_LENGTH);
    if (!this.isNullInRow(GRACE_UNTIL)) {
      text.put(COMMA);
      this.writeField(GRACE_UNTIL);
    }
    text.put(BRACKET_END);
  }

  /** Whether the row stands at a position of its batch. */
  isAt(position: number): boolean {
    if (this.isNull(POSITION)) return false;
    const { buffer } = this.text;
    const end = this.ends[POSITION] as number;
    let found = 0;
    for (let at = this.begins[POSITION] as number; at < end; at += 1)
      found = found * 10 + (buffer[at] as number) - DIGIT_0;
    return found === position;
  }

  kind(): string {
    return this.string(KIND);
  }

  /** Empty when the row could not be read. */
  subject(): string {
    // An id has no other characters.
    return this.isNull(SUBJECT) ? '' : this.text.buffer.toString('latin1', this.begins[SUBJECT], this.ends[SUBJECT]);
  }

  /** Empty when the row could not be read. */
  act(): string {
    return this.isNull(ACT) ? '' : this.string(ACT);
  }

  /**
   * The operation of the line that was begun; the next one takes its place.
   *
   * @throws Wrong or SyntaxError when the row cannot be read.
   */
  operation(): JournalRow {
    const { row } = this;
    row.kind = this.string(KIND);
    row.subject = this.subject();
    row.act = this.string(ACT);
    row.refersTo = this.isNull(REFERS_TO) ? null : this.string(REFERS_TO);
    row.userId = this.isNull(USER) ? null : this.string(USER);
    row.contractId = this.isNull(CONTRACT) ? null : this.string(CONTRACT);
    row.project = this.isNull(PROJECT) ? null : this.string(PROJECT);
    row.bookedAt = this.instant(BOOKED_AT);
    row.cap = this.isNull(CAP) ? null : this.amountOfField(CAP);
    row.absorbed = this.isNull(ABSORBED) ? null : this.amountOfField(ABSORBED);
    row.effectiveAt = this.isNull(EFFECTIVE_AT) ? null : this.instant(EFFECTIVE_AT);
    row.expiresAt = this.isNull(EXPIRES_AT) ? null : this.instant(EXPIRES_AT);
    row.withdrawnAt = this.isNull(WITHDRAWN_AT) ? null : this.instant(WITHDRAWN_AT);
    row.graceUntil = this.isNull(GRACE_UNTIL) ? null : this.instant(GRACE_UNTIL);
    row.moves = this.string(MOVES);
    row.isMigrated = this.isNull(REQUEST_HASH);
    row.count = this.readAmounts(row.amounts);
    if (this.readLots(row.lots) !== row.count) throw new Wrong('lots and amounts do not match');
    return row;
  }

  private readLots(lots: LotAccount[]): number {
    const { buffer } = this.text;
    const end = this.ends[LOT_IDS] as number;
    let count = 0;
    for (let at = this.begins[LOT_IDS] as number; at < end; at += UUID_LENGTH + 1) {
      const lot = this.lots.get(buffer, at, at + UUID_LENGTH);
      if (!lot) throw new Wrong('the lot that it moves does not exist', 'a lot', buffer.toString('utf8', at, end));
      lots[count++] = lot;
    }
    return count;
  }

  private readAmounts(amounts: bigint[]): number {
    const { buffer } = this.text;
    const end = this.ends[AMOUNTS] as number;
    let from = this.begins[AMOUNTS] as number;
    let count = 0;
    if (from === end) return 0;
    for (let at = from; at <= end; at += 1) {
      if (at < end && buffer[at] !== SPACE) continue;
      amounts[count++] = this.amount(from, at);
      from = at + 1;
    }
    return count;
  }

  private amountOfField(field: number): bigint {
    return this.amount(this.begins[field] as number, this.ends[field] as number);
  }

  private amount(from: number, to: number): bigint {
    const { buffer } = this.text;
    if (to - from > EXACT_DIGITS || to === from) return amountOf(buffer.toString('latin1', from, to));
    let amount = 0;
    for (let at = from; at < to; at += 1) {
      const digit = (buffer[at] as number) - DIGIT_0;
      if (digit < 0 || digit > 9) return amountOf(buffer.toString('latin1', from, to));
      amount = amount * 10 + digit;
    }
    return BigInt(amount);
  }

  private instant(field: number): Instant {
    const { buffer } = this.text;
    const begin = this.begins[field] as number;
    if (begin === NO_FIELD) throw new Wrong('it says no instant');
    // Operations of one batch often count at one instant. From the end, where others differ first.
    let index = INSTANT_LENGTH - 1;
    while (index >= 0 && buffer[begin + index] === this.lastInstant.charCodeAt(index)) index -= 1;
    if (index >= 0) this.lastInstant = buffer.toString('latin1', begin, begin + INSTANT_LENGTH) as Instant;
    return this.lastInstant;
  }

  private string(field: number): string {
    if (this.isNull(field)) throw new Wrong('a value is missing');
    return this.texts.get(this.text.buffer, this.begins[field] as number, this.ends[field] as number) ?? '';
  }

  private isNull(field: number): boolean {
    return this.begins[field] === NO_FIELD;
  }

  // A line of an export --------------------------------------------------------------------------------------------------

  private findInLine(at: number): number {
    const { bytes, from, to } = this;
    // The letter, the batch, the others.
    let field = -2;
    let index = at;
    let begin = at;
    for (;;) {
      const byte = bytes[index];
      if (byte === TAB || byte === LINE_END) {
        if (field >= 0) {
          from[field] = begin;
          to[field] = index;
        } else if (field === -1) {
          this.batchFrom = begin;
          this.batchTo = index;
        }
        field += 1;
        begin = index + 1;
        if (byte === LINE_END) break;
      }
      index += 1;
    }
    this.count = field;
    return index + 1;
  }

  private isTextOf(batchId: string): boolean {
    const { bytes, batchFrom, batchTo } = this;
    if (batchTo - batchFrom !== batchId.length) return false;
    for (let index = 0; index < batchId.length; index += 1) {
      if (bytes[batchFrom + index] !== batchId.charCodeAt(index)) return false;
    }
    return true;
  }

  private writeText(field: number): void {
    const { bytes, text } = this;
    const from = this.from[field] as number;
    const to = this.to[field] as number;
    switch (FORMS[field]) {
      case TEXT:
        if (!text.writePlainText(bytes, from, to)) text.writeEscaped(bytes.toString('utf8', from, to));
        return;
      case INSTANT:
        text.writeInstantText(bytes, from, to);
        return;
      case UUIDS:
      case BIGINTS:
        if (to - from < 2 || bytes[from] !== BRACE || bytes[to - 1] !== BRACE_END) {
          throw new SyntaxError(`${JSON.stringify(bytes.toString('utf8', from, to))} is no list`);
        }
        text.writeList(bytes, from, to);
        return;
      case BYTES:
        if (bytes[from] !== BACKSLASH || bytes[from + 1] !== BACKSLASH || bytes[from + 2] !== SMALL_X) {
          throw new SyntaxError(`${JSON.stringify(bytes.toString('utf8', from, to))} is not bytes`);
        }
        text.copy(bytes, from + 3, to);
        return;
      default:
        text.copy(bytes, from, to);
    }
  }

  private isNullInRow(field: number): boolean {
    const from = this.from[field] as number;
    const to = this.to[field] as number;
    if (this.isBinary) return to < from;
    return to === from + 2 && this.bytes[from] === BACKSLASH && this.bytes[from + 1] === CAPITAL_N;
  }

  // A tuple of Postgres's binary format ----------------------------------------------------------------------------------

  private findInTuple(at: number): number {
    const { bytes, from, to } = this;
    const count = bytes.readInt16BE(at) - 1;
    let index = at + 2 + 4;
    this.batchFrom = index;
    index += 8;
    for (let field = 0; field < count; field += 1) {
      const length =
        ((bytes[index] as number) << 24) |
        ((bytes[index + 1] as number) << 16) |
        ((bytes[index + 2] as number) << 8) |
        (bytes[index + 3] as number);
      index += 4;
      from[field] = index;
      // Null has a length of -1.
      if (length > 0) index += length;
      to[field] = length < 0 ? NO_FIELD : index;
    }
    this.count = count;
    return index;
  }

  private writeBinary(field: number): void {
    const { bytes, text } = this;
    const from = this.from[field] as number;
    const to = this.to[field] as number;
    switch (FORMS[field]) {
      case TEXT:
        if (!text.writePlainText(bytes, from, to))
          text.write(JSON.stringify(bytes.toString('utf8', from, to)).slice(1, -1));
        return;
      case UUID:
        text.writeUuid(bytes, from);
        return;
      case INTEGER:
        text.writeInteger(bytes.readInt32BE(from));
        return;
      case BIGINT:
        text.writeBigint(bytes, from);
        return;
      case INSTANT:
        text.writeInstant(bytes, from);
        return;
      case BYTES:
        text.writeHex(bytes, from, to);
        return;
      default:
        this.writeArray(field, from);
    }
  }

  /** Dimensions, whether there are nulls, the type; of the dimension its length and first index; then the elements. */
  private writeArray(field: number, from: number): void {
    const { bytes, text } = this;
    const dimensions = bytes.readInt32BE(from);
    if (dimensions === 0) return;
    if (dimensions !== 1 || bytes.readInt32BE(from + 4) !== 0) throw new SyntaxError('it is no list without nulls');
    const count = bytes.readInt32BE(from + 12);
    let at = from + 20;
    for (let index = 0; index < count; index += 1) {
      if (index > 0) text.put(SPACE);
      if (FORMS[field] === UUIDS) text.writeUuid(bytes, at + 4);
      else text.writeBigint(bytes, at + 4);
      at += 4 + bytes.readInt32BE(at);
    }
  }
}

/** The inside of a JSON string as text. */
function unescaped(text: string): string {
  return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text;
}
