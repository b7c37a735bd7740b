/** What is said to a job's workflow and what it answers: plain JSON, amounts in decimal strings. */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { DossierDraw } from '../domain/charge';
import type { Closing, ParkedFor, Rejection, RunReport } from '../domain/job';

export const JOBS_TASK_QUEUE = 'holdfast-jobs';
/** One task queue per runner: only hosts that have the runner poll it. */
export const EMBEDDED_TASK_QUEUE = 'holdfast-run-embedded';
export const RECONCILE_SCHEDULE_ID = 'reconcile';

export interface JobInput {
  readonly jobId: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly service: string;
  readonly expected: string;
  readonly maxCredits: string;
  readonly timeLimitSeconds: number;
  /** A run that is silent for longer counts as lost. */
  readonly heartbeatSeconds: number;
  /** How long a parked job waits for credits or consent before it is stopped and settled. */
  readonly parkedGraceSeconds: number;
}

export type ReservationOutcome =
  | { readonly status: 'reserved'; readonly reserved: string; readonly draws: readonly DossierDraw[] }
  | { readonly status: 'rejected'; readonly rejection: Rejection };

export interface RaiseCapRequest {
  readonly requestId: string;
  readonly maxCredits: string;
  readonly actor: string;
}

export type RaiseCapOutcome =
  | { readonly status: 'raised'; readonly maxCredits: string }
  | { readonly status: 'refused'; readonly rejection: Rejection };

export interface JobView {
  readonly state: string;
  readonly reserved: string;
  readonly draws: readonly DossierDraw[];
  readonly maxCredits: string;
  readonly metered: string;
  readonly forecast: string;
  readonly parkedFor: ParkedFor | null;
  readonly topUps: number;
  /** Set once the billing is closed. */
  readonly closing: Pick<Closing, 'charged' | 'absorbed' | 'released' | 'draws'> | null;
}

export const reservationUpdate = defineUpdate<ReservationOutcome>('reservation');
export const raiseCapUpdate = defineUpdate<RaiseCapOutcome, [RaiseCapRequest]>('raiseCap');
export const runReportedSignal = defineSignal<[RunReport]>('runReported');
export const creditsArrivedSignal = defineSignal('creditsArrived');
export const jobViewQuery = defineQuery<JobView>('job');
