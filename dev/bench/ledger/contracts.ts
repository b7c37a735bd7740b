/** Contracts to measure on: with authorised users, several lots and budgets, all made outside of what is measured. */
import { v7 as uuidv7 } from 'uuid';
import type { Ledger } from '../../../db/ledger';
import { type Credits, credits, MICRO } from '../../../domain/credits';
import { addMilliseconds, type Instant, instantOfMilliseconds } from '../../../domain/instant';
import type { GrantOperation, OpenBudgetOperation, Operation } from '../../../domain/operations';
import type { BenchDatabase } from './server';

/** Every job of the benchmarks is for this project, so that a project's budget counts all of them. */
export const PROJECT = 'bench';

export interface BenchContract {
  readonly contractId: string;
  readonly userIds: readonly string[];
}

const DAY_MS = 86_400_000;
/** What a small lot holds: a run with many clients empties several, so that draws span lots. */
const SMALL: Credits = credits(20_000n * MICRO);
/** Nothing that is measured empties it. */
const ENDLESS: Credits = credits(1_000_000_000n * MICRO);

/** Makes contracts, each with users of its own and with shared lots since a day ago, the last of which is never empty. */
export async function openContracts(
  database: BenchDatabase,
  ledger: Ledger,
  given: { contracts: number; usersEach: number; lotsEach: number },
): Promise<BenchContract[]> {
  const now = instantOfMilliseconds(Date.now());
  const since = addMilliseconds(now, -DAY_MS);
  const contracts = Array.from({ length: given.contracts }, () => ({
    contractId: uuidv7(),
    userIds: Array.from({ length: given.usersEach }, () => uuidv7()),
  }));
  await insertPeople(database, contracts, now);
  await applyAll(
    ledger,
    contracts.flatMap(({ contractId }) =>
      Array.from({ length: given.lotsEach }, (_, index) =>
        grant({
          poolId: contractId,
          kind: 'shared',
          amount: index === given.lotsEach - 1 ? ENDLESS : SMALL,
          effectiveAt: since,
          expiresAt: addMilliseconds(now, (30 + index) * DAY_MS),
          at: since,
        }),
      ),
    ),
  );
  return contracts;
}

/** The hot pool: one contract, sixteen users, eight lots, a budget for the project and one for the first of the users. */
export async function openHotPool(database: BenchDatabase, ledger: Ledger): Promise<BenchContract> {
  const [contract] = await openContracts(database, ledger, { contracts: 1, usersEach: 16, lotsEach: 8 });
  if (!contract) throw new Error('one contract was asked for');
  await applyAll(ledger, [
    openBudget(contract.contractId, { userId: null, project: PROJECT }),
    openBudget(contract.contractId, { userId: contract.userIds[0] ?? null, project: null }),
  ]);
  return contract;
}

/** Grants a user so many individual lots, all alive and none of them ever empty. */
export async function grantIndividualLots(ledger: Ledger, userId: string, count: number): Promise<void> {
  const at = instantOfMilliseconds(Date.now());
  const lot = { poolId: userId, kind: 'individual', amount: ENDLESS, effectiveAt: at, expiresAt: null, at } as const;
  await applyAll(
    ledger,
    Array.from({ length: count }, () => grant(lot)),
  );
}

function grant({
  at,
  ...lot
}: Pick<GrantOperation['lot'], 'poolId' | 'kind' | 'amount' | 'effectiveAt' | 'expiresAt'> & {
  at: Instant;
}): GrantOperation {
  return {
    kind: 'grant',
    act: 'grant',
    at,
    actor: 'bench',
    reason: 'credits to measure with',
    lot: {
      id: uuidv7(),
      ...lot,
      source: lot.kind === 'individual' ? 'allocation' : 'purchase',
      graceUntil: null,
      purchasedAt: lot.kind === 'individual' ? null : lot.effectiveAt,
      reference: null,
      advance: false,
    },
  };
}

function openBudget(contractId: string, of: { userId: string | null; project: string | null }): OpenBudgetOperation {
  return {
    kind: 'openBudget',
    act: 'set',
    at: instantOfMilliseconds(Date.now()),
    actor: 'bench',
    reason: 'a ceiling to measure with',
    budget: {
      id: uuidv7(),
      contractId,
      timeZone: 'UTC',
      ...of,
      period: 'month',
      amount: ENDLESS,
      warnPercent: 80,
      refusePercent: 100,
    },
  };
}

async function applyAll(ledger: Ledger, operations: readonly Operation[]): Promise<void> {
  const atOnce = 200;
  for (let from = 0; from < operations.length; from += atOnce) {
    for (const outcome of await ledger.applyBatch(operations.slice(from, from + atOnce))) {
      if (!outcome.accepted) throw new Error(outcome.message);
    }
  }
}

async function insertPeople(database: BenchDatabase, contracts: readonly BenchContract[], now: Instant): Promise<void> {
  const pairs = contracts.flatMap(({ contractId, userIds }) => userIds.map((userId) => ({ contractId, userId })));
  const customerId = uuidv7();
  await database.owner.raw("insert into customers (id, name) values (?, 'Bench')", [customerId]);
  await database.owner.raw(
    `insert into users (id, customer_id, name, email)
     select id, ?, 'User', id || '@bench.example'
     from unnest(?::uuid[]) as id`,
    [customerId, pairs.map(({ userId }) => userId)] as never,
  );
  await database.owner.raw(
    `insert into contracts (id, customer_id, name, starts_at, ends_at, time_zone)
     select id, ?, 'Contract', ?::timestamptz - interval '30 days', ?::timestamptz + interval '1 year', 'UTC'
     from unnest(?::uuid[]) as id`,
    [customerId, now, now, contracts.map(({ contractId }) => contractId)] as never,
  );
  await database.owner.raw(
    `insert into contract_users (contract_id, user_id, role, authorised_at)
     select contract_id, user_id, 'submitter', ?::timestamptz - interval '30 days'
     from unnest(?::uuid[], ?::uuid[]) as pair (contract_id, user_id)`,
    [now, pairs.map(({ contractId }) => contractId), pairs.map(({ userId }) => userId)] as never,
  );
}
