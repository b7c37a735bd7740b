/**
 * The ledger: every movement of credits is an operation of a batch. Operations are asked one by one; they share
 * transactions, and each is accepted or refused on its own, in the order in which it arrived.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { isNativeError } from 'node:util/types';
import type { Pool } from 'pg';
import { type Credits, credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Lot } from '../domain/lots';
import { type Operation, type Outcome, subjectOf, type Transfer } from '../domain/operations';
import { type Reservation, reservationOf } from '../domain/reservation';
import { type BudgetCount, countBudgetBefore } from './budgets';
import { connectPipelined, type Db, isUnavailable, rows, SQLSTATE, sqlStateOf, type Trx } from './client';
import { type Append, COMMIT, type Statement, sendAll } from './ledger/append';
import {
  type Answer,
  type Asked,
  type BudgetCounts,
  type Companion,
  type PlannedBatch,
  planFromMemory,
  runBatch,
} from './ledger/batch';
import { Batcher, LANES } from './ledger/batcher';
import { Caution } from './ledger/caution';
import { lineOf, RECORDED_COLUMNS, type RecordedRow, transfersOf } from './ledger/journal';
import { Lane } from './ledger/lane';
import { BEGIN, IS_OPEN, LOT_COLUMNS } from './ledger/load';
import { Memory } from './ledger/memory';

export { type Companion, type CompanionContext, JobMoved } from './ledger/batch';
export { LOT_COLUMNS } from './ledger/load';

export interface Ledger {
  /** The same database, for what is only read. */
  readonly db: Db;
  /**
   * Applies one operation, together with others that are asked at the same time. An operation whose key was applied before
   * is answered with what it moved then; a refusal changes nothing and is not remembered. An answer means committed; after
   * an error nothing or everything is, and the same operation can be asked again.
   *
   * @param companion what the operation's job becomes in the same transaction.
   * @throws BillingError `overloaded` when too much waits; {@link JobMoved} by the companion; what Postgres failed with.
   */
  apply(operation: Operation, companion?: Companion): Promise<Outcome>;
  /** Applies operations as one batch, apart from what is asked one by one. @throws the first error of an operation. */
  applyBatch(operations: readonly Operation[]): Promise<Outcome[]>;
  /** Finishes what was asked and closes the connections. */
  close(): Promise<void>;
}

export interface LedgerOptions {
  readonly waitingMax?: number;
  readonly batchMax?: number;
  readonly batchesAtOnce?: number;
}

/** A generic plan that walks indexes is right for every size of the journal; a plan made for a short one is not. */
const SESSION = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_bitmapscan: 'off',
  // A process that is frozen, or whose machine is gone, gives up the pools that it has locked.
  idle_in_transaction_session_timeout: '10s',
} as const;

/** Opens the ledger of a database with connections of its own. */
export function openLedger(db: Db, options: LedgerOptions = {}): Ledger {
  const { waitingMax = 10_000, batchMax = 512, batchesAtOnce = 2 } = options;
  // Beside those that are loaded: one for batches that are asked for as such, and the lanes of those that go ahead.
  const pool = connectPipelined(db, SESSION, batchesAtOnce + 1 + LANES);
  const memory = new Memory();
  const lanes = Array.from({ length: LANES }, () => new Lane(pool));
  const caution = new Caution();
  const connections = { db, pool, memory, caution, refusedAhead: Promise.resolve() };
  const batcher = new Batcher(
    {
      knows: ({ operation }) => caution.isTrying && memory.knows(operation),
      ahead: (asked, lane) => applyAhead(connections, lanes[lane] as Lane, asked),
      load: (asked) => {
        caution.loaded();
        return applyAll(connections, asked);
      },
    },
    { waitingMax, batchMax, batchesAtOnce },
  );
  return {
    db,
    apply: (operation, companion) => batcher.ask({ operation, companion }),
    async applyBatch(operations) {
      const answers: Answer[] = [];
      for (const batch of withoutRepeats(operations)) {
        answers.push(
          ...(await applyAll(
            connections,
            batch.map((operation) => ({ operation })),
          )),
        );
      }
      return answers.map((answer) => {
        if (isNativeError(answer)) throw answer;
        return answer;
      });
    },
    async close() {
      await batcher.drain();
      await Promise.all(lanes.map((lane) => lane.close()));
      await pool.end();
    },
  };
}

/** A key goes once per batch, so that its repeat finds what the first one recorded. */
function withoutRepeats(operations: readonly Operation[]): Operation[][] {
  const batches: Operation[][] = [];
  const keys = new Set<string>();
  for (const operation of operations) {
    const key = `${subjectOf(operation)}/${operation.act}`;
    if (batches.length === 0 || keys.has(key)) {
      batches.push([]);
      keys.clear();
    }
    keys.add(key);
    batches.at(-1)?.push(operation);
  }
  return batches;
}

interface Connections {
  readonly db: Db;
  readonly pool: Pool;
  readonly memory: Memory;
  readonly caution: Caution;
  /** What was refused ahead is loaded in its order. */
  refusedAhead: Promise<unknown>;
}

/**
 * Sends operations as one batch that is planned with what is known, or answers undefined when it has to be loaded. Where the
 * database finds that something else happened in between, or that a key was used, the batch is applied as any other.
 */
function applyAhead(connections: Connections, lane: Lane, asked: readonly Asked[]): Promise<Answer[]> | undefined {
  const planned = plannedOrNot(asked, connections.memory);
  if (!planned) return undefined;
  const { append, statements, outcomes } = planned;
  return lane
    .send((client) => sendAll(client, inOneTransaction(statements)))
    .then(
      () => {
        connections.caution.applied();
        return [...outcomes];
      },
      (error) => applyRefused(connections, asked, append, error),
    );
}

/** What cannot even be planned is singled out by {@link applyAll}. */
function plannedOrNot(asked: readonly Asked[], memory: Memory): PlannedBatch | undefined {
  try {
    return planFromMemory(asked, memory);
  } catch {
    return undefined;
  }
}

async function applyRefused(
  connections: Connections,
  asked: readonly Asked[],
  { plannedWith }: Append,
  error: unknown,
): Promise<Answer[]> {
  connections.memory.lost([...(plannedWith?.pools.keys() ?? [])]);
  if (isUnavailable(error)) return asked.map(() => errorOf(error));
  connections.caution.refused();
  const applied = connections.refusedAhead.then(() => applyAll(connections, asked));
  connections.refusedAhead = applied.catch(() => undefined);
  return applied;
}

/** A single statement is a transaction by itself. */
function inOneTransaction(statements: readonly Statement[]): readonly Statement[] {
  return statements.length === 1 ? statements : [BEGIN, ...statements, COMMIT];
}

function errorOf(error: unknown): Error {
  return isNativeError(error) ? error : new Error(String(error));
}

const TRIES = 5;

/**
 * Applies operations as one batch if that can be. An operation that Postgres or the planner fails on is singled out by
 * halving, so that the others of its batch are applied all the same, in their order.
 */
async function applyAll(connections: Connections, asked: readonly Asked[], attempt = 1): Promise<Answer[]> {
  const { db, pool, memory } = connections;
  try {
    return await runBatch(pool, asked, { memory, counts: await countsBefore(db, asked) });
  } catch (error) {
    const failure = errorOf(error);
    const state = sqlStateOf(error);
    // Chosen as a deadlock's victim: as often as the rest of the code tries, with jitter.
    const passing = state === SQLSTATE.serializationFailure || state === SQLSTATE.deadlockDetected;
    // Alone with a key that somebody just recorded from another pool: the next load finds it.
    const late = asked.length === 1 && state === SQLSTATE.uniqueViolation;
    if ((passing || late) && attempt < TRIES) {
      await wait(Math.random() * 20 * 2 ** attempt);
      return applyAll(connections, asked, attempt + 1);
    }
    if (asked.length === 1 || passing || isUnavailable(error)) return asked.map(() => failure);
    const middle = Math.ceil(asked.length / 2);
    const first = await applyAll(connections, asked.slice(0, middle));
    return [...first, ...(await applyAll(connections, asked.slice(middle)))];
  }
}

/** Counts for new budgets what the journal holds before any lock is taken: it may be long. */
async function countsBefore(db: Db, asked: readonly Asked[]): Promise<BudgetCounts> {
  const counts = new Map<string, BudgetCount>();
  for (const { operation } of asked) {
    if (operation.kind === 'openBudget') counts.set(operation.budget.id, await countBudgetBefore(db, operation.budget));
  }
  return counts;
}

/** The lots of pools that can still pay, hold something reserved, or are to be repaid. */
export function lotsOfPools(db: Db | Trx, poolIds: readonly string[]): Promise<Lot[]> {
  return rows<Lot>(db, `select ${LOT_COLUMNS} from lots where ${IS_OPEN} and pool_id = any(?::uuid[])`, [poolIds]);
}

/** The reservations of jobs, open and closed, as their operations give them. */
export async function reservationsOf(db: Db | Trx, jobIds: readonly string[]): Promise<Reservation[]> {
  const found = await rows<RecordedRow>(
    db,
    `select ${RECORDED_COLUMNS}
     from operations
     where subject = any(?::uuid[]) or refers_to = any(?::uuid[])
     order by batch_id, position`,
    [jobIds, jobIds],
  );
  return jobIds.flatMap((jobId) => {
    const lines = found.filter(({ subject, refersTo }) => subject === jobId || refersTo === jobId).map(lineOf);
    return lines.length > 0 ? [reservationOf(jobId, lines)] : [];
  });
}

/** One operation about a job as the journal has it. */
export interface RecordedOperation {
  readonly kind: RecordedRow['kind'];
  readonly act: string;
  readonly bookedAt: Instant;
  readonly actor: string;
  readonly reason: string;
  readonly absorbed: Credits;
  readonly transfers: readonly Transfer[];
}

/** The operations of a job, in the order in which they were applied. */
export async function operationsOfJob(db: Db | Trx, jobId: string): Promise<RecordedOperation[]> {
  const found = await rows<RecordedRow & { actor: string; reason: string }>(
    db,
    `select ${RECORDED_COLUMNS}, actor, reason
     from operations
     where subject = ?
     order by batch_id, position`,
    [jobId],
  );
  return found.map((row) => ({
    kind: row.kind,
    act: row.act,
    bookedAt: row.bookedAt,
    actor: row.actor === 'job' ? `job/${jobId}` : row.actor,
    reason: row.reason,
    absorbed: credits(row.absorbed ?? 0n),
    transfers: transfersOf(row),
  }));
}
