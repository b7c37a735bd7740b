-- Refunds that wait for a second person, and what was said of lots that came from elsewhere.

-- Refunds and corrections above the set amount (R15): asked for by one person, decided by another. What was given back is
-- the ledger's: an approved request is the operation that has its id as subject and its approver as actor.
create table refund_requests (
  id uuid primary key,
  charge_id uuid not null references charges,
  job_id uuid not null references jobs,
  -- What to give back, or what the charge should have been.
  amount bigint constraint refund_request_amount_is_positive check (amount > 0),
  actual bigint constraint refund_request_actual_not_negative check (actual >= 0),
  reason text not null,
  requested_by uuid not null references users,
  requested_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint refund_request_asks_for_one_thing check (num_nonnulls(amount, actual) = 1)
);
create index refund_requests_by_charge on refund_requests (charge_id);

create table refund_rejections (
  request_id uuid primary key references refund_requests,
  reason text not null,
  rejected_by uuid not null references users,
  rejected_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp()
);

-- A request is decided once, and never by the person who made it. Both decisions lock the request first, so that the
-- second of two sees the first.
create function decide_once() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  request refund_requests;
  decided_by text;
begin
  if tg_table_name = 'operations' then
    select * into request from refund_requests where id = new.subject for update;
    decided_by := new.actor;
  else
    select * into request from refund_requests where id = new.request_id for update;
    decided_by := new.rejected_by;
  end if;
  -- Refunds up to the set amount are made without a request.
  if request.id is null then
    return new;
  end if;
  if decided_by = request.requested_by::text then
    raise exception 'refund % takes a second person', request.id using errcode = 'HF006';
  end if;
  if exists (select from refund_rejections where request_id = request.id)
    or exists (select from operations where subject = request.id)
  then
    raise exception 'refund % is decided already', request.id using errcode = 'HF007';
  end if;
  if tg_table_name = 'operations' then
    if new.refers_to is distinct from request.job_id then
      raise exception 'refund % is of another job', request.id using errcode = 'HF006';
    end if;
  end if;
  return new;
end
$$;
create trigger refunds_are_decided_once before insert on operations
  for each row when (new.kind in ('refund', 'correct')) execute function decide_once();
create trigger rejections_are_decided_once before insert on refund_rejections
  for each row execute function decide_once();

-- When the customer received what was imported, as far as that is known of a lot. Written before its grant.
create table imports (
  lot_id uuid primary key,
  received_at timestamptz not null
);

-- R5: what was received before 2013-12-13 is shared, whatever it was called.
create function refuse_old_individual() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if exists (select from imports where lot_id = new.id and received_at < '2013-12-13T00:00:00Z') then
    raise exception 'lot % was received before 2013-12-13 and is shared', new.id using errcode = 'HF002';
  end if;
  return new;
end
$$;
create trigger lots_received_early_are_shared before insert on lots
  for each row when (new.kind = 'individual' and new.source = 'import') execute function refuse_old_individual();

create trigger refund_requests_are_append_only before update or delete or truncate on refund_requests
  for each statement execute function refuse_change();
create trigger refund_rejections_are_append_only before update or delete or truncate on refund_rejections
  for each statement execute function refuse_change();
create trigger imports_are_append_only before update or delete or truncate on imports
  for each statement execute function refuse_change();

grant select, insert on refund_requests, refund_rejections, imports to holdfast_application;
