-- Notices: what people are told, the proof that they were, and what they want to be told.

-- What is to be told to whom. Sentences are made at delivery, in the person's language and time zone.
create table notices (
  id uuid primary key,
  user_id uuid not null references users,
  kind text not null constraint notice_kind_is_known check (
    kind in ('withdrawal', 'withdrawal-reminder', 'withdrawal-rescinded', 'withdrawal-final', 'digest')
  ),
  -- What it is about, such as a withdrawal.
  subject_id uuid,
  facts jsonb not null,
  -- What law or contract requires is told whatever the person prefers.
  required boolean not null,
  -- The day of the person's own calendar.
  digest_day date,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint notice_of_a_day_is_a_digest check ((kind = 'digest') = (digest_day is not null)),
  constraint one_digest_per_person_and_day unique (user_id, digest_day)
);
create index notices_by_subject on notices (subject_id) where subject_id is not null;

-- Written before anything is sent: whatever happens then, it is known that it was tried, and what it said.
create table notice_attempts (
  notice_id uuid not null references notices,
  number int not null constraint notice_attempt_is_numbered check (number > 0),
  channel text not null constraint notice_channel_is_known check (channel in ('mail', 'administrator', 'in-service')),
  -- Addresses of mail, or ids of users who are shown it.
  recipients text[] not null,
  -- The same for every attempt of a notice, so that a repeat is recognised as the same mail.
  message_id text constraint notice_message_id_is_of_mail check ((channel = 'mail') = (message_id is not null)),
  language text not null,
  subject text not null,
  body text not null,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (notice_id, number)
);
create index notice_attempts_by_message on notice_attempts (message_id) where message_id is not null;

-- What came of an attempt: the answer of the server. `unknown` is written of an attempt whose asker ended before it heard one; the
-- answer may still be added then.
create table notice_results (
  notice_id uuid not null,
  number int not null,
  is_known boolean not null generated always as (kind <> 'unknown') stored,
  kind text not null constraint notice_result_is_known check (kind in ('delivered', 'deferred', 'failed', 'unknown')),
  answer text not null,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (notice_id, number, is_known),
  foreign key (notice_id, number) references notice_attempts (notice_id, number)
);

-- Mail that came back after it had been accepted: the notice is undelivered again.
create table notice_bounces (
  notice_id uuid primary key references notices,
  message_id text not null,
  reason text not null,
  actor text not null,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp()
);

-- Whom a notice is shown to in the service, and with which words: administrators have their own.
create table notice_showings (
  position bigint generated always as identity primary key,
  notice_id uuid not null,
  number int not null,
  user_id uuid not null references users,
  subject text not null,
  body text not null,
  at timestamptz not null,
  foreign key (notice_id, number) references notice_attempts (notice_id, number),
  unique (notice_id, number, user_id)
);
create index notice_showings_by_user on notice_showings (user_id, position);

create table notice_reads (
  notice_id uuid not null references notices,
  user_id uuid not null references users,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (notice_id, user_id)
);

-- How a notice's delivery stands at present, by its attempts: what is to be tried again, and when.
create table notice_deliveries (
  notice_id uuid primary key references notices,
  user_id uuid not null references users,
  kind text not null,
  state text not null constraint notice_delivery_state_is_known check (state in ('waiting', 'delivered', 'undeliverable')),
  -- Null unless it waits.
  next_at timestamptz,
  constraint notice_delivery_waits_for_an_instant check ((state = 'waiting') = (next_at is not null))
);
create index digests_waiting on notice_deliveries (user_id) where kind = 'digest' and state = 'waiting';

-- What a person's next digest says; each key once per person. Closed by the digest that said it, or by nobody wanting it.
create table digest_entries (
  user_id uuid not null references users,
  key text not null constraint digest_key_is_short check (length(key) between 1 and 300),
  kind text not null,
  facts jsonb not null,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  closed_at timestamptz,
  notice_id uuid references notices,
  primary key (user_id, key),
  constraint digest_entry_told_is_closed check (notice_id is null or closed_at is not null)
);
create index digest_entries_waiting on digest_entries (user_id) where closed_at is null;

-- What a person wants to be told where nothing requires it. Language and time zone are the user's own columns.
create table notice_preferences (
  user_id uuid primary key references users,
  digests boolean not null default true,
  -- Kinds of entries that digests leave out.
  muted text[] not null default '{}',
  changed_at timestamptz not null
);

-- Below how much of a contract's or their own credits a person is warned; null never. Without a row the default counts.
create table balance_thresholds (
  user_id uuid not null references users,
  pool_id uuid not null references pools,
  threshold bigint constraint balance_threshold_is_in_range check (threshold between 0 and 9000000000000000000),
  primary key (user_id, pool_id)
);

-- What a person was told last of a balance; `number` counts the changes and makes the keys of the entries.
create table balance_states (
  user_id uuid not null references users,
  pool_id uuid not null references pools,
  is_low boolean not null,
  number int not null,
  changed_at timestamptz not null,
  primary key (user_id, pool_id)
);

-- By whom a link in a mail was sent: the sha256 of its random token.
create table unsubscribe_tokens (
  token_hash bytea primary key,
  user_id uuid not null references users,
  recorded_at timestamptz not null default clock_timestamp()
);

create trigger notices_are_append_only before update or delete or truncate on notices
  for each statement execute function refuse_change();
create trigger notice_attempts_are_append_only before update or delete or truncate on notice_attempts
  for each statement execute function refuse_change();
create trigger notice_results_are_append_only before update or delete or truncate on notice_results
  for each statement execute function refuse_change();
create trigger notice_bounces_are_append_only before update or delete or truncate on notice_bounces
  for each statement execute function refuse_change();
create trigger notice_showings_are_append_only before update or delete or truncate on notice_showings
  for each statement execute function refuse_change();
create trigger notice_reads_are_append_only before update or delete or truncate on notice_reads
  for each statement execute function refuse_change();

grant select, insert on notices, notice_attempts, notice_results, notice_bounces, notice_showings, notice_reads, unsubscribe_tokens
  to holdfast_application;
grant select, insert, update on notice_deliveries, digest_entries, notice_preferences, balance_states to holdfast_application;
grant select, insert, update, delete on balance_thresholds to holdfast_application;
