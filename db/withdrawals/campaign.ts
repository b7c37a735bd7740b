/** Campaigns of withdrawal as rows (R4): whom and what they selected, where each user is, and what is due. */
import { v5 as uuidv5 } from 'uuid';
import type { Credits } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import type { Instant } from '../../domain/instant';
import {
  startOf,
  stepsOf,
  WITHDRAWAL_PAGE,
  type WithdrawalStep,
  type WithdrawalUser,
  type WithdrawalUserState,
} from '../../domain/withdrawal';
import { type Db, firstRow, inTransaction, rows, type Trx } from '../client';
import { SELECTED, type Selection, selectionBindings } from './selection';

export interface Withdrawal {
  readonly id: string;
  readonly reason: string;
  readonly selection: Selection;
  readonly createdBy: string;
  readonly startedAt: Instant;
  /** What was selected when it started. */
  readonly users: number;
  readonly lots: number;
  readonly available: Credits;
  readonly reserved: Credits;
  readonly noticesPerSecond: number;
  readonly state: 'running' | 'ended';
  readonly endedAt: Instant | null;
}

export type WithdrawalCounts = Readonly<Record<WithdrawalUserState, number>>;

/** A user of a campaign with the page that they are worked on in. */
export interface PagedUser extends WithdrawalUser {
  readonly page: number;
}

const WITHDRAWALS = `select id, reason, selection, created_by as "createdBy", started_at as "startedAt", users, lots, available,
    reserved, notices_per_second as "noticesPerSecond", state, ended_at as "endedAt"
  from withdrawals`;

export const USER_COLUMNS = `u.user_id as "userId", u.page, u.state, u.changed_at as "changedAt", u.next_at as "nextAt",
  u.delivered_at as "deliveredAt", u.channel, u.withdraws_at as "withdrawsAt", u.reminded, u.told_at as "toldAt", u.round,
  u.failure`;

/**
 * Starts a campaign, once per id: what it selects is read and written in one statement, however many users there are.
 *
 * @throws BillingError `nothing_to_withdraw` when nothing that is selected holds credits.
 */
export async function startWithdrawal(
  db: Db,
  given: Pick<Withdrawal, 'id' | 'reason' | 'selection' | 'createdBy' | 'startedAt' | 'noticesPerSecond'>,
): Promise<void> {
  const { id, reason, selection, createdBy, startedAt: at, noticesPerSecond } = given;
  const { nextAt } = startOf('', at);
  const started = await inTransaction(db, async (trx) => {
    if (await firstRow(trx, 'select 1 from withdrawals where id = ?', [id])) return true;
    // The foreign keys are looked at when the statement is done, so that the order of the inserts does not matter.
    const found = await firstRow<{ users: number }>(
      trx,
      `with chosen as materialized (${SELECTED}),
        campaign as (
          insert into withdrawals (id, reason, selection, created_by, started_at, users, lots, available, reserved,
            notices_per_second)
          select ?::uuid, ?, ?::jsonb, ?::uuid, ?::timestamptz, count(distinct user_id), count(*), sum(available),
            sum(reserved), ?::int
          from chosen
          having count(*) > 0
          returning users
        ),
        people as (
          insert into withdrawal_users (withdrawal_id, user_id, page, state, changed_at, next_at)
          select ?::uuid, user_id, (row_number() over (order by user_id) - 1) / ?::int, 'waiting', ?::timestamptz,
            ?::timestamptz
          from chosen
          group by user_id
        ),
        their_lots as (
          insert into withdrawal_lots (withdrawal_id, user_id, lot_id, available, reserved)
          select ?::uuid, user_id, lot_id, available, reserved
          from chosen
        )
       select users from campaign`,
      [
        ...selectionBindings(selection, at),
        ...[id, reason, JSON.stringify(selection), createdBy, at, noticesPerSecond],
        ...[id, WITHDRAWAL_PAGE, at, nextAt],
        id,
      ],
    );
    return found !== undefined;
  });
  if (!started) {
    throw new BillingError('nothing_to_withdraw', 'Nothing that is selected is a living individual lot with credits.');
  }
}

export function findWithdrawal(db: Db | Trx, id: string): Promise<Withdrawal | undefined> {
  return firstRow<Withdrawal>(db, `${WITHDRAWALS} where id = ?`, [id]);
}

/** Newest first. */
export function listWithdrawals(db: Db, page: { before: string | null; limit: number }): Promise<Withdrawal[]> {
  return rows<Withdrawal>(db, `${WITHDRAWALS} where (?::uuid is null or id < ?) order by id desc limit ?`, [
    page.before,
    page.before,
    page.limit,
  ]);
}

/** Marks a campaign as ended; once. */
export async function endWithdrawal(db: Db, id: string, at: Instant): Promise<void> {
  await db.raw(`update withdrawals set state = 'ended', ended_at = ? where id = ? and state = 'running'`, [at, id]);
}

export async function countUsers(db: Db | Trx, id: string): Promise<WithdrawalCounts> {
  const found = await rows<{ state: WithdrawalUserState; count: bigint }>(
    db,
    'select state, count(*) from withdrawal_users where withdrawal_id = ? group by state',
    [id],
  );
  const of = (state: WithdrawalUserState) => Number(found.find((one) => one.state === state)?.count ?? 0);
  return {
    waiting: of('waiting'),
    noticed: of('noticed'),
    rescinded: of('rescinded'),
    withdrawn: of('withdrawn'),
    undeliverable: of('undeliverable'),
  };
}

/** The pages with users about whom something is due at an instant, the first so many of them. */
export async function duePages(db: Db, id: string, at: Instant, limit: number): Promise<number[]> {
  const found = await rows<{ page: number }>(
    db,
    `select distinct page from withdrawal_users where withdrawal_id = ? and next_at <= ? order by page limit ?`,
    [id, at, limit],
  );
  return found.map(({ page }) => page);
}

/** What of a campaign comes next; null when nothing does. */
export async function nextStep(db: Db, id: string): Promise<{ at: Instant; step: WithdrawalStep } | null> {
  const user = await firstRow<WithdrawalUser & { nextAt: Instant }>(
    db,
    `select ${USER_COLUMNS} from withdrawal_users u where withdrawal_id = ? and next_at is not null order by next_at limit 1`,
    [id],
  );
  const [step] = user ? stepsOf(user) : [];
  return user && step ? { at: user.nextAt, step } : null;
}

/** What went wrong last, about users whom it still concerns. */
export async function lastFailures(db: Db, id: string, limit: number): Promise<string[]> {
  const found = await rows<{ userId: string; failure: string }>(
    db,
    `select user_id as "userId", failure from withdrawal_users
     where withdrawal_id = ? and failure is not null and (state = 'undeliverable' or next_at is not null)
     order by changed_at desc, user_id
     limit ?`,
    [id, limit],
  );
  return found.map(({ userId, failure }) => `user ${userId}: ${failure}`);
}

/** The users of a page about whom something is due at an instant. */
export function dueUsers(db: Db, id: string, page: number, at: Instant): Promise<PagedUser[]> {
  return rows<PagedUser>(
    db,
    `select ${USER_COLUMNS} from withdrawal_users u
     where withdrawal_id = ? and page = ? and next_at <= ?
     order by next_at, user_id`,
    [id, page, at],
  );
}

/** Users of a campaign in the order of their ids, after one of them. */
export function listUsers(
  db: Db,
  id: string,
  page: { state: WithdrawalUserState | null; after: string | null; limit: number },
): Promise<PagedUser[]> {
  return rows<PagedUser>(
    db,
    `select ${USER_COLUMNS} from withdrawal_users u
     where withdrawal_id = ? and (?::text is null or state = ?) and (?::uuid is null or user_id > ?)
     order by user_id
     limit ?`,
    [id, page.state, page.state, page.after, page.after, page.limit],
  );
}

/** Which of some users a campaign does not concern. */
export async function strangersTo(db: Db, id: string, userIds: readonly string[]): Promise<string[]> {
  const found = await rows<{ userId: string }>(
    db,
    `select asked.id as "userId" from unnest(?::uuid[]) as asked (id)
     where not exists (select from withdrawal_users where withdrawal_id = ? and user_id = asked.id)`,
    [userIds, id],
  );
  return found.map(({ userId }) => userId);
}

export type Chosen = readonly string[] | 'all';

/** What somebody asked of users of a campaign. */
export interface WithdrawalRequest {
  readonly users: Chosen;
  readonly actor: string;
  readonly reason: string;
  readonly at: Instant;
}

/** Remembers a request, once per id; a repeat changes nothing. */
export async function recordRequest(
  db: Db,
  id: string,
  request: WithdrawalRequest & { readonly requestId: string; readonly kind: 'rescind' | 'retry' },
): Promise<void> {
  const { requestId, kind, users, actor, reason, at } = request;
  await db.raw(
    `insert into withdrawal_requests (withdrawal_id, request_id, kind, users, actor, reason, at)
     values (?, ?, ?, ?, ?, ?, ?)
     on conflict do nothing`,
    [id, requestId, kind, JSON.stringify(users), actor, reason, at],
  );
}

/** @throws Error when there is no such request of that kind. */
export async function requestOf(
  db: Db,
  id: string,
  { requestId, kind }: { requestId: string; kind: 'rescind' | 'retry' },
): Promise<WithdrawalRequest> {
  const found = await firstRow<WithdrawalRequest>(
    db,
    'select users, actor, reason, at from withdrawal_requests where withdrawal_id = ? and request_id = ? and kind = ?',
    [id, requestId, kind],
  );
  if (!found) throw new Error(`nobody asked withdrawal ${id} to ${kind} as ${requestId}`);
  return found;
}

/** The next page, after one, that has users who are chosen. */
export async function nextPageOf(
  db: Db,
  id: string,
  { users, after }: { users: Chosen; after: number | null },
): Promise<number | null> {
  const found = await firstRow<{ page: number | null }>(
    db,
    `select min(page) as page from withdrawal_users
     where withdrawal_id = ? and page > ? and (?::uuid[] is null or user_id = any(?::uuid[]))`,
    [id, after ?? -1, users === 'all' ? null : users, users === 'all' ? null : users],
  );
  return found?.page ?? null;
}

/**
 * Changes users of a campaign: locks them, lets the rule decide, and writes who is another afterwards.
 *
 * @returns the users as they are now, in the order of their ids.
 */
export function changeUsers(
  db: Db,
  id: string,
  chosen: { readonly page: number; readonly users: Chosen },
  rule: (user: WithdrawalUser) => WithdrawalUser,
): Promise<WithdrawalUser[]> {
  const { page, users } = chosen;
  return inTransaction(db, async (trx) => {
    const found = await rows<PagedUser>(
      trx,
      `select ${USER_COLUMNS} from withdrawal_users u
       where withdrawal_id = ? and page = ? and (?::uuid[] is null or user_id = any(?::uuid[]))
       order by user_id
       for update`,
      [id, page, users === 'all' ? null : users, users === 'all' ? null : users],
    );
    const after = found.map((user) => ({ before: user, now: rule(user) }));
    const changed = after.filter(({ before, now }) => before !== now).map(({ now }) => now);
    if (changed.length > 0) await writeUsers(trx, id, page, changed);
    return after.map(({ now }) => now);
  });
}

/** The page is named as well: before the new rows are analysed a join by the ids alone would read the whole campaign. */
async function writeUsers(trx: Trx, id: string, page: number, users: readonly WithdrawalUser[]): Promise<void> {
  await trx.raw(
    `update withdrawal_users u
     set state = n.state, changed_at = n."changedAt", next_at = n."nextAt", delivered_at = n."deliveredAt",
       channel = n.channel, withdraws_at = n."withdrawsAt", reminded = n.reminded, told_at = n."toldAt", round = n.round,
       failure = n.failure
     from jsonb_to_recordset(?::jsonb) as n ("userId" uuid, state text, "changedAt" timestamptz, "nextAt" timestamptz,
       "deliveredAt" timestamptz, channel text, "withdrawsAt" timestamptz, reminded int, "toldAt" timestamptz, round int,
       failure text)
     where u.withdrawal_id = ? and u.page = ? and u.user_id = n."userId"`,
    [JSON.stringify(users), id, page],
  );
}

/** The page of a user; undefined when the campaign does not concern them. */
export async function pageOfUser(db: Db, id: string, userId: string): Promise<number | undefined> {
  const found = await firstRow<{ page: number }>(
    db,
    'select page from withdrawal_users where withdrawal_id = ? and user_id = ?',
    [id, userId],
  );
  return found?.page;
}

/** A selected lot as it is now. */
export interface WithdrawalLot {
  readonly userId: string;
  readonly lotId: string;
  readonly reference: string | null;
  readonly available: Credits;
  readonly reserved: Credits;
  readonly withdrawn: Credits;
  readonly isEnded: boolean;
}

/** The selected lots of users, in the order of their ids. */
export function lotsOfUsers(db: Db, id: string, userIds: readonly string[]): Promise<WithdrawalLot[]> {
  return rows<WithdrawalLot>(
    db,
    `select s.user_id as "userId", s.lot_id as "lotId", l.reference, l.available, l.reserved, l.withdrawn,
       l.ended_as is not null as "isEnded"
     from unnest(?::uuid[]) as asked (id)
     cross join lateral (
       select user_id, lot_id from withdrawal_lots where withdrawal_id = ? and user_id = asked.id offset 0
     ) s
     join lots l on l.id = s.lot_id
     order by s.lot_id`,
    [userIds, id],
  );
}

/** A withdrawal that a user was told of and that has not taken effect at an instant. */
export interface PendingWithdrawal extends WithdrawalUser {
  readonly withdrawalId: string;
  readonly reason: string;
}

/** What was announced to a user and is still to come. */
export function pendingWithdrawals(db: Db, userId: string, at: Instant): Promise<PendingWithdrawal[]> {
  return rows<PendingWithdrawal>(
    db,
    `select w.id as "withdrawalId", w.reason, ${USER_COLUMNS}
     from withdrawal_users u
     join withdrawals w on w.id = u.withdrawal_id
     where u.user_id = ? and u.state = 'noticed' and u.withdraws_at > ?
     order by u.withdraws_at, w.id`,
    [userId, at],
  );
}

/** The id of a notice: the same whenever the same thing is told. */
export function noticeIdOf(withdrawalId: string, told: readonly (string | number | null)[]): string {
  return uuidv5(JSON.stringify(told), withdrawalId);
}
