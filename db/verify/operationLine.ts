/**
 * A line of `operations`, read from its bytes. Nearly all lines of a ledger are such: making strings of all their fields
 * would take most of a verification's time.
 */
import type { Instant } from '../../domain/instant';
import type { LotAccount } from './accounts';
import { amountOf, quoted, textOf } from './fields';
import { Wrong } from './findings';
import { Interned } from './interned';
import type { JournalRow } from './journalRow';

/** Fields of a line, counted from the letter of its section. */
const BATCH = 1;
const POSITION = 2;
const KIND = 3;
const SUBJECT = 4;
const ACT = 5;
const REFERS_TO = 6;
const USER = 7;
const CONTRACT = 8;
const PROJECT = 9;
const BOOKED_AT = 10;
const CAP = 11;
const ABSORBED = 12;
const EFFECTIVE_AT = 13;
const EXPIRES_AT = 14;
const WITHDRAWN_AT = 15;
const ACTOR = 16;
const REASON = 17;
const MOVES = 18;
const LOT_IDS = 19;
const AMOUNTS = 20;
const REQUEST_HASH = 21;
const FIELDS = 22;

/** How a field is written in a canonical line; ids and numbers as they stand. */
const [PLAIN, TEXT, INSTANT, LIST, BYTES] = [0, 1, 2, 3, 4];
const FORMS = new Uint8Array(FIELDS).fill(PLAIN as number);
for (const field of [KIND, ACT, PROJECT, ACTOR, REASON, MOVES]) FORMS[field] = TEXT as number;
for (const field of [BOOKED_AT, EFFECTIVE_AT, EXPIRES_AT, WITHDRAWN_AT]) FORMS[field] = INSTANT as number;
for (const field of [LOT_IDS, AMOUNTS]) FORMS[field] = LIST as number;
FORMS[REQUEST_HASH] = BYTES as number;

const TAB = 9;
const LINE_END = 10;
const SPACE = 32;
const QUOTE = 34;
const COMMA = 44;
const POINT = 46;
const DIGIT_0 = 48;
const CAPITAL_N = 78;
const CAPITAL_T = 84;
const CAPITAL_Z = 90;
const BRACKET = 91;
const BACKSLASH = 92;
const BRACKET_END = 93;
const SMALL_X = 120;
const BRACE = 123;
const BRACE_END = 125;
/** The longest canonical field is this many times as long as the line's: a control character as six. */
const GROWTH = 6;
/** Numbers of so many digits are exact. */
const EXACT_DIGITS = 15;
const UUID = 36;

export class OperationLine {
  private bytes: Buffer = Buffer.alloc(0);
  private count = 0;
  private readonly from = new Int32Array(FIELDS);
  private readonly to = new Int32Array(FIELDS);
  /** Where the instants of the line stand in the canonical text. */
  private readonly instants = new Int32Array(FIELDS);
  private canonical = Buffer.allocUnsafe(1 << 16);
  private used = 0;
  private readonly texts = new Interned(textOf);
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
      reason: () => this.text(REASON),
      moves: '',
      count: 0,
      lots: [],
      amounts: [],
      isMigrated: false,
    };
  }

  /**
   * Finds the fields of the line that begins at an index.
   *
   * @param bytes end with the end of a line.
   * @returns the index behind the line.
   */
  read(bytes: Buffer, at: number): number {
    const { from, to } = this;
    this.bytes = bytes;
    let field = 0;
    let index = at;
    from[0] = at;
    for (;;) {
      const byte = bytes[index];
      if (byte === LINE_END) break;
      if (byte === TAB) {
        to[field] = index;
        field += 1;
        from[field] = index + 1;
      }
      index += 1;
    }
    to[field] = index;
    this.count = field + 1;
    return index + 1;
  }

  /** Whether the line is of a batch. */
  isOf(batchId: string): boolean {
    const from = this.from[BATCH] as number;
    if ((this.to[BATCH] as number) - from !== batchId.length) return false;
    for (let index = 0; index < batchId.length; index += 1) {
      if (this.bytes[from + index] !== batchId.charCodeAt(index)) return false;
    }
    return true;
  }

  batchId(): string {
    return this.field(BATCH);
  }

  position(): string {
    return this.field(POSITION);
  }

  kind(): string {
    return this.text(KIND);
  }

  subject(): string {
    // An id has no other characters.
    return this.bytes.toString('latin1', this.from[SUBJECT], this.to[SUBJECT]);
  }

  act(): string {
    return this.text(ACT);
  }

  /** Begins the canonical text of another batch. */
  beginBatch(firstLine: string): void {
    this.used = 0;
    this.write(firstLine);
  }

  /** The canonical text of the batch so far: `docs/ledger.md` says the form. */
  canonicalText(): Buffer {
    return this.canonical.subarray(0, this.used);
  }

  /**
   * Writes the line as its batch's digest covers it.
   *
   * @param more what goes on with a grant or a new budget.
   * @throws Wrong or RangeError when the line cannot be read.
   */
  writeCanonical(more: string): void {
    if (this.count !== FIELDS) throw new Wrong('the line has other fields', String(FIELDS), String(this.count));
    this.reserve((this.to[REQUEST_HASH] as number) - (this.from[0] as number));
    this.put(LINE_END);
    this.put(BRACKET);
    for (let field = POSITION; field < FIELDS; field += 1) {
      if (field > POSITION) this.put(COMMA);
      if (this.isNull(field)) {
        this.putNull();
        continue;
      }
      switch (FORMS[field]) {
        case TEXT:
          this.writeText(field);
          break;
        case INSTANT:
          this.writeInstant(field);
          break;
        case LIST:
          this.writeList(field);
          break;
        case BYTES:
          this.writeBytes(field);
          break;
        default:
          this.put(QUOTE);
          this.copy(this.from[field] as number, this.to[field] as number);
          this.put(QUOTE);
      }
    }
    if (more !== '') {
      this.reserve(more.length);
      this.write(more);
    }
    this.put(BRACKET_END);
  }

  /**
   * The operation that was written last; the next one takes its place.
   *
   * @throws Wrong, RangeError or SyntaxError when the line cannot be read.
   */
  operation(): JournalRow {
    const { row } = this;
    row.kind = this.text(KIND);
    row.subject = this.subject();
    row.act = this.text(ACT);
    row.refersTo = this.isNull(REFERS_TO) ? null : this.field(REFERS_TO);
    row.userId = this.isNull(USER) ? null : this.text(USER);
    row.contractId = this.isNull(CONTRACT) ? null : this.text(CONTRACT);
    row.project = this.isNull(PROJECT) ? null : this.text(PROJECT);
    row.bookedAt = this.instant(BOOKED_AT);
    row.cap = this.isNull(CAP) ? null : this.amount(this.from[CAP] as number, this.to[CAP] as number);
    row.absorbed = this.isNull(ABSORBED)
      ? null
      : this.amount(this.from[ABSORBED] as number, this.to[ABSORBED] as number);
    row.effectiveAt = this.isNull(EFFECTIVE_AT) ? null : this.instant(EFFECTIVE_AT);
    row.expiresAt = this.isNull(EXPIRES_AT) ? null : this.instant(EXPIRES_AT);
    row.withdrawnAt = this.isNull(WITHDRAWN_AT) ? null : this.instant(WITHDRAWN_AT);
    row.moves = this.text(MOVES);
    row.isMigrated = this.isNull(REQUEST_HASH);
    row.count = this.readAmounts(row.amounts);
    if (this.readLots(row.lots) !== row.count) throw new Wrong('lots and amounts do not match');
    return row;
  }

  private readLots(lots: LotAccount[]): number {
    let count = 0;
    const { bytes } = this;
    this.mustBeAList(LOT_IDS);
    const end = this.to[LOT_IDS] as number;
    // Behind the brace, and behind each comma.
    for (let at = (this.from[LOT_IDS] as number) + 1; at < end - 1; at += UUID + 1) {
      const lot = this.lots.get(bytes, at, at + UUID);
      if (!lot)
        throw new Wrong(
          'the lot that it moves does not exist',
          'a lot',
          bytes.toString('utf8', at, Math.min(at + UUID, end)),
        );
      lots[count++] = lot;
    }
    return count;
  }

  private readAmounts(amounts: bigint[]): number {
    let count = 0;
    const { bytes } = this;
    this.mustBeAList(AMOUNTS);
    const end = (this.to[AMOUNTS] as number) - 1;
    let from = (this.from[AMOUNTS] as number) + 1;
    for (let at = from; at <= end; at += 1) {
      if (bytes[at] !== COMMA && at !== end) continue;
      if (at > from || count > 0) amounts[count++] = this.amount(from, at);
      from = at + 1;
    }
    return count;
  }

  private mustBeAList(field: number): void {
    const from = this.from[field] as number;
    const to = this.to[field] as number;
    if (to - from < 2 || this.bytes[from] !== BRACE || this.bytes[to - 1] !== BRACE_END) {
      throw new SyntaxError(`${JSON.stringify(this.field(field))} is no list`);
    }
  }

  private amount(from: number, to: number): bigint {
    if (to - from > EXACT_DIGITS) return amountOf(this.bytes.toString('latin1', from, to));
    let amount = 0;
    for (let at = from; at < to; at += 1) {
      const digit = (this.bytes[at] as number) - DIGIT_0;
      if (digit < 0 || digit > 9) return amountOf(this.bytes.toString('latin1', from, to));
      amount = amount * 10 + digit;
    }
    return to > from ? BigInt(amount) : amountOf('');
  }

  private instant(field: number): Instant {
    const at = this.instants[field] as number;
    return this.canonical.toString('latin1', at, at + '2026-01-31T12:00:00.000000Z'.length) as Instant;
  }

  private text(field: number): string {
    return this.texts.get(this.bytes, this.from[field] as number, this.to[field] as number) ?? '';
  }

  /** A field as it stands in the line. */
  private field(field: number): string {
    return this.bytes.toString('utf8', this.from[field] as number, this.to[field] as number);
  }

  private isNull(field: number): boolean {
    const from = this.from[field] as number;
    return this.to[field] === from + 2 && this.bytes[from] === BACKSLASH && this.bytes[from + 1] === CAPITAL_N;
  }

  private writeText(field: number): void {
    const { bytes, canonical, used } = this;
    const end = this.to[field] as number;
    let to = used;
    canonical[to++] = QUOTE;
    for (let at = this.from[field] as number; at < end; at += 1) {
      const byte = bytes[at] as number;
      if (byte < SPACE || byte === QUOTE || byte === BACKSLASH) {
        this.write(quoted(this.field(field)));
        return;
      }
      canonical[to++] = byte;
    }
    canonical[to++] = QUOTE;
    this.used = to;
  }

  /** `2026-01-31 12:00:00.5+00` as `2026-01-31T12:00:00.500000Z`. */
  private writeInstant(field: number): void {
    const { bytes } = this;
    const from = this.from[field] as number;
    const to = this.to[field] as number;
    const hasFraction = bytes[from + 19] === POINT;
    if (to - from > 29 || to - from < 22 || bytes[from + 10] !== SPACE || (!hasFraction && to - from !== 22)) {
      // Whatever else is wrong makes another digest.
      throw new RangeError(`${JSON.stringify(this.field(field))} is no instant`);
    }
    this.put(QUOTE);
    this.instants[field] = this.used;
    this.copy(from, from + 10);
    this.put(CAPITAL_T);
    this.copy(from + 11, from + 19);
    this.put(POINT);
    const fraction = hasFraction ? to - 3 - (from + 20) : 0;
    this.copy(from + 20, from + 20 + fraction);
    for (let missing = fraction; missing < 6; missing += 1) this.put(DIGIT_0);
    this.put(CAPITAL_Z);
    this.put(QUOTE);
  }

  /** `{a,b}` as `a b`. */
  private writeList(field: number): void {
    const { bytes, canonical } = this;
    const end = (this.to[field] as number) - 1;
    let to = this.used;
    canonical[to++] = QUOTE;
    for (let at = (this.from[field] as number) + 1; at < end; at += 1) {
      const byte = bytes[at] as number;
      canonical[to++] = byte === COMMA ? SPACE : byte;
    }
    canonical[to++] = QUOTE;
    this.used = to;
  }

  /** `\\x0a1b` as `0a1b`. */
  private writeBytes(field: number): void {
    const { bytes } = this;
    const from = this.from[field] as number;
    if (bytes[from] !== BACKSLASH || bytes[from + 1] !== BACKSLASH || bytes[from + 2] !== SMALL_X) {
      throw new SyntaxError(`${JSON.stringify(this.field(field))} is not bytes`);
    }
    this.put(QUOTE);
    this.copy(from + 3, this.to[field] as number);
    this.put(QUOTE);
  }

  private putNull(): void {
    const { canonical, used } = this;
    canonical[used] = 110;
    canonical[used + 1] = 117;
    canonical[used + 2] = 108;
    canonical[used + 3] = 108;
    this.used = used + 4;
  }

  private copy(from: number, to: number): void {
    const { bytes, canonical } = this;
    let used = this.used;
    for (let at = from; at < to; at += 1) canonical[used++] = bytes[at] as number;
    this.used = used;
  }

  private put(byte: number): void {
    this.canonical[this.used++] = byte;
  }

  private write(text: string): void {
    this.used += this.canonical.write(text, this.used, 'utf8');
  }

  /** Makes room for as much as so many bytes of a line can become. */
  private reserve(bytes: number): void {
    const needed = this.used + GROWTH * bytes + 8 * FIELDS;
    if (needed <= this.canonical.length) return;
    const larger = Buffer.allocUnsafe(2 * needed);
    this.canonical.copy(larger, 0, 0, this.used);
    this.canonical = larger;
  }
}
