/** What was published about credits like these, example by example, through the API. */
import { bookDue } from '../db/contractBooking';
import { DEMO } from '../db/seed';
import { parseCredits } from '../domain/credits';
import { addMilliseconds, instantOfMilliseconds, parseInstant } from '../domain/instant';
import { quantity } from '../domain/usage';
import { NETLIST, scene } from '../test/api/inputs';
import { scriptContracts } from '../test/api/scriptedContracts';
import { type Heard, startApi, type TestApi } from '../test/api/server';
import { reservedJob, settleJob } from '../test/api/settled';

jest.setTimeout(120_000);

const DAY_MS = 86_400_000;
const START = instantOfMilliseconds(Date.now());
const day = (days: number) => addMilliseconds(START, days * DAY_MS);
/** The versions of the seed. */
const [IN_2012, IN_2018, IN_2020, LAST] = [3, 5, 6, 7];

const as = 'provider';
const contracts = scriptContracts(START);
let api: TestApi;
let image: string;

beforeAll(async () => {
  api = await startApi({ workflows: contracts.replacing });
  contracts.db = api.db;
  image = await api.upload(scene(), { as: 'contractAdmin', name: 'scene.gltf', mediaType: 'model/gltf+json' });
  await api.startJobsWorker();
});
afterAll(() => api?.close());
beforeEach(() => {
  api.clock.aheadMs = 0;
  contracts.at = 'present';
});

/** What usage costs by a published version. */
const rate = async (version: number, service: string, used: Record<string, string>, more: object = {}) => {
  const usage = Object.entries(used).map(([meter, amount]) => ({ meter, quantity: amount }));
  const { status, body } = await api.ask('POST', `/v1/rate-cards/${version}/rate`, {
    json: { service, usage, ...more },
  });
  expect(status).toBe(200);
  return body;
};
const charged = async (...asked: Parameters<typeof rate>): Promise<string> => (await rate(...asked)).charged;

/** A contract on which the administrator of the demo may spend, who owns no credits of their own. */
async function contract(json: object = {}): Promise<string> {
  const about = { customerId: DEMO.customer, name: 'An example', timeZone: 'UTC', reason: 'an example' };
  const made = await api.ask('POST', '/v1/contracts', {
    as,
    json: { ...about, startsAt: day(-400), endsAt: day(100), ...json },
  });
  expect(made.status).toBe(201);
  const user = { userId: DEMO.people.contractAdmin.id, role: 'contract-admin' };
  expect((await api.ask('POST', `/v1/contracts/${made.body.id}/users`, { as, json: user })).status).toBe(201);
  return made.body.id;
}
const grant = async (contractId: string, json: object): Promise<Heard['body']> => {
  const lot = { kind: 'shared', reason: 'an example', ...json };
  const { status, body } = await api.ask('POST', `/v1/contracts/${contractId}/lots`, { as, json: lot });
  expect(status).toBe(201);
  return body;
};
const balance = async (contractId: string) =>
  (await api.ask('GET', `/v1/contracts/${contractId}/balance`, { as: 'finance' })).body;
/** A quote of so many final megapixels, at a credit each. */
const quote = (contractId: string | null, parameters: object) =>
  api.ask('POST', '/v1/quotes', {
    as: 'contractAdmin',
    json: { service: 'rendering', input: image, contractId, parameters: { quality: 'final', ...parameters } },
  });
/** Does something while the API takes it to be another day. */
async function on<T>(instant: string, act: () => Promise<T>): Promise<T> {
  api.clock.aheadMs = Date.parse(instant) - Date.now();
  contracts.at = parseInstant(instant);
  return act();
}

test.each([[IN_2018], [LAST]])(
  'example 1: by version %i a moulding simulation is 20, 5 km of road 100, a structural analysis 2, an optimization 5, a session 1',
  async (version) => {
    expect(await charged(version, 'injection-moulding', { simulations: '1' })).toBe('20');
    expect(await charged(version, 'road-profile', { kilometres: '5' })).toBe('100');
    expect(await charged(version, 'structural-analysis', { analyses: '1' })).toBe('2');
    expect(await charged(version, 'optimization', { optimizations: '1' })).toBe('5');
    expect(await charged(version, 'configuration-session', { sessions: '1' })).toBe('1');
    expect(await charged(version, 'simulation', { simulations: '1' })).toBe('5');
  },
);

test('example 2: an image of 1024 x 768 is 0.79 megapixels, and free in standard quality', async () => {
  const dimensions = { quality: 'standard', imageMegapixels: '0.786432' };
  expect(await rate(IN_2018, 'rendering', { megapixels: '0.786432' }, { dimensions })).toMatchObject({
    lines: [{ quantity: '0.786432', amount: '0', note: 'free below 1 imageMegapixels' }],
    charged: '0',
  });
  const size = { width: 1024, height: 768 };
  const standard = (await quote(null, { ...size, quality: 'standard' })).body;
  expect(standard).toMatchObject({
    expected: '0',
    usage: { expected: [{ meter: 'megapixels', quantity: '0.786432' }] },
  });
  expect((await quote(null, size)).body.expected).toBe('1');
});

test('example 3: 100 credits are 20 images of 5 by the card of 2012, and the 21st is refused', async () => {
  expect(await charged(IN_2012, 'rendering', { images: '20' })).toBe('100');
  expect(await charged(IN_2012, 'rendering', { images: '21' })).toBe('105');
  // Jobs of 5 credits, all at once: what is reserved cannot be promised to another.
  const contractId = await contract();
  await grant(contractId, { amount: '100' });
  const input = await api.upload(NETLIST, { as: 'contractAdmin' });
  const json = { service: 'simulation', input, contractId, maxCredits: '5' };
  const submit = () => api.ask('POST', '/v1/jobs', { as: 'contractAdmin', json });
  const answers = await Promise.all(Array.from({ length: 21 }, submit));
  expect(answers.map(({ status }) => status).sort()).toEqual([...Array(20).fill(201), 402]);
  expect(answers.find(({ status }) => status === 402)?.body).toMatchObject({ available: '0', shortfall: '5' });
  expect(await balance(contractId)).toMatchObject({ available: '0', reserved: '100' });
});

test('example 4: of 5,100 credits issued 73 were used, so 5,027 are available', async () => {
  const contractId = await contract();
  await grant(contractId, { amount: '5100' });
  await finalMegapixels(contractId, { reserve: '80', use: '73' });
  expect(await balance(contractId)).toMatchObject({ granted: '5100', consumed: '73', available: '5027' });
});

test('example 5: a model in a named format is 1.5, in another with however many files 0.2, and failed 0', async () => {
  const translated = (format: string, more: object = {}, files = '1') =>
    charged(IN_2020, 'model-translation', { models: '1', files }, { dimensions: { format }, ...more });
  expect(await translated('named')).toBe('1.5');
  expect(await translated('other', {}, '400')).toBe('0.2');
  expect(await translated('named', { end: 'input-failed' })).toBe('0');
  expect(await translated('named', { end: 'platform-failed' })).toBe('0');
});

test.each([
  ['simple', '5'],
  ['moderate', '10'],
  ['complex', '35'],
])('example 6: a %s CFD simulation is %s', async (complexity, price) => {
  expect(await charged(IN_2018, 'cfd', { simulations: '1' }, { dimensions: { complexity } })).toBe(price);
  expect(await charged(LAST, 'cfd', { simulations: '1' }, { dimensions: { complexity } })).toBe(price);
});

test('example 7: a generative study of 11 costs nothing before its first iteration, and all of it from then on', async () => {
  const study = (iterations: string, end: string) => charged(LAST, 'generative-study', { iterations }, { end });
  expect(await study('0', 'cancelled')).toBe('0');
  expect(await study('0', 'input-failed')).toBe('0');
  for (const end of ['completed', 'cancelled', 'input-failed', 'time-limit', 'out-of-credits']) {
    expect([end, await study('1', end)]).toEqual([end, '11']);
  }
  expect(await study('40', 'completed')).toBe('11');
});

test('example 8: a panorama of 4 megapixels a face is charged as its six frames, 24 megapixels', async () => {
  const dimensions = { quality: 'final', imageMegapixels: '4', frames: '6' };
  expect(await charged(IN_2018, 'rendering', { megapixels: '24' }, { dimensions })).toBe('24');
  const { body } = await quote(null, { width: 2000, height: 2000, frames: 6 });
  expect(body).toMatchObject({ expected: '24', usage: { expected: [{ meter: 'megapixels', quantity: '24' }] } });
});

test('example 9: the lot that ends earlier pays first; of two that end together the one effective earlier, then by id', async () => {
  const contractId = await contract();
  const imported = (receivedAt: string, effectiveAt: string) =>
    grant(contractId, { source: 'import', amount: '3', purchasedAt: receivedAt, receivedAt, effectiveAt });
  // The first two end with the contract, and so does the last.
  const late = await imported(day(-20), day(-5));
  const early = await imported(day(-20), day(-9));
  const soon = await imported(day(-300), day(-1));
  const same = await imported(day(-10), day(-5));
  expect([late, early, same].map(({ expiresAt }) => expiresAt)).toEqual([day(100), day(100), day(100)]);
  expect(soon.expiresAt < day(100)).toBe(true);
  const { body } = await quote(contractId, { width: 4000, height: 2500 });
  expect(body.payers.draws).toEqual([
    { lotId: soon.id, kind: 'shared', amount: '3' },
    { lotId: early.id, kind: 'shared', amount: '3' },
    { lotId: late.id, kind: 'shared', amount: '3' },
    { lotId: same.id, kind: 'shared', amount: '1' },
  ]);
});

test('example 10: a lot bought on 29 February 2024 expires on 28 February 2025, within its contract', async () => {
  await on('2024-02-29T00:00:00Z', async () => {
    const contractId = await contract({ startsAt: '2024-01-01T00:00:00Z', endsAt: '2026-01-01T00:00:00Z' });
    const lot = await grant(contractId, { amount: '10', purchasedAt: '2024-02-29T00:00:00Z' });
    expect(lot.expiresAt).toBe(parseInstant('2025-02-28T00:00:00Z'));
  });
});

test('example 11: a lot ends with its contract, and a renewal gives it the rest of its twelve months', async () => {
  const contractId = await on('2024-03-01T00:00:00Z', async () => {
    const id = await contract({ startsAt: '2023-12-31T00:00:00Z', endsAt: '2024-12-31T00:00:00Z' });
    const lot = await grant(id, { amount: '10', purchasedAt: '2024-03-01T00:00:00Z' });
    expect(lot.expiresAt).toBe(parseInstant('2024-12-31T00:00:00Z'));
    return id;
  });
  await on('2024-12-30T00:00:00Z', async () => {
    const json = { months: 12, reason: 'an example' };
    const renewed = await api.ask('POST', `/v1/contracts/${contractId}/renew`, { as, json });
    expect(renewed.body.endsAt).toBe(parseInstant('2025-12-31T00:00:00Z'));
    // As the contract's workflow does.
    await bookDue(api.ledger, contractId, parseInstant('2024-12-30T00:00:00Z'));
    const { body } = await api.ask('GET', `/v1/contracts/${contractId}/lots`, { as });
    expect(body.items[0].expiresAt).toBe(parseInstant('2025-03-01T00:00:00Z'));
  });
});

test('example 12: 5 individual and 10 shared credits pay a job of 11 with 5 and 6', async () => {
  const contractId = await contract();
  const shared = await grant(contractId, { amount: '10' });
  const own = { amount: '5', reason: 'an example' };
  const path = `/v1/users/${DEMO.people.contractAdmin.id}/lots`;
  const { body: individual } = await api.ask('POST', path, { as, json: own });
  const quoted = await quote(contractId, { width: 4400, height: 2500 });
  expect(quoted.body.expected).toBe('11');
  const draws = [
    { lotId: individual.id, kind: 'individual', amount: '5' },
    { lotId: shared.id, kind: 'shared', amount: '6' },
  ];
  expect(quoted.body.payers.draws).toEqual(draws);
  const job = await api.ask('POST', '/v1/jobs', { as: 'contractAdmin', json: { quoteId: quoted.body.id } });
  expect(job).toMatchObject({ status: 201, body: { reserved: '11', draws } });
});

test('example 13: 100 credits "individual" that were received on 2013-12-12 at 23:59 are a shared lot', async () => {
  const lot = { source: 'import', amount: '100', receivedAt: '2013-12-12T23:59:00Z', reason: 'an example' };
  const toUser = await api.ask('POST', `/v1/users/${DEMO.people.submitter.id}/lots`, { as, json: lot });
  expect(toUser).toMatchObject({ status: 422, body: { code: 'lot_invalid' } });
  expect(await grant(DEMO.contract, lot)).toMatchObject({ kind: 'shared', granted: '100' });
});

test('example 14: 16 jobs reserve 3,600 each of 360,000,000, cost 1,234 each, and are refunded', async () => {
  const contractId = await contract();
  await grant(contractId, { amount: '360000000' });
  const jobs = await Promise.all(Array.from({ length: 16 }, () => reserveMegapixels(contractId, '3600')));
  expect(await balance(contractId)).toMatchObject({ available: '359942400', reserved: '57600' });
  const settled = await Promise.all(jobs.map((id) => settleMegapixels(id, '1234')));
  expect(await balance(contractId)).toMatchObject({ available: '359980256', reserved: '0', consumed: '19744' });
  for (const { chargeId } of settled) {
    const json = { amount: '1234', reason: 'an example' };
    const refund = await api.ask('POST', `/v1/charges/${chargeId}/refunds`, { as: 'finance', json });
    const { id, status } = refund.body;
    expect(refund.status).toBeLessThan(300);
    if (status === 'booked') continue;
    expect((await api.ask('POST', `/v1/refunds/${id}/approve`, { as: 'financeApprover' })).status).toBe(200);
  }
  expect(await balance(contractId)).toMatchObject({ available: '360000000', reserved: '0', consumed: '0' });
});

test('beyond the fourteen: 217 seconds of design automation are 0.1206 credits, to four decimals', async () => {
  const { exact, charged: due } = await rate(LAST, 'design-automation', { processingSeconds: '217' });
  expect([exact, due]).toEqual(['217/1800', '0.120556']);
  expect(await charged(LAST, 'design-automation', { processingSeconds: '3600' })).toBe('2');
});

test('beyond the fourteen: a validation check is paid for when it was completed', async () => {
  expect(await charged(LAST, 'validation-check', { checks: '1' })).toBe('1');
  expect(await charged(LAST, 'validation-check', { checks: '1' }, { end: 'input-failed' })).toBe('0');
});

/** Final megapixels cost a credit each. */
const reserveMegapixels = (contractId: string, reserve: string) =>
  reservedJob(api, {
    userId: DEMO.people.contractAdmin.id,
    contractId,
    service: 'rendering',
    dimensions: { quality: 'final', imageMegapixels: '12', frames: '100' },
    expected: parseCredits(reserve),
    cap: parseCredits(reserve),
  });
const settleMegapixels = (jobId: string, use: string) =>
  settleJob(api, jobId, { meter: 'megapixels', unit: 'Mpx', quantity: quantity(parseCredits(use)) });

async function finalMegapixels(contractId: string, { reserve, use }: { reserve: string; use: string }) {
  return settleMegapixels(await reserveMegapixels(contractId, reserve), use);
}
