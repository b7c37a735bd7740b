/** Notices for tests of withdrawals: nothing is sent, what was told is remembered, and deliveries go as a test says. */
import type { NoticeDelivery } from '../../activities/notices';
import type { Instant } from '../../domain/instant';
import type { Delivery } from '../../domain/notices';

type Notice = Parameters<NoticeDelivery['create']>[0];
/** What comes of the next delivery to a user; a channel delivers at once. */
export type Scripted = Delivery | 'mail' | 'administrator' | 'in-service' | Error;

export interface ScriptedNotices extends NoticeDelivery {
  /** Every notice that was made, in order. */
  readonly made: Notice[];
  /** What was tried to deliver, in order. */
  readonly tried: { readonly userId: string; readonly kind: Notice['kind']; readonly at: Instant }[];
  /** Says what comes of the next deliveries to a user; afterwards mail arrives. */
  script(userId: string, ...next: Scripted[]): void;
  /** The notices made for a user, by kind. */
  kindsFor(userId: string): string[];
  /** Has the next deliveries wait for something. */
  hold(until: Promise<unknown> | null): void;
}

/** A delivery takes a moment that no millisecond shows. */
export function momentAfter(at: Instant): Instant {
  return at.replace(/\d{3}Z$/, '417Z') as Instant;
}

export function scriptedNotices(): ScriptedNotices {
  const made = new Map<string, Notice>();
  const scripts = new Map<string, Scripted[]>();
  const tried: ScriptedNotices['tried'] = [];
  let held: Promise<unknown> | null = null;
  const all = () => [...made.values()];
  return {
    get made() {
      return all();
    },
    tried,
    script(userId, ...next) {
      scripts.set(userId, next);
    },
    hold(until) {
      held = until;
    },
    kindsFor: (userId) => all().flatMap((notice) => (notice.userId === userId ? [notice.kind] : [])),
    async create(notice) {
      if (!made.has(notice.id)) made.set(notice.id, notice);
    },
    async deliver(noticeId, at) {
      await held;
      const notice = made.get(noticeId);
      if (!notice) throw new Error(`there is no notice ${noticeId}`);
      tried.push({ userId: notice.userId, kind: notice.kind, at });
      const next = scripts.get(notice.userId)?.shift() ?? 'mail';
      if (next instanceof Error) throw next;
      return typeof next === 'string' ? { outcome: 'delivered', channel: next, at: momentAfter(at) } : next;
    },
  };
}
