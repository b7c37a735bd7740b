import {
  type Allocation,
  allocationsOnContract,
  allocationsToUser,
  findAllocationRules,
  listAllocationRules,
  publishNextAllocationRules,
} from '../../db/allocationRules';
import { findVisibleContract, findVisibleUser } from '../../db/people';
import { formatCredits } from '../../domain/credits';
import { parseInstant } from '../../domain/instant';
import { versionInForce } from '../../domain/versions';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Allocations';

export function allocationRoutes({ db }: ApiDependencies): Route[] {
  const allocationsAnswer = {
    200: { description: 'Oldest first.', schema: schemas.pageOf(schemas.allocation, 'AllocationPage') },
  };

  return [
    route({
      method: 'get',
      path: '/v1/allocation-rules',
      tag: TAG,
      summary: 'All published versions of the allocation rules, or the one in force at an instant',
      query: schemas.inForceQuery,
      answers: {
        200: { description: 'Oldest first.', schema: schemas.pageOf(schemas.allocationRules, 'AllocationRulesPage') },
      },
      refusals: [],
      handle: async ({ query: { at } }) => {
        const versions = await listAllocationRules(db);
        const inForce = at === undefined ? versions : [versionInForce(versions, parseInstant(at)) ?? []].flat();
        return { status: 200, body: { items: inForce, nextCursor: null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/allocation-rules/:version',
      tag: TAG,
      summary: 'One published version of the allocation rules',
      params: schemas.versionParams,
      answers: { 200: { description: 'The version.', schema: schemas.allocationRules } },
      refusals: ['not_found'],
      handle: async ({ params }) => {
        const found = await findAllocationRules(db, params.version);
        if (!found) throw notFound('version of the allocation rules');
        return { status: 200, body: found };
      },
    }),
    route({
      method: 'post',
      path: '/v1/allocation-rules',
      tag: TAG,
      summary: 'Publish a version of the allocation rules, for now or the future',
      description:
        'The whole list; it replaces the version before from its instant on. What was allocated stays. A key that a version before has names the same allocation: who got it once does not get it again.',
      roles: ['provider'],
      body: schemas.allocationRulesRequest,
      idempotent: true,
      answers: { 201: { description: 'Published.', schema: schemas.allocationRules } },
      refusals: ['rules_invalid'],
      handle: async ({ person, body, resourceId, at }) => {
        const published = await publishNextAllocationRules(db, {
          title: body.title,
          effectiveAt: body.effectiveAt === undefined ? at : parseInstant(body.effectiveAt),
          rules: body.rules,
          requestId: resourceId,
          publishedBy: person.userId,
          at,
        });
        return { status: 201, body: published };
      },
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id/allocations',
      tag: TAG,
      summary: 'What a contract and its named users were allocated on it, when, and by which rule',
      params: schemas.idParams,
      answers: allocationsAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const contract = await findVisibleContract(db, person, params.id);
        if (!contract) throw notFound('contract');
        const mayAll = person.everything || person.administers.includes(contract.id);
        const found = (await allocationsOnContract(db, contract.id)).filter(
          // What others own is not for everybody on the contract to see.
          ({ kind, userId }) => mayAll || kind === 'shared' || userId === person.userId,
        );
        return { status: 200, body: { items: found.map(allocationView), nextCursor: null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/users/:id/allocations',
      tag: TAG,
      summary: 'What a user was allocated, when, and by which rule',
      params: schemas.idParams,
      answers: allocationsAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const user = await findVisibleUser(db, person, params.id);
        if (!user) throw notFound('user');
        const found = await allocationsToUser(db, user.id);
        return { status: 200, body: { items: found.map(allocationView), nextCursor: null } };
      },
    }),
  ];
}

function allocationView(allocation: Allocation) {
  const { key, contractId, userId, kind, lotId, amount, at, ruleKey, version, because } = allocation;
  return { key, contractId, userId, kind, lotId, amount: formatCredits(amount), at, ruleKey, version, because };
}
