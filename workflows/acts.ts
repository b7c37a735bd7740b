/**
 * Activities as workflows call them for what is short and idempotent by key: at first as local activities, which cost no round
 * trip to the server; when that does not succeed soon, because Postgres is away, as regular ones, which operators see and
 * which wait as long as it takes.
 */
import { isCancellation, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';

type Act = (input: never) => Promise<unknown>;

/** Calls an activity until it succeeds. Throws only for bugs. */
export async function untilDone<Acts extends { [Name in keyof Acts]: Act }, Name extends keyof Acts & string>(
  name: Name,
  input: Parameters<Acts[Name]>[0],
  summary: string,
): Promise<Awaited<ReturnType<Acts[Name]>>> {
  // Well under the ten seconds of a workflow task, so that a slow database does not time the task out. The attempts are
  // counted as well: a schedule-to-close timeout that falls into the pause between two attempts is forgotten by the SDK
  // (1.24), and the local activity would be tried for as long as the database is away.
  const local = proxyLocalActivities<Record<string, (one: unknown) => Promise<unknown>>>({
    startToCloseTimeout: '4s',
    scheduleToCloseTimeout: '6s',
    retry: { initialInterval: '200ms', maximumInterval: '1s', maximumAttempts: 4 },
    summary,
  });
  const regular = proxyActivities<Record<string, (one: unknown) => Promise<unknown>>>({
    startToCloseTimeout: '30s',
    retry: { initialInterval: '1s', maximumInterval: '30s' },
    summary,
  });
  const call = (acts: typeof local | typeof regular) =>
    (acts[name] as (one: unknown) => Promise<unknown>)(input) as Promise<Awaited<ReturnType<Acts[Name]>>>;
  try {
    return await call(local);
  } catch (error) {
    if (isCancellation(error)) throw error;
    return await call(regular);
  }
}
