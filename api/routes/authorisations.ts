import { authoriseUser, isOfCustomer, listAuthorisations, removeUser } from '../../db/authorisations';
import { findNamedContract, type NamedContract } from '../../db/contracts';
import { findVisibleUser, type Person } from '../../db/people';
import { BillingError } from '../../domain/errors';
import { parseInstant } from '../../domain/instant';
import type { ApiDependencies } from '../app';
import { tellContract } from '../granting';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';
import { mustAdminister } from './contracts';

const TAG = 'People and contracts';

export function authorisationRoutes(dependencies: ApiDependencies): Route[] {
  const { db } = dependencies;

  async function visibleContract(person: Person, id: string): Promise<NamedContract> {
    const contract = await findNamedContract(db, person, id);
    if (!contract) throw notFound('contract');
    return contract;
  }

  async function changeableContract(person: Person, id: string): Promise<NamedContract> {
    const contract = await visibleContract(person, id);
    if (!person.administers.includes(contract.contractId) && !person.roles.includes('provider')) {
      throw new BillingError(
        'forbidden',
        'Only an administrator of the contract or the provider decides who is on it.',
      );
    }
    return contract;
  }

  return [
    route({
      method: 'get',
      path: '/v1/contracts/:id/users',
      tag: TAG,
      summary: 'Who is, was and will be authorised on a contract',
      params: schemas.idParams,
      answers: {
        200: {
          description: 'All there ever were.',
          schema: schemas.pageOf(schemas.authorisation, 'AuthorisationPage'),
        },
      },
      refusals: ['not_found', 'forbidden'],
      handle: async ({ person, params }) => {
        const { contractId } = await visibleContract(person, params.id);
        mustAdminister(person, contractId, 'who is on a contract');
        return { status: 200, body: { items: await listAuthorisations(db, contractId), nextCursor: null } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/contracts/:id/users',
      tag: TAG,
      summary: 'Authorise a user on a contract',
      description:
        'Now or from an instant to come on. Administrators authorise users of their own customer. A user is authorised once at a time: to change a role remove the user first.',
      roles: ['contract-admin', 'provider'],
      params: schemas.idParams,
      body: schemas.authorisationRequest,
      idempotent: true,
      answers: { 201: { description: 'Authorised.', schema: schemas.authorisation } },
      refusals: ['not_found', 'forbidden', 'user_already_authorised', 'authorisation_invalid'],
      handle: async ({ person, params, body: { userId, role, authorisedAt }, at, resourceId: requestId }) => {
        const { contractId, customerId } = await changeableContract(person, params.id);
        const mayBeNamed = person.roles.includes('provider')
          ? (await findVisibleUser(db, person, userId)) !== undefined
          : await isOfCustomer(db, userId, customerId);
        if (!mayBeNamed) throw notFound('user');
        const from = authorisedAt === undefined ? null : parseInstant(authorisedAt);
        const authorising = { contractId, userId, role, authorisedAt: from };
        const authorised = await authoriseUser(db, authorising, { requestId, at });
        await tellContract(dependencies, contractId);
        return { status: 201, body: authorised };
      },
    }),
    route({
      method: 'delete',
      path: '/v1/contracts/:id/users/:userId',
      tag: TAG,
      summary: 'Remove a user from a contract',
      description:
        'Now or at an instant to come, which can be changed until it comes. What was is never rewritten. What the user’s jobs have reserved stays theirs.',
      roles: ['contract-admin', 'provider'],
      params: schemas.contractUserParams,
      query: schemas.removalQuery,
      idempotent: true,
      answers: { 200: { description: 'The authorisation as it ends.', schema: schemas.authorisation } },
      refusals: ['not_found', 'forbidden', 'authorisation_invalid'],
      handle: async ({ person, params, query, at, resourceId: requestId }) => {
        const { contractId } = await changeableContract(person, params.id);
        const removedAt = query.removedAt === undefined ? null : parseInstant(query.removedAt);
        const removed = await removeUser(db, { contractId, userId: params.userId, removedAt }, { requestId, at });
        await tellContract(dependencies, contractId);
        return { status: 200, body: removed };
      },
    }),
  ];
}
