import { type Chance, chanceOf } from '../dev/chaos/chance';
import { CLIENT_NAME, type LedgerClient, startClient } from '../dev/faults/clients';
import { credits } from '../domain/credits';
import type { Operation, Outcome, Spender } from '../domain/operations';
import { atHour } from '../test/builders/ids';
import { amount, changeLife, expire, release, reserve, settle, topUp, withdraw } from '../test/builders/ledger';
import { repeatably, SEED } from '../test/builders/seed';
import { eventually } from '../test/world/eventually';
import { firstRow, rows } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { Place } from './testing/place';

jest.setTimeout(120_000);

/** Real processes, each with a ledger of its own: they share nothing but the database. */
const PROCESSES = 4;

let database: TestDatabase;
let clients: readonly LedgerClient[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  clients = Array.from({ length: PROCESSES }, () => startClient(database.url));
  await Promise.all(clients.map(({ ready }) => ready));
});

afterEach(async () => {
  expect(await brokenInvariants(database.db)).toEqual([]);
});

afterAll(async () => {
  await Promise.all(clients.map((one) => one.stop()));
  await database?.drop();
});

function client(n: number): LedgerClient {
  const one = clients[n % clients.length];
  if (!one) throw new Error('no process was started');
  return one;
}

async function accepted(asked: Promise<Outcome>): Promise<Outcome> {
  const outcome = await asked;
  if (!outcome.accepted) throw new Error(outcome.message);
  return outcome;
}

/** Jobs one after the other, each from its reservation to its end; what is refused for lack of credits is left. */
async function runJobs(
  one: LedgerClient,
  {
    jobIds,
    spenders,
    chance,
    hour = 1,
  }: { jobIds: readonly string[]; spenders: readonly Spender[]; chance: Chance; hour?: number },
): Promise<void> {
  const micro = (max: number) => credits(BigInt(chance.between(0, max)));
  for (const jobId of jobIds) {
    const job = { ...chance.pick(spenders), jobId, at: atHour(hour) };
    const reserved = await one.apply(reserve({ ...job, amount: micro(3_000_000), cap: amount('6') }));
    if (!reserved.accepted) continue;
    if (chance.between(0, 1) === 0) await one.apply(topUp({ ...job, target: micro(6_000_000) }));
    const closing = chance.between(0, 3) === 0 ? release(job) : settle({ ...job, actual: micro(7_000_000) });
    await accepted(one.apply(closing));
  }
}

async function reservedIn(poolIds: readonly string[]): Promise<unknown> {
  const sql = 'select coalesce(sum(reserved), 0)::bigint as reserved from lots where pool_id = any(?::uuid[])';
  return firstRow(database.db, sql, [poolIds]);
}

test('many processes on one pool leave nothing reserved and every credit accounted for, round after round', async () => {
  const place = await Place.open(database, '2000');
  const chance = chanceOf(SEED);
  await repeatably(async () => {
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        Array.from({ length: 5 * PROCESSES }, (_, lane) => {
          const jobIds = Array.from({ length: 6 }, (_, n) => place.job(1000 * (round + 1) + 10 * lane + n));
          const spenders = [place.spending(0), place.spending(0, place.otherUser)];
          return runJobs(client(lane), { jobIds, spenders, chance: chanceOf(chance.between(0, 2 ** 31)) });
        }),
      );
      expect(await brokenInvariants(database.db)).toEqual([]);
      expect(await reservedIn([place.contract])).toEqual({ reserved: 0n });
    }
  });
  const [captured] = await rows<{ amount: bigint }>(
    database.db,
    `select sum(amount)::bigint as amount from transfers where lot_id = ? and to_bucket = 'consumed'`,
    [place.sharedLot],
  );
  expect(await place.lot()).toMatchObject({ consumed: captured?.amount });
});

test('many processes on pools that overlap do the same, and none waits for ever', async () => {
  const places = [
    await Place.open(database, '500'),
    await Place.open(database, '500'),
    await Place.open(database, '3'),
  ];
  const users = places.flatMap((place) => [place.user, place.otherUser]);
  for (const { contract } of places) {
    await database
      .owner('contract_users')
      .insert(
        users
          .filter(
            (user) =>
              !places.some((place) => place.contract === contract && [place.user, place.otherUser].includes(user)),
          )
          .map((user_id) => ({ contract_id: contract, user_id, role: 'submitter', authorised_at: atHour(0) })),
      );
  }
  for (const place of places) {
    await place.accept(
      place.grantIndividual(amount('20'), place.lotId(2)),
      place.grantIndividual(amount('20'), place.lotId(3), place.otherUser),
    );
  }
  const contracts = [...places.map(({ contract }) => contract), null];
  const spenders = users.flatMap((userId) => contracts.map((contractId) => ({ userId, contractId })));
  const chance = chanceOf(SEED);
  await repeatably(async () => {
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 6 * PROCESSES }, (_, lane) => {
          const place = places[lane % places.length] as Place;
          const jobIds = Array.from({ length: 5 }, (_, n) => place.job(1000 * (round + 1) + 10 * lane + n));
          return runJobs(client(lane), { jobIds, spenders, chance: chanceOf(chance.between(0, 2 ** 31)) });
        }),
      );
      expect(await brokenInvariants(database.db)).toEqual([]);
    }
  });
  expect(await reservedIn([...places.map(({ contract }) => contract), ...users])).toEqual({ reserved: 0n });
});

test('batches that name the same pools in opposite orders do not hinder each other', async () => {
  const [a, b] = [await Place.open(database, '400'), await Place.open(database, '400')];
  for (let round = 1; round <= 20; round++) {
    const asked = Array.from({ length: PROCESSES }, (_, n) => {
      const job = 10 * round + n;
      const batch = [reserve(a.spending(job)), reserve(b.spending(job)), reserve(a.spending(job + 1000, a.otherUser))];
      if (n % 2 === 1) batch.reverse();
      return batch.map((operation) => accepted(client(n).apply(operation)));
    });
    await Promise.all(asked.flat());
  }
  expect(await a.lot()).toMatchObject({ reserved: amount(String(2 * 20 * PROCESSES)) });
  expect(await b.lot()).toMatchObject({ reserved: amount(String(20 * PROCESSES)) });
});

test('of two users who want the last credit exactly one gets it, and the other hears what is missing', async () => {
  for (let round = 0; round < 40; round++) {
    const place = await Place.open(database, '1');
    const asked = [place.user, place.otherUser].map((userId, n) =>
      client(round + n).apply(reserve(place.spending(n, userId))),
    );
    const outcomes = await Promise.all(round % 2 === 0 ? asked : asked.reverse());
    expect(outcomes.filter((outcome) => outcome.accepted)).toHaveLength(1);
    expect(outcomes.find((outcome) => !outcome.accepted)).toMatchObject({
      code: 'insufficient_credits',
      details: { required: '1', available: '0', shortfall: '1' },
    });
    expect(await place.lot()).toMatchObject({ available: 0n, reserved: amount('1') });
  }
});

describe('a settlement that races', () => {
  /** What a lot of ten credits, three of them reserved for the job, may be in the end. */
  interface End {
    readonly consumed: string;
    readonly absorbed: string;
    readonly available?: string;
    readonly expired?: string;
    readonly withdrawn?: string;
  }

  interface Race {
    readonly lot: 'shared' | 'individual';
    /** When the job is settled, and how much it cost: more than is reserved. */
    readonly hour: number;
    readonly against: (place: Place, lotId: string) => readonly Operation[];
    /** When the settlement was first, when it was last, and when it came in between, where that is something else. */
    readonly ends: readonly [first: End, last: End, between?: End];
  }

  const RACES: readonly (readonly [string, Race])[] = [
    [
      'an expiry',
      {
        lot: 'shared',
        hour: 9,
        against: (place, lotId) => [expire({ lotId, poolId: place.contract, at: atHour(8760) })],
        // What lived when it was reserved stays the job's (R8); what it lacks cannot be drawn any more.
        ends: [
          { consumed: '5', absorbed: '0', expired: '5' },
          { consumed: '3', absorbed: '2', expired: '7' },
        ],
      },
    ],
    [
      'a withdrawal',
      {
        lot: 'individual',
        hour: 9,
        against: (place, lotId) => [
          changeLife({
            lotId,
            poolId: place.user,
            life: { expiresAt: null, withdrawnAt: atHour(10) },
            at: atHour(2),
          }),
          withdraw({ lotId, poolId: place.user, at: atHour(10) }),
        ],
        ends: [
          { consumed: '5', absorbed: '0', withdrawn: '5' },
          { consumed: '3', absorbed: '2', withdrawn: '7' },
        ],
      },
    ],
    [
      'the end of the contract',
      {
        lot: 'shared',
        hour: 11,
        against: (place, lotId) => [
          changeLife({ lotId, poolId: place.contract, life: { expiresAt: atHour(10) }, at: atHour(9) }),
          expire({ lotId, poolId: place.contract, at: atHour(10) }),
        ],
        ends: [
          { consumed: '5', absorbed: '0', expired: '5' },
          { consumed: '3', absorbed: '2', expired: '7' },
        ],
      },
    ],
    [
      'a cancellation',
      {
        lot: 'shared',
        hour: 9,
        against: (place) => [release(place.spending(1))],
        ends: [
          { consumed: '5', absorbed: '0', available: '5' },
          { consumed: '0', absorbed: '0', available: '10' },
        ],
      },
    ],
    [
      'a top-up',
      {
        lot: 'shared',
        hour: 9,
        against: (place) => [topUp({ ...place.spending(1), target: amount('6') })],
        ends: [
          { consumed: '5', absorbed: '0', available: '5' },
          { consumed: '5', absorbed: '0', available: '5' },
        ],
      },
    ],
    [
      'another job that wants all the rest',
      {
        lot: 'shared',
        hour: 9,
        against: (place) => [reserve({ ...place.spending(2), amount: amount('7') }), release(place.spending(2))],
        ends: [
          { consumed: '5', absorbed: '0', available: '5' },
          { consumed: '5', absorbed: '0', available: '5' },
          { consumed: '3', absorbed: '2', available: '7' },
        ],
      },
    ],
  ];

  test.each(RACES)(
    '%s ends legally, whichever was first',
    async (_, { lot, hour, against, ends }) => {
      for (let round = 0; round < 24; round++) {
        const place = await Place.open(database, '10');
        const lotId = lot === 'shared' ? place.sharedLot : place.lotId(2);
        if (lot === 'individual') {
          // Nothing else is there that could pay.
          await place.accept(expire({ lotId: place.sharedLot, poolId: place.contract, at: atHour(8760) }));
          await place.accept(place.grantIndividual(amount('10'), lotId));
        }
        await place.accept(reserve({ ...place.spending(1), amount: amount('3'), cap: amount('6') }));
        const settling = settle({ ...place.spending(1), actual: amount('5'), at: atHour(hour) });
        const settleIt = () => client(round).apply(settling);
        const opposeIt = async () => {
          for (const operation of against(place, lotId)) await client(round + 1).apply(operation);
        };
        // Both orders for certain, and then as it comes.
        const order = round % 4;
        if (order === 0) await settleIt().then(opposeIt);
        else if (order === 1) await opposeIt().then(settleIt);
        else await Promise.all(order === 2 ? [settleIt(), opposeIt()] : [opposeIt(), settleIt()]);

        const end = await endOf(place, lotId);
        if (order < 2) expect(end).toEqual(written(ends[order] as End));
        else expect(ends.flatMap((one) => (one ? [written(one)] : []))).toContainEqual(end);
      }
    },
    120_000,
  );

  function written({ consumed, absorbed, available = '0', expired = '0', withdrawn = '0' }: End) {
    return {
      buckets: { available, reserved: '0', consumed, expired, withdrawn },
      absorbed,
    };
  }

  async function endOf(place: Place, lotId: string) {
    const { available, reserved, consumed, expired, withdrawn } = await place.lot(lotId);
    const text = (one: bigint) => String(one / 1_000_000n);
    const found = await firstRow<{ absorbed: bigint | null }>(
      database.db,
      `select absorbed from operations where subject = ? and act = 'close'`,
      [place.job(1)],
    );
    return {
      buckets: {
        available: text(available),
        reserved: text(reserved),
        consumed: text(consumed),
        expired: text(expired),
        withdrawn: text(withdrawn),
      },
      absorbed: text(found?.absorbed ?? 0n),
    };
  }
});

test('a release and a reserve at once leave nothing reserved, whichever was first', async () => {
  const place = await Place.open(database, '40');
  for (let n = 1; n <= 20; n++) {
    const [reserved, released] = await Promise.all([
      client(n).apply(reserve(place.spending(n))),
      client(n + 1).apply(release(place.spending(n))),
    ]);
    expect(released).toMatchObject({ accepted: true });
    expect(reserved).toMatchObject(reserved.accepted ? { transfers: [{}] } : { code: 'reservation_closed' });
  }
  expect(await place.lot()).toMatchObject({ available: amount('40'), reserved: 0n });
});

test('the same operation asked of every process at once is applied once, and all answer the same', async () => {
  const place = await Place.open(database, '40');
  for (let n = 1; n <= 10; n++) {
    const operation = reserve({ ...place.spending(n), amount: amount('2') });
    const outcomes = await Promise.all(clients.map((one) => one.apply(operation)));
    expect(outcomes.filter((outcome) => outcome.accepted && !outcome.replayed)).toHaveLength(1);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ accepted: true, transfers: [{ amount: amount('2') }] });
  }
  expect(await place.lot()).toMatchObject({ reserved: amount('20') });
});

test('processes whose clocks differ by days book each by its own, and no chain goes backwards', async () => {
  const place = await Place.open(database, '900');
  const early = place.lotId(2);
  await place.accept(
    place.grant(amount('900'), early),
    changeLife({ lotId: early, poolId: place.contract, life: { expiresAt: atHour(100) } }),
  );
  const chance = chanceOf(SEED);
  const hours = [50, 99, 100, 200];
  await repeatably(async () => {
    await Promise.all(
      hours.flatMap((hour, n) =>
        [0, 1, 2].map((lane) => {
          const jobIds = Array.from({ length: 8 }, (_, job) => place.job(1000 * (n + 1) + 100 * lane + job));
          return runJobs(client(n), {
            jobIds,
            spenders: [place.spending(0)],
            chance: chanceOf(chance.between(0, 2 ** 31)),
            hour,
          });
        }),
      ),
    );
  });
  const draws = await rows<{ early: boolean; hour: number }>(
    database.db,
    `select distinct lot_id = ?::uuid as early, extract(epoch from booked_at - ?::timestamptz)::int / 3600 as hour
     from transfers
     where to_bucket = 'reserved' and lot_id = any(?::uuid[])
     order by hour`,
    [early, atHour(0), [early, place.sharedLot]],
  );
  // The lot that ends earlier pays first, up to its end by the clock of who asks.
  expect(draws).toEqual(hours.map((hour) => ({ early: hour < 100, hour })));
  const links = await rows<{ bookedMax: string; recordedAt: string }>(
    database.db,
    'select booked_max as "bookedMax", recorded_at as "recordedAt" from links where pool_id = ? order by seq',
    [place.contract],
  );
  expect(links.map(({ bookedMax }) => bookedMax)).toEqual(links.map(({ bookedMax }) => bookedMax).sort());
  expect(links.map(({ recordedAt }) => recordedAt)).toEqual(links.map(({ recordedAt }) => recordedAt).sort());
});

test('in all of this Postgres saw no deadlock', async () => {
  // What a session saw is told when it ends.
  await Promise.all(clients.map((one) => one.stop()));
  const seen = await eventually('the sessions of the processes are gone', async () => {
    const found = await firstRow<{ sessions: bigint; deadlocks: bigint }>(
      database.admin,
      `select deadlocks,
         (select count(*) from pg_stat_activity a where a.datid = d.datid and a.application_name = ?) as sessions
       from pg_stat_database d
       where datname = ?`,
      [CLIENT_NAME, new URL(database.url).pathname.slice(1)],
    );
    return found?.sessions === 0n && found;
  });
  expect(seen).toMatchObject({ deadlocks: 0n });
});
