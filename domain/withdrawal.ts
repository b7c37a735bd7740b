/**
 * Withdrawals (R4, R8): the provider takes individual credits back 90 days after a notice was delivered to their user. What
 * a campaign owes one user, and when, follows from that user's state alone.
 */
import { addMilliseconds, earlierOf, type Instant } from './instant';

/** From the delivery of a user's notice to the end of their credits: days of 24 hours. */
export const NOTICE_DAYS = 90;
/** How many days before the end the user is reminded. */
export const REMINDER_DAYS = [30, 7] as const;
export type ReminderDays = (typeof REMINDER_DAYS)[number];

export const WITHDRAWAL_STATES = ['running', 'ended'] as const;
export const WITHDRAWAL_USER_STATES = ['waiting', 'noticed', 'rescinded', 'withdrawn', 'undeliverable'] as const;
export type WithdrawalUserState = (typeof WITHDRAWAL_USER_STATES)[number];

/** How many users a page has: what one activity works on. */
export const WITHDRAWAL_PAGE = 100;
/** How many users a request names at most. */
export const WITHDRAWAL_NAMES_MAX = 1_000;

const DAY_MS = 86_400_000;

/** One user of a campaign. */
export interface WithdrawalUser {
  readonly userId: string;
  readonly state: WithdrawalUserState;
  /** When the state began. */
  readonly changedAt: Instant;
  /** When something is to be done about the user; null when nothing is. */
  readonly nextAt: Instant | null;
  /** Of the notice that counts, with the channel that delivered it and the end of the 90 days. */
  readonly deliveredAt: Instant | null;
  readonly channel: string | null;
  readonly withdrawsAt: Instant | null;
  /** The last reminder that was sent, or that came too late. */
  readonly reminded: ReminderDays | null;
  /** When the user was told how it ended. */
  readonly toldAt: Instant | null;
  /** Counts the notices: an undeliverable one is tried again as another. */
  readonly round: number;
  /** What went wrong last, as a sentence. */
  readonly failure: string | null;
}

/** What is to be done about a user, and since when. */
export type WithdrawalStep =
  | { readonly what: 'deliver'; readonly at: Instant }
  | { readonly what: 'remind'; readonly at: Instant; readonly days: ReminderDays }
  | { readonly what: 'withdraw'; readonly at: Instant }
  | { readonly what: 'tell'; readonly at: Instant; readonly kind: 'withdrawal-rescinded' | 'withdrawal-final' };

/** The end of the 90 days that a delivery starts. Half-open: at the instant itself the credits are gone. */
export function withdrawalOf(deliveredAt: Instant): Instant {
  return addMilliseconds(deliveredAt, NOTICE_DAYS * DAY_MS);
}

/**
 * What is still to be done about a user if nobody interferes, in order. A user without steps is done, unless the notice was
 * undeliverable: that can be tried again.
 */
export function stepsOf(user: WithdrawalUser): WithdrawalStep[] {
  const { state, changedAt, withdrawsAt, reminded, deliveredAt, toldAt } = user;
  switch (state) {
    case 'waiting':
      return [{ what: 'deliver', at: changedAt }];
    case 'noticed': {
      if (withdrawsAt === null) throw new Error(`user ${user.userId} is noticed and has no end of the notice`);
      const reminders = REMINDER_DAYS.filter((days) => reminded === null || days < reminded);
      return [
        ...reminders.map((days) => ({
          what: 'remind' as const,
          at: addMilliseconds(withdrawsAt, -days * DAY_MS),
          days,
        })),
        { what: 'withdraw', at: withdrawsAt },
      ];
    }
    case 'withdrawn':
      return toldAt === null ? [{ what: 'tell', at: changedAt, kind: 'withdrawal-final' }] : [];
    case 'rescinded':
      // Who never had a notice is told nothing.
      return deliveredAt !== null && toldAt === null
        ? [{ what: 'tell', at: changedAt, kind: 'withdrawal-rescinded' }]
        : [];
    case 'undeliverable':
      return [];
  }
}

/**
 * What is to be done about a user at an instant: the last step that has come. What was missed before it is passed over: a
 * reminder is not sent when a later one, or the withdrawal, is due as well.
 */
export function dueOf(user: WithdrawalUser, at: Instant): WithdrawalStep | null {
  return stepsOf(user).findLast((step) => step.at <= at) ?? null;
}

/** A step in words, for people. */
export function describeStep(step: WithdrawalStep): string {
  switch (step.what) {
    case 'deliver':
      return 'delivery of a notice';
    case 'remind':
      return `a reminder ${step.days} days before the end`;
    case 'withdraw':
      return 'a withdrawal';
    case 'tell':
      return step.kind === 'withdrawal-final' ? 'a final notice' : 'a notice of the rescission';
  }
}

/** A user as a campaign begins with them. */
export function startOf(userId: string, at: Instant): WithdrawalUser {
  const nothing = { deliveredAt: null, channel: null, withdrawsAt: null, reminded: null, toldAt: null, failure: null };
  return { userId, state: 'waiting', changedAt: at, nextAt: at, round: 1, ...nothing };
}

/**
 * The user's notice was delivered: the 90 days begin. Who was rescinded in the same moment stays so, and is told that the
 * notice does not count.
 */
export function delivered(user: WithdrawalUser, delivery: { at: Instant; channel: string }): WithdrawalUser {
  const { at: deliveredAt, channel } = delivery;
  const notice = { deliveredAt, channel, withdrawsAt: withdrawalOf(deliveredAt), failure: null };
  if (user.state === 'waiting') {
    return changed(user, { ...notice, state: 'noticed', changedAt: deliveredAt, reminded: null });
  }
  if (user.state === 'rescinded' && user.deliveredAt === null) return changed(user, notice);
  return user;
}

/** No channel delivers the notice: the user stays listed until somebody tries again or rescinds. */
export function undeliverable(user: WithdrawalUser, at: Instant, reason: string): WithdrawalUser {
  if (user.state !== 'waiting') return user;
  return changed(user, { state: 'undeliverable', changedAt: at, failure: reason });
}

/** What is due now is to be tried again later, but nothing else of the user's waits for that. */
export function postponed(
  user: WithdrawalUser,
  at: Instant,
  { retryAt, failure }: { retryAt: Instant; failure: string | null },
): WithdrawalUser {
  const following = stepsOf(user).find((step) => step.at > at);
  return { ...user, failure: failure ?? user.failure, nextAt: following ? earlierOf(retryAt, following.at) : retryAt };
}

/** A reminder is behind us: sent, or given up with a reason. */
export function reminded(user: WithdrawalUser, days: ReminderDays, failure: string | null): WithdrawalUser {
  return user.state === 'noticed' ? changed(user, { reminded: days, failure }) : user;
}

/** The user was told how it ended, or cannot be. */
export function told(user: WithdrawalUser, at: Instant, failure: string | null): WithdrawalUser {
  const isOver = user.state === 'withdrawn' || user.state === 'rescinded';
  return isOver ? changed(user, { toldAt: at, failure }) : user;
}

/** The 90 days are over at an instant: the credits are gone since their end, whenever that is noticed. */
export function withdrawn(user: WithdrawalUser, at: Instant): WithdrawalUser {
  if (user.state !== 'noticed' || user.withdrawsAt === null || at < user.withdrawsAt) return user;
  return changed(user, { state: 'withdrawn', changedAt: user.withdrawsAt });
}

/** Whether the withdrawal took effect by an instant, booked or not: nothing takes it back then (R4). */
export function tookEffect({ state, withdrawsAt }: WithdrawalUser, at: Instant): boolean {
  return state === 'withdrawn' || (state === 'noticed' && withdrawsAt !== null && withdrawsAt <= at);
}

/** Every selected lot of a waiting user ended otherwise: there is nothing to tell them, and nothing to take. */
export function letGo(user: WithdrawalUser, at: Instant): WithdrawalUser {
  if (user.state !== 'waiting') return user;
  return changed(user, { state: 'rescinded', changedAt: at, failure: 'Every selected lot ended otherwise.' });
}

/** A rescission: the user's credits stay, unless the withdrawal took effect. */
export function rescinded(user: WithdrawalUser, at: Instant): WithdrawalUser {
  if (user.state === 'rescinded' || tookEffect(user, at)) return user;
  return changed(user, { state: 'rescinded', changedAt: at, failure: null });
}

/**
 * The delivered notice came back: the user goes without one as before, and the 90 days begin anew with the next delivery.
 * Nothing changes when the withdrawal took effect by then, or when the news is of an earlier delivery than the one that counts.
 */
export function bounced(user: WithdrawalUser, at: Instant): WithdrawalUser {
  const { state, deliveredAt } = user;
  if (state !== 'noticed' || deliveredAt === null || at < deliveredAt || tookEffect(user, at)) return user;
  return changed(user, {
    state: 'waiting',
    changedAt: at,
    deliveredAt: null,
    channel: null,
    withdrawsAt: null,
    reminded: null,
    failure: `The notice delivered at ${deliveredAt} came back.`,
  });
}

/** Somebody asks to deliver once more what was undeliverable: as another notice, on all channels. */
export function retried(user: WithdrawalUser, at: Instant): WithdrawalUser {
  if (user.state !== 'undeliverable') return user;
  return changed(user, { state: 'waiting', changedAt: at, round: user.round + 1 });
}

export function withdrawalWorkflowId(withdrawalId: string): string {
  return `withdrawal/${withdrawalId}`;
}

/** A changed user, with the first of the steps that are left. */
function changed(user: WithdrawalUser, change: Partial<WithdrawalUser>): WithdrawalUser {
  const next = { ...user, ...change };
  return { ...next, nextAt: stepsOf(next)[0]?.at ?? null };
}
