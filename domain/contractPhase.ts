import { type ContractState, graceEndOf } from './contract';
import type { Instant } from './instant';

export const CONTRACT_PHASES = ['upcoming', 'active', 'suspended', 'grace', 'ended'] as const;
/** Where a contract stands: only an active one can be spent on. */
export type ContractPhase = (typeof CONTRACT_PHASES)[number];

/** Where a contract stands at an instant, whatever is booked of it by then. */
export function contractPhase(contract: ContractState, at: Instant): ContractPhase {
  if (contract.closedAt !== null || at >= graceEndOf(contract)) return 'ended';
  if (at >= contract.endsAt) return 'grace';
  if (contract.suspendedAt !== null && at >= contract.suspendedAt) return 'suspended';
  return at < contract.startsAt ? 'upcoming' : 'active';
}
