/** OpenFOAM's dictionaries and fields, as far as running a case and showing its results needs them. */

/** The outermost entries with a value of one word; the last of a name counts. */
export function entriesOf(text: string): ReadonlyMap<string, string> {
  const entries = new Map<string, string>();
  let depth = 0;
  let statement: string[] = [];
  for (const [token] of withoutComments(text).matchAll(/"[^"]*"|[{}();]|[^\s{}();"]+/g)) {
    if (token === '{' || token === '(') depth++;
    if (token === '}' || token === ')') depth--;
    if (depth === 0 && (token === ';' || token === '}')) {
      const [keyword, value] = statement;
      if (token === ';' && statement.length === 2 && keyword !== undefined && value !== undefined) {
        entries.set(keyword, value);
      }
      statement = [];
    } else {
      statement.push(token);
    }
  }
  return entries;
}

/**
 * The values inside a field, `width` numbers a cell: three of a vector, one of a scalar.
 *
 * @throws Error when there are not as many as `cells`, or one is not a number.
 */
export function internalField(text: string, width: number, cells: number): Float64Array {
  const values = new Float64Array(cells * width);
  const uniform = /internalField\s+uniform\s+\(?([^;)]*)\)?\s*;/.exec(text);
  if (uniform) {
    const one = (uniform[1] as string).trim().split(/\s+/).map(Number);
    for (let k = 0; k < values.length; k++) values[k] = one[k % width] ?? Number.NaN;
  } else {
    const list = /internalField\s+nonuniform\s+List<\w+>\s*(\d+)\s*\(/.exec(text);
    if (!list || Number(list[1]) !== cells) throw new Error('a field does not hold one value a cell');
    const numbers = /[^\s()]+/g;
    numbers.lastIndex = list.index + list[0].length;
    for (let k = 0; k < values.length; k++) values[k] = Number(numbers.exec(text)?.[0]);
  }
  if (!values.every(Number.isFinite)) throw new NotFinite();
  return values;
}

/** A field holds something that is no number: the flow has left every bound. */
export class NotFinite extends Error {}

/** By index: a pattern for comments would go over an unfinished one again and again. */
function withoutComments(text: string): string {
  let kept = '';
  let at = 0;
  while (at < text.length) {
    const slash = text.indexOf('/', at);
    const next = text[slash + 1];
    if (slash < 0) break;
    if (next === '/' || next === '*') {
      kept += `${text.slice(at, slash)} `;
      const end = next === '/' ? text.indexOf('\n', slash) : text.indexOf('*/', slash + 2);
      at = end < 0 ? text.length : end + (next === '/' ? 0 : 2);
    } else {
      kept += text.slice(at, slash + 1);
      at = slash + 1;
    }
  }
  return kept + text.slice(at);
}
