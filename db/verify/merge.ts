/** Several ordered streams of lines as one, ordered by batch; only a handful of lines of each is held. */
import type { Lines } from './copyOut';

export interface OrderedLines {
  readonly lines: AsyncGenerator<Lines>;
  /** Whether lines of one batch are ordered by the job in their third field, together with the other streams by job. */
  readonly byJob: boolean;
}

/**
 * Merges streams whose second field is a batch and never falls. Lines of one batch come stream by stream in the order
 * given, those of streams by job behind all others, job by job.
 *
 * @returns handfuls of runs of whole lines, each the reader's until the next one is asked for.
 */
export async function* mergeByBatch(streams: readonly OrderedLines[]): AsyncGenerator<Buffer[]> {
  const heads = streams.map((stream, rank) => new Head(stream, rank));
  await Promise.all(heads.map((head) => head.fill()));
  let runs: Buffer[] = [];
  for (;;) {
    const [first, second] = firstTwo(heads);
    if (!first) break;
    const from = first.at;
    // All lines of one stream that come before the next line of any other.
    do first.step();
    while (!first.isEmpty && (!second || first.isBefore(second)));
    runs.push(first.bytes.subarray(from, first.at));
    if (!first.isEmpty) continue;
    yield runs;
    runs = [];
    await first.fill();
  }
  if (runs.length > 0) yield runs;
}

function firstTwo(heads: readonly Head[]): [first: Head | undefined, second: Head | undefined] {
  let first: Head | undefined;
  let second: Head | undefined;
  for (const head of heads) {
    if (head.isEnded) continue;
    if (!first || head.isBefore(first)) {
      second = first;
      first = head;
    } else if (!second || head.isBefore(second)) {
      second = head;
    }
  }
  return [first, second];
}

const TAB = 9;
const DIGIT_0 = 48;
/** Of the batch's digits in a line: behind the letter and a tab. */
const BATCH_AT = 2;
/** Of the batch's bytes in a tuple: behind the count of fields and the length of the first. */
const BATCH_IN_TUPLE = 6;

/** The next line of a stream, with what decides its place. */
class Head {
  bytes: Buffer = Buffer.alloc(0);
  /** Where the next line begins. */
  at = 0;
  isEmpty = true;
  isEnded = false;
  private ends: readonly number[] = [];
  private index = 0;
  private batch = 0;
  private job = '';

  constructor(
    private readonly stream: OrderedLines,
    private readonly rank: number,
  ) {}

  /** Waits for the next lines after the last one was passed. */
  async fill(): Promise<void> {
    const { value } = await this.stream.lines.next();
    this.isEnded = value === undefined;
    if (!value) return;
    this.bytes = value.bytes;
    this.ends = value.ends;
    this.index = 0;
    this.at = 0;
    this.look();
  }

  /** Passes a line. */
  step(): void {
    this.at = this.ends[this.index] as number;
    this.index += 1;
    this.look();
  }

  isBefore(other: Head): boolean {
    if (this.batch !== other.batch) return this.batch < other.batch;
    if (this.stream.byJob !== other.stream.byJob) return other.stream.byJob;
    if (this.job !== other.job) return this.job < other.job;
    return this.rank < other.rank;
  }

  private look(): void {
    this.isEmpty = this.index === this.ends.length;
    if (this.isEmpty) return;
    const { bytes } = this;
    // No letter of a line is zero; the higher byte of a count of fields is.
    if (bytes[this.at] === 0) {
      const at = this.at + BATCH_IN_TUPLE;
      this.batch = bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
      return;
    }
    let at = this.at + BATCH_AT;
    // Batches beyond 2^53 may look equal here; they still come in order, and whoever reads them looks at all digits.
    let batch = 0;
    for (let byte = bytes[at]; byte !== TAB; byte = bytes[at]) {
      batch = batch * 10 + ((byte as number) - DIGIT_0);
      at += 1;
    }
    this.batch = batch;
    if (this.stream.byJob) this.job = bytes.toString('latin1', at + 1, bytes.indexOf(TAB, at + 1));
  }
}
