import { Readable } from 'node:stream';
import { historyOf, runBesideModel } from '../../test/builders/histories';
import { atHour, idOf } from '../../test/builders/ids';
import { amount, grant, reserve, settle } from '../../test/builders/ledger';
import { repeatably, SEED } from '../../test/builders/seed';
import { newTally } from '../../test/builders/tally';
import { rows } from '../client';
import { createTestDatabase, type TestDatabase } from '../testing/database';
import { FULL, fillLedger } from '../testing/fullLedger';
import { brokenInvariants } from '../testing/invariants';
import { Place } from '../testing/place';
import { StoredLedger } from '../testing/storedLedger';
import { exportLedger } from './exportFile';
import { verifyLedger } from './verifyLedger';

let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
});

afterEach(() => database.drop());

function verify() {
  return verifyLedger({ kind: 'database', db: database.db });
}

test('an empty ledger is sound', async () => {
  const { sound, counts } = await verify();
  expect({ sound, operations: counts.operations }).toEqual({ sound: true, operations: 0 });
});

test('a ledger in which everything has happened is sound', async () => {
  await fillLedger(database);
  const kinds = await rows<{ kind: string }>(database.db, 'select distinct kind from operations order by kind');
  expect(kinds.map(({ kind }) => kind)).toEqual([
    'changeLife',
    'closeBudget',
    'correct',
    'expire',
    'grant',
    'openBudget',
    'raiseCap',
    'refund',
    'release',
    'repay',
    'reserve',
    'settle',
    'topUp',
    'withdraw',
  ]);
  expect(await brokenInvariants(database.db)).toEqual([]);
  const { findings, counts } = await verify();
  expect(findings).toEqual([]);
  const [stored] = await rows<{ operations: bigint; links: bigint; open: bigint }>(
    database.db,
    `select (select count(*) from operations) as operations, (select count(*) from links) as links,
       (select count(*) from operations r where r.kind = 'reserve'
         and not exists (select from operations c where c.subject = r.subject and c.act = 'close')) as open`,
  );
  expect(counts).toMatchObject({
    operations: Number(stored?.operations),
    links: Number(stored?.links),
    openReservations: Number(stored?.open),
  });
});

test('random histories give sound ledgers', async () => {
  const tally = newTally();
  await repeatably(async () => {
    for (let world = 1; tally.operations < 3_000; world++) {
      const stored = new StoredLedger(database.db, world, async (operations) => ({
        outcomes: await database.ledger.applyBatch(operations),
        sent: 1,
      }));
      const history = historyOf({ seed: SEED, world }, { min: 20, max: 140 });
      await runBesideModel(history, stored, { tally, world, lookEvery: 50 });
    }
    const live = await verify();
    expect(live.findings).toEqual([]);
    const kept = await verifyLedger({ kind: 'export', stream: Readable.from(exportLedger(database.db, atHour(0))) });
    expect(kept).toEqual(live);
  });
}, 120_000);

test('a ledger is verified and exported at one instant while it is written', async () => {
  const place = await Place.open(database, '1000000');
  const { db, ledger } = database;
  let isWritten = true;
  const writer = (async () => {
    for (let n = 1; isWritten; n++) {
      await Promise.all([
        ledger.apply(reserve({ ...place.spending(n), amount: amount('2') })),
        ledger.apply(settle({ ...place.spending(n - 1), actual: amount('1.5') })),
        ledger.apply(place.grant(amount('1'), place.lotId(n + 1))),
      ]);
    }
  })();
  let before = 0;
  for (let round = 0; round < 10; round++) {
    const pieces: Buffer[] = [];
    const [live] = await Promise.all([
      verify(),
      (async () => {
        for await (const piece of exportLedger(db, atHour(0))) pieces.push(piece);
      })(),
    ]);
    const kept = await verifyLedger({ kind: 'export', stream: Readable.from(pieces) });
    expect([...live.findings, ...kept.findings]).toEqual([]);
    expect(live.counts.operations).toBeGreaterThan(before);
    before = live.counts.operations;
  }
  isWritten = false;
  await writer;
}, 60_000);

test('whatever text people write, the canonical form is the same here and in the database', async () => {
  await fillLedger(database);
  const texts = [
    '"',
    '\\',
    '\\N',
    '\n',
    '\t\r\b\f\v',
    '\u0001\u001f\u007f',
    'é ü 漢字 🙂',
    '\u2028',
    '{"a":1}',
    "'",
    '%s',
    '',
  ];
  for (const [index, text] of texts.entries()) {
    const [outcome] = await database.ledger.applyBatch([
      grant({ lot: { id: idOf('lot', 100 + index), reference: text }, reason: text, actor: text }),
      reserve({ jobId: idOf('job', 100 + index), userId: FULL.user, project: text === '' ? 'p' : text, actor: text }),
    ]);
    expect(outcome?.accepted).toBe(true);
  }
  expect((await verify()).findings).toEqual([]);
  expect(await brokenInvariants(database.db)).toEqual([]);
});

test('whoever reads no further leaves nothing behind', async () => {
  await fillLedger(database);
  for await (const piece of exportLedger(database.db, atHour(0))) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  const sessions = await rows(
    database.admin,
    `select pid from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`,
  );
  expect(sessions).toEqual([]);
});
