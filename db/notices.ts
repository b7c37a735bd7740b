/** Notices: what is to be told to whom, every attempt and its proof, and what is shown in the service until it is read. */
import type { Instant } from '../domain/instant';
import type { Attempt, ResultKind } from '../domain/noticeDelivery';
import type { ChannelName, Language, NoticeContent, NoticeKind } from '../domain/notices';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';

export type Notice = NoticeContent & {
  readonly id: string;
  readonly userId: string;
  /** What it is about, such as a withdrawal. */
  readonly subjectId: string | null;
  /** Told whatever the person prefers. */
  readonly required: boolean;
  /** When it was asked for, in business time. */
  readonly at: Instant;
};

export type NewNotice = Exclude<NoticeContent, { kind: 'digest' }> & Omit<Notice, 'kind' | 'facts'>;

/** Asks for a notice, once per id; it is told by a delivery. A repeat changes nothing. */
export async function createNotice(db: Db | Trx, notice: NewNotice): Promise<void> {
  await insertNotice(db, notice, null);
}

/** Writes a notice and that its delivery is due. @returns whether it is new. */
export async function insertNotice(db: Db | Trx, notice: Notice, digestDay: string | null): Promise<boolean> {
  const { id, userId, kind, subjectId, facts, required, at } = notice;
  const found = await rows(
    db,
    `with made as (
       insert into notices (id, user_id, kind, subject_id, facts, required, digest_day, at)
       values (?, ?, ?, ?, ?::jsonb, ?, ?::date, ?)
       on conflict do nothing
       returning id, user_id, kind, at
     )
     insert into notice_deliveries (notice_id, user_id, kind, state, next_at)
     select id, user_id, kind, 'waiting', at from made
     returning notice_id`,
    [id, userId, kind, subjectId, JSON.stringify(facts), required, digestDay, at],
  );
  return found.length > 0;
}

const NOTICES = `select n.id, n.user_id as "userId", n.kind, n.subject_id as "subjectId", n.facts, n.required, n.at
  from notices n`;

export function findNotice(db: Db | Trx, id: string): Promise<Notice | undefined> {
  return firstRow<Notice>(db, `${NOTICES} where n.id = ?`, [id]);
}

/** Who is written to, and how. */
export interface Addressee {
  readonly userId: string;
  readonly name: string;
  readonly email: string;
  readonly language: Language;
  readonly timeZone: string;
}

const ADDRESSEE = 'u.id as "userId", u.name, u.email, u.language, u.time_zone as "timeZone"';

/** The person a notice is for, and what they prefer of mail that nothing requires. */
export async function findAddressee(
  db: Db | Trx,
  userId: string,
): Promise<{ readonly person: Addressee; readonly digests: boolean } | undefined> {
  const found = await firstRow<Addressee & { digests: boolean }>(
    db,
    `select ${ADDRESSEE}, coalesce(p.digests, true) as digests
     from users u
     left join notice_preferences p on p.user_id = u.id
     where u.id = ?`,
    [userId],
  );
  if (!found) return undefined;
  const { digests, ...person } = found;
  return { person, digests };
}

/** Who administers, at an instant, a contract that the user is authorised on then; never the user. */
export function administratorsOf(db: Db | Trx, userId: string, at: Instant): Promise<Addressee[]> {
  return rows<Addressee>(
    db,
    `select distinct ${ADDRESSEE}
     from contract_users mine
     join contract_users theirs on theirs.contract_id = mine.contract_id
     join users u on u.id = theirs.user_id
     where mine.user_id = ? and theirs.user_id <> mine.user_id and theirs.role = 'contract-admin'
       and mine.authorised_at <= ? and (mine.removed_at is null or ? < mine.removed_at)
       and theirs.authorised_at <= ? and (theirs.removed_at is null or ? < theirs.removed_at)
     order by u.id`,
    [userId, at, at, at, at],
  );
}

/** An attempt with what it said, for the proof. */
export interface ProvenAttempt extends Attempt {
  readonly recipients: readonly string[];
  readonly messageId: string | null;
  readonly language: Language;
  readonly subject: string;
  readonly body: string;
}

/** All attempts of a notice, in order. A result that was heard counts before one that was not. */
export async function attemptsOf(db: Db | Trx, noticeId: string): Promise<ProvenAttempt[]> {
  const found = await rows<
    Omit<ProvenAttempt, 'result'> & { resultKind: ResultKind | null; answer: string; resultAt: Instant }
  >(
    db,
    `select a.number, a.channel, a.recipients, a.message_id as "messageId", a.language, a.subject, a.body, a.at,
       r.kind as "resultKind", r.answer, r.at as "resultAt", a.channel = 'mail' and b.notice_id is not null as bounced
     from notice_attempts a
     left join lateral (
       select kind, answer, at
       from notice_results
       where notice_id = a.notice_id and number = a.number
       order by is_known desc
       limit 1
     ) r on true
     left join notice_bounces b on b.notice_id = a.notice_id
     where a.notice_id = ?
     order by a.number`,
    [noticeId],
  );
  return found.map(({ resultKind, answer, resultAt, ...attempt }) => ({
    ...attempt,
    result: resultKind === null ? null : { kind: resultKind, answer, at: resultAt },
  }));
}

/**
 * Writes down that a channel is about to be tried.
 *
 * @returns false when somebody else has begun an attempt of this number.
 */
export async function beginAttempt(
  db: Db | Trx,
  noticeId: string,
  attempt: Omit<ProvenAttempt, 'result' | 'bounced'>,
): Promise<boolean> {
  const { number, channel, recipients, messageId, language, subject, body, at } = attempt;
  const begun = await rows(
    db,
    `insert into notice_attempts (notice_id, number, channel, recipients, message_id, language, subject, body, at)
     values (?, ?, ?, ?::text[], ?, ?, ?, ?, ?)
     on conflict do nothing
     returning number`,
    [noticeId, number, channel, recipients, messageId, language, subject, body, at],
  );
  return begun.length > 0;
}

/** What somebody is shown in the service, in their own language. */
export interface Showing {
  readonly userId: string;
  readonly subject: string;
  readonly body: string;
}

/** Writes down what came of an attempt, and whom the notice is shown to from now on. */
export async function recordResult(
  db: Db,
  result: {
    readonly noticeId: string;
    readonly number: number;
    readonly kind: ResultKind;
    readonly answer: string;
    readonly at: Instant;
    readonly showings: readonly Showing[];
  },
): Promise<void> {
  const { noticeId, number, kind, answer, at, showings } = result;
  await inTransaction(db, async (trx) => {
    await trx.raw(
      `insert into notice_results (notice_id, number, kind, answer, at) values (?, ?, ?, ?, ?) on conflict do nothing`,
      [noticeId, number, kind, answer, at],
    );
    for (const { userId, subject, body } of showings) {
      await trx.raw(
        `insert into notice_showings (notice_id, number, user_id, subject, body, at)
         values (?, ?, ?, ?, ?, ?)
         on conflict (notice_id, number, user_id) do nothing`,
        [noticeId, number, userId, subject, body, at],
      );
    }
  });
}

/** Keeps how a delivery stands: waiting until an instant, or over. */
export async function keepDeliveryState(
  db: Db | Trx,
  noticeId: string,
  stands: { readonly state: 'delivered' | 'undeliverable' } | { readonly state: 'waiting'; readonly nextAt: Instant },
): Promise<void> {
  await db.raw('update notice_deliveries set state = ?, next_at = ? where notice_id = ?', [
    stands.state,
    'nextAt' in stands ? stands.nextAt : null,
    noticeId,
  ] as never);
}

export interface Bounced {
  readonly noticeId: string;
  readonly userId: string;
  readonly kind: NoticeKind;
  readonly subjectId: string | null;
  readonly reason: string;
  readonly at: Instant;
}

/**
 * Writes down that mail came back after its server had accepted it, once per message. The notice is undelivered again, and
 * its next delivery goes on with the next channel.
 *
 * @returns which notice it was, and what it is about; undefined when no mail has this message id.
 */
export function recordBounce(
  db: Db,
  bounce: { readonly messageId: string; readonly reason: string; readonly at: Instant; readonly actor: string },
): Promise<Bounced | undefined> {
  const { messageId, reason, at, actor } = bounce;
  return inTransaction(db, async (trx) => {
    const sent = await firstRow<{ noticeId: string }>(
      trx,
      `select d.notice_id as "noticeId"
       from notice_deliveries d
       where d.notice_id in (select notice_id from notice_attempts where message_id = ?)
       for update`,
      [messageId],
    );
    if (!sent) return undefined;
    const { noticeId } = sent;
    const isNew = await firstRow(
      trx,
      `insert into notice_bounces (notice_id, message_id, reason, actor, at)
       values (?, ?, ?, ?, ?)
       on conflict (notice_id) do nothing
       returning notice_id`,
      [noticeId, messageId, reason, actor, at],
    );
    // Another channel may have delivered it before.
    await trx.raw(
      `update notice_deliveries d
       set state = 'waiting', next_at = ?
       where ? and notice_id = ?
         and not exists (
           select from notice_results r
           join notice_attempts a using (notice_id, number)
           where r.notice_id = d.notice_id and r.kind = 'delivered' and a.channel <> 'mail'
         )`,
      [at, isNew !== undefined, noticeId],
    );
    return firstRow<Bounced>(
      trx,
      `select n.id as "noticeId", n.user_id as "userId", n.kind, n.subject_id as "subjectId", b.reason, b.at
       from notices n
       join notice_bounces b on b.notice_id = n.id
       where n.id = ?`,
      [noticeId],
    );
  });
}

/** A notice as one person is shown it. */
export interface ShownNotice {
  readonly id: string;
  readonly kind: NoticeKind;
  readonly required: boolean;
  readonly subjectId: string | null;
  /** Whom it is about: the reader, or somebody whose contract the reader administers. */
  readonly userId: string;
  readonly userName: string;
  readonly channel: ChannelName;
  readonly subject: string;
  readonly body: string;
  readonly shownAt: Instant;
  readonly readAt: Instant | null;
  /** Waits to be read here. What was mailed does not. */
  readonly unread: boolean;
  readonly position: bigint;
}

/** The showings of the person whose id is bound first; what came back as undeliverable mail was not shown. */
const SHOWN = `select n.id, n.kind, n.required, n.subject_id as "subjectId", n.user_id as "userId", u.name as "userName",
    a.channel, s.subject, s.body, s.at as "shownAt", r.at as "readAt",
    (r.at is null and a.channel <> 'mail') as unread, s.position
  from notice_showings s
  join notice_attempts a using (notice_id, number)
  join notices n on n.id = s.notice_id
  join users u on u.id = n.user_id
  left join notice_reads r on r.notice_id = s.notice_id and r.user_id = s.user_id
  where s.user_id = ?
    and not (a.channel = 'mail' and exists (select from notice_bounces b where b.notice_id = s.notice_id))`;

/** Where a page of notices ended. */
export interface ShownCursor {
  readonly unread: boolean;
  readonly position: bigint;
}

/** What a person is shown: what waits to be read first, then the rest, each newest first. */
export function listShownNotices(
  db: Db,
  userId: string,
  page: { readonly after: ShownCursor | null; readonly limit: number; readonly unreadOnly: boolean },
): Promise<ShownNotice[]> {
  const { after, limit, unreadOnly } = page;
  return rows<ShownNotice>(
    db,
    `select *
     from (${SHOWN}) shown
     where (not ? or unread)
       and (?::boolean is null or (unread::int, position) < (?::boolean::int, ?::bigint))
     order by unread desc, position desc
     limit ?`,
    [
      userId,
      unreadOnly,
      after?.unread ?? null,
      after?.unread ?? null,
      after === null ? null : after.position.toString(),
      limit,
    ],
  );
}

/**
 * Keeps that a person has read a notice; the first time counts.
 *
 * @returns undefined when the person is not shown it.
 */
export async function readNotice(
  db: Db,
  read: { readonly noticeId: string; readonly userId: string; readonly at: Instant },
): Promise<ShownNotice | undefined> {
  await db.raw(
    `insert into notice_reads (notice_id, user_id, at)
     select ?::uuid, ?::uuid, ?::timestamptz
     where exists (select from notice_showings where notice_id = ? and user_id = ?)
     on conflict (notice_id, user_id) do nothing`,
    [read.noticeId, read.userId, read.at, read.noticeId, read.userId],
  );
  return firstRow<ShownNotice>(db, `select * from (${SHOWN}) shown where id = ? order by position desc limit 1`, [
    read.userId,
    read.noticeId,
  ]);
}

export interface NoticeReader {
  readonly userId: string;
  readonly channel: ChannelName;
  readonly shownAt: Instant;
  readonly readAt: Instant | null;
}

/** Everything that proves what became of a notice. */
export interface NoticeProof {
  readonly notice: Notice;
  readonly state: 'waiting' | 'delivered' | 'undeliverable';
  readonly nextAt: Instant | null;
  readonly attempts: readonly ProvenAttempt[];
  readonly bounce: { readonly messageId: string; readonly reason: string; readonly at: Instant } | null;
  readonly readers: readonly NoticeReader[];
}

export async function proofOf(db: Db, noticeId: string): Promise<NoticeProof | undefined> {
  const notice = await findNotice(db, noticeId);
  if (!notice) return undefined;
  const stands = await firstRow<Pick<NoticeProof, 'state' | 'nextAt'>>(
    db,
    'select state, next_at as "nextAt" from notice_deliveries where notice_id = ?',
    [noticeId],
  );
  const bounce = await firstRow<{ messageId: string; reason: string; at: Instant }>(
    db,
    'select message_id as "messageId", reason, at from notice_bounces where notice_id = ?',
    [noticeId],
  );
  const readers = await rows<NoticeReader>(
    db,
    `select s.user_id as "userId", a.channel, s.at as "shownAt", r.at as "readAt"
     from notice_showings s
     join notice_attempts a using (notice_id, number)
     left join notice_reads r on r.notice_id = s.notice_id and r.user_id = s.user_id
     where s.notice_id = ?
     order by s.position`,
    [noticeId],
  );
  if (!stands) throw new Error(`notice ${noticeId} has no delivery`);
  return { notice, ...stands, attempts: await attemptsOf(db, noticeId), bounce: bounce ?? null, readers };
}
