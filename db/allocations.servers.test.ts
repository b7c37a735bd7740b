import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { allocationsDue } from '../domain/allocation';
import type { ContractChange, ContractProduct, ContractState } from '../domain/contract';
import { formatCredits } from '../domain/credits';
import { addDays, type Instant, parseInstant } from '../domain/instant';
import { contractState } from '../test/builders/contracts';
import { holdsEventually } from '../test/builders/seed';
import {
  allocate,
  allocationsOf,
  allocationsOnContract,
  claimAllocation,
  publishAllocationRules,
  publishNextAllocationRules,
} from './allocationRules';
import { connect, firstRow, inTransaction, rows } from './client';
import { bookDue } from './contractBooking';
import { changeContract, getContractState, recordContractChange } from './contracts';
import { openLedger } from './ledger';
import { SEED_ALLOCATION_RULES } from './seedAllocationRules';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { insertPeople } from './testing/people';

jest.setTimeout(60_000);

const START = parseInstant('2026-01-01T00:00:00Z');
const day = (count: number): Instant => addDays(START, count, 'UTC');
const seats = (count: number, type = 'annual'): ContractProduct[] => [
  { product: 'suite', type, level: 'premium', seats: count },
];

let database: TestDatabase;
let worlds = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  for (const rules of SEED_ALLOCATION_RULES) await publishAllocationRules(database.db, rules, 'test');
});
afterEach(async () => expect(await brokenInvariants(database.db)).toEqual([]));
afterAll(() => database?.drop());

/** A contract of the year 2026 with an administrator; users are named as a test says. */
class Place {
  readonly contractId = uuidv7();
  readonly admin = uuidv7();
  readonly users: readonly string[];

  private constructor(users: readonly string[]) {
    this.users = users;
  }

  static async open(
    products: ContractProduct[],
    said: { users?: number; known?: readonly string[] } = {},
  ): Promise<Place> {
    const made = Array.from({ length: said.users ?? 0 }, () => uuidv7());
    const place = new Place([...(said.known ?? []), ...made]);
    const { contractId, admin } = place;
    const state = { ...contractState({ products, activatedAt: null }), contractId, version: 1 };
    await insertPeople(database.db, {
      world: worlds++,
      users: [admin, ...made],
      contracts: [{ contractId, startsAt: state.startsAt, endsAt: state.endsAt }],
      authorisations: [],
    });
    await place.name(admin, 400, 'contract-admin');
    await inTransaction(database.db, (trx) =>
      recordContractChange(trx, { ...place.asked('create'), kind: 'create', at: START, request: {}, state }),
    );
    return place;
  }

  private asked(requestId: string) {
    return { contractId: this.contractId, requestId, actor: 'test', reason: 'a test' };
  }

  /** Names a user from a day on. */
  async name(userId: string, from: number, role = 'submitter'): Promise<void> {
    await database.db('contract_users').insert({
      contract_id: this.contractId,
      user_id: userId,
      role,
      authorised_at: role === 'submitter' ? day(from) : START,
      removed_at: null,
    });
  }

  async remove(userId: string, at: number): Promise<void> {
    await database.owner.raw(
      'update contract_users set removed_at = ? where contract_id = ? and user_id = ? and removed_at is null and authorised_at < ?',
      [day(at), this.contractId, userId, day(at)],
    );
  }

  change(change: ContractChange, at: Instant): Promise<ContractState> {
    return changeContract(database.db, { ...this.asked(uuidv7()), change, at });
  }

  book(at: Instant): Promise<unknown> {
    return bookDue(database.ledger, this.contractId, at);
  }

  /** The lots of a pool: kind, credits, from when until when. */
  async lots(poolId = this.contractId): Promise<string[]> {
    const found = await rows<{ kind: string; granted: bigint; effectiveAt: Instant; expiresAt: Instant | null }>(
      database.db,
      `select kind, granted, effective_at as "effectiveAt", expires_at as "expiresAt"
       from lots
       where pool_id = ? and source = 'allocation'
       order by effective_at, id`,
      [poolId],
    );
    return found.map(
      ({ kind, granted, effectiveAt, expiresAt }) =>
        `${kind} ${formatCredits(granted)} ${effectiveAt.slice(0, 10)} to ${expiresAt?.slice(0, 10) ?? 'ever'}`,
    );
  }

  async told(userId: string): Promise<unknown[]> {
    const found = await rows<{ facts: unknown }>(
      database.db,
      `select facts from digest_entries where user_id = ? and kind = 'lot-granted' order by at, key`,
      [userId],
    );
    return found.map(({ facts }) => facts);
  }
}

describe('booking a contract’s calendar', () => {
  it('allocates to the contract when its term begins and when seats come, once, and tells its administrators', async () => {
    const place = await Place.open(seats(30));
    await place.book(day(0));
    await place.book(day(0));
    expect(await place.lots()).toEqual(['shared 3000 2026-01-01 to 2027-01-01']);
    await place.change({ kind: 'changeProducts', products: seats(32) }, day(100));
    await place.book(day(101));
    await place.change({ kind: 'renew' }, day(110));
    await place.book(day(111));
    // Twelve months from the day of the allocation, now that the contract does not end before.
    const first = 'shared 3000 2026-01-01 to 2027-01-01';
    expect(await place.lots()).toEqual([first, 'shared 200 2026-04-11 to 2027-04-11']);
    await place.book(day(365));
    expect((await place.lots()).at(-1)).toBe('shared 3200 2027-01-01 to 2028-01-01');
    expect(await place.told(place.admin)).toMatchObject([
      { contractName: 'Contract', amount: '3000', effectiveAt: START, reference: null },
      { amount: '200', effectiveAt: day(100) },
      { amount: '3200' },
    ]);
    expect(await allocationsOnContract(database.db, place.contractId)).toMatchObject([
      { ruleKey: 'term-annual', version: 3, kind: 'shared', at: START, userId: null },
      { at: day(100) },
      { at: day(365) },
    ]);
  });

  it('is told what will be allocated in terms that are agreed', async () => {
    const place = await Place.open(seats(1));
    const { calendar } = await bookDue(database.ledger, place.contractId, day(0));
    expect(calendar.filter(({ act }) => act === 'allocate')).toEqual([]);
    await place.change({ kind: 'renew' }, day(1));
    const renewed = await bookDue(database.ledger, place.contractId, day(1));
    expect(renewed.calendar.filter(({ act }) => act === 'allocate')).toMatchObject([
      { at: day(365), credits: 100_000_000n, because: expect.stringMatching(/^Term 2 .* by rule term-annual/) },
    ]);
  });

  it('gives a new named user 100 once ever: named again, renewed, or on another contract', async () => {
    const place = await Place.open(seats(30, 'maintenance'), { users: 1 });
    const [anna = ''] = place.users;
    await place.remove(place.admin, 1);
    await place.name(anna, 10);
    await place.book(day(11));
    await place.remove(anna, 20);
    await place.name(anna, 30);
    await place.change({ kind: 'renew' }, day(40));
    const other = await Place.open(seats(1, 'maintenance'), { known: [anna] });
    await other.name(anna, 50);
    await place.book(day(400));
    await other.book(day(400));
    expect(await place.lots(anna)).toEqual(['individual 100 2026-01-11 to ever']);
    expect(await place.lots()).toEqual([]);
    expect(await place.told(anna)).toEqual([
      {
        lotId: expect.any(String),
        reference: null,
        contractName: null,
        amount: '100',
        effectiveAt: day(10),
        expiresAt: null,
      },
    ]);
  });

  it('grants to many users at once, more than one call does', async () => {
    const place = await Place.open(seats(1, 'maintenance'), { users: 45 });
    for (const user of place.users) await place.name(user, 0);
    await place.book(day(1));
    const found = await rows(database.db, `select 1 from lots where pool_id = any(?::uuid[])`, [place.users]);
    expect(found).toHaveLength(45);
  });
});

it('twenty allocators at once, of several processes, grant one lot each', async () => {
  const place = await Place.open(seats(3, 'maintenance').concat(seats(2)), { users: 2 });
  for (const user of place.users) await place.name(user, 0);
  const other = connect(database.url, { poolMax: 4 });
  const otherLedger = openLedger(other);
  try {
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        bookDue(index % 2 === 0 ? database.ledger : otherLedger, place.contractId, day(0)),
      ),
    );
  } finally {
    await otherLedger.close();
    await other.destroy();
  }
  expect(await place.lots()).toEqual(['shared 200 2026-01-01 to 2027-01-01']);
  for (const user of place.users) expect(await place.lots(user)).toEqual(['individual 100 2026-01-01 to ever']);
  expect(await allocationsOnContract(database.db, place.contractId)).toHaveLength(4);
});

describe('an allocation that was claimed and not granted', () => {
  it('is granted by the next call, as the lot that was claimed', async () => {
    const place = await Place.open(seats(5));
    const contract = await getContractState(database.db, place.contractId);
    const [due] = (await allocationsOf(database.db, place.contractId))(contract);
    if (!due) throw new Error('nothing is due');
    const claim = await claimAllocation(database.db, due, contract, { actor: 'killed' });
    expect(await place.lots()).toEqual([]);
    // Whoever comes next may know another contract, and other amounts.
    const longer = { ...contract, endsAt: day(700) };
    const lotId = await allocate(database.ledger, { ...due, amount: 1n as never }, longer, { actor: 'next' });
    expect(lotId).toBe(claim?.lotId);
    expect(await allocate(database.ledger, due, contract, { actor: 'again' })).toBe(lotId);
    expect(await place.lots()).toEqual(['shared 500 2026-01-01 to 2027-01-01']);
  });

  it('is found by the calendar, even if nothing would be due any more', async () => {
    const place = await Place.open(seats(5));
    const contract = await getContractState(database.db, place.contractId);
    const [due] = (await allocationsOf(database.db, place.contractId))(contract);
    if (!due) throw new Error('nothing is due');
    await claimAllocation(database.db, due, contract, { actor: 'killed' });
    await place.change({ kind: 'suspend' }, day(0));
    await place.book(day(1));
    expect(await place.lots()).toEqual(['shared 500 2026-01-01 to 2027-01-01']);
    expect(await place.told(place.admin)).toHaveLength(1);
  });

  it('of seats that somebody else counted otherwise is not claimed', async () => {
    const place = await Place.open(seats(5));
    const contract = await getContractState(database.db, place.contractId);
    const due = (products: ContractProduct[]) =>
      allocationsDue({
        versions: SEED_ALLOCATION_RULES,
        contract: { ...contract, products },
        authorisations: [],
        allocated: new Set(),
      });
    const [five, six] = [due(seats(5))[0], due(seats(6))[0]];
    if (!five || !six) throw new Error('nothing is due');
    expect(await allocate(database.ledger, five, contract, { actor: 'one' })).toEqual(expect.any(String));
    expect(await allocate(database.ledger, six, contract, { actor: 'other' })).toBeUndefined();
    expect(await place.lots()).toHaveLength(1);
  });
});

it('whatever happens in whatever order, nobody is allocated anything twice', async () => {
  const act = fc.record({
    what: fc.constantFrom('name', 'remove', 'renew', 'seats', 'suspend', 'resume', 'book', 'book', 'other'),
    user: fc.nat(2),
    seats: fc.integer({ min: 1, max: 9 }),
    days: fc.nat(60),
  });
  await holdsEventually(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 25 }), async (acts) => {
      const products = (count: number) => [...seats(count), ...seats(count, 'maintenance')];
      const place = await Place.open(products(3), { users: 3 });
      const other = await Place.open(seats(1, 'maintenance'), { known: place.users });
      const ever = new Set<string>();
      let most = 3;
      let now = 0;
      for (const { what, user, seats: count, days } of acts) {
        now += days;
        const userId = place.users[user] ?? '';
        const is = await getContractState(database.db, place.contractId);
        if (what === 'name' || what === 'other') {
          // Nobody is named at the instant at which they were named or removed before.
          now += 1;
          await place.remove(userId, now);
          await other.remove(userId, now);
          now += 1;
          await (what === 'name' ? place : other).name(userId, now);
          ever.add(userId);
        } else if (what === 'remove') await place.remove(userId, now);
        else if (what === 'book') {
          await Promise.all([place, place, other].map((one) => one.book(day(now))));
        } else if (is.closedAt === null && day(now) < is.endsAt) {
          if (what === 'renew' && is.terms.length < 3) await place.change({ kind: 'renew' }, day(now));
          if (what === 'suspend' && is.suspendedAt === null) await place.change({ kind: 'suspend' }, day(now));
          if (what === 'resume' && is.suspendedAt !== null) await place.change({ kind: 'resume' }, day(now));
          if (what === 'seats') {
            most = Math.max(most, count);
            await place.change({ kind: 'changeProducts', products: products(count) }, day(now));
          }
        }
      }
      await Promise.all([place, place, other].map((one) => one.book(day(now + 2_000))));
      for (const userId of place.users) {
        const lots = await place.lots(userId);
        expect(lots.length).toBeLessThanOrEqual(ever.has(userId) ? 1 : 0);
        expect(lots.every((lot) => lot.startsWith('individual 100 '))).toBe(true);
      }
      const { terms } = await getContractState(database.db, place.contractId);
      const granted = await firstRow<{ sum: bigint | null }>(
        database.db,
        `select sum(granted)::bigint as sum from lots where pool_id = ? and source = 'allocation'`,
        [place.contractId],
      );
      expect(granted?.sum ?? 0n).toBeLessThanOrEqual(BigInt(terms.length * most) * 100_000_000n);
    }),
    { numRuns: 8 },
  );
});

describe('published rules', () => {
  const ask = (effectiveAt: Instant, requestId = uuidv7()) =>
    publishNextAllocationRules(database.db, {
      title: 'nothing any more',
      effectiveAt,
      rules: [],
      requestId,
      publishedBy: 'test',
      at: day(9_000),
    });

  it('are numbered one after the other, also when they are published at the same time, and once per request', async () => {
    const published = await Promise.all([ask(day(9_000)), ask(day(9_000)), ask(day(9_001))]);
    expect(published.map(({ version }) => version).sort()).toEqual([4, 5, 6]);
    const requestId = uuidv7();
    const twice = await Promise.all([ask(day(9_002), requestId), ask(day(9_002), requestId)]);
    expect(twice[1]).toEqual(twice[0]);
    expect(twice[0]?.version).toBe(7);
  });

  it('are for now or the future', async () => {
    await expect(ask(day(8_999))).rejects.toMatchObject({
      code: 'rules_invalid',
      message: expect.stringMatching(/is over/),
    });
  });

  it.each(['allocation_rules', 'allocations'])('%s is never changed', async (table) => {
    await expect(database.owner.raw(`update ${table} set recorded_at = recorded_at`)).rejects.toThrow(/append|change/);
    await expect(database.db.raw(`delete from ${table}`)).rejects.toThrow();
  });
});
