import { v7 as uuidv7 } from 'uuid';
import { parseInstant } from '../domain/instant';
import { reserveJob } from './billing';
import { rows } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.drop());

test('a job that a crash forgot before it was reserved is rejected, and nothing is reserved for it', async () => {
  const jobId = uuidv7();
  const answer = await reserveJob(database.db, { jobId, at: parseInstant('2026-01-01T00:00:00Z') });
  expect(answer).toMatchObject({ rejected: { code: 'not_found' } });
  expect(await rows(database.db, 'select job_id from reservations')).toEqual([]);
});
