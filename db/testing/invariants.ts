/**
 * The laws of the ledger as queries: conservation, and that every stored figure follows from the operations alone. They
 * recompute from the journal and share nothing with the code that writes, nor with `db/verify`.
 */
import { type Db, rows, type Trx } from '../client';

interface Law {
  /** What it means when a row is found. */
  readonly broken: string;
  /** Rows with a `what`: whom it concerns and which figures. */
  readonly sql: string;
}

/** Every operation of a job, with the transfers of refunds and corrections counted for the job that they point at. */
const MOVED_BY_JOBS = `moved_by_jobs as (
  select job_id, kind, lot_id, from_bucket, to_bucket, amount, batch_id, operation_position, booked_at
  from transfers
  where job_id is not null
)`;

/** Who spends in a job: what its first operation says. */
const SPENDERS = `spenders as (
  select distinct on (subject) subject as job_id, user_id, contract_id, project, booked_at
  from operations
  where kind in ('reserve', 'release')
  order by subject, batch_id, position
)`;

/** The life of each lot from each operation on that gave it one, up to the next. */
const LIVES = `lives as (
  select subject as lot_id, effective_at, expires_at, withdrawn_at, grace_until, batch_id, position,
    lead(batch_id) over changes as next_batch_id, lead(position) over changes as next_position
  from operations
  where effective_at is not null
  window changes as (partition by subject order by batch_id, position)
)`;

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
    broken: 'a bucket was below zero at some moment',
    sql: `with moved as (
        select lot_id, to_bucket as bucket, amount, batch_id, operation_position, position from transfers
        union all
        select lot_id, from_bucket, -amount, batch_id, operation_position, position
        from transfers
        where from_bucket <> 'granted'
      ), running as (
        select lot_id, bucket, batch_id, operation_position,
          sum(amount) over (partition by lot_id, bucket order by batch_id, operation_position, position) as amount
        from moved
      )
      select format('lot %s had %s %s after operation %s of batch %s', lot_id, amount, bucket, operation_position, batch_id)
        as what
      from running
      where amount < 0`,
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
    broken: 'a lot’s life or end is not what its operations say',
    sql: `with ${LIVES}, ends as (
        select subject as lot_id, max(case kind when 'expire' then 'expired' else 'withdrawn' end) as ended_as
        from operations
        where kind in ('expire', 'withdraw')
        group by subject
      )
      select format('lot %s lives %s to %s or %s with a grace to %s and ended as %s, its operations say %s to %s or %s, %s, %s',
        l.id, l.effective_at, l.expires_at, l.withdrawn_at, l.grace_until, l.ended_as,
        v.effective_at, v.expires_at, v.withdrawn_at, v.grace_until, e.ended_as) as what
      from lots l
      left join lives v on v.lot_id = l.id and v.next_batch_id is null
      left join ends e on e.lot_id = l.id
      where (l.effective_at, l.expires_at, l.withdrawn_at, l.grace_until, l.ended_as)
        is distinct from (v.effective_at, v.expires_at, v.withdrawn_at, v.grace_until, e.ended_as)`,
  },
  {
    broken: 'credits did not come back to where a lot’s life as it was known then sends them',
    sql: `with ${LIVES}, returned as (
        select t.lot_id, t.to_bucket, t.booked_at, t.batch_id, t.operation_position,
          coalesce(
            (
              select max(case e.kind when 'expire' then 'expired' else 'withdrawn' end)
              from operations e
              where e.subject = t.lot_id and e.kind in ('expire', 'withdraw')
                and (e.batch_id, e.position) < (t.batch_id, t.operation_position)
            ),
            case
              when t.booked_at >= coalesce(v.grace_until, v.expires_at) then 'expired'
              when t.booked_at >= v.withdrawn_at then 'withdrawn'
              else 'available'
            end
          ) as due
        from transfers t
        join lives v on v.lot_id = t.lot_id
          and (v.batch_id, v.position) < (t.batch_id, t.operation_position)
          and (v.next_batch_id is null or (t.batch_id, t.operation_position) < (v.next_batch_id, v.next_position))
        where (t.kind in ('settle', 'release') and t.from_bucket = 'reserved' and t.to_bucket <> 'consumed')
          or (t.kind in ('refund', 'correct') and t.from_bucket = 'consumed')
          or (t.kind = 'repay' and t.from_bucket = 'consumed' and t.to_bucket <> 'withdrawn')
      )
      select format('lot %s at %s by operation %s of batch %s: %s instead of %s', lot_id, booked_at, operation_position,
        batch_id, to_bucket, due) as what
      from returned
      where to_bucket <> due`,
  },
  {
    broken: 'something of a lot is available after its end',
    sql: `select format('lot %s, operation %s of batch %s', t.lot_id, t.operation_position, t.batch_id) as what
      from transfers t
      join operations e on e.subject = t.lot_id and e.kind in ('expire', 'withdraw')
      where (t.to_bucket = 'available' or t.from_bucket = 'available')
        and (t.batch_id, t.operation_position) > (e.batch_id, e.position)`,
  },
  {
    broken: 'a job holds less than nothing of a lot, or something after it was closed',
    sql: `with ${MOVED_BY_JOBS}, held as (
        select job_id, lot_id, sum(case when to_bucket = 'reserved' then amount else -amount end) as amount
        from moved_by_jobs
        where to_bucket = 'reserved' or from_bucket = 'reserved'
        group by job_id, lot_id
      )
      select format('job %s holds %s of lot %s', job_id, amount, lot_id) as what
      from held
      where amount < 0
        or (amount > 0 and exists (select from operations o where o.subject = held.job_id and o.act = 'close'))`,
  },
  {
    broken: 'a job was reserved or closed more than once, or went on after it was closed',
    sql: `with counted as (
        select subject as job_id,
          count(*) filter (where kind = 'reserve') as reserves,
          count(*) filter (where kind in ('settle', 'release')) as closings,
          bool_or(kind = 'settle') as settled,
          (array_agg(kind order by batch_id, position))[1] as first,
          (array_agg(kind order by batch_id desc, position desc))[1] as last
        from operations
        where kind in ('reserve', 'topUp', 'raiseCap', 'settle', 'release')
        group by subject
      )
      select format('job %s: %s reserves, %s closings, from %s to %s', job_id, reserves, closings, first, last) as what
      from counted
      where reserves > 1
        or closings > 1
        or (reserves = 1 and first <> 'reserve')
        or (reserves = 0 and (settled or first <> 'release'))
        or (closings = 1 and last not in ('settle', 'release'))`,
  },
  {
    broken: 'a job holds or was charged more than its not-to-exceed amount',
    sql: `with ${MOVED_BY_JOBS}, caps as (
        select subject as job_id, max(cap) as cap from operations where cap is not null group by subject
      ), used as (
        select job_id,
          sum(case when from_bucket = 'available' then amount when to_bucket in ('available', 'expired', 'withdrawn') then -amount
            else 0 end) filter (where kind not in ('refund', 'correct')) as amount
        from moved_by_jobs
        group by job_id
      )
      select format('job %s: %s of at most %s', job_id, used.amount, caps.cap) as what
      from used
      left join caps using (job_id)
      where used.amount > coalesce(caps.cap, 0)`,
  },
  {
    broken: 'a lot paid for a job of somebody else',
    sql: `with ${SPENDERS}
      select format('lot %s of pool %s paid for job %s of user %s on contract %s', l.id, l.pool_id, t.job_id, s.user_id,
        s.contract_id) as what
      from transfers t
      join lots l on l.id = t.lot_id
      left join spenders s on s.job_id = t.job_id
      where t.job_id is not null
        and l.pool_id is distinct from case l.pool_owner when 'user' then s.user_id else s.contract_id end`,
  },
  {
    broken: 'an operation of a job names another spender than its first',
    sql: `with ${SPENDERS}
      select format('operation %s of batch %s', o.position, o.batch_id) as what
      from operations o
      left join spenders s on s.job_id = coalesce(o.refers_to, o.subject)
      where o.user_id is not null and o.kind <> 'repay'
        and (o.user_id, o.contract_id) is distinct from (s.user_id, s.contract_id)`,
  },
  {
    broken: 'a lot was drawn on outside its life as it was known then',
    sql: `with ${LIVES}
      select format('lot %s at %s by operation %s of batch %s', t.lot_id, t.booked_at, t.operation_position, t.batch_id) as what
      from transfers t
      left join lives v on v.lot_id = t.lot_id
        and (v.batch_id, v.position) < (t.batch_id, t.operation_position)
        and (v.next_batch_id is null or (t.batch_id, t.operation_position) < (v.next_batch_id, v.next_position))
      where t.from_bucket = 'available' and t.to_bucket = 'reserved'
        and (v.lot_id is null or t.booked_at < v.effective_at or t.booked_at >= v.expires_at
          or t.booked_at >= v.withdrawn_at)`,
  },
  {
    broken: 'more was given back than was captured, or more unwound than was absorbed',
    sql: `with ${MOVED_BY_JOBS}, given_back as (
        select job_id, lot_id,
          coalesce(sum(amount) filter (where to_bucket = 'consumed'), 0) as captured,
          coalesce(sum(amount) filter (where from_bucket = 'consumed'), 0) as returned
        from moved_by_jobs
        group by job_id, lot_id
      ), absorbed as (
        select coalesce(refers_to, subject) as job_id, sum(absorbed) as amount
        from operations
        where absorbed is not null
        group by 1
      )
      select format('job %s: %s of %s captured of lot %s', job_id, returned, captured, lot_id) as what
      from given_back
      where returned > captured
      union all
      select format('job %s: %s absorbed', job_id, amount) from absorbed where amount < 0`,
  },
  {
    broken: 'a repayment does not balance, is not of an advance, or repays more than the advance paid for',
    sql: `with repayments as (
        select o.batch_id, o.position, o.refers_to as advance_id, o.lot_ids[1] as lot_id,
          case o.moves when 'accw' then o.amounts[1] else -o.amounts[1] end as amount,
          o.amounts[1] = o.amounts[2] and o.lot_ids[2] = o.refers_to as balanced
        from operations o
        where o.kind = 'repay'
      )
      select format('operation %s of batch %s', r.position, r.batch_id) as what
      from repayments r
      left join lots advance on advance.id = r.advance_id
      left join lots paying on paying.id = r.lot_id
      where not r.balanced
        or advance.advance is distinct from true
        or paying.kind is distinct from 'shared'
        or paying.pool_id is distinct from advance.pool_id
      union all
      select format('advance %s was repaid %s', advance_id, sum(amount))
      from repayments
      group by advance_id
      having sum(amount) < 0`,
  },
  {
    broken: 'a budget’s periods are not what the operations of its jobs give',
    sql: `with ${MOVED_BY_JOBS}, ${SPENDERS}, opened as (
        select b.*, c.time_zone, o.batch_id as closed_in, o.position as closed_by
        from budgets b
        join contracts c on c.id = b.contract_id
        left join operations o on o.subject = b.id and o.kind = 'closeBudget'
      ), counted as (
        select b.id as budget_id,
          case b.period when 'total' then null else date_trunc(b.period, s.booked_at, b.time_zone) end as starts_at,
          sum(case when m.to_bucket = 'reserved' then m.amount when m.from_bucket = 'reserved' then -m.amount else 0 end)
            as reserved,
          sum(case when m.to_bucket = 'consumed' then m.amount when m.from_bucket = 'consumed' then -m.amount else 0 end)
            as charged
        from opened b
        join spenders s on s.contract_id = b.contract_id and (s.user_id = b.user_id or s.project = b.project)
        join moved_by_jobs m on m.job_id = s.job_id
          and (b.closed_in is null or (m.batch_id, m.operation_position) < (b.closed_in, b.closed_by))
        group by 1, 2
      ), written as (
        select p.budget_id, case b.period when 'total' then null else p.starts_at end as starts_at, p.reserved, p.charged
        from budget_periods p
        join budgets b on b.id = p.budget_id
      )
      select format('budget %s from %s: %s reserved and %s charged, its jobs give %s and %s',
        coalesce(w.budget_id, c.budget_id), coalesce(w.starts_at, c.starts_at), w.reserved, w.charged, c.reserved, c.charged)
        as what
      from written w
      full join counted c
        on c.budget_id = w.budget_id and coalesce(c.starts_at, '-infinity') = coalesce(w.starts_at, '-infinity')
      where (coalesce(w.reserved, 0), coalesce(w.charged, 0)) <> (coalesce(c.reserved, 0), coalesce(c.charged, 0))`,
  },
  {
    broken: 'a batch is not digested as it stands',
    sql: `select format('batch %s', b.id) as what
      from batches b
      left join (
        select batch_id, string_agg(line, E'\\n' order by position) as lines, count(*) as count, max(position) as last
        from canonical_operations
        group by batch_id
      ) as c on c.batch_id = b.id
      where c.count is distinct from c.last + 1
        or b.digest is distinct from
          sha256(convert_to(c.lines, 'UTF8'))
      union all
      select format('operations of batch %s, which is not there', o.batch_id)
      from operations o
      where not exists (select from batches b where b.id = o.batch_id)`,
  },
  {
    broken: 'a chain does not continue from link to link up to its pool',
    sql: `with chained as (
        select l.*, b.digest, b.recorded_at as batch_recorded_at,
          lag(l.seq, 1, 0::bigint) over chain as seq_before,
          lag(l.head, 1, decode(repeat('00', 32), 'hex')) over chain as head_before,
          lag(l.batch_id, 1, 0::bigint) over chain as batch_before,
          lag(l.booked_max) over chain as booked_before,
          lag(l.recorded_at) over chain as recorded_before,
          lead(l.seq) over chain is null as last
        from links l
        left join batches b on b.id = l.batch_id
        window chain as (partition by l.pool_id order by l.seq)
      )
      select format('link %s of pool %s to batch %s', seq, pool_id, batch_id) as what
      from chained
      where seq <> seq_before + 1
        or head is distinct from next_head(head_before, batch_id, batch_recorded_at, digest)
        or batch_id <= batch_before
        or recorded_at is distinct from batch_recorded_at
        or recorded_at < recorded_before
        or booked_max < booked_before
      union all
      select format('pool %s at %s', p.id, p.seq)
      from pools p
      left join chained c on c.pool_id = p.id and c.last
      where (p.seq, p.head, p.booked_max, p.recorded_at, p.digest) is distinct from
        (coalesce(c.seq, 0), coalesce(c.head, decode(repeat('00', 32), 'hex')), c.booked_max, c.recorded_at, c.digest)`,
  },
  {
    broken: 'a batch is not linked to the pools that it concerns, or to others',
    sql: `with ${SPENDERS}, concerned as (
        select t.batch_id, l.pool_id, max(t.booked_at) as booked_at
        from transfers t
        join lots l on l.id = t.lot_id
        group by 1, 2
        union
        select o.batch_id, coalesce(l.pool_id, b.contract_id, s.contract_id, s.user_id), max(o.booked_at)
        from operations o
        left join lots l on o.kind in ('grant', 'expire', 'withdraw', 'changeLife') and l.id = o.subject
        left join budgets b on o.kind in ('openBudget', 'closeBudget') and b.id = o.subject
        left join spenders s on s.job_id = coalesce(o.refers_to, o.subject)
        where o.kind <> 'repay'
        group by 1, 2
      ), pairs as (
        select batch_id, pool_id, max(booked_at) as booked_at from concerned group by 1, 2
      )
      select format('batch %s and pool %s', coalesce(c.batch_id, l.batch_id), coalesce(c.pool_id, l.pool_id)) as what
      from pairs c
      full join links l on l.batch_id = c.batch_id and l.pool_id = c.pool_id
      where c.batch_id is null or l.batch_id is null or l.booked_max < c.booked_at`,
  },
  {
    broken: 'a lot or a budget that no operation made',
    sql: `select format('lot %s', l.id) as what
      from lots l
      where not exists (select from operations o where o.subject = l.id and o.kind = 'grant')
      union all
      select format('budget %s', b.id)
      from budgets b
      where not exists (select from operations o where o.subject = b.id and o.kind = 'openBudget')
      union all
      select format('budget %s is closed at %s, its operations say %s', b.id, b.closed_at, o.booked_at)
      from budgets b
      left join operations o on o.subject = b.id and o.kind = 'closeBudget'
      where b.closed_at is distinct from o.booked_at`,
  },
  {
    broken: 'a lot does not end when the notices say',
    sql: `select format('lot %s ends at %s, the notices say %s', l.id, l.withdrawn_at, n.ends_at) as what
      from lots l
      join (
        select s.lot_id, min(u.withdraws_at) filter (where u.state in ('noticed', 'withdrawn')) as ends_at,
          bool_or(u.state = 'withdrawn') as is_over
        from withdrawal_lots s
        join withdrawal_users u on u.withdrawal_id = s.withdrawal_id and u.user_id = s.user_id
        group by s.lot_id
      ) n on n.lot_id = l.id
      where l.ended_as is null and (n.is_over or l.withdrawn_at is distinct from n.ends_at)`,
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
          (select coalesce(o.absorbed, 0) from operations o where o.subject = c.job_id and o.kind = 'settle') as absorbed
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
