/** A soak of the rules alone: plans are kept in memory. A finding is told with the fewest steps that lead to it. */
import { setImmediate as breathe } from 'node:timers/promises';
import { type History, historyOf, runBesideModel, shortestFailure } from '../../test/builders/histories';
import { PlannedLedger } from '../../test/builders/plannedLedger';
import { newTally } from '../../test/builders/tally';
import { FINDINGS_MAX, HISTORY_STEPS, type SoakOptions, type SoakSummary, startProgress, summaryOf } from './summary';

export async function runInMemory(options: SoakOptions): Promise<SoakSummary> {
  const { seed, operations, only } = options;
  const from = performance.now();
  const tally = newTally();
  const findings: string[] = [];
  const run = (history: History) => runBesideModel(history, new PlannedLedger(), { tally });
  const stopProgress = startProgress(options, tally, () => '');
  let worlds = 0;
  while (findings.length < FINDINGS_MAX && (only === undefined ? tally.operations < operations : worlds < 1)) {
    worlds += 1;
    const world = only ?? worlds;
    const history = historyOf({ seed, world }, HISTORY_STEPS);
    try {
      await run(history);
    } catch {
      const failure = await shortestFailure(history, run, 2_000);
      findings.push(`world ${world}: ${failure.message}`);
    }
    // Nothing here waits for anything, and the progress is told by a timer.
    await breathe();
  }
  stopProgress();
  return summaryOf(options, { tally, from, worlds, batches: 0, faults: {}, findings });
}
