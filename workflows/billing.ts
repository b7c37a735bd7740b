/** The billing activities as a job's workflow calls them. Each is idempotent by key, so that doing one twice does nothing twice. */
import type { JobActivities } from '../activities/jobActivities';
import { untilDone } from './acts';

const SUMMARIES: Readonly<Record<keyof JobActivities, string>> = {
  reserve: 'reserve the expected credits',
  topUp: 'top up the reservation',
  raiseCap: 'raise the not-to-exceed amount',
  close: 'settle or release',
};

type Act<Name extends keyof JobActivities> = JobActivities[Name];

/** Calls a billing activity until it succeeds. Throws only for bugs. */
export function bill<Name extends keyof JobActivities>(
  name: Name,
  input: Parameters<Act<Name>>[0],
): Promise<Awaited<ReturnType<Act<Name>>>> {
  return untilDone<JobActivities, Name>(name, input, SUMMARIES[name]);
}
