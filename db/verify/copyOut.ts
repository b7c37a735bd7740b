/** `copy … to stdout`: the rows of a query as lines, as fast as the server writes them and no faster than they are read. */
import type { Client, Connection, Submittable } from 'pg';

/** Whole lines, each with its end, or whole tuples; and where each of them ends. */
export interface Lines {
  readonly bytes: Buffer;
  readonly ends: readonly number[];
}

/** Twice as much as a connection hands on at once. */
const BLOCK_BYTES = 1 << 17;
/** How many blocks may wait for their reader before the server is made to wait. */
const WAITING_MAX = 8;

/** Messages of Postgres's protocol: a letter, a length that counts itself, a body. */
const HEADER_BYTES = 5;
const COPY_OUT_RESPONSE = 'H'.charCodeAt(0);
const COPY_DATA = 'd'.charCodeAt(0);
/** Before the first tuple in binary form: a signature, flags, and the length of nothing more. */
const SIGNATURE_BYTES = 19;
/** What stands for a tuple behind the last one. */
const TRAILER_BYTES = 2;

/**
 * The rows of a query in handfuls: lines of Postgres's text format, or tuples of its binary format. A handful is the reader's
 * until the next one is asked for: then its memory is used again.
 *
 * @throws what the server said when it could not go on.
 */
export async function* copyOut(
  client: Client,
  sql: string,
  format: 'text' | 'binary' = 'text',
): AsyncGenerator<Lines, void, undefined> {
  const copy = new CopyOut(`copy (${sql}) to stdout (format ${format})`, format === 'binary');
  client.query(copy);
  for (;;) {
    const lines = await copy.take();
    if (lines === undefined) return;
    yield lines;
    copy.giveBack(lines);
  }
}

/**
 * What `pg` calls while the server answers. Rows are read from the connection itself: `pg` would make an object of each,
 * which takes as long as everything else that is done with a row.
 */
class CopyOut implements Submittable {
  private connection: Connection | undefined;
  private listeners: ((bytes: Buffer) => void)[] = [];
  /** How many bytes of a message that is not whole yet lie behind the rows. */
  private partial = 0;
  private readonly full: Lines[] = [];
  private readonly spare: Buffer[] = [];
  private block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  private ends: number[] = [];
  private used = 0;
  private isBegun = false;
  private isPaused = false;
  private outcome: { readonly error?: Error } | undefined;
  private wake: (() => void) | undefined;

  constructor(
    private readonly text: string,
    private readonly isBinary: boolean,
  ) {}

  /** The lines that have arrived, or those that arrive next; undefined at the end. */
  async take(): Promise<Lines | undefined> {
    while (this.full.length === 0 && this.used === 0 && !this.outcome) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    if (this.full.length === 0 && this.used > 0) this.makeRoom(this.partial);
    const lines = this.full.shift();
    if (this.isPaused && this.full.length === 0) {
      this.isPaused = false;
      this.connection?.stream.resume();
    }
    if (lines === undefined && this.outcome?.error) throw this.outcome.error;
    return lines;
  }

  giveBack({ bytes }: Lines): void {
    if (bytes.buffer.byteLength === BLOCK_BYTES) this.spare.push(Buffer.from(bytes.buffer));
  }

  submit(connection: Connection): void {
    this.connection = connection;
    const { stream } = connection;
    this.listeners = stream.listeners('data') as typeof this.listeners;
    stream.removeAllListeners('data');
    stream.on('data', this.read);
    connection.query(this.text);
  }

  handleCopyData(): void {
    throw new Error('rows came after the connection was handed back');
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.end({});
  }

  handleError(error: Error): void {
    this.end({ error });
  }

  /** Takes rows from what arrives; everything else, and whatever follows it, is for `pg` to read. */
  private readonly read = (arrived: Buffer): void => {
    // Written behind the rows as it came, and moved together from there: rows lie side by side then.
    const length = this.partial + arrived.length;
    if (this.used + length > this.block.length) this.makeRoom(length);
    const { block } = this;
    block.set(arrived, this.used + this.partial);
    const end = this.used + length;
    let at = this.used;
    this.partial = 0;
    while (at + HEADER_BYTES <= end) {
      const letter = block[at];
      const next = at + 1 + block.readUInt32BE(at + 1);
      if (letter !== COPY_DATA && letter !== COPY_OUT_RESPONSE) {
        this.handOver(Buffer.from(block.subarray(at, end)));
        return;
      }
      if (next > end) break;
      if (letter === COPY_DATA) this.keep(at + HEADER_BYTES, next);
      at = next;
    }
    block.copyWithin(this.used, at, end);
    this.partial = end - at;
    if (this.ends.length > 0) this.wake?.();
  };

  /** Keeps a row that lies somewhere behind the others. */
  private keep(start: number, to: number): void {
    let from = start;
    if (this.isBinary) {
      if (!this.isBegun) from += SIGNATURE_BYTES;
      this.isBegun = true;
      if (to - from <= TRAILER_BYTES) return;
    }
    this.block.copyWithin(this.used, from, to);
    this.used += to - from;
    this.ends.push(this.used);
  }

  private handOver(rest: Buffer): void {
    const stream = this.connection?.stream;
    stream?.removeListener('data', this.read);
    for (const listener of this.listeners) {
      stream?.on('data', listener);
      listener(rest);
    }
  }

  /** Begins another block, with what was not taken of the one before. */
  private makeRoom(length: number): void {
    const { block, used, partial } = this;
    this.closeBlock(Math.max(BLOCK_BYTES, length));
    this.block.set(block.subarray(used, used + partial));
  }

  private closeBlock(nextBytes: number): void {
    if (this.used > 0) this.full.push({ bytes: this.block.subarray(0, this.used), ends: this.ends });
    const spare = nextBytes === BLOCK_BYTES ? this.spare.pop() : undefined;
    this.block = spare ?? Buffer.allocUnsafeSlow(nextBytes);
    this.ends = [];
    this.used = 0;
    if (this.full.length < WAITING_MAX || this.isPaused) return;
    this.isPaused = true;
    this.connection?.stream.pause();
  }

  private end(outcome: { error?: Error }): void {
    // After an error the server still says that it is ready.
    this.outcome ??= outcome;
    this.wake?.();
  }
}
