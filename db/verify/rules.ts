/** The rules of lots, written once more: what a mistake in the writer's would make is found with these. */
import type { Instant } from '../../domain/instant';
import type { LotAccount, LotEnd } from './accounts';
import { Wrong } from './findings';

/** @throws Wrong when an amount is not above zero. */
export function mustBePositive(amount: bigint | undefined): bigint {
  if (amount === undefined || amount <= 0n) {
    throw new Wrong('a transfer moves a positive amount', 'more than 0', String(amount));
  }
  return amount;
}

export function least(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

/** R7: from the first instant on, not at the last any more. */
export function isAlive({ isGranted, endedAs, effectiveAt, expiresAt, withdrawnAt }: LotAccount, at: Instant): boolean {
  return (
    isGranted &&
    endedAs === null &&
    effectiveAt !== null &&
    effectiveAt <= at &&
    (expiresAt === null || at < expiresAt) &&
    (withdrawnAt === null || at < withdrawnAt)
  );
}

/** A lot's life for people. */
export function lifeOf({ isGranted, endedAs, effectiveAt, expiresAt, withdrawnAt }: LotAccount): string {
  if (!isGranted) return 'not granted yet';
  return endedAs ?? `${effectiveAt} to ${expiresAt ?? withdrawnAt ?? 'no end'}`;
}

const RANKS: Readonly<Record<string, number>> = { individual: 0, shared: 1, courtesy: 2 };

/** R6: individual before shared before courtesy; the earliest end, the earliest beginning, the id. */
export function drawdownOrder(a: LotAccount, b: LotAccount): number {
  const byKind = (RANKS[a.kind] ?? 3) - (RANKS[b.kind] ?? 3);
  if (byKind !== 0) return byKind;
  // No end comes after every end.
  const [endOfA, endOfB] = [a.expiresAt ?? '~', b.expiresAt ?? '~'];
  if (endOfA !== endOfB) return endOfA < endOfB ? -1 : 1;
  const [beginOfA, beginOfB] = [a.effectiveAt ?? '', b.effectiveAt ?? ''];
  if (beginOfA !== beginOfB) return beginOfA < beginOfB ? -1 : 1;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

/**
 * Gives an amount back to a lot: available again, or to its end when the lot is dead for good by then (R3, R8).
 *
 * @param letter where the operation says that it went.
 * @returns where it goes.
 * @throws Wrong when that is elsewhere.
 */
export function giveBack(lot: LotAccount, amount: bigint, letter: string | undefined, at: Instant): string {
  const to = lot.endedAs ?? (isInGrace(lot, at) ? 'available' : (endAt(lot, at) ?? 'available'));
  if (letter !== to.charAt(0)) throw new Wrong(`what comes back of lot ${lot.id} goes elsewhere (R8)`, to, letter);
  lot[to] += amount;
  return to;
}

function isInGrace({ graceUntil }: LotAccount, at: Instant): boolean {
  return graceUntil !== null && at < graceUntil;
}

/** The earlier of two ends that have come, expiry when they came together. */
function endAt({ expiresAt, withdrawnAt }: LotAccount, at: Instant): LotEnd | null {
  const isExpired = expiresAt !== null && expiresAt <= at;
  const isWithdrawn = withdrawnAt !== null && withdrawnAt <= at;
  if (isExpired && isWithdrawn) return withdrawnAt < expiresAt ? 'withdrawn' : 'expired';
  if (isExpired) return 'expired';
  return isWithdrawn ? 'withdrawn' : null;
}
