/** Packs, and purchases of credits: recorded once per order number, allocated to a contract once (R3). */
import { v7 as uuidv7 } from 'uuid';
import { type Credits, credits } from '../domain/credits';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { LotLife } from '../domain/lots';
import { objectionToPurchase, planPurchaseAllocation } from '../domain/purchase';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { findSteadyContract } from './contracts';
import type { NewLot } from './lots';
import type { Viewer } from './people';

export interface Pack {
  readonly code: string;
  readonly title: string;
  readonly amount: Credits;
}

/** Publishes a pack once; what a pack holds never changes. */
export async function publishPack(db: Db | Trx, { code, title, amount }: Pack): Promise<void> {
  await db.raw('insert into packs (code, title, amount) values (?, ?, ?) on conflict do nothing', [
    code,
    title,
    amount,
  ] as never);
}

export function listPacks(db: Db | Trx): Promise<Pack[]> {
  return rows<Pack>(db, 'select code, title, amount from packs order by code');
}

/** What was paid, in the smallest unit of a currency. */
export interface Price {
  readonly minor: number;
  readonly currency: string;
}

/** What is ordered: packs, or an amount of credits. */
export interface Order {
  readonly orderNumber: string;
  readonly customerId: string;
  readonly bought: { readonly pack: string; readonly quantity: number } | { readonly amount: Credits };
  readonly price: Price | null;
  /** Null for the instant at which it is recorded. */
  readonly purchasedAt: Instant | null;
  /** The contract to which it is allocated at once; null leaves it waiting. */
  readonly contractId: string | null;
}

export interface Purchase {
  readonly id: string;
  readonly orderNumber: string;
  readonly customerId: string;
  readonly pack: string | null;
  readonly quantity: number | null;
  readonly amount: Credits;
  readonly price: Price | null;
  readonly purchasedAt: Instant;
  readonly recordedAt: Instant;
  /** Set together, once. */
  readonly contractId: string | null;
  readonly lotId: string | null;
  readonly allocatedAt: Instant | null;
  readonly allocatedBy: string | null;
  /** The life of the lot as it was allocated. */
  readonly expiresAt: Instant | null;
  readonly graceUntil: Instant | null;
}

const COLUMNS = `id, order_number as "orderNumber", customer_id as "customerId", pack, quantity, amount,
  price_minor as "priceMinor", currency, purchased_at as "purchasedAt", recorded_at as "recordedAt",
  contract_id as "contractId", lot_id as "lotId", allocated_at as "allocatedAt", allocated_by as "allocatedBy",
  expires_at as "expiresAt", grace_until as "graceUntil"`;

type PurchaseRow = Omit<Purchase, 'price'> & { readonly priceMinor: bigint | null; readonly currency: string | null };

function purchaseOf({ priceMinor, currency, ...row }: PurchaseRow): Purchase {
  return { ...row, price: priceMinor === null || currency === null ? null : { minor: Number(priceMinor), currency } };
}

interface Acting {
  readonly actor: string;
  /** Business time. */
  readonly at: Instant;
}

/**
 * Records a purchase, once per order number: the same order again answers what was recorded first.
 *
 * @throws BillingError `order_number_reused`, `product_unknown`, `purchase_invalid`, `purchase_expired`, `not_found` for a customer
 *   or a contract that is not there, and what {@link planPurchaseAllocation} refuses.
 */
export function recordPurchase(
  db: Db,
  order: Order,
  { actor, at }: Acting,
): Promise<{ readonly purchase: Purchase; readonly isNew: boolean }> {
  return inTransaction(db, async (trx) => {
    const before = await findOrdered(trx, order);
    if (before) return { purchase: before, isNew: false };
    const purchasedAt = order.purchasedAt ?? at;
    const { customerId, contractId, price } = order;
    if (!(await firstRow(trx, 'select 1 from customers where id = ?', [customerId]))) {
      throw new BillingError('not_found', `There is no customer ${customerId}.`);
    }
    const { pack = null, quantity = null, amount } = await boughtIn(trx, order);
    const objection = contractId === null ? objectionToPurchase({ purchasedAt }, at) : null;
    if (objection) throw new BillingError(objection.code, objection.message, objection.details);
    const life = contractId === null ? null : await lifeIn(trx, { customerId, purchasedAt }, contractId, at);
    const made = await firstRow<PurchaseRow>(
      trx,
      `insert into purchases (id, order_number, customer_id, pack, quantity, amount, price_minor, currency, purchased_at, request,
         actor, contract_id, lot_id, allocated_at, allocated_by, expires_at, grace_until)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       on conflict (order_number) do nothing
       returning ${COLUMNS}`,
      [
        uuidv7(),
        order.orderNumber,
        customerId,
        pack,
        quantity,
        amount,
        price?.minor ?? null,
        price?.currency ?? null,
        purchasedAt,
        requestOf(order),
        actor,
        ...(life === null ? [null, null, null, null, null, null] : allocationOf(contractId, actor, at, life)),
      ],
    );
    if (made) return { purchase: purchaseOf(made), isNew: true };
    // Somebody else recorded the number between the look and the insert, and is done.
    const first = await findOrdered(trx, order);
    if (!first) throw new Error(`order ${order.orderNumber} is taken and is not there`);
    return { purchase: first, isNew: false };
  });
}

/** The purchase of an order number. @throws BillingError `order_number_reused` when another order has it. */
async function findOrdered(trx: Trx, order: Order): Promise<Purchase | undefined> {
  const found = await firstRow<PurchaseRow & { isSame: boolean }>(
    trx,
    `select ${COLUMNS}, request = ?::jsonb as "isSame" from purchases where order_number = ?`,
    [requestOf(order), order.orderNumber],
  );
  if (!found) return undefined;
  const { isSame, ...row } = found;
  if (isSame) return purchaseOf(row);
  throw new BillingError(
    'order_number_reused',
    `Order ${order.orderNumber} is recorded as another purchase; a new purchase has a new number.`,
    { purchaseId: found.id },
  );
}

function requestOf({ bought, ...order }: Order): string {
  const amounts = 'amount' in bought ? { amount: bought.amount.toString() } : bought;
  return JSON.stringify({ ...order, ...amounts });
}

async function boughtIn(
  trx: Trx,
  { bought }: Order,
): Promise<{ readonly pack?: string; readonly quantity?: number; readonly amount: Credits }> {
  if ('amount' in bought) return bought;
  const { pack: code, quantity } = bought;
  const pack = await firstRow<Pack>(trx, 'select code, title, amount from packs where code = ?', [code]);
  if (!pack) throw new BillingError('product_unknown', `There is no pack ${code}; GET /v1/packs lists what there is.`);
  const amount = pack.amount * BigInt(quantity);
  if (amount > AMOUNT_MAX) throw new BillingError('purchase_invalid', 'quantity: that is more than a lot can hold.');
  return { pack: code, quantity, amount: credits(amount) };
}

/** As much as a lot can hold, in microcredits. */
const AMOUNT_MAX = 9_000_000_000_000_000_000n;

/**
 * Allocates a purchase to a contract, once: again to the same contract answers what was allocated first.
 *
 * @throws BillingError `not_found`, `purchase_allocated`, and what {@link planPurchaseAllocation} refuses.
 */
export function allocatePurchase(
  db: Db,
  { id, contractId }: { readonly id: string; readonly contractId: string },
  { actor, at }: Acting,
): Promise<Purchase> {
  return inTransaction(db, async (trx) => {
    const found = await firstRow<PurchaseRow>(trx, `select ${COLUMNS} from purchases where id = ? for no key update`, [
      id,
    ]);
    if (!found) throw new BillingError('not_found', `There is no purchase ${id}.`);
    if (found.contractId === contractId) return purchaseOf(found);
    if (found.contractId !== null) {
      throw new BillingError('purchase_allocated', `Order ${found.orderNumber} is allocated to another contract.`, {
        contractId: found.contractId,
      });
    }
    const life = await lifeIn(trx, found, contractId, at);
    const allocated = await firstRow<PurchaseRow>(
      trx,
      `update purchases
       set contract_id = ?, lot_id = ?, allocated_at = ?, allocated_by = ?, expires_at = ?, grace_until = ?
       where id = ?
       returning ${COLUMNS}`,
      [...allocationOf(contractId, actor, at, life), id],
    );
    if (!allocated) throw new Error(`purchase ${id} was locked and is not there`);
    return purchaseOf(allocated);
  });
}

/** The life that a purchase would have in a contract, which nobody changes until the transaction ends. */
async function lifeIn(
  trx: Trx,
  purchase: { readonly customerId: string; readonly purchasedAt: Instant },
  contractId: string,
  at: Instant,
): Promise<LotLife> {
  const contract = await findSteadyContract(trx, contractId);
  if (!contract) throw new BillingError('not_found', `There is no contract ${contractId}.`);
  const planned = planPurchaseAllocation(purchase, contract, at);
  if ('code' in planned) throw new BillingError(planned.code, planned.message, planned.details);
  return planned;
}

function allocationOf(contractId: string | null, actor: string, at: Instant, life: LotLife): unknown[] {
  return [contractId, uuidv7(), at, actor, life.expiresAt, life.graceUntil];
}

/** Purchases that were allocated before an instant and whose lot was never granted: whoever did it was lost in between. */
export async function unfulfilledPurchases(
  db: Db,
  { allocatedBefore, limit }: { allocatedBefore: Instant; limit: number },
): Promise<Purchase[]> {
  const found = await rows<PurchaseRow>(
    db,
    `select ${COLUMNS}
     from purchases
     where allocated_at < ? and not exists (select from lots where lots.id = purchases.lot_id)
     order by id
     limit ?`,
    [allocatedBefore, limit],
  );
  return found.map(purchaseOf);
}

/** The lot that an allocated purchase is, with when and by whom it is granted; undefined while it waits. */
export function lotOfPurchase(
  purchase: Purchase,
): { readonly lot: NewLot; readonly at: Instant; readonly actor: string } | undefined {
  const { lotId, contractId, allocatedAt, allocatedBy, amount, purchasedAt, orderNumber, expiresAt, graceUntil } =
    purchase;
  if (lotId === null || contractId === null || allocatedAt === null || allocatedBy === null) return undefined;
  const origin = { source: 'purchase', reference: orderNumber, purchasedAt } as const;
  const life = { effectiveAt: allocatedAt, expiresAt, graceUntil };
  return {
    lot: { id: lotId, poolId: contractId, kind: 'shared', amount, advance: false, ...origin, ...life },
    at: allocatedAt,
    actor: allocatedBy,
  };
}

/** Why its lot is granted; the same whoever grants it, so that a repeat is one. */
export function reasonOfPurchase({ orderNumber }: Pick<Purchase, 'orderNumber'>): string {
  return `order ${orderNumber}`;
}

/** The provider's people see all purchases, others those that were allocated to contracts that they administer. */
const VISIBLE = '(? or contract_id = any(?::uuid[]))';

export type PurchaseViewer = Pick<Viewer, 'everything'> & { readonly administers: readonly string[] };

export interface PurchasesWanted {
  readonly customerId: string | null;
  /** Only what waits, or only what is allocated; null for both. */
  readonly unallocated: boolean | null;
  /** The id before which to go on. */
  readonly before: string | null;
  readonly limit: number;
}

/** Purchases, the newest first. */
export async function listPurchases(
  db: Db,
  { everything, administers }: PurchaseViewer,
  { customerId, unallocated, before, limit }: PurchasesWanted,
): Promise<Purchase[]> {
  const found = await rows<PurchaseRow>(
    db,
    `select ${COLUMNS}
     from purchases
     where ${VISIBLE}
       and (?::uuid is null or customer_id = ?)
       and (?::boolean is null or (contract_id is null) = ?)
       and (?::uuid is null or id < ?)
     order by id desc
     limit ?`,
    [everything, administers, customerId, customerId, unallocated, unallocated, before, before, limit],
  );
  return found.map(purchaseOf);
}

export async function findVisiblePurchase(
  db: Db,
  { everything, administers }: PurchaseViewer,
  id: string,
): Promise<Purchase | undefined> {
  const found = await firstRow<PurchaseRow>(db, `select ${COLUMNS} from purchases where id = ? and ${VISIBLE}`, [
    id,
    everything,
    administers,
  ]);
  return found && purchaseOf(found);
}
