import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLIENT_NAME, startClient, Unanswered } from '../dev/faults/clients';
import { startMortalServer } from '../dev/faults/server';
import { runStorm } from '../dev/faults/storm';
import { parseCredits } from '../domain/credits';
import type { Operation } from '../domain/operations';
import { amount, grant, reserve, settle, topUp } from '../test/builders/ledger';
import { SEED } from '../test/builders/seed';
import { eventually } from '../test/world/eventually';
import { closeJob, reserveJob } from './billing';
import { connect, type Db, firstRow, isUnavailable, rows } from './client';
import { type Ledger, openLedger } from './ledger';
import { DEMO, seed } from './seed';
import { type CutWire, openCutWire, type Side } from './testing/cutWire';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { Place } from './testing/place';
import { AT, insertSimulation, runSimulation } from './testing/simulation';

jest.setTimeout(60_000);

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database.ledger, {}, AT);
});

afterEach(async () => {
  expect(await brokenInvariants(database.db)).toEqual([]);
});

afterAll(() => database?.drop());

describe('a connection that is lost', () => {
  let wire: CutWire;
  let wired: Db;
  let ledger: Ledger;

  beforeEach(async () => {
    wire = await openCutWire(database.url);
    wired = connect(wire.url, { poolMax: 2 });
    ledger = openLedger(wired);
  });

  afterEach(async () => {
    await ledger.close();
    await wired.destroy();
    await wire.close();
  });

  /** Works until nobody lost a connection. */
  async function insist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isUnavailable(error)) throw error;
      }
    }
  }

  /** Does the same again and again, cut later each time, until it came through uncut. @returns how often it was cut. */
  async function cutEverywhere(
    { side, from = 0, step = 1 }: { side: Side; from?: number; step?: number },
    work: () => Promise<void>,
  ): Promise<number> {
    for (let cuts = 0; ; cuts++) {
      await insist(() => rows(wired, 'select 1'));
      wire.cutAfter(side, from + cuts * step);
      await work();
      if (!wire.calm()) return cuts;
    }
  }

  test.each<Side>(['client', 'server'])(
    'after any message of the %s, and everything asked again: it is applied exactly once',
    async (side) => {
      const cuts = await cutEverywhere({ side }, async () => {
        const place = await Place.open(database, '9');
        const batch: Operation[] = [
          reserve({ ...place.spending(1), amount: amount('2'), cap: amount('6') }),
          place.grant(amount('4'), place.lotId(2)),
          reserve({ ...place.spending(2), amount: amount('3') }),
          topUp({ ...place.spending(1), target: amount('4') }),
          settle({ ...place.spending(1), actual: amount('1') }),
        ];
        const outcomes = await Promise.all(batch.map((operation) => insist(() => ledger.apply(operation))));
        // Each was asked again by itself, so a settlement can come before the top-up and refuse it.
        const applied = outcomes.filter(({ accepted }) => accepted).length;
        expect(outcomes.map(({ accepted }) => accepted)).toEqual([true, true, true, expect.any(Boolean), true]);
        expect(await place.lot()).toMatchObject({
          available: amount('5'),
          reserved: amount('3'),
          consumed: amount('1'),
        });
        expect(await place.operations()).toBe(1 + applied);
      });
      // Parse, bind, execute and more of every statement: each was the last one once.
      expect(cuts).toBeGreaterThanOrEqual(10);
    },
    120_000,
  );

  test('while a job is reserved and closed, at any moment: its row, its story and its charge tell it once', async () => {
    await database.ledger.applyBatch([grant({ lot: { poolId: DEMO.contract, amount: amount('10000') } })]);
    const cuts = await cutEverywhere({ side: 'client', from: SEED % 3, step: 3 }, async () => {
      const { id: jobId } = await insertSimulation(database.db);
      const reserved = await insist(() => reserveJob(ledger, { jobId, at: AT }));
      expect(reserved).toMatchObject({ reserved: parseCredits('10') });
      await runSimulation(database.db, jobId);
      const closed = await insist(() => closeJob(ledger, { jobId, end: 'completed', message: '', at: AT }));
      expect(closed).toMatchObject({ state: 'settled', charged: '5' });
      const kinds = 'select kind from job_events where job_id = ? order by seq';
      expect(await rows(database.db, kinds, [jobId])).toEqual(
        ['reserved', 'running', 'settled'].map((kind) => ({ kind })),
      );
      const charges = 'select charged from charges where job_id = ?';
      expect(await rows(database.db, charges, [jobId])).toEqual([{ charged: parseCredits('5') }]);
    });
    expect(cuts).toBeGreaterThanOrEqual(20);
  }, 240_000);
});

test('a process that is frozen in the middle of a batch gives up what it has locked, and nothing of it is lost or doubled', async () => {
  const place = await Place.open(database, '1000');
  const [frozen, other] = [startClient(database.url), startClient(database.url)];
  try {
    const asked: Promise<unknown>[] = [];
    const beyond = { amount: amount('1000000'), cap: amount('1000000') };
    let job = 0;
    const ask = () => {
      const operation = reserve(place.spending(++job));
      asked.push(frozen.apply(operation).catch((error) => error));
      return operation;
    };
    await frozen.apply(reserve(place.spending(++job)));
    const operations: Operation[] = [];
    await eventually('a frozen process that has locked a pool', async () => {
      frozen.signal('SIGCONT');
      // With one that is refused, so that the batch is loaded: what goes ahead holds nothing while its process is frozen.
      asked.push(frozen.apply(reserve({ ...place.spending(1_000_000), ...beyond })).catch((error) => error));
      for (let n = 0; n < 20; n++) operations.push(ask());
      frozen.signal('SIGSTOP');
      return holdsSomething();
    });
    const began = performance.now();
    expect(await other.apply(reserve(place.spending(++job)))).toMatchObject({ accepted: true });
    expect(performance.now() - began).toBeLessThan(20_000);
    frozen.signal('SIGCONT');
    const answers = await Promise.all(asked);
    expect(answers.some((answer) => answer instanceof Unanswered)).toBe(true);
    const again = await Promise.all(operations.map((operation) => other.apply(operation)));
    for (const outcome of again) expect(outcome).toMatchObject({ accepted: true });
    expect(await place.lot()).toMatchObject({ reserved: parseCredits(String(job)) });
  } finally {
    await Promise.all([frozen.kill(), other.stop()]);
  }
}, 60_000);

/** Whether a transaction of a ledger's process waits for that process, and goes on waiting. */
async function holdsSomething(): Promise<boolean> {
  for (;;) {
    const waiting = await firstRow<{ long: boolean }>(
      database.owner,
      `select clock_timestamp() - state_change > interval '300 milliseconds' as long
       from pg_stat_activity a
       where application_name = ? and state = 'idle in transaction' and datname = current_database()
         -- A transaction that has only begun keeps nobody waiting.
         and exists (select from pg_locks l where l.pid = a.pid and l.relation = 'pools'::regclass)`,
      [CLIENT_NAME],
    );
    if (!waiting || waiting.long) return waiting !== undefined;
  }
}

test('kill -9 of processes and of Postgres in the middle of batches: every answer stands, and every other operation gets one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-faults-'));
  const server = await startMortalServer(join(folder, 'postgres'));
  try {
    const kills = { client: 10, server: 10, backend: 3 };
    const summary = await runStorm({ server, seed: SEED, kills, say: () => undefined });
    expect(summary).toMatchObject({ seed: SEED, kills, findings: [] });
    expect(summary.answered.accepted).toBeGreaterThan(100);
    expect(summary.retried).toBeGreaterThan(0);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}, 240_000);
