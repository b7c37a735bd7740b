-- The journal in batches: every batch is chained to the batches before it in its pools, the database itself moves the
-- credits that an operation names, and a job's reservation follows from its operations instead of a row of its own.

-- The role of the application: it appends facts and can change none. Whoever owns the schema migrates it. -----------

-- Where the owner may not create roles, an administrator made it before.
do $$
begin
  if not exists (select from pg_roles where rolname = 'holdfast_application') then
    create role holdfast_application nologin;
  end if;
exception
  -- Roles belong to the whole server: another database's migration was first.
  when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not pg_has_role(current_user, 'holdfast_application', 'set') then
    execute format('grant holdfast_application to %I', current_user);
  end if;
exception
  when unique_violation then null;
end
$$;

-- Lots --------------------------------------------------------------------------------------------------------------

alter table lots add column advance boolean not null default false;
alter table lots add constraint lot_advance_is_courtesy check (not advance or kind = 'courtesy');
alter table lots drop column recorded_at;
drop index lots_open_by_pool;
-- Those a batch loads: lots that can still pay, that hold what a job reserved, or that are to be repaid.
create index lots_open_by_pool on lots (pool_id) where available > 0 or reserved > 0 or (advance and consumed > 0);

-- Chains ------------------------------------------------------------------------------------------------------------

-- One transaction of the ledger. Its id is drawn under the locks of its pools, so it orders what happened to each.
create sequence batch_ids;
create table batches (
  id bigint primary key,
  recorded_at timestamptz not null,
  -- sha256 of the canonical form of its operations.
  digest bytea not null constraint batch_digest_is_sha256 check (length(digest) = 32)
);

-- That a batch belongs to a pool's chain. Its head follows from the head of the link before and from the batch: see next_head.
create table links (
  pool_id uuid not null,
  seq bigint not null constraint link_seq_counts_from_one check (seq > 0),
  batch_id bigint not null,
  head bytea not null constraint link_head_is_sha256 check (length(head) = 32),
  -- The latest instant at which anything up to here counts: it never falls along a chain, and tells how far back a
  -- question about an instant has to look.
  booked_max timestamptz not null,
  recorded_at timestamptz not null,
  primary key (pool_id, seq)
);

alter table pools
  add column seq bigint not null default 0,
  add column head bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000',
  add column booked_max timestamptz,
  add column recorded_at timestamptz,
  -- Of the batch of the last link. Whoever planned with what that batch left knows by seq and digest that nothing came in
  -- between.
  add column digest bytea,
  -- Counts the changes of the contract's term and of its authorised users, which no link tells.
  add column terms bigint not null default 0;
alter table pools set (fillfactor = 50);

create function canonical_instant(at timestamptz) returns text
  language sql stable strict parallel safe
  return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- The head of a link: sha256 of a line that names the head before it and the batch.
create function next_head(head bytea, batch_id bigint, recorded_at timestamptz, digest bytea) returns bytea
  language sql stable parallel safe
  return sha256(convert_to(
    'holdfast-link/1 ' || encode(head, 'hex') || ' ' || batch_id || ' ' || canonical_instant(recorded_at) || ' '
      || encode(digest, 'hex'),
    'UTF8'));

-- A contract's term or its users changed: whoever plans with them has to load them anew. Waits for the batch in flight.
create function note_changed_terms() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if tg_table_name = 'contracts' then
    update pools set terms = terms + 1 where id = new.id;
  else
    update pools set terms = terms + 1 where id in (old.contract_id, new.contract_id);
  end if;
  return null;
end
$$;
create trigger contracts_change_terms after update on contracts
  for each row execute function note_changed_terms();
create trigger contract_users_change_terms after insert or update or delete on contract_users
  for each row execute function note_changed_terms();

-- Operations --------------------------------------------------------------------------------------------------------

alter table operations rename to operations_before;
alter index operations_pkey rename to operations_before_pkey;
alter index operations_key_key rename to operations_before_key;
drop view transfers;
drop trigger operations_are_append_only on operations_before;

-- One row per operation carries the lots and amounts that it moved as arrays; `transfers` unnests them. The columns
-- are ordered for their alignment: this is the table that grows. What a row of each kind may say is checked by the trigger
-- `operations_move_credits` for a whole batch at once: as CHECKs, which Postgres reads anew for every statement, the same
-- rules cost a third of a millisecond per batch.
create table operations (
  batch_id bigint not null,
  booked_at timestamptz not null,
  -- What the provider bears of a settlement; negative where a correction unwinds it.
  absorbed bigint,
  -- The not-to-exceed amount from here on.
  cap bigint constraint operation_cap_not_negative check (cap >= 0),
  -- The life of a lot from here on.
  effective_at timestamptz,
  expires_at timestamptz,
  withdrawn_at timestamptz,
  position int not null,
  -- What the operation is about: a job, a lot, a refund, a budget. With the act it is the idempotency key.
  subject uuid not null,
  -- What it points at: the job of a refund, the advance of a repayment.
  refers_to uuid,
  user_id uuid,
  contract_id uuid,
  kind text not null,
  act text not null,
  -- 'job' is the workflow of the job that the operation is about.
  actor text not null,
  reason text not null,
  -- Two letters a transfer, from and to: g(ranted) a(vailable) r(eserved) c(onsumed) e(xpired) w(ithdrawn).
  moves text not null,
  lot_ids uuid[] not null,
  amounts bigint[] not null,
  project text,
  -- The beginning of sha256 of what was asked under the key, so that the key cannot be used for something else. Null
  -- for operations of the first schema, whose requests are not known in this form.
  request_hash bytea
);

-- Operations of the first schema, each as a batch of its own, in the order in which they were written.
with numbered as (
  select o.*, row_number() over (order by o.recorded_at, o.id) as batch_id from operations_before o
)
insert into operations
  (batch_id, booked_at, absorbed, cap, effective_at, expires_at, withdrawn_at, position, subject, user_id, contract_id, kind,
   act, actor, reason, moves, lot_ids, amounts)
select n.batch_id, n.booked_at, nullif(n.absorbed, 0),
  case when n.kind in ('reserve', 'raiseCap') then r.cap end,
  case when n.kind = 'grant' then l.effective_at end,
  case when n.kind = 'grant' then l.expires_at end,
  case when n.kind = 'grant' then l.withdrawn_at end,
  0, coalesce(n.job_id, n.lot_ids[1]),
  case when n.kind in ('reserve', 'release') or left(n.moves, 2) = 'ar' then r.user_id end,
  case when n.kind in ('reserve', 'release') or left(n.moves, 2) = 'ar' then r.contract_id end,
  n.kind, case when n.kind in ('settle', 'release') then 'close' else substr(n.key, 38) end,
  case when n.actor = 'job/' || n.job_id then 'job' else n.actor end,
  n.reason, n.moves, n.lot_ids, n.amounts
from numbered n
left join reservations r on r.job_id = n.job_id
left join lots l on n.kind = 'grant' and l.id = n.lot_ids[1]
order by n.batch_id;

-- The key: one subject, one act, one operation, ever. So a job's billing closes once.
create unique index operations_key on operations (subject, act);
create unique index operations_in_order on operations (batch_id, position);
create index operations_by_reference on operations (refers_to) where refers_to is not null;

create view transfers as
select
  o.batch_id,
  o.position as operation_position,
  t.position,
  o.kind,
  o.subject,
  o.act,
  case
    when o.kind in ('refund', 'correct') then o.refers_to
    when o.kind in ('reserve', 'topUp', 'raiseCap', 'settle', 'release') then o.subject
  end as job_id,
  t.lot_id,
  bucket_of(substr(o.moves, 2 * t.position::int - 1, 1)) as from_bucket,
  bucket_of(substr(o.moves, 2 * t.position::int, 1)) as to_bucket,
  t.amount,
  o.booked_at,
  b.recorded_at,
  o.actor,
  o.reason
from operations o
join batches b on b.id = o.batch_id
cross join lateral unnest(o.lot_ids, o.amounts) with ordinality as t (lot_id, amount, position);

-- Jobs that hold something, or may. For whoever looks; what a job holds follows from its transfers.
create view open_reservations as
select o.subject as job_id, o.user_id, o.contract_id, o.booked_at as reserved_at, o.lot_ids
from operations o
where o.kind = 'reserve'
  and not exists (select from operations c where c.subject = o.subject and c.act = 'close');

-- Budgets (R17) -----------------------------------------------------------------------------------------------------

alter table jobs add column project text constraint job_project_is_short check (length(project) between 1 and 100);

create table budgets (
  id uuid primary key,
  contract_id uuid not null references contracts,
  user_id uuid references users,
  project text constraint budget_project_is_short check (length(project) between 1 and 100),
  period text not null constraint budget_period_is_known check (period in ('day', 'month', 'quarter', 'year', 'total')),
  amount bigint not null constraint budget_amount_is_in_range check (amount between 0 and 9000000000000000000),
  warn_percent int constraint budget_warning_is_in_range check (warn_percent between 1 and 1000),
  refuse_percent int constraint budget_refusal_is_in_range check (refuse_percent between 1 and 1000),
  closed_at timestamptz,
  constraint budget_is_for_a_user_or_a_project check (num_nonnulls(user_id, project) = 1)
);
-- One budget at a time for the same person or project and period.
create unique index budgets_open_once on budgets (contract_id, coalesce(user_id::text, project), period)
  where closed_at is null;

-- What counts against a budget, per period; a cache that the verifier recomputes from the operations.
create table budget_periods (
  budget_id uuid not null references budgets,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  reserved bigint not null constraint budget_reserved_not_negative check (reserved >= 0),
  charged bigint not null constraint budget_charged_not_negative check (charged >= 0),
  primary key (budget_id, starts_at),
  constraint budget_period_is_half_open check (starts_at < ends_at)
) with (fillfactor = 50);

-- The database moves what an operation names ------------------------------------------------------------------------

-- Whether rows of the journal of this form say what their kind may say.
create function is_well_formed(
  kind text, closes boolean, has_cap boolean, has_life boolean, refers boolean, spends boolean, absorbs double precision, moves text,
  fits boolean
) returns boolean
  language sql immutable parallel safe
  return case kind
    when 'reserve' then moves ~ '^(ar)*$' and has_cap and spends
    when 'settle' then moves ~ '^(ar)*(rc)*(r[aew])*$' and closes and (absorbs is null or absorbs > 0)
    when 'topUp' then moves ~ '^(ar)*$'
    when 'release' then moves ~ '^(r[aew])*$' and closes and spends
    when 'raiseCap' then moves = '' and has_cap
    when 'grant' then moves = 'ga' and has_life
    when 'changeLife' then moves = '' and has_life
    when 'expire' then moves in ('', 'ae')
    when 'withdraw' then moves in ('', 'aw')
    when 'refund' then moves ~ '^(c[aew])+$' and refers and spends
    when 'correct' then moves ~ '^(c[aew])*$' and refers and spends and (absorbs is null or absorbs < 0)
    when 'repay' then moves in ('accw', 'cawc', 'cewc') and refers
    when 'openBudget' then moves = ''
    when 'closeBudget' then moves = '' and closes
    else false
  end
  and has_cap = (kind in ('reserve', 'raiseCap'))
  and has_life = (kind in ('grant', 'changeLife'))
  and refers = (kind in ('refund', 'correct', 'repay'))
  and spends = (kind in ('reserve', 'release', 'refund', 'correct') or left(moves, 2) = 'ar')
  and (absorbs is null or kind in ('settle', 'correct'))
  and fits is true;

-- What a move takes from the buckets of a lot and adds to them.
create table moves (
  move text primary key,
  available int not null,
  reserved int not null,
  consumed int not null,
  expired int not null,
  withdrawn int not null
);
insert into moves (move, available, reserved, consumed, expired, withdrawn)
values
  ('ar', -1, 1, 0, 0, 0),
  ('rc', 0, -1, 1, 0, 0),
  ('ra', 1, -1, 0, 0, 0),
  ('re', 0, -1, 0, 1, 0),
  ('rw', 0, -1, 0, 0, 1),
  ('ac', -1, 0, 1, 0, 0),
  ('ae', -1, 0, 0, 1, 0),
  ('aw', -1, 0, 0, 0, 1),
  ('ca', 1, 0, -1, 0, 0),
  ('ce', 0, 0, -1, 1, 0),
  ('cw', 0, 0, -1, 0, 1),
  ('wc', 0, 0, 1, 0, -1);

-- Whoever appends operations moves their credits by that and in no other way: the application's role cannot write a lot.
-- Two letters of `moves` go with one lot and one amount. Refused here, because no CHECK sees several rows: a row that its
-- kind cannot say, a transfer of a lot that is not its spender's (R2), a draw outside a lot's life (R7) or after the closing
-- of its job, a closing that leaves something reserved or captures more than the not-to-exceed amount (R11), a repayment
-- by another owner (R9), a refund of more than was captured of a lot (R15), an end before it came (R3, R4).
--
-- These queries are run for every batch: forms are judged once each, not row by row, and `moves` is a table because large
-- expressions are slow to start. Tables are named with their schema, since the function has its owner's rights whatever
-- the caller's search path is.
create function apply_operations() returns trigger
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
          and (kind <> 'repay' or amounts[1] = amounts[2]) as fits
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
      and (l.id, l.granted, l.effective_at, l.expires_at, l.withdrawn_at, 'grant')
        is distinct from (o.lot_ids[1], o.amounts[1], o.effective_at, o.expires_at, o.withdrawn_at, o.act)
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
    set effective_at = o.effective_at, expires_at = o.expires_at, withdrawn_at = o.withdrawn_at
    from (
      select distinct on (subject) subject, effective_at, expires_at, withdrawn_at
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
create trigger operations_move_credits after insert on operations
  referencing new table as appended
  for each statement execute function apply_operations();

-- A lot begins whole, and nobody else's `available` than the one that its grant gave is ever written by the application.
create function begin_whole() returns trigger
  language plpgsql as $$
begin
  if (new.available, new.reserved, new.consumed, new.expired, new.withdrawn, new.ended_as)
    is distinct from (new.granted, 0::bigint, 0::bigint, 0::bigint, 0::bigint, null::text)
  then
    raise exception 'lot % must begin with all of its credits available', new.id using errcode = 'HF004';
  end if;
  return new;
end
$$;
create trigger lots_begin_whole before insert on lots
  for each row execute function begin_whole();

-- Checked when the transaction ends, because the operation is appended after its lot.
create function granted_once() returns trigger
  language plpgsql security definer as $$
begin
  if not exists (select from public.operations where subject = new.id and act = 'grant') then
    raise exception 'lot % was never granted', new.id using errcode = 'HF004';
  end if;
  return null;
end
$$;
create constraint trigger lots_are_granted after insert on lots
  deferrable initially deferred
  for each row execute function granted_once();

-- A link continues its pool's chain, by one and from its head, or is refused.
create function continue_chain() returns trigger
  language plpgsql security definer as $$
begin
  update public.pools
  set seq = new.seq, head = new.head, booked_max = new.booked_max, recorded_at = new.recorded_at, digest = b.digest
  from public.batches b
  where pools.id = new.pool_id
    and b.id = new.batch_id
    and new.seq = pools.seq + 1
    and new.head = public.next_head(pools.head, b.id, b.recorded_at, b.digest)
    and new.recorded_at = b.recorded_at
    and new.booked_max >= coalesce(pools.booked_max, new.booked_max)
    and new.recorded_at >= coalesce(pools.recorded_at, new.recorded_at);
  if not found then
    raise exception 'link % does not continue the chain of pool %', new.seq, new.pool_id using errcode = 'HF005';
  end if;
  return null;
end
$$;
create trigger links_continue_chains after insert on links
  for each row execute function continue_chain();

-- Lots as a batch loads them, and whether it loads them unasked: those that can still pay, that hold what a job reserved, or
-- that are to be repaid.
create view loaded_lots as
select id, pool_id as "poolId", kind, granted::text, available::text, reserved::text, consumed::text, expired::text,
  withdrawn::text, effective_at as "effectiveAt", expires_at as "expiresAt", withdrawn_at as "withdrawnAt",
  ended_as as "endedAs", advance, (available > 0 or reserved > 0 or (advance and consumed > 0)) as is_open
from lots;

-- A batch in two calls ---------------------------------------------------------------------------------------------

-- What a batch locks and loads. Each statement of a volatile function sees what was committed when its turn came, so those
-- after the locks see what the locks guard. Rows come as JSON, many rows as one array per column: a hundred rows of the
-- protocol, or of row_to_json, cost more than all the rest of this. Amounts are text, since JSON's numbers lose digits.
create function load_batch(
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
        u.user_id as "userId", u.authorised_at as "authorisedAt", u.removed_at as "removedAt"
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

-- Appends a batch: its row, its operations, which move the credits, its links, and what counts against budgets. Its id and
-- its instant are taken under the locks of its pools, so that ids order what happens to a pool.
--
-- A batch that was planned without being loaded says what it was planned with: then the pools and the jobs are locked here,
-- and when anything else happened to them in between, nothing is appended (HF008).
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
    (batch_id, booked_at, absorbed, cap, effective_at, expires_at, withdrawn_at, position, subject, refers_to, user_id,
     contract_id, kind, act, actor, reason, moves, lot_ids, amounts, project, request_hash)
  select batch_id, n.booked_at, n.absorbed, n.cap, n.effective_at, n.expires_at, n.withdrawn_at, n.position,
    n.subject, n.refers_to, n.user_id, n.contract_id, n.kind, n.act, n.actor, n.reason, n.moves,
    append_batch.lot_ids[n.first_transfer:n.last_transfer], append_batch.amounts[n.first_transfer:n.last_transfer],
    n.project, n.request_hash
  from (
    -- Side by side in one list: as functions in `from` each array would be written down as a table of its own first. An
    -- array that is null has a null in every row.
    select unnest(append_batch.booked_at) as booked_at, unnest(append_batch.absorbed) as absorbed, unnest(append_batch.cap) as cap,
      unnest(append_batch.effective_at) as effective_at, unnest(append_batch.expires_at) as expires_at,
      unnest(append_batch.withdrawn_at) as withdrawn_at, unnest(append_batch.subject) as subject,
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

-- The canonical form of a batch -------------------------------------------------------------------------------------

-- One line an operation: a JSON array of strings and nulls without spaces. A grant's and a budget's line goes on with what
-- was granted or opened.
create view canonical_operations as
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
  )::text as line
from operations o;

-- The chains of what was written by the first schema: every operation a batch of its own. Later batches are digested by
-- those who write them.
insert into batches (id, recorded_at, digest)
select n.batch_id, n.recorded_at, sha256(convert_to(c.line, 'UTF8'))
from (
  select row_number() over (order by recorded_at, id) as batch_id,
    max(recorded_at) over (order by recorded_at, id) as recorded_at
  from operations_before
) as n
join canonical_operations c on c.batch_id = n.batch_id;
select setval('batch_ids', (select coalesce(max(id), 0) + 1 from batches), false);

do $$
declare
  op record;
begin
  for op in
    select o.batch_id, o.booked_at, b.recorded_at, b.digest, p.id as pool_id, p.seq, p.head, p.booked_max
    from operations o
    join batches b on b.id = o.batch_id
    cross join lateral (
      select pool_id from lots where lots.id = any (o.lot_ids)
      union
      select coalesce(r.contract_id, r.user_id) from reservations r where r.job_id = o.subject
    ) as chained
    join pools on pools.id = chained.pool_id
    cross join lateral (select pools.*) as p
    order by o.batch_id, p.id
  loop
    insert into links (pool_id, seq, batch_id, head, booked_max, recorded_at)
    select p.id, p.seq + 1, op.batch_id, next_head(p.head, op.batch_id, op.recorded_at, op.digest), greatest(p.booked_max, op.booked_at), op.recorded_at
    from pools p
    where p.id = op.pool_id;
  end loop;
end
$$;

-- What the first schema knew beside its operations must follow from them now.
do $$
begin
  if exists (
    select from reservations r
    full join (
      select job_id, lot_id, sum(case when to_bucket = 'reserved' then amount else -amount end) as amount
      from transfers
      where to_bucket = 'reserved' or from_bucket = 'reserved'
      group by job_id, lot_id
      having sum(case when to_bucket = 'reserved' then amount else -amount end) <> 0
    ) as held on held.job_id = r.job_id and held.lot_id = any (r.lot_ids)
    where held.amount is distinct from r.amounts[array_position(r.lot_ids, held.lot_id)]
      and (held.job_id is not null or cardinality(r.lot_ids) > 0)
  ) or exists (
    select from reservations r
    full join (
      select subject as job_id, max(case kind when 'settle' then 'settled' when 'release' then 'released' end) as closed_as
      from operations
      where kind <> 'grant'
      group by subject
    ) as job on job.job_id = r.job_id
    where job.job_id is null or r.state is distinct from coalesce(job.closed_as, 'open')
  ) or (select count(*) from operations) <> (select count(*) from operations_before)
  then
    raise exception 'the operations do not give the reservations that are written';
  end if;
  if exists (
    select from lots l
    full join (
      select lot_id,
        sum(case 'granted' when from_bucket then amount else 0 end) as granted,
        sum(case 'available' when to_bucket then amount when from_bucket then -amount else 0 end) as available,
        sum(case 'reserved' when to_bucket then amount when from_bucket then -amount else 0 end) as reserved,
        sum(case 'consumed' when to_bucket then amount when from_bucket then -amount else 0 end) as consumed,
        sum(case 'expired' when to_bucket then amount when from_bucket then -amount else 0 end) as expired,
        sum(case 'withdrawn' when to_bucket then amount when from_bucket then -amount else 0 end) as withdrawn
      from transfers
      group by lot_id
    ) as t on t.lot_id = l.id
    where (l.granted, l.available, l.reserved, l.consumed, l.expired, l.withdrawn)
      is distinct from (t.granted, t.available, t.reserved, t.consumed, t.expired, t.withdrawn)
  ) then
    raise exception 'the operations do not give the balances that are written';
  end if;
end
$$;
drop table operations_before;
drop table reservations;
drop function refuse_reopening();

-- Facts are appended and never changed ------------------------------------------------------------------------------

create trigger moves_are_append_only before update or delete or truncate on moves
  for each statement execute function refuse_change();
create trigger operations_are_append_only before update or delete or truncate on operations
  for each statement execute function refuse_change();
create trigger batches_are_append_only before update or delete or truncate on batches
  for each statement execute function refuse_change();
create trigger links_are_append_only before update or delete or truncate on links
  for each statement execute function refuse_change();
create trigger budgets_are_never_deleted before delete or truncate on budgets
  for each statement execute function refuse_change();
create trigger pools_are_never_deleted before delete or truncate on pools
  for each statement execute function refuse_change();

-- A lot's origin includes whether it is an advance; a budget is closed and replaced, not changed.
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
    and (new.ended_as, new.effective_at, new.expires_at, new.withdrawn_at)
      is distinct from (old.ended_as, old.effective_at, old.expires_at, old.withdrawn_at)
  then
    raise exception 'the life of lot % is over and cannot be changed', old.id using errcode = 'HF002';
  end if;
  return new;
end
$$;
-- Only where one of these columns is written: what moves credits writes none of them.
drop trigger lots_keep_their_owner on lots;
create trigger lots_keep_their_owner
  before update of id, pool_id, pool_owner, kind, source, reference, granted, purchased_at, advance, ended_as, effective_at,
    expires_at, withdrawn_at
  on lots
  for each row execute function refuse_new_owner();
create function refuse_other_budget() returns trigger
  language plpgsql as $$
begin
  if to_jsonb(new) - 'closed_at' is distinct from to_jsonb(old) - 'closed_at' or old.closed_at is not null then
    raise exception 'budget % is closed and replaced, not changed', old.id using errcode = 'HF002';
  end if;
  return new;
end
$$;
create trigger budgets_only_close before update on budgets
  for each row execute function refuse_other_budget();
create function refuse_other_pool() returns trigger
  language plpgsql as $$
begin
  raise exception 'pool % keeps its owner', old.id using errcode = 'HF002';
end
$$;
create trigger pools_keep_their_owner before update of id, owner on pools
  for each row execute function refuse_other_pool();

-- What the application's role may do --------------------------------------------------------------------------------

-- Opening a pool with its contract or user is the database's own doing.
alter function open_pool() security definer;
alter function open_pool() set search_path = public, pg_temp;
grant usage on schema public to holdfast_application;
grant select on all tables in schema public to holdfast_application;
grant usage on all sequences in schema public to holdfast_application;
grant insert on
  customers, users, contracts, contract_users, api_keys, lots, batches, links, operations, budgets, budget_periods,
  rate_cards, inputs, input_uploads, quotes, jobs, attempts, usage_records, job_events, results, charges, idempotency_keys
  to holdfast_application;
grant update on contract_users, api_keys, inputs, input_uploads, jobs, attempts, idempotency_keys, budget_periods
  to holdfast_application;
-- Locking a row takes the right to update one of its columns; `pools_keep_their_owner` refuses the update itself.
grant update (owner) on pools to holdfast_application;
