/** Attempts of jobs and what each of them used, append-only. */
import type { AttemptUsage } from '../domain/charge';
import { type Credits, parseCredits, sumOf } from '../domain/credits';
import type { Disagreement } from '../domain/disagreement';
import type { Instant } from '../domain/instant';
import { formatQuantity, type Quantity, quantity, type Usage } from '../domain/usage';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { addJobEvent, moveJob } from './jobs';
import { reservationsOf } from './ledger';

export type AttemptOutcome = 'completed' | 'stopped' | 'input-failed' | 'engine-failed' | 'time-limit' | 'lost';

/** Ends that are the platform's: their usage is metered and not charged. */
const NOT_CHARGED: readonly AttemptOutcome[] = ['engine-failed', 'lost'];

export interface Attempt {
  readonly number: number;
  /** Of which run of the job, from 1. */
  readonly run: number;
  readonly runner: string;
  readonly worker: string;
  readonly startedAt: Instant;
  readonly endedAt: Instant | null;
  readonly outcome: AttemptOutcome | null;
  readonly message: string | null;
  /** Work done, in millionths; kept for jobs of several runs only. */
  readonly progress: number;
}

/** An attempt that did all there was to do. */
export interface FinishedAttempt {
  readonly outcome: (typeof FINISHED)[number];
  readonly message: string;
}

/** Ends after which nothing is left to try. */
const FINISHED = ['completed', 'input-failed', 'time-limit'] as const;

/**
 * Starts the next attempt of a run of a job and declares every earlier one of it that never ended lost: only the newest may
 * report. An attempt whose end is written but never reached its workflow, because its worker or Temporal was gone by then, is not
 * begun again: the work is done, and doing it twice would charge it twice.
 *
 * @returns its number, how the job's work ended when it is done already, or `null` when the job's billing is closed or
 * closing and nothing may run any more.
 */
export function beginAttempt(
  db: Db,
  attempt: { jobId: string; run?: number; runner: string; worker: string; at: Instant },
): Promise<number | FinishedAttempt | null> {
  const { jobId, run = 1, runner, worker, at } = attempt;
  return inTransaction(db, async (trx) => {
    const moved = await moveJob(trx, { id: jobId, from: ['reserved', 'running', 'parked'], to: 'running' });
    if (!moved) return null;
    await loseOpenAttempts(trx, jobId, at, run);
    // Looked at after the open ones were closed: one that was just writing its end has written it by now.
    const finished = await firstRow<FinishedAttempt>(
      trx,
      'select outcome, message from attempts where job_id = ? and run = ? and outcome = any(?) order by number limit 1',
      [jobId, run, FINISHED],
    );
    if (finished) return finished;
    const started = await firstRow<{ number: number }>(
      trx,
      `insert into attempts (job_id, number, run, runner, worker, started_at)
       select ?, coalesce(max(number), 0) + 1, ?, ?, ?, ? from attempts where job_id = ?
       returning number`,
      [jobId, run, runner, worker, at, jobId],
    );
    if (!started) throw new Error(`no attempt of job ${jobId} was written`);
    await addJobEvent(trx, jobId, {
      kind: 'running',
      message: `Attempt ${started.number} runs on ${worker}.`,
      data: { attempt: started.number, runner },
      at,
    });
    return started.number;
  });
}

/** Closes attempts that no worker closed, of one run or of all. */
export async function loseOpenAttempts(trx: Trx, jobId: string, at: Instant, run?: number): Promise<void> {
  const lost = await rows<{ number: number }>(
    trx,
    `update attempts
     set outcome = 'lost', message = 'the worker was lost', ended_at = ?
     where job_id = ? and outcome is null and (?::int is null or run = ?::int)
     returning number`,
    [at, jobId, run ?? null, run ?? null],
  );
  for (const { number } of lost) {
    await addJobEvent(trx, jobId, {
      kind: 'attempt-lost',
      message: `Attempt ${number} was lost by the platform; what it used is not charged.`,
      data: { attempt: number },
      at,
    });
  }
}

/** What a running attempt learns from each report. */
export interface Allowance {
  readonly reserved: Credits;
  readonly cap: Credits;
  /** What the job's other runs are charged for; null for a job of one run. */
  readonly otherRuns: OtherRuns | null;
}

/** How far the other runs of a job have come. */
export interface OtherRuns {
  /** Runs of the whole job, this one too, without those that failed and cost nothing any more. */
  readonly expected: number;
  readonly completed: number;
  /** Of the completed ones. */
  readonly completedUsage: readonly Usage[];
  /** Of those that run or were stopped. */
  readonly openUsage: readonly Usage[];
  /** The sum of what the completed and the open ones have done, in millionths of a run. */
  readonly progress: bigint;
}

export interface UsageReport {
  readonly jobId: string;
  readonly attempt: number;
  /** Counts the reports of an attempt; a repeat with the same number is written once. */
  readonly seq: number;
  readonly usage: readonly (Usage & { readonly unit: string })[];
  /** Work done, in millionths. */
  readonly progress: number;
  readonly source: string;
  readonly at: Instant;
}

/**
 * Appends usage of the newest attempt and tells what it may still use.
 *
 * @returns `null` when the attempt was declared lost or the reservation is closed: the engine must stop.
 */
export function reportUsage(db: Db, report: UsageReport): Promise<Allowance | null> {
  const { jobId, attempt, seq, usage, progress, source, at } = report;
  return inTransaction(db, async (trx) => {
    // Locked, so that an attempt cannot be declared lost between this check and the insert.
    const open = await firstRow(
      trx,
      'select 1 from attempts where job_id = ? and number = ? and outcome is null for update',
      [jobId, attempt],
    );
    if (!open) return null;
    if (usage.length > 0) {
      await trx.raw(
        `insert into usage_records (job_id, attempt, seq, meter, unit, quantity, source, measured_at)
         select ?, ?, ?, meter, unit, quantity, ?, ?
         from unnest(?::text[], ?::text[], ?::bigint[]) as used (meter, unit, quantity)
         on conflict do nothing`,
        [
          jobId,
          attempt,
          seq,
          source,
          at,
          usage.map(({ meter }) => meter),
          usage.map(({ unit }) => unit),
          usage.map(({ quantity }) => quantity.toString()),
        ] as never,
      );
    }
    await noteProgress(trx, { jobId, attempt, progress });
    return allowanceOf(trx, jobId, attempt);
  });
}

/** The progress of a job is the mean over its runs: of each the newest attempt, and nothing of one that has not begun. */
async function noteProgress(trx: Trx, noted: { jobId: string; attempt: number; progress: number }): Promise<void> {
  const { jobId, attempt, progress } = noted;
  const job = await firstRow<{ runs: number }>(trx, 'select runs from jobs where id = ?', [jobId]);
  let mean = progress;
  if (job && job.runs > 1) {
    // Runs that report at the same time take turns: each mean must see what the one before it wrote.
    await trx.raw('select 1 from jobs where id = ? for update', [jobId]);
    await trx.raw('update attempts set progress = ? where job_id = ? and number = ?', [progress, jobId, attempt]);
    const found = await firstRow<{ sum: number }>(
      trx,
      `select coalesce(sum(newest.progress), 0)::int as sum
       from (
         select distinct on (run) case when outcome = any(?) then 1000000 else progress end as progress
         from attempts
         where job_id = ?
         order by run, number desc
       ) newest`,
      [FINISHED, jobId],
    );
    mean = Math.floor((found?.sum ?? 0) / job.runs);
  }
  await trx.raw('update jobs set progress = ?, revision = revision + 1 where id = ? and progress <> ?', [
    mean,
    jobId,
    mean,
  ]);
}

/** What an open reservation holds and may hold, for an attempt of the job; `null` when there is none. */
export async function allowanceOf(db: Db | Trx, jobId: string, attempt: number): Promise<Allowance | null> {
  const [reservation] = await reservationsOf(db, [jobId]);
  if (reservation?.state !== 'open') return null;
  return {
    reserved: sumOf(reservation.draws, ({ amount }) => amount),
    cap: reservation.cap,
    otherRuns: await otherRunsOf(db, jobId, attempt),
  };
}

/** The one place that knows what the other runs of a job have cost so far. */
async function otherRunsOf(db: Db | Trx, jobId: string, attempt: number): Promise<OtherRuns | null> {
  const job = await firstRow<{ runs: number }>(db, 'select runs from jobs where id = ?', [jobId]);
  if (!job || job.runs === 1) return null;
  const others = (await attemptsOf(db, jobId)).filter(
    ({ number, outcome }) => number !== attempt && (outcome === null || !NOT_CHARGED.includes(outcome)),
  );
  const usage = await usageOfJob(db, jobId);
  const usageOf = (attempts: readonly Attempt[]): Usage[] =>
    usage
      .filter((one) => attempts.some(({ number }) => number === one.attempt))
      .map(({ meter, quantity: amount }) => ({ meter, quantity: quantity(parseCredits(amount)) }));
  const completed = others.filter(({ outcome }) => outcome === 'completed' || outcome === 'time-limit');
  const open = others.filter(({ outcome }) => outcome === null || outcome === 'stopped');
  const failed = others.filter(({ outcome }) => outcome === 'input-failed').length;
  return {
    expected: job.runs - failed,
    completed: completed.length,
    completedUsage: usageOf(completed),
    openUsage: usageOf(open),
    progress: BigInt(completed.length) * 1_000_000n + open.reduce((sum, one) => sum + BigInt(one.progress), 0n),
  };
}

/** Records how an attempt ended. An attempt that was declared lost stays lost. */
export async function endAttempt(
  db: Db | Trx,
  ended: { jobId: string; attempt: number; outcome: AttemptOutcome; message: string; at: Instant },
): Promise<void> {
  await db.raw(
    `update attempts
     set outcome = ?, message = ?, ended_at = ?
     where job_id = ? and number = ? and outcome is null`,
    [ended.outcome, ended.message, ended.at, ended.jobId, ended.attempt],
  );
}

export function attemptsOf(db: Db | Trx, jobId: string): Promise<Attempt[]> {
  return rows<Attempt>(
    db,
    `select number, run, progress, runner, worker, started_at as "startedAt", ended_at as "endedAt", outcome, message
     from attempts
     where job_id = ?
     order by number`,
    [jobId],
  );
}

/** How many attempts of a run ended in some way. */
export async function countAttempts(
  db: Db,
  { jobId, run, outcome }: { jobId: string; run: number; outcome: AttemptOutcome },
): Promise<number> {
  const sql = 'select count(*)::int as count from attempts where job_id = ? and run = ? and outcome = ?';
  return (await firstRow<{ count: number }>(db, sql, [jobId, run, outcome]))?.count ?? 0;
}

/** How the runs of a job stand. */
export interface RunCounts {
  readonly completed: number;
  readonly failed: number;
  readonly running: number;
}

/** Counts runs by their newest attempt; a run that waits for its next attempt is none of the three. */
export async function countRuns(db: Db, jobId: string): Promise<RunCounts> {
  const counts = await firstRow<RunCounts>(
    db,
    `select count(*) filter (where outcome = 'completed')::int as completed,
            count(*) filter (where outcome in ('input-failed', 'time-limit', 'engine-failed'))::int as failed,
            count(*) filter (where outcome is null)::int as running
     from (
       select distinct on (run) outcome
       from attempts
       where job_id = ?
       order by run, number desc
     ) newest`,
    [jobId],
  );
  return counts ?? { completed: 0, failed: 0, running: 0 };
}

export interface MeteredUsage extends AttemptUsage {
  readonly unit: string;
}

/** What a job used, summed per attempt and meter, and whether the attempt is charged. */
export async function usageOfJob(db: Db | Trx, jobId: string): Promise<MeteredUsage[]> {
  const found = await rows<{
    attempt: number;
    outcome: AttemptOutcome | null;
    meter: string;
    unit: string;
    quantity: bigint;
  }>(
    db,
    `select u.attempt, a.outcome, u.meter, u.unit, sum(u.quantity)::bigint as quantity
     from usage_records u
     join attempts a on a.job_id = u.job_id and a.number = u.attempt
     where u.job_id = ?
     group by u.attempt, a.outcome, u.meter, u.unit
     order by u.attempt, u.meter`,
    [jobId],
  );
  return found.map(({ attempt, outcome, meter, unit, quantity }) => ({
    attempt,
    charged: outcome === null || !NOT_CHARGED.includes(outcome),
    meter,
    unit,
    quantity: formatQuantity(quantity as Quantity),
  }));
}

/** Notes where our counters and those that the program states differ; a repeat changes nothing. */
export async function addDisagreements(
  db: Db | Trx,
  { jobId, attempt, disagreements }: { jobId: string; attempt: number; disagreements: readonly Disagreement[] },
): Promise<void> {
  await db.raw(
    `insert into meter_disagreements (job_id, attempt, counter, counted, stated)
     select ?, ?, counter, counted, stated
     from unnest(?::text[], ?::bigint[], ?::bigint[]) as differing (counter, counted, stated)
     on conflict do nothing`,
    [
      jobId,
      attempt,
      disagreements.map(({ counter }) => counter),
      disagreements.map(({ counted }) => counted),
      disagreements.map(({ stated }) => stated),
    ] as never,
  );
}

/** Where meters disagreed, by job. */
export async function disagreementsOfJobs(
  db: Db,
  jobIds: readonly string[],
): Promise<Map<string, (Disagreement & { readonly attempt: number })[]>> {
  const found = await rows<Disagreement & { jobId: string; attempt: number }>(
    db,
    `select job_id as "jobId", attempt, counter, counted::double precision, stated::double precision
     from meter_disagreements
     where job_id = any(?::uuid[])
     order by job_id, attempt, counter`,
    [jobIds],
  );
  const byJob = new Map<string, (Disagreement & { attempt: number })[]>();
  for (const { jobId, ...one } of found) byJob.set(jobId, [...(byJob.get(jobId) ?? []), one]);
  return byJob;
}

export interface Result {
  readonly name: string;
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

export async function addResult(db: Db | Trx, result: Result & { jobId: string; attempt: number }): Promise<void> {
  await db.raw(
    `insert into results (job_id, attempt, name, digest, size, media_type)
     values (?, ?, ?, ?, ?, ?)
     on conflict do nothing`,
    [result.jobId, result.attempt, result.name, result.digest, result.size, result.mediaType],
  );
}

/** The results of each run's newest attempt that has any. */
export async function resultsOf(db: Db, jobId: string): Promise<Result[]> {
  const found = await rows<Omit<Result, 'size'> & { size: bigint }>(
    db,
    `select name, digest, size, media_type as "mediaType"
     from results
     where job_id = ?
       and attempt in (
         select max(r.attempt)
         from results r
         join attempts a on a.job_id = r.job_id and a.number = r.attempt
         where r.job_id = ?
         group by a.run
       )
     order by name`,
    [jobId, jobId],
  );
  return found.map((result) => ({ ...result, size: Number(result.size) }));
}
