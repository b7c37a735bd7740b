import { randomUUID } from 'node:crypto';
import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import { addMilliseconds, instantOfMilliseconds } from '../domain/instant';
import { NETLIST } from '../test/api/inputs';
import { type Ask, type Heard, startApi, type TestApi, type Who } from '../test/api/server';
import { settledJob } from '../test/api/settled';

jest.setTimeout(120_000);

const MISSING = '00000000-0000-7000-8000-0000000000ff';
const STRANGER = '00000000-0000-7000-8000-000000000091';
const THEIR_CONTRACT = '00000000-0000-7000-8000-000000000093';
const PEER = '00000000-0000-7000-8000-000000000095';
const HOUR_MS = 3_600_000;
const ROUNDS = 20;
const BUDGETS = `/v1/contracts/${DEMO.contract}/budgets`;
const SUBMITTER = DEMO.people.submitter.id;

let api: TestApi;
let input: string;
/** An administrator of another customer's contract. */
let stranger: { key: string };
/** Another submitter on the same contract. */
let peer: { key: string };

beforeAll(async () => {
  api = await startApi();
  const { db } = api;
  const now = instantOfMilliseconds(Date.now());
  const theirs = '00000000-0000-7000-8000-000000000090';
  await db('customers').insert({ id: theirs, name: 'Borealis' });
  await db('users').insert([
    { id: STRANGER, customer_id: theirs, name: 'Stranger', email: 'stranger@borealis.example' },
    { id: PEER, customer_id: DEMO.customer, name: 'Peer', email: 'peer@aurora.example' },
  ]);
  const [startsAt, endsAt] = [addMilliseconds(now, -HOUR_MS), addMilliseconds(now, 10_000 * HOUR_MS)];
  await db('contracts').insert({
    id: THEIR_CONTRACT,
    customer_id: theirs,
    name: 'Theirs',
    starts_at: startsAt,
    ends_at: endsAt,
    time_zone: 'UTC',
  });
  await db('contract_users').insert([
    { contract_id: THEIR_CONTRACT, user_id: STRANGER, role: 'contract-admin', authorised_at: startsAt },
    { contract_id: DEMO.contract, user_id: PEER, role: 'submitter', authorised_at: startsAt },
  ]);
  stranger = { key: await createApiKey(db, { userId: STRANGER, label: 'test', roles: ['contract-admin'] }) };
  // The role of an administrator, and authorised as a submitter.
  peer = { key: await createApiKey(db, { userId: PEER, label: 'test', roles: ['submitter', 'contract-admin'] }) };
  input = await api.upload(NETLIST);
  await api.startJobsWorker();
});
afterAll(() => api?.close());

const setBudget = (json: object, more: Partial<Ask> = {}) =>
  api.ask('POST', BUDGETS, { as: 'contractAdmin', json: { period: 'total', amount: '5', ...json }, ...more });
const change = (id: string, etag: string | null, json: object, more: Partial<Ask> = {}) =>
  api.ask('PUT', `${BUDGETS}/${id}`, {
    as: 'contractAdmin',
    json,
    headers: etag === null ? {} : { 'If-Match': etag },
    ...more,
  });
const close = (id: string, etag: string | null, more: Partial<Ask> = {}) =>
  api.ask('DELETE', `${BUDGETS}/${id}`, {
    as: 'contractAdmin',
    headers: etag === null ? {} : { 'If-Match': etag },
    ...more,
  });
const budgetNow = (id: string, as: Ask['as'] = 'contractAdmin') =>
  api.ask('GET', `${BUDGETS}/${id}`, { as: as ?? null });
const submit = (more: object = {}, ask: Partial<Ask> = {}) =>
  api.ask('POST', '/v1/jobs', {
    json: { service: 'simulation', input, contractId: DEMO.contract, maxCredits: '5', ...more },
    ...ask,
  });
const etagOf = ({ headers }: Heard) => headers.get('etag') ?? '';
/** Every test limits something of its own. */
const aProject = () => `project ${randomUUID()}`;

const notFound = { status: 404, body: { code: 'not_found' } };
const forbidden = { status: 403, body: { code: 'forbidden' } };

describe('a budget', () => {
  it('is set, read with what is used of it in the present period, and listed', async () => {
    const project = aProject();
    const set = await setBudget({ project, period: 'month', amount: '12.5' });
    expect(set).toMatchObject({
      status: 201,
      body: {
        contractId: DEMO.contract,
        userId: null,
        project,
        period: 'month',
        amount: '12.5',
        warnPercent: 80,
        refusePercent: 100,
        current: { reserved: '0', charged: '0', used: '0', remaining: '12.5', warning: false, refusing: false },
      },
    });
    const { id, current } = set.body;
    expect(set.headers.get('location')).toBe(`${BUDGETS}/${id}`);
    // A calendar month of Berlin, which is ahead of UTC.
    expect([current.startsAt, current.endsAt].map((at: string) => at.slice(11))).toEqual(
      [current.startsAt, current.endsAt].map(() => expect.stringMatching(/^2[23]:00:00\.000000Z$/)),
    );
    const read = await budgetNow(id);
    expect(read).toMatchObject({ status: 200, body: set.body });
    expect(etagOf(read)).toBe(etagOf(set));
    const { items } = (await api.ask('GET', BUDGETS, { as: 'contractAdmin' })).body;
    expect(items.find((one: { id: string }) => one.id === id)).toEqual(set.body);
  });

  it('counts jobs that were reserved before it was set, and refunds', async () => {
    const project = aProject();
    const { chargeId } = await settledJob(api, { project });
    await submit({ project });
    const { body } = await setBudget({ project, amount: '100' });
    expect(body.current).toMatchObject({ reserved: '5', charged: '5', used: '10', remaining: '90' });
    expect(body.current).toMatchObject({ startsAt: null, endsAt: null });
    await api.ask('POST', `/v1/charges/${chargeId}/refunds`, { as: 'finance', json: { amount: '2', reason: 'noise' } });
    expect((await budgetNow(body.id)).body.current).toMatchObject({ reserved: '5', charged: '3' });
  });

  it('is one for a project or user and kind of period', async () => {
    const project = aProject();
    expect((await setBudget({ project })).status).toBe(201);
    expect(await setBudget({ project, amount: '7' })).toMatchObject({ status: 409, body: { code: 'budget_exists' } });
    expect((await setBudget({ project, period: 'day' })).status).toBe(201);
  });

  it('sent again with its key is set once and answered again', async () => {
    const project = aProject();
    const key = randomUUID();
    const answers = await Promise.all([1, 2, 3].map(() => setBudget({ project }, { key })));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    const again = await setBudget({ project }, { key });
    expect(again).toMatchObject({ status: 201, body: answers[0]?.body });
    expect(again.headers.get('location')).toBe(answers[0]?.headers.get('location'));
    expect(etagOf(again)).toBe(etagOf(answers[0] as Heard));
    expect(await setBudget({ project, amount: '6' }, { key })).toMatchObject({ status: 422 });
  });

  it.each<[object, string]>([
    [{}, 'for nobody'],
    [{ userId: SUBMITTER, project: 'a' }, 'for a user and a project'],
    [{ userId: 'me' }, 'for no id'],
    [{ project: '' }, 'for a project without a name'],
    [{ project: ' a' }, 'for a project with space around it'],
    [{ project: 'a\nb' }, 'for a project on two lines'],
    [{ project: 'x'.repeat(101) }, 'for a project with a long name'],
    [{ project: 'a', period: 'week' }, 'per week'],
    [{ project: 'a', amount: '-1' }, 'of less than nothing'],
    [{ project: 'a', amount: 5 }, 'of a number'],
    [{ project: 'a', warnPercent: 0 }, 'that warns at nothing'],
    [{ project: 'a', warnPercent: 80.5 }, 'that warns at a fraction of a percent'],
    [{ project: 'a', refusePercent: 1001 }, 'that refuses at ten times as much'],
    [{ project: 'a', timeZone: 'UTC' }, 'in a time zone of its own'],
  ])('%j, %s, is not understood', async (json) => {
    expect(await setBudget(json)).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });
});

describe('a changed budget', () => {
  it('keeps what was used, under a new id to which the old address leads', async () => {
    const project = aProject();
    await settledJob(api, { project });
    const set = await setBudget({ project, amount: '20' });
    const changed = await change(set.body.id, etagOf(set), { amount: '6', warnPercent: null, refusePercent: 150 });
    expect(changed).toMatchObject({
      status: 200,
      body: {
        project,
        period: 'total',
        amount: '6',
        warnPercent: null,
        refusePercent: 150,
        current: { charged: '5', remaining: '4', warning: false, refusing: false },
      },
    });
    expect(changed.body.id).not.toBe(set.body.id);
    expect(etagOf(changed)).not.toBe(etagOf(set));
    for (const id of [set.body.id, changed.body.id]) {
      const read = await budgetNow(id);
      expect(read.body).toEqual(changed.body);
      expect(etagOf(read)).toBe(etagOf(changed));
    }
  });

  it('needs the ETag of what was read, so that nobody’s change is lost', async () => {
    const set = await setBudget({ project: aProject() });
    const json = { amount: '9' };
    const required = { status: 428, body: { code: 'precondition_required' } };
    const failed = { status: 412, body: { code: 'precondition_failed' } };
    expect(await change(set.body.id, null, json)).toMatchObject(required);
    expect(await close(set.body.id, null)).toMatchObject(required);
    expect(await change(set.body.id, '"something else"', json)).toMatchObject(failed);
    expect((await change(set.body.id, etagOf(set), json)).status).toBe(200);
    expect(await change(set.body.id, etagOf(set), { amount: '10' })).toMatchObject(failed);
    expect(await close(set.body.id, etagOf(set))).toMatchObject(failed);
    expect((await change(set.body.id, '*', { amount: '11' })).body.amount).toBe('11');
  });

  it('sent again with its key is changed once', async () => {
    const set = await setBudget({ project: aProject() });
    const key = randomUUID();
    const answers = await Promise.all([1, 2, 3].map(() => change(set.body.id, etagOf(set), { amount: '9' }, { key })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    await api.db('idempotency_keys').where({ key }).update({ status: null, response: null });
    const again = await change(set.body.id, etagOf(set), { amount: '9' }, { key });
    expect(again).toMatchObject({ status: 200, body: { id: answers[0]?.body.id, amount: '9' } });
  });

  it('or a closed one is so by one of those who try at the same time', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const project = aProject();
      const set = await setBudget({ project });
      const answers = await Promise.all([
        change(set.body.id, etagOf(set), { amount: '6' }),
        change(set.body.id, etagOf(set), { amount: '7' }, { as: 'provider' }),
        close(set.body.id, etagOf(set)),
      ]);
      const won = answers.filter(({ status }) => status === 200);
      const lost = answers.filter(({ status }) => status === 412 || status === 404);
      expect([won.length, lost.length]).toEqual([1, 2]);
      const { items } = (await api.ask('GET', BUDGETS, { as: 'provider' })).body;
      const open = items.filter((one: { project: string }) => one.project === project);
      expect(open.map((one: { amount: string }) => one.amount)).toEqual(
        won[0] === answers[2] ? [] : [won[0]?.body.amount],
      );
    }
  });

  it('that is closed is gone and limits nothing', async () => {
    const project = aProject();
    const set = await setBudget({ project, amount: '1' });
    expect((await submit({ project })).status).toBe(409);
    const key = randomUUID();
    const closed = await close(set.body.id, etagOf(set), { key });
    expect(closed).toMatchObject({ status: 200, body: { id: set.body.id } });
    expect(await close(set.body.id, etagOf(set), { key })).toMatchObject({ status: 200, body: closed.body });
    await api.db('idempotency_keys').where({ key }).update({ status: null, response: null });
    expect(await close(set.body.id, etagOf(set), { key })).toMatchObject({ status: 200, body: { id: set.body.id } });
    expect(await budgetNow(set.body.id)).toMatchObject(notFound);
    expect(await close(set.body.id, '*')).toMatchObject(notFound);
    expect((await submit({ project })).status).toBe(201);
  });
});

describe('a job that a budget leaves too little for', () => {
  it('is rejected with what is used, what it needs and what would help', async () => {
    const project = aProject();
    const { body: budget } = await setBudget({ project, amount: '7' });
    expect((await submit({ project })).status).toBe(201);
    const key = randomUUID();
    const refused = await submit({ project }, { key });
    expect(refused).toMatchObject({
      status: 409,
      body: {
        code: 'budget_exceeded',
        budgetId: budget.id,
        used: '5',
        required: '5',
        limit: '7',
        remedies: [
          { action: 'raise_budget', amount: '3' },
          { action: 'ask_for_less', amount: '2' },
        ],
      },
    });
    expect(refused.body.remedies[0].message).toContain(`budget of project ${project} by at least 3 credits`);
    expect((await api.ask('GET', `/v1/jobs/${refused.body.jobId}`)).body).toMatchObject({
      state: 'rejected',
      reason: 'budget_exceeded',
      project,
    });
    expect(await submit({ project }, { key })).toMatchObject({ status: 409, body: refused.body });
    expect((await budgetNow(budget.id)).body.current).toMatchObject({ used: '5', remaining: '2', refusing: false });
  });

  it('is told when the next period begins', async () => {
    const project = aProject();
    const { body: budget } = await setBudget({ project, period: 'quarter', amount: '1' });
    const { remedies } = (await submit({ project })).body;
    expect(remedies.map(({ action }: { action: string }) => action)).toEqual(['raise_budget', 'wait', 'ask_for_less']);
    expect(remedies[1].message).toContain(budget.current.endsAt);
  });

  it('is one of two that race for the last credit, every time', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const project = `race ${round} ${randomUUID()}`;
      const { body: budget } = await setBudget({ project, amount: '5' });
      const answers = await Promise.all([submit({ project }), submit({ project })]);
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      expect(answers.find(({ status }) => status === 409)?.body).toMatchObject({ code: 'budget_exceeded', used: '5' });
      expect((await budgetNow(budget.id)).body.current).toMatchObject({ used: '5', remaining: '0', refusing: true });
      for (const { status, body } of answers) if (status === 201) await api.ask('POST', `/v1/jobs/${body.id}/cancel`);
    }
  });
});

describe('a job', () => {
  it('that brings a budget to its warning is told so, once', async () => {
    const project = aProject();
    const { body: budget } = await setBudget({ project, amount: '10', warnPercent: 100, refusePercent: null });
    const told = async ({ body }: Heard) => {
      const found = await api.db('job_events').where({ job_id: body.id, kind: 'budget-warning' });
      return found.map(({ data }) => data);
    };
    const answers = [await submit({ project }), await submit({ project }), await submit({ project })];
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(await Promise.all(answers.map(told))).toEqual([[], [{ budgetId: budget.id, used: '10', amount: '10' }], []]);
    expect((await budgetNow(budget.id)).body.current).toMatchObject({
      used: '15',
      remaining: '0',
      warning: true,
      refusing: false,
    });
  });

  it('of a user counts against the user’s budget, whatever its project is', async () => {
    const theirs = await api.upload(NETLIST, { as: 'contractAdmin' });
    const { body: budget } = await setBudget({ userId: DEMO.people.contractAdmin.id, period: 'year', amount: '5' });
    const project = aProject();
    const asAdmin = (more: object = {}) => submit({ input: theirs, ...more }, { as: 'contractAdmin' });
    expect((await asAdmin({ project })).status).toBe(201);
    expect(await asAdmin()).toMatchObject({ status: 409, body: { code: 'budget_exceeded', budgetId: budget.id } });
    expect((await submit({ project })).status).toBe(201);
  });

  it('says what project it is for, with a quote or without', async () => {
    const project = 'Crash tests – Größe 2';
    const own = await submit({ project });
    expect(own).toMatchObject({ status: 201, body: { project } });
    const quote = (
      await api.ask('POST', '/v1/quotes', { json: { service: 'simulation', input, contractId: DEMO.contract } })
    ).body;
    const quoted = await api.ask('POST', '/v1/jobs', { json: { quoteId: quote.id, project } });
    expect(quoted).toMatchObject({ status: 201, body: { project } });
    expect((await api.ask('GET', `/v1/jobs/${quoted.body.id}`)).body.project).toBe(project);
    expect((await submit()).body.project).toBeNull();
    for (const wrong of ['', ' ', 'a ', 'x'.repeat(101), 5, null]) {
      expect(await submit({ project: wrong })).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    }
  });
});

describe('budgets are seen and set by those who may', () => {
  it('set by administrators of the contract and the provider', async () => {
    const roles: Who[] = ['submitter', 'operator', 'finance', 'financeApprover'];
    for (const as of roles) expect(await setBudget({ project: 'a' }, { as })).toMatchObject(forbidden);
    expect(await setBudget({ project: 'a' }, { as: peer })).toMatchObject(forbidden);
    const set = await setBudget({ project: aProject() }, { as: 'provider' });
    expect(set.status).toBe(201);
    for (const as of [...roles, peer]) {
      expect(await change(set.body.id, etagOf(set), { amount: '1' }, { as })).toMatchObject(forbidden);
      expect(await close(set.body.id, etagOf(set), { as })).toMatchObject(forbidden);
    }
  });

  it('for people of the contract alone; who else there is stays secret', async () => {
    const answers = [await setBudget({ userId: STRANGER }), await setBudget({ userId: MISSING })];
    for (const answer of answers) expect(answer).toMatchObject(notFound);
    expect(answers[0]?.body).toEqual(answers[1]?.body);
  });

  it('seen by submitters as far as they are theirs or a project’s', async () => {
    const ofPeer = (await setBudget({ userId: PEER, amount: '100' })).body;
    const ofSubmitter = (await setBudget({ userId: SUBMITTER, period: 'year', amount: '100' })).body;
    const ofProject = (await setBudget({ project: aProject() })).body;
    const seenBy = async (as: Ask['as']) => {
      const { items } = (await api.ask('GET', BUDGETS, { as: as ?? null })).body;
      const ids = items.map(({ id }: { id: string }) => id);
      return [ofPeer, ofSubmitter, ofProject].map(({ id }) => ids.includes(id));
    };
    expect(await seenBy('submitter')).toEqual([false, true, true]);
    expect(await seenBy(peer)).toEqual([true, false, true]);
    for (const as of ['contractAdmin', 'operator', 'finance', 'provider'] as const) {
      expect(await seenBy(as)).toEqual([true, true, true]);
    }
    const secret = ({ status, body: { instance: _, ...body } }: Heard) => ({ status, body });
    const missing = secret(await budgetNow(MISSING, 'submitter'));
    expect(missing).toMatchObject(notFound);
    expect(secret(await budgetNow(ofPeer.id, 'submitter'))).toEqual(missing);
    expect((await budgetNow(ofPeer.id, peer)).status).toBe(200);
  });

  it('by nobody of another customer, nor by way of another contract', async () => {
    const set = await setBudget({ project: aProject() });
    expect(await api.ask('GET', BUDGETS, { as: stranger })).toMatchObject(notFound);
    expect(await setBudget({ project: 'a' }, { as: stranger })).toMatchObject(notFound);
    expect(await budgetNow(set.body.id, stranger)).toMatchObject(notFound);
    expect(await change(set.body.id, etagOf(set), { amount: '1' }, { as: stranger })).toMatchObject(notFound);
    const elsewhere = `/v1/contracts/${THEIR_CONTRACT}/budgets/${set.body.id}`;
    expect(await api.ask('GET', elsewhere, { as: stranger })).toMatchObject(notFound);
    expect(await api.ask('DELETE', elsewhere, { as: stranger, headers: { 'If-Match': etagOf(set) } })).toMatchObject(
      notFound,
    );
    expect((await budgetNow(set.body.id)).status).toBe(200);
  });
});
