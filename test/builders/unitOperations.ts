/** What the model is asked, in the words of the ledger. */
import type { Authorisation, ContractTerm } from '../../domain/batch';
import { type Credits, credits } from '../../domain/credits';
import type { Instant } from '../../domain/instant';
import type { Operation } from '../../domain/operations';
import { atHour } from './ids';
import type { Setting } from './requests';
import type { UnitLife, UnitRequest } from './unitCredits';

/** What a history starts with. */
export interface World {
  readonly contracts: readonly (ContractTerm & { readonly timeZone: string })[];
  readonly authorisations: readonly Authorisation[];
  readonly users: readonly string[];
}

/** The people and contracts of a setting as a ledger has them. */
export function worldOf({ terms, authorised, users, zones }: Setting): World {
  return {
    users,
    contracts: [...terms].map(([contractId, { from, to }]) => ({
      contractId,
      startsAt: instantOf(from),
      endsAt: instantOf(to),
      suspendedAt: null,
      timeZone: zones.get(contractId) ?? 'UTC',
    })),
    authorisations: authorised.map(({ contractId, userId, from, to }) => ({
      contractId,
      userId,
      authorisedAt: instantOf(from),
      removedAt: to === null ? null : instantOf(to),
    })),
  };
}

/** A request as an operation: one microcredit of the ledger is one credit of the model. */
export function operationOf(request: UnitRequest, at: number): Operation {
  const base = { at: instantOf(at), actor: 'history', reason: 'a history asks for it' };
  switch (request.do) {
    case 'grant': {
      const { lotId: id, ownerId: poolId, kind, amount, life, advance } = request;
      const source = kind === 'courtesy' ? ('courtesy' as const) : ('purchase' as const);
      const { effectiveAt, expiresAt, graceUntil } = lifeOf(life);
      const lot = { id, poolId, kind, source, amount: micro(amount), effectiveAt, expiresAt, graceUntil, advance };
      return { ...base, kind: 'grant', act: 'grant', lot: { ...lot, purchasedAt: null, reference: null } };
    }
    case 'expire':
    case 'withdraw':
      return { ...base, kind: request.do, act: request.do, lotId: request.lotId, poolId: request.ownerId };
    case 'changeLife': {
      const { lotId, ownerId: poolId, number, life } = request;
      return { ...base, kind: 'changeLife', act: `changeLife/${number}`, lotId, poolId, life: lifeOf(life) };
    }
    case 'reserve': {
      const { amount, cap, project } = request;
      return {
        ...base,
        ...jobOf(request),
        kind: 'reserve',
        act: 'reserve',
        amount: micro(amount),
        cap: micro(cap),
        project,
      };
    }
    case 'topUp':
      return {
        ...base,
        ...jobOf(request),
        kind: 'topUp',
        act: `topUp/${request.number}`,
        target: micro(request.target),
      };
    case 'raiseCap':
      return {
        ...base,
        ...jobOf(request),
        kind: 'raiseCap',
        act: `raiseCap/${request.number}`,
        cap: micro(request.cap),
      };
    case 'settle':
      return { ...base, ...jobOf(request), kind: 'settle', act: 'close', actual: micro(request.actual) };
    case 'release':
      return { ...base, ...jobOf(request), kind: 'release', act: 'close' };
    case 'refund': {
      const { refundId, amount } = request;
      return { ...base, ...jobOf(request), kind: 'refund', act: 'refund', refundId, amount: micro(amount) };
    }
    case 'correct': {
      const { refundId, actual } = request;
      return { ...base, ...jobOf(request), kind: 'correct', act: 'correct', refundId, actual: micro(actual) };
    }
    case 'openBudget': {
      const { zone: timeZone, amount, ...budget } = request.budget;
      return { ...base, kind: 'openBudget', act: 'set', budget: { ...budget, timeZone, amount: micro(amount) } };
    }
    case 'closeBudget': {
      const { budgetId, contractId } = request;
      return { ...base, kind: 'closeBudget', act: 'close', budgetId, contractId };
    }
  }
}

function jobOf({ jobId, userId, contractId }: { jobId: string; userId: string; contractId: string | null }) {
  return { jobId, userId, contractId };
}

export function lifeOf({ effectiveAt, expiresAt, withdrawnAt, graceUntil }: UnitLife) {
  return {
    effectiveAt: instantOf(effectiveAt),
    expiresAt: expiresAt === null ? null : instantOf(expiresAt),
    withdrawnAt: withdrawnAt === null ? null : instantOf(withdrawnAt),
    graceUntil: graceUntil === null ? null : instantOf(graceUntil),
  };
}

export function micro(amount: number): Credits {
  return credits(BigInt(amount));
}

const instants = new Map<number, Instant>();

export function instantOf(hour: number): Instant {
  let instant = instants.get(hour);
  if (instant === undefined) {
    instant = atHour(hour);
    instants.set(hour, instant);
  }
  return instant;
}

/** The pools that an operation names: those of its user, contract or lot. */
export function poolsOf(operation: Operation): string[] {
  switch (operation.kind) {
    case 'grant':
      return [operation.lot.poolId];
    case 'expire':
    case 'withdraw':
    case 'changeLife':
      return [operation.poolId];
    case 'openBudget':
      return [operation.budget.contractId];
    case 'closeBudget':
      return [operation.contractId];
    default:
      return operation.contractId === null ? [operation.userId] : [operation.userId, operation.contractId];
  }
}
