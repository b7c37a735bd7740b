/**
 * The whole product from outside, as a person starts it, through HTTP; and what remains of a job when any part of the
 * product dies at a bad moment. Jobs run on real engines.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { connect, firstRow } from '../db/client';
import { DEMO } from '../db/seed';
import { gallery, triangle } from '../dev/chaos/inputs';
import { chooseQuietPort, type LaunchedProduct, launch, send } from '../dev/chaos/product';
import { findUnsound } from '../dev/chaos/soundness';
import { ready, runStorm, upload } from '../dev/chaos/storm';
import { instancePath } from '../dev/instance';
import { startPostgres } from '../dev/postgres';
import { isRunning } from '../dev/processes';
import { startTemporal } from '../dev/temporal';
import { jobWorkflowId } from '../domain/job';
import { readProcess } from '../runners/processes';
import { RECONCILE_SCHEDULE_ID } from '../workflows/messages';
import { type Home, makeHome } from './blackbox/home';
import {
  attemptsOf,
  COMPLETED,
  ended,
  engineOf,
  film,
  jobWhen,
  LOST,
  midRun,
  picture,
  refusedForNow,
  submit,
} from './blackbox/jobs';
import { eventually } from './world/eventually';

jest.setTimeout(240_000);

const contractId = DEMO.contract;
const RESTARTED = [LOST, COMPLETED];

describe('on embedded servers', () => {
  let home: Home;
  let product: LaunchedProduct;
  let scene: string;

  beforeAll(async () => {
    home = await makeHome();
    product = await home.launch();
    scene = await upload(product, triangle());
  });

  afterAll(() => home?.leave());

  /** After each fault: nothing is lost or doubled, and everything has ended. */
  afterEach(async () => {
    await ready(product);
    expect(await findUnsound(product)).toEqual([]);
  });

  test('a start shows what it does, answers, and writes down for its owner alone where everything is', async () => {
    const { instance } = product;
    const printed = readFileSync(product.output, 'utf8');
    for (const step of ['starting Postgres', 'starting Temporal', 'migrating', 'seeding', 'waiting until everything']) {
      expect(printed).toMatch(new RegExp(`✓ ${step}.* \\(\\d+\\.\\d s\\)`));
    }
    expect(printed).toContain(String(instance.apiUrl));
    for (const { key } of Object.values(instance.keys)) expect(printed).toContain(key);
    expect((await product.ask('GET', '/health/ready')).status).toBe(200);
    expect(statSync(instancePath(home.path)).mode & 0o777).toBe(0o600);
    expect(instance).toMatchObject({ state: 'running', apiUrl: expect.any(String), temporalUiUrl: expect.any(String) });
    expect(instance.processes.map(({ name }) => name).sort()).toEqual([
      'api',
      'compute',
      'jobs',
      'postgres',
      'temporal',
    ]);
    expect(instance.processes.every(isRunning)).toBe(true);
    expect(Object.keys(instance.keys).sort()).toEqual(Object.keys(DEMO.people).sort());
  });

  test('a second start from the same home is refused with a sentence', async () => {
    const refused = launch({ home: home.path });
    await expect(refused).rejects.toThrow(/Process \d+ already runs from .* and answers on http\S+ Stop it first/);
    expect((await product.ask('GET', '/health/ready')).status).toBe(200);
  });

  test('a job goes from its quote to a charge that adds up, and its results are downloaded', async () => {
    const input = await upload(product, await gallery());
    const request = {
      service: 'rendering',
      input,
      contractId,
      parameters: { width: 160, height: 100, quality: 'final', samples: 1 },
    };
    const { body: quote } = await product.ask('POST', '/v1/quotes', { json: request });
    const jobId = await submit(product, { quoteId: quote.id });
    expect(await ended(product, jobId)).toMatchObject({
      state: 'settled',
      reason: 'completed',
      charged: quote.expected,
    });
    const { body: charge } = await product.ask('GET', `/v1/jobs/${jobId}/charge`);
    expect(charge).toMatchObject({ charged: '1', absorbed: '0' });
    const { body: results } = await product.ask('GET', `/v1/jobs/${jobId}/results`);
    expect(results.items.map(({ name }: { name: string }) => name)).toContain('image.png');
    const image = await product.ask('GET', `/v1/jobs/${jobId}/results/image.png`);
    expect(image).toMatchObject({ status: 200 });
    expect(image.headers.get('content-type')).toBe('image/png');
  });

  test('Ctrl-C in the middle of a job, and the next start carries the job to its end', async () => {
    const jobId = await submit(product, { ...picture(scene, 400), contractId });
    const engine = await midRun(product, jobId);
    const recorded = product.instance.processes;
    expect(await product.stop()).toBe(0);
    expect(recorded.filter(isRunning)).toEqual([]);
    expect(readProcess(engine.pid)).toBeUndefined();
    expect(product.instance).toMatchObject({ state: 'stopped', processes: [], launcher: null });

    product = await home.launch();
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
    expect(await attemptsOf(product, jobId)).toEqual(RESTARTED);
  });

  test('SIGKILL of the launcher in the middle of a job, and the next start cleans up and carries the job to its end', async () => {
    const jobId = await submit(product, { ...picture(scene, 400), contractId });
    await midRun(product, jobId);
    const left = product.instance.processes;
    await product.killLauncher();

    product = await home.launch();
    expect(left.filter(isRunning)).toEqual([]);
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
    expect(await attemptsOf(product, jobId)).toEqual(RESTARTED);
  });

  test('SIGKILL of the compute worker: a new attempt, and the lost one is metered and not charged', async () => {
    const jobId = await submit(product, { ...picture(scene, 400), contractId });
    const engine = await midRun(product, jobId);
    expect(product.signal('compute', 'SIGKILL')).toBe(true);
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
    expect(readProcess(engine.pid)).toBeUndefined();
    expect(await attemptsOf(product, jobId)).toEqual(RESTARTED);
  });

  test('SIGKILL of the jobs worker: the engine does not notice', async () => {
    const jobId = await submit(product, { ...picture(scene, 400), contractId });
    await midRun(product, jobId);
    expect(product.signal('jobs', 'SIGKILL')).toBe(true);
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
    expect(await attemptsOf(product, jobId)).toEqual([COMPLETED]);
  });

  test('SIGKILL of the API between a submission and its answer: the same key again makes one job', async () => {
    const comment = randomUUID();
    const key = randomUUID();
    const json = { ...picture(scene, 8), contractId, comment };
    // While the jobs worker stands still, the submission is written down and waits for its reservation.
    expect(product.signal('jobs', 'SIGSTOP')).toBe(true);
    const answered = product.ask('POST', '/v1/jobs', { json, key }).then(
      ({ status }) => status,
      () => 'no answer',
    );
    const db = connect(String(product.instance.databaseUrl), { poolMax: 1 });
    try {
      await eventually('the job is written down', () =>
        firstRow(db, 'select 1 from jobs where comment = ?', [comment]),
      );
      expect(product.signal('api', 'SIGKILL')).toBe(true);
      expect(await answered).toBe('no answer');
      product.signal('jobs', 'SIGCONT');
      const answers = await Promise.all([1, 2].map(() => product.insist('POST', '/v1/jobs', { json, key })));
      for (const { status } of answers) expect(status).toBe(201);
      const found = await firstRow<{ id: string; count: bigint }>(
        db,
        'select min(id::text) as id, count(*) from jobs where comment = ?',
        [comment],
      );
      expect(found?.count).toBe(1n);
      expect(answers.map(({ body }) => body.id)).toEqual([found?.id, found?.id]);
      expect(await ended(product, String(found?.id))).toMatchObject({ state: 'settled', charged: '1' });
    } finally {
      product.signal('jobs', 'SIGCONT');
      await db.destroy();
    }
  });

  test('SIGKILL of the engine: a new attempt, and the lost one is metered and not charged', async () => {
    const jobId = await submit(product, { ...picture(scene, 400), contractId });
    const engine = await midRun(product, jobId);
    expect(send(engine.pid, 'SIGKILL')).toBe(true);
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
    expect(await attemptsOf(product, jobId)).toEqual([{ ...LOST, outcome: 'engine-failed' }, COMPLETED]);
  });

  test('an engine that dies five times is the platform’s failure: everything is released and nothing charged', async () => {
    const jobId = await submit(product, { ...picture(scene, 1024), contractId });
    for (let attempt = 1; attempt <= 5; attempt++) {
      const engine = await engineOf(product, jobId, attempt);
      expect(send(engine.pid, 'SIGKILL')).toBe(true);
    }
    expect(await ended(product, jobId)).toMatchObject({
      state: 'released',
      reason: 'platform-failed',
      charged: null,
      reserved: '0',
    });
    expect((await attemptsOf(product, jobId)).map(({ outcome }) => outcome)).toEqual(Array(5).fill('engine-failed'));
  });

  test('a job parked for credits uses no CPU, and credits that arrive let it go on at once', async () => {
    const small = DEMO.smallContract;
    const own = await upload(product, triangle(), 'contractAdmin');
    // This person has no credits of their own: the contract's 2 are all there is.
    const jobId = await submit(product, { ...film(own, { maxCredits: '6' }), contractId: small }, 'contractAdmin');
    expect(await jobWhen(product, jobId, 'parked', 'contractAdmin')).toMatchObject({ reason: 'credits' });
    await expectNoCpu(await engineOf(product, jobId));
    const granted = await product.ask('POST', `/v1/contracts/${small}/lots`, {
      as: 'provider',
      json: { kind: 'shared', amount: '10', reason: 'for the parked job' },
    });
    expect(granted.status).toBe(201);
    expect(await ended(product, jobId, 'contractAdmin')).toMatchObject({
      state: 'settled',
      reason: 'completed',
      charged: '3',
    });
    expect((await attemptsOf(product, jobId)).length).toBe(1);
  });

  test('a job parked for its cap goes on when the cap is raised', async () => {
    const jobId = await submit(product, { ...film(scene, { maxCredits: '2' }), contractId });
    expect(await jobWhen(product, jobId, 'parked')).toMatchObject({ reason: 'cap', maxCredits: '2' });
    await expectNoCpu(await engineOf(product, jobId));
    const raised = await product.ask('POST', `/v1/jobs/${jobId}/raise-cap`, { json: { maxCredits: '5' } });
    expect(raised.status).toBe(200);
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'completed', charged: '3' });
    expect((await attemptsOf(product, jobId)).length).toBe(1);
  });

  test('a parked job that is cancelled is charged for what it used', async () => {
    const jobId = await submit(product, { ...film(scene, { maxCredits: '2' }), contractId });
    await jobWhen(product, jobId, 'parked');
    const engine = await engineOf(product, jobId);
    const cancelled = await product.ask('POST', `/v1/jobs/${jobId}/cancel`);
    expect(cancelled.status).toBeLessThan(300);
    expect(await ended(product, jobId)).toMatchObject({ state: 'settled', reason: 'cancelled', charged: '2' });
    expect(readProcess(engine.pid)).toBeUndefined();
  });

  test('a workflow that is terminated in mid-run: its engine stops, and the reconciler releases its credits', async () => {
    const jobId = await submit(product, { ...picture(scene, 1024), contractId });
    await midRun(product, jobId);
    const { temporalAddress, namespace } = product.instance;
    const connection = await Connection.connect({ address: String(temporalAddress) });
    try {
      const client = new Client({ connection, namespace });
      await client.workflow.getHandle(jobWorkflowId(jobId)).terminate('somebody tidied up');
      await eventually('its engine is gone', () => !product.engines().some((engine) => engine.jobId === jobId));
      // Young jobs are left alone: the schedule is triggered until this one is old enough.
      const released = await eventually('the reconciler released it', async () => {
        await client.schedule.getHandle(RECONCILE_SCHEDULE_ID).trigger();
        const { body } = await product.insist('GET', `/v1/jobs/${jobId}`);
        return body.state === 'released' ? body : undefined;
      });
      expect(released).toMatchObject({ reason: 'workflow-closed', reserved: '0', charged: null });
    } finally {
      await connection.close();
    }
  });

  test('whoever is killed at random, jobs of all sorts end and no credit is lost or doubled', async () => {
    const seed = Number(process.env.HOLDFAST_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
    process.stderr.write(`the seed of this storm is ${seed}; HOLDFAST_TEST_SEED repeats its choices\n`);
    const summary = await runStorm({
      product,
      contractId,
      seed,
      jobs: 6,
      atOnce: 6,
      killsMax: 6,
      pauseMs: { low: 300, high: 4_000 },
      say: () => undefined,
    });
    expect(summary.findings).toEqual([]);
    expect(summary).toMatchObject({ seed, jobs: 6 });
  });
});

describe('on servers that go away for a while', () => {
  let servers: string;
  let home: Home;
  let product: LaunchedProduct;
  let postgres: Awaited<ReturnType<typeof startPostgres>>;
  let temporal: Awaited<ReturnType<typeof startTemporal>>;
  let scene: string;

  const bringPostgres = (port: number) => startPostgres({ folder: join(servers, 'postgres'), port });
  const bringTemporal = (port: number) =>
    startTemporal({
      store: { folder: join(servers, 'temporal') },
      log: join(servers, 'temporal.log'),
      uiPort: false,
      port,
    });

  beforeAll(async () => {
    servers = await mkdtemp(join(tmpdir(), 'holdfast-blackbox-servers-'));
    [postgres, temporal] = await Promise.all([
      chooseQuietPort().then(bringPostgres),
      chooseQuietPort().then(bringTemporal),
    ]);
    home = await makeHome();
    // The reconciler must not give up what could not be submitted while a server was away.
    const patience = { HOLDFAST_RECONCILE_AFTER_SECONDS: '600' };
    product = await home.launch({ DATABASE_URL: postgres.url, TEMPORAL_ADDRESS: temporal.address, ...patience });
    scene = await upload(product, triangle());
  });

  afterAll(async () => {
    try {
      await home?.leave();
    } finally {
      await temporal?.stop();
      await postgres?.stop();
      await rm(servers, { recursive: true, force: true });
    }
  });

  test.each([
    [
      'Postgres',
      () => postgres.stop(),
      async () => {
        postgres = await bringPostgres(postgres.port);
      },
    ],
    [
      'Temporal',
      () => temporal.stop(),
      async () => {
        temporal = await bringTemporal(temporal.port);
      },
    ],
  ])(
    '%s gone for 20 s in the middle of a job: submissions are refused for now, succeed once afterwards, and all jobs end as they should',
    async (_, stop, bringBack) => {
      const before = await countJobs();
      // What it costs is far below its cap: whatever were charged twice would show.
      const running = await submit(product, {
        ...film(scene, { maxCredits: '9', samples: 8 }),
        expected: '3',
        contractId,
      });
      const parked = await submit(product, { ...film(scene, { maxCredits: '2' }), contractId });
      await midRun(product, running);
      await stop();
      const backAt = performance.now() + 20_000;
      const keys = [randomUUID(), randomUUID(), randomUUID()];
      const request = { ...picture(scene, 4), contractId };
      for (let round = 0; performance.now() < backAt || engineRuns(running); round++) {
        const answer = await product.ask('POST', '/v1/jobs', {
          json: request,
          key: keys[round % keys.length] as string,
        });
        expect({ status: answer.status, body: answer.body, refused: refusedForNow(answer) }).toMatchObject({
          status: 503,
          body: { code: 'unavailable', retryable: true },
          refused: true,
        });
        await delay(200);
      }
      await bringBack();

      const answers = await Promise.all(keys.map((key) => product.insist('POST', '/v1/jobs', { json: request, key })));
      for (const { status } of answers) expect([201, 202]).toContain(status);
      const again = await Promise.all(keys.map((key) => product.insist('POST', '/v1/jobs', { json: request, key })));
      expect(again.map(({ body }) => body.id)).toEqual(answers.map(({ body }) => body.id));
      for (const { body } of answers) {
        expect(await ended(product, body.id)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
      }
      // What was done while nobody could be told is not done again; an attempt that was lost costs nothing.
      expect(await ended(product, running)).toMatchObject({ state: 'settled', reason: 'completed', charged: '3' });
      expect((await attemptsOf(product, running)).filter(({ charged }) => charged)).toEqual([COMPLETED]);
      await jobWhen(product, parked, 'parked');
      expect((await product.insist('POST', `/v1/jobs/${parked}/cancel`)).status).toBeLessThan(300);
      expect(await ended(product, parked)).toMatchObject({ state: 'settled', reason: 'cancelled', charged: '2' });
      expect((await countJobs()) - before).toBe(5n);
      await ready(product);
      expect(await findUnsound(product)).toEqual([]);
    },
  );

  function engineRuns(jobId: string): boolean {
    return product.engines().some((engine) => engine.jobId === jobId);
  }

  async function countJobs(): Promise<bigint> {
    const db = connect(postgres.url, { poolMax: 1 });
    try {
      return (await firstRow<{ count: bigint }>(db, 'select count(*) from jobs'))?.count ?? 0n;
    } finally {
      await db.destroy();
    }
  }
});

/** A stopped process is looked at many times: a running one would be seen to move many times over. */
async function expectNoCpu({ pid }: { pid: number }): Promise<void> {
  const seen = await eventually('the engine stands still', () => {
    const row = readProcess(pid);
    return row?.state === 'T' ? row : undefined;
  });
  let looks = 0;
  await eventually('fifty looks', () => {
    expect(readProcess(pid)).toMatchObject({ state: 'T', cpuSeconds: seen.cpuSeconds });
    looks += 1;
    return looks === 50;
  });
}
