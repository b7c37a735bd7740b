/**
 * The ledger's batch: lock the pools in ascending order, load what the operations concern, let `domain/` plan, write the
 * plan set-based, commit. Every operation of the ledger goes through here and looks like every other.
 */
import { createHash } from 'node:crypto';
import {
  type Authorisation,
  type ContractTerm,
  type JournalEntry,
  type LedgerState,
  type Plan,
  planBatch,
  type Reservation,
} from '../domain/batch';
import { type Credits, credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Bucket, Lot } from '../domain/lots';
import type { Operation, Outcome, Transfer } from '../domain/operations';
import { type Db, inTransaction, rows, SQLSTATE, sqlStateOf, type Trx } from './client';

/** Writes what must commit with a batch, such as a charge with its settlement. Throwing undoes the batch. */
export type Alongside = (trx: Trx, outcomes: readonly Outcome[]) => Promise<void>;

/**
 * Applies operations in one transaction, each accepted or refused on its own, in order. An operation whose key was
 * applied before is answered with what it moved then; a refusal changes nothing and is not remembered. An answer means
 * committed; after an error nothing or everything is, and the same operations can be sent again.
 */
export async function applyBatch(db: Db, operations: readonly Operation[], alongside?: Alongside): Promise<Outcome[]> {
  try {
    return await applyFresh(db, operations, new Set(), alongside);
  } catch (error) {
    if (sqlStateOf(error) !== SQLSTATE.uniqueViolation) throw error;
    const recorded = await recordedRows(db, operations);
    if (recorded.size === 0) throw error;
    return applyFresh(db, operations, new Set(recorded.keys()), alongside);
  }
}

/** Applies the first operation of each key that is not recorded, and answers the others from the journal. */
function applyFresh(
  db: Db,
  operations: readonly Operation[],
  recorded: ReadonlySet<string>,
  alongside?: Alongside,
): Promise<Outcome[]> {
  const claimed = new Set(recorded);
  const isFirst = operations.map(({ key }) => !claimed.has(key) && Boolean(claimed.add(key)));
  const fresh = operations.filter((_, index) => isFirst[index]);
  return inTransaction(db, async (trx) => {
    const plan = planBatch(await lockAndLoad(trx, fresh), fresh);
    await write(trx, plan);
    const planned = new Map(fresh.map(({ key }, index) => [key, plan.outcomes[index]]));
    const isApplied = ({ key }: Operation, index: number) => isFirst[index] && planned.get(key)?.accepted === true;
    // A repeat can look refusable, because what it did is done already: only then the journal is asked.
    const journal = await recordedRows(
      trx,
      operations.filter((operation, index) => !isApplied(operation, index)),
    );
    const outcomes = operations.map((operation, index) => {
      const row = isApplied(operation, index) ? undefined : journal.get(operation.key);
      const outcome = row ? outcomeOf(row, operation) : planned.get(operation.key);
      if (!outcome) throw new Error(`operation ${operation.key} has no outcome`);
      return outcome;
    });
    await alongside?.(trx, outcomes);
    return outcomes;
  });
}

async function lockAndLoad(trx: Trx, operations: readonly Operation[]): Promise<LedgerState> {
  const poolIds = [...new Set(operations.flatMap(poolsOf))].sort();
  const jobIds = operations.flatMap((operation) => (operation.kind === 'grant' ? [] : [operation.jobId]));
  // One lock per pool, in ascending order, so that batches of several processes cannot deadlock.
  const locked = await rows(trx, 'select id from pools where id = any(?::uuid[]) order by id for update', [poolIds]);
  // Without its lock a pool could be spent twice.
  if (locked.length < poolIds.length) throw new Error(`of the pools ${poolIds.join(', ')} only ${locked.length} exist`);
  return {
    lots: await lotsOfPools(trx, poolIds),
    reservations: await reservationsOf(trx, jobIds),
    contracts: await rows<ContractTerm>(
      trx,
      `select id as "contractId", starts_at as "startsAt", ends_at as "endsAt"
       from contracts
       where id = any(?::uuid[])`,
      [poolIds],
    ),
    authorisations: await rows<Authorisation>(
      trx,
      `select contract_id as "contractId", user_id as "userId", authorised_at as "authorisedAt", removed_at as "removedAt"
       from contract_users
       where contract_id = any(?::uuid[]) and user_id = any(?::uuid[])`,
      [poolIds, poolIds],
    ),
  };
}

function poolsOf(operation: Operation): string[] {
  if (operation.kind === 'grant') return [operation.lot.poolId];
  return operation.contractId === null ? [operation.userId] : [operation.userId, operation.contractId];
}

/** The lots of pools that can still pay or hold something reserved. */
export function lotsOfPools(db: Db | Trx, poolIds: readonly string[]): Promise<Lot[]> {
  return rows<Lot>(
    db,
    `select ${LOT_COLUMNS}
     from lots
     where pool_id = any(?::uuid[]) and (available > 0 or reserved > 0)`,
    [poolIds],
  );
}

/** The columns of a {@link Lot}. */
export const LOT_COLUMNS = `id, pool_id as "poolId", kind, granted, available, reserved, consumed, expired, withdrawn,
  effective_at as "effectiveAt", expires_at as "expiresAt", withdrawn_at as "withdrawnAt", ended_as as "endedAs"`;

interface ReservationRow extends Omit<Reservation, 'draws'> {
  readonly lotIds: readonly string[];
  readonly amounts: readonly bigint[];
}

/** The reservations of jobs, open and closed. */
export async function reservationsOf(db: Db | Trx, jobIds: readonly string[]): Promise<Reservation[]> {
  const found = await rows<ReservationRow>(
    db,
    `select job_id as "jobId", user_id as "userId", contract_id as "contractId", state, cap,
       lot_ids as "lotIds", amounts, opened_at as "openedAt", closed_at as "closedAt"
     from reservations
     where job_id = any(?::uuid[])`,
    [jobIds],
  );
  return found.map(({ lotIds, amounts, ...reservation }) => ({
    ...reservation,
    draws: lotIds.map((lotId, index) => ({ lotId, amount: credits(amounts[index] ?? 0n) })),
  }));
}

/** Events first, then balances: a repeated key meets the unique index before any balance moves. */
async function write(trx: Trx, plan: Plan): Promise<void> {
  if (plan.entries.length === 0) return;
  const granted = new Set(
    plan.entries.flatMap(({ operation }) => (operation.kind === 'grant' ? [operation.lot.id] : [])),
  );
  await insertOperations(trx, plan.entries);
  await insertLots(trx, plan, granted);
  await updateLots(
    trx,
    plan.lots.filter(({ id }) => !granted.has(id)),
  );
  await upsertReservations(trx, plan.reservations);
}

const LETTERS: Readonly<Record<Bucket | 'granted', string>> = {
  granted: 'g',
  available: 'a',
  reserved: 'r',
  consumed: 'c',
  expired: 'e',
  withdrawn: 'w',
};
const BUCKET_OF = new Map(Object.entries(LETTERS).map(([bucket, letter]) => [letter, bucket as Bucket | 'granted']));

async function insertOperations(trx: Trx, entries: readonly JournalEntry[]): Promise<void> {
  const values = entries.flatMap(({ operation, transfers, absorbed }) => [
    operation.id,
    operation.kind,
    operation.key,
    requestHash(operation),
    operation.kind === 'grant' ? null : operation.jobId,
    operation.at,
    operation.actor,
    operation.reason,
    transfers.map(({ lotId }) => lotId),
    transfers.map(({ from, to }) => LETTERS[from] + LETTERS[to]).join(''),
    transfers.map(({ amount }) => amount.toString()),
    absorbed.toString(),
  ]);
  await trx.raw(
    `insert into operations
       (id, kind, key, request_hash, job_id, booked_at, actor, reason, lot_ids, moves, amounts, absorbed)
     values ${entries.map(() => '(?, ?, ?, ?, ?, ?, ?, ?, ?::uuid[], ?, ?::bigint[], ?)').join(', ')}`,
    values as never,
  );
}

/** What was asked, without the row's id and the instant: a repeat brings new ones. */
function requestHash({ id: _id, at: _at, ...asked }: Operation): Buffer {
  const text = JSON.stringify(asked, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
  return createHash('sha256').update(text).digest();
}

async function insertLots(trx: Trx, plan: Plan, granted: ReadonlySet<string>): Promise<void> {
  const after = new Map(plan.lots.map((lot) => [lot.id, lot]));
  for (const { operation } of plan.entries) {
    if (operation.kind !== 'grant' || !granted.has(operation.lot.id)) continue;
    const lot = after.get(operation.lot.id);
    if (!lot) throw new Error(`lot ${operation.lot.id} is not in the plan`);
    await trx.raw(
      `insert into lots
         (id, pool_id, pool_owner, kind, source, reference, granted, available, reserved, consumed, expired, withdrawn,
          purchased_at, effective_at, expires_at)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        lot.id,
        lot.poolId,
        lot.kind === 'individual' ? 'user' : 'contract',
        lot.kind,
        operation.lot.source,
        operation.lot.reference,
        ...[lot.granted, lot.available, lot.reserved, lot.consumed, lot.expired, lot.withdrawn].map(String),
        operation.lot.purchasedAt,
        lot.effectiveAt,
        lot.expiresAt,
      ] as never,
    );
  }
}

async function updateLots(trx: Trx, lots: readonly Lot[]): Promise<void> {
  if (lots.length === 0) return;
  const column = (amountOf: (lot: Lot) => Credits) => lots.map((lot) => amountOf(lot).toString());
  await trx.raw(
    `update lots
     set available = after.available,
       reserved = after.reserved,
       consumed = after.consumed,
       expired = after.expired,
       withdrawn = after.withdrawn
     from unnest(?::uuid[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])
       as after (id, available, reserved, consumed, expired, withdrawn)
     where lots.id = after.id`,
    [
      lots.map(({ id }) => id),
      column((lot) => lot.available),
      column((lot) => lot.reserved),
      column((lot) => lot.consumed),
      column((lot) => lot.expired),
      column((lot) => lot.withdrawn),
    ] as never,
  );
}

async function upsertReservations(trx: Trx, reservations: readonly Reservation[]): Promise<void> {
  for (const { jobId, userId, contractId, state, cap, draws, openedAt, closedAt } of reservations) {
    await trx.raw(
      `insert into reservations (job_id, user_id, contract_id, state, cap, lot_ids, amounts, opened_at, closed_at)
       values (?, ?, ?, ?, ?, ?::uuid[], ?::bigint[], ?, ?)
       on conflict (job_id) do update
       set state = excluded.state,
         cap = excluded.cap,
         lot_ids = excluded.lot_ids,
         amounts = excluded.amounts,
         closed_at = excluded.closed_at`,
      [
        jobId,
        userId,
        contractId,
        state,
        cap.toString(),
        draws.map(({ lotId }) => lotId),
        draws.map(({ amount }) => amount.toString()),
        openedAt,
        closedAt,
      ] as never,
    );
  }
}

interface RecordedRow {
  readonly key: string;
  readonly requestHash: Buffer;
  readonly lotIds: readonly string[];
  readonly moves: string;
  readonly amounts: readonly bigint[];
  readonly absorbed: bigint;
}

/** The rows of the journal under the keys of operations. */
async function recordedRows(db: Db | Trx, operations: readonly Operation[]): Promise<Map<string, RecordedRow>> {
  if (operations.length === 0) return new Map();
  const found = await rows<RecordedRow>(
    db,
    `select key, request_hash as "requestHash", lot_ids as "lotIds", moves, amounts, absorbed
     from operations
     where key = any(?)`,
    [operations.map(({ key }) => key)],
  );
  return new Map(found.map((row) => [row.key, row]));
}

function outcomeOf(row: RecordedRow, operation: Operation): Outcome {
  if (!row.requestHash.equals(requestHash(operation))) {
    return {
      accepted: false,
      code: 'idempotency_key_reused',
      message: `The key ${row.key} was used for another operation.`,
      details: {},
    };
  }
  return { accepted: true, replayed: true, transfers: transfersOf(row), absorbed: credits(row.absorbed) };
}

/** Reads an operation's arrays back as transfers, like the view `transfers` does. */
export function transfersOf(row: Pick<RecordedRow, 'lotIds' | 'moves' | 'amounts'>): Transfer[] {
  return row.lotIds.map((lotId, index) => {
    const from = BUCKET_OF.get(row.moves.charAt(2 * index));
    const to = BUCKET_OF.get(row.moves.charAt(2 * index + 1));
    if (from === undefined || to === undefined || to === 'granted') throw new Error(`unknown move in ${row.moves}`);
    return { lotId, from, to, amount: credits(row.amounts[index] ?? 0n) };
  });
}

/** One operation of a job as the journal has it. */
export interface RecordedOperation {
  readonly id: string;
  readonly kind: Operation['kind'];
  readonly bookedAt: Instant;
  readonly actor: string;
  readonly reason: string;
  readonly absorbed: Credits;
  readonly transfers: readonly Transfer[];
}

/** The operations of a job, in the order in which they were applied. */
export async function operationsOfJob(db: Db | Trx, jobId: string): Promise<RecordedOperation[]> {
  const found = await rows<RecordedRow & Omit<RecordedOperation, 'transfers'>>(
    db,
    `select id, kind, booked_at as "bookedAt", actor, reason, absorbed, lot_ids as "lotIds", moves, amounts
     from operations
     where job_id = ?
     order by recorded_at, id`,
    [jobId],
  );
  return found.map((row) => ({
    id: row.id,
    kind: row.kind,
    bookedAt: row.bookedAt,
    actor: row.actor,
    reason: row.reason,
    absorbed: row.absorbed,
    transfers: transfersOf(row),
  }));
}
