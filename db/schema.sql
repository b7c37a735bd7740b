-- The schema after all migrations, as Postgres's catalogs tell it: for reading and for comparing, not for running.
-- Written by "npm run schema".

-- Sequences -----------------------------------------------------------------------------------------------------------

create sequence batch_ids as bigint start 1 increment 1;

-- Tables --------------------------------------------------------------------------------------------------------------

create table allocation_rules (
  version integer not null,
  effective_at timestamp with time zone not null,
  rules jsonb not null,
  request_id uuid,
  published_by text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint allocation_rules_are_numbered CHECK ((version > 0)),
  constraint allocation_rules_pkey PRIMARY KEY (version),
  constraint allocation_rules_request_id_key UNIQUE (request_id)
);

create table allocations (
  key text not null,
  contract_id uuid not null,
  user_id uuid,
  pool_id uuid not null,
  kind text not null,
  rule_key text not null,
  version integer not null,
  lot_id uuid not null,
  amount bigint not null,
  at timestamp with time zone not null,
  expires_at timestamp with time zone,
  grace_until timestamp with time zone,
  because text not null,
  actor text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint allocation_is_positive CHECK ((amount > 0)),
  constraint allocation_key_is_short CHECK (((length(key) >= 1) AND (length(key) <= 300))),
  constraint allocation_kind_fits_its_owner CHECK ((((kind = 'individual'::text) AND (user_id IS NOT NULL) AND (pool_id = user_id)) OR ((kind = 'shared'::text) AND (pool_id = contract_id)))),
  constraint individual_allocation_never_expires CHECK (((kind = 'individual'::text) = (expires_at IS NULL))),
  constraint allocations_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint allocations_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id),
  constraint allocations_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint allocations_version_fkey FOREIGN KEY (version) REFERENCES allocation_rules(version),
  constraint allocations_pkey PRIMARY KEY (key),
  constraint allocations_lot_id_key UNIQUE (lot_id)
);

create table api_keys (
  id uuid not null,
  user_id uuid not null,
  key_hash bytea not null,
  label text not null,
  roles text[] not null,
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint api_key_roles_are_known CHECK (((cardinality(roles) > 0) AND (roles <@ ARRAY['submitter'::text, 'contract-admin'::text, 'operator'::text, 'finance'::text, 'finance-approver'::text, 'provider'::text, 'compute'::text]))),
  constraint api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint api_keys_pkey PRIMARY KEY (id),
  constraint api_keys_key_hash_key UNIQUE (key_hash)
);

create table attempts (
  job_id uuid not null,
  number integer not null,
  runner text not null,
  worker text not null,
  started_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  outcome text,
  message text,
  run integer not null default 1,
  progress integer not null default 0,
  constraint attempt_ended_has_an_outcome CHECK (((ended_at IS NULL) = (outcome IS NULL))),
  constraint attempt_outcome_is_known CHECK ((outcome = ANY (ARRAY['completed'::text, 'stopped'::text, 'input-failed'::text, 'engine-failed'::text, 'time-limit'::text, 'lost'::text]))),
  constraint attempt_progress_is_a_part CHECK (((progress >= 0) AND (progress <= 1000000))),
  constraint attempt_run_counts_from_one CHECK ((run >= 1)),
  constraint attempts_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs(id),
  constraint attempts_pkey PRIMARY KEY (job_id, number)
);

create table balance_states (
  user_id uuid not null,
  pool_id uuid not null,
  is_low boolean not null,
  number integer not null,
  changed_at timestamp with time zone not null,
  constraint balance_states_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id),
  constraint balance_states_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint balance_states_pkey PRIMARY KEY (user_id, pool_id)
);

create table balance_thresholds (
  user_id uuid not null,
  pool_id uuid not null,
  threshold bigint,
  constraint balance_threshold_is_in_range CHECK (((threshold >= 0) AND (threshold <= '9000000000000000000'::bigint))),
  constraint balance_thresholds_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES pools(id),
  constraint balance_thresholds_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint balance_thresholds_pkey PRIMARY KEY (user_id, pool_id)
);

create table batches (
  id bigint not null,
  recorded_at timestamp with time zone not null,
  digest bytea not null,
  constraint batch_digest_is_sha256 CHECK ((length(digest) = 32)),
  constraint batches_pkey PRIMARY KEY (id)
);

create table budget_periods (
  budget_id uuid not null,
  starts_at timestamp with time zone not null,
  ends_at timestamp with time zone not null,
  reserved bigint not null,
  charged bigint not null,
  constraint budget_charged_not_negative CHECK ((charged >= 0)),
  constraint budget_period_is_half_open CHECK ((starts_at < ends_at)),
  constraint budget_reserved_not_negative CHECK ((reserved >= 0)),
  constraint budget_periods_budget_id_fkey FOREIGN KEY (budget_id) REFERENCES budgets(id),
  constraint budget_periods_pkey PRIMARY KEY (budget_id, starts_at)
) with (fillfactor=50);

create table budgets (
  id uuid not null,
  contract_id uuid not null,
  user_id uuid,
  project text,
  period text not null,
  amount bigint not null,
  warn_percent integer,
  refuse_percent integer,
  closed_at timestamp with time zone,
  constraint budget_amount_is_in_range CHECK (((amount >= 0) AND (amount <= '9000000000000000000'::bigint))),
  constraint budget_is_for_a_user_or_a_project CHECK ((num_nonnulls(user_id, project) = 1)),
  constraint budget_period_is_known CHECK ((period = ANY (ARRAY['day'::text, 'month'::text, 'quarter'::text, 'year'::text, 'total'::text]))),
  constraint budget_project_is_short CHECK (((length(project) >= 1) AND (length(project) <= 100))),
  constraint budget_refusal_is_in_range CHECK (((refuse_percent >= 1) AND (refuse_percent <= 1000))),
  constraint budget_warning_is_in_range CHECK (((warn_percent >= 1) AND (warn_percent <= 1000))),
  constraint budgets_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint budgets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint budgets_pkey PRIMARY KEY (id)
);

create table charges (
  id uuid not null,
  job_id uuid not null,
  user_id uuid not null,
  contract_id uuid,
  service text not null,
  rate_card_version integer not null,
  job_end text not null,
  rated bigint not null,
  charged bigint not null,
  absorbed bigint not null,
  max_credits bigint not null,
  dossier jsonb not null,
  booked_at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint charge_never_above_its_cap CHECK (((0 <= charged) AND (charged <= max_credits) AND (absorbed >= 0))),
  constraint charges_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs(id),
  constraint charges_rate_card_version_fkey FOREIGN KEY (rate_card_version) REFERENCES rate_cards(version),
  constraint charges_pkey PRIMARY KEY (id),
  constraint charges_job_id_key UNIQUE (job_id)
);

create table compute_offers (
  worker text not null,
  runner text not null,
  engine text not null,
  offered_at timestamp with time zone not null,
  constraint compute_offers_pkey PRIMARY KEY (worker, runner, engine)
);

create table contract_bookings (
  contract_id uuid not null,
  key text not null,
  act text not null,
  at timestamp with time zone not null,
  told integer not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint contract_bookings_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint contract_bookings_pkey PRIMARY KEY (contract_id, key)
);

create table contract_changes (
  contract_id uuid not null,
  number integer not null,
  request_id text not null,
  kind text not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  actor text not null,
  reason text not null,
  request jsonb not null,
  state jsonb not null,
  constraint contract_change_is_numbered CHECK ((number > 0)),
  constraint contract_request_is_short CHECK (((length(request_id) >= 1) AND (length(request_id) <= 200))),
  constraint contract_changes_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint contract_changes_pkey PRIMARY KEY (contract_id, number),
  constraint contract_changes_contract_id_request_id_key UNIQUE (contract_id, request_id)
);

create table contract_users (
  contract_id uuid not null,
  user_id uuid not null,
  role text not null,
  authorised_at timestamp with time zone not null,
  removed_at timestamp with time zone,
  request_id uuid,
  removal_request_id uuid,
  constraint authorisation_is_half_open CHECK (((removed_at IS NULL) OR (authorised_at <= removed_at))),
  constraint contract_role_is_known CHECK ((role = ANY (ARRAY['submitter'::text, 'contract-admin'::text]))),
  constraint contract_users_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint contract_users_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint contract_users_pkey PRIMARY KEY (contract_id, user_id, authorised_at)
);

create table contract_watches (
  contract_id uuid not null,
  booked_through timestamp with time zone not null,
  next_at timestamp with time zone,
  constraint contract_watches_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint contract_watches_pkey PRIMARY KEY (contract_id)
);

create table contracts (
  id uuid not null,
  customer_id uuid not null,
  name text not null,
  starts_at timestamp with time zone not null,
  ends_at timestamp with time zone not null,
  time_zone text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  suspended_at timestamp with time zone,
  terms jsonb not null default '[]'::jsonb,
  products jsonb not null default '[]'::jsonb,
  renewal text not null default 'manual'::text,
  renewal_months integer not null default 12,
  grace_days integer not null default 0,
  terminates_at timestamp with time zone,
  activated_at timestamp with time zone,
  closed_at timestamp with time zone,
  version integer not null default 0,
  constraint contract_ends_with_its_termination CHECK (((terminates_at IS NULL) OR (ends_at = terminates_at))),
  constraint contract_grace_is_in_range CHECK (((grace_days >= 0) AND (grace_days <= 366))),
  constraint contract_life_is_half_open CHECK ((starts_at < ends_at)),
  constraint contract_renewal_is_in_range CHECK (((renewal_months >= 1) AND (renewal_months <= 120))),
  constraint contract_renewal_is_known CHECK ((renewal = ANY (ARRAY['manual'::text, 'automatic'::text]))),
  constraint contracts_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id),
  constraint contracts_pkey PRIMARY KEY (id),
  constraint contract_keeps_its_customer UNIQUE (id, customer_id)
);

create table customers (
  id uuid not null,
  name text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint customers_pkey PRIMARY KEY (id)
);

create table digest_entries (
  user_id uuid not null,
  key text not null,
  kind text not null,
  facts jsonb not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  closed_at timestamp with time zone,
  notice_id uuid,
  constraint digest_entry_told_is_closed CHECK (((notice_id IS NULL) OR (closed_at IS NOT NULL))),
  constraint digest_key_is_short CHECK (((length(key) >= 1) AND (length(key) <= 300))),
  constraint digest_entries_notice_id_fkey FOREIGN KEY (notice_id) REFERENCES notices(id),
  constraint digest_entries_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint digest_entries_pkey PRIMARY KEY (user_id, key)
);

create table external_results (
  job_id uuid not null,
  attempt integer not null,
  name text not null,
  digest text not null,
  size bigint not null,
  media_type text not null,
  constraint external_results_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES external_runs(job_id, attempt),
  constraint external_results_pkey PRIMARY KEY (job_id, attempt, name)
);

create table external_runs (
  job_id uuid not null,
  attempt integer not null,
  engine text not null,
  parameters jsonb not null,
  time_limit_ms bigint not null,
  memory_bytes_max bigint not null,
  offered_at timestamp with time zone not null,
  token_hash bytea,
  agent text,
  claimed_at timestamp with time zone,
  wants text not null default 'run'::text,
  is_suspended boolean not null default false,
  seq integer not null default 0,
  fraction double precision not null default 0,
  counters jsonb not null default '{}'::jsonb,
  cpu_seconds double precision not null default 0,
  peak_memory_bytes bigint not null default 0,
  heard_at timestamp with time zone,
  end_kind text,
  message text,
  log text not null default ''::text,
  statistics jsonb,
  ended_at timestamp with time zone,
  closed_at timestamp with time zone,
  constraint external_run_claimed_has_a_token CHECK ((num_nulls(token_hash, agent, claimed_at) = ANY (ARRAY[0, 3]))),
  constraint external_run_end_is_known CHECK ((end_kind = ANY (ARRAY['completed'::text, 'stopped'::text, 'input-failed'::text, 'engine-failed'::text]))),
  constraint external_run_ended_has_a_kind CHECK (((ended_at IS NULL) = (end_kind IS NULL))),
  constraint external_run_wish_is_known CHECK ((wants = ANY (ARRAY['run'::text, 'suspend'::text, 'stop'::text]))),
  constraint external_runs_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES attempts(job_id, number),
  constraint external_runs_pkey PRIMARY KEY (job_id, attempt),
  constraint external_runs_token_hash_key UNIQUE (token_hash)
);

create table idempotency_keys (
  user_id uuid not null,
  key text not null,
  request_hash bytea not null,
  resource_id uuid not null,
  claimed_at timestamp with time zone not null,
  status integer,
  response jsonb,
  constraint idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint idempotency_keys_pkey PRIMARY KEY (user_id, key)
);

create table imports (
  lot_id uuid not null,
  received_at timestamp with time zone not null,
  constraint imports_pkey PRIMARY KEY (lot_id)
);

create table input_uploads (
  digest text not null,
  user_id uuid not null,
  name text not null,
  media_type text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint input_uploads_digest_fkey FOREIGN KEY (digest) REFERENCES inputs(digest),
  constraint input_uploads_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint input_uploads_pkey PRIMARY KEY (digest, user_id)
);

create table inputs (
  digest text not null,
  size bigint not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint input_digest_is_sha256 CHECK ((digest ~ '^sha256:[0-9a-f]{64}$'::text)),
  constraint inputs_pkey PRIMARY KEY (digest)
);

create table job_events (
  job_id uuid not null,
  seq bigint not null generated always as identity,
  kind text not null,
  message text not null,
  data jsonb not null default '{}'::jsonb,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint job_events_pkey PRIMARY KEY (job_id, seq)
);

create table jobs (
  id uuid not null,
  user_id uuid not null,
  contract_id uuid,
  service text not null,
  input_digest text not null,
  input_name text not null,
  parameters jsonb not null,
  dimensions jsonb not null,
  quote_id uuid,
  rate_card_version integer not null,
  expected bigint not null,
  max_credits bigint not null,
  time_limit_seconds integer not null,
  comment text not null default ''::text,
  state text not null,
  reason text,
  message text,
  progress integer not null default 0,
  revision bigint not null default 1,
  submitted_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  project text,
  runner text,
  engine text,
  runs integer not null default 1,
  constraint job_ended_has_ended_at CHECK (((state = ANY (ARRAY['settled'::text, 'rejected'::text, 'released'::text])) = (ended_at IS NOT NULL))),
  constraint job_expected_within_its_cap CHECK (((0 <= expected) AND (expected <= max_credits))),
  constraint job_has_a_run CHECK ((runs >= 1)),
  constraint job_progress_in_millionths CHECK (((progress >= 0) AND (progress <= 1000000))),
  constraint job_project_is_short CHECK (((length(project) >= 1) AND (length(project) <= 100))),
  constraint job_route_is_whole CHECK (((runner IS NULL) = (engine IS NULL))),
  constraint job_state_is_known CHECK ((state = ANY (ARRAY['reserving'::text, 'reserved'::text, 'running'::text, 'parked'::text, 'settling'::text, 'settled'::text, 'rejected'::text, 'released'::text]))),
  constraint jobs_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint jobs_input_digest_fkey FOREIGN KEY (input_digest) REFERENCES inputs(digest),
  constraint jobs_quote_id_fkey FOREIGN KEY (quote_id) REFERENCES quotes(id),
  constraint jobs_rate_card_version_fkey FOREIGN KEY (rate_card_version) REFERENCES rate_cards(version),
  constraint jobs_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint jobs_pkey PRIMARY KEY (id)
) with (fillfactor=50);

create table links (
  pool_id uuid not null,
  seq bigint not null,
  batch_id bigint not null,
  head bytea not null,
  booked_max timestamp with time zone not null,
  recorded_at timestamp with time zone not null,
  constraint link_head_is_sha256 CHECK ((length(head) = 32)),
  constraint link_seq_counts_from_one CHECK ((seq > 0)),
  constraint links_pkey PRIMARY KEY (pool_id, seq)
);

create table lots (
  id uuid not null,
  pool_id uuid not null,
  pool_owner text not null,
  kind text not null,
  source text not null,
  reference text,
  granted bigint not null,
  available bigint not null,
  reserved bigint not null,
  consumed bigint not null,
  expired bigint not null,
  withdrawn bigint not null,
  purchased_at timestamp with time zone,
  effective_at timestamp with time zone not null,
  expires_at timestamp with time zone,
  withdrawn_at timestamp with time zone,
  ended_as text,
  advance boolean not null default false,
  grace_until timestamp with time zone,
  constraint lot_advance_is_courtesy CHECK (((NOT advance) OR (kind = 'courtesy'::text))),
  constraint lot_available_not_negative CHECK ((available >= 0)),
  constraint lot_conserves_its_credits CHECK ((granted = ((((available + reserved) + consumed) + expired) + withdrawn))),
  constraint lot_consumed_not_negative CHECK ((consumed >= 0)),
  constraint lot_end_is_known CHECK ((ended_as = ANY (ARRAY['expired'::text, 'withdrawn'::text]))),
  constraint lot_ended_has_nothing_available CHECK (((ended_as IS NULL) OR (available = 0))),
  constraint lot_expired_not_negative CHECK ((expired >= 0)),
  constraint lot_expiry_fits_its_kind CHECK (((kind = 'individual'::text) = (expires_at IS NULL))),
  constraint lot_grace_follows_a_shared_expiry CHECK (((grace_until IS NULL) OR ((kind = 'shared'::text) AND (expires_at IS NOT NULL) AND (expires_at < grace_until)))),
  constraint lot_granted_is_in_range CHECK (((granted > 0) AND (granted <= '9000000000000000000'::bigint))),
  constraint lot_kind_fits_its_owner CHECK (((kind = 'individual'::text) = (pool_owner = 'user'::text))),
  constraint lot_kind_is_known CHECK ((kind = ANY (ARRAY['individual'::text, 'shared'::text, 'courtesy'::text]))),
  constraint lot_life_is_half_open CHECK (((expires_at IS NULL) OR (effective_at < expires_at))),
  constraint lot_reserved_not_negative CHECK ((reserved >= 0)),
  constraint lot_source_is_known CHECK ((source = ANY (ARRAY['purchase'::text, 'allocation'::text, 'courtesy'::text, 'import'::text]))),
  constraint lot_withdrawn_not_negative CHECK ((withdrawn >= 0)),
  constraint lots_pool_id_pool_owner_fkey FOREIGN KEY (pool_id, pool_owner) REFERENCES pools(id, owner),
  constraint lots_pkey PRIMARY KEY (id)
) with (fillfactor=50);

create table meter_disagreements (
  job_id uuid not null,
  attempt integer not null,
  counter text not null,
  counted bigint not null,
  stated bigint not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint meters_that_disagree_differ CHECK ((counted <> stated)),
  constraint meter_disagreements_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES attempts(job_id, number),
  constraint meter_disagreements_pkey PRIMARY KEY (job_id, attempt, counter)
);

create table migrations (
  name text not null,
  sha256 text not null,
  applied_at timestamp with time zone not null default clock_timestamp(),
  constraint migrations_pkey PRIMARY KEY (name)
);

create table moves (
  move text not null,
  available integer not null,
  reserved integer not null,
  consumed integer not null,
  expired integer not null,
  withdrawn integer not null,
  constraint moves_pkey PRIMARY KEY (move)
);

create table notice_attempts (
  notice_id uuid not null,
  number integer not null,
  channel text not null,
  recipients text[] not null,
  message_id text,
  language text not null,
  subject text not null,
  body text not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint notice_attempt_is_numbered CHECK ((number > 0)),
  constraint notice_channel_is_known CHECK ((channel = ANY (ARRAY['mail'::text, 'administrator'::text, 'in-service'::text]))),
  constraint notice_message_id_is_of_mail CHECK (((channel = 'mail'::text) = (message_id IS NOT NULL))),
  constraint notice_attempts_notice_id_fkey FOREIGN KEY (notice_id) REFERENCES notices(id),
  constraint notice_attempts_pkey PRIMARY KEY (notice_id, number)
);

create table notice_bounces (
  notice_id uuid not null,
  message_id text not null,
  reason text not null,
  actor text not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint notice_bounces_notice_id_fkey FOREIGN KEY (notice_id) REFERENCES notices(id),
  constraint notice_bounces_pkey PRIMARY KEY (notice_id)
);

create table notice_deliveries (
  notice_id uuid not null,
  user_id uuid not null,
  kind text not null,
  state text not null,
  next_at timestamp with time zone,
  constraint notice_delivery_state_is_known CHECK ((state = ANY (ARRAY['waiting'::text, 'delivered'::text, 'undeliverable'::text]))),
  constraint notice_delivery_waits_for_an_instant CHECK (((state = 'waiting'::text) = (next_at IS NOT NULL))),
  constraint notice_deliveries_notice_id_fkey FOREIGN KEY (notice_id) REFERENCES notices(id),
  constraint notice_deliveries_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint notice_deliveries_pkey PRIMARY KEY (notice_id)
);

create table notice_preferences (
  user_id uuid not null,
  digests boolean not null default true,
  muted text[] not null default '{}'::text[],
  changed_at timestamp with time zone not null,
  constraint notice_preferences_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint notice_preferences_pkey PRIMARY KEY (user_id)
);

create table notice_reads (
  notice_id uuid not null,
  user_id uuid not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint notice_reads_notice_id_fkey FOREIGN KEY (notice_id) REFERENCES notices(id),
  constraint notice_reads_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint notice_reads_pkey PRIMARY KEY (notice_id, user_id)
);

create table notice_results (
  notice_id uuid not null,
  number integer not null,
  is_known boolean not null default (kind <> 'unknown'::text),
  kind text not null,
  answer text not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint notice_result_is_known CHECK ((kind = ANY (ARRAY['delivered'::text, 'deferred'::text, 'failed'::text, 'unknown'::text]))),
  constraint notice_results_notice_id_number_fkey FOREIGN KEY (notice_id, number) REFERENCES notice_attempts(notice_id, number),
  constraint notice_results_pkey PRIMARY KEY (notice_id, number, is_known)
);

create table notice_showings (
  "position" bigint not null generated always as identity,
  notice_id uuid not null,
  number integer not null,
  user_id uuid not null,
  subject text not null,
  body text not null,
  at timestamp with time zone not null,
  constraint notice_showings_notice_id_number_fkey FOREIGN KEY (notice_id, number) REFERENCES notice_attempts(notice_id, number),
  constraint notice_showings_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint notice_showings_pkey PRIMARY KEY ("position"),
  constraint notice_showings_notice_id_number_user_id_key UNIQUE (notice_id, number, user_id)
);

create table notices (
  id uuid not null,
  user_id uuid not null,
  kind text not null,
  subject_id uuid,
  facts jsonb not null,
  required boolean not null,
  digest_day date,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint notice_kind_is_known CHECK ((kind = ANY (ARRAY['withdrawal'::text, 'withdrawal-reminder'::text, 'withdrawal-rescinded'::text, 'withdrawal-final'::text, 'digest'::text]))),
  constraint notice_of_a_day_is_a_digest CHECK (((kind = 'digest'::text) = (digest_day IS NOT NULL))),
  constraint notices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint notices_pkey PRIMARY KEY (id),
  constraint one_digest_per_person_and_day UNIQUE (user_id, digest_day)
);

create table operations (
  batch_id bigint not null,
  booked_at timestamp with time zone not null,
  absorbed bigint,
  cap bigint,
  effective_at timestamp with time zone,
  expires_at timestamp with time zone,
  withdrawn_at timestamp with time zone,
  "position" integer not null,
  subject uuid not null,
  refers_to uuid,
  user_id uuid,
  contract_id uuid,
  kind text not null,
  act text not null,
  actor text not null,
  reason text not null,
  moves text not null,
  lot_ids uuid[] not null,
  amounts bigint[] not null,
  project text,
  request_hash bytea,
  grace_until timestamp with time zone,
  constraint operation_cap_not_negative CHECK ((cap >= 0))
);

create table packs (
  code text not null,
  title text not null,
  amount bigint not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint pack_code_is_short CHECK (((length(code) >= 1) AND (length(code) <= 60))),
  constraint pack_holds_credits CHECK ((amount > 0)),
  constraint packs_pkey PRIMARY KEY (code)
);

create table pools (
  id uuid not null,
  owner text not null,
  seq bigint not null default 0,
  head bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000'::bytea,
  booked_max timestamp with time zone,
  recorded_at timestamp with time zone,
  digest bytea,
  terms bigint not null default 0,
  constraint pool_owner_is_known CHECK ((owner = ANY (ARRAY['contract'::text, 'user'::text]))),
  constraint pools_pkey PRIMARY KEY (id),
  constraint pools_id_owner_key UNIQUE (id, owner)
) with (fillfactor=50);

create table purchases (
  id uuid not null,
  order_number text not null,
  customer_id uuid not null,
  pack text,
  quantity integer,
  amount bigint not null,
  price_minor bigint,
  currency text,
  purchased_at timestamp with time zone not null,
  request jsonb not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  actor text not null,
  contract_id uuid,
  lot_id uuid,
  allocated_at timestamp with time zone,
  allocated_by text,
  expires_at timestamp with time zone,
  grace_until timestamp with time zone,
  constraint purchase_amount_is_in_range CHECK (((amount > 0) AND (amount <= '9000000000000000000'::bigint))),
  constraint purchase_currency_is_a_code CHECK ((currency ~ '^[A-Z]{3}$'::text)),
  constraint purchase_grace_follows_its_expiry CHECK (((grace_until IS NULL) OR ((expires_at IS NOT NULL) AND (expires_at < grace_until)))),
  constraint purchase_is_allocated_as_a_whole CHECK ((num_nulls(contract_id, lot_id, allocated_at, allocated_by, expires_at) = ANY (ARRAY[0, 5]))),
  constraint purchase_is_allocated_within_its_life CHECK (((allocated_at IS NULL) OR ((purchased_at <= allocated_at) AND (allocated_at < expires_at)))),
  constraint purchase_of_a_pack_counts_it CHECK (((pack IS NULL) = (quantity IS NULL))),
  constraint purchase_order_is_short CHECK (((length(order_number) >= 1) AND (length(order_number) <= 200))),
  constraint purchase_price_has_a_currency CHECK (((price_minor IS NULL) = (currency IS NULL))),
  constraint purchase_price_not_negative CHECK ((price_minor >= 0)),
  constraint purchase_quantity_is_in_range CHECK (((quantity >= 1) AND (quantity <= 1000000))),
  constraint purchases_contract_id_customer_id_fkey FOREIGN KEY (contract_id, customer_id) REFERENCES contracts(id, customer_id),
  constraint purchases_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id),
  constraint purchases_pack_fkey FOREIGN KEY (pack) REFERENCES packs(code),
  constraint purchases_pkey PRIMARY KEY (id),
  constraint purchases_lot_id_key UNIQUE (lot_id),
  constraint purchases_order_number_key UNIQUE (order_number)
);

create table quotes (
  id uuid not null,
  user_id uuid not null,
  contract_id uuid,
  service text not null,
  input_digest text not null,
  parameters jsonb not null,
  dimensions jsonb not null,
  estimate jsonb not null,
  rate_card_version integer not null,
  low bigint not null,
  expected bigint not null,
  high bigint not null,
  max_credits bigint not null,
  quoted_at timestamp with time zone not null,
  valid_until timestamp with time zone not null,
  facts jsonb,
  constraint quote_scenarios_are_ordered CHECK (((0 <= low) AND (low <= expected) AND (expected <= high) AND (high <= max_credits))),
  constraint quotes_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint quotes_input_digest_fkey FOREIGN KEY (input_digest) REFERENCES inputs(digest),
  constraint quotes_rate_card_version_fkey FOREIGN KEY (rate_card_version) REFERENCES rate_cards(version),
  constraint quotes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint quotes_pkey PRIMARY KEY (id)
);

create table rate_card_drafts (
  id uuid not null,
  title text not null,
  effective_at timestamp with time zone,
  services jsonb not null,
  revision integer not null default 1,
  created_by text not null,
  created_at timestamp with time zone not null,
  changed_by text not null,
  changed_at timestamp with time zone not null,
  published_version integer,
  publish_request_id uuid,
  constraint rate_card_draft_is_published_by_a_request CHECK (((published_version IS NULL) = (publish_request_id IS NULL))),
  constraint rate_card_draft_revision_is_positive CHECK ((revision > 0)),
  constraint rate_card_drafts_published_version_fkey FOREIGN KEY (published_version) REFERENCES rate_cards(version),
  constraint rate_card_drafts_pkey PRIMARY KEY (id),
  constraint rate_card_drafts_publish_request_id_key UNIQUE (publish_request_id),
  constraint rate_card_drafts_published_version_key UNIQUE (published_version)
);

create table rate_cards (
  version integer not null,
  effective_at timestamp with time zone not null,
  card jsonb not null,
  published_by text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint rate_cards_pkey PRIMARY KEY (version)
);

create table refund_rejections (
  request_id uuid not null,
  reason text not null,
  rejected_by uuid not null,
  rejected_at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint refund_rejections_rejected_by_fkey FOREIGN KEY (rejected_by) REFERENCES users(id),
  constraint refund_rejections_request_id_fkey FOREIGN KEY (request_id) REFERENCES refund_requests(id),
  constraint refund_rejections_pkey PRIMARY KEY (request_id)
);

create table refund_requests (
  id uuid not null,
  charge_id uuid not null,
  job_id uuid not null,
  amount bigint,
  actual bigint,
  reason text not null,
  requested_by uuid not null,
  requested_at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint refund_request_actual_not_negative CHECK ((actual >= 0)),
  constraint refund_request_amount_is_positive CHECK ((amount > 0)),
  constraint refund_request_asks_for_one_thing CHECK ((num_nonnulls(amount, actual) = 1)),
  constraint refund_requests_charge_id_fkey FOREIGN KEY (charge_id) REFERENCES charges(id),
  constraint refund_requests_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs(id),
  constraint refund_requests_requested_by_fkey FOREIGN KEY (requested_by) REFERENCES users(id),
  constraint refund_requests_pkey PRIMARY KEY (id)
);

create table results (
  job_id uuid not null,
  attempt integer not null,
  name text not null,
  digest text not null,
  size bigint not null,
  media_type text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint results_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs(id),
  constraint results_pkey PRIMARY KEY (job_id, attempt, name)
);

create table sessions (
  job_id uuid not null,
  user_id uuid not null,
  contract_id uuid,
  design text not null,
  is_administrator boolean not null,
  opened_at timestamp with time zone not null,
  active_at timestamp with time zone not null,
  left_at timestamp with time zone,
  closed_at timestamp with time zone,
  closed_for text,
  warned_for timestamp with time zone,
  choices jsonb not null default '{}'::jsonb,
  ended_at timestamp with time zone,
  ended_for text,
  constraint session_closed_has_a_reason CHECK (((closed_at IS NULL) = (closed_for IS NULL))),
  constraint session_ended_has_a_reason CHECK (((ended_at IS NULL) = (ended_for IS NULL))),
  constraint session_was_active_while_open CHECK ((active_at >= opened_at)),
  constraint sessions_contract_id_fkey FOREIGN KEY (contract_id) REFERENCES contracts(id),
  constraint sessions_design_fkey FOREIGN KEY (design) REFERENCES inputs(digest),
  constraint sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint sessions_pkey PRIMARY KEY (job_id)
);

create table unsubscribe_tokens (
  token_hash bytea not null,
  user_id uuid not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint unsubscribe_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint unsubscribe_tokens_pkey PRIMARY KEY (token_hash)
);

create table usage_records (
  job_id uuid not null,
  attempt integer not null,
  seq integer not null,
  meter text not null,
  unit text not null,
  quantity bigint not null,
  source text not null,
  measured_at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint usage_quantity_is_positive CHECK ((quantity > 0)),
  constraint usage_records_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES attempts(job_id, number),
  constraint usage_records_pkey PRIMARY KEY (job_id, attempt, seq, meter)
);

create table users (
  id uuid not null,
  customer_id uuid,
  name text not null,
  email text not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  language text not null default 'en'::text,
  time_zone text not null default 'UTC'::text,
  constraint user_language_is_shipped CHECK ((language = ANY (ARRAY['en'::text, 'de'::text]))),
  constraint users_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id),
  constraint users_pkey PRIMARY KEY (id),
  constraint users_email_key UNIQUE (email)
);

create table withdrawal_lots (
  withdrawal_id uuid not null,
  user_id uuid not null,
  lot_id uuid not null,
  available bigint not null,
  reserved bigint not null,
  constraint withdrawal_lot_available_not_negative CHECK ((available >= 0)),
  constraint withdrawal_lot_reserved_not_negative CHECK ((reserved >= 0)),
  constraint withdrawal_lots_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES lots(id),
  constraint withdrawal_lots_withdrawal_id_user_id_fkey FOREIGN KEY (withdrawal_id, user_id) REFERENCES withdrawal_users(withdrawal_id, user_id),
  constraint withdrawal_lots_pkey PRIMARY KEY (withdrawal_id, user_id, lot_id)
);

create table withdrawal_requests (
  withdrawal_id uuid not null,
  request_id text not null,
  kind text not null,
  users jsonb not null,
  actor text not null,
  reason text not null,
  at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint withdrawal_request_is_known CHECK ((kind = ANY (ARRAY['rescind'::text, 'retry'::text]))),
  constraint withdrawal_request_is_short CHECK (((length(request_id) >= 1) AND (length(request_id) <= 200))),
  constraint withdrawal_requests_withdrawal_id_fkey FOREIGN KEY (withdrawal_id) REFERENCES withdrawals(id),
  constraint withdrawal_requests_pkey PRIMARY KEY (withdrawal_id, request_id)
);

create table withdrawal_users (
  withdrawal_id uuid not null,
  user_id uuid not null,
  page integer not null,
  state text not null,
  changed_at timestamp with time zone not null,
  next_at timestamp with time zone,
  delivered_at timestamp with time zone,
  channel text,
  withdraws_at timestamp with time zone,
  reminded integer,
  told_at timestamp with time zone,
  round integer not null default 1,
  failure text,
  constraint withdrawal_comes_90_days_after_delivery CHECK (((withdraws_at - delivered_at) = '2160:00:00'::interval)),
  constraint withdrawal_delivery_is_whole CHECK ((num_nulls(delivered_at, channel, withdraws_at) = ANY (ARRAY[0, 3]))),
  constraint withdrawal_noticed_has_a_delivery CHECK (((state <> ALL (ARRAY['noticed'::text, 'withdrawn'::text])) OR (delivered_at IS NOT NULL))),
  constraint withdrawal_noticed_since_its_delivery CHECK (((state <> 'noticed'::text) OR (changed_at = delivered_at))),
  constraint withdrawal_open_has_a_next_step CHECK (((next_at IS NOT NULL) = ((state = ANY (ARRAY['waiting'::text, 'noticed'::text])) OR ((state = 'withdrawn'::text) AND (told_at IS NULL)) OR ((state = 'rescinded'::text) AND (told_at IS NULL) AND (delivered_at IS NOT NULL))))),
  constraint withdrawal_page_not_negative CHECK ((page >= 0)),
  constraint withdrawal_reminder_is_known CHECK ((reminded = ANY (ARRAY[30, 7]))),
  constraint withdrawal_reminder_needs_a_notice CHECK (((reminded IS NULL) OR (delivered_at IS NOT NULL))),
  constraint withdrawal_round_is_counted CHECK ((round > 0)),
  constraint withdrawal_told_at_its_end CHECK (((told_at IS NULL) OR (state = ANY (ARRAY['rescinded'::text, 'withdrawn'::text])))),
  constraint withdrawal_undeliverable_has_a_failure CHECK (((state <> 'undeliverable'::text) OR (failure IS NOT NULL))),
  constraint withdrawal_user_state_is_known CHECK ((state = ANY (ARRAY['waiting'::text, 'noticed'::text, 'rescinded'::text, 'withdrawn'::text, 'undeliverable'::text]))),
  constraint withdrawal_withdrawn_at_its_end CHECK (((state <> 'withdrawn'::text) OR (changed_at = withdraws_at))),
  constraint withdrawal_without_notice_has_no_delivery CHECK (((state <> ALL (ARRAY['waiting'::text, 'undeliverable'::text])) OR (delivered_at IS NULL))),
  constraint withdrawal_users_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id),
  constraint withdrawal_users_withdrawal_id_fkey FOREIGN KEY (withdrawal_id) REFERENCES withdrawals(id),
  constraint withdrawal_users_pkey PRIMARY KEY (withdrawal_id, user_id)
) with (fillfactor=70);

create table withdrawals (
  id uuid not null,
  reason text not null,
  selection jsonb not null,
  created_by uuid not null,
  started_at timestamp with time zone not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  users integer not null,
  lots integer not null,
  available bigint not null,
  reserved bigint not null,
  notices_per_second integer not null,
  state text not null default 'running'::text,
  ended_at timestamp with time zone,
  constraint withdrawal_ended_has_ended_at CHECK (((state = 'ended'::text) = (ended_at IS NOT NULL))),
  constraint withdrawal_pace_is_in_range CHECK (((notices_per_second >= 1) AND (notices_per_second <= 1000))),
  constraint withdrawal_reason_is_there CHECK (((length(reason) >= 1) AND (length(reason) <= 500))),
  constraint withdrawal_selects_credits CHECK (((available >= 0) AND (reserved >= 0) AND ((available + reserved) > 0))),
  constraint withdrawal_selects_somebody CHECK ((users > 0)),
  constraint withdrawal_selects_something CHECK ((lots >= users)),
  constraint withdrawal_state_is_known CHECK ((state = ANY (ARRAY['running'::text, 'ended'::text]))),
  constraint withdrawals_created_by_fkey FOREIGN KEY (created_by) REFERENCES users(id),
  constraint withdrawals_pkey PRIMARY KEY (id)
);

-- Indexes -------------------------------------------------------------------------------------------------------------

CREATE INDEX allocations_by_contract ON public.allocations USING btree (contract_id, at);
CREATE INDEX allocations_by_user ON public.allocations USING btree (user_id, at) WHERE (user_id IS NOT NULL);
CREATE UNIQUE INDEX allocations_of_a_seat ON public.allocations USING btree (regexp_replace(key, '(/seats/[0-9]+)-[0-9]+$'::text, '\1'::text));
CREATE UNIQUE INDEX budgets_open_once ON public.budgets USING btree (contract_id, COALESCE((user_id)::text, project), period) WHERE (closed_at IS NULL);
CREATE INDEX charges_by_booking ON public.charges USING btree (booked_at, id);
CREATE INDEX charges_by_contract ON public.charges USING btree (contract_id, id);
CREATE INDEX charges_by_user ON public.charges USING btree (user_id, id);
CREATE INDEX compute_offers_by_age ON public.compute_offers USING btree (offered_at);
CREATE INDEX contract_users_by_user ON public.contract_users USING btree (user_id);
CREATE UNIQUE INDEX contract_users_open ON public.contract_users USING btree (contract_id, user_id) WHERE (removed_at IS NULL);
CREATE INDEX contract_watches_by_next ON public.contract_watches USING btree (next_at) WHERE (next_at IS NOT NULL);
CREATE INDEX digest_entries_waiting ON public.digest_entries USING btree (user_id) WHERE (closed_at IS NULL);
CREATE INDEX external_runs_waiting ON public.external_runs USING btree (offered_at) WHERE ((token_hash IS NULL) AND (closed_at IS NULL));
CREATE INDEX jobs_by_contract ON public.jobs USING btree (contract_id, id);
CREATE INDEX jobs_by_user ON public.jobs USING btree (user_id, id);
CREATE INDEX jobs_unfinished ON public.jobs USING btree (id) WHERE (ended_at IS NULL);
CREATE INDEX lots_by_end ON public.lots USING btree (expires_at) WHERE ((ended_as IS NULL) AND (expires_at IS NOT NULL));
CREATE INDEX lots_by_pool ON public.lots USING btree (pool_id, id);
CREATE INDEX lots_open_by_pool ON public.lots USING btree (pool_id) WHERE ((available > 0) OR (reserved > 0) OR (advance AND (consumed > 0)));
CREATE INDEX notice_attempts_by_message ON public.notice_attempts USING btree (message_id) WHERE (message_id IS NOT NULL);
CREATE INDEX digests_waiting ON public.notice_deliveries USING btree (user_id) WHERE ((kind = 'digest'::text) AND (state = 'waiting'::text));
CREATE INDEX notice_showings_by_user ON public.notice_showings USING btree (user_id, "position");
CREATE INDEX notices_by_subject ON public.notices USING btree (subject_id) WHERE (subject_id IS NOT NULL);
CREATE INDEX operations_by_reference ON public.operations USING btree (refers_to) WHERE (refers_to IS NOT NULL);
CREATE UNIQUE INDEX operations_in_order ON public.operations USING btree (batch_id, "position");
CREATE UNIQUE INDEX operations_key ON public.operations USING btree (subject, act);
CREATE INDEX purchases_by_contract ON public.purchases USING btree (contract_id, id) WHERE (contract_id IS NOT NULL);
CREATE INDEX purchases_by_customer ON public.purchases USING btree (customer_id, id);
CREATE INDEX purchases_waiting ON public.purchases USING btree (id) WHERE (contract_id IS NULL);
CREATE INDEX refund_requests_by_charge ON public.refund_requests USING btree (charge_id);
CREATE UNIQUE INDEX sessions_open_once ON public.sessions USING btree (user_id, design, contract_id) NULLS NOT DISTINCT WHERE (ended_at IS NULL);
CREATE UNIQUE INDEX users_by_address ON public.users USING btree (lower(email));
CREATE INDEX withdrawal_lots_by_lot ON public.withdrawal_lots USING btree (lot_id);
CREATE INDEX withdrawal_users_by_page ON public.withdrawal_users USING btree (withdrawal_id, page);
CREATE INDEX withdrawal_users_by_state ON public.withdrawal_users USING btree (withdrawal_id, state);
CREATE INDEX withdrawal_users_by_user ON public.withdrawal_users USING btree (user_id);
CREATE INDEX withdrawal_users_due ON public.withdrawal_users USING btree (withdrawal_id, next_at, page) WHERE (next_at IS NOT NULL);

-- Views ---------------------------------------------------------------------------------------------------------------

create view canonical_operations as
 SELECT batch_id,
    "position",
    array_to_json((ARRAY["position"::text, kind, subject::text, act, refers_to::text, user_id::text, contract_id::text, project, canonical_instant(booked_at), cap::text, absorbed::text, canonical_instant(effective_at), canonical_instant(expires_at), canonical_instant(withdrawn_at), actor, reason, moves, array_to_string(lot_ids, ' '::text), array_to_string(amounts, ' '::text), encode(request_hash, 'hex'::text)] ||
        CASE kind
            WHEN 'grant'::text THEN ( SELECT ARRAY[l.pool_id::text, l.pool_owner, l.kind, l.source, l.reference, l.granted::text, canonical_instant(l.purchased_at), l.advance::text] AS "array"
               FROM lots l
              WHERE l.id = o.subject)
            WHEN 'openBudget'::text THEN ( SELECT ARRAY[b.contract_id::text, b.user_id::text, b.project, b.period, b.amount::text, b.warn_percent::text, b.refuse_percent::text] AS "array"
               FROM budgets b
              WHERE b.id = o.subject)
            ELSE ARRAY[]::text[]
        END) ||
        CASE
            WHEN grace_until IS NULL THEN ARRAY[]::text[]
            ELSE ARRAY[canonical_instant(grace_until)]
        END)::text AS line
   FROM operations o;

create view loaded_lots as
 SELECT id,
    pool_id AS "poolId",
    kind,
    granted::text AS granted,
    available::text AS available,
    reserved::text AS reserved,
    consumed::text AS consumed,
    expired::text AS expired,
    withdrawn::text AS withdrawn,
    effective_at AS "effectiveAt",
    expires_at AS "expiresAt",
    withdrawn_at AS "withdrawnAt",
    ended_as AS "endedAs",
    advance,
    available > 0 OR reserved > 0 OR advance AND consumed > 0 AS is_open,
    grace_until AS "graceUntil"
   FROM lots;

create view open_reservations as
 SELECT subject AS job_id,
    user_id,
    contract_id,
    booked_at AS reserved_at,
    lot_ids
   FROM operations o
  WHERE kind = 'reserve'::text AND NOT (EXISTS ( SELECT
           FROM operations c
          WHERE c.subject = o.subject AND c.act = 'close'::text));

create view transfers as
 SELECT o.batch_id,
    o."position" AS operation_position,
    t."position",
    o.kind,
    o.subject,
    o.act,
        CASE
            WHEN o.kind = ANY (ARRAY['refund'::text, 'correct'::text]) THEN o.refers_to
            WHEN o.kind = ANY (ARRAY['reserve'::text, 'topUp'::text, 'raiseCap'::text, 'settle'::text, 'release'::text]) THEN o.subject
            ELSE NULL::uuid
        END AS job_id,
    t.lot_id,
    bucket_of(substr(o.moves, 2 * t."position"::integer - 1, 1)) AS from_bucket,
    bucket_of(substr(o.moves, 2 * t."position"::integer, 1)) AS to_bucket,
    t.amount,
    o.booked_at,
    b.recorded_at,
    o.actor,
    o.reason
   FROM operations o
     JOIN batches b ON b.id = o.batch_id
     CROSS JOIN LATERAL UNNEST(o.lot_ids, o.amounts) WITH ORDINALITY t(lot_id, amount, "position");

-- Functions -----------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION public.append_batch(digest bytea, booked_max timestamp with time zone, linked_pool_ids uuid[], known_pool_ids uuid[], known_seqs bigint[], known_digests bytea[], known_terms bigint[], known_job_ids uuid[], known_states text[], booked_at timestamp with time zone[], absorbed bigint[], cap bigint[], effective_at timestamp with time zone[], expires_at timestamp with time zone[], withdrawn_at timestamp with time zone[], grace_until timestamp with time zone[], subject uuid[], refers_to uuid[], user_id uuid[], contract_id uuid[], kind text[], act text[], actor text[], reason text[], moves text[], project text[], request_hash bytea[], first_transfer integer[], last_transfer integer[], lot_ids uuid[], amounts bigint[], budget_id uuid[], starts_at timestamp with time zone[], reserved bigint[], charged bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.apply_operations()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.begin_first_term()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if new.terms = '[]' then
    new.terms := jsonb_build_array(jsonb_build_object(
      'number', 1, 'startsAt', canonical_instant(new.starts_at), 'endsAt', canonical_instant(new.ends_at)));
  end if;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION public.begin_whole()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if (new.available, new.reserved, new.consumed, new.expired, new.withdrawn, new.ended_as)
    is distinct from (new.granted, 0::bigint, 0::bigint, 0::bigint, 0::bigint, null::text)
  then
    raise exception 'lot % must begin with all of its credits available', new.id using errcode = 'HF004';
  end if;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION public.bucket_of(letter text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE letter WHEN 'g'::text THEN 'granted'::text WHEN 'a'::text THEN 'available'::text WHEN 'r'::text THEN 'reserved'::text WHEN 'c'::text THEN 'consumed'::text WHEN 'e'::text THEN 'expired'::text WHEN 'w'::text THEN 'withdrawn'::text ELSE NULL::text END;

CREATE OR REPLACE FUNCTION public.canonical_instant(at timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE STRICT
RETURN to_char((at AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'::text);

CREATE OR REPLACE FUNCTION public.continue_chain()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.decide_once()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.granted_once()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
begin
  if not exists (select from public.operations where subject = new.id and act = 'grant') then
    raise exception 'lot % was never granted', new.id using errcode = 'HF004';
  end if;
  return null;
end
$function$;

CREATE OR REPLACE FUNCTION public.is_well_formed(kind text, closes boolean, has_cap boolean, has_life boolean, refers boolean, spends boolean, absorbs double precision, moves text, fits boolean)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (CASE kind WHEN 'reserve'::text THEN ((moves ~ '^(ar)*$'::text) AND has_cap AND spends) WHEN 'settle'::text THEN ((moves ~ '^(ar)*(rc)*(r[aew])*$'::text) AND closes AND ((absorbs IS NULL) OR (absorbs > (0)::double precision))) WHEN 'topUp'::text THEN (moves ~ '^(ar)*$'::text) WHEN 'release'::text THEN ((moves ~ '^(r[aew])*$'::text) AND closes AND spends) WHEN 'raiseCap'::text THEN ((moves = ''::text) AND has_cap) WHEN 'grant'::text THEN ((moves = 'ga'::text) AND has_life) WHEN 'changeLife'::text THEN ((moves = ''::text) AND has_life) WHEN 'expire'::text THEN (moves = ANY (ARRAY[''::text, 'ae'::text])) WHEN 'withdraw'::text THEN (moves = ANY (ARRAY[''::text, 'aw'::text])) WHEN 'refund'::text THEN ((moves ~ '^(c[aew])+$'::text) AND refers AND spends) WHEN 'correct'::text THEN ((moves ~ '^(c[aew])*$'::text) AND refers AND spends AND ((absorbs IS NULL) OR (absorbs < (0)::double precision))) WHEN 'repay'::text THEN ((moves = ANY (ARRAY['accw'::text, 'cawc'::text, 'cewc'::text])) AND refers) WHEN 'openBudget'::text THEN (moves = ''::text) WHEN 'closeBudget'::text THEN ((moves = ''::text) AND closes) ELSE false END AND (has_cap = (kind = ANY (ARRAY['reserve'::text, 'raiseCap'::text]))) AND (has_life = (kind = ANY (ARRAY['grant'::text, 'changeLife'::text]))) AND (refers = (kind = ANY (ARRAY['refund'::text, 'correct'::text, 'repay'::text]))) AND (spends = ((kind = ANY (ARRAY['reserve'::text, 'release'::text, 'refund'::text, 'correct'::text])) OR ("left"(moves, 2) = 'ar'::text))) AND ((absorbs IS NULL) OR (kind = ANY (ARRAY['settle'::text, 'correct'::text]))) AND (fits IS TRUE));

CREATE OR REPLACE FUNCTION public.load_batch(pool_ids uuid[], known_seqs bigint[], known_digests bytea[], contract_ids uuid[], user_ids uuid[], subjects uuid[], job_ids uuid[], first_at timestamp with time zone, last_at timestamp with time zone, named_lot_ids uuid[], refunded_job_ids uuid[], moved_job_ids uuid[])
 RETURNS json
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.next_head(head bytea, batch_id bigint, recorded_at timestamp with time zone, digest bytea)
 RETURNS bytea
 LANGUAGE sql
 STABLE PARALLEL SAFE
RETURN sha256(convert_to(((((((('holdfast-link/1 '::text || encode(head, 'hex'::text)) || ' '::text) || batch_id) || ' '::text) || canonical_instant(recorded_at)) || ' '::text) || encode(digest, 'hex'::text)), 'UTF8'::name));

CREATE OR REPLACE FUNCTION public.note_changed_terms()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if tg_table_name = 'contracts' then
    update pools set terms = terms + 1 where id = new.id;
  else
    update pools set terms = terms + 1 where id in (old.contract_id, new.contract_id);
  end if;
  return null;
end
$function$;

CREATE OR REPLACE FUNCTION public.open_pool()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  insert into pools (id, owner) values (new.id, tg_argv[0]);
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION public.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception '% is append-only: % is refused', tg_table_name, tg_op using errcode = 'HF001';
end
$function$;

CREATE OR REPLACE FUNCTION public.refuse_change_of_published_draft()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if old.published_version is not null then
    raise exception 'draft % is published as version %; it is kept as it was', old.id, old.published_version
      using errcode = 'HF001';
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION public.refuse_new_owner()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.refuse_old_individual()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if exists (select from imports where lot_id = new.id and received_at < '2013-12-13T00:00:00Z') then
    raise exception 'lot % was received before 2013-12-13 and is shared', new.id using errcode = 'HF002';
  end if;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION public.refuse_other_budget()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if to_jsonb(new) - 'closed_at' is distinct from to_jsonb(old) - 'closed_at' or old.closed_at is not null then
    raise exception 'budget % is closed and replaced, not changed', old.id using errcode = 'HF002';
  end if;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION public.refuse_other_pool()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception 'pool % keeps its owner', old.id using errcode = 'HF002';
end
$function$;

CREATE OR REPLACE FUNCTION public.refuse_second_allocation()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  allocation constant text[] := array['contract_id', 'lot_id', 'allocated_at', 'allocated_by', 'expires_at', 'grace_until'];
begin
  if old.contract_id is not null or to_jsonb(new) - allocation <> to_jsonb(old) - allocation then
    raise exception 'purchase % is as it was recorded; it is allocated once', old.order_number using errcode = 'HF001';
  end if;
  return new;
end
$function$;

-- Triggers ------------------------------------------------------------------------------------------------------------

CREATE TRIGGER allocation_rules_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON allocation_rules FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER allocations_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON allocations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER batches_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON batches FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER budgets_are_never_deleted BEFORE DELETE OR TRUNCATE ON budgets FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER budgets_only_close BEFORE UPDATE ON budgets FOR EACH ROW EXECUTE FUNCTION refuse_other_budget();
CREATE TRIGGER charges_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON charges FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER contract_bookings_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON contract_bookings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER contract_changes_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON contract_changes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER contract_users_change_terms AFTER INSERT OR DELETE OR UPDATE ON contract_users FOR EACH ROW EXECUTE FUNCTION note_changed_terms();
CREATE TRIGGER contracts_begin_a_term BEFORE INSERT ON contracts FOR EACH ROW EXECUTE FUNCTION begin_first_term();
CREATE TRIGGER contracts_change_terms AFTER UPDATE ON contracts FOR EACH ROW EXECUTE FUNCTION note_changed_terms();
CREATE TRIGGER contracts_open_a_pool AFTER INSERT ON contracts FOR EACH ROW EXECUTE FUNCTION open_pool('contract');
CREATE TRIGGER imports_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON imports FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER job_events_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON job_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER links_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON links FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER links_continue_chains AFTER INSERT ON links FOR EACH ROW EXECUTE FUNCTION continue_chain();
CREATE CONSTRAINT TRIGGER lots_are_granted AFTER INSERT ON lots DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION granted_once();
CREATE TRIGGER lots_are_never_deleted BEFORE DELETE OR TRUNCATE ON lots FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lots_begin_whole BEFORE INSERT ON lots FOR EACH ROW EXECUTE FUNCTION begin_whole();
CREATE TRIGGER lots_keep_their_owner BEFORE UPDATE OF id, pool_id, pool_owner, kind, source, reference, granted, purchased_at, advance, ended_as, effective_at, expires_at, withdrawn_at, grace_until ON lots FOR EACH ROW EXECUTE FUNCTION refuse_new_owner();
CREATE TRIGGER lots_received_early_are_shared BEFORE INSERT ON lots FOR EACH ROW WHEN (new.kind = 'individual'::text AND new.source = 'import'::text) EXECUTE FUNCTION refuse_old_individual();
CREATE TRIGGER meter_disagreements_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON meter_disagreements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER moves_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON moves FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notice_attempts_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON notice_attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notice_bounces_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON notice_bounces FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notice_reads_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON notice_reads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notice_results_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON notice_results FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notice_showings_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON notice_showings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notices_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON notices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER operations_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON operations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER operations_move_credits AFTER INSERT ON operations REFERENCING NEW TABLE AS appended FOR EACH STATEMENT EXECUTE FUNCTION apply_operations();
CREATE TRIGGER refunds_are_decided_once BEFORE INSERT ON operations FOR EACH ROW WHEN (new.kind = ANY (ARRAY['refund'::text, 'correct'::text])) EXECUTE FUNCTION decide_once();
CREATE TRIGGER packs_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON packs FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pools_are_never_deleted BEFORE DELETE OR TRUNCATE ON pools FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER pools_keep_their_owner BEFORE UPDATE OF id, owner ON pools FOR EACH ROW EXECUTE FUNCTION refuse_other_pool();
CREATE TRIGGER purchases_are_allocated_once BEFORE UPDATE ON purchases FOR EACH ROW EXECUTE FUNCTION refuse_second_allocation();
CREATE TRIGGER purchases_are_never_deleted BEFORE DELETE OR TRUNCATE ON purchases FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER quotes_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON quotes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER rate_card_drafts_end_with_their_publication BEFORE DELETE OR UPDATE ON rate_card_drafts FOR EACH ROW EXECUTE FUNCTION refuse_change_of_published_draft();
CREATE TRIGGER rate_cards_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON rate_cards FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refund_rejections_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON refund_rejections FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER rejections_are_decided_once BEFORE INSERT ON refund_rejections FOR EACH ROW EXECUTE FUNCTION decide_once();
CREATE TRIGGER refund_requests_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON refund_requests FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER usage_records_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON usage_records FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER users_open_a_pool AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION open_pool('user');
CREATE TRIGGER withdrawal_lots_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON withdrawal_lots FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER withdrawal_requests_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON withdrawal_requests FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER withdrawal_users_are_never_deleted BEFORE DELETE OR TRUNCATE ON withdrawal_users FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER withdrawals_are_never_deleted BEFORE DELETE OR TRUNCATE ON withdrawals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Rights of others than the owner -------------------------------------------------------------------------------------

grant execute on function append_batch(bytea,timestamp with time zone,uuid[],uuid[],bigint[],bytea[],bigint[],uuid[],text[],timestamp with time zone[],bigint[],bigint[],timestamp with time zone[],timestamp with time zone[],timestamp with time zone[],timestamp with time zone[],uuid[],uuid[],uuid[],uuid[],text[],text[],text[],text[],text[],text[],bytea[],integer[],integer[],uuid[],bigint[],uuid[],timestamp with time zone[],bigint[],bigint[]) to public;
grant execute on function apply_operations() to public;
grant execute on function begin_first_term() to public;
grant execute on function begin_whole() to public;
grant execute on function bucket_of(text) to public;
grant execute on function canonical_instant(timestamp with time zone) to public;
grant execute on function continue_chain() to public;
grant execute on function decide_once() to public;
grant execute on function granted_once() to public;
grant execute on function is_well_formed(text,boolean,boolean,boolean,boolean,boolean,double precision,text,boolean) to public;
grant execute on function load_batch(uuid[],bigint[],bytea[],uuid[],uuid[],uuid[],uuid[],timestamp with time zone,timestamp with time zone,uuid[],uuid[],uuid[]) to public;
grant execute on function next_head(bytea,bigint,timestamp with time zone,bytea) to public;
grant execute on function note_changed_terms() to public;
grant execute on function open_pool() to public;
grant execute on function refuse_change() to public;
grant execute on function refuse_change_of_published_draft() to public;
grant execute on function refuse_new_owner() to public;
grant execute on function refuse_old_individual() to public;
grant execute on function refuse_other_budget() to public;
grant execute on function refuse_other_pool() to public;
grant execute on function refuse_second_allocation() to public;
grant usage on schema public to holdfast_application;
grant usage on schema public to public;
grant usage on sequence batch_ids to holdfast_application;
grant usage on sequence job_events_seq_seq to holdfast_application;
grant insert, select on table allocation_rules to holdfast_application;
grant insert, select on table allocations to holdfast_application;
grant insert, select, update on table api_keys to holdfast_application;
grant insert, select, update on table attempts to holdfast_application;
grant insert, select, update on table balance_states to holdfast_application;
grant delete, insert, select, update on table balance_thresholds to holdfast_application;
grant insert, select on table batches to holdfast_application;
grant insert, select, update on table budget_periods to holdfast_application;
grant insert, select on table budgets to holdfast_application;
grant select on table canonical_operations to holdfast_application;
grant insert, select on table charges to holdfast_application;
grant delete, insert, select, update on table compute_offers to holdfast_application;
grant insert, select on table contract_bookings to holdfast_application;
grant insert, select on table contract_changes to holdfast_application;
grant insert, select, update on table contract_users to holdfast_application;
grant insert, select, update on table contract_watches to holdfast_application;
grant insert, select on table contracts to holdfast_application;
grant update (activated_at) on table contracts to holdfast_application;
grant update (closed_at) on table contracts to holdfast_application;
grant update (ends_at) on table contracts to holdfast_application;
grant update (grace_days) on table contracts to holdfast_application;
grant update (name) on table contracts to holdfast_application;
grant update (products) on table contracts to holdfast_application;
grant update (renewal) on table contracts to holdfast_application;
grant update (renewal_months) on table contracts to holdfast_application;
grant update (starts_at) on table contracts to holdfast_application;
grant update (suspended_at) on table contracts to holdfast_application;
grant update (terminates_at) on table contracts to holdfast_application;
grant update (terms) on table contracts to holdfast_application;
grant update (version) on table contracts to holdfast_application;
grant insert, select on table customers to holdfast_application;
grant update (name) on table customers to holdfast_application;
grant insert, select, update on table digest_entries to holdfast_application;
grant insert, select, update on table external_results to holdfast_application;
grant insert, select, update on table external_runs to holdfast_application;
grant insert, select, update on table idempotency_keys to holdfast_application;
grant insert, select on table imports to holdfast_application;
grant insert, select, update on table input_uploads to holdfast_application;
grant insert, select, update on table inputs to holdfast_application;
grant insert, select on table job_events to holdfast_application;
grant insert, select, update on table jobs to holdfast_application;
grant insert, select on table links to holdfast_application;
grant select on table loaded_lots to holdfast_application;
grant insert, select on table lots to holdfast_application;
grant insert, select on table meter_disagreements to holdfast_application;
grant select on table migrations to holdfast_application;
grant select on table moves to holdfast_application;
grant insert, select on table notice_attempts to holdfast_application;
grant insert, select on table notice_bounces to holdfast_application;
grant insert, select, update on table notice_deliveries to holdfast_application;
grant insert, select, update on table notice_preferences to holdfast_application;
grant insert, select on table notice_reads to holdfast_application;
grant insert, select on table notice_results to holdfast_application;
grant insert, select on table notice_showings to holdfast_application;
grant insert, select on table notices to holdfast_application;
grant select on table open_reservations to holdfast_application;
grant insert, select on table operations to holdfast_application;
grant insert, select on table packs to holdfast_application;
grant select on table pools to holdfast_application;
grant update (owner) on table pools to holdfast_application;
grant insert, select on table purchases to holdfast_application;
grant update (allocated_at) on table purchases to holdfast_application;
grant update (allocated_by) on table purchases to holdfast_application;
grant update (contract_id) on table purchases to holdfast_application;
grant update (expires_at) on table purchases to holdfast_application;
grant update (grace_until) on table purchases to holdfast_application;
grant update (lot_id) on table purchases to holdfast_application;
grant insert, select on table quotes to holdfast_application;
grant delete, insert, select, update on table rate_card_drafts to holdfast_application;
grant insert, select on table rate_cards to holdfast_application;
grant insert, select on table refund_rejections to holdfast_application;
grant insert, select on table refund_requests to holdfast_application;
grant insert, select on table results to holdfast_application;
grant insert, select, update on table sessions to holdfast_application;
grant select on table transfers to holdfast_application;
grant insert, select on table unsubscribe_tokens to holdfast_application;
grant insert, select on table usage_records to holdfast_application;
grant insert, select on table users to holdfast_application;
grant update (email) on table users to holdfast_application;
grant update (language) on table users to holdfast_application;
grant update (name) on table users to holdfast_application;
grant update (time_zone) on table users to holdfast_application;
grant insert, select on table withdrawal_lots to holdfast_application;
grant insert, select on table withdrawal_requests to holdfast_application;
grant insert, select on table withdrawal_users to holdfast_application;
grant update (changed_at) on table withdrawal_users to holdfast_application;
grant update (channel) on table withdrawal_users to holdfast_application;
grant update (delivered_at) on table withdrawal_users to holdfast_application;
grant update (failure) on table withdrawal_users to holdfast_application;
grant update (next_at) on table withdrawal_users to holdfast_application;
grant update (reminded) on table withdrawal_users to holdfast_application;
grant update (round) on table withdrawal_users to holdfast_application;
grant update (state) on table withdrawal_users to holdfast_application;
grant update (told_at) on table withdrawal_users to holdfast_application;
grant update (withdraws_at) on table withdrawal_users to holdfast_application;
grant insert, select on table withdrawals to holdfast_application;
grant update (ended_at) on table withdrawals to holdfast_application;
grant update (state) on table withdrawals to holdfast_application;
