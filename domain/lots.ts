/** Lots (R2–R4, R7–R9): an amount of credits with one origin, one owner, one kind and one life. */
import { type Credits, sumOf } from './credits';
import { addMonths, earlierOf, type Instant } from './instant';

export const LOT_KINDS = ['individual', 'shared', 'courtesy'] as const;
export type LotKind = (typeof LOT_KINDS)[number];

export const LOT_SOURCES = ['purchase', 'allocation', 'courtesy', 'import'] as const;
export type LotSource = (typeof LOT_SOURCES)[number];

/** Each credit of a lot is in exactly one of these. */
export const BUCKETS = ['available', 'reserved', 'consumed', 'expired', 'withdrawn'] as const;
export type Bucket = (typeof BUCKETS)[number];

/** Where credits go that a dead lot gets back (R8). */
export type LotEnd = 'expired' | 'withdrawn';

export interface LotLife {
  readonly effectiveAt: Instant;
  /** `null` never expires. */
  readonly expiresAt: Instant | null;
  readonly withdrawnAt: Instant | null;
  /**
   * Until when what comes back to a shared lot after its expiry stays available, because its contract may still be renewed
   * (R3, R8). Null for a lot whose expiry nothing can take back.
   */
  readonly graceUntil: Instant | null;
}

export interface Lot extends LotLife, Readonly<Record<Bucket, Credits>> {
  readonly id: string;
  /** The owner's pool, and by it the owner: a contract or a user. It never changes (R2). */
  readonly poolId: string;
  readonly kind: LotKind;
  readonly granted: Credits;
  /** Set once the end of the lot is booked; from then on everything given back goes there. */
  readonly endedAs: LotEnd | null;
  /** A courtesy lot that the contract's next shared lots repay (R9). What it is still owed is what of it is consumed. */
  readonly advance: boolean;
}

/** Whether the lot may be drawn on at an instant. Lives are half-open: effective at the first, dead at the last (R7). */
export function isAlive(lot: LotLife & Pick<Lot, 'endedAs'>, at: Instant): boolean {
  return lot.endedAs === null && lot.effectiveAt <= at && endOfLife(lot, at) === null;
}

/** Where credits of this lot go when they are given back at an instant (R8): in a grace its end is not certain yet (R3). */
export function bucketOfReturn(lot: Lot, at: Instant): Exclude<Bucket, 'reserved' | 'consumed'> {
  if (lot.endedAs !== null) return lot.endedAs;
  if (lot.graceUntil !== null && at < lot.graceUntil) return 'available';
  return endOfLife(lot, at) ?? 'available';
}

function endOfLife({ expiresAt, withdrawnAt }: Pick<LotLife, 'expiresAt' | 'withdrawnAt'>, at: Instant): LotEnd | null {
  const expired = expiresAt !== null && expiresAt <= at;
  const withdrawn = withdrawnAt !== null && withdrawnAt <= at;
  if (expired && withdrawn) return withdrawnAt < expiresAt ? 'withdrawn' : 'expired';
  if (expired) return 'expired';
  return withdrawn ? 'withdrawn' : null;
}

/**
 * What is wrong with a life for a lot of a kind, as a sentence; null when nothing is. Individual lots never expire (R4), all
 * others have an end and are not withdrawn (R3, R9), no life is empty (R7), and a grace follows the end of a shared lot.
 */
export function objectionToLife(kind: LotKind, life: LotLife): string | null {
  const { effectiveAt, expiresAt, withdrawnAt, graceUntil } = life;
  if (expiresAt !== null && expiresAt <= effectiveAt) {
    return `A lot that expires at ${expiresAt} cannot be effective from ${effectiveAt}.`;
  }
  if (graceUntil !== null && (kind !== 'shared' || expiresAt === null || graceUntil <= expiresAt)) {
    return 'Only a shared lot has a grace, and only after its expiry; leave graceUntil out.';
  }
  if (kind === 'individual') {
    return expiresAt === null ? null : 'An individual lot never expires; leave expiresAt out.';
  }
  if (expiresAt === null) return `A ${kind} lot has an end; give expiresAt.`;
  return withdrawnAt === null ? null : `Only individual lots are withdrawn, not a ${kind} one; leave withdrawnAt out.`;
}

/**
 * The life of a shared lot (R3, R7). Where its contract's end comes first, the lot may live on if the contract is renewed within
 * its grace, up to its own twelve months.
 *
 * @param graceUntil the end of the contract's grace; null where it has none.
 */
export function sharedLotLife(lot: {
  effectiveAt: Instant;
  purchasedAt: Instant;
  contractEndsAt: Instant;
  graceUntil: Instant | null;
  timeZone: string;
}): LotLife {
  const { effectiveAt, purchasedAt, contractEndsAt, graceUntil, timeZone } = lot;
  const monthsEndAt = addMonths(purchasedAt, 12, timeZone);
  const mayLiveOn = graceUntil !== null && contractEndsAt < monthsEndAt;
  return {
    effectiveAt,
    expiresAt: earlierOf(monthsEndAt, contractEndsAt),
    withdrawnAt: null,
    graceUntil: mayLiveOn ? earlierOf(graceUntil, monthsEndAt) : null,
  };
}

/** Conservation (design law): granted = available + reserved + consumed + expired + withdrawn, and none below zero. */
export function isConserved(lot: Lot): boolean {
  return BUCKETS.every((bucket) => lot[bucket] >= 0n) && lot.granted === sumOf(BUCKETS, (bucket) => lot[bucket]);
}
