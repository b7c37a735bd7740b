import type { z } from 'zod';
import { findVisibleUser } from '../../db/people';
import {
  countUsers,
  findWithdrawal,
  listUsers,
  listWithdrawals,
  lotsOfUsers,
  nextStep,
  pendingWithdrawals,
  startWithdrawal,
  strangersTo,
  type Withdrawal,
} from '../../db/withdrawals/campaign';
import { previewWithdrawal, type Selection } from '../../db/withdrawals/selection';
import { formatCredits } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import { parseInstant } from '../../domain/instant';
import { describeStep, type WithdrawalUser } from '../../domain/withdrawal';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';
import type { WithdrawalStart } from '../workflowsPort';

const TAG = 'Withdrawals';

export function withdrawalRoutes({ db, workflows }: ApiDependencies): Route[] {
  async function withdrawal(id: string): Promise<Withdrawal> {
    const found = await findWithdrawal(db, id);
    if (!found) throw notFound('withdrawal');
    return found;
  }

  async function withCounts(id: string) {
    const [found, counts, next] = await Promise.all([withdrawal(id), countUsers(db, id), nextStep(db, id)]);
    return {
      ...viewOf(found),
      counts,
      nextAt: next?.at ?? null,
      nextWhat: next ? describeStep(next.step) : null,
    };
  }

  return [
    route({
      method: 'post',
      path: '/v1/withdrawals/preview',
      tag: TAG,
      summary: 'Who and what a withdrawal would concern; nothing of it is kept',
      roles: ['provider'],
      body: schemas.withdrawalPreviewRequest,
      answers: { 200: { description: 'What is selected now.', schema: schemas.withdrawalPreview } },
      refusals: [],
      handle: async ({ body: { selection, limit, cursor = null }, at }) => {
        const preview = await previewWithdrawal(db, selectionOf(selection), { at, after: cursor, limit: limit + 1 });
        const items = preview.page.slice(0, limit).map(({ available, reserved, ...user }) => ({
          ...user,
          available: formatCredits(available),
          reserved: formatCredits(reserved),
        }));
        const nextCursor = preview.page.length > limit ? (items.at(-1)?.userId ?? null) : null;
        return { status: 200, body: { ...amountsOf(preview), items, nextCursor } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/withdrawals',
      tag: TAG,
      summary: 'Withdraw individual credits on 90 days’ notice',
      description:
        'Every user gets a notice of their own; the 90 days of each start when theirs is delivered. Until its instant a withdrawal can be rescinded. What jobs hold stays theirs.',
      roles: ['provider'],
      body: schemas.withdrawalRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/withdrawals/${id}` }),
      answers: { 201: { description: 'Started.', schema: schemas.withdrawalWithCounts } },
      refusals: ['nothing_to_withdraw'],
      handle: async ({ person, body, resourceId: id, claimedAt }) => {
        await startWithdrawal(db, {
          id,
          reason: body.reason,
          selection: selectionOf(body.selection),
          createdBy: person.userId,
          startedAt: claimedAt,
          noticesPerSecond: body.noticesPerSecond,
        });
        await workflows.startWithdrawal(startOf(await withdrawal(id)));
        return { status: 201, body: await withCounts(id), headers: { Location: `/v1/withdrawals/${id}` } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/withdrawals',
      tag: TAG,
      summary: 'Withdrawals, newest first',
      roles: ['operator', 'finance', 'provider'],
      query: schemas.pageQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.withdrawal, 'WithdrawalPage') } },
      refusals: [],
      handle: async ({ query: { limit, cursor = null } }) => {
        const found = await listWithdrawals(db, { before: cursor, limit: limit + 1 });
        const items = found.slice(0, limit).map(viewOf);
        return { status: 200, body: { items, nextCursor: found.length > limit ? (items.at(-1)?.id ?? null) : null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/withdrawals/:id',
      tag: TAG,
      summary: 'A withdrawal: how many users are where, and what comes next',
      roles: ['operator', 'finance', 'provider'],
      params: schemas.idParams,
      answers: { 200: { description: 'The withdrawal.', schema: schemas.withdrawalWithCounts } },
      refusals: ['not_found'],
      handle: async ({ params }) => ({ status: 200, body: await withCounts(params.id) }),
    }),
    route({
      method: 'get',
      path: '/v1/withdrawals/:id/users',
      tag: TAG,
      summary: 'Where a withdrawal is with each of its users',
      roles: ['operator', 'finance', 'provider'],
      params: schemas.idParams,
      query: schemas.withdrawalUsersQuery,
      answers: {
        200: { description: 'A page.', schema: schemas.pageOf(schemas.withdrawalUser, 'WithdrawalUserPage') },
      },
      refusals: ['not_found'],
      handle: async ({ params, query: { limit, cursor = null, state = null } }) => {
        const { id } = await withdrawal(params.id);
        const found = await listUsers(db, id, { state, after: cursor, limit: limit + 1 });
        const items = found.slice(0, limit).map(userView);
        const nextCursor = found.length > limit ? (items.at(-1)?.userId ?? null) : null;
        return { status: 200, body: { items, nextCursor } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/withdrawals/:id/rescind',
      tag: TAG,
      summary: 'Let users keep their credits, as long as the withdrawal did not take effect for them',
      description: 'The answer names the users whose credits are gone already: nothing is changed for them.',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.rescindRequest,
      idempotent: true,
      answers: {
        200: { description: 'Rescinded.', schema: schemas.rescission },
        202: { description: 'Under way: send the same request again for the answer.', schema: schemas.withdrawal },
      },
      refusals: ['not_found'],
      handle: async ({ person, params, body: { userIds, reason }, resourceId: requestId }) => {
        const found = await withdrawal(params.id);
        const strangers = userIds === 'all' ? [] : await strangersTo(db, found.id, userIds);
        if (strangers.length > 0) {
          throw new BillingError('not_found', `The withdrawal does not concern these users: ${strangers.join(', ')}.`);
        }
        const asking = { requestId, userIds, actor: person.userId, reason };
        const answer = await workflows.rescindWithdrawal(startOf(found), asking);
        return answer ? { status: 200, body: answer } : { status: 202, body: viewOf(found), settled: false };
      },
    }),
    route({
      method: 'get',
      path: '/v1/users/:id/withdrawals',
      tag: TAG,
      summary: 'Withdrawals that a user was told of and that are still to come',
      params: schemas.idParams,
      answers: {
        200: {
          description: 'All of them, the next first.',
          schema: schemas.pageOf(schemas.pendingWithdrawal, 'PendingWithdrawalPage'),
        },
      },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const user = await findVisibleUser(db, person, params.id);
        if (!user) throw notFound('user');
        const pending = await pendingWithdrawals(db, user.id, at);
        const items = await Promise.all(
          pending.map(async ({ withdrawalId, reason, deliveredAt, channel, withdrawsAt }) => {
            const lots = await lotsOfUsers(db, withdrawalId, [user.id]);
            return {
              withdrawalId,
              reason,
              deliveredAt,
              channel,
              withdrawsAt,
              lots: lots
                .filter(({ isEnded }) => !isEnded)
                .map(({ lotId, reference, available, reserved }) => ({
                  lotId,
                  reference,
                  available: formatCredits(available),
                  reserved: formatCredits(reserved),
                })),
            };
          }),
        );
        return { status: 200, body: { items, nextCursor: null } };
      },
    }),
  ];
}

function selectionOf(selection: z.output<typeof schemas.withdrawalSelection>): Selection {
  return 'grantedBefore' in selection ? { grantedBefore: parseInstant(selection.grantedBefore) } : selection;
}

function startOf({ id, reason, users }: Withdrawal): WithdrawalStart {
  return { id, staticSummary: `Withdrawal from ${users} users: ${reason}`.slice(0, 200) };
}

function amountsOf({
  users,
  lots,
  available,
  reserved,
}: Pick<Withdrawal, 'users' | 'lots' | 'available' | 'reserved'>) {
  return { users, lots, available: formatCredits(available), reserved: formatCredits(reserved) };
}

function viewOf(withdrawal: Withdrawal) {
  const { id, reason, selection, noticesPerSecond, createdBy, startedAt, state, endedAt } = withdrawal;
  return {
    id,
    reason,
    selection,
    selected: amountsOf(withdrawal),
    noticesPerSecond,
    createdBy,
    startedAt,
    state,
    endedAt,
    links: { self: `/v1/withdrawals/${id}`, users: `/v1/withdrawals/${id}/users` },
  };
}

function userView({ userId, state, changedAt, deliveredAt, channel, withdrawsAt, failure }: WithdrawalUser) {
  return { userId, state, changedAt, deliveredAt, channel, withdrawsAt, failure };
}
