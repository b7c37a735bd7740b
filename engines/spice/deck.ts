/**
 * A SPICE deck as far as running it one analysis at a time needs. The first line is the title, a line that starts with
 * `+` continues the one before, `.end` ends the deck, and case does not matter.
 */

export type AnalysisKind = 'op' | 'dc' | 'ac' | 'tran' | 'noise' | 'tf' | 'pz' | 'sens';

/** One analysis card. */
export interface Analysis {
  /** `tran-2` is the second `.tran` card. */
  readonly name: string;
  readonly kind: AnalysisKind;
  readonly card: string;
  /** Line numbers from 1, the last included. */
  readonly firstLine: number;
  readonly lastLine: number;
  /** Where the sweep variable ends, or how many points there will be; undefined when only the simulator knows. */
  readonly end: number | undefined;
  /** Vectors that the deck's own `.print`, `.plot` and `.save` cards name for this analysis. */
  readonly wanted: readonly string[];
}

export interface Deck {
  readonly title: string;
  readonly lines: readonly string[];
  readonly analyses: readonly Analysis[];
  /** Whether it has `.meas` cards, which the simulator computes at the first pause, so there must be none. */
  readonly measures: boolean;
  /** Why this deck cannot be run here. */
  readonly refusal: string | undefined;
}

/** Finds the analysis cards. */
export function readDeck(text: string): Deck {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  const cards = joinCards(lines);
  const outputs = cards.filter(({ card }) => /^\.(print|plot|save)\s/.test(card));
  const counts = new Map<AnalysisKind, number>();
  const analyses: Analysis[] = [];
  // ngspice runs such a comment as a command.
  const hidden = lines.findIndex((line) => /^\s*\*#/.test(line));
  let refusal =
    hidden < 0 ? undefined : `line ${hidden + 1}: comments that start with *# are commands, which are not run`;
  for (const { card, firstLine, lastLine } of cards) {
    const keyword = /^\.\w+/.exec(card)?.[0];
    if (keyword === '.control') refusal ??= `line ${firstLine}: .control blocks are not run`;
    const kind = KINDS.find((known) => keyword === `.${known}`);
    if (!kind) continue;
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    const wanted = wantedVectors(outputs, kind);
    analyses.push({ name: `${kind}-${count}`, kind, card, firstLine, lastLine, end: sweepEnd(kind, card), wanted });
  }
  if (analyses.length === 0) refusal ??= 'the netlist has no analysis card such as .tran or .ac';
  return {
    title: (lines[0] ?? '').trim(),
    lines,
    analyses,
    measures: cards.some(({ card }) => /^\.meas/.test(card)),
    refusal,
  };
}

/**
 * The deck with one analysis only. Every line keeps its number, so that the simulator's complaints name the author's
 * lines.
 */
export function deckFor(deck: Deck, analysis: Analysis, temperature: number | undefined): string {
  const hidden = new Set<number>();
  for (const other of deck.analyses) {
    if (other === analysis) continue;
    for (let line = other.firstLine; line <= other.lastLine; line++) hidden.add(line);
  }
  const kept: string[] = [];
  for (const [index, line] of deck.lines.entries()) {
    const word = /^\s*(\.\S+)/.exec(line)?.[1]?.toLowerCase();
    if (index > 0 && word === '.end') break;
    const isReplaced = temperature !== undefined && word === '.temp';
    kept.push(hidden.has(index + 1) || isReplaced ? '*' : line);
  }
  if (temperature !== undefined) kept.push(`.temp ${temperature}`);
  kept.push('.end', '');
  return kept.join('\n');
}

/** Reads a SPICE number such as `4.7k`, `10MEG` or `2us`; undefined for expressions and parameters. */
export function spiceNumber(text: string | undefined): number | undefined {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(meg|mil|[tgkmunpfa])?[a-z]*$/i.exec(text ?? '');
  if (!match) return undefined;
  return Number(match[1]) * (SCALES[match[2]?.toLowerCase() ?? ''] ?? 1);
}

const KINDS: readonly AnalysisKind[] = ['op', 'dc', 'ac', 'tran', 'noise', 'tf', 'pz', 'sens'];

const SCALES: Readonly<Record<string, number>> = {
  t: 1e12,
  g: 1e9,
  meg: 1e6,
  k: 1e3,
  mil: 25.4e-6,
  m: 1e-3,
  u: 1e-6,
  n: 1e-9,
  p: 1e-12,
  f: 1e-15,
  a: 1e-18,
};

interface Card {
  readonly card: string;
  readonly firstLine: number;
  readonly lastLine: number;
}

function joinCards(lines: readonly string[]): Card[] {
  const cards: { card: string; firstLine: number; lastLine: number }[] = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0) continue;
    const text = line.trim().toLowerCase();
    if (text === '' || text.startsWith('*')) continue;
    const last = cards.at(-1);
    if (text.startsWith('+') && last) {
      last.card += ` ${text.slice(1).trim()}`;
      last.lastLine = index + 1;
      continue;
    }
    if (/^\.end(\s|$)/.test(text)) break;
    cards.push({ card: text, firstLine: index + 1, lastLine: index + 1 });
  }
  return cards;
}

/** `vdb(out)` and `vp(out)` show the vector `v(out)`. */
function wantedVectors(cards: readonly Card[], kind: AnalysisKind): string[] {
  const wanted = new Set<string>();
  for (const { card } of cards) {
    const match = /^\.(print|plot|save)\s+(.*)$/.exec(card);
    if (!match) continue;
    const [, word = '', rest = ''] = match;
    if (word !== 'save' && rest.split(/\s/)[0] !== kind) continue;
    for (const [, letter = '', inside = ''] of rest.matchAll(/\b([vi])(?:db|m|p|r|i|ph)?\(\s*([^(),\s]+)\s*\)/g)) {
      wanted.add(`${letter}(${inside})`);
    }
  }
  return [...wanted];
}

function sweepEnd(kind: AnalysisKind, card: string): number | undefined {
  const words = card.split(/[\s,]+/).slice(1);
  switch (kind) {
    case 'tran':
      return spiceNumber(words[1]);
    case 'ac':
      return frequencyPoints(words);
    case 'noise':
      return frequencyPoints(words.slice(-4)) ?? frequencyPoints(words.slice(-5, -1));
    case 'dc': {
      const [start, stop, step] = [spiceNumber(words[1]), spiceNumber(words[2]), spiceNumber(words[3])];
      if (start === undefined || stop === undefined || !step) return undefined;
      const inner = Math.floor(Math.abs((stop - start) / step) + 1.000001);
      if (words.length < 8) return inner;
      const [start2, stop2, step2] = [spiceNumber(words[5]), spiceNumber(words[6]), spiceNumber(words[7])];
      if (start2 === undefined || stop2 === undefined || !step2) return undefined;
      return inner * Math.floor(Math.abs((stop2 - start2) / step2) + 1.000001);
    }
    case 'op':
    case 'tf':
    case 'pz':
    case 'sens':
      return 1;
  }
}

function frequencyPoints([spacing, count, start, stop]: readonly string[]): number | undefined {
  const [n, from, to] = [spiceNumber(count), spiceNumber(start), spiceNumber(stop)];
  if (n === undefined || from === undefined || to === undefined) return undefined;
  switch (spacing) {
    case 'lin':
      return n;
    case 'dec':
      return Math.floor(n * Math.log10(to / from) + 1.000001);
    case 'oct':
      return Math.floor(n * Math.log2(to / from) + 1.000001);
    default:
      return undefined;
  }
}
