/** Seats of one term go one after the other, whoever allocates what first: none is left out, none comes twice. */
import { v7 as uuidv7 } from 'uuid';
import type { AllocationDue } from '../domain/allocation';
import type { ContractProduct, ContractState } from '../domain/contract';
import { formatCredits } from '../domain/credits';
import { addDays, type Instant, parseInstant } from '../domain/instant';
import { contractState } from '../test/builders/contracts';
import { allocate, allocationsOf, claimAllocation, publishAllocationRules } from './allocationRules';
import { inTransaction, rows } from './client';
import { bookDue } from './contractBooking';
import { changeContract, getContractState, recordContractChange } from './contracts';
import { SEED_ALLOCATION_RULES } from './seedAllocationRules';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { insertPeople } from './testing/people';

jest.setTimeout(60_000);

const START = parseInstant('2026-01-01T00:00:00Z');
const day = (count: number): Instant => addDays(START, count, 'UTC');
const seats = (count: number): ContractProduct[] => [
  { product: 'suite', type: 'annual', level: 'premium', seats: count },
];
const BY = { actor: 'test', reason: 'a test' };

let database: TestDatabase;
let worlds = 0;
beforeAll(async () => {
  database = await createTestDatabase();
  for (const rules of SEED_ALLOCATION_RULES) await publishAllocationRules(database.db, rules, 'test');
});
afterEach(async () => expect(await brokenInvariants(database.db)).toEqual([]));
afterAll(() => database?.drop());

/** A contract of 30 annual seats that become 40 and 45, with nothing allocated yet: 3000, 1000 and 500 credits. */
async function grownContract(begin = START): Promise<ContractState> {
  const contractId = uuidv7();
  const said = { startsAt: begin, endsAt: addDays(begin, 365, 'UTC'), activatedAt: null };
  const state = { ...contractState({ products: seats(30), ...said }), contractId, version: 1 };
  await insertPeople(database.db, {
    world: 900 + worlds++,
    users: [uuidv7()],
    contracts: [{ contractId, startsAt: state.startsAt, endsAt: state.endsAt }],
    authorisations: [],
  });
  const created = { contractId, requestId: 'create', kind: 'create', at: begin, ...BY, request: {}, state };
  await inTransaction(database.db, (trx) => recordContractChange(trx, created));
  for (const [at, count] of [
    [10, 40],
    [20, 45],
  ] as const) {
    const change = { kind: 'changeProducts', products: seats(count) } as const;
    await changeContract(database.db, {
      contractId,
      requestId: uuidv7(),
      change,
      at: addDays(begin, at, 'UTC'),
      ...BY,
    });
  }
  return getContractState(database.db, contractId);
}

async function dueOf(contract: ContractState): Promise<readonly AllocationDue[]> {
  return (await allocationsOf(database.db, contract.contractId))(contract);
}

async function granted({ contractId }: ContractState): Promise<string[]> {
  const found = await rows<{ granted: bigint; at: Instant }>(
    database.db,
    'select granted, effective_at as at from lots where pool_id = ? order by effective_at',
    [contractId],
  );
  return found.map(({ granted, at }) => `${at.slice(0, 10)} ${formatCredits(granted)}`);
}

const ALL = ['2026-01-01 3000', '2026-01-11 1000', '2026-01-21 500'];

it.each([[[2, 1, 0]], [[1, 0, 2]], [[1]], [[2, 2]]])(
  'allocated in the order %j, and then by the calendar, every seat has its own',
  async (order) => {
    const contract = await grownContract();
    const due = await dueOf(contract);
    for (const index of order) await allocate(database.ledger, due[index] as AllocationDue, contract, BY);
    await bookDue(database.ledger, contract.contractId, day(30));
    expect(await granted(contract)).toEqual(ALL);
    expect(await dueOf(contract)).toEqual([]);
  },
);

it('killed after the claim of later seats, every seat has its own', async () => {
  const contract = await grownContract();
  const due = await dueOf(contract);
  await claimAllocation(database.db, due[2] as AllocationDue, contract, BY);
  await claimAllocation(database.db, due[1] as AllocationDue, contract, BY);
  await bookDue(database.ledger, contract.contractId, day(30));
  expect(await granted(contract)).toEqual(ALL);
});

it('twenty at once, each in another order, grant every seat once', async () => {
  const contract = await grownContract();
  const due = await dueOf(contract);
  await Promise.all(
    Array.from({ length: 20 }, async (_, one) => {
      for (const step of [0, 1, 2]) {
        await allocate(database.ledger, due[(one + step * (1 + (one % 2))) % 3] as AllocationDue, contract, BY);
      }
      await bookDue(database.ledger, contract.contractId, day(30));
    }),
  );
  expect(await granted(contract)).toEqual(ALL);
});

it('seats that came before there were rules hold up no later ones', async () => {
  const contract = await grownContract(parseInstant('2011-12-15T00:00:00Z'));
  const { more } = await bookDue(database.ledger, contract.contractId, parseInstant('2012-01-10T00:00:00Z'));
  expect(more).toBe(false);
  expect(await granted(contract)).toEqual(['2012-01-04 500']);
});
