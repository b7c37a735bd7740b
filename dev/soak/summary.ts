/** What a soak tells: while it runs, and at its end. */
import type { Tally } from '../../test/builders/tally';

export interface SoakOptions {
  readonly seed: number;
  readonly operations: number;
  /** One world alone, whatever was asked for otherwise. */
  readonly only?: number;
  readonly say: (sentence: string) => void;
}

export interface SoakSummary {
  readonly seed: number;
  readonly operations: number;
  readonly worlds: number;
  /** Answers by kind of operation, and how often what seldom happens did. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly batches: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** What is not as the rules have it, one text each; none when all is well. */
  readonly findings: readonly string[];
}

export const HISTORY_STEPS = { min: 60, max: 200 } as const;

/** With this many the rest can be spared. */
export const FINDINGS_MAX = 5;

/** Says how far a soak is every few seconds, until it is stopped. */
export function startProgress({ operations, say }: SoakOptions, tally: Tally, more: () => string): () => void {
  const from = performance.now();
  let [then, before] = [from, 0];
  const timer = setInterval(() => {
    const now = performance.now();
    const rate = Math.round(((tally.operations - before) * 1_000) / (now - then));
    say(
      `${Math.round((now - from) / 1_000)} s: ${tally.operations} of ${operations} operations, ${rate} a second${more()}`,
    );
    [then, before] = [now, tally.operations];
  }, 5_000);
  return () => clearInterval(timer);
}

export function summaryOf(
  { seed }: SoakOptions,
  facts: Pick<SoakSummary, 'worlds' | 'batches' | 'faults' | 'findings'> & { tally: Tally; from: number },
): SoakSummary {
  const { tally, from, worlds, batches, faults, findings } = facts;
  return {
    seed,
    operations: tally.operations,
    worlds,
    outcomes: Object.fromEntries([...tally.outcomes].sort(([a], [b]) => (a < b ? -1 : 1))),
    batches,
    faults,
    seconds: Math.round((performance.now() - from) / 100) / 10,
    findings,
  };
}
