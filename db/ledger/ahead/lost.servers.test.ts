import { parseCredits } from '../../../domain/credits';
import type { Operation, Outcome } from '../../../domain/operations';
import { amount, grant, raiseCap, release, reserve, settle, topUp } from '../../../test/builders/ledger';
import { SEED } from '../../../test/builders/seed';
import { closeJob, releaseJob, reserveJob } from '../../billing';
import { rows } from '../../client';
import { DEMO, seed } from '../../seed';
import {
  acceptAll,
  database,
  describeApart,
  eventsOf,
  insist,
  openProcess,
  type Process,
  refusedWith,
  untilAheadWith,
  untilSent,
  warmUp,
} from '../../testing/ahead';
import { openCutWire, type Side } from '../../testing/cutWire';
import { Place } from '../../testing/place';
import { AT, insertSimulation, runSimulation } from '../../testing/simulation';

jest.setTimeout(60_000);

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
