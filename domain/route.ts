/** Where a job runs: which engine, and through which runner. Decided once, when the job is submitted. */

/** The runners, those first that are taken first when several offer an engine. */
export const RUNNERS = ['slurm', 'sandbox', 'embedded', 'external'] as const;
export type RunnerName = (typeof RUNNERS)[number];

/** An engine through a runner. */
export interface Route {
  readonly runner: RunnerName;
  readonly engine: string;
}

/** An engine as far as its choice depends on it. */
export interface Choice {
  readonly name: string;
  /** Installed programs that it drives. */
  readonly programs?: readonly string[];
}

/**
 * Chooses the first engine that is offered, through the first runner that offers it. An engine that drives no installed
 * program waits for a compute worker when nobody offers it: every one has it.
 *
 * @param engines those that can run the job, best first.
 * @param wanted the runner that the submitter asks for; no other will do then.
 * @returns `undefined` when nobody offers what the job needs.
 */
export function chooseRoute(job: {
  engines: readonly Choice[];
  offers: readonly Route[];
  wanted?: RunnerName | undefined;
}): Route | undefined {
  const { engines, offers, wanted } = job;
  for (const { name } of engines) {
    const runner = RUNNERS.find(
      (one) => (wanted ?? one) === one && offers.some((offer) => offer.runner === one && offer.engine === name),
    );
    if (runner) return { runner, engine: name };
  }
  const alone = engines.find(({ programs = [] }) => programs.length === 0);
  return alone && (wanted ?? 'embedded') === 'embedded' ? { runner: 'embedded', engine: alone.name } : undefined;
}

/**
 * The task queue of a route. Engines that drive installed programs have queues of their own, because not every compute
 * worker of a runner has the program.
 */
export function taskQueueOf({ runner, engine }: Route, programs: readonly string[] = []): string {
  return programs.length === 0 ? `holdfast-run-${runner}` : `holdfast-run-${runner}-${engine}`;
}
