/** Reads a ground profile: a table of chainage and level in metres, as surveyors export it. */
import { InputFault } from '../protocol';

export interface Ground {
  /** Metres, growing. */
  readonly chainages: readonly number[];
  readonly levels: readonly number[];
  /** From the first chainage to the last, exact, a started millimetre counted whole. */
  readonly lengthMillimetres: number;
}

/** Reads the table; the first line names the columns. @throws InputFault naming the line. */
export function readGround(text: string): Ground {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  const head = (lines[0] ?? '').toLowerCase();
  const separator = [';', '\t', ','].find((mark) => head.includes(mark)) ?? ',';
  const names = head.split(separator).map((name) => name.replace(/["\s]|[([_]?m[)\]]?$/g, ''));
  const chainageAt = names.findIndex((name) => CHAINAGE.has(name));
  const levelAt = names.findIndex((name) => LEVEL.has(name));
  if (chainageAt < 0 || levelAt < 0) throw new InputFault('The first line must name the columns chainage and level.');
  const chainages: number[] = [];
  const levels: number[] = [];
  let [first, last] = [0n, 0n];
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const cells = line.split(separator);
    const chainage = nanometres(cells[chainageAt], separator);
    const level = nanometres(cells[levelAt], separator);
    if (chainage === undefined || level === undefined) {
      throw new InputFault(`Line ${index + 1} has no plain numbers for chainage and level.`);
    }
    if (chainages.length === 0) first = chainage;
    else if (chainage <= last) throw new InputFault(`Line ${index + 1}: the chainage does not grow.`);
    last = chainage;
    chainages.push(Number(chainage) / 1e9);
    levels.push(Number(level) / 1e9);
  }
  if (chainages.length < 2) throw new InputFault('The profile needs at least two points.');
  return { chainages, levels, lengthMillimetres: Number((last - first + 999_999n) / 1_000_000n) };
}

/** The level at each chainage, linear between the points of the ground. Both must grow. */
export function levelsAt(ground: Ground, chainages: readonly number[]): number[] {
  let at = 0;
  return chainages.map((chainage) => {
    while (at < ground.chainages.length - 2 && (ground.chainages[at + 1] as number) < chainage) at++;
    const [from, to] = [ground.chainages[at] as number, ground.chainages[at + 1] as number];
    const [low, high] = [ground.levels[at] as number, ground.levels[at + 1] as number];
    return low + ((high - low) * Math.min(Math.max(chainage - from, 0), to - from)) / (to - from);
  });
}

const CHAINAGE = new Set(['chainage', 'station', 'distance']);
const LEVEL = new Set(['level', 'elevation', 'height', 'ground']);

/** A plain decimal of metres in nanometres. Only where a comma does not part columns can it be a decimal comma. */
function nanometres(cell: string | undefined, separator: string): bigint | undefined {
  const plain = (cell ?? '').trim().replace(/^"(.*)"$/, '$1');
  const text = separator === ',' ? plain : plain.replace(',', '.');
  const match = /^([+-]?)(\d{1,8})(?:\.(\d{0,30}))?$/.exec(text);
  if (!match) return undefined;
  const size = BigInt(`${match[2]}${(match[3] ?? '').slice(0, 9).padEnd(9, '0')}`);
  return match[1] === '-' ? -size : size;
}
