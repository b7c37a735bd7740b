/** Compares unfinished jobs with their workflows, page by page. */
import { releaseJob } from '../db/billing';
import { type Db, rows } from '../db/client';
import { unfinishedJobs } from '../db/jobs';
import { addMilliseconds, type Instant } from '../domain/instant';

export type WorkflowStatus = 'running' | 'closed' | 'missing';

export interface ReconcileDependencies {
  readonly db: Db;
  /** The state of a job's workflow. Rejects when Temporal cannot tell. */
  readonly workflowStatus: (jobId: string) => Promise<WorkflowStatus>;
}

export interface ReconcilePage {
  readonly examined: number;
  readonly repaired: readonly string[];
  readonly findings: readonly string[];
  /** The job to go on after; `null` at the end. */
  readonly next: string | null;
}

export interface ReconcileActivities {
  reconcilePage(input: { after: string | null; at: Instant }): Promise<ReconcilePage>;
}

const PAGE = 100;
/** A job this young may be on its way to its workflow. */
const YOUNG_MS = 2 * 60_000;

export function createReconcileActivities({ db, workflowStatus }: ReconcileDependencies): ReconcileActivities {
  return {
    async reconcilePage({ after, at }) {
      const jobs = await unfinishedJobs(db, { after, submittedBefore: addMilliseconds(at, -YOUNG_MS), limit: PAGE });
      const repaired: string[] = [];
      for (const { id } of jobs) {
        const status = await workflowStatus(id);
        if (status === 'running') continue;
        const message =
          status === 'missing'
            ? 'Its workflow never started or is gone.'
            : 'Its workflow ended without closing the billing.';
        await releaseJob(db, { jobId: id, reason: `workflow-${status}`, message, at });
        repaired.push(id);
      }
      const last = jobs.length === PAGE ? jobs[PAGE - 1] : undefined;
      return {
        examined: jobs.length,
        repaired,
        findings: after === null ? await orphanedReservations(db) : [],
        next: last?.id ?? null,
      };
    },
  };
}

/** Open reservations whose job has ended or does not exist: impossible unless somebody wrote by hand. */
async function orphanedReservations(db: Db): Promise<string[]> {
  const found = await rows<{ jobId: string; state: string | null }>(
    db,
    `select r.job_id as "jobId", j.state
     from reservations r
     left join jobs j on j.id = r.job_id
     where r.state = 'open' and (j.id is null or j.ended_at is not null)
     limit 100`,
  );
  return found.map(({ jobId, state }) => `reservation of job ${jobId} is open, the job is ${state ?? 'missing'}`);
}
