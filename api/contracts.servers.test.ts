import { randomUUID } from 'node:crypto';
import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import { addMilliseconds, instantOfMilliseconds, nextInstant } from '../domain/instant';
import { NETLIST } from '../test/api/inputs';
import { scriptContracts } from '../test/api/scriptedContracts';
import { type Ask, startApi, type TestApi } from '../test/api/server';

jest.setTimeout(60_000);

const MISSING = '00000000-0000-7000-8000-0000000000ff';
const DAY_MS = 86_400_000;
const START = instantOfMilliseconds(Date.now());
const day = (days: number) => addMilliseconds(START, days * DAY_MS);

const contracts = scriptContracts(START);
let api: TestApi;
/** Administrator of a contract of another customer. */
let stranger: { key: string };

const as = 'provider';
const make = (json: object, ask: Ask = {}) => api.ask('POST', '/v1/contracts', { as, json, ...ask });
const wanted = (over: object = {}) => ({
  customerId: DEMO.customer,
  name: 'Aurora annual',
  startsAt: day(-10),
  endsAt: day(20),
  timeZone: 'Europe/Berlin',
  graceDays: 5,
  products: [{ product: 'solver', type: 'annual', level: 'standard', seats: 5 }],
  reason: 'order 1',
  ...over,
});
const madeContract = async (over: object = {}): Promise<string> => (await make(wanted(over))).body.id;
const change = (id: string, what: string, json: object = {}, ask: Ask = {}) =>
  api.ask('POST', `/v1/contracts/${id}/${what}`, { as, json: { reason: 'a test', ...json }, ...ask });

beforeAll(async () => {
  api = await startApi({ workflows: contracts.replacing });
  contracts.db = api.db;
  const { body: customer } = await api.ask('POST', '/v1/customers', { as, json: { name: 'Borealis' } });
  const json = { name: 'Stranger', email: 'stranger@borealis.example', customerId: customer.id };
  const { body: user } = await api.ask('POST', '/v1/users', { as, json });
  const theirs = await madeContract({ customerId: customer.id, name: 'Theirs' });
  await api.ask('POST', `/v1/contracts/${theirs}/users`, { as, json: { userId: user.id, role: 'contract-admin' } });
  stranger = { key: await createApiKey(api.db, { userId: user.id, label: 'test', roles: ['contract-admin'] }) };
});
afterAll(() => api?.close());
beforeEach(() => {
  contracts.at = START;
  contracts.away = false;
  api.clock.aheadMs = 0;
});

describe('customers', () => {
  it('are made once per Idempotency-Key, renamed, and listed in pages', async () => {
    const key = randomUUID();
    const first = await api.ask('POST', '/v1/customers', { as, key, json: { name: 'Cumulus' } });
    const again = await api.ask('POST', '/v1/customers', { as, key, json: { name: 'Cumulus' } });
    expect(first.status).toBe(201);
    expect(first.headers.get('location')).toBe(`/v1/customers/${first.body.id}`);
    expect(again).toMatchObject({ status: 201, body: first.body });
    const path = `/v1/customers/${first.body.id}`;
    expect((await api.ask('PUT', path, { as, json: { name: 'Cumulus AG' } })).status).toBe(200);
    expect((await api.ask('GET', path, { as: 'finance' })).body).toEqual({ id: first.body.id, name: 'Cumulus AG' });
    const page = (await api.ask('GET', '/v1/customers?limit=1', { as })).body;
    expect(page).toMatchObject({ items: [{ id: DEMO.customer }], nextCursor: DEMO.customer });
    const rest = (await api.ask('GET', `/v1/customers?cursor=${page.nextCursor}`, { as })).body;
    expect(rest.items.map(({ name }: { name: string }) => name)).toEqual(['Borealis', 'Cumulus AG']);
    expect(rest.nextCursor).toBeNull();
  });

  it('are the provider’s to see and to change', async () => {
    const path = `/v1/customers/${DEMO.customer}`;
    expect((await api.ask('GET', '/v1/customers')).status).toBe(403);
    expect((await api.ask('GET', path, { as: 'contractAdmin' })).status).toBe(403);
    expect((await api.ask('PUT', path, { as: 'operator', json: { name: 'x' } })).status).toBe(403);
    expect((await api.ask('GET', `/v1/customers/${MISSING}`, { as })).body.code).toBe('not_found');
    expect((await api.ask('PUT', `/v1/customers/${MISSING}`, { as, json: { name: 'x' } })).body.code).toBe('not_found');
    expect((await api.ask('POST', '/v1/customers', { as, json: { name: ' x' } })).body.code).toBe('invalid_request');
  });
});

describe('a user', () => {
  const person = (over: object = {}) => ({
    name: 'Nils Berg',
    email: 'nils@aurora.example',
    customerId: DEMO.customer,
    ...over,
  });

  it('has one address, however it is written', async () => {
    const made = await api.ask('POST', '/v1/users', { as, json: person({ language: 'de', timeZone: 'Asia/Tokyo' }) });
    expect(made).toMatchObject({ status: 201, body: { language: 'de', timeZone: 'Asia/Tokyo', ...person() } });
    const taken = await api.ask('POST', '/v1/users', { as, json: person({ email: 'Nils@AURORA.example' }) });
    expect(taken).toMatchObject({ status: 409, body: { code: 'email_taken' } });
    const path = `/v1/users/${DEMO.people.submitter.id}`;
    const moved = await api.ask('PUT', path, { as, json: { email: 'NILS@aurora.example' } });
    expect(moved).toMatchObject({ status: 409, body: { code: 'email_taken' } });
  });

  it('is made once, also by twenty at once with one address', async () => {
    const json = person({ email: 'many@aurora.example' });
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.ask('POST', '/v1/users', { as, json })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(409)]);
    const key = randomUUID();
    const other = person({ email: 'once@aurora.example' });
    const same = await Promise.all(
      Array.from({ length: 5 }, () => api.ask('POST', '/v1/users', { as, key, json: other })),
    );
    expect(new Set(same.map(({ status, body }) => `${status} ${body.id}`)).size).toBe(1);
  });

  it.each([
    [{ timeZone: 'Mars/Olympus' }],
    [{ timeZone: '+02:00' }],
    [{ language: 'fr' }],
    [{ email: 'nobody' }],
    [{ name: '' }],
    [{}],
  ])('is refused %j', async (json) => {
    const path = `/v1/users/${DEMO.people.submitter.id}`;
    expect((await api.ask('PUT', path, { as, json })).body.code).toBe('invalid_request');
  });

  it('chooses language and time zone; name and address are the provider’s', async () => {
    const path = `/v1/users/${DEMO.people.submitter.id}`;
    const own = await api.ask('PUT', path, { json: { language: 'de', timeZone: 'Pacific/Auckland' } });
    expect(own).toMatchObject({
      status: 200,
      body: { language: 'de', timeZone: 'Pacific/Auckland', name: 'Sana Rahimi' },
    });
    expect((await api.ask('PUT', path, { json: { language: 'en', name: 'Queen' } })).body.code).toBe('forbidden');
    expect((await api.ask('PUT', path, { as: 'operator', json: { language: 'en' } })).body.code).toBe('forbidden');
    expect((await api.ask('PUT', path, { as: 'contractAdmin', json: { language: 'en' } })).body.code).toBe('not_found');
    expect((await api.ask('GET', path, { as: stranger })).body.code).toBe('not_found');
    expect((await api.ask('PUT', path, { as, json: { name: 'Sana R.' } })).body).toMatchObject({
      name: 'Sana R.',
      language: 'de',
    });
    expect((await api.ask('POST', '/v1/users', { as: 'operator', json: person() })).status).toBe(403);
    const nowhere = person({ customerId: MISSING, email: 'a@b.example' });
    expect((await api.ask('POST', '/v1/users', { as, json: nowhere })).body.code).toBe('not_found');
  });
});

describe('a contract', () => {
  it('is made with the first row of its history, once, and its workflow is told', async () => {
    const key = randomUUID();
    contracts.touched.length = 0;
    const made = await make(wanted(), { key });
    const { id } = made.body;
    expect(made).toMatchObject({
      status: 201,
      body: { state: 'active', version: 1, terminatesAt: null, suspendedAt: null },
    });
    expect(made.headers.get('etag')).toBe('"1"');
    expect(made.body.terms).toEqual([{ number: 1, startsAt: day(-10), endsAt: day(20) }]);
    expect(made.body.graceEndsAt.slice(0, 10)).toBe(day(25).slice(0, 10));
    expect(contracts.touched).toEqual([id]);
    const again = await make(wanted(), { key });
    expect(again.body).toEqual(made.body);
    expect(again.headers.get('location')).toBe(`/v1/contracts/${id}`);
    expect(await api.ask('GET', `/v1/contracts/${id}`, { as })).toMatchObject({ status: 200, body: made.body });
    const { body } = await api.ask('GET', `/v1/contracts/${id}/changes`, { as });
    expect(body.items).toMatchObject([
      {
        number: 1,
        kind: 'create',
        reason: 'order 1',
        actor: DEMO.people.provider.id,
        request: { name: 'Aurora annual' },
      },
    ]);
    expect(body.items[0].state).toMatchObject({ contractId: id, endsAt: day(20), version: 1 });
  });

  it('is made while Temporal is away, too', async () => {
    contracts.away = true;
    const made = await make(wanted());
    expect(made.status).toBe(201);
    const refused = await change(made.body.id, 'suspend');
    expect(refused).toMatchObject({ status: 503, body: { code: 'unavailable' } });
  });

  it.each([
    ['change_invalid', { endsAt: day(-10) }],
    ['change_invalid', { startsAt: day(-20), endsAt: day(-1) }],
    ['change_invalid', { products: [0, 1].map(() => ({ product: 'a', type: 'b', level: 'c', seats: 1 })) }],
    ['invalid_request', { timeZone: 'Europe/Atlantis' }],
    ['invalid_request', { graceDays: 367 }],
    ['invalid_request', { renewal: 'perhaps' }],
    ['not_found', { customerId: MISSING }],
  ])('is refused as %s with %j', async (code, over) => {
    expect((await make(wanted(over))).body.code).toBe(code);
  });

  it('is listed by where it stands, in pages', async () => {
    const { body: customer } = await api.ask('POST', '/v1/customers', { as, json: { name: 'Dorado' } });
    const of = (over: object = {}) => madeContract({ customerId: customer.id, ...over });
    const upcoming = await of({ startsAt: day(2) });
    const active = await of();
    const suspended = await of();
    const lapsing = await of({ endsAt: day(1) });
    const over = await of({ endsAt: day(1), graceDays: 0 });
    await change(suspended, 'suspend');
    api.clock.aheadMs = 1.5 * DAY_MS;
    const listed = async (query: string) =>
      (await api.ask('GET', `/v1/contracts?customer=${customer.id}${query}`, { as })).body.items.map(
        ({ id, state }: { id: string; state: string }) => [id, state],
      );
    expect(await listed('')).toEqual([
      [upcoming, 'upcoming'],
      [active, 'active'],
      [suspended, 'suspended'],
      [lapsing, 'grace'],
      [over, 'ended'],
    ]);
    for (const [id, state] of [
      [upcoming, 'upcoming'],
      [active, 'active'],
      [suspended, 'suspended'],
      [lapsing, 'grace'],
      [over, 'ended'],
    ]) {
      expect(await listed(`&state=${state}`)).toEqual([[id, state]]);
    }
    const first = await api.ask('GET', `/v1/contracts?customer=${customer.id}&limit=2`, { as });
    expect(first.body.nextCursor).toBe(active);
    expect(await listed(`&limit=3&cursor=${active}`)).toHaveLength(3);
  });

  it('changes by the word of the provider: renew, extend, terminate, revoke, suspend, resume, products, renewal', async () => {
    const id = await madeContract();
    expect((await change(id, 'renew', { months: 1 })).body).toMatchObject({
      version: 2,
      terms: [{ number: 1 }, { number: 2 }],
    });
    expect((await change(id, 'extend', { endsAt: day(100) })).body).toMatchObject({ version: 3, endsAt: day(100) });
    expect((await change(id, 'terminate', { at: day(30) })).body).toMatchObject({
      endsAt: day(30),
      terminatesAt: day(30),
      graceEndsAt: day(30),
    });
    expect((await change(id, 'revoke-termination')).body).toMatchObject({ endsAt: day(100), terminatesAt: null });
    expect((await change(id, 'suspend')).body).toMatchObject({ state: 'suspended', suspendedAt: START });
    expect((await change(id, 'resume')).body).toMatchObject({ state: 'active', suspendedAt: null });
    const put = (what: string, json: object, etag: string | null) =>
      api.ask('PUT', `/v1/contracts/${id}/${what}`, {
        as,
        json: { reason: 'a test', ...json },
        ...(etag !== null && { headers: { 'If-Match': etag } }),
      });
    const renewal = { renewal: 'automatic', renewalMonths: 6, graceDays: 0 };
    expect((await put('renewal', renewal, null)).body.code).toBe('precondition_required');
    expect((await put('renewal', renewal, '"6"')).body.code).toBe('precondition_failed');
    const renewed = await put('renewal', renewal, '"7"');
    expect(renewed.body).toMatchObject({ ...renewal, version: 8 });
    expect(renewed.headers.get('etag')).toBe('"8"');
    expect((await put('products', { products: [] }, '"8"')).body).toMatchObject({ products: [], version: 9 });
    const history = (await api.ask('GET', `/v1/contracts/${id}/changes?limit=3`, { as: 'finance' })).body;
    expect(history.items.map(({ kind }: { kind: string }) => kind)).toEqual([
      'changeProducts',
      'changeRenewal',
      'resume',
    ]);
    const earlier = (await api.ask('GET', `/v1/contracts/${id}/changes?cursor=${history.nextCursor}`, { as })).body;
    expect(earlier.items.map(({ kind }: { kind: string }) => kind)).toEqual([
      'suspend',
      'revokeTermination',
      'terminate',
      'extend',
      'renew',
      'create',
    ]);
    expect(earlier.nextCursor).toBeNull();
  });

  it('changes once per Idempotency-Key, and a repeat says what it became then', async () => {
    const id = await madeContract();
    const key = randomUUID();
    const json = { months: 2, reason: 'a test' };
    const twice = await Promise.all([change(id, 'renew', json, { key }), change(id, 'renew', json, { key })]);
    expect(twice.map(({ body }) => [body.version, body.terms.length])).toEqual([
      [2, 2],
      [2, 2],
    ]);
    expect((await change(id, 'renew', { ...json, months: 3 }, { key })).body.code).toBe('idempotency_key_reused');
    const products = { products: [], reason: 'a test' };
    const put = { as, json: products, key: randomUUID(), headers: { 'If-Match': '"2"' } } as const;
    const first = await api.ask('PUT', `/v1/contracts/${id}/products`, put);
    // As if the answer had not been remembered: the version that was read is gone, and the change is the same.
    await api.owner('idempotency_keys').where({ key: put.key }).update({ status: null, response: null });
    const repeat = await api.ask('PUT', `/v1/contracts/${id}/products`, put);
    expect([first.status, repeat.status, repeat.body]).toEqual([200, 200, first.body]);
  });

  it('refuses with the reason what cannot be', async () => {
    const id = await madeContract();
    expect(await change(id, 'resume')).toMatchObject({ status: 409, body: { code: 'change_refused' } });
    expect((await change(id, 'revoke-termination')).body.code).toBe('change_refused');
    const earlier = await change(id, 'extend', { endsAt: day(1) });
    expect(earlier).toMatchObject({ status: 422, body: { code: 'change_invalid' } });
    expect((await change(id, 'renew', { reason: '' })).body.code).toBe('invalid_request');
    await change(id, 'terminate', { at: day(5) });
    contracts.at = day(5);
    for (const [what, json] of [
      ['renew', {}],
      ['extend', { endsAt: day(90) }],
      ['revoke-termination', {}],
    ] as const) {
      expect(await change(id, what, json)).toMatchObject({ status: 409, body: { code: 'contract_closed' } });
    }
    expect((await change(id, 'terminate')).body.code).toBe('contract_not_in_force');
    expect((await change(MISSING, 'renew')).body.code).toBe('not_found');
  });

  it('that is suspended lets nobody spend, and everybody again when it is resumed', async () => {
    await api.startJobsWorker();
    const id = await madeContract({ name: 'Suspended now and then' });
    const lot = { kind: 'shared', amount: '50', reason: 'a test' };
    await api.ask('POST', `/v1/contracts/${id}/lots`, { as, json: lot });
    const json = { userId: DEMO.people.submitter.id, role: 'submitter' };
    expect((await api.ask('POST', `/v1/contracts/${id}/users`, { as, json })).status).toBe(201);
    const job = { service: 'simulation', input: await api.upload(NETLIST), contractId: id, maxCredits: '20' };
    // Later than the request came, as it is of a workflow.
    contracts.at = 'present';
    expect((await change(id, 'suspend')).body.state).toBe('suspended');
    expect(await api.ask('POST', '/v1/jobs', { json: job })).toMatchObject({
      status: 409,
      body: { code: 'contract_suspended' },
    });
    await change(id, 'resume');
    expect((await api.ask('POST', '/v1/jobs', { json: job })).status).toBe(201);
  });

  it('is changed by nobody else, and seen by its own people', async () => {
    for (const who of ['submitter', 'contractAdmin', 'operator', 'finance', stranger] as const) {
      expect((await change(DEMO.contract, 'suspend', {}, { as: who })).status).toBe(403);
      expect((await make(wanted(), { as: who })).status).toBe(403);
    }
    const path = `/v1/contracts/${DEMO.contract}`;
    expect((await api.ask('GET', path)).body).toMatchObject({ id: DEMO.contract, state: 'active', version: 0 });
    expect((await api.ask('GET', `${path}/changes`, { as: 'contractAdmin' })).body.items).toEqual([]);
    expect((await api.ask('GET', `${path}/changes`)).body.code).toBe('forbidden');
    for (const address of [path, `${path}/changes`, `${path}/users`]) {
      expect((await api.ask('GET', address, { as: stranger })).body.code).toBe('not_found');
    }
  });
});

describe('an authorisation', () => {
  let id: string;
  let userId: string;
  beforeEach(async () => {
    id = await madeContract();
    const json = { name: 'Nora Lind', email: `nora-${randomUUID()}@aurora.example`, customerId: DEMO.customer };
    userId = (await api.ask('POST', '/v1/users', { as, json })).body.id;
  });
  const authorise = (json: object = {}, ask: Ask = {}) =>
    api.ask('POST', `/v1/contracts/${id}/users`, { as, json: { userId, role: 'submitter', ...json }, ...ask });
  const remove = (removedAt?: string, ask: Ask = {}) =>
    api.ask('DELETE', `/v1/contracts/${id}/users/${userId}${removedAt ? `?removedAt=${removedAt}` : ''}`, {
      as,
      ...ask,
    });
  const all = async () => (await api.ask('GET', `/v1/contracts/${id}/users`, { as })).body.items;

  it('begins and ends at instants that stay, and the contract is told of each', async () => {
    contracts.touched.length = 0;
    const first = await authorise();
    expect(first).toMatchObject({ status: 201, body: { userId, role: 'submitter', removedAt: null } });
    const removed = await remove();
    expect(removed.status).toBe(200);
    expect(removed.body.removedAt > first.body.authorisedAt).toBe(true);
    const again = await authorise({ role: 'contract-admin' });
    expect(again.status).toBe(201);
    expect(await all()).toEqual([removed.body, again.body]);
    expect(contracts.touched).toEqual([id, id, id]);
  });

  it('is one at a time for a person, whoever asks how often', async () => {
    const json = { authorisedAt: day(3) };
    expect((await authorise(json)).status).toBe(201);
    expect(await authorise(json)).toMatchObject({ status: 201, body: { authorisedAt: day(3) } });
    expect(await authorise()).toMatchObject({ status: 409, body: { code: 'user_already_authorised' } });
    expect((await authorise({ ...json, role: 'contract-admin' })).body.code).toBe('user_already_authorised');
    expect(await all()).toHaveLength(1);
    await remove();
    const answers = await Promise.all(Array.from({ length: 10 }, () => authorise()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 409]));
    // Two of the same instant are the same.
    expect(new Set(answers.flatMap(({ status, body }) => (status === 201 ? [body.authorisedAt] : []))).size).toBe(1);
    expect(await all()).toHaveLength(2);
  });

  it('is done once under its Idempotency-Key although the answer was lost, and nothing is undone that came since', async () => {
    const [key, removal] = [randomUUID(), randomUUID()];
    const forget = () =>
      api.owner('idempotency_keys').whereIn('key', [key, removal]).update({ status: null, response: null });
    const first = await authorise({}, { key });
    await forget();
    api.clock.aheadMs = 60_000;
    expect(await authorise({}, { key })).toMatchObject({ status: 201, body: first.body });
    const removed = await remove(undefined, { key: removal });
    await forget();
    api.clock.aheadMs = 120_000;
    expect(await remove(undefined, { key: removal })).toMatchObject({ status: 200, body: removed.body });
    const again = await authorise();
    expect(again.status).toBe(201);
    await forget();
    api.clock.aheadMs = 180_000;
    expect(await remove(undefined, { key: removal })).toMatchObject({ status: 200, body: removed.body });
    expect(await all()).toEqual([removed.body, again.body]);
  });

  it('begins and ends when the attempt comes that does it, not when the first one came that did not', async () => {
    const [key, removal] = [randomUUID(), randomUUID()];
    expect((await remove(undefined, { key: removal })).body.code).toBe('not_found');
    await authorise();
    expect((await authorise({}, { key })).body.code).toBe('user_already_authorised');
    api.clock.aheadMs = 60_000;
    const ended = await remove();
    api.clock.aheadMs = 120_000;
    const begun = await authorise({}, { key });
    expect(begun.status).toBe(201);
    expect(begun.body.authorisedAt > ended.body.removedAt).toBe(true);
    api.clock.aheadMs = 180_000;
    const over = await remove(undefined, { key: removal });
    expect(over.body.removedAt > addMilliseconds(begun.body.authorisedAt, 59_000)).toBe(true);
  });

  it('can end in the future, and otherwise than was said, until it comes', async () => {
    await authorise();
    expect((await remove(day(4))).body.removedAt).toBe(day(4));
    expect((await authorise({ authorisedAt: addMilliseconds(day(4), -1) })).body.code).toBe('user_already_authorised');
    expect((await remove(day(6))).body.removedAt).toBe(day(6));
    expect((await authorise({ authorisedAt: day(6) })).status).toBe(201);
    // The first cannot reach into the second; the last ends.
    await remove(day(8));
    expect((await all()).map(({ removedAt }: { removedAt: string }) => removedAt)).toEqual([day(6), day(8)]);
    const now = await remove();
    // What was to begin later never does.
    expect((await all()).map((one: { authorisedAt: string; removedAt: string }) => one.removedAt)).toEqual([
      expect.any(String),
      day(6),
    ]);
    expect(now.body).toMatchObject({ authorisedAt: day(6), removedAt: day(6) });
    expect((await authorise({ authorisedAt: day(6) })).body.code).toBe('authorisation_invalid');
    expect((await authorise({ authorisedAt: day(7) })).status).toBe(201);
  });

  it('never rewrites what was', async () => {
    await authorise();
    expect(await remove(addMilliseconds(START, -1))).toMatchObject({
      status: 422,
      body: { code: 'authorisation_invalid' },
    });
    expect((await authorise({ authorisedAt: addMilliseconds(START, -1) })).body.code).toBe('authorisation_invalid');
    await remove();
    api.clock.aheadMs = 1000;
    expect((await remove()).body.code).toBe('not_found');
    expect((await remove(nextInstant(day(1)))).body.code).toBe('not_found');
  });

  it('is given by administrators of the contract to people of their customer, and by the provider to anybody', async () => {
    const admin = { key: await createApiKey(api.db, { userId, label: 'test', roles: ['contract-admin'] }) };
    const mine = { as: admin } as const;
    const userIdOf = async (key: { key: string }) => (await api.ask('GET', '/v1/me', { as: key })).body.userId;
    const other = await userIdOf(stranger);
    const person = DEMO.people.submitter.id;
    expect((await authorise({ userId: person }, mine)).body.code).toBe('not_found');
    await authorise({ role: 'contract-admin' });
    expect((await authorise({ userId: person }, mine)).status).toBe(201);
    expect((await authorise({ userId: other }, mine)).body.code).toBe('not_found');
    expect((await authorise({ userId: other })).status).toBe(201);
    expect((await authorise({ userId: MISSING })).body.code).toBe('not_found');
    const path = `/v1/contracts/${id}/users`;
    expect((await api.ask('GET', path, mine)).body.items).toHaveLength(3);
    expect((await api.ask('GET', path)).body.code).toBe('forbidden');
    expect((await authorise({ userId: DEMO.people.contractAdmin.id })).status).toBe(201);
    expect((await api.ask('DELETE', `${path}/${userId}`, { as: 'submitter' })).status).toBe(403);
    // A key of an administrator elsewhere, of somebody who only spends here.
    expect((await authorise({ userId }, { as: 'contractAdmin' })).body.code).toBe('forbidden');
    expect((await remove(undefined, { as: 'operator' })).status).toBe(403);
    expect((await remove(undefined, mine)).status).toBe(200);
    expect((await api.ask('GET', path, mine)).body.code).toBe('not_found');
  });

  it('is there although nobody could tell the contract', async () => {
    contracts.away = true;
    expect((await authorise()).status).toBe(201);
    expect((await remove()).status).toBe(200);
  });
});
