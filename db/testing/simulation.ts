/** A submitted simulation of the seeded demo, for tests of what becomes of a job's row. */
import { v7 as uuidv7 } from 'uuid';
import { type Credits, parseCredits } from '../../domain/credits';
import { parseInstant } from '../../domain/instant';
import { wholeUnits } from '../../domain/usage';
import { beginAttempt, endAttempt, reportUsage } from '../attempts';
import type { Db } from '../client';
import { addInput } from '../inputs';
import { insertJob, type Job } from '../jobs';
import { DEMO } from '../seed';

export const AT = parseInstant('2026-01-01T00:00:00Z');
const DIGEST = `sha256:${'0'.repeat(64)}`;

/** A job of the demo's submitter on the demo's contract. Its cost is 5 credits; by default there is room for twice that. */
export async function insertSimulation(db: Db, expected: Credits = parseCredits('10')): Promise<Job> {
  const userId = DEMO.people.submitter.id;
  await addInput(db, userId, { digest: DIGEST, size: 1, name: 'one.cir', mediaType: 'text/plain' });
  return insertJob(db, {
    id: uuidv7(),
    userId,
    contractId: DEMO.contract,
    service: 'simulation',
    inputDigest: DIGEST,
    inputName: 'one.cir',
    parameters: {},
    dimensions: {},
    quoteId: null,
    rateCardVersion: 1,
    expected,
    maxCredits: expected,
    timeLimitSeconds: 60,
    comment: '',
    project: null,
    route: null,
    submittedAt: AT,
  });
}

/** Runs a reserved simulation to its end, with what it used. */
export async function runSimulation(db: Db, jobId: string): Promise<void> {
  const attempt = await beginAttempt(db, { jobId, runner: 'embedded', worker: 'one', at: AT });
  if (typeof attempt !== 'number') throw new Error('the attempt was not begun');
  const usage = [{ meter: 'simulations', unit: 'simulation', quantity: wholeUnits(1) }];
  await reportUsage(db, { jobId, attempt, seq: 1, usage, progress: 1_000_000, source: 'embedded', at: AT });
  await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'It was completed.', at: AT });
}
