import type { z } from 'zod';
import { findLot } from '../../db/lots';
import type { Person } from '../../db/people';
import {
  allocatePurchase,
  findVisiblePurchase,
  listPacks,
  listPurchases,
  lotOfPurchase,
  type Order,
  type Purchase,
  reasonOfPurchase,
  recordPurchase,
} from '../../db/purchases';
import { formatCredits, parseCredits } from '../../domain/credits';
import type { RefusalCode } from '../../domain/errors';
import { type Instant, parseInstant } from '../../domain/instant';
import { purchaseState, waitsUntil } from '../../domain/purchase';
import type { ApiDependencies } from '../app';
import { grantAndTell } from '../granting';
import { pageOfRows } from '../pages';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Purchases';

const ALLOCATION_REFUSALS = [
  'not_found',
  'contract_of_another_customer',
  'contract_not_in_force',
  'purchase_expired',
  'purchase_invalid',
  'overloaded',
] as const satisfies RefusalCode[];

export function purchaseRoutes(dependencies: ApiDependencies): Route[] {
  const { db } = dependencies;

  async function visiblePurchase(person: Person, id: string): Promise<Purchase> {
    const purchase = await findVisiblePurchase(db, person, id);
    if (!purchase) throw notFound('purchase');
    return purchase;
  }

  /** Grants what an allocated purchase stands for, unless that was done: a grant that a crash has lost is made up for. */
  async function fulfil(purchase: Purchase): Promise<void> {
    const granting = lotOfPurchase(purchase);
    if (!granting || (await findLot(db, granting.lot.id))) return;
    const { lot, at, actor } = granting;
    await grantAndTell(dependencies, lot, { at, actor, reason: reasonOfPurchase(purchase) });
  }

  function reply(status: 200 | 201, purchase: Purchase, at: Instant) {
    const body = purchaseView(purchase, at);
    return { status, body, ...(status === 201 && { headers: { Location: body.links.self ?? '' } }) };
  }

  return [
    route({
      method: 'get',
      path: '/v1/packs',
      tag: TAG,
      summary: 'In what credits are sold',
      answers: { 200: { description: 'All packs.', schema: schemas.pageOf(schemas.pack, 'PackPage') } },
      refusals: [],
      handle: async () => {
        const items = (await listPacks(db)).map((one) => ({ ...one, amount: formatCredits(one.amount) }));
        return { status: 200, body: { items, nextCursor: null } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/purchases',
      tag: TAG,
      summary: 'Record a purchase of credits, and perhaps allocate it',
      description:
        'Once per order number, which stands for an Idempotency-Key: the same order again answers the same purchase with 200, another order under its number is refused. Without a contract it waits on its customer; its twelve months run all the same.',
      roles: ['provider'],
      body: schemas.purchaseRequest,
      answers: {
        200: { description: 'It was recorded before: the purchase as it is.', schema: schemas.purchase },
        201: { description: 'Recorded.', schema: schemas.purchase },
      },
      refusals: [...ALLOCATION_REFUSALS, 'order_number_reused', 'product_unknown'],
      handle: async ({ person, body, at }) => {
        const { purchase, isNew } = await recordPurchase(db, orderOf(body), { actor: person.userId, at });
        await fulfil(purchase);
        return reply(isNew ? 201 : 200, purchase, at);
      },
    }),
    route({
      method: 'get',
      path: '/v1/purchases',
      tag: TAG,
      summary: 'Purchases, the newest first',
      description: 'The provider’s people see all, administrators those that were allocated to their contracts.',
      query: schemas.purchasesQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.purchase, 'PurchasePage') } },
      refusals: [],
      handle: async ({ person, query: { limit, cursor, customer, unallocated }, at }) => {
        const found = await listPurchases(db, person, {
          customerId: customer ?? null,
          unallocated: unallocated === undefined ? null : unallocated === 'true',
          before: cursor ?? null,
          limit: limit + 1,
        });
        const { items, nextCursor } = pageOfRows(found, limit, ({ id }) => id);
        return { status: 200, body: { items: items.map((one) => purchaseView(one, at)), nextCursor } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/purchases/:id',
      tag: TAG,
      summary: 'A purchase',
      params: schemas.idParams,
      answers: { 200: { description: 'The purchase.', schema: schemas.purchase } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => reply(200, await visiblePurchase(person, params.id), at),
    }),
    route({
      method: 'post',
      path: '/v1/purchases/:id/allocate',
      tag: TAG,
      summary: 'Allocate a purchase to a contract of its customer',
      description:
        'Once, so that it needs no Idempotency-Key: again to the same contract answers the same, to another one is refused. The lot is effective from now on and expires twelve months after the purchase, or with its contract.',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.allocationRequest,
      answers: { 200: { description: 'Allocated.', schema: schemas.purchase } },
      refusals: [...ALLOCATION_REFUSALS, 'purchase_allocated'],
      handle: async ({ person, params: { id }, body: { contractId }, at }) => {
        const purchase = await allocatePurchase(db, { id, contractId }, { actor: person.userId, at });
        await fulfil(purchase);
        return reply(200, purchase, at);
      },
    }),
  ];
}

function orderOf(body: z.output<typeof schemas.purchaseRequest>): Order {
  const { orderNumber, customerId, pack, quantity = 1, amount, price = null, purchasedAt, contractId = null } = body;
  if (pack === undefined && amount === undefined) throw new Error('a purchase of nothing came through its schema');
  return {
    orderNumber,
    customerId,
    bought: pack === undefined ? { amount: parseCredits(amount ?? '0') } : { pack, quantity },
    price,
    purchasedAt: purchasedAt === undefined ? null : parseInstant(purchasedAt),
    contractId,
  };
}

function purchaseView(purchase: Purchase, at: Instant) {
  const { id, customerId, contractId, lotId, allocatedAt, purchasedAt, recordedAt } = purchase;
  const { orderNumber, pack, quantity, amount, price, expiresAt } = purchase;
  const links: Record<string, string> = { self: `/v1/purchases/${id}`, customer: `/v1/customers/${customerId}` };
  if (contractId !== null) links.contract = `/v1/contracts/${contractId}`;
  return {
    id,
    orderNumber,
    customerId,
    pack,
    quantity,
    amount: formatCredits(amount),
    price,
    purchasedAt,
    recordedAt,
    state: purchaseState(purchase, at),
    expiresAt: expiresAt ?? waitsUntil(purchase),
    contractId,
    lotId,
    allocatedAt,
    links,
  };
}
