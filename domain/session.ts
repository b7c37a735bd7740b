/** A configuration session: open while somebody works in it, and one session however often its page is loaded anew. */
import { addMilliseconds, type Instant } from './instant';

/** What is known of a session; `null` for what did not happen. */
export interface Session {
  readonly openedAt: Instant;
  /** When its user last did something. */
  readonly activeAt: Instant;
  /** When its page was left, unless somebody came back. */
  readonly leftAt: Instant | null;
  /** When somebody ended it, and why. */
  readonly closedAt: Instant | null;
  readonly closedFor: SessionEnd | null;
}

export const SESSION_ENDS = ['closed', 'another-design', 'left', 'idle', 'not-reserved', 'cancelled'] as const;
/** Why a session ended. */
export type SessionEnd = (typeof SESSION_ENDS)[number];

const MINUTE_MS = 60_000;
/** After this time without activity the user is warned. */
export const IDLE_WARNING_MS = 10 * MINUTE_MS;
/** After this time without activity the session ends. */
export const IDLE_END_MS = 30 * MINUTE_MS;
/** A page that is loaded anew, or left and come back to within this time, goes on with its session. */
export const LEAVE_GRACE_MS = 2 * MINUTE_MS;

export type SessionLook =
  | { readonly state: 'ended'; readonly at: Instant; readonly reason: SessionEnd }
  | {
      readonly state: 'open';
      /** When its user is to be warned; an instant that has passed if it is so already. */
      readonly warnAt: Instant;
      readonly endsAt: Instant;
    };

/**
 * Whether a session is open at an instant, and until when it is if nobody does anything. Decided by what its user did, not
 * by who looks: a session that nobody ended in time ended all the same.
 */
export function lookAtSession(session: Session, at: Instant): SessionLook {
  const ends: { at: Instant; reason: SessionEnd }[] = [
    { at: addMilliseconds(session.activeAt, IDLE_END_MS), reason: 'idle' },
    ...(session.leftAt === null
      ? []
      : [{ at: addMilliseconds(session.leftAt, LEAVE_GRACE_MS), reason: 'left' as const }]),
    ...(session.closedAt === null ? [] : [{ at: session.closedAt, reason: session.closedFor ?? 'closed' }]),
  ];
  const first = ends.reduce((soonest, end) => (end.at < soonest.at ? end : soonest));
  if (first.at <= at) return { state: 'ended', ...first };
  return { state: 'open', warnAt: addMilliseconds(session.activeAt, IDLE_WARNING_MS), endsAt: first.at };
}

export function sessionWorkflowId(jobId: string): string {
  return `session/${jobId}`;
}
