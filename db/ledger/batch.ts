/**
 * One batch: lock and load, let `domain/` plan, append and commit. Two round trips, however many operations there are; one
 * where this process knows already what it would load.
 */
import { isNativeError } from 'node:util/types';
import type { Pool, PoolClient } from 'pg';
import { type JournalEntry, type LedgerState, type Plan, planBatch } from '../../domain/batch';
import type { BudgetPeriod } from '../../domain/budget';
import { credits, ZERO } from '../../domain/credits';
import { entryOf } from '../../domain/entryOf';
import type { Instant } from '../../domain/instant';
import type { JobState } from '../../domain/job';
import type { Lot } from '../../domain/lots';
import {
  type Accepted,
  type JobOperation,
  type Operation,
  type Outcome,
  type Refused,
  subjectOf,
} from '../../domain/operations';
import type { JournalLine } from '../../domain/reservation';
import { type BudgetCount, usageForNewBudget } from '../budgets';
import {
  type Append,
  budgetChanges,
  COMMIT,
  type JobWrites,
  type PlannedWith,
  type Statement,
  sendAll,
  statementsOf,
} from './append';
import { digestOf } from './chain';
import { answers, lineOf, type RecordedRow, rowOf, transfersOf } from './journal';
import { type Loaded, lockAndLoad, poolsOf } from './load';
import type { Memory, PoolState } from './memory';

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
  readonly memory: Memory;
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

async function transact(client: PoolClient, asked: readonly Asked[], { memory, counts }: Batching): Promise<Answer[]> {
  const operations = asked.map(({ operation }) => operation);
  const jobIds = [...new Set(asked.flatMap(({ companion }) => companion?.jobId ?? []))];
  const loaded = await lockAndLoad(client, operations, jobIds, memory);
  const recorded = new Map(loaded.rows.map((row) => [`${row.subject}/${row.act}`, row]));
  const answers = asked.map((one) => answerBeforehand(one, loaded, recorded));
  const open = asked.filter((_, index) => answers[index] === undefined);
  const newPeriods = await usageOfNewBudgets(client, open, counts);
  const state = { ...loaded.state, budgetPeriods: [...loaded.budgetPeriods, ...newPeriods] };
  const plan = planBatch(
    state,
    open.map(({ operation }) => operation),
  );
  let next = 0;
  const outcomes = answers.map((answer) => answer ?? (plan.outcomes[next++] as Outcome));
  const linesBefore = linesByJob(loaded.rows);
  const append = appendOf(plan, state, { periodsBefore: loaded.budgetPeriods, plannedWith: null });
  const jobs = jobWritesOf(asked, outcomes, { linesBefore, lots: state.lots });
  await sendAll(client, [...statementsOf(append, jobs), COMMIT]);
  if (append.rows.length > 0) remember(memory, { plan, append, linesBefore }, loaded.pools);
  return outcomes;
}

/** A batch that was planned with what was known, and what it was asked. */
export interface PlannedBatch {
  readonly append: Append;
  readonly statements: readonly Statement[];
  readonly outcomes: readonly Outcome[];
}

/**
 * Plans operations with what this process knows of their pools, without asking the database, and remembers what they leave:
 * the next batch can be planned behind this one before it is answered. Only what is accepted is decided so. A refusal may be
 * a repeat of something that was applied, and a period of a budget that is not known may hold anything: then the answer
 * is undefined, nothing is remembered, and the operations are to be applied by {@link runBatch}.
 *
 * @param asked operations that `memory` knows enough of.
 */
export function planFromMemory(asked: readonly Asked[], memory: Memory): PlannedBatch | undefined {
  const operations = asked.map(({ operation }) => operation as JobOperation);
  const known = memory.known([...new Set(operations.flatMap(poolsOf))]);
  const state = memory.stateFor(operations, known);
  const plan = planBatch(state, operations);
  if (!plan.outcomes.every(({ accepted }) => accepted)) return undefined;
  const jobStates = new Map(asked.flatMap(({ companion }) => (companion ? [[companion.jobId, companion.from]] : [])));
  const append = appendOf(plan, state, {
    periodsBefore: state.budgetPeriods,
    plannedWith: { pools: known, jobStates },
  });
  if (append.budgetChanges.some(({ isNew }) => isNew)) return undefined;
  const linesBefore = new Map<string, readonly JournalLine[]>();
  for (const operation of operations) {
    const lines = known.get(operation.contractId ?? operation.userId)?.jobs.get(operation.jobId)?.lines;
    if (lines) linesBefore.set(operation.jobId, lines);
  }
  const jobs = jobWritesOf(asked, plan.outcomes, { linesBefore, lots: state.lots });
  const statements = statementsOf(append, jobs);
  remember(memory, { plan, append, linesBefore }, known);
  return { append, statements, outcomes: plan.outcomes };
}

/** What a plan appends. @param planned what it was planned with, and which periods of budgets there were. */
function appendOf(
  plan: Plan,
  state: LedgerState,
  { periodsBefore, plannedWith }: { periodsBefore: readonly BudgetPeriod[]; plannedWith: PlannedWith | null },
): Append {
  const rows = plan.entries.map(rowOf);
  return {
    digest: digestOf(rows),
    rows,
    poolIds: linkedPools(plan.entries, state.lots),
    bookedMax: rows.reduce<Instant | null>((latest, { bookedAt }) => later(latest, bookedAt), null),
    budgetChanges: budgetChanges(plan.budgetPeriods, periodsBefore),
    opened: new Set(rows.flatMap(({ budget }) => budget?.id ?? [])),
    plannedWith,
  };
}

function later(latest: Instant | null, at: Instant): Instant {
  return latest === null || at > latest ? at : latest;
}

/** Remembers what a batch leaves of the pools that it is linked to. */
function remember(
  memory: Memory,
  { plan, append, linesBefore }: { plan: Plan; append: Append; linesBefore: LinesBefore },
  before: ReadonlyMap<string, PoolState>,
): void {
  const added = new Map<string, JournalLine[]>();
  const changedBudgets: string[] = [];
  for (const { operation, transfers, absorbed } of plan.entries) {
    if (operation.kind === 'openBudget') changedBudgets.push(operation.budget.contractId);
    if (operation.kind === 'closeBudget') changedBudgets.push(operation.contractId);
    if ('jobId' in operation) {
      entryOf(added, operation.jobId, () => []).push(lineOfApplied(operation, { transfers, absorbed }));
    }
  }
  const { digest, poolIds } = append;
  const linesOf = (jobId: string) => [...(linesBefore.get(jobId) ?? []), ...(added.get(jobId) ?? [])];
  memory.left({ digest, poolIds, plan, linesOf }, before);
  memory.forget(changedBudgets);
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

/** The pools that a batch belongs to: homes of its operations, and owners of the lots that it moved. */
function linkedPools(entries: readonly JournalEntry[], lots: readonly Lot[]): string[] {
  const owners = new Map(lots.map(({ id, poolId }) => [id, poolId]));
  const poolIds = new Set<string>();
  for (const { operation, transfers } of entries) {
    if (operation.kind !== 'repay') poolIds.add(poolsOf(operation)[0] as string);
    if (operation.kind === 'grant') owners.set(operation.lot.id, operation.lot.poolId);
    for (const { lotId } of transfers) {
      const owner = owners.get(lotId);
      if (owner === undefined) throw new Error(`lot ${lotId} was not loaded with the batch`);
      poolIds.add(owner);
    }
  }
  return [...poolIds].sort();
}

/** The operations of jobs before a batch, in order. */
type LinesBefore = ReadonlyMap<string, readonly JournalLine[]>;

function linesByJob(rows: readonly RecordedRow[]): LinesBefore {
  const lines = new Map<string, JournalLine[]>();
  for (const row of rows) entryOf(lines, row.subject, () => []).push(lineOf(row));
  return lines;
}

function jobWritesOf(
  asked: readonly Asked[],
  answers: readonly Answer[],
  { linesBefore, lots }: { linesBefore: LinesBefore; lots: readonly Lot[] },
): JobWrites[] {
  if (asked.every(({ companion }) => companion === undefined)) return [];
  const kinds = new Map(lots.map(({ id, kind }) => [id, kind]));
  const kindOf = (lotId: string) => {
    const kind = kinds.get(lotId);
    if (kind === undefined) throw new Error(`lot ${lotId} was not loaded with the batch`);
    return kind;
  };
  return asked.flatMap(({ operation, companion }, index) => {
    const outcome = answers[index];
    if (!companion || outcome === undefined || isNativeError(outcome)) return [];
    const before = linesBefore.get(companion.jobId) ?? [];
    const lines = outcome.accepted && !outcome.replayed ? [...before, lineOfApplied(operation, outcome)] : before;
    const writes = companion.write(outcome, { lines, kindOf });
    return writes ? [{ jobId: companion.jobId, ...writes }] : [];
  });
}

function lineOfApplied(
  operation: Operation,
  { transfers, absorbed }: Pick<Accepted, 'transfers' | 'absorbed'>,
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
