/** What the benchmarks run: our job, and the barest workflows that do as much. */
import { condition, defineUpdate, proxyActivities, proxyLocalActivities, setHandler } from '@temporalio/workflow';
import type { JobActivities } from '../../activities/jobActivities';
import type { RunActivities } from '../../activities/run';
import { now } from '../../workflows/clock';
import type { JobInput } from '../../workflows/messages';

export { contract } from '../../workflows/contract';
export { job } from '../../workflows/job';

/** The same three activities as a job, and nothing else. */
export async function bareJob({ jobId }: JobInput, runTaskQueue: string): Promise<void> {
  const { reserve, close } = proxyLocalActivities<JobActivities>({ startToCloseTimeout: '4s' });
  const { run } = proxyActivities<RunActivities>({
    taskQueue: runTaskQueue,
    startToCloseTimeout: '1 minute',
    heartbeatTimeout: '10s',
  });
  await reserve({ jobId, at: now() });
  const { end, message } = await run({ jobId });
  await close({ jobId, end, message, at: now() });
}

export const bareUpdate = defineUpdate<string>('bare');

/** Answers an update as soon as it runs, and ends. */
export async function bareUpdateWithStart(): Promise<void> {
  let asked = false;
  setHandler(bareUpdate, () => {
    asked = true;
    return 'here';
  });
  await condition(() => asked);
}
