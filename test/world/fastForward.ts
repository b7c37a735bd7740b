/**
 * Time skipping on the real server. The API is experimental, so it is spoken here and nowhere else. Each workflow has its
 * own clock, which jumps only while none of its activities runs; activities and Postgres keep the time of the wall.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { temporal } from '@temporalio/proto';
import { eventually } from './eventually';

const SCHEDULED = temporal.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED;
const SKIPS_MAX = 1000;

/**
 * Moves a workflow's clock on by so many seconds, timer by timer, or to the workflow's end if that comes first. Once per
 * workflow. An activity that waits for its next attempt gets that attempt at once (server 1.32): it must fail again.
 */
export async function fastForward(client: Client, workflowId: string, seconds: number): Promise<void> {
  const handle = client.workflow.getHandle(workflowId);
  await eventually(`${workflowId} with no activity at work`, async () => {
    const { pendingActivities } = (await handle.describe()).raw;
    return (pendingActivities ?? []).every(({ attempt, state }) => state === SCHEDULED && (attempt ?? 1) > 1);
  });
  await askToSkip(client, workflowId, seconds);
  // Asked for again and again: the server's own long poll does not wake up when the time is reached.
  await eventually(
    `${seconds} s passed in ${workflowId}`,
    async () => {
      const { raw, status } = await handle.describe();
      return status.name !== 'RUNNING' || !raw.workflowExtendedInfo?.timeSkippingInfo?.effectiveConfig?.enabled;
    },
    40_000,
  );
}

/** Lets a workflow's next timer fire while no worker is there to notice; its clock stands as long as nobody does. */
export async function fireUnnoticed(client: Client, workflowId: string, seconds: number): Promise<void> {
  const handle = client.workflow.getHandle(workflowId);
  const fired = async () =>
    ((await handle.fetchHistory()).events ?? []).filter(({ timerFiredEventAttributes }) => timerFiredEventAttributes)
      .length;
  const before = await fired();
  await askToSkip(client, workflowId, seconds);
  await eventually(`a timer of ${workflowId} fired`, async () => (await fired()) > before);
}

async function askToSkip(client: Client, workflowId: string, seconds: number): Promise<void> {
  await client.workflowService.updateWorkflowExecutionOptions({
    namespace: client.options.namespace,
    workflowExecution: { workflowId },
    workflowExecutionOptions: {
      timeSkippingConfig: {
        enabled: true,
        maxSessionSkipCount: SKIPS_MAX,
        fastForwardConfig: { id: randomUUID(), duration: msToTs(seconds * 1_000) },
      },
    },
    updateMask: { paths: ['time_skipping_config'] },
  });
}
