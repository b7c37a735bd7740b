/** Contracts (R3, R12, R13): what they are, and what changes them. */
import type { Instant } from './instant';

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

export function contractWorkflowId(contractId: string): string {
  return `contract/${contractId}`;
}
