-- Attempts that run on somebody else's compute: put up here, claimed once, reported with a token that fits this attempt alone.

alter table api_keys drop constraint api_key_roles_are_known;
alter table api_keys add constraint api_key_roles_are_known check (
  cardinality(roles) > 0
  and roles <@ array['submitter', 'contract-admin', 'operator', 'finance', 'finance-approver', 'provider', 'compute']
);

create table external_runs (
  job_id uuid not null,
  attempt int not null,
  engine text not null,
  parameters jsonb not null,
  time_limit_ms bigint not null,
  memory_bytes_max bigint not null,
  offered_at timestamptz not null,
  -- The SHA-256 of the token of whoever claimed it; the token itself is kept by the claimer alone.
  token_hash bytea unique,
  agent text,
  claimed_at timestamptz,
  wants text not null default 'run' constraint external_run_wish_is_known check (wants in ('run', 'suspend', 'stop')),
  is_suspended boolean not null default false,
  -- The newest report that counted; reports may come late, twice or out of order.
  seq int not null default 0,
  fraction double precision not null default 0,
  counters jsonb not null default '{}',
  cpu_seconds double precision not null default 0,
  peak_memory_bytes bigint not null default 0,
  heard_at timestamptz,
  -- What the claimer says of its end.
  end_kind text constraint external_run_end_is_known check (end_kind in ('completed', 'stopped', 'input-failed', 'engine-failed')),
  message text,
  -- The end of the engine's own log.
  log text not null default '',
  statistics jsonb,
  ended_at timestamptz,
  -- From here on nothing that is reported counts.
  closed_at timestamptz,
  primary key (job_id, attempt),
  foreign key (job_id, attempt) references attempts (job_id, number),
  constraint external_run_claimed_has_a_token check (num_nulls(token_hash, agent, claimed_at) in (0, 3)),
  constraint external_run_ended_has_a_kind check ((ended_at is null) = (end_kind is null))
);
create index external_runs_waiting on external_runs (offered_at) where token_hash is null and closed_at is null;

create table external_results (
  job_id uuid not null,
  attempt int not null,
  name text not null,
  digest text not null,
  size bigint not null,
  media_type text not null,
  primary key (job_id, attempt, name),
  foreign key (job_id, attempt) references external_runs (job_id, attempt)
);

grant select, insert, update on external_runs, external_results to holdfast_application;
