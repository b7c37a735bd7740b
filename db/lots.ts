/** Lots as people see them, and how they are granted. */
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Lot, LotSource } from '../domain/lots';
import type { GrantOperation } from '../domain/operations';
import { type Db, firstRow, rows, type Trx } from './client';
import { type Ledger, LOT_COLUMNS } from './ledger';
import type { Viewer } from './people';

/** A lot with where it came from. */
export interface DescribedLot extends Lot {
  readonly source: LotSource;
  readonly reference: string | null;
  readonly purchasedAt: Instant | null;
  /** When the customer received what was imported; null for everything else. */
  readonly receivedAt: Instant | null;
}

const LOTS = `select ${LOT_COLUMNS}, source, reference, purchased_at as "purchasedAt",
    (select i.received_at from imports i where i.lot_id = lots.id) as "receivedAt"
  from lots`;

/** All lots of a contract or a user, ended ones too, in the order of their ids. */
export function listLots(db: Db | Trx, poolId: string): Promise<DescribedLot[]> {
  return rows<DescribedLot>(db, `${LOTS} where pool_id = ? order by id`, [poolId]);
}

export function findLot(db: Db | Trx, id: string): Promise<DescribedLot | undefined> {
  return firstRow<DescribedLot>(db, `${LOTS} where id = ?`, [id]);
}

/** A lot is seen by whom its owner is seen by: a contract's people, or the user; and by the provider's people. */
export function findVisibleLot(db: Db | Trx, viewer: Viewer, id: string): Promise<DescribedLot | undefined> {
  return firstRow<DescribedLot>(db, `${LOTS} where id = ? and (? or pool_id = any(?::uuid[]))`, [
    id,
    viewer.everything,
    [viewer.userId, ...viewer.contractIds],
  ]);
}

export type NewLot = GrantOperation['lot'];

/**
 * Grants a lot, once per lot id.
 *
 * @param receivedAt when the customer received what is imported.
 * @throws BillingError `lot_invalid`, `idempotency_key_reused`.
 */
export async function grantLot(
  ledger: Pick<Ledger, 'db' | 'apply'>,
  grant: {
    readonly lot: NewLot;
    readonly receivedAt?: Instant;
    readonly actor: string;
    readonly reason: string;
    readonly at: Instant;
  },
): Promise<void> {
  const { lot, receivedAt, actor, reason, at } = grant;
  if (receivedAt !== undefined) {
    // Before the grant: no imported lot is ever there without it.
    await ledger.db.raw('insert into imports (lot_id, received_at) values (?, ?) on conflict do nothing', [
      lot.id,
      receivedAt,
    ]);
  }
  const outcome = await ledger.apply({ kind: 'grant', act: 'grant', at, actor, reason, lot });
  if (!outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
}
