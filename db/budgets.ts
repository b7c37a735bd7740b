/** Budgets (R17): what limits users and projects of a contract, what counts already, and how they are set and closed. */
import type { QueryResult } from 'pg';
import { type Budget, type BudgetPeriod, periodAt } from '../domain/budget';
import { credits, ZERO } from '../domain/credits';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { CloseBudgetOperation, OpenBudgetOperation } from '../domain/operations';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import type { Ledger } from './ledger';
import type { Viewer } from './people';

/** Which budgets of a contract a person may see: all, or their own and those of projects. */
export type BudgetViewer = Pick<Viewer, 'userId'> & { readonly all: boolean };

const BUDGETS = `select b.id, b.contract_id as "contractId", c.time_zone as "timeZone", b.user_id as "userId", b.project,
    b.period, b.amount, b.warn_percent as "warnPercent", b.refuse_percent as "refusePercent"
  from budgets b
  join contracts c on c.id = b.contract_id
  where b.contract_id = ?`;
const SEEN = 'b.closed_at is null and (? or b.project is not null or b.user_id = ?)';

/** The open budgets of a contract, in the order in which they were set. */
export function listBudgets(db: Db, contractId: string, viewer: BudgetViewer): Promise<Budget[]> {
  return rows<Budget>(db, `${BUDGETS} and ${SEEN} order by b.id`, [contractId, viewer.all, viewer.userId]);
}

/**
 * The open budget under an id. A budget that was replaced leads to the one in its place: of the same contract, user or
 * project, and period.
 */
export function findBudget(db: Db, contractId: string, id: string, viewer: BudgetViewer): Promise<Budget | undefined> {
  return firstRow<Budget>(
    db,
    `${BUDGETS}
       and ${SEEN}
       and exists (
         select from budgets named
         where named.id = ? and named.contract_id = b.contract_id and named.period = b.period
           and named.user_id is not distinct from b.user_id and named.project is not distinct from b.project
       )`,
    [contractId, viewer.all, viewer.userId, id],
  );
}

/** The budget that was set under an id, closed or not. */
export function findBudgetOnce(db: Db, contractId: string, id: string): Promise<Budget | undefined> {
  return firstRow<Budget>(db, `${BUDGETS} and b.id = ?`, [contractId, id]);
}

/** What counts against budgets in their periods at an instant, by budget; all zeros where nothing counts. */
export async function periodsAt(
  db: Db,
  budgets: readonly Budget[],
  at: Instant,
): Promise<ReadonlyMap<string, BudgetPeriod>> {
  const empty = budgets.map((budget) => ({
    budgetId: budget.id,
    ...periodAt(budget, at),
    reserved: ZERO,
    charged: ZERO,
  }));
  const found = await rows<BudgetPeriod>(
    db,
    `select p.budget_id as "budgetId", p.starts_at as "startsAt", p.ends_at as "endsAt", p.reserved, p.charged
     from budget_periods p
     join unnest(?::uuid[], ?::timestamptz[]) as asked (budget_id, starts_at)
       on p.budget_id = asked.budget_id and p.starts_at = asked.starts_at`,
    [empty.map(({ budgetId }) => budgetId), empty.map(({ startsAt }) => startsAt)],
  );
  return new Map([...empty, ...found].map((period) => [period.budgetId, period]));
}

interface Author {
  readonly actor: string;
  readonly reason: string;
  readonly at: Instant;
}

/**
 * Opens a budget, once per id. What its user's or project's jobs have reserved and cost already counts.
 *
 * @throws BillingError `budget_exists`, `idempotency_key_reused`.
 */
export async function openBudget(ledger: Ledger, budget: Budget, by: Author): Promise<void> {
  const outcome = await ledger.apply(opening(budget, by));
  if (!outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
}

/**
 * Puts a budget in the place of an open one, both in one batch; nothing that counts is lost, since the new one counts the
 * journal. Once per id.
 *
 * @throws BillingError `precondition_failed` when the one to replace is closed by now.
 */
export async function replaceBudget(ledger: Ledger, budget: Budget, replacedId: string, by: Author): Promise<void> {
  const { contractId } = budget;
  await inTurn(ledger.db, contractId, async (trx) => {
    // The ledger decides each operation on its own: the opening may only be asked with a closing that will succeed.
    const isOpen = await firstRow(trx, 'select 1 from budgets where id = ? and closed_at is null', [replacedId]);
    const isDone = await firstRow(trx, 'select 1 from budgets where id = ?', [budget.id]);
    if (!isOpen && !isDone) throw changedMeanwhile();
    const replaced = closing({ id: replacedId, contractId }, { ...by, reason: `replaced: ${by.reason}` });
    for (const outcome of await ledger.applyBatch([replaced, opening(budget, by)])) {
      if (!outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
    }
  });
}

/** Closes a budget, once per id. @throws BillingError `precondition_failed` when somebody else closed it. */
export async function closeBudget(
  ledger: Ledger,
  budget: Pick<Budget, 'id' | 'contractId'>,
  by: Author,
): Promise<void> {
  await inTurn(ledger.db, budget.contractId, async () => {
    const outcome = await ledger.apply(closing(budget, by));
    if (!outcome.accepted) throw changedMeanwhile();
  });
}

function opening(budget: Budget, by: Author): OpenBudgetOperation {
  return { kind: 'openBudget', act: 'set', budget, ...by };
}

function closing({ id, contractId }: Pick<Budget, 'id' | 'contractId'>, by: Author): CloseBudgetOperation {
  return { kind: 'closeBudget', act: 'close', budgetId: id, contractId, ...by };
}

function changedMeanwhile(): BillingError {
  return new BillingError('precondition_failed', 'The budget was changed or closed meanwhile; read it again.');
}

/** Any number of its own: who changes budgets of a contract waits for whoever else does. */
const CHANGING_BUDGETS = 4_721_002;

/** Works while nobody else closes a budget of the contract. The ledger has connections of its own and waits for nobody. */
async function inTurn(db: Db, contractId: string, work: (trx: Trx) => Promise<void>): Promise<void> {
  await inTransaction(db, async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?, hashtext(?))', [CHANGING_BUDGETS, contractId]);
    await work(trx);
  });
}

/** What counts for a budget that is not open yet, up to a link of its contract's chain. */
export interface BudgetCount {
  readonly seq: bigint;
  readonly periods: readonly BudgetPeriod[];
}

/**
 * Counts for a new budget what the journal holds at present, without any lock. What comes after is few, and
 * {@link usageForNewBudget} adds it under the lock of the contract's pool.
 */
export async function countBudgetBefore(db: Db, budget: Budget): Promise<BudgetCount> {
  const pool = await firstRow<{ seq: bigint }>(db, 'select seq from pools where id = ?', [budget.contractId]);
  const seq = pool?.seq ?? 0n;
  const counted = await rows<Counted>(db, COUNT.replace(/\$\d/g, '?'), countBindings(budget, { after: 0n, upTo: seq }));
  return { seq, periods: periodsOf(budget, counted) };
}

/** A connection on which something is asked in its transaction. */
interface Asking {
  query(text: string, values: unknown[]): Promise<QueryResult<Counted>>;
}

const NOTHING_COUNTED: BudgetCount = { seq: 0n, periods: [] };
const SEQ_MAX = 2n ** 63n - 1n;

/**
 * What jobs of a budget's user or project have reserved and cost so far, per period in which they were reserved (R17).
 * Periods in which nothing counts are left out.
 *
 * @param client holds the lock of the contract's pool.
 * @param before what was counted without the lock; all of the journal is read when nothing was.
 */
export async function usageForNewBudget(
  client: Asking,
  budget: Budget,
  before: BudgetCount = NOTHING_COUNTED,
): Promise<BudgetPeriod[]> {
  const { rows: counted } = await client.query(COUNT, countBindings(budget, { after: before.seq, upTo: SEQ_MAX }));
  return periodsOf(budget, counted, before.periods);
}

interface Counted {
  readonly firstAt: Instant;
  readonly lastAt: Instant;
  readonly reserved: bigint;
  readonly charged: bigint;
}

/**
 * Walks the links of the contract's chain to the operations of jobs, and from each to its job's reserve, which says when
 * and for whom the job counts. Sums of quarters of an hour: no zone's midnight lies inside one. Each placeholder stands
 * once and in order, for clients that number them and for those that do not.
 */
const COUNT = `select min(r.booked_at) as "firstAt", max(r.booked_at) as "lastAt",
    sum(case when move in ('ar') then t.amount when move in ('rc', 'ra', 're', 'rw') then -t.amount else 0 end)::bigint
      as reserved,
    sum(case when move in ('rc') then t.amount when move in ('ca', 'ce', 'cw') then -t.amount else 0 end)::bigint as charged
  from (select $1::uuid as contract_id, $2::uuid as user_id, $3::text as project, $4::bigint as after, $5::bigint as up_to)
    as asked
  join links l on l.pool_id = asked.contract_id and l.seq > asked.after and l.seq <= asked.up_to
  join operations o on o.batch_id = l.batch_id
    and o.kind in ('reserve', 'topUp', 'settle', 'release', 'refund', 'correct')
  join operations r on r.act = 'reserve'
    and r.subject = case when o.kind in ('refund', 'correct') then o.refers_to else o.subject end
    and r.contract_id = asked.contract_id
    and (r.user_id = asked.user_id or r.project = asked.project)
  cross join lateral unnest(o.amounts) with ordinality as t (amount, position)
  cross join lateral substr(o.moves, 2 * t.position::int - 1, 2) as move
  group by date_bin('15 minutes', r.booked_at, '2000-01-01T00:00:00Z')`;

function countBindings(budget: Budget, links: { after: bigint; upTo: bigint }): unknown[] {
  return [budget.contractId, budget.userId, budget.project, links.after.toString(), links.upTo.toString()];
}

function periodsOf(budget: Budget, counted: readonly Counted[], before: readonly BudgetPeriod[] = []): BudgetPeriod[] {
  const periods = new Map(before.map((period) => [period.startsAt, period]));
  for (const { firstAt, lastAt, reserved, charged } of counted) {
    const bounds = periodAt(budget, firstAt);
    if (lastAt >= bounds.endsAt)
      throw new Error(`a period of ${budget.timeZone} ends between ${firstAt} and ${lastAt}`);
    const known = periods.get(bounds.startsAt);
    periods.set(bounds.startsAt, {
      budgetId: budget.id,
      ...bounds,
      reserved: credits((known?.reserved ?? ZERO) + reserved),
      charged: credits((known?.charged ?? ZERO) + charged),
    });
  }
  return [...periods.values()].filter(({ reserved, charged }) => reserved !== ZERO || charged !== ZERO);
}
