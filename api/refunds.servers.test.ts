import { randomUUID } from 'node:crypto';
import { rows } from '../db/client';
import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import { parseCredits } from '../domain/credits';
import { instantOfMilliseconds } from '../domain/instant';
import { type Ask, type Heard, startApi, type TestApi } from '../test/api/server';
import { settledJob } from '../test/api/settled';

jest.setTimeout(120_000);

const MISSING = '00000000-0000-7000-8000-0000000000ff';
const STRANGER = '00000000-0000-7000-8000-000000000091';
const BOTH = '00000000-0000-7000-8000-000000000094';
const MINUTE_MS = 60_000;

let api: TestApi;
/** Somebody of another customer. */
let stranger: { key: string };
/** Somebody of the provider's who may ask for refunds and approve them. */
let both: { key: string };

beforeAll(async () => {
  api = await startApi({ refundApprovalAbove: parseCredits('3') });
  const { db } = api;
  const theirs = '00000000-0000-7000-8000-000000000090';
  await db('customers').insert({ id: theirs, name: 'Borealis' });
  await db('users').insert([
    { id: STRANGER, customer_id: theirs, name: 'Stranger', email: 'stranger@borealis.example' },
    { id: BOTH, customer_id: null, name: 'Both', email: 'both@provider.example' },
  ]);
  stranger = { key: await createApiKey(db, { userId: STRANGER, label: 'test', roles: ['submitter'] }) };
  both = { key: await createApiKey(db, { userId: BOTH, label: 'test', roles: ['finance', 'finance-approver'] }) };
});
afterAll(() => api?.close());

const refund = (chargeId: string, json: object, more: Partial<Ask> = {}) =>
  api.ask('POST', `/v1/charges/${chargeId}/refunds`, {
    as: 'finance',
    json: { reason: 'the picture was noisy', ...json },
    ...more,
  });
const decide = (refundId: string, verdict: 'approve' | 'reject', more: Partial<Ask> = {}) =>
  api.ask('POST', `/v1/refunds/${refundId}/${verdict}`, {
    as: 'financeApprover',
    ...(verdict === 'reject' && { json: { reason: 'it was not' } }),
    ...more,
  });
const chargeOf = async (chargeId: string, as: Ask['as'] = 'submitter') =>
  (await api.ask('GET', `/v1/charges/${chargeId}`, { as: as ?? null })).body;
const availableNow = async () =>
  parseCredits((await api.ask('GET', `/v1/contracts/${DEMO.contract}/balance`, { as: 'finance' })).body.available) +
  parseCredits(
    (await api.ask('GET', `/v1/users/${DEMO.people.submitter.id}/balance`, { as: 'finance' })).body.available,
  );

const exceeds = { status: 409, body: { code: 'refund_exceeds_charge' } };
const decided = { status: 409, body: { code: 'refund_decided' } };
const notFound = { status: 404, body: { code: 'not_found' } };

describe('a refund', () => {
  it('gives back an amount to the lots that paid, and the charge says what remains', async () => {
    const { chargeId, jobId } = await settledJob(api);
    const before = await availableNow();
    const answer = await refund(chargeId, { amount: '2' });
    expect(answer).toMatchObject({
      status: 201,
      body: {
        chargeId,
        jobId,
        status: 'booked',
        amount: '2',
        actual: null,
        refunded: '2',
        unwound: '0',
        requestedBy: DEMO.people.finance.id,
        needsApproval: false,
        decidedBy: null,
      },
    });
    expect(answer.headers.get('location')).toBe(`/v1/refunds/${answer.body.id}`);
    expect(answer.body.returned.map(({ to, amount }: Record<string, string>) => [to, amount])).toEqual([
      ['available', '2'],
    ]);
    expect(await availableNow()).toBe(before + parseCredits('2'));
    const seen = { charged: '5', refunded: '2', netCharged: '3', netAbsorbed: '0', refunds: [answer.body] };
    expect(await chargeOf(chargeId)).toMatchObject(seen);
    expect((await api.ask('GET', `/v1/jobs/${jobId}/charge`)).body).toMatchObject(seen);
    expect((await api.ask('GET', `/v1/refunds/${answer.body.id}`)).body).toEqual(answer.body);
    expect((await api.ask('GET', `/v1/charges/${chargeId}/refunds`)).body).toEqual({
      items: [answer.body],
      nextCursor: null,
    });
    const listed = (await api.ask('GET', '/v1/charges')).body.items.find(({ id }: { id: string }) => id === chargeId);
    expect(listed).toMatchObject(seen);
  });

  it('is told to those who watch the job', async () => {
    const { chargeId, jobId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '1.5' });
    const told = (await api.ask('GET', `/v1/jobs/${jobId}/events`)).body as string;
    const event = told.split('\n\n').find((block) => block.includes('event: refunded'));
    expect(event).toContain('Given back: 1.5 credits. the picture was noisy');
    expect(event).toContain(body.id);
  });

  it('is never more than remains, in however many steps', async () => {
    const { chargeId } = await settledJob(api);
    expect(await refund(chargeId, { amount: '5.000001' })).toMatchObject(exceeds);
    expect((await refund(chargeId, { amount: '2' })).status).toBe(201);
    expect(await refund(chargeId, { amount: '3.000001' })).toMatchObject(exceeds);
    expect((await refund(chargeId, { amount: '1' })).status).toBe(201);
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '3', netCharged: '2' });
  });

  it('sent again with its key is answered again and booked once, five at a time too', async () => {
    const { chargeId } = await settledJob(api);
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 5 }, () => refund(chargeId, { amount: '1' }, { key })));
    const again = await refund(chargeId, { amount: '1' }, { key });
    expect(new Set([...answers, again].map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set([...answers, again].map(({ body }) => body.id)).size).toBe(1);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.headers.get('location')).toBe(`/v1/refunds/${again.body.id}`);
    expect(await refund(chargeId, { amount: '2' }, { key })).toMatchObject({
      body: { code: 'idempotency_key_reused' },
    });
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '1', refunds: [{ id: again.body.id }] });
  });

  it('whose answer was lost is booked once by its repeat', async () => {
    const { chargeId } = await settledJob(api);
    const key = randomUUID();
    const { body } = await refund(chargeId, { amount: '1' }, { key });
    await api.db('idempotency_keys').where({ key }).update({ status: null, response: null });
    expect(await refund(chargeId, { amount: '1' }, { key })).toMatchObject({ status: 201, body });
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '1' });
  });

  it('of a refund there is none', async () => {
    const { chargeId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '1' });
    expect(await refund(body.id, { amount: '1' })).toMatchObject(notFound);
  });

  it.each<[object, string]>([
    [{}, 'neither'],
    [{ amount: '1', actual: '1' }, 'both'],
    [{ amount: '0' }, 'zero'],
    [{ amount: '-1' }, 'less than zero'],
    [{ amount: 1 }, 'a number'],
    [{ amount: '1', reason: '' }, 'without a reason'],
    [{ amount: '1', reason: undefined }, 'with no reason at all'],
    [{ amount: '1', at: '2020-01-01T00:00:00Z' }, 'with a time of its own'],
  ])('asked for like this is not understood: %j, %s', async (json) => {
    const { chargeId } = await settledJob(api);
    expect(await refund(chargeId, json)).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '0', refunds: [] });
  });
});

describe('a correction', () => {
  it('first lowers what the provider bears, then gives back', async () => {
    // Two simulations for 10 credits, of which 4 could be charged.
    const { chargeId } = await settledJob(api, { simulations: 2, cap: '4' });
    expect(await chargeOf(chargeId)).toMatchObject({ charged: '4', absorbed: '6', netAbsorbed: '6' });
    expect(await refund(chargeId, { actual: '7' })).toMatchObject({
      status: 201,
      body: { amount: null, actual: '7', refunded: '0', unwound: '3', returned: [] },
    });
    expect(await chargeOf(chargeId)).toMatchObject({ netCharged: '4', netAbsorbed: '3' });
    expect(await refund(chargeId, { actual: '2.5' })).toMatchObject({
      status: 201,
      body: { actual: '2.5', refunded: '1.5', unwound: '3' },
    });
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '1.5', netCharged: '2.5', netAbsorbed: '0' });
    const actuals = (await chargeOf(chargeId)).refunds.map(({ actual }: { actual: string }) => actual);
    expect(actuals).toEqual(['7', '2.5']);
  });

  it('only lowers', async () => {
    const { chargeId } = await settledJob(api);
    for (const actual of ['5', '5.000001', '100']) expect(await refund(chargeId, { actual })).toMatchObject(exceeds);
  });
});

describe('a refund above the set amount', () => {
  it('waits, and is booked at the instant at which a second person approves it', async () => {
    const { chargeId } = await settledJob(api);
    const before = await availableNow();
    const asked = await refund(chargeId, { amount: '3.000001' });
    expect(asked).toMatchObject({ status: 202, body: { status: 'waiting', refunded: null, needsApproval: true } });
    expect(await availableNow()).toBe(before);
    api.clock.aheadMs = MINUTE_MS;
    const from = instantOfMilliseconds(Date.now() + MINUTE_MS);
    const key = randomUUID();
    const approved = await decide(asked.body.id, 'approve', { key }).finally(() => {
      api.clock.aheadMs = 0;
    });
    expect(approved).toMatchObject({
      status: 200,
      body: {
        status: 'booked',
        refunded: '3.000001',
        requestedBy: DEMO.people.finance.id,
        decidedBy: DEMO.people.financeApprover.id,
      },
    });
    expect(approved.body.bookedAt >= from).toBe(true);
    expect(approved.body.bookedAt).toBe(approved.body.decidedAt);
    expect(await availableNow()).toBe(before + parseCredits('3.000001'));
    expect(await decide(asked.body.id, 'approve', { key })).toMatchObject({ status: 200, body: approved.body });
    expect(await decide(asked.body.id, 'approve')).toMatchObject(decided);
    expect(await decide(asked.body.id, 'reject')).toMatchObject(decided);
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '3.000001' });
  });

  it('also waits when small steps come to more', async () => {
    const { chargeId } = await settledJob(api);
    expect((await refund(chargeId, { amount: '2' })).status).toBe(201);
    const answers = await Promise.all([refund(chargeId, { amount: '1' }), refund(chargeId, { amount: '1' })]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 202]);
    expect(await refund(chargeId, { actual: '0' })).toMatchObject({ status: 202, body: { actual: '0' } });
  });

  it('is never decided by the person who asked for it', async () => {
    const { chargeId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '4' }, { as: both });
    for (const verdict of ['approve', 'reject'] as const) {
      expect(await decide(body.id, verdict, { as: both })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    }
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '0' });
    expect((await decide(body.id, 'approve')).status).toBe(200);
  });

  it('that is rejected gives nothing back, ever', async () => {
    const { chargeId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '4' });
    const key = randomUUID();
    const rejected = await decide(body.id, 'reject', { key });
    expect(rejected).toMatchObject({
      status: 200,
      body: { status: 'rejected', refunded: null, decisionReason: 'it was not' },
    });
    expect(await decide(body.id, 'reject', { key })).toMatchObject({ status: 200, body: rejected.body });
    expect(await decide(body.id, 'approve')).toMatchObject(decided);
    expect(await decide(body.id, 'reject')).toMatchObject(decided);
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '0', netCharged: '5' });
  });

  it('is decided once, whoever decides at the same time', async () => {
    for (let round = 0; round < 10; round++) {
      const { chargeId } = await settledJob(api);
      const { body } = await refund(chargeId, { amount: '4' });
      const answers = await Promise.all([
        decide(body.id, 'approve'),
        decide(body.id, 'approve', { as: both }),
        decide(body.id, 'reject'),
        decide(body.id, 'reject', { as: both }),
      ]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
      const { status } = (await api.ask('GET', `/v1/refunds/${body.id}`, { as: 'finance' })).body;
      expect(await chargeOf(chargeId)).toMatchObject({ refunded: status === 'booked' ? '4' : '0' });
    }
  });

  it('goes on waiting when too little is left by the time it is approved', async () => {
    const { chargeId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '4' });
    expect((await refund(chargeId, { amount: '2' })).status).toBe(201);
    expect(await decide(body.id, 'approve')).toMatchObject(exceeds);
    expect((await api.ask('GET', `/v1/refunds/${body.id}`, { as: 'finance' })).body.status).toBe('waiting');
    expect((await decide(body.id, 'reject')).status).toBe(200);
  });

  it('cannot be smuggled into the database by one person alone', async () => {
    const { chargeId, jobId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '4' });
    const asFinance = {
      kind: 'refund',
      act: 'refund',
      refundId: body.id,
      jobId,
      userId: DEMO.people.submitter.id,
      contractId: DEMO.contract,
      amount: parseCredits('4'),
      at: instantOfMilliseconds(Date.now()),
      actor: DEMO.people.finance.id,
      reason: 'alone',
    } as const;
    await expect(api.ledger.apply(asFinance)).rejects.toMatchObject({ code: 'HF006' });
    const insert = api.db('refund_rejections').insert({
      request_id: body.id,
      reason: 'alone',
      rejected_by: DEMO.people.finance.id,
      rejected_at: instantOfMilliseconds(Date.now()),
    });
    await expect(insert).rejects.toMatchObject({ code: 'HF006' });
    expect(await chargeOf(chargeId)).toMatchObject({ refunded: '0' });
  });

  it('is found by those who decide, newest first, and by how it was decided', async () => {
    const { chargeId } = await settledJob(api, { simulations: 3 });
    const ids: string[] = [];
    for (const amount of ['4', '5', '6']) ids.unshift((await refund(chargeId, { amount })).body.id);
    await decide(ids[1] ?? '', 'reject');
    const listed = async (query: string) =>
      (await api.ask('GET', `/v1/refunds?${query}`, { as: 'financeApprover' })).body;
    const idsOf = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);
    expect(idsOf(await listed('limit=3'))).toEqual(ids);
    expect(idsOf(await listed('status=waiting&limit=2'))).toEqual([ids[0], ids[2]]);
    expect(idsOf(await listed('status=rejected&limit=1'))).toEqual([ids[1]]);
    const first = await listed('limit=1');
    expect(idsOf(await listed(`limit=2&cursor=${first.nextCursor}`))).toEqual(ids.slice(1));
    expect((await api.ask('GET', '/v1/refunds?status=lost', { as: 'finance' })).status).toBe(400);
  });
});

describe('refunds are seen and made by those who may', () => {
  it('made by finance and the provider, decided by approvers', async () => {
    const { chargeId } = await settledJob(api);
    const forbidden = { status: 403, body: { code: 'forbidden' } };
    for (const as of ['submitter', 'contractAdmin', 'operator', 'financeApprover'] as const) {
      expect(await refund(chargeId, { amount: '1' }, { as })).toMatchObject(forbidden);
    }
    const { body } = await refund(chargeId, { amount: '4' }, { as: 'provider' });
    for (const as of ['submitter', 'contractAdmin', 'operator', 'finance', 'provider'] as const) {
      for (const verdict of ['approve', 'reject'] as const) {
        expect(await decide(body.id, verdict, { as })).toMatchObject(forbidden);
      }
      const list = await api.ask('GET', '/v1/refunds', { as });
      expect(list.status).toBe(['submitter', 'contractAdmin'].includes(as) ? 403 : 200);
    }
  });

  it('by the customer’s people once they are booked, and by nobody else’s', async () => {
    const { chargeId } = await settledJob(api);
    const { body } = await refund(chargeId, { amount: '4' });
    const address = `/v1/refunds/${body.id}`;
    const secret = ({ status, body: { instance: _, ...rest } }: Heard) => ({ status, rest });
    const missing = async (as: Ask['as']) => secret(await api.ask('GET', `/v1/refunds/${MISSING}`, { as: as ?? null }));
    for (const as of ['submitter', 'contractAdmin', stranger] as const) {
      expect(secret(await api.ask('GET', address, { as }))).toEqual(await missing(as));
    }
    expect((await chargeOf(chargeId)).refunds).toEqual([]);
    expect((await chargeOf(chargeId, 'finance')).refunds).toMatchObject([{ status: 'waiting' }]);
    await decide(body.id, 'approve');
    for (const as of ['submitter', 'contractAdmin'] as const) {
      expect(await api.ask('GET', address, { as })).toMatchObject({ status: 200, body: { refunded: '4' } });
    }
    expect(secret(await api.ask('GET', address, { as: stranger }))).toEqual(await missing(stranger));
    expect(await api.ask('GET', `/v1/charges/${chargeId}/refunds`, { as: stranger })).toMatchObject(notFound);
    expect(await refund(MISSING, { amount: '1' })).toMatchObject(notFound);
    expect(await decide(MISSING, 'approve')).toMatchObject(notFound);
  });
});

test('each refund in the ledger points at its job, with reason and author', async () => {
  const { chargeId, jobId } = await settledJob(api);
  const { body } = await refund(chargeId, { amount: '1' }, { as: 'provider' });
  const found = await rows(
    api.db,
    'select kind, act, subject, refers_to, actor, reason from operations where refers_to = ?',
    [jobId],
  );
  expect(found).toEqual([
    {
      kind: 'refund',
      act: 'refund',
      subject: body.id,
      refers_to: jobId,
      actor: DEMO.people.provider.id,
      reason: 'the picture was noisy',
    },
  ]);
});
