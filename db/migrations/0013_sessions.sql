-- Configuration sessions: each is a job that a workflow runs; what its user does is kept here.

create table sessions (
  -- The job's id. The row is there before the job, so that two requests at once open one session.
  job_id uuid primary key,
  user_id uuid not null references users,
  contract_id uuid references contracts,
  design text not null references inputs,
  -- An administrator's own look at a design: metered, and free.
  is_administrator boolean not null,
  opened_at timestamptz not null,
  active_at timestamptz not null,
  left_at timestamptz,
  closed_at timestamptz,
  closed_for text,
  -- The activity after which the user was last warned.
  warned_for timestamptz,
  -- What was chosen so far: option to choice.
  choices jsonb not null default '{}',
  ended_at timestamptz,
  ended_for text,
  constraint session_was_active_while_open check (active_at >= opened_at),
  constraint session_closed_has_a_reason check ((closed_at is null) = (closed_for is null)),
  constraint session_ended_has_a_reason check ((ended_at is null) = (ended_for is null))
);
create unique index sessions_open_once on sessions (user_id, design, contract_id) nulls not distinct
  where ended_at is null;

grant select, insert, update on sessions to holdfast_application;
