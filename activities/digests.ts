/** Looks after balances and digests, page by page. */
import { balanceWatches, lotsByPool, tellOfBalance } from '../db/balanceWatch';
import { type Db, isUnavailable } from '../db/client';
import { type DigestCandidate, digestCandidates, makeDigest } from '../db/digests';
import { balanceAt, balanceNews, defaultThreshold } from '../domain/balanceWatch';
import { formatCredits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { NoticeDelivery } from './notices';

export interface PageRequest {
  /** The person to go on after; null at the beginning. */
  readonly after: string | null;
  readonly at: Instant;
  readonly limit: number;
}

export interface PageOutcome {
  readonly examined: number;
  /** Entries queued, or digests delivered. */
  readonly done: number;
  /** What went wrong with single persons; the others were served. */
  readonly findings: readonly string[];
  /** The person to go on after; null at the end. */
  readonly next: string | null;
}

export interface DigestActivities {
  /** Compares what persons can spend with their thresholds, and queues what they are to be told. */
  lowBalancePage(page: PageRequest): Promise<PageOutcome>;
  /** Makes and delivers the digests of the persons whose morning has come, and delivers again what was put off. */
  digestPage(page: PageRequest): Promise<PageOutcome>;
}

/** A slow mail server ends a page early instead of holding it: the next page goes on with the next person. */
const PAGE_MS = 60_000;
const SIDE_BY_SIDE = 4;

export function createDigestActivities({ db, delivery }: { db: Db; delivery: NoticeDelivery }): DigestActivities {
  async function serve(candidate: DigestCandidate, at: Instant): Promise<number> {
    const made = candidate.hasEntries ? await makeDigest(db, candidate, at) : null;
    let delivered = 0;
    for (const noticeId of [...candidate.dueNoticeIds, ...(made === null ? [] : [made])]) {
      const { outcome } = await delivery.deliver(noticeId, at);
      if (outcome === 'delivered') delivered++;
    }
    return delivered;
  }

  return {
    async lowBalancePage({ after, at, limit }) {
      const { userIds, watches } = await balanceWatches(db, { after, at, limit });
      const lots = await lotsByPool(db, [...new Set(watches.map(({ poolId }) => poolId))]);
      let done = 0;
      for (const watch of watches) {
        const balance = balanceAt(lots.get(watch.poolId) ?? [], at);
        const threshold = watch.threshold ?? defaultThreshold(balance);
        const kind = threshold === null ? null : balanceNews(balance, threshold, watch.isLow);
        if (kind === null || threshold === null) continue;
        await tellOfBalance(db, watch, {
          kind,
          at,
          spendable: formatCredits(balance.spendable),
          threshold: formatCredits(threshold),
        });
        done++;
      }
      return { examined: userIds.length, done, findings: [], next: nextOf(userIds, limit) };
    },

    async digestPage({ after, at, limit }) {
      const untilMs = performance.now() + PAGE_MS;
      const candidates = await digestCandidates(db, { after, at, limit });
      const findings: string[] = [];
      let [done, examined] = [0, 0];
      while (examined < candidates.length && performance.now() < untilMs) {
        const together = candidates.slice(examined, examined + SIDE_BY_SIDE);
        const outcomes = await Promise.allSettled(together.map((candidate) => serve(candidate, at)));
        outcomes.forEach((outcome, index) => {
          if (outcome.status === 'fulfilled') done += outcome.value;
          else if (isUnavailable(outcome.reason)) throw outcome.reason;
          else findings.push(`the digest of user ${together[index]?.userId}: ${outcome.reason}`);
        });
        examined += together.length;
      }
      const ids = candidates.map(({ userId }) => userId);
      const isWhole = examined === candidates.length;
      return { examined, done, findings, next: isWhole ? nextOf(ids, limit) : (ids[examined - 1] ?? null) };
    },
  };
}

function nextOf(userIds: readonly string[], limit: number): string | null {
  return userIds.length === limit ? (userIds.at(-1) ?? null) : null;
}
