/** Reads a ground profile that nobody vouches for: a table of chainage and level in metres. */
import { InputError } from '../service';

export interface ProfileFacts {
  /** From the first chainage to the last, exact, a started millimetre counted whole. */
  readonly lengthMillimetres: number;
  readonly points: number;
  /** Metres. */
  readonly startChainage: number;
  readonly endChainage: number;
  readonly lowestLevel: number;
  readonly highestLevel: number;
}

/**
 * Reads the text of a profile. The first line names the columns: `chainage` (or `station`, `distance`) and `level` (or
 * `elevation`, `height`, `ground`), in any case, with or without `(m)`; others are ignored. Columns are parted by
 * semicolon, tab or comma; with the first two, decimal commas are read.
 *
 * @throws InputError `profile_columns_missing`, `profile_number_invalid`, `profile_not_increasing`, `profile_too_large`,
 * `profile_too_short`.
 */
export function readProfile(text: string): ProfileFacts {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  const head = (lines[0] ?? '').slice(0, HEAD_MAX).toLowerCase();
  const separator = [';', '\t', ','].find((mark) => head.includes(mark)) ?? ',';
  const names = head.split(separator).map((name) => name.replace(/["\s]|[([_]?m[)\]]?$/g, ''));
  const chainageAt = names.findIndex((name) => CHAINAGE.has(name));
  const levelAt = names.findIndex((name) => LEVEL.has(name));
  if (chainageAt < 0 || levelAt < 0) {
    throw new InputError('profile_columns_missing', 'the first line must name the columns, such as "chainage,level"');
  }
  let points = 0;
  let lowestLevel = Number.POSITIVE_INFINITY;
  let highestLevel = Number.NEGATIVE_INFINITY;
  let first = 0n;
  let last = 0n;
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const cells = line.split(separator, Math.max(chainageAt, levelAt) + 1);
    const chainage = nanometres(cells[chainageAt], separator);
    const level = nanometres(cells[levelAt], separator);
    if (chainage === undefined || level === undefined) {
      throw new InputError(
        'profile_number_invalid',
        `line ${index + 1}: chainage and level are plain numbers of metres, such as 120.50`,
      );
    }
    if (points === 0) first = chainage;
    else if (chainage <= last) {
      throw new InputError(
        'profile_not_increasing',
        `line ${index + 1}: the chainage is not above that of the line before`,
      );
    }
    last = chainage;
    points++;
    lowestLevel = Math.min(lowestLevel, Number(level) / 1e9);
    highestLevel = Math.max(highestLevel, Number(level) / 1e9);
  }
  if (points < 2) throw new InputError('profile_too_short', 'a profile has at least two points');
  const lengthMillimetres = Number((last - first + 999_999n) / 1_000_000n);
  if (lengthMillimetres < 1000) throw new InputError('profile_too_short', 'a road is at least 1 m long');
  if (lengthMillimetres > LENGTH_MAX) throw new InputError('profile_too_large', 'a road is at most 100 km long');
  return {
    lengthMillimetres,
    points,
    startChainage: Number(first) / 1e9,
    endChainage: Number(last) / 1e9,
    lowestLevel,
    highestLevel,
  };
}

const HEAD_MAX = 10_000;
/** 100 km. */
const LENGTH_MAX = 100_000_000;
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
