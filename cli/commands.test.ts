import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buildProgram, runProgram } from './commands';
import { answerJson, INSUFFICIENT, startServer, type TestServer } from './testing/server';

const JOB_ID = '00000000-0000-7000-8000-0000000000aa';
const JOB = {
  id: JOB_ID,
  service: 'simulation',
  state: 'settled',
  reason: 'completed',
  message: null,
  progress: '1',
  input: { digest: `sha256:${'0'.repeat(64)}`, name: 'filter.cir' },
  expected: '5',
  maxCredits: '5',
  reserved: '0',
  draws: [],
  charged: '5',
  comment: '',
  submittedAt: '2026-01-31T12:00:00.000Z',
  endedAt: '2026-01-31T12:00:09.000Z',
  links: { self: `/v1/jobs/${JOB_ID}` },
};

let home: string;
const servers: TestServer[] = [];
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  await rm(home, { recursive: true });
});

async function holdfast(words: string[], env: Record<string, string> = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const terminal = { stdout, stderr, stdin: new PassThrough(), env: { HOLDFAST_HOME: home, ...env } };
  const code = await runProgram(buildProgram(terminal), terminal, words);
  return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}

/** Answers each `METHOD path` with its status and body, and anything else with 404. */
async function apiThat(answers: Record<string, readonly [number, unknown]>) {
  const server = await startServer(({ method, path }, response) => {
    const [status, body] = answers[`${method} ${path}`] ?? [404, { ...INSUFFICIENT, status: 404, code: 'not_found' }];
    if (typeof body === 'string') {
      response.writeHead(status, { 'content-type': 'text/event-stream' }).end(body);
    } else answerJson(response, status, body, { etag: '"as-read"' });
  });
  servers.push(server);
  return { server, env: { HOLDFAST_URL: server.url, HOLDFAST_API_KEY: 'hf_test' } };
}

test.each([
  [['submit'], /which file/],
  [['submit', 'a.cir'], /--service/],
  [['submit', 'a.cir', '--service', 'simulation'], /Nobody is here to accept a quote/],
  [['submit', 'a.cir', '--service', 'simulation', '--max', '1e3'], /--max: an amount is a plain decimal/],
  [['submit', 'a.cir', '--service', 'simulation', '--max', '-1'], /--max: an amount is a plain decimal/],
  [['submit', 'a.cir', '--service', 'simulation', '--expected', '1'], /--expected needs --max/],
  [['submit', 'a.cir', '--service', 'simulation', '--max', '1', '--expected', '2'], /above --max/],
  [['submit', 'a.cir', '--quote', JOB_ID], /--quote alone/],
  [['submit', '--quote', JOB_ID, '--max', '3'], /--quote alone/],
  [['submit', '--quote', JOB_ID, '--time-limit', '1.5'], /whole number of seconds/],
  [['raise-cap', JOB_ID, '0.0000001'], /plain decimal/],
  [['grant', '5', '--reason', 'x'], /either --contract or --user/],
  [['grant', '5', '--reason', 'x', '--contract', 'a', '--repay'], /give --courtesy-until, too/],
  [['grant', '5', '--reason', 'x', '--user', JOB_ID, '--courtesy-until', '2030-01-01T00:00:00Z'], /to a contract/],
  [['grant', '5', '--reason', 'x', '--user', JOB_ID, '--effective', '2020-01-01T00:00:00Z'], /give --received, too/],
  [['grant', '5', '--reason', 'x', '--user', JOB_ID, '--received', '2020-01-01'], /--received: an instant is written/],
  [['lots', '--as-of', 'yesterday'], /--as-of: an instant is written/],
  [['balance', '--known-at', '2026-01-01'], /--known-at: an instant is written/],
  [['notices', '--all', '--read', JOB_ID], /Either --read one or list --all/],
  [['budgets', 'set', '5'], /either --user or --project/],
  [['budgets', 'set', '5', '--user', JOB_ID, '--project', 'a'], /either --user or --project/],
  [['budgets', 'set', '-5', '--project', 'a'], /plain decimal/],
  [['budgets', 'set', '5', '--project', 'a', '--period', 'week'], /Allowed choices/],
  [['budgets', 'set', '5', '--project', 'a', '--warn', '0'], /--warn is a whole percent or never/],
  [['allocations', '--contract', 'a', '--user', JOB_ID], /either --contract or --user/],
  [['allocation-rules', '--at', 'yesterday'], /--at: an instant is written/],
  [['allocation-rules', 'publish', '/nowhere.json'], /cannot be read/],
  [['allocation-rules', 'publish', __filename], /is not JSON/],
  [['refund', JOB_ID, '--reason', 'x'], /either --amount/],
  [['refund', JOB_ID, '--reason', 'x', '--amount', '1', '--actual', '1'], /either --amount/],
  [['refund', JOB_ID, '--reason', 'x', '--amount', '0.0'], /more than zero/],
  [['refund', JOB_ID, '--amount', '1'], /--reason/],
  [['transfers', '--lot', JOB_ID, '--job', JOB_ID], /Give one of --lot/],
  [['withdraw', 'preview'], /Select by one of/],
  [['withdraw', 'preview', '--user', JOB_ID, '--customer', JOB_ID], /Select by one of/],
  [['withdraw', 'preview', '--granted-before', 'yesterday'], /--granted-before: an instant is written/],
  [['withdraw', 'start', '--user', JOB_ID], /--reason/],
  [['withdraw', 'start', '--user', JOB_ID, '--reason', 'x'], /Nobody is here to be asked/],
  [['withdraw', 'start', '--user', JOB_ID, '--reason', 'x', '--yes', '--per-second', '0'], /--per-second is a whole/],
  [['withdraw', 'status', '--users'], /of which withdrawal/],
  [['withdraw', 'rescind', JOB_ID, '--reason', 'x'], /either --user or --all/],
  [['withdraw', 'rescind', JOB_ID, '--reason', 'x', '--all', '--user', JOB_ID], /either --user or --all/],
  [['contracts', '--state', 'paused'], /Allowed choices/],
  [['contracts', 'add', JOB_ID, 'Main', '--from', 'now'], /--until/],
  [['contract', 'extend', JOB_ID, '--until', 'soon', '--reason', 'x'], /--until: an instant is written/],
  [['contract', 'extend', JOB_ID, '--reason', 'x'], /--until/],
  [['contract', 'renew', JOB_ID, '--months', '0', '--reason', 'x'], /--months is a whole number/],
  [['contract', 'suspend', JOB_ID], /--reason/],
  [['contract', 'products', JOB_ID, '--product', 'solver,annual', '--reason', 'x'], /product,type,level,seats/],
  [['contract', 'renewal', JOB_ID, '--renewal', 'never', '--reason', 'x'], /Allowed choices/],
  [['spenders', JOB_ID, '--at', 'yesterday'], /--at: an instant is written/],
  [['users', 'authorise', JOB_ID, '--role', 'operator'], /Allowed choices/],
  [['users', 'change', JOB_ID], /Say what changes/],
  [['purchase'], /Say which purchase/],
  [['purchase', 'record', 'PO-1', '--customer', JOB_ID], /either --pack or --amount/],
  [['purchase', 'record', 'PO-1', '--customer', JOB_ID, '--pack', 'a', '--amount', '1'], /either --pack or --amount/],
  [['purchase', 'record', 'PO-1', '--customer', JOB_ID, '--amount', '1', '--quantity', '2'], /Only packs are counted/],
  [
    ['purchase', 'record', 'PO-1', '--customer', JOB_ID, '--amount', '1', '--price', '12.50 EUR'],
    /--price is an amount/,
  ],
  [['purchase', 'allocate', JOB_ID], /--contract/],
  [['jobs', '--state', 'paused'], /Allowed choices/],
  [['frobnicate'], /unknown command/],
  [['jobs', '--frobnicate'], /unknown option/],
  [['--key', 'a', '--as', 'b', 'whoami'], /not both/],
])('%j is wrong usage, told in a sentence, before anything is sent', async (words, sentence) => {
  const { server, env } = await apiThat({});
  const { code, stdout, stderr } = await holdfast(words, env);
  expect(code).toBe(2);
  expect(stderr).toMatch(sentence);
  expect(stdout).toBe('');
  expect(server.received).toEqual([]);
});

test('without an installation the sentence says how to get one, and the code is 3', async () => {
  const { code, stderr } = await holdfast(['jobs']);
  expect(code).toBe(3);
  expect(stderr).toMatch(/Nothing runs from .*npm start.*HOLDFAST_URL/);
});

test('an address without a key is refused; demo keys are for the installation that they are of', async () => {
  const { code, stderr } = await holdfast(['--url', 'http://127.0.0.1:9', 'jobs']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/HOLDFAST_API_KEY/);
});

test('help and its code are for those who ask for it', async () => {
  const { code, stdout } = await holdfast(['--help']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/submit .*watch .*dossier/s);
});

test('--json is the API’s answer to the byte', async () => {
  const { env } = await apiThat({ [`GET /v1/jobs/${JOB_ID}`]: [200, JOB] });
  const { code, stdout, stderr } = await holdfast(['job', JOB_ID, '--json'], env);
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${JSON.stringify(JOB)}\n`, stderr: '' });
});

const CONTRACT = '00000000-0000-7000-8000-0000000000cc';
const BUDGET = {
  id: '00000000-0000-7000-8000-0000000000bb',
  contractId: CONTRACT,
  userId: null,
  project: 'crash tests',
  period: 'month',
  amount: '100',
  warnPercent: 90,
  refusePercent: 100,
  current: {
    ...{ startsAt: '2026-01-01T00:00:00.000000Z', endsAt: '2026-02-01T00:00:00.000000Z' },
    ...{ reserved: '5', charged: '90', used: '95', remaining: '5', warning: true, refusing: false },
  },
  links: {},
};

test('budgets are listed with what is left of them', async () => {
  const path = `/v1/contracts/${CONTRACT}/budgets`;
  const { env } = await apiThat({
    'GET /v1/me': [200, { contractIds: [CONTRACT] }],
    [`GET ${path}`]: [200, { items: [BUDGET], nextCursor: null }],
  });
  const { code, stdout } = await holdfast(['budgets', '--contract', CONTRACT], env);
  expect(code).toBe(0);
  expect(stdout).toMatch(/project crash tests +month +100 credits +95 credits +5 credits .* nearly used up/);
});

test('a budget that there is is changed as it was read, one that there is not is set', async () => {
  const path = `/v1/contracts/${CONTRACT}/budgets`;
  const { server, env } = await apiThat({
    'GET /v1/me': [200, { contractIds: [CONTRACT] }],
    [`GET ${path}`]: [200, { items: [BUDGET], nextCursor: null }],
    [`GET ${path}/${BUDGET.id}`]: [200, BUDGET],
    [`PUT ${path}/${BUDGET.id}`]: [200, { ...BUDGET, amount: '120' }],
    [`POST ${path}`]: [201, { ...BUDGET, project: 'other' }],
  });
  const set = (project: string) =>
    holdfast(['budgets', 'set', '120', '--contract', CONTRACT, '--project', project, '--refuse', 'never'], env);
  expect(await set('crash tests')).toMatchObject({ code: 0, stdout: expect.stringMatching(/amount +120 credits/) });
  const changed = server.received.find(({ method }) => method === 'PUT');
  expect(JSON.parse(changed?.body ?? '')).toEqual({ amount: '120', warnPercent: 90, refusePercent: null });
  expect(changed?.headers['if-match']).toBe('"as-read"');
  expect(await set('other')).toMatchObject({ code: 0 });
  const posted = server.received.find(({ method }) => method === 'POST');
  expect(JSON.parse(posted?.body ?? '')).toMatchObject({ project: 'other', amount: '120', refusePercent: null });
});

test('a refund that waits says who can go on', async () => {
  const waiting = {
    ...{ id: JOB_ID, chargeId: JOB_ID, jobId: JOB_ID, status: 'waiting', amount: '2000', actual: null },
    ...{ reason: 'noise', requestedBy: 'femi', requestedAt: JOB.endedAt, needsApproval: true, decidedBy: null },
    ...{ decidedAt: null, decisionReason: null, refunded: null, unwound: null, returned: [], links: {} },
  };
  const { server, env } = await apiThat({
    [`GET /v1/charges/${JOB_ID}`]: [200, { id: JOB_ID }],
    [`POST /v1/charges/${JOB_ID}/refunds`]: [202, waiting],
  });
  const { code, stdout } = await holdfast(['refund', JOB_ID, '--amount', '2000', '--reason', 'noise'], env);
  expect(code).toBe(0);
  expect(stdout).toMatch(/asked for +2000 credits, by femi[\s\S]*refunds approve/);
  const posted = server.received.find(({ method }) => method === 'POST');
  expect(JSON.parse(posted?.body ?? '')).toEqual({ amount: '2000', reason: 'noise' });
});

test('a withdrawal is previewed, started, watched and rescinded', async () => {
  const selected = { users: 2, lots: 3, available: '12.5', reserved: '1' };
  const campaign = {
    ...{ id: JOB_ID, reason: 'the end', selection: { customerId: CONTRACT }, selected, noticesPerSecond: 20 },
    ...{ createdBy: JOB_ID, startedAt: JOB.submittedAt, state: 'running', endedAt: null, links: {} },
    counts: { waiting: 1, noticed: 1, rescinded: 0, withdrawn: 0, undeliverable: 0 },
    ...{ nextAt: '2026-04-01T12:00:00.000000Z', nextWhat: 'a reminder 30 days before the end' },
  };
  const person = { userId: JOB_ID, name: 'Sana', email: 's@x.example', lots: 3, available: '12.5', reserved: '1' };
  const { server, env } = await apiThat({
    'POST /v1/withdrawals/preview': [200, { ...selected, items: [person], nextCursor: null }],
    'POST /v1/withdrawals': [201, campaign],
    [`GET /v1/withdrawals/${JOB_ID}`]: [200, campaign],
    [`POST /v1/withdrawals/${JOB_ID}/rescind`]: [200, { rescinded: 1, tookEffect: [CONTRACT], tookEffectCount: 1 }],
  });
  const preview = await holdfast(['withdraw', 'preview', '--customer', CONTRACT], env);
  expect(preview.stdout).toMatch(/available +12.5 credits[\s\S]*Sana +3 +12.5 credits +1 credit/);
  const start = ['withdraw', 'start', '--customer', CONTRACT, '--reason', 'the end', '--yes'];
  expect((await holdfast(start, env)).stdout).toMatch(/noticed +1[\s\S]*withdraw status/);
  const posted = server.received.find(({ path }) => path === '/v1/withdrawals');
  expect(JSON.parse(posted?.body ?? '')).toEqual({ selection: { customerId: CONTRACT }, reason: 'the end' });
  expect((await holdfast(['withdraw', 'status', JOB_ID], env)).stdout).toMatch(/next +a reminder 30 days.*2026-04-01/);
  const rescind = ['withdraw', 'rescind', JOB_ID, '--user', JOB_ID, '--user', CONTRACT, '--reason', 'no'];
  expect((await holdfast(rescind, env)).stdout).toBe(
    `1 user keeps the credits. The credits of 1 are gone already:\n${CONTRACT}\n`,
  );
  expect(JSON.parse(server.received.at(-1)?.body ?? '')).toEqual({ userIds: [JOB_ID, CONTRACT], reason: 'no' });
});

const AURORA = {
  ...{ id: CONTRACT, customerId: JOB_ID, customer: 'Aurora', name: 'Aurora main', state: 'grace', timeZone: 'UTC' },
  ...{ startsAt: '2025-01-01T00:00:00.000000Z', endsAt: '2026-01-01T00:00:00.000000Z' },
  ...{ graceEndsAt: '2026-01-31T00:00:00.000000Z', terminatesAt: null, suspendedAt: null, activatedAt: null },
  terms: [{ number: 1, startsAt: '2025-01-01T00:00:00.000000Z', endsAt: '2026-01-01T00:00:00.000000Z' }],
  products: [{ product: 'solver', type: 'annual', level: 'basic', seats: 5 }],
  ...{ renewal: 'manual', renewalMonths: 12, graceDays: 30, closedAt: null, version: 3, links: {} },
};

test('a contract is shown, renewed, and changed as it was read', async () => {
  const path = `/v1/contracts/${CONTRACT}`;
  const { server, env } = await apiThat({
    'GET /v1/me': [200, { contractIds: [CONTRACT] }],
    'GET /v1/contracts?limit=20&state=grace': [200, { items: [AURORA], nextCursor: null }],
    [`GET ${path}`]: [200, AURORA],
    [`POST ${path}/renew`]: [200, { ...AURORA, state: 'active' }],
    [`PUT ${path}/renewal`]: [200, AURORA],
  });
  expect((await holdfast(['contracts', '--state', 'grace'], env)).stdout).toMatch(
    /Aurora main +Aurora +grace +2026-01-01/,
  );
  const shown = await holdfast(['contract', CONTRACT], env);
  expect(shown.stdout).toMatch(/state +grace[\s\S]*can be renewed until +2026-01-31[\s\S]*solver +annual +basic +5/);
  const renew = ['contract', 'renew', CONTRACT, '--months', '6', '--reason', 'order 7'];
  expect((await holdfast(renew, env)).stdout).toMatch(/state +active/);
  expect(JSON.parse(server.received.at(-1)?.body ?? '')).toEqual({ months: 6, reason: 'order 7' });
  expect((await holdfast(['contract', 'renewal', CONTRACT, '--grace', '0', '--reason', 'x'], env)).code).toBe(0);
  const put = server.received.at(-1);
  expect(put?.headers['if-match']).toBe('"as-read"');
  expect(JSON.parse(put?.body ?? '')).toEqual({ renewal: 'manual', renewalMonths: 12, graceDays: 0, reason: 'x' });
});

test('users are authorised and removed at instants, and who could spend a lot is told with the reason', async () => {
  const path = `/v1/contracts/${CONTRACT}/users`;
  const at = '2026-01-31T12:00:00.000000Z';
  const ana = { userId: JOB_ID, name: 'Ana', email: 'ana@x.example' };
  const authorised = { ...ana, role: 'submitter', authorisedAt: at, removedAt: null };
  const removal = `DELETE ${path}/${JOB_ID}?${new URLSearchParams({ removedAt: at })}`;
  const message = 'The user is not authorised on the contract.';
  const { server, env } = await apiThat({
    'GET /v1/me': [200, { contractIds: [CONTRACT] }],
    [`GET ${path}`]: [200, { items: [authorised], nextCursor: null }],
    [`POST ${path}`]: [201, authorised],
    [removal]: [200, { ...authorised, removedAt: at }],
    [`GET /v1/lots/${JOB_ID}/spenders`]: [
      200,
      {
        ...{
          lotId: JOB_ID,
          at,
          kind: 'shared',
          granted: '5',
          available: '4',
          contractId: CONTRACT,
          contractState: 'active',
        },
        users: [{ ...ana, maySpend: false, because: 'not_authorised', message }],
      },
    ],
  });
  expect((await holdfast(['users'], env)).stdout).toMatch(/Ana +submitter +2026-01-31/);
  const authorise = ['users', 'authorise', JOB_ID, '--contract', CONTRACT, '--from', '2026-01-31T13:00:00+01:00'];
  expect((await holdfast(authorise, env)).code).toBe(0);
  expect(JSON.parse(server.received.at(-1)?.body ?? '')).toEqual({
    userId: JOB_ID,
    role: 'submitter',
    authorisedAt: at,
  });
  expect((await holdfast(['users', 'remove', JOB_ID, '--at', at], env)).code).toBe(0);
  expect((await holdfast(['spenders', JOB_ID], env)).stdout).toMatch(
    /4 credits[\s\S]*Ana +no +The user is not authorised/,
  );
});

test('a purchase is recorded and allocated', async () => {
  const purchase = {
    ...{ id: JOB_ID, orderNumber: 'PO-1', customerId: JOB_ID, pack: 'credits-100', quantity: 2, amount: '200' },
    ...{
      price: { minor: 129_900, currency: 'EUR' },
      purchasedAt: JOB.endedAt,
      recordedAt: JOB.endedAt,
      state: 'waiting',
    },
    ...{ expiresAt: '2027-01-31T12:00:00.000000Z', contractId: null, lotId: null, allocatedAt: null, links: {} },
  };
  const { server, env } = await apiThat({
    'GET /v1/me': [200, { contractIds: [] }],
    'POST /v1/purchases': [201, purchase],
    'GET /v1/purchases?limit=20&unallocated=true': [200, { items: [purchase], nextCursor: null }],
    [`POST /v1/purchases/${JOB_ID}/allocate`]: [200, { ...purchase, state: 'allocated', contractId: CONTRACT }],
  });
  const record = ['purchase', 'record', 'PO-1', '--customer', JOB_ID, '--pack', 'credits-100', '--quantity', '2'];
  const recorded = await holdfast([...record, '--price', '129900 EUR'], env);
  expect(recorded.stdout).toMatch(/credits +200 credits: 2 × credits-100[\s\S]*129900 in the smallest unit of EUR/);
  expect(JSON.parse(server.received.at(-1)?.body ?? '')).toEqual({
    ...{ orderNumber: 'PO-1', customerId: JOB_ID, pack: 'credits-100', quantity: 2 },
    price: { minor: 129_900, currency: 'EUR' },
  });
  expect((await holdfast(['purchases', '--waiting'], env)).stdout).toMatch(/PO-1 +200 credits .*waiting/);
  const allocated = await holdfast(['purchase', 'allocate', JOB_ID, '--contract', CONTRACT], env);
  expect(allocated.stdout).toMatch(/state +allocated/);
});

test('lots are asked for as of an instant, in its canonical form', async () => {
  const { server, env } = await apiThat({});
  await holdfast(['lots', '--user', JOB_ID, '--as-of', '2026-01-31T13:00:00+01:00'], env);
  const query = new URLSearchParams({ bookedAt: '2026-01-31T12:00:00.000000Z' });
  expect(server.received[0]?.path).toBe(`/v1/users/${JOB_ID}/lots?${query}`);
});

test('a refusal prints what is lacking and what would help on standard error, and the code is 1', async () => {
  const { server, env } = await apiThat({ 'POST /v1/jobs': [402, INSUFFICIENT] });
  const { code, stdout, stderr } = await holdfast(['submit', '--quote', JOB_ID], env);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr.split('\n')).toEqual([
    INSUFFICIENT.detail,
    'What would help:',
    '  - Have at least 10 credits added.',
    '  - Ask for a smaller job.',
    '',
  ]);
  expect(server.received[0]?.headers).toMatchObject({ authorization: 'Bearer hf_test' });
  const forPrograms = await holdfast(['submit', '--quote', JOB_ID, '--json'], env);
  expect(forPrograms.stdout).toBe(`${JSON.stringify(INSUFFICIENT)}\n`);
});

test('watching a job that completes ends with 0, one that does not with 4', async () => {
  const events = 'event: end\ndata: {"progress":"1","state":"settled","reason":null,"reserved":"0"}\n\n';
  const charge = {
    ...{ id: JOB_ID, jobId: JOB_ID, end: 'completed', rateCardVersion: 1, bookedAt: JOB.endedAt, lines: [] },
    ...{ exact: '5', rounding: 'microcredit-up', rated: '5', maxCredits: '5', absorbed: '0', charged: '5' },
    ...{ draws: [], returned: [], refunds: [], links: {} },
  };
  const common = {
    [`GET /v1/jobs/${JOB_ID}/events`]: [200, events],
    [`GET /v1/jobs/${JOB_ID}/charge`]: [200, charge],
  } as const;
  const good = await apiThat({ ...common, [`GET /v1/jobs/${JOB_ID}`]: [200, JOB] });
  const completed = await holdfast(['watch', JOB_ID], good.env);
  expect(completed.code).toBe(0);
  expect(completed.stdout).toMatch(/100 % {2}settled[\s\S]*charged {2,}5 credits/);
  const cancelled = { ...JOB, reason: 'cancelled', message: 'The job was cancelled.' };
  const bad = await apiThat({ ...common, [`GET /v1/jobs/${JOB_ID}`]: [200, cancelled] });
  expect((await holdfast(['watch', JOB_ID], bad.env)).code).toBe(4);
  expect((await holdfast(['watch', JOB_ID, '--json'], bad.env)).code).toBe(4);
});

const DOSSIER = {
  format: 'holdfast-dossier/1',
  chargeId: JOB_ID,
  jobId: JOB_ID,
  terms: {
    rateCardVersion: 1,
    rates: {
      service: 'simulation',
      rates: [{ meter: 'simulations', unit: 'simulation', model: { kind: 'per-unit', price: '5' } }],
      rounding: 'microcredit-up',
      reserves: 'expected',
      policy: { completed: { pays: 'actual' } },
    },
    dimensions: {},
  },
  end: 'completed',
  usage: [{ attempt: 1, charged: true, meter: 'simulations', quantity: '1' }],
  rating: {
    lines: [{ meter: 'simulations', unit: 'simulation', quantity: '1', price: '5', amount: '5' }],
    exact: '5',
    rounding: 'microcredit-up',
    total: '5',
  },
  payment: { pays: 'actual' },
  maxCredits: '5',
  reserved: [{ at: JOB.submittedAt, kind: 'reserve', draws: [{ lotId: JOB_ID, kind: 'shared', amount: '5' }] }],
  charged: '5',
  absorbed: '0',
  draws: [{ lotId: JOB_ID, kind: 'shared', amount: '5' }],
  returned: [],
};

test('a kept dossier is verified without a server; one that was changed is found out with code 5', async () => {
  const path = join(home, 'dossier.json');
  await writeFile(path, JSON.stringify(DOSSIER));
  const good = await holdfast(['dossier', path, '--verify']);
  expect(good).toMatchObject({ code: 0, stderr: '' });
  expect(good.stdout).toMatch(/exactly 5 credits/);
  await writeFile(path, JSON.stringify({ ...DOSSIER, charged: '4' }));
  const changed = await holdfast(['dossier', path, '--verify']);
  expect(changed.code).toBe(5);
  expect(changed.stderr).toMatch(/the charge says 4, the dossier gives 5/);
  await writeFile(path, JSON.stringify({ ...DOSSIER, usage: null }));
  expect((await holdfast(['dossier', path, '--verify'])).code).toBe(5);
  await writeFile(path, '{"format":"other"}');
  expect((await holdfast(['dossier', path, '--verify'])).code).toBe(2);
});

test('what is wrong with the configuration is wrong usage', async () => {
  const { code, stderr } = await holdfast(['jobs'], { PORT: '1e3' });
  expect(code).toBe(2);
  expect(stderr).toMatch(/^PORT must be/);
});

test('notices are shown with their words, as they wait to be read, and without what moves a cursor', async () => {
  const notice = {
    id: JOB_ID,
    kind: 'withdrawal',
    channel: 'in-service',
    subject: 'Notice: 3 credits of yours',
    text: 'Dear Sana,\n\nuntil then \u001b[2J you can use them.\n',
    shownAt: '2026-01-31T12:00:00.000000Z',
    readAt: null,
    unread: true,
  };
  const { env, server } = await apiThat({
    'GET /v1/notices?limit=20&unread=true': [200, { items: [notice], nextCursor: null }],
    'GET /v1/notices?limit=20': [200, { items: [], nextCursor: null }],
    [`POST /v1/notices/${JOB_ID}/read`]: [200, { ...notice, unread: false }],
  });
  const shown = await holdfast(['notices'], env);
  expect(shown.code).toBe(0);
  expect(shown.stdout).toBe(
    `Notice: 3 credits of yours\n2026-01-31 12:00:00Z, unread: --read ${JOB_ID}\n\nDear Sana,\n\nuntil then [2J you can use them.\n`,
  );
  expect((await holdfast(['notices', '--all'], env)).stdout).toBe('There are no notices.\n');
  expect((await holdfast(['notices', '--read', JOB_ID], env)).stdout).toBe('Read: Notice: 3 credits of yours\n');
  expect(server.received.at(-1)?.headers['idempotency-key']).toMatch(/./);
});

const RULES = {
  version: 4,
  title: 'Rules of 2027',
  effectiveAt: '2027-01-01T00:00:00.000000Z',
  rules: [
    {
      ...{ key: 'term-annual', product: null, type: 'annual', level: null },
      ...{ recipient: 'contract', amount: '120', per: 'seat', frequency: 'per-term' },
    },
  ],
};

test('allocation rules are listed by version, and published from a file', async () => {
  const { server, env } = await apiThat({
    'GET /v1/allocation-rules': [200, { items: [RULES], nextCursor: null }],
    'POST /v1/allocation-rules': [201, RULES],
  });
  const listed =
    /Version 4 from .*Rules of 2027\n.*\n?.*term-annual +any, annual, any +120.* seat +contract +per-term/s;
  expect(await holdfast(['allocation-rules'], env)).toMatchObject({ code: 0, stdout: expect.stringMatching(listed) });
  const file = join(home, 'rules.json');
  const asked = { title: RULES.title, rules: [] };
  await writeFile(file, JSON.stringify(asked));
  const published = await holdfast(['allocation-rules', 'publish', file], env);
  expect(published).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Published\./) });
  expect(JSON.parse(server.received.at(-1)?.body ?? '')).toEqual(asked);
});

test('allocations are told with their version and why', async () => {
  const allocation = {
    ...{
      key: 'k',
      contractId: CONTRACT,
      userId: null,
      kind: 'shared',
      lotId: JOB_ID,
      amount: '200',
      ruleKey: 'term-annual',
    },
    ...{
      at: '2026-01-01T00:00:00.000000Z',
      version: 3,
      because: 'Term 1 of the contract began: 100 for each of 2 seats.',
    },
  };
  const { env } = await apiThat({
    'GET /v1/me': [200, { contractIds: [CONTRACT] }],
    [`GET /v1/contracts/${CONTRACT}/allocations`]: [200, { items: [allocation], nextCursor: null }],
  });
  const { code, stdout } = await holdfast(['allocations', '--contract', CONTRACT], env);
  expect(code).toBe(0);
  expect(stdout).toMatch(/shared +200.* 3 +Term 1 of the contract began: 100 for each of 2 seats\./);
});
