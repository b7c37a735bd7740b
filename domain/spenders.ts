/** Who could spend a lot at an instant (R2–R4), and why the others could not. */
import type { ContractState } from './contract';
import { contractPhase } from './contractPhase';
import type { Instant } from './instant';
import { isAlive, type Lot } from './lots';

export const SPENDING_OBSTACLES = [
  'not_authorised',
  'contract_not_in_force',
  'contract_suspended',
  'lot_not_granted',
  'lot_not_effective',
  'lot_expired',
  'lot_withdrawn',
  'nothing_available',
] as const;

/** What keeps somebody from spending, by a stable word and in a sentence. */
export interface Obstacle {
  readonly because: (typeof SPENDING_OBSTACLES)[number];
  readonly message: string;
}

/** One stretch of time in which a user is authorised on a contract, half-open. */
export interface Authorised {
  readonly userId: string;
  readonly authorisedAt: Instant;
  readonly removedAt: Instant | null;
}

/** Everything as it was at the instant. */
export interface SpendingFacts {
  /** Undefined when it was not granted yet. */
  readonly lot: Lot | undefined;
  /** Null for an individual lot, which is spent with and without a contract. */
  readonly contract: ContractState | null;
  /** All there ever were on the contract. */
  readonly authorisations: readonly Authorised[];
}

/**
 * What kept a user from spending a lot at an instant; null when nothing did. What concerns the user is said before what concerns
 * the contract, and that before what concerns the lot.
 */
export function obstacleToSpending(
  { lot, contract, authorisations }: SpendingFacts,
  userId: string,
  at: Instant,
): Obstacle | null {
  const ofUser = authorisations.filter((one) => one.userId === userId);
  return (contract && (obstacleOfUser(ofUser, at) ?? obstacleOfContract(contract, at))) ?? obstacleOfLot(lot, at);
}

function obstacleOfUser(authorisations: readonly Authorised[], at: Instant): Obstacle | null {
  const isNamed = ({ authorisedAt, removedAt }: Authorised) =>
    authorisedAt <= at && (removedAt === null || at < removedAt);
  if (authorisations.some(isNamed)) return null;
  // The nearest of the times at which the user was authorised explains most.
  const before = latest(
    authorisations.filter(({ authorisedAt, removedAt }) => authorisedAt <= at && removedAt !== null),
  );
  if (before) return obstacle('not_authorised', `The user was removed from the contract at ${before.removedAt}.`);
  const first = authorisations.reduce<Authorised | undefined>(
    (one, other) => (one && one.authorisedAt <= other.authorisedAt ? one : other),
    undefined,
  );
  const message = first
    ? `The user is authorised on the contract only from ${first.authorisedAt} on.`
    : 'The user is not authorised on the contract.';
  return obstacle('not_authorised', message);
}

function latest(authorisations: readonly Authorised[]): Authorised | undefined {
  return authorisations.reduce<Authorised | undefined>(
    (one, other) => (one && one.authorisedAt >= other.authorisedAt ? one : other),
    undefined,
  );
}

function obstacleOfContract(contract: ContractState, at: Instant): Obstacle | null {
  const { name, startsAt, endsAt, suspendedAt } = contract;
  switch (contractPhase(contract, at)) {
    case 'active':
      return null;
    case 'upcoming':
      return obstacle('contract_not_in_force', `The contract “${name}” begins at ${startsAt}.`);
    case 'suspended':
      return obstacle('contract_suspended', `The contract “${name}” is suspended since ${suspendedAt}.`);
    case 'grace':
    case 'ended':
      return obstacle('contract_not_in_force', `The contract “${name}” ended at ${endsAt}.`);
  }
}

function obstacleOfLot(lot: Lot | undefined, at: Instant): Obstacle | null {
  if (!lot) return obstacle('lot_not_granted', 'The lot was not granted yet.');
  const { effectiveAt, expiresAt, withdrawnAt, endedAs, available } = lot;
  if (at < effectiveAt) return obstacle('lot_not_effective', `The lot is effective from ${effectiveAt} on.`);
  if (!isAlive(lot, at)) {
    const isWithdrawn = endedAs === null ? withdrawnAt !== null && withdrawnAt <= at : endedAs === 'withdrawn';
    return isWithdrawn
      ? obstacle('lot_withdrawn', `The lot was withdrawn at ${withdrawnAt}.`)
      : obstacle('lot_expired', `The lot expired at ${expiresAt}.`);
  }
  return available > 0n ? null : obstacle('nothing_available', 'Nothing of the lot was available.');
}

function obstacle(because: Obstacle['because'], message: string): Obstacle {
  return { because, message };
}
