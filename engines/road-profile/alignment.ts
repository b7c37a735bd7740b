/**
 * The vertical alignment as a linear programme: design levels at equally spaced stations that cost the least earthworks.
 * Cut and fill are the formation width times the height between design and ground, by average end areas. Between two
 * stations the road has one grade; a curve of radius R lets the grade change by at most spacing / R from one to the next.
 */
import { LinearProgramme, optimalityGap, type Solution, solve } from '../linearProgramme';
import { InputFault } from '../protocol';
import { type Ground, levelsAt } from './ground';

export interface ControlPoint {
  readonly chainage: number;
  readonly level: number;
  readonly kind: 'through' | 'not-above' | 'not-below';
}

/** Metres, per cent, and costs of a cubic metre. */
export interface Limits {
  readonly formationWidth: number;
  readonly maximumGradePercent: number;
  readonly minimumCurveRadius: number;
  readonly cutCost: number;
  readonly fillCost: number;
  readonly stationSpacing: number;
  readonly startLevel?: number;
  readonly endLevel?: number;
  readonly controlPoints: readonly ControlPoint[];
}

export interface Alignment {
  readonly spacing: number;
  readonly chainages: readonly number[];
  readonly ground: readonly number[];
  readonly design: readonly number[];
  /** Part of the cost by which a better alignment could at most be cheaper. */
  readonly optimalityGap: number;
}

/**
 * The cheapest alignment. `onIterations` hears of work as it is done.
 *
 * @throws InputFault naming the limits that conflict when there is none.
 */
export async function align(ground: Ground, limits: Limits, onIterations: (count: number) => void): Promise<Alignment> {
  const stations = stationsOf(ground, limits);
  const solved = async (kept: ReadonlySet<string>) => {
    const programme = programmeOf(stations, limits, kept);
    const solution = await solve(programme);
    onIterations(solution.simplexIterations);
    if (solution.status === 'unsolved') throw new Error('the solver gave up');
    return { programme, solution };
  };
  const all = groupsOf(limits);
  const { programme, solution } = await solved(new Set(all.keys()));
  if (solution.status === 'infeasible') {
    const isFeasible = async (kept: ReadonlySet<string>) => (await solved(kept)).solution.status === 'optimal';
    throw new InputFault(await conflictOf(all, stations, limits, isFeasible));
  }
  return {
    ...stations,
    design: designOf(stations, solution),
    optimalityGap: optimalityGap(programme, solution),
  };
}

type Stations = Pick<Alignment, 'spacing' | 'chainages' | 'ground'>;

/** Stations at equal distances, the largest not above the wanted one that fits. */
function stationsOf(ground: Ground, { stationSpacing }: Limits): Stations {
  const start = ground.chainages[0] as number;
  const length = (ground.chainages.at(-1) as number) - start;
  const count = Math.max(2, Math.ceil(length / stationSpacing - 1e-9));
  const spacing = length / count;
  const chainages = Array.from({ length: count + 1 }, (_, index) => start + index * spacing);
  return { spacing, chainages, ground: levelsAt(ground, chainages) };
}

/** What can conflict, by key, as a person calls it. The ends are always kept. */
function groupsOf({ maximumGradePercent, minimumCurveRadius, controlPoints }: Limits): Map<string, string> {
  return new Map([
    ['grade', `the maximum grade of ${maximumGradePercent} %`],
    ['radius', `the minimum curve radius of ${minimumCurveRadius} m`],
    ...controlPoints.map(
      ({ chainage, level, kind }, index) =>
        [`control ${index}`, `the control point at ${chainage} m (${kind} ${level} m)`] as const,
    ),
  ]);
}

function programmeOf({ spacing, ground, chainages }: Stations, limits: Limits, kept: ReadonlySet<string>) {
  const programme = new LinearProgramme();
  const last = ground.length - 1;
  const free = { lower: Number.NEGATIVE_INFINITY };
  // Columns: the design level above the ground's first level, and the heights of cut and fill, at each station.
  const base = ground[0] as number;
  const fixed = new Map([
    [0, limits.startLevel ?? base],
    [last, limits.endLevel ?? (ground[last] as number)],
  ]);
  for (const index of ground.keys()) {
    const level = fixed.get(index);
    programme.column(level === undefined ? free : { lower: level - base, upper: level - base });
  }
  for (const [index, level] of ground.entries()) {
    // Half an interval belongs to each of its ends. Costs are in those of one station, for the solver's scale.
    const share = index === 0 || index === last ? 0.5 : 1;
    const cut = programme.column({ cost: share * limits.cutCost });
    const fill = programme.column({ cost: share * limits.fillCost });
    programme.row(level - base, level - base, [
      [index, 1],
      [cut, 1],
      [fill, -1],
    ]);
  }
  const rise = (limits.maximumGradePercent / 100) * spacing;
  const bend = spacing ** 2 / limits.minimumCurveRadius;
  for (let index = 0; index < last; index++) {
    if (kept.has('grade')) {
      programme.row(-rise, rise, [
        [index + 1, 1],
        [index, -1],
      ]);
    }
    if (kept.has('radius') && index > 0) {
      programme.row(-bend, bend, [
        [index - 1, 1],
        [index, -2],
        [index + 1, 1],
      ]);
    }
  }
  for (const [number, { chainage, level, kind }] of limits.controlPoints.entries()) {
    if (!kept.has(`control ${number}`)) continue;
    const [index, part] = placeOf({ spacing, chainages }, chainage);
    const relative = level - base;
    const lower = kind === 'not-above' ? Number.NEGATIVE_INFINITY : relative;
    const upper = kind === 'not-below' ? Number.POSITIVE_INFINITY : relative;
    programme.row(lower, upper, [
      [index, 1 - part],
      [index + 1, part],
    ]);
  }
  return programme;
}

/** The station before a chainage, and how far it lies towards the next, from 0 to 1. @throws InputFault off the road */
export function placeOf({ spacing, chainages }: Pick<Stations, 'spacing' | 'chainages'>, chainage: number) {
  const start = chainages[0] as number;
  const end = chainages.at(-1) as number;
  if (chainage < start || chainage > end) {
    throw new InputFault(
      `The control point at ${chainage} m is not on the road, which runs from ${start} m to ${end} m.`,
    );
  }
  const index = Math.min(chainages.length - 2, Math.floor((chainage - start) / spacing));
  return [index, (chainage - (chainages[index] as number)) / spacing] as const;
}

function designOf({ ground }: Stations, { values }: Solution): number[] {
  return ground.map((_, index) => (ground[0] as number) + (values[index] as number));
}

/** Leaves out one limit after the other while no design keeps the rest: what remains conflicts, and all of it is needed. */
async function conflictOf(
  all: ReadonlyMap<string, string>,
  { ground }: Stations,
  limits: Limits,
  isFeasible: (kept: ReadonlySet<string>) => Promise<boolean>,
): Promise<string> {
  const kept = new Set(all.keys());
  for (const key of all.keys()) {
    kept.delete(key);
    if (await isFeasible(kept)) kept.add(key);
  }
  const names = [...kept].map((key) => all.get(key) as string);
  const list = names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names[0];
  const start = (limits.startLevel ?? (ground[0] as number)).toFixed(2);
  const end = (limits.endLevel ?? (ground.at(-1) as number)).toFixed(2);
  const verb = names.length > 1 ? 'cannot all be kept' : 'cannot be kept';
  return `There is no such road: ${list} ${verb} between a start at ${start} m and an end at ${end} m; relax one of them.`;
}
