/**
 * Attempts on somebody else's compute. A report counts only with the token of its attempt, and only while that attempt is
 * the job's open one: whoever lost it, and does not know yet, is refused.
 */
import { createHash, randomBytes } from 'node:crypto';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Db, firstRow, rows } from './client';

/** Which attempt of which job. */
export interface ExternalKey {
  readonly jobId: string;
  readonly attempt: number;
}

/** What its runner wants of an external run. */
export type ExternalWish = 'run' | 'suspend' | 'stop';

export type ExternalEnd = 'completed' | 'stopped' | 'input-failed' | 'engine-failed';

export interface NewExternalRun extends ExternalKey {
  readonly engine: string;
  readonly parameters: unknown;
  readonly timeLimitMs: number;
  readonly memoryBytesMax: number;
}

export interface ExternalResult {
  readonly name: string;
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

/** What is known of an external run. */
export interface ExternalState extends ExternalKey {
  readonly claimedAt: Instant | null;
  readonly agent: string | null;
  readonly isSuspended: boolean;
  readonly seq: number;
  readonly fraction: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
  readonly heardAt: Instant | null;
  readonly endKind: ExternalEnd | null;
  readonly message: string | null;
  readonly log: string;
  readonly statistics: Readonly<Record<string, number>> | null;
  readonly results: readonly ExternalResult[];
}

/** Puts a run up to be claimed; a repeat changes nothing. */
export async function offerExternalRun(db: Db, run: NewExternalRun, at: Instant): Promise<void> {
  await db.raw(
    `insert into external_runs (job_id, attempt, engine, parameters, time_limit_ms, memory_bytes_max, offered_at)
     values (?, ?, ?, ?, ?, ?, ?)
     on conflict do nothing`,
    [
      run.jobId,
      run.attempt,
      run.engine,
      JSON.stringify(run.parameters ?? {}),
      run.timeLimitMs,
      run.memoryBytesMax,
      at,
    ] as never,
  );
}

export async function wishOfExternalRun(db: Db, { jobId, attempt }: ExternalKey, wants: ExternalWish): Promise<void> {
  await db.raw('update external_runs set wants = ? where job_id = ? and attempt = ?', [wants, jobId, attempt]);
}

/** From here on nothing that is reported of the run counts. */
export async function closeExternalRun(db: Db, { jobId, attempt }: ExternalKey, at: Instant): Promise<void> {
  await db.raw('update external_runs set closed_at = ? where job_id = ? and attempt = ? and closed_at is null', [
    at,
    jobId,
    attempt,
  ] as never);
}

export function externalStates(db: Db, keys: readonly ExternalKey[]): Promise<ExternalState[]> {
  return rows<ExternalState>(
    db,
    `select r.job_id as "jobId", r.attempt, r.claimed_at as "claimedAt", r.agent, r.is_suspended as "isSuspended", r.seq,
       r.fraction, r.counters, r.cpu_seconds as "cpuSeconds", r.peak_memory_bytes::double precision as "peakMemoryBytes",
       r.heard_at as "heardAt", r.end_kind as "endKind", r.message, r.log,
       r.statistics,
       coalesce(
         (
           select jsonb_agg(jsonb_build_object('name', f.name, 'digest', f.digest, 'size', f.size, 'mediaType', f.media_type))
           from external_results f
           where f.job_id = r.job_id and f.attempt = r.attempt
         ),
         '[]'
       ) as results
     from unnest(?::uuid[], ?::int[]) as asked (job_id, attempt)
     join external_runs r using (job_id, attempt)`,
    [keys.map(({ jobId }) => jobId), keys.map(({ attempt }) => attempt)],
  );
}

/** A run that was claimed, with the token that its reports need. It cannot be had again. */
export interface Claim extends NewExternalRun {
  readonly token: string;
}

/** Claims the oldest waiting run of some engines, for one claimer alone. What is suspended waits until it is resumed. */
export async function claimExternalRun(
  db: Db,
  { agent, engines, at }: { agent: string; engines: readonly string[]; at: Instant },
): Promise<Claim | undefined> {
  const token = `hfa_${randomBytes(24).toString('base64url')}`;
  const claimed = await firstRow<NewExternalRun>(
    db,
    `update external_runs r
     set token_hash = ?, agent = ?, claimed_at = ?, heard_at = ?
     from (
       select job_id, attempt
       from external_runs
       where token_hash is null and closed_at is null and wants = 'run' and engine = any(?)
       order by offered_at
       limit 1
       for update skip locked
     ) waiting
     where r.job_id = waiting.job_id and r.attempt = waiting.attempt
     returning r.job_id as "jobId", r.attempt, r.engine, r.parameters,
       r.time_limit_ms::double precision as "timeLimitMs", r.memory_bytes_max::double precision as "memoryBytesMax"`,
    [hashOf(token), agent, at, at, engines],
  );
  return claimed && { ...claimed, token };
}

export interface ExternalReport {
  /** Counts the reports of a run from 1; a number that is not above the newest changes nothing. */
  readonly seq: number;
  readonly isSuspended: boolean;
  readonly fraction: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
}

/**
 * Notes a report of a run. Figures never fall, whatever the order in which reports come.
 *
 * @returns what its runner wants.
 * @throws BillingError `attempt_over` when the attempt has ended or was given up; `not_found` for an unknown token.
 */
export async function reportExternalRun(
  db: Db,
  token: string,
  report: ExternalReport,
  at: Instant,
): Promise<ExternalWish> {
  const noted = await firstRow<{ wants: ExternalWish }>(
    db,
    `update external_runs r
     set seq = greatest(seq, ?::int),
       is_suspended = case when ?::int > seq then ? else is_suspended end,
       fraction = greatest(fraction, ?::double precision),
       cpu_seconds = greatest(cpu_seconds, ?::double precision),
       peak_memory_bytes = greatest(peak_memory_bytes, ?::bigint),
       counters = ${MERGED},
       heard_at = greatest(heard_at, ?::timestamptz)
     where token_hash = ? and ${OPEN}
     returning wants`,
    [
      report.seq,
      report.seq,
      report.isSuspended,
      report.fraction,
      report.cpuSeconds,
      report.peakMemoryBytes,
      ...mergedBindings(report.counters),
      at,
      hashOf(token),
    ],
  );
  return noted?.wants ?? refuse(db, token);
}

/** Notes how a run ended; a repeat changes nothing. @throws BillingError as {@link reportExternalRun}. */
export async function endExternalRun(
  db: Db,
  token: string,
  end: {
    kind: ExternalEnd;
    message: string;
    log: string;
    counters: Readonly<Record<string, number>>;
    statistics: Readonly<Record<string, number>> | null;
  },
  at: Instant,
): Promise<void> {
  const noted = await firstRow(
    db,
    `update external_runs r
     set end_kind = ?, message = ?, log = ?, statistics = ?::jsonb, counters = ${MERGED}, ended_at = ?, heard_at = ?
     where token_hash = ? and ${OPEN}
     returning 1`,
    [
      end.kind,
      end.message,
      end.log,
      end.statistics === null ? null : JSON.stringify(end.statistics),
      ...mergedBindings(end.counters),
      at,
      at,
      hashOf(token),
    ],
  );
  if (noted) return;
  const same = await firstRow(db, 'select 1 from external_runs where token_hash = ? and end_kind = ?', [
    hashOf(token),
    end.kind,
  ]);
  if (!same) await refuse(db, token);
}

/** Notes a result of a run, or another one under the same name. @throws BillingError as {@link reportExternalRun}. */
export async function addExternalResult(db: Db, token: string, result: ExternalResult): Promise<void> {
  const noted = await firstRow(
    db,
    `insert into external_results (job_id, attempt, name, digest, size, media_type)
     select job_id, attempt, ?, ?, ?, ? from external_runs r where token_hash = ? and ${OPEN}
     on conflict (job_id, attempt, name)
       do update set digest = excluded.digest, size = excluded.size, media_type = excluded.media_type
     returning 1`,
    [result.name, result.digest, result.size, result.mediaType, hashOf(token)],
  );
  if (!noted) await refuse(db, token);
}

/** The digest of the input of a run. @throws BillingError as {@link reportExternalRun}. */
export async function inputOfExternalRun(db: Db, token: string): Promise<{ digest: string; name: string }> {
  const found = await firstRow<{ digest: string; name: string }>(
    db,
    `select j.input_digest as digest, j.input_name as name
     from external_runs r
     join jobs j on j.id = r.job_id
     where token_hash = ? and ${OPEN}`,
    [hashOf(token)],
  );
  return found ?? refuse(db, token);
}

/** The attempt is the open one of its job, and its runner still listens. */
const OPEN = `r.ended_at is null and r.closed_at is null and exists (
       select 1 from attempts a where a.job_id = r.job_id and a.number = r.attempt and a.outcome is null
     )`;

/** Both sets of counters, of each the higher value. */
const MERGED = `(
         select coalesce(jsonb_object_agg(name, greatest((r.counters ->> name)::bigint, (?::jsonb ->> name)::bigint)), '{}')
         from jsonb_object_keys(r.counters || ?::jsonb) as name
       )`;

function mergedBindings(counters: Readonly<Record<string, number>>): string[] {
  const text = JSON.stringify(counters);
  return [text, text];
}

async function refuse(db: Db, token: string): Promise<never> {
  const known = await firstRow(db, 'select 1 from external_runs where token_hash = ?', [hashOf(token)]);
  if (!known) throw new BillingError('not_found', 'No run was claimed with this token.');
  throw new BillingError(
    'attempt_over',
    'This attempt is over: nothing that is reported of it counts. Claim another run.',
  );
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
