/** Lots as people see them, and how they are granted. */
import { v7 as uuidv7 } from 'uuid';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Lot, LotSource } from '../domain/lots';
import type { GrantOperation } from '../domain/operations';
import { type Db, firstRow, rows } from './client';
import { applyBatch, LOT_COLUMNS } from './ledger';

/** A lot with where it came from. */
export interface DescribedLot extends Lot {
  readonly source: LotSource;
  readonly reference: string | null;
  readonly purchasedAt: Instant | null;
}

const DESCRIBED = `${LOT_COLUMNS}, source, reference, purchased_at as "purchasedAt"`;

/** All lots of a contract or a user, ended ones too, in the order of their ids. */
export function listLots(db: Db, poolId: string): Promise<DescribedLot[]> {
  return rows<DescribedLot>(db, `select ${DESCRIBED} from lots where pool_id = ? order by id`, [poolId]);
}

export function findLot(db: Db, id: string): Promise<DescribedLot | undefined> {
  return firstRow<DescribedLot>(db, `select ${DESCRIBED} from lots where id = ?`, [id]);
}

export type NewLot = GrantOperation['lot'];

/**
 * Grants a lot, once per lot id.
 *
 * @throws BillingError `lot_invalid`, `idempotency_key_reused`.
 */
export async function grantLot(
  db: Db,
  { lot, actor, reason, at }: { lot: NewLot; actor: string; reason: string; at: Instant },
): Promise<void> {
  const [outcome] = await applyBatch(db, [
    { kind: 'grant', id: uuidv7(), key: `${lot.id}/grant`, at, actor, reason, lot },
  ]);
  if (outcome && !outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
}
