import { randomUUID } from 'node:crypto';
import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import { addMilliseconds, addMonths, type Instant, instantOfMilliseconds, parseInstant } from '../domain/instant';
import { type Ask, type Heard, startApi, type TestApi } from '../test/api/server';
import { settledJob } from '../test/api/settled';

jest.setTimeout(120_000);

const MISSING = '00000000-0000-7000-8000-0000000000ff';
const STRANGER = '00000000-0000-7000-8000-000000000091';
const CONTRACT = `/v1/contracts/${DEMO.contract}`;
const USER = `/v1/users/${DEMO.people.submitter.id}`;
const HOUR_MS = 3_600_000;

let api: TestApi;
let stranger: { key: string };

beforeAll(async () => {
  api = await startApi();
  const theirs = '00000000-0000-7000-8000-000000000090';
  await api.db('customers').insert({ id: theirs, name: 'Borealis' });
  await api.db('users').insert({ id: STRANGER, customer_id: theirs, name: 'S', email: 'stranger@borealis.example' });
  stranger = { key: await createApiKey(api.db, { userId: STRANGER, label: 'test', roles: ['submitter'] }) };
});
afterAll(() => api?.close());

const now = () => instantOfMilliseconds(Date.now());
const post = (path: string, json: object, more: Partial<Ask> = {}) =>
  api.ask('POST', `${path}/lots`, { as: 'provider', json: { amount: '10', reason: 'a test', ...json }, ...more });
const get = async (path: string, as: Ask['as'] = 'finance') => (await api.ask('GET', path, { as: as ?? null })).body;
const asOf = (path: string, instants: { bookedAt?: string; recordedAt?: string }) =>
  get(`${path}?${new URLSearchParams(instants)}`);

const invalidLot = (sentence: RegExp) => ({
  status: 422,
  body: { code: 'lot_invalid', detail: expect.stringMatching(sentence) },
});
const notFound = { status: 404, body: { code: 'not_found' } };

describe('an import', () => {
  const RECEIVED = '2024-03-01T09:00:00Z';

  it('of a user keeps its own times', async () => {
    const answer = await post(USER, { source: 'import', receivedAt: RECEIVED, reference: 'OLD-7' });
    expect(answer).toMatchObject({
      status: 201,
      body: {
        kind: 'individual',
        source: 'import',
        reference: 'OLD-7',
        receivedAt: parseInstant(RECEIVED),
        effectiveAt: parseInstant(RECEIVED),
        purchasedAt: null,
        expiresAt: null,
        spendable: true,
      },
    });
    const listed = (await get(`${USER}/lots`)).items.find(({ id }: { id: string }) => id === answer.body.id);
    expect(listed).toEqual(answer.body);
  });

  it('received before 2013-12-13 is shared, whatever it was called (R5)', async () => {
    const early = { source: 'import', receivedAt: '2013-12-12T23:59:59.999999Z' };
    expect(await post(USER, early)).toMatchObject(
      invalidLot(/is a shared lot, whatever it was called.*into a contract/),
    );
    expect(await post(USER, { ...early, effectiveAt: RECEIVED })).toMatchObject(invalidLot(/is a shared lot/));
    expect((await post(USER, { ...early, receivedAt: '2013-12-13T00:00:00Z' })).status).toBe(201);
    const shared = await post(CONTRACT, { kind: 'shared', ...early });
    expect(shared).toMatchObject({ status: 201, body: { kind: 'shared', source: 'import', spendable: false } });
    expect(shared.body.expiresAt).toBe(addMonths(parseInstant(early.receivedAt), 12, 'Europe/Berlin'));
  });

  it.each([
    // To the second, and to the microsecond; the instant counts, in whatever offset it is written.
    ['2013-12-12T23:59:59Z', 'shared'],
    ['2013-12-12T23:59:59.999999999Z', 'shared'],
    ['2013-12-13T00:59:59.999999+01:00', 'shared'],
    ['2013-12-13T13:59:59.999999+14:00', 'shared'],
    ['2013-12-12T18:59:59.999999-05:00', 'shared'],
    ['2013-12-13T00:00:00.000000Z', 'individual'],
    ['2013-12-13T00:00:00.000001Z', 'individual'],
    ['2013-12-13T01:00:00+01:00', 'individual'],
    ['2013-12-13T14:00:00+14:00', 'individual'],
    ['2013-12-12T19:00:00-05:00', 'individual'],
    ['2013-12-12T12:00:00-12:00', 'individual'],
  ])('received at %s is %s (R5)', async (receivedAt, kind) => {
    const toUser = await post(`/v1/users/${STRANGER}`, { source: 'import', receivedAt });
    if (kind === 'shared') expect(toUser).toMatchObject(invalidLot(/is a shared lot, whatever it was called/));
    else
      expect(toUser).toMatchObject({ status: 201, body: { kind: 'individual', receivedAt: parseInstant(receivedAt) } });
    const toContract = await post(CONTRACT, { kind: 'shared', source: 'import', receivedAt });
    expect(toContract).toMatchObject({ status: 201, body: { kind: 'shared', receivedAt: parseInstant(receivedAt) } });
  });

  it('received early is refused by the database too', async () => {
    const lotId = randomUUID();
    await api.db('imports').insert({ lot_id: lotId, received_at: '2013-06-01T00:00:00Z' });
    const grant = api.ledger.apply({
      kind: 'grant',
      act: 'grant',
      at: now(),
      actor: 'test',
      reason: 'around the API',
      lot: {
        id: lotId,
        poolId: DEMO.people.submitter.id,
        kind: 'individual',
        source: 'import',
        amount: 1n as never,
        effectiveAt: now(),
        expiresAt: null,
        graceUntil: null,
        purchasedAt: null,
        reference: null,
        advance: false,
      },
    });
    await expect(grant).rejects.toMatchObject({ code: 'HF002' });
  });

  it('of a contract lives from its purchase, and is spendable while that lasts', async () => {
    const at = now();
    const purchasedAt = addMilliseconds(at, -100 * 24 * HOUR_MS);
    const receivedAt = addMilliseconds(at, -90 * 24 * HOUR_MS);
    const effectiveAt = addMilliseconds(at, -80 * 24 * HOUR_MS);
    const answer = await post(CONTRACT, { kind: 'shared', source: 'import', receivedAt, effectiveAt, purchasedAt });
    expect(answer).toMatchObject({
      status: 201,
      body: { receivedAt, effectiveAt, purchasedAt, spendable: true },
    });
    expect(answer.body.expiresAt).toBe(addMonths(purchasedAt, 12, 'Europe/Berlin'));
  });

  it('cannot come from the future or be effective before its purchase', async () => {
    const later = addMilliseconds(now(), HOUR_MS);
    const shared = { kind: 'shared', source: 'import' };
    expect(await post(USER, { source: 'import', receivedAt: later })).toMatchObject(
      invalidLot(/receivedAt: .* future/),
    );
    expect(await post(CONTRACT, { ...shared, receivedAt: later })).toMatchObject(invalidLot(/receivedAt: .* future/));
    expect(
      await post(CONTRACT, { ...shared, receivedAt: RECEIVED, purchasedAt: later, effectiveAt: later }),
    ).toMatchObject(invalidLot(/purchasedAt: .* future/));
    expect(
      await post(CONTRACT, {
        ...shared,
        receivedAt: RECEIVED,
        effectiveAt: '2024-02-01T00:00:00Z',
        purchasedAt: RECEIVED,
      }),
    ).toMatchObject(invalidLot(/effectiveAt: a lot that was purchased/));
    // Effective when its twelve months are over.
    expect(
      await post(CONTRACT, { ...shared, receivedAt: RECEIVED, effectiveAt: '2025-03-02T00:00:00Z' }),
    ).toMatchObject(invalidLot(/expires at/));
  });

  it.each<[string, object, string]>([
    [USER, { source: 'import' }, 'receivedAt'],
    [USER, { receivedAt: RECEIVED }, 'receivedAt'],
    [USER, { effectiveAt: RECEIVED }, 'effectiveAt'],
    [USER, { purchasedAt: RECEIVED }, 'purchasedAt'],
    [USER, { source: 'purchase' }, 'source'],
    [USER, { source: 'import', receivedAt: 'yesterday' }, 'receivedAt'],
    [CONTRACT, { kind: 'shared', source: 'import' }, 'receivedAt'],
    [CONTRACT, { kind: 'shared', effectiveAt: RECEIVED }, 'effectiveAt'],
    [CONTRACT, { kind: 'shared', receivedAt: RECEIVED }, 'receivedAt'],
    [CONTRACT, { kind: 'shared', source: 'allocation' }, 'source'],
  ])('%s with %j is refused by the name of the field', async (path, json, field) => {
    const answer = await post(path, json);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(answer.body.errors.map((one: { field: string }) => one.field)).toContain(`body.${field}`);
  });

  it('sent again with its key is one lot', async () => {
    const key = randomUUID();
    const json = { source: 'import', receivedAt: RECEIVED };
    const answers = await Promise.all([1, 2, 3].map(() => post(USER, json, { key })));
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.id}`)).size).toBe(1);
  });
});

describe('an advance', () => {
  it('is repaid by the next shared lot with what was used of it', async () => {
    const { smallContract } = DEMO;
    const path = `/v1/contracts/${smallContract}`;
    const expiresAt = addMilliseconds(now(), 1_000 * HOUR_MS);
    const courtesy = { kind: 'courtesy', expiresAt };
    expect((await post(path, courtesy)).body).toMatchObject({ advance: false, owed: '0' });
    const { body: advance } = await post(path, { ...courtesy, repay: true, amount: '30' });
    expect(advance).toMatchObject({ advance: true, owed: '0', available: '30' });
    // 2 of the contract, 10 of the gift and some of the user's own credits pay first.
    await settledJob(api, { simulations: 15, contractId: smallContract });
    const lotNow = async (id: string) => (await get(`${path}/lots`)).items.find((lot: { id: string }) => lot.id === id);
    const { owed } = await lotNow(advance.id);
    expect(Number(owed)).toBeGreaterThan(0);
    const { body: bought } = await post(path, { kind: 'shared', amount: '100' });
    expect(bought).toMatchObject({ granted: '100', consumed: owed });
    expect(await lotNow(advance.id)).toMatchObject({ owed: '0', withdrawn: owed });
  });

  it('is a courtesy of the provider alone', async () => {
    const json = { kind: 'shared', repay: true };
    expect(await post(CONTRACT, json)).toMatchObject({ status: 400 });
    expect(await post(USER, { repay: true })).toMatchObject({ status: 400 });
    const courtesy = { kind: 'courtesy', expiresAt: addMilliseconds(now(), HOUR_MS), repay: true };
    expect((await post(CONTRACT, courtesy, { as: 'contractAdmin' })).status).toBe(403);
  });
});

describe('a balance as of an instant', () => {
  const zero = {
    granted: '0',
    spendable: '0',
    available: '0',
    reserved: '0',
    consumed: '0',
    expired: '0',
    withdrawn: '0',
  };

  it('is what counted then, by kind, with the sum of the buckets as granted', async () => {
    const before = now();
    const past = await asOf(`${CONTRACT}/balance`, { bookedAt: before });
    const { body: lot } = await post(CONTRACT, { kind: 'shared', amount: '7' });
    const present = await get(`${CONTRACT}/balance`);
    expect(Number(present.available) - Number(past.available)).toBe(7);
    const again = await asOf(`${CONTRACT}/balance`, { bookedAt: before });
    expect(again).toEqual(past);
    expect(again).toMatchObject({ at: before, bookedAt: before, recordedAt: null });
    for (const one of [present, ...present.byKind]) {
      const buckets = [one.available, one.reserved, one.consumed, one.expired, one.withdrawn];
      expect(buckets.reduce((sum, text) => sum + Number(text), 0)).toBeCloseTo(Number(one.granted), 6);
    }
    expect(present.byKind.map(({ kind }: { kind: string }) => kind)).toEqual(['individual', 'shared', 'courtesy']);
    const then = await asOf(`/v1/lots/${lot.id}/balance`, { bookedAt: before });
    expect(then).toMatchObject({ lotId: lot.id, kind: 'shared', ...zero, effectiveAt: null, expiresAt: null });
    const lots = (await asOf(`${CONTRACT}/lots`, { bookedAt: before })).items.map(({ id }: { id: string }) => id);
    expect(lots).not.toContain(lot.id);
    expect(await get(`/v1/lots/${lot.id}/balance`)).toMatchObject({ granted: '7', spendable: '7', available: '7' });
  });

  it('tells what is spendable by the lives of then', async () => {
    const expiresAt = addMilliseconds(now(), HOUR_MS);
    const { body: lot } = await post(CONTRACT, { kind: 'courtesy', amount: '3', expiresAt });
    const at = (bookedAt: Instant) => asOf(`/v1/lots/${lot.id}/balance`, { bookedAt });
    expect(await at(addMilliseconds(expiresAt, -1))).toMatchObject({ spendable: '3', available: '3', expiresAt });
    expect(await at(expiresAt)).toMatchObject({ spendable: '0', available: '3' });
  });

  it('tells what was known at another instant', async () => {
    const { jobId, chargeId } = await settledJob(api);
    const { items } = await get(`/v1/ledger/transfers?job=${jobId}`);
    const [{ lotId, recordedAt, bookedAt }] = items;
    const before = await get(`/v1/lots/${lotId}/balance`);
    await api.ask('POST', `/v1/charges/${chargeId}/refunds`, { as: 'finance', json: { amount: '1', reason: 'noise' } });
    const known = await asOf(`/v1/lots/${lotId}/balance`, { recordedAt });
    expect(known).toMatchObject({ consumed: before.consumed, at: recordedAt, bookedAt: null, recordedAt });
    const since = await get(`/v1/lots/${lotId}/balance`);
    expect(Number(before.consumed) - Number(since.consumed)).toBe(1);
    const both = await asOf(`/v1/lots/${lotId}/balance`, { bookedAt, recordedAt });
    expect(both).toMatchObject({ at: bookedAt, consumed: before.consumed });
  });

  it.each([
    'bookedAt=yesterday',
    'bookedAt=2026-01-01',
    'recordedAt=',
    'at=2026-01-01T00:00:00Z',
    'bookedAt=a&bookedAt=b',
  ])('is not asked for by %s', async (query) => {
    for (const path of [`${CONTRACT}/balance`, `${CONTRACT}/lots`, `${USER}/balance`, `/v1/lots/${MISSING}/balance`]) {
      expect(await api.ask('GET', `${path}?${query}`, { as: 'finance' })).toMatchObject({
        status: 400,
        body: { code: 'invalid_request' },
      });
    }
  });

  it('of a lot is seen by those who see its owner', async () => {
    const individual = (await get(`${USER}/lots`)).items[0].id;
    const shared = (await get(`${CONTRACT}/lots`)).items[0].id;
    const ask = (id: string, as: Ask['as']) => api.ask('GET', `/v1/lots/${id}/balance`, { as: as ?? null });
    const secret = ({ status, body: { instance: _, ...body } }: Heard) => ({ status, body });
    expect((await ask(individual, 'submitter')).status).toBe(200);
    expect((await ask(shared, 'submitter')).status).toBe(200);
    expect((await ask(shared, 'contractAdmin')).status).toBe(200);
    const missing = secret(await ask(MISSING, 'contractAdmin'));
    expect(missing).toMatchObject(notFound);
    // Nobody but the user sees individual credits.
    expect(secret(await ask(individual, 'contractAdmin'))).toEqual(missing);
    for (const id of [individual, shared]) expect(secret(await ask(id, stranger))).toEqual(missing);
  });
});

describe('the transfers of the ledger', () => {
  const transfers = (query: string, as: Ask['as'] = 'finance') =>
    api.ask('GET', `/v1/ledger/transfers?${query}`, { as: as ?? null });

  async function walked(query: string): Promise<Heard['body'][]> {
    const found = [];
    for (let cursor = ''; ; ) {
      const { body } = await transfers(`${query}&limit=2${cursor && `&cursor=${cursor}`}`);
      expect(body.items.length).toBeLessThanOrEqual(2);
      found.push(...body.items);
      if (body.nextCursor === null) return found;
      cursor = body.nextCursor;
    }
  }

  it('of a job tell its whole story, newest first, with who and why', async () => {
    const { jobId, chargeId } = await settledJob(api, { simulations: 1, cap: '6' });
    const { body: refund } = await api.ask('POST', `/v1/charges/${chargeId}/refunds`, {
      as: 'finance',
      json: { amount: '1', reason: 'noise' },
    });
    const { items } = (await transfers(`job=${jobId}`)).body;
    const story = items.map(({ kind, from, to }: Record<string, string>) => `${kind} ${from} ${to}`);
    expect(story[0]).toBe('refund consumed available');
    expect(story.at(-1)).toBe('reserve available reserved');
    expect(new Set(items.map((one: { jobId: string }) => one.jobId))).toEqual(new Set([jobId]));
    expect(items[0]).toMatchObject({
      subject: refund.id,
      act: 'refund',
      amount: '1',
      actor: DEMO.people.finance.id,
      reason: 'noise',
      bookedAt: refund.bookedAt,
      recordedAt: refund.recordedAt,
    });
    expect(items.at(-1)).toMatchObject({ actor: `job/${jobId}`, subject: jobId });
    expect(await walked(`job=${jobId}`)).toEqual(items);
  });

  it('of a contract, a user, a lot and everything are walked once and whole, page by page', async () => {
    await settledJob(api, { simulations: 3 });
    await settledJob(api, { contractId: null, cap: '0' });
    for (const query of [`contract=${DEMO.contract}`, `user=${DEMO.people.submitter.id}`, '']) {
      const paged = await walked(query);
      const whole = (await transfers(`${query}&limit=200`)).body;
      expect(whole.nextCursor).toBeNull();
      expect(paged).toEqual(whole.items);
      expect(paged.length).toBeGreaterThan(3);
    }
    const lotId = (await get(`${CONTRACT}/lots`)).items[0].id;
    const ofContract = (await transfers(`contract=${DEMO.contract}&limit=200`)).body.items;
    const ofLot = await walked(`lot=${lotId}`);
    expect(ofLot).toEqual(ofContract.filter((one: { lotId: string }) => one.lotId === lotId));
    expect(ofLot.at(-1)).toMatchObject({ kind: 'grant', from: 'granted', to: 'available' });
  });

  it('of what is not there are none', async () => {
    for (const what of ['lot', 'job', 'contract', 'user']) {
      expect((await transfers(`${what}=${MISSING}`)).body).toEqual({ items: [], nextCursor: null });
    }
  });

  it('are for finance and the provider', async () => {
    for (const as of ['submitter', 'contractAdmin', 'operator'] as const) {
      expect(await transfers('limit=1', as)).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    }
    for (const as of ['finance', 'financeApprover', 'provider'] as const) {
      expect((await transfers('limit=1', as)).status).toBe(200);
    }
  });

  it.each([
    `lot=${MISSING}&job=${MISSING}`,
    'lot=1',
    'cursor=1',
    'cursor=1.2.x',
    'limit=0',
    'limit=201',
    'sort=amount',
    `cursor=${'9'.repeat(30)}.1.1`,
  ])('are not asked for by %s', async (query) => {
    expect(await transfers(query)).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  it('go on from any place that was ever given', async () => {
    expect((await transfers(`cursor=${'9'.repeat(19)}.999999999.999999999&limit=1`)).body.items).toHaveLength(1);
    expect((await transfers('cursor=0.0.0')).body).toEqual({ items: [], nextCursor: null });
  });
});

test('a ledger with too much to do says so, and when to come back', async () => {
  const busy = await startApi({ ledger: { waitingMax: 0 } });
  try {
    const answer = await busy.ask('POST', `${CONTRACT}/lots`, {
      as: 'provider',
      json: { kind: 'shared', amount: '1', reason: 'too much' },
    });
    expect(answer).toMatchObject({ status: 503, body: { code: 'overloaded', retryable: true } });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  } finally {
    await busy.close();
  }
});
