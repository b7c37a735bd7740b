/** Workflow tasks that failed: workflow code that threw, or that a replay did not recognise. */
import type { WorkflowHandle } from '@temporalio/client';
import { temporal } from '@temporalio/proto';

const { WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND } =
  temporal.api.enums.v1.WorkflowTaskFailedCause;

/** No faults: something came in while a workflow was about to end and is dealt with first; it was terminated in mid-task. */
const NO_FAULTS: readonly unknown[] = [
  WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
  WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
];

/** What is said of each task of a workflow that failed. Rejects when there is no such workflow. */
export async function failedTasksOf(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ workflowTaskFailedEventAttributes: failed }) =>
    failed && !NO_FAULTS.includes(failed.cause)
      ? [`a task of ${handle.workflowId} failed (cause ${failed.cause}): ${failed.failure?.message}`]
      : [],
  );
}
