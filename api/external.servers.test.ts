/** Somebody else's compute: an agent over REST, and claimers that report late, twice, out of order, or not at all. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { runAgent } from '../cli/agent';
import { DEMO } from '../db/seed';
import { packageRoot } from '../dev/root';
import { createEmbeddedRunner } from '../runners/embedded';
import { type Claimed, claimerOf } from '../test/api/claimer';
import { NETLIST, scene } from '../test/api/inputs';
import { type Heard, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';

let api: TestApi;
let netlist: string;
let picture: string;

jest.setTimeout(60_000);

const LOST_AFTER_MS = 1_500;

beforeAll(async () => {
  api = await startApi();
  netlist = await api.upload(NETLIST);
  picture = await api.upload(scene(), { name: 'triangle.gltf', mediaType: 'model/gltf+json' });
  await api.startJobsWorker();
  await api.startExternalWorker(LOST_AFTER_MS);
  // Said by asking: what nobody asks for is not sent to external compute.
  await claim('render');
  await claim('spice');
}, 60_000);

afterAll(() => api?.close());

const { claim, claimed, beat, end, told } = claimerOf(() => api);
const done = (run: Claimed, counters: Record<string, number>, more: Record<string, unknown> = {}) =>
  end(run, 'completed', counters, more);

async function submit(service: string, more: Record<string, unknown> = {}): Promise<string> {
  const input = service === 'simulation' ? netlist : picture;
  const json = { service, input, contractId: DEMO.contract, runner: 'external', maxCredits: '5', ...more };
  const { status, body } = await api.ask('POST', '/v1/jobs', { json });
  expect({ status, route: body.route?.runner, detail: body.detail }).toEqual({ status: 201, route: 'external' });
  return body.id;
}

const jobOf = async (id: string) => (await api.ask('GET', `/v1/jobs/${id}`)).body;
const usageOf = async (id: string) => (await api.ask('GET', `/v1/jobs/${id}/usage`)).body;

async function settled(id: string): Promise<Heard['body']> {
  await eventually(
    `job ${id} at its end`,
    async () => ['settled', 'released'].includes((await jobOf(id)).state),
    30_000,
  );
  return jobOf(id);
}

it('an agent claims a run, computes it and is paid for like our own compute', async () => {
  const workFolder = await mkdtemp(join(tmpdir(), 'holdfast-agent-'));
  const stop = new AbortController();
  const agent = runAgent({
    url: api.url,
    key: api.keys.compute?.key ?? '',
    name: 'a host elsewhere',
    engines: [{ name: 'spice', onLostAttempt: 'restart' }],
    runner: createEmbeddedRunner({ enginesFolder: join(packageRoot(), 'dist/engines'), workFolder }),
    workFolder,
    runsMax: 1,
    log: pino({ level: 'silent' }),
    signal: stop.signal,
    heartbeatMs: 100,
  });
  try {
    const id = await submit('simulation');
    expect(await settled(id)).toMatchObject({ state: 'settled', charged: '5', progress: '1' });
    const results = (await api.ask('GET', `/v1/jobs/${id}/results`)).body.items;
    expect(results.map(({ name }: { name: string }) => name)).toContain('simulation.json');
    const { attempts, usage } = await usageOf(id);
    expect(attempts).toMatchObject([{ number: 1, runner: 'external', outcome: 'completed' }]);
    expect(usage).toContainEqual(expect.objectContaining({ meter: 'simulations', quantity: '1', charged: true }));
  } finally {
    stop.abort();
    await agent;
    await rm(workFolder, { recursive: true, force: true });
  }
});

it('a claimer that falls silent loses the run, and its late reports are refused and cost nothing', async () => {
  const id = await submit('simulation');
  const zombie = await claimed('spice', id);
  await beat(zombie, 1, { simulations: 1 });
  const heir = await claimed('spice', id);
  expect(heir).toMatchObject({ jobId: id, attempt: 2 });
  for (const late of [
    await beat(zombie, 2, { simulations: 7 }),
    await done(zombie, { simulations: 7 }),
    await api.ask('GET', '/v1/external/input', { as: 'compute', headers: { 'Attempt-Token': zombie.token } }),
  ]) {
    expect(late).toMatchObject({ status: 409, body: { code: 'attempt_over' } });
  }
  await done(heir, { simulations: 1 });
  expect(await settled(id)).toMatchObject({ state: 'settled', charged: '5' });
  expect((await usageOf(id)).attempts).toMatchObject([{ outcome: 'engine-failed' }, { outcome: 'completed' }]);
});

it('reports that come late, twice or out of order count once', async () => {
  const id = await submit('rendering', {
    parameters: { width: 2000, height: 1000, quality: 'final' },
    maxCredits: '2',
  });
  const run = await claimed('render', id);
  await beat(run, 3, { pixels: 1_500_000, rays: 10 }, { cpuSeconds: 3 });
  await beat(run, 1, { pixels: 500_000, rays: 90 }, { cpuSeconds: 1 });
  await beat(run, 3, { pixels: 1_500_000 });
  await done(run, { pixels: 2_000_000 });
  await done(run, { pixels: 2_000_000 });
  expect(await settled(id)).toMatchObject({ charged: '2' });
  const used = Object.fromEntries(
    (await usageOf(id)).usage.map(({ meter, quantity }: { meter: string; quantity: string }) => [meter, quantity]),
  );
  expect(used).toMatchObject({ megapixels: '2', rays: '90', cpu: '3' });
  // After the end nothing counts.
  expect(await beat(run, 9, { pixels: 9_000_000 })).toMatchObject({ status: 409 });
});

it('what the program states otherwise than we counted is flagged on the charge, which stands on what was counted', async () => {
  const id = await submit('rendering', {
    parameters: { width: 1000, height: 1000, quality: 'final' },
    maxCredits: '2',
  });
  const run = await claimed('render', id);
  await done(run, { pixels: 1_000_000, rays: 5 }, { statistics: { pixels: 1_000_512, rays: 5 } });
  expect(await settled(id)).toMatchObject({ charged: '1' });
  const { flags } = (await api.ask('GET', `/v1/jobs/${id}/charge`)).body;
  expect(flags).toMatchObject([{ attempt: 1, counter: 'pixels', counted: 1_000_000, stated: 1_000_512 }]);
});

it('a run above its cap is told to stand still, and to go on when more is agreed to', async () => {
  const parameters = { width: 2000, height: 2000, quality: 'final' };
  const id = await submit('rendering', { parameters, expected: '1', maxCredits: '2' });
  const run = await claimed('render', id);
  const pixels = 3_000_000;
  let seq = await told(run, 'suspend', { pixels }, 0);
  await eventually('parked', async () => {
    await beat(run, ++seq, { pixels }, { isSuspended: true });
    return (await jobOf(id)).state === 'parked';
  });
  await api.ask('POST', `/v1/jobs/${id}/raise-cap`, { json: { maxCredits: '4' } });
  seq = await told(run, 'run', { pixels }, seq, true);
  await beat(run, ++seq, { pixels: 3_500_000 });
  await done(run, { pixels: 4_000_000 });
  expect(await settled(id)).toMatchObject({ charged: '4' });
});

it('a cancelled run is told to stop, and what it did until then is charged', async () => {
  const id = await submit('rendering', { parameters: { width: 2000, height: 2000, quality: 'final' } });
  const run = await claimed('render', id);
  await beat(run, 1, { pixels: 1_000_000 });
  await api.ask('POST', `/v1/jobs/${id}/cancel`);
  await told(run, 'stop', {}, 1);
  await end(run, 'stopped', { pixels: 1_200_000 });
  expect(await settled(id)).toMatchObject({ reason: 'cancelled', charged: '1' });
});

it('an input that the claimer finds wrong is free', async () => {
  const id = await submit('simulation');
  const run = await claimed('spice', id);
  await end(run, 'input-failed', {}, { message: 'line 3: no such element' });
  expect(await settled(id)).toMatchObject({ state: 'released', message: 'line 3: no such element' });
});

it('one run is claimed once, by those with the role, and reported with its own token', async () => {
  const id = await submit('simulation');
  await eventually('a waiting run', async () => (await usageOf(id)).attempts.length === 1);
  let found: (Claimed | null)[] = [];
  await eventually('a claim', async () => {
    found = await Promise.all(Array.from({ length: 5 }, () => claim('spice')));
    return found.some((one) => one !== null);
  });
  const [run, ...others] = found.filter((one) => one !== null);
  expect(others).toEqual([]);
  expect(run).toMatchObject({ jobId: id });
  const json = { agent: 'me', engines: ['spice'] };
  expect(await api.ask('POST', '/v1/external/claims', { key: null, json })).toMatchObject({ status: 403 });
  const strange = { ...(run as Claimed), token: `hfa_${randomUUID()}` };
  expect(await beat(strange, 1, {})).toMatchObject({ status: 404 });
  await done(run as Claimed, { simulations: 1 });
  await settled(id);
});
