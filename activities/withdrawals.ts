/**
 * What a withdrawal's workflow calls: a page of at most a hundred users at a time, safe to repeat and to lose at any instant.
 * Business time is the workflow's `at`.
 */
import { activityInfo, heartbeat, sleep } from '@temporalio/activity';
import type { Ledger } from '../db/ledger';
import {
  changeUsers,
  countUsers,
  duePages,
  dueUsers,
  endWithdrawal,
  findWithdrawal,
  lastFailures,
  lotsOfUsers,
  nextPageOf,
  nextStep,
  noticeIdOf,
  pageOfUser,
  recordRequest,
  requestOf,
  type Withdrawal,
  type WithdrawalCounts,
  type WithdrawalLot,
  type WithdrawalRequest,
} from '../db/withdrawals/campaign';
import { type Acting, bookWithdrawals, settleLives } from '../db/withdrawals/lives';
import { formatCredits, sumOf } from '../domain/credits';
import { addMilliseconds, type Instant } from '../domain/instant';
import type { Delivery, NoticeContent, NoticeFacts } from '../domain/notices';
import {
  bounced,
  delivered,
  describeStep,
  dueOf,
  letGo,
  postponed,
  reminded,
  rescinded,
  retried,
  told,
  tookEffect,
  undeliverable,
  type WithdrawalStep,
  type WithdrawalUser,
  withdrawn,
} from '../domain/withdrawal';
import type { NoticeDelivery } from './notices';

type WithdrawalFacts = NoticeFacts['withdrawal'];
type WithdrawalNotice = Exclude<NoticeContent, { readonly kind: 'digest' }>;

export interface WithdrawalLook {
  readonly reason: string;
  readonly counts: WithdrawalCounts;
  /** Pages about whose users something is due now, the first so many. */
  readonly pages: readonly number[];
  /** What comes next; null when nothing does. */
  readonly nextAt: Instant | null;
  readonly nextWhat: string;
  readonly failures: readonly string[];
  /** Whether nothing can happen to any user any more. */
  readonly isDone: boolean;
}

interface OfWithdrawal {
  readonly withdrawalId: string;
  readonly at: Instant;
}

/** A request that was recorded, page by page. */
interface OfRequest {
  readonly withdrawalId: string;
  readonly requestId: string;
  /** The page before; null at the beginning. */
  readonly after: number | null;
}

export interface WithdrawalActivities {
  lookAtWithdrawal(input: OfWithdrawal & { pagesMax: number }): Promise<WithdrawalLook>;
  /** Does what is due about the users of a page: books withdrawals, then sends notices at the campaign's pace. */
  workWithdrawalPage(input: OfWithdrawal & { page: number; pagesAtOnce: number }): Promise<{ notices: number }>;
  /** Remembers what somebody asks, before anything is done about it. */
  recordWithdrawalRequest(input: {
    withdrawalId: string;
    requestId: string;
    kind: 'rescind' | 'retry';
    users: readonly string[] | 'all';
    actor: string;
    reason: string;
    at: Instant;
  }): Promise<void>;
  /** Rescinds for the users of the next page that a request names, until it took effect (R4); their lots live on at once. */
  rescindWithdrawalPage(
    input: OfRequest,
  ): Promise<{ rescinded: number; tookEffect: readonly string[]; next: number | null }>;
  /** Has what was undeliverable tried again for the users of the next page that a request names. */
  retryWithdrawalPage(input: OfRequest): Promise<{ retried: number; next: number | null }>;
  /** The notice to a user came back: their lots live on, and the next channel's turn comes. */
  returnWithdrawalNotice(input: OfWithdrawal & { userId: string }): Promise<void>;
  endWithdrawal(input: OfWithdrawal): Promise<void>;
}

const FAILURES_SHOWN = 5;
const RETRY_MS = 10 * 60_000;

export interface WithdrawalDependencies {
  readonly ledger: Ledger;
  readonly notices: NoticeDelivery;
}

export function createWithdrawalActivities({ ledger, notices }: WithdrawalDependencies): WithdrawalActivities {
  const { db } = ledger;

  async function campaign(id: string): Promise<Withdrawal> {
    const found = await findWithdrawal(db, id);
    if (!found) throw new Error(`there is no withdrawal ${id}`);
    return found;
  }

  /** The next page of a request with those of its users who are named, changed by a rule. */
  async function changeNextPage(
    { withdrawalId, after }: OfRequest,
    { users }: WithdrawalRequest,
    rule: (user: WithdrawalUser) => WithdrawalUser,
  ): Promise<{ page: number | null; changed: readonly WithdrawalUser[] }> {
    const page = await nextPageOf(db, withdrawalId, { users, after });
    if (page === null) return { page, changed: [] };
    return { page, changed: await changeUsers(db, withdrawalId, { page, users }, rule) };
  }

  return {
    async lookAtWithdrawal({ withdrawalId, at, pagesMax }) {
      const { reason } = await campaign(withdrawalId);
      const [counts, pages, next, failures] = await Promise.all([
        countUsers(db, withdrawalId),
        duePages(db, withdrawalId, at, pagesMax),
        nextStep(db, withdrawalId),
        lastFailures(db, withdrawalId, FAILURES_SHOWN),
      ]);
      return {
        reason,
        counts,
        pages,
        nextAt: next?.at ?? null,
        nextWhat: next ? describeStep(next.step) : '',
        failures,
        isDone: next === null && counts.undeliverable === 0,
      };
    },

    async workWithdrawalPage({ withdrawalId, page, at, pagesAtOnce }) {
      const of = await campaign(withdrawalId);
      const place = { withdrawalId, page };
      const acting = actingOf(of);
      const users = (await dueUsers(db, withdrawalId, page, at)).map(({ userId }) => userId);
      await changeUsers(db, withdrawalId, { page, users }, (user) => withdrawn(user, at));
      // Of the whole page, so that what an attempt before was lost in the middle of is done as well.
      await settleLives(ledger, place, acting);
      await bookWithdrawals(ledger, place, acting);
      const notices = await sendNotices(of, { page, at, pauseMs: (1_000 * pagesAtOnce) / of.noticesPerSecond });
      await settleLives(ledger, place, acting);
      return { notices };
    },

    async recordWithdrawalRequest({ withdrawalId, ...request }) {
      await recordRequest(db, withdrawalId, request);
    },

    async rescindWithdrawalPage(of) {
      const { withdrawalId, requestId } = of;
      const request = await requestOf(db, withdrawalId, { requestId, kind: 'rescind' });
      const { actor, reason, at } = request;
      const { page, changed } = await changeNextPage(of, request, (user) => rescinded(user, at));
      if (page !== null) await settleLives(ledger, { withdrawalId, page }, { actor, reason });
      return {
        rescinded: changed.filter(({ state }) => state === 'rescinded').length,
        tookEffect: changed.filter((user) => tookEffect(user, at)).map(({ userId }) => userId),
        next: page,
      };
    },

    async retryWithdrawalPage(of) {
      const request = await requestOf(db, of.withdrawalId, { requestId: of.requestId, kind: 'retry' });
      const { page, changed } = await changeNextPage(of, request, (user) => retried(user, request.at));
      return { retried: changed.filter(({ state }) => state === 'waiting').length, next: page };
    },

    async returnWithdrawalNotice({ withdrawalId, userId, at }) {
      const page = await pageOfUser(db, withdrawalId, userId);
      if (page === undefined) return;
      await changeUsers(db, withdrawalId, { page, users: [userId] }, (user) => bounced(user, at));
      await settleLives(ledger, { withdrawalId, page }, actingOf(await campaign(withdrawalId)));
    },

    async endWithdrawal({ withdrawalId, at }) {
      await endWithdrawal(db, withdrawalId, at);
    },
  };

  /**
   * Sends what is due to the users of a page, one by one, not faster than the pause says. Each delivery counts from its own
   * moment: the 90 days of the last user of a page do not start when its first was told.
   *
   * @returns how many were tried.
   */
  async function sendNotices(
    of: Withdrawal,
    { page, at: askedAt, pauseMs }: { page: number; at: Instant; pauseMs: number },
  ): Promise<number> {
    const present = clockFrom(askedAt);
    const users = await dueUsers(db, of.id, page, askedAt);
    const userIds = users.map(({ userId }) => userId);
    const lots = await lotsOfUsers(db, of.id, userIds);
    let count = 0;
    for (const user of users) {
      const step = dueOf(user, askedAt);
      if (!step || step.what === 'withdraw') continue;
      const startedMs = performance.now();
      const at = present();
      const theirs = lots.filter(({ userId }) => userId === user.userId);
      const change = (rule: (now: WithdrawalUser) => WithdrawalUser) =>
        changeUsers(db, of.id, { page, users: [user.userId] }, rule);
      if (step.what === 'deliver' && theirs.every(({ isEnded }) => isEnded)) {
        await change((now) => letGo(now, at));
        continue;
      }
      const delivery = await send(of, user, noticeOf(of, { user, step, lots: theirs }), at);
      await change((now) => afterDelivery(now, { sent: user, step, delivery, at }));
      heartbeat(++count);
      await sleep(Math.max(0, pauseMs - (performance.now() - startedMs)));
    }
    return count;
  }

  /** What fails for one user is tried again later and keeps none of the others waiting. */
  async function send(
    { id: subjectId }: Withdrawal,
    { userId }: WithdrawalUser,
    { told: what, ...notice }: ToldNotice,
    at: Instant,
  ): Promise<Delivery | Failed> {
    const id = noticeIdOf(subjectId, what);
    try {
      await notices.create({ ...notice, id, userId, subjectId, required: true, at });
      return await notices.deliver(id, at);
    } catch (error) {
      return { outcome: 'failed', reason: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** Nobody knows what came of a delivery. */
interface Failed {
  readonly outcome: 'failed';
  readonly reason: string;
}

type ToldNotice = WithdrawalNotice & { readonly told: readonly (string | number | null)[] };
type Telling = Exclude<WithdrawalStep, { readonly what: 'withdraw' }>;

/** What a user is told, and what makes it one notice and not another. */
function noticeOf(
  { reason }: Withdrawal,
  { user, step, lots }: { user: WithdrawalUser; step: Telling; lots: readonly WithdrawalLot[] },
): ToldNotice {
  const { userId, round, deliveredAt, withdrawsAt } = user;
  if (step.what === 'deliver') {
    return { kind: 'withdrawal', told: ['withdrawal', userId, round], facts: factsOf(lots, reason, 'available') };
  }
  if (withdrawsAt === null) throw new Error(`user ${userId} has nothing to be reminded of`);
  if (step.what === 'remind') {
    return {
      kind: 'withdrawal-reminder',
      told: ['withdrawal-reminder', userId, deliveredAt, step.days],
      facts: { ...factsOf(lots, reason, 'available'), withdrawnAt: withdrawsAt, daysLeft: step.days },
    };
  }
  const bucket = step.kind === 'withdrawal-final' ? 'withdrawn' : 'available';
  return {
    kind: step.kind,
    told: [step.kind, userId, deliveredAt],
    facts: { ...factsOf(lots, reason, bucket), withdrawnAt: withdrawsAt },
  };
}

function factsOf(lots: readonly WithdrawalLot[], reason: string, bucket: 'available' | 'withdrawn'): WithdrawalFacts {
  const living = bucket === 'withdrawn' ? lots : lots.filter(({ isEnded }) => !isEnded);
  return {
    lots: living.map((lot) => ({ lotId: lot.lotId, reference: lot.reference, amount: formatCredits(lot[bucket]) })),
    total: formatCredits(sumOf(living, (lot) => lot[bucket])),
    reserved: formatCredits(sumOf(living, ({ reserved }) => reserved)),
    reason,
  };
}

/** The user after a delivery was tried; as they were when something else happened to them meanwhile. */
function afterDelivery(
  now: WithdrawalUser,
  tried: { sent: WithdrawalUser; step: Telling; delivery: Delivery | Failed; at: Instant },
): WithdrawalUser {
  const { sent, step, delivery, at } = tried;
  if (step.what === 'deliver' && delivery.outcome === 'delivered') return delivered(now, delivery);
  const isSame = now.state === sent.state && now.deliveredAt === sent.deliveredAt && now.round === sent.round;
  if (!isSame) return now;
  switch (delivery.outcome) {
    case 'failed':
      return postponed(now, at, { retryAt: addMilliseconds(at, RETRY_MS), failure: delivery.reason });
    case 'deferred':
      return postponed(now, at, { retryAt: delivery.retryAt, failure: null });
    default: {
      const failure = delivery.outcome === 'undeliverable' ? delivery.reason : null;
      if (step.what === 'deliver') return undeliverable(now, at, failure ?? '');
      return step.what === 'remind' ? reminded(now, step.days, failure) : told(now, at, failure);
    }
  }
}

/**
 * The workflow's time as it goes on after an activity was scheduled, waiting for a worker and earlier attempts included. A
 * workflow whose clock was moved forward is ahead of this machine's: then what passes since now is all that is known.
 */
function clockFrom(askedAt: Instant): () => Instant {
  const { scheduledTimestampMs } = activityInfo();
  const startedMs = performance.now();
  return () =>
    addMilliseconds(askedAt, Math.max(Date.now() - scheduledTimestampMs, Math.floor(performance.now() - startedMs)));
}

function actingOf({ id, reason }: Withdrawal): Acting {
  return { actor: `withdrawal/${id}`, reason };
}
