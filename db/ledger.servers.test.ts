import { type Credits, credits, ZERO } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Accepted, Operation, Outcome, Repayment, Transfer } from '../domain/operations';
import { atHour, idOf } from '../test/builders/ids';
import {
  aBudget,
  amount,
  changeLife,
  closeBudget,
  correct,
  expire,
  grant,
  openBudget,
  raiseCap,
  refund,
  release,
  reserve,
  settle,
  topUp,
  withdraw,
} from '../test/builders/ledger';
import { connect, type Db, firstRow, rows, type Trx } from './client';
import { type Ledger, openLedger, operationsOfJob, reservationsOf } from './ledger';
import { rowOf } from './ledger/journal';
import { appendByHand, type ByHand } from './testing/byHand';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { Place } from './testing/place';

jest.setTimeout(30_000);

let database: TestDatabase;
let db: Db;
let owner: Db;
let ledger: Ledger;

beforeAll(async () => {
  database = await createTestDatabase();
  ({ db, owner, ledger } = database);
});

afterEach(async () => {
  expect(await brokenInvariants(db)).toEqual([]);
});

afterAll(() => database?.drop());

async function applyOne(operation: Operation): Promise<Outcome> {
  return ledger.apply(operation);
}

/** Several processes' ledgers at once. */
async function withLedgers<T>(count: number, work: (ledgers: readonly Ledger[]) => Promise<T>): Promise<T> {
  const dbs = Array.from({ length: count }, () => connect(database.url, { poolMax: 1 }));
  const ledgers = dbs.map((one) => openLedger(one));
  try {
    return await work(ledgers);
  } finally {
    await Promise.all(ledgers.map((one) => one.close()));
    await Promise.all(dbs.map((one) => one.destroy()));
  }
}

/** An operation of every kind, each with what it needs before it, in an order in which all are accepted. */
function everyKind(place: Place): Operation[] {
  const own = place.lotId(2);
  const courtesy = place.lotId(3);
  const budget = {
    ...aBudget({ id: idOf('budget', 1, place.number), userId: place.user }),
    contractId: place.contract,
  };
  const life = { effectiveAt: atHour(0), expiresAt: atHour(20), withdrawnAt: null };
  const advance = { id: courtesy, poolId: place.contract, kind: 'courtesy' as const, source: 'courtesy' as const };
  return [
    openBudget({ budget: { ...budget, refusePercent: null } }),
    place.grantIndividual(amount('2'), own),
    grant({ lot: { ...advance, amount: amount('3'), expiresAt: atHour(8000), advance: true } }),
    reserve({ ...place.spending(1), amount: amount('3'), cap: amount('6') }),
    topUp({ ...place.spending(1), target: amount('5') }),
    raiseCap({ ...place.spending(1), cap: amount('7') }),
    settle({ ...place.spending(1), actual: amount('7.5') }),
    release(place.spending(2)),
    refund({ ...place.spending(1), refundId: idOf('refund', 1, place.number), amount: amount('0.5') }),
    correct({ ...place.spending(1), refundId: idOf('refund', 2, place.number), actual: amount('6') }),
    changeLife({ lotId: place.sharedLot, poolId: place.contract, life }),
    changeLife({ lotId: own, poolId: place.user, life: { ...life, expiresAt: null, withdrawnAt: atHour(9) } }),
    withdraw({ lotId: own, poolId: place.user, at: atHour(9) }),
    reserve({ ...place.spending(3), amount: amount('17'), cap: amount('20') }),
    expire({ lotId: place.sharedLot, poolId: place.contract, at: atHour(20) }),
    settle({ ...place.spending(3), actual: amount('16'), at: atHour(21) }),
    // It repays what was used of the advance.
    grant({ lot: { id: place.lotId(4), poolId: place.contract, amount: amount('9') }, at: atHour(22) }),
    closeBudget({ budgetId: budget.id, contractId: place.contract }),
  ];
}

describe('a key', () => {
  test('that is repeated gets the recorded answer and moves nothing, whatever happened meanwhile', async () => {
    const place = await Place.open(database, '20');
    const operations = everyKind(place);
    const first: Accepted[] = [];
    for (const operation of operations) first.push(...(await place.accept(operation)));
    const [shared, count] = [await place.lot(), await place.operations()];
    for (const [index, operation] of operations.entries()) {
      const again = { ...first[index], replayed: true, warnings: [] };
      expect(await applyOne({ ...operation, at: atHour(50) })).toEqual(again);
    }
    expect(await ledger.applyBatch(operations)).toEqual(
      first.map((outcome) => ({ ...outcome, replayed: true, warnings: [] })),
    );
    expect(await place.lot()).toEqual(shared);
    expect(await place.operations()).toBe(count);
  });

  test('that is repeated among new operations is answered in its place', async () => {
    const place = await Place.open(database, '3');
    const operation = reserve({ ...place.spending(1), amount: amount('1') });
    await place.accept(operation);
    const batch = [
      reserve({ ...place.spending(2), amount: amount('2') }),
      operation,
      reserve({ ...place.spending(3), amount: amount('1') }),
    ];
    const outcomes = await Promise.all(batch.map(applyOne));
    expect(outcomes).toMatchObject([
      { accepted: true, replayed: false },
      { accepted: true, replayed: true },
      { accepted: false, code: 'insufficient_credits' },
    ]);
  });

  test.each([
    ['asked one by one', (batch: Operation[]) => Promise.all(batch.map(applyOne))],
    ['as one batch', (batch: Operation[]) => ledger.applyBatch(batch)],
  ])('that comes several times at once, %s, is applied once', async (_, apply) => {
    const place = await Place.open(database, '9');
    await place.accept(reserve({ ...place.spending(1), amount: amount('1'), cap: amount('9') }));
    const granting = place.grant(amount('2'), place.lotId(2));
    const reserving = reserve({ ...place.spending(2), amount: amount('1') });
    const growing = topUp({ ...place.spending(1), target: amount('4') });
    const closing = release(place.spending(3));
    const outcomes = await apply([
      granting,
      reserving,
      growing,
      closing,
      granting,
      reserving,
      growing,
      growing,
      closing,
    ]);
    const fresh = { accepted: true, replayed: false };
    const again = { accepted: true, replayed: true };
    expect(outcomes).toMatchObject([fresh, fresh, fresh, fresh, again, again, again, again, again]);
    expect(await place.lot()).toMatchObject({ available: amount('4'), reserved: amount('5') });
  });

  test('cannot be used for something else, whether that would be accepted or refused', async () => {
    const place = await Place.open(database, '20');
    const reserving = reserve({ ...place.spending(1), amount: amount('3'), cap: amount('6') });
    const growing = topUp({ ...place.spending(1), target: amount('4') });
    const closing = settle({ ...place.spending(2), actual: amount('1') });
    await place.accept(reserving, growing, reserve({ ...place.spending(2) }), closing);
    const lot = await place.lot();
    const others: Operation[] = [
      { ...reserving, amount: amount('4') },
      { ...reserving, amount: amount('100'), cap: amount('100') },
      { ...reserving, project: 'another' },
      { ...reserving, contractId: null },
      { ...reserving, reason: 'another' },
      { ...growing, target: amount('5') },
      { ...closing, actual: amount('0.5') },
      // Settling and releasing share their act: the billing of a job closes once.
      release({ ...closing, act: 'close' }),
      { ...place.grant(amount('20')), reason: 'another' },
    ];
    for (const other of others) {
      expect(await applyOne(other)).toMatchObject({ accepted: false, code: 'idempotency_key_reused' });
    }
    expect(await place.lot()).toEqual(lot);
  });

  test('that another spender uses for the same job is refused, when both ask at once too', async () => {
    const place = await Place.open(database, '9');
    for (let n = 1; n <= 10; n++) {
      // Without a contract the two have no pool in common that would keep them apart.
      await place.accept(
        place.grantIndividual(amount('1'), place.lotId(10 * n), place.user),
        place.grantIndividual(amount('1'), place.lotId(10 * n + 1), place.otherUser),
      );
      const [mine, theirs] = [place.user, place.otherUser].map((userId) =>
        reserve({ ...place.spending(n, userId), contractId: null }),
      );
      const outcomes = await withLedgers(2, ([one, other]) =>
        Promise.all([one?.apply(mine as Operation), other?.apply(theirs as Operation)]),
      );
      const accepted = outcomes.filter((outcome) => outcome?.accepted);
      expect(accepted).toHaveLength(1);
      expect(outcomes.find((outcome) => !outcome?.accepted)).toMatchObject({ code: 'idempotency_key_reused' });
    }
  });

  test('of a refusal is not remembered: after a purchase the same operation succeeds', async () => {
    const place = await Place.open(database, '1');
    const operation = reserve({ ...place.spending(1), amount: amount('3') });
    expect(await applyOne(operation)).toMatchObject({ code: 'insufficient_credits' });
    expect(await place.operations()).toBe(1);
    await place.accept(place.grant(amount('2'), place.lotId(2)));
    expect(await applyOne(operation)).toMatchObject({ accepted: true, replayed: false });
  });

  test('sent by several processes at once is applied once, and all get the same answer', async () => {
    const place = await Place.open(database, '50');
    await withLedgers(4, async (ledgers) => {
      for (let round = 1; round <= 5; round++) {
        const operation = reserve({ ...place.spending(round), amount: amount('2') });
        const outcomes = await Promise.all(ledgers.map((one) => one.apply(operation)));
        expect(outcomes.filter((outcome) => outcome.accepted && !outcome.replayed)).toHaveLength(1);
        for (const outcome of outcomes) {
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

describe('a poisoned operation', () => {
  const NUL = String.fromCharCode(0);
  const TOO_LARGE = credits(2n ** 63n);

  test.each<[string, (place: Place) => Operation, RegExp]>([
    ['a text with a NUL', (place) => release({ ...place.spending(9), reason: `a${NUL}b` }), /0x00/],
    [
      'an amount beyond bigint',
      (place) => reserve({ ...place.spending(9), amount: ZERO, cap: TOO_LARGE }),
      /out of range/,
    ],
    ['an amount below zero', (place) => reserve({ ...place.spending(9), amount: -1n as Credits }), /cannot be drawn/],
    ['a job that is no uuid', (place) => release({ ...place.spending(9), jobId: 'job-9' }), /not a UUID/],
    ['an owner that is no uuid', (place) => release({ ...place.spending(9), userId: 'me' }), /not a UUID/],
    ['an instant that is none', (place) => release({ ...place.spending(9), at: 'tomorrow' as Instant }), /./],
    [
      'a pool that does not exist',
      (place) => grant({ lot: { id: place.lotId(9), poolId: idOf('contract', 9, place.number) } }),
      /no pool/,
    ],
  ])('with %s fails alone; the others of its batch are applied in their order', async (_, poison, message) => {
    for (const at of [0, 3, 6]) {
      const place = await Place.open(database, '3');
      const asked: Operation[] = [
        reserve({ ...place.spending(1), amount: amount('2') }),
        place.grant(amount('1'), place.lotId(2)),
        reserve({ ...place.spending(2), amount: amount('2') }),
        reserve({ ...place.spending(3), amount: amount('1') }),
        settle({ ...place.spending(1), actual: amount('1') }),
        reserve({ ...place.spending(4), amount: amount('1') }),
      ];
      asked.splice(at, 0, poison(place));
      const answers = await Promise.allSettled(asked.map(applyOne));
      const [failed] = answers.splice(at, 1);
      expect(failed).toMatchObject({ status: 'rejected', reason: { message: expect.stringMatching(message) } });
      const fresh = { accepted: true, replayed: false };
      const short = { accepted: false, code: 'insufficient_credits' };
      expect(answers.map((one) => (one.status === 'fulfilled' ? one.value : one.reason))).toMatchObject([
        fresh,
        fresh,
        fresh,
        short,
        fresh,
        fresh,
      ]);
      expect(await place.lot()).toMatchObject({ available: 0n, reserved: amount('2'), consumed: amount('1') });
    }
    const place = await Place.open(database, '3');
    await expect(ledger.applyBatch([reserve(place.spending(1)), poison(place)])).rejects.toThrow(message);
    expect(await place.lot()).toMatchObject({ reserved: amount('1') });
  });
});

describe('a budget', () => {
  const ofUser = (place: Place, n: number) =>
    aBudget({ id: idOf('budget', n, place.number), contractId: place.contract, userId: place.user, period: 'day' });

  async function counted(budgetId: string): Promise<unknown> {
    return rows(db, 'select reserved, charged from budget_periods where budget_id = ? order by starts_at', [budgetId]);
  }

  test('that is opened counts what jobs do in the same batch, before it and after it', async () => {
    const place = await Place.open(database, '9');
    await place.accept(reserve({ ...place.spending(1), amount: amount('1') }));
    const budget = ofUser(place, 1);
    await place.accept(
      reserve({ ...place.spending(2), amount: amount('2') }),
      topUp({ ...place.spending(1), target: amount('1.5') }),
      openBudget({ budget }),
      topUp({ ...place.spending(1), target: amount('2') }),
      settle({ ...place.spending(2), actual: amount('1') }),
    );
    expect(await counted(budget.id)).toEqual([{ reserved: amount('2'), charged: amount('1') }]);
    await place.accept(settle({ ...place.spending(1), actual: amount('2') }));
    expect(await counted(budget.id)).toEqual([{ reserved: 0n, charged: amount('3') }]);
  });

  test('counts a job where it was reserved, also when whoever settles it has a clock that is a day behind', async () => {
    const place = await Place.open(database, '9');
    const budget = ofUser(place, 1);
    await place.accept(openBudget({ budget }));
    await place.accept(reserve({ ...place.spending(1), amount: amount('2'), at: atHour(48) }));
    await place.accept(topUp({ ...place.spending(1), target: amount('3'), at: atHour(47) }));
    await place.accept(settle({ ...place.spending(1), actual: amount('1'), at: atHour(24) }));
    expect(await counted(budget.id)).toEqual([{ reserved: 0n, charged: amount('1') }]);
  });

  test('of a user is closed without anything of that user beside it', async () => {
    const place = await Place.open(database, '9');
    const budget = ofUser(place, 1);
    await place.accept(openBudget({ budget }));
    await place.accept(closeBudget({ budgetId: budget.id, contractId: place.contract }));
    expect(await firstRow(db, 'select closed_at from budgets where id = ?', [budget.id])).toEqual({
      closed_at: atHour(1),
    });
  });
});

describe('an overloaded ledger', () => {
  test('lets as many wait as it may, refuses the next, and takes more when they are done', async () => {
    const place = await Place.open(database, '100');
    const small = openLedger(db, { waitingMax: 5 });
    try {
      const holder = await owner.transaction();
      await holder.raw('select id from pools where id = ? for update', [place.contract]);
      const first = small.apply(reserve(place.spending(1)));
      // The first is sent alone; only then the others wait.
      await blockedOn(holder);
      const waiting = [2, 3, 4, 5, 6].map((n) => small.apply(reserve(place.spending(n))));
      await expect(small.apply(reserve(place.spending(7)))).rejects.toMatchObject({
        name: 'BillingError',
        code: 'overloaded',
        details: { retryAfterSeconds: expect.any(Number) },
      });
      await holder.rollback();
      for (const outcome of await Promise.all([first, ...waiting])) expect(outcome).toMatchObject({ accepted: true });
      expect(await small.apply(reserve(place.spending(7)))).toMatchObject({ accepted: true });
    } finally {
      await small.close();
    }
    expect(await place.lot()).toMatchObject({ reserved: amount('7') });
  });

  test('does not keep other pools waiting for one that is blocked', async () => {
    const [blocked, free] = [await Place.open(database, '9'), await Place.open(database, '9')];
    const holder = await owner.transaction();
    await holder.raw('select id from pools where id = ? for update', [blocked.contract]);
    const waiting = applyOne(reserve(blocked.spending(1)));
    await blockedOn(holder);
    expect(await applyOne(reserve(free.spending(1)))).toMatchObject({ accepted: true });
    await holder.rollback();
    expect(await waiting).toMatchObject({ accepted: true });
  });

  test('that is closed finishes what was asked before', async () => {
    const place = await Place.open(database, '9');
    const one = openLedger(db, { batchMax: 1 });
    const asked = [1, 2, 3, 4].map((n) => one.apply(reserve(place.spending(n))));
    await one.close();
    expect(await Promise.all(asked)).toMatchObject(Array(4).fill({ accepted: true }));
  });

  /** Waits until somebody waits for a lock that a transaction holds. */
  async function blockedOn(holder: Db): Promise<void> {
    const pid = await firstRow<{ pid: number }>(holder, 'select pg_backend_pid() as pid');
    for (;;) {
      const found = await firstRow(
        database.admin,
        'select from pg_stat_activity where ? = any(pg_blocking_pids(pid))',
        [pid?.pid],
      );
      if (found) return;
    }
  }
});

describe('facts are appended', () => {
  const FACTS: Readonly<Record<string, string>> = {
    operations: 'reason',
    batches: 'digest',
    links: 'head',
    usage_records: 'meter',
    charges: 'service',
    rate_cards: 'published_by',
    job_events: 'kind',
    quotes: 'service',
  };
  /** What also changes, but by the database's own doing alone. */
  const CACHES: Readonly<Record<string, string>> = { lots: 'available', pools: 'seq', budgets: 'amount' };

  test.each(Object.entries(FACTS))(
    '%s are never updated, deleted or truncated, not by the owner',
    async (table, column) => {
      const changes = [
        owner.raw('update ?? set ?? = ??', [table, column, column]),
        owner.raw('delete from ??', [table]),
        owner.raw('truncate ?? cascade', [table]),
      ];
      for (const change of changes) await expect(change).rejects.toMatchObject({ code: 'HF001' });
    },
  );

  test.each(Object.keys(CACHES))('%s are never deleted or truncated, not by the owner', async (table) => {
    await expect(owner.raw('delete from ??', [table])).rejects.toMatchObject({ code: 'HF001' });
    await expect(owner.raw('truncate ?? cascade', [table])).rejects.toMatchObject({ code: 'HF001' });
  });

  test.each(Object.entries({ ...FACTS, ...CACHES }))(
    'the application may not change %s at all',
    async (table, column) => {
      const changes = [
        db.raw('update ?? set ?? = ??', [table, column, column]),
        db.raw('delete from ??', [table]),
        db.raw('truncate ??', [table]),
        db.raw('truncate ?? cascade', [table]),
        db.raw('alter table ?? disable trigger all', [table]),
        db.raw('drop table ??', [table]),
      ];
      for (const change of changes) await expect(change).rejects.toMatchObject({ code: '42501' });
    },
  );

  test('the application may lock a pool, and not give it to somebody else', async () => {
    const place = await Place.open(database, '1');
    const given = db.raw(`update pools set owner = 'user' where id = ?`, [place.contract]);
    await expect(given).rejects.toMatchObject({ code: 'HF002' });
  });

  test('the application may make nothing of its own, and change no rule', async () => {
    const found = await firstRow<{ who: string; superuser: string }>(
      db,
      `select current_user as who, current_setting('is_superuser') as superuser`,
    );
    expect(found).toEqual({ who: 'holdfast_application', superuser: 'off' });
    const attempts = [
      'set session_replication_role = replica',
      'create table mine (id int)',
      'create schema mine',
      `create function mine() returns int language sql return 1`,
      'create trigger mine before insert on lots for each row execute function begin_whole()',
      'drop trigger lots_begin_whole on lots',
      'alter function apply_operations() security invoker',
      'create role mine',
    ];
    for (const attempt of attempts) await expect(db.raw(attempt)).rejects.toMatchObject({ code: '42501' });
  });
});

describe('the database itself refuses', () => {
  let place: Place;
  let individual: string;
  let theirs: string;
  let shared: string;
  let courtesy: string;
  beforeAll(async () => {
    place = await Place.open(database, '10');
    [individual, theirs, courtesy, shared] = [place.lotId(2), place.lotId(3), place.lotId(4), place.sharedLot];
    await place.accept(
      place.grantIndividual(amount('10'), individual),
      place.grantIndividual(amount('10'), theirs, place.otherUser),
      grant({ lot: { id: courtesy, poolId: place.contract, kind: 'courtesy', source: 'courtesy', advance: true } }),
      // Two credits of job 1 are reserved, two of job 3 were captured, job 2 was released.
      reserve({ ...place.spending(1), amount: amount('2') }),
      reserve({ ...place.spending(2) }),
      release(place.spending(2)),
      reserve({ ...place.spending(3), amount: amount('2') }),
      settle({ ...place.spending(3), actual: amount('2') }),
    );
  });

  describe('when the owner of the schema writes', () => {
    test.each([
      ['another owner', 'pool_id', () => place.otherUser],
      ['another kind', 'kind', () => 'courtesy'],
      ['another source', 'source', () => 'courtesy'],
      ['another amount', 'granted', () => '11'],
      ['another reference', 'reference', () => 'another'],
      ['another purchase', 'purchased_at', () => atHour(-5)],
      ['a repayment', 'advance', () => true],
    ])('%s for a lot', async (_, name, value) => {
      await expect(owner.raw('update lots set ?? = ? where id = ?', [name, value(), individual])).rejects.toMatchObject(
        {
          code: 'HF002',
        },
      );
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
      await expect(owner.raw(sql, [shared])).rejects.toMatchObject({ code: '23514', constraint });
    });

    test('an individual lot that expires', async () => {
      const change = owner.raw('update lots set expires_at = ? where id = ?', [atHour(9000), individual]);
      await expect(change).rejects.toMatchObject({ constraint: 'lot_expiry_fits_its_kind' });
    });

    test('another owner for a pool, and another amount for a budget', async () => {
      const budget = aBudget({ id: idOf('budget', 7, place.number), contractId: place.contract, userId: place.user });
      await place.accept(openBudget({ budget }));
      const larger = owner.raw('update budgets set amount = amount + 1 where id = ?', [budget.id]);
      await expect(larger).rejects.toMatchObject({ code: 'HF002' });
      await place.accept(closeBudget({ budgetId: budget.id, contractId: place.contract }));
      const reopened = owner.raw('update budgets set closed_at = null where id = ?', [budget.id]);
      await expect(reopened).rejects.toMatchObject({ code: 'HF002' });
      const given = owner.raw(`update pools set owner = 'user' where id = ?`, [place.contract]);
      await expect(given).rejects.toMatchObject({ code: 'HF002' });
    });

    test('another life for a lot whose end is booked', async () => {
      const here = await Place.open(database, '1');
      await here.accept(expire({ lotId: here.sharedLot, poolId: here.contract, at: atHour(9000) }));
      const longer = owner.raw('update lots set expires_at = ? where id = ?', [atHour(9999), here.sharedLot]);
      await expect(longer).rejects.toMatchObject({ code: 'HF002' });
      const alive = owner.raw('update lots set ended_as = null where id = ?', [here.sharedLot]);
      await expect(alive).rejects.toMatchObject({ code: 'HF002' });
    });
  });

  /** What an entry of the journal is written as, with parts of it changed. */
  function row(
    operation: Operation | Repayment,
    transfers: readonly Transfer[],
    changed: Partial<ByHand['rows'][number]> = {},
  ) {
    return { ...rowOf({ operation, transfers, absorbed: ZERO }), ...changed };
  }

  function move(from: Transfer['from'], to: Transfer['to'], lotId: string, credits = '1'): Transfer {
    return { lotId, from, to, amount: amount(credits) };
  }

  /** One credit of a lot repays one that a job used of another. */
  function repayment(paying: string, advance: string) {
    const base = { at: atHour(1), actor: 'test', reason: 'a test asks for it' };
    const operation = { ...base, kind: 'repay' as const, subject: paying, act: `repay/${advance}`, advanceId: advance };
    return row(operation, [move('available', 'consumed', paying), move('consumed', 'withdrawn', advance)]);
  }

  /** A job that used up some credits of a lot. */
  function used(lotId: string, credits = '1') {
    return [
      row(reserve(place.spending(9)), [move('available', 'reserved', lotId, credits)]),
      row(settle(place.spending(9)), [move('reserved', 'consumed', lotId, credits)]),
    ];
  }

  type Attempt = (trx: Trx) => PromiseLike<unknown>;

  /** Linked as it must be. */
  function append(...rows: ByHand['rows'][number][]): Attempt {
    return (trx) => appendByHand(trx, { rows, poolIds: [place.contract] });
  }

  function linked(changed: NonNullable<ByHand['changed']>): Attempt {
    return (trx) =>
      appendByHand(trx, { rows: [row(release(place.spending(8)), [])], poolIds: [place.contract], changed });
  }

  /** Tries something as the application could, up to its commit. Nothing of it stays, should it be let through. */
  async function tryAsApplication(attempt: Attempt): Promise<void> {
    const trx = await db.transaction();
    try {
      await attempt(trx);
      await trx.raw('set constraints all immediate');
    } finally {
      await trx.rollback();
    }
  }

  test('no repayment that is right', async () => {
    await tryAsApplication(append(...used(courtesy), repayment(shared, courtesy)));
  });

  test('nothing of what is right: the same by hand as by the ledger', async () => {
    const here = await Place.open(database, '5');
    const lotId = here.sharedLot;
    const appendHere = (...rows: ByHand['rows'][number][]) =>
      db.transaction((trx) => appendByHand(trx, { rows, poolIds: [here.contract] }));
    await appendHere(row(reserve(here.spending(1)), [move('available', 'reserved', lotId)]));
    await appendHere(
      row(topUp(here.spending(1)), [move('available', 'reserved', lotId)]),
      row(settle({ ...here.spending(1), actual: amount('1.5') }), [
        move('reserved', 'consumed', lotId, '1.5'),
        move('reserved', 'available', lotId, '0.5'),
      ]),
    );
    const granting = here.grant(amount('4'), here.lotId(2));
    await appendHere(
      row(refund({ ...here.spending(1), refundId: idOf('refund', 1, here.number), amount: amount('1.5') }), [
        move('consumed', 'available', lotId, '1.5'),
      ]),
      row(granting, [move('granted', 'available', here.lotId(2), '4')]),
    );
    await appendHere(
      row(expire({ lotId, poolId: here.contract, at: atHour(8760) }), [move('available', 'expired', lotId, '5')]),
    );
    expect(await here.lot()).toMatchObject({ expired: amount('5'), endedAs: 'expired' });
    // The ledger goes on from there.
    expect(await here.accept(reserve(here.spending(2)))).toMatchObject([{ transfers: [{ lotId: here.lotId(2) }] }]);
  });

  const refusal = (message: RegExp, code = 'HF004') => ({ code, message: expect.stringMatching(message) });
  const MALFORMED = refusal(/ is no /);
  const TRANSFER = refusal(/ cannot make the transfer /);
  const CLOSING = refusal(/^.*the closing of job /s);
  const CLOSED = refusal(/ is closed, or is not reserved for whom this draws/);
  const REFUND = refusal(/ is given back than job /);
  const GRANT = refusal(/ was not granted as its operation says/);
  const CHAIN = refusal(/ does not continue the chain /, 'HF005');

  test.each<[string, object, () => Attempt]>([
    [
      'a draw on another user’s lot',
      TRANSFER,
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', theirs)])),
    ],
    [
      'a draw on another user’s lot by a settlement',
      TRANSFER,
      () =>
        append(
          row(settle(place.spending(1)), [
            move('available', 'reserved', theirs),
            move('reserved', 'consumed', theirs),
            move('reserved', 'available', individual, '2'),
          ]),
        ),
    ],
    [
      'a draw for nobody',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', individual)], { userId: null })),
    ],
    [
      'a draw before a life began',
      TRANSFER,
      () => append(row(reserve({ ...place.spending(8), at: atHour(-1) }), [move('available', 'reserved', individual)])),
    ],
    [
      'a draw when a life was over',
      TRANSFER,
      () => append(row(reserve({ ...place.spending(8), at: atHour(8760) }), [move('available', 'reserved', shared)])),
    ],
    [
      'a draw of more than there is',
      { code: '23514', constraint: 'lot_available_not_negative' },
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', shared, '11')])),
    ],
    [
      'a capture of what another job holds',
      CLOSING,
      () =>
        append(
          row(reserve(place.spending(8)), []),
          row(settle(place.spending(8)), [move('reserved', 'consumed', individual, '2')]),
        ),
    ],
    [
      'a release of what another job holds',
      CLOSING,
      () => append(row(release(place.spending(8)), [move('reserved', 'available', individual, '2')])),
    ],
    [
      'a settlement that leaves something reserved',
      CLOSING,
      () => append(row(settle(place.spending(1)), [move('reserved', 'consumed', individual)])),
    ],
    [
      'a release that leaves something reserved',
      CLOSING,
      () => append(row(release(place.spending(1)), [move('reserved', 'available', individual)])),
    ],
    [
      'a settlement above the not-to-exceed amount',
      CLOSING,
      () =>
        append(
          row(reserve({ ...place.spending(8), cap: amount('1') }), [move('available', 'reserved', individual)]),
          row(settle(place.spending(8)), [
            move('available', 'reserved', shared, '1'),
            move('reserved', 'consumed', individual),
            move('reserved', 'consumed', shared),
          ]),
        ),
    ],
    [
      'a reservation after the closing',
      CLOSED,
      () => append(row(topUp(place.spending(3)), [move('available', 'reserved', individual)])),
    ],
    [
      'a reservation after a release that found none',
      CLOSED,
      () => append(row(release(place.spending(8)), []), row(reserve(place.spending(8)), [])),
    ],
    [
      'a top-up in the name of another user',
      CLOSED,
      () => append(row(topUp(place.spending(1, place.otherUser)), [move('available', 'reserved', theirs)])),
    ],
    [
      'a top-up of what was never reserved',
      CLOSED,
      () => append(row(topUp(place.spending(8)), [move('available', 'reserved', individual)])),
    ],
    [
      'a second reserve of a job under another act',
      CLOSED,
      () => append(row(reserve({ ...place.spending(1), act: 'reserve/again' }), [])),
    ],
    [
      'a second closing',
      { code: '23505', constraint: 'operations_key' },
      () => append(row(release(place.spending(3)), [])),
    ],
    [
      'a refund above what was captured',
      REFUND,
      () =>
        append(
          ...used(individual),
          row(refund({ ...place.spending(3), amount: amount('2.000001') }), [
            move('consumed', 'available', individual, '2.000001'),
          ]),
        ),
    ],
    [
      'two refunds that are above it together',
      REFUND,
      () =>
        append(
          ...used(individual),
          ...[1, 2].map((n) =>
            row(refund({ ...place.spending(3), refundId: idOf('refund', 90 + n, place.number) }), [
              move('consumed', 'available', individual, '1.5'),
            ]),
          ),
        ),
    ],
    [
      'a refund to another lot than was captured',
      REFUND,
      () => append(...used(shared), row(refund(place.spending(3)), [move('consumed', 'available', shared)])),
    ],
    [
      'a repayment by another lot than a shared one of the same contract',
      refusal(/does not repay/),
      () => append(...used(courtesy), repayment(individual, courtesy)),
    ],
    [
      'a repayment of what was not granted as an advance',
      refusal(/does not repay/),
      () => append(...used(courtesy), repayment(shared, individual)),
    ],
    [
      'a repayment of another amount than is paid',
      MALFORMED,
      () => append(...used(courtesy), { ...repayment(shared, courtesy), amounts: [amount('2'), amount('1')] }),
    ],
    [
      'a refund of a job that was released',
      REFUND,
      () => append(row(refund(place.spending(2)), [move('consumed', 'available', individual)])),
    ],
    [
      'a move that does not fit its kind',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [move('available', 'expired', individual)])),
    ],
    [
      'a move that there is not',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', individual)], { moves: 'aa' })),
    ],
    [
      'a grant of credits that are there already',
      MALFORMED,
      () => append(row(changeLife({ lotId: shared }), [move('granted', 'available', shared)])),
    ],
    [
      'a kind that there is not',
      MALFORMED,
      () => append(row(raiseCap(place.spending(1)), [], { kind: 'transfer', cap: null })),
    ],
    ['a closing under another act', MALFORMED, () => append(row(release(place.spending(8)), [], { act: 'close/2' }))],
    [
      'more moves than lots',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', individual)], { moves: 'arar' })),
    ],
    [
      'an amount of zero',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', individual, '0')])),
    ],
    [
      'an amount below zero',
      MALFORMED,
      () =>
        append(
          row(reserve(place.spending(8)), [{ ...move('available', 'reserved', individual), amount: credits(-5n) }]),
        ),
    ],
    [
      'an absorbed amount of a reserve',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [], { absorbed: amount('1') })),
    ],
    [
      'a grant whose lot has another amount',
      GRANT,
      () => append(row(place.grant(amount('4'), place.lotId(9)), [move('granted', 'available', place.lotId(9), '5')])),
    ],
    [
      'a grant whose lot has another life',
      GRANT,
      () =>
        append(
          row(place.grant(amount('4'), place.lotId(9)), [move('granted', 'available', place.lotId(9), '4')], {
            expiresAt: atHour(8759),
          }),
        ),
    ],
    [
      'a grant of another lot than its own',
      MALFORMED,
      () => append(row(place.grant(amount('4'), place.lotId(9)), [move('granted', 'available', shared, '4')])),
    ],
    [
      'a grant of a lot that does not exist',
      GRANT,
      () =>
        append(
          row(place.grant(amount('4'), place.lotId(9)), [move('granted', 'available', place.lotId(9), '4')], {
            lot: null,
          }),
        ),
    ],
    [
      'an end of another lot than its own',
      MALFORMED,
      () =>
        append(
          row(expire({ lotId: place.lotId(9), poolId: place.contract, at: atHour(8760) }), [
            move('available', 'expired', shared, '10'),
          ]),
        ),
    ],
    [
      'an end that leaves something available',
      { constraint: 'lot_ended_has_nothing_available' },
      () =>
        append(
          row(expire({ lotId: shared, poolId: place.contract, at: atHour(8760) }), [
            move('available', 'expired', shared),
          ]),
        ),
    ],
    [
      'a grace of an individual lot',
      { constraint: 'lot_grace_follows_a_shared_expiry' },
      () => {
        const granting = place.grantIndividual(amount('1'), place.lotId(98));
        const lot = { ...granting.lot, graceUntil: atHour(9) };
        return append(row({ ...granting, lot }, [move('granted', 'available', lot.id)]));
      },
    ],
    [
      'a grace that a changed life gives to a courtesy lot',
      { constraint: 'lot_grace_follows_a_shared_expiry' },
      () =>
        append(row(changeLife({ lotId: courtesy, poolId: place.contract, life: { graceUntil: atHour(9_999) } }), [])),
    ],
    [
      'a grace without an expiry before it',
      MALFORMED,
      () => append(row(changeLife({ lotId: shared, poolId: place.contract, life: { graceUntil: atHour(9) } }), [])),
    ],
    [
      'a grace of what is no life',
      MALFORMED,
      () => append(row(reserve(place.spending(8)), [], { expiresAt: atHour(8), graceUntil: atHour(9) })),
    ],
    [
      'another grace than the lot was granted with',
      GRANT,
      () => {
        const transfers = [move('granted', 'available', place.lotId(98))];
        return append(row(place.grant(amount('1'), place.lotId(98)), transfers, { graceUntil: atHour(9_999) }));
      },
    ],
    [
      'an expiry that did not come yet',
      refusal(/ is not over yet/),
      () =>
        append(
          row(expire({ lotId: shared, poolId: place.contract, at: atHour(8759) }), [
            move('available', 'expired', shared, '10'),
          ]),
        ),
    ],
    [
      'an expiry of an individual lot',
      refusal(/ is not over yet/),
      () =>
        append(row(expire({ lotId: theirs, poolId: place.otherUser }), [move('available', 'expired', theirs, '10')])),
    ],
    [
      'a withdrawal without notice',
      refusal(/ is not over yet/),
      () =>
        append(
          row(withdraw({ lotId: theirs, poolId: place.otherUser }), [move('available', 'withdrawn', theirs, '10')]),
        ),
    ],
    [
      'an amount that is not there',
      MALFORMED,
      () =>
        append({
          ...row(reserve(place.spending(8)), [
            move('available', 'reserved', individual),
            move('available', 'reserved', individual),
          ]),
          amounts: [amount('1'), null as never],
        }),
    ],
    [
      'a not-to-exceed amount below zero',
      { code: '23514' },
      () => append(row(reserve(place.spending(8)), [], { cap: credits(-1n) })),
    ],
    [
      'a transfer of a lot that does not exist',
      refusal(/do not exist/),
      () => append(row(reserve(place.spending(8)), [move('available', 'reserved', place.lotId(99))])),
    ],
    ['a link that leaves one out', CHAIN, () => linked((link) => ({ ...link, seq: link.seq + 1n }))],
    ['a link for a second time', { code: '23505' }, () => linked((link) => ({ ...link, seq: link.seq - 1n }))],
    ['a link with another head', CHAIN, () => linked((link) => ({ ...link, head: Buffer.alloc(32, 7) }))],
    [
      'a link that forgets how late something counted',
      CHAIN,
      () => linked((link) => ({ ...link, bookedMax: atHour(0) })),
    ],
    [
      'a link of a pool that does not exist',
      CHAIN,
      () => linked((link) => ({ ...link, poolId: idOf('contract', 99, place.number) })),
    ],
    [
      'a batch that was recorded before the one before it',
      CHAIN,
      () => (trx) =>
        appendByHand(trx, {
          rows: [row(release(place.spending(8)), [])],
          poolIds: [place.contract],
          recordedAt: atHour(0),
        }),
    ],
  ])('%s', async (_, refusal, attempt) => {
    await expect(tryAsApplication(attempt())).rejects.toMatchObject(refusal);
  });

  function lotByHand(given: Record<string, unknown> = {}) {
    return {
      id: place.lotId(77),
      pool_id: place.contract,
      pool_owner: 'contract',
      kind: 'shared',
      source: 'purchase',
      granted: '5',
      available: '5',
      reserved: '0',
      consumed: '0',
      expired: '0',
      withdrawn: '0',
      effective_at: atHour(0),
      expires_at: atHour(10),
      ...given,
    };
  }

  test('a lot that was never granted', async () => {
    await expect(db('lots').insert(lotByHand())).rejects.toMatchObject(refusal(/ was never granted/));
  });

  test.each([
    ['partly used', { available: '4', consumed: '1' }],
    ['reserved', { available: '0', reserved: '5' }],
    ['over already', { available: '0', expired: '5', ended_as: 'expired' }],
  ])('a lot that begins %s', async (_, buckets) => {
    await expect(db('lots').insert(lotByHand(buckets))).rejects.toMatchObject(refusal(/ must begin with all /));
  });

  test('an individual lot in a contract’s pool, and a shared one in a user’s', async () => {
    const misfit = { constraint: 'lot_kind_fits_its_owner' };
    const ofUser = { pool_owner: 'user', pool_id: place.user };
    const individualLot = { kind: 'individual', expires_at: null };
    await expect(db('lots').insert(lotByHand(individualLot))).rejects.toMatchObject(misfit);
    await expect(db('lots').insert(lotByHand(ofUser))).rejects.toMatchObject(misfit);
    // Nor by saying that the pool has another owner than it has.
    const lied = db('lots').insert(lotByHand({ ...individualLot, pool_owner: 'user' }));
    await expect(lied).rejects.toMatchObject({ code: '23503' });
  });

  test('credits that are moved in any other way than by an operation', async () => {
    const moved = db.raw('update lots set available = available - 1, consumed = consumed + 1 where id = ?', [shared]);
    await expect(moved).rejects.toMatchObject({ code: '42501' });
  });
});

test('a release before its reserve leaves a mark, and the late reserve is refused', async () => {
  const place = await Place.open(database, '5');
  await place.accept(release(place.spending(1)));
  expect(await reservationsOf(db, [place.job(1)])).toMatchObject([{ state: 'released', draws: [] }]);
  expect(await applyOne(reserve(place.spending(1)))).toMatchObject({ code: 'reservation_closed' });
  expect(await place.lot()).toMatchObject({ available: amount('5') });
});

test('nobody’s individual credits pay for another user’s job, even when that user asks for it', async () => {
  const place = await Place.open(database, '5');
  const theirs = place.lotId(2);
  await place.accept(place.grantIndividual(amount('10'), theirs, place.otherUser), reserve(place.spending(1)));
  const asked = [
    topUp({ ...place.spending(1, place.otherUser), target: amount('3') }),
    settle({ ...place.spending(1, place.otherUser), actual: amount('3') }),
  ];
  expect(await ledger.applyBatch(asked)).toMatchObject([{ accepted: false }, { accepted: false }]);
  expect(await place.lot(theirs)).toMatchObject({ available: amount('10') });
});

test('a lot’s life is not changed or ended in the name of another owner', async () => {
  const [place, other] = [await Place.open(database, '5'), await Place.open(database, '5')];
  const misnamed = { lotId: place.sharedLot, poolId: other.contract, at: atHour(9000) };
  for (const operation of [expire(misnamed), withdraw(misnamed), changeLife(misnamed)]) {
    expect(await applyOne(operation)).toMatchObject({ accepted: false, code: 'not_found' });
  }
  expect(await place.lot()).toMatchObject({ available: amount('5'), endedAs: null });
});

test('what is granted in a batch can be reserved in the same batch', async () => {
  const place = await Place.open(database, '1');
  const granting = place.grant(amount('4'), place.lotId(2));
  await place.accept(granting, reserve({ ...place.spending(1), amount: amount('5') }));
  expect(await place.lot(place.lotId(2))).toMatchObject({ available: 0n, reserved: amount('4') });
});

test('a batch of nothing is answered with nothing', async () => {
  expect(await ledger.applyBatch([])).toEqual([]);
});

test('operations are decided in the order in which they arrive', async () => {
  const place = await Place.open(database, '10');
  // Two credits each: the first five find them, whoever asks.
  const asked = Array.from({ length: 8 }, (_, n) =>
    applyOne(reserve({ ...place.spending(n, n % 2 ? place.user : place.otherUser), amount: amount('2') })),
  );
  const outcomes = await Promise.all(asked);
  expect(outcomes.map(({ accepted }) => accepted)).toEqual([true, true, true, true, true, false, false, false]);
});

test('the journal tells the story of a job in the order in which it happened', async () => {
  const place = await Place.open(database, '9');
  await place.accept(reserve({ ...place.spending(1), amount: amount('2') }));
  await place.accept(topUp({ ...place.spending(1), target: amount('5') }));
  await place.accept(settle({ ...place.spending(1), actual: amount('4'), at: atHour(3) }));
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

test('what is recorded later is never said to be recorded earlier, whatever a clock says', async () => {
  const place = await Place.open(database, '5');
  const ahead = atHour(24 * 365 * 20);
  const marking = rowOf({ operation: release(place.spending(1)), transfers: [], absorbed: ZERO });
  await db.transaction((trx) => appendByHand(trx, { rows: [marking], poolIds: [place.contract], recordedAt: ahead }));
  await place.accept(reserve(place.spending(2)));
  const last = await firstRow(db, 'select recorded_at as at from links where pool_id = ? order by seq desc limit 1', [
    place.contract,
  ]);
  expect(last).toEqual({ at: ahead });
});

describe('the laws are noticed when they are broken', () => {
  test.each<[string, string, RegExp]>([
    [
      'a bucket that no transfer filled',
      'update lots set available = available - 1, consumed = consumed + 1 where id = :lot',
      /transfers give/,
    ],
    [
      'a life that no operation gave',
      `update lots set expires_at = expires_at + interval '1 day' where id = :lot`,
      /its operations say/,
    ],
    [
      'a pool that is not at its last link',
      'update pools set seq = seq + 1 where id = (select pool_id from lots where id = :lot)',
      /does not continue/,
    ],
    [
      'an operation with another amount',
      'update operations set amounts[1] = amounts[1] - 1 where subject = :lot',
      /transfers give/,
    ],
    ['an operation that is gone', 'delete from operations where subject = :open', /transfers give/],
    [
      'an operation that says something else',
      `update operations set reason = 'another' where subject = :closed`,
      /digested/,
    ],
    [
      'a life that ended before a draw',
      `update operations set expires_at = effective_at + interval '1 minute' where subject = :lot`,
      /outside its life/,
    ],
    ['a cap below what is held', 'update operations set cap = 1 where subject = :open', /not-to-exceed/],
    [
      'a spender who is another',
      `update operations set user_id = :other where subject = :open and kind = 'topUp'`,
      /another spender/,
    ],
    [
      'a second closing',
      `update operations set act = 'x', kind = 'release' where subject = :closed and kind = 'topUp'`,
      /closed more/,
    ],
    [
      'a batch with another clock',
      `update batches set recorded_at = recorded_at + interval '1 second'
       where id = (select batch_id from operations where subject = :lot)`,
      /does not continue/,
    ],
    [
      'a link that is gone',
      'delete from links where batch_id = (select batch_id from operations where subject = :lot)',
      /does not continue/,
    ],
  ])('%s', async (_, sql, named) => {
    const place = await Place.open(database, '7');
    await place.accept(
      reserve({ ...place.spending(1), amount: amount('2') }),
      topUp({ ...place.spending(1), target: amount('3') }),
      release(place.spending(1)),
      reserve({ ...place.spending(2) }),
      topUp({ ...place.spending(2) }),
    );
    const trx = await owner.transaction();
    try {
      for (const table of ['operations', 'batches', 'links']) {
        await trx.raw('alter table ?? disable trigger user', [table]);
      }
      const ids = { lot: place.sharedLot, closed: place.job(1), open: place.job(2), other: place.otherUser };
      const { rowCount } = await trx.raw(sql, ids);
      expect(rowCount).toBeGreaterThan(0);
      expect((await brokenInvariants(trx)).join('\n')).toMatch(named);
    } finally {
      await trx.rollback();
    }
  });
});
