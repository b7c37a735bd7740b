/** What the API asks of Temporal, so that routes read without its client. */
import type { ContractState } from '../domain/contract';
import type {
  AskedChange,
  JobInput,
  RaiseCapOutcome,
  RaiseCapRequest,
  ReservationOutcome,
} from '../workflows/messages';

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
  /** What is not answering, by part: empty when workers of every kind poll. */
  notReady(): Promise<Record<string, string>>;
}
