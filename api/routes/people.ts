import { findVisibleContract, listVisibleContracts } from '../../db/people';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

export function peopleRoutes({ db }: ApiDependencies): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/me',
      tag: 'People and contracts',
      summary: 'Who you are by your API key',
      answers: { 200: { description: 'You.', schema: schemas.me } },
      refusals: [],
      handle: async ({ person: { userId, name, email, roles, contractIds } }) => ({
        status: 200,
        body: { userId, name, email, roles, contractIds },
      }),
    }),
    route({
      method: 'get',
      path: '/v1/contracts',
      tag: 'People and contracts',
      summary: 'Contracts that you may see',
      answers: { 200: { description: 'All of them.', schema: schemas.pageOf(schemas.contract, 'ContractPage') } },
      refusals: [],
      handle: async ({ person }) => ({
        status: 200,
        body: { items: await listVisibleContracts(db, person), nextCursor: null },
      }),
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id',
      tag: 'People and contracts',
      summary: 'A contract',
      params: schemas.idParams,
      answers: { 200: { description: 'The contract.', schema: schemas.contract } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const contract = await findVisibleContract(db, person, params.id);
        if (!contract) throw notFound('contract');
        return { status: 200, body: contract };
      },
    }),
  ];
}
