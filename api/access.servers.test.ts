import { addJobEvent } from '../db/jobs';
import { createApiKey } from '../db/people';
import { DEMO } from '../db/seed';
import { addMilliseconds, instantOfMilliseconds } from '../domain/instant';
import { NETLIST, netlistWith } from '../test/api/inputs';
import { type Ask, type Heard, startApi, type TestApi, type Who } from '../test/api/server';
import { eventually } from '../test/world/eventually';

jest.setTimeout(60_000);

const MISSING = '00000000-0000-7000-8000-0000000000ff';
const MISSING_DIGEST = `sha256:${'0'.repeat(64)}`;
const STRANGER = '00000000-0000-7000-8000-000000000091';
const COLLEAGUE = '00000000-0000-7000-8000-000000000092';
const THEIR_CONTRACT = '00000000-0000-7000-8000-000000000093';
const HOUR_MS = 3_600_000;

let api: TestApi;
/** Somebody of another customer, with a contract of their own. */
let stranger: { key: string };
/** Of the same customer, and on none of its contracts. */
let colleague: { key: string };

beforeAll(async () => {
  api = await startApi();
  const { db } = api;
  const now = instantOfMilliseconds(Date.now());
  const theirs = '00000000-0000-7000-8000-000000000090';
  await db('customers').insert({ id: theirs, name: 'Borealis' });
  await db('users').insert([
    { id: STRANGER, customer_id: theirs, name: 'Stranger', email: 'stranger@borealis.example' },
    { id: COLLEAGUE, customer_id: DEMO.customer, name: 'Colleague', email: 'colleague@aurora.example' },
  ]);
  await db('contracts').insert({
    id: THEIR_CONTRACT,
    customer_id: theirs,
    name: 'Theirs',
    starts_at: addMilliseconds(now, -HOUR_MS),
    ends_at: addMilliseconds(now, 1_000 * HOUR_MS),
    time_zone: 'UTC',
  });
  await db('contract_users').insert({
    contract_id: THEIR_CONTRACT,
    user_id: STRANGER,
    role: 'contract-admin',
    authorised_at: addMilliseconds(now, -HOUR_MS),
  });
  const roles = ['submitter', 'contract-admin'] as const;
  stranger = { key: await createApiKey(db, { userId: STRANGER, label: 'test', roles }) };
  colleague = { key: await createApiKey(db, { userId: COLLEAGUE, label: 'test', roles }) };
  await api.startJobsWorker();
  await api.startComputeWorker();
});
afterAll(() => api?.close());

describe('an API key', () => {
  const unauthenticated = { status: 401, body: { code: 'unauthenticated' } };

  it('is needed everywhere but for health', async () => {
    for (const as of [null, { key: 'hf_unknown' }, { key: '' }]) {
      const answer = await api.ask('GET', '/v1/me', { as });
      expect(answer).toMatchObject(unauthenticated);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
    expect(await api.ask('POST', '/v1/quotes', { as: null, json: {} })).toMatchObject(unauthenticated);
    expect((await api.ask('GET', '/health/live', { as: null })).status).toBe(200);
    expect((await api.ask('GET', '/health/ready', { as: null })).body).toEqual({ ready: true, parts: {} });
  });

  it.each(['expires_at', 'revoked_at'])('works until the instant in %s, and not at it', async (column) => {
    const key = await createApiKey(api.db, { userId: STRANGER, label: column, roles: ['submitter'] });
    const me = () => api.ask('GET', '/v1/me', { as: { key } });
    expect(await me()).toMatchObject({ status: 200, body: { userId: STRANGER, roles: ['submitter'] } });
    const end = instantOfMilliseconds(Date.now() + HOUR_MS);
    await api
      .db('api_keys')
      .where({ label: column })
      .update({ [column]: end });
    expect((await me()).status).toBe(200);
    try {
      api.clock.aheadMs = HOUR_MS;
      expect(await me()).toMatchObject(unauthenticated);
    } finally {
      api.clock.aheadMs = 0;
    }
  });

  it('is kept as a hash: the database does not hold the key', async () => {
    const stored = await api.db('api_keys').select('*');
    for (const { key } of Object.values(api.keys)) expect(JSON.stringify(stored)).not.toContain(key);
  });
});

describe('a role', () => {
  const lot = { kind: 'shared', amount: '1', reason: 'a test' };
  const people: Who[] = ['submitter', 'contractAdmin', 'operator', 'finance', 'financeApprover', 'provider'];
  const contract = DEMO.contract;

  it.each<[string, string, unknown, Who[]]>([
    ['upload', '/v1/inputs', undefined, ['submitter', 'contractAdmin']],
    ['quote', '/v1/quotes', {}, ['submitter', 'contractAdmin']],
    ['submit', '/v1/jobs', {}, ['submitter', 'contractAdmin']],
    ['cancel', `/v1/jobs/${MISSING}/cancel`, undefined, ['submitter', 'contractAdmin', 'operator']],
    ['raise the cap', `/v1/jobs/${MISSING}/raise-cap`, { maxCredits: '1' }, ['submitter', 'contractAdmin']],
    ['grant to a contract', `/v1/contracts/${contract}/lots`, lot, ['provider']],
    ['grant to a user', `/v1/users/${STRANGER}/lots`, { amount: '1', reason: 'a test' }, ['provider']],
  ])('decides who may %s, whatever else is in the request', async (_, path, json, allowed) => {
    for (const as of people) {
      const { status, body } = await api.ask('POST', path, { as, ...(json !== undefined && { json }) });
      if (allowed.includes(as)) expect(status).not.toBe(403);
      else expect({ as, status, code: body.code }).toEqual({ as, status: 403, code: 'forbidden' });
    }
  });

  it('of the provider sees every contract; others see theirs', async () => {
    const seenBy = async (as: Ask['as']) =>
      (await api.ask('GET', '/v1/contracts', { as: as ?? null })).body.items.map(({ id }: { id: string }) => id);
    const ours = [DEMO.contract, DEMO.smallContract];
    for (const as of ['operator', 'finance', 'financeApprover', 'provider'] as const) {
      expect(await seenBy(as)).toEqual([...ours, THEIR_CONTRACT]);
    }
    expect(await seenBy('submitter')).toEqual(ours);
    expect(await seenBy(stranger)).toEqual([THEIR_CONTRACT]);
    expect(await seenBy(colleague)).toEqual([]);
  });
});

describe('what is somebody else’s looks exactly like what is not there', () => {
  let input: string;
  let quoteId: string;
  let jobId: string;
  let chargeId: string;

  beforeAll(async () => {
    input = await api.upload(NETLIST);
    const request = { service: 'simulation', input, contractId: DEMO.contract };
    quoteId = (await api.ask('POST', '/v1/quotes', { json: request })).body.id;
    jobId = (await api.ask('POST', '/v1/jobs', { json: { quoteId } })).body.id;
    const charge = await eventually('the charge', async () => {
      const { status, body } = await api.ask('GET', `/v1/jobs/${jobId}/charge`);
      return status === 200 && body;
    });
    chargeId = charge.id;
  });

  const secret = ({ status, body: { instance: _, ...body } }: Heard) => ({ status, body });

  it.each<[string, () => [string, string]]>([
    ['input', () => [`/v1/inputs/${input}`, `/v1/inputs/${MISSING_DIGEST}`]],
    ['quote', () => [`/v1/quotes/${quoteId}`, `/v1/quotes/${MISSING}`]],
    ['job', () => [`/v1/jobs/${jobId}`, `/v1/jobs/${MISSING}`]],
    ['job’s usage', () => [`/v1/jobs/${jobId}/usage`, `/v1/jobs/${MISSING}/usage`]],
    ['job’s events', () => [`/v1/jobs/${jobId}/events`, `/v1/jobs/${MISSING}/events`]],
    ['job’s charge', () => [`/v1/jobs/${jobId}/charge`, `/v1/jobs/${MISSING}/charge`]],
    ['job’s results', () => [`/v1/jobs/${jobId}/results`, `/v1/jobs/${MISSING}/results`]],
    ['result', () => [`/v1/jobs/${jobId}/results/log.txt`, `/v1/jobs/${MISSING}/results/log.txt`]],
    ['charge', () => [`/v1/charges/${chargeId}`, `/v1/charges/${MISSING}`]],
    ['dossier', () => [`/v1/charges/${chargeId}/dossier`, `/v1/charges/${MISSING}/dossier`]],
    ['contract', () => [`/v1/contracts/${DEMO.contract}`, `/v1/contracts/${MISSING}`]],
    ['contract’s lots', () => [`/v1/contracts/${DEMO.contract}/lots`, `/v1/contracts/${MISSING}/lots`]],
    ['contract’s balance', () => [`/v1/contracts/${DEMO.contract}/balance`, `/v1/contracts/${MISSING}/balance`]],
    ['user’s lots', () => [`/v1/users/${DEMO.people.submitter.id}/lots`, `/v1/users/${MISSING}/lots`]],
    ['user’s balance', () => [`/v1/users/${DEMO.people.submitter.id}/balance`, `/v1/users/${MISSING}/balance`]],
  ])('%s', async (_, paths) => {
    const [theirs, missing] = paths();
    for (const as of [stranger, colleague]) {
      const answer = await api.ask('GET', theirs, { as });
      expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } });
      expect(secret(answer)).toEqual(secret(await api.ask('GET', missing, { as })));
    }
    if (!theirs.endsWith('/log.txt')) expect((await api.ask('GET', theirs)).status).toBe(200);
  });

  it('in requests: input, quote, contract and job', async () => {
    const own = (await api.ask('POST', '/v1/inputs', { as: stranger, ...netlistOf('theirs') })).body.digest;
    const requests: [string, (one: string) => unknown, string, string][] = [
      ['/v1/quotes', (one) => ({ service: 'simulation', input: one }), input, MISSING_DIGEST],
      ['/v1/jobs', (one) => ({ service: 'simulation', input: one, maxCredits: '5' }), input, MISSING_DIGEST],
      ['/v1/jobs', (one) => ({ quoteId: one }), quoteId, MISSING],
      ['/v1/quotes', (one) => ({ service: 'simulation', input: own, contractId: one }), DEMO.contract, MISSING],
      [
        '/v1/jobs',
        (one) => ({ service: 'simulation', input: own, contractId: one, maxCredits: '5' }),
        DEMO.contract,
        MISSING,
      ],
    ];
    for (const [path, json, theirs, missing] of requests) {
      const answer = await api.ask('POST', path, { as: stranger, json: json(theirs) });
      expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } });
      expect(answer.body).toEqual((await api.ask('POST', path, { as: stranger, json: json(missing) })).body);
    }
    for (const [act, json] of [
      ['cancel', undefined],
      ['raise-cap', { maxCredits: '100' }],
    ] as const) {
      const on = (id: string) => api.ask('POST', `/v1/jobs/${id}/${act}`, { as: stranger, ...(json && { json }) });
      expect(secret(await on(jobId))).toEqual(secret(await on(MISSING)));
    }
  });

  it('in lists, which hold nothing of others', async () => {
    for (const as of [stranger, colleague]) {
      for (const path of ['/v1/jobs', '/v1/charges']) {
        expect((await api.ask('GET', path, { as })).body).toEqual({ items: [], nextCursor: null });
      }
    }
  });

  it('but is seen by the contract’s people and the provider’s', async () => {
    for (const as of ['contractAdmin', 'operator', 'finance'] as const) {
      expect((await api.ask('GET', `/v1/charges/${chargeId}`, { as })).status).toBe(200);
      expect((await api.ask('GET', `/v1/jobs/${jobId}`, { as })).body.state).toBe('settled');
    }
    expect((await api.ask('GET', `/v1/users/${DEMO.people.submitter.id}/lots`, { as: 'contractAdmin' })).status).toBe(
      404,
    );
  });

  it('and a job of a colleague on the same contract cannot be steered by another submitter', async () => {
    const theirs = await api.upload(NETLIST, { as: 'contractAdmin' });
    const request = { service: 'simulation', input: theirs, contractId: DEMO.contract, maxCredits: '5' };
    const { body } = await api.ask('POST', '/v1/jobs', { as: 'contractAdmin', json: request });
    const json = { maxCredits: '6' };
    const forbidden = { status: 403, body: { code: 'forbidden' } };
    expect(await api.ask('POST', `/v1/jobs/${body.id}/cancel`)).toMatchObject(forbidden);
    expect(await api.ask('POST', `/v1/jobs/${body.id}/raise-cap`, { json })).toMatchObject(forbidden);
    await ended(body.id);
  });
});

describe('a job that ended', () => {
  let job: Heard['body'];
  beforeAll(async () => {
    const input = await api.upload(netlistWith('* another file', '.op'), { name: 'Teiler ½.cir' });
    const request = { service: 'simulation', input, contractId: DEMO.contract, maxCredits: '7.5' };
    const { body } = await api.ask('POST', '/v1/jobs', { json: request });
    job = await ended(body.id);
  });

  it('says what it was charged, by whom it was paid, and how that was computed', async () => {
    expect(job).toMatchObject({ state: 'settled', reserved: '0', charged: '5', input: { name: 'Teiler ½.cir' } });
    const charge = (await api.ask('GET', job.links.charge)).body;
    expect(charge).toMatchObject({ jobId: job.id, end: 'completed', rated: '5', charged: '5', absorbed: '0' });
    const dossier = (await api.ask('GET', job.links.dossier)).body;
    expect(dossier).toMatchObject({ format: 'holdfast-dossier/1', chargeId: charge.id, jobId: job.id });
    const usage = (await api.ask('GET', job.links.usage)).body;
    expect(usage.attempts).toMatchObject([{ number: 1, outcome: 'completed' }]);
    const rated = usage.usage.filter((one: { rated: boolean }) => one.rated);
    expect(rated).toMatchObject([{ meter: 'simulations', quantity: '1', charged: true }]);
  });

  it('gives its results as files that no browser runs', async () => {
    const { items } = (await api.ask('GET', job.links.results)).body;
    expect(items.length).toBeGreaterThan(0);
    for (const { name, digest, size, mediaType, url } of items) {
      const response = await fetch(`${api.url}${url}`, {
        headers: { Authorization: `Bearer ${api.keys.submitter?.key}` },
      });
      const bytes = Buffer.from(await response.arrayBuffer());
      expect(bytes.length).toBe(size);
      expect(`sha256:${await sha256(bytes)}`).toBe(digest);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': expect.stringContaining(mediaType),
        'content-length': String(size),
        'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
        'x-content-type-options': 'nosniff',
        etag: `"${digest}"`,
      });
    }
    expect(await api.ask('GET', `${job.links.results}/..%2F..%2Fetc%2Fpasswd`)).toMatchObject({ status: 404 });
  });

  it('cannot be cancelled, and its limit cannot be raised', async () => {
    const already = { status: 409, body: { code: 'job_already_ended' } };
    expect(await api.ask('POST', `${job.links.self}/cancel`)).toMatchObject(already);
    expect(await api.ask('POST', `${job.links.self}/raise-cap`, { json: { maxCredits: '9' } })).toMatchObject(already);
  });

  it('tells its whole story to who comes late, in order, and ends', async () => {
    const events = await eventsOf(job.id);
    expect(events.map(({ event }) => event)).toEqual(['reserved', 'running', 'settled', 'progress', 'end']);
    const ids = events.flatMap(({ id }) => (id === undefined ? [] : [BigInt(id)]));
    expect(ids).toEqual([...ids].sort((a, b) => (a < b ? -1 : 1)));
    expect(events.at(-1)?.data).toMatchObject({ state: 'settled', progress: '1', reserved: '0' });
    const [first] = events;
    expect(await eventsOf(job.id, first?.id)).toEqual(events.slice(1));
    const last = String(ids.at(-1));
    expect((await eventsOf(job.id, last)).map(({ event }) => event)).toEqual(['progress', 'end']);
    for (const id of ['-1', 'x', '1'.repeat(30)]) {
      const answer = await api.ask('GET', job.links.events, { headers: { 'Last-Event-ID': id } });
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    }
  });

  it('does not keep a HEAD of its events open', async () => {
    expect((await api.ask('HEAD', job.links.events)).status).toBe(200);
  });
});

describe('a running job’s events', () => {
  it('reach a listener as they happen, one written beside the job’s row too', async () => {
    const input = await api.upload(NETLIST);
    const request = { service: 'simulation', input, contractId: DEMO.contract, maxCredits: '5' };
    const { body } = await api.ask('POST', '/v1/jobs', { json: request });
    const listening = eventsOf(body.id);
    const at = instantOfMilliseconds(Date.now());
    await addJobEvent(api.db, body.id, { kind: 'noted', message: 'Somebody looked.', at });
    await ended(body.id);
    const kinds = (await listening).map(({ event }) => event);
    expect(kinds).toEqual(expect.arrayContaining(['reserved', 'noted', 'settled']));
    expect(kinds.at(-1)).toBe('end');
    expect(kinds.indexOf('reserved')).toBeLessThan(kinds.indexOf('settled'));
  });
});

describe('a list', () => {
  it.each(['/v1/jobs', '/v1/charges'])('%s is walked once and whole, page by page, newest first', async (path) => {
    const whole = (await api.ask('GET', `${path}?limit=200`)).body;
    expect(whole.nextCursor).toBeNull();
    expect(whole.items.length).toBeGreaterThan(2);
    const walked = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body } = await api.ask('GET', `${path}?limit=1${cursor && `&cursor=${cursor}`}`);
      expect(body.items).toHaveLength(1);
      walked.push(...body.items);
      cursor = body.nextCursor;
    }
    expect(walked).toEqual(whole.items);
    const ids = walked.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)].sort().reverse());
  });

  it('of jobs can be of one state', async () => {
    const { items } = (await api.ask('GET', '/v1/jobs?state=settled')).body;
    expect(new Set(items.map(({ state }: { state: string }) => state))).toEqual(new Set(['settled']));
    expect((await api.ask('GET', '/v1/jobs?state=parked')).body.items).toEqual([]);
  });
});

function netlistOf(title: string): Ask {
  return { body: `${title}\n${NETLIST}`, headers: { 'Content-Type': 'application/octet-stream' } };
}

async function sha256(bytes: Buffer): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes))).toString('hex');
}

/** Waits until a job ended and its charge is booked. */
function ended(id: string): Promise<Heard['body']> {
  return eventually(`the end of job ${id}`, async () => {
    const { body } = await api.ask('GET', `/v1/jobs/${id}`, { as: 'operator' });
    return body.endedAt !== null && body;
  });
}

interface ServerEvent {
  readonly id?: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** Listens to a job's events until the stream ends. */
async function eventsOf(jobId: string, lastEventId?: string): Promise<ServerEvent[]> {
  const headers = lastEventId === undefined ? undefined : { 'Last-Event-ID': lastEventId };
  const answer = await api.ask('GET', `/v1/jobs/${jobId}/events`, headers && { headers });
  expect(answer.headers.get('content-type')).toContain('text/event-stream');
  return answer.body
    .split('\n\n')
    .filter((block: string) => block !== '' && !block.startsWith(':'))
    .map((block: string) => {
      const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s) as [string, string]));
      return { ...fields, data: JSON.parse(fields.data ?? '') };
    });
}
