import { randomUUID } from 'node:crypto';
import { releaseJob } from '../db/billing';
import { rows } from '../db/client';
import { publishRateCard } from '../db/rateCards';
import { DEMO } from '../db/seed';
import { SEED_RATE_CARDS } from '../db/seedRateCards';
import { addMilliseconds, type Instant, instantOfMilliseconds } from '../domain/instant';
import { jobWorkflowId } from '../domain/job';
import { SERVICES } from '../services';
import { NETLIST } from '../test/api/inputs';
import { type Heard, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';

jest.setTimeout(60_000);

const HOUR_MS = 3_600_000;

let api: TestApi;
let input: string;
/** Jobs that were answered with 202 before any worker was there. */
let early: { kept: Early; released: Early };

interface Early {
  readonly key: string;
  readonly json: object;
  readonly first: Heard;
}

beforeAll(async () => {
  api = await startApi();
  input = await api.upload(NETLIST);
  const submitEarly = async () => {
    const one = { key: randomUUID(), json: onContract({ comment: 'early' }) };
    return { ...one, first: await api.ask('POST', '/v1/jobs', one) };
  };
  const [kept, released] = await Promise.all([submitEarly(), submitEarly()]);
  early = { kept, released };
  // As the reconciler does for a job whose workflow is gone.
  await releaseJob(api.ledger, { jobId: released.first.body.id, reason: 'test', message: 'Nobody came.', at: now() });
  await api.startJobsWorker();
});
afterAll(() => api?.close());

const onContract = (more: object = {}) => ({
  service: 'simulation',
  input,
  contractId: DEMO.contract,
  maxCredits: '5',
  ...more,
});

const now = () => instantOfMilliseconds(Date.now());

/** Does something while the API takes it to be another time. */
async function ahead<T>(aheadMs: number, act: () => Promise<T>): Promise<T> {
  api.clock.aheadMs = aheadMs;
  try {
    return await act();
  } finally {
    api.clock.aheadMs = 0;
  }
}

async function balance(contract: string = DEMO.contract): Promise<Heard['body']> {
  const { at: _, ...amounts } = (await api.ask('GET', `/v1/contracts/${contract}/balance`)).body;
  return amounts;
}

const jobCount = async () => (await rows<{ n: bigint }>(api.db, 'select count(*) as n from jobs'))[0]?.n;

describe('a job that no worker answers for', () => {
  it('is accepted after three seconds with its URL, and a repeat is answered 201 for the same job once one does', async () => {
    const { key, json, first } = early.kept;
    expect(first).toMatchObject({ status: 202, body: { state: 'reserving', reserved: '0' } });
    expect(first.headers.get('location')).toBe(`/v1/jobs/${first.body.id}`);
    expect(Number(first.headers.get('retry-after'))).toBeGreaterThan(0);
    const repeat = await api.ask('POST', '/v1/jobs', { key, json });
    expect(repeat).toMatchObject({ status: 201, body: { id: first.body.id, reserved: '5' } });
    const again = await api.ask('POST', '/v1/jobs', { key, json });
    expect(again).toMatchObject({ status: 201, body: repeat.body });
    expect(again.headers.get('idempotent-replayed')).toBe('true');
  });

  it('and that was released meanwhile is refused for good, and starts nothing', async () => {
    const { key, json, first } = early.released;
    const repeat = await api.ask('POST', '/v1/jobs', { key, json });
    expect(repeat).toMatchObject({ status: 409, body: { code: 'reservation_closed', jobId: first.body.id } });
    expect(await api.ask('POST', '/v1/jobs', { key, json })).toMatchObject({ status: 409, body: repeat.body });
    const job = (await api.ask('GET', `/v1/jobs/${first.body.id}`)).body;
    expect(job).toMatchObject({ state: 'released', reserved: '0' });
  });
});

describe('an Idempotency-Key', () => {
  const paths = ['/v1/quotes', '/v1/jobs', `/v1/jobs/${DEMO.contract}/cancel`];

  it.each(paths)('is required for POST %s, of visible characters', async (path) => {
    const json = path.endsWith('cancel')
      ? undefined
      : path === '/v1/jobs'
        ? onContract()
        : { service: 'simulation', input };
    for (const key of [null, '', 'with space', 'ü', 'x'.repeat(256)]) {
      const answer = await api.ask('POST', path, {
        key: null,
        ...(json && { json }),
        headers: key ? { 'Idempotency-Key': key } : {},
      });
      expect(answer).toMatchObject({ status: 400, body: { code: 'idempotency_key_required' } });
    }
  });

  it('gets the same answer again, and says so, whatever the order of the members', async () => {
    const key = 'order-of-members';
    const first = await api.ask('POST', '/v1/jobs', {
      key,
      json: onContract({ parameters: { plots: [], temperature: 20 } }),
    });
    expect(first.status).toBe(201);
    expect(first.headers.get('idempotent-replayed')).toBeNull();
    const count = await jobCount();
    const reordered = {
      parameters: { temperature: 20, plots: [] },
      maxCredits: '5',
      contractId: DEMO.contract,
      input,
      service: 'simulation',
    };
    const second = await api.ask('POST', '/v1/jobs', { key, json: reordered });
    expect(second).toMatchObject({ status: 201, body: first.body });
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
    expect(await jobCount()).toBe(count);
  });

  it('of another body, path or method is refused', async () => {
    const key = randomUUID();
    const reused = { status: 422, body: { code: 'idempotency_key_reused' } };
    expect((await api.ask('POST', '/v1/jobs', { key, json: onContract() })).status).toBe(201);
    expect(await api.ask('POST', '/v1/jobs', { key, json: onContract({ maxCredits: '5.0' }) })).toMatchObject(reused);
    expect(await api.ask('POST', '/v1/quotes', { key, json: { service: 'simulation', input } })).toMatchObject(reused);
    expect(await api.ask('POST', `/v1/jobs/${DEMO.contract}/cancel`, { key })).toMatchObject(reused);
  });

  it('of somebody else is another key', async () => {
    const key = randomUUID();
    const mine = await api.ask('POST', '/v1/jobs', { key, json: onContract() });
    const theirs = await api.upload(NETLIST, { as: 'contractAdmin' });
    const other = await api.ask('POST', '/v1/jobs', { as: 'contractAdmin', key, json: onContract({ input: theirs }) });
    expect(other.status).toBe(201);
    expect(other.body.id).not.toBe(mine.body.id);
  });

  it('sent several times at once makes one job with one reservation', async () => {
    const before = await balance();
    const count = (await jobCount()) ?? 0n;
    const key = randomUUID();
    const send = () => api.ask('POST', '/v1/jobs', { key, json: onContract() });
    const answers = await Promise.all(Array.from({ length: 5 }, send));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(await jobCount()).toBe(count + 1n);
    expect(Number((await balance()).reserved)).toBe(Number(before.reserved) + 5);
  });

  it('makes one lot of a grant that is sent several times', async () => {
    const key = randomUUID();
    const path = `/v1/contracts/${DEMO.smallContract}/lots`;
    const before = (await api.ask('GET', path)).body.items.length;
    const json = { kind: 'courtesy', amount: '0.000001', expiresAt: addMilliseconds(now(), HOUR_MS), reason: 'a test' };
    const send = () => api.ask('POST', path, { as: 'provider', key, json });
    const answers = await Promise.all([send(), send(), send()]);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect((await api.ask('GET', path)).body.items).toHaveLength(before + 1);
  });
});

describe('a job that cannot be paid', () => {
  it('is answered 402 with what is required, available and lacking, and what would help; a repeat hears the same', async () => {
    const contractId = DEMO.smallContract;
    const before = await balance(contractId);
    const json = onContract({ contractId, expected: '50', maxCredits: '60' });
    const key = randomUUID();
    const answer = await api.ask('POST', '/v1/jobs', { key, json });
    expect(answer).toMatchObject({
      status: 402,
      body: { code: 'insufficient_credits', required: '50', retryable: false, instance: '/v1/jobs' },
    });
    const { available, shortfall, remedies, jobId } = answer.body;
    expect(Number(available) + Number(shortfall)).toBe(50);
    expect(remedies.map(({ action }: { action: string }) => action)).toEqual(
      expect.arrayContaining(['add_credits', 'ask_for_less']),
    );
    const repeat = await api.ask('POST', '/v1/jobs', { key, json });
    expect(repeat).toMatchObject({ status: 402, body: answer.body });
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    expect(await balance(contractId)).toEqual(before);
    expect((await api.ask('GET', `/v1/jobs/${jobId}`)).body).toMatchObject({
      state: 'rejected',
      reason: 'insufficient_credits',
      draws: [],
    });
  });

  it('tells a listener so, and ends the stream', async () => {
    const json = onContract({ contractId: DEMO.smallContract, expected: '50', maxCredits: '60' });
    const { body } = await api.ask('POST', '/v1/jobs', { json });
    const events = (await api.ask('GET', `/v1/jobs/${body.jobId}/events`)).body;
    expect(events.match(/^event: .*$/gm)).toEqual(['event: rejected', 'event: progress', 'event: end']);
    expect((await api.ask('GET', `/v1/jobs/${body.jobId}/charge`)).status).toBe(404);
  });

  it('is not even reserved beyond its own limit', async () => {
    const answer = await api.ask('POST', '/v1/jobs', { json: onContract({ maxCredits: '0.000001' }) });
    expect(answer).toMatchObject({ status: 201, body: { expected: '0.000001', reserved: '0.000001' } });
  });
});

describe('a quote', () => {
  const quote = async (more: object = {}) =>
    (
      await api.ask('POST', '/v1/quotes', {
        json: { service: 'simulation', input, contractId: DEMO.contract, ...more },
      })
    ).body;

  it('reserves nothing, says who would pay, and is honoured as it was frozen', async () => {
    const before = await balance();
    const one = await quote();
    expect(one).toMatchObject({
      low: '5',
      expected: '5',
      high: '5',
      maxCredits: '5',
      rateCardVersion: SEED_RATE_CARDS.length,
    });
    expect(one.payers).toMatchObject({ shortfall: '0' });
    expect(await balance()).toEqual(before);
    expect((await api.ask('GET', `/v1/quotes/${one.id}`)).body).toEqual(one);
    const job = await api.ask('POST', '/v1/jobs', { json: { quoteId: one.id } });
    expect(job).toMatchObject({
      status: 201,
      body: { quoteId: one.id, expected: '5', maxCredits: '5', rateCardVersion: one.rateCardVersion },
    });
  });

  it('is refused from the end of its validity on', async () => {
    const { id, validUntil } = await quote();
    const submitAt = (instant: string) =>
      ahead(Date.parse(instant) - Date.now(), () => api.ask('POST', '/v1/jobs', { json: { quoteId: id } }));
    expect(await submitAt(validUntil)).toMatchObject({ status: 409, body: { code: 'quote_expired' } });
    expect((await submitAt(addMilliseconds(validUntil, -10_000))).status).toBe(201);
  });

  it('of a service that the rates in force do not sell cannot be had', async () => {
    const card = SEED_RATE_CARDS.at(-1);
    if (!card) throw new Error('there are no rates');
    const effectiveAt = addMilliseconds(now(), 300 * 24 * HOUR_MS);
    const services = card.services.filter(({ service }) => service !== 'simulation');
    const version = card.version + 1;
    await publishRateCard(api.db, { ...card, version, effectiveAt, services }, 'test');
    const json = { service: 'simulation', input };
    const notSold = { status: 422, body: { code: 'service_not_sold' } };
    await ahead(301 * 24 * HOUR_MS, async () => {
      expect(await api.ask('POST', '/v1/quotes', { json })).toMatchObject(notSold);
      expect(await api.ask('POST', '/v1/jobs', { json: onContract() })).toMatchObject(notSold);
      expect((await api.ask('GET', '/v1/services/simulation')).body.rates).toBeNull();
    });
    expect((await api.ask('POST', '/v1/quotes', { json })).status).toBe(201);
    expect((await api.ask('GET', '/v1/rate-cards')).body.items).toHaveLength(version);
    expect((await api.ask('GET', `/v1/rate-cards/${version}`)).body).toMatchObject({ version, status: 'scheduled' });
  });

  it('of something nobody sells is not found', async () => {
    expect(await api.ask('POST', '/v1/quotes', { json: { service: 'alchemy', input } })).toMatchObject({ status: 404 });
    expect((await api.ask('GET', '/v1/services/alchemy')).status).toBe(404);
    expect((await api.ask('GET', '/v1/rate-cards/99')).status).toBe(404);
    expect((await api.ask('GET', '/v1/services')).body.items).toHaveLength(SERVICES.size);
  });
});

describe('a job that waits for a machine', () => {
  async function submitted(): Promise<Heard['body']> {
    return (await api.ask('POST', '/v1/jobs', { json: onContract() })).body;
  }

  it('is not charged yet', async () => {
    const { id } = await submitted();
    expect(await api.ask('GET', `/v1/jobs/${id}/charge`)).toMatchObject({
      status: 409,
      body: { code: 'job_not_ended' },
    });
    expect((await api.ask('GET', `/v1/jobs/${id}/results`)).body.items).toEqual([]);
  });

  it('can have its limit raised, once per key, and never lowered', async () => {
    const { id } = await submitted();
    const path = `/v1/jobs/${id}/raise-cap`;
    const raise = (maxCredits: string, key = randomUUID()) => api.ask('POST', path, { key, json: { maxCredits } });
    const key = randomUUID();
    const raised = await raise('8', key);
    expect(raised).toMatchObject({ status: 200, body: { id, maxCredits: '8' } });
    expect(await raise('8', key)).toMatchObject({ status: 200, body: raised.body });
    for (const amount of ['8', '7', '0']) {
      expect(await raise(amount)).toMatchObject({ status: 409, body: { code: 'cap_not_raised' } });
    }
    expect((await api.ask('GET', `/v1/jobs/${id}`)).body.maxCredits).toBe('8');
  });

  it.each(['submitter', 'contractAdmin', 'operator'] as const)(
    'is cancelled by the %s, told to listeners in order, and gives everything back',
    async (as) => {
      const before = await balance();
      const { id } = await submitted();
      const listening = api.ask('GET', `/v1/jobs/${id}/events`);
      const key = randomUUID();
      const cancelled = await api.ask('POST', `/v1/jobs/${id}/cancel`, { as, key });
      expect(cancelled).toMatchObject({ status: 202, body: { id } });
      const events = (await listening).body.match(/^event: .*$/gm);
      const told = events.filter((line: string) => line !== 'event: progress');
      expect(told).toEqual(['event: reserved', 'event: cancel-requested', 'event: released', 'event: end']);
      expect(await api.ask('POST', `/v1/jobs/${id}/cancel`, { as, key })).toMatchObject({
        status: 202,
        body: cancelled.body,
      });
      expect(await api.ask('POST', `/v1/jobs/${id}/cancel`, { as })).toMatchObject({
        status: 409,
        body: { code: 'job_already_ended' },
      });
      expect((await api.ask('GET', `/v1/jobs/${id}`)).body).toMatchObject({
        state: 'released',
        reserved: '0',
        charged: null,
      });
      expect(await balance()).toEqual(before);
    },
  );

  it('whose workflow an operator terminated cannot be steered any more', async () => {
    const { id } = await submitted();
    await api.client.workflow.getHandle(jobWorkflowId(id)).terminate('a test');
    const already = { status: 409, body: { code: 'job_already_ended' } };
    const raise = () => api.ask('POST', `/v1/jobs/${id}/raise-cap`, { json: { maxCredits: '9' } });
    expect(await raise()).toMatchObject(already);
    await releaseJob(api.ledger, { jobId: id, reason: 'test', message: 'The workflow is gone.', at: now() });
    expect(await raise()).toMatchObject(already);
    expect(await api.ask('POST', `/v1/jobs/${id}/cancel`)).toMatchObject(already);
  });
});

// These change who is on the contract, so they come last.
describe('a person whose authorisation was removed', () => {
  it('cannot submit on the contract or see it; removed between the request and the reservation they are refused too', async () => {
    const quoteId = (
      await api.ask('POST', '/v1/quotes', { json: { service: 'simulation', input, contractId: DEMO.contract } })
    ).body.id;
    await api
      .db('contract_users')
      .where({ contract_id: DEMO.contract, user_id: DEMO.people.submitter.id })
      .update({ removed_at: addMilliseconds(now(), -1_000) });
    const before = await balanceSeenByOperator();
    const notFound = { status: 404, body: { code: 'not_found' } };
    expect(await api.ask('GET', `/v1/contracts/${DEMO.contract}`)).toMatchObject(notFound);
    expect(await api.ask('POST', '/v1/jobs', { json: onContract() })).toMatchObject(notFound);
    expect(await api.ask('POST', '/v1/jobs', { json: { quoteId } })).toMatchObject(notFound);
    // The API looked a moment before the removal, the reservation is made after it.
    const late = await ahead(-60_000, () => api.ask('POST', '/v1/jobs', { json: onContract() }));
    expect(late).toMatchObject({ status: 409, body: { code: 'user_not_authorised' } });
    expect(await balanceSeenByOperator()).toEqual(before);
  });

  async function balanceSeenByOperator() {
    const path = `/v1/contracts/${DEMO.contract}/balance`;
    const { at: _, ...amounts } = (await api.ask('GET', path, { as: 'operator' })).body;
    return amounts;
  }
});

describe('a contract that is suspended', () => {
  it('pays for no jobs until it is resumed', async () => {
    const suspend = (suspended_at: Instant | null) =>
      api.db('contracts').where({ id: DEMO.smallContract }).update({ suspended_at });
    await suspend(addMilliseconds(now(), -1_000));
    const ask = () => api.ask('POST', '/v1/jobs', { json: onContract({ contractId: DEMO.smallContract }) });
    const answer = await ask();
    expect(answer).toMatchObject({ status: 409, body: { code: 'contract_suspended' } });
    await eventually(
      'its end',
      async () => (await api.ask('GET', `/v1/jobs/${answer.body.jobId}`)).body.endedAt !== null,
    );
    await suspend(null);
    // Resumed it is asked what it has: two credits are not enough.
    expect(await ask()).toMatchObject({ status: 402, body: { code: 'insufficient_credits' } });
  });
});

describe('a contract that is over', () => {
  it('pays for no more jobs', async () => {
    await api
      .owner('contracts')
      .where({ id: DEMO.smallContract })
      .update({ ends_at: addMilliseconds(now(), -1_000) });
    const answer = await api.ask('POST', '/v1/jobs', { json: onContract({ contractId: DEMO.smallContract }) });
    expect(answer).toMatchObject({ status: 409, body: { code: 'contract_not_in_force' } });
    await eventually(
      'its end',
      async () => (await api.ask('GET', `/v1/jobs/${answer.body.jobId}`)).body.endedAt !== null,
    );
  });
});
