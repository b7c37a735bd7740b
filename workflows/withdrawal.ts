/**
 * A withdrawal: individual credits are taken back 90 days after a notice was delivered to their user (R4). All that is true
 * of the users is in the database; the workflow knows when to look, and works on a bounded number of pages at once.
 */
import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { WithdrawalActivities, WithdrawalLook } from '../activities/withdrawals';
import { type Instant, millisecondsOf, parseInstant } from '../domain/instant';
import { WITHDRAWAL_NAMES_MAX } from '../domain/withdrawal';
import { now } from './clock';
import { NEXT_AT } from './searchAttributes';
import { describeWithdrawal } from './withdrawalDetails';
import {
  type NoticeBounce,
  noticeBouncedSignal,
  type RescindAnswer,
  type RetryAnswer,
  rescindUpdate,
  retryUpdate,
  type WithdrawalAsking,
  type WithdrawalInput,
  type WithdrawalView,
  withdrawalViewQuery,
} from './withdrawalMessages';

/** How many pages are worked on at once, and listed at a time. */
const PAGES_AT_ONCE = 4;
const PAGES_LISTED = 100;
/** A page is three events and a workflow task; Temporal suggests a new run at some thousand events. */
const PAGES_PER_RUN = 500;
/**
 * Users of one page fall due one after another, as they were delivered to. What comes within this time is gathered, so that a
 * page is worked on a few times and not a hundred; what is booked counts from its own instant all the same.
 */
const GATHER_MS = 60_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const retry = { initialInterval: '1s', maximumInterval: '1 minute' } as const;
const { lookAtWithdrawal } = proxyActivities<WithdrawalActivities>({
  startToCloseTimeout: '30s',
  retry,
  summary: 'look at what is due',
});
const { workWithdrawalPage } = proxyActivities<WithdrawalActivities>({
  // A slow mail server takes its time with a hundred users.
  startToCloseTimeout: '3 hours',
  heartbeatTimeout: '2 minutes',
  retry,
  summary: 'deliver, remind and withdraw for a page of users',
});
const { recordWithdrawalRequest, rescindWithdrawalPage, retryWithdrawalPage } = proxyActivities<WithdrawalActivities>({
  startToCloseTimeout: '1 minute',
  retry,
  summary: 'do what somebody asked for',
});
const { returnWithdrawalNotice } = proxyActivities<WithdrawalActivities>({
  startToCloseTimeout: '30s',
  retry,
  summary: 'take back a notice that was returned',
});
const { endWithdrawal } = proxyActivities<WithdrawalActivities>({
  startToCloseTimeout: '30s',
  retry,
  summary: 'end the campaign',
});

/** How the users ended, for those who read the workflow's result. */
export type WithdrawalSummary = WithdrawalView['counts'];

export async function withdrawal(input: WithdrawalInput): Promise<WithdrawalSummary> {
  return new Campaign(input).toItsEnd();
}

class Campaign {
  private look: WithdrawalLook | undefined;
  /** Something happened that the last look does not know. */
  private attention = false;
  private pagesWorked = 0;
  private gatherUntilMs = 0;
  private shownNextAt: Instant | null = null;

  constructor(private readonly input: WithdrawalInput) {
    setHandler(withdrawalViewQuery, () => this.view(), {
      description: 'How many users are waiting, noticed, rescinded, withdrawn or undeliverable, and what comes next.',
    });
    // Handlers run in the workflow's own scope, and a cancelled campaign still answers.
    setHandler(rescindUpdate, (asking) => CancellationScope.nonCancellable(() => this.rescind(asking)), {
      description:
        'Lets users keep their credits unless the withdrawal took effect: {requestId, userIds or "all", actor, reason}.',
      validator: (asking) => this.check(asking),
    });
    setHandler(retryUpdate, (asking) => CancellationScope.nonCancellable(() => this.retry(asking)), {
      description: 'Tries undeliverable notices again on all channels: {requestId, userIds or "all", actor, reason}.',
      validator: (asking) => this.check(asking),
    });
    setHandler(noticeBouncedSignal, (bounce) => CancellationScope.nonCancellable(() => this.takeBack(bounce)), {
      description: 'A delivered notice came back: the next channel is tried, and the 90 days begin anew.',
    });
  }

  /** Cancelling stops nothing: people were told something. Who wants to stop a campaign rescinds it. */
  toItsEnd(): Promise<WithdrawalSummary> {
    return CancellationScope.nonCancellable(async () => {
      const { counts } = await this.workThrough();
      await endWithdrawal(this.present());
      this.showNext(null);
      // Whoever asked in the last moment gets an answer, not a workflow that is gone.
      await condition(allHandlersFinished);
      return counts;
    });
  }

  private async workThrough(): Promise<WithdrawalLook> {
    for (;;) {
      this.attention = false;
      const look = await lookAtWithdrawal({ ...this.present(), pagesMax: PAGES_LISTED });
      this.look = look;
      this.show(look);
      if (look.isDone) {
        await condition(allHandlersFinished);
        if (!this.attention) return look;
      } else if (look.pages.length > 0) await this.workOn(look.pages);
      else await this.waitFor(look);
      if (this.isLong()) await this.goOnAsNew();
    }
  }

  /** A fixed number of pages at once, however many there are. */
  private async workOn(pages: readonly number[]): Promise<void> {
    const left = [...pages];
    const lane = async () => {
      for (let page = left.shift(); page !== undefined && !this.isLong(); page = left.shift()) {
        this.pagesWorked++;
        await workWithdrawalPage({ ...this.present(), page, pagesAtOnce: PAGES_AT_ONCE });
      }
    };
    await Promise.all(Array.from({ length: PAGES_AT_ONCE }, lane));
    this.gatherUntilMs = Date.now() + GATHER_MS;
  }

  private async waitFor({ nextAt, nextWhat }: WithdrawalLook): Promise<void> {
    this.showNext(nextAt);
    const happened = () => this.attention;
    if (nextAt === null) return condition(happened);
    // Instants have microseconds, timers milliseconds: never before the instant.
    const wakeAtMs = Math.max(millisecondsOf(nextAt) + 1, this.gatherUntilMs);
    await condition(happened, Math.max(1, wakeAtMs - Date.now()), { summary: nextWhat });
  }

  private isLong(): boolean {
    return this.pagesWorked >= (this.input.pagesPerRun ?? PAGES_PER_RUN) || workflowInfo().continueAsNewSuggested;
  }

  /** Everything is in the database: the next run looks at it. */
  private async goOnAsNew(): Promise<never> {
    await condition(allHandlersFinished);
    return continueAsNew<typeof withdrawal>(this.input);
  }

  private check(asking: WithdrawalAsking): void {
    // What comes over the wire is not what the types say.
    const { requestId, userIds, actor, reason } = (asking ?? {}) as Partial<Record<keyof WithdrawalAsking, unknown>>;
    for (const [name, text, max] of [
      ['requestId', requestId, 200],
      ['actor', actor, 200],
      ['reason', reason, 500],
    ] as const) {
      if (typeof text !== 'string' || text === '' || text.length > max) {
        throw new TypeError(`${name} is a text of 1 to ${max} characters`);
      }
    }
    if (userIds !== 'all') {
      const isList = Array.isArray(userIds) && userIds.length > 0 && userIds.length <= WITHDRAWAL_NAMES_MAX;
      if (!isList || !userIds.every((id) => typeof id === 'string' && UUID.test(id))) {
        throw new TypeError(`userIds is "all" or a list of 1 to ${WITHDRAWAL_NAMES_MAX} ids of users`);
      }
    }
  }

  private async rescind(asking: WithdrawalAsking): Promise<RescindAnswer> {
    const { withdrawalId, requestId } = await this.record('rescind', asking);
    let rescinded = 0;
    const tookEffect: string[] = [];
    for (let after: number | null = null; ; ) {
      const page: Awaited<ReturnType<typeof rescindWithdrawalPage>> = await rescindWithdrawalPage({
        withdrawalId,
        requestId,
        after,
      });
      if (page.next === null) break;
      after = page.next;
      rescinded += page.rescinded;
      tookEffect.push(...page.tookEffect);
    }
    this.attention = true;
    return {
      rescinded,
      tookEffect: tookEffect.slice(0, WITHDRAWAL_NAMES_MAX),
      tookEffectCount: tookEffect.length,
    };
  }

  private async retry(asking: WithdrawalAsking): Promise<RetryAnswer> {
    const { withdrawalId, requestId } = await this.record('retry', asking);
    let retried = 0;
    for (let after: number | null = null; ; ) {
      const page: Awaited<ReturnType<typeof retryWithdrawalPage>> = await retryWithdrawalPage({
        withdrawalId,
        requestId,
        after,
      });
      if (page.next === null) break;
      after = page.next;
      retried += page.retried;
    }
    this.attention = true;
    return { retried };
  }

  private async record(kind: 'rescind' | 'retry', { userIds: users, ...asking }: WithdrawalAsking) {
    const request = { ...this.present(), ...asking, kind, users };
    await recordWithdrawalRequest(request);
    return request;
  }

  private async takeBack(bounce: NoticeBounce): Promise<void> {
    const at = instantOf(bounce);
    if (at === null) return;
    await returnWithdrawalNotice({ ...this.present(), userId: bounce.userId, at });
    this.attention = true;
  }

  private present(): { withdrawalId: string; at: Instant } {
    return { withdrawalId: this.input.withdrawalId, at: now() };
  }

  private view(): WithdrawalView | null {
    if (!this.look) return null;
    const { counts, nextAt, nextWhat, failures } = this.look;
    return { counts, nextAt, nextWhat, failures };
  }

  private show(look: WithdrawalLook): void {
    setCurrentDetails(describeWithdrawal(look));
  }

  private showNext(nextAt: Instant | null): void {
    if (nextAt === this.shownNextAt) return;
    this.shownNextAt = nextAt;
    upsertSearchAttributes([{ key: NEXT_AT, value: nextAt === null ? null : new Date(millisecondsOf(nextAt)) }]);
  }
}

/** When a notice came back; null for what is no such message: a signal cannot be refused. */
function instantOf({ userId, at }: NoticeBounce): Instant | null {
  if (typeof userId !== 'string' || !UUID.test(userId)) return null;
  try {
    return parseInstant(at);
  } catch {
    return null;
  }
}
