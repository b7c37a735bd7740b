import { randomUUID } from 'node:crypto';
import { rows } from '../db/client';
import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import { addMilliseconds, instantOfMilliseconds } from '../domain/instant';
import { type Ask, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';
import { type ScriptedNotices, scriptedNotices } from '../test/world/notices';

jest.setTimeout(120_000);

const OTHER_CUSTOMER = '00000000-0000-7000-8000-000000000080';
const SUBMITTER = DEMO.people.submitter.id;
const HOUR_MS = 3_600_000;

let api: TestApi;
let notices: ScriptedNotices;
/** Three users of another customer, each with a lot. */
const others: { userId: string; lotId: string; key: string }[] = [];

beforeAll(async () => {
  api = await startApi();
  notices = scriptedNotices();
  await api.db('customers').insert({ id: OTHER_CUSTOMER, name: 'Borealis' });
  for (const n of [1, 2, 3]) {
    const userId = `00000000-0000-7000-8000-00000000008${n}`;
    await api.db('users').insert({ id: userId, customer_id: OTHER_CUSTOMER, name: `B${n}`, email: `b${n}@x.example` });
    const { body } = await post(`/v1/users/${userId}/lots`, { amount: `${n}.5`, reason: 'a test' });
    const key = await createApiKey(api.db, { userId, label: 'test', roles: ['submitter'] });
    others.push({ userId, lotId: body.id, key });
  }
});
afterAll(() => api?.close());

const post = (path: string, json: object, more: Partial<Ask> = {}) =>
  api.ask('POST', path, { as: 'provider', json, ...more });
const get = (path: string, as: Ask['as'] = 'operator') => api.ask('GET', path, { as: as ?? null });
const preview = async (json: object) => (await post('/v1/withdrawals/preview', json)).body;
const userIds = () => others.map(({ userId }) => userId);
const soon = () => addMilliseconds(instantOfMilliseconds(Date.now()), HOUR_MS);
const theirs = { customerId: OTHER_CUSTOMER };

describe('a preview', () => {
  it('says who and how much, page by page, and leaves no trace', async () => {
    const first = await preview({ selection: theirs, limit: 2 });
    expect(first).toEqual({
      users: 3,
      lots: 3,
      available: '7.5',
      reserved: '0',
      items: [1, 2].map((n) => ({
        userId: userIds()[n - 1],
        name: `B${n}`,
        email: `b${n}@x.example`,
        lots: 1,
        available: `${n}.5`,
        reserved: '0',
      })),
      nextCursor: userIds()[1],
    });
    const second = await preview({ selection: theirs, limit: 2, cursor: first.nextCursor });
    expect(second).toMatchObject({ users: 3, items: [{ userId: userIds()[2] }], nextCursor: null });
    expect(await rows(api.db, 'select id from withdrawals')).toEqual([]);
    expect(await rows(api.db, 'select lot_id from withdrawal_lots')).toEqual([]);
  });

  it.each([
    ['users', () => ({ userIds: [SUBMITTER, userIds()[0]] }), { users: 2, available: '11.5' }],
    ['lots', () => ({ lotIds: [others[2]?.lotId, randomUUID()] }), { users: 1, available: '3.5' }],
    ['all that was granted before an instant', () => ({ grantedBefore: soon() }), { users: 4, available: '17.5' }],
    ['nothing granted before', () => ({ grantedBefore: '2020-01-01T00:00:00Z' }), { users: 0, available: '0' }],
  ])('selects by %s', async (_what, selection, found) => {
    expect(await preview({ selection: selection() })).toMatchObject(found);
  });

  it.each([
    [{}, /body.selection/],
    [{ selection: { userIds: [] } }, /selection/],
    [{ selection: { userIds: [SUBMITTER], customerId: OTHER_CUSTOMER } }, /select by one of/],
    [{ selection: { grantedBefore: 'yesterday' } }, /selection/],
  ])('of %j is refused', async (json, sentence) => {
    const { status, body } = await post('/v1/withdrawals/preview', json);
    expect({ status, detail: body.detail }).toEqual({ status: 400, detail: expect.stringMatching(sentence) });
  });
});

it('is the provider’s to start and to rescind, and the staff’s to see', async () => {
  const request = { selection: theirs, reason: 'a test' };
  for (const as of ['submitter', 'finance', 'operator'] as const) {
    expect(await post('/v1/withdrawals', request, { as })).toMatchObject({ status: 403 });
  }
  expect(await get('/v1/withdrawals', 'submitter')).toMatchObject({ status: 403 });
  expect(await get(`/v1/withdrawals/${randomUUID()}`)).toMatchObject({ status: 404 });
});

it('that would take nothing is refused', async () => {
  const request = { selection: { grantedBefore: '2020-01-01T00:00:00Z' }, reason: 'a test' };
  expect(await post('/v1/withdrawals', request)).toMatchObject({ status: 422, body: { code: 'nothing_to_withdraw' } });
});

it('is started once, seen by the staff and by whom it concerns, and rescinded for some and for all', async () => {
  const key = randomUUID();
  const request = { selection: theirs, reason: 'the programme ends', noticesPerSecond: 500 };
  const started = await post('/v1/withdrawals', request, { key });
  const { id } = started.body;
  expect(started).toMatchObject({
    status: 201,
    body: {
      selected: { users: 3, lots: 3, available: '7.5', reserved: '0' },
      state: 'running',
      counts: { waiting: 3, noticed: 0 },
      nextWhat: 'delivery of a notice',
    },
  });
  expect(started.headers.get('location')).toBe(`/v1/withdrawals/${id}`);
  expect((await post('/v1/withdrawals', request, { key })).body).toEqual(started.body);
  expect((await get('/v1/withdrawals')).body.items).toMatchObject([{ id, createdBy: DEMO.people.provider.id }]);
  const [first, second, third] = others as [(typeof others)[0], (typeof others)[0], (typeof others)[0]];
  // Nobody is at work yet: the request is not taken, and can be sent again.
  const early = await post(`/v1/withdrawals/${id}/rescind`, { userIds: [third.userId], reason: 'a mistake' });
  expect(early).toMatchObject({ status: 503, body: { code: 'unavailable', retryable: true } });

  notices.script(second.userId, { outcome: 'undeliverable', reason: 'No channel reaches the user.' });
  await api.startContractsWorker({ notices });
  await eventually('the notices', async () => {
    const { counts } = (await get(`/v1/withdrawals/${id}`)).body;
    return counts.waiting === 0;
  });
  const page = (await get(`/v1/withdrawals/${id}/users?limit=2`)).body;
  expect(page.items).toMatchObject([
    { userId: first.userId, state: 'noticed', channel: 'mail', failure: null },
    { userId: second.userId, state: 'undeliverable', deliveredAt: null, failure: 'No channel reaches the user.' },
  ]);
  const rest = (await get(`/v1/withdrawals/${id}/users?limit=2&cursor=${page.nextCursor}`)).body;
  expect(rest).toMatchObject({ items: [{ userId: third.userId }], nextCursor: null });
  expect((await get(`/v1/withdrawals/${id}/users?state=undeliverable`)).body.items).toHaveLength(1);

  const [{ withdrawsAt, deliveredAt }] = page.items;
  const path = `/v1/users/${first.userId}/withdrawals`;
  expect((await get(path, { key: first.key })).body.items).toEqual([
    {
      withdrawalId: id,
      reason: 'the programme ends',
      deliveredAt,
      channel: 'mail',
      withdrawsAt,
      lots: [{ lotId: first.lotId, reference: null, available: '1.5', reserved: '0' }],
    },
  ]);
  expect((await get(`/v1/users/${first.userId}/lots`, { key: first.key })).body.items).toMatchObject([
    { withdrawnAt: withdrawsAt },
  ]);
  expect(await get(path, { key: second.key })).toMatchObject({ status: 404 });
  expect((await get(`/v1/users/${second.userId}/withdrawals`, { key: second.key })).body.items).toEqual([]);

  const rescind = (json: object) => post(`/v1/withdrawals/${id}/rescind`, { reason: 'a mistake', ...json });
  expect(await rescind({ userIds: [SUBMITTER] })).toMatchObject({
    status: 404,
    body: { detail: expect.stringContaining(SUBMITTER) },
  });
  expect(await rescind({ userIds: [] })).toMatchObject({ status: 400 });
  expect(await rescind({ userIds: [first.userId] })).toMatchObject({
    status: 200,
    body: { rescinded: 1, tookEffect: [], tookEffectCount: 0 },
  });
  expect((await get(path, { key: first.key })).body.items).toEqual([]);

  // What takes longer than a request may is told later, under the same key.
  const again = { key: randomUUID() };
  const all = { userIds: 'all', reason: 'a mistake' };
  const holding = await api.owner.transaction();
  await holding.raw('lock table withdrawal_users in exclusive mode');
  expect(await post(`/v1/withdrawals/${id}/rescind`, all, again)).toMatchObject({ status: 202, body: { id } });
  await holding.rollback();
  await eventually('the answer', async () => {
    const { status, body } = await post(`/v1/withdrawals/${id}/rescind`, all, again);
    return status === 200 && body.rescinded === 3;
  });
  await eventually('the end', async () => (await get(`/v1/withdrawals/${id}`)).body.state === 'ended');
  expect((await get(`/v1/withdrawals/${id}`)).body).toMatchObject({
    counts: { rescinded: 3, noticed: 0, undeliverable: 0 },
    nextAt: null,
    nextWhat: null,
  });
  // A campaign that has ended says the same.
  expect(await rescind({ userIds: 'all' })).toMatchObject({ status: 200, body: { rescinded: 3 } });
});
