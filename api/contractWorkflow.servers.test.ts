/** Contracts over REST with their real workflows, whose clocks are moved forward. */
import { randomUUID } from 'node:crypto';
import { createReconcileActivities } from '../activities/reconcile';
import { DEMO } from '../db/seed';
import { contractWorkflowId } from '../domain/contract';
import { addMilliseconds, type Instant, instantOfMilliseconds, millisecondsOf, nextInstant } from '../domain/instant';
import { type Ask, type Heard, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';
import { fastForward } from '../test/world/fastForward';
import { temporalWorkflows } from './temporal';
import type { Workflows } from './workflowsPort';

jest.setTimeout(120_000);

const DAY_MS = 86_400_000;
const START = instantOfMilliseconds(Date.now());
const day = (days: number) => addMilliseconds(START, days * DAY_MS);
/** The last instant before another. */
function justBefore(instant: Instant): Instant {
  let last = addMilliseconds(instant, -1);
  while (nextInstant(last) < instant) last = nextInstant(last);
  return last;
}

const as = 'provider';
let api: TestApi;

const make = async (over: object = {}): Promise<string> => {
  const contract = { customerId: DEMO.customer, name: 'Aurora annual', startsAt: day(-10), endsAt: day(100) };
  const json = { ...contract, timeZone: 'Europe/Berlin', graceDays: 5, reason: 'order 1', ...over };
  const made = await api.ask('POST', '/v1/contracts', { as, json });
  expect(made.status).toBe(201);
  return made.body.id;
};
const change = (id: string, what: string, json: object = {}, ask: Ask = {}) =>
  api.ask('POST', `/v1/contracts/${id}/${what}`, { as, json: { reason: 'a test', ...json }, ...ask });
const get = async (path: string) => (await api.ask('GET', path, { as })).body;
const changes = async (id: string): Promise<{ kind: string; at: Instant }[]> =>
  (await get(`/v1/contracts/${id}/changes`)).items;
const grant = async (id: string): Promise<string> => {
  const json = { kind: 'shared', amount: '10', reason: 'a test' };
  return (await api.ask('POST', `/v1/contracts/${id}/lots`, { as, json })).body.id;
};
/** A lot of a contract as it is. */
const lotOf = async (id: string, lot: string) =>
  (await get(`/v1/contracts/${id}/lots`)).items.find((one: { id: string }) => one.id === lot);
const handleOf = (id: string) => api.client.workflow.getHandle(contractWorkflowId(id));
/** Until the workflow has done what its calendar lists up to its present. */
const looked = (id: string) =>
  eventually('the workflow looked at its calendar', async () => {
    try {
      return ((await handleOf(id).query('contract')) as { contract: unknown }).contract !== null;
    } catch {
      return false;
    }
  });
/** Moves the workflow's clock to a moment after an instant. */
const goTo = async (id: string, instant: Instant) => {
  const { raw } = await handleOf(id).describe();
  const { currentTime } = raw.workflowExtendedInfo?.timeSkippingInfo ?? {};
  const clock = currentTime?.seconds == null ? Date.now() : Number(currentTime.seconds) * 1_000;
  await fastForward(api.client, contractWorkflowId(id), Math.ceil((millisecondsOf(instant) - clock) / 1_000) + 2);
};

/** Whether words to contracts are lost. */
let isDeaf = false;

beforeAll(async () => {
  const deafen = (temporal: Workflows): Workflows => ({
    ...temporal,
    contractTouched: async (id) => (isDeaf ? Promise.reject(new Error('nobody heard')) : temporal.contractTouched(id)),
  });
  api = await startApi({ workflows: deafen });
});
afterAll(() => api?.close());

describe('before anybody is at work for contracts', () => {
  it('a contract is made, a change is not answered, and its repeat makes it once when somebody is', async () => {
    const id = await make();
    const key = randomUUID();
    const json = { months: 1 };
    const early = await change(id, 'renew', json, { key });
    expect(early).toMatchObject({ status: 503, body: { code: 'unavailable', retryable: true } });
    expect((await changes(id)).map(({ kind }) => kind)).toEqual(['create']);
    await api.startContractsWorker();
    const late = await change(id, 'renew', json, { key });
    expect(late).toMatchObject({ status: 200, body: { terms: [{ number: 1 }, { number: 2 }] } });
    expect((await change(id, 'renew', json, { key })).body).toEqual(late.body);
    expect((await changes(id)).filter(({ kind }) => kind === 'renew')).toHaveLength(1);
  });
});

describe('a contract with its workflow', () => {
  it('makes every change, and answers when its lots have the lives that follow', async () => {
    const id = await make();
    const lot = await grant(id);
    const expiry = async () => (await lotOf(id, lot)).expiresAt;
    expect(await expiry()).toBe(day(100));
    const renewed = await change(id, 'renew', { months: 1 });
    expect([renewed.body.state, renewed.body.terms.length]).toEqual(['active', 2]);
    expect(await expiry()).toBe(renewed.body.endsAt);
    expect((await change(id, 'extend', { endsAt: day(200) })).body.endsAt).toBe(day(200));
    expect(await expiry()).toBe(day(200));
    const terminated = await change(id, 'terminate', { at: day(30) });
    expect(terminated.body).toMatchObject({ endsAt: day(30), terminatesAt: day(30), graceEndsAt: day(30) });
    expect(await expiry()).toBe(day(30));
    expect((await change(id, 'revoke-termination')).body).toMatchObject({ endsAt: day(200), terminatesAt: null });
    expect(await expiry()).toBe(day(200));
    expect((await change(id, 'suspend')).body.state).toBe('suspended');
    const resumed = await change(id, 'resume');
    expect(resumed.body.state).toBe('active');
    const put = (what: string, etag: string | null, json: object) =>
      api.ask('PUT', `/v1/contracts/${id}/${what}`, {
        as,
        json: { reason: 'a test', ...json },
        headers: { 'If-Match': etag ?? '' },
      });
    const products = [{ product: 'solver', type: 'annual', level: 'standard', seats: 2 }];
    const sold = await put('products', resumed.headers.get('etag'), { products });
    expect(sold.body.products).toEqual(products);
    const terms = { renewal: 'automatic', renewalMonths: 6, graceDays: 0 };
    expect((await put('renewal', sold.headers.get('etag'), terms)).body).toMatchObject(terms);
    expect((await put('renewal', sold.headers.get('etag'), terms)).body.code).toBe('precondition_failed');
    const kinds = (await changes(id)).map(({ kind }) => kind).filter((kind) => kind !== 'activate');
    const made = 'changeRenewal changeProducts resume suspend revokeTermination terminate extend renew create';
    expect(kinds).toEqual(made.split(' '));
    expect((await get(`/v1/contracts/${id}/calendar`)).phase).toBe('active');
  });

  it('refuses in a sentence, leaves no row of what it refused, and is over for good once it is terminated', async () => {
    const id = await make();
    const lot = await grant(id);
    const refused = async (what: string, json: object, ask: Ask = {}) => {
      const { status, body } = await change(id, what, json, ask);
      expect(body.detail).toMatch(/\.$/);
      return `${status} ${body.code}`;
    };
    expect(await refused('resume', {})).toBe('409 change_refused');
    expect(await refused('revoke-termination', {})).toBe('409 change_refused');
    expect(await refused('extend', { endsAt: day(99) })).toBe('422 change_invalid');
    expect(await refused('terminate', { at: day(101) })).toBe('422 change_invalid');
    expect(await refused('suspend', {}, { as: 'submitter' })).toBe('403 forbidden');
    expect(await refused('suspend', {}, { as: 'contractAdmin' })).toBe('403 forbidden');
    expect((await changes(id)).map(({ kind }) => kind).filter((kind) => kind !== 'activate')).toEqual(['create']);
    const ended = await change(id, 'terminate');
    expect(ended.body.state).toBe('ended');
    expect((await lotOf(id, lot)).expired).toBe('10');
    // Its workflow is over, too: whoever asks is told so by a new one.
    await handleOf(id).result();
    expect(await refused('renew', {})).toBe('409 contract_closed');
  });

  it('that was ended under a change is no refusal: the same request makes the change in a new run', async () => {
    const id = await make();
    await looked(id);
    const key = randomUUID();
    const may = (verb: string) => api.owner.raw(`${verb} holdfast_application`);
    await may('revoke insert on contract_changes from');
    let asked: Promise<Heard>;
    try {
      asked = change(id, 'renew', { months: 1 }, { key });
      await eventually('the change was accepted', async () => {
        const { events } = await handleOf(id).fetchHistory();
        return events?.some(({ workflowExecutionUpdateAcceptedEventAttributes: accepted }) => accepted);
      });
      await handleOf(id).terminate();
    } finally {
      await may('grant insert on contract_changes to');
    }
    expect(await asked).toMatchObject({ status: 503, body: { code: 'unavailable', retryable: true } });
    const repeat = await change(id, 'renew', { months: 1 }, { key });
    expect(repeat).toMatchObject({ status: 200, body: { terms: [{ number: 1 }, { number: 2 }] } });
    expect((await changes(id)).filter(({ kind }) => kind === 'renew')).toHaveLength(1);
  });
});

describe('the history of a contract that its workflow has led', () => {
  it('says who could spend a lot, to the microsecond, across people, a suspension, a lapse and a termination', async () => {
    const id = await make({ endsAt: day(2) });
    const [ana, ben] = [DEMO.people.submitter.id, DEMO.people.contractAdmin.id];
    const json = { role: 'submitter' };
    const users = `/v1/contracts/${id}/users`;
    const first = (await api.ask('POST', users, { as, json: { ...json, userId: ana } })).body.authorisedAt;
    const lot = await grant(id);
    const comes = nextInstant(day(1));
    await api.ask('POST', users, { as, json: { ...json, userId: ben, authorisedAt: comes } });
    const goes = nextInstant(nextInstant(day(1.5)));
    expect((await api.ask('DELETE', `${users}/${ana}?removedAt=${day(1.6)}`, { as })).status).toBe(200);
    // An end that is to come becomes another.
    expect((await api.ask('DELETE', `${users}/${ana}?removedAt=${goes}`, { as })).body.removedAt).toBe(goes);
    const changed = async (what: string, ask: object = {}): Promise<Instant> => {
      expect((await change(id, what, ask)).status).toBe(200);
      return (await changes(id))[0]?.at as Instant;
    };
    const suspended = await changed('suspend');
    const resumed = await changed('resume');
    await goTo(id, day(3));
    const renewed = await changed('renew', { months: 1 });
    const ended = await changed('terminate');

    const spenders = async (at: Instant) => {
      const { users: found } = await get(`/v1/lots/${lot}/spenders?at=${at}`);
      const of = (userId: string) => found.find((one: { userId: string }) => one.userId === userId);
      return [ana, ben].map((userId) => of(userId).because ?? 'yes').join(', ');
    };
    const granted = (await lotOf(id, lot)).effectiveAt;
    const inOrder = [first, granted, suspended, resumed, day(2), renewed, ended];
    expect([...inOrder].sort()).toEqual(inOrder);
    expect(await spenders(justBefore(granted))).toBe('lot_not_granted, not_authorised');
    expect(await spenders(granted)).toBe('yes, not_authorised');
    expect(await spenders(justBefore(suspended))).toBe('yes, not_authorised');
    expect(await spenders(suspended)).toBe('contract_suspended, not_authorised');
    expect(await spenders(justBefore(resumed))).toBe('contract_suspended, not_authorised');
    expect(await spenders(resumed)).toBe('yes, not_authorised');
    expect(await spenders(day(1))).toBe('yes, not_authorised');
    expect(await spenders(comes)).toBe('yes, yes');
    expect(await spenders(justBefore(goes))).toBe('yes, yes');
    expect(await spenders(goes)).toBe('not_authorised, yes');
    expect(await spenders(justBefore(day(2)))).toBe('not_authorised, yes');
    expect(await spenders(day(2))).toBe('not_authorised, contract_not_in_force');
    expect(await spenders(justBefore(renewed))).toBe('not_authorised, contract_not_in_force');
    // Nothing had expired in the grace: the lot of before is there again.
    expect(await spenders(renewed)).toBe('not_authorised, yes');
    expect(await spenders(justBefore(ended))).toBe('not_authorised, yes');
    expect(await spenders(ended)).toBe('not_authorised, contract_not_in_force');
  });
});

it('a user of whom nobody told the contract is found by the reconciler, and gets what rules grant to named users', async () => {
  const rule = { key: 'named', recipient: 'named-user', amount: '7', per: 'flat', frequency: 'once' };
  await api.ask('POST', '/v1/allocation-rules', { as, json: { title: 'a test', rules: [rule] } });
  const id = await make({ products: [{ product: 'solver', type: 'annual', level: 'standard', seats: 2 }] });
  await looked(id);
  const json = { name: 'Nora Lind', email: 'nora@aurora.example', customerId: DEMO.customer };
  const { id: userId } = (await api.ask('POST', '/v1/users', { as, json })).body;
  isDeaf = true;
  const named = { userId, role: 'submitter' };
  expect((await api.ask('POST', `/v1/contracts/${id}/users`, { as, json: named })).status).toBe(201);
  isDeaf = false;
  const granted = async () =>
    (await get(`/v1/users/${userId}/lots`)).items.map((lot: { granted: string }) => lot.granted);
  expect(await granted()).toEqual([]);
  const { wakeContracts } = createReconcileActivities({
    ledger: api.ledger,
    workflowStatus: async () => 'running',
    touchContract: (contractId) => temporalWorkflows(api.client).contractTouched(contractId),
    youngMs: 0,
  });
  const present = () => instantOfMilliseconds(Date.now() + 1);
  expect(await wakeContracts({ at: present() })).toContain(id);
  await eventually('the credits of a named user', async () => (await granted()).length > 0);
  expect(await granted()).toEqual(['7']);
  await eventually(
    'the contract is followed again',
    async () => !(await wakeContracts({ at: present() })).includes(id),
  );
});
