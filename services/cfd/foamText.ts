/** The text format of OpenFOAM, as far as it takes to know what a case will do: words, punctuation, directives. */
import { InputError } from '../service';

/** A word, a quoted text with its quotes, or one of `{ } ( ) ;`. Directives start with `#`, macros with `$`. */
export type FoamToken = string;

/**
 * The tokens of a file, comments left out.
 *
 * @throws InputError `case_invalid` for a comment or a text that does not end.
 */
export function foamTokens(name: string, text: string): FoamToken[] {
  const tokens: FoamToken[] = [];
  let at = 0;
  while (at < text.length) {
    const sign = text[at] as string;
    if (sign <= ' ') {
      at++;
    } else if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else if (text.startsWith('/*', at)) {
      at = after(name, text, at + 2, '*/');
    } else if (text.startsWith('#{', at)) {
      tokens.push('#{');
      at = after(name, text, at + 2, '#}');
    } else if (sign === '"') {
      const end = closingQuote(name, text, at + 1);
      tokens.push(text.slice(at, end));
      at = end;
    } else if (PUNCTUATION.has(sign)) {
      tokens.push(sign);
      at++;
    } else {
      const from = at;
      while (at < text.length && isWordSign(text[at] as string) && !isComment(text, at)) at++;
      tokens.push(text.slice(from, at));
    }
  }
  return tokens;
}

/**
 * The entries of the outermost level that have a value of one word, the last of a name counting, as in OpenFOAM.
 */
export function foamEntries(tokens: readonly FoamToken[]): ReadonlyMap<string, string> {
  const entries = new Map<string, string>();
  let depth = 0;
  let statement: FoamToken[] = [];
  for (const token of tokens) {
    if (token === '{' || token === '(') depth++;
    if (token === '}' || token === ')') depth--;
    if (depth === 0 && (token === ';' || token === '}')) {
      const [keyword, value] = statement;
      if (token === ';' && keyword !== undefined && value !== undefined && statement.length === 2) {
        entries.set(keyword, value);
      }
      statement = [];
    } else {
      statement.push(token);
    }
  }
  return entries;
}

const PUNCTUATION: ReadonlySet<string> = new Set(['{', '}', '(', ')', ';']);

function isWordSign(sign: string): boolean {
  return sign > ' ' && sign !== '"' && !PUNCTUATION.has(sign);
}

function isComment(text: string, at: number): boolean {
  return text[at] === '/' && (text[at + 1] === '/' || text[at + 1] === '*');
}

function after(name: string, text: string, from: number, mark: string): number {
  const end = text.indexOf(mark, from);
  if (end < 0) throw new InputError('case_invalid', `${name}: a comment or a block of code does not end.`);
  return end + mark.length;
}

function closingQuote(name: string, text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  throw new InputError('case_invalid', `${name}: a text in quotes does not end.`);
}
