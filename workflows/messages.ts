/** What is said to a job's workflow and what it answers: plain JSON, amounts in decimal strings. */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { DossierDraw } from '../domain/charge';
import type { JobState, ParkedFor } from '../domain/job';

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

/** Why nothing was reserved, or an act was refused. */
export interface Rejection {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
}

export type ReservationOutcome =
  | { readonly status: 'reserved'; readonly reserved: string; readonly draws: readonly DossierDraw[] }
  | { readonly status: 'rejected'; readonly rejection: Rejection };

/** How a job's billing was closed. */
export interface Closing {
  readonly state: JobState;
  readonly charged: string;
  readonly absorbed: string;
  readonly released: string;
  /** The lots that paid. */
  readonly draws: readonly DossierDraw[];
  readonly chargeId: string | null;
}

export interface RaiseCapRequest {
  readonly requestId: string;
  readonly maxCredits: string;
  readonly actor: string;
}

export type RaiseCapOutcome =
  | { readonly status: 'raised'; readonly maxCredits: string }
  | { readonly status: 'refused'; readonly rejection: Rejection };

/** What a running attempt tells its workflow. */
export type RunReport =
  | { readonly kind: 'usage'; readonly metered: string; readonly forecast: string }
  | { readonly kind: 'parked'; readonly metered: string; readonly forecast: string; readonly parkedFor: ParkedFor }
  | { readonly kind: 'resumed' }
  | { readonly kind: 'restarted'; readonly attempt: number };

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
