import type { z } from 'zod';
import { type Charge, findVisibleCharge } from '../../db/charges';
import type { Person } from '../../db/people';
import {
  approveRefund,
  askForRefund,
  findRefund,
  listRequestedRefunds,
  type Refund,
  type RefundAsked,
  refundsOf,
  rejectRefund,
} from '../../db/refunds';
import { parseCredits } from '../../domain/credits';
import type { ApiDependencies } from '../app';
import { maySeeRefund } from '../chargeView';
import { notFound } from '../problems';
import { refundViews } from '../refundView';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Refunds';

export function refundRoutes({ db, ledger, settings }: ApiDependencies): Route[] {
  async function visibleCharge(person: Person, id: string): Promise<Charge> {
    const charge = await findVisibleCharge(db, person, id);
    if (!charge) throw notFound('charge');
    return charge;
  }

  async function visibleRefund(person: Person, id: string): Promise<{ refund: Refund; charge: Charge }> {
    const refund = await findRefund(db, id);
    const charge = refund && (await findVisibleCharge(db, person, refund.chargeId));
    if (!charge || !maySeeRefund(person, refund)) throw notFound('refund');
    return { refund, charge };
  }

  async function reply(refundId: string, status?: number) {
    const refund = await findRefund(db, refundId);
    if (!refund) throw new Error(`refund ${refundId} was made and is not there`);
    const [body] = await refundViews(db, [refund]);
    return { status: status ?? (refund.status === 'waiting' ? 202 : 201), body };
  }

  const page = schemas.pageOf(schemas.refund, 'RefundPage');

  return [
    route({
      method: 'post',
      path: '/v1/charges/:id/refunds',
      tag: TAG,
      summary: 'Give back an amount of a charge, or correct it to its true actual',
      description:
        'Goes back to the lots that paid, the last drawn first; a correction first lowers what the provider bears. What one charge is given back without a second person is limited in all: above that the refund waits for approval.',
      roles: ['finance', 'provider'],
      params: schemas.idParams,
      body: schemas.refundRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/refunds/${id}` }),
      answers: {
        201: { description: 'Given back.', schema: schemas.refund },
        202: { description: 'Waits for a second person to approve or reject it.', schema: schemas.refund },
      },
      refusals: ['not_found', 'refund_exceeds_charge', 'overloaded'],
      handle: async ({ person, params, body, resourceId, claimedAt }) => {
        const charge = await visibleCharge(person, params.id);
        await askForRefund(ledger, {
          id: resourceId,
          charge,
          asked: askedIn(body),
          reason: body.reason,
          by: person.userId,
          at: claimedAt,
          approvalAbove: settings.refundApprovalAbove,
        });
        const headers = { Location: `/v1/refunds/${resourceId}` };
        return { ...(await reply(resourceId)), headers };
      },
    }),
    route({
      method: 'get',
      path: '/v1/charges/:id/refunds',
      tag: TAG,
      summary: 'The refunds and corrections of a charge',
      params: schemas.idParams,
      answers: { 200: { description: 'All of them.', schema: page } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const charge = await visibleCharge(person, params.id);
        const refunds = (await refundsOf(db, [charge])).get(charge.id) ?? [];
        const items = await refundViews(
          db,
          refunds.filter((refund) => maySeeRefund(person, refund)),
        );
        return { status: 200, body: { items, nextCursor: null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/refunds',
      tag: TAG,
      summary: 'Refunds that need a second person, newest first',
      roles: ['finance', 'finance-approver', 'operator', 'provider'],
      query: schemas.refundsQuery,
      answers: { 200: { description: 'A page.', schema: page } },
      refusals: [],
      handle: async ({ query: { limit, cursor = null, status = null } }) => {
        const refunds = await listRequestedRefunds(db, { status, before: cursor, limit: limit + 1 });
        const items = await refundViews(db, refunds.slice(0, limit));
        return { status: 200, body: { items, nextCursor: refunds.length > limit ? (items.at(-1)?.id ?? null) : null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/refunds/:id',
      tag: TAG,
      summary: 'A refund or correction',
      description: 'The customer’s people see it once it is booked.',
      params: schemas.idParams,
      answers: { 200: { description: 'The refund.', schema: schemas.refund } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const { refund } = await visibleRefund(person, params.id);
        const [body] = await refundViews(db, [refund]);
        return { status: 200, body };
      },
    }),
    route({
      method: 'post',
      path: '/v1/refunds/:id/approve',
      tag: TAG,
      summary: 'Approve a refund that waits: it is booked now',
      description: 'Never by the person who asked for it.',
      roles: ['finance-approver'],
      params: schemas.idParams,
      idempotent: true,
      answers: { 200: { description: 'Approved and booked.', schema: schemas.refund } },
      refusals: ['not_found', 'forbidden', 'refund_decided', 'refund_exceeds_charge', 'overloaded'],
      handle: async ({ person, params, claimedAt, isRepeat }) => {
        const { refund, charge } = await visibleRefund(person, params.id);
        await approveRefund(ledger, { refund, by: person.userId, at: claimedAt, isRepeat }, charge);
        return reply(refund.id, 200);
      },
    }),
    route({
      method: 'post',
      path: '/v1/refunds/:id/reject',
      tag: TAG,
      summary: 'Reject a refund that waits: nothing is given back',
      description: 'Never by the person who asked for it.',
      roles: ['finance-approver'],
      params: schemas.idParams,
      body: schemas.rejectionRequest,
      idempotent: true,
      answers: { 200: { description: 'Rejected.', schema: schemas.refund } },
      refusals: ['not_found', 'forbidden', 'refund_decided'],
      handle: async ({ person, params, body, claimedAt, isRepeat }) => {
        const { refund } = await visibleRefund(person, params.id);
        await rejectRefund(db, { refund, by: person.userId, at: claimedAt, isRepeat }, body.reason);
        return reply(refund.id, 200);
      },
    }),
  ];
}

function askedIn(body: z.output<typeof schemas.refundRequest>): RefundAsked {
  return 'amount' in body ? { amount: parseCredits(body.amount) } : { actual: parseCredits(body.actual) };
}
