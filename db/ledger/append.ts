/** Appends what a batch decided. The database moves the credits itself when the operations arrive. */
import type { PoolClient } from 'pg';
import type { BudgetPeriod } from '../../domain/budget';
import { credits, ZERO } from '../../domain/credits';
import type { Instant } from '../../domain/instant';
import type { JobState } from '../../domain/job';
import type { ChargeRow } from '../charges';
import type { NewJobEvent } from '../jobs';
import { bigints, byteas, instants, integers, texts, uuids } from '../wire';
import type { OperationRow } from './chain';
import type { PoolState } from './memory';

/** What becomes of a job's row with an operation. */
export interface JobWrites {
  readonly jobId: string;
  /** Absent where the job stays in its state. */
  readonly to?: JobState;
  readonly reason?: string | null;
  readonly message?: string | null;
  readonly endedAt?: Instant;
  readonly maxCredits?: bigint;
  readonly events: readonly NewJobEvent[];
  readonly charge?: ChargeRow;
}

/** What a batch was planned with that was not loaded; the database refuses the batch when something else is there now. */
export interface PlannedWith {
  readonly pools: ReadonlyMap<string, PoolState>;
  /** The states in which jobs may be whose rows change with the batch. */
  readonly jobStates: ReadonlyMap<string, readonly JobState[]>;
}

export interface Append {
  readonly digest: Buffer;
  readonly rows: readonly OperationRow[];
  /** The pools to whose chains the batch is linked. */
  readonly poolIds: readonly string[];
  /** The latest instant at which anything in it counts. */
  readonly bookedMax: Instant | null;
  /** By how much what counts against budgets changed. */
  readonly budgetChanges: readonly BudgetChange[];
  /** The budgets that the batch opens. */
  readonly opened: ReadonlySet<string>;
  /** Null for a batch whose pools and jobs are locked. */
  readonly plannedWith: PlannedWith | null;
}

/** By how much a budget's period changes; `isNew` where no row of it was loaded. */
export interface BudgetChange extends BudgetPeriod {
  readonly isNew: boolean;
}

/** A statement of a batch. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values?: unknown[];
}

type Send = (name: string, text: string, values: unknown[]) => void;

export const COMMIT: Statement = { name: 'commit', text: 'commit' };

/** The statements that write a batch and what becomes of its jobs, in order. */
export function statementsOf(append: Append, jobs: readonly JobWrites[]): Statement[] {
  const statements: Statement[] = [];
  const send: Send = (name, text, values) => statements.push({ name, text, values });
  if (append.rows.length > 0) {
    sendGrants(send, append.rows);
    sendBudgetPeriods(send, append);
    sendBatch(send, append);
    sendBudgets(send, append);
  }
  sendJobs(send, jobs);
  return statements;
}

/** Sends statements in one round trip. @throws what the first of them failed with. */
export async function sendAll(client: PoolClient, statements: readonly Statement[]): Promise<void> {
  const sent = statements.map((statement) => client.query({ ...statement }));
  const results = await Promise.allSettled(sent);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

function sendGrants(send: Send, rows: readonly OperationRow[]): void {
  const lots = rows.flatMap(({ lot }) => lot ?? []);
  if (lots.length === 0) return;
  send(
    'grant',
    `insert into lots
       (id, pool_id, pool_owner, kind, source, reference, granted, available, reserved, consumed, expired, withdrawn,
        purchased_at, effective_at, expires_at, grace_until, advance)
     select id, pool_id, case kind when 'individual' then 'user' else 'contract' end, kind, source, reference, granted, granted,
       0, 0, 0, 0, purchased_at, effective_at, expires_at, grace_until, advance = 1
     from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[],
         $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::int[])
       as new (id, pool_id, kind, source, reference, granted, purchased_at, effective_at, expires_at, grace_until, advance)`,
    [
      uuids(lots.map(({ id }) => id)),
      uuids(lots.map(({ poolId }) => poolId)),
      texts(lots.map(({ kind }) => kind)),
      texts(lots.map(({ source }) => source)),
      texts(lots.map(({ reference }) => reference)),
      bigints(lots.map(({ amount }) => amount)),
      instants(lots.map(({ purchasedAt }) => purchasedAt)),
      instants(lots.map(({ effectiveAt }) => effectiveAt)),
      instants(lots.map(({ expiresAt }) => expiresAt)),
      instants(lots.map(({ graceUntil }) => graceUntil)),
      integers(lots.map(({ advance }) => Number(advance))),
    ],
  );
}

/** Rows for periods of open budgets in which nothing counted yet. */
function sendBudgetPeriods(send: Send, { budgetChanges: changes, opened }: Append): void {
  const fresh = changes.filter(({ budgetId, isNew }) => isNew && !opened.has(budgetId));
  if (fresh.length > 0) insertPeriods(send, fresh, 'nothing');
}

function insertPeriods(send: Send, periods: readonly BudgetPeriod[], counted: 'nothing' | 'all'): void {
  send(
    'budgetPeriods',
    `insert into budget_periods (budget_id, starts_at, ends_at, reserved, charged)
     select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::bigint[])
     on conflict do nothing`,
    [
      uuids(periods.map(({ budgetId }) => budgetId)),
      instants(periods.map(({ startsAt }) => startsAt)),
      instants(periods.map(({ endsAt }) => endsAt)),
      bigints(periods.map(({ reserved }) => (counted === 'all' ? reserved : 0n))),
      bigints(periods.map(({ charged }) => (counted === 'all' ? charged : 0n))),
    ],
  );
}

const APPEND_BATCH = `select append_batch(${Array.from({ length: 35 }, (_, n) => `$${n + 1}`).join(', ')})`;

function sendBatch(
  send: Send,
  { digest, bookedMax, poolIds, plannedWith, rows, budgetChanges: changes, opened }: Append,
): void {
  // Arrays of arrays must be rectangular: lots and amounts go flat, each row with its slice of them.
  const first: number[] = [];
  const last: number[] = [];
  const lotIds: string[] = [];
  const amounts: bigint[] = [];
  for (const row of rows) {
    first.push(lotIds.length + 1);
    lotIds.push(...row.lotIds);
    amounts.push(...row.amounts);
    last.push(lotIds.length);
  }
  const counted = changes.filter(({ budgetId }) => !opened.has(budgetId));
  const pools = plannedWith && [...plannedWith.pools];
  const jobs = plannedWith && [...plannedWith.jobStates];
  send('append_batch', APPEND_BATCH, [
    digest,
    bookedMax,
    uuids(poolIds),
    pools && uuids(pools.map(([id]) => id)),
    pools && bigints(pools.map(([, { seq }]) => seq)),
    pools && byteas(pools.map(([, state]) => state.digest)),
    pools && bigints(pools.map(([, { terms }]) => terms)),
    jobs && uuids(jobs.map(([id]) => id)),
    jobs && texts(jobs.map(([, states]) => states.join(','))),
    instants(rows.map((row) => row.bookedAt)),
    unlessEmpty(
      bigints,
      rows.map((row) => row.absorbed),
    ),
    unlessEmpty(
      bigints,
      rows.map((row) => row.cap),
    ),
    unlessEmpty(
      instants,
      rows.map((row) => row.effectiveAt),
    ),
    unlessEmpty(
      instants,
      rows.map((row) => row.expiresAt),
    ),
    unlessEmpty(
      instants,
      rows.map((row) => row.withdrawnAt),
    ),
    unlessEmpty(
      instants,
      rows.map((row) => row.graceUntil),
    ),
    uuids(rows.map((row) => row.subject)),
    unlessEmpty(
      uuids,
      rows.map((row) => row.refersTo),
    ),
    unlessEmpty(
      uuids,
      rows.map((row) => row.userId),
    ),
    unlessEmpty(
      uuids,
      rows.map((row) => row.contractId),
    ),
    texts(rows.map((row) => row.kind)),
    texts(rows.map((row) => row.act)),
    texts(rows.map((row) => row.actor)),
    texts(rows.map((row) => row.reason)),
    texts(rows.map((row) => row.moves)),
    unlessEmpty(
      texts,
      rows.map((row) => row.project),
    ),
    byteas(rows.map((row) => row.requestHash)),
    integers(first),
    integers(last),
    uuids(lotIds),
    bigints(amounts),
    uuids(counted.map(({ budgetId }) => budgetId)),
    instants(counted.map(({ startsAt }) => startsAt)),
    bigints(counted.map(({ reserved }) => reserved)),
    bigints(counted.map(({ charged }) => charged)),
  ]);
}

/** Most operations have nothing in most columns: no array at all is read as one of nulls. */
function unlessEmpty<T>(
  write: (values: readonly (T | null)[]) => Buffer,
  values: readonly (T | null)[],
): Buffer | null {
  return values.every((value) => value === null) ? null : write(values);
}

/** After the operations, which close the budgets that these replace. */
function sendBudgets(send: Send, { rows, budgetChanges: changes, opened }: Append): void {
  const budgets = rows.flatMap(({ budget }) => budget ?? []);
  if (budgets.length === 0) return;
  // One that the same batch closes again was not there yet when its closing arrived.
  const closings = new Map(
    rows.filter(({ kind }) => kind === 'closeBudget').map(({ subject, bookedAt }) => [subject, bookedAt]),
  );
  send(
    'openBudget',
    `insert into budgets (id, contract_id, user_id, project, period, amount, warn_percent, refuse_percent, closed_at)
     select *
     from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::int[], $8::int[],
       $9::timestamptz[])`,
    [
      uuids(budgets.map(({ id }) => id)),
      uuids(budgets.map(({ contractId }) => contractId)),
      uuids(budgets.map(({ userId }) => userId)),
      texts(budgets.map(({ project }) => project)),
      texts(budgets.map(({ period }) => period)),
      bigints(budgets.map(({ amount }) => amount)),
      integers(budgets.map(({ warnPercent }) => warnPercent)),
      integers(budgets.map(({ refusePercent }) => refusePercent)),
      instants(budgets.map(({ id }) => closings.get(id) ?? null)),
    ],
  );
  insertPeriods(
    send,
    changes.filter(({ budgetId }) => opened.has(budgetId)),
    'all',
  );
}

function sendJobs(send: Send, jobs: readonly JobWrites[]): void {
  if (jobs.length === 0) return;
  // Rows were locked with the batch. Where nothing is said of a state, the job keeps it with its reason.
  send(
    'moveJobs',
    `update jobs
     set state = coalesce(new.state, jobs.state),
       reason = case when new.state is null then jobs.reason else new.reason end,
       message = case when new.state is null then jobs.message else new.message end,
       ended_at = coalesce(new.ended_at, jobs.ended_at),
       max_credits = coalesce(new.max_credits, jobs.max_credits),
       revision = revision + 1
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
       as new (id, state, reason, message, ended_at, max_credits)
     where jobs.id = new.id`,
    [
      uuids(jobs.map(({ jobId }) => jobId)),
      texts(jobs.map(({ to }) => to ?? null)),
      texts(jobs.map(({ reason }) => reason ?? null)),
      texts(jobs.map(({ message }) => message ?? null)),
      instants(jobs.map(({ endedAt }) => endedAt ?? null)),
      bigints(jobs.map(({ maxCredits }) => maxCredits ?? null)),
    ],
  );
  const events = jobs.flatMap(({ jobId, events: own }) => own.map((event) => ({ jobId, ...event })));
  if (events.length > 0) {
    send(
      'events',
      `insert into job_events (job_id, kind, message, data, at)
       select job_id, kind, message, data::jsonb, at
       from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) with ordinality
         as new (job_id, kind, message, data, at, position)
       order by position`,
      [
        uuids(events.map(({ jobId }) => jobId)),
        texts(events.map(({ kind }) => kind)),
        texts(events.map(({ message }) => message)),
        texts(events.map(({ data }) => JSON.stringify(data ?? {}))),
        instants(events.map(({ at }) => at)),
      ],
    );
  }
  for (const { charge } of jobs) if (charge) sendCharge(send, charge);
}

function sendCharge(send: Send, charge: ChargeRow): void {
  send(
    'charge',
    `insert into charges
       (id, job_id, user_id, contract_id, service, rate_card_version, job_end, rated, charged, absorbed, max_credits,
        dossier, booked_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      charge.id,
      charge.jobId,
      charge.userId,
      charge.contractId,
      charge.service,
      charge.rateCardVersion,
      charge.jobEnd,
      charge.rated,
      charge.charged,
      charge.absorbed,
      charge.maxCredits,
      JSON.stringify(charge.dossier),
      charge.bookedAt,
    ],
  );
}

/** What a plan changed of budgets' periods, as differences to what was loaded: a period that was not loaded counts zero. */
export function budgetChanges(after: readonly BudgetPeriod[], before: readonly BudgetPeriod[]): BudgetChange[] {
  const known = new Map(before.map((period) => [`${period.budgetId} ${period.startsAt}`, period]));
  return after.map((period) => {
    const old = known.get(`${period.budgetId} ${period.startsAt}`);
    return {
      ...period,
      isNew: !old,
      reserved: credits(period.reserved - (old?.reserved ?? ZERO)),
      charged: credits(period.charged - (old?.charged ?? ZERO)),
    };
  });
}
