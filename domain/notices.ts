/** Notices (R4): what is told to a person, through which channel, and when what was told counts as told. */
import { Temporal } from 'temporal-polyfill';
import type { Instant } from './instant';

export const NOTICE_KINDS = [
  'withdrawal',
  'withdrawal-reminder',
  'withdrawal-rescinded',
  'withdrawal-final',
  'digest',
] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

export const DIGEST_ENTRY_KINDS = [
  'contract-activated',
  'contract-ending',
  'contract-ended',
  'contract-renewed',
  'contract-closed',
  'lot-granted',
  'lot-expiring',
  'lot-expired',
  'low-balance',
  'balance-recovered',
] as const;
export type DigestEntryKind = (typeof DIGEST_ENTRY_KINDS)[number];

export const CHANNELS = ['mail', 'administrator', 'in-service'] as const;
/** A way to reach a person: by mail, through who administers their contracts, or where they use the service. */
export type ChannelName = (typeof CHANNELS)[number];

export const LANGUAGES = ['en', 'de'] as const;
export type Language = (typeof LANGUAGES)[number];

/** A withdrawal takes effect so many times 24 hours after its notice was delivered (R4). */
export const WITHDRAWAL_NOTICE_DAYS = 90;

/** A lot as a notice names it. Amounts in decimal strings of credits. */
export interface NoticeLot {
  readonly lotId: string;
  readonly reference: string | null;
  readonly amount: string;
}

interface WithdrawalFacts {
  /** The lots and what of each is withdrawn. */
  readonly lots: readonly NoticeLot[];
  readonly total: string;
  /** What running jobs hold of these lots, and keep (R8). */
  readonly reserved: string;
  /** The provider's reason, in its own words; empty when it gives none. */
  readonly reason: string;
}

/** What each kind of notice says, in plain JSON. Sentences come from templates, in the reader's language. */
export interface NoticeFacts {
  /** The instant from which the credits are gone follows from the delivery: it is no fact before. */
  readonly withdrawal: WithdrawalFacts;
  readonly 'withdrawal-reminder': WithdrawalFacts & { readonly withdrawnAt: Instant; readonly daysLeft: number };
  readonly 'withdrawal-rescinded': WithdrawalFacts & { readonly withdrawnAt: Instant | null };
  readonly 'withdrawal-final': WithdrawalFacts & { readonly withdrawnAt: Instant };
  readonly digest: {
    /** The day of the person's own calendar, `2026-01-31`. */
    readonly day: string;
    readonly entries: readonly DigestEntry[];
  };
}

interface OfContract {
  readonly contractName: string;
}

interface OfLot {
  readonly lotId: string;
  readonly reference: string | null;
  /** Null for a lot of the person's own. */
  readonly contractName: string | null;
  readonly amount: string;
}

interface OfBalance {
  /** Null for the person's own credits. */
  readonly contractName: string | null;
  readonly spendable: string;
  readonly threshold: string;
}

export interface DigestEntryFacts {
  readonly 'contract-activated': OfContract & { readonly startsAt: Instant; readonly endsAt: Instant };
  readonly 'contract-ending': OfContract & {
    readonly endsAt: Instant;
    readonly renewal: 'manual' | 'automatic';
    /** Until when it may be renewed after its end; null without a grace. */
    readonly graceUntil: Instant | null;
    /** What could be spent on it at the time. */
    readonly amount: string;
  };
  readonly 'contract-ended': OfContract & {
    readonly endedAt: Instant;
    readonly graceUntil: Instant | null;
    readonly amount: string;
  };
  readonly 'contract-renewed': OfContract & { readonly endsAt: Instant };
  readonly 'contract-closed': OfContract & { readonly closedAt: Instant };
  readonly 'lot-granted': OfLot & { readonly effectiveAt: Instant; readonly expiresAt: Instant | null };
  readonly 'lot-expiring': OfLot & { readonly expiresAt: Instant };
  readonly 'lot-expired': OfLot & { readonly expiredAt: Instant };
  readonly 'low-balance': OfBalance;
  readonly 'balance-recovered': OfBalance;
}

/** Something that a person's next digest says. */
export type DigestEntry = {
  readonly [Kind in DigestEntryKind]: {
    readonly kind: Kind;
    readonly at: Instant;
    readonly facts: DigestEntryFacts[Kind];
  };
}[DigestEntryKind];

/** A kind of notice with its facts. */
export type NoticeContent = {
  readonly [Kind in NoticeKind]: { readonly kind: Kind; readonly facts: NoticeFacts[Kind] };
}[NoticeKind];

/** What came of asking for a notice's delivery. */
export type Delivery =
  | { readonly outcome: 'delivered'; readonly channel: ChannelName; readonly at: Instant }
  | { readonly outcome: 'deferred'; readonly retryAt: Instant }
  | { readonly outcome: 'undeliverable'; readonly reason: string };

/** Whether a name is one that clocks and calendars of this machine know. */
export function isTimeZone(name: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return !/^[+-]/.test(name);
  } catch {
    return false;
  }
}

/** The time zone, or UTC where it is none: a person with a wrong one is written to all the same. */
export function timeZoneOrUtc(name: string): string {
  return isTimeZone(name) ? name : 'UTC';
}

/** From this hour of a person's day on their digest may be sent. */
const DIGEST_HOUR = 8;

/**
 * The day whose digest is due for a person at an instant: their own calendar's, from eight in the morning on their own
 * clock. Null before that, and when the last digest was of this day or of a later one, as it can be after a journey.
 */
export function dueDigestDay(person: { timeZone: string; lastDay: string | null }, at: Instant): string | null {
  const there = Temporal.Instant.from(at).toZonedDateTimeISO(timeZoneOrUtc(person.timeZone));
  const day = there.toPlainDate().toString();
  if (there.hour < DIGEST_HOUR) return null;
  return person.lastDay !== null && day <= person.lastDay ? null : day;
}
