/** What a contract's calendar brings is booked once and completely, whoever books it, how often, and wherever that breaks off. */
import { randomUUID } from 'node:crypto';
import { chanceOf } from '../dev/chaos/chance';
import { REFUSALS } from '../domain/errors';
import { addMilliseconds, type Instant, parseInstant } from '../domain/instant';
import type { Operation } from '../domain/operations';
import { ContractHistory } from '../test/builders/contractHistory';
import { repeatably, SEED } from '../test/builders/seed';
import { type SaidOfContract, TestContract } from '../test/world/contracts';
import { gate } from '../test/world/gate';
import { connect, rows } from './client';
import { bookDue } from './contractBooking';
import { changeContract } from './contracts';
import { type Ledger, openLedger } from './ledger';
import { listLots } from './lots';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { verifyLedger } from './verify/verifyLedger';

jest.setTimeout(120_000);

const LEDGERS = 3;
const HISTORIES = 60;
const STEPS = 45;

let database: TestDatabase;
let ledgers: Ledger[] = [];
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  ledgers = Array.from({ length: LEDGERS }, () => {
    const db = connect(database.url, { poolMax: 3 });
    const ledger = openLedger(db);
    closing.push(() => ledger.close().then(() => db.destroy()));
    return ledger;
  });
});
afterEach(async () => expect(await brokenInvariants(database.db)).toEqual([]));
afterAll(async () => {
  try {
    expect((await verifyLedger({ kind: 'database', db: database.db })).findings).toEqual([]);
  } finally {
    for (const close of closing) await close();
    await database?.drop();
  }
});

const on = (text: string): Instant => parseInstant(`${text}T00:00:00Z`);

function open(said: SaidOfContract): Promise<TestContract> {
  const { db, ledger } = database;
  const client = undefined as never;
  return TestContract.open({ db, ledger, client }, said);
}

const asked = (contract: TestContract) => ({
  contractId: contract.id,
  requestId: randomUUID(),
  actor: 'test',
  reason: 'test',
});

/** A contract of twelve days with a lot for each kind of end, some of it reserved, and what its calendar must move. */
async function contractOfManyEnds() {
  const contract = await open({ startsAt: on('2024-12-20'), endsAt: on('2025-01-01'), graceDays: 10 });
  const old = await contract.buy('10', on('2023-12-25'), on('2024-12-20'));
  const twin = await contract.buy('11', on('2023-12-25'), on('2024-12-20'));
  const young = await contract.buy('20', on('2024-12-20'));
  const gift = await contract.give('3', on('2024-12-20'), on('2024-12-28'));
  await contract.reserve(randomUUID(), '4', on('2024-12-21'));
  const expected = [
    '2024-12-25 00:00 expire: old available → expired 6',
    '2024-12-25 00:00 expire: twin available → expired 11',
    '2024-12-28 00:00 expire: gift available → expired 3',
    '2025-01-01 00:00 expire: young available → expired 20',
  ];
  const names = { [old]: 'old', [twin]: 'twin', [young]: 'young', [gift]: 'gift' };
  const expired = async () => (await contract.journal(names)).filter((line) => line.includes('expire')).sort();
  return { contract, expected, expired };
}

async function untilBooked(ledger: Ledger, { id }: TestContract, at: Instant): Promise<void> {
  while ((await bookDue(ledger, id, at)).more);
}

/** What was told: once each, and of each lot and end. */
const TOLD_LATE = ['contract-activated', 'contract-closed', 'contract-ended', ...Array(4).fill('lot-expired')];

describe('a calendar', () => {
  it('is booked once by several who book it at the same time, at every step of it', async () => {
    const { contract, expected, expired } = await contractOfManyEnds();
    for (const day of [
      '2024-12-15',
      '2024-12-20',
      '2024-12-24',
      '2024-12-25',
      '2024-12-27',
      '2024-12-28',
      '2024-12-31',
      '2025-01-01',
      '2025-01-10',
      '2025-01-11',
      '2025-03-01',
    ]) {
      await Promise.all(ledgers.map((ledger) => untilBooked(ledger, contract, on(day))));
      await Promise.all(ledgers.map((ledger) => untilBooked(ledger, contract, on(day))));
      expect(await expired()).toEqual(expected.filter((line) => certainAt(line) <= day));
    }
    expect(await contract.changes()).toEqual(['create', 'activate', 'close']);
    expect((await contract.told()).filter((kind) => !/ending|expiring/.test(kind)).sort()).toEqual(TOLD_LATE.sort());
  });

  it('is booked late by several at the same time as if each instant had been met', async () => {
    const { contract, expected, expired } = await contractOfManyEnds();
    await Promise.all(ledgers.map((ledger) => untilBooked(ledger, contract, on('2026-01-01'))));
    expect(await expired()).toEqual(expected);
    expect(await contract.changes()).toEqual(['create', 'activate', 'close']);
    expect((await contract.told()).sort()).toEqual(TOLD_LATE.sort());
  });

  it('is booked completely and once after it broke off, at whatever point', async () => {
    for (let point = 0; ; point++) {
      const { contract, expected, expired } = await contractOfManyEnds();
      const breaking = breakingOff(database.ledger, point);
      const broke = await untilBooked(breaking, contract, on('2026-01-01')).then(
        () => false,
        () => true,
      );
      await untilBooked(database.ledger, contract, on('2026-01-01'));
      expect(await expired()).toEqual(expected);
      expect(await contract.changes()).toEqual(['create', 'activate', 'close']);
      expect((await contract.told()).sort()).toEqual(TOLD_LATE.sort());
      if (!broke) {
        // It broke off before and after every statement of a dozen acts.
        expect(point).toBeGreaterThan(80);
        return;
      }
    }
  });

  it('moves on however often it breaks off', async () => {
    const { contract, expected, expired } = await contractOfManyEnds();
    const chance = chanceOf(SEED);
    await repeatably(async () => {
      for (let round = 0; round < 100; round++) {
        const breaking = breakingOff(database.ledger, chance.between(0, 24));
        await untilBooked(breaking, contract, on('2026-01-01')).catch(() => undefined);
      }
      expect(await expired()).toEqual(expected);
      expect((await contract.told()).sort()).toEqual(TOLD_LATE.sort());
    });
  });
});

/** When what a line says is certain: the day of a lot's own end, or the end of the grace. */
function certainAt(line: string): string {
  return line.includes('young') ? '2025-01-11' : line.slice(0, 10);
}

/** A ledger whose user is gone before, or after, the n-th thing that it is asked. */
function breakingOff(ledger: Ledger, point: number): Ledger {
  let calls = 0;
  const pass = () => {
    if (calls++ === point) throw new Error('broken off');
    if (calls > point) throw new Error('gone');
  };
  const around =
    <Args extends unknown[], Answer>(ask: (...args: Args) => PromiseLike<Answer>) =>
    async (...args: Args): Promise<Answer> => {
      pass();
      const answer = await ask(...args);
      pass();
      return answer;
    };
  const db = new Proxy(ledger.db, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      const bound = value.bind(target);
      return name === 'raw' || name === 'transaction' ? around(bound) : bound;
    },
  });
  return { ...ledger, db, apply: around((operation: Operation) => ledger.apply(operation)) };
}

describe('a contract that is changed while somebody books it', () => {
  it('ends with the lives of its last change, although older ones are booked after them', async () => {
    const contract = await open({ startsAt: on('2024-01-01'), endsAt: on('2024-06-01') });
    const lot = await contract.buy('10', on('2024-02-01'));
    await untilBooked(database.ledger, contract, on('2024-03-01'));
    const change = (at: string, one: Parameters<typeof changeContract>[1]['change']) =>
      changeContract(database.db, { ...asked(contract), at: on(at), change: one });
    await change('2024-03-02', { kind: 'renew', months: 12 });
    // Somebody has read the renewed contract, and is slow.
    const [reading, writing] = [gate(), gate()];
    const slow: Ledger = {
      ...database.ledger,
      apply: async (operation) => {
        reading.open();
        await writing.opened;
        return database.ledger.apply(operation);
      },
    };
    const late = untilBooked(slow, contract, on('2024-03-02'));
    await reading.opened;
    await change('2024-03-03', { kind: 'terminate', at: on('2024-04-01') });
    await untilBooked(ledgers[0] as Ledger, contract, on('2024-03-03'));
    writing.open();
    await within(late, 'the slow one comes to an end');
    await within(untilBooked(ledgers[1] as Ledger, contract, on('2024-03-04')), 'the next one comes to an end');
    const [{ expiresAt } = { expiresAt: null }] = await listLots(database.db, contract.id);
    expect(expiresAt).toBe(on('2024-04-01'));
    // R3: each change is a fact of the ledger, with the instant of the change that brought it.
    const facts = await rows<{ bookedAt: Instant }>(
      database.db,
      `select booked_at as "bookedAt" from operations where subject = ? and kind = 'changeLife' order by batch_id, position`,
      [lot],
    );
    expect(facts.map(({ bookedAt }) => bookedAt)).toEqual([on('2024-03-03'), on('2024-03-02'), on('2024-03-03')]);
    await untilBooked(database.ledger, contract, on('2024-04-01'));
    expect((await contract.journal({ [lot]: 'lot' })).at(-1)).toBe(
      '2024-04-01 00:00 expire: lot available → expired 10',
    );
  });

  it('keeps what came in its grace once it is renewed, and ends it with the grace otherwise', async () => {
    for (const isRenewed of [true, false]) {
      const contract = await open({ startsAt: on('2024-01-01'), endsAt: on('2024-06-01'), graceDays: 10 });
      await untilBooked(database.ledger, contract, on('2024-06-01'));
      const lot = await contract.buy('10', on('2024-06-05'));
      await untilBooked(database.ledger, contract, on('2024-06-06'));
      expect(await contract.reserve(randomUUID(), '1', on('2024-06-05'))).toMatchObject({ accepted: false });
      expect(await contract.journal()).toHaveLength(1);
      const change = { kind: 'renew', months: 24 } as const;
      if (isRenewed) await changeContract(database.db, { ...asked(contract), at: on('2024-06-06'), change });
      await untilBooked(database.ledger, contract, on('2024-06-11'));
      const [{ available, expiresAt } = { available: null, expiresAt: null }] = await listLots(
        database.db,
        contract.id,
      );
      if (isRenewed) expect({ available, expiresAt }).toEqual({ available: 10_000_000n, expiresAt: on('2025-06-05') });
      else expect(await contract.journal({ [lot]: 'lot' })).toHaveLength(2);
    }
  });

  it('is never renewed and expired both', async () => {
    for (let round = 0; round < 12; round++) {
      const contract = await open({ startsAt: on('2024-01-01'), endsAt: on('2024-06-01'), graceDays: 10 });
      const lot = await contract.buy('10', on('2024-02-01'));
      await untilBooked(database.ledger, contract, on('2024-06-01'));
      // The one asked just before the grace was over, the other comes just after; neither knows of the other.
      const [renewed] = await Promise.allSettled([
        changeContract(database.db, {
          ...asked(contract),
          at: addMilliseconds(on('2024-06-11'), -1),
          change: { kind: 'renew', months: 12 },
        }),
        ...ledgers.map((ledger) => untilBooked(ledger, contract, on('2024-06-11'))),
      ]);
      await untilBooked(database.ledger, contract, on('2024-06-12'));
      const [{ available, expired, expiresAt } = { available: 0n, expired: 0n, expiresAt: null }] = await listLots(
        database.db,
        contract.id,
      );
      if (renewed.status === 'fulfilled')
        expect({ available, expiresAt }).toEqual({ available: 10_000_000n, expiresAt: on('2025-02-01') });
      else
        expect({ expired, reason: renewed.reason }).toMatchObject({
          expired: 10_000_000n,
          reason: { code: 'contract_closed' },
        });
      expect(lot).toBeDefined();
    }
  });

  async function within(work: Promise<void>, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not seen: ${what}`)), 10_000);
    });
    await Promise.race([work, late]).finally(() => clearTimeout(timer));
  }
});

it('any history of purchases, jobs, changes and bookings moves what a small model of the rules moves', async () => {
  await repeatably(async () => {
    const seen: Record<string, number> = {};
    for (let number = 0; number < HISTORIES; number++) {
      await runHistory(number, seen);
    }
    // Chance has met what matters.
    for (const what of [
      'renewed in the grace',
      'closed after a grace',
      'closed by termination',
      'expired with twelve months',
      'returned in a grace',
      'returned to an end',
      'refused',
    ]) {
      expect({ what, isMet: (seen[what] ?? 0) > 0 }).toEqual({ what, isMet: true });
    }
  });
});

async function runHistory(number: number, seen: Record<string, number>): Promise<void> {
  const chance = chanceOf(SEED + number);
  const history = new ContractHistory(number, chance, seen);
  const contract = await open(history.opening);
  const story: string[] = [];
  const ledger = () => ledgers[chance.between(0, LEDGERS - 1)] as Ledger;
  try {
    for (let step = 0; step < STEPS && !history.isOver; step++) {
      const { at, act } = history.next();
      story.push(`${at} ${JSON.stringify(act)}`);
      switch (act.kind) {
        case 'book':
          await untilBooked(ledger(), contract, at);
          break;
        case 'buy':
          history.bought(await contract.buy(act.credits, act.purchasedAt, at));
          break;
        case 'give':
          history.bought(await contract.give(act.credits, at, act.expiresAt));
          break;
        case 'reserve':
        case 'settle': {
          const { accepted } = await contract[act.kind](act.jobId, act.credits, at);
          expect(accepted).toBe(act.accepted);
          break;
        }
        case 'release':
          expect(await contract.release(act.jobId, at)).toMatchObject({ accepted: true });
          break;
        case 'change': {
          await untilBooked(ledger(), contract, at);
          const code = await changeContract(database.db, { ...asked(contract), at, change: act.change }).then(
            () => null,
            (error) => error.code,
          );
          story.push(`  ${code}`);
          expect({ accepted: code === null, isRefusal: code === null || code in REFUSALS }).toEqual({
            accepted: act.accepted,
            isRefusal: true,
          });
          await untilBooked(ledger(), contract, at);
          break;
        }
      }
      expect(await bucketsOf(contract)).toEqual(history.buckets());
    }
    expect(await expiriesOf(contract)).toEqual(history.expiries());
  } catch (error) {
    throw new Error(
      `history ${number}: ${JSON.stringify(history.opening)}\n${story.join('\n')}\n${(error as Error).message}`,
      { cause: error },
    );
  }
}

async function bucketsOf({ id }: TestContract) {
  const lots = await listLots(database.db, id);
  return lots.map(({ available, reserved, consumed, expired, endedAs }) => ({
    available,
    reserved,
    consumed,
    expired,
    ended: endedAs !== null,
  }));
}

async function expiriesOf({ id }: TestContract): Promise<string[]> {
  const found = await rows<{ line: string }>(
    database.db,
    `select l.id || ' ' || canonical_instant(o.booked_at) as line
     from operations o
     join lots l on l.id = o.subject
     where o.kind = 'expire' and l.pool_id = ?`,
    [id],
  );
  return found.map(({ line }) => line).sort();
}
