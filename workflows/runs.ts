/** Jobs of several runs: how many go at a time, and what all their ends make of the job. */
import type { JobEnd } from '../domain/rateCard';

/** How one run ended for good. */
export interface RunEnded {
  readonly run: number;
  readonly end: Extract<JobEnd, 'completed' | 'input-failed' | 'time-limit' | 'platform-failed'>;
  readonly message: string;
}

/** More wait for a slot of a worker anyway; each that waits is an activity that beats. */
const AT_ONCE = 4;
/** Of the runs that failed, so many are named in the message; the table of results has all of them. */
const NAMED_MAX = 3;

/** Does each run from 1 on, a few at a time, in their order. Rejects with the first that rejects; none is begun after it. */
export async function runAll(runs: number, act: (run: number) => Promise<RunEnded>): Promise<RunEnded[]> {
  const ended: RunEnded[] = [];
  let next = 1;
  const lane = async () => {
    while (next <= runs) ended.push(await act(next++));
  };
  // All lanes to their end: what is being stopped still writes its last usage.
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, runs) }, lane));
  const failed = lanes.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return ended.sort((one, other) => one.run - other.run);
}

/**
 * The job completes when a run does: what failed is not charged and is named. When none completes, the job ends as the
 * provider's failure where one is, since then the submitter's input is not known to be at fault.
 */
export function endOfRuns(ended: readonly RunEnded[]): Pick<RunEnded, 'end' | 'message'> {
  const failed = ended.filter(({ end }) => end !== 'completed');
  const completed = ended.length - failed.length;
  const named = failed.slice(0, NAMED_MAX).map(({ run, message }) => `run ${run}: ${message}`);
  const more = failed.length > NAMED_MAX ? [`and ${failed.length - NAMED_MAX} more`] : [];
  const message = [`${completed} of ${ended.length} runs completed`, ...named, ...more].join('; ');
  const worst = (['platform-failed', 'time-limit', 'input-failed'] as const).find((end) =>
    failed.some((one) => one.end === end),
  );
  return {
    end: completed > 0 ? 'completed' : (worst ?? 'completed'),
    message: failed.length === 0 ? `${message}.` : message,
  };
}
