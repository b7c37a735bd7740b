import { type History, historyOf, runBesideModel, shortestFailure } from '../test/builders/histories';
import { PlannedLedger } from '../test/builders/plannedLedger';
import { repeatably, SEED } from '../test/builders/seed';
import { newTally, seldom, type Tally } from '../test/builders/tally';
import { planBatch } from './batch';

/** Runs histories until so many operations were asked for; a failure is told with the fewest steps that lead to it. */
async function runHistories(operationsMin: number, ledger: () => PlannedLedger): Promise<Tally> {
  const tally = newTally();
  const run = async (history: History) => {
    const model = await runBesideModel(history, ledger(), { tally });
    expect(model.strayCredits()).toEqual([]);
  };
  await repeatably(async () => {
    for (let world = 1; tally.operations < operationsMin; world++) {
      const history = historyOf({ seed: SEED, world }, { min: 20, max: 140 });
      await run(history).catch(async () => Promise.reject(await shortestFailure(history, run, 500)));
    }
  });
  return tally;
}

test('outcomes, buckets, reservations and budgets are those of single credits moved one by one', async () => {
  const tally = await runHistories(100_000, () => new PlannedLedger());
  expect(seldom(tally, 10)).toEqual([]);
}, 120_000);

test('a plan is the same for the same state and operations, and leaves what it was given as it was', async () => {
  const planTwice: typeof planBatch = (state, operations) => {
    const before = structuredClone({ state, operations });
    const plan = planBatch(state, operations);
    expect({ state, operations }).toEqual(before);
    expect(planBatch(state, operations)).toEqual(plan);
    return plan;
  };
  await runHistories(3_000, () => new PlannedLedger(planTwice));
}, 60_000);
