-- People and contracts --------------------------------------------------------------------------------------------

create table customers (
  id uuid primary key,
  name text not null,
  recorded_at timestamptz not null default clock_timestamp()
);

create table users (
  id uuid primary key,
  -- Null for the provider's own people.
  customer_id uuid references customers,
  name text not null,
  email text not null unique,
  recorded_at timestamptz not null default clock_timestamp()
);

create table contracts (
  id uuid primary key,
  customer_id uuid not null references customers,
  name text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  time_zone text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint contract_life_is_half_open check (starts_at < ends_at)
);

create table contract_users (
  contract_id uuid not null references contracts,
  user_id uuid not null references users,
  role text not null constraint contract_role_is_known check (role in ('submitter', 'contract-admin')),
  authorised_at timestamptz not null,
  removed_at timestamptz,
  primary key (contract_id, user_id, authorised_at),
  constraint authorisation_is_half_open check (removed_at is null or authorised_at < removed_at)
);
create index contract_users_by_user on contract_users (user_id);

create table api_keys (
  id uuid primary key,
  user_id uuid not null references users,
  -- sha256 of the key; the key itself is shown once and never stored.
  key_hash bytea not null unique,
  label text not null,
  roles text[] not null
    constraint api_key_roles_are_known check (
      cardinality(roles) > 0
      and roles <@ array['submitter', 'contract-admin', 'operator', 'finance', 'finance-approver', 'provider']
    ),
  expires_at timestamptz,
  revoked_at timestamptz,
  recorded_at timestamptz not null default clock_timestamp()
);

-- The ledger ------------------------------------------------------------------------------------------------------

-- What a batch locks, in ascending order: one row per owner of lots. Its id is the contract's or the user's.
create table pools (
  id uuid primary key,
  owner text not null constraint pool_owner_is_known check (owner in ('contract', 'user')),
  unique (id, owner)
);

-- Every contract and user has a pool from the start, so that whoever spends always finds something to lock.
create function open_pool() returns trigger
  language plpgsql as $$
begin
  insert into pools (id, owner) values (new.id, tg_argv[0]);
  return new;
end
$$;
create trigger contracts_open_a_pool after insert on contracts
  for each row execute function open_pool('contract');
create trigger users_open_a_pool after insert on users
  for each row execute function open_pool('user');

create table lots (
  id uuid primary key,
  pool_id uuid not null,
  pool_owner text not null,
  kind text not null constraint lot_kind_is_known check (kind in ('individual', 'shared', 'courtesy')),
  source text not null constraint lot_source_is_known check (source in ('purchase', 'allocation', 'courtesy', 'import')),
  reference text,
  granted bigint not null constraint lot_granted_is_in_range check (granted > 0 and granted <= 9000000000000000000),
  available bigint not null constraint lot_available_not_negative check (available >= 0),
  reserved bigint not null constraint lot_reserved_not_negative check (reserved >= 0),
  consumed bigint not null constraint lot_consumed_not_negative check (consumed >= 0),
  expired bigint not null constraint lot_expired_not_negative check (expired >= 0),
  withdrawn bigint not null constraint lot_withdrawn_not_negative check (withdrawn >= 0),
  purchased_at timestamptz,
  effective_at timestamptz not null,
  expires_at timestamptz,
  withdrawn_at timestamptz,
  ended_as text constraint lot_end_is_known check (ended_as in ('expired', 'withdrawn')),
  recorded_at timestamptz not null default clock_timestamp(),
  foreign key (pool_id, pool_owner) references pools (id, owner),
  -- R2: an individual lot lies in the pool of its user, every other lot in the pool of a contract.
  constraint lot_kind_fits_its_owner check ((kind = 'individual') = (pool_owner = 'user')),
  -- R3, R4: individual lots never expire, all others do.
  constraint lot_expiry_fits_its_kind check ((kind = 'individual') = (expires_at is null)),
  constraint lot_life_is_half_open check (expires_at is null or effective_at < expires_at),
  constraint lot_conserves_its_credits check (granted = available + reserved + consumed + expired + withdrawn),
  constraint lot_ended_has_nothing_available check (ended_as is null or available = 0)
) with (fillfactor = 50);
-- Those a batch loads: lots that can still pay, or that hold what a job reserved.
create index lots_open_by_pool on lots (pool_id) where available > 0 or reserved > 0;
create index lots_by_pool on lots (pool_id, id);

-- One row per operation carries the lots and amounts that it moved as arrays; `transfers` unnests them.
create table operations (
  id uuid primary key,
  kind text not null
    constraint operation_kind_is_known check (kind in ('grant', 'reserve', 'topUp', 'raiseCap', 'settle', 'release')),
  key text not null unique,
  -- sha256 of what was asked under the key, so that the key cannot be used for something else.
  request_hash bytea not null,
  job_id uuid,
  booked_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  actor text not null,
  reason text not null,
  lot_ids uuid[] not null,
  -- Two letters a transfer, from and to: g(ranted) a(vailable) r(eserved) c(onsumed) e(xpired) w(ithdrawn).
  moves text not null constraint operation_moves_are_known check (moves ~ '^(ga|ar|rc|ra|re|rw|ae|aw|ca|ce|cw)*$'),
  amounts bigint[] not null constraint operation_amounts_are_positive check (0 < all (amounts)),
  absorbed bigint not null default 0,
  constraint operation_arrays_match check (
    cardinality(lot_ids) = cardinality(amounts) and length(moves) = 2 * cardinality(lot_ids)
  ),
  constraint operation_absorbed_on_settlement_only check (absorbed >= 0 and (absorbed = 0 or kind = 'settle')),
  constraint operation_of_a_job_names_it check ((kind = 'grant') = (job_id is null))
);
create index operations_by_job on operations (job_id) where job_id is not null;

create function bucket_of(letter text) returns text
  language sql immutable strict parallel safe
  return case letter
    when 'g' then 'granted'
    when 'a' then 'available'
    when 'r' then 'reserved'
    when 'c' then 'consumed'
    when 'e' then 'expired'
    when 'w' then 'withdrawn'
  end;

create view transfers as
select
  o.id as operation_id,
  t.position,
  o.kind,
  o.key,
  o.job_id,
  t.lot_id,
  bucket_of(substr(o.moves, 2 * t.position::int - 1, 1)) as from_bucket,
  bucket_of(substr(o.moves, 2 * t.position::int, 1)) as to_bucket,
  t.amount,
  o.booked_at,
  o.recorded_at,
  o.actor,
  o.reason
from operations o
cross join lateral unnest(o.lot_ids, o.amounts) with ordinality as t (lot_id, amount, position);

create table reservations (
  job_id uuid primary key,
  user_id uuid not null,
  contract_id uuid,
  state text not null constraint reservation_state_is_known check (state in ('open', 'settled', 'released')),
  cap bigint not null constraint reservation_cap_not_negative check (cap >= 0),
  -- The slices held, one per lot; empty once closed.
  lot_ids uuid[] not null,
  amounts bigint[] not null constraint reservation_amounts_are_positive check (0 < all (amounts)),
  opened_at timestamptz not null,
  closed_at timestamptz,
  constraint reservation_arrays_match check (cardinality(lot_ids) = cardinality(amounts)),
  constraint reservation_open_has_no_closed_at check ((state = 'open') = (closed_at is null)),
  constraint reservation_closed_holds_nothing check (state = 'open' or cardinality(lot_ids) = 0)
) with (fillfactor = 50);
create index reservations_open on reservations (opened_at) where state = 'open';

-- Services, inputs, quotes ----------------------------------------------------------------------------------------

create table rate_cards (
  version int primary key,
  effective_at timestamptz not null,
  card jsonb not null,
  published_by text not null,
  recorded_at timestamptz not null default clock_timestamp()
);

create table inputs (
  digest text primary key constraint input_digest_is_sha256 check (digest ~ '^sha256:[0-9a-f]{64}$'),
  size bigint not null,
  recorded_at timestamptz not null default clock_timestamp()
);

-- Who uploaded a file may use it: knowing a digest is not enough.
create table input_uploads (
  digest text not null references inputs,
  user_id uuid not null references users,
  name text not null,
  media_type text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (digest, user_id)
);

create table quotes (
  id uuid primary key,
  user_id uuid not null references users,
  contract_id uuid references contracts,
  service text not null,
  input_digest text not null references inputs,
  parameters jsonb not null,
  dimensions jsonb not null,
  estimate jsonb not null,
  rate_card_version int not null references rate_cards,
  low bigint not null,
  expected bigint not null,
  high bigint not null,
  max_credits bigint not null,
  quoted_at timestamptz not null,
  valid_until timestamptz not null,
  constraint quote_scenarios_are_ordered check (0 <= low and low <= expected and expected <= high and high <= max_credits)
);

-- Jobs ------------------------------------------------------------------------------------------------------------

create table jobs (
  id uuid primary key,
  user_id uuid not null references users,
  contract_id uuid references contracts,
  service text not null,
  input_digest text not null references inputs,
  input_name text not null,
  parameters jsonb not null,
  dimensions jsonb not null,
  quote_id uuid references quotes,
  rate_card_version int not null references rate_cards,
  -- What is reserved at first and what may never be exceeded without consent.
  expected bigint not null,
  max_credits bigint not null,
  time_limit_seconds int not null,
  comment text not null default '',
  state text not null
    constraint job_state_is_known check (
      state in ('reserving', 'reserved', 'running', 'parked', 'settling', 'settled', 'rejected', 'released')
    ),
  -- A stable code for why the job is in its state, and a sentence for people.
  reason text,
  message text,
  progress int not null default 0 constraint job_progress_in_millionths check (progress between 0 and 1000000),
  -- Counts changes of the row, for listeners.
  revision bigint not null default 1,
  submitted_at timestamptz not null,
  ended_at timestamptz,
  constraint job_expected_within_its_cap check (0 <= expected and expected <= max_credits),
  constraint job_ended_has_ended_at check ((state in ('settled', 'rejected', 'released')) = (ended_at is not null))
) with (fillfactor = 50);
create index jobs_by_contract on jobs (contract_id, id);
create index jobs_by_user on jobs (user_id, id);
create index jobs_unfinished on jobs (id) where ended_at is null;

create table attempts (
  job_id uuid not null references jobs,
  number int not null,
  runner text not null,
  worker text not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  -- Null while running. `lost`: the platform lost it; its usage is metered and not charged.
  outcome text
    constraint attempt_outcome_is_known check (
      outcome in ('completed', 'stopped', 'input-failed', 'engine-failed', 'time-limit', 'lost')
    ),
  message text,
  primary key (job_id, number),
  constraint attempt_ended_has_an_outcome check ((ended_at is null) = (outcome is null))
);

create table usage_records (
  job_id uuid not null,
  attempt int not null,
  seq int not null,
  meter text not null,
  unit text not null,
  -- Millionths of the unit, used since the record before.
  quantity bigint not null constraint usage_quantity_is_positive check (quantity > 0),
  source text not null,
  measured_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (job_id, attempt, seq, meter),
  foreign key (job_id, attempt) references attempts (job_id, number)
);

create table job_events (
  job_id uuid not null,
  seq bigint generated always as identity,
  kind text not null,
  message text not null,
  data jsonb not null default '{}',
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (job_id, seq)
);

create table results (
  job_id uuid not null references jobs,
  attempt int not null,
  name text not null,
  digest text not null,
  size bigint not null,
  media_type text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (job_id, attempt, name)
);

create table charges (
  id uuid primary key,
  job_id uuid not null unique references jobs,
  user_id uuid not null,
  contract_id uuid,
  service text not null,
  rate_card_version int not null references rate_cards,
  job_end text not null,
  -- What the usage costs by the card, what was captured from lots, what the provider bears.
  rated bigint not null,
  charged bigint not null,
  absorbed bigint not null,
  max_credits bigint not null,
  dossier jsonb not null,
  booked_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint charge_never_above_its_cap check (0 <= charged and charged <= max_credits and absorbed >= 0)
);
create index charges_by_contract on charges (contract_id, id);
create index charges_by_user on charges (user_id, id);

-- Requests --------------------------------------------------------------------------------------------------------

-- A write claims its key first; the resource id made then is used by every repeat, so that a repeat after a crash
-- does the same thing again instead of a second thing.
create table idempotency_keys (
  user_id uuid not null references users,
  key text not null,
  request_hash bytea not null,
  resource_id uuid not null,
  claimed_at timestamptz not null,
  status int,
  response jsonb,
  primary key (user_id, key)
);

-- Facts are appended and never changed ----------------------------------------------------------------------------

create function refuse_change() returns trigger
  language plpgsql as $$
begin
  raise exception '% is append-only: % is refused', tg_table_name, tg_op using errcode = 'HF001';
end
$$;

create trigger operations_are_append_only before update or delete or truncate on operations
  for each statement execute function refuse_change();
create trigger usage_records_are_append_only before update or delete or truncate on usage_records
  for each statement execute function refuse_change();
create trigger charges_are_append_only before update or delete or truncate on charges
  for each statement execute function refuse_change();
create trigger rate_cards_are_append_only before update or delete or truncate on rate_cards
  for each statement execute function refuse_change();
create trigger job_events_are_append_only before update or delete or truncate on job_events
  for each statement execute function refuse_change();
create trigger quotes_are_append_only before update or delete or truncate on quotes
  for each statement execute function refuse_change();
create trigger lots_are_never_deleted before delete or truncate on lots
  for each statement execute function refuse_change();
create trigger reservations_are_never_deleted before delete or truncate on reservations
  for each statement execute function refuse_change();

-- R2: what a lot is and whose it is never changes; only its buckets and the end of its life do.
create function refuse_new_owner() returns trigger
  language plpgsql as $$
begin
  if (new.id, new.pool_id, new.pool_owner, new.kind, new.source, new.granted, new.purchased_at, new.effective_at)
    is distinct from
    (old.id, old.pool_id, old.pool_owner, old.kind, old.source, old.granted, old.purchased_at, old.effective_at)
  then
    raise exception 'lot % keeps its owner, kind and origin', old.id using errcode = 'HF002';
  end if;
  return new;
end
$$;
create trigger lots_keep_their_owner before update on lots
  for each row execute function refuse_new_owner();

-- A reservation's job and spender never change, and a closed one stays closed.
create function refuse_reopening() returns trigger
  language plpgsql as $$
begin
  if old.state <> 'open' or (new.job_id, new.user_id, new.contract_id) is distinct from (old.job_id, old.user_id, old.contract_id) then
    raise exception 'reservation of job % is closed or belongs to another spender', old.job_id using errcode = 'HF003';
  end if;
  return new;
end
$$;
create trigger reservations_close_once before update on reservations
  for each row execute function refuse_reopening();
