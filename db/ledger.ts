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
import type { GrantOperation, Operation, Outcome, Transfer } from '../domain/operations';
import { type Db, idList, inTransaction, rows, rowsOfEach, SQLSTATE, sqlStateOf, type Trx } from './client';

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

/** Locks and loads in one round trip; each statement sees what was committed when its turn came, after the locks. */
async function lockAndLoad(trx: Trx, operations: readonly Operation[]): Promise<LedgerState> {
  const poolIds = [...new Set(operations.flatMap(poolsOf))].sort();
  const jobIds = operations.flatMap((operation) => (operation.kind === 'grant' ? [] : [operation.jobId]));
  const [locked = [], lots, reservations = [], contracts, authorisations] = await rowsOfEach(trx, [
    // One lock per pool, in ascending order, so that batches of several processes cannot deadlock.
    `select id from pools where id = any(${idList(poolIds)}) order by id for update`,
    `${OPEN_LOTS} and pool_id = any(${idList(poolIds)})`,
    `${RESERVATIONS} where job_id = any(${idList(jobIds)})`,
    `select id as "contractId", starts_at as "startsAt", ends_at as "endsAt"
     from contracts
     where id = any(${idList(poolIds)})`,
    `select contract_id as "contractId", user_id as "userId", authorised_at as "authorisedAt", removed_at as "removedAt"
     from contract_users
     where contract_id = any(${idList(poolIds)}) and user_id = any(${idList(poolIds)})`,
  ]);
  // Without its lock a pool could be spent twice.
  if (locked.length < poolIds.length) throw new Error(`of the pools ${poolIds.join(', ')} only ${locked.length} exist`);
  return {
    lots: lots as Lot[],
    reservations: (reservations as ReservationRow[]).map(reservationOf),
    contracts: contracts as ContractTerm[],
    authorisations: authorisations as Authorisation[],
  };
}

function poolsOf(operation: Operation): string[] {
  if (operation.kind === 'grant') return [operation.lot.poolId];
  return operation.contractId === null ? [operation.userId] : [operation.userId, operation.contractId];
}

/** The columns of a {@link Lot}. */
export const LOT_COLUMNS = `id, pool_id as "poolId", kind, granted, available, reserved, consumed, expired, withdrawn,
  effective_at as "effectiveAt", expires_at as "expiresAt", withdrawn_at as "withdrawnAt", ended_as as "endedAs"`;

/** The lots that can still pay or hold something reserved. */
const OPEN_LOTS = `select ${LOT_COLUMNS} from lots where (available > 0 or reserved > 0)`;

/** The lots of pools that can still pay or hold something reserved. */
export function lotsOfPools(db: Db | Trx, poolIds: readonly string[]): Promise<Lot[]> {
  return rows<Lot>(db, `${OPEN_LOTS} and pool_id = any(?::uuid[])`, [poolIds]);
}

const RESERVATIONS = `select job_id as "jobId", user_id as "userId", contract_id as "contractId", state, cap,
    lot_ids as "lotIds", amounts, opened_at as "openedAt", closed_at as "closedAt"
  from reservations`;

interface ReservationRow extends Omit<Reservation, 'draws'> {
  readonly lotIds: readonly string[];
  readonly amounts: readonly bigint[];
}

/** The reservations of jobs, open and closed. */
export async function reservationsOf(db: Db | Trx, jobIds: readonly string[]): Promise<Reservation[]> {
  return (await rows<ReservationRow>(db, `${RESERVATIONS} where job_id = any(?::uuid[])`, [jobIds])).map(reservationOf);
}

function reservationOf({ lotIds, amounts, ...reservation }: ReservationRow): Reservation {
  return {
    ...reservation,
    draws: lotIds.map((lotId, index) => ({ lotId, amount: credits(amounts[index] ?? 0n) })),
  };
}

/** One part of a plan's statement. */
interface Part {
  readonly sql: string;
  readonly bindings: readonly unknown[];
}

/** Writes the plan in one statement. A repeated key meets the unique index and undoes all of it. */
async function write(trx: Trx, plan: Plan): Promise<void> {
  if (plan.entries.length === 0) return;
  const grants = plan.entries.flatMap(({ operation }) => (operation.kind === 'grant' ? [operation.lot] : []));
  const granted = new Set(grants.map(({ id }) => id));
  const after = new Map(plan.lots.map((lot) => [lot.id, lot]));
  const changed = plan.lots.filter(({ id }) => !granted.has(id));
  const parts = [
    insertOperations(plan.entries),
    ...(grants.length > 0 ? [insertLots(grants, after)] : []),
    ...(changed.length > 0 ? [updateLots(changed)] : []),
    ...(plan.reservations.length > 0 ? [upsertReservations(plan.reservations)] : []),
  ];
  const named = parts.map(({ sql }, index) => `part${index} as (${sql})`);
  await trx.raw(`with ${named.join(',\n')}\nselect`, parts.flatMap(({ bindings }) => bindings) as never);
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

function insertOperations(entries: readonly JournalEntry[]): Part {
  const bindings = entries.flatMap(({ operation, transfers, absorbed }) => [
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
  const sql = `insert into operations
      (id, kind, key, request_hash, job_id, booked_at, actor, reason, lot_ids, moves, amounts, absorbed)
    values ${entries.map(() => '(?, ?, ?, ?, ?::uuid, ?, ?, ?, ?::uuid[], ?, ?::bigint[], ?)').join(', ')}`;
  return { sql, bindings };
}

/** What was asked, without the row's id and the instant: a repeat brings new ones. */
function requestHash({ id: _id, at: _at, ...asked }: Operation): Buffer {
  const text = JSON.stringify(asked, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
  return createHash('sha256').update(text).digest();
}

function insertLots(grants: readonly GrantOperation['lot'][], after: ReadonlyMap<string, Lot>): Part {
  const bindings = grants.flatMap(({ id, source, reference, purchasedAt }) => {
    const lot = after.get(id);
    if (!lot) throw new Error(`lot ${id} is not in the plan`);
    return [
      id,
      lot.poolId,
      lot.kind === 'individual' ? 'user' : 'contract',
      lot.kind,
      source,
      reference,
      ...[lot.granted, lot.available, lot.reserved, lot.consumed, lot.expired, lot.withdrawn].map(String),
      purchasedAt,
      lot.effectiveAt,
      lot.expiresAt,
    ];
  });
  const one = '(?::uuid, ?::uuid, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?::timestamptz, ?::timestamptz, ?::timestamptz)';
  const sql = `insert into lots
      (id, pool_id, pool_owner, kind, source, reference, granted, available, reserved, consumed, expired, withdrawn,
       purchased_at, effective_at, expires_at)
    values ${grants.map(() => one).join(', ')}`;
  return { sql, bindings };
}

function updateLots(lots: readonly Lot[]): Part {
  const column = (amountOf: (lot: Lot) => Credits) => lots.map((lot) => amountOf(lot).toString());
  const sql = `update lots
    set available = after.available,
      reserved = after.reserved,
      consumed = after.consumed,
      expired = after.expired,
      withdrawn = after.withdrawn
    from unnest(?::uuid[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])
      as after (id, available, reserved, consumed, expired, withdrawn)
    where lots.id = after.id`;
  const bindings = [
    lots.map(({ id }) => id),
    column((lot) => lot.available),
    column((lot) => lot.reserved),
    column((lot) => lot.consumed),
    column((lot) => lot.expired),
    column((lot) => lot.withdrawn),
  ];
  return { sql, bindings };
}

function upsertReservations(reservations: readonly Reservation[]): Part {
  const bindings = reservations.flatMap(({ jobId, userId, contractId, state, cap, draws, openedAt, closedAt }) => [
    jobId,
    userId,
    contractId,
    state,
    cap.toString(),
    draws.map(({ lotId }) => lotId),
    draws.map(({ amount }) => amount.toString()),
    openedAt,
    closedAt,
  ]);
  const one = '(?::uuid, ?::uuid, ?::uuid, ?, ?, ?::uuid[], ?::bigint[], ?::timestamptz, ?::timestamptz)';
  const sql = `insert into reservations
      (job_id, user_id, contract_id, state, cap, lot_ids, amounts, opened_at, closed_at)
    values ${reservations.map(() => one).join(', ')}
    on conflict (job_id) do update
    set state = excluded.state,
      cap = excluded.cap,
      lot_ids = excluded.lot_ids,
      amounts = excluded.amounts,
      closed_at = excluded.closed_at`;
  return { sql, bindings };
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
