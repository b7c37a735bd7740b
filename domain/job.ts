/** A job's billing states and the words that every room uses for them. */
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
