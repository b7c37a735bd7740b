/** Digests: what waits to be told to a person, gathered into one notice per person and day of their calendar. */
import { v7 as uuidv7 } from 'uuid';
import type { Instant } from '../domain/instant';
import { type DigestEntry, type DigestEntryFacts, type DigestEntryKind, dueDigestDay } from '../domain/notices';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { insertNotice } from './notices';

/** Has a person's next digest say something, once per person and key. */
export async function queueDigestEntry<Kind extends DigestEntryKind>(
  db: Db | Trx,
  entry: {
    readonly userId: string;
    readonly key: string;
    readonly kind: Kind;
    readonly at: Instant;
    readonly facts: DigestEntryFacts[Kind];
  },
): Promise<void> {
  const { userId, key, kind, at, facts } = entry;
  await db.raw(
    `insert into digest_entries (user_id, key, kind, facts, at)
     values (?, ?, ?, ?::jsonb, ?)
     on conflict (user_id, key) do nothing`,
    [userId, key, kind, JSON.stringify(facts), at],
  );
}

/** Somebody for whom something waits: entries without a digest, or a digest that is to be delivered again. */
export interface DigestCandidate {
  readonly userId: string;
  readonly timeZone: string;
  readonly lastDay: string | null;
  readonly hasEntries: boolean;
  /** Digests made before whose delivery is due. */
  readonly dueNoticeIds: readonly string[];
}

/** A page of those persons, in the order of their ids. */
export function digestCandidates(
  db: Db,
  page: { readonly after: string | null; readonly at: Instant; readonly limit: number },
): Promise<DigestCandidate[]> {
  const after = page.after ?? '00000000-0000-0000-0000-000000000000';
  return rows<DigestCandidate>(
    db,
    `with page as (
       select user_id from (
         (select distinct user_id from digest_entries where closed_at is null and user_id > ? order by user_id limit ?)
         union
         (select distinct user_id
          from notice_deliveries
          where kind = 'digest' and state = 'waiting' and next_at <= ? and user_id > ?
          order by user_id
          limit ?)
       ) both_kinds
       order by user_id
       limit ?
     )
     select u.id as "userId", u.time_zone as "timeZone",
       (select max(digest_day)::text from notices where user_id = u.id) as "lastDay",
       exists (select from digest_entries e where e.user_id = u.id and e.closed_at is null) as "hasEntries",
       array(
         select d.notice_id
         from notice_deliveries d
         where d.user_id = u.id and d.kind = 'digest' and d.state = 'waiting' and d.next_at <= ?
         order by d.notice_id
       ) as "dueNoticeIds"
     from page
     join users u on u.id = page.user_id
     order by u.id`,
    [after, page.limit, page.at, after, page.limit, page.limit, page.at],
  );
}

/**
 * Makes the digest of a person's day with all that waits, less what the person does not want to be told.
 *
 * @returns the notice's id; null when no digest is due, or nothing remains to be told.
 */
export async function makeDigest(
  db: Db,
  { userId, timeZone, lastDay }: DigestCandidate,
  at: Instant,
): Promise<string | null> {
  const day = dueDigestDay({ timeZone, lastDay }, at);
  if (day === null) return null;
  return inTransaction(db, async (trx) => {
    const waiting = await rows<DigestEntry & { key: string }>(
      trx,
      `select key, kind, at, facts from digest_entries where user_id = ? and closed_at is null order by at, key for update`,
      [userId],
    );
    const wanted = await wantedBy(trx, userId);
    const entries = waiting.filter(({ kind }) => wanted(kind));
    const id = uuidv7();
    if (entries.length > 0) {
      const facts = { day, entries: entries.map(({ key: _key, ...entry }) => entry) };
      const notice = { id, userId, kind: 'digest', subjectId: null, facts, required: false, at } as const;
      // Somebody else made the digest of this day: what waits now is for the next one.
      if (!(await insertNotice(trx, notice, day))) return null;
    }
    await trx.raw(
      `update digest_entries
       set closed_at = ?, notice_id = case when key = any(?::text[]) then ?::uuid end
       where user_id = ? and key = any(?::text[])`,
      [at, entries.map(({ key }) => key), id, userId, waiting.map(({ key }) => key)] as never,
    );
    return entries.length > 0 ? id : null;
  });
}

async function wantedBy(trx: Trx, userId: string): Promise<(kind: DigestEntryKind) => boolean> {
  const preferred = await firstRow<{ digests: boolean; muted: readonly string[] }>(
    trx,
    'select digests, muted from notice_preferences where user_id = ?',
    [userId],
  );
  return (kind) => preferred === undefined || (preferred.digests && !preferred.muted.includes(kind));
}
