/** Jobs that ran and were charged, without waiting for an engine. */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { beginAttempt, endAttempt, reportUsage } from '../../db/attempts';
import { closeJob, reserveJob } from '../../db/billing';
import { findChargeOfJob } from '../../db/charges';
import { addInput } from '../../db/inputs';
import { insertJob } from '../../db/jobs';
import { DEMO } from '../../db/seed';
import { minCredits, parseCredits } from '../../domain/credits';
import { instantOfMilliseconds } from '../../domain/instant';
import { wholeUnits } from '../../domain/usage';
import type { TestApi } from './server';

export interface SettledJob {
  readonly jobId: string;
  readonly chargeId: string;
}

const DIGEST = `sha256:${createHash('sha256').update('settled').digest('hex')}`;

/** Runs so many simulations of 5 credits each as one job of the submitter; what is above the cap is absorbed. */
export async function settledJob(
  { db, ledger }: TestApi,
  job: { simulations?: number; cap?: string; contractId?: string | null; project?: string } = {},
): Promise<SettledJob> {
  const { simulations = 1, contractId = DEMO.contract, project = null } = job;
  const due = parseCredits(String(5 * simulations));
  const cap = job.cap === undefined ? due : parseCredits(job.cap);
  const userId = DEMO.people.submitter.id;
  const at = instantOfMilliseconds(Date.now());
  const jobId = uuidv7();
  await addInput(db, userId, { digest: DIGEST, size: 1, name: 'settled.cir', mediaType: 'text/plain' });
  await insertJob(db, {
    id: jobId,
    userId,
    contractId,
    service: 'simulation',
    inputDigest: DIGEST,
    inputName: 'settled.cir',
    parameters: {},
    dimensions: {},
    quoteId: null,
    rateCardVersion: 1,
    expected: minCredits(due, cap),
    maxCredits: cap,
    timeLimitSeconds: 60,
    comment: '',
    project,
    route: null,
    submittedAt: at,
  });
  const reserved = await reserveJob(ledger, { jobId, at });
  if ('rejected' in reserved) throw new Error(`the job was rejected: ${reserved.rejected.message}`);
  const attempt = await beginAttempt(db, { jobId, runner: 'embedded', worker: 'test', at });
  if (typeof attempt !== 'number') throw new Error('the first attempt was not begun');
  const usage = [{ meter: 'simulations', unit: 'simulation', quantity: wholeUnits(simulations) }];
  await reportUsage(db, { jobId, attempt, seq: 1, usage, progress: 1_000_000, source: 'embedded', at });
  await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'It was completed.', at });
  await closeJob(ledger, { jobId, end: 'completed', message: 'It was completed.', at });
  const charge = await findChargeOfJob(db, jobId);
  if (!charge) throw new Error(`job ${jobId} was not charged`);
  return { jobId, chargeId: charge.id };
}
