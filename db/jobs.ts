/** Jobs as rows: what was asked, the state, the story told by events. */
import type { Credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { JobState } from '../domain/job';
import type { Route } from '../domain/route';
import type { Dimensions } from '../domain/usage';
import { type Db, firstRow, rows, type Trx } from './client';
import type { Viewer } from './people';

export interface Job {
  readonly id: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly service: string;
  readonly inputDigest: string;
  readonly inputName: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly dimensions: Dimensions;
  readonly quoteId: string | null;
  readonly rateCardVersion: number;
  readonly expected: Credits;
  readonly maxCredits: Credits;
  readonly timeLimitSeconds: number;
  readonly comment: string;
  /** What the job is for, where its submitter said so; budgets can limit it (R17). */
  readonly project: string | null;
  readonly state: JobState;
  readonly reason: string | null;
  readonly message: string | null;
  /** Work done, in millionths. */
  readonly progress: number;
  readonly revision: bigint;
  /** How many runs it is made of. */
  readonly runs: number;
  /** Where it runs; null for jobs from before there was a choice. */
  readonly route: Route | null;
  readonly submittedAt: Instant;
  readonly endedAt: Instant | null;
}

const JOB_COLUMNS = `id, user_id as "userId", contract_id as "contractId", service, input_digest as "inputDigest",
  input_name as "inputName", parameters, dimensions, quote_id as "quoteId", rate_card_version as "rateCardVersion",
  expected, max_credits as "maxCredits", time_limit_seconds as "timeLimitSeconds", comment, project, state, reason, message,
  progress, revision, runs,
  case when engine is not null then jsonb_build_object('runner', runner, 'engine', engine) end as route, submitted_at as "submittedAt", ended_at as "endedAt"`;

export type NewJob = Omit<Job, 'state' | 'reason' | 'message' | 'progress' | 'revision' | 'runs' | 'endedAt'> & {
  /** One without it. */
  readonly runs?: number;
};

/**
 * Writes a submitted job; a repeat with the same id changes nothing. It does not wait for the disk: the reservation does,
 * and takes the job with it. A job that a crash of Postgres forgets in between was answered to nobody and is rejected.
 *
 * @returns the job as it is when it is new.
 */
export async function insertJob(db: Db, job: NewJob): Promise<Job> {
  await db.raw(
    `insert into jobs
       (id, user_id, contract_id, service, input_digest, input_name, parameters, dimensions, quote_id, rate_card_version,
        expected, max_credits, time_limit_seconds, comment, project, runs, runner, engine, state, submitted_at)
     select ?::uuid, ?::uuid, ?::uuid, ?, ?, ?, ?::jsonb, ?::jsonb, ?::uuid, ?::int, ?::bigint, ?::bigint, ?::int, ?, ?,
       ?::int, ?, ?, 'reserving', ?::timestamptz
     from set_config('synchronous_commit', 'off', true)
     on conflict (id) do nothing`,
    [
      job.id,
      job.userId,
      job.contractId,
      job.service,
      job.inputDigest,
      job.inputName,
      JSON.stringify(job.parameters),
      JSON.stringify(job.dimensions),
      job.quoteId,
      job.rateCardVersion,
      job.expected.toString(),
      job.maxCredits.toString(),
      job.timeLimitSeconds,
      job.comment,
      job.project,
      job.runs ?? 1,
      job.route?.runner ?? null,
      job.route?.engine ?? null,
      job.submittedAt,
    ] as never,
  );
  const { runs = 1 } = job;
  return { ...job, runs, state: 'reserving', reason: null, message: null, progress: 0, revision: 1n, endedAt: null };
}

export function findJob(db: Db | Trx, id: string): Promise<Job | undefined> {
  return firstRow<Job>(db, `select ${JOB_COLUMNS} from jobs where id = ?`, [id]);
}

/** A job that must exist. @throws Error when it does not. */
export async function getJob(db: Db | Trx, id: string): Promise<Job> {
  const job = await findJob(db, id);
  if (!job) throw new Error(`there is no job ${id}`);
  return job;
}

export function findVisibleJob(db: Db, viewer: Viewer, id: string): Promise<Job | undefined> {
  return firstRow<Job>(db, `select ${JOB_COLUMNS} from jobs where id = ? and ${visible(viewer)}`, [
    id,
    ...visibleBindings(viewer),
  ]);
}

/** Newest first, after the job with id `before`, at most `limit`. */
export function listVisibleJobs(
  db: Db,
  viewer: Viewer,
  page: { before: string | null; limit: number; state: JobState | null },
): Promise<Job[]> {
  return rows<Job>(
    db,
    `select ${JOB_COLUMNS}
     from jobs
     where ${visible(viewer)}
       and (?::uuid is null or id < ?::uuid)
       and (?::text is null or state = ?::text)
     order by id desc
     limit ?`,
    [...visibleBindings(viewer), page.before, page.before, page.state, page.state, page.limit],
  );
}

/** The condition on rows with `user_id` and `contract_id` that a viewer may see, and its bindings. */
export function visible(viewer: Viewer): string {
  return viewer.everything ? 'true' : '(user_id = ? or contract_id = any(?::uuid[]))';
}

export function visibleBindings(viewer: Viewer): unknown[] {
  return viewer.everything ? [] : [viewer.userId, viewer.contractIds];
}

interface JobChange {
  readonly id: string;
  readonly from: readonly JobState[];
  readonly to: JobState;
  readonly reason?: string | null;
  readonly message?: string | null;
  readonly endedAt?: Instant | null;
}

/**
 * Moves a job from one of some states to another, and tells those who watch it.
 *
 * @returns whether it was in one of them; nothing changes otherwise.
 */
export async function moveJob(db: Db | Trx, change: JobChange, event?: NewJobEvent): Promise<boolean> {
  const told = event
    ? `, told as (insert into job_events (job_id, kind, message, data, at) select id, ?, ?, ?, ?::timestamptz from moved)`
    : '';
  const moved = await rows(
    db,
    `with moved as (
       update jobs
       set state = ?, reason = ?, message = ?, ended_at = ?, revision = revision + 1
       where id = ? and state = any(?)
       returning id
     )${told}
     select id from moved`,
    [
      change.to,
      change.reason ?? null,
      change.message ?? null,
      change.endedAt ?? null,
      change.id,
      change.from,
      ...(event ? [event.kind, event.message, JSON.stringify(event.data ?? {}), event.at] : []),
    ],
  );
  return moved.length > 0;
}

/** What happens to a job, for the people who watch it. */
export interface JobEvent {
  readonly seq: bigint;
  readonly kind: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Instant;
}

export type NewJobEvent = Omit<JobEvent, 'seq' | 'data'> & { readonly data?: JobEvent['data'] };

/**
 * Tells those who watch a job. Its row is touched first: so events of one job are written one after the other, and nobody
 * who reads them in order misses one that committed late.
 */
export async function addJobEvent(db: Db | Trx, jobId: string, event: NewJobEvent): Promise<void> {
  await db.raw(
    `with touched as (update jobs set revision = revision + 1 where id = ? returning id)
     insert into job_events (job_id, kind, message, data, at)
     select id, ?, ?, ?, ?::timestamptz from touched`,
    [jobId, event.kind, event.message, JSON.stringify(event.data ?? {}), event.at],
  );
}

export function jobEventsAfter(db: Db, jobId: string, seq: bigint): Promise<JobEvent[]> {
  return rows<JobEvent>(
    db,
    'select seq, kind, message, data, at from job_events where job_id = ? and seq > ? order by seq',
    [jobId, seq.toString()],
  );
}

/** The revisions of jobs, for those who wait for a change of any of them. */
export async function revisionsOf(db: Db, jobIds: readonly string[]): Promise<Map<string, bigint>> {
  const found = await rows<{ id: string; revision: bigint }>(
    db,
    'select id, revision from jobs where id = any(?::uuid[])',
    [jobIds],
  );
  return new Map(found.map(({ id, revision }) => [id, revision]));
}

/** Jobs of a spender that wait for credits, so that arriving credits can wake them. */
export function jobsParkedForCredits(db: Db, poolId: string): Promise<{ id: string }[]> {
  return rows<{ id: string }>(
    db,
    `select id
     from jobs
     where state = 'parked' and reason = 'credits' and (contract_id = ? or user_id = ?)
     order by id`,
    [poolId, poolId],
  );
}

/** Jobs without an end, oldest first, after an id; what a reconciler walks through. */
export function unfinishedJobs(
  db: Db,
  page: { after: string | null; submittedBefore: Instant; limit: number },
): Promise<Pick<Job, 'id' | 'state'>[]> {
  return rows<Pick<Job, 'id' | 'state'>>(
    db,
    `select id, state
     from jobs
     where ended_at is null and submitted_at < ? and (?::uuid is null or id > ?::uuid)
     order by id
     limit ?`,
    [page.submittedBefore, page.after, page.after, page.limit],
  );
}

/**
 * Open reservations whose job has ended or does not exist: impossible unless somebody wrote by hand. First the lots are
 * asked whether jobs that have not ended hold all that is reserved of them, since both are few; only when they do not is the
 * journal searched. Each statement sees one instant, and a job ends in the transaction that closes its reservation.
 */
export async function orphanedReservations(db: Db): Promise<string[]> {
  const lots = await rows<{ id: string }>(
    db,
    `with held as (
       select t.lot_id, sum(case t.to_bucket when 'reserved' then t.amount else -t.amount end) as amount
       from jobs j
       join transfers t on t.subject = j.id
       where j.ended_at is null
       group by t.lot_id
     )
     select l.id
     from lots l
     left join held h on h.lot_id = l.id
     where l.reserved > 0 and l.reserved <> coalesce(h.amount, 0)`,
  );
  if (lots.length === 0) return [];
  const found = await rows<{ jobId: string; state: string | null }>(
    db,
    `select r.job_id as "jobId", j.state
     from open_reservations r
     left join jobs j on j.id = r.job_id
     where r.lot_ids && ?::uuid[] and (j.id is null or j.ended_at is not null)
     order by r.job_id
     limit 100`,
    [lots.map(({ id }) => id)],
  );
  return found.map(({ jobId, state }) => `reservation of job ${jobId} is open, the job is ${state ?? 'missing'}`);
}
