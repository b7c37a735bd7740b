/** What is said to workflows and what they answer: plain JSON, amounts in decimal strings. */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { DossierDraw } from '../domain/charge';
import type { ContractChange, ContractState } from '../domain/contract';
import type { ContractAnswer } from '../domain/contractProgress';
import type { Closing, ParkedFor, Rejection, RunReport } from '../domain/job';

export const JOBS_TASK_QUEUE = 'holdfast-jobs';
/** One task queue per runner: only hosts that have the runner poll it. */
export const EMBEDDED_TASK_QUEUE = 'holdfast-run-embedded';
/** Contracts, withdrawals and notices: years long, seldom in a hurry, and never before a job. */
export const CONTRACTS_TASK_QUEUE = 'holdfast-contracts';
export const RECONCILE_SCHEDULE_ID = 'reconcile';
export const DIGESTS_SCHEDULE_ID = 'digests';

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
  /** Where the run is taken from; without it from the embedded runner's. */
  readonly taskQueue?: string;
  /** How many runs the job is made of; one without it. */
  readonly runs?: number;
  /** It is a configuration session, which a workflow keeps and no engine runs. */
  readonly isSession?: boolean;
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
/** Somebody closed the session or left its page. */
export const sessionTouchedSignal = defineSignal('touched');
export const jobViewQuery = defineQuery<JobView>('job');

/** Who asks for a change of a contract and why. The request's id is its idempotency key. */
export interface Asking {
  readonly requestId: string;
  readonly actor: string;
  readonly reason: string;
}

/** The changes that people ask a contract's workflow for; the others are the calendar's. */
export type AskedChange = Exclude<ContractChange, { readonly kind: 'activate' | 'close' }>;
type Asked<Kind extends AskedChange['kind']> = Asking & Omit<Extract<AskedChange, { readonly kind: Kind }>, 'kind'>;

/** What a contract's workflow is waiting for. */
export interface ContractView {
  /** Null before the first look at its calendar. */
  readonly contract: ContractState | null;
  readonly nextAt: string | null;
  readonly nextWhat: string;
}

export interface ContractInput {
  readonly contractId: string;
}

/** One update per change, so that operators find each with its own description. */
export const contractUpdates = {
  renew: defineUpdate<ContractAnswer, [Asked<'renew'>]>('renew'),
  extend: defineUpdate<ContractAnswer, [Asked<'extend'>]>('extend'),
  terminate: defineUpdate<ContractAnswer, [Asked<'terminate'>]>('terminate'),
  revokeTermination: defineUpdate<ContractAnswer, [Asked<'revokeTermination'>]>('revokeTermination'),
  suspend: defineUpdate<ContractAnswer, [Asked<'suspend'>]>('suspend'),
  resume: defineUpdate<ContractAnswer, [Asked<'resume'>]>('resume'),
  changeProducts: defineUpdate<ContractAnswer, [Asked<'changeProducts'>]>('changeProducts'),
  changeRenewal: defineUpdate<ContractAnswer, [Asked<'changeRenewal'>]>('changeRenewal'),
} as const;
/** For people: has the workflow look at its calendar, and answers with what comes next. */
export const lotsChangedUpdate = defineUpdate<ContractView>('lotsChanged');
/** For programs: lots or users of the contract changed. Kept by Temporal until a worker is there. */
export const contractTouchedSignal = defineSignal('touched');
export const contractViewQuery = defineQuery<ContractView>('contract');
