/** Real engines under the real workflow: what is metered, stored, parked, resumed, and what survives a killed worker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { attemptsOf, disagreementsOfJobs, resultsOf, usageOfJob } from '../db/attempts';
import { firstRow, rows } from '../db/client';
import type { ObjectStore } from '../db/objectStore';
import { packageRoot } from '../dev/root';
import { addMilliseconds } from '../domain/instant';
import { describeWith } from '../engines/testing/sandbox';
import { createEmbeddedRunner } from '../runners/embedded';
import { isAlive, readProcess } from '../runners/processes';
import { SERVICES } from '../services';
import type { Service } from '../services/service';
import { eventually } from '../test/world/eventually';
import { rounds } from '../test/world/rates';
import { now, type Submitted, World } from '../test/world/world';
import { jobViewQuery, raiseCapUpdate } from '../workflows/messages';
import { createRunActivities, type RunActivities } from './run';
import { createSlots, type Slots } from './slots';

jest.setTimeout(60_000);

const onLinux = process.platform === 'linux' ? it : it.skip;

let world: World;
/** What the compute worker takes for the present. */
let clock = now;

beforeAll(async () => {
  world = await World.open();
  await world.serveJobs();
});

afterEach(async () => {
  clock = now;
  expect(await world.faults()).toEqual([]);
});

afterAll(() => world?.close());

/** Runs the engines of a folder as the product does; `rounds` runs on the engine that follows its parameters. */
function runsOn(enginesFolder: string, slots: Slots = createSlots(2)): RunActivities {
  const workFolder = join(world.folder, 'work');
  return createRunActivities({
    db: world.proxied,
    store: world.store as ObjectStore,
    runner: createEmbeddedRunner({ enginesFolder, workFolder }),
    services: new Map<string, Service>([...SERVICES, [rounds.name, rounds as unknown as Service]]),
    slots,
    workFolder,
    memoryBytesMax: 2 * 1024 ** 3,
    worker: 'test',
    now: () => clock(),
    tellWorkflow: (jobId, report) => world.tellWorkflow(jobId, report),
    log: pino({ level: 'silent' }),
  });
}

function viewOf({ handle }: Submitted) {
  return handle.query(jobViewQuery);
}

function parked(submitted: Submitted, parkedFor: string) {
  return eventually(`job parked for ${parkedFor}`, async () => (await viewOf(submitted)).parkedFor === parkedFor);
}

const HOUR_MS = 3_600_000;

const DONE = [
  { do: 'report', report: { type: 'done', counters: {} } },
  { do: 'exit', code: 0 },
];

const STOPS = {
  do: 'onTerm',
  steps: [
    { do: 'report', report: { type: 'stopped', counters: {} } },
    { do: 'exit', code: 0 },
  ],
};

describe('on the engines of the product', () => {
  beforeAll(async () => {
    compute = await world.serveCompute(runsOn(join(packageRoot(), 'dist', 'engines')));
  });
  afterAll(() => compute.stop());
  let compute: Awaited<ReturnType<World['serveCompute']>>;

  it('renders an image, stores it, and charges its megapixels', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '1',
      maxCredits: '5',
      service: 'rendering',
      rateCardVersion: 1,
      dimensions: { quality: 'final', imageMegapixels: '0.001024' },
      parameters: { width: 32, height: 32, frames: 1, quality: 'final', samples: 1 },
      input: await readFile(join(packageRoot(), 'samples', 'gallery.glb')),
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', charged: '1' });
    const usage = await usageOfJob(world.db, submitted.jobId);
    expect(usage.find(({ meter }) => meter === 'megapixels')).toMatchObject({ charged: true, quantity: '0.001024' });
    const results = await resultsOf(world.db, submitted.jobId);
    const image = results.find(({ mediaType }) => mediaType === 'image/png');
    const bytes = await readFile(await world.store.pathOf(image?.digest ?? ''));
    expect(bytes.length).toBe(image?.size);
    expect(bytes.subarray(1, 4).toString()).toBe('PNG');
  });

  it('simulates a netlist, and charges each analysis', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '5',
      service: 'simulation',
      rateCardVersion: 1,
      parameters: { plots: [] },
      input: Buffer.from('divider\nv1 in 0 dc 10\nr1 in out 1k\nr2 out 0 1k\n.op\n.end\n'),
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '5', absorbed: '0' });
    expect((await resultsOf(world.db, submitted.jobId)).length).toBeGreaterThan(0);
    expect(await attemptsOf(world.db, submitted.jobId)).toMatchObject([{ number: 1, outcome: 'completed' }]);
  });

  it('charges nothing when the engine finds the input wrong', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '5',
      service: 'rendering',
      rateCardVersion: 1,
      dimensions: { quality: 'final', imageMegapixels: '0.001024' },
      parameters: { width: 32, height: 32, frames: 1, quality: 'final' },
      input: Buffer.from('this is no scene'),
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'released', end: 'input-failed', charged: '0' });
    expect((await submitted.row()).message).not.toBe('');
  });
});

describe('on an engine that follows its parameters', () => {
  const slots = createSlots(1);
  let compute: Awaited<ReturnType<World['serveCompute']>>;
  beforeAll(async () => {
    compute = await world.serveCompute(runsOn(join(packageRoot(), 'runners', 'testing'), slots));
  });
  afterAll(() => compute.stop());

  /** Announces its process in a counter, then works: ten rounds a second. */
  const works = (cpuMs?: number) => [STOPS, { do: 'work', ...(cpuMs !== undefined && { cpuMs }) }];

  async function engineOf({ jobId }: Submitted): Promise<number> {
    const { readdir } = await import('node:fs/promises');
    return eventually('the engine', async () => {
      const folder = join(world.folder, 'work', 'runs');
      for (const name of await readdir(folder).catch(() => [])) {
        const recorded = await readFile(join(folder, name), 'utf8').catch(() => '');
        const pid = /"pid": ?(\d+)/.exec(recorded)?.[1];
        if (recorded.includes(jobId) && pid) return Number(pid);
      }
      return undefined;
    });
  }

  onLinux('parks at its limit: the engine stands still and its slot is free; consent makes it go on', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '3',
      maxCredits: '3',
      parameters: { steps: [...works(1_500), ...DONE] },
    });
    await parked(submitted, 'cap');
    const pid = await engineOf(submitted);
    expect(readProcess(pid)).toMatchObject({ state: 'T' });
    expect(await submitted.row()).toMatchObject({ state: 'parked', reason: 'cap' });
    // Whoever waits for the slot of the parked one runs in the meantime.
    const other = await world.submit({ spender, expected: '1', parameters: { steps: DONE } });
    expect(await other.handle.result()).toMatchObject({ state: 'settled' });
    const before = readProcess(pid);
    expect(before).toMatchObject({ state: 'T' });
    await submitted.handle.executeUpdate(raiseCapUpdate, {
      args: [{ requestId: 'r', maxCredits: '90', actor: 'test' }],
    });
    const summary = await submitted.handle.result();
    expect(summary).toMatchObject({ state: 'settled', end: 'completed', absorbed: '0' });
    expect(Number(summary.charged)).toBeGreaterThan(3);
    expect(await world.eventsOf(submitted)).toEqual(
      expect.arrayContaining(['parked', 'cap-raised', 'topped-up', 'resumed', 'settled']),
    );
  });

  it('is topped up while it runs, before it would have to park', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '90',
      parameters: { steps: [...works(1_300), ...DONE] },
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', absorbed: '0' });
    expect(await world.eventsOf(submitted)).toContain('topped-up');
  });

  /** Reports how much was done in all, and leaves everybody time to see it. */
  const says = (done: number, fraction: number) => [
    { do: 'report', report: { type: 'progress', fraction, counters: { rounds: done } } },
    { do: 'linger' },
  ];
  const ends = (done: number) => [
    { do: 'report', report: { type: 'done', counters: { rounds: done } } },
    // Nobody listens any more.
    { do: 'report', report: { type: 'progress', fraction: 1, counters: { rounds: 80 } } },
    { do: 'exit', code: 0 },
  ];

  it('leaps past its cap in its last report: the provider bears what is above', async () => {
    const spender = await world.openSpender('100');
    const steps = [...says(1, 0.1), ...ends(12)];
    const submitted = await world.submit({ spender, expected: '2', maxCredits: '5', parameters: { steps } });
    expect(await submitted.handle.result()).toMatchObject({ end: 'completed', charged: '5', absorbed: '7' });
    expect(await world.balanceOf(spender)).toEqual({ available: '95', reserved: '0', consumed: '5' });
  });

  it('reports less than before: what was done stays done, once', async () => {
    const spender = await world.openSpender('100');
    const steps = [...says(5, 0.9), ...says(2, 0.2), ...says(5, 0.1), ...ends(6)];
    const submitted = await world.submit({ spender, expected: '6', maxCredits: '50', parameters: { steps } });
    expect(await submitted.handle.result()).toMatchObject({ end: 'completed', charged: '6', absorbed: '0' });
    // Nor is it taken to have more ahead of it than before.
    expect(await world.eventsOf(submitted)).not.toContain('topped-up');
  });

  it('loses nothing and books at the right time while the clock of its worker jumps an hour back and forth', async () => {
    const spender = await world.openSpender('100');
    let looks = 0;
    clock = () => addMilliseconds(now(), (++looks % 2 === 0 ? 1 : -1) * HOUR_MS);
    const steps = [...says(2, 0.2), ...says(4, 0.4), ...says(7, 0.7), ...ends(9)];
    const submitted = await world.submit({ spender, expected: '3', maxCredits: '50', parameters: { steps } });
    expect(await submitted.handle.result()).toMatchObject({ end: 'completed', charged: '9', absorbed: '0' });
    expect(await world.eventsOf(submitted)).toContain('topped-up');
    const usage = await usageOfJob(world.db, submitted.jobId);
    expect(usage.find(({ meter }) => meter === 'rounds')).toMatchObject({ charged: true, quantity: '9' });
    const seen = await firstRow<{ measured: number; booked: number }>(
      world.db,
      `select
         (select extract(epoch from max(measured_at) - min(measured_at)) from usage_records where job_id = ?)::int as measured,
         (select extract(epoch from max(booked_at) - min(booked_at)) from operations where subject = ?)::int as booked`,
      [submitted.jobId, submitted.jobId],
    );
    // The clock did jump under the metering, and nothing of it reached the ledger.
    expect(seen?.measured).toBeGreaterThan(3_600);
    expect(seen?.booked).toBeLessThan(600);
  });

  it('is cancelled in mid-run, keeps what it wrote and pays what it used', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '50',
      parameters: {
        steps: [
          { do: 'file', path: 'out/half.txt', text: 'half' },
          { do: 'report', report: { type: 'result', name: 'half.txt', file: 'out/half.txt', mediaType: 'text/plain' } },
          ...works(),
        ],
      },
    });
    await eventually('usage', async () => (await usageOfJob(world.db, submitted.jobId)).length > 0);
    await submitted.handle.cancel();
    const summary = await submitted.handle.result();
    expect(summary).toMatchObject({ state: 'settled', end: 'cancelled', absorbed: '0' });
    const usage = await usageOfJob(world.db, submitted.jobId);
    expect(summary.charged).toBe(usage.find(({ meter }) => meter === 'rounds')?.quantity);
    expect(await resultsOf(world.db, submitted.jobId)).toMatchObject([{ name: 'half.txt', size: 4 }]);
    expect(await attemptsOf(world.db, submitted.jobId)).toMatchObject([{ outcome: 'stopped' }]);
  });

  it('ends at its own time limit and pays what it used', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '60',
      timeLimitSeconds: 1,
      parameters: { steps: works() },
    });
    const summary = await submitted.handle.result();
    expect(summary).toMatchObject({ state: 'settled', end: 'time-limit' });
    expect(Number(summary.charged)).toBeGreaterThan(0);
  });

  onLinux('loses no usage and no result when Postgres goes away for a while in mid-run', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '60',
      parameters: {
        steps: [
          ...works(1_000),
          { do: 'file', path: 'out/a.txt', text: 'whole' },
          { do: 'report', report: { type: 'result', name: 'a.txt', file: 'out/a.txt', mediaType: 'text/plain' } },
          ...DONE,
        ],
      },
    });
    const pid = await engineOf(submitted);
    await world.postgres.cut();
    await eventually('the end of the engine', () => !isAlive(readProcess(pid)));
    await world.postgres.restore();
    const summary = await submitted.handle.result();
    expect(summary).toMatchObject({ state: 'settled', end: 'completed', absorbed: '0' });
    const usage = await usageOfJob(world.db, submitted.jobId);
    expect(usage.find(({ meter }) => meter === 'rounds')?.quantity).toBe(summary.charged);
    expect(Number(summary.charged)).toBeGreaterThanOrEqual(8);
    expect(await resultsOf(world.db, submitted.jobId)).toMatchObject([{ name: 'a.txt', size: 5 }]);
    expect(await attemptsOf(world.db, submitted.jobId)).toHaveLength(1);
  });
});

describe('a compute worker that is killed in mid-run', () => {
  const workers: ChildProcess[] = [];

  afterEach(() => {
    for (const worker of workers.splice(0)) worker.kill('SIGKILL');
  });

  function startWorker(): ChildProcess {
    const worker = spawn(process.execPath, [join(packageRoot(), 'cli', 'holdfast.js'), 'serve', 'compute'], {
      env: {
        PATH: process.env.PATH,
        HOME: world.folder,
        DATABASE_URL: world.databaseUrl,
        TEMPORAL_ADDRESS: world.address,
        TEMPORAL_NAMESPACE: world.namespace,
        HOLDFAST_HOME: join(world.folder, 'home'),
        HOLDFAST_OBJECTS: join(world.folder, 'objects'),
        HOLDFAST_LOG_LEVEL: 'error',
      },
      stdio: 'ignore',
    });
    workers.push(worker);
    return worker;
  }

  it('leaves a second attempt to the next worker; the lost one is metered and not charged', async () => {
    const spender = await world.openSpender('100');
    const first = startWorker();
    const submitted = await world.submit({
      spender,
      expected: '20',
      maxCredits: '50',
      heartbeatSeconds: 2,
      service: 'rendering',
      rateCardVersion: 1,
      dimensions: { quality: 'final', imageMegapixels: '0.04' },
      parameters: { width: 200, height: 200, frames: 1, quality: 'final', samples: 12, threads: 1 },
      input: await readFile(join(packageRoot(), 'samples', 'gallery.glb')),
    });
    await eventually('metered usage', async () => (await rated(submitted.jobId)) !== undefined);
    first.kill('SIGKILL');
    await once(first, 'exit');
    startWorker();
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', absorbed: '0' });
    expect(await attemptsOf(world.db, submitted.jobId)).toMatchObject([
      { number: 1, outcome: 'lost' },
      { number: 2, outcome: 'completed' },
    ]);
    const usage = (await usageOfJob(world.db, submitted.jobId)).filter(({ meter }) => meter === 'megapixels');
    expect(usage.map(({ attempt, charged }) => ({ attempt, charged }))).toEqual([
      { attempt: 1, charged: false },
      { attempt: 2, charged: true },
    ]);
    expect(usage[1]?.quantity).toBe('0.04');
  });

  // Skipped where bubblewrap or POV-Ray is not installed.
  describeWith(['bwrap', 'povray'])('with an engine that can go on', () => {
    it.each(['SIGKILL', 'SIGTERM'] as const)('by %s: the next worker goes on from there', async (signal) => {
      const spender = await world.openSpender('100');
      const first = startWorker();
      const submitted = await world.submit({
        spender,
        expected: '5',
        heartbeatSeconds: 2,
        service: 'rendering',
        rateCardVersion: 1,
        dimensions: { quality: 'final', imageMegapixels: '0.4' },
        parameters: { width: 800, height: 500, frames: 1, quality: 'final', samples: 25 },
        route: { runner: 'sandbox', engine: 'povray' },
        input: await readFile(join(packageRoot(), 'samples', 'hall.pov')),
      });
      await eventually('metered usage', async () => (await rated(submitted.jobId)) !== undefined);
      first.kill(signal);
      await once(first, 'exit');
      startWorker();
      expect(await submitted.handle.result()).toMatchObject({ state: 'settled', end: 'completed', charged: '1' });
      const usage = (await usageOfJob(world.db, submitted.jobId)).filter(({ meter }) => meter === 'megapixels');
      expect(usage.map(({ attempt, charged }) => ({ attempt, charged }))).toEqual([
        { attempt: 1, charged: false },
        { attempt: 2, charged: true },
      ]);
      expect(usage[1]?.quantity).toBe('0.4');
      // What the second attempt said first is what it was given.
      const [said] = await rows<{ quantity: bigint }>(
        world.db,
        `select quantity from usage_records
         where job_id = ? and attempt = 2 and meter = 'megapixels'
         order by seq`,
        [submitted.jobId],
      );
      expect(Number(said?.quantity ?? 0) / 1e6).toBeGreaterThanOrEqual(Number(usage[0]?.quantity));
      expect(await disagreementsOfJobs(world.db, [submitted.jobId])).toEqual(new Map());
      expect(await readdir(join(world.folder, 'home', 'work', 'lost'))).toEqual([]);
    });
  });

  function rated(jobId: string) {
    return firstRow(world.db, "select 1 from usage_records where job_id = ? and meter = 'megapixels'", [jobId]);
  }
});
