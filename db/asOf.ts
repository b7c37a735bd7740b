/**
 * What lots held at an earlier instant, and as it was known at another. Answered from the present backwards: the lots as
 * they are, less the transfers that do not count. How far back to look is told by the links of the pool's chain, along
 * which neither the latest `booked_at` so far nor `recorded_at` ever falls; so a question about a recent instant reads few
 * rows however long the journal is.
 */
import { type Credits, credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Bucket, LotLife } from '../domain/lots';
import { type Db, firstRow, rows, type Trx } from './client';
import { type DescribedLot, listLots } from './lots';

/** An operation counts if it is booked and was recorded not later than these; null counts everything. */
export interface AsOf {
  readonly bookedAt: Instant | null;
  readonly recordedAt: Instant | null;
}

/**
 * The lots of a contract or a user as of an instant, with the lives that they had by what counts; those that were not
 * granted by then are not among them. A bucket can be below zero between two operations that were booked in another order
 * than they were recorded.
 */
export function lotsAsOf(db: Db, poolId: string, asOf: AsOf): Promise<DescribedLot[]> {
  // One snapshot, so that lots and links are of the same moment.
  return db.transaction((trx) => walkBack(trx, poolId, asOf), { isolationLevel: 'repeatable read', readOnly: true });
}

/** What {@link lotsAsOf} does inside its snapshot. */
export async function walkBack(trx: Trx, poolId: string, asOf: AsOf): Promise<DescribedLot[]> {
  const lots = await listLots(trx, poolId);
  if (asOf.bookedAt === null && asOf.recordedAt === null) return lots;
  const limits = [asOf.bookedAt ?? 'infinity', asOf.recordedAt ?? 'infinity'];
  const undone = await undoneSince(trx, poolId, limits);
  const lives = await livesOf(trx, [...undone.changed], limits);
  return lots.flatMap((lot) => {
    const moved = undone.moves.get(lot.id);
    if (moved?.some(({ from }) => from === 'granted')) return [];
    const then = moved ? { ...lot, ...bucketsBefore(lot, moved) } : lot;
    return [{ ...then, ...lives.get(lot.id), ...(undone.ended.has(lot.id) && { endedAs: null }) }];
  });
}

/** Sums of a lot's transfers from one bucket to another. */
interface Moved {
  readonly from: Bucket | 'granted';
  readonly to: Bucket;
  readonly amount: bigint;
}

interface Undone {
  /** What the transfers that do not count moved, by lot. */
  readonly moves: ReadonlyMap<string, readonly Moved[]>;
  /** Lots whose end is booked, and lots whose life was changed, by operations that do not count. */
  readonly ended: ReadonlySet<string>;
  readonly changed: ReadonlySet<string>;
}

/** Above so many links the planner may read the tables as a whole; below it must not, whatever its statistics say. */
const LINKS_BY_INDEX_MAX = 10_000n;

async function undoneSince(trx: Trx, poolId: string, limits: readonly string[]): Promise<Undone> {
  const chain = await firstRow<{ head: bigint; counted: bigint }>(
    trx,
    `select p.seq as head, coalesce((
         select l.seq from links l
         where l.pool_id = p.id and l.booked_max <= ? and l.recorded_at <= ?
         order by l.seq desc
         limit 1
       ), 0) as counted
     from pools p
     where p.id = ?`,
    [...limits, poolId],
  );
  const { head = 0n, counted = 0n } = chain ?? {};
  if (head - counted <= LINKS_BY_INDEX_MAX) {
    await trx.raw(
      `select set_config(name, 'off', true) from unnest(array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) as name`,
    );
  }
  // Batches are looked at as a whole from the last link on that counts whole; of these only what does not count is taken.
  const found = await rows<{ lotId: string; kind: string | null } & Omit<Moved, 'amount'> & { amount: string }>(
    trx,
    `with undone as materialized (
       select o.kind, o.subject, o.moves, o.lot_ids, o.amounts
       from links l
       join operations o on o.batch_id = l.batch_id
       where l.pool_id = ? and l.seq > ? and (o.booked_at > ? or l.recorded_at > ?)
     )
     select t.lot_id as "lotId", null as kind, bucket_of(substr(u.moves, 2 * t.position::int - 1, 1)) as "from",
       bucket_of(substr(u.moves, 2 * t.position::int, 1)) as "to", sum(t.amount)::text as amount
     from undone u
     cross join lateral unnest(u.lot_ids, u.amounts) with ordinality as t (lot_id, amount, position)
     group by 1, 3, 4
     union all
     select distinct subject, kind, null, null, null from undone where kind in ('expire', 'withdraw', 'changeLife')`,
    [poolId, counted.toString(), ...limits],
  );
  const moves = new Map<string, Moved[]>();
  const [ended, changed] = [new Set<string>(), new Set<string>()];
  for (const { lotId, kind, from, to, amount } of found) {
    if (kind === null) moves.set(lotId, [...(moves.get(lotId) ?? []), { from, to, amount: BigInt(amount) }]);
    else (kind === 'changeLife' ? changed : ended).add(lotId);
  }
  return { moves, ended, changed };
}

/** What a lot's buckets held before what was moved between them since. */
function bucketsBefore(lot: DescribedLot, moved: readonly Moved[]): Record<Bucket, Credits> {
  const { available, reserved, consumed, expired, withdrawn } = lot;
  const before = { available, reserved, consumed, expired, withdrawn };
  for (const { from, to, amount } of moved) {
    if (from !== 'granted') before[from] = credits(before[from] + amount);
    before[to] = credits(before[to] - amount);
  }
  return before;
}

/** The lives that lots had by the operations that count. */
async function livesOf(trx: Trx, lotIds: readonly string[], limits: readonly string[]): Promise<Map<string, LotLife>> {
  if (lotIds.length === 0) return new Map();
  const found = await rows<LotLife & { lotId: string }>(
    trx,
    `select distinct on (o.subject) o.subject as "lotId", o.effective_at as "effectiveAt", o.expires_at as "expiresAt",
       o.withdrawn_at as "withdrawnAt", o.grace_until as "graceUntil"
     from operations o
     join batches b on b.id = o.batch_id
     where o.subject = any(?::uuid[])
       and o.kind in ('grant', 'changeLife')
       and o.booked_at <= ?
       and b.recorded_at <= ?
     order by o.subject, o.batch_id desc, o.position desc`,
    [lotIds, ...limits],
  );
  return new Map(found.map(({ lotId, ...life }) => [lotId, life]));
}
