/** A design of experiments on the real engine under the real workflow. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { attemptsOf, countRuns, resultsOf, usageOfJob } from '../db/attempts';
import type { ObjectStore } from '../db/objectStore';
import { packageRoot } from '../dev/root';
import { createEmbeddedRunner } from '../runners/embedded';
import { SERVICES } from '../services';
import { eventually } from '../test/world/eventually';
import { now, World } from '../test/world/world';
import { createRunActivities } from './run';
import { createSlots } from './slots';

jest.setTimeout(120_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveJobs();
  const workFolder = join(world.folder, 'work');
  await world.serveCompute(
    createRunActivities({
      db: world.proxied,
      store: world.store as ObjectStore,
      runner: createEmbeddedRunner({ enginesFolder: join(packageRoot(), 'dist', 'engines'), workFolder }),
      services: SERVICES,
      slots: createSlots(2),
      workFolder,
      memoryBytesMax: 2 * 1024 ** 3,
      worker: 'test',
      now,
      tellWorkflow: (jobId, report) => world.tellWorkflow(jobId, report),
      log: pino({ level: 'silent' }),
    }),
  );
});

afterEach(async () => {
  expect(await world.faults()).toEqual([]);
});

afterAll(() => world?.close());

/** Eight points, and the third has a plate too thin to be moulded. */
const thicknesses = [1, 1.5, 0.01, 2, 2.5, 3, 3.5, 4];

function design(cells: number) {
  return {
    plate: { width: 60, height: 40, thickness: 2 },
    gates: [{ x: 30, y: 20, diameter: 2 }],
    material: { viscosity: 200 },
    injection: { flowRate: 10, pressureLimit: 100 },
    cells,
    designOfExperiments: { factors: [{ field: 'plate.thickness' }], runs: thicknesses.map((one) => [one]) },
  };
}

async function submit(cells: number, credits: { expected: string; maxCredits: string }) {
  const spender = await world.openSpender('1000');
  const input = Buffer.from(JSON.stringify(design(cells)));
  return world.submit({ spender, service: 'injection-moulding', runs: 8, input, ...credits });
}

it('runs eight points of which one fails: seven are charged, and one table compares all', async () => {
  const submitted = await submit(20, { expected: '20', maxCredits: '160' });
  expect(await submitted.handle.result()).toMatchObject({
    state: 'settled',
    end: 'completed',
    charged: '140',
    absorbed: '0',
  });
  const row = await submitted.row();
  expect(row.message).toMatch(/^7 of 8 runs completed; run 3: plate.thickness is 0.01; it is from 0.05 to 50 mm/);
  expect(row.progress).toBe(1_000_000);
  expect(await countRuns(world.db, submitted.jobId)).toEqual({ completed: 7, failed: 1, running: 0 });
  const runsSold = (await usageOfJob(world.db, submitted.jobId)).filter(({ meter }) => meter === 'doeRuns');
  expect(runsSold.map(({ quantity }) => quantity)).toEqual(Array(7).fill('1'));

  const results = await resultsOf(world.db, submitted.jobId);
  const names = results.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['run-001-fill-time.svg', 'run-008-pressure.csv', 'run-003-summary.json']),
  );
  expect(names).not.toContain('run-003-fill-time.svg');
  const table = results.find(({ name }) => name === 'design-of-experiments.csv');
  const lines = (await readFile(await world.store.pathOf(table?.digest ?? ''), 'utf8')).trim().split('\n');
  expect(lines).toHaveLength(9);
  expect(lines[0]).toMatch(/^run,plate.thickness,state,.*maximumPressureMPa.*,reason$/);
  expect(lines.slice(1).map((line) => line.split(',').slice(0, 3).join(' '))).toEqual(
    thicknesses.map((one, index) => `${index + 1} ${one} ${index === 2 ? 'input-failed' : 'completed'}`),
  );
  expect(lines[3]).toContain('plate.thickness is 0.01');
});

it('is topped up once, to what all runs will cost, after the first has completed', async () => {
  const submitted = await submit(12, { expected: '20', maxCredits: '160' });
  await submitted.handle.result();
  const events = await world.eventsOf(submitted);
  expect(events.filter((kind) => kind === 'topped-up')).toHaveLength(1);
});

it('is cancelled in the middle, and pays for the runs that completed', async () => {
  const submitted = await submit(100, { expected: '160', maxCredits: '160' });
  await eventually('a completed run', async () => (await countRuns(world.db, submitted.jobId)).completed >= 1, 60_000);
  await submitted.handle.cancel();
  const summary = await submitted.handle.result();
  const { completed } = await countRuns(world.db, submitted.jobId);
  expect(summary).toMatchObject({ state: 'settled', end: 'cancelled', charged: String(completed * 20) });
  expect(completed).toBeLessThan(7);
  expect((await attemptsOf(world.db, submitted.jobId)).some(({ outcome }) => outcome === 'stopped')).toBe(true);
});
