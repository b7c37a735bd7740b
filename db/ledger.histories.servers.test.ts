import { chanceOf } from '../dev/chaos/chance';
import { openFaultyWire } from '../dev/soak/faultyWire';
import type { Operation } from '../domain/operations';
import { type Answered, historyOf, isRepeat, isStrangers, runBesideModel } from '../test/builders/histories';
import { repeatably, SEED } from '../test/builders/seed';
import { newTally, seldom } from '../test/builders/tally';
import { connect, isUnavailable, rows } from './client';
import { type Ledger, openLedger } from './ledger';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { StoredLedger } from './testing/storedLedger';

let database: TestDatabase;
let worlds = 0;
const tally = newTally();

beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 8 });
});

afterEach(async () => {
  expect(await brokenInvariants(database.owner)).toEqual([]);
}, 60_000);

afterAll(() => database?.drop());

type Send = (operations: readonly Operation[]) => Promise<Answered>;
type Apart = (later: Operation, earlier: Operation) => boolean;

/** Runs histories of their own worlds, several at once, until so many more operations were asked for. */
async function runHistories(operations: number, send: Send, apart?: Apart): Promise<void> {
  const until = tally.operations + operations;
  const lane = async () => {
    while (tally.operations < until) {
      worlds += 1;
      const world = worlds;
      const history = historyOf({ seed: SEED, world }, { min: 20, max: 140 });
      await runBesideModel(history, new StoredLedger(database.db, world, send), {
        tally,
        world,
        lookEvery: 10,
        ...(apart && { apart }),
      });
    }
  };
  await repeatably(() => Promise.all(Array.from({ length: 6 }, lane)));
}

test('operations that are applied as batches end like single credits moved one by one', async () => {
  await runHistories(5_000, async (operations) => ({
    outcomes: await database.ledger.applyBatch(operations),
    sent: 1,
  }));
}, 120_000);

test('operations that are asked one by one and share batches are decided in the order in which they were asked', async () => {
  const send: Send = async (operations) => ({
    outcomes: await Promise.all(operations.map((operation) => database.ledger.apply(operation))),
    sent: 1,
  });
  await runHistories(5_000, send, isStrangers);
}, 120_000);

test('connections may break between any two statements: what is sent again until it is answered happens once', async () => {
  const chance = chanceOf(SEED);
  const faults = { cuts: 0, errors: 0, lostAnswers: 0, terminated: 0 };
  const wire = await openFaultyWire(database.url, chance, () => {
    faults.cuts += 1;
  });
  const db = connect(wire.url, { applicationName: 'victim' });
  const ledger = openLedger(db);
  const send: Send = async (operations) => {
    for (let sent = 1; ; sent++) {
      const [outcomes, terminated] = await Promise.all([
        attempt(ledger, operations),
        chance.between(1, 40) === 1 ? terminate('victim') : 0,
      ]);
      faults.terminated += terminated;
      if (outcomes === undefined) faults.errors += 1;
      else if (chance.between(1, 20) === 1) faults.lostAnswers += 1;
      else return { outcomes, sent };
    }
  };
  try {
    wire.break(50);
    // A batch in which a key comes twice is written as two, and one of them may be lost.
    await runHistories(12_000, send, isRepeat);
    const few = Object.entries(faults).filter(([, times]) => times < 50);
    expect(few).toEqual([]);
  } finally {
    wire.break(null);
    await ledger.close();
    await db.destroy();
    await wire.close();
  }
}, 240_000);

test('in all of these histories every kind of operation was accepted, and refused in every way there is', () => {
  expect(tally.operations).toBeGreaterThan(20_000);
  expect(seldom(tally, 1)).toEqual([]);
});

/** @returns nothing where the connection was lost: nobody knows then whether the operations were applied. */
async function attempt(ledger: Ledger, operations: readonly Operation[]) {
  try {
    return await ledger.applyBatch(operations);
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

/** @returns how many sessions were ended. */
async function terminate(applicationName: string): Promise<number> {
  const ended = await rows(
    database.admin,
    'select pg_terminate_backend(pid) from pg_stat_activity where application_name = ?',
    [applicationName],
  );
  return ended.length;
}
