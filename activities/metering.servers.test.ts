import { attemptsOf, beginAttempt, usageOfJob } from '../db/attempts';
import { releaseJob, reserveJob } from '../db/billing';
import { firstRow, rows } from '../db/client';
import type { RunSnapshot } from '../runners/runner';
import { rounds } from '../test/world/rates';
import { now, World } from '../test/world/world';
import { createMetering, type Metering } from './metering';

jest.setTimeout(60_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
});

afterAll(() => world?.close());

/** A reserved job of ten credits whose first attempt meters through the proxy. */
async function metered(): Promise<{ jobId: string; metering: Metering }> {
  const spender = await world.openSpender('100');
  const { jobId } = await world.place({ spender, expected: '10', maxCredits: '20' });
  await reserveJob(world.ledger, { jobId, at: now() });
  return { jobId, metering: await meter(jobId) };
}

async function meter(jobId: string): Promise<Metering> {
  const attempt = await beginAttempt(world.db, { jobId, runner: 'test', worker: 'test', at: now() });
  if (typeof attempt !== 'number') throw new Error('the attempt did not begin');
  const service = { ...rounds, parameters: rounds.parameters } as never;
  return createMetering({ db: world.proxied, now, service, jobId, attempt, source: 'test' });
}

function counted(count: number, cpuSeconds = 0): RunSnapshot {
  return { fraction: count / 10, counters: { rounds: count }, cpuSeconds, peakMemoryBytes: 0 };
}

function recordsOf(jobId: string) {
  return rows<{ seq: number; meter: string; quantity: bigint }>(
    world.db,
    'select seq, meter, quantity from usage_records where job_id = ? order by seq, meter',
    [jobId],
  );
}

it('writes what came since the last report, and answers what may still be used', async () => {
  const { jobId, metering } = await metered();
  expect(await metering.report(counted(2, 0.5))).toEqual({ reserved: 10_000_000n, cap: 20_000_000n, otherRuns: null });
  await metering.report(counted(5, 0.75));
  expect(await recordsOf(jobId)).toEqual([
    { seq: 1, meter: 'cpu', quantity: 500_000n },
    { seq: 1, meter: 'rounds', quantity: 2_000_000n },
    { seq: 2, meter: 'cpu', quantity: 250_000n },
    { seq: 2, meter: 'rounds', quantity: 3_000_000n },
  ]);
  const row = await firstRow<{ progress: number }>(world.db, 'select progress from jobs where id = ?', [jobId]);
  expect(row).toEqual({ progress: 500_000 });
});

it('writes nothing when nothing was used since', async () => {
  const { jobId, metering } = await metered();
  await metering.report(counted(2));
  await metering.report(counted(2));
  expect(await recordsOf(jobId)).toHaveLength(1);
});

it('loses nothing while Postgres is away', async () => {
  const { jobId, metering } = await metered();
  await metering.report(counted(1));
  await world.postgres.cut();
  expect(await metering.report(counted(3))).toBe('unavailable');
  expect(await metering.report(counted(4))).toBe('unavailable');
  await world.postgres.restore();
  expect(await metering.report(counted(6))).toMatchObject({ reserved: 10_000_000n });
  expect(await usageOfJob(world.db, jobId)).toMatchObject([{ meter: 'rounds', quantity: '6' }]);
});

it('writes a report once whose answer got lost', async () => {
  const { jobId, metering } = await metered();
  await metering.report(counted(1));
  const lost = world.postgres.loseAnswerTo('COMMIT');
  expect(await metering.report(counted(3))).toBe('unavailable');
  await lost;
  expect(await recordsOf(jobId)).toHaveLength(2);
  await metering.report(counted(4));
  expect(await recordsOf(jobId)).toEqual([
    { seq: 1, meter: 'rounds', quantity: 1_000_000n },
    { seq: 2, meter: 'rounds', quantity: 2_000_000n },
    { seq: 3, meter: 'rounds', quantity: 1_000_000n },
  ]);
});

it('tells an attempt to stop that was declared lost, and writes nothing of it any more', async () => {
  const { jobId, metering } = await metered();
  await metering.report(counted(4));
  const second = await meter(jobId);
  expect(await metering.report(counted(6))).toBeNull();
  await second.report(counted(3));
  expect(await usageOfJob(world.db, jobId)).toMatchObject([
    { attempt: 1, charged: false, meter: 'rounds', quantity: '4' },
    { attempt: 2, charged: true, meter: 'rounds', quantity: '3' },
  ]);
});

it('tells an attempt to stop whose job was released', async () => {
  const { jobId, metering } = await metered();
  await releaseJob(world.ledger, { jobId, reason: 'test', message: 'The test released it.', at: now() });
  expect(await metering.report(counted(1))).toBeNull();
  expect(await recordsOf(jobId)).toEqual([]);
  expect(await attemptsOf(world.db, jobId)).toMatchObject([{ number: 1, outcome: 'lost' }]);
});

it('meters the highest memory of an attempt as evidence, which never falls', async () => {
  const { jobId, metering } = await metered();
  for (const mebibytes of [10, 15, 12]) {
    await metering.report({ ...counted(1), peakMemoryBytes: mebibytes * 2 ** 20 });
  }
  expect((await recordsOf(jobId)).filter(({ meter }) => meter === 'memory')).toEqual([
    { seq: 1, meter: 'memory', quantity: 10_000_000n },
    { seq: 2, meter: 'memory', quantity: 5_000_000n },
  ]);
});
