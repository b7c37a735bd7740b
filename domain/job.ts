/** A job's billing states, and what is said of a job between rooms: plain JSON, amounts in decimal strings. */
import type { DossierDraw } from './charge';

export const JOB_STATES = [
  'reserving',
  'reserved',
  'running',
  'parked',
  'settling',
  'settled',
  'rejected',
  'released',
] as const;
export type JobState = (typeof JOB_STATES)[number];

const TERMINAL: readonly JobState[] = ['settled', 'rejected', 'released'];

export function isTerminal(state: JobState): boolean {
  return TERMINAL.includes(state);
}

/** Why a job is parked: the contract's credits or the not-to-exceed amount do not carry the next piece of work. */
export type ParkedFor = 'credits' | 'cap';

export function jobWorkflowId(jobId: string): string {
  return `job/${jobId}`;
}

/** Why nothing was reserved, or an act was refused: a job keeps it, so that every repeat gets the same answer. */
export interface Rejection {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
}

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

/** What a job costs as it goes; see `RunningCost`. */
export interface ReportedCost {
  readonly metered: string;
  readonly forecast: string;
  /** What to have reserved; the forecast without it. */
  readonly needs?: string;
}

/** What a running attempt tells its workflow; `run` is the one it is of, 1 without it. */
export type RunReport = { readonly run?: number } & (
  | ({ readonly kind: 'usage' } & ReportedCost)
  | ({ readonly kind: 'parked'; readonly parkedFor: ParkedFor } & ReportedCost)
  | { readonly kind: 'resumed' }
  | { readonly kind: 'restarted'; readonly attempt: number }
);
