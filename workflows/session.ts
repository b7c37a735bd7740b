/**
 * A configuration session, the child of its job: it waits for the next instant at which something is due, looks at what the
 * user did meanwhile, and ends with the session. What people do is in the database; this only knows when to look.
 */
import {
  CancellationScope,
  condition,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import type { RunOutcome } from '../activities/run';
import type { SessionActivities } from '../activities/sessions';
import { type Instant, millisecondsOf } from '../domain/instant';
import type { SessionEnd, SessionLook } from '../domain/session';
import { now } from './clock';
import { sessionTouchedSignal } from './messages';

export interface SessionInput {
  readonly jobId: string;
}

const activities = proxyActivities<SessionActivities>({
  startToCloseTimeout: '30s',
  retry: { initialInterval: '500ms', maximumInterval: '30s' },
});

const SENTENCES: Readonly<Record<SessionEnd, string>> = {
  closed: 'The session was closed.',
  'another-design': 'The session ended with another design.',
  left: 'The session ended when its page was left.',
  idle: 'The session ended after thirty minutes without activity.',
  'not-reserved': 'The session was not begun.',
  cancelled: 'The session was cancelled.',
};

export async function session({ jobId }: SessionInput): Promise<RunOutcome> {
  let touched = false;
  setHandler(
    sessionTouchedSignal,
    () => {
      touched = true;
    },
    { description: 'Somebody closed the session or left its page: look at once.' },
  );
  const attempt = await CancellationScope.nonCancellable(() => activities.beginSession({ jobId, at: now() }));
  let message = '';
  try {
    for (;;) {
      touched = false;
      const look = await activities.lookAtSession({ jobId, at: now() });
      if (look.state === 'ended') {
        message = SENTENCES[look.reason];
        break;
      }
      const { what, at } = nextOf(look, now());
      setCurrentDetails(`Open. Next: ${what} at ${at}, unless somebody goes on.`);
      await condition(() => touched, Math.max(1, millisecondsOf(at) - Date.now()), { summary: what });
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
    message = SENTENCES.cancelled;
    await CancellationScope.nonCancellable(async () => {
      await activities.cancelSession({ jobId, at: now() });
      await activities.endSession({ jobId, attempt, message, at: now() });
    });
    throw error;
  }
  await CancellationScope.nonCancellable(() => activities.endSession({ jobId, attempt, message, at: now() }));
  setCurrentDetails(message);
  return { end: 'completed', message };
}

function nextOf(look: Extract<SessionLook, { state: 'open' }>, at: Instant): { what: string; at: Instant } {
  const warns = look.warnAt > at && look.warnAt < look.endsAt;
  return warns ? { what: 'warn the idle user', at: look.warnAt } : { what: 'end the session', at: look.endsAt };
}
