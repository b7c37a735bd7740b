-- Withdrawals: campaigns that take individual credits back 90 days after a notice (R4).

create table withdrawals (
  id uuid primary key,
  reason text not null constraint withdrawal_reason_is_there check (length(reason) between 1 and 500),
  -- Whom it was to concern, as it was asked for; what it concerned is in the tables below.
  selection jsonb not null,
  created_by uuid not null references users,
  started_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  -- What was selected then.
  users int not null constraint withdrawal_selects_somebody check (users > 0),
  lots int not null constraint withdrawal_selects_something check (lots >= users),
  available bigint not null,
  reserved bigint not null,
  constraint withdrawal_selects_credits check (available >= 0 and reserved >= 0 and available + reserved > 0),
  -- How fast notices go out, so that a large campaign is no load.
  notices_per_second int not null
    constraint withdrawal_pace_is_in_range check (notices_per_second between 1 and 1000),
  state text not null default 'running' constraint withdrawal_state_is_known check (state in ('running', 'ended')),
  ended_at timestamptz,
  constraint withdrawal_ended_has_ended_at check ((state = 'ended') = (ended_at is not null))
);

create table withdrawal_users (
  withdrawal_id uuid not null references withdrawals,
  user_id uuid not null references users,
  -- Which hundred of the campaign's users: what is worked on together.
  page int not null constraint withdrawal_page_not_negative check (page >= 0),
  state text not null,
  -- When the state began, and when something is to be done next; null when nothing is.
  changed_at timestamptz not null,
  next_at timestamptz,
  -- The delivery that counts, and the end of its 90 days.
  delivered_at timestamptz,
  channel text,
  withdraws_at timestamptz,
  -- The last reminder that is behind us, in days before the end.
  reminded int constraint withdrawal_reminder_is_known check (reminded in (30, 7)),
  -- When the user was told how it ended.
  told_at timestamptz,
  -- Counts the notices: an undeliverable one is tried again as another.
  round int not null default 1 constraint withdrawal_round_is_counted check (round > 0),
  failure text,
  primary key (withdrawal_id, user_id),
  constraint withdrawal_user_state_is_known check (
    state in ('waiting', 'noticed', 'rescinded', 'withdrawn', 'undeliverable')
  ),
  constraint withdrawal_delivery_is_whole check (num_nulls(delivered_at, channel, withdraws_at) in (0, 3)),
  -- R4: 90 days of 24 hours from the delivery, to the microsecond.
  constraint withdrawal_comes_90_days_after_delivery check (withdraws_at - delivered_at = interval '2160 hours'),
  constraint withdrawal_without_notice_has_no_delivery check (
    state not in ('waiting', 'undeliverable') or delivered_at is null
  ),
  constraint withdrawal_noticed_has_a_delivery check (state not in ('noticed', 'withdrawn') or delivered_at is not null),
  constraint withdrawal_noticed_since_its_delivery check (state <> 'noticed' or changed_at = delivered_at),
  constraint withdrawal_withdrawn_at_its_end check (state <> 'withdrawn' or changed_at = withdraws_at),
  constraint withdrawal_undeliverable_has_a_failure check (state <> 'undeliverable' or failure is not null),
  constraint withdrawal_reminder_needs_a_notice check (reminded is null or delivered_at is not null),
  constraint withdrawal_told_at_its_end check (told_at is null or state in ('rescinded', 'withdrawn')),
  constraint withdrawal_open_has_a_next_step check ((next_at is not null) = (
    state in ('waiting', 'noticed')
    or (state = 'withdrawn' and told_at is null)
    or (state = 'rescinded' and told_at is null and delivered_at is not null)
  ))
) with (fillfactor = 70);
-- What is due of a campaign, and how many users of it are where, both without reading the rest.
create index withdrawal_users_due on withdrawal_users (withdrawal_id, next_at, page) where next_at is not null;
create index withdrawal_users_by_page on withdrawal_users (withdrawal_id, page);
create index withdrawal_users_by_state on withdrawal_users (withdrawal_id, state);
create index withdrawal_users_by_user on withdrawal_users (user_id);

-- The lots that were selected, with what they held then.
create table withdrawal_lots (
  withdrawal_id uuid not null,
  user_id uuid not null,
  lot_id uuid not null references lots,
  available bigint not null constraint withdrawal_lot_available_not_negative check (available >= 0),
  reserved bigint not null constraint withdrawal_lot_reserved_not_negative check (reserved >= 0),
  primary key (withdrawal_id, user_id, lot_id),
  foreign key (withdrawal_id, user_id) references withdrawal_users (withdrawal_id, user_id)
);
create index withdrawal_lots_by_lot on withdrawal_lots (lot_id);

-- What people asked of a campaign: whom it lets go, and whom it is to try again. Each request once.
create table withdrawal_requests (
  withdrawal_id uuid not null references withdrawals,
  request_id text not null constraint withdrawal_request_is_short check (length(request_id) between 1 and 200),
  kind text not null constraint withdrawal_request_is_known check (kind in ('rescind', 'retry')),
  -- A list of users, or "all".
  users jsonb not null,
  actor text not null,
  reason text not null,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (withdrawal_id, request_id)
);

create trigger withdrawals_are_never_deleted before delete or truncate on withdrawals
  for each statement execute function refuse_change();
create trigger withdrawal_users_are_never_deleted before delete or truncate on withdrawal_users
  for each statement execute function refuse_change();
create trigger withdrawal_lots_are_append_only before update or delete or truncate on withdrawal_lots
  for each statement execute function refuse_change();
create trigger withdrawal_requests_are_append_only before update or delete or truncate on withdrawal_requests
  for each statement execute function refuse_change();

grant select, insert on withdrawals, withdrawal_users, withdrawal_lots, withdrawal_requests to holdfast_application;
grant update (state, ended_at) on withdrawals to holdfast_application;
grant update (state, changed_at, next_at, delivered_at, channel, withdraws_at, reminded, told_at, round, failure)
  on withdrawal_users to holdfast_application;
