/**
 * Time skipping on the real server. The API is experimental, so it is spoken here and nowhere else. Each workflow has its
 * own clock, which jumps only while none of its activities runs; activities and Postgres keep the time of the wall.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { eventually } from './eventually';

const SKIPS_MAX = 1000;

/** Moves a workflow's clock on by so many seconds, timer by timer, or to the workflow's end if that comes first. */
export async function fastForward(client: Client, workflowId: string, seconds: number): Promise<void> {
  const target = { namespace: client.options.namespace, workflowExecution: { workflowId } };
  await client.workflowService.updateWorkflowExecutionOptions({
    ...target,
    workflowExecutionOptions: {
      timeSkippingConfig: {
        enabled: true,
        maxSessionSkipCount: SKIPS_MAX,
        fastForwardConfig: { id: randomUUID(), duration: msToTs(seconds * 1_000) },
      },
    },
    updateMask: { paths: ['time_skipping_config'] },
  });
  // Asked for again and again: the server's own long poll does not wake up when the time is reached.
  await eventually(
    `${seconds} s passed in ${workflowId}`,
    async () => {
      const { raw, status } = await client.workflow.getHandle(workflowId).describe();
      return status.name !== 'RUNNING' || !raw.workflowExtendedInfo?.timeSkippingInfo?.effectiveConfig?.enabled;
    },
    40_000,
  );
}
