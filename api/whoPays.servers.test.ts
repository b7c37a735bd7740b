/** Who pays when a job does not complete (R14), end by end, on real workflows; and that it is the card that decides. */
import { DEMO } from '../db/seed';
import { type DossierDraw, recomputeDossier } from '../domain/charge';
import { credits, formatCredits, parseCredits } from '../domain/credits';
import type { JobEnd, Payment, ServiceRates } from '../domain/rateCard';
import { type Claimed, claimerOf } from '../test/api/claimer';
import { scene } from '../test/api/inputs';
import { type Heard, startApi, type TestApi, type Who } from '../test/api/server';
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
  /** What could be spent of each lot before. */
  readonly before: Readonly<Record<string, string>>;
}

/** What can be spent of each lot that a job may draw on; nothing of them is reserved between two jobs of these tests. */
async function available(): Promise<Record<string, string>> {
  const pools = [
    `contracts/${DEMO.contract}`,
    `contracts/${DEMO.smallContract}`,
    `users/${DEMO.people.submitter.id}`,
    `users/${DEMO.people.contractAdmin.id}`,
  ];
  const pages = await Promise.all(pools.map((pool) => api.ask('GET', `/v1/${pool}/lots`, { as: 'provider' })));
  const lots: { id: string; available: string }[] = pages.flatMap(({ body }) => body.items);
  return Object.fromEntries(lots.map((lot) => [lot.id, lot.available]));
}

async function start(more: Record<string, unknown> = {}, as: Who = 'submitter'): Promise<Running> {
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
  const { status, body } = await api.ask('POST', '/v1/jobs', { as, json: 'quoteId' in more ? more : json });
  expect({ status, detail: body.detail }).toMatchObject({ status: 201 });
  return { id: body.id, run: await claimed('render', body.id), before };
}

async function ended(id: string): Promise<Heard['body']> {
  const job = async () => (await api.ask('GET', `/v1/jobs/${id}`, { as: 'operator' })).body;
  await eventually(`job ${id} at its end`, async () => ['settled', 'released'].includes((await job()).state), 60_000);
  return job();
}

/**
 * A job is charged so much, which its dossier explains. Exactly that is gone from the lots it was drawn from; what else was
 * reserved is back in its lots.
 */
async function expectPaid({ id, before }: Running, charged: string, absorbed = '0'): Promise<void> {
  expect(await ended(id)).toMatchObject({ state: 'settled', charged, reserved: '0' });
  const { body: charge } = await api.ask('GET', `/v1/jobs/${id}/charge`, { as: 'finance' });
  expect(charge).toMatchObject({ charged, absorbed });
  const { body: dossier } = await api.ask('GET', `/v1/charges/${charge.id}/dossier`, { as: 'finance' });
  expect(recomputeDossier(dossier)).toEqual([]);
  const after = { ...before };
  for (const { lotId, amount } of charge.draws as DossierDraw[]) {
    after[lotId] = formatCredits(credits(parseCredits(after[lotId] ?? '0') - parseCredits(amount)));
  }
  expect(await available()).toEqual(after);
}

/** Nothing is charged, nothing stays reserved, every credit is back in its lot. */
async function expectFree({ id, before }: Running, reason: string): Promise<void> {
  expect(await ended(id)).toMatchObject({ state: 'released', reason, charged: null, reserved: '0' });
  expect(await api.ask('GET', `/v1/jobs/${id}/charge`)).toMatchObject({ status: 404 });
  expect(await available()).toEqual(before);
}

/** The administrator's own upload of the picture: a job's input is the submitter's. */
async function pictureOfAdministrator(): Promise<string> {
  return api.upload(scene(), { as: 'contractAdmin', name: 'triangle.gltf', mediaType: 'model/gltf+json' });
}

/** Has a run do more than is agreed to, stand still when it is told to, and end when it is told to stop. */
async function standsStillUntilTheGraceIsOver(run: Claimed, pixels: number): Promise<void> {
  const seq = await told(run, 'suspend', { pixels }, 0);
  await told(run, 'stop', {}, seq, true);
  await end(run, 'stopped', { pixels });
}

describe('by the rates that are shipped', () => {
  test('what completes is paid', async () => {
    const job = await start();
    await end(job.run, 'completed', { pixels: 4 * MEGAPIXEL });
    expect(await ended(job.id)).toMatchObject({ reason: 'completed' });
    await expectPaid(job, '4');
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
    const job = await start();
    await beat(job.run, 1, { pixels: 2 * MEGAPIXEL });
    await api.ask('POST', `/v1/jobs/${job.id}/cancel`);
    await told(job.run, 'stop', {}, 1);
    await end(job.run, 'stopped', { pixels: 3 * MEGAPIXEL });
    expect(await ended(job.id)).toMatchObject({ reason: 'cancelled' });
    await expectPaid(job, '3');
  });

  test('who lets the grace pass without consent pays up to the cap, and the provider bears the rest', async () => {
    const job = await start({ expected: '1', maxCredits: '2' });
    await standsStillUntilTheGraceIsOver(job.run, 3 * MEGAPIXEL);
    expect(await ended(job.id)).toMatchObject({ reason: 'out-of-credits' });
    await expectPaid(job, '2', '1');
  });

  test('who lacks credits until the grace is over pays what there was, and keeps the part that was made', async () => {
    // The administrator has no credits of their own, and the contract has two.
    const about = { contractId: DEMO.smallContract, input: await pictureOfAdministrator(), expected: '1' };
    const job = await start({ ...about, maxCredits: '9' }, 'contractAdmin');
    const sent = await api.ask('PUT', '/v1/external/results/partial.txt?mediaType=text/plain', {
      as: 'compute',
      body: 'half of it',
      headers: { 'Attempt-Token': job.run.token, 'Content-Type': 'application/octet-stream' },
    });
    expect(sent.status).toBe(200);
    await standsStillUntilTheGraceIsOver(job.run, 3 * MEGAPIXEL);
    expect(await ended(job.id)).toMatchObject({ reason: 'out-of-credits' });
    await expectPaid(job, '2', '1');
    const { items } = (await api.ask('GET', `/v1/jobs/${job.id}/results`, { as: 'contractAdmin' })).body;
    expect(items).toMatchObject([{ name: 'partial.txt' }]);
    expect((await api.ask('GET', items[0].url, { as: 'contractAdmin' })).body).toBe('half of it');
  });

  test('who runs out of time pays for what was done', async () => {
    const job = await start({ timeLimitSeconds: 1 });
    await told(job.run, 'stop', { pixels: 2 * MEGAPIXEL }, 0);
    await end(job.run, 'stopped', { pixels: 2 * MEGAPIXEL });
    expect(await ended(job.id)).toMatchObject({ reason: 'time-limit' });
    await expectPaid(job, '2');
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
    expect(await ended(before.id)).toMatchObject({ rateCardVersion: 7 });
    await expectPaid(before, '2');
    const after = await start();
    await cancel(after);
    await expectFree(after, 'cancelled');
    expect(await ended(after.id)).toMatchObject({ rateCardVersion: 8 });
    const slow = await start({ timeLimitSeconds: 1 });
    await told(slow.run, 'stop', { pixels: 3 * MEGAPIXEL }, 0);
    await end(slow.run, 'stopped', { pixels: 3 * MEGAPIXEL });
    expect(await ended(slow.id)).toMatchObject({ reason: 'time-limit' });
    await expectPaid(slow, '1.5', '0');
  });
});
