import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atHour } from '../test/builders/ids';
import { amount, raiseCap, release, reserve, settle, topUp } from '../test/builders/ledger';
import { connect, rows } from './client';
import { reservationsOf } from './ledger';
import { migrate } from './migrate';
import { createTestDatabase, MIGRATIONS, type TestDatabase } from './testing/database';
import { FIRST, fillFirstSchema } from './testing/firstSchema';
import { brokenInvariants } from './testing/invariants';
import { verifyLedger } from './verify/verifyLedger';

let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
  folder = await mkdtemp(join(tmpdir(), 'holdfast-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
});

afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

function tables(): Promise<{ name: string }[]> {
  return rows(
    database.owner,
    `select table_name as name from information_schema.tables where table_schema = 'public' order by 1`,
  );
}

test('an empty database is migrated once; a second time changes nothing', async () => {
  const first = await migrate(database.owner, folder);
  expect(first).toContain('0001_initial.sql');
  const made = await tables();
  expect(made.length).toBeGreaterThan(10);
  expect(await migrate(database.owner, folder)).toEqual([]);
  expect(await tables()).toEqual(made);
});

test('several processes that start at once migrate once', async () => {
  const pools = Array.from({ length: 3 }, () => connect(database.url, { poolMax: 1, as: 'owner' }));
  try {
    const applied = await Promise.all(pools.map((pool) => migrate(pool, folder)));
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
});

test('a migration that changed after it was applied is refused by name', async () => {
  await migrate(database.owner, folder);
  const file = join(folder, '0001_initial.sql');
  await writeFile(file, `${await readFile(file, 'utf8')}\n-- A later thought.\n`);
  await expect(migrate(database.owner, folder)).rejects.toThrow(/0001_initial\.sql/);
});

test('a new migration is applied alone, question marks and all, and one that fails leaves nothing', async () => {
  await migrate(database.owner, folder);
  await writeFile(join(folder, '9000_good.sql'), `create table later (sign text default '?' check (sign ~ '^.?$'));`);
  expect(await migrate(database.owner, folder)).toEqual(['9000_good.sql']);
  expect(await rows(database.owner, 'insert into later default values returning sign')).toEqual([{ sign: '?' }]);
  await writeFile(join(folder, '9001_bad.sql'), 'create table half (n int); select 1 / 0;');
  await expect(migrate(database.owner, folder)).rejects.toMatchObject({ code: '22012' });
  expect((await tables()).map(({ name }) => name)).not.toContain('half');
  await rm(join(folder, '9001_bad.sql'));
  expect(await migrate(database.owner, folder)).toEqual([]);
});

/** Brings the database to the first schema, fills it as its code did, and says what it knew of reservations. */
async function fillBefore(): Promise<readonly unknown[]> {
  const first = join(folder, 'first');
  await mkdir(first);
  await cp(join(MIGRATIONS, '0001_initial.sql'), join(first, '0001_initial.sql'));
  await migrate(database.owner, first);
  await fillFirstSchema(database.owner);
  return rows(
    database.owner,
    `select job_id as "jobId", user_id as "userId", contract_id as "contractId", state, cap, lot_ids as "lotIds", amounts,
       opened_at as "reservedAt"
     from reservations
     order by job_id`,
  );
}

test('a ledger of the first schema is sound after its migration, and its reservations are the same', async () => {
  const before = await fillBefore();
  await migrate(database.owner, folder);
  expect(await brokenInvariants(database.owner)).toEqual([]);
  const { findings, counts } = await verifyLedger({ kind: 'database', db: database.db });
  expect(findings).toEqual([]);
  expect(counts).toMatchObject({ operations: 14, batches: 14, lots: 3, openReservations: 1 });
  const jobIds = [FIRST.settledJob, FIRST.openJob, FIRST.releasedJob, FIRST.markedJob, FIRST.absorbedJob];
  const after = await reservationsOf(database.db, jobIds);
  const folded = after.map(({ jobId, userId, contractId, state, cap, draws, reservedAt }) => ({
    jobId,
    userId,
    contractId,
    state,
    cap,
    lotIds: draws.map(({ lotId }) => lotId),
    amounts: draws.map((draw) => draw.amount),
    reservedAt,
  }));
  expect(folded.sort((a, b) => (a.jobId < b.jobId ? -1 : 1))).toEqual(before);
});

test('operations of the first schema are recognised when they are asked for again, and go on as chains', async () => {
  await fillBefore();
  await migrate(database.owner, folder);
  const { ledger, db } = database;
  const seqOf = async () =>
    (await rows<{ seq: bigint }>(db, 'select seq from pools where id = ?', [FIRST.contract]))[0]?.seq;
  const before = await seqOf();
  const job = (jobId: string) => ({ jobId, userId: FIRST.user, contractId: FIRST.contract, at: atHour(20) });
  const again = await ledger.applyBatch([
    reserve({ ...job(FIRST.openJob), amount: amount('7'), cap: amount('9') }),
    topUp({ ...job(FIRST.settledJob), act: 'topUp/1', target: amount('20') }),
    raiseCap({ ...job(FIRST.settledJob), act: `raiseCap/${FIRST.raiseCapRequest}`, cap: amount('20') }),
    settle({ ...job(FIRST.settledJob), actual: amount('18.5') }),
    release(job(FIRST.releasedJob)),
    release(job(FIRST.markedJob)),
  ]);
  expect(again.map((outcome) => outcome.accepted && outcome.replayed)).toEqual(again.map(() => true));
  expect(again[3]).toMatchObject({ transfers: [{ to: 'consumed' }, { to: 'consumed' }, { to: 'available' }] });
  expect(await seqOf()).toBe(before);

  const [other, late, next] = await ledger.applyBatch([
    release(job(FIRST.settledJob)),
    reserve({ ...job(FIRST.markedJob), amount: amount('1') }),
    topUp({ ...job(FIRST.openJob), act: 'topUp/2', target: amount('8') }),
  ]);
  expect(other).toMatchObject({ accepted: false, code: 'idempotency_key_reused' });
  expect(late).toMatchObject({ accepted: false, code: 'reservation_closed' });
  expect(next).toMatchObject({ accepted: true, replayed: false });
  expect(await seqOf()).toBe((before ?? 0n) + 1n);
  expect((await verifyLedger({ kind: 'database', db })).findings).toEqual([]);
  expect(await brokenInvariants(db)).toEqual([]);
});

test('several processes that find the first schema migrate it once', async () => {
  await fillBefore();
  const pools = Array.from({ length: 3 }, () => connect(database.url, { poolMax: 1, as: 'owner' }));
  try {
    const applied = await Promise.all(pools.map((pool) => migrate(pool, folder)));
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
  expect((await verifyLedger({ kind: 'database', db: database.db })).findings).toEqual([]);
});

test.each([
  ['holds another amount', `update reservations set amounts = '{6999999}' where state = 'open'`],
  ['holds another lot', `update reservations set lot_ids = array['${FIRST.individualLot}'::uuid] where state = 'open'`],
  ['holds nothing', `update reservations set lot_ids = '{}', amounts = '{}' where state = 'open'`],
  [
    'is open after its settlement',
    `update reservations set state = 'open', closed_at = null where job_id = '${FIRST.settledJob}'`,
  ],
  [
    'is closed without an operation',
    `update reservations set state = 'settled', closed_at = opened_at, lot_ids = '{}', amounts = '{}' where state = 'open'`,
  ],
  ['is not there', `delete from reservations where job_id = '${FIRST.releasedJob}'`],
  [
    'has other buckets',
    `update lots set available = available - 1, consumed = consumed + 1 where id = '${FIRST.sharedLot}'`,
  ],
  [
    'was never granted',
    `insert into lots select '${FIRST.openJob}', pool_id, pool_owner, kind, source, reference, granted, granted, 0, 0, 0, 0, purchased_at, effective_at, expires_at from lots where id = '${FIRST.courtesyLot}'`,
  ],
])('a ledger is not migrated, and nothing of it changes, where a job or a lot %s', async (_, contradiction) => {
  await fillBefore();
  await database.owner.transaction(async (trx) => {
    await trx.raw('set local session_replication_role = replica');
    await trx.raw(contradiction);
  });
  const before = await tables();
  await expect(migrate(database.owner, folder)).rejects.toThrow(/do not give the (reservations|balances)/);
  expect(await tables()).toEqual(before);
  expect(await rows(database.owner, 'select name from migrations')).toEqual([{ name: '0001_initial.sql' }]);
});
