import { reserveJob } from '../db/billing';
import { firstRow } from '../db/client';
import { openLedger } from '../db/ledger';
import { seed } from '../db/seed';
import { createTestDatabase, type TestDatabase } from '../db/testing/database';
import { AT, insertSimulation } from '../db/testing/simulation';
import { createJobActivities } from './jobActivities';

jest.setTimeout(30_000);

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database.ledger, {}, AT);
});

afterAll(() => database?.drop());

it('takes what an overloaded ledger says for a failure that passes, not for its answer', async () => {
  const { id: jobId } = await insertSimulation(database.db);
  const ledger = openLedger(database.db, { waitingMax: 0 });
  const activities = createJobActivities({ ledger });
  const overloaded = { name: 'BillingError', code: 'overloaded' };
  await expect(activities.reserve({ jobId, at: AT })).rejects.toMatchObject(overloaded);
  expect(await firstRow(database.db, 'select state from jobs where id = ?', [jobId])).toEqual({ state: 'reserving' });
  await reserveJob(database.ledger, { jobId, at: AT });
  const consent = { jobId, requestId: 'one', maxCredits: '20', actor: 'me', at: AT };
  await expect(activities.raiseCap(consent)).rejects.toMatchObject(overloaded);
  await expect(activities.topUp({ jobId, ordinal: 1, target: '12', at: AT })).rejects.toMatchObject(overloaded);
  await expect(activities.close({ jobId, end: 'completed', message: '', at: AT })).rejects.toMatchObject(overloaded);
  await ledger.close();
  const well = createJobActivities({ ledger: database.ledger });
  expect(await well.raiseCap(consent)).toEqual({ refused: null });
});
