-- Allocation rules, and what was allocated by them.

-- A version is a whole list of rules. The request that published it publishes it once.
create table allocation_rules (
  version int primary key constraint allocation_rules_are_numbered check (version > 0),
  effective_at timestamptz not null,
  rules jsonb not null,
  request_id uuid unique,
  published_by text not null,
  recorded_at timestamptz not null default clock_timestamp()
);

-- Each allocation once, by the key of its occasion. The claim comes before the grant and says all of it, so that whoever
-- finds a claim without its lot grants the same lot.
create table allocations (
  key text primary key constraint allocation_key_is_short check (length(key) between 1 and 300),
  contract_id uuid not null references contracts,
  -- The named user whose occasion it was.
  user_id uuid references users,
  pool_id uuid not null references pools,
  kind text not null
    constraint allocation_kind_fits_its_owner check (
      (kind = 'individual' and user_id is not null and pool_id = user_id) or (kind = 'shared' and pool_id = contract_id)
    ),
  rule_key text not null,
  version int not null references allocation_rules,
  lot_id uuid not null unique,
  amount bigint not null constraint allocation_is_positive check (amount > 0),
  at timestamptz not null,
  -- The life of the lot as it was claimed.
  expires_at timestamptz,
  grace_until timestamptz,
  because text not null,
  actor text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint individual_allocation_never_expires check ((kind = 'individual') = (expires_at is null))
);
create index allocations_by_contract on allocations (contract_id, at);
create index allocations_by_user on allocations (user_id, at) where user_id is not null;
-- Whoever counts the seats differently begins at the same seat: of two allocations of one seat there is one.
create unique index allocations_of_a_seat on allocations (regexp_replace(key, '(/seats/[0-9]+)-[0-9]+$', '\1'));

create trigger allocation_rules_are_append_only before update or delete or truncate on allocation_rules
  for each statement execute function refuse_change();
create trigger allocations_are_append_only before update or delete or truncate on allocations
  for each statement execute function refuse_change();

grant select, insert on allocation_rules, allocations to holdfast_application;
