/** The text of a CalculiX or Abaqus deck, cut into its keyword blocks. Names are in upper case, without blanks. */
import { InputFault } from '../protocol';

/** One data line, or the parts of it between commas. */
export interface Row {
  readonly line: number;
  readonly fields: readonly string[];
}

/** A keyword with its parameters, and the data lines that follow it. */
export interface Block {
  /** Such as `SOLIDSECTION`. */
  readonly keyword: string;
  readonly parameters: ReadonlyMap<string, string>;
  /** The line of the keyword, from 1. */
  readonly line: number;
  readonly rows: Iterable<Row>;
}

/**
 * The blocks of a deck in their order; rows are cut when they are asked for, so a large deck costs little more than its
 * text. Blanks count for nothing, as in the program that these decks are written for.
 *
 * @throws InputFault when the text does not start with a keyword.
 */
export function* readBlocks(text: string): Generator<Block> {
  const lines = text.split(/\r\n|\n|\r/);
  let start = nextLine(lines, 0);
  if (!lines[start]?.trimStart().startsWith('*')) {
    throw new InputFault(`line ${start + 1}: a deck starts with a keyword, such as *HEADING or *NODE`);
  }
  while (start < lines.length) {
    let end = start + 1;
    while (end < lines.length && !isKeyword(lines[end] ?? '')) end++;
    const [keyword = '', ...rest] = cut(lines[start] ?? '');
    const parameters = new Map(
      rest.filter((part) => part !== '').map((part) => [part.split('=', 1)[0] ?? '', part.split('=')[1] ?? '']),
    );
    yield {
      keyword: keyword.slice(1),
      parameters,
      line: start + 1,
      rows: { [Symbol.iterator]: rowsOf.bind(undefined, lines, start + 1, end) },
    };
    start = end;
  }
}

/** Whether a text is a deck, and not the geometry that gmsh reads. */
export function isDeck(text: string): boolean {
  return /^[\uFEFF\s]*\*/.test(text.slice(0, 4096));
}

function nextLine(lines: readonly string[], from: number): number {
  let at = from;
  while (at < lines.length && isEmpty(lines[at] ?? '')) at++;
  return at;
}

function* rowsOf(lines: readonly string[], from: number, end: number): Generator<Row> {
  for (let at = from; at < end; at++) {
    const line = lines[at] ?? '';
    if (!isEmpty(line)) yield { line: at + 1, fields: cut(line) };
  }
}

function isKeyword(line: string): boolean {
  const text = line.trimStart();
  return text.startsWith('*') && !text.startsWith('**');
}

function isEmpty(line: string): boolean {
  const text = line.trimStart();
  return text === '' || text === '\uFEFF' || text.startsWith('**');
}

function cut(line: string): string[] {
  return line
    .replace(/[\s\uFEFF"]+/g, '')
    .toUpperCase()
    .split(',');
}
