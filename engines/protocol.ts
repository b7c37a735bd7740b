/** An engine's half of the protocol of `README.md`: reports on stdout, one JSON object a line. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Cumulative work, whole numbers that never fall. */
export type Counters = Readonly<Record<string, number>>;

/** The input is at fault; the message is a sentence for its author. */
export class InputFault extends Error {}

/** The engine was asked to stop, and what there is was written. */
export class Stopped extends Error {}

const REPORT_EVERY_MS = 250;

/** What an engine does with a run. */
export interface Work {
  /** Work done so far, and which part of the whole that is. */
  readonly done: () => { readonly counters: Counters; readonly fraction: number };
  /** Computes and writes results. Throws {@link InputFault}, or {@link Stopped} after a stop. */
  readonly compute: () => Promise<void>;
  /** Called at SIGTERM; without it the engine ends at once with what it wrote. */
  readonly stop?: () => void;
  /** What the program itself says that it did, to hold against our own counters. */
  readonly statistics?: () => Counters | undefined;
}

/** Runs an engine from its start to its exit, reporting four times a second. */
export async function runEngine({ done, compute, stop, statistics }: Work): Promise<void> {
  // Nobody watches any more: what is still to be done has no reader.
  process.stdin.on('end', () => process.exit(1));
  process.stdin.on('error', () => process.exit(1));
  process.stdin.resume();
  process.on('SIGTERM', () => (stop ? stop() : leave({ type: 'stopped', counters: done().counters }, 0)));
  mkdirSync('out', { recursive: true });
  const progress = () => report({ type: 'progress', ...done() });
  progress();
  const timer = setInterval(progress, REPORT_EVERY_MS);
  const last = (line: object, code: number) => {
    clearInterval(timer);
    const said = statistics?.();
    leave({ ...line, counters: done().counters, ...(said && { statistics: said }) }, code);
  };
  try {
    await compute();
    last({ type: 'done' }, 0);
  } catch (error) {
    if (error instanceof Stopped) return last({ type: 'stopped' }, 0);
    if (error instanceof InputFault) return last({ type: 'failed', message: error.message }, 2);
    console.error(error);
    process.exit(1);
  }
}

/** Writes a result into `out/` and declares it. */
export function writeResult(name: string, mediaType: string, content: string | Uint8Array): void {
  writeFileSync(join('out', name), content);
  declareResult(name, mediaType);
}

/** Declares a whole file of `out/` as a result. */
export function declareResult(name: string, mediaType: string): void {
  report({ type: 'result', name, file: `out/${name}`, mediaType });
}

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The last report, then the end of the process and all its threads, once the report is out. */
function leave(line: object, code: number): void {
  process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(code));
}
