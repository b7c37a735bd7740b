-- Two more facts of contracts: a grace in which what comes back to a lot waits for a renewal, and suspension.

alter table lots
  -- Until when what comes back to a lot after its expiry stays available, because its contract may still be renewed (R3, R8).
  add column grace_until timestamptz,
  add constraint lot_grace_follows_a_shared_expiry
    check (grace_until is null or (kind = 'shared' and expires_at is not null and expires_at < grace_until));
-- What a row may say of it is checked with its kind, by the trigger.
alter table operations add column grace_until timestamptz;
alter table contracts
  -- From when on nothing can be spent although the contract runs.
  add column suspended_at timestamptz;
grant update (suspended_at) on contracts to holdfast_application;

drop trigger lots_keep_their_owner on lots;
create trigger lots_keep_their_owner
  before update of id, pool_id, pool_owner, kind, source, reference, granted, purchased_at, advance, ended_as, effective_at,
    expires_at, withdrawn_at, grace_until
  on lots
  for each row execute function refuse_new_owner();

-- The functions and views below are those of 0002_batches.sql, which says how they work, with these columns.

create or replace function refuse_new_owner() returns trigger
  language plpgsql as $$
begin
  if (new.id, new.pool_id, new.pool_owner, new.kind, new.source, new.reference, new.granted, new.purchased_at, new.advance)
    is distinct from
    (old.id, old.pool_id, old.pool_owner, old.kind, old.source, old.reference, old.granted, old.purchased_at, old.advance)
  then
    raise exception 'lot % keeps its owner, kind and origin', old.id using errcode = 'HF002';
  end if;
  if old.ended_as is not null
    and (new.ended_as, new.effective_at, new.expires_at, new.withdrawn_at, new.grace_until)
      is distinct from (old.ended_as, old.effective_at, old.expires_at, old.withdrawn_at, old.grace_until)
  then
    raise exception 'the life of lot % is over and cannot be changed', old.id using errcode = 'HF002';
  end if;
  return new;
end
$$;

create or replace function apply_operations() returns trigger
  language plpgsql security definer as $$
declare
  kinds text[];
  malformed text;
  missing bigint;
  stray uuid;
  other uuid;
begin
  select array_agg(distinct kind), min(kind || ' of ' || moves) filter (where not well_formed)
  into kinds, malformed
  from (
    select kind, moves, public.is_well_formed(kind, closes, has_cap, has_life, refers, spends, absorbs, moves, fits) as well_formed
    from (
      select kind, moves, act = 'close' as closes, cap is not null as has_cap, effective_at is not null as has_life,
        refers_to is not null as refers, user_id is not null as spends, sign(absorbed) as absorbs,
        -- One positive amount and one move a lot; what is granted or ended is what the operation is about.
        0 < all (amounts) and cardinality(lot_ids) = cardinality(amounts) and length(moves) = 2 * cardinality(lot_ids)
          and (kind not in ('grant', 'expire', 'withdraw') or subject = all (lot_ids))
          and (kind <> 'repay' or amounts[1] = amounts[2])
          and (grace_until is null or kind in ('grant', 'changeLife') and expires_at < grace_until) as fits
      from appended
    ) as o
    group by kind, closes, has_cap, has_life, refers, spends, absorbs, moves, fits
  ) as forms;
  if malformed is not null then
    raise exception 'an operation is no well-formed one of its kind: %', malformed using errcode = 'HF004';
  end if;

  with moved as materialized (
    select lot_id, move, user_id, contract_id, sum(amount)::bigint as amount, min(booked_at) as first_at,
      max(booked_at) as last_at
    from (
      select user_id, contract_id, booked_at, unnest(lot_ids) as lot_id, unnest(amounts) as amount,
        substr(moves, generate_series(1, length(moves), 2), 2) as move
      from appended
    ) as t
    where move <> 'ga'
    group by lot_id, move, user_id, contract_id
  ), changes as (
    select m.lot_id, sum(m.amount * b.available)::bigint as available, sum(m.amount * b.reserved)::bigint as reserved,
      sum(m.amount * b.consumed)::bigint as consumed, sum(m.amount * b.expired)::bigint as expired,
      sum(m.amount * b.withdrawn)::bigint as withdrawn
    from moved m
    join public.moves b on b.move = m.move
    group by m.lot_id
  ), applied as (
    update public.lots
    set available = lots.available + c.available,
      reserved = lots.reserved + c.reserved,
      consumed = lots.consumed + c.consumed,
      expired = lots.expired + c.expired,
      withdrawn = lots.withdrawn + c.withdrawn
    from changes c
    where lots.id = c.lot_id
    returning lots.id
  )
  select
    (select count(*) from changes) - (select count(*) from applied),
    (
      select l.id
      from moved m
      join public.lots l on l.id = m.lot_id
      where l.pool_id <> m.user_id and l.pool_id is distinct from m.contract_id
        or m.move = 'ar' and (m.first_at < l.effective_at or m.last_at >= l.expires_at or m.last_at >= l.withdrawn_at
          or l.ended_as is not null)
        -- Lots whose life changes in this very batch are left to the verifier: it knows what came first.
        and not kinds && '{changeLife,expire,withdraw}'
      limit 1
    )
  into missing, stray;
  if missing <> 0 then
    raise exception '% lots of the operations do not exist', missing using errcode = 'HF004';
  end if;
  if stray is not null then
    raise exception 'lot % cannot make the transfer that is asked of it: it is not its spender''s, or not alive', stray
      using errcode = 'HF004';
  end if;

  -- A job's operations begin with its reserve. Whoever draws later does so for a job that is not closed, and for the spender
  -- for whom it was reserved.
  if kinds && '{reserve,topUp,settle}' then
    select o.subject into other
    from appended o
    where o.user_id is not null
      and case
        when o.kind = 'reserve' then exists (
          select from public.operations b
          where b.subject = o.subject and (b.batch_id, b.position) < (o.batch_id, o.position)
        )
        when o.kind in ('topUp', 'settle') then
          exists (
            select from public.operations c
            where c.subject = o.subject and c.act = 'close' and (c.batch_id, c.position) < (o.batch_id, o.position)
          )
          or not exists (
            select from public.operations r
            where r.subject = o.subject and r.kind = 'reserve' and r.user_id = o.user_id
              and r.contract_id is not distinct from o.contract_id and (r.batch_id, r.position) < (o.batch_id, o.position)
          )
        else false
      end
    limit 1;
    if other is not null then
      raise exception 'job % is begun already, is closed, or is not reserved for whom this draws', other
        using errcode = 'HF004';
    end if;
  end if;

  if kinds && '{settle,release}' then
    select h.subject into other
    from (
      select t.subject, max(t.cap) as cap, sum(case t.move when 'ar' then t.amount else -t.amount end) as held,
        sum(t.amount) filter (where t.move = 'rc') as captured
      from (
        -- An operation that moves nothing counts for its cap.
        select j.subject, j.cap, unnest(coalesce(nullif(j.lot_ids, '{}'), '{null}')) as lot_id, unnest(j.amounts) as amount,
          substr(j.moves, generate_series(1, length(j.moves), 2), 2) as move
        from appended o
        cross join lateral (
          -- With an offset, so that the plan walks the index from each closing, whatever the statistics say.
          select x.subject, x.cap, x.moves, x.lot_ids, x.amounts
          from public.operations x
          where x.subject = o.subject
          offset 0
        ) as j
        where o.act = 'close'
      ) as t
      group by t.subject, t.lot_id
    ) as h
    group by h.subject
    having bool_or(h.held <> 0) or sum(h.captured) > coalesce(max(h.cap), 0)
    limit 1;
    if other is not null then
      raise exception 'the closing of job % leaves something reserved, or captures more than its not-to-exceed amount', other
        using errcode = 'HF004';
    end if;
  end if;

  if 'grant' = any (kinds) then
    select o.subject into other
    from appended o
    left join public.lots l on l.id = o.subject
    where o.kind = 'grant'
      and (l.id, l.granted, l.effective_at, l.expires_at, l.withdrawn_at, l.grace_until, 'grant')
        is distinct from (o.lot_ids[1], o.amounts[1], o.effective_at, o.expires_at, o.withdrawn_at, o.grace_until, o.act)
    limit 1;
    if other is not null then
      raise exception 'lot % was not granted as its operation says', other using errcode = 'HF004';
    end if;
  end if;

  if 'repay' = any (kinds) then
    select o.refers_to into other
    from appended o
    left join public.lots paying on paying.id = o.lot_ids[1] and paying.kind = 'shared'
    left join public.lots advance on advance.id = o.lot_ids[2] and advance.id = o.refers_to and advance.advance
    where o.kind = 'repay' and (paying.pool_id = advance.pool_id) is not true
    limit 1;
    if other is not null then
      raise exception 'what is moved does not repay the advance %', other using errcode = 'HF004';
    end if;
  end if;

  if kinds && '{refund,correct}' then
    select o.refers_to into other
    from (select distinct refers_to from appended where kind in ('refund', 'correct')) as o
    cross join lateral (
      select t.lot_id
      from (
        select unnest(x.lot_ids) as lot_id, unnest(x.amounts) as amount,
          substr(x.moves, generate_series(1, length(x.moves), 2), 2) as move
        from public.operations x
        where x.subject = o.refers_to and x.act = 'close'
        union all
        select unnest(x.lot_ids), unnest(x.amounts), substr(x.moves, generate_series(1, length(x.moves), 2), 2)
        from public.operations x
        where x.refers_to = o.refers_to and x.kind in ('refund', 'correct')
      ) as t
      where t.move in ('rc', 'ca', 'ce', 'cw')
      group by t.lot_id
      having sum(case t.move when 'rc' then t.amount else -t.amount end) < 0
    ) as s
    limit 1;
    if other is not null then
      raise exception 'more of a lot is given back than job % captured of it', other using errcode = 'HF004';
    end if;
  end if;

  if 'changeLife' = any (kinds) then
    update public.lots
    set effective_at = o.effective_at, expires_at = o.expires_at, withdrawn_at = o.withdrawn_at, grace_until = o.grace_until
    from (
      select distinct on (subject) subject, effective_at, expires_at, withdrawn_at, grace_until
      from appended
      where kind = 'changeLife'
      order by subject, position desc
    ) as o
    where lots.id = o.subject and lots.ended_as is null;
  end if;
  if kinds && '{expire,withdraw}' then
    -- With the life that this batch gave it, if it did: after its end nothing changes it any more.
    select o.subject into other
    from appended o
    join public.lots l on l.id = o.subject
    where o.kind = 'expire' and (o.booked_at >= l.expires_at) is not true
      or o.kind = 'withdraw' and (o.booked_at >= l.withdrawn_at) is not true
    limit 1;
    if other is not null then
      raise exception 'the life of lot % is not over yet', other using errcode = 'HF004';
    end if;
    update public.lots
    set ended_as = case o.kind when 'expire' then 'expired' else 'withdrawn' end
    from appended o
    where o.kind in ('expire', 'withdraw') and lots.id = o.subject;
  end if;
  if 'closeBudget' = any (kinds) then
    update public.budgets
    set closed_at = o.booked_at
    from appended o
    where o.kind = 'closeBudget' and budgets.id = o.subject;
  end if;
  return null;
end
$$;

create or replace view loaded_lots as
select id, pool_id as "poolId", kind, granted::text, available::text, reserved::text, consumed::text, expired::text,
  withdrawn::text, effective_at as "effectiveAt", expires_at as "expiresAt", withdrawn_at as "withdrawnAt",
  ended_as as "endedAs", advance, (available > 0 or reserved > 0 or (advance and consumed > 0)) as is_open,
  grace_until as "graceUntil"
from lots;

create or replace function load_batch(
  pool_ids uuid[],
  -- The last batches after which the caller knows the lots of those pools, by number and digest; null where it does not.
  known_seqs bigint[],
  known_digests bytea[],
  contract_ids uuid[],
  user_ids uuid[],
  subjects uuid[],
  job_ids uuid[],
  first_at timestamptz,
  last_at timestamptz,
  named_lot_ids uuid[],
  refunded_job_ids uuid[],
  -- The jobs whose rows change with the batch; they stay locked.
  moved_job_ids uuid[]
) returns json
  language plpgsql volatile as $$
declare
  pools_locked json;
  lots_open json;
  terms_known json;
  budgets_open json := '[]';
  journal json;
  lots_named json := '[]';
  journal_referring json := '{}';
  jobs_locked json := '[]';
begin
  -- One lock per pool, in ascending order, so that batches of several processes cannot deadlock.
  select coalesce(json_agg(p), '[]') into pools_locked
  from (
    select id, owner, seq::text, encode(digest, 'hex') as digest, terms::text
    from pools
    where id = any (pool_ids)
    order by id
    for no key update
  ) as p;

  -- A pool whose last batch is known has the lots that are known: they change with links alone.
  select coalesce(json_agg(l), '[]') into lots_open
  from (
    select * from loaded_lots
    where "poolId" = any (array(
        select p.id
        from unnest(pool_ids, known_seqs, known_digests) as known (pool_id, seq, digest)
        join pools p
          on p.id = known.pool_id and (p.seq is distinct from known.seq or p.digest is distinct from known.digest)
      ))
      and is_open
  ) as l;

  if cardinality(contract_ids) > 0 then
    select coalesce(json_agg(t), '[]') into terms_known
    from (
      select c.id as "contractId", c.starts_at as "startsAt", c.ends_at as "endsAt", c.time_zone as "timeZone",
        c.suspended_at as "suspendedAt", u.user_id as "userId", u.authorised_at as "authorisedAt", u.removed_at as "removedAt"
      from contracts c
      left join contract_users u on u.contract_id = c.id and u.user_id = any (user_ids)
      where c.id = any (contract_ids)
    ) as t;
    if exists (select from budgets where contract_id = any (contract_ids) and closed_at is null) then
      -- A job counts in the period in which it was reserved, which may be long over when it is settled, or not have begun
      -- yet by the clock of who settles it.
      select coalesce(json_agg(b), '[]') into budgets_open
      from (
        select b.id, b.contract_id as "contractId", b.user_id as "userId", b.project, b.period, b.amount::text,
          b.warn_percent as "warnPercent", b.refuse_percent as "refusePercent",
          p.starts_at as "startsAt", p.ends_at as "endsAt", p.reserved::text, p.charged::text
        from budgets b
        left join budget_periods p on p.budget_id = b.id
          and p.ends_at > least(first_at, (
            select min(o.booked_at) from operations o where o.subject = any (job_ids) and o.act = 'reserve'
          ))
          and p.starts_at <= greatest(last_at, (
            select max(o.booked_at) from operations o where o.subject = any (job_ids) and o.act = 'reserve'
          ))
        where b.contract_id = any (contract_ids) and b.closed_at is null
          and (b.project is not null or b.user_id = any (user_ids) or b.id = any (subjects))
      ) as b;
    end if;
  end if;

  select json_build_object(
    'subject', array_agg(subject), 'act', array_agg(act), 'kind', array_agg(kind), 'refersTo', array_agg(refers_to),
    'userId', array_agg(user_id), 'contractId', array_agg(contract_id), 'bookedAt', array_agg(booked_at),
    'cap', array_agg(cap::text), 'absorbed', array_agg(absorbed::text), 'project', array_agg(project),
    'moves', array_agg(moves), 'lotIds', array_agg(array_to_string(lot_ids, ' ')),
    'amounts', array_agg(array_to_string(amounts, ' ')), 'requestHash', array_agg(encode(request_hash, 'hex')))
  into journal
  from (select * from operations where subject = any (subjects) order by batch_id, position) as o;

  if cardinality(named_lot_ids) + cardinality(refunded_job_ids) > 0 then
    select coalesce(json_agg(l), '[]') into lots_named
    from (
      select * from loaded_lots
      where id = any (named_lot_ids)
        or id = any (array(
          select unnest(o.lot_ids) from operations o where o.subject = any (refunded_job_ids)
        ))
        or id = any (array(
          select unnest(r.lot_ids)
          from operations r
          where r.kind = 'repay' and r.refers_to = any (array(
            select unnest(o.lot_ids) from operations o where o.subject = any (refunded_job_ids)
          ))
        ))
    ) as l;
  end if;
  if cardinality(refunded_job_ids) > 0 then
    select json_build_object(
      'subject', array_agg(subject), 'act', array_agg(act), 'kind', array_agg(kind), 'refersTo', array_agg(refers_to),
      'userId', array_agg(user_id), 'contractId', array_agg(contract_id), 'bookedAt', array_agg(booked_at),
      'cap', array_agg(cap::text), 'absorbed', array_agg(absorbed::text), 'project', array_agg(project),
      'moves', array_agg(moves), 'lotIds', array_agg(array_to_string(lot_ids, ' ')),
      'amounts', array_agg(array_to_string(amounts, ' ')), 'requestHash', array_agg(encode(request_hash, 'hex')))
    into journal_referring
    from (
      select *
      from operations
      where refers_to = any (refunded_job_ids)
        or (kind = 'repay' and refers_to = any (array(
          select unnest(o.lot_ids) from operations o where o.subject = any (refunded_job_ids)
        )))
      order by batch_id, position
    ) as o;
  end if;

  if cardinality(moved_job_ids) > 0 then
    select coalesce(json_agg(j), '[]') into jobs_locked
    from (select id, state from jobs where id = any (moved_job_ids) order by id for no key update) as j;
  end if;

  return json_build_object('pools', pools_locked, 'lots', lots_open, 'terms', coalesce(terms_known, '[]'),
    'budgets', budgets_open, 'journal', journal, 'namedLots', lots_named, 'referring', journal_referring,
    'jobs', jobs_locked);
end
$$;

create or replace view canonical_operations as
select
  o.batch_id,
  o.position,
  array_to_json(
    array[
      o.position::text, o.kind, o.subject::text, o.act, o.refers_to::text, o.user_id::text, o.contract_id::text, o.project,
      canonical_instant(o.booked_at), o.cap::text, o.absorbed::text, canonical_instant(o.effective_at),
      canonical_instant(o.expires_at), canonical_instant(o.withdrawn_at), o.actor, o.reason, o.moves,
      array_to_string(o.lot_ids, ' '), array_to_string(o.amounts, ' '), encode(o.request_hash, 'hex')
    ]
    || case o.kind
      when 'grant' then (
        select array[
          l.pool_id::text, l.pool_owner, l.kind, l.source, l.reference, l.granted::text, canonical_instant(l.purchased_at),
          l.advance::text
        ]
        from lots l
        where l.id = o.subject
      )
      when 'openBudget' then (
        select array[
          b.contract_id::text, b.user_id::text, b.project, b.period, b.amount::text, b.warn_percent::text,
          b.refuse_percent::text
        ]
        from budgets b
        where b.id = o.subject
      )
      else array[]::text[]
    end
    -- At the end and only where there is one, so that older lines are what they were.
    || case when o.grace_until is null then array[]::text[] else array[canonical_instant(o.grace_until)] end
  )::text as line
from operations o;

drop function append_batch(
  bytea, timestamptz, uuid[], uuid[], bigint[], bytea[], bigint[], uuid[], text[], timestamptz[], bigint[], bigint[],
  timestamptz[], timestamptz[], timestamptz[], uuid[], uuid[], uuid[], uuid[], text[], text[], text[], text[], text[], text[],
  bytea[], int[], int[], uuid[], bigint[], uuid[], timestamptz[], bigint[], bigint[]
);
create function append_batch(
  digest bytea,
  booked_max timestamptz,
  linked_pool_ids uuid[],
  -- Of each pool to lock: its last batch and its terms as they are known. Null for a batch that was loaded.
  known_pool_ids uuid[],
  known_seqs bigint[],
  known_digests bytea[],
  known_terms bigint[],
  -- Of each job whose row changes with a batch that was not loaded: the states in which it may be, with commas between.
  known_job_ids uuid[],
  known_states text[],
  -- Of each operation:
  booked_at timestamptz[],
  absorbed bigint[],
  cap bigint[],
  effective_at timestamptz[],
  expires_at timestamptz[],
  withdrawn_at timestamptz[],
  grace_until timestamptz[],
  subject uuid[],
  refers_to uuid[],
  user_id uuid[],
  contract_id uuid[],
  kind text[],
  act text[],
  actor text[],
  reason text[],
  moves text[],
  project text[],
  request_hash bytea[],
  -- Arrays of arrays must be rectangular: lots and amounts come flat, each operation with its slice of them.
  first_transfer int[],
  last_transfer int[],
  lot_ids uuid[],
  amounts bigint[],
  -- Of each budget's period, by how much it changes:
  budget_id uuid[],
  starts_at timestamptz[],
  reserved bigint[],
  charged bigint[]
) returns void
  language plpgsql volatile as $$
#variable_conflict use_column
declare
  batch_id bigint;
  clock timestamptz;
begin
  if known_pool_ids is not null then
    if (
      select count(*)
      from (
        select
        from unnest(known_pool_ids, append_batch.known_seqs, append_batch.known_digests, append_batch.known_terms)
          as known (pool_id, seq, digest, terms)
        join pools on pools.id = known.pool_id and pools.seq = known.seq and pools.digest is not distinct from known.digest
          and pools.terms = known.terms
        order by pools.id
        for no key update of pools
      ) as unchanged
    ) <> cardinality(known_pool_ids) then
      raise exception 'a pool is not as the batch was planned with' using errcode = 'HF008';
    end if;
    if cardinality(known_job_ids) > 0 and (
      select count(*)
      from (
        select
        from unnest(append_batch.known_job_ids, append_batch.known_states) as known (job_id, states)
        join jobs on jobs.id = known.job_id and jobs.state = any (string_to_array(known.states, ','))
        order by jobs.id
        for no key update of jobs
      ) as unchanged
    ) <> cardinality(known_job_ids) then
      raise exception 'a job is not as the batch was planned with' using errcode = 'HF008';
    end if;
  end if;

  -- Never recorded earlier than what was recorded before in any of the pools, even when the server's clock was set back.
  insert into batches (id, recorded_at, digest)
  select nextval('batch_ids'), greatest(clock_timestamp(), max(p.recorded_at)), append_batch.digest
  from pools p
  where p.id = any (linked_pool_ids)
  returning batches.id, batches.recorded_at into batch_id, clock;

  insert into operations
    (batch_id, booked_at, absorbed, cap, effective_at, expires_at, withdrawn_at, grace_until, position, subject, refers_to,
     user_id, contract_id, kind, act, actor, reason, moves, lot_ids, amounts, project, request_hash)
  select batch_id, n.booked_at, n.absorbed, n.cap, n.effective_at, n.expires_at, n.withdrawn_at, n.grace_until,
    n.position, n.subject, n.refers_to, n.user_id, n.contract_id, n.kind, n.act, n.actor, n.reason, n.moves,
    append_batch.lot_ids[n.first_transfer:n.last_transfer], append_batch.amounts[n.first_transfer:n.last_transfer],
    n.project, n.request_hash
  from (
    -- Side by side in one list: as functions in `from` each array would be written down as a table of its own first. An
    -- array that is null has a null in every row.
    select unnest(append_batch.booked_at) as booked_at, unnest(append_batch.absorbed) as absorbed, unnest(append_batch.cap) as cap,
      unnest(append_batch.effective_at) as effective_at, unnest(append_batch.expires_at) as expires_at,
      unnest(append_batch.withdrawn_at) as withdrawn_at, unnest(append_batch.grace_until) as grace_until,
      unnest(append_batch.subject) as subject,
      unnest(append_batch.refers_to) as refers_to, unnest(append_batch.user_id) as user_id,
      unnest(append_batch.contract_id) as contract_id, unnest(append_batch.kind) as kind, unnest(append_batch.act) as act,
      unnest(append_batch.actor) as actor, unnest(append_batch.reason) as reason, unnest(append_batch.moves) as moves,
      unnest(append_batch.project) as project, unnest(append_batch.request_hash) as request_hash,
      unnest(append_batch.first_transfer) as first_transfer, unnest(append_batch.last_transfer) as last_transfer,
      generate_series(0, cardinality(append_batch.subject) - 1) as position
  ) as n;

  insert into links (pool_id, seq, batch_id, head, booked_max, recorded_at)
  select p.id, p.seq + 1, batch_id, next_head(p.head, batch_id, clock, append_batch.digest),
    greatest(p.booked_max, append_batch.booked_max), clock
  from pools p
  where p.id = any (linked_pool_ids);

  if cardinality(append_batch.budget_id) > 0 then
    update budget_periods
    set reserved = budget_periods.reserved + n.reserved, charged = budget_periods.charged + n.charged
    from unnest(append_batch.budget_id, append_batch.starts_at, append_batch.reserved, append_batch.charged)
      as n (budget_id, starts_at, reserved, charged)
    where budget_periods.budget_id = n.budget_id and budget_periods.starts_at = n.starts_at;
  end if;
end
$$;
