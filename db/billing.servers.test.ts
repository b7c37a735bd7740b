import { v7 as uuidv7 } from 'uuid';
import { parseCredits } from '../domain/credits';
import type { JobState } from '../domain/job';
import type { Operation } from '../domain/operations';
import { beginAttempt } from './attempts';
import { closeJob, raiseJobCap, releaseJob, reserveJob, topUpJob } from './billing';
import { rows } from './client';
import { getJob } from './jobs';
import { type Companion, type Ledger, openLedger } from './ledger';
import { seed } from './seed';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { AT, insertSimulation, runSimulation } from './testing/simulation';

jest.setTimeout(30_000);

let database: TestDatabase;
let ledger: Ledger;

beforeAll(async () => {
  database = await createTestDatabase();
  ledger = database.ledger;
  await seed(ledger, {}, AT);
});

afterEach(async () => {
  expect(await brokenInvariants(database.db)).toEqual([]);
});

afterAll(() => database.drop());

async function reservedSimulation(): Promise<string> {
  const { id: jobId } = await insertSimulation(database.db);
  expect(await reserveJob(ledger, { jobId, at: AT })).toMatchObject({ reserved: parseCredits('10') });
  return jobId;
}

async function eventsOf(jobId: string): Promise<string[]> {
  const found = await rows<{ kind: string }>(database.db, 'select kind from job_events where job_id = ? order by seq', [
    jobId,
  ]);
  return found.map(({ kind }) => kind);
}

async function operationsOf(jobId: string): Promise<string[]> {
  const found = await rows<{ kind: string }>(
    database.db,
    'select kind from operations where subject = ? order by batch_id, position',
    [jobId],
  );
  return found.map(({ kind }) => kind);
}

test('a job that a crash forgot before it was reserved is rejected, and nothing is reserved for it', async () => {
  const jobId = uuidv7();
  expect(await reserveJob(ledger, { jobId, at: AT })).toMatchObject({ rejected: { code: 'not_found' } });
  expect(await operationsOf(jobId)).toEqual([]);
});

test('work whose end was written is not begun again, and is charged once', async () => {
  const { db } = database;
  const jobId = await reservedSimulation();
  await runSimulation(db, jobId);
  const again = await beginAttempt(db, { jobId, runner: 'embedded', worker: 'one', at: AT });
  expect(again).toEqual({ outcome: 'completed', message: 'It was completed.' });
  expect(await rows(db, 'select number from attempts where job_id = ?', [jobId])).toEqual([{ number: 1 }]);
  expect(await closeJob(ledger, { jobId, end: 'completed', message: '', at: AT })).toMatchObject({ charged: '5' });
});

describe('an act that is repeated', () => {
  test('is answered the same, and the story of the job tells it once', async () => {
    const { id: jobId } = await insertSimulation(database.db);
    const acts = [
      () => reserveJob(ledger, { jobId, at: AT }),
      () => raiseJobCap(ledger, { jobId, requestId: 'one', cap: parseCredits('20'), actor: 'me', at: AT }),
      () => topUpJob(ledger, { jobId, ordinal: 1, target: parseCredits('12'), at: AT }),
      () => closeJob(ledger, { jobId, end: 'completed', message: '', at: AT }),
    ];
    for (const [index, act] of acts.entries()) {
      if (index === 3) await runSimulation(database.db, jobId);
      const first = await act();
      const { revision } = await getJob(database.db, jobId);
      expect(await act()).toEqual(first);
      expect((await getJob(database.db, jobId)).revision).toBe(revision);
    }
    expect(await operationsOf(jobId)).toEqual(['reserve', 'raiseCap', 'topUp', 'settle']);
    expect(await eventsOf(jobId)).toEqual(['reserved', 'cap-raised', 'topped-up', 'running', 'settled']);
    expect(await rows(database.db, 'select charged from charges where job_id = ?', [jobId])).toEqual([
      { charged: parseCredits('5') },
    ]);
  });

  test('by several processes at once is done once, and all are answered the same', async () => {
    const { id: jobId } = await insertSimulation(database.db);
    const ledgers = [ledger, openLedger(database.db), openLedger(database.db)];
    try {
      const everywhere = <T>(act: (one: Ledger) => Promise<T>) => Promise.all(ledgers.map(act));
      const reserved = await everywhere((one) => reserveJob(one, { jobId, at: AT }));
      for (const answer of reserved) expect(answer).toEqual(reserved[0]);
      await runSimulation(database.db, jobId);
      const closed = await everywhere((one) => closeJob(one, { jobId, end: 'completed', message: '', at: AT }));
      for (const answer of closed) expect(answer).toEqual(closed[0]);
    } finally {
      await Promise.all(ledgers.slice(1).map((one) => one.close()));
    }
    expect(await operationsOf(jobId)).toEqual(['reserve', 'settle']);
    expect(await eventsOf(jobId)).toEqual(['reserved', 'running', 'settled']);
  });
});

test('a job that is closed and released at once ends one way, in its row, its story and its ledger', async () => {
  for (let round = 0; round < 10; round++) {
    const jobId = await reservedSimulation();
    await runSimulation(database.db, jobId);
    const [closed, released] = await Promise.all([
      closeJob(ledger, { jobId, end: 'completed', message: 'done', at: AT }),
      releaseJob(ledger, { jobId, reason: 'reconciled', message: 'its workflow is gone', at: AT }),
    ]);
    expect(released).toEqual(closed);
    const { state } = await getJob(database.db, jobId);
    expect(await operationsOf(jobId)).toEqual(['reserve', state === 'settled' ? 'settle' : 'release']);
    expect(await eventsOf(jobId)).toEqual(['reserved', 'running', state]);
  }
});

test('a job that is released while it is still being reserved holds nothing, whichever was first', async () => {
  const states = new Set<JobState>();
  for (let round = 0; round < 10; round++) {
    const { id: jobId } = await insertSimulation(database.db);
    const acts = [
      () => reserveJob(ledger, { jobId, at: AT }),
      () => releaseJob(ledger, { jobId, reason: 'cancelled', message: 'no more', at: AT }),
    ];
    if (round % 2 === 1) acts.reverse();
    await Promise.all(acts.map((act) => act()));
    const { state } = await getJob(database.db, jobId);
    states.add(state);
    expect((await operationsOf(jobId)).at(-1)).toBe('release');
  }
  expect([...states]).toEqual(['released']);
});

describe('a reservation and the job’s row change together', () => {
  test.each<[string, Companion['write'], object]>([
    [
      'what the database refuses',
      () => ({ to: 'reserved', events: [{ kind: 'reserved', message: String.fromCharCode(0), at: AT }] }),
      { code: '22021' },
    ],
    [
      'what cannot even be said',
      () => {
        throw new Error('no');
      },
      { message: 'no' },
    ],
  ])('%s takes its own reservation with it, and leaves those that are made beside it', async (_, write, refusal) => {
    const [job, ...others] = [
      await insertSimulation(database.db, parseCredits('1')),
      await insertSimulation(database.db, parseCredits('1')),
      await insertSimulation(database.db, parseCredits('1')),
    ];
    const { id: jobId, userId, contractId } = job;
    const operation: Operation = {
      kind: 'reserve',
      act: 'reserve',
      jobId,
      userId,
      contractId,
      amount: parseCredits('1'),
      cap: parseCredits('1'),
      project: null,
      at: AT,
      actor: 'job',
      reason: 'the job was submitted',
    };
    const refused = ledger.apply(operation, { jobId, from: ['reserving'], write });
    const beside = others.map(({ id }) => reserveJob(ledger, { jobId: id, at: AT }));
    await expect(refused).rejects.toMatchObject(refusal);
    expect(await Promise.all(beside)).toMatchObject(others.map(() => ({ reserved: parseCredits('1') })));
    expect(await operationsOf(jobId)).toEqual([]);
    expect(await eventsOf(jobId)).toEqual([]);
    expect(await getJob(database.db, jobId)).toMatchObject({ state: 'reserving', revision: 1n });
  });
});
