/**
 * Time skipping on the real server. The API is experimental, so it is spoken here and nowhere else. Each workflow has its
 * own clock, which jumps only while none of its activities runs; activities and Postgres keep the time of the wall.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { temporal } from '@temporalio/proto';

const POLL_TIMEOUT = temporal.api.enums.v1.FastForwardPollingResult.FAST_FORWARD_POLLING_RESULT_POLL_TIMEOUT;
const SKIPS_MAX = 1000;

/** Moves a workflow's clock on by so many seconds, timer by timer, or to the workflow's end if that comes first. */
export async function fastForward(client: Client, workflowId: string, seconds: number): Promise<void> {
  const target = { namespace: client.options.namespace, workflowExecution: { workflowId } };
  const fastForwardId = randomUUID();
  await client.workflowService.updateWorkflowExecutionOptions({
    ...target,
    workflowExecutionOptions: {
      timeSkippingConfig: {
        enabled: true,
        maxSessionSkipCount: SKIPS_MAX,
        fastForwardConfig: { id: fastForwardId, duration: msToTs(seconds * 1_000) },
      },
    },
    updateMask: { paths: ['time_skipping_config'] },
  });
  for (;;) {
    const polled = await client.workflowService.pollWorkflowExecutionTimeSkipping({ ...target, fastForwardId });
    // A workflow that ended before the target makes the fast-forward fail, which is as good for those who wait.
    if (polled.fastForwardPollingResult !== POLL_TIMEOUT) return;
  }
}
