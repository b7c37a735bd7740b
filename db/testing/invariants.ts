/**
 * The laws of the ledger as queries: conservation, and that every stored figure follows from the transfers alone. They
 * recompute from the view `transfers` and share nothing with the code that writes.
 */
import { type Db, rows, type Trx } from '../client';

interface Law {
  /** What it means when a row is found. */
  readonly broken: string;
  /** Rows with a `what`: whom it concerns and which figures. */
  readonly sql: string;
}

const LAWS: readonly Law[] = [
  {
    broken: 'a lot’s buckets are not what its transfers give',
    sql: `with moved as (
        select lot_id, to_bucket as bucket, amount from transfers
        union all
        select lot_id, from_bucket, -amount from transfers where from_bucket <> 'granted'
      ), recomputed as (
        select lot_id,
          coalesce(sum(amount) filter (where bucket = 'available'), 0) as available,
          coalesce(sum(amount) filter (where bucket = 'reserved'), 0) as reserved,
          coalesce(sum(amount) filter (where bucket = 'consumed'), 0) as consumed,
          coalesce(sum(amount) filter (where bucket = 'expired'), 0) as expired,
          coalesce(sum(amount) filter (where bucket = 'withdrawn'), 0) as withdrawn
        from moved
        group by lot_id
      )
      select format('lot %s has %s/%s/%s/%s/%s, its transfers give %s/%s/%s/%s/%s', coalesce(l.id, r.lot_id),
        l.available, l.reserved, l.consumed, l.expired, l.withdrawn,
        r.available, r.reserved, r.consumed, r.expired, r.withdrawn) as what
      from lots l
      full join recomputed r on r.lot_id = l.id
      where (l.available, l.reserved, l.consumed, l.expired, l.withdrawn)
        is distinct from (r.available, r.reserved, r.consumed, r.expired, r.withdrawn)`,
  },
  {
    broken: 'a lot was not granted once and in full',
    sql: `select format('lot %s of %s was granted %s in %s transfers', l.id, l.granted, sum(t.amount), count(t.amount)) as what
      from lots l
      left join transfers t on t.lot_id = l.id and t.from_bucket = 'granted'
      group by l.id, l.granted
      having count(t.amount) <> 1 or sum(t.amount) <> l.granted`,
  },
  {
    broken: 'a lot does not conserve its credits',
    sql: `select format('lot %s', id) as what
      from lots
      where granted <> available + reserved + consumed + expired + withdrawn
        or least(available, reserved, consumed, expired, withdrawn) < 0`,
  },
  {
    broken: 'reserved credits and open reservations disagree',
    sql: `with held as (
        select s.lot_id, sum(s.amount) as amount
        from reservations r
        cross join lateral unnest(r.lot_ids, r.amounts) as s (lot_id, amount)
        group by s.lot_id
      )
      select format('lot %s has %s reserved, jobs hold %s', coalesce(l.id, h.lot_id), l.reserved, h.amount) as what
      from lots l
      full join held h on h.lot_id = l.id
      where coalesce(l.reserved, 0) <> coalesce(h.amount, 0)`,
  },
  {
    broken: 'a job’s reservation is not what its transfers give',
    sql: `with moved as (
        select job_id, lot_id, case when to_bucket = 'reserved' then amount else -amount end as amount
        from transfers
        where job_id is not null and (to_bucket = 'reserved' or from_bucket = 'reserved')
      ), recomputed as (
        select job_id, lot_id, sum(amount) as amount from moved group by job_id, lot_id having sum(amount) <> 0
      ), held as (
        select r.job_id, s.lot_id, s.amount
        from reservations r
        cross join lateral unnest(r.lot_ids, r.amounts) as s (lot_id, amount)
      )
      select format('job %s holds %s of lot %s, its transfers give %s', job_id, h.amount, lot_id, r.amount) as what
      from held h
      full join recomputed r using (job_id, lot_id)
      where h.amount is distinct from r.amount`,
  },
  {
    broken: 'a job holds two slices of one lot',
    sql: `select format('job %s, lot %s', r.job_id, s.lot_id) as what
      from reservations r
      cross join lateral unnest(r.lot_ids) as s (lot_id)
      group by r.job_id, s.lot_id
      having count(*) > 1`,
  },
  {
    broken: 'a job was reserved, settled or released more than once, or not as its reservation says',
    sql: `with counted as (
        select job_id,
          count(*) filter (where kind = 'reserve') as reserves,
          count(*) filter (where kind = 'settle') as settles,
          count(*) filter (where kind = 'release') as releases
        from operations
        where job_id is not null
        group by job_id
      )
      select format('job %s is %s with %s reserves, %s settles, %s releases', job_id, r.state, c.reserves, c.settles, c.releases)
        as what
      from counted c
      full join reservations r using (job_id)
      where r.state is null or c.job_id is null
        or c.reserves > 1
        or c.settles <> (r.state = 'settled')::int
        or c.releases <> (r.state = 'released')::int
        or (c.reserves = 0 and r.state <> 'released')`,
  },
  {
    broken: 'a job holds or was charged more than its not-to-exceed amount',
    sql: `select format('job %s: %s of at most %s', r.job_id, moved.amount, r.cap) as what
      from reservations r
      cross join lateral (
        select coalesce(sum(t.amount) filter (where t.to_bucket = 'consumed'), 0)
          + coalesce((select sum(a) from unnest(r.amounts) as a), 0) as amount
        from transfers t
        where t.job_id = r.job_id
      ) as moved
      where moved.amount > r.cap`,
  },
  {
    broken: 'a lot paid for a job of somebody else',
    sql: `select format('lot %s of pool %s paid for job %s of user %s on contract %s', l.id, l.pool_id, t.job_id, r.user_id, r.contract_id)
        as what
      from transfers t
      join lots l on l.id = t.lot_id
      left join reservations r on r.job_id = t.job_id
      where t.job_id is not null
        and l.pool_id is distinct from case l.pool_owner when 'user' then r.user_id else r.contract_id end`,
  },
  {
    broken: 'a lot was drawn on outside its life',
    sql: `select format('lot %s at %s', l.id, t.booked_at) as what
      from transfers t
      join lots l on l.id = t.lot_id
      where t.from_bucket = 'available' and t.to_bucket = 'reserved'
        and (t.booked_at < l.effective_at or t.booked_at >= l.expires_at)`,
  },
  {
    broken: 'a charge is not what was captured from lots',
    sql: `select format('charge %s says %s and %s absorbed, the ledger %s and %s', c.id, c.charged, c.absorbed,
        moved.charged, moved.absorbed) as what
      from charges c
      cross join lateral (
        select
          (select coalesce(sum(t.amount), 0) from transfers t
            where t.job_id = c.job_id and t.kind = 'settle' and t.to_bucket = 'consumed') as charged,
          (select sum(o.absorbed) from operations o where o.job_id = c.job_id and o.kind = 'settle') as absorbed
      ) as moved
      where (c.charged, c.absorbed) is distinct from (moved.charged, moved.absorbed)`,
  },
];

/**
 * Checks every law of the ledger.
 *
 * @returns one sentence per law that is broken, with the first few it concerns; none when the ledger is sound.
 */
export async function brokenInvariants(db: Db | Trx): Promise<string[]> {
  const found: string[] = [];
  for (const { broken, sql } of LAWS) {
    const concerned = await rows<{ what: string }>(db, `${sql} limit 5`);
    if (concerned.length > 0) found.push(`${broken}: ${concerned.map(({ what }) => what).join('; ')}`);
  }
  return found;
}
