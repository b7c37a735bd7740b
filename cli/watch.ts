/** Follows a job to its end and shows how far it is. */
import type { Client, Job } from './client';
import type { ServerEvent } from './eventStream';
import { inCredits } from './output';
import type { Progress } from './progress';

export interface Watch {
  readonly client: Client;
  readonly jobId: string;
  readonly label: string;
  readonly progress: Progress;
  /** Sees every event before it is shown. */
  readonly onEvent?: (event: ServerEvent, snapshot: Snapshot | undefined) => void;
}

/** What a `progress` event tells. */
export interface Snapshot {
  readonly progress: string;
  readonly state: string;
  readonly reason: string | null;
  readonly reserved: string;
}

/** @returns the job as it is after its last event. */
export async function watchJob({ client, jobId, label, progress, onEvent }: Watch): Promise<Job> {
  for await (const event of client.events(jobId)) {
    const told = parse(event.data);
    const snapshot = isSnapshot(told) ? told : undefined;
    onEvent?.(event, snapshot);
    if (snapshot) progress.show(jobId, { label, fraction: Number(snapshot.progress), note: noteOf(snapshot) });
    else if (typeof told.message === 'string') progress.say(`${label}: ${told.message}`);
  }
  return (await client.job(jobId)).body;
}

/** Whether a job did all that was asked of it. */
export function isCompleted({ state, reason }: Pick<Job, 'state' | 'reason'>): boolean {
  return state === 'settled' && reason === 'completed';
}

function noteOf({ state, reason, reserved }: Snapshot): string {
  const why = state === 'parked' && reason ? ` for ${reason}` : '';
  return reserved === '0' ? `${state}${why}` : `${state}${why}, ${inCredits(reserved)} reserved`;
}

function isSnapshot(told: Record<string, unknown>): told is Record<string, unknown> & Snapshot {
  return typeof told.progress === 'string' && typeof told.state === 'string' && typeof told.reserved === 'string';
}

function parse(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
