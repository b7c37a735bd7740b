/**
 * The journal written by hand, past the planner: whatever a program with the rights of the application could append. What
 * the database itself refuses is tried with it.
 */
import type { Instant } from '../../domain/instant';
import { rows as rowsOf, type Trx } from '../client';
import { digestOf, type OperationRow } from '../ledger/chain';

/** A link of a pool's chain before it is written. */
export interface LinkByHand {
  readonly poolId: string;
  readonly seq: bigint;
  readonly head: Buffer;
  readonly bookedMax: Instant;
}

export interface ByHand {
  readonly rows: readonly OperationRow[];
  /** The pools whose chains the batch is linked to. */
  readonly poolIds: readonly string[];
  /** Makes the links wrong. */
  readonly changed?: (link: LinkByHand) => LinkByHand;
  /** The clock of the server when absent. */
  readonly recordedAt?: Instant;
}

interface Head {
  readonly id: string;
  readonly seq: bigint;
  readonly head: Buffer;
  readonly bookedMax: Instant | null;
}

/** Appends a batch, with the rights of the connection. @throws what the database refuses it with. */
export async function appendByHand(trx: Trx, { rows, poolIds, changed, recordedAt }: ByHand): Promise<void> {
  const heads = await rowsOf<Head>(
    trx,
    `select id, seq, head, booked_max as "bookedMax"
       from pools
       where id = any(?::uuid[])
       order by id
       for no key update`,
    [poolIds],
  );
  const [drawn] = await rowsOf<{ batchId: bigint; clock: Instant }>(
    trx,
    `select nextval('batch_ids') as "batchId", clock_timestamp() as clock`,
  );
  if (!drawn) throw new Error('the sequence of batches gave nothing');
  const at = recordedAt ?? drawn.clock;
  const digest = digestOf(rows);
  const bookedMax = rows.map((row) => row.bookedAt).reduce(laterOf);
  const links = await Promise.all(
    heads.map(async (before) => ({
      poolId: before.id,
      seq: before.seq + 1n,
      head: await nextHead(trx, [before.head, drawn.batchId, at, digest]),
      bookedMax: laterOf(before.bookedMax ?? bookedMax, bookedMax),
    })),
  );
  const lots = rows.flatMap(({ lot }) => lot ?? []);
  if (lots.length > 0) {
    await trx('lots').insert(
      lots.map((lot) => ({
        id: lot.id,
        pool_id: lot.poolId,
        pool_owner: lot.kind === 'individual' ? 'user' : 'contract',
        kind: lot.kind,
        source: lot.source,
        reference: lot.reference,
        granted: String(lot.amount),
        available: String(lot.amount),
        reserved: '0',
        consumed: '0',
        expired: '0',
        withdrawn: '0',
        purchased_at: lot.purchasedAt,
        effective_at: lot.effectiveAt,
        expires_at: lot.expiresAt,
        grace_until: lot.graceUntil,
        advance: lot.advance,
      })),
    );
  }
  await trx('batches').insert({ id: String(drawn.batchId), recorded_at: at, digest });
  await trx('operations').insert(
    rows.map((row, position) => ({
      batch_id: String(drawn.batchId),
      position,
      booked_at: row.bookedAt,
      absorbed: row.absorbed === null ? null : String(row.absorbed),
      cap: row.cap === null ? null : String(row.cap),
      effective_at: row.effectiveAt,
      expires_at: row.expiresAt,
      withdrawn_at: row.withdrawnAt,
      grace_until: row.graceUntil,
      subject: row.subject,
      refers_to: row.refersTo,
      user_id: row.userId,
      contract_id: row.contractId,
      kind: row.kind,
      act: row.act,
      actor: row.actor,
      reason: row.reason,
      moves: row.moves,
      lot_ids: row.lotIds,
      amounts: row.amounts.map((amount) => amount?.toString()),
      project: row.project,
      request_hash: row.requestHash,
    })),
  );
  await trx('links').insert(
    links.map(changed ?? ((link) => link)).map((link) => ({
      pool_id: link.poolId,
      seq: String(link.seq),
      batch_id: String(drawn.batchId),
      head: link.head,
      booked_max: link.bookedMax,
      recorded_at: at,
    })),
  );
}

async function nextHead(trx: Trx, of: readonly [Buffer, bigint, Instant, Buffer]): Promise<Buffer> {
  const [next] = await rowsOf<{ head: Buffer }>(trx, 'select next_head(?, ?, ?, ?) as head', [...of]);
  if (!next) throw new Error('next_head gave nothing');
  return next.head;
}

function laterOf(a: Instant, b: Instant): Instant {
  return a > b ? a : b;
}
