/** What the API asks of Temporal, so that routes read without its client. */
import type { ContractState } from '../domain/contract';
import type { Instant } from '../domain/instant';
import type {
  AskedChange,
  JobInput,
  RaiseCapOutcome,
  RaiseCapRequest,
  ReservationOutcome,
} from '../workflows/messages';
import type { RescindAnswer, WithdrawalAsking } from '../workflows/withdrawalMessages';

export interface JobStart {
  readonly input: JobInput;
  readonly customerId: string | null;
  readonly staticSummary: string;
  readonly staticDetails: string;
}

/** A change of a contract that somebody asks for, once per request id. */
export interface ContractRequest {
  readonly contractId: string;
  readonly requestId: string;
  readonly change: AskedChange;
  readonly actor: string;
  readonly reason: string;
}

export interface WithdrawalStart {
  readonly id: string;
  readonly staticSummary: string;
}

export interface Workflows {
  /**
   * Starts a job's workflow, once per job, and waits for its reservation.
   *
   * @returns `null` when no worker answered in time: the workflow runs all the same.
   * @throws BillingError `unavailable` when Temporal cannot be reached.
   */
  startJob(start: JobStart): Promise<ReservationOutcome | null>;
  /** @throws BillingError `unavailable` when nobody answered, `job_already_ended` when the workflow is closed. */
  raiseCap(jobId: string, request: RaiseCapRequest): Promise<RaiseCapOutcome>;
  /** Asks the workflow to stop the job. @throws BillingError as {@link raiseCap}. */
  cancelJob(jobId: string): Promise<void>;
  /** Has a session's workflow look at it; one that is gone by now is no error. */
  sessionTouched(jobId: string): Promise<void>;
  /** Wakes a parked job; a job that is gone by now is no error. */
  creditsArrived(jobId: string): Promise<void>;
  /**
   * Has a contract's workflow make a change, and starts it if it is not there. The same request gets the same answer.
   *
   * @throws BillingError with the workflow's refusal; `unavailable` when nobody answered: ask again with the same request id.
   */
  changeContract(request: ContractRequest): Promise<ContractState>;
  /** Tells a contract's workflow that its lots or users changed, and starts it if it is not there. */
  contractTouched(contractId: string): Promise<void>;
  /**
   * Starts a withdrawal's workflow, or lets the one that runs go on. It works from what the database says of the campaign.
   *
   * @throws BillingError `unavailable` when Temporal did not answer.
   */
  startWithdrawal(withdrawal: WithdrawalStart): Promise<void>;
  /**
   * Has a campaign let users keep their credits, once per request id, and starts its workflow if it is not there.
   *
   * @returns `null` when it is at work on it: the same request gets the answer later.
   * @throws BillingError `unavailable` when nobody took the request: send it again.
   */
  rescindWithdrawal(withdrawal: WithdrawalStart, asking: WithdrawalAsking): Promise<RescindAnswer | null>;
  /** Tells a campaign that a delivered notice came back at an instant; a campaign that has ended by now is no error. */
  noticeBounced(withdrawalId: string, userId: string, at: Instant): Promise<void>;
  /** What is not answering, by part: empty when workers of every kind poll. */
  notReady(): Promise<Record<string, string>>;
}
