/**
 * The billing activities as a workflow calls them: at first as local activities, which cost no round trip to the server;
 * when that does not succeed soon, because Postgres is away, as regular ones, which operators see and which wait as long
 * as it takes. Both are idempotent by key, so that doing one twice does nothing twice.
 */
import { isCancellation, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { JobActivities } from '../activities/jobActivities';

const SUMMARIES: Readonly<Record<keyof JobActivities, string>> = {
  reserve: 'reserve the expected credits',
  topUp: 'top up the reservation',
  raiseCap: 'raise the not-to-exceed amount',
  close: 'settle or release',
};

type Act<Name extends keyof JobActivities> = JobActivities[Name];

/** Calls a billing activity until it succeeds. Throws only for bugs. */
export async function bill<Name extends keyof JobActivities>(
  name: Name,
  input: Parameters<Act<Name>>[0],
): Promise<Awaited<ReturnType<Act<Name>>>> {
  const summary = SUMMARIES[name];
  // Well under the ten seconds of a workflow task, so that a slow database does not time the task out. The attempts are
  // counted as well: a schedule-to-close timeout that falls into the pause between two attempts is forgotten by the SDK
  // (1.24), and the local activity would be tried for as long as the database is away.
  const local = proxyLocalActivities<JobActivities>({
    startToCloseTimeout: '4s',
    scheduleToCloseTimeout: '6s',
    retry: { initialInterval: '200ms', maximumInterval: '1s', maximumAttempts: 4 },
    summary,
  });
  const regular = proxyActivities<JobActivities>({
    startToCloseTimeout: '30s',
    retry: { initialInterval: '1s', maximumInterval: '30s' },
    summary,
  });
  const call = (acts: typeof local | typeof regular) =>
    (acts[name] as unknown as (one: typeof input) => ReturnType<Act<Name>>)(input);
  try {
    return await call(local);
  } catch (error) {
    if (isCancellation(error)) throw error;
    return await call(regular);
  }
}
