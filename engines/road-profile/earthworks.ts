/** Earthworks of an alignment, computed from its levels alone, and the proof that it keeps its limits. */
import { type Alignment, type Limits, placeOf } from './alignment';

/** Volumes in m³ from the start, at each station. */
export interface Earthworks {
  readonly cut: readonly number[];
  readonly fill: readonly number[];
  /** Of the interval that begins at the station, in per cent; of the last station that of the interval before. */
  readonly gradesPercent: readonly number[];
  readonly cost: number;
  readonly maximumGradePercent: number;
  /** Metres; undefined for a road of one grade. */
  readonly minimumRadius: number | undefined;
}

/** By average end areas: an interval's volume is its length times the mean of the areas at its ends. */
export function earthworksOf(alignment: Alignment, limits: Limits): Earthworks {
  const { spacing, ground, design } = alignment;
  const heights = design.map((level, index) => level - (ground[index] as number));
  const volume = (sign: number) => {
    const total = [0];
    for (let index = 1; index < heights.length; index++) {
      const both = Math.max(0, sign * (heights[index - 1] as number)) + Math.max(0, sign * (heights[index] as number));
      total.push((total[index - 1] as number) + (limits.formationWidth * spacing * both) / 2);
    }
    return total;
  };
  const grades = design.slice(1).map((level, index) => ((level - (design[index] as number)) / spacing) * 100);
  const bends = grades.slice(1).map((grade, index) => Math.abs(grade - (grades[index] as number)) / 100);
  const bend = Math.max(0, ...bends);
  const [cut, fill] = [volume(-1), volume(1)];
  return {
    cut,
    fill,
    gradesPercent: [...grades, grades.at(-1) as number],
    cost: (cut.at(-1) as number) * limits.cutCost + (fill.at(-1) as number) * limits.fillCost,
    maximumGradePercent: Math.max(...grades.map(Math.abs)),
    minimumRadius: bend > 1e-9 ? spacing / bend : undefined,
  };
}

/** @throws Error when an alignment breaks a limit by more than a hundredth of a millimetre, or is not the cheapest. */
export function checkAlignment(alignment: Alignment, limits: Limits): void {
  const { spacing, chainages, ground, design } = alignment;
  const keep = (excess: number, what: string) => {
    if (!(excess <= LEVEL_ERROR)) throw new Error(`the solved alignment breaks ${what} by ${excess} m`);
  };
  const at = (index: number) => design[index] as number;
  const last = design.length - 1;
  keep(Math.abs(at(0) - (limits.startLevel ?? (ground[0] as number))), 'its start level');
  keep(Math.abs(at(last) - (limits.endLevel ?? (ground[last] as number))), 'its end level');
  for (let index = 0; index < last; index++) {
    keep(Math.abs(at(index + 1) - at(index)) - (limits.maximumGradePercent / 100) * spacing, 'the maximum grade');
    if (index === 0) continue;
    const bend = Math.abs(at(index - 1) - 2 * at(index) + at(index + 1));
    keep(bend - spacing ** 2 / limits.minimumCurveRadius, 'the minimum radius');
  }
  for (const { chainage, level, kind } of limits.controlPoints) {
    const [index, part] = placeOf({ spacing, chainages }, chainage);
    const above = at(index) * (1 - part) + at(index + 1) * part - level;
    if (kind !== 'not-below') keep(above, 'a control point');
    if (kind !== 'not-above') keep(-above, 'a control point');
  }
  if (!(alignment.optimalityGap < GAP_MAX))
    throw new Error(`the alignment is not proved optimal: ${alignment.optimalityGap}`);
}

const LEVEL_ERROR = 1e-5;
const GAP_MAX = 1e-5;
