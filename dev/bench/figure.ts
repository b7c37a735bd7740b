/** What a benchmark answers, and how it measures: in turns with its baseline, so that noise of the machine meets both. */

/** One line of output: `ratio` is ours / baseline, `ours` and `baseline` are in `unit`. */
export interface Figure {
  readonly name: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly ours: number;
  /** Null where nothing is comparable. */
  readonly baseline: number | null;
  readonly ratio: number | null;
  readonly unit: string;
  /** What was agreed, such as `ratio >= 20`, and whether it holds; null for figures that are only reported. */
  readonly goal: string | null;
  readonly met: boolean | null;
  /** What else was seen, for people. */
  readonly seen?: Readonly<Record<string, unknown>>;
}

/** How long and how often something is measured, for those figures that let it be chosen. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
  /** Lengths of the journal, in operations. */
  readonly sizes: readonly number[];
  /** How many contracts are alive. */
  readonly contracts: number;
}

/** A bound on the figure itself or on its ratio to the baseline. */
export interface Goal {
  readonly of: 'ours' | 'ratio';
  readonly bound: '>=' | '<=';
  readonly value: number;
}

export interface Measured {
  readonly name: string;
  readonly params: Figure['params'];
  readonly ours: number;
  readonly baseline?: number;
  readonly unit: string;
  readonly goal?: Goal;
  readonly seen?: Figure['seen'];
}

/** Goals are judged before anything is rounded. */
export function figure({ name, params, ours, baseline, unit, goal, seen }: Measured): Figure {
  const ratio = baseline === undefined ? null : ours / baseline;
  return {
    name,
    params,
    ours: rounded(ours),
    baseline: baseline === undefined ? null : rounded(baseline),
    ratio: ratio === null ? null : rounded(ratio),
    unit,
    goal: goal ? `${goal.of} ${goal.bound} ${goal.value}` : null,
    met: goal ? holds(goal, goal.of === 'ours' ? ours : ratio) : null,
    ...(seen && { seen }),
  };
}

function holds({ bound, value }: Goal, measured: number | null): boolean {
  if (measured === null) throw new Error('a goal on a ratio needs a baseline');
  return bound === '>=' ? measured >= value : measured <= value;
}

/** Two decimals are more than a shared machine can repeat. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/**
 * Takes measurements in turns, round after round.
 *
 * @param warmUps rounds before the first that counts.
 * @returns what each measured in the rounds that count.
 */
export async function inTurns<K extends string, T>(
  { rounds, warmUps }: { rounds: number; warmUps: number },
  measurements: Readonly<Record<K, () => Promise<T>>>,
): Promise<Record<K, T[]>> {
  const names = Object.keys(measurements) as K[];
  const measured = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<K, T[]>;
  for (let round = -warmUps; round < rounds; round++) {
    for (const name of names) {
      const value = await measurements[name]();
      if (round >= 0) measured[name].push(value);
    }
  }
  return measured;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** The value below which a share of sorted values lies. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
