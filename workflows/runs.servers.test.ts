/** Jobs of several runs under the real workflow, with scripted activities. */
import { ApplicationFailure } from '@temporalio/activity';
import { attemptsOf, countRuns, usageOfJob } from '../db/attempts';
import { eventually } from '../test/world/eventually';
import { gate } from '../test/world/gate';
import { recordHistory } from '../test/world/histories';
import type { Script, ScriptedAttempt } from '../test/world/scripts';
import { type Submitted, World } from '../test/world/world';
import { jobViewQuery } from './messages';

jest.setTimeout(60_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveJobs();
  await world.serveCompute();
});

afterEach(async () => {
  expect(await world.faults()).toEqual([]);
});

afterAll(() => world?.close());

const oneRound: Script = async (attempt) => {
  await attempt.meter(1, 1);
  return attempt.finish();
};

function except(run: number, script: Script): Script {
  return (attempt) => (attempt.run === run ? script(attempt) : oneRound(attempt));
}

async function submit(order: {
  expected: string;
  maxCredits?: string;
  runs?: number;
  script: Script;
}): Promise<Submitted> {
  return world.submit({ spender: await world.openSpender('100'), runs: 8, ...order });
}

it('charges what each run used and runs each once', async () => {
  const submitted = await submit({ expected: '8', script: oneRound });
  expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', charged: '8' });
  const attempts = await attemptsOf(world.db, submitted.jobId);
  expect(attempts.map(({ run }) => run).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await submitted.row()).toMatchObject({ progress: 1_000_000, message: '8 of 8 runs completed.' });
  expect(await countRuns(world.db, submitted.jobId)).toEqual({ completed: 8, failed: 0, running: 0 });
});

it('completes although a run finds its input wrong, names that run, and charges the others', async () => {
  const submitted = await submit({ expected: '8', script: except(3, (attempt) => attempt.finish('input-failed')) });
  expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', charged: '7' });
  expect((await submitted.row()).message).toBe('7 of 8 runs completed; run 3: The run ended: input-failed.');
  await recordHistory('several-runs', submitted.handle);
  expect(await countRuns(world.db, submitted.jobId)).toEqual({ completed: 7, failed: 1, running: 0 });
});

it('is the input at fault when no run completes, and charges nothing', async () => {
  const submitted = await submit({ expected: '2', runs: 2, script: (attempt) => attempt.finish('input-failed') });
  expect(await submitted.handle.result()).toMatchObject({ state: 'released', end: 'input-failed', charged: '0' });
});

it('does one run again when its attempt is lost: the others are not, and the lost one is not charged', async () => {
  let failures = 0;
  const submitted = await submit({
    expected: '8',
    script: except(5, async (attempt) => {
      await attempt.meter(1, 0.5);
      if (failures++ > 0) return attempt.finish();
      await attempt.end('lost');
      throw ApplicationFailure.retryable('the attempt was lost', 'AttemptLost');
    }),
  });
  expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', charged: '8' });
  const attempts = await attemptsOf(world.db, submitted.jobId);
  expect(attempts.length).toBe(9);
  expect(attempts.filter(({ run }) => run === 5).map(({ outcome }) => outcome)).toEqual(['lost', 'completed']);
  const usage = await usageOfJob(world.db, submitted.jobId);
  expect(usage.filter(({ charged }) => !charged)).toHaveLength(1);
});

it('is cancelled in the middle: completed runs are charged, none is begun any more', async () => {
  const submitted = await submit({
    expected: '8',
    script: (attempt) => (attempt.run <= 2 ? oneRound(attempt) : attempt.untilCancelled()),
  });
  await eventually('two runs completed and four that wait', async () => {
    const { completed, running } = await countRuns(world.db, submitted.jobId);
    return completed === 2 && running === 4;
  });
  await submitted.handle.cancel();
  expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'cancelled', charged: '2' });
  expect((await attemptsOf(world.db, submitted.jobId)).map(({ run }) => run).sort()).toEqual([1, 2, 3, 4, 5, 6]);
});

it('is parked until no run is parked any more', async () => {
  const [first, second] = [gate(), gate()];
  const parks = (resumes: ReturnType<typeof gate>) => async (attempt: ScriptedAttempt) => {
    await attempt.meter(1, 0.5);
    await attempt.park('cap', 0.5);
    await resumes.opened;
    await attempt.resume();
    return attempt.finish();
  };
  const submitted = await submit({
    expected: '2',
    runs: 2,
    script: (attempt) => parks(attempt.run === 1 ? first : second)(attempt),
  });
  const view = () => submitted.handle.query(jobViewQuery);
  await eventually(
    'both runs parked',
    async () => (await world.eventsOf(submitted)).filter((one) => one === 'parked').length === 2,
  );
  await eventually('a parked job', async () => (await view()).parkedFor === 'cap');
  first.open();
  await eventually('a run that ended', async () => (await countRuns(world.db, submitted.jobId)).completed === 1);
  expect(await view()).toMatchObject({ state: 'parked', parkedFor: 'cap' });
  second.open();
  expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', charged: '2' });
});
