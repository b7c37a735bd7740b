/** `copy … to stdout`: the rows of a query as lines, as fast as the server writes them and no faster than they are read. */
import type { Client, Connection, Submittable } from 'pg';

/** Whole lines, each with its end, and where each of them ends. */
export interface Lines {
  readonly bytes: Buffer;
  readonly ends: readonly number[];
}

const BLOCK_BYTES = 1 << 16;
/** How many blocks may wait for their reader before the server is made to wait. */
const WAITING_MAX = 16;

/** Messages of Postgres's protocol: a letter, a length that counts itself, a body. */
const HEADER_BYTES = 5;
const COPY_OUT_RESPONSE = 'H'.charCodeAt(0);
const COPY_DATA = 'd'.charCodeAt(0);

/**
 * The rows of a query in Postgres's text format, one line a row, in handfuls. A handful is the reader's until the next one is
 * asked for: then its memory is used again.
 *
 * @throws what the server said when it could not go on.
 */
export async function* copyOut(client: Client, sql: string): AsyncGenerator<Lines, void, undefined> {
  const copy = new CopyOut(`copy (${sql}) to stdout`);
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
  private partial: Buffer | undefined;
  private readonly full: Lines[] = [];
  private readonly spare: Buffer[] = [];
  private block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  private ends: number[] = [];
  private used = 0;
  private isPaused = false;
  private outcome: { readonly error?: Error } | undefined;
  private wake: (() => void) | undefined;

  constructor(private readonly text: string) {}

  /** The lines that have arrived, or those that arrive next; undefined at the end. */
  async take(): Promise<Lines | undefined> {
    while (this.full.length === 0 && this.used === 0 && !this.outcome) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    if (this.full.length === 0 && this.used > 0) this.closeBlock(BLOCK_BYTES);
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

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.add(chunk, 0, chunk.length);
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
    const bytes = this.partial ? Buffer.concat([this.partial, arrived]) : arrived;
    this.partial = undefined;
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const letter = bytes[at];
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (letter !== COPY_DATA && letter !== COPY_OUT_RESPONSE) {
        this.handOver(bytes.subarray(at));
        return;
      }
      if (end > bytes.length) break;
      if (letter === COPY_DATA) this.add(bytes, at + HEADER_BYTES, end);
      at = end;
    }
    if (at < bytes.length) this.partial = bytes.subarray(at);
  };

  private handOver(rest: Buffer): void {
    const stream = this.connection?.stream;
    stream?.removeListener('data', this.read);
    for (const listener of this.listeners) {
      stream?.on('data', listener);
      listener(rest);
    }
  }

  private add(bytes: Buffer, from: number, to: number): void {
    // Copied: rows lie side by side then, and what arrived need not be kept for the rows of slower streams.
    const length = to - from;
    if (this.used + length > this.block.length) this.closeBlock(Math.max(BLOCK_BYTES, length));
    bytes.copy(this.block, this.used, from, to);
    this.used += length;
    this.ends.push(this.used);
    this.wake?.();
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
