/** What the API asks of Temporal, so that routes read without its client. */
import type { JobInput, RaiseCapOutcome, RaiseCapRequest, ReservationOutcome } from '../workflows/messages';

export interface JobStart {
  readonly input: JobInput;
  readonly customerId: string | null;
  readonly staticSummary: string;
  readonly staticDetails: string;
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
  /** What is not answering, by part: empty when workers of every kind poll. */
  notReady(): Promise<Record<string, string>>;
}
