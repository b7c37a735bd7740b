/**
 * One batch: lock and load, let `domain/` plan, append and commit. Two round trips, however many operations there are.
 */
import type { Pool, PoolClient } from 'pg';
import { type JournalEntry, planBatch } from '../../domain/batch';
import type { BudgetPeriod } from '../../domain/budget';
import { credits, ZERO } from '../../domain/credits';
import type { Instant } from '../../domain/instant';
import type { JobState } from '../../domain/job';
import type { Lot } from '../../domain/lots';
import { type Operation, type Outcome, type Refused, subjectOf } from '../../domain/operations';
import type { JournalLine } from '../../domain/reservation';
import { type BudgetCount, usageForNewBudget } from '../budgets';
import { appendAndCommit, budgetChanges, type JobWrites, type Link } from './append';
import { digestOf, nextHead } from './chain';
import { answers, lineOf, type RecordedRow, rowOf, transfersOf } from './journal';
import { type Loaded, type LockedPool, lockAndLoad, poolsOf } from './load';
import type { PoolCache } from './poolCache';

/** What a job's row becomes in the transaction of an operation. */
export interface Companion {
  readonly jobId: string;
  /** The states in which the job must be; otherwise {@link JobMoved} is thrown and nothing is done. */
  readonly from: readonly JobState[];
  /** Decides what is written. Pure, since it may be asked again; undefined writes nothing. */
  write(outcome: Outcome, context: CompanionContext): Omit<JobWrites, 'jobId'> | undefined;
}

export interface CompanionContext {
  /** The job's operations, with the one that is being applied at its end. */
  readonly lines: readonly JournalLine[];
  readonly kindOf: (lotId: string) => Lot['kind'];
}

/** The job's row is not in the state that an act needs: somebody else was first. */
export class JobMoved extends Error {
  override readonly name = 'JobMoved';
}

/** What is asked of a batch. */
export interface Asked {
  readonly operation: Operation;
  readonly companion?: Companion | undefined;
}

export interface Batching {
  readonly cache: PoolCache;
  readonly counts: BudgetCounts;
}

/** Per operation its outcome, or why it alone could not be done. */
export type Answer = Outcome | Error;

/**
 * Applies operations in one transaction.
 *
 * @throws what the database failed with: then nothing was applied, unless the connection was lost and nobody knows.
 */
export async function runBatch(pool: Pool, asked: readonly Asked[], batching: Batching): Promise<Answer[]> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    return await transact(client, asked, batching);
  } catch (error) {
    broken = await rollBack(client);
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Ends a transaction that failed; answers why the connection cannot be used any more. */
async function rollBack(client: PoolClient): Promise<Error | undefined> {
  try {
    await client.query('rollback');
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

async function transact(client: PoolClient, asked: readonly Asked[], { cache, counts }: Batching): Promise<Answer[]> {
  const operations = asked.map(({ operation }) => operation);
  const jobIds = [...new Set(asked.flatMap(({ companion }) => companion?.jobId ?? []))];
  const loaded = await lockAndLoad(client, operations, jobIds, cache);
  const recorded = new Map(loaded.rows.map((row) => [`${row.subject}/${row.act}`, row]));
  const answers = asked.map((one) => answerBeforehand(one, loaded, recorded));
  const open = asked.filter((_, index) => answers[index] === undefined);
  const newPeriods = await usageOfNewBudgets(client, open, counts);
  const plan = planBatch(
    { ...loaded.state, budgetPeriods: [...loaded.budgetPeriods, ...newPeriods] },
    open.map(({ operation }) => operation),
  );
  let next = 0;
  const outcomes = answers.map((answer) => answer ?? (plan.outcomes[next++] as Outcome));

  const rows = plan.entries.map(rowOf);
  const recordedAt = latestOf(loaded.clock, loaded.pools);
  const digest = digestOf(loaded.batchId, recordedAt, rows);
  const links = linksOf(plan.entries, loaded, digest);
  const opened = new Set(rows.flatMap(({ budget }) => budget?.id ?? []));
  const append = {
    batchId: loaded.batchId,
    recordedAt,
    digest,
    rows,
    links,
    budgetChanges: budgetChanges(plan.budgetPeriods, loaded.budgetPeriods),
    opened,
  };
  await appendAndCommit(client, append, jobWritesOf(asked, outcomes, loaded));
  cache.advance(links, plan.lots);
  return outcomes;
}

/** What was counted for new budgets before their pool was locked, by budget. */
export type BudgetCounts = ReadonlyMap<string, BudgetCount>;

/** What counts already for the budgets that the batch opens. */
async function usageOfNewBudgets(
  client: PoolClient,
  asked: readonly Asked[],
  counts: BudgetCounts,
): Promise<BudgetPeriod[]> {
  const periods: BudgetPeriod[] = [];
  for (const { operation } of asked) {
    if (operation.kind !== 'openBudget') continue;
    const { budget } = operation;
    periods.push(...(await usageForNewBudget(client, budget, counts.get(budget.id))));
  }
  return periods;
}

/** What needs no planning: what was done before, what cannot be locked, and jobs that somebody else moved. */
function answerBeforehand(
  { operation, companion }: Asked,
  loaded: Loaded,
  recorded: ReadonlyMap<string, RecordedRow>,
): Answer | undefined {
  // Without its lock a pool could be spent twice.
  const missing = poolsOf(operation).find((id) => !loaded.pools.has(id));
  if (missing !== undefined) return new Error(`there is no pool ${missing}`);
  // First, so that a repeat does not write again what it wrote with its operation.
  const state = companion && loaded.jobStates.get(companion.jobId);
  if (companion && (state === undefined || !companion.from.includes(state))) {
    return new JobMoved(`job ${companion.jobId} is ${state ?? 'missing'}, not ${companion.from.join(' or ')}`);
  }
  const row = recorded.get(`${subjectOf(operation)}/${operation.act}`);
  if (row) return answers(row, operation) ? replayOf(row) : reused(operation);
  if (operation.kind === 'grant') {
    const owner = operation.lot.kind === 'individual' ? 'user' : 'contract';
    if (loaded.pools.get(operation.lot.poolId)?.owner !== owner) {
      return refused('lot_invalid', `A lot of kind ${operation.lot.kind} belongs to a ${owner}; name one.`);
    }
  }
  return undefined;
}

function replayOf(row: RecordedRow): Outcome {
  return {
    accepted: true,
    replayed: true,
    transfers: transfersOf(row),
    absorbed: credits(row.absorbed ?? 0n),
    warnings: [],
  };
}

function reused(operation: Operation): Refused {
  const key = `${subjectOf(operation)}/${operation.act}`;
  return refused('idempotency_key_reused', `The key ${key} was used for another operation.`);
}

function refused(code: Refused['code'], message: string): Refused {
  return { accepted: false, code, message, details: {} };
}

/** Never earlier than what was recorded before in any of the pools, even when the server's clock was set back. */
function latestOf(clock: Instant, pools: ReadonlyMap<string, LockedPool>): Instant {
  let latest = clock;
  for (const { recordedAt } of pools.values()) if (recordedAt !== null && recordedAt > latest) latest = recordedAt;
  return latest;
}

/** The next link of every pool that the batch belongs to: home of an operation, or owner of a lot that it moved. */
function linksOf(entries: readonly JournalEntry[], loaded: Loaded, digest: Buffer): Link[] {
  const owners = new Map(loaded.state.lots.map(({ id, poolId }) => [id, poolId]));
  const poolIds = new Set<string>();
  let bookedMax: Instant | undefined;
  for (const { operation, transfers } of entries) {
    if (operation.kind !== 'repay') poolIds.add(poolsOf(operation)[0] as string);
    if (operation.kind === 'grant') owners.set(operation.lot.id, operation.lot.poolId);
    for (const { lotId } of transfers) {
      const owner = owners.get(lotId);
      if (owner === undefined) throw new Error(`lot ${lotId} was not loaded with the batch`);
      poolIds.add(owner);
    }
    if (bookedMax === undefined || operation.at > bookedMax) bookedMax = operation.at;
  }
  return [...poolIds].sort().map((poolId) => {
    const pool = loaded.pools.get(poolId);
    if (!pool || bookedMax === undefined) throw new Error(`pool ${poolId} was not locked with the batch`);
    const later = pool.bookedMax !== null && pool.bookedMax > bookedMax ? pool.bookedMax : bookedMax;
    return { poolId, seq: pool.seq + 1n, before: pool.head, head: nextHead(pool.head, digest), bookedMax: later };
  });
}

function jobWritesOf(asked: readonly Asked[], answers: readonly Answer[], loaded: Loaded): JobWrites[] {
  const kinds = new Map(loaded.state.lots.map(({ id, kind }) => [id, kind]));
  const kindOf = (lotId: string) => {
    const kind = kinds.get(lotId);
    if (kind === undefined) throw new Error(`lot ${lotId} was not loaded with the batch`);
    return kind;
  };
  return asked.flatMap(({ operation, companion }, index) => {
    const outcome = answers[index];
    if (!companion || outcome === undefined || outcome instanceof Error) return [];
    const before = loaded.rows.filter(({ subject }) => subject === companion.jobId).map(lineOf);
    const lines = outcome.accepted && !outcome.replayed ? [...before, lineOfApplied(operation, outcome)] : before;
    const writes = companion.write(outcome, { lines, kindOf });
    return writes ? [{ jobId: companion.jobId, ...writes }] : [];
  });
}

function lineOfApplied(
  operation: Operation,
  { transfers, absorbed }: Extract<Outcome, { accepted: true }>,
): JournalLine {
  const { userId, contractId } = 'userId' in operation ? operation : { userId: null, contractId: null };
  return {
    kind: operation.kind,
    act: operation.act,
    bookedAt: operation.at,
    userId,
    contractId,
    cap: 'cap' in operation ? operation.cap : null,
    absorbed: absorbed ?? ZERO,
    project: operation.kind === 'reserve' ? operation.project : null,
    transfers,
  };
}
