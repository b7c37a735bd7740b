/** What people want to be told where nothing requires it, and how they say that they want no more. */
import { createHash, randomBytes } from 'node:crypto';
import type { Credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { DigestEntryKind, Language } from '../domain/notices';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';

export interface NoticePreferences {
  readonly language: Language;
  readonly timeZone: string;
  /** Whether digests are sent at all. */
  readonly digests: boolean;
  /** Kinds of entries that digests leave out. */
  readonly muted: readonly DigestEntryKind[];
  readonly thresholds: readonly BalanceThreshold[];
}

/** Below how much a person is warned. */
export interface BalanceThreshold {
  /** Null for the person's own credits. */
  readonly contractId: string | null;
  /** Null never warns. */
  readonly threshold: Credits | null;
}

/** What a person said they want; defaults where they said nothing. */
export async function noticePreferencesOf(db: Db | Trx, userId: string): Promise<NoticePreferences> {
  const person = await firstRow<Omit<NoticePreferences, 'thresholds'>>(
    db,
    `select u.language, u.time_zone as "timeZone", coalesce(p.digests, true) as digests, coalesce(p.muted, '{}') as muted
     from users u
     left join notice_preferences p on p.user_id = u.id
     where u.id = ?`,
    [userId],
  );
  if (!person) throw new Error(`there is no user ${userId}`);
  const thresholds = await rows<BalanceThreshold>(
    db,
    `select nullif(pool_id, user_id) as "contractId", threshold
     from balance_thresholds
     where user_id = ?
     order by pool_id`,
    [userId],
  );
  return { ...person, thresholds };
}

/** Puts what a person wants in the place of what they said before, thresholds included. */
export function setNoticePreferences(
  db: Db,
  userId: string,
  preferences: NoticePreferences,
  at: Instant,
): Promise<NoticePreferences> {
  const { language, timeZone, digests, muted, thresholds } = preferences;
  return inTransaction(db, async (trx) => {
    await trx.raw('update users set language = ?, time_zone = ? where id = ?', [language, timeZone, userId]);
    await putPreferences(trx, { userId, digests, muted, at });
    await trx.raw('delete from balance_thresholds where user_id = ?', [userId]);
    for (const { contractId, threshold } of thresholds) {
      await trx.raw('insert into balance_thresholds (user_id, pool_id, threshold) values (?, ?, ?)', [
        userId,
        contractId ?? userId,
        threshold?.toString() ?? null,
      ] as never);
    }
    return noticePreferencesOf(trx, userId);
  });
}

async function putPreferences(
  db: Db | Trx,
  given: { userId: string; digests: boolean; muted: readonly string[]; at: Instant },
): Promise<void> {
  await db.raw(
    `insert into notice_preferences (user_id, digests, muted, changed_at)
     values (?, ?, ?::text[], ?)
     on conflict (user_id) do update
     set digests = excluded.digests, muted = excluded.muted, changed_at = excluded.changed_at`,
    [given.userId, given.digests, given.muted, given.at] as never,
  );
}

/** Makes a link's token by which a person ends their digests without a key. @returns the token; only its hash is kept. */
export async function createUnsubscribeToken(db: Db | Trx, userId: string): Promise<string> {
  const token = randomBytes(24).toString('base64url');
  await db.raw('insert into unsubscribe_tokens (token_hash, user_id) values (?, ?)', [hashOf(token), userId]);
  return token;
}

/** Ends the digests of whom a token was sent to; a token that nobody was sent changes nothing. */
export async function unsubscribe(db: Db, token: string, at: Instant): Promise<void> {
  await db.raw(
    `insert into notice_preferences (user_id, digests, changed_at)
     select user_id, false, ?::timestamptz from unsubscribe_tokens where token_hash = ?
     on conflict (user_id) do update
     set digests = false, changed_at = excluded.changed_at
     where notice_preferences.digests`,
    [at, hashOf(token)] as never,
  );
}

/** Tokens are random and long: a plain hash keeps them as safe as a slow one. */
function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
