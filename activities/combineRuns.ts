/** The table of a design of experiments: what each run was asked, and its main results, one row a run. */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { addResult, attemptsOf, resultsOf } from '../db/attempts';
import type { Db } from '../db/client';
import { getJob } from '../db/jobs';
import type { ObjectStore } from '../db/objectStore';

export interface CombiningActivities {
  /** Writes the table from the `summary.json` of each run. Safe to repeat. */
  combineRuns(input: { jobId: string }): Promise<void>;
}

export const COMBINED_NAME = 'design-of-experiments.csv';
const SUMMARY_NAME = 'summary.json';
const BYTES_MAX = 16 * 1024 * 1024;

export function createCombiningActivities({ db, store }: { db: Db; store: ObjectStore }): CombiningActivities {
  return {
    async combineRuns({ jobId }) {
      const { runs } = await getJob(db, jobId);
      const attempts = await attemptsOf(db, jobId);
      const results = new Map((await resultsOf(db, jobId)).map(({ name, digest }) => [name, digest]));
      const rows: RunRow[] = [];
      for (let run = 1; run <= runs; run++) {
        const last = attempts.filter((one) => one.run === run).at(-1);
        const digest = results.get(resultNameOf(run, SUMMARY_NAME));
        const summary = digest === undefined ? {} : JSON.parse(await readFile(await store.pathOf(digest), 'utf8'));
        rows.push({ run, state: last?.outcome ?? 'not run', message: last?.message ?? '', summary });
      }
      const newest = attempts.at(-1);
      if (!newest) return;
      const stored = await store.put(Readable.from([Buffer.from(tableOf(rows))]), BYTES_MAX);
      // With the newest attempt: of the run that it is of, it is the newest as well.
      await addResult(db, { ...stored, jobId, attempt: newest.number, name: COMBINED_NAME, mediaType: 'text/csv' });
    },
  };
}

/** The name of a result of one run of several, such as `run-003-pressure.csv`. */
export function resultNameOf(run: number, name: string): string {
  return `run-${String(run).padStart(3, '0')}-${name}`;
}

interface RunRow {
  readonly run: number;
  readonly state: string;
  readonly message: string;
  readonly summary: Readonly<Record<string, unknown>> & { readonly factors?: Readonly<Record<string, unknown>> };
}

/** Columns are whatever factors and plain results any run has; a run that failed says why and has none. */
export function tableOf(rows: readonly RunRow[]): string {
  const factors = namesOf(rows.map(({ summary }) => summary.factors ?? {}));
  const responses = namesOf(rows.map(({ summary }) => summary)).filter((name) => name !== 'run' && name !== 'factors');
  const lines = [['run', ...factors, 'state', ...responses, 'reason']];
  for (const { run, state, message, summary } of rows) {
    lines.push([
      String(run),
      ...factors.map((name) => textOf(summary.factors?.[name])),
      state,
      ...responses.map((name) => textOf(summary[name])),
      state === 'completed' ? '' : message,
    ]);
  }
  return `${lines.map((fields) => fields.map(quoted).join(',')).join('\n')}\n`;
}

function namesOf(objects: readonly object[]): string[] {
  return [...new Set(objects.flatMap((one) => Object.keys(one)))];
}

function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : String(value);
}

function quoted(field: string): string {
  return /[",\n\r]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
