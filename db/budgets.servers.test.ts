import type { PoolClient } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { chanceOf } from '../dev/chaos/chance';
import { BUDGET_PERIODS, type Budget, type BudgetPeriod, periodAt } from '../domain/budget';
import { credits, ZERO } from '../domain/credits';
import type { Instant } from '../domain/instant';
import { historyOf, runBesideModel } from '../test/builders/histories';
import { idOf } from '../test/builders/ids';
import { aBudget } from '../test/builders/ledger';
import { repeatably, SEED } from '../test/builders/seed';
import { newTally } from '../test/builders/tally';
import { type BudgetCount, countBudgetBefore, usageForNewBudget } from './budgets';
import { rows } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { StoredLedger } from './testing/storedLedger';

jest.setTimeout(300_000);

const WORLDS = 8;
const ZONES = ['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'Australia/Lord_Howe'];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.drop());

/** Every user and project that the histories of a world know, on both contracts, in every kind of period. */
function budgetsOf(world: number): Budget[] {
  return [1, 2].flatMap((contract) =>
    BUDGET_PERIODS.flatMap((period, index) => {
      const common = {
        contractId: idOf('contract', contract, world),
        timeZone: ZONES[(index + world) % ZONES.length] as string,
        period,
      };
      const ofUsers = [1, 2, 3].map((n) => ({ ...common, userId: idOf('user', n, world), project: null }));
      const ofProjects = ['alpha', 'beta', 'nobody’s'].map((project) => ({ ...common, userId: null, project }));
      return [...ofUsers, ...ofProjects].map((one) => aBudget({ ...one, id: uuidv7() }));
    }),
  );
}

interface CountedJob {
  readonly contractId: string;
  readonly userId: string;
  readonly project: string | null;
  readonly reservedAt: Instant;
  readonly reserved: bigint;
  readonly charged: bigint;
}

/** What each job of a world holds and was charged, added up from all of its transfers. */
function jobsOf(world: number): Promise<CountedJob[]> {
  return rows<CountedJob>(
    database.db,
    `select r.contract_id as "contractId", r.user_id as "userId", r.project, r.booked_at as "reservedAt",
       coalesce(sum(t.amount) filter (where t.to_bucket = 'reserved'), 0)::bigint
         - coalesce(sum(t.amount) filter (where t.from_bucket = 'reserved'), 0)::bigint as reserved,
       coalesce(sum(t.amount) filter (where t.to_bucket = 'consumed'), 0)::bigint
         - coalesce(sum(t.amount) filter (where t.from_bucket = 'consumed'), 0)::bigint as charged
     from operations r
     left join transfers t on t.job_id = r.subject
     where r.kind = 'reserve' and r.contract_id = any(?::uuid[])
     group by r.subject, r.contract_id, r.user_id, r.project, r.booked_at`,
    [[1, 2].map((n) => idOf('contract', n, world))],
  );
}

function recounted(budget: Budget, jobs: readonly CountedJob[]): BudgetPeriod[] {
  const periods = new Map<Instant, BudgetPeriod>();
  for (const job of jobs) {
    const isCounted = budget.userId === null ? job.project === budget.project : job.userId === budget.userId;
    if (job.contractId !== budget.contractId || !isCounted) continue;
    const bounds = periodAt(budget, job.reservedAt);
    const known = periods.get(bounds.startsAt) ?? { reserved: ZERO, charged: ZERO };
    periods.set(bounds.startsAt, {
      budgetId: budget.id,
      ...bounds,
      reserved: credits(known.reserved + job.reserved),
      charged: credits(known.charged + job.charged),
    });
  }
  return inOrder([...periods.values()].filter(({ reserved, charged }) => reserved !== ZERO || charged !== ZERO));
}

function inOrder(periods: readonly BudgetPeriod[]): BudgetPeriod[] {
  return [...periods].sort((a, b) => (a.startsAt < b.startsAt ? -1 : 1));
}

async function onConnection<T>(ask: (client: PoolClient) => Promise<T>): Promise<T> {
  const client: PoolClient = await database.db.client.acquireConnection();
  try {
    return await ask(client);
  } finally {
    await database.db.client.releaseConnection(client);
  }
}

test('what counts for a new budget is what its jobs hold and were charged, whenever the counting began', () =>
  repeatably(async () => {
    const { db, ledger } = database;
    const chance = chanceOf(SEED);
    const seen = { periods: 0, later: 0 };
    for (let world = 1; world <= WORLDS; world++) {
      const budgets = budgetsOf(world);
      const counts = new Map<string, BudgetCount>();
      const stored = new StoredLedger(db, world, async (operations) => {
        const outcomes = await ledger.applyBatch(operations);
        // Somewhere in the middle of the history somebody begins to count.
        const budget = chance.pick(budgets);
        if (!counts.has(budget.id)) counts.set(budget.id, await countBudgetBefore(db, budget));
        return { outcomes, sent: 1 };
      });
      const run = { tally: newTally(), world, lookEvery: 1_000 };
      await runBesideModel(historyOf({ seed: SEED, world }, { min: 100, max: 200 }), stored, run);
      const jobs = await jobsOf(world);
      for (const budget of budgets) {
        const expected = recounted(budget, jobs);
        const before = counts.get(budget.id);
        const [whole, added] = await onConnection(async (client) => [
          await usageForNewBudget(client, budget),
          await usageForNewBudget(client, budget, before),
        ]);
        expect({ budget, periods: inOrder(whole) }).toEqual({ budget, periods: expected });
        expect({ budget, before, periods: inOrder(added) }).toEqual({ budget, before, periods: expected });
        seen.periods += expected.length;
        if (before && before.seq > 0n && JSON.stringify(before.periods, text) !== JSON.stringify(expected, text)) {
          seen.later += 1;
        }
      }
    }
    // Budgets that count something, and countings that had to be completed.
    expect(seen.periods).toBeGreaterThan(100);
    expect(seen.later).toBeGreaterThan(20);
  }));

function text(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
