import * as fc from 'fast-check';
import { type Credits, credits } from '../domain/credits';
import type { Lot } from '../domain/lots';
import type { Operation, Outcome } from '../domain/operations';
import { histories, type LedgerUnderTest, newTally, runBesideModel, type World } from '../test/builders/histories';
import { atHour, idOf } from '../test/builders/ids';
import { amount, grant, raiseCap, release, reserve, settle, topUp } from '../test/builders/ledger';
import { holdsEventually, repeatably, SEED } from '../test/builders/seed';
import { connect, type Db, firstRow, isUnavailable, rows } from './client';
import { applyBatch, LOT_COLUMNS, operationsOfJob, reservationsOf } from './ledger';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { insertPeople } from './testing/people';

let database: TestDatabase;
let db: Db;
let worlds = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
});

afterEach(async () => {
  expect(await brokenInvariants(db)).toEqual([]);
});

afterAll(() => database?.drop());

/** Two users on one contract, apart from every other test's, and operations that name them. */
class Place {
  readonly number = ++worlds;
  readonly user = idOf('user', 1, this.number);
  readonly otherUser = idOf('user', 2, this.number);
  readonly contract = idOf('contract', 1, this.number);
  readonly sharedLot = idOf('lot', 1, this.number);

  /** With a shared lot of some credits. */
  static async open(shared: string): Promise<Place> {
    const place = new Place();
    const authorisedAt = atHour(0);
    const users = [place.user, place.otherUser];
    await insertPeople(db, {
      world: place.number,
      users,
      contracts: [{ contractId: place.contract, startsAt: atHour(0), endsAt: atHour(8760) }],
      authorisations: users.map((userId) => ({ contractId: place.contract, userId, authorisedAt, removedAt: null })),
    });
    await accept(db, place.grant(amount(shared)));
    return place;
  }

  job(n: number): string {
    return idOf('job', n, this.number);
  }

  grant(shared: Credits, lot = this.sharedLot): Operation {
    return grant({ ...this.fresh(), lot: { id: lot, poolId: this.contract, amount: shared } });
  }

  spending(n: number, userId = this.user) {
    return { ...this.fresh(), jobId: this.job(n), userId, contractId: this.contract };
  }

  /** The lot as it is stored. */
  async lot(id = this.sharedLot): Promise<Lot> {
    const lot = await firstRow<Lot>(db, `select ${LOT_COLUMNS} from lots where id = ?`, [id]);
    if (!lot) throw new Error(`there is no lot ${id}`);
    return lot;
  }

  async operations(): Promise<number> {
    const found = await firstRow<{ count: bigint }>(db, 'select count(*) from operations where id::text like ?', [
      `${idOf('operation', 0, this.number).slice(0, 8)}%`,
    ]);
    return Number(found?.count);
  }

  private made = 0;

  private fresh() {
    this.made += 1;
    return { id: idOf('operation', this.made, this.number), key: `place-${this.number}/${this.made}` };
  }
}

async function accept(on: Db, ...operations: Operation[]): Promise<readonly Outcome[]> {
  const outcomes = await applyBatch(on, operations);
  for (const outcome of outcomes) if (!outcome.accepted) throw new Error(outcome.message);
  return outcomes;
}

/** Several processes' pools at once. */
async function withPools<T>(count: number, work: (pools: readonly Db[]) => Promise<T>): Promise<T> {
  const pools = Array.from({ length: count }, () => connect(database.url, { poolMax: 2 }));
  try {
    return await work(pools);
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}

/** Numbers that are the same for the same seed (a linear congruence is enough to choose who does what). */
function chances(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('random histories end like single credits moved one by one', async () => {
  const tally = newTally();
  await holdsEventually(
    fc.asyncProperty(histories({ min: 25, max: 45 }), async (history) => {
      worlds += 1;
      await runBesideModel(history, new StoredLedger(worlds), { tally, world: worlds });
    }),
    { numRuns: 30, interruptAfterTimeLimit: 60_000 },
  );
  expect(tally.operations).toBeGreaterThan(500);
}, 120_000);

class StoredLedger implements LedgerUnderTest {
  private pools: readonly string[] = [];
  constructor(private readonly world: number) {}

  async open(world: World): Promise<void> {
    this.pools = [...world.users, ...world.contracts.map(({ contractId }) => contractId)];
    await insertPeople(db, { ...world, world: this.world });
  }

  apply(operations: readonly Operation[]): Promise<readonly Outcome[]> {
    return applyBatch(db, operations);
  }

  async withdrawFrom(lotId: string, hour: number): Promise<void> {
    await db.raw('update lots set withdrawn_at = ? where id = ?', [atHour(hour), lotId]);
  }

  lots() {
    return rows<Lot>(db, `select ${LOT_COLUMNS} from lots where pool_id = any(?::uuid[])`, [this.pools]);
  }

  async reservations() {
    const jobs = await rows<{ id: string }>(
      db,
      'select job_id as id from reservations where user_id = any(?::uuid[])',
      [this.pools],
    );
    return reservationsOf(
      db,
      jobs.map(({ id }) => id),
    );
  }
}

describe('a key', () => {
  test('that is repeated gets the recorded answer and moves nothing, whatever happened meanwhile', async () => {
    const place = await Place.open('20');
    const operations: Operation[] = [
      reserve({ ...place.spending(1), amount: amount('3'), cap: amount('6') }),
      topUp({ ...place.spending(1), target: amount('5') }),
      raiseCap({ ...place.spending(1), cap: amount('7') }),
      settle({ ...place.spending(1), actual: amount('7.5') }),
      release({ ...place.spending(2) }),
      place.grant(amount('4'), idOf('lot', 2, place.number)),
    ];
    const first: Outcome[] = [];
    for (const operation of operations) first.push(...(await accept(db, operation)));
    const [shared, count] = [await place.lot(), await place.operations()];
    for (const [index, operation] of operations.entries()) {
      const repeat = { ...operation, id: idOf('operation', 100 + index, place.number), at: atHour(50) };
      expect(await applyBatch(db, [repeat])).toEqual([{ ...first[index], replayed: true }]);
    }
    expect(await place.lot()).toEqual(shared);
    expect(await place.operations()).toBe(count);
  });

  test('that is repeated among new operations is answered in its place', async () => {
    const place = await Place.open('3');
    const operation = reserve({ ...place.spending(1), amount: amount('1') });
    await accept(db, operation);
    const outcomes = await applyBatch(db, [
      reserve({ ...place.spending(2), amount: amount('2') }),
      { ...operation, id: idOf('operation', 100, place.number) },
      reserve({ ...place.spending(3), amount: amount('1') }),
    ]);
    expect(outcomes).toMatchObject([
      { accepted: true, replayed: false },
      { accepted: true, replayed: true },
      { accepted: false, code: 'insufficient_credits' },
    ]);
  });

  test('that comes twice in one batch is applied once', async () => {
    const place = await Place.open('3');
    const granting = place.grant(amount('2'), idOf('lot', 2, place.number));
    const reserving = reserve({ ...place.spending(1), amount: amount('1') });
    const again = (operation: Operation, n: number) => ({ ...operation, id: idOf('operation', n, place.number) });
    const outcomes = await applyBatch(db, [granting, reserving, again(granting, 101), again(reserving, 102)]);
    expect(outcomes).toMatchObject([
      { accepted: true, replayed: false },
      { accepted: true, replayed: false },
      { accepted: true, replayed: true },
      { accepted: true, replayed: true },
    ]);
    expect(await place.lot()).toMatchObject({ available: amount('2'), reserved: amount('1') });
  });

  test('of a top-up that comes several times in one batch is applied once', async () => {
    const place = await Place.open('9');
    await accept(db, reserve({ ...place.spending(1), amount: amount('1'), cap: amount('9') }));
    const operation = topUp({ ...place.spending(1), target: amount('4') });
    const again = { ...operation, id: idOf('operation', 101, place.number) };
    const outcomes = await applyBatch(db, [operation, again, operation]);
    expect(outcomes).toMatchObject([{ replayed: false }, { replayed: true }, { replayed: true }]);
    expect(await place.lot()).toMatchObject({ reserved: amount('4') });
  });

  test('cannot be used for something else, whether that would be accepted or refused', async () => {
    const place = await Place.open('20');
    const operation = reserve({ ...place.spending(1), amount: amount('3'), cap: amount('6') });
    await accept(db, operation);
    const lot = await place.lot();
    const others: Operation[] = [
      { ...operation, amount: amount('4') },
      { ...operation, jobId: place.job(2) },
      { ...operation, jobId: place.job(2), amount: amount('100'), cap: amount('100') },
      topUp({ ...operation, target: amount('5') }),
      settle({ ...operation }),
    ];
    for (const [index, other] of others.entries()) {
      const outcomes = await applyBatch(db, [{ ...other, id: idOf('operation', 100 + index, place.number) }]);
      expect(outcomes).toMatchObject([{ accepted: false, code: 'idempotency_key_reused' }]);
    }
    expect(await place.lot()).toEqual(lot);
  });

  test('of a refusal is not remembered: after a purchase the same operation succeeds', async () => {
    const place = await Place.open('1');
    const operation = reserve({ ...place.spending(1), amount: amount('3') });
    expect(await applyBatch(db, [operation])).toMatchObject([{ code: 'insufficient_credits' }]);
    expect(await place.operations()).toBe(1);
    await accept(db, place.grant(amount('2'), idOf('lot', 2, place.number)));
    expect(await applyBatch(db, [operation])).toMatchObject([{ accepted: true, replayed: false }]);
  });

  test('sent by several processes at once is applied once, and all get the same answer', async () => {
    const place = await Place.open('50');
    await withPools(4, async (pools) => {
      for (let round = 1; round <= 5; round++) {
        const operation = reserve({ ...place.spending(round), amount: amount('2') });
        const outcomes = await Promise.all(
          pools.map((pool, n) =>
            applyBatch(pool, [{ ...operation, id: idOf('operation', 1000 * round + n, place.number) }]),
          ),
        );
        expect(outcomes.flat().filter((outcome) => outcome.accepted && !outcome.replayed)).toHaveLength(1);
        for (const [outcome] of outcomes) {
          expect(outcome).toMatchObject({
            accepted: true,
            transfers: [{ lotId: place.sharedLot, amount: amount('2') }],
          });
        }
      }
    });
    expect(await place.lot()).toMatchObject({ reserved: amount('10') });
  });
});

describe('facts are appended', () => {
  const facts = ['operations', 'usage_records', 'charges', 'rate_cards', 'job_events', 'quotes'];
  const column: Readonly<Record<string, string>> = {
    operations: 'reason',
    usage_records: 'meter',
    charges: 'service',
    rate_cards: 'published_by',
    job_events: 'kind',
    quotes: 'service',
  };

  test.each(facts)('%s are never updated, deleted or truncated', async (table) => {
    const changes = [
      db.raw('update ?? set ?? = ??', [table, column[table] ?? '', column[table] ?? '']),
      db.raw('delete from ??', [table]),
      db.raw('truncate ?? cascade', [table]),
    ];
    for (const change of changes) await expect(change).rejects.toMatchObject({ code: 'HF001' });
  });

  test.each(['lots', 'reservations'])('%s are never deleted or truncated', async (table) => {
    await expect(db.raw('delete from ??', [table])).rejects.toMatchObject({ code: 'HF001' });
    await expect(db.raw('truncate ?? cascade', [table])).rejects.toMatchObject({ code: 'HF001' });
  });
});

describe('the database itself refuses', () => {
  let place: Place;
  let individual: string;
  beforeAll(async () => {
    place = await Place.open('10');
    individual = idOf('lot', 2, place.number);
    await accept(
      db,
      grant({
        id: idOf('operation', 50, place.number),
        key: individual,
        lot: { id: individual, kind: 'individual', poolId: place.user },
      }),
    );
    await accept(db, reserve({ ...place.spending(1) }), reserve({ ...place.spending(2) }), release(place.spending(2)));
  });

  test.each([
    ['another owner', 'pool_id', () => place.otherUser],
    ['another kind', 'kind', () => 'courtesy'],
    ['another source', 'source', () => 'courtesy'],
    ['another amount', 'granted', () => '11'],
    ['another beginning', 'effective_at', () => atHour(-5)],
  ])('%s for a lot', async (_, name, value) => {
    await expect(db.raw('update lots set ?? = ? where id = ?', [name, value(), individual])).rejects.toMatchObject({
      code: 'HF002',
    });
  });

  test.each([
    [
      'a bucket below zero',
      'lot_available_not_negative',
      'update lots set available = -1, consumed = consumed + available + 1 where id = ?',
    ],
    [
      'a reserved bucket below zero',
      'lot_reserved_not_negative',
      'update lots set reserved = -1, consumed = consumed + reserved + 1 where id = ?',
    ],
    ['credits from nowhere', 'lot_conserves_its_credits', 'update lots set available = available + 1 where id = ?'],
    ['credits that vanish', 'lot_conserves_its_credits', 'update lots set available = available - 1 where id = ?'],
    [
      'available credits after an end',
      'lot_ended_has_nothing_available',
      `update lots set ended_as = 'expired' where id = ?`,
    ],
    ['a life of no length', 'lot_life_is_half_open', 'update lots set expires_at = effective_at where id = ?'],
  ])('%s', async (_, constraint, sql) => {
    await expect(db.raw(sql, [place.sharedLot])).rejects.toMatchObject({ code: '23514', constraint });
  });

  test('an individual lot that expires', async () => {
    const change = db.raw('update lots set expires_at = ? where id = ?', [atHour(9000), individual]);
    await expect(change).rejects.toMatchObject({ constraint: 'lot_expiry_fits_its_kind' });
  });

  test('an individual lot in a contract’s pool, and a shared one in a user’s', async () => {
    const insert = (kind: string, owner: 'user' | 'contract', poolId: string) =>
      db('lots').insert({
        id: idOf('lot', 77, place.number),
        pool_id: poolId,
        pool_owner: owner,
        kind,
        source: 'purchase',
        granted: '1',
        available: '1',
        reserved: '0',
        consumed: '0',
        expired: '0',
        withdrawn: '0',
        effective_at: atHour(0),
        expires_at: kind === 'individual' ? null : atHour(10),
      });
    const misfit = { constraint: 'lot_kind_fits_its_owner' };
    await expect(insert('individual', 'contract', place.contract)).rejects.toMatchObject(misfit);
    await expect(insert('shared', 'user', place.user)).rejects.toMatchObject(misfit);
    // Nor by saying that the pool has another owner than it has.
    await expect(insert('individual', 'user', place.contract)).rejects.toMatchObject({ code: '23503' });
  });

  test('a second life for a closed reservation, and another spender for an open one', async () => {
    const reopened = db.raw(`update reservations set state = 'open', closed_at = null where job_id = ?`, [
      place.job(2),
    ]);
    await expect(reopened).rejects.toMatchObject({ code: 'HF003' });
    const taken = db.raw('update reservations set user_id = ? where job_id = ?', [place.otherUser, place.job(1)]);
    await expect(taken).rejects.toMatchObject({ code: 'HF003' });
  });

  test('an amount of zero or a move that there is not', async () => {
    const operation = (moves: string, moved: string) =>
      db.raw(
        `insert into operations (id, kind, key, request_hash, booked_at, actor, reason, lot_ids, moves, amounts)
         values (?, 'grant', 'forged', '', ?, 'a', 'r', array[?]::uuid[], ?, array[?]::bigint[])`,
        [idOf('operation', 99, place.number), atHour(0), place.sharedLot, moves, moved],
      );
    await expect(operation('ga', '0')).rejects.toMatchObject({ constraint: 'operation_amounts_are_positive' });
    await expect(operation('ga', '-5')).rejects.toMatchObject({ constraint: 'operation_amounts_are_positive' });
    await expect(operation('ww', '5')).rejects.toMatchObject({ constraint: 'operation_moves_are_known' });
    await expect(operation('gaga', '5')).rejects.toMatchObject({ constraint: 'operation_arrays_match' });
  });
});

describe('concurrency', () => {
  test('of several processes that want the last credit exactly one gets it', async () => {
    await withPools(6, async (pools) => {
      for (let round = 0; round < 10; round++) {
        const place = await Place.open('1');
        const outcomes = await Promise.all(
          pools.map((pool, n) =>
            applyBatch(pool, [reserve({ ...place.spending(n, n % 2 ? place.user : place.otherUser) })]),
          ),
        );
        expect(outcomes.flat().filter(({ accepted }) => accepted)).toHaveLength(1);
        for (const outcome of outcomes.flat()) {
          if (!outcome.accepted)
            expect(outcome).toMatchObject({ code: 'insufficient_credits', details: { shortfall: '1' } });
        }
        expect(await place.lot()).toMatchObject({ available: 0n, reserved: amount('1') });
      }
    });
  }, 60_000);

  test('many clients on one contract leave nothing reserved and every credit accounted for', async () => {
    const place = await Place.open('500');
    await repeatably(() =>
      withPools(5, (pools) =>
        Promise.all(
          pools.flatMap((pool, p) =>
            [0, 1].map((lane) => runJobs(pool, place, { from: 1000 * (p + 1) + 500 * lane, jobs: 12 })),
          ),
        ),
      ),
    );
    const lot = await place.lot();
    expect(lot.reserved).toBe(0n);
    expect(lot.available + lot.consumed).toBe(amount('500'));
    const captured = await firstRow<{ amount: bigint }>(
      db,
      `select sum(amount)::bigint as amount from transfers where lot_id = ? and to_bucket = 'consumed'`,
      [place.sharedLot],
    );
    expect(captured?.amount).toBe(lot.consumed);
  }, 60_000);

  async function runJobs(pool: Db, place: Place, { from, jobs }: { from: number; jobs: number }): Promise<void> {
    const chance = chances(SEED + from);
    for (let n = from; n < from + jobs; n++) {
      const user = chance(2) === 0 ? place.user : place.otherUser;
      const asked = credits(BigInt(1 + chance(3_000_000)));
      const [reserved] = await applyBatch(pool, [
        reserve({ ...place.spending(n, user), amount: asked, cap: amount('6') }),
      ]);
      if (!reserved?.accepted) throw new Error(reserved?.message);
      if (chance(2) === 0) await accept(pool, topUp({ ...place.spending(n, user), target: amount('4') }));
      const actual = credits(BigInt(chance(7_000_000)));
      await accept(
        pool,
        chance(4) === 0 ? release(place.spending(n, user)) : settle({ ...place.spending(n, user), actual }),
      );
    }
  }

  test('batches that name the same pools in opposite orders do not hinder each other for ever', async () => {
    const [a, b] = [await Place.open('40'), await Place.open('40')];
    await withPools(2, async ([first, second]) => {
      if (!first || !second) throw new Error('there are no pools');
      for (let n = 1; n <= 10; n++) {
        const forwards = [reserve({ ...a.spending(n) }), reserve({ ...b.spending(n) })];
        const backwards = [reserve({ ...b.spending(100 + n) }), reserve({ ...a.spending(100 + n) })];
        await Promise.all([accept(first, ...forwards), accept(second, ...backwards)]);
      }
    });
    expect(await a.lot()).toMatchObject({ reserved: amount('20') });
    expect(await b.lot()).toMatchObject({ reserved: amount('20') });
  });

  test('a release and a reserve at once leave nothing reserved, whichever was first', async () => {
    const place = await Place.open('20');
    await withPools(2, async ([first, second]) => {
      if (!first || !second) throw new Error('there are no pools');
      for (let n = 1; n <= 10; n++) {
        const [[reserved], [released]] = await Promise.all([
          applyBatch(first, [reserve(place.spending(n))]),
          applyBatch(second, [release(place.spending(n))]),
        ]);
        expect(released).toMatchObject({ accepted: true });
        expect(reserved).toMatchObject(reserved?.accepted ? { transfers: [{}] } : { code: 'reservation_closed' });
      }
    });
    expect(await place.lot()).toMatchObject({ available: amount('20'), reserved: 0n });
  });
});

test('a release before its reserve leaves a mark, and the late reserve is refused', async () => {
  const place = await Place.open('5');
  await accept(db, release(place.spending(1)));
  expect(await reservationsOf(db, [place.job(1)])).toMatchObject([{ state: 'released', draws: [] }]);
  expect(await applyBatch(db, [reserve(place.spending(1))])).toMatchObject([{ code: 'reservation_closed' }]);
  expect(await place.lot()).toMatchObject({ available: amount('5') });
});

test('nobody’s individual credits pay for another user’s job, even when that user asks for it', async () => {
  const place = await Place.open('5');
  const theirs = idOf('lot', 2, place.number);
  const granting = { id: theirs, kind: 'individual' as const, poolId: place.otherUser };
  await accept(db, grant({ id: idOf('operation', 50, place.number), key: theirs, lot: granting }));
  await accept(db, reserve(place.spending(1)));
  const outcomes = await applyBatch(db, [
    topUp({ ...place.spending(1, place.otherUser), target: amount('3') }),
    settle({ ...place.spending(1, place.otherUser), actual: amount('3') }),
  ]);
  expect(outcomes).toMatchObject([{ accepted: false }, { accepted: false }]);
  expect(await place.lot(theirs)).toMatchObject({ available: amount('10') });
});

test('what is granted in a batch can be reserved in the same batch', async () => {
  const place = await Place.open('1');
  await accept(
    db,
    place.grant(amount('4'), idOf('lot', 2, place.number)),
    reserve({ ...place.spending(1), amount: amount('5') }),
  );
  expect(await place.lot(idOf('lot', 2, place.number))).toMatchObject({ available: 0n, reserved: amount('4') });
});

test('a batch whose companion throws leaves nothing', async () => {
  const place = await Place.open('5');
  const [before, count] = [await place.lot(), await place.operations()];
  const batch = [reserve(place.spending(1)), place.grant(amount('4'), idOf('lot', 2, place.number))];
  const thrown = applyBatch(db, batch, async (trx, outcomes) => {
    expect(outcomes).toMatchObject([{ accepted: true }, { accepted: true }]);
    await noteEvent(trx, place.job(1));
    throw new Error('no');
  });
  await expect(thrown).rejects.toThrow('no');
  expect(await place.lot()).toEqual(before);
  expect(await place.operations()).toBe(count);
  expect(await reservationsOf(db, [place.job(1)])).toEqual([]);
  expect(await eventsOf(place.job(1))).toBe(0);
});

test('the journal tells the story of a job in the order in which it happened', async () => {
  const place = await Place.open('9');
  await accept(db, reserve({ ...place.spending(1), amount: amount('2') }));
  await accept(db, topUp({ ...place.spending(1), target: amount('5') }));
  await accept(db, settle({ ...place.spending(1), actual: amount('4'), at: atHour(3) }));
  const lotId = place.sharedLot;
  expect(await operationsOfJob(db, place.job(1))).toMatchObject([
    { kind: 'reserve', transfers: [{ lotId, from: 'available', to: 'reserved', amount: amount('2') }] },
    { kind: 'topUp', transfers: [{ lotId, from: 'available', to: 'reserved', amount: amount('3') }] },
    {
      kind: 'settle',
      bookedAt: atHour(3),
      transfers: [
        { lotId, from: 'reserved', to: 'consumed', amount: amount('4') },
        { lotId, from: 'reserved', to: 'available', amount: amount('1') },
      ],
    },
  ]);
});

describe('a connection that is lost', () => {
  test('at any statement of a batch, and the batch sent again: everything is applied exactly once', async () => {
    let killedAt = 0;
    for (let statement = 1; ; statement++) {
      const place = await Place.open('9');
      const batch = [
        reserve({ ...place.spending(1), amount: amount('2') }),
        place.grant(amount('4'), idOf('lot', 2, place.number)),
        reserve({ ...place.spending(2), amount: amount('3') }),
        settle({ ...place.spending(1), actual: amount('1') }),
      ];
      const survived = await applyWhileKilled(place, batch, statement);
      expect(await place.lot()).toMatchObject({ available: amount('5'), reserved: amount('3'), consumed: amount('1') });
      expect(await place.operations()).toBe(1 + batch.length);
      expect(await eventsOf(place.job(1))).toBe(1);
      if (survived) break;
      killedAt += 1;
    }
    // Begin, lock and load, the write, the companion's and the commit: each was the last one once.
    expect(killedAt).toBeGreaterThanOrEqual(5);
  }, 60_000);

  /** @returns whether the batch came through without its connection being ended. */
  async function applyWhileKilled(place: Place, batch: readonly Operation[], statement: number): Promise<boolean> {
    const name = `victim-${place.number}`;
    const pool = connect(database.url, { poolMax: 1, applicationName: name });
    try {
      let [seen, killed] = [0, Promise.resolve(false)];
      pool.on('query', () => {
        seen += 1;
        if (seen === statement) killed = endSessions(name);
      });
      const apply = () =>
        applyBatch(pool, batch, async (trx, outcomes) => {
          if (outcomes.every((outcome) => outcome.accepted && !outcome.replayed)) await noteEvent(trx, place.job(1));
        });
      for (let attempt = 1; ; attempt++) {
        try {
          await apply();
          return !(await killed);
        } catch (error) {
          if (attempt > 5 || !isUnavailable(error)) throw error;
          await killed;
        }
      }
    } finally {
      await pool.destroy();
    }
  }

  async function endSessions(name: string): Promise<boolean> {
    const ended = await rows<{ ended: boolean }>(
      database.admin,
      'select pg_terminate_backend(pid, 2000) as ended from pg_stat_activity where application_name = ?',
      [name],
    );
    return ended.length > 0;
  }
});

async function noteEvent(on: Db, jobId: string): Promise<void> {
  await on.raw(`insert into job_events (job_id, kind, message, at) values (?, 'noted', 'with the batch', ?)`, [
    jobId,
    atHour(1),
  ]);
}

async function eventsOf(jobId: string): Promise<number> {
  const found = await firstRow<{ count: bigint }>(db, 'select count(*) from job_events where job_id = ?', [jobId]);
  return Number(found?.count);
}

describe('the laws are noticed when they are broken', () => {
  test.each([
    [
      'a bucket that no transfer filled',
      'update lots set available = available - 1, consumed = consumed + 1 where id = ?',
      /transfers give/,
    ],
    [
      'a reservation that holds less than is reserved',
      'update reservations set amounts = array[1]::bigint[] where lot_ids[1] = ?',
      /disagree/,
    ],
    [
      'a settled reservation without a settlement',
      `update reservations set state = 'settled', closed_at = opened_at, lot_ids = '{}', amounts = '{}' where lot_ids[1] = ?`,
      /not as its reservation says/,
    ],
    ['a cap below what is held', 'update reservations set cap = 1 where lot_ids[1] = ?', /not-to-exceed/],
    [
      'a life that ended before a draw',
      `update lots set expires_at = effective_at + interval '1 minute' where id = ?`,
      /outside its life/,
    ],
  ])('%s', async (_, sql, named) => {
    const place = await Place.open('7');
    await accept(db, reserve({ ...place.spending(1), amount: amount('2') }));
    const trx = await db.transaction();
    try {
      await trx.raw(sql, [place.sharedLot]);
      expect((await brokenInvariants(trx)).join('\n')).toMatch(named);
    } finally {
      await trx.rollback();
    }
  });
});
