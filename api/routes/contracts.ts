import type { z } from 'zod';
import {
  createContract,
  findNamedContract,
  isContractChangedBy,
  listContractChanges,
  listNamedContracts,
  type NamedContract,
} from '../../db/contracts';
import type { Person } from '../../db/people';
import type { ContractPhase } from '../../domain/contractPhase';
import { contractPhase } from '../../domain/contractPhase';
import { BillingError, type RefusalCode } from '../../domain/errors';
import { type Instant, parseInstant } from '../../domain/instant';
import type { AskedChange } from '../../workflows/messages';
import type { ApiDependencies } from '../app';
import { contractEtag, contractView } from '../contractView';
import { tellContract } from '../granting';
import { mustMatch } from '../ifMatch';
import { pageOfRows } from '../pages';
import { notFound } from '../problems';
import { type Asked, type Reply, type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'People and contracts';

const CHANGE_REFUSALS = [
  'not_found',
  'contract_closed',
  'contract_not_in_force',
  'change_refused',
  'change_invalid',
] as const satisfies RefusalCode[];

/** How many contracts are looked at at once for those in a state, which the database does not know. */
const LOOK_AT = 500;

export function contractRoutes(dependencies: ApiDependencies): Route[] {
  const { db, workflows, now } = dependencies;

  async function visibleContract(person: Person, id: string): Promise<NamedContract> {
    const contract = await findNamedContract(db, person, id);
    if (!contract) throw notFound('contract');
    return contract;
  }

  /** The contracts of a page and the first of the next, where there is one. */
  async function contractsOf(
    person: Person,
    { state, customer, cursor, limit }: z.output<typeof schemas.contractsQuery>,
    at: Instant,
  ): Promise<NamedContract[]> {
    const found: NamedContract[] = [];
    let after = cursor ?? null;
    for (;;) {
      const size = state === undefined ? limit + 1 : LOOK_AT;
      const looked = await listNamedContracts(db, person, { customerId: customer ?? null, after, limit: size });
      found.push(...looked.filter((one) => isIn(one, state, at)));
      after = looked.at(-1)?.contractId ?? null;
      if (found.length > limit || looked.length < size) return found;
    }
  }

  async function reply(person: Person, id: string, at: Instant, status = 200): Promise<Reply> {
    const contract = await visibleContract(person, id);
    return { status, body: contractView(contract, at), headers: { ETag: contractEtag(contract) } };
  }

  type Changing<Body> = Pick<
    Asked<{ id: string }, unknown, Body>,
    'person' | 'params' | 'body' | 'resourceId' | 'request'
  >;

  /** Has the contract's workflow make a change, once per Idempotency-Key. */
  async function change(
    { person, params, body, resourceId }: Changing<{ reason: string }>,
    asked: AskedChange,
  ): Promise<Reply> {
    const before = await visibleContract(person, params.id);
    const contract = await workflows.changeContract({
      contractId: before.contractId,
      requestId: resourceId,
      change: asked,
      actor: person.userId,
      reason: body.reason,
    });
    const changed = { ...contract, customer: before.customer };
    // As it stands after the change, which came later than the request.
    return { status: 200, body: contractView(changed, now()), headers: { ETag: contractEtag(changed) } };
  }

  /** {@link change}, of what was read before. */
  async function replace(asking: Changing<{ reason: string }>, asked: AskedChange): Promise<Reply> {
    const { person, params, request, resourceId } = asking;
    const contract = await visibleContract(person, params.id);
    // A repeat finds the version that the first attempt has made.
    if (!(await isContractChangedBy(db, contract.contractId, resourceId))) mustMatch(request, contractEtag(contract));
    return change(asking, asked);
  }

  const changing = {
    tag: TAG,
    roles: ['provider'],
    params: schemas.idParams,
    idempotent: true,
    answers: { 200: { description: 'The contract after the change.', schema: schemas.contract } },
    refusals: CHANGE_REFUSALS,
  } as const;

  return [
    route({
      method: 'get',
      path: '/v1/contracts',
      tag: TAG,
      summary: 'Contracts that you may see',
      query: schemas.contractsQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.contract, 'ContractPage') } },
      refusals: [],
      handle: async ({ person, query, at }) => {
        const found = await contractsOf(person, query, at);
        const { items, nextCursor } = pageOfRows(found, query.limit, ({ contractId }) => contractId);
        return { status: 200, body: { items: items.map((one) => contractView(one, at)), nextCursor } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/contracts',
      tag: TAG,
      summary: 'Make a contract',
      description:
        'Its workflow starts with it, or as soon as Temporal is there again. It may have begun before, and ends in the future.',
      roles: ['provider'],
      body: schemas.contractRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/contracts/${id}`, ETag: contractEtag({ version: 1 }) }),
      answers: { 201: { description: 'Made.', schema: schemas.contract } },
      refusals: ['not_found', 'change_invalid'],
      handle: async ({ person, body, resourceId: contractId, at }) => {
        const { reason, ...wanted } = body;
        const [startsAt, endsAt] = [parseInstant(wanted.startsAt), parseInstant(wanted.endsAt)];
        const by = { at, actor: person.userId, reason };
        await createContract(db, { contractId, ...wanted, startsAt, endsAt }, by);
        await tellContract(dependencies, contractId);
        const made = await reply(person, contractId, at, 201);
        return { ...made, headers: { ...made.headers, Location: `/v1/contracts/${contractId}` } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id',
      tag: TAG,
      summary: 'A contract',
      params: schemas.idParams,
      answers: { 200: { description: 'The contract; its ETag is its version.', schema: schemas.contract } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => reply(person, params.id, at),
    }),
    route({
      ...changing,
      method: 'post',
      path: '/v1/contracts/:id/renew',
      summary: 'Renew a contract: one more term from the end of the last',
      description: 'Within its grace, too: its lots live on as if it had never been interrupted.',
      body: schemas.renewRequest,
      handle: async (asked) => {
        const { months } = asked.body;
        return change(asked, { kind: 'renew', ...(months !== undefined && { months }) });
      },
    }),
    route({
      ...changing,
      method: 'post',
      path: '/v1/contracts/:id/extend',
      summary: 'Extend the last term of a contract',
      body: schemas.extendRequest,
      handle: async (asked) => change(asked, { kind: 'extend', endsAt: parseInstant(asked.body.endsAt) }),
    }),
    route({
      ...changing,
      method: 'post',
      path: '/v1/contracts/:id/terminate',
      summary: 'Terminate a contract, now or at an instant to come',
      description: 'Until then it can be revoked. A terminated contract has no grace.',
      body: schemas.terminateRequest,
      handle: async (asked) => {
        const { at } = asked.body;
        return change(asked, { kind: 'terminate', ...(at !== undefined && { at: parseInstant(at) }) });
      },
    }),
    route({
      ...changing,
      method: 'post',
      path: '/v1/contracts/:id/revoke-termination',
      summary: 'Take a termination back, as long as it has not come',
      body: schemas.contractReason,
      handle: async (asked) => change(asked, { kind: 'revokeTermination' }),
    }),
    route({
      ...changing,
      method: 'post',
      path: '/v1/contracts/:id/suspend',
      summary: 'Suspend a contract: nothing of it can be spent',
      description: 'Its terms and the lives of its lots go on. What jobs have reserved stays theirs.',
      body: schemas.contractReason,
      handle: async (asked) => change(asked, { kind: 'suspend' }),
    }),
    route({
      ...changing,
      method: 'post',
      path: '/v1/contracts/:id/resume',
      summary: 'End the suspension of a contract',
      body: schemas.contractReason,
      handle: async (asked) => change(asked, { kind: 'resume' }),
    }),
    route({
      ...changing,
      method: 'put',
      path: '/v1/contracts/:id/products',
      summary: 'Change what a contract is for',
      description: 'The whole list. Allocation rules grant what comes with what is new.',
      body: schemas.productsRequest,
      ifMatch: true,
      handle: async (asked) => replace(asked, { kind: 'changeProducts', products: asked.body.products }),
    }),
    route({
      ...changing,
      method: 'put',
      path: '/v1/contracts/:id/renewal',
      summary: 'Change how a contract is renewed, and its grace',
      body: schemas.renewalRequest,
      ifMatch: true,
      handle: async (asked) => {
        const { reason: _, ...terms } = asked.body;
        return replace(asked, { kind: 'changeRenewal', ...terms });
      },
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id/changes',
      tag: TAG,
      summary: 'The history of a contract, the last change first',
      description: 'Each with what the contract was from there on. For its administrators and the provider’s people.',
      params: schemas.idParams,
      query: schemas.contractChangesQuery,
      answers: {
        200: { description: 'A page.', schema: schemas.pageOf(schemas.contractChange, 'ContractChangePage') },
      },
      refusals: ['not_found', 'forbidden'],
      handle: async ({ person, params, query: { cursor, limit } }) => {
        const { contractId } = await visibleContract(person, params.id);
        mustAdminister(person, contractId, 'the history of a contract');
        const before = cursor === undefined ? null : Number(cursor);
        const found = await listContractChanges(db, contractId, { before, limit: limit + 1 });
        return { status: 200, body: pageOfRows(found, limit, ({ number }) => String(number)) };
      },
    }),
  ];
}

/** @throws BillingError `forbidden` unless the person administers the contract or is of the provider's people. */
export function mustAdminister(person: Person, contractId: string, what: string): void {
  if (person.everything || person.administers.includes(contractId)) return;
  throw new BillingError('forbidden', `Only its administrators and the provider’s people see ${what}.`);
}

function isIn(contract: NamedContract, state: ContractPhase | undefined, at: Instant): boolean {
  return state === undefined || contractPhase(contract, at) === state;
}
