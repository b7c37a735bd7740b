import * as fc from 'fast-check';
import { BillingError } from '../../domain/errors';
import type { Operation, Outcome } from '../../domain/operations';
import { idOf } from '../../test/builders/ids';
import { grant, release, reserve } from '../../test/builders/ledger';
import { holdsEventually } from '../../test/builders/seed';
import type { Answer, Asked, Companion } from './batch';
import { Batcher, type BatcherOptions } from './batcher';
import { poolsOf } from './load';

jest.setTimeout(30_000);

const ACCEPTED: Outcome = { accepted: true, replayed: false, transfers: [], absorbed: 0n as never, warnings: [] };

/** A batch that was sent and is not answered yet. */
interface Sent {
  readonly asked: readonly Asked[];
  readonly answer: (answers?: Answer[]) => void;
  readonly fail: (error: Error) => void;
}

/** A batcher whose batches a test answers. */
function batcherOf(options: Partial<BatcherOptions> = {}) {
  const sent: Sent[] = [];
  const batcher = new Batcher(
    (asked) =>
      new Promise((resolve, reject) => {
        sent.push({
          asked,
          answer: (answers = asked.map(() => ACCEPTED)) => resolve(answers),
          fail: reject,
        });
      }),
    { waitingMax: 1_000, batchMax: 100, batchesAtOnce: 4, ...options },
  );
  return { batcher, sent };
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

function operationsOf({ asked }: Sent): Operation[] {
  return asked.map(({ operation }) => operation);
}

test('what is asked in one go is sent in one batch, in the order in which it was asked', async () => {
  const { batcher, sent } = batcherOf();
  const asked = [job(1), job(1), job(2), job(1)];
  const answers = asked.map((operation) => batcher.ask({ operation }));
  expect(sent).toHaveLength(0);
  await settled();
  expect(sent.map(operationsOf)).toEqual([asked]);
  sent[0]?.answer();
  expect(await Promise.all(answers)).toEqual(asked.map(() => ACCEPTED));
});

test('what is asked of pools that are in flight waits, and goes together when they are free', async () => {
  const { batcher, sent } = batcherOf();
  const [first, second, third, other] = [job(1), job(1), job(1), job(2)];
  void batcher.ask({ operation: first });
  await settled();
  for (const operation of [second, third, other]) void batcher.ask({ operation });
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], [other]]);
  sent[0]?.answer();
  await settled();
  expect(sent.map(operationsOf)).toEqual([[first], [other], [second, third]]);
});

test('nobody overtakes who waits for two pools of which one is free', async () => {
  const { batcher, sent } = batcherOf();
  const [busy, both, late] = [job(1), job(1, 1), job(2, 1)];
  void batcher.ask({ operation: busy });
  await settled();
  for (const operation of [both, late]) void batcher.ask({ operation });
  await settled();
  expect(sent.map(operationsOf)).toEqual([[busy]]);
  sent[0]?.answer();
  await settled();
  expect(sent.map(operationsOf)).toEqual([[busy], [both, late]]);
});

test('a key goes once per batch, and so does the row of a job', async () => {
  const { batcher, sent } = batcherOf();
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
  expect(sent.map(operationsOf)).toEqual([[operation, reserving]]);
  sent[0]?.answer();
  await settled();
  expect(sent.slice(1).flatMap(operationsOf)).toEqual([operation, releasing]);
});

test('a batch is not larger than it may be, and not more are in flight than may be', async () => {
  const { batcher, sent } = batcherOf({ batchMax: 2, batchesAtOnce: 2 });
  const asked = [1, 2, 3, 4, 5].map((user) => job(user));
  for (const operation of asked) void batcher.ask({ operation });
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
  const waiting = [job(1), job(1), job(1)].map((operation) => batcher.ask({ operation }));
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

test('an error is told to whose operation it is, and to all of a batch that failed as a whole; what waits goes on', async () => {
  const { batcher, sent } = batcherOf();
  const [good, bad] = [batcher.ask({ operation: job(1) }), batcher.ask({ operation: job(1) })];
  await settled();
  const next = batcher.ask({ operation: job(1) });
  sent[0]?.answer([ACCEPTED, new Error('this one')]);
  await expect(bad).rejects.toThrow('this one');
  expect(await good).toEqual(ACCEPTED);
  await settled();
  sent[1]?.fail(new Error('all of it'));
  await expect(next).rejects.toThrow('all of it');
  const after = batcher.ask({ operation: job(1) });
  await settled();
  sent[2]?.answer();
  expect(await after).toEqual(ACCEPTED);
});

test('draining ends when nothing waits and nothing is in flight, for everybody who waits for that', async () => {
  const { batcher, sent } = batcherOf();
  await batcher.drain();
  void batcher.ask({ operation: job(1) });
  await settled();
  void batcher.ask({ operation: job(1) });
  let drained = 0;
  const waiting = [batcher.drain(), batcher.drain()].map((one) =>
    one.then(() => {
      drained += 1;
    }),
  );
  sent[0]?.answer();
  await settled();
  expect(drained).toBe(0);
  sent[1]?.answer();
  await Promise.all(waiting);
  expect(drained).toBe(2);
});

test('whatever is asked and however batches end: each pool has its order, everything is answered once, no bound is passed', async () => {
  const anOperation = fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.option(fc.integer({ min: 1, max: 3 })))
    .map(([user, contract]) => (contract !== null && user === 4 ? 'grant' : { user, contract }));
  const aStep = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('ask' as const), operation: anOperation }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('answer' as const), which: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), which: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
  );
  await holdsEventually(
    fc.asyncProperty(fc.array(aStep, { maxLength: 80 }), fc.integer({ min: 1, max: 6 }), async (steps, batchMax) => {
      const bounds = { batchMax, batchesAtOnce: 3, waitingMax: 30 };
      const { batcher, sent } = batcherOf(bounds);
      const asked: Operation[] = [];
      const answered: unknown[] = [];
      const open = new Set<Sent>();
      let seen = 0;
      const look = () => {
        for (; seen < sent.length; seen++) {
          const batch = sent[seen] as Sent;
          expect(batch.asked.length).toBeLessThanOrEqual(batchMax);
          const pools = new Set(operationsOf(batch).flatMap(poolsOf));
          // What is in flight has its pools to itself.
          for (const other of open) {
            for (const id of operationsOf(other).flatMap(poolsOf)) expect(pools).not.toContain(id);
          }
          open.add(batch);
        }
        expect(open.size).toBeLessThanOrEqual(bounds.batchesAtOnce);
      };
      const end = (which: number, how: (batch: Sent) => void) => {
        const batch = [...open][which % Math.max(1, open.size)];
        if (!batch) return;
        open.delete(batch);
        how(batch);
      };
      for (const step of steps) {
        if (step.do === 'ask') {
          const operation =
            step.operation === 'grant'
              ? grant({ lot: { id: idOf('lot', asked.length), poolId: idOf('contract', 1) } })
              : job(step.operation.user, step.operation.contract);
          asked.push(operation);
          batcher.ask({ operation }).then(
            () => answered.push(operation),
            (error) => {
              answered.push(operation);
              if (error instanceof BillingError) asked.splice(asked.indexOf(operation), 1);
            },
          );
        }
        if (step.do === 'answer') end(step.which, (batch) => batch.answer());
        if (step.do === 'fail') end(step.which, (batch) => batch.fail(new Error('failed')));
        if (step.do === 'wait') await settled();
        look();
      }
      await settled();
      look();
      while (open.size > 0) {
        end(0, (batch) => batch.answer());
        await settled();
        look();
      }
      await batcher.drain();
      const order = sent.flatMap(operationsOf);
      expect(new Set(order)).toEqual(new Set(asked));
      expect(order).toHaveLength(asked.length);
      expect(new Set(answered).size).toBe(answered.length);
      for (const operation of asked) expect(answered).toContain(operation);
      for (const pool of new Set(asked.flatMap(poolsOf))) {
        const of = (operations: readonly Operation[]) => operations.filter((one) => poolsOf(one).includes(pool));
        expect(of(order)).toEqual(of(asked));
      }
    }),
    { numRuns: 150 },
  );
});
