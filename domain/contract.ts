/** Contracts (R3, R12, R13): what they are, and what changes them. */
import { addDays, addMonths, type Instant } from './instant';
import { type LotLife, sharedLotLife } from './lots';
import type { Refused } from './operations';
import { refused } from './step';

/** One stretch of a contract, half-open; renewals add terms without gaps. */
export interface Term {
  /** From 1. */
  readonly number: number;
  readonly startsAt: Instant;
  readonly endsAt: Instant;
}

/** What a contract is for; allocation rules say what it grants (R13). */
export interface ContractProduct {
  readonly product: string;
  /** Such as `annual` or `quarterly`. */
  readonly type: string;
  readonly level: string;
  readonly seats: number;
}

export const RENEWALS = ['manual', 'automatic'] as const;

export interface RenewalTerms {
  readonly renewal: (typeof RENEWALS)[number];
  readonly renewalMonths: number;
  /** How long after its end a contract may still be renewed, with its lots as if never interrupted; days of the calendar. */
  readonly graceDays: number;
}

export interface ContractState extends RenewalTerms {
  readonly contractId: string;
  readonly customerId: string;
  readonly name: string;
  readonly timeZone: string;
  readonly startsAt: Instant;
  /** The end of the last term, or the termination. */
  readonly endsAt: Instant;
  readonly terms: readonly Term[];
  readonly products: readonly ContractProduct[];
  /** Set while a termination stands. */
  readonly terminatesAt: Instant | null;
  /** From when on nothing can be spent although the contract runs. */
  readonly suspendedAt: Instant | null;
  readonly activatedAt: Instant | null;
  /** From when on the contract is over for good: after its grace, or its termination. */
  readonly closedAt: Instant | null;
  /** The number of its last change. */
  readonly version: number;
}

export type ContractChange =
  | { readonly kind: 'renew'; readonly months?: number }
  | { readonly kind: 'extend'; readonly endsAt: Instant }
  /** At an instant to come, or now. */
  | { readonly kind: 'terminate'; readonly at?: Instant }
  | { readonly kind: 'revokeTermination' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'changeProducts'; readonly products: readonly ContractProduct[] }
  | ({ readonly kind: 'changeRenewal' } & RenewalTerms)
  /** What the calendar brings: the beginning and the end for good. */
  | { readonly kind: 'activate' }
  | { readonly kind: 'close' };

/**
 * Up to when a contract that was not renewed may still be renewed, as if it had never been interrupted (R3). A terminated one
 * has no grace. Nothing of it can be spent from `endsAt` on in either case.
 */
export function graceEndOf({ endsAt, terminatesAt, graceDays, timeZone }: ContractState): Instant {
  return terminatesAt === null ? addDays(endsAt, graceDays, timeZone) : endsAt;
}

/**
 * The life of a shared lot in a contract (R3). It may be empty, when the lot became effective after its end.
 *
 * @param lot `purchasedAt` is when its twelve months began; null where only its beginning is known.
 */
export function sharedLifeIn(
  contract: ContractState,
  { effectiveAt, purchasedAt }: { effectiveAt: Instant; purchasedAt: Instant | null },
): LotLife {
  const { endsAt: contractEndsAt, timeZone } = contract;
  const graceEnd = graceEndOf(contract);
  return sharedLotLife({
    effectiveAt,
    purchasedAt: purchasedAt ?? effectiveAt,
    contractEndsAt,
    graceUntil: graceEnd > contractEndsAt ? graceEnd : null,
    timeZone,
  });
}

/** A contract that is about to be made. */
export interface NewContract extends RenewalTerms {
  readonly contractId: string;
  readonly customerId: string;
  readonly name: string;
  readonly timeZone: string;
  readonly startsAt: Instant;
  readonly endsAt: Instant;
  readonly products: readonly ContractProduct[];
}

/** What is wrong with a new contract at an instant, as a refusal; null when nothing is. It may have begun before, not ended. */
export function objectionToContract(contract: NewContract, at: Instant): Refused | null {
  const { startsAt, endsAt, products } = contract;
  if (endsAt <= startsAt) return invalid(`endsAt: a contract that begins at ${startsAt} ends after that.`);
  if (endsAt <= at) return invalid(`endsAt: ${endsAt} is over already.`);
  return objectionToProducts(products) ?? objectionToRenewal(contract);
}

/** What a new contract is: its first version, with one term. */
export function newContractState(contract: NewContract): ContractState {
  const { startsAt, endsAt } = contract;
  return {
    ...contract,
    terms: [{ number: 1, startsAt, endsAt }],
    terminatesAt: null,
    suspendedAt: null,
    activatedAt: null,
    closedAt: null,
    version: 1,
  };
}

/**
 * What a contract is after a change that is asked for at an instant; its `version` counts the change. Pure, so that a repeat
 * decides the same. Refusals: `contract_closed`, `contract_not_in_force`, `change_refused`, `change_invalid`.
 */
export function planContractChange(state: ContractState, change: ContractChange, at: Instant): ContractState | Refused {
  if (state.closedAt !== null) return refused('contract_closed', `${named(state)} is over since ${state.closedAt}.`);
  const changed = changeOf(state, change, at);
  if ('code' in changed) return changed;
  return { ...state, ...changed, version: state.version + 1 };
}

type Changed = Partial<ContractState> | Refused;

function changeOf(state: ContractState, change: ContractChange, at: Instant): Changed {
  switch (change.kind) {
    case 'renew':
      return renewed(state, change.months ?? state.renewalMonths, at);
    case 'extend':
      return extended(state, change.endsAt, at);
    case 'terminate':
      return terminated(state, change.at ?? at, at);
    case 'revokeTermination':
      return restored(state, at);
    case 'suspend':
      return state.suspendedAt === null ? { suspendedAt: at } : no(`${named(state)} is suspended already.`);
    case 'resume':
      return state.suspendedAt === null ? no(`${named(state)} is not suspended.`) : { suspendedAt: null };
    case 'changeProducts':
      return ended(state, at) ?? objectionToProducts(change.products) ?? { products: change.products };
    case 'changeRenewal': {
      const { renewal, renewalMonths, graceDays } = change;
      const terms = { renewal, renewalMonths, graceDays };
      return ended(state, at) ?? objectionToRenewal(terms) ?? terms;
    }
    case 'activate':
      if (state.activatedAt !== null) return no(`${named(state)} is active since ${state.activatedAt}.`);
      return at < state.startsAt ? no(`${named(state)} begins at ${state.startsAt}.`) : { activatedAt: at };
    case 'close': {
      const closesAt = graceEndOf(state);
      return at < closesAt ? no(`${named(state)} may be renewed until ${closesAt}.`) : { closedAt: closesAt };
    }
  }
}

/** One more term, from the end of the last. */
function renewed(state: ContractState, months: number, at: Instant): Changed {
  if (!isWhole(months, 1, MONTHS_MAX)) return invalid(`months: a renewal is for 1 to ${MONTHS_MAX} whole months.`);
  const objection = objectionToLivingOn(state, at);
  if (objection) return objection;
  const last = lastTerm(state);
  const endsAt = addMonths(last.endsAt, months, state.timeZone);
  return { terms: [...state.terms, { number: last.number + 1, startsAt: last.endsAt, endsAt }], endsAt };
}

/** A later end for the last term. */
function extended(state: ContractState, endsAt: Instant, at: Instant): Changed {
  const objection = objectionToLivingOn(state, at);
  if (objection) return objection;
  if (endsAt <= state.endsAt) {
    return invalid(
      `endsAt: ${named(state)} ends at ${state.endsAt}; only a later end extends it, an earlier one terminates it.`,
    );
  }
  if (endsAt <= at) return invalid(`endsAt: ${endsAt} is over already.`);
  return { terms: [...state.terms.slice(0, -1), { ...lastTerm(state), endsAt }], endsAt };
}

function terminated(state: ContractState, effectiveAt: Instant, at: Instant): Changed {
  const over = ended(state, at);
  if (over) return over;
  if (effectiveAt < at) return invalid(`at: ${effectiveAt} is over; a termination takes effect now or later.`);
  if (effectiveAt <= state.startsAt) {
    return invalid(`at: ${named(state)} begins at ${state.startsAt}; it can be terminated at any instant after that.`);
  }
  const { endsAt } = lastTerm(state);
  if (effectiveAt >= endsAt) return invalid(`at: ${named(state)} ends at ${endsAt} anyway.`);
  return { terminatesAt: effectiveAt, endsAt: effectiveAt };
}

/** Until a termination takes effect it can be taken back. */
function restored(state: ContractState, at: Instant): Changed {
  if (state.terminatesAt === null) return no(`${named(state)} is not terminated.`);
  if (at >= state.terminatesAt) {
    return refused('contract_closed', `${named(state)} was terminated at ${state.terminatesAt}.`);
  }
  return { terminatesAt: null, endsAt: lastTerm(state).endsAt };
}

/** Why a contract cannot go on longer than it would; null when it can, also within its grace. */
function objectionToLivingOn(state: ContractState, at: Instant): Refused | null {
  if (state.terminatesAt !== null) {
    if (at >= state.terminatesAt) {
      return refused('contract_closed', `${named(state)} was terminated at ${state.terminatesAt}.`);
    }
    return no(`${named(state)} is terminated at ${state.terminatesAt}; revoke the termination first.`);
  }
  const graceEnd = graceEndOf(state);
  if (at < graceEnd) return null;
  return refused('contract_closed', `${named(state)} ended at ${state.endsAt} and could be renewed until ${graceEnd}.`);
}

function ended(state: ContractState, at: Instant): Refused | null {
  return at < state.endsAt ? null : refused('contract_not_in_force', `${named(state)} ended at ${state.endsAt}.`);
}

const PRODUCTS_MAX = 100;
const SEATS_MAX = 1_000_000;
const MONTHS_MAX = 120;
const GRACE_DAYS_MAX = 366;

/** What is wrong with a contract's products, as a refusal; null when nothing is. */
export function objectionToProducts(products: readonly ContractProduct[]): Refused | null {
  if (products.length > PRODUCTS_MAX) return invalid(`products: a contract has at most ${PRODUCTS_MAX}.`);
  const seen = new Set<string>();
  for (const { product, type, level, seats } of products) {
    for (const [field, word] of Object.entries({ product, type, level })) {
      if (!/^\S(.{0,98}\S)?$/.test(word)) return invalid(`products: ${field} is a word of 1 to 100 characters.`);
    }
    if (!isWhole(seats, 1, SEATS_MAX)) return invalid(`products: seats is a whole number from 1 to ${SEATS_MAX}.`);
    const key = JSON.stringify([product, type, level]);
    if (seen.has(key)) return invalid(`products: ${product} of type ${type} and level ${level} is there twice.`);
    seen.add(key);
  }
  return null;
}

/** What is wrong with renewal terms, as a refusal; null when nothing is. */
export function objectionToRenewal({ renewal, renewalMonths, graceDays }: RenewalTerms): Refused | null {
  if (!RENEWALS.includes(renewal)) return invalid(`renewal: one of ${RENEWALS.join(', ')}.`);
  if (!isWhole(renewalMonths, 1, MONTHS_MAX)) {
    return invalid(`renewalMonths: a whole number from 1 to ${MONTHS_MAX}.`);
  }
  if (!isWhole(graceDays, 0, GRACE_DAYS_MAX)) return invalid(`graceDays: a whole number from 0 to ${GRACE_DAYS_MAX}.`);
  return null;
}

export function lastTerm({ contractId, terms }: Pick<ContractState, 'contractId' | 'terms'>): Term {
  const last = terms.at(-1);
  if (!last) throw new Error(`contract ${contractId} has no term`);
  return last;
}

function isWhole(number: number, min: number, max: number): boolean {
  return Number.isInteger(number) && min <= number && number <= max;
}

function named({ name }: ContractState): string {
  return `The contract “${name}”`;
}

function no(message: string): Refused {
  return refused('change_refused', message);
}

function invalid(message: string): Refused {
  return refused('change_invalid', message);
}

/** How the ids of the calendar's own requests begin: nobody else's do, or the calendar would find its work done. */
export const CALENDAR_REQUESTS = 'calendar/';

export function contractWorkflowId(contractId: string): string {
  return `contract/${contractId}`;
}
