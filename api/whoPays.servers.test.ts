/** Who pays when a job does not complete (R14), end by end, on real workflows; and that it is the card that decides. */

import { DEMO } from '../db/seed';
import { recomputeDossier } from '../domain/charge';
import type { JobEnd, Payment, ServiceRates } from '../domain/rateCard';
import { type Claimed, claimerOf } from '../test/api/claimer';
import { scene } from '../test/api/inputs';
import { type Heard, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';

jest.setTimeout(120_000);

let api: TestApi;
let picture: string;
const { claim, claimed, beat, end, told } = claimerOf(() => api);

beforeAll(async () => {
  api = await startApi({ parkedGraceSeconds: 1 });
  picture = await api.upload(scene(), { name: 'triangle.gltf', mediaType: 'model/gltf+json' });
  await api.startJobsWorker();
  await api.startExternalWorker(60_000);
  await claim('render');
}, 60_000);

afterAll(() => api?.close());

/** Four megapixels at one credit each, all of them reserved. */
const FOUR = { width: 2000, height: 2000, quality: 'final' };
const MEGAPIXEL = 1_000_000;

interface Running {
  readonly id: string;
  readonly run: Claimed;
  /** What the contract and the user can spend before. */
  readonly before: string;
}

const available = async () => (await api.ask('GET', `/v1/contracts/${DEMO.contract}/balance`)).body.available;

async function start(more: Record<string, unknown> = {}): Promise<Running> {
  const before = await available();
  const json = {
    service: 'rendering',
    input: picture,
    parameters: FOUR,
    contractId: DEMO.contract,
    runner: 'external',
    maxCredits: '4',
    ...more,
  };
  const { status, body } = await api.ask('POST', '/v1/jobs', { json: 'quoteId' in more ? more : json });
  expect({ status, detail: body.detail }).toMatchObject({ status: 201 });
  return { id: body.id, run: await claimed('render', body.id), before };
}

async function ended(id: string): Promise<Heard['body']> {
  const job = async () => (await api.ask('GET', `/v1/jobs/${id}`)).body;
  await eventually(`job ${id} at its end`, async () => ['settled', 'released'].includes((await job()).state), 60_000);
  return job();
}

/** The charge of a job, which must explain itself, and what it took from the lots. */
async function charged(id: string): Promise<string> {
  const { body: charge } = await api.ask('GET', `/v1/jobs/${id}/charge`);
  const { body: dossier } = await api.ask('GET', `/v1/charges/${charge.id}/dossier`);
  expect(recomputeDossier(dossier)).toEqual([]);
  return charge.charged;
}

/** Nothing is charged, nothing stays reserved, every credit is back in its lot. */
async function expectFree({ id, before }: Running, reason: string): Promise<void> {
  expect(await ended(id)).toMatchObject({ state: 'released', reason, charged: null, reserved: '0' });
  expect(await api.ask('GET', `/v1/jobs/${id}/charge`)).toMatchObject({ status: 404 });
  expect(await available()).toBe(before);
}

describe('by the rates that are shipped', () => {
  test('what completes is paid', async () => {
    const { id, run } = await start();
    await end(run, 'completed', { pixels: 4 * MEGAPIXEL });
    expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'completed', reserved: '0' });
    expect(await charged(id)).toBe('4');
  });

  test('a platform that fails again and again is not paid, whatever it had done', async () => {
    const job = await start();
    let run = job.run;
    for (let failure = 1; failure <= 5; failure++) {
      await beat(run, 1, { pixels: 3 * MEGAPIXEL });
      await end(run, 'engine-failed', { pixels: 3 * MEGAPIXEL }, { message: 'a board broke' });
      if (failure < 5) run = await claimed('render', job.id);
    }
    await expectFree(job, 'platform-failed');
  });

  test('a bad input is free, whatever was done until it was found', async () => {
    const job = await start();
    await end(job.run, 'input-failed', { pixels: 2 * MEGAPIXEL }, { message: 'an index leads past the vertices' });
    await expectFree(job, 'input-failed');
  });

  test('who cancels before anything was done pays nothing', async () => {
    const job = await start();
    await api.ask('POST', `/v1/jobs/${job.id}/cancel`);
    await told(job.run, 'stop', {}, 0);
    await end(job.run, 'stopped', {});
    await expectFree(job, 'cancelled');
  });

  test('who cancels later pays for what was done, and gets the rest back', async () => {
    const { id, run } = await start();
    await beat(run, 1, { pixels: 2 * MEGAPIXEL });
    await api.ask('POST', `/v1/jobs/${id}/cancel`);
    await told(run, 'stop', {}, 1);
    await end(run, 'stopped', { pixels: 3 * MEGAPIXEL });
    expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'cancelled', reserved: '0' });
    expect(await charged(id)).toBe('3');
  });

  test('who lets the grace pass without consent pays up to the cap, and the provider bears the rest', async () => {
    const { id, run } = await start({ expected: '1', maxCredits: '2' });
    const seq = await told(run, 'suspend', { pixels: 3 * MEGAPIXEL }, 0);
    let last = seq;
    await eventually('the wish to stop', async () => {
      last += 1;
      return (await beat(run, last, {}, { isSuspended: true })).body.wants === 'stop';
    });
    await end(run, 'stopped', { pixels: 3 * MEGAPIXEL });
    expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'out-of-credits', charged: '2' });
    expect(await charged(id)).toBe('2');
    expect((await api.ask('GET', `/v1/jobs/${id}/charge`)).body).toMatchObject({ rated: '3', absorbed: '1' });
  });

  test('who runs out of time pays for what was done', async () => {
    const { id, run } = await start({ timeLimitSeconds: 1 });
    await told(run, 'stop', { pixels: 2 * MEGAPIXEL }, 0);
    await end(run, 'stopped', { pixels: 2 * MEGAPIXEL });
    expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'time-limit' });
    expect(await charged(id)).toBe('2');
  });

  test.each([
    ['cancelled before its first iteration', 'cancelled', '0', '0'],
    ['failed without an outcome', 'input-failed', '0', '0'],
    ['cancelled after its first iteration', 'cancelled', '1', '11'],
    ['failed after its first iteration', 'input-failed', '1', '11'],
    ['completed', 'completed', '40', '11'],
  ])('a generative study that %s', async (_what, how, iterations, expected) => {
    const usage = [{ meter: 'iterations', quantity: iterations }];
    const json = { service: 'generative-study', usage, end: how };
    const { body } = await api.ask('POST', '/v1/rate-cards/7/rate', { key: null, json });
    expect(body.charged).toBe(expected);
  });
});

describe('by another policy', () => {
  const OTHER: Partial<Record<JobEnd, Payment>> = {
    cancelled: { pays: 'nothing' },
    'time-limit': { pays: 'actual', upTo: '1.5' },
  };

  test('jobs go by the one of their quote, though another is in force by then', async () => {
    const quote = { service: 'rendering', input: picture, parameters: FOUR, contractId: DEMO.contract };
    const old = (await api.ask('POST', '/v1/quotes', { json: quote })).body.id;
    const { services } = (await api.ask('GET', '/v1/rate-cards/7')).body;
    const changed = services.map((one: ServiceRates) =>
      one.service === 'rendering' ? { ...one, policy: { ...one.policy, ...OTHER } } : one,
    );
    const as = 'provider' as const;
    const draft = await api.ask('POST', '/v1/rate-card-drafts', { as, json: { title: 'Kind', services: changed } });
    const published = await api.ask('POST', `/v1/rate-card-drafts/${draft.body.id}/publish`, {
      as,
      headers: { 'If-Match': draft.headers.get('etag') ?? '' },
    });
    expect(published.status).toBe(201);
    const cancel = async ({ id, run }: Running) => {
      await beat(run, 1, { pixels: 2 * MEGAPIXEL });
      await api.ask('POST', `/v1/jobs/${id}/cancel`);
      await told(run, 'stop', {}, 1);
      await end(run, 'stopped', { pixels: 2 * MEGAPIXEL });
    };
    const before = await start({ quoteId: old, runner: 'external' });
    await cancel(before);
    expect(await ended(before.id)).toMatchObject({ state: 'settled', charged: '2', rateCardVersion: 7 });
    const after = await start();
    await cancel(after);
    await expectFree(after, 'cancelled');
    expect(await ended(after.id)).toMatchObject({ rateCardVersion: 8 });
    const slow = await start({ timeLimitSeconds: 1 });
    await told(slow.run, 'stop', { pixels: 3 * MEGAPIXEL }, 0);
    await end(slow.run, 'stopped', { pixels: 3 * MEGAPIXEL });
    expect(await ended(slow.id)).toMatchObject({ state: 'settled', reason: 'time-limit' });
    expect(await charged(slow.id)).toBe('1.5');
  });
});
