/**
 * Batches that a process plans from what it knows and sends without loading anything: nobody may notice any difference but
 * speed. Each test first lets a process come to know a place until its batches go ahead, and sees them do so on the wire.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket, connect as wireTo } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { Client } from 'pg';
import { type Chance, chanceOf } from '../dev/chaos/chance';
import type { Budget } from '../domain/budget';
import { type Credits, credits, parseCredits, ZERO } from '../domain/credits';
import type { JobState } from '../domain/job';
import { type Operation, type Outcome, subjectOf, type Transfer } from '../domain/operations';
import { differenceOf } from '../test/builders/comparison';
import { type History, historyOf, isStrangers } from '../test/builders/histories';
import { atHour, idOf } from '../test/builders/ids';
import {
  aBudget,
  amount,
  changeLife,
  closeBudget,
  expire,
  grant,
  openBudget,
  raiseCap,
  refund,
  release,
  reserve,
  settle,
  topUp,
  withdraw,
} from '../test/builders/ledger';
import { drawSetting, Requests } from '../test/builders/requests';
import { repeatably, SEED } from '../test/builders/seed';
import { UnitCredits, type UnitOutcome, type UnitRequest } from '../test/builders/unitCredits';
import { instantOf, operationOf, worldOf } from '../test/builders/unitOperations';
import { eventually } from '../test/world/eventually';
import { closeJob, raiseJobCap, releaseJob, reserveJob, topUpJob } from './billing';
import { connect, firstRow, isUnavailable, rows } from './client';
import { getJob, moveJob } from './jobs';
import { type Companion, JobMoved, type Ledger, openLedger, operationsOfJob } from './ledger';
import { DEMO, seed } from './seed';
import { openCutWire, type Side } from './testing/cutWire';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { insertPeople } from './testing/people';
import { Place } from './testing/place';
import { AT, insertSimulation, runSimulation } from './testing/simulation';
import { verifyLedger } from './verify/verifyLedger';

jest.setTimeout(60_000);

let database: TestDatabase;

beforeAll(watchBatches);

afterEach(async () => {
  await Promise.all([...processes].map((one) => one.close()));
});

/** Describes what happens in a database of its own, and looks at the end at all that is there. */
function describeApart(what: string, tests: () => void): void {
  describe(what, () => {
    beforeAll(async () => {
      database = await createTestDatabase({ poolMax: 8 });
    });
    tests();
    test('in the end every law holds, and the verifier finds nothing', checkLedger);
    afterAll(() => database?.drop());
  });
}

async function checkLedger(): Promise<void> {
  expect(await brokenInvariants(database.db)).toEqual([]);
  expect((await verifyLedger({ kind: 'database', db: database.db })).findings).toEqual([]);
}

/** A process as the database sees it: a ledger with connections of its own, which knows what itself has seen. */
interface Process {
  readonly ledger: Ledger;
  readonly sent: Sent;
  apply(operation: Operation, companion?: Companion): Promise<Outcome>;
  close(): Promise<void>;
}

/** What a process sent. */
interface Sent {
  /** Batches that were loaded first. */
  loaded: number;
  /** Batches that were sent without being loaded, and how many of them the database refused. */
  ahead: number;
  refused: number;
  inFlight: number;
  /** How many that went ahead were in flight at once, at most. */
  atOnce: number;
}

const processes = new Set<Process>();
let opened = 0;

function openProcess(url = database.url): Process {
  const applicationName = `process ${++opened}`;
  const db = connect(url, { poolMax: 2, applicationName });
  const ledger = openLedger(db);
  const one: Process = {
    ledger,
    sent: sentBy(applicationName),
    apply: (operation, companion) => ledger.apply(operation, companion),
    async close() {
      if (!processes.delete(one)) return;
      await ledger.close();
      await db.destroy();
    },
  };
  processes.add(one);
  return one;
}

/** Jobs that nobody else of a place uses, and that cost nothing. */
const WARMING_UP = 90_000;
let warmedUp = WARMING_UP;

/** Lets a process work on a place until what users of it ask goes ahead. */
async function warmUp(one: Process, place: Place, users = [place.user, place.otherUser]): Promise<void> {
  for (const userId of users) {
    await untilAhead(one, () => {
      warmedUp += 1;
      return reserve({ ...place.spending(warmedUp, userId), amount: ZERO, cap: ZERO });
    });
  }
}

/** Asks until what is asked went ahead and was accepted. */
async function untilAhead(one: Process, ask: () => Operation): Promise<void> {
  for (let tries = 0; tries < 6; tries++) {
    const { ahead, refused } = one.sent;
    expect(await one.apply(ask())).toMatchObject({ accepted: true });
    if (one.sent.ahead > ahead && one.sent.refused === refused) return;
  }
  throw new Error(`after a few batches on the same pools nothing goes ahead: ${JSON.stringify(one.sent)}`);
}

/** Waits until a process has sent so many batches ahead, answered or not; no longer than until what is asked is answered. */
async function untilSent(one: Process, ahead: number, asked?: readonly Promise<unknown>[]): Promise<void> {
  let isAnswered = false;
  if (asked) void Promise.allSettled(asked).then(() => (isAnswered = true));
  const giveUpAt = performance.now() + 10_000;
  while (one.sent.ahead < ahead && !isAnswered) {
    if (performance.now() > giveUpAt) throw new Error(`only ${one.sent.ahead} batches went ahead, not ${ahead}`);
    await turn();
  }
}

async function acceptAll(one: Process, operations: readonly Operation[]): Promise<void> {
  for (const operation of operations) expect(await one.apply(operation)).toMatchObject({ accepted: true });
}

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

/** Lets a process bill jobs of the demo until it does so without loading anything. */
async function untilAheadWith(one: Process): Promise<void> {
  for (let tries = 0; tries < 6; tries++) {
    const { ahead, refused } = one.sent;
    const { id: jobId } = await insertSimulation(database.db, ZERO);
    expect(await reserveJob(one.ledger, { jobId, at: AT })).toMatchObject({ reserved: ZERO });
    if (one.sent.ahead > ahead && one.sent.refused === refused) return;
  }
  throw new Error(`no job is reserved without being loaded: ${JSON.stringify(one.sent)}`);
}

/** What those who watch a job were told. */
async function eventsOf(jobId: string): Promise<string[]> {
  const sql = 'select kind from job_events where job_id = ? order by seq';
  return (await rows<{ kind: string }>(database.db, sql, [jobId])).map(({ kind }) => kind);
}

const reserving = (lotId: string, credited: string) => moved(lotId, 'available', 'reserved', credited);

function moved(lotId: string, from: Transfer['from'], to: Transfer['to'], credited: string): Transfer {
  return { lotId, from, to, amount: amount(credited) };
}

/** An answer to somebody who is the first to ask, with all that is moved. */
function accepted(...transfers: Transfer[]) {
  return { accepted: true, replayed: false, transfers };
}

function refusedWith(code: string, details: Readonly<Record<string, string>> = {}) {
  return { accepted: false, code, details };
}

/** Reserves of a tenth of a credit each. */
function tenths(place: Place, count: number): Operation[] {
  return Array.from({ length: count }, (_, n) => reserve({ ...place.spending(100 + n), amount: amount('0.1') }));
}

/** What jobs of a project may cost in all. */
function projectBudget(place: Place, credited: string, n = 1): Budget {
  const limits = { period: 'total' as const, amount: amount(credited), warnPercent: null };
  return aBudget({ ...limits, id: idOf('budget', n, place.number), contractId: place.contract, project: 'bridge' });
}

describeApart('the very next operation respects', () => {
  interface Change {
    readonly shared?: string;
    /** What the process itself does first, so that it knows it. */
    readonly before?: (place: Place) => readonly Operation[];
    /** What somebody else does. */
    readonly change: (place: Place) => readonly Operation[];
    readonly next: (place: Place) => Operation;
    readonly answer: (place: Place) => object;
  }

  const CHANGES: Readonly<Record<string, Change>> = {
    'credits that are spent': {
      change: (place) => [reserve({ ...place.spending(2, place.otherUser), amount: amount('9.5') })],
      next: (place) => reserve(place.spending(1)),
      answer: () => refusedWith('insufficient_credits', { required: '1', available: '0.5', shortfall: '0.5' }),
    },
    'credits that are given back': {
      before: (place) => [reserve({ ...place.spending(2), amount: amount('10') })],
      change: (place) => [settle({ ...place.spending(2), actual: amount('4') })],
      next: (place) => reserve({ ...place.spending(1), amount: amount('6') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '6')),
    },
    'a new lot where nothing was left': {
      before: (place) => [reserve({ ...place.spending(2), amount: amount('10') })],
      change: (place) => [place.grant(amount('5'), place.lotId(2))],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '5')),
    },
    'a new lot that pays earlier since it expires earlier': {
      change: (place) => [
        grant({
          lot: { id: place.lotId(2), poolId: place.contract, amount: amount('3'), expiresAt: atHour(4000) },
        }),
      ],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '3'), reserving(place.sharedLot, '2')),
    },
    'a new lot that is the user’s own': {
      change: (place) => [place.grantIndividual(amount('3'), place.lotId(2))],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '3'), reserving(place.sharedLot, '2')),
    },
    'what the user spent of their own without the contract': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2))],
      change: (place) => [reserve({ ...place.spending(2), contractId: null, amount: amount('3') })],
      next: (place) => reserve({ ...place.spending(1), amount: amount('2') }),
      answer: (place) => accepted(reserving(place.lotId(2), '1'), reserving(place.sharedLot, '1')),
    },
    'what the user spent of their own on the contract, where the contract is to pay nothing': {
      before: (place) => [
        place.grantIndividual(amount('4'), place.lotId(2)),
        reserve({ ...place.spending(3), contractId: null }),
      ],
      change: (place) => [reserve({ ...place.spending(2), amount: amount('2') })],
      next: (place) => topUp({ ...place.spending(3), contractId: null, target: amount('3') }),
      answer: () => refusedWith('insufficient_credits', { required: '2', available: '1' }),
    },
    'a new lot that is another user’s own': {
      change: (place) => [place.grantIndividual(amount('3'), place.lotId(2), place.otherUser)],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '5')),
    },
    'the end of a lot that is booked': {
      change: ({ sharedLot: lotId, contract: poolId }) => [expire({ lotId, poolId, at: atHour(8760) })],
      next: (place) => reserve(place.spending(1)),
      answer: () => refusedWith('insufficient_credits', { available: '0' }),
    },
    'a withdrawal': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2))],
      change: (place) => withdrawalOf(place, place.lotId(2)),
      next: (place) => reserve(place.spending(1)),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'a notice, from its instant on': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2))],
      change: (place) => withdrawalOf(place, place.lotId(2)).slice(0, 1),
      next: (place) => reserve({ ...place.spending(1), at: atHour(10) }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'a life that is cut short': {
      change: (place) => [livesTo(place, place.sharedLot, 5)],
      next: (place) => reserve({ ...place.spending(1), at: atHour(5) }),
      answer: () => refusedWith('insufficient_credits', { available: '0' }),
    },
    'a life that is extended': {
      before: (place) => [livesTo(place, place.sharedLot, 5)],
      change: (place) => [livesTo(place, place.sharedLot, 20)],
      next: (place) => reserve({ ...place.spending(1), at: atHour(19) }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'another order in which lots pay': {
      before: (place) => [place.grant(amount('4'), place.lotId(2)), reserve(place.spending(2))],
      change: (place) => [livesTo(place, place.lotId(2), 100)],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '4'), reserving(place.sharedLot, '1')),
    },
    'another order in which a settlement captures': {
      before: (place) => [
        place.grant(amount('4'), place.lotId(2)),
        reserve({ ...place.spending(1), amount: amount('12') }),
      ],
      change: (place) => [livesTo(place, place.lotId(2), 100)],
      next: (place) => settle({ ...place.spending(1), actual: amount('3') }),
      answer: (place) =>
        accepted(
          moved(place.lotId(2), 'reserved', 'consumed', '2'),
          moved(place.sharedLot, 'reserved', 'consumed', '1'),
          moved(place.sharedLot, 'reserved', 'available', '9'),
        ),
    },
    'an advance that a new lot repaid': {
      shared: '2',
      before: (place) => [
        reserve({ ...place.spending(2), amount: amount('2') }),
        grant({
          lot: {
            id: place.lotId(2),
            poolId: place.contract,
            kind: 'courtesy',
            source: 'courtesy',
            amount: amount('5'),
            advance: true,
          },
        }),
        reserve({ ...place.spending(3), amount: amount('5') }),
        settle({ ...place.spending(3), actual: amount('5') }),
      ],
      change: (place) => [place.grant(amount('8'), place.lotId(3))],
      next: (place) => reserve({ ...place.spending(1), amount: amount('4') }),
      answer: () => refusedWith('insufficient_credits', { available: '3', shortfall: '1' }),
    },
    'a budget that is opened': {
      change: (place) => [openBudget({ budget: projectBudget(place, '2') })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('3') }),
      answer: () => refusedWith('budget_exceeded', { used: '0', required: '3', limit: '2' }),
    },
    'a budget that is opened and finds something used': {
      before: (place) => [reserve({ ...place.spending(2), project: 'bridge', amount: amount('3') })],
      change: (place) => [openBudget({ budget: projectBudget(place, '5') })],
      next: (place) => topUp({ ...place.spending(2), target: amount('6') }),
      answer: () => refusedWith('budget_exceeded', { used: '3', required: '3', limit: '5' }),
    },
    'a budget that is closed': {
      before: (place) => [openBudget({ budget: projectBudget(place, '2') })],
      change: ({ contract: contractId, number }) => [closeBudget({ budgetId: idOf('budget', 1, number), contractId })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('3') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '3')),
    },
    'a budget that is replaced': {
      before: (place) => [openBudget({ budget: projectBudget(place, '2') })],
      change: (place) => [
        closeBudget({ budgetId: idOf('budget', 1, place.number), contractId: place.contract }),
        openBudget({ budget: projectBudget(place, '4', 2) }),
      ],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('5') }),
      answer: ({ number }) => refusedWith('budget_exceeded', { budgetId: idOf('budget', 2, number), limit: '4' }),
    },
    'a budget that others use up': {
      before: (place) => [
        openBudget({ budget: projectBudget(place, '5') }),
        reserve({ ...place.spending(3), project: 'bridge' }),
      ],
      change: (place) => [reserve({ ...place.spending(2, place.otherUser), project: 'bridge', amount: amount('3') })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('2') }),
      answer: () => refusedWith('budget_exceeded', { used: '4', required: '2', limit: '5' }),
    },
    'a budget that a refund gives back to': {
      before: (place) => [
        openBudget({ budget: projectBudget(place, '5') }),
        reserve({ ...place.spending(2), project: 'bridge', amount: amount('5') }),
        settle({ ...place.spending(2), actual: amount('5') }),
      ],
      change: (place) => [refund({ ...place.spending(2), amount: amount('3') })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('3') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '3')),
    },
    'credits that a refund gives back': {
      before: (place) => [
        reserve({ ...place.spending(2), amount: amount('10') }),
        settle({ ...place.spending(2), actual: amount('10') }),
      ],
      change: (place) => [refund({ ...place.spending(2), amount: amount('4') })],
      next: (place) => reserve({ ...place.spending(1), amount: amount('4') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '4')),
    },
    'that a job was closed': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [settle(place.spending(1))],
      next: (place) => topUp({ ...place.spending(1), target: amount('3') }),
      answer: () => refusedWith('reservation_closed', { state: 'settled' }),
    },
    'that a job was closed in another way': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [settle(place.spending(1))],
      next: (place) => release(place.spending(1)),
      answer: () => refusedWith('idempotency_key_reused'),
    },
    'that a job was released before it was reserved': {
      change: (place) => [release(place.spending(1))],
      next: (place) => reserve(place.spending(1)),
      answer: () => refusedWith('reservation_closed', { state: 'released' }),
    },
    'that a job was reserved': {
      change: (place) => [reserve({ ...place.spending(1), amount: amount('2') })],
      next: (place) => topUp({ ...place.spending(1), target: amount('3') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'what a job was topped up by when it is topped up': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [topUp({ ...place.spending(1), target: amount('4') })],
      next: (place) => topUp({ ...place.spending(1), target: amount('5') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'what a job was topped up by when it is settled': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [topUp({ ...place.spending(1), target: amount('4') })],
      next: (place) => settle({ ...place.spending(1), actual: amount('3') }),
      answer: ({ sharedLot }) =>
        accepted(moved(sharedLot, 'reserved', 'consumed', '3'), moved(sharedLot, 'reserved', 'available', '1')),
    },
    'a raised not-to-exceed amount': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('2'), cap: amount('2') })],
      change: (place) => [raiseCap({ ...place.spending(1), cap: amount('6') })],
      next: (place) => topUp({ ...place.spending(1), target: amount('9') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '4')),
    },
    'that credits reserved before a lot’s end stay the job’s, and go to that end when they are released': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('3') })],
      change: ({ sharedLot: lotId, contract: poolId }) => [expire({ lotId, poolId, at: atHour(8760) })],
      next: (place) => settle({ ...place.spending(1), actual: amount('1'), at: atHour(2) }),
      answer: ({ sharedLot }) =>
        accepted(moved(sharedLot, 'reserved', 'consumed', '1'), moved(sharedLot, 'reserved', 'expired', '2')),
    },
    'that credits reserved before a withdrawal go there when they are given back': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2)), reserve(place.spending(1))],
      change: (place) => withdrawalOf(place, place.lotId(2)),
      next: (place) => release({ ...place.spending(1), at: atHour(2) }),
      answer: (place) => accepted(moved(place.lotId(2), 'reserved', 'withdrawn', '1')),
    },
    'that what is lacking can no longer be drawn from a lot that has ended': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('3') })],
      change: ({ sharedLot: lotId, contract: poolId }) => [expire({ lotId, poolId, at: atHour(8760) })],
      next: (place) => settle({ ...place.spending(1), actual: amount('5'), at: atHour(2) }),
      answer: ({ sharedLot }) => ({
        ...accepted(moved(sharedLot, 'reserved', 'consumed', '3')),
        absorbed: amount('2'),
      }),
    },
  };

  const withdrawalOf = (place: Place, lotId: string): Operation[] => [
    changeLife({ lotId, poolId: place.user, life: { expiresAt: null, withdrawnAt: atHour(10) } }),
    withdraw({ lotId, poolId: place.user, at: atHour(10) }),
  ];
  const livesTo = ({ contract: poolId }: Place, lotId: string, hour: number): Operation =>
    changeLife({ lotId, poolId, life: { expiresAt: atHour(hour) } });

  /** Who can change something beside what a process asks one by one, and the process itself. */
  const CHANGED_BY: Readonly<Record<string, (here: Process, operations: readonly Operation[]) => Promise<unknown>>> = {
    'another process': (_, operations) => acceptAll(openProcess(), operations),
    'the same process, as one batch': async (here, operations) => {
      const outcomes = await here.ledger.applyBatch(operations);
      expect(outcomes).toMatchObject(operations.map(() => ({ accepted: true })));
    },
    'the same process, one by one': (here, operations) => acceptAll(here, operations),
  };

  test.each(Object.entries(CHANGES))(
    '%s, whoever changed it',
    async (_, { shared = '10', before, change, next, answer }) => {
      for (const [who, changed] of Object.entries(CHANGED_BY)) {
        const [place, here] = [await Place.open(database, shared), openProcess()];
        await acceptAll(here, before?.(place) ?? []);
        await warmUp(here, place);
        await changed(here, change(place));
        expect({ who, outcome: await here.apply(next(place)) }).toMatchObject({ who, outcome: answer(place) });
        // Whatever came in between, it is known again soon, as it is now.
        await warmUp(here, place, [place.user]);
        await here.apply(reserve({ ...place.spending(30), amount: amount('0.5'), project: 'bridge' }));
      }
    },
  );
});

describeApart('the very next operation respects what an administrator changes:', () => {
  interface Administered {
    /** What is so before the process comes to know it. */
    readonly before?: (place: Place) => Promise<unknown>;
    readonly change: (place: Place) => Promise<unknown>;
    /** What the user asks then; a reserve of a credit where nothing is said. */
    readonly next?: (place: Place) => Operation;
    readonly answer: (place: Place) => object;
    /** What the user hears who wants a credit later, when that is something else. */
    readonly later?: (place: Place) => object;
  }

  const contractIs = (place: Place, changed: object) =>
    database.owner('contracts').where({ id: place.contract }).update(changed);
  const ofUser = (place: Place) =>
    database.owner('contract_users').where({ contract_id: place.contract, user_id: place.user });
  const drawsOne = ({ sharedLot }: Place) => accepted(reserving(sharedLot, '1'));

  const CHANGES: Readonly<Record<string, Administered>> = {
    'a user is removed': {
      change: (place) => ofUser(place).update({ removed_at: atHour(1) }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user is removed by the application': {
      change: ({ contract: contract_id, user: user_id }) =>
        database
          .db('contract_users')
          .where({ contract_id, user_id })
          .update({ removed_at: atHour(1) }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user is forgotten': {
      change: (place) => ofUser(place).delete(),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user is authorised from another instant on': {
      change: (place) => ofUser(place).update({ authorised_at: atHour(2) }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user who was removed is authorised again': {
      before: (place) => ofUser(place).update({ removed_at: atHour(0.5) }),
      change: ({ contract, user }) =>
        database
          .owner('contract_users')
          .insert({ contract_id: contract, user_id: user, role: 'submitter', authorised_at: atHour(0.75) }),
      answer: drawsOne,
    },
    'the removal of a user is taken back': {
      before: (place) => ofUser(place).update({ removed_at: atHour(0.5) }),
      change: (place) => ofUser(place).update({ removed_at: null }),
      answer: drawsOne,
    },
    'a contract ends earlier': {
      change: (place) => contractIs(place, { ends_at: atHour(1) }),
      answer: () => refusedWith('contract_not_in_force'),
    },
    'a contract begins later': {
      change: (place) => contractIs(place, { starts_at: atHour(2) }),
      answer: () => refusedWith('contract_not_in_force'),
    },
    'a contract is extended': {
      before: (place) => contractIs(place, { ends_at: atHour(1) }),
      change: (place) => contractIs(place, { ends_at: atHour(2) }),
      answer: drawsOne,
    },
    'a job is topped up by a user who was removed': {
      change: (place) => ofUser(place).update({ removed_at: atHour(1) }),
      next: (place) => topUp({ ...place.spending(5), target: amount('4') }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a job is settled after the contract’s end: what it lacks is not drawn any more': {
      change: (place) => contractIs(place, { ends_at: atHour(1) }),
      next: (place) => settle({ ...place.spending(5), actual: amount('5') }),
      answer: ({ sharedLot }) => ({
        ...accepted(moved(sharedLot, 'reserved', 'consumed', '2')),
        absorbed: amount('3'),
      }),
      later: () => refusedWith('contract_not_in_force'),
    },
    'what was changed and taken back in the same instant is as it was': {
      change: (place) =>
        database.owner
          .transaction(async (trx) => {
            await trx('contracts')
              .where({ id: place.contract })
              .update({ ends_at: atHour(1) });
            throw new Error('taken back');
          })
          .catch(() => undefined),
      answer: drawsOne,
    },
  };

  /** What the process itself may do after the change and before what is asked, which cannot go ahead. */
  const MEANWHILE: Readonly<Record<string, (place: Place) => readonly Operation[]>> = {
    'nothing else': () => [],
    'a lot was granted': (place) => [place.grant(amount('0.5'), place.lotId(2))],
    'a job was released that was never reserved': (place) => [release(place.spending(40))],
  };

  test.each(Object.entries(CHANGES))('%s', async (_, { before, change, next, answer, later = answer }) => {
    for (const [meanwhile, operations] of Object.entries(MEANWHILE)) {
      const [place, here] = [await Place.open(database, '10'), openProcess()];
      await acceptAll(here, [reserve({ ...place.spending(5), amount: amount('2') })]);
      await before?.(place);
      // Who may not spend yet is refused, and that is known as well; a higher not-to-exceed amount spends nothing.
      if (before) expect(await here.apply(reserve(place.spending(1)))).toMatchObject({ accepted: false });
      let cap = 100;
      await untilAhead(here, () => {
        cap += 1;
        return raiseCap({ ...place.spending(5), cap: amount(String(cap)) });
      });
      await change(place);
      await acceptAll(here, operations(place));
      const outcome = await here.apply(next?.(place) ?? reserve(place.spending(1)));
      expect({ meanwhile, outcome }).toMatchObject({ meanwhile, outcome: answer(place) });
      // Also when it is known again.
      for (let n = 20; n < 24; n++) expect(await here.apply(reserve(place.spending(n)))).toMatchObject(later(place));
    }
  });

  test('a user is moved to another contract', async () => {
    const [from, to, here] = [await Place.open(database, '10'), await Place.open(database, '10'), openProcess()];
    await warmUp(here, from);
    await warmUp(here, to);
    const there = { ...to.spending(1), userId: from.user };
    expect(await here.apply(reserve(there))).toMatchObject(refusedWith('user_not_authorised'));
    await ofUser(from).update({ contract_id: to.contract });
    expect(await here.apply(reserve(from.spending(1)))).toMatchObject(refusedWith('user_not_authorised'));
    expect(await here.apply(reserve(there))).toMatchObject(drawsOne(to));
  });

  test('who asks while a change is being written hears what comes of it', async () => {
    for (const end of ['commit', 'rollback'] as const) {
      const [place, here] = [await Place.open(database, '10'), openProcess()];
      await warmUp(here, place);
      const trx = await database.owner.transaction();
      await trx('contracts')
        .where({ id: place.contract })
        .update({ ends_at: atHour(1) });
      const { ahead } = here.sent;
      const asked = here.apply(reserve(place.spending(1)));
      await untilSent(here, ahead + 1);
      await someoneWaits();
      await trx[end]();
      expect(await asked).toMatchObject(end === 'commit' ? refusedWith('contract_not_in_force') : drawsOne(place));
    }
  });

  /** Waits until a session waits for a lock. */
  function someoneWaits(): Promise<unknown> {
    return eventually('a session that waits for a lock', () =>
      firstRow(
        database.owner,
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      ),
    );
  }
});

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

describeApart('a key', () => {
  /** An operation of every kind that goes ahead, on a job that was reserved before. */
  const OPERATIONS: Readonly<Record<string, (place: Place) => Operation>> = {
    reserve: (place) => reserve({ ...place.spending(2), amount: amount('2') }),
    topUp: (place) => topUp({ ...place.spending(1), target: amount('3') }),
    raiseCap: (place) => raiseCap({ ...place.spending(1), cap: amount('200') }),
    settle: (place) => settle({ ...place.spending(1), actual: amount('3') }),
    release: (place) => release(place.spending(1)),
  };

  async function aPlaceWithAJob(shared = '10'): Promise<{ place: Place; here: Process }> {
    const [place, here] = [await Place.open(database, shared), openProcess()];
    await acceptAll(here, [reserve({ ...place.spending(1), amount: amount('2') })]);
    await warmUp(here, place);
    return { place, here };
  }

  test.each(Object.entries(OPERATIONS))(
    'of a %s that is asked again at once, while it is in flight, afterwards and elsewhere is applied once',
    async (_, operationFor) => {
      const { place, here } = await aPlaceWithAJob();
      const [there, count] = [openProcess(), await place.operations()];
      const operation = operationFor(place);
      const { ahead } = here.sent;
      const asked = [here.apply(operation), here.apply(operation)];
      await untilSent(here, ahead + 1);
      asked.push(here.apply(operation), there.apply(operation), here.apply({ ...operation, at: atHour(3) }));
      const outcomes = await Promise.all(asked);
      outcomes.push(await here.apply(operation), await there.apply(operation), await here.apply(operation));
      const first = outcomes.filter((outcome) => outcome.accepted && !outcome.replayed);
      expect(first).toHaveLength(1);
      for (const outcome of outcomes) {
        expect(outcome).toEqual({ ...first[0], replayed: outcome.accepted && outcome.replayed, warnings: [] });
      }
      expect(await place.operations()).toBe(count + 1);
    },
  );

  test.each(Object.entries(OPERATIONS))(
    'of a %s is answered with what was done then, when the pool is too empty to do it again',
    async (_, operationFor) => {
      for (const by of ['here', 'there'] as const) {
        const { place, here } = await aPlaceWithAJob();
        const operation = operationFor(place);
        const first = await here.apply(operation);
        expect(first).toMatchObject({ accepted: true });
        const { available } = await place.lot();
        const rest = reserve({ ...place.spending(3, place.otherUser), amount: available });
        await acceptAll(by === 'here' ? here : openProcess(), [rest]);
        await warmUp(here, place);
        const count = await place.operations();
        for (const one of [here, openProcess()]) {
          expect(await one.apply(operation)).toEqual({ ...first, replayed: true, warnings: [] });
        }
        expect(await place.operations()).toBe(count);
      }
    },
  );

  test.each(Object.entries(OPERATIONS))(
    'of a %s is not for another request: not at once, not while the first is in flight, not later, not elsewhere',
    async (_, operationFor) => {
      const { place, here } = await aPlaceWithAJob();
      const [there, count] = [openProcess(), await place.operations()];
      const operation = operationFor(place);
      const other = { ...operation, reason: 'something else' } as Operation;
      const { ahead } = here.sent;
      const [first, ...others] = [here.apply(operation), here.apply(other)];
      await untilSent(here, ahead + 1);
      others.push(here.apply(other));
      expect(await first).toMatchObject({ accepted: true, replayed: false });
      others.push(here.apply(other), there.apply(other));
      await warmUp(here, place);
      others.push(here.apply(other));
      for (const outcome of await Promise.all(others))
        expect(outcome).toMatchObject(refusedWith('idempotency_key_reused'));
      expect(await place.operations()).toBeGreaterThan(count);
      expect(await here.apply(operation)).toEqual({ ...(await first), replayed: true, warnings: [] });
    },
  );

  test('that another spender used for the same job is refused, whoever of them goes ahead', async () => {
    const { place, here } = await aPlaceWithAJob();
    const stranger = { ...place.spending(1, place.otherUser) };
    for (const one of [here, openProcess()]) {
      expect(await one.apply(reserve(stranger))).toMatchObject(refusedWith('idempotency_key_reused'));
      expect(await one.apply(topUp(stranger))).toMatchObject(refusedWith('not_found'));
      expect(await one.apply(settle(stranger))).toMatchObject(refusedWith('not_found'));
    }
  });

  test('of a refusal is free: the same, or something else, is accepted under it later', async () => {
    const { place, here } = await aPlaceWithAJob('3');
    const [there, count] = [openProcess(), await place.operations()];
    const tooMuch = [4, 5, 6].map((n) => reserve({ ...place.spending(n), amount: amount('2') }));
    for (const operation of tooMuch) {
      expect(await here.apply(operation)).toMatchObject(refusedWith('insufficient_credits', { available: '1' }));
      expect(await here.apply(operation)).toMatchObject(refusedWith('insufficient_credits', { available: '1' }));
    }
    await warmUp(here, place);
    const [same, less, elsewhere] = tooMuch as [Operation, Operation, Operation];
    expect(await here.apply({ ...less, amount: amount('0.5') } as Operation)).toMatchObject(
      accepted(reserving(place.sharedLot, '0.5')),
    );
    await acceptAll(here, [place.grant(amount('5'), place.lotId(2))]);
    await warmUp(here, place);
    expect(await here.apply(same)).toMatchObject({ accepted: true, replayed: false });
    expect(await there.apply(elsewhere)).toMatchObject({ accepted: true, replayed: false });
    expect(await here.apply(elsewhere)).toMatchObject({ accepted: true, replayed: true });
    // Two that warmed up twice, a grant, and one for each key.
    expect(await place.operations()).toBeGreaterThanOrEqual(count + 4);
  });
});

describeApart('among many that go ahead', () => {
  const REFUSED: Readonly<Record<string, (place: Place) => readonly [Operation, object]>> = {
    'lacks credits': (place) => [
      reserve({ ...place.spending(1), amount: amount('99') }),
      // Those before it have theirs already, those after it not yet.
      refusedWith('insufficient_credits', { required: '99', available: '19', shortfall: '80' }),
    ],
    'is above its not-to-exceed amount': (place) => [
      reserve({ ...place.spending(1), amount: amount('2'), cap: amount('1') }),
      refusedWith('cap_exceeded', { required: '2', maxCredits: '1' }),
    ],
    'is above a budget': (place) => [
      reserve({ ...place.spending(1), amount: amount('2'), project: 'bridge' }),
      refusedWith('budget_exceeded', { used: '0', required: '2', limit: '1.5' }),
    ],
    'comes after the contract’s end': (place) => [
      reserve({ ...place.spending(1), at: atHour(8760) }),
      refusedWith('contract_not_in_force'),
    ],
    'is about a job that is closed': (place) => [
      topUp(place.spending(3)),
      refusedWith('reservation_closed', { state: 'released' }),
    ],
    'is about a job that was never reserved': (place) => [settle(place.spending(4)), refusedWith('reservation_closed')],
    'raises nothing': (place) => [
      raiseCap({ ...place.spending(2), cap: amount('5') }),
      refusedWith('cap_not_raised', { maxCredits: '100' }),
    ],
    'uses a key again': (place) => [
      release({ ...place.spending(3), reason: 'another' }),
      refusedWith('idempotency_key_reused'),
    ],
  };

  test.each(Object.entries(REFUSED))(
    'one that %s is refused alone, and nothing of it is remembered',
    async (_, refusal) => {
      const [place, here] = [await Place.open(database, '25'), openProcess()];
      await acceptAll(here, [
        openBudget({ budget: projectBudget(place, '1.5') }),
        reserve(place.spending(2)),
        reserve(place.spending(3)),
        release(place.spending(3)),
      ]);
      await warmUp(here, place);
      const count = await place.operations();
      const others = tenths(place, 100);
      const [one, answer] = refusal(place);
      const asked = [...others.slice(0, 50), one, ...others.slice(50)];
      const outcomes = await Promise.all(asked.map((operation) => here.apply(operation)));
      expect(outcomes[50]).toMatchObject(answer);
      outcomes.splice(50, 1);
      expect(outcomes).toMatchObject(others.map(() => accepted(reserving(place.sharedLot, '0.1'))));
      expect(await place.operations()).toBe(count + 100);
      expect(await operationsOfJob(database.db, place.job(1))).toEqual([]);
      await warmUp(here, place);
    },
  );

  const POISONED: Readonly<Record<string, (place: Place) => Operation>> = {
    'half of a surrogate pair': (place) => reserve({ ...place.spending(1), reason: 'a\ud83db' }),
    'a NUL': (place) => reserve({ ...place.spending(1), reason: 'a\0b' }),
    'a job that is no uuid': (place) => reserve({ ...place.spending(1), jobId: 'job' }),
    'a job whose uuid is in capitals': (place) =>
      reserve({ ...place.spending(1), jobId: '0000000A-0000-7000-8000-000000000000' }),
    'an amount below zero': (place) => reserve({ ...place.spending(1), amount: -1n as Credits }),
    'a not-to-exceed amount beyond 64 bits': (place) => reserve({ ...place.spending(1), cap: (2n ** 64n) as Credits }),
    'an instant that is none': (place) => reserve({ ...place.spending(1), at: 'soon' as never }),
    'a user who does not exist': (place) => reserve({ ...place.spending(1), userId: idOf('user', 99, place.number) }),
  };

  test.each(Object.entries(POISONED))(
    'one with %s fails alone, and the others are applied in their order',
    async (_, poisoned) => {
      const [place, here] = [await Place.open(database, '15'), openProcess()];
      await warmUp(here, place);
      const count = await place.operations();
      const others = tenths(place, 200);
      const asked = [...others.slice(0, 120), poisoned(place), ...others.slice(120)];
      const answers = await Promise.allSettled(asked.map((operation) => here.apply(operation)));
      expect(answers[120]).toMatchObject({ status: 'rejected' });
      const outcomes = [...answers.slice(0, 120), ...answers.slice(121)];
      // The first of them get the credits, as they asked.
      const first = outcomes.slice(0, 150);
      expect(first).toMatchObject(first.map(() => ({ value: accepted(reserving(place.sharedLot, '0.1')) })));
      const last = outcomes.slice(150);
      expect(last).toMatchObject(last.map(() => ({ value: refusedWith('insufficient_credits', { available: '0' }) })));
      expect(await place.operations()).toBe(count + 150);
      await warmUp(here, place);
    },
  );
});

describeApart('a budget', () => {
  /** The first instant of February, in which the place's monthly budgets begin anew. */
  const FEBRUARY = atHour(744);
  const monthly = (place: Place, credited: string): Budget =>
    aBudget({
      id: idOf('budget', 1, place.number),
      contractId: place.contract,
      userId: place.user,
      amount: amount(credited),
    });
  const usedIn = (place: Place) =>
    rows<{ hour: number; reserved: bigint; charged: bigint }>(
      database.db,
      `select extract(epoch from starts_at - ?::timestamptz)::int / 3600 as hour, reserved, charged
       from budget_periods
       where budget_id = ? and reserved + charged > 0
       order by starts_at`,
      [atHour(0), idOf('budget', 1, place.number)],
    );

  async function aPlaceWithABudget(credited = '10'): Promise<{ place: Place; here: Process }> {
    const [place, here] = [await Place.open(database, '100'), openProcess()];
    await acceptAll(here, [openBudget({ budget: monthly(place, credited) }), reserve(place.spending(1))]);
    await warmUp(here, place);
    return { place, here };
  }

  test('begins anew in the first instant of a period, and counts there from then on', async () => {
    const { place, here } = await aPlaceWithABudget();
    await acceptAll(here, [reserve({ ...place.spending(2), amount: amount('8') })]);
    expect(await here.apply(reserve({ ...place.spending(3), amount: amount('2') }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '2' }),
    );
    await acceptAll(here, [reserve({ ...place.spending(4), amount: amount('9'), at: FEBRUARY })]);
    await warmUp(here, place);
    const more = { ...place.spending(5), amount: amount('2'), at: FEBRUARY };
    expect(await here.apply(reserve(more))).toMatchObject(refusedWith('budget_exceeded', { used: '9', required: '2' }));
    await acceptAll(here, [reserve({ ...more, amount: amount('1') })]);
    expect(await usedIn(place)).toEqual([
      { hour: 0, reserved: amount('9'), charged: 0n },
      { hour: 744, reserved: amount('10'), charged: 0n },
    ]);
  });

  test('is not used anew in a period that another process has begun', async () => {
    const { place, here } = await aPlaceWithABudget();
    await acceptAll(openProcess(), [reserve({ ...place.spending(2), amount: amount('9'), at: FEBRUARY })]);
    // Known again, but for the period: nothing was asked in it.
    await warmUp(here, place);
    expect(await here.apply(reserve({ ...place.spending(3), amount: amount('2'), at: FEBRUARY }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '2' }),
    );
  });

  test('is not used anew in an earlier period, whose jobs nobody asks about any more', async () => {
    const [place, before] = [await Place.open(database, '100'), openProcess()];
    await acceptAll(before, [
      openBudget({ budget: monthly(place, '10') }),
      reserve({ ...place.spending(1), amount: amount('9') }),
    ]);
    const here = openProcess();
    await untilAhead(here, () => {
      warmedUp += 1;
      return reserve({ ...place.spending(warmedUp), amount: amount('0.1'), at: FEBRUARY });
    });
    expect(await here.apply(reserve({ ...place.spending(2), amount: amount('2') }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '2' }),
    );
    expect(await here.apply(topUp({ ...place.spending(1), target: amount('12'), at: FEBRUARY }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '3' }),
    );
  });

  test('counts a job in the period in which it was reserved, also when it is settled in the next one', async () => {
    const { place, here } = await aPlaceWithABudget();
    await acceptAll(here, [reserve({ ...place.spending(2), amount: amount('6'), at: atHour(743) })]);
    await untilAhead(here, () => {
      warmedUp += 1;
      return reserve({ ...place.spending(warmedUp), amount: amount('0.5'), at: FEBRUARY });
    });
    const { loaded } = here.sent;
    // Two more of January are left for it, whatever February has left.
    expect(await here.apply(settle({ ...place.spending(2), actual: amount('11'), at: FEBRUARY }))).toMatchObject({
      accepted: true,
      absorbed: amount('2'),
    });
    expect(here.sent.loaded).toBe(loaded);
    const [january] = await usedIn(place);
    expect(january).toEqual({ hour: 0, reserved: amount('1'), charged: amount('9') });
    expect(await here.apply(reserve({ ...place.spending(3), amount: amount('0.5') }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '10' }),
    );
  });

  test('warns whoever brings it to its threshold, once and at exactly that', async () => {
    const { place, here } = await aPlaceWithABudget();
    const warning = { budgetId: idOf('budget', 1, place.number), used: amount('8'), amount: amount('10') };
    const ask = async (one: Process, n: number, credited: string, at = atHour(1)) => {
      const outcome = await one.apply(reserve({ ...place.spending(n), amount: amount(credited), at }));
      if (!outcome.accepted) throw new Error(outcome.message);
      return outcome.warnings;
    };
    expect(await ask(here, 2, '6.999999')).toEqual([]);
    expect(await ask(here, 3, '0.000001')).toEqual([warning]);
    expect(await ask(here, 4, '1')).toEqual([]);
    // In the next period another process comes almost there.
    expect(await ask(openProcess(), 5, '7.5', FEBRUARY)).toEqual([]);
    expect(await ask(here, 6, '0.5', FEBRUARY)).toEqual([warning]);
    expect(await ask(here, 7, '0.5', FEBRUARY)).toEqual([]);
  });

  test('warns one of many who ask at once, the one who brings it there', async () => {
    const { place, here } = await aPlaceWithABudget();
    const { ahead } = here.sent;
    const outcomes = await Promise.all(
      Array.from({ length: 80 }, (_, n) => here.apply(reserve({ ...place.spending(100 + n), amount: amount('0.1') }))),
    );
    expect(here.sent.ahead).toBeGreaterThan(ahead);
    const warned = outcomes.flatMap((outcome, n) => (outcome.accepted && outcome.warnings.length > 0 ? [n] : []));
    expect(warned).toEqual([69]);
  });
});

describeApart('a connection that is lost', () => {
  beforeAll(async () => {
    await seed(database.ledger, {}, AT);
    await database.ledger.applyBatch([grant({ lot: { poolId: DEMO.contract, amount: amount('10000') } })]);
  });

  interface Lost {
    /** Makes what is asked about, and lets the process come to know it. */
    readonly open: (here: Process) => Promise<readonly (() => Promise<unknown>)[]>;
    readonly check: (answers: readonly unknown[]) => Promise<void>;
  }

  /** Asks two batches, one behind the other, again and again, cut later each time, until they come through uncut. */
  async function cutEverywhere(side: Side, { from = 0, step = 1 }, { open, check }: Lost): Promise<number> {
    const wire = await openCutWire(database.url);
    let atOnce = 0;
    try {
      for (let cuts = 0; ; cuts++) {
        const here = openProcess(wire.url);
        const acts = await open(here);
        const [{ ahead }, half] = [here.sent, acts.length / 2];
        wire.cutAfter(side, from + cuts * step);
        const asked = acts.slice(0, half).map((act) => insist(act));
        await untilSent(here, ahead + 1, asked);
        asked.push(...acts.slice(half).map((act) => insist(act)));
        await check(await Promise.all(asked));
        await here.close();
        atOnce = Math.max(atOnce, here.sent.atOnce);
        if (!wire.calm()) {
          expect(atOnce).toBe(2);
          return cuts;
        }
      }
    } finally {
      await wire.close();
    }
  }

  test.each<Side>(['client', 'server'])(
    'after any message of the %s, with two batches on their way: what is asked again is applied exactly once',
    async (side) => {
      let place: Place;
      const cuts = await cutEverywhere(
        side,
        {},
        {
          async open(here) {
            place = await Place.open(database, '9');
            await acceptAll(here, [reserve({ ...place.spending(1), amount: amount('2') }), reserve(place.spending(2))]);
            await warmUp(here, place);
            const operations: Operation[] = [
              topUp({ ...place.spending(1), target: amount('4') }),
              reserve({ ...place.spending(3), amount: amount('2') }),
              settle({ ...place.spending(2), actual: amount('0.5') }),
              release(place.spending(3)),
              reserve(place.spending(4)),
              raiseCap({ ...place.spending(1), cap: amount('300') }),
            ];
            return operations.map((operation) => () => here.apply(operation));
          },
          async check(answers) {
            // Each was asked again by itself, so that a job can be released before it was reserved.
            const [, reserved] = answers as Outcome[];
            expect(answers).toMatchObject(answers.map((_, n) => (n === 1 ? {} : { accepted: true })));
            if (!reserved?.accepted) expect(reserved).toMatchObject(refusedWith('reservation_closed'));
            expect(await place.lot()).toMatchObject({
              available: amount('3.5'),
              reserved: amount('5'),
              consumed: amount('0.5'),
            });
          },
        },
      );
      // Bind, execute and more of both batches: each was the last one once.
      expect(cuts).toBeGreaterThanOrEqual(8);
    },
  );

  test('while jobs are reserved and settled ahead: rows, stories and charges tell it once', async () => {
    const jobIds: string[] = [];
    await cutEverywhere(
      'client',
      { from: SEED % 10, step: 10 },
      {
        async open(here) {
          const jobs = await Promise.all(Array.from({ length: 4 }, () => insertSimulation(database.db)));
          const [first, second, ...later] = jobs.map(({ id }) => id) as [string, string, ...string[]];
          jobIds.splice(0, 4, first, second, ...later);
          for (const jobId of [first, second]) {
            await reserveJob(here.ledger, { jobId, at: AT });
            await runSimulation(database.db, jobId);
          }
          await untilAheadWith(here);
          const closed = [first, second].map(
            (jobId) => () => closeJob(here.ledger, { jobId, end: 'completed', message: '', at: AT }),
          );
          return [...closed, ...later.map((jobId) => () => reserveJob(here.ledger, { jobId, at: AT }))];
        },
        async check(answers) {
          expect(answers).toMatchObject([
            { state: 'settled', charged: '5' },
            { state: 'settled', charged: '5' },
            { reserved: parseCredits('10') },
            { reserved: parseCredits('10') },
          ]);
          for (const [n, jobId] of jobIds.entries()) {
            expect(await eventsOf(jobId)).toEqual(n < 2 ? ['reserved', 'running', 'settled'] : ['reserved']);
            const charges = await rows(database.db, 'select charged from charges where job_id = ?', [jobId]);
            expect(charges).toEqual(n < 2 ? [{ charged: parseCredits('5') }] : []);
            // Leaves the demo its credits.
            if (n >= 2) await releaseJob(database.ledger, { jobId, reason: 'over', message: '', at: AT });
          }
        },
      },
    );
  });
});

describeApart('batches that are on their way', () => {
  /** A process whose connection for what goes ahead can be held up, and that is known to go ahead on a place. */
  async function aPlaceFarAway(shared = '100'): Promise<{ place: Place; here: Process; wire: HeldWire }> {
    const wire = await openHeldWire(database.url);
    const [place, here] = [await Place.open(database, shared), openProcess(wire.url)];
    await warmUp(here, place);
    return { place, here, wire };
  }

  /** Sends two operations ahead, each as a batch, of which none has arrived. */
  async function sendBoth(here: Process, wire: HeldWire, operations: readonly [Operation, Operation]) {
    wire.hold();
    const answers: Promise<Outcome>[] = [];
    for (const operation of operations) {
      const { ahead } = here.sent;
      answers.push(here.apply(operation));
      await untilSent(here, ahead + 1);
    }
    await wire.hasHeld(2);
    return answers as [Promise<Outcome>, Promise<Outcome>];
  }

  /** Project jobs, of which the budget allows ten credits in all. */
  const ofProject = (place: Place, n: number, credited: string) =>
    reserve({ ...place.spending(n), project: 'bridge', amount: amount(credited) });

  async function usedOf(place: Place): Promise<unknown> {
    return firstRow(database.db, 'select reserved from budget_periods where budget_id = ?', [
      idOf('budget', 1, place.number),
    ]);
  }

  test('arrive in their order and are accepted, one behind the other', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      const { loaded, refused } = here.sent;
      const answers = await sendBoth(here, wire, [
        reserve(place.spending(1)),
        topUp({ ...place.spending(1), target: amount('3') }),
      ]);
      wire.letGo();
      expect(await Promise.all(answers)).toMatchObject([
        accepted(reserving(place.sharedLot, '1')),
        accepted(reserving(place.sharedLot, '2')),
      ]);
      expect(here.sent).toMatchObject({ loaded, refused, atOnce: 2 });
    } finally {
      await wire.close();
    }
  });

  test('are answered before a process that is closed leaves', async () => {
    const [place, here] = [await Place.open(database, '10'), openProcess()];
    await warmUp(here, place);
    const { ahead } = here.sent;
    const asked = Promise.all(tenths(place, 100).map((operation) => here.apply(operation)));
    await untilSent(here, ahead + 1);
    await here.close();
    expect(await asked).toMatchObject(Array(100).fill(accepted(reserving(place.sharedLot, '0.1'))));
  });

  test('do not wait for a place that somebody else keeps locked', async () => {
    const [blocked, free, here] = [await Place.open(database, '9'), await Place.open(database, '9'), openProcess()];
    await warmUp(here, blocked);
    await warmUp(here, free);
    const holder = await database.owner.transaction();
    await holder.raw('select id from pools where id = ? for update', [blocked.contract]);
    const { ahead } = here.sent;
    const waiting = here.apply(reserve(blocked.spending(1)));
    await untilSent(here, ahead + 1);
    try {
      const answered = [1, 2].map((n) => here.apply(reserve(free.spending(n))));
      const tooLate = delay(5_000, ['nothing, as long as the other place is locked'], { ref: false });
      expect(await Promise.race([Promise.all(answered), tooLate])).toMatchObject([
        accepted(reserving(free.sharedLot, '1')),
        accepted(reserving(free.sharedLot, '1')),
      ]);
    } finally {
      await holder.rollback();
    }
    expect(await waiting).toMatchObject(accepted(reserving(blocked.sharedLot, '1')));
  });

  test('are decided in their order when somebody else was first', async () => {
    for (let round = 0; round < 10; round++) {
      const { place, here, wire } = await aPlaceFarAway();
      try {
        const answers = await sendBoth(here, wire, [
          reserve(place.spending(1)),
          topUp({ ...place.spending(1), target: amount('3') }),
        ]);
        await acceptAll(openProcess(), [reserve(place.spending(2))]);
        wire.letGo();
        expect(await Promise.all(answers)).toMatchObject([
          accepted(reserving(place.sharedLot, '1')),
          accepted(reserving(place.sharedLot, '2')),
        ]);
      } finally {
        await wire.close();
      }
    }
  });

  test('are decided in their order when one of the first fails, and the others of its batch have to be tried anew', async () => {
    const { place, here, wire } = await aPlaceFarAway('10');
    try {
      wire.hold();
      const { ahead } = here.sent;
      const first = Array.from({ length: 40 }, (_, n) =>
        reserve({ ...place.spending(n), amount: amount('0.1'), reason: n === 10 ? 'a NUL: \0' : 'none' }),
      ).map((operation) => here.apply(operation).catch((error: unknown) => error));
      await untilSent(here, ahead + 1);
      const later = here.apply(topUp({ ...place.spending(39), target: amount('0.3') }));
      await untilSent(here, ahead + 2);
      await wire.hasHeld(2);
      wire.letGo();
      expect((await Promise.all(first)).filter((answer) => answer instanceof Error)).toHaveLength(1);
      expect(await later).toMatchObject(accepted(reserving(place.sharedLot, '0.2')));
    } finally {
      await wire.close();
    }
  });

  test('are decided in the order in which they were asked while another process comes in between, again and again', async () => {
    const [place, here, there] = [await Place.open(database, '1000'), openProcess(), openProcess()];
    for (let round = 1; round <= 60; round++) {
      await warmUp(here, place, [place.user]);
      const elsewhere = there.apply(reserve(place.spending(1000 + round, place.otherUser)));
      const { ahead } = here.sent;
      const asked = [here.apply(reserve(place.spending(round)))];
      await untilSent(here, ahead + 1);
      asked.push(here.apply(topUp({ ...place.spending(round), target: amount('2') })));
      await turn();
      asked.push(here.apply(settle({ ...place.spending(round), actual: amount('2') })));
      const outcomes = await Promise.all([elsewhere, ...asked]);
      expect({ round, outcomes }).toMatchObject({ round, outcomes: outcomes.map(() => ({ accepted: true })) });
    }
    // Now and then it was the other who was first.
    expect(here.sent.refused).toBeGreaterThan(0);
  });

  test('do not follow another batch of another process, that came in place of the first', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      await acceptAll(here, [openBudget({ budget: projectBudget(place, '10') }), ofProject(place, 1, '1')]);
      await warmUp(here, place);
      const answers = await sendBoth(here, wire, [ofProject(place, 2, '1'), ofProject(place, 3, '2')]);
      await acceptAll(openProcess(), [ofProject(place, 4, '7')]);
      wire.letGo();
      expect(await Promise.all(answers)).toMatchObject([
        { accepted: true, replayed: false },
        refusedWith('budget_exceeded', { used: '9', required: '2', limit: '10' }),
      ]);
      expect(await usedOf(place)).toEqual({ reserved: amount('9') });
    } finally {
      await wire.close();
    }
  });

  test('do not follow the same batch of another process, before which something else was done', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      await acceptAll(here, [openBudget({ budget: projectBudget(place, '10') }), ofProject(place, 1, '1')]);
      await warmUp(here, place);
      const repeated = ofProject(place, 2, '1');
      const answers = await sendBoth(here, wire, [repeated, ofProject(place, 3, '2')]);
      const there = openProcess();
      await acceptAll(there, [ofProject(place, 4, '7'), repeated]);
      wire.letGo();
      expect(await Promise.all(answers)).toMatchObject([
        { accepted: true, replayed: true },
        refusedWith('budget_exceeded', { used: '9', required: '2', limit: '10' }),
      ]);
      expect(await usedOf(place)).toEqual({ reserved: amount('9') });
    } finally {
      await wire.close();
    }
  });

  test('do not follow what the same process did the long way in the meantime, after something else', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      await acceptAll(here, [openBudget({ budget: projectBudget(place, '10') }), ofProject(place, 1, '1')]);
      await warmUp(here, place);
      const [first, second] = await sendBoth(here, wire, [ofProject(place, 2, '1'), ofProject(place, 3, '2')]);
      await acceptAll(openProcess(), [ofProject(place, 4, '7')]);
      wire.letOne();
      expect(await first).toMatchObject({ accepted: true, replayed: false });
      wire.letGo();
      expect(await second).toMatchObject(refusedWith('budget_exceeded', { used: '9', required: '2', limit: '10' }));
      expect(await usedOf(place)).toEqual({ reserved: amount('9') });
    } finally {
      await wire.close();
    }
  });

  test.each(['here', 'there'] as const)(
    'reserve no job a second time, whatever the act is called: it was reserved %s',
    async (by) => {
      const [place, here, there] = [await Place.open(database, '10'), openProcess(), openProcess()];
      await warmUp(here, place);
      await acceptAll(by === 'here' ? here : there, [reserve(place.spending(1))]);
      // Others work on the place since then, and it is known again.
      await acceptAll(there, [reserve(place.spending(2))]);
      await warmUp(here, place);
      expect(await here.apply(reserve({ ...place.spending(1), act: 'reserve/again' }))).toMatchObject(
        refusedWith('reservation_closed'),
      );
    },
  );
});

describeApart('processes that race on one place', () => {
  interface Told {
    readonly operation: Operation;
    readonly outcome: Outcome;
  }

  const micro = (chance: Chance, max: number) => credits(BigInt(chance.between(0, max)));

  /** What is asked for one job, in order. Months change, and a budget's period with them. */
  function lifeOf(place: Place, n: number, chance: Chance): Operation[] {
    const job = () => ({
      ...place.spending(n, place.user),
      userId: isOthers ? place.otherUser : place.user,
      at: atHour(chance.pick([1, 1, 1, 740, 744, 1500])),
    });
    const isOthers = chance.between(0, 2) === 0;
    const begin = reserve({
      ...job(),
      amount: micro(chance, 2_000_000),
      cap: amount('3'),
      project: chance.pick([null, 'bridge']),
    });
    const more = [
      topUp({ ...job(), target: micro(chance, 4_000_000) }),
      raiseCap({ ...job(), cap: amount('5') }),
      topUp({ ...job(), target: micro(chance, 6_000_000) }),
    ].filter(() => chance.between(0, 2) === 0);
    const end = chance.between(0, 3) === 0 ? release(job()) : settle({ ...job(), actual: micro(chance, 5_000_000) });
    return [begin, ...more, end];
  }

  /** What people do meanwhile: one of these at a time. */
  class Administration {
    private readonly lots: string[] = [];
    private budget: Budget | undefined;
    private made = 10;

    constructor(
      private readonly place: Place,
      private readonly chance: Chance,
    ) {}

    async doSomething(one: Process): Promise<void> {
      const { place, chance } = this;
      const { contract: poolId } = place;
      this.made += 1;
      const lotId = chance.pick([...this.lots, place.sharedLot]);
      await chance.pick([
        async () => {
          const expiresAt = atHour(chance.between(1501, 8760));
          const lot = { id: place.lotId(this.made), poolId, amount: amount('15'), expiresAt };
          await this.arrange(one, [grant({ lot })]);
          this.lots.push(lot.id);
        },
        () => this.arrange(one, [place.grantIndividual(amount('3'), place.lotId(this.made), place.otherUser)]),
        () =>
          insist(() =>
            one.apply(changeLife({ lotId, poolId, life: { expiresAt: atHour(chance.between(1501, 8760)) } })),
          ),
        () => insist(() => one.apply(expire({ lotId, poolId, at: atHour(8760) }))),
        async () => {
          if (this.budget) {
            await this.arrange(one, [closeBudget({ budgetId: this.budget.id, contractId: poolId })]);
            this.budget = undefined;
            return;
          }
          const ofUser = chance.between(0, 1) === 0;
          this.budget = aBudget({
            id: idOf('budget', this.made, place.number),
            contractId: poolId,
            ...(ofUser ? { userId: place.user } : { project: 'bridge' }),
            amount: amount(String(chance.between(5, 60))),
          });
          await this.arrange(one, [openBudget({ budget: this.budget })]);
        },
        () => this.forAWhile('contracts', { id: poolId }, { ends_at: atHour(1) }, { ends_at: atHour(8760) }),
        () =>
          this.forAWhile(
            'contract_users',
            { contract_id: poolId, user_id: place.otherUser },
            { removed_at: atHour(1) },
            { removed_at: null },
          ),
      ])();
    }

    private async arrange(one: Process, operations: readonly Operation[]): Promise<void> {
      for (const operation of operations) {
        expect(await insist(() => one.apply(operation))).toMatchObject({ accepted: true });
      }
    }

    private async forAWhile(table: string, where: object, changed: object, back: object): Promise<void> {
      await database.owner(table).where(where).update(changed);
      for (let turns = this.chance.between(0, 30); turns > 0; turns--) await turn();
      await database.owner(table).where(where).update(back);
    }
  }

  /** Ends sessions of a process now and then; what was lost is asked again. */
  async function endSessions(chance: Chance): Promise<number> {
    const names = await rows<{ name: string }>(
      database.owner,
      `select distinct application_name as name from pg_stat_activity
       where application_name like 'process %' and datname = current_database()
       order by 1`,
    );
    const ended = await rows(
      database.admin,
      'select pg_terminate_backend(pid) from pg_stat_activity where application_name = ? and backend_type = ?',
      [names.length > 0 ? chance.pick(names).name : '', 'client backend'],
    );
    return ended.length;
  }

  /** Of what was asked all that was accepted is in the journal, once and as it was told, and nothing that was refused. */
  async function compareWithJournal(told: readonly Told[]): Promise<void> {
    const byJob = new Map<string, Told[]>();
    for (const one of told) byJob.set(subjectOf(one.operation), [...(byJob.get(subjectOf(one.operation)) ?? []), one]);
    for (const [jobId, asked] of byJob) {
      const journal = await operationsOfJob(database.db, jobId);
      const accepted = new Map<string, Told[]>();
      for (const one of asked) {
        if (one.outcome.accepted) accepted.set(one.operation.act, [...(accepted.get(one.operation.act) ?? []), one]);
      }
      expect(journal.map(({ act }) => act).sort()).toEqual([...accepted.keys()].sort());
      for (const { act, kind, transfers, absorbed } of journal) {
        for (const { operation, outcome } of accepted.get(act) ?? []) {
          expect({ kind: operation.kind, outcome }).toMatchObject({ kind, outcome: { transfers, absorbed } });
        }
      }
    }
  }

  test.each([
    { count: 2, ends: false },
    { count: 4, ends: false },
    { count: 2, ends: true },
  ])('keep every law, whatever is changed in between ($count of them, sessions are ended: $ends)', ({ count, ends }) =>
    repeatably(async () => {
      const chance = chanceOf(SEED ^ (count + Number(ends)));
      const [place, all] = [await Place.open(database, '400'), Array.from({ length: count }, () => openProcess())];
      const administration = new Administration(place, chance);
      const told: Told[] = [];
      let [jobs, ended] = [0, 0];
      const ask = async (one: Process, operation: Operation) => {
        const outcome = await insist(() => one.apply(operation));
        told.push({ operation, outcome });
        return outcome;
      };
      const askAsOneBatch = async (one: Process, operations: readonly Operation[]) => {
        const outcomes = await insist(() => one.ledger.applyBatch(operations));
        told.push(...outcomes.map((outcome, index) => ({ operation: operations[index] as Operation, outcome })));
      };
      const live = async (one: Process, life: readonly Operation[], isPatient: boolean) => {
        if (!isPatient) return void (await Promise.all(life.map((operation) => ask(one, operation))));
        if (chance.between(0, 9) === 0) return askAsOneBatch(one, life);
        for (const operation of life) {
          const others = chance.between(0, 5) === 0 ? [chance.pick(all)] : [];
          const [outcome] = await Promise.all([one, ...others].map((asked) => ask(asked, operation)));
          if (!outcome?.accepted && operation.kind === 'reserve') return;
        }
      };
      const sum = (which: 'ahead' | 'refused') => all.reduce((total, { sent }) => total + sent[which], 0);
      // It would be no race if nobody went ahead, or if nobody was refused by the database since another was first.
      for (let round = 0; sum('ahead') - sum('refused') < 30 || sum('refused') < 6; round++) {
        if (round > 400) throw new Error(`after ${round} rounds: ${JSON.stringify(all.map(({ sent }) => sent))}`);
        // Mostly one works alone, so that it comes to know the place before another one comes.
        const working = chance.between(0, 2) === 0 ? all : [chance.pick(all)];
        const lives = working.flatMap((one) =>
          Array.from({ length: chance.between(1, 12 / working.length) }, () => {
            jobs += 1;
            return live(one, lifeOf(place, jobs, chance), chance.between(0, 3) > 0);
          }),
        );
        if (ends) ended += await endSessions(chance);
        if (chance.between(0, 1) === 0) await administration.doSomething(chance.pick(all));
        await Promise.all(lives);
      }
      await checkLedger();
      await compareWithJournal(told);
      const fresh = told.filter(({ outcome }) => outcome.accepted && !outcome.replayed);
      const keys = fresh.map(({ operation }) => `${subjectOf(operation)}/${operation.act}`);
      expect(new Set(keys).size).toBe(keys.length);
      expect(keys.length).toBeGreaterThan(100);
      if (ends) expect(ended).toBeGreaterThan(3);
    }),
  );
});

describeApart('a history', () => {
  /** A step of a history: something that is asked, or a change by an administrator. */
  type Step =
    | { readonly request: UnitRequest; readonly wanted: UnitOutcome; readonly operation: Operation }
    | { readonly change: () => Promise<unknown> };

  const uuid = (world: number) => world.toString(16).padStart(8, '0');

  /** Makes the world of a history, and all of its steps with what the rules say to them. */
  async function tell(history: History, world: number): Promise<Step[]> {
    const drawn = drawSetting(chanceOf(history.setting), world);
    const setting = { ...drawn, terms: new Map(drawn.terms), authorised: [...drawn.authorised] };
    await insertPeople(database.db, { ...worldOf(setting), world });
    const model = new UnitCredits(setting);
    const requests = new Requests(setting, model, world);
    let now = setting.origin;
    return history.steps.map((seed): Step => {
      const chance = chanceOf(seed);
      if (chance.between(1, 9) > 1) {
        const { request, at } = requests.next(chance);
        now = at;
        return { request, operation: operationOf(request, at), wanted: model.ask(request, at) };
      }
      if (chance.between(0, 1) === 0) {
        const [id, { from }] = chance.pick([...setting.terms]);
        const to = Math.max(from + 1, now + chance.pick([0, 1, 20, 500]));
        setting.terms.set(id, { from, to });
        return {
          change: () =>
            database
              .owner('contracts')
              .where({ id })
              .update({ ends_at: instantOf(to) }),
        };
      }
      const index = chance.between(0, setting.authorised.length - 1);
      const authorisation = setting.authorised[index] as (typeof setting.authorised)[number];
      const { contractId, userId, from } = authorisation;
      const to = chance.pick([null, Math.max(from + 1, now)]);
      setting.authorised[index] = { ...authorisation, to };
      const removed_at = to === null ? null : instantOf(to);
      const where = { contract_id: contractId, user_id: userId };
      return { change: () => database.owner('contract_users').where(where).update({ removed_at }) };
    });
  }

  /** An answer without the world in which it was given. Of several budgets in the way any may be named. */
  function worldless(outcome: Outcome, world: number): string {
    const told = outcome.accepted
      ? { ...outcome, warnings: outcome.warnings.map((one) => JSON.stringify(one, text)).sort() }
      : outcome.code === 'budget_exceeded'
        ? outcome.code
        : outcome;
    return JSON.stringify(told, text).replaceAll(uuid(world), 'world');
  }

  const text = (_: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value);

  function compare(step: Step, outcome: Outcome | undefined): void {
    if ('change' in step) return;
    const difference = differenceOf(step.request, step.wanted, outcome);
    if (difference !== undefined) throw new Error(difference);
  }

  /** Asks step by step, whomever. */
  async function oneByOne(
    steps: readonly Step[],
    apply: (operation: Operation) => Promise<Outcome>,
  ): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const step of steps) {
      if ('change' in step) {
        await step.change();
        continue;
      }
      const outcome = await apply(step.operation);
      compare(step, outcome);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** Asks many at once, as far as their order is theirs: a stranger may ask for a job on other pools. */
  async function manyAtOnce(steps: readonly Step[], one: Process, chance: Chance): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    let handful: Extract<Step, { operation: Operation }>[] = [];
    const ask = async () => {
      const answers = await Promise.all(handful.map(({ operation }) => one.apply(operation)));
      handful.forEach((step, index) => {
        compare(step, answers[index]);
      });
      outcomes.push(...answers);
      handful = [];
    };
    for (const step of steps) {
      if ('change' in step) {
        await ask();
        await step.change();
        continue;
      }
      if (handful.some(({ operation }) => isStrangers(step.operation, operation))) await ask();
      handful.push(step);
      if (handful.length >= chance.between(1, 12)) await ask();
    }
    await ask();
    return outcomes;
  }

  const STEPS = 100;

  const HISTORIES_MAX = 30;
  const wentAhead = (some: readonly Process[]) => some.reduce((sum, { sent }) => sum + sent.ahead - sent.refused, 0);

  test('is answered the same by processes that know nothing, by one that knows it all, and where many ask at once', () =>
    repeatably(async () => {
      const [patient, busy] = [openProcess(), openProcess()];
      for (let n = 0; n < 2 || wentAhead([patient]) < 10 || wentAhead([busy]) < 3; n++) {
        if (n > HISTORIES_MAX) throw new Error(`after ${n} histories: ${JSON.stringify([patient.sent, busy.sent])}`);
        const history = historyOf({ seed: SEED, world: n }, { min: STEPS, max: STEPS });
        const worlds = [3 * n, 3 * n + 1, 3 * n + 2].map((number) => 1000 + number) as [number, number, number];
        const told = [
          await oneByOne(await tell(history, worlds[0]), async (operation) => {
            const one = openProcess();
            const outcome = await one.apply(operation);
            await one.close();
            return outcome;
          }),
          await oneByOne(await tell(history, worlds[1]), (operation) => patient.apply(operation)),
          await manyAtOnce(await tell(history, worlds[2]), busy, chanceOf(SEED ^ n)),
        ].map((outcomes, index) => outcomes.map((outcome) => worldless(outcome, worlds[index] as number)));
        expect(told[1]).toEqual(told[0]);
        expect(told[2]).toEqual(told[0]);
      }
      await checkLedger();
    }));

  test('is decided by the rules, whoever is asked', () =>
    repeatably(async () => {
      const all = Array.from({ length: 3 }, () => openProcess());
      const refused = () => all.reduce((sum, { sent }) => sum + sent.refused, 0);
      for (let n = 0; n < 4 || wentAhead(all) < 15 || refused() < 5; n++) {
        if (n > HISTORIES_MAX) throw new Error(`after ${n} histories: ${JSON.stringify(all.map(({ sent }) => sent))}`);
        const history = historyOf({ seed: SEED + 1, world: n }, { min: STEPS, max: STEPS });
        const chance = chanceOf(SEED ^ n);
        // Mostly the same one is asked for a while, so that it comes to know the world before another one changes it.
        let asked = chance.pick(all);
        await oneByOne(await tell(history, 2000 + n), (operation) => {
          if (chance.between(0, 5) === 0) asked = chance.pick(all);
          return asked.apply(operation);
        });
      }
      await checkLedger();
    }));
});

/** A wire to Postgres on which what a client says can be held up. */
interface HeldWire {
  readonly url: string;
  /** From now on what the connection says that spoke last does not arrive. */
  hold(): void;
  /** Waits until so many transactions of a statement each are held. */
  hasHeld(transactions: number): Promise<void>;
  /** Lets the first of them arrive. */
  letOne(): void;
  /** Lets everything arrive. */
  letGo(): void;
  close(): Promise<void>;
}

async function openHeldWire(url: string): Promise<HeldWire> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let spokeLast: Socket | undefined;
  let holding: { readonly of: Socket; said: Buffer } | undefined;

  const server = createServer({ noDelay: true }, (client) => {
    const there = wireTo({ host: target.hostname, port: Number(target.port), noDelay: true });
    client.on('data', (chunk: Buffer) => {
      spokeLast = there;
      if (holding?.of === there) holding.said = Buffer.concat([holding.said, chunk]);
      else there.write(chunk);
    });
    there.on('data', (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, there],
      [there, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const pass = (bytes: number) => {
    if (!holding) throw new Error('nothing is held');
    holding.of.write(holding.said.subarray(0, bytes));
    holding.said = holding.said.subarray(bytes);
  };
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).toString(),
    hold() {
      if (!spokeLast) throw new Error('nobody has said anything');
      holding = { of: spokeLast, said: Buffer.alloc(0) };
    },
    async hasHeld(transactions) {
      await eventually(`${transactions} transactions on the wire`, () => endsOf(holding?.said).length >= transactions);
    },
    letOne: () => pass(endsOf(holding?.said)[0] ?? 0),
    letGo() {
      pass(holding?.said.length ?? 0);
      holding = undefined;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Where each `Sync` ends among whole messages: a letter and a length before each. */
function endsOf(said: Buffer = Buffer.alloc(0)): number[] {
  const ends: number[] = [];
  for (let at = 0; at + 5 <= said.length; ) {
    const end = at + 1 + said.readInt32BE(at + 1);
    if (end <= said.length && said[at] === 'S'.charCodeAt(0)) ends.push(end);
    at = end;
  }
  return ends;
}

// Evidence ----------------------------------------------------------------------------------------------------------

const sentByName = new Map<string, Sent>();

function sentBy(applicationName: string): Sent {
  const sent = sentByName.get(applicationName) ?? { loaded: 0, ahead: 0, refused: 0, inFlight: 0, atOnce: 0 };
  sentByName.set(applicationName, sent);
  return sent;
}

/** Looks at every statement that goes to the database: a batch that is appended on a connection without being loaded went ahead. */
function watchBatches(): void {
  const query = Client.prototype.query as (this: Client, ...given: unknown[]) => unknown;
  const hasLoaded = new WeakSet<Client>();
  jest.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...given: unknown[]) {
    const answer = query.apply(this, given);
    const [asked] = given;
    const text = String(typeof asked === 'string' ? asked : ((asked as { text?: string } | undefined)?.text ?? ''));
    const sent = sentBy(nameOf(this));
    if (/\bload_batch\(/.test(text)) {
      hasLoaded.add(this);
      sent.loaded += 1;
    } else if (/\bappend_batch\(/.test(text)) {
      if (!hasLoaded.has(this)) noteAhead(sent, answer as Promise<unknown>);
    } else if (/^(begin|commit|rollback)$/.test(text)) {
      hasLoaded.delete(this);
    }
    return answer;
  } as never);
}

function noteAhead(sent: Sent, answer: Promise<unknown>): void {
  sent.ahead += 1;
  sent.inFlight += 1;
  sent.atOnce = Math.max(sent.atOnce, sent.inFlight);
  answer
    .catch(() => {
      sent.refused += 1;
    })
    .finally(() => {
      sent.inFlight -= 1;
    });
}

function nameOf(client: Client): string {
  const { connectionParameters } = client as unknown as { connectionParameters?: { application_name?: string } };
  return connectionParameters?.application_name ?? '';
}
