import { v7 as uuidv7 } from 'uuid';
import { parseCredits } from '../domain/credits';
import { parseInstant } from '../domain/instant';
import { wholeUnits } from '../domain/usage';
import { beginAttempt, endAttempt, reportUsage } from './attempts';
import { closeJob, reserveJob } from './billing';
import { rows } from './client';
import { addInput } from './inputs';
import { insertJob } from './jobs';
import { DEMO, seed } from './seed';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';

const AT = parseInstant('2026-01-01T00:00:00Z');
const DIGEST = `sha256:${'0'.repeat(64)}`;

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database.ledger, {}, AT);
});

afterAll(() => database.drop());

test('a job that a crash forgot before it was reserved is rejected, and nothing is reserved for it', async () => {
  const jobId = uuidv7();
  const answer = await reserveJob(database.ledger, { jobId, at: AT });
  expect(answer).toMatchObject({ rejected: { code: 'not_found' } });
  expect(await rows(database.db, 'select kind from operations where subject = ?', [jobId])).toEqual([]);
});

test('work whose end was written is not begun again, and is charged once', async () => {
  const { db } = database;
  const jobId = await reservedSimulation();
  const begin = () => beginAttempt(db, { jobId, runner: 'embedded', worker: 'one', at: AT });
  const attempt = await begin();
  if (typeof attempt !== 'number') throw new Error('the first attempt was not begun');
  const usage = [{ meter: 'simulations', unit: 'simulation', quantity: wholeUnits(1) }];
  await reportUsage(db, { jobId, attempt, seq: 1, usage, progress: 1_000_000, source: 'embedded', at: AT });
  await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'It was completed.', at: AT });

  expect(await begin()).toEqual({ outcome: 'completed', message: 'It was completed.' });
  expect(await rows(db, 'select number from attempts where job_id = ?', [jobId])).toEqual([{ number: 1 }]);
  expect(await closeJob(database.ledger, { jobId, end: 'completed', message: '', at: AT })).toMatchObject({ charged: '5' });
  expect(await brokenInvariants(db)).toEqual([]);
});

/** A job with room for two simulations, so that one charged twice would show. */
async function reservedSimulation(): Promise<string> {
  const { db } = database;
  const userId = DEMO.people.submitter.id;
  await addInput(db, userId, { digest: DIGEST, size: 1, name: 'one.cir', mediaType: 'text/plain' });
  const job = await insertJob(db, {
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
    expected: parseCredits('10'),
    maxCredits: parseCredits('10'),
    timeLimitSeconds: 60,
    comment: '',
    project: null,
    submittedAt: AT,
  });
  expect(await reserveJob(database.ledger, { jobId: job.id, at: AT })).toMatchObject({ reserved: parseCredits('10') });
  return job.id;
}
