import {
  changeUser,
  createCustomer,
  createUser,
  findCustomer,
  findVisibleUser,
  listCustomers,
  renameCustomer,
} from '../../db/people';
import { BillingError } from '../../domain/errors';
import type { ApiDependencies } from '../app';
import { pageOfRows } from '../pages';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'People and contracts';
const STAFF = ['operator', 'finance', 'finance-approver', 'provider'] as const;

export function peopleRoutes({ db }: ApiDependencies): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/me',
      tag: TAG,
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
      path: '/v1/customers',
      tag: TAG,
      summary: 'The customers of the provider',
      roles: STAFF,
      query: schemas.pageQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.customer, 'CustomerPage') } },
      refusals: [],
      handle: async ({ query: { limit, cursor = null } }) => {
        const found = await listCustomers(db, { after: cursor, limit: limit + 1 });
        return { status: 200, body: pageOfRows(found, limit, ({ id }) => id) };
      },
    }),
    route({
      method: 'get',
      path: '/v1/customers/:id',
      tag: TAG,
      summary: 'A customer',
      roles: STAFF,
      params: schemas.idParams,
      answers: { 200: { description: 'The customer.', schema: schemas.customer } },
      refusals: ['not_found'],
      handle: async ({ params }) => {
        const customer = await findCustomer(db, params.id);
        if (!customer) throw notFound('customer');
        return { status: 200, body: customer };
      },
    }),
    route({
      method: 'post',
      path: '/v1/customers',
      tag: TAG,
      summary: 'Make a customer',
      roles: ['provider'],
      body: schemas.customerRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/customers/${id}` }),
      answers: { 201: { description: 'Made.', schema: schemas.customer } },
      refusals: [],
      handle: async ({ body: { name }, resourceId: id }) => {
        await createCustomer(db, { id, name });
        return { status: 201, body: { id, name }, headers: { Location: `/v1/customers/${id}` } };
      },
    }),
    route({
      method: 'put',
      path: '/v1/customers/:id',
      tag: TAG,
      summary: 'Change the name of a customer',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.customerRequest,
      idempotent: true,
      answers: { 200: { description: 'The customer.', schema: schemas.customer } },
      refusals: ['not_found'],
      handle: async ({ params: { id }, body: { name } }) => {
        const renamed = await renameCustomer(db, { id, name });
        if (!renamed) throw notFound('customer');
        return { status: 200, body: renamed };
      },
    }),
    route({
      method: 'post',
      path: '/v1/users',
      tag: TAG,
      summary: 'Make a user',
      description: 'Of a customer, or of the provider. What the user may is said by authorisations and API keys.',
      roles: ['provider'],
      body: schemas.userRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/users/${id}` }),
      answers: { 201: { description: 'Made.', schema: schemas.user } },
      refusals: ['not_found', 'email_taken'],
      handle: async ({ body, resourceId: id }) => {
        const user = await createUser(db, { id, ...body });
        return { status: 201, body: user, headers: { Location: `/v1/users/${id}` } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/users/:id',
      tag: TAG,
      summary: 'A user',
      params: schemas.idParams,
      answers: { 200: { description: 'The user.', schema: schemas.user } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const user = await findVisibleUser(db, person, params.id);
        if (!user) throw notFound('user');
        return { status: 200, body: user };
      },
    }),
    route({
      method: 'put',
      path: '/v1/users/:id',
      tag: TAG,
      summary: 'Change a user',
      description: 'The provider changes everything, users their own language and time zone.',
      params: schemas.idParams,
      body: schemas.userChange,
      idempotent: true,
      answers: { 200: { description: 'The user.', schema: schemas.user } },
      refusals: ['not_found', 'forbidden', 'email_taken'],
      handle: async ({ person, params, body: { name, email, language, timeZone } }) => {
        const user = await findVisibleUser(db, person, params.id);
        if (!user) throw notFound('user');
        const isOwnChoice = user.id === person.userId && name === undefined && email === undefined;
        if (!isOwnChoice && !person.roles.includes('provider')) {
          throw new BillingError(
            'forbidden',
            'You can change your own language and time zone; the rest is the provider’s.',
          );
        }
        const change = {
          ...(name !== undefined && { name }),
          ...(email !== undefined && { email }),
          ...(language !== undefined && { language }),
          ...(timeZone !== undefined && { timeZone }),
        };
        return { status: 200, body: await changeUser(db, user.id, change) };
      },
    }),
  ];
}
