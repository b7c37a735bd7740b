/**
 * Reads a SPICE netlist that nobody vouches for: counts what is in it, and refuses what would reach outside the file,
 * run commands, or never end. Nothing is simulated and no other file is opened.
 */
import { InputError } from '../service';

/** One analysis card of a netlist; `steps` is null when only the simulator can tell. */
export interface AnalysisFacts {
  readonly kind: string;
  readonly card: string;
  readonly line: number;
  readonly steps: number | null;
}

export interface NetlistFacts {
  readonly title: string;
  /** Elements by the letter that SPICE gives their kind, subcircuits counted as often as they are used. */
  readonly elements: Readonly<Record<string, number>>;
  readonly elementCount: number;
  /** Without ground. */
  readonly nodes: number;
  readonly analyses: readonly AnalysisFacts[];
}

/**
 * Reads the text of a netlist. Linear in its size, whatever it holds.
 *
 * @throws InputError `input_not_netlist`, `input_outside_reference`, `netlist_control_block`, `netlist_no_analysis`,
 * `netlist_endless_analysis`, `netlist_too_large`, `netlist_unsupported`.
 */
export function readNetlist(text: string): NetlistFacts {
  if (text.trim() === '') throw new InputError('input_not_netlist', 'the file is empty');
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  refuseHiddenCommands(lines);
  const cards = joinCards(lines);
  const circuit = new Circuit('');
  const circuits = new Map<string, Circuit>();
  const open = [circuit];
  const analyses: AnalysisFacts[] = [];
  let saved = 0;
  for (const card of cards) {
    const [first = '', ...words] = card.words;
    refuseOutside(card);
    const inside = open.at(-1) ?? circuit;
    if (!first.startsWith('.')) {
      inside.addElement(card);
      continue;
    }
    if (!KNOWN_CARDS.has(first)) throw unsupported(card, `the card ${shown(first)} is not run here`);
    if (first === '.subckt') {
      const inner = new Circuit(words[0] ?? '');
      circuits.set(inner.name, inner);
      open.push(inner);
    } else if (first === '.ends') {
      if (open.length > 1) open.pop();
    } else if (first === '.save') {
      saved += words.length;
    } else if (ANALYSES.has(first)) {
      analyses.push({ kind: first.slice(1), card: card.text.slice(0, 200), line: card.line, steps: stepsOf(card) });
    }
  }
  if (analyses.length === 0) {
    throw new InputError(
      'netlist_no_analysis',
      'the netlist has no analysis card, such as ".tran 1u 1m" or ".ac dec 10 1 1meg"',
    );
  }
  if (analyses.length > ANALYSES_MAX) {
    throw new InputError(
      'netlist_too_large',
      `the netlist has ${analyses.length} analyses; at most ${ANALYSES_MAX} are run in one job`,
    );
  }
  const total = circuit.expand(circuits, []);
  const vectors = saved > 0 ? saved + 1 : total.nodes + total.branches + 1;
  for (const { card, line, steps } of analyses) {
    if (steps !== null && steps * vectors > VALUES_MAX) {
      throw new InputError(
        'netlist_too_large',
        `line ${line}: "${shown(card)}" would make ${steps} points of ${vectors} vectors; name the few you need on a .save card, or take longer steps`,
      );
    }
  }
  return {
    title: (lines[0] ?? '').trim().slice(0, 200),
    elements: Object.fromEntries([...total.elements].sort(([a], [b]) => (a < b ? -1 : 1))),
    elementCount: total.count,
    nodes: total.nodes,
    analyses,
  };
}

/** Reads a SPICE number such as `4.7k`, `10MEG` or `2us`; undefined for expressions and parameters. */
export function spiceNumber(text: string | undefined): number | undefined {
  const match = /^([+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:e[+-]?\d{1,3})?)(meg|mil|[tgkmunpfa])?[a-z]*$/i.exec(
    text ?? '',
  );
  if (!match) return undefined;
  return Number(match[1]) * (SCALES[match[2]?.toLowerCase() ?? ''] ?? 1);
}

const ANALYSES_MAX = 100;
const STEPS_MAX = 10_000_000;
/** The simulator keeps every value until the end: nine million were measured to take 750 MiB at the highest. */
const VALUES_MAX = 12_000_000;
const ELEMENTS_MAX = 100_000;
const NESTING_MAX = 50;

const ANALYSES = new Set(['.op', '.dc', '.ac', '.tran', '.noise', '.tf', '.pz', '.sens']);

/** Cards that describe the circuit or the output. What is not here could do anything, so it is refused by name. */
const KNOWN_CARDS = new Set([
  ...ANALYSES,
  ...['.subckt', '.ends', '.model', '.param', '.csparam', '.func', '.global', '.ic', '.nodeset', '.title', '.temp'],
  ...['.option', '.options', '.opt', '.if', '.elseif', '.else', '.endif'],
  ...['.print', '.plot', '.save', '.probe', '.meas', '.measure', '.width'],
]);

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

/** How many of the words after an element's name are nodes. Of `x` the last one without `=` is the subcircuit. */
const TERMINALS: Readonly<Record<string, number>> = {
  b: 2,
  c: 2,
  d: 2,
  e: 4,
  f: 2,
  g: 4,
  h: 2,
  i: 2,
  j: 3,
  k: 0,
  l: 2,
  m: 4,
  o: 4,
  p: 0,
  q: 3,
  r: 2,
  s: 4,
  t: 4,
  u: 3,
  v: 2,
  w: 2,
  y: 4,
  z: 3,
};

/** Elements whose current the simulator solves for, and gives as a vector. */
const BRANCHES = new Set(['b', 'e', 'h', 'l', 'v']);

interface Card {
  /** In lower case, without comments, continuation lines joined. */
  readonly text: string;
  readonly words: readonly string[];
  readonly line: number;
}

interface Expanded {
  readonly elements: ReadonlyMap<string, number>;
  readonly count: number;
  readonly nodes: number;
  readonly branches: number;
}

/** The elements directly inside the netlist, or inside one `.subckt`. */
class Circuit {
  readonly #elements = new Map<string, number>();
  readonly #nodes = new Set<string>();
  readonly #uses = new Map<string, { count: number; line: number }>();
  #expanded: Expanded | undefined;

  constructor(readonly name: string) {}

  addElement(card: Card): void {
    const [first = '', ...words] = card.words;
    const letter = first.charAt(0);
    if (letter === 'a' || letter === 'n')
      throw unsupported(card, `code models (${shown(first)}) are not available here`);
    const terminals = TERMINALS[letter];
    if (terminals === undefined && letter !== 'x') {
      throw new InputError(
        'input_not_netlist',
        `line ${card.line}: "${shown(card.text)}" is neither an element nor a card`,
      );
    }
    this.#elements.set(letter, (this.#elements.get(letter) ?? 0) + 1);
    let nodes = words.slice(0, terminals);
    if (letter === 'x') {
      const plain = words.slice(0, firstParameter(words));
      const name = plain.at(-1) ?? '';
      nodes = plain.slice(0, -1);
      const use = this.#uses.get(name) ?? { count: 0, line: card.line };
      this.#uses.set(name, { ...use, count: use.count + 1 });
    }
    for (const node of nodes) if (node !== '0' && node !== 'gnd') this.#nodes.add(node);
  }

  /** Counts with every subcircuit in its place. A netlist can say `ten times ten times ten …` in a few lines. */
  expand(circuits: ReadonlyMap<string, Circuit>, within: readonly Circuit[]): Expanded {
    if (this.#expanded) return this.#expanded;
    if (within.includes(this) || within.length > NESTING_MAX) {
      throw new InputError(
        'netlist_unsupported',
        `the subcircuit ${shown(this.name)} contains itself, or too many levels`,
      );
    }
    const elements = new Map(this.#elements);
    let nodes = this.#nodes.size;
    for (const [name, { count, line }] of this.#uses) {
      const used = circuits.get(name);
      if (!used)
        throw new InputError('netlist_unsupported', `line ${line}: the subcircuit ${shown(name)} is not defined`);
      const inner = used.expand(circuits, [...within, this]);
      for (const [letter, times] of inner.elements) elements.set(letter, (elements.get(letter) ?? 0) + count * times);
      // Ports are counted inside too: a little too many is the safe side.
      nodes += count * inner.nodes;
    }
    let total = 0;
    let branches = 0;
    for (const [letter, times] of elements) {
      total += times;
      if (BRANCHES.has(letter)) branches += times;
    }
    if (total > ELEMENTS_MAX) {
      throw new InputError(
        'netlist_too_large',
        `the netlist has more than ${ELEMENTS_MAX} elements, subcircuits included`,
      );
    }
    this.#expanded = { elements, count: total, nodes, branches };
    return this.#expanded;
  }
}

function joinCards(lines: readonly string[]): Card[] {
  const joined: { parts: string[]; line: number }[] = [];
  for (const [index, raw] of lines.entries()) {
    if (index === 0) continue; // The title, whatever it looks like.
    const line = withoutComment(raw).trim().toLowerCase();
    if (line === '' || line.startsWith('*') || line.startsWith('$')) continue;
    const last = joined.at(-1);
    if (line.startsWith('+') && last) {
      last.parts.push(line.slice(1).trim());
      continue;
    }
    if (line.split(/\s/, 1)[0] === '.end') break;
    joined.push({ parts: [line], line: index + 1 });
  }
  return joined.map(({ parts, line }) => {
    const text = parts.join(' ');
    return { text, words: text.split(/[\s,()]+/).filter((word) => word !== ''), line };
  });
}

/** Plain searches: a pattern that allows any blanks before the mark is quadratic in a line of blanks. */
function withoutComment(line: string): string {
  const semicolon = line.indexOf(';');
  const kept = semicolon < 0 ? line : line.slice(0, semicolon);
  const dollar = kept.search(/\s\$\s/);
  return dollar < 0 ? kept : kept.slice(0, dollar);
}

/** What reads like a comment is a command for ngspice when it starts with `*#`. */
function refuseHiddenCommands(lines: readonly string[]): void {
  const index = lines.findIndex((line) => /^\s*\*#/.test(line));
  if (index < 0) return;
  throw new InputError(
    'netlist_control_block',
    `line ${index + 1}: a comment that starts with *# is a command, and commands are not run; write "* #"`,
  );
}

function refuseOutside(card: Card): void {
  const [first = ''] = card.words;
  if (first === '.control' || first === '.endc' || /^\.?(shell|exec|system)$/.test(first)) {
    throw new InputError(
      'netlist_control_block',
      `line ${card.line}: commands (${shown(first)}) are not run; use analysis cards`,
    );
  }
  if (/^\.(inc|include|lib|load|osdi|pre_osdi|hdl|codemodel|write|wrdata)$/.test(first) || /file\s*=/.test(card.text)) {
    throw new InputError(
      'input_outside_reference',
      `line ${card.line}: "${shown(card.text)}" refers to another file; put its text into the netlist`,
    );
  }
}

/** @throws InputError `netlist_endless_analysis` for more steps than anybody could wait for. */
function stepsOf(card: Card): number | null {
  const steps = countSteps(card);
  if (steps === null) return null;
  if (!(steps > 0) || !Number.isFinite(steps)) {
    throw unsupported(card, `"${shown(card.text)}" has no step above zero or no range`);
  }
  if (steps > STEPS_MAX) {
    throw new InputError(
      'netlist_endless_analysis',
      `line ${card.line}: "${shown(card.text)}" asks for ${Math.ceil(steps)} steps; at most ${STEPS_MAX} are run`,
    );
  }
  // 2 ms in steps of 1 µs come out a hair above 2000.
  return Math.ceil(steps - 1e-6);
}

function countSteps({ words: [first = '', ...words] }: Card): number | null {
  switch (first) {
    case '.tran': {
      const numbers = words.filter((word) => word !== 'uic').map(spiceNumber);
      const [step, stop, , largest] = numbers;
      if (step === undefined || stop === undefined) return null;
      return stop / (largest !== undefined && largest > 0 ? Math.min(step, largest) : step);
    }
    case '.dc': {
      const first = sweepSteps(words.slice(1, 4));
      if (first === null || words.length < 5) return first;
      const second = sweepSteps(words.slice(5, 8));
      return second === null ? null : first * second;
    }
    case '.ac':
      return frequencySteps(words);
    case '.noise': {
      const at = words.findIndex((word) => word === 'dec' || word === 'oct' || word === 'lin');
      return at < 0 ? null : frequencySteps(words.slice(at));
    }
    default:
      return 1;
  }
}

function sweepSteps(words: readonly string[]): number | null {
  const [start, stop, step] = words.map(spiceNumber);
  if (start === undefined || stop === undefined || step === undefined) return null;
  return Math.floor(Math.abs((stop - start) / step) + 1.000001);
}

function frequencySteps([spacing, ...words]: readonly string[]): number | null {
  const [count, start, stop] = words.map(spiceNumber);
  if (count === undefined || start === undefined || stop === undefined) return null;
  if (spacing === 'lin') return count;
  const ratio = spacing === 'dec' ? Math.log10(stop / start) : spacing === 'oct' ? Math.log2(stop / start) : null;
  return ratio === null ? null : Math.floor(count * ratio + 1.000001);
}

function firstParameter(words: readonly string[]): number {
  const at = words.findIndex(
    (word, index) => word.includes('=') || words[index + 1]?.startsWith('=') || word === 'params:',
  );
  return at < 0 ? words.length : at;
}

function unsupported(card: Card, sentence: string): InputError {
  return new InputError('netlist_unsupported', `line ${card.line}: ${sentence}`);
}

/** The author's own words, short enough for a sentence. */
function shown(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
