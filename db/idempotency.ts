/** Idempotency keys of requests: who claims a key first names the resource; repeats work on the same one. */
import { v7 as uuidv7 } from 'uuid';
import type { Instant } from '../domain/instant';
import { type Db, firstRow, rows } from './client';

export interface Claim {
  /** The id of what the request makes; the same for every repeat. */
  readonly resourceId: string;
  readonly claimedAt: Instant;
  /** Whether the key was claimed before. */
  readonly isRepeat: boolean;
  /** What was answered, once it was. */
  readonly answer: { readonly status: number; readonly body: unknown } | null;
}

/**
 * Claims a user's key for a request.
 *
 * @returns `null` when the key was used with another request.
 */
export async function claimKey(
  db: Db,
  claim: { userId: string; key: string; requestHash: Buffer; at: Instant },
): Promise<Claim | null> {
  const { userId, key, requestHash, at } = claim;
  const resourceId = uuidv7();
  // Committed without waiting for the disk: whatever is done under the claim waits, and takes the claim with it.
  const claimed = await rows(
    db,
    `insert into idempotency_keys (user_id, key, request_hash, resource_id, claimed_at)
     select ?::uuid, ?, ?::bytea, ?::uuid, ?::timestamptz
     from set_config('synchronous_commit', 'off', true)
     on conflict do nothing
     returning key`,
    [userId, key, requestHash, resourceId, at],
  );
  if (claimed.length > 0) return { resourceId, claimedAt: at, isRepeat: false, answer: null };
  const found = await firstRow<{
    requestHash: Buffer;
    resourceId: string;
    claimedAt: Instant;
    status: number | null;
    response: unknown;
  }>(
    db,
    `select request_hash as "requestHash", resource_id as "resourceId", claimed_at as "claimedAt", status, response
     from idempotency_keys
     where user_id = ? and key = ?`,
    [userId, key],
  );
  if (!found) throw new Error('a claimed key was not found');
  if (!found.requestHash.equals(requestHash)) return null;
  return {
    resourceId: found.resourceId,
    claimedAt: found.claimedAt,
    isRepeat: true,
    answer: found.status === null ? null : { status: found.status, body: found.response },
  };
}

/** Remembers the answer to a claimed key; the first answer stands. */
export async function rememberAnswer(
  db: Db,
  answer: { userId: string; key: string; status: number; body: unknown },
): Promise<void> {
  // Not waiting for the disk either: an answer that a crash forgets is found again from what was done.
  await db.raw(
    `update idempotency_keys
     set status = ?, response = ?
     from set_config('synchronous_commit', 'off', true)
     where user_id = ? and key = ? and status is null`,
    [answer.status, JSON.stringify(answer.body), answer.userId, answer.key],
  );
}
