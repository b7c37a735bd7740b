/** The API's Temporal client. */
import {
  type Client,
  isGrpcServiceError,
  ServiceError,
  WithStartWorkflowOperation,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure, TypedSearchAttributes, type UpdateDefinition } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { contractWorkflowId } from '../domain/contract';
import type { ContractAnswer } from '../domain/contractProgress';
import { BillingError, REFUSALS, type RefusalCode } from '../domain/errors';
import { jobWorkflowId } from '../domain/job';
import { RUNNERS, taskQueueOf } from '../domain/route';
import { sessionWorkflowId } from '../domain/session';
import { withdrawalWorkflowId } from '../domain/withdrawal';
import type { contract } from '../workflows/contract';
import type { job } from '../workflows/job';
import {
  CONTRACTS_TASK_QUEUE,
  contractTouchedSignal,
  contractUpdates,
  creditsArrivedSignal,
  JOBS_TASK_QUEUE,
  raiseCapUpdate,
  reservationUpdate,
  sessionTouchedSignal,
} from '../workflows/messages';
import { BILLING_STATE, CONTRACT_ID, CUSTOMER_ID, SERVICE, USER_ID } from '../workflows/searchAttributes';
import type { withdrawal } from '../workflows/withdrawal';
import { noticeBouncedSignal, rescindUpdate } from '../workflows/withdrawalMessages';
import type { JobStart, WithdrawalStart, Workflows } from './workflowsPort';

/** How long a submitter waits for the reservation before being told to look again. */
const ANSWER_WITHIN_MS = 3_000;
const LOOK_WITHIN_MS = 1_000;

export function temporalWorkflows(client: Client): Workflows {
  const handleOf = (jobId: string) => client.workflow.getHandle(jobWorkflowId(jobId));
  const within = <T>(work: () => Promise<T>) => client.withDeadline(Date.now() + ANSWER_WITHIN_MS, work);

  function isStarted(jobId: string): Promise<boolean> {
    return client
      .withDeadline(Date.now() + LOOK_WITHIN_MS, () => handleOf(jobId).describe())
      .then(
        () => true,
        () => false,
      );
  }

  return {
    async startJob(start) {
      try {
        return await within(() =>
          client.workflow.executeUpdateWithStart(reservationUpdate, {
            startWorkflowOperation: startOperation(start),
            updateId: 'reserve',
          }),
        );
      } catch (error) {
        if (!(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError)) throw refusalOf(error);
        // No answer in time may mean that no worker is there, or no Temporal: only the first is an accepted job.
        return (await isStarted(start.input.jobId)) ? null : Promise.reject(refusalOf(error));
      }
    },
    async raiseCap(jobId, request) {
      try {
        return await within(() =>
          handleOf(jobId).executeUpdate(raiseCapUpdate, { args: [request], updateId: request.requestId }),
        );
      } catch (error) {
        throw refusalOf(error);
      }
    },
    async cancelJob(jobId) {
      try {
        await within(() => handleOf(jobId).cancel());
      } catch (error) {
        throw refusalOf(error);
      }
    },
    async creditsArrived(jobId) {
      try {
        await within(() => handleOf(jobId).signal(creditsArrivedSignal));
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw refusalOf(error);
      }
    },
    async sessionTouched(jobId) {
      try {
        await within(() => client.workflow.getHandle(sessionWorkflowId(jobId)).signal(sessionTouchedSignal));
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw refusalOf(error);
      }
    },
    async changeContract({ contractId, change: { kind, ...change }, ...asking }) {
      let answer: ContractAnswer;
      try {
        answer = await within(() =>
          client.workflow.executeUpdateWithStart(contractUpdates[kind] as UpdateDefinition<ContractAnswer, [unknown]>, {
            args: [{ ...asking, ...change }],
            startWorkflowOperation: contractStart(contractId),
            // No update's id: Temporal would answer the same request for something else as if it were a repeat. What was
            // asked before the contract's changes know, and longer than one run.
          }),
        );
      } catch (error) {
        throw contractRefusalOf(error);
      }
      if (answer.status === 'changed') return answer.contract;
      const { code, message, details } = answer.rejection;
      if (!(code in REFUSALS)) throw new Error(`a contract was refused a change with ${code}: ${message}`);
      throw new BillingError(code as RefusalCode, message, details);
    },
    async contractTouched(contractId) {
      try {
        await within(() =>
          client.workflow.signalWithStart<typeof contract, []>('contract', {
            ...contractOptions(contractId),
            signal: contractTouchedSignal,
          }),
        );
      } catch (error) {
        throw refusalOf(error);
      }
    },
    async startWithdrawal(start) {
      try {
        await within(() =>
          client.workflow.start<typeof withdrawal>('withdrawal', {
            ...withdrawalOptions(start),
            workflowIdConflictPolicy: 'USE_EXISTING',
          }),
        );
      } catch (error) {
        throw refusalOf(error);
      }
    },
    async rescindWithdrawal(start, asking) {
      try {
        // Taken by the workflow is kept by Temporal: from there on the answer can be waited for, or asked for again.
        const taken = await within(() =>
          client.workflow.startUpdateWithStart(rescindUpdate, {
            args: [asking],
            updateId: asking.requestId,
            waitForStage: 'ACCEPTED',
            startWorkflowOperation: new WithStartWorkflowOperation<typeof withdrawal>('withdrawal', {
              ...withdrawalOptions(start),
              workflowIdConflictPolicy: 'USE_EXISTING',
            }),
          }),
        );
        return await within(() => taken.result()).catch((error) => {
          if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return null;
          throw error;
        });
      } catch (error) {
        const hasEnded = [WorkflowNotFoundError, WorkflowFailedError, WorkflowUpdateFailedError].some(
          (kind) => error instanceof kind,
        );
        if (!hasEnded) throw refusalOf(error);
        // The next request starts a run that answers from the database.
        throw new BillingError(
          'unavailable',
          'The withdrawal’s workflow ended in this moment; send the same request again.',
          {},
          { cause: error },
        );
      }
    },
    async noticeBounced(withdrawalId, userId, at) {
      try {
        await within(() =>
          client.workflow.getHandle(withdrawalWorkflowId(withdrawalId)).signal(noticeBouncedSignal, { userId, at }),
        );
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw refusalOf(error);
      }
    },
    async notReady() {
      const missing: Record<string, string> = {};
      const { TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY } = temporal.api.enums.v1.TaskQueueType;
      const parts = [
        { part: 'jobs worker', names: [JOBS_TASK_QUEUE], taskQueueType: TASK_QUEUE_TYPE_WORKFLOW },
        // Whichever runner it is that a compute worker has.
        {
          part: 'compute worker',
          names: RUNNERS.map((runner) => taskQueueOf({ runner, engine: '' })),
          taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
        },
      ];
      try {
        for (const { part, names, taskQueueType } of parts) {
          const queues = await within(() =>
            Promise.all(
              names.map((name) =>
                client.workflowService.describeTaskQueue({
                  namespace: client.options.namespace,
                  taskQueue: { name },
                  taskQueueType,
                }),
              ),
            ),
          );
          if (!queues.some(({ pollers }) => pollers?.length)) missing[part] = 'no worker polls its task queue';
        }
      } catch (error) {
        missing.temporal = error instanceof Error ? error.message : String(error);
      }
      return missing;
    },
  };
}

/** A contract that is over for good has a closed workflow; whoever changes it all the same is told so by a new one. */
function contractOptions(contractId: string) {
  return {
    workflowId: contractWorkflowId(contractId),
    taskQueue: CONTRACTS_TASK_QUEUE,
    args: [{ contractId }] as [{ contractId: string }],
    staticSummary: `Contract ${contractId}`,
    typedSearchAttributes: new TypedSearchAttributes([{ key: CONTRACT_ID, value: contractId }]),
  };
}

function contractStart(contractId: string) {
  return new WithStartWorkflowOperation<typeof contract>('contract', {
    ...contractOptions(contractId),
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
}

function withdrawalOptions({ id: withdrawalId, staticSummary }: WithdrawalStart) {
  return {
    workflowId: withdrawalWorkflowId(withdrawalId),
    taskQueue: CONTRACTS_TASK_QUEUE,
    args: [{ withdrawalId }] as [{ withdrawalId: string }],
    staticSummary,
  };
}

function startOperation({ input, customerId, staticSummary, staticDetails }: JobStart) {
  return new WithStartWorkflowOperation<typeof job>('job', {
    workflowId: jobWorkflowId(input.jobId),
    taskQueue: JOBS_TASK_QUEUE,
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    staticSummary,
    staticDetails,
    typedSearchAttributes: new TypedSearchAttributes([
      { key: BILLING_STATE, value: 'reserving' },
      { key: SERVICE, value: input.service },
      { key: USER_ID, value: input.userId },
      ...(input.contractId === null ? [] : [{ key: CONTRACT_ID, value: input.contractId }]),
      ...(customerId === null ? [] : [{ key: CUSTOMER_ID, value: customerId }]),
    ]),
  });
}

/** A contract's workflow refuses by its validator only; whatever else keeps it from answering passes. */
function contractRefusalOf(error: unknown): unknown {
  const isRefused = error instanceof WorkflowUpdateFailedError;
  // What the validator throws is a TypeError; an update of a run that ended fails with a type of Temporal's own.
  if (isRefused && error.cause instanceof ApplicationFailure && error.cause.type === TypeError.name) {
    return new BillingError('change_invalid', error.cause.message, {}, { cause: error });
  }
  if (isRefused || error instanceof WorkflowNotFoundError || error instanceof WorkflowFailedError) {
    // The next request starts a run that goes on from the database, where the change may be already.
    return new BillingError(
      'unavailable',
      'The contract’s workflow ended in this moment; send the same request again.',
      {},
      { cause: error },
    );
  }
  return refusalOf(error);
}

function refusalOf(error: unknown): unknown {
  if (error instanceof WorkflowNotFoundError || error instanceof WorkflowFailedError) {
    return new BillingError(
      'job_already_ended',
      'The job’s workflow has ended; nothing can be changed.',
      {},
      { cause: error },
    );
  }
  // The job's validator refused, in a sentence: it has ended.
  if (error instanceof WorkflowUpdateFailedError) {
    return new BillingError('job_already_ended', error.cause?.message ?? error.message, {}, { cause: error });
  }
  const isFromServer = error instanceof ServiceError || isGrpcServiceError(error);
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || isFromServer) {
    return new BillingError(
      'unavailable',
      'Temporal or its workers did not answer in time; send the same request again in a moment.',
      {},
      { cause: error },
    );
  }
  return error;
}
