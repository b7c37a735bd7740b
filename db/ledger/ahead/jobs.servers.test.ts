import { parseCredits } from '../../../domain/credits';
import type { JobState } from '../../../domain/job';
import { reserve } from '../../../test/builders/ledger';
import { closeJob, raiseJobCap, releaseJob, reserveJob, topUpJob } from '../../billing';
import { firstRow } from '../../client';
import { getJob, moveJob } from '../../jobs';
import { type Companion, JobMoved, operationsOfJob } from '../../ledger';
import { seed } from '../../seed';
import { database, describeApart, eventsOf, openProcess, type Process, untilAheadWith } from '../../testing/ahead';
import { AT, insertSimulation, runSimulation } from '../../testing/simulation';

jest.setTimeout(60_000);

describeApart('a job’s row', () => {
  beforeAll(() => seed(database.ledger, {}, AT));

  async function billing(): Promise<Process> {
    const here = openProcess();
    await untilAheadWith(here);
    return here;
  }

  const one = parseCredits('1');
  const kindsOf = async (jobId: string) => (await operationsOfJob(database.db, jobId)).map(({ kind }) => kind);

  test('tells with its operations what was done ahead, once each, with a charge that explains itself', async () => {
    const here = await billing();
    const { loaded } = here.sent;
    const { id: jobId } = await insertSimulation(database.db);
    expect(await reserveJob(here.ledger, { jobId, at: AT })).toMatchObject({ reserved: parseCredits('10') });
    await raiseJobCap(here.ledger, { jobId, requestId: 'one', cap: parseCredits('20'), actor: 'me', at: AT });
    await topUpJob(here.ledger, { jobId, ordinal: 1, target: parseCredits('12'), at: AT });
    await runSimulation(database.db, jobId);
    expect(await closeJob(here.ledger, { jobId, end: 'completed', message: '', at: AT })).toMatchObject({
      state: 'settled',
      charged: '5',
      released: '7',
    });
    expect(here.sent.loaded).toBe(loaded);
    expect(await kindsOf(jobId)).toEqual(['reserve', 'raiseCap', 'topUp', 'settle']);
    expect(await eventsOf(jobId)).toEqual(['reserved', 'cap-raised', 'topped-up', 'running', 'settled']);
    const charge = await firstRow<{ dossier: { reserved: unknown[] } }>(
      database.db,
      'select dossier from charges where job_id = ?',
      [jobId],
    );
    expect(charge?.dossier.reserved).toMatchObject([{ kind: 'reserve' }, { kind: 'topUp' }]);
  });

  test('that another process released before it was reserved stays so, and nothing is reserved', async () => {
    const [here, there] = [await billing(), openProcess()];
    const { id: jobId } = await insertSimulation(database.db, one);
    await releaseJob(there.ledger, { jobId, reason: 'gone', message: 'Its workflow is gone.', at: AT });
    expect(await reserveJob(here.ledger, { jobId, at: AT })).toMatchObject({
      rejected: { code: 'reservation_closed' },
    });
    expect(await kindsOf(jobId)).toEqual(['release']);
    expect(await eventsOf(jobId)).toEqual(['released']);
  });

  test('that another process closed is answered as it was closed', async () => {
    const [here, there] = [await billing(), openProcess()];
    const { id: jobId } = await insertSimulation(database.db);
    await reserveJob(here.ledger, { jobId, at: AT });
    await runSimulation(database.db, jobId);
    const closing = { jobId, end: 'completed', message: '', at: AT } as const;
    const [closed, again] = await Promise.all([closeJob(there.ledger, closing), closeJob(here.ledger, closing)]);
    expect(again).toEqual(closed);
    await expect(
      raiseJobCap(here.ledger, { jobId, requestId: 'one', cap: parseCredits('20'), actor: 'me', at: AT }),
    ).rejects.toMatchObject({ code: 'reservation_closed' });
    expect(await kindsOf(jobId)).toEqual(['reserve', 'settle']);
    expect(await eventsOf(jobId)).toEqual(['reserved', 'running', 'settled']);
  });

  test.each<[string, (jobId: string) => Promise<unknown>]>([
    ['was rejected', (id) => moveJob(database.db, { id, from: ['reserving'], to: 'rejected', endedAt: AT })],
    ['is being closed', (id) => moveJob(database.db, { id, from: ['reserving'], to: 'settling' })],
    ['is gone', (id) => database.owner('jobs').where({ id }).delete()],
  ])('that %s keeps only its own operation back, among many that go ahead', async (_, move) => {
    const here = await billing();
    const jobs = await Promise.all(Array.from({ length: 30 }, () => insertSimulation(database.db, one)));
    const stray = jobs[17] as (typeof jobs)[number];
    await move(stray.id);
    const { ahead } = here.sent;
    const asked = jobs.map(({ id: jobId, userId, contractId, expected }) => {
      const operation = reserve({ jobId, userId, contractId, amount: expected, cap: expected, actor: 'job', at: AT });
      const companion: Companion = {
        jobId,
        from: ['reserving'],
        write: () => ({ to: 'reserved', events: [{ kind: 'reserved', message: '', at: AT }] }),
      };
      return here.apply(operation, companion).catch((error: unknown) => error);
    });
    const answers = await Promise.all(asked);
    expect(here.sent.ahead).toBeGreaterThan(ahead);
    const states: JobState[] = [];
    for (const [index, { id }] of jobs.entries()) {
      if (id === stray.id) {
        expect(answers[index]).toBeInstanceOf(JobMoved);
        expect(await kindsOf(id)).toEqual([]);
        expect(await eventsOf(id)).toEqual([]);
        continue;
      }
      expect(answers[index]).toMatchObject({ accepted: true, replayed: false });
      expect(await eventsOf(id)).toEqual(['reserved']);
      states.push((await getJob(database.db, id)).state);
    }
    expect(new Set(states)).toEqual(new Set(['reserved']));
    await moveJob(database.db, { id: stray.id, from: ['settling'], to: 'rejected', endedAt: AT });
  });
});
