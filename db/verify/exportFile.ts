/**
 * A ledger as text: a first line that says what it is, the lines of all sections as they are verified, and a last line that
 * says how many there were and their sha256, so that a file that was cut or changed on its way is recognised.
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { Instant } from '../../domain/instant';
import type { Db } from '../client';
import { Wrong } from './findings';
import { FACTS, JOURNAL, KEYS, type Section, STATE } from './sections';
import { openSnapshot } from './snapshot';

const FORMAT = 'holdfast-export/1';
const SECTIONS: readonly Section[] = [...STATE, ...JOURNAL, ...FACTS, KEYS];
/** What ends a line that is not of a section: no letter of a section is a brace. */
const BRACE = '{'.charCodeAt(0);
const LINE_END = '\n'.charCodeAt(0);

interface FirstLine {
  readonly format: typeof FORMAT;
  readonly exportedAt: Instant;
  readonly sections: Readonly<Record<string, { readonly table: string; readonly columns: readonly string[] }>>;
}

interface LastLine {
  /** Lines by the letter of their section. */
  readonly lines: Readonly<Record<string, number>>;
  /** Of everything before this line, in hexadecimal digits. */
  readonly sha256: string;
}

/** What was exported. */
export interface Exported {
  readonly operations: number;
  readonly sha256: string;
}

/** What is read is no export of this version. */
export class NotAnExport extends Error {
  override readonly name = 'NotAnExport';
}

/**
 * One snapshot of the whole ledger as text, in pieces. It may be written while the ledger is.
 *
 * @param exportedAt wall clock, for whoever reads the file later.
 */
export async function* exportLedger(db: Db, exportedAt: Instant): AsyncGenerator<Buffer, Exported> {
  const hash = createHash('sha256');
  const counts = new LineCounts();
  const snapshot = await openSnapshot(db);
  try {
    const first = Buffer.from(`${JSON.stringify(firstLine(exportedAt))}\n`);
    hash.update(first);
    yield first;
    for await (const runs of chained(snapshot.linesOf(STATE), snapshot.mergedLines('text'), snapshot.linesOf([KEYS]))) {
      const bytes = Buffer.concat(runs);
      counts.add(bytes);
      hash.update(bytes);
      yield bytes;
    }
    const last: LastLine = { lines: counts.byLetter(), sha256: hash.digest('hex') };
    yield Buffer.from(`${JSON.stringify(last)}\n`);
    return { operations: last.lines.o ?? 0, sha256: last.sha256 };
  } finally {
    await snapshot.close();
  }
}

/**
 * The lines of an export's sections, in handfuls.
 *
 * @throws NotAnExport when it does not begin as one.
 * @throws Wrong at its end, when it was cut or changed.
 */
export async function* readExport(stream: Readable): AsyncGenerator<Buffer[]> {
  const hash = createHash('sha256');
  const counts = new LineCounts();
  let rest: Buffer = Buffer.alloc(0);
  let isFirst = true;
  let last: string | undefined;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (last !== undefined) throw new Wrong('something follows the last line of the export');
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let end = bytes.lastIndexOf(LINE_END) + 1;
    rest = bytes.subarray(end);
    if (end === 0) continue;
    let begin = 0;
    if (isFirst) {
      begin = bytes.indexOf(LINE_END) + 1;
      mustBeAnExport(bytes.toString('utf8', 0, begin));
      isFirst = false;
    }
    const lastBegins = end < 2 ? 0 : bytes.lastIndexOf(LINE_END, end - 2) + 1;
    if (lastBegins >= begin && bytes[lastBegins] === BRACE) {
      last = bytes.toString('utf8', lastBegins, end);
      end = lastBegins;
    }
    hash.update(bytes.subarray(0, end));
    const lines = bytes.subarray(begin, end);
    counts.add(lines);
    if (lines.length > 0) yield [lines];
  }
  if (isFirst) throw new NotAnExport('That is no export of a ledger: it is empty, or its first line has no end.');
  if (last === undefined || rest.length > 0) throw new Wrong('the export was cut: its last line is missing');
  mustBeComplete(last, counts.byLetter(), hash.digest('hex'));
}

/** Lines by the letter that they begin with. */
class LineCounts {
  private readonly counts = new Uint32Array(256);

  add(lines: Buffer): void {
    for (let at = 0; at < lines.length; at = lines.indexOf(LINE_END, at) + 1) {
      const letter = lines[at] as number;
      this.counts[letter] = (this.counts[letter] as number) + 1;
    }
  }

  byLetter(): Record<string, number> {
    return Object.fromEntries(SECTIONS.map(({ letter }) => [letter, this.counts[letter.charCodeAt(0)] ?? 0]));
  }
}

async function* chained<T>(...parts: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  for (const part of parts) yield* part;
}

function firstLine(exportedAt: Instant): FirstLine {
  const sections = SECTIONS.map(({ letter, table, columns }) => [letter, { table, columns }]);
  return { format: FORMAT, exportedAt, sections: Object.fromEntries(sections) };
}

function mustBeAnExport(line: string): void {
  let first: Partial<FirstLine>;
  try {
    first = JSON.parse(line) as Partial<FirstLine>;
  } catch (cause) {
    throw new NotAnExport('That is no export of a ledger: its first line is not JSON.', { cause });
  }
  if (first?.format !== FORMAT) throw new NotAnExport(`That is no export of the format "${FORMAT}".`);
  const expected = firstLine(first.exportedAt as Instant);
  if (JSON.stringify(first.sections) !== JSON.stringify(expected.sections)) {
    throw new NotAnExport(
      'The export has other columns than this version of holdfast; verify it with the version that wrote it.',
    );
  }
}

function mustBeComplete(line: string, counted: Readonly<Record<string, number>>, sha256: string): void {
  const last = lastLineOf(line);
  for (const { letter, table } of SECTIONS) {
    const [expected, found] = [last.lines?.[letter] ?? 0, counted[letter] ?? 0];
    if (expected !== found) throw new Wrong(`the export has not all its lines of ${table}`, `${expected}`, `${found}`);
  }
  if (last.sha256 !== sha256)
    throw new Wrong('the export was changed: its sha256 is another', String(last.sha256), sha256);
}

function lastLineOf(line: string): Partial<LastLine> {
  try {
    return JSON.parse(line) as Partial<LastLine>;
  } catch {
    throw new Wrong('the last line of the export is not JSON', undefined, line.trimEnd());
  }
}
