/**
 * The engine's half of the protocol, as its reader: nothing it writes can use much memory, make a counter fall or name
 * a file outside its folder.
 */
import type { Counters } from '../services/service';

/** A file that the engine says it wrote. `file` is relative, without `..`. */
export interface DeclaredResult {
  readonly name: string;
  readonly file: string;
  readonly mediaType: string;
}

/** The last report of a run, after which the engine exits. */
export type LastReport =
  | { readonly type: 'done' }
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly message: string };

/** Reads what an engine writes on stdout. `breach` is called once, with half a sentence, when it breaks the protocol. */
export class ReportReader {
  fraction = 0;
  last: LastReport | undefined;
  /** What the program itself says that it did, by the last report. */
  statistics: Counters | undefined;
  readonly results = new Map<string, DeclaredResult>();
  readonly #counters = new Map<string, number>();
  #line: Buffer[] = [];
  #lineBytes = 0;
  #bytes = 0;
  #broken = false;

  constructor(
    private readonly on: {
      readonly progress: () => void;
      readonly last: (report: LastReport) => void;
      readonly breach: (sentence: string) => void;
    },
  ) {}

  get counters(): Counters {
    return Object.fromEntries(this.#counters);
  }

  /** Takes the next piece of stdout. */
  read(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > BYTES_MAX) this.#breach(`it wrote more than ${BYTES_MAX >> 20} MiB of reports`);
    for (let from = 0; !this.#broken && !this.last && from < chunk.length; ) {
      const end = chunk.indexOf(10, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      this.#lineBytes += piece.length;
      if (this.#lineBytes > LINE_BYTES_MAX) {
        this.#breach(`a report was longer than ${LINE_BYTES_MAX >> 10} KiB`);
        return;
      }
      // Copied, so that a short unfinished line does not keep the whole chunk in memory.
      this.#line.push(end < 0 ? Buffer.from(piece) : piece);
      if (end < 0) return;
      const line = Buffer.concat(this.#line).toString('utf8');
      this.#line = [];
      this.#lineBytes = 0;
      from = end + 1;
      const breach = line === '' ? undefined : this.#report(line);
      if (breach !== undefined) this.#breach(breach);
    }
  }

  #breach(sentence: string): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#line = [];
    this.on.breach(sentence);
  }

  /** Takes one report; answers what is wrong with it, if anything. */
  #report(line: string): string | undefined {
    let report: unknown;
    try {
      report = JSON.parse(line);
    } catch {
      return 'a report was not JSON';
    }
    if (!isObject(report)) return 'a report was not an object';
    const { type, fraction, message } = report;
    if (type === 'result') return this.#result(report);
    if (type !== 'progress' && type !== 'done' && type !== 'stopped' && type !== 'failed') {
      return 'a report had an unknown type';
    }
    const said = new Map<string, number>();
    const breach = count(report.counters, this.#counters) ?? count(report.statistics, said);
    if (breach !== undefined) return breach;
    switch (type) {
      case 'progress':
        if (typeof fraction !== 'number') return 'a fraction was not a number';
        this.fraction = Math.max(this.fraction, Math.min(1, fraction));
        this.on.progress();
        return undefined;
      case 'failed':
        if (typeof message !== 'string' || message === '') return 'a failure had no message';
        this.last = { type, message: message.slice(0, MESSAGE_MAX) };
        break;
      case 'done':
        this.fraction = 1;
        this.last = { type };
        break;
      case 'stopped':
        this.last = { type };
        break;
    }
    if (report.statistics !== undefined) this.statistics = Object.fromEntries(said);
    this.on.last(this.last);
    return undefined;
  }

  #result({ name, file, mediaType }: Record<string, unknown>): string | undefined {
    if (typeof name !== 'string' || !RESULT_NAME.test(name)) return 'a result had no plain file name';
    if (typeof mediaType !== 'string' || !MEDIA_TYPE.test(mediaType)) return 'a result had no media type';
    if (typeof file !== 'string' || !file.split('/').every((part) => RESULT_NAME.test(part))) {
      return 'a result was not a file inside its folder';
    }
    this.results.set(name, { name, file, mediaType });
    return this.results.size > RESULTS_MAX ? `it declared more than ${RESULTS_MAX} results` : undefined;
  }
}

/** Keeps the highest value of each counter: work that was done stays done. Answers what is wrong, if anything. */
function count(counters: unknown, kept: Map<string, number>): string | undefined {
  if (counters === undefined) return undefined;
  if (!isObject(counters)) return 'the counters were not an object';
  for (const [name, value] of Object.entries(counters)) {
    if (!COUNTER_NAME.test(name) || !Number.isSafeInteger(value) || (value as number) < 0) {
      return 'a counter was not a whole number from zero';
    }
    kept.set(name, Math.max(kept.get(name) ?? 0, value as number));
  }
  return kept.size > COUNTERS_MAX ? `it had more than ${COUNTERS_MAX} counters` : undefined;
}

const LINE_BYTES_MAX = 64 * 1024;
/** A day of ten reports a second of 256 bytes fits; only an engine gone mad writes more. */
const BYTES_MAX = 256 * 1024 * 1024;
const MESSAGE_MAX = 2000;
const RESULTS_MAX = 1000;
const COUNTERS_MAX = 64;
const COUNTER_NAME = /^[a-z][A-Za-z0-9]{0,63}$/;
/** Also every part of a path: it starts with a letter or digit, so it is neither empty nor `..`. */
const RESULT_NAME = /^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$/;
const MEDIA_TYPE = /^[a-z]+\/[a-z0-9][a-z0-9.+-]{0,99}(; ?charset=[a-z0-9-]+)?$/i;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
