import { randomUUID } from 'node:crypto';
import { firstRow } from '../db/client';
import { DEMO } from '../db/seed';
import { startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';

jest.setTimeout(60_000);

let api: TestApi;

beforeAll(async () => {
  api = await startApi({ ledger: { waitingMax: 2 } });
});

afterAll(() => api?.close());

function grant(key: string = randomUUID()) {
  const json = { kind: 'shared', amount: '1', reason: 'a test' };
  return api.ask('POST', `/v1/contracts/${DEMO.contract}/lots`, { as: 'provider', json, key });
}

async function sessionsWaiting(): Promise<bigint | undefined> {
  const found = await firstRow<{ n: bigint }>(
    api.db,
    'select count(*) as n from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0',
  );
  return found?.n;
}

test('while a pool is blocked some requests wait, the next hears when to come back, and with the same key it is done then', async () => {
  const holder = await api.db.transaction();
  await holder.raw('select id from pools where id = ? for update', [DEMO.contract]);
  const first = grant();
  await eventually('a batch that waits for the pool', async () => (await sessionsWaiting()) === 1n);
  const waiting = [grant(), grant()];
  const key = randomUUID();
  // Of three more one is too much, whichever the ledger hears of last; the others have no answer yet.
  const refused = await Promise.race([grant(key), ...waiting]);
  expect(refused).toMatchObject({ status: 503, body: { code: 'overloaded', retryable: true } });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  // What needs no ledger goes on.
  expect(await api.ask('GET', '/v1/me')).toMatchObject({ status: 200 });
  await holder.rollback();
  const answers = await Promise.all([first, ...waiting]);
  const kept = answers.filter(({ status }) => status === 201).length;
  const repeated = await grant(key);
  expect(repeated.status).toBe(201);
  expect(await lotsGranted()).toBe(BigInt(kept + 1));
});

async function lotsGranted(): Promise<bigint | undefined> {
  const found = await firstRow<{ n: bigint }>(
    api.db,
    `select count(*) as n from operations where kind = 'grant' and reason = 'a test'`,
  );
  return found?.n;
}
