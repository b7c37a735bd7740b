-- Contracts that live for years: terms, renewal, products, and a history that can be asked.

alter table users
  -- In which language and by whose clock the user is written to.
  add column language text not null default 'en' constraint user_language_is_shipped check (language in ('en', 'de')),
  add column time_zone text not null default 'UTC';

alter table contracts
  -- Terms in order, without gaps: a renewal adds one, an extension moves the end of the last. `ends_at` is the end of the last,
  -- or the termination where that comes first.
  add column terms jsonb not null default '[]',
  add column products jsonb not null default '[]',
  add column renewal text not null default 'manual'
    constraint contract_renewal_is_known check (renewal in ('manual', 'automatic')),
  add column renewal_months int not null default 12
    constraint contract_renewal_is_in_range check (renewal_months between 1 and 120),
  add column grace_days int not null default 0
    constraint contract_grace_is_in_range check (grace_days between 0 and 366),
  add column terminates_at timestamptz,
  -- When the booked facts of its life came: its beginning, and its end after which nothing renews it.
  add column activated_at timestamptz,
  add column closed_at timestamptz,
  -- How often it was changed; the number of its last change.
  add column version int not null default 0,
  add constraint contract_ends_with_its_termination check (terminates_at is null or ends_at = terminates_at);

create function begin_first_term() returns trigger
  language plpgsql as $$
begin
  if new.terms = '[]' then
    new.terms := jsonb_build_array(jsonb_build_object(
      'number', 1, 'startsAt', canonical_instant(new.starts_at), 'endsAt', canonical_instant(new.ends_at)));
  end if;
  return new;
end
$$;
update contracts
set terms = jsonb_build_array(jsonb_build_object(
  'number', 1, 'startsAt', canonical_instant(starts_at), 'endsAt', canonical_instant(ends_at)));
create trigger contracts_begin_a_term before insert on contracts
  for each row execute function begin_first_term();

-- Every change of a contract, with what the contract was from there on: who could spend on it on a day follows from the last
-- change until then. A request changes a contract once.
create table contract_changes (
  contract_id uuid not null references contracts,
  number int not null constraint contract_change_is_numbered check (number > 0),
  request_id text not null constraint contract_request_is_short check (length(request_id) between 1 and 200),
  kind text not null,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  actor text not null,
  reason text not null,
  request jsonb not null,
  state jsonb not null,
  primary key (contract_id, number),
  unique (contract_id, request_id)
);
create trigger contract_changes_are_append_only before update or delete or truncate on contract_changes
  for each statement execute function refuse_change();

-- What a contract's calendar brought, each thing once. Of reminders there is no other trace.
create table contract_bookings (
  contract_id uuid not null references contracts,
  key text not null,
  act text not null,
  at timestamptz not null,
  -- How many people are told of it in their next digest.
  told int not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (contract_id, key)
);
create trigger contract_bookings_are_append_only before update or delete or truncate on contract_bookings
  for each statement execute function refuse_change();

-- Up to when a contract's calendar is booked, and what comes next: who is overdue has lost its workflow.
create table contract_watches (
  contract_id uuid primary key references contracts,
  booked_through timestamptz not null,
  next_at timestamptz
);
create index contract_watches_by_next on contract_watches (next_at) where next_at is not null;
-- Lots that are over and not booked so.
create index lots_by_end on lots (expires_at) where ended_as is null and expires_at is not null;

grant select, insert on contract_changes, contract_bookings, contract_watches to holdfast_application;
grant update on contract_watches to holdfast_application;
grant update (name, starts_at, ends_at, terms, products, renewal, renewal_months, grace_days, terminates_at, activated_at, closed_at,
  version) on contracts to holdfast_application;
grant update (name, email, language, time_zone) on users to holdfast_application;
