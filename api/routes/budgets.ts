import {
  type BudgetViewer,
  closeBudget,
  findBudget,
  findBudgetOnce,
  listBudgets,
  openBudget,
  periodsAt,
  replaceBudget,
} from '../../db/budgets';
import { type Contract, findVisibleContract, isOnContract, type Person } from '../../db/people';
import { type Budget, type BudgetPeriod, limitOf, warningThresholdOf } from '../../domain/budget';
import { credits, formatCredits, maxCredits, parseCredits, ZERO } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import type { Instant } from '../../domain/instant';
import type { ApiDependencies } from '../app';
import { etagOf, mustMatch } from '../ifMatch';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Budgets';

export function budgetRoutes({ db, ledger }: ApiDependencies): Route[] {
  async function visibleContract(person: Person, id: string): Promise<Contract> {
    const contract = await findVisibleContract(db, person, id);
    if (!contract) throw notFound('contract');
    return contract;
  }

  async function changeableContract(person: Person, id: string): Promise<Contract> {
    const contract = await visibleContract(person, id);
    if (!mayChange(person, contract)) {
      throw new BillingError('forbidden', 'Only an administrator of the contract or the provider sets its budgets.');
    }
    return contract;
  }

  async function visibleBudget(person: Person, contract: Contract, id: string): Promise<Budget> {
    const budget = await findBudget(db, contract.id, id, viewerOf(person, contract));
    if (!budget) throw notFound('budget');
    return budget;
  }

  async function viewsOf(budgets: readonly Budget[], at: Instant) {
    const periods = await periodsAt(db, budgets, at);
    return budgets.map((budget) => budgetView(budget, periods.get(budget.id)));
  }

  async function reply(status: number, budget: Budget, at: Instant) {
    const [body] = await viewsOf([budget], at);
    const headers = { ETag: etagOf(budget.id) };
    return { status, body, headers: status === 201 ? { ...headers, Location: addressOf(budget) } : headers };
  }

  return [
    route({
      method: 'post',
      path: '/v1/contracts/:id/budgets',
      tag: TAG,
      summary: 'Set a budget for a user or a project of a contract',
      description:
        'What the jobs of the user or project have reserved and cost already counts. There is one budget for a user or project and kind of period.',
      roles: ['contract-admin', 'provider'],
      params: schemas.idParams,
      body: schemas.budgetRequest,
      idempotent: true,
      created: (budgetId, { id }) => ({
        ETag: etagOf(budgetId),
        Location: addressOf({ id: budgetId, contractId: id }),
      }),
      answers: { 201: { description: 'Set.', schema: schemas.budget } },
      refusals: ['not_found', 'forbidden', 'budget_exists', 'overloaded'],
      handle: async ({ person, params, body, resourceId, claimedAt }) => {
        const contract = await changeableContract(person, params.id);
        if (body.userId !== undefined && !(await isOnContract(db, contract.id, body.userId))) throw notFound('user');
        const budget = {
          id: resourceId,
          contractId: contract.id,
          timeZone: contract.timeZone,
          userId: body.userId ?? null,
          project: body.project ?? null,
          period: body.period,
          ...ceilingOf(body),
        };
        const { reason = 'a budget was set' } = body;
        await openBudget(ledger, budget, { actor: person.userId, reason, at: claimedAt });
        return reply(201, budget, claimedAt);
      },
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id/budgets',
      tag: TAG,
      summary: 'The budgets of a contract, with what is used of them now',
      description: 'Administrators and the provider’s people see all; others their own and those of projects.',
      params: schemas.idParams,
      answers: { 200: { description: 'All of them.', schema: schemas.pageOf(schemas.budget, 'BudgetPage') } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const contract = await visibleContract(person, params.id);
        const budgets = await listBudgets(db, contract.id, viewerOf(person, contract));
        return { status: 200, body: { items: await viewsOf(budgets, at), nextCursor: null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id/budgets/:budgetId',
      tag: TAG,
      summary: 'A budget, with what is used of it now',
      params: schemas.budgetParams,
      answers: { 200: { description: 'The budget.', schema: schemas.budget } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const contract = await visibleContract(person, params.id);
        return reply(200, await visibleBudget(person, contract, params.budgetId), at);
      },
    }),
    route({
      method: 'put',
      path: '/v1/contracts/:id/budgets/:budgetId',
      tag: TAG,
      summary: 'Change the amount and the thresholds of a budget',
      description:
        'The ledger keeps the old budget closed and opens a new one in its place, which counts the same jobs. Nothing is interrupted: jobs are checked against one or the other.',
      roles: ['contract-admin', 'provider'],
      params: schemas.budgetParams,
      body: schemas.budgetChange,
      idempotent: true,
      ifMatch: true,
      answers: { 200: { description: 'Changed: the new budget.', schema: schemas.budget } },
      refusals: ['not_found', 'forbidden', 'overloaded'],
      handle: async ({ person, params, body, request, resourceId, claimedAt, isRepeat }) => {
        const contract = await changeableContract(person, params.id);
        const done = isRepeat ? await findBudgetOnce(db, contract.id, resourceId) : undefined;
        if (done) return reply(200, done, claimedAt);
        const before = await visibleBudget(person, contract, params.budgetId);
        mustMatch(request, etagOf(before.id));
        const budget = { ...before, id: resourceId, ...ceilingOf(body) };
        const { reason = 'a budget was changed' } = body;
        await replaceBudget(ledger, budget, before.id, { actor: person.userId, reason, at: claimedAt });
        return reply(200, budget, claimedAt);
      },
    }),
    route({
      method: 'delete',
      path: '/v1/contracts/:id/budgets/:budgetId',
      tag: TAG,
      summary: 'Close a budget',
      description: 'From then on it limits nothing.',
      roles: ['contract-admin', 'provider'],
      params: schemas.budgetParams,
      query: schemas.budgetCloseQuery,
      idempotent: true,
      ifMatch: true,
      answers: { 200: { description: 'Closed: the budget as it was.', schema: schemas.budget } },
      refusals: ['not_found', 'forbidden', 'overloaded'],
      handle: async ({ person, params, query, request, claimedAt, isRepeat }) => {
        const contract = await changeableContract(person, params.id);
        const open = await findBudget(db, contract.id, params.budgetId, viewerOf(person, contract));
        // A repeat finds it closed by the first attempt; the ledger knows whether it was.
        const budget = open ?? (isRepeat ? await findBudgetOnce(db, contract.id, params.budgetId) : undefined);
        if (!budget) throw notFound('budget');
        if (open || !isRepeat) mustMatch(request, etagOf(budget.id));
        const { reason = 'a budget was closed' } = query;
        await closeBudget(ledger, budget, { actor: person.userId, reason, at: claimedAt });
        return reply(200, budget, claimedAt);
      },
    }),
  ];
}

function mayChange(person: Person, contract: Contract): boolean {
  return person.administers.includes(contract.id) || person.roles.includes('provider');
}

function viewerOf(person: Person, contract: Contract): BudgetViewer {
  return { userId: person.userId, all: person.everything || person.administers.includes(contract.id) };
}

function ceilingOf(body: { amount: string; warnPercent: number | null; refusePercent: number | null }) {
  const { amount, warnPercent, refusePercent } = body;
  return { amount: parseCredits(amount), warnPercent, refusePercent };
}

function addressOf({ id, contractId }: Pick<Budget, 'id' | 'contractId'>): string {
  return `/v1/contracts/${contractId}/budgets/${id}`;
}

function budgetView(budget: Budget, period: BudgetPeriod | undefined) {
  const { reserved = ZERO, charged = ZERO } = period ?? {};
  const isTotal = budget.period === 'total';
  const used = credits(reserved + charged);
  const limit = limitOf(budget);
  const warning = warningThresholdOf(budget);
  return {
    id: budget.id,
    contractId: budget.contractId,
    userId: budget.userId,
    project: budget.project,
    period: budget.period,
    amount: formatCredits(budget.amount),
    warnPercent: budget.warnPercent,
    refusePercent: budget.refusePercent,
    current: {
      startsAt: isTotal ? null : (period?.startsAt ?? null),
      endsAt: isTotal ? null : (period?.endsAt ?? null),
      reserved: formatCredits(reserved),
      charged: formatCredits(charged),
      used: formatCredits(used),
      remaining: formatCredits(maxCredits(ZERO, credits((limit ?? budget.amount) - used))),
      warning: warning !== null && used >= warning,
      refusing: limit !== null && used >= limit,
    },
    links: { self: addressOf(budget), contract: `/v1/contracts/${budget.contractId}` },
  };
}
