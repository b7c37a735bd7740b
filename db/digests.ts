/** Digests: what waits to be told to a person. */
import type { Instant } from '../domain/instant';
import type { DigestEntryFacts, DigestEntryKind } from '../domain/notices';
import type { Db, Trx } from './client';

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
