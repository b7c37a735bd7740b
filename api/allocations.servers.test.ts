import { randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { inTransaction, rows } from '../db/client';
import { bookDue } from '../db/contractBooking';
import { getContractState, recordContractChange } from '../db/contracts';
import { DEMO } from '../db/seed';
import type { ContractProduct } from '../domain/contract';
import { addMilliseconds, addMonths, instantOfMilliseconds } from '../domain/instant';
import { startApi, type TestApi } from '../test/api/server';

jest.setTimeout(60_000);

const RULES = '/v1/allocation-rules';
const RULE = { key: 'test-rule', recipient: 'contract', amount: '12.5', per: 'seat', frequency: 'per-term' };
const HOUR_MS = 3_600_000;

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api?.close());

const now = () => instantOfMilliseconds(Date.now());
const publish = (json: object, more: object = {}) =>
  api.ask('POST', RULES, { as: 'provider', json: { title: 'a test', rules: [RULE], ...json }, ...more });
const versionAt = async (at: string) =>
  (await api.ask('GET', `${RULES}?${new URLSearchParams({ at })}`)).body.items.map(
    ({ version }: { version: number }) => version,
  );

describe('publishing rules', () => {
  it('makes the next version, once per key, and it counts from its instant on', async () => {
    const effectiveAt = addMilliseconds(now(), 40 * 24 * HOUR_MS);
    const key = randomUUID();
    const first = await publish({ effectiveAt }, { key });
    expect(first).toMatchObject({
      status: 201,
      body: { version: 4, title: 'a test', effectiveAt, rules: [{ ...RULE, product: null, type: null, level: null }] },
    });
    expect((await publish({ effectiveAt }, { key })).body).toEqual(first.body);
    expect((await api.ask('GET', `${RULES}/4`)).body).toEqual(first.body);
    expect((await api.ask('GET', RULES)).body.items).toHaveLength(4);
    expect(await versionAt(effectiveAt)).toEqual([4]);
    expect(await versionAt(addMilliseconds(effectiveAt, -1))).toEqual([3]);
    expect(await versionAt('2013-12-13T00:59:59+01:00')).toEqual([2]);
    expect(await versionAt('2011-01-01T00:00:00Z')).toEqual([]);
    expect(await api.ask('GET', `${RULES}/99`)).toMatchObject({ status: 404 });
  });

  it('that was lost on the way and is sent again counts from then on, and never for what is past', async () => {
    const [key, dated] = [randomUUID(), randomUUID()];
    const effectiveAt = addMilliseconds(now(), HOUR_MS);
    const before = (await api.ask('GET', RULES)).body.items;
    await api.owner.raw('revoke insert on allocation_rules from holdfast_application');
    try {
      expect(await publish({}, { key })).toMatchObject({ status: 500 });
      expect(await publish({ effectiveAt }, { key: dated })).toMatchObject({ status: 500 });
    } finally {
      await api.owner.raw('grant insert on allocation_rules to holdfast_application');
    }
    api.clock.aheadMs = 2 * HOUR_MS;
    try {
      expect(await publish({ effectiveAt }, { key: dated })).toMatchObject({ status: 422 });
      const resent = addMilliseconds(now(), 2 * HOUR_MS - 1_000);
      const { body } = await publish({}, { key });
      expect(body.effectiveAt > resent).toBe(true);
      expect((await api.ask('GET', RULES)).body.items).toEqual([...before, body]);
    } finally {
      api.clock.aheadMs = 0;
    }
  });

  it('is refused with a sentence when it cannot be meant', async () => {
    const past = addMilliseconds(now(), -1_000);
    const invalid = (sentence: RegExp) => ({
      status: 422,
      body: { code: 'rules_invalid', detail: expect.stringMatching(sentence) },
    });
    expect(await publish({ effectiveAt: past })).toMatchObject(invalid(/effectiveAt: .* is over/));
    expect(await publish({ rules: [RULE, RULE] })).toMatchObject(invalid(/test-rule is there twice/));
    expect(await publish({ rules: [{ ...RULE, amount: '0' }] })).toMatchObject(invalid(/more than zero/));
    expect(await publish({ rules: [{ ...RULE, recipient: 'named-user' }] })).toMatchObject(
      invalid(/gets a flat amount/),
    );
    for (const wrong of [
      { recipient: 'team' },
      { per: 'month' },
      { frequency: 'daily' },
      { amount: '-1' },
      { color: 'red' },
    ]) {
      const { status, body } = await publish({ rules: [{ ...RULE, ...wrong }] });
      expect([status, body.code]).toEqual([400, 'invalid_request']);
      expect(JSON.stringify(body.errors)).toContain(Object.keys(wrong)[0]);
    }
    expect(await publish({}, { as: 'contractAdmin' })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(await publish({}, { key: null })).toMatchObject({ status: 400 });
  });
});

it('what was allocated is shown with its rule and version, to whom it concerns', async () => {
  const at = now();
  const startsAt = addMilliseconds(at, -HOUR_MS);
  const [contractId, submitter, admin] = [uuidv7(), DEMO.people.submitter.id, DEMO.people.contractAdmin.id];
  const endsAt = addMonths(startsAt, 12, 'UTC');
  await api.db('contracts').insert({
    id: contractId,
    customer_id: DEMO.customer,
    name: 'With products',
    starts_at: startsAt,
    ends_at: endsAt,
    time_zone: 'UTC',
  });
  await api.db('contract_users').insert([
    { contract_id: contractId, user_id: submitter, role: 'submitter', authorised_at: startsAt },
    { contract_id: contractId, user_id: admin, role: 'contract-admin', authorised_at: startsAt },
  ]);
  const product = (type: string): ContractProduct => ({ product: 'suite', type, level: 'premium', seats: 2 });
  const products = [product('annual'), product('maintenance')];
  const state = { ...(await getContractState(api.db, contractId)), products, version: 1 };
  const change = { contractId, requestId: 'create', kind: 'create', at: startsAt, actor: 'test', reason: 'a test' };
  await inTransaction(api.db, (trx) => recordContractChange(trx, { ...change, request: {}, state }));
  await bookDue(api.ledger, contractId, at);

  const path = `/v1/contracts/${contractId}/allocations`;
  const all = (await api.ask('GET', path, { as: 'contractAdmin' })).body.items;
  const shared = {
    kind: 'shared',
    amount: '200',
    at: startsAt,
    userId: null,
    ruleKey: 'term-annual',
    version: 3,
    because: 'Term 1 of the contract began: 100 for each of 2 seats by rule term-annual.',
  };
  const individual = { kind: 'individual', amount: '100', ruleKey: 'named-user', userId: submitter };
  expect(all).toHaveLength(3);
  expect(all).toEqual(expect.arrayContaining([shared, individual].map((one) => expect.objectContaining(one))));
  // Colleagues do not see what somebody else owns.
  const seen = (await api.ask('GET', path)).body.items;
  expect(seen.map(({ userId }: { userId: string | null }) => userId).sort()).toEqual([submitter, null].sort());

  const own = (await api.ask('GET', `/v1/users/${submitter}/allocations`)).body.items;
  expect(own).toEqual([expect.objectContaining(individual)]);
  const lots = (await api.ask('GET', `/v1/users/${submitter}/lots`)).body.items;
  expect(lots).toContainEqual(expect.objectContaining({ id: own[0].lotId, source: 'allocation', granted: '100' }));
  expect(await api.ask('GET', `/v1/users/${admin}/allocations`)).toMatchObject({ status: 404 });
  expect(await api.ask('GET', `/v1/contracts/${randomUUID()}/allocations`)).toMatchObject({ status: 404 });
});

it('the demo’s contracts have no products and are allocated nothing', async () => {
  for (const contractId of [DEMO.contract, DEMO.smallContract]) await bookDue(api.ledger, contractId, now());
  expect(
    await rows(api.db, 'select 1 from allocations where contract_id in (?, ?)', [DEMO.contract, DEMO.smallContract]),
  ).toEqual([]);
});
