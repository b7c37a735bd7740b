import { chanceOf } from '../dev/chaos/chance';
import { ZERO } from '../domain/credits';
import { addMilliseconds, type Instant } from '../domain/instant';
import { BUCKETS, type Bucket, type LotEnd, type LotLife } from '../domain/lots';
import { historyOf, runBesideModel } from '../test/builders/histories';
import { atHour, idOf } from '../test/builders/ids';
import { amount, changeLife, expire, grant, release, reserve, settle } from '../test/builders/ledger';
import { repeatably, SEED } from '../test/builders/seed';
import { newTally } from '../test/builders/tally';
import { type AsOf, lotsAsOf, walkBack } from './asOf';
import { rows, type Trx } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { insertPeople } from './testing/people';
import { StoredLedger } from './testing/storedLedger';

jest.setTimeout(300_000);

const WORLDS = 20;
const QUESTIONS_PER_POOL = 25;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.drop());

interface Line {
  readonly batchId: bigint;
  readonly position: number;
  readonly kind: string;
  readonly subject: string;
  readonly bookedAt: Instant;
  readonly recordedAt: Instant;
  readonly effectiveAt: Instant | null;
  readonly expiresAt: Instant | null;
  readonly withdrawnAt: Instant | null;
  readonly graceUntil: Instant | null;
}

interface Move {
  readonly lotId: string;
  readonly from: Bucket | 'granted';
  readonly to: Bucket;
  readonly amount: bigint;
  readonly bookedAt: Instant;
  readonly recordedAt: Instant;
}

/** All that was ever written about the lots of a pool, in order. */
async function journalOf(poolId: string): Promise<{ moves: Move[]; lines: Line[] }> {
  const moves = await rows<Move>(
    database.db,
    `select t.lot_id as "lotId", t.from_bucket as "from", t.to_bucket as "to", t.amount, t.booked_at as "bookedAt",
       t.recorded_at as "recordedAt"
     from transfers t
     join lots l on l.id = t.lot_id
     where l.pool_id = ?
     order by t.batch_id, t.operation_position, t.position`,
    [poolId],
  );
  const lines = await rows<Line>(
    database.db,
    `select o.batch_id as "batchId", o.position, o.kind, o.subject, o.booked_at as "bookedAt", b.recorded_at as "recordedAt",
       o.effective_at as "effectiveAt", o.expires_at as "expiresAt", o.withdrawn_at as "withdrawnAt", o.grace_until as "graceUntil"
     from operations o
     join batches b on b.id = o.batch_id
     join lots l on l.id = o.subject
     where l.pool_id = ? and o.kind in ('grant', 'changeLife', 'expire', 'withdraw')
     order by o.batch_id, o.position`,
    [poolId],
  );
  return { moves, lines };
}

type Buckets = Record<Bucket, bigint>;
type LotThen = Buckets & LotLife & { endedAs: LotEnd | null };

/** The same answer the long way: everything from the beginning, added up. */
function recomputed({ moves, lines }: Awaited<ReturnType<typeof journalOf>>, asOf: AsOf): Map<string, LotThen> {
  const counts = ({ bookedAt, recordedAt }: { bookedAt: Instant; recordedAt: Instant }) =>
    (asOf.bookedAt === null || bookedAt <= asOf.bookedAt) &&
    (asOf.recordedAt === null || recordedAt <= asOf.recordedAt);
  const lots = new Map<string, LotThen>();
  for (const line of lines.filter(counts)) {
    const { expiresAt, withdrawnAt, graceUntil } = line;
    const life = { effectiveAt: line.effectiveAt as Instant, expiresAt, withdrawnAt, graceUntil };
    const known = lots.get(line.subject);
    if (line.kind === 'grant') {
      const empty = Object.fromEntries(BUCKETS.map((bucket) => [bucket, 0n])) as Buckets;
      lots.set(line.subject, { ...empty, ...life, endedAs: null });
    } else if (known && line.kind === 'changeLife') {
      lots.set(line.subject, { ...known, ...life });
    } else if (known) {
      lots.set(line.subject, { ...known, endedAs: line.kind === 'expire' ? 'expired' : 'withdrawn' });
    }
  }
  for (const { lotId, from, to, amount: moved } of moves.filter(counts)) {
    const lot = lots.get(lotId);
    if (!lot) continue;
    if (from !== 'granted') lot[from] -= moved;
    lot[to] += moved;
  }
  return lots;
}

async function asked(poolId: string, asOf: AsOf): Promise<Map<string, LotThen>> {
  const lots = await lotsAsOf(database.db, poolId, asOf);
  return new Map(
    lots.map(({ id, available, reserved, consumed, expired, withdrawn, ...lot }) => {
      const { effectiveAt, expiresAt, withdrawnAt, graceUntil, endedAs } = lot;
      const buckets = { available, reserved, consumed, expired, withdrawn };
      return [id, { ...buckets, effectiveAt, expiresAt, withdrawnAt, graceUntil, endedAs }];
    }),
  );
}

test('lots as of any instants are what the whole journal up to these gives, for random histories', () =>
  repeatably(async () => {
    const { db, ledger } = database;
    const chance = chanceOf(SEED);
    const seen = { questions: 0, lots: 0, undone: 0 };
    for (let world = 1; world <= WORLDS; world++) {
      const stored = new StoredLedger(db, world, async (operations) => ({
        outcomes: await ledger.applyBatch(operations),
        sent: 1,
      }));
      await runBesideModel(historyOf({ seed: SEED, world }, { min: 100, max: 250 }), stored, {
        tally: newTally(),
        world,
        lookEvery: 1_000,
      });
      for (const poolId of [1, 2, 3].flatMap((n) => [idOf('user', n, world), idOf('contract', n, world)])) {
        const journal = await journalOf(poolId);
        if (journal.moves.length === 0) continue;
        for (let question = 0; question < QUESTIONS_PER_POOL; question++) {
          const asOf = {
            bookedAt: chance.pick([null, near(chance.pick(journal.moves).bookedAt, chance.pick([-1, 0, 0, 1]))]),
            recordedAt: chance.pick([null, chance.pick(journal.moves).recordedAt]),
          };
          const expected = recomputed(journal, asOf);
          expect({ poolId, asOf, lots: await asked(poolId, asOf) }).toEqual({ poolId, asOf, lots: expected });
          seen.questions += 1;
          seen.lots += expected.size;
          seen.undone += journal.moves.filter(({ bookedAt }) => asOf.bookedAt && bookedAt > asOf.bookedAt).length;
        }
      }
    }
    // Not a test of empty pools.
    expect(seen.questions).toBeGreaterThan(500);
    expect(seen.lots).toBeGreaterThan(1_000);
    expect(seen.undone).toBeGreaterThan(5_000);
  }));

function near(instant: Instant, milliseconds: number): Instant {
  return addMilliseconds(instant, milliseconds);
}

describe('a pool with 50,000 operations', () => {
  const world = 1_000;
  const operations = 50_000;
  const [user, contract] = [idOf('user', 1, world), idOf('contract', 1, world)];
  const lotId = idOf('lot', 1, world);
  const spender = { userId: user, contractId: contract };

  beforeAll(async () => {
    const { db, ledger } = database;
    await insertPeople(db, {
      world,
      users: [user],
      contracts: [{ contractId: contract, startsAt: atHour(0), endsAt: atHour(8_000) }],
      authorisations: [{ ...spender, authorisedAt: atHour(0), removedAt: null }],
    });
    await ledger.applyBatch([grant({ lot: { id: lotId, poolId: contract, amount: amount('1000') } })]);
    // Jobs are reserved at one second and released at the next; each batch holds a few, as real ones do.
    let batch = [];
    for (let n = 0; n < operations / 2; n++) {
      const job = { ...spender, jobId: idOf('job', n, world) };
      batch.push(reserve({ ...job, amount: amount('0.5'), cap: amount('1'), at: atSecond(2 * n) }));
      batch.push(release({ ...job, at: atSecond(2 * n + 1) }));
      if (batch.length >= 20 || n + 1 === operations / 2) {
        await ledger.applyBatch(batch);
        batch = [];
      }
    }
    await database.owner.raw('vacuum analyze');
  });

  const atSecond = (second: number) => addMilliseconds(atHour(2), second * 1_000);

  async function rowsReadBy(ask: (trx: Trx) => Promise<unknown>): Promise<Record<string, bigint>> {
    return database.db.transaction(async (trx) => {
      const before = await rowsRead(trx);
      await ask(trx);
      const after = await rowsRead(trx);
      return Object.fromEntries(Object.entries(after).map(([table, count]) => [table, count - (before[table] ?? 0n)]));
    });
  }

  /** What the present transaction has read so far, by table. */
  async function rowsRead(trx: Trx): Promise<Record<string, bigint>> {
    const found = await rows<{ table: string; count: bigint }>(
      trx,
      `select relname as "table", seq_tup_read + coalesce(idx_tup_fetch, 0) as count from pg_stat_xact_user_tables`,
    );
    return Object.fromEntries(found.map(({ table, count }) => [table, count]));
  }

  test('an instant a few operations ago reads less than a hundredth of the rows', async () => {
    // Before the release of the last job but one, and all of the last job.
    const bookedAt = atSecond(operations - 4);
    let lots: Awaited<ReturnType<typeof walkBack>> = [];
    const read = await rowsReadBy(async (trx) => {
      lots = await walkBack(trx, contract, { bookedAt, recordedAt: null });
    });
    expect(lots).toMatchObject([{ id: lotId, available: amount('999.5'), reserved: amount('0.5') }]);
    expect(read.operations).toBeGreaterThan(0n);
    for (const table of ['operations', 'links', 'batches']) expect(read[table] ?? 0n).toBeLessThan(operations / 100);
  });

  test('what was known before the last batch reads as little', async () => {
    const [, before] = await rows<{ recordedAt: Instant }>(
      database.db,
      'select recorded_at as "recordedAt" from links where pool_id = ? order by seq desc limit 2',
      [contract],
    );
    let lots: Awaited<ReturnType<typeof walkBack>> = [];
    const read = await rowsReadBy(async (trx) => {
      lots = await walkBack(trx, contract, { bookedAt: null, recordedAt: before?.recordedAt ?? null });
    });
    expect(lots).toMatchObject([{ id: lotId, available: amount('1000'), reserved: ZERO }]);
    for (const table of ['operations', 'links', 'batches']) expect(read[table] ?? 0n).toBeLessThan(operations / 100);
  });

  test('the beginning is answered as well', async () => {
    const lots = await lotsAsOf(database.db, contract, { bookedAt: atSecond(0), recordedAt: null });
    expect(lots).toMatchObject([{ id: lotId, available: amount('999.5'), reserved: amount('0.5') }]);
    expect(await lotsAsOf(database.db, contract, { bookedAt: atHour(0), recordedAt: null })).toEqual([]);
  });
});

test('an expiry that was booked late counts from its own instant, as soon as it was known', async () => {
  const world = 1_001;
  const { db, ledger } = database;
  const [user, contract] = [idOf('user', 1, world), idOf('contract', 1, world)];
  const lotId = idOf('lot', 1, world);
  const job = { userId: user, contractId: contract, jobId: idOf('job', 1, world) };
  await insertPeople(db, {
    world,
    users: [user],
    contracts: [{ contractId: contract, startsAt: atHour(0), endsAt: atHour(8_000) }],
    authorisations: [{ userId: user, contractId: contract, authorisedAt: atHour(0), removedAt: null }],
  });
  const lot = { id: lotId, poolId: contract, effectiveAt: atHour(0), expiresAt: atHour(100) };
  const outcomes = await ledger.applyBatch([
    grant({ lot, at: atHour(1) }),
    reserve({ ...job, amount: amount('4'), at: atHour(2) }),
    changeLife({ lotId, poolId: contract, life: { ...lot, expiresAt: atHour(50), withdrawnAt: null }, at: atHour(10) }),
    settle({ ...job, actual: amount('3'), at: atHour(60) }),
  ]);
  expect(outcomes.map(({ accepted }) => accepted)).toEqual([true, true, true, true]);
  const [known] = await rows<{ at: Instant }>(db, 'select recorded_at as at from links where pool_id = ?', [contract]);
  await ledger.applyBatch([expire({ lotId, poolId: contract, at: atHour(50) })]);
  const at = async (bookedAt: Instant, recordedAt: Instant | null) =>
    (await lotsAsOf(db, contract, { bookedAt, recordedAt }))[0];
  expect(await at(atHour(5), null)).toMatchObject({ available: amount('6'), expiresAt: atHour(100), endedAs: null });
  expect(await at(atHour(20), null)).toMatchObject({ available: amount('6'), expiresAt: atHour(50), endedAs: null });
  expect(await at(atHour(50), null)).toMatchObject({ available: ZERO, expired: amount('6'), endedAs: 'expired' });
  expect(await at(atHour(50), known?.at ?? null)).toMatchObject({
    available: amount('6'),
    expired: ZERO,
    endedAs: null,
  });
  expect(await at(atHour(60), null)).toMatchObject({ consumed: amount('3'), expired: amount('7'), reserved: ZERO });
});
