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

/** Where credits of this lot go when they are given back at an instant (R8). */
export function bucketOfReturn(lot: Lot, at: Instant): Exclude<Bucket, 'reserved' | 'consumed'> {
  return lot.endedAs ?? endOfLife(lot, at) ?? 'available';
}

function endOfLife({ expiresAt, withdrawnAt }: LotLife, at: Instant): LotEnd | null {
  const expired = expiresAt !== null && expiresAt <= at;
  const withdrawn = withdrawnAt !== null && withdrawnAt <= at;
  if (expired && withdrawn) return withdrawnAt < expiresAt ? 'withdrawn' : 'expired';
  if (expired) return 'expired';
  return withdrawn ? 'withdrawn' : null;
}

/**
 * What is wrong with a life for a lot of a kind, as a sentence; null when nothing is. Individual lots never expire (R4), all
 * others have an end and are not withdrawn (R3, R9), and no life is empty (R7).
 */
export function objectionToLife(kind: LotKind, { effectiveAt, expiresAt, withdrawnAt }: LotLife): string | null {
  if (expiresAt !== null && expiresAt <= effectiveAt) {
    return `A lot that expires at ${expiresAt} cannot be effective from ${effectiveAt}.`;
  }
  if (kind === 'individual') {
    return expiresAt === null ? null : 'An individual lot never expires; leave expiresAt out.';
  }
  if (expiresAt === null) return `A ${kind} lot has an end; give expiresAt.`;
  return withdrawnAt === null ? null : `Only individual lots are withdrawn, not a ${kind} one; leave withdrawnAt out.`;
}

/** The expiry of a shared lot: 12 months after its purchase or the end of its contract, whichever is earlier (R3, R7). */
export function sharedLotExpiry(lot: { purchasedAt: Instant; contractEndsAt: Instant; timeZone: string }): Instant {
  return earlierOf(addMonths(lot.purchasedAt, 12, lot.timeZone), lot.contractEndsAt);
}

/** Conservation (design law): granted = available + reserved + consumed + expired + withdrawn, and none below zero. */
export function isConserved(lot: Lot): boolean {
  return BUCKETS.every((bucket) => lot[bucket] >= 0n) && lot.granted === sumOf(BUCKETS, (bucket) => lot[bucket]);
}
