/** Jobs that ran and were charged, without waiting for an engine. */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { beginAttempt, endAttempt, reportUsage } from '../../db/attempts';
import { closeJob, reserveJob } from '../../db/billing';
import { findChargeOfJob } from '../../db/charges';
import { addInput } from '../../db/inputs';
import { insertJob } from '../../db/jobs';
import { DEMO } from '../../db/seed';
import { type Credits, minCredits, parseCredits } from '../../domain/credits';
import { instantOfMilliseconds } from '../../domain/instant';
import { type Dimensions, type Quantity, wholeUnits } from '../../domain/usage';
import type { TestApi } from './server';

export interface SettledJob {
  readonly jobId: string;
  readonly chargeId: string;
}

const DIGEST = `sha256:${createHash('sha256').update('settled').digest('hex')}`;

/** Runs so many simulations of 5 credits each as one job of the submitter; what is above the cap is absorbed. */
export async function settledJob(
  api: TestApi,
  job: { simulations?: number; cap?: string; contractId?: string | null; project?: string } = {},
): Promise<SettledJob> {
  const { simulations = 1, cap: capText, ...more } = job;
  const due = parseCredits(String(5 * simulations));
  const cap = capText === undefined ? due : parseCredits(capText);
  const jobId = await reservedJob(api, { expected: minCredits(due, cap), cap, ...more });
  return settleJob(api, jobId, { meter: 'simulations', unit: 'simulation', quantity: wholeUnits(simulations) });
}

/** A job up to its reservation: a simulation of the submitter unless said otherwise. @returns its id. */
export async function reservedJob(
  { db, ledger }: TestApi,
  job: {
    expected: Credits;
    cap: Credits;
    userId?: string;
    contractId?: string | null;
    project?: string;
    service?: string;
    dimensions?: Dimensions;
  },
): Promise<string> {
  const { expected, cap, userId = DEMO.people.submitter.id, contractId = DEMO.contract, project = null } = job;
  const { service = 'simulation', dimensions = {} } = job;
  const at = instantOfMilliseconds(Date.now());
  const jobId = uuidv7();
  await addInput(db, userId, { digest: DIGEST, size: 1, name: 'settled.cir', mediaType: 'text/plain' });
  await insertJob(db, {
    id: jobId,
    userId,
    contractId,
    service,
    inputDigest: DIGEST,
    inputName: 'settled.cir',
    parameters: {},
    dimensions,
    quoteId: null,
    rateCardVersion: 1,
    expected,
    maxCredits: cap,
    timeLimitSeconds: 60,
    comment: '',
    project,
    route: null,
    submittedAt: at,
  });
  const reserved = await reserveJob(ledger, { jobId, at });
  if ('rejected' in reserved) throw new Error(`the job was rejected: ${reserved.rejected.message}`);
  return jobId;
}

/** Runs a reserved job to its charge, with what it used. */
export async function settleJob(
  { db, ledger }: TestApi,
  jobId: string,
  used: { meter: string; unit: string; quantity: Quantity },
): Promise<SettledJob> {
  const at = instantOfMilliseconds(Date.now());
  const attempt = await beginAttempt(db, { jobId, runner: 'embedded', worker: 'test', at });
  if (typeof attempt !== 'number') throw new Error('the first attempt was not begun');
  await reportUsage(db, { jobId, attempt, seq: 1, usage: [used], progress: 1_000_000, source: 'embedded', at });
  await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'It was completed.', at });
  await closeJob(ledger, { jobId, end: 'completed', message: 'It was completed.', at });
  const charge = await findChargeOfJob(db, jobId);
  if (!charge) throw new Error(`job ${jobId} was not charged`);
  return { jobId, chargeId: charge.id };
}
