/** Idempotency keys of requests: who claims a key first names the resource; repeats work on the same one. */
import { v7 as uuidv7 } from 'uuid';
import type { Instant } from '../domain/instant';
import { type Db, firstRow } from './client';

export interface Claim {
  /** The id of what the request makes; the same for every repeat. */
  readonly resourceId: string;
  readonly claimedAt: Instant;
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
  await db.raw(
    `insert into idempotency_keys (user_id, key, request_hash, resource_id, claimed_at)
     values (?, ?, ?, ?, ?)
     on conflict do nothing`,
    [userId, key, requestHash, uuidv7(), at],
  );
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
    answer: found.status === null ? null : { status: found.status, body: found.response },
  };
}

/** Remembers the answer to a claimed key; the first answer stands. */
export async function rememberAnswer(
  db: Db,
  answer: { userId: string; key: string; status: number; body: unknown },
): Promise<void> {
  await db.raw(
    'update idempotency_keys set status = ?, response = ? where user_id = ? and key = ? and status is null',
    [answer.status, JSON.stringify(answer.body), answer.userId, answer.key],
  );
}
