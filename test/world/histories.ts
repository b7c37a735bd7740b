/**
 * Histories of workflows as files. `HOLDFAST_RECORD_HISTORIES=1` makes the workflow tests write them anew; the replay test
 * proves that the present workflow code still does what the histories say.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { packageRoot } from '../../dev/root';

export const HISTORIES = [
  'settled',
  'topped-up',
  'parked-for-credits-and-resumed',
  'parked-for-cap-and-raised',
  'cancelled-in-mid-run',
  'rejected',
  'grace-elapsed',
  'restarted-attempt',
  'several-runs',
  'reserved-by-the-regular-activity',
  'withdrawal-to-its-end',
  'withdrawal-rescinded-and-continued',
  'contract-quiet-year',
  'contract-renewed-in-its-grace',
  // Still alive: it was recorded on the way.
  'contract-termination-revoked',
  'contract-terminated',
] as const;
export type HistoryName = (typeof HISTORIES)[number];

/** As Temporal's own programs write it. */
export interface RecordedHistory {
  events: {
    eventType: string;
    activityTaskScheduledEventAttributes?: { activityType: { name: string } };
    [attributes: string]: unknown;
  }[];
}

/** Writes the history of a workflow, as far as it has come, when histories are being recorded; does nothing otherwise. */
export async function recordHistory(name: HistoryName, handle: WorkflowHandle): Promise<void> {
  if (process.env.HOLDFAST_RECORD_HISTORIES !== '1') return;
  const history = JSON.parse(historyToJSON(await handle.fetchHistory()));
  await mkdir(folder(), { recursive: true });
  await writeFile(fileOf(name), `${JSON.stringify(history, withoutHosts, 2)}\n`);
}

export async function readHistory(name: HistoryName): Promise<RecordedHistory> {
  return JSON.parse(await readFile(fileOf(name), 'utf8'));
}

/** Who ran it, and where its files were, decides nothing and is not for everybody to read. */
function withoutHosts(key: string, value: unknown): unknown {
  if (key === 'identity') return 'test';
  return key === 'stackTrace' ? '' : value;
}

function fileOf(name: HistoryName): string {
  return join(folder(), `${name}.json`);
}

function folder(): string {
  return join(packageRoot(), 'test', 'histories');
}
