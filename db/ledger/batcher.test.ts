import * as fc from 'fast-check';
import { BillingError } from '../../domain/errors';
import { type Operation, type Outcome, subjectOf } from '../../domain/operations';
import { idOf } from '../../test/builders/ids';
import { grant, release, reserve } from '../../test/builders/ledger';
import { holdsEventually } from '../../test/builders/seed';
import type { Answer, Asked, Companion } from './batch';
import { Batcher, type BatcherOptions } from './batcher';
import { poolsOf } from './load';

jest.setTimeout(30_000);

const ACCEPTED: Outcome = { accepted: true, replayed: false, transfers: [], absorbed: 0n as never, warnings: [] };

type Way = 'ahead' | 'load';

/** A batch that was sent and is not answered yet. */
interface Sent {
  readonly way: Way;
  /** On which it went ahead. */
  readonly lane: number | null;
  readonly asked: readonly Asked[];
  readonly answer: (answers?: Answer[]) => void;
  readonly fail: (error: Error) => void;
}

interface Arranged extends Partial<BatcherOptions> {
  /** Nothing is known unless the test says so. */
  readonly knows?: (operation: Operation) => boolean;
  /** Which of what is known turns out to have to be loaded. */
  readonly turnsDown?: (operation: Operation) => boolean;
}

/** A batcher whose batches a test answers; `turnedDown` are those that did not go ahead. */
function batcherOf({ knows = () => false, turnsDown = () => false, ...options }: Arranged = {}) {
  const sent: Sent[] = [];
  const turnedDown: Operation[][] = [];
  const send = (way: Way, asked: readonly Asked[], lane: number | null = null) =>
    new Promise<Answer[]>((resolve, reject) => {
      sent.push({
        way,
        lane,
        asked,
        answer: (answers = asked.map(() => ACCEPTED)) => resolve(answers),
        fail: reject,
      });
    });
  const batcher = new Batcher(
    {
      knows: ({ operation }) => knows(operation),
      ahead(asked, lane) {
        const operations = asked.map(({ operation }) => operation);
        if (!operations.some(turnsDown)) return send('ahead', asked, lane);
        turnedDown.push(operations);
        return undefined;
      },
      load: (asked) => send('load', asked),
    },
    { waitingMax: 1_000, batchMax: 100, batchesAtOnce: 4, ...options },
  );
  return { batcher, sent, turnedDown };
}

/** What was asked and answered so far has had its effect. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

let jobs = 0;

/** A job of a user, on a contract when one is named: it concerns both of their pools. */
function job(user: number, contract: number | null = null): Operation {
  jobs += 1;
  const contractId = contract === null ? null : idOf('contract', contract);
  return reserve({ jobId: idOf('job', jobs), userId: idOf('user', user), contractId });
}

/** So many jobs of one user. */
function jobsOf(user: number, count: number): Operation[] {
  return Array.from({ length: count }, () => job(user));
}

function askAll(batcher: Batcher, operations: readonly Operation[]): void {
  for (const operation of operations) void batcher.ask({ operation });
}

function operationsOf({ asked }: Sent): Operation[] {
  return asked.map(({ operation }) => operation);
}

/** What was sent, with the way that it went. */
function waysOf(sent: readonly Sent[]): [Way, Operation[]][] {
  return sent.map((one) => [one.way, operationsOf(one)]);
}

/** Knows everything, nothing, or all but some operations. */
const all = () => true;
const nothing = () => false;
const allBut =
  (...unknown: readonly Operation[]) =>
  (operation: Operation) =>
    !unknown.includes(operation);

const BOTH_WAYS: readonly [Way, () => boolean][] = [
  ['ahead', all],
  ['load', nothing],
];

describe.each(BOTH_WAYS)('by the way "%s"', (way, knows) => {
  test('what is asked in one go is sent in one batch, in the order in which it was asked', async () => {
    const { batcher, sent } = batcherOf({ knows });
    const asked = [job(1), job(1), job(2), job(1)];
    const answers = asked.map((operation) => batcher.ask({ operation }));
    expect(sent).toHaveLength(0);
    await settled();
    expect(waysOf(sent)).toEqual([[way, asked]]);
    sent[0]?.answer();
    expect(await Promise.all(answers)).toEqual(asked.map(() => ACCEPTED));
  });

  test('a key goes once per batch, and so does the row of a job', async () => {
    const { batcher, sent } = batcherOf({ knows });
    const operation = job(1);
    const jobId = idOf('job', 1_000);
    const companion: Companion = { jobId, from: [], write: () => undefined };
    const [reserving, releasing] = [
      reserve({ jobId, userId: idOf('user', 2) }),
      release({ jobId, userId: idOf('user', 2) }),
    ];
    void batcher.ask({ operation });
    void batcher.ask({ operation });
    void batcher.ask({ operation: reserving, companion });
    void batcher.ask({ operation: releasing, companion });
    await settled();
    expect(sent[0] && operationsOf(sent[0])).toEqual([operation, reserving]);
    sent[0]?.answer();
    await settled();
    expect(sent.slice(1).flatMap(operationsOf)).toEqual([operation, releasing]);
  });

  test('a batch is not larger than it may be', async () => {
    const { batcher, sent } = batcherOf({ knows, batchMax: 2 });
    const asked = jobsOf(1, 3);
    askAll(batcher, asked);
    await settled();
    sent[0]?.answer();
    await settled();
    expect(waysOf(sent)).toEqual([
      [way, asked.slice(0, 2)],
      [way, asked.slice(2)],
    ]);
  });

  test('an error is told to whose operation it is, and to all of a batch that failed as a whole; what waits goes on', async () => {
    const { batcher, sent } = batcherOf({ knows });
    const [good, bad] = [batcher.ask({ operation: job(1) }), batcher.ask({ operation: job(1) })];
    await settled();
    const next = [batcher.ask({ operation: job(1) }), batcher.ask({ operation: job(1) })];
    sent[0]?.answer([ACCEPTED, new Error('this one')]);
    await expect(bad).rejects.toThrow('this one');
    expect(await good).toEqual(ACCEPTED);
    await settled();
    sent[1]?.fail(new Error('all of it'));
    for (const one of next) await expect(one).rejects.toThrow('all of it');
    const after = batcher.ask({ operation: job(1) });
    await settled();
    sent[2]?.answer();
    expect(await after).toEqual(ACCEPTED);
    expect(sent.map((one) => one.way)).toEqual([way, way, way]);
  });

  test('whoever was answered and asks again goes with the next batch', async () => {
    const { batcher, sent } = batcherOf({ knows });
    // What is known follows the first on its lane, where no third may.
    const [first, second, third, again] = [job(1), job(way === 'ahead' ? 1 : 2), job(1), job(1)];
    const askTwice = async () => {
      await batcher.ask({ operation: first });
      // Callers have promises of their own in between.
      for (let turn = 0; turn < 5; turn++) await undefined;
      return batcher.ask({ operation: again });
    };
    const asking = askTwice();
    await settled();
    askAll(batcher, [second]);
    await settled();
    askAll(batcher, [third]);
    await settled();
    expect(sent).toHaveLength(2);
    sent[0]?.answer();
    await settled();
    expect(waysOf(sent).slice(2)).toEqual([[way, [third, again]]]);
    sent[2]?.answer();
    expect(await asking).toEqual(ACCEPTED);
  });

  test('draining ends when nothing waits and nothing is in flight, for everybody who waits for that', async () => {
    const { batcher, sent } = batcherOf({ knows });
    await batcher.drain();
    let drained = 0;
    const draining = () =>
      batcher.drain().then(() => {
        drained += 1;
      });
    void batcher.ask({ operation: job(1) });
    const waiting = [draining()];
    await settled();
    void batcher.ask({ operation: job(1) });
    waiting.push(draining());
    sent[0]?.answer();
    await settled();
    expect(drained).toBe(0);
    sent[1]?.answer();
    await Promise.all(waiting);
    expect(drained).toBe(2);
  });
});

test('what is loaded of pools that are in flight waits, and goes together when they are free', async () => {
  const { batcher, sent } = batcherOf();
  const [first, second, third, other] = [job(1), job(1), job(1), job(2)];
  askAll(batcher, [first]);
  await settled();
  askAll(batcher, [second, third, other]);
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], [other]]);
  sent[0]?.answer();
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], [other], [second, third]]);
});

test('nobody overtakes who waits for two pools of which one is free', async () => {
  const { batcher, sent } = batcherOf();
  const [busy, both, late] = [job(1), job(1, 1), job(2, 1)];
  askAll(batcher, [busy]);
  await settled();
  askAll(batcher, [both, late]);
  await settled();
  expect(sent.map(operationsOf)).toEqual([[busy]]);
  sent[0]?.answer();
  await settled();
  expect(sent.map(operationsOf)).toEqual([[busy], [both, late]]);
});

test('not more batches that are loaded are in flight than may be', async () => {
  const { batcher, sent } = batcherOf({ batchMax: 2, batchesAtOnce: 2 });
  const asked = [1, 2, 3, 4, 5].map((user) => job(user));
  askAll(batcher, asked);
  await settled();
  expect(sent.map(operationsOf)).toEqual([asked.slice(0, 2), asked.slice(2, 4)]);
  sent[1]?.answer();
  await settled();
  expect(sent.map(operationsOf)).toEqual([asked.slice(0, 2), asked.slice(2, 4), asked.slice(4)]);
});

test('as many wait as may, the next is refused with how long to wait, and when some are gone others may come', async () => {
  const { batcher, sent } = batcherOf({ waitingMax: 3 });
  void batcher.ask({ operation: job(1) });
  await settled();
  const waiting = jobsOf(1, 3).map((operation) => batcher.ask({ operation }));
  const refused = batcher.ask({ operation: job(2) });
  await expect(refused).rejects.toBeInstanceOf(BillingError);
  await expect(refused).rejects.toMatchObject({ code: 'overloaded', details: { retryAfterSeconds: 1 } });
  sent[0]?.answer();
  await settled();
  const welcome = batcher.ask({ operation: job(2) });
  await settled();
  for (const one of sent) one.answer();
  expect(await Promise.all([...waiting, welcome])).toEqual([...waiting, welcome].map(() => ACCEPTED));
});

test('what is known goes ahead, and what is not is loaded', async () => {
  const [known, unknown, alsoKnown] = [job(1), job(2), job(3)];
  const { batcher, sent } = batcherOf({ knows: allBut(unknown) });
  askAll(batcher, [known, unknown, alsoKnown]);
  await settled();
  expect(waysOf(sent)).toEqual([
    ['ahead', [known, alsoKnown]],
    ['load', [unknown]],
  ]);
});

test('whether something is known is asked when it is sent, not when it arrives', async () => {
  const known = new Set<Operation>();
  const { batcher, sent } = batcherOf({ knows: (operation) => known.has(operation) });
  const [first, second] = [job(1), job(1)];
  askAll(batcher, [first, second]);
  known.add(first);
  await settled();
  expect(waysOf(sent)).toEqual([['ahead', [first]]]);
  known.add(second);
  sent[0]?.answer();
  await settled();
  expect(waysOf(sent)).toEqual([
    ['ahead', [first]],
    ['ahead', [second]],
  ]);
});

test('a batch goes ahead behind another although they share pools', async () => {
  const { batcher, sent } = batcherOf({ knows: all });
  const [first, second] = [job(1, 1), job(1, 1)];
  askAll(batcher, [first]);
  await settled();
  askAll(batcher, [second]);
  await settled();
  expect(waysOf(sent)).toEqual([
    ['ahead', [first]],
    ['ahead', [second]],
  ]);
});

test('what shares no pool with a lane goes ahead on another, and is answered whatever keeps the first', async () => {
  const { batcher, sent } = batcherOf({ knows: all });
  const [kept, free, behind, later] = [job(1, 1), job(2, 2), job(3, 1), job(4, 2)];
  const answers = [kept, free, behind].map((operation) => batcher.ask({ operation }));
  await settled();
  // What is asked together goes together: from here on it is asked apart.
  sent[0]?.answer();
  await Promise.all(answers);
  askAll(batcher, [kept]);
  await settled();
  const answered = batcher.ask({ operation: free });
  await settled();
  askAll(batcher, [behind, later]);
  await settled();
  const [first, second, third, fourth] = sent.slice(1);
  expect([first, second, third, fourth].map((one) => one && operationsOf(one))).toEqual([
    [kept],
    [free],
    [behind],
    [later],
  ]);
  expect(second?.lane).not.toBe(first?.lane);
  expect([third?.lane, fourth?.lane]).toEqual([first?.lane, second?.lane]);
  second?.answer();
  expect(await answered).toEqual(ACCEPTED);
});

test('never more than two go ahead on a lane; what is asked meanwhile goes together when one of them is answered', async () => {
  const { batcher, sent } = batcherOf({ knows: all });
  const [first, second, third, fourth, fifth] = jobsOf(1, 5);
  for (const operation of [first, second, third, fourth]) {
    askAll(batcher, [operation as Operation]);
    await settled();
  }
  expect(sent.map(operationsOf)).toEqual([[first], [second]]);
  // In whatever order they are answered.
  sent[1]?.answer();
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], [second], [third, fourth]]);
  askAll(batcher, [fifth as Operation]);
  await settled();
  expect(sent).toHaveLength(3);
  sent[0]?.answer();
  await settled();
  expect(waysOf(sent).slice(3)).toEqual([['ahead', [fifth]]]);
});

test('what must be loaded waits until all that went ahead of it with its pools is answered, and nothing overtakes it', async () => {
  const unknown = job(1, 1);
  const [first, second, late, elsewhere] = [job(1), job(1), job(2, 1), job(3)];
  const { batcher, sent } = batcherOf({ knows: allBut(unknown) });
  for (const operation of [first, second]) {
    askAll(batcher, [operation]);
    await settled();
  }
  askAll(batcher, [unknown, late]);
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], [second]]);
  sent[0]?.answer();
  await settled();
  askAll(batcher, [elsewhere]);
  await settled();
  expect(waysOf(sent).slice(2)).toEqual([['ahead', [elsewhere]]]);
  sent[1]?.answer();
  await settled();
  // Whoever waited behind it for the same pools is loaded with it.
  expect(waysOf(sent).slice(3)).toEqual([['load', [unknown, late]]]);
});

test('what is known does not go ahead of what waits to be loaded, although its own pools are free', async () => {
  const unknown = job(1, 1);
  const [busy, late] = [job(1), job(2, 1)];
  const { batcher, sent } = batcherOf({ knows: allBut(busy, unknown), batchesAtOnce: 1 });
  askAll(batcher, [busy]);
  await settled();
  askAll(batcher, [unknown, late]);
  await settled();
  expect(waysOf(sent)).toEqual([['load', [busy]]]);
});

test('what is known does not go ahead while a batch of its pools is loaded', async () => {
  const unknown = job(1, 1);
  const [same, elsewhere] = [job(2, 1), job(3)];
  const { batcher, sent } = batcherOf({ knows: allBut(unknown) });
  askAll(batcher, [unknown]);
  await settled();
  askAll(batcher, [same, elsewhere]);
  await settled();
  expect(waysOf(sent)).toEqual([
    ['load', [unknown]],
    ['ahead', [elsewhere]],
  ]);
  sent[0]?.answer();
  await settled();
  expect(waysOf(sent).slice(2)).toEqual([['ahead', [same]]]);
});

test('what turns out not to go ahead is loaded once, in order of arrival, whatever is known of it', async () => {
  const [first, refused, other, last] = [job(1), job(1), job(2), job(1)];
  const { batcher, sent, turnedDown } = batcherOf({ knows: all, turnsDown: (operation) => operation === refused });
  const answers = [first, refused, other].map((operation) => batcher.ask({ operation }));
  await settled();
  expect(turnedDown).toEqual([[first, refused, other]]);
  expect(waysOf(sent)).toEqual([['load', [first, refused, other]]]);
  askAll(batcher, [last]);
  await settled();
  sent[0]?.answer();
  expect(await Promise.all(answers)).toEqual([ACCEPTED, ACCEPTED, ACCEPTED]);
  await settled();
  expect(turnedDown).toHaveLength(1);
  expect(waysOf(sent).slice(1)).toEqual([['ahead', [last]]]);
});

test('what turns out not to go ahead waits for the batch that did with its pools, and holds up what comes after', async () => {
  const [first, refused, last, elsewhere] = [job(1), job(1), job(1), job(2)];
  const { batcher, sent, turnedDown } = batcherOf({ knows: all, turnsDown: (operation) => operation === refused });
  askAll(batcher, [first]);
  await settled();
  askAll(batcher, [refused]);
  await settled();
  askAll(batcher, [last, elsewhere]);
  await settled();
  expect(turnedDown).toEqual([[refused]]);
  expect(waysOf(sent)).toEqual([
    ['ahead', [first]],
    ['ahead', [elsewhere]],
  ]);
  sent[0]?.answer();
  await settled();
  expect(waysOf(sent).slice(2)).toEqual([['load', [refused, last]]]);
  expect(turnedDown).toHaveLength(1);
});

test('what is known of other pools still goes ahead when a batch turned out not to', async () => {
  const [refused, other] = [job(1), job(2)];
  const { batcher, sent } = batcherOf({
    knows: all,
    turnsDown: (operation) => operation === refused,
    batchMax: 1,
  });
  askAll(batcher, [refused, other]);
  await settled();
  expect(waysOf(sent)).toEqual([
    ['ahead', [other]],
    ['load', [refused]],
  ]);
});

test.each([
  [63, [63]],
  [64, [32, 32]],
  [65, [33, 32]],
])('of %i that wait, two batches ahead take %j', async (count, sizes) => {
  const { batcher, sent } = batcherOf({ knows: all });
  const asked = jobsOf(1, count);
  askAll(batcher, asked);
  await settled();
  expect(sent.map((one) => one.asked.length)).toEqual(sizes);
  expect(sent.flatMap(operationsOf)).toEqual(asked);
});

test('behind a batch that went ahead goes all that waits, however many', async () => {
  const { batcher, sent } = batcherOf({ knows: all });
  const [first, ...asked] = jobsOf(1, 81);
  askAll(batcher, [first as Operation]);
  await settled();
  askAll(batcher, asked);
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], asked]);
});

test('what is loaded is not divided', async () => {
  const { batcher, sent } = batcherOf();
  const asked = jobsOf(1, 80);
  askAll(batcher, asked);
  await settled();
  expect(sent.map(operationsOf)).toEqual([asked]);
});

test.each([
  ['goes ahead', 'is loaded', [0, 1]],
  ['is loaded', 'goes ahead', [1, 0]],
])('draining waits for what %s as well when what %s is answered', async (_late, _early, order) => {
  const unknown = job(2);
  const { batcher, sent } = batcherOf({ knows: allBut(unknown) });
  askAll(batcher, [job(1), unknown]);
  await settled();
  expect(sent.map(({ way }) => way)).toEqual(['ahead', 'load']);
  let drained = false;
  const draining = batcher.drain().then(() => {
    drained = true;
  });
  const [late, early] = order.map((index) => sent[index]);
  early?.answer();
  await settled();
  expect(drained).toBe(false);
  late?.answer();
  await draining;
});

test('whatever is asked and known and however batches end: each pool has its order, each is sent and answered once, no bound is passed', async () => {
  const user = fc.integer({ min: 1, max: 4 });
  const anOperation = fc.record({
    user,
    contract: fc.option(fc.integer({ min: 1, max: 3 })),
    turnsDown: fc.integer({ min: 0, max: 7 }).map((chance) => chance === 0),
    isRepeat: fc.integer({ min: 0, max: 7 }).map((chance) => chance === 0),
  });
  const aStep = fc.oneof(
    { weight: 12, arbitrary: fc.record({ do: fc.constant('ask' as const), operation: anOperation }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('ask many' as const), operation: anOperation }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('answer' as const), which: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), which: fc.nat(5) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('know' as const), user }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), user }) },
  );
  const QUIET = { turnsDown: false, isRepeat: false };
  const seen = { ahead: 0, load: 0, behind: 0, large: 0, turnedDown: 0, overloaded: 0 };
  const property = fc.asyncProperty(
    fc.array(aStep, { maxLength: 100, size: 'max' }),
    fc.constantFrom(1, 2, 3, 5, 100, 100, 100),
    async (steps, batchMax) => {
      const bounds = { batchMax, batchesAtOnce: 3, waitingMax: 150 };
      const mostOf = { ahead: 2, load: bounds.batchesAtOnce };
      const knownUsers = new Set([1, 2, 3].map((n) => idOf('user', n)));
      const refused = new Set<Operation>();
      const knows = (operation: Operation) => 'userId' in operation && knownUsers.has(operation.userId);
      const { batcher, sent, turnedDown } = batcherOf({ knows, turnsDown: (one) => refused.has(one), ...bounds });
      const asked: Operation[] = [];
      const answers = new Map<Operation, unknown>();
      const expected = new Map<Operation, unknown>();
      const open = new Set<Sent>();
      let checked = 0;

      /** Looks at what was sent; in between nothing was answered, and nothing else became known. */
      const look = () => {
        for (; checked < sent.length; checked++) {
          const batch = sent[checked] as Sent;
          const operations = operationsOf(batch);
          expect(operations.length).toBeLessThanOrEqual(batchMax);
          expect(new Set(operations.map((one) => `${subjectOf(one)}/${one.act}`)).size).toBe(operations.length);
          if (batch.way === 'ahead') expect(operations.every(knows)).toBe(true);
          const pools = new Set(operations.flatMap(poolsOf));
          for (const other of open) {
            const shared = operationsOf(other)
              .flatMap(poolsOf)
              .some((id) => pools.has(id));
            // Two that go ahead may follow each other on a lane; what is loaded has its pools to itself.
            if (shared) expect([other.way, batch.way, other.lane]).toEqual(['ahead', 'ahead', batch.lane]);
            if (shared) seen.behind += 1;
          }
          open.add(batch);
          const beside = [...open].filter(({ way, lane }) => way === batch.way && lane === batch.lane);
          expect(beside.length).toBeLessThanOrEqual(mostOf[batch.way]);
          seen[batch.way] += 1;
          if (batch.way === 'ahead' && operations.length >= 32) seen.large += 1;
        }
      };
      const ask = (given: { user: number; contract: number | null; turnsDown: boolean; isRepeat: boolean }) => {
        const last = asked.at(-1);
        // A key that is asked again is an operation of its own here.
        const operation: Operation = given.isRepeat && last ? { ...last } : operationFor(given);
        if (given.turnsDown) refused.add(operation);
        asked.push(operation);
        batcher.ask({ operation }).then(
          (outcome) => answers.set(operation, outcome),
          (error) => {
            answers.set(operation, error);
            if (!(error instanceof BillingError)) return;
            seen.overloaded += 1;
            asked.splice(asked.indexOf(operation), 1);
          },
        );
      };
      const end = (which: number, how: 'answer' | 'fail') => {
        const batch = [...open][which % Math.max(1, open.size)];
        if (!batch) return;
        open.delete(batch);
        if (how === 'fail') {
          const error = new Error('all of it failed');
          for (const operation of operationsOf(batch)) expected.set(operation, error);
          batch.fail(error);
          return;
        }
        const own = operationsOf(batch).map(
          (_, index): Answer => (index % 3 === 2 ? new Error('this one failed') : { ...ACCEPTED }),
        );
        operationsOf(batch).forEach((operation, index) => {
          expected.set(operation, own[index]);
        });
        batch.answer(own);
      };

      for (const step of steps) {
        // What is known changes only between what is looked at.
        if (step.do === 'know') knownUsers.add(idOf('user', step.user));
        if (step.do === 'forget') knownUsers.delete(idOf('user', step.user));
        if (step.do === 'ask') ask(step.operation);
        if (step.do === 'ask many') for (let count = 0; count < 70; count++) ask({ ...step.operation, ...QUIET });
        if (step.do === 'answer' || step.do === 'fail') end(step.which, step.do);
        if (step.do === 'wait') await settled();
        look();
      }
      await settled();
      look();
      while (open.size > 0) {
        end(0, 'answer');
        await settled();
        look();
      }
      await batcher.drain();

      const order = sent.flatMap(operationsOf);
      expect(order).toHaveLength(asked.length);
      expect(new Set(order)).toEqual(new Set(asked));
      for (const operation of asked) expect(answers.get(operation)).toBe(expected.get(operation));
      for (const pool of new Set(asked.flatMap(poolsOf))) {
        const of = (operations: readonly Operation[]) => operations.filter((one) => poolsOf(one).includes(pool));
        expect(of(order)).toEqual(of(asked));
      }
      // Whoever turned out not to go ahead was not tried again.
      const tried = turnedDown.flat();
      expect(new Set(tried).size).toBe(tried.length);
      const ahead = new Set(sent.filter(({ way }) => way === 'ahead').flatMap(operationsOf));
      for (const operation of tried) expect(ahead.has(operation)).toBe(false);
      seen.turnedDown += tried.length;
    },
  );
  await holdsEventually(property, { numRuns: 150 });
  // All of that happened, and often enough.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(10);
});

/** Some users grant instead of spending: that is never known. */
function operationFor({ user, contract }: { user: number; contract: number | null }): Operation {
  if (contract === null || user !== 4) return job(user, contract);
  jobs += 1;
  return grant({ lot: { id: idOf('lot', jobs), poolId: idOf('contract', 1) } });
}
