/** What commands write: sentences, tables and amounts for people, the API's own JSON for programs. */
import Table from 'cli-table3';
import { createColors } from 'picocolors';

export type Paint = ReturnType<typeof createColors>;

/** Where a command reads and writes. */
export interface Terminal {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
}

export interface Output {
  readonly json: boolean;
  readonly paint: Paint;
  /** For people, on standard output; nothing with `--json`. */
  say(text: string): void;
  /** Beside the output proper, on standard error: in the way of neither a pipe nor a program. */
  note(text: string): void;
  /** For programs: the API's answer as it came, on a line of its own. */
  raw(text: string): void;
}

export function createOutput(terminal: Terminal, { json, color }: { json: boolean; color: boolean }): Output {
  const { stdout, stderr, env } = terminal;
  return {
    json,
    paint: createColors(wantsColor(stdout, { color, env })),
    say: (text) => {
      if (!json) stdout.write(`${printable(text)}\n`);
    },
    note: (text) => {
      stderr.write(`${printable(text)}\n`);
    },
    raw: (text) => {
      stdout.write(`${text.trimEnd()}\n`);
    },
  };
}

/** Colours are for terminals, and for nobody who does not want them. */
export function wantsColor(
  stream: { readonly isTTY?: boolean },
  { color, env }: { color: boolean; env: NodeJS.ProcessEnv },
): boolean {
  return color && !env.NO_COLOR && env.TERM !== 'dumb' && stream.isTTY === true;
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Rows under their titles, aligned, without lines: it reads well and is easy to cut with other programs. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  paint: Paint = createColors(false),
): string {
  const table = new Table({
    chars: BORDERLESS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ align = 'left' }) => align),
    head: columns.map(({ title }) => (title === '' ? '' : paint.dim(title))),
  });
  for (const row of rows) table.push(row.map((cell) => oneLine(printable(cell))));
  const text = table.toString();
  // What pads a last column on its right aligns it.
  return columns.at(-1)?.align === 'right' ? text : trimLines(text);
}

/** Labels and values, one pair a line. */
export function formatPairs(pairs: readonly (readonly [string, string])[], paint: Paint = createColors(false)): string {
  const width = Math.max(0, ...pairs.map(([label]) => label.length));
  return pairs.map(([label, value]) => `${paint.dim(label.padEnd(width))}  ${value}`).join('\n');
}

/** An amount for people. The digits are the API's own. */
export function inCredits(amount: string): string {
  return `${amount} ${amount === '1' ? 'credit' : 'credits'}`;
}

/** Amounts of one column: the word is as wide everywhere, so that the digits stand under each other. */
export function amountCell(amount: string): string {
  return inCredits(amount).padEnd(amount.length + ' credits'.length);
}

/** An instant as people read it, in UTC and to the second. */
export function instantCell(instant: string | null): string {
  return instant === null ? '–' : instant.replace('T', ' ').replace(/(\.\d+)?Z$/, 'Z');
}

/**
 * Text without control characters, except line ends and colours: file names and comments come from others and must not
 * move the cursor of whoever reads them.
 */
export function printable(text: string): string {
  return text.replace(CONTROL, (found) => (COLOR.test(found) ? found : ''));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /\x1b\[[0-9;]*m|[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const COLOR = /^\x1b\[[0-9;]*m$/;

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const BORDERLESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};
