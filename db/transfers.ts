/** The journal as transfers, for those who audit it: newest first, page by page. */
import type { Credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Transfer } from '../domain/operations';
import { type Db, firstRow, rows } from './client';

/** A transfer with what moved it. */
export interface RecordedTransfer extends Transfer {
  readonly amount: Credits;
  readonly batchId: bigint;
  readonly kind: string;
  readonly subject: string;
  readonly act: string;
  readonly jobId: string | null;
  readonly bookedAt: Instant;
  readonly recordedAt: Instant;
  readonly actor: string;
  readonly reason: string;
}

/** Transfers of what: of a lot, of the lots of a contract or user, of a job with its refunds; of everything for `null`. */
export type TransfersOf = { readonly lot: string } | { readonly pool: string } | { readonly job: string } | null;

/**
 * Where a page ends: the link of the pool's chain, or the batch where no pool was asked for, then the operation in its
 * batch and the transfer in its operation.
 */
export interface TransferPlace {
  readonly place: bigint;
  readonly operation: number;
  readonly transfer: number;
}

export interface TransferPage {
  readonly transfers: readonly RecordedTransfer[];
  /** Where to go on; null when there is nothing before. */
  readonly next: TransferPlace | null;
}

interface PageAsked {
  readonly before: TransferPlace | null;
  readonly limit: number;
}

/**
 * A page of transfers. A lot's transfers may lie far apart in its pool's chain: a page looks through so many links and then
 * says where to go on, even when it holds few transfers or none.
 */
export async function listTransfers(db: Db, of: TransfersOf, page: PageAsked): Promise<TransferPage> {
  if (of !== null && 'job' in of) return pageOf(await transfersOfJob(db, of.job, page), page.limit);
  if (of === null) return walk(db, { batchesBelow: batches, condition: 'true', bindings: [] }, page);
  if ('pool' in of) {
    const condition = 't.lot_id = any(array(select id from lots where pool_id = ?))';
    return walk(db, { batchesBelow: chainOf(of.pool), condition, bindings: [of.pool] }, page);
  }
  const lot = await firstRow<{ poolId: string }>(db, 'select pool_id as "poolId" from lots where id = ?', [of.lot]);
  if (!lot) return { transfers: [], next: null };
  return walk(db, { batchesBelow: chainOf(lot.poolId), condition: 't.lot_id = ?', bindings: [of.lot] }, page);
}

interface PlacedTransfer extends RecordedTransfer {
  readonly operation: number;
  readonly transfer: number;
}
type Placed = PlacedTransfer & TransferPlace;

const TRANSFERS = `select t.batch_id as "batchId", t.operation_position as operation, t.position::int as transfer, t.kind, t.subject,
    t.act, t.job_id as "jobId", t.lot_id as "lotId", t.from_bucket as "from", t.to_bucket as "to", t.amount,
    t.booked_at as "bookedAt", t.recorded_at as "recordedAt", t.actor, t.reason
  from transfers t`;

/** Few, so in one go: the operations of a job, and the refunds and corrections that refer to it. */
async function transfersOfJob(db: Db, jobId: string, { before, limit }: PageAsked): Promise<Placed[]> {
  const { place, operation, transfer } = before ?? LAST;
  const found = await rows<PlacedTransfer>(
    db,
    `${TRANSFERS}
     where t.subject = any(array(
         select ?::uuid
         union
         select subject from operations where refers_to = ? and kind in ('refund', 'correct')
       ))
       and (t.batch_id, t.operation_position, t.position) < (?::bigint, ?::int, ?::bigint)
     order by t.batch_id desc, t.operation_position desc, t.position desc
     limit ?`,
    [jobId, jobId, place.toString(), operation, transfer, limit + 1],
  );
  return found.map((one) => ({ ...one, place: one.batchId }));
}

interface Batch {
  readonly place: bigint;
  readonly batchId: bigint;
}

interface Walk {
  /** The next batches from a place on downwards, that place included. */
  readonly batchesBelow: (db: Db, place: bigint, count: number) => Promise<Batch[]>;
  readonly condition: string;
  readonly bindings: readonly unknown[];
}

/** So many batches are looked through for a page, few at first and then more at once. */
const BATCHES_MAX = 1_000;
const BATCHES_AT_ONCE_MAX = 500;
const PLACE_MAX = 2n ** 63n - 1n;
const LAST: TransferPlace = { place: PLACE_MAX, operation: 0, transfer: 0 };

async function walk(db: Db, walked: Walk, { before, limit }: PageAsked): Promise<TransferPage> {
  const found: Placed[] = [];
  let end = before ?? LAST;
  let count = limit + 1;
  for (let seen = 0; seen < BATCHES_MAX; seen += count) {
    if (seen > 0) count = Math.min(4 * count, BATCHES_AT_ONCE_MAX);
    const batchesBelow = await walked.batchesBelow(db, end.place, count);
    const last = batchesBelow.at(-1);
    if (!last) return pageOf(found, limit);
    found.push(...(await transfersIn(db, batchesBelow, walked, { before: end, limit: limit + 1 - found.length })));
    if (found.length > limit) return pageOf(found, limit);
    // What comes first in the last of them was looked at, too.
    end = { place: last.place, operation: 0, transfer: 0 };
    if (batchesBelow.length < count) return pageOf(found, limit);
  }
  return { transfers: found, next: end };
}

async function transfersIn(
  db: Db,
  batchesBelow: readonly Batch[],
  { condition, bindings }: Walk,
  { before, limit }: { before: TransferPlace; limit: number },
): Promise<Placed[]> {
  const places = new Map(batchesBelow.map(({ batchId, place }) => [batchId, place]));
  const first = batchesBelow.find(({ place }) => place === before.place);
  const found = await rows<PlacedTransfer>(
    db,
    `${TRANSFERS}
     where t.batch_id = any(?::bigint[])
       and (t.batch_id, t.operation_position, t.position) < (?::bigint, ?::int, ?::bigint)
       and ${condition}
     order by t.batch_id desc, t.operation_position desc, t.position desc
     limit ?`,
    [
      batchesBelow.map(({ batchId }) => batchId.toString()),
      (first?.batchId ?? PLACE_MAX).toString(),
      before.operation,
      before.transfer,
      ...bindings,
      limit,
    ],
  );
  return found.map((one) => ({ ...one, place: places.get(one.batchId) ?? 0n }));
}

function pageOf(found: readonly Placed[], limit: number): TransferPage {
  const transfers = found.slice(0, limit);
  const last = transfers.at(-1);
  if (found.length <= limit || !last) return { transfers, next: null };
  const { place, operation, transfer } = last;
  return { transfers, next: { place, operation, transfer } };
}

function batches(db: Db, place: bigint, count: number): Promise<Batch[]> {
  return rows<Batch>(db, 'select id as place, id as "batchId" from batches where id <= ? order by id desc limit ?', [
    place.toString(),
    count,
  ]);
}

function chainOf(poolId: string): Walk['batchesBelow'] {
  return (db, place, count) =>
    rows<Batch>(
      db,
      `select seq as place, batch_id as "batchId"
       from links
       where pool_id = ? and seq <= ?
       order by seq desc
       limit ?`,
      [poolId, place.toString(), count],
    );
}
