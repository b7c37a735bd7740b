import { createHash, randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { beginAttempt } from '../db/attempts';
import { parkJob, reserveJob } from '../db/billing';
import { bookDue } from '../db/contractBooking';
import { addInput } from '../db/inputs';
import { insertJob } from '../db/jobs';
import { createApiKey } from '../db/people';
import { allocatePurchase, recordPurchase } from '../db/purchases';
import { DEMO } from '../db/seed';
import { parseCredits } from '../domain/credits';
import { BillingError } from '../domain/errors';
import {
  addDays,
  addMilliseconds,
  addMonths,
  type Instant,
  instantOfMilliseconds,
  nextInstant,
  parseInstant,
} from '../domain/instant';
import { scriptContracts } from '../test/api/scriptedContracts';
import { type Ask, startApi, type TestApi } from '../test/api/server';

jest.setTimeout(60_000);

const MISSING = '00000000-0000-7000-8000-0000000000ff';
const DAY_MS = 86_400_000;
const START = instantOfMilliseconds(Date.now());
const day = (days: number) => addMilliseconds(START, days * DAY_MS);

const contracts = scriptContracts(START);
/** The parked jobs that were woken, in order. */
const woken: string[] = [];
let api: TestApi;
/** A customer of whom nobody else buys here. */
let customerId: string;
let contractId: string;
let otherContractId: string;

const as = 'provider';
let orders = 0;
const orderNumber = () => `PO-${++orders}`;
const buy = (json: object = {}, ask: Ask = {}) =>
  api.ask('POST', '/v1/purchases', {
    as,
    // Its number is enough.
    key: null,
    json: { orderNumber: orderNumber(), customerId, pack: 'credits-100', ...json },
    ...ask,
  });
const allocate = (id: string, to = contractId, ask: Ask = {}) =>
  api.ask('POST', `/v1/purchases/${id}/allocate`, { as, key: null, json: { contractId: to }, ...ask });
const make = async (json: object = {}): Promise<string> => {
  const wanted = {
    customerId,
    name: 'Borealis annual',
    startsAt: day(-10),
    endsAt: day(1000),
    timeZone: 'Europe/Berlin',
  };
  return (await api.ask('POST', '/v1/contracts', { as, json: { ...wanted, reason: 'a test', ...json } })).body.id;
};
/** A job of 5 credits that somebody of the customer submits on a contract, up to its reservation. */
const submit = async (userId: string, contract: string) => {
  const at = instantOfMilliseconds(Date.now());
  const inputDigest = `sha256:${createHash('sha256').update('purchases').digest('hex')}`;
  await addInput(api.db, userId, { digest: inputDigest, size: 1, name: 'a.cir', mediaType: 'text/plain' });
  const id = uuidv7();
  await insertJob(api.db, {
    id,
    userId,
    contractId: contract,
    service: 'simulation',
    inputDigest,
    inputName: 'a.cir',
    parameters: {},
    dimensions: {},
    quoteId: null,
    rateCardVersion: 1,
    expected: parseCredits('5'),
    maxCredits: parseCredits('5'),
    timeLimitSeconds: 60,
    comment: '',
    project: null,
    route: null,
    submittedAt: at,
  });
  return { id, reserved: await reserveJob(api.ledger, { jobId: id, at }) };
};
const lotsOf = async (id: string) => (await api.ask('GET', `/v1/contracts/${id}/lots`, { as })).body.items;

beforeAll(async () => {
  api = await startApi({
    workflows: (temporal) => ({
      ...contracts.replacing(temporal),
      creditsArrived: async (jobId) => {
        if (contracts.away) throw new BillingError('unavailable', 'nobody answers');
        woken.push(jobId);
      },
    }),
  });
  contracts.db = api.db;
  customerId = (await api.ask('POST', '/v1/customers', { as, json: { name: 'Borealis' } })).body.id;
  contractId = await make();
  otherContractId = await make({ name: 'Borealis pilot', timeZone: 'Pacific/Auckland' });
});
afterAll(() => api?.close());
beforeEach(() => {
  contracts.away = false;
  api.clock.aheadMs = 0;
});

it('credits are sold in packs', async () => {
  const { body } = await api.ask('GET', '/v1/packs');
  expect(body.items).toEqual([{ code: 'credits-100', title: '100 credits', amount: '100' }]);
});

describe('a purchase', () => {
  it('with a contract is a lot of it at once: effective now, for twelve months from its purchase', async () => {
    contracts.touched.length = 0;
    const purchasedAt = nextInstant(day(-200));
    const order = orderNumber();
    const price = { minor: 129_900, currency: 'EUR' };
    const bought = await buy({ orderNumber: order, quantity: 3, price, purchasedAt, contractId });
    expect(bought).toMatchObject({
      status: 201,
      body: {
        orderNumber: order,
        pack: 'credits-100',
        quantity: 3,
        amount: '300',
        price,
        state: 'allocated',
        contractId,
      },
    });
    expect(bought.headers.get('location')).toBe(`/v1/purchases/${bought.body.id}`);
    const lot = (await lotsOf(contractId)).find(({ reference }: { reference: string }) => reference === order);
    expect(lot).toMatchObject({
      id: bought.body.lotId,
      kind: 'shared',
      source: 'purchase',
      granted: '300',
      purchasedAt,
      effectiveAt: bought.body.allocatedAt,
      expiresAt: addMonths(purchasedAt, 12, 'Europe/Berlin'),
    });
    expect(bought.body.expiresAt).toBe(lot.expiresAt);
    expect(contracts.touched).toEqual([contractId]);
    expect((await api.ask('GET', `/v1/purchases/${bought.body.id}`, { as: 'finance' })).body).toEqual(bought.body);
  });

  it('without one waits on its customer, and cannot be spent until it is allocated', async () => {
    const bought = await buy({ purchasedAt: day(-100) });
    expect(bought).toMatchObject({
      status: 201,
      body: {
        state: 'waiting',
        contractId: null,
        lotId: null,
        allocatedAt: null,
        expiresAt: addMonths(day(-100), 12, 'UTC'),
      },
    });
    const before = (await lotsOf(contractId)).length;
    const allocated = await allocate(bought.body.id);
    expect(allocated).toMatchObject({ status: 200, body: { state: 'allocated', contractId } });
    const lots = await lotsOf(contractId);
    expect(lots).toHaveLength(before + 1);
    expect(lots.at(-1)).toMatchObject({
      id: allocated.body.lotId,
      reference: bought.body.orderNumber,
      purchasedAt: day(-100),
      effectiveAt: allocated.body.allocatedAt,
      expiresAt: addMonths(day(-100), 12, 'Europe/Berlin'),
      spendable: true,
    });
  });

  it('can be of an amount without a pack', async () => {
    expect((await buy({ pack: undefined, amount: '12.5' })).body).toMatchObject({
      pack: null,
      quantity: null,
      amount: '12.5',
    });
  });

  it('is recorded once per order number: the same order again answers the same', async () => {
    const order = orderNumber();
    const json = { orderNumber: order, price: { minor: 1, currency: 'EUR' }, contractId };
    const first = await buy(json);
    const again = await buy(json);
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.body).toEqual(first.body);
    // The same in other words.
    expect((await buy({ ...json, quantity: 1 })).status).toBe(200);
    const others = [
      { quantity: 2 },
      { price: { minor: 2, currency: 'EUR' } },
      { price: undefined },
      { contractId: otherContractId },
      { contractId: undefined },
      { customerId: DEMO.customer },
      { purchasedAt: day(-1) },
      { pack: undefined, amount: '100' },
    ];
    for (const other of others) {
      expect(await buy({ ...json, ...other })).toMatchObject({
        status: 409,
        body: { code: 'order_number_reused', purchaseId: first.body.id },
      });
    }
    expect((await lotsOf(contractId)).filter((lot: { reference: string }) => lot.reference === order)).toHaveLength(1);
  });

  it('is one lot when it is sent twenty times at once', async () => {
    const order = orderNumber();
    const json = { orderNumber: order, contractId };
    const answers = await Promise.all(Array.from({ length: 20 }, () => buy(json)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(19).fill(200), 201]);
    expect(new Set(answers.map(({ body }) => body.lotId)).size).toBe(1);
    expect((await lotsOf(contractId)).filter((lot: { reference: string }) => lot.reference === order)).toHaveLength(1);
  });

  it('is one purchase when different orders come under one number at once', async () => {
    const order = orderNumber();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => buy({ orderNumber: order, quantity: index + 1, contractId })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(9).fill(409)]);
    expect((await lotsOf(contractId)).filter((lot: { reference: string }) => lot.reference === order)).toHaveLength(1);
  });

  it('is allocated once: twice at once to one contract or to two, and again later', async () => {
    const { id } = (await buy()).body;
    const same = await Promise.all(Array.from({ length: 5 }, () => allocate(id)));
    expect(new Set(same.map(({ status, body }) => `${status} ${body.lotId}`)).size).toBe(1);
    const next = (await buy()).body;
    const both = await Promise.all([allocate(next.id), allocate(next.id, otherContractId)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    const refused = both.find(({ status }) => status === 409);
    expect(refused?.body).toMatchObject({ code: 'purchase_allocated' });
    const lots = [...(await lotsOf(contractId)), ...(await lotsOf(otherContractId))];
    expect(lots.filter((lot: { reference: string }) => lot.reference === next.orderNumber)).toHaveLength(1);
  });

  it('that a crash left without its lot is completed by the same order, whatever became of the contract', async () => {
    const order = orderNumber();
    const ended = await make({ graceDays: 0 });
    // What a process has written that dies before the grant.
    const { purchase } = await recordPurchase(
      api.db,
      {
        orderNumber: order,
        customerId,
        bought: { pack: 'credits-100', quantity: 1 },
        price: null,
        purchasedAt: null,
        contractId: ended,
      },
      { actor: DEMO.people.provider.id, at: START },
    );
    expect(await lotsOf(ended)).toEqual([]);
    contracts.at = nextInstant(START);
    await api.ask('POST', `/v1/contracts/${ended}/terminate`, { as, json: { reason: 'a test' } });
    const { lotId } = purchase;
    const repeats = await Promise.all([1, 2, 3].map(() => buy({ orderNumber: order, contractId: ended })));
    for (const repeat of repeats) expect(repeat).toMatchObject({ status: 200, body: { lotId, allocatedAt: START } });
    const life = { effectiveAt: START, expiresAt: purchase.expiresAt, graceUntil: null };
    expect(await lotsOf(ended)).toMatchObject([{ id: lotId, reference: order, granted: '100', ...life }]);
    // The contract, which was told, finds that the lot has died with it.
    const end = nextInstant(START);
    const { more } = await bookDue(api.ledger, ended, instantOfMilliseconds(Date.now()));
    expect(more).toBe(false);
    expect(await lotsOf(ended)).toMatchObject([{ id: lotId, expiresAt: end, available: '0', spendable: false }]);
  });

  it('that a crash left without its lot is completed by the same allocation', async () => {
    const { id } = (await buy({ purchasedAt: day(-1) })).body;
    const { lotId } = await allocatePurchase(api.db, { id, contractId }, { actor: 'somebody', at: START });
    expect(await api.db('lots').where({ id: lotId })).toEqual([]);
    expect(await allocate(id)).toMatchObject({ status: 200, body: { lotId, allocatedAt: START } });
    expect(await api.db('lots').where({ id: lotId })).toMatchObject([{ effective_at: START, available: 100_000_000n }]);
  });

  it('is refused with the reason for what is not sold, not there, or not theirs', async () => {
    expect(await buy({ pack: 'credits-7' })).toMatchObject({ status: 422, body: { code: 'product_unknown' } });
    expect((await buy({ customerId: MISSING })).body.code).toBe('not_found');
    expect((await buy({ contractId: MISSING })).body.code).toBe('not_found');
    const another = await buy({ contractId: DEMO.contract });
    expect(another).toMatchObject({ status: 409, body: { code: 'contract_of_another_customer' } });
    const { id } = (await buy()).body;
    expect((await allocate(id, DEMO.contract)).body.code).toBe('contract_of_another_customer');
    expect((await allocate(MISSING)).body.code).toBe('not_found');
    expect((await allocate(id, MISSING)).body.code).toBe('not_found');
    for (const json of [
      { pack: undefined },
      { amount: '1' },
      { pack: undefined, amount: '1', quantity: 1 },
      { pack: undefined, amount: '0' },
      { quantity: 0 },
      { price: { minor: 1 } },
      { price: { minor: -1, currency: 'EUR' } },
      { price: { minor: 0.5, currency: 'EUR' } },
      { price: { minor: 1, currency: 'euro' } },
      { orderNumber: ' ' },
    ]) {
      expect((await buy(json)).body.code).toBe('invalid_request');
    }
  });

  it('is refused where the contract has ended, is in its grace, or is over for good', async () => {
    const lapsing = await make({ endsAt: day(1), graceDays: 5 });
    const { id } = (await buy()).body;
    api.clock.aheadMs = Date.parse(day(1)) - Date.now() + 1000;
    for (const days of [0, 10]) {
      api.clock.aheadMs += days * DAY_MS;
      const refused = { status: 409, body: { code: 'contract_not_in_force', endsAt: day(1) } };
      expect(await buy({ contractId: lapsing })).toMatchObject(refused);
      expect(await allocate(id, lapsing)).toMatchObject(refused);
    }
    api.clock.aheadMs = 0;
    contracts.at = day(0.5);
    const terminated = await make();
    await api.ask('POST', `/v1/contracts/${terminated}/terminate`, { as, json: { reason: 'a test' } });
    api.clock.aheadMs = DAY_MS;
    expect(await allocate(id, terminated)).toMatchObject({
      status: 409,
      body: { code: 'contract_not_in_force', endsAt: day(0.5) },
    });
    expect(await lotsOf(lapsing)).toEqual([]);
    expect((await api.ask('GET', `/v1/purchases/${id}`, { as })).body.state).toBe('waiting');
  });

  it('is refused before its purchase and after its twelve months, to the microsecond', async () => {
    expect(await buy({ purchasedAt: day(1) })).toMatchObject({ status: 422, body: { code: 'purchase_invalid' } });
    expect(await buy({ purchasedAt: day(1), contractId })).toMatchObject({
      status: 422,
      body: { code: 'purchase_invalid' },
    });
    expect(await buy({ purchasedAt: day(-400) })).toMatchObject({ status: 409, body: { code: 'purchase_expired' } });
    expect((await buy({ purchasedAt: day(-400), contractId })).body.code).toBe('purchase_expired');
    const json = { orderNumber: orderNumber(), purchasedAt: day(-300) };
    const { id } = (await buy(json)).body;
    const end = Date.parse(addMonths(day(-300), 12, 'Europe/Berlin'));
    api.clock.aheadMs = end - Date.now() + 1000;
    expect((await allocate(id)).body.code).toBe('purchase_expired');
    api.clock.aheadMs += DAY_MS;
    // Recorded it is all the same, and says so.
    expect(await buy(json)).toMatchObject({ status: 200, body: { id, state: 'expired' } });
  });

  it('is listed for the provider’s people, and for administrators once it is on their contract', async () => {
    const mine = (await api.ask('POST', '/v1/customers', { as, json: { name: 'Cirrus' } })).body.id;
    const theirs = await make({ customerId: mine });
    const [waiting, allocated] = [
      (await buy({ customerId: mine })).body.id,
      (await buy({ customerId: mine, contractId: theirs })).body.id,
    ];
    const listed = async (query: string, who: Ask['as'] = 'finance') =>
      (await api.ask('GET', `/v1/purchases?${query}`, { as: who ?? null })).body.items.map(
        ({ id }: { id: string }) => id,
      );
    expect(await listed(`customer=${mine}`)).toEqual([allocated, waiting]);
    expect(await listed(`customer=${mine}&unallocated=true`)).toEqual([waiting]);
    expect(await listed(`customer=${mine}&unallocated=false`)).toEqual([allocated]);
    const page = (await api.ask('GET', `/v1/purchases?customer=${mine}&limit=1`, { as })).body;
    expect(page.nextCursor).toBe(allocated);
    expect(await listed(`customer=${mine}&cursor=${page.nextCursor}`)).toEqual([waiting]);
    const json = { name: 'Cira', email: 'cira@cirrus.example', customerId: mine };
    const userId = (await api.ask('POST', '/v1/users', { as, json })).body.id;
    await api.ask('POST', `/v1/contracts/${theirs}/users`, { as, json: { userId, role: 'contract-admin' } });
    const admin = { key: await createApiKey(api.db, { userId, label: 'test', roles: ['contract-admin'] }) };
    expect(await listed('', admin)).toEqual([allocated]);
    expect((await api.ask('GET', `/v1/purchases/${allocated}`, { as: admin })).status).toBe(200);
    for (const [who, id] of [
      [admin, waiting],
      ['contractAdmin', allocated],
      ['submitter', allocated],
    ] as const) {
      expect((await api.ask('GET', `/v1/purchases/${id}`, { as: who })).body.code).toBe('not_found');
    }
    expect(await listed('', 'submitter')).toEqual([]);
    for (const who of ['submitter', 'contractAdmin', 'operator', 'finance', admin] as const) {
      expect((await buy({}, { as: who })).status).toBe(403);
      expect((await allocate(waiting, theirs, { as: who })).status).toBe(403);
    }
  });

  it('never changes but by its one allocation, whoever writes', async () => {
    const { id } = (await buy()).body;
    const other = await make({ customerId: DEMO.customer });
    const write = (values: object) => api.owner('purchases').where({ id }).update(values);
    await expect(write({ amount: 1n })).rejects.toMatchObject({ code: 'HF001' });
    await expect(write({ contract_id: contractId })).rejects.toMatchObject({
      constraint: 'purchase_is_allocated_as_a_whole',
    });
    const allocation = { lot_id: MISSING, allocated_at: START, allocated_by: 'x', expires_at: day(1) };
    const now = (await api.db('purchases').where({ id }))[0].purchased_at;
    const stray = write({ ...allocation, contract_id: other, allocated_at: now });
    await expect(stray).rejects.toMatchObject({ code: '23503' });
    await allocate(id);
    await expect(write({ grace_until: day(9999) })).rejects.toMatchObject({ code: 'HF001' });
    await expect(api.owner('purchases').where({ id }).delete()).rejects.toMatchObject({ code: 'HF001' });
    await expect(api.owner('packs').update({ amount: 1n })).rejects.toMatchObject({ code: 'HF001' });
  });
});

describe('a job', () => {
  let contract: string;
  let userId: string;

  beforeEach(async () => {
    contracts.at = 'present';
    contract = await make({ name: 'Borealis jobs' });
    const json = { name: 'Bo', email: `bo-${randomUUID()}@borealis.example`, customerId };
    userId = (await api.ask('POST', '/v1/users', { as, json })).body.id;
    await api.ask('POST', `/v1/contracts/${contract}/users`, { as, json: { userId, role: 'submitter' } });
    woken.length = 0;
  });

  /** Parks a job of the contract, whose credits are used up by the reservation. */
  async function parked(): Promise<string> {
    const { id, reserved } = await submit(userId, contract);
    expect(reserved).toMatchObject({ reserved: parseCredits('5') });
    const at = instantOfMilliseconds(Date.now());
    await beginAttempt(api.db, { jobId: id, runner: 'embedded', worker: 'test', at });
    await parkJob(api.db, { jobId: id, parkedFor: 'credits', message: 'a test', at });
    return id;
  }

  it('cannot spend what waits on its customer, and can once it is allocated', async () => {
    const { id } = (await buy()).body;
    expect((await submit(userId, contract)).reserved).toMatchObject({ rejected: { code: 'insufficient_credits' } });
    expect((await allocate(id, contract)).status).toBe(200);
    expect((await submit(userId, contract)).reserved).toMatchObject({ reserved: parseCredits('5') });
  });

  it('that is parked for credits is woken by a purchase and by an allocation', async () => {
    await buy({ contractId: contract });
    const jobId = await parked();
    const { id } = (await buy()).body;
    expect(woken).toEqual([]);
    await allocate(id, contract);
    expect(woken).toEqual([jobId]);
    await allocate(id, contract);
    expect(woken).toEqual([jobId]);
    await buy({ contractId: contract });
    expect(woken).toEqual([jobId, jobId]);
  });

  it('and its contract need not be reached for a purchase to be their lot', async () => {
    await buy({ contractId: contract });
    await parked();
    contracts.away = true;
    const { id } = (await buy()).body;
    const [bought, allocated] = [await buy({ contractId: contract }), await allocate(id, contract)];
    expect([bought.status, allocated.status]).toEqual([201, 200]);
    expect((await lotsOf(contract)).map((lot: { id: string }) => lot.id)).toEqual(
      expect.arrayContaining([bought.body.lotId, allocated.body.lotId]),
    );
    expect(woken).toEqual([]);
  });
});

describe('the lot of a purchase', () => {
  /** Makes it at an instant, in a contract. */
  async function lotAt(at: Instant, contract: string, purchasedAt: Instant) {
    api.clock.aheadMs = Date.parse(at) - Date.now();
    const bought = await buy({ contractId: contract, purchasedAt });
    expect(bought.status).toBe(201);
    return (await lotsOf(contract)).find(({ id }: { id: string }) => id === bought.body.lotId);
  }

  it('of 29 February lives to 28 February by the calendar of its contract', async () => {
    const year = Number(START.slice(0, 4)) + 1;
    const leap = year + ((4 - (year % 4)) % 4);
    const contract = await make({ timeZone: 'Asia/Tokyo', endsAt: parseInstant(`${leap + 2}-01-01T00:00:00Z`) });
    // UTC is on 28 February for both; Tokyo is for the one, and on 29 February from the other on.
    const [before, from] = [`${leap}-02-28T14:59:59.999999Z`, `${leap}-02-28T15:00:00Z`].map(parseInstant);
    if (!before || !from) throw new Error('two instants are two');
    const when = parseInstant(`${leap}-06-01T00:00:00Z`);
    expect((await lotAt(when, contract, before)).expiresAt).toBe(parseInstant(`${leap + 1}-02-28T14:59:59.999999Z`));
    expect((await lotAt(when, contract, from)).expiresAt).toBe(parseInstant(`${leap + 1}-02-27T15:00:00Z`));
  });

  it.each([
    ['with it, and comes back in its grace', 5],
    ['with it, for good where it has no grace', 0],
  ])('whose contract ends earlier ends %s', async (_, graceDays) => {
    const endsAt = day(100);
    const contract = await make({ endsAt, graceDays });
    const graceUntil = graceDays === 0 ? null : addDays(endsAt, graceDays, 'Europe/Berlin');
    expect(await lotAt(day(1), contract, day(-30))).toMatchObject({ expiresAt: endsAt, graceUntil });
  });

  it('whose twelve months are over first does not wait for a renewal', async () => {
    const contract = await make({ endsAt: day(100), graceDays: 5 });
    expect(await lotAt(day(1), contract, day(-300))).toMatchObject({
      expiresAt: addMonths(day(-300), 12, 'Europe/Berlin'),
      graceUntil: null,
    });
  });
});
