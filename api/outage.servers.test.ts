import { randomUUID } from 'node:crypto';
import { rows } from '../db/client';
import { DEMO } from '../db/seed';
import { chooseFreePort } from '../dev/ports';
import { NETLIST } from '../test/api/inputs';
import { startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';
import { type ServerProxy, startProxy } from '../test/world/proxy';

jest.setTimeout(60_000);

let api: TestApi | undefined;
let proxy: ServerProxy | undefined;

afterEach(async () => {
  await api?.close();
  await proxy?.close();
  api = undefined;
  proxy = undefined;
});

const unavailable = { status: 503, body: { code: 'unavailable', retryable: true } };
const requestFor = (input: string) => ({ service: 'simulation', input, contractId: DEMO.contract, maxCredits: '5' });

async function operations(one: TestApi): Promise<bigint | undefined> {
  const [found] = await rows<{ n: bigint }>(one.db, `select count(*) as n from operations where kind <> 'grant'`);
  return found?.n;
}

test('without Temporal a submission is refused with Retry-After, nothing is reserved, and what needs no workflow works', async () => {
  const temporalAddress = `127.0.0.1:${await chooseFreePort([])}`;
  api = await startApi({ temporalAddress });
  const input = await api.upload(NETLIST);
  const { ask } = api;
  const key = randomUUID();
  const submit = () => ask('POST', '/v1/jobs', { key, json: requestFor(input) });
  expect(await submit()).toMatchObject(unavailable);
  const { items } = (await ask('GET', '/v1/jobs')).body;
  expect(items).toMatchObject([{ state: 'reserving', reserved: '0', maxCredits: '5' }]);
  const [{ links }] = items;
  const lot = { kind: 'shared', amount: '1', reason: 'a test' };
  // Each waits a few seconds for Temporal, so they wait together.
  const [repeat, cancelled, raised, ready, quoted, granted] = await Promise.all([
    submit(),
    ask('POST', `${links.self}/cancel`),
    ask('POST', `${links.self}/raise-cap`, { json: { maxCredits: '9' } }),
    ask('GET', '/health/ready'),
    ask('POST', '/v1/quotes', { json: { service: 'simulation', input } }),
    ask('POST', `/v1/contracts/${DEMO.contract}/lots`, { as: 'provider', json: lot }),
  ]);
  for (const answer of [repeat, cancelled, raised]) {
    expect(answer).toMatchObject(unavailable);
    expect(answer.headers.get('idempotent-replayed')).toBeNull();
  }
  expect(ready).toMatchObject({ status: 503, body: { ready: false } });
  expect(Object.keys(ready.body.parts)).toEqual(['temporal']);
  expect([quoted.status, granted.status]).toEqual([201, 201]);
  expect((await ask('GET', '/v1/jobs')).body.items).toEqual(items);
  expect(await operations(api)).toBe(0n);
});

test('without Postgres everything is refused with Retry-After, and works again when it is back, with the same key', async () => {
  api = await startApi({
    databaseUrl: async (direct) => {
      proxy = await startProxy(direct);
      return proxy.url;
    },
  });
  const { ask } = api;
  await api.startJobsWorker();
  const input = await api.upload(NETLIST);
  const files = await api.storedFiles();
  const key = randomUUID();
  await proxy?.cut();
  const submit = () => ask('POST', '/v1/jobs', { key, json: requestFor(input) });
  expect(await submit()).toMatchObject(unavailable);
  expect(await ask('GET', '/v1/me')).toMatchObject(unavailable);
  expect(await ask('POST', '/v1/inputs', { body: 'lost', headers: { 'Content-Type': 'text/x-spice' } })).toMatchObject(
    unavailable,
  );
  expect(await ask('GET', '/health/ready')).toMatchObject({ status: 503, body: { ready: false } });
  expect((await ask('GET', '/health/live')).status).toBe(200);
  expect(await operations(api)).toBe(0n);
  expect(await api.storedFiles()).toEqual(files);
  await proxy?.restore();
  const answer = await eventually('the API with Postgres', async () => {
    const heard = await submit();
    return heard.status !== 503 && heard;
  });
  expect(answer).toMatchObject({ status: 201, body: { reserved: '5' } });
  expect(await submit()).toMatchObject({ status: 201, body: answer.body });
  expect(await operations(api)).toBe(1n);
});

test('a submission whose answer from Postgres is lost is refused with Retry-After, and a repeat makes one job', async () => {
  api = await startApi({
    databaseUrl: async (direct) => {
      proxy = await startProxy(direct);
      return proxy.url;
    },
  });
  await api.startJobsWorker();
  const input = await api.upload(NETLIST);
  for (const statement of ['insert into idempotency_keys', 'insert into jobs', 'update idempotency_keys']) {
    const key = randomUUID();
    const lost = proxy?.loseAnswerTo(statement);
    const first = await api.ask('POST', '/v1/jobs', { key, json: requestFor(input) });
    await lost;
    expect(first).toMatchObject(unavailable);
    const repeat = await api.ask('POST', '/v1/jobs', { key, json: requestFor(input) });
    expect(repeat).toMatchObject({ status: 201, body: { reserved: '5' } });
  }
  expect(await operations(api)).toBe(3n);
  expect((await api.ask('GET', '/v1/jobs')).body.items).toHaveLength(3);
});
