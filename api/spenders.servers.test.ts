import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import {
  addDays,
  addMilliseconds,
  type Instant,
  instantOfMilliseconds,
  nextInstant,
  parseInstant,
} from '../domain/instant';
import { scriptContracts } from '../test/api/scriptedContracts';
import { type Ask, startApi, type TestApi } from '../test/api/server';

jest.setTimeout(60_000);

const DAY_MS = 86_400_000;
const START = instantOfMilliseconds(Date.now());
/** So many days from now, and a bit that milliseconds cannot tell. */
const day = (days: number): Instant => parseInstant(addMilliseconds(START, days * DAY_MS).replace(/000Z$/, '457Z'));
/** The last instant before another. */
const justBefore = (instant: Instant): Instant => parseInstant(instant.replace(/7Z$/, '6Z'));

const contracts = scriptContracts(START);
const as = 'provider';
let api: TestApi;
let contractId: string;
let lotId: string;
let [ana, ben] = ['', ''];

const change = async (at: Instant, what: string, json: object = {}) => {
  contracts.at = at;
  const answer = await api.ask('POST', `/v1/contracts/${contractId}/${what}`, {
    as,
    json: { reason: 'a test', ...json },
  });
  expect(answer.status).toBe(200);
};
const authorise = async (userId: string, authorisedAt?: Instant) => {
  const json = { userId, role: 'submitter', ...(authorisedAt && { authorisedAt }) };
  expect((await api.ask('POST', `/v1/contracts/${contractId}/users`, { as, json })).status).toBe(201);
};
const remove = async (userId: string, removedAt: Instant) => {
  const path = `/v1/contracts/${contractId}/users/${userId}?removedAt=${removedAt}`;
  expect((await api.ask('DELETE', path, { as })).status).toBe(200);
};
const newUser = async (name: string): Promise<string> => {
  const json = { name, email: `${name}-${contractId}@aurora.example`, customerId: DEMO.customer };
  return (await api.ask('POST', '/v1/users', { as, json })).body.id;
};
/** Who could spend the lot at an instant: yes, or why not. */
const spenders = async (at: Instant, lot = lotId): Promise<Record<string, string>> => {
  const { body } = await api.ask('GET', `/v1/lots/${lot}/spenders?at=${at}`, { as: 'finance' });
  return Object.fromEntries(
    body.users.map(({ name, maySpend, because }: { name: string; maySpend: boolean; because: string }) => [
      name,
      maySpend ? 'yes' : because,
    ]),
  );
};

beforeAll(async () => {
  api = await startApi({ workflows: contracts.replacing });
  contracts.db = api.db;
});
afterAll(() => api?.close());

beforeEach(async () => {
  const contract = {
    customerId: DEMO.customer,
    name: 'Aurora annual',
    startsAt: addMilliseconds(START, -DAY_MS),
    endsAt: day(100),
  };
  const json = { ...contract, timeZone: 'Europe/Berlin', graceDays: 30, reason: 'a test' };
  contractId = (await api.ask('POST', '/v1/contracts', { as, json })).body.id;
  const lot = { kind: 'shared', amount: '10', reason: 'a test' };
  lotId = (await api.ask('POST', `/v1/contracts/${contractId}/lots`, { as, json: lot })).body.id;
  ana = await newUser('ana');
  ben = await newUser('ben');
});

describe('who could spend a shared lot on a day', () => {
  it('is who was authorised then, to the microsecond, however often people came and went', async () => {
    await authorise(ana, day(1));
    await authorise(ben, day(2));
    await remove(ana, day(3));
    await authorise(ana, day(4));
    expect(await spenders(justBefore(day(1)))).toEqual({ ana: 'not_authorised', ben: 'not_authorised' });
    expect(await spenders(day(1))).toEqual({ ana: 'yes', ben: 'not_authorised' });
    expect(await spenders(day(2))).toEqual({ ana: 'yes', ben: 'yes' });
    expect(await spenders(justBefore(day(3)))).toEqual({ ana: 'yes', ben: 'yes' });
    expect(await spenders(day(3))).toEqual({ ana: 'not_authorised', ben: 'yes' });
    expect(await spenders(justBefore(day(4)))).toEqual({ ana: 'not_authorised', ben: 'yes' });
    expect(await spenders(day(4))).toEqual({ ana: 'yes', ben: 'yes' });
    const { body } = await api.ask('GET', `/v1/lots/${lotId}/spenders?at=${day(3)}`, { as });
    expect(body).toMatchObject({
      lotId,
      at: day(3),
      kind: 'shared',
      available: '10',
      contractId,
      contractState: 'active',
    });
    expect(body.users[0]).toMatchObject({
      userId: ana,
      because: 'not_authorised',
      message: `The user was removed from the contract at ${day(3)}.`,
    });
  });

  it('is nobody while the contract is suspended, and not after it was terminated', async () => {
    await authorise(ana, day(1));
    await change(day(10), 'suspend');
    await change(day(20), 'resume');
    await change(day(30), 'terminate', { at: day(40) });
    expect(await spenders(justBefore(day(10)))).toEqual({ ana: 'yes' });
    expect(await spenders(day(10))).toEqual({ ana: 'contract_suspended' });
    expect(await spenders(justBefore(day(20)))).toEqual({ ana: 'contract_suspended' });
    expect(await spenders(day(20))).toEqual({ ana: 'yes' });
    expect(await spenders(justBefore(day(40)))).toEqual({ ana: 'yes' });
    expect(await spenders(day(40))).toEqual({ ana: 'contract_not_in_force' });
  });

  it('is nobody between a contract’s end and its renewal in the grace, and everybody again from then on', async () => {
    await authorise(ana, day(1));
    await change(day(110), 'renew', { months: 12 });
    // The engine's part: the lot lives on from the renewal.
    const life = {
      effectiveAt: (await lot()).effective_at,
      expiresAt: addDays(day(100), 200, 'UTC'),
      withdrawnAt: null,
      graceUntil: null,
    };
    await api.ledger.apply({
      kind: 'changeLife',
      act: 'changeLife/test',
      lotId,
      poolId: contractId,
      at: day(110),
      actor: 'test',
      reason: 'renewed',
      life,
    });
    expect(await spenders(justBefore(day(100)))).toEqual({ ana: 'yes' });
    expect(await spenders(day(100))).toEqual({ ana: 'contract_not_in_force' });
    expect(await spenders(justBefore(day(110)))).toEqual({ ana: 'contract_not_in_force' });
    expect(await spenders(day(110))).toEqual({ ana: 'yes' });
    expect((await api.ask('GET', `/v1/lots/${lotId}/spenders?at=${day(105)}`, { as })).body.contractState).toBe(
      'grace',
    );
  });

  it('is nobody before it was granted, and from its expiry on', async () => {
    await authorise(ana);
    const until = day(1);
    const json = { kind: 'courtesy', amount: '5', expiresAt: until, reason: 'a test' };
    const { body } = await api.ask('POST', `/v1/contracts/${contractId}/lots`, { as, json });
    expect(await spenders(addMilliseconds(body.effectiveAt, -1), body.id)).not.toEqual({ ana: 'yes' });
    expect(await spenders(body.effectiveAt, body.id)).toEqual({ ana: 'yes' });
    expect(await spenders(justBefore(until), body.id)).toEqual({ ana: 'yes' });
    expect(await spenders(until, body.id)).toEqual({ ana: 'lot_expired' });
  });

  it('is answered to its administrators and the provider’s people alone', async () => {
    await authorise(ana);
    await authorise(ben);
    const keyOf = async (userId: string) => ({
      key: await createApiKey(api.db, { userId, label: 'test', roles: ['submitter', 'contract-admin'] }),
    });
    const ask = async (who: Ask['as']) => {
      const { status, body } = await api.ask('GET', `/v1/lots/${lotId}/spenders`, { as: who ?? null });
      return body.code ?? status;
    };
    await remove(ben, instantOfMilliseconds(Date.now() + 500));
    api.clock.aheadMs = 1000;
    const json = { userId: ben, role: 'contract-admin' };
    await api.ask('POST', `/v1/contracts/${contractId}/users`, { as, json });
    expect(await ask(await keyOf(ana))).toBe('forbidden');
    expect(await ask(await keyOf(ben))).toBe(200);
    expect(await ask('contractAdmin')).toBe('not_found');
    expect(await ask('operator')).toBe(200);
    api.clock.aheadMs = 0;
  });

  async function lot(): Promise<{ effective_at: Instant }> {
    return (await api.db('lots').where({ id: lotId }))[0];
  }
});

describe('who could spend an individual lot on a day', () => {
  it('is its user alone, from its beginning to its withdrawal, on whatever contract', async () => {
    const json = { amount: '3', reason: 'a test' };
    const { body } = await api.ask('POST', `/v1/users/${ana}/lots`, { as, json });
    const life = { effectiveAt: body.effectiveAt, expiresAt: null, withdrawnAt: day(90), graceUntil: null };
    const by = { poolId: ana, at: instantOfMilliseconds(Date.now()), actor: 'test', reason: 'a notice' };
    await api.ledger.apply({ kind: 'changeLife', act: 'changeLife/test', lotId: body.id, life, ...by });
    expect(await spenders(nextInstant(body.effectiveAt), body.id)).toEqual({ ana: 'yes' });
    expect(await spenders(justBefore(day(90)), body.id)).toEqual({ ana: 'yes' });
    expect(await spenders(day(90), body.id)).toEqual({ ana: 'lot_withdrawn' });
    expect(await spenders(parseInstant(addMilliseconds(body.effectiveAt, -1)), body.id)).toEqual({
      ana: 'lot_not_granted',
    });
    const own = { key: await createApiKey(api.db, { userId: ana, label: 'test', roles: ['submitter'] }) };
    expect((await api.ask('GET', `/v1/lots/${body.id}/spenders`, { as: own })).body).toMatchObject({
      contractId: null,
      contractState: null,
      users: [{ userId: ana, maySpend: true }],
    });
    expect((await api.ask('GET', `/v1/lots/${body.id}/spenders`, { as: 'contractAdmin' })).body.code).toBe('not_found');
  });
});
