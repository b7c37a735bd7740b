/** A job as the API shows it. */
import { countRuns, type RunCounts } from '../db/attempts';
import { describeDraws } from '../db/billing';
import { type Charge, findChargeOfJob } from '../db/charges';
import type { Db } from '../db/client';
import type { Job } from '../db/jobs';
import { reservationsOf } from '../db/ledger';
import type { DossierDraw } from '../domain/charge';
import { formatCredits, parseCredits, sumOf } from '../domain/credits';
import { jobWorkflowId } from '../domain/job';

export async function jobView(db: Db, job: Job, temporalUiUrl: string | null) {
  const [reservation] = await reservationsOf(db, [job.id]);
  const draws = await describeDraws(db, reservation?.draws ?? []);
  const charge = job.state === 'settled' ? await findChargeOfJob(db, job.id) : undefined;
  const runs = await countRuns(db, job.id);
  return viewOfJob(job, { draws, runs, charge, temporalUiUrl });
}

/** Of a job that has not begun. */
export const NO_RUNS: RunCounts = { completed: 0, failed: 0, running: 0 };

/** The view of a job whose draws and charge are known. */
export function viewOfJob(
  job: Job,
  known: { draws: readonly DossierDraw[]; runs: RunCounts; charge?: Charge | undefined; temporalUiUrl: string | null },
) {
  const { draws, runs, charge, temporalUiUrl } = known;
  return {
    id: job.id,
    service: job.service,
    state: job.state,
    reason: job.reason,
    message: job.message,
    progress: formatCredits(BigInt(job.progress)),
    runs: { total: job.runs, ...runs },
    userId: job.userId,
    contractId: job.contractId,
    input: { digest: job.inputDigest, name: job.inputName },
    parameters: job.parameters,
    dimensions: job.dimensions,
    quoteId: job.quoteId,
    rateCardVersion: job.rateCardVersion,
    expected: formatCredits(job.expected),
    maxCredits: formatCredits(job.maxCredits),
    reserved: formatCredits(sumOf(draws, ({ amount }) => parseCredits(amount))),
    draws,
    charged: charge ? formatCredits(charge.charged) : null,
    timeLimitSeconds: job.timeLimitSeconds,
    comment: job.comment,
    project: job.project,
    route: job.route,
    submittedAt: job.submittedAt,
    endedAt: job.endedAt,
    links: linksOf(job.id, temporalUiUrl, charge?.id),
  };
}

export function linksOf(jobId: string, temporalUiUrl: string | null, chargeId?: string): Record<string, string> {
  const self = `/v1/jobs/${jobId}`;
  return {
    self,
    usage: `${self}/usage`,
    events: `${self}/events`,
    results: `${self}/results`,
    ...(chargeId !== undefined && { charge: `/v1/charges/${chargeId}`, dossier: `/v1/charges/${chargeId}/dossier` }),
    ...(temporalUiUrl !== null && {
      workflow: `${temporalUiUrl}/workflows/${encodeURIComponent(jobWorkflowId(jobId))}`,
    }),
  };
}
