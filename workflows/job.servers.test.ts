import { ApplicationFailure } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { firstRow } from '../db/client';
import { eventually } from '../test/world/eventually';
import { fastForward } from '../test/world/fastForward';
import { gate } from '../test/world/gate';
import { recordHistory } from '../test/world/histories';
import type { Script } from '../test/world/scripts';
import { type Submitted, type WorkingWorker, World } from '../test/world/world';
import { jobViewQuery, type RaiseCapOutcome, raiseCapUpdate, reservationUpdate } from './messages';
import { BILLING_STATE, CONTRACT_ID, CUSTOMER_ID, SERVICE, USER_ID } from './searchAttributes';

jest.setTimeout(60_000);

/** A skip of time costs a second of ours for each timer on the way, and a parked job looks about every ten minutes. */
const GRACE_SECONDS = 25 * 60;
const { EVENT_TYPE_WORKFLOW_TASK_COMPLETED: WORKFLOW_TASK_COMPLETED } = temporal.api.enums.v1.EventType;
const { EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: CANCEL_REQUESTED } = temporal.api.enums.v1.EventType;

let world: World;
let jobsWorker: WorkingWorker;

beforeAll(async () => {
  world = await World.open();
  jobsWorker = await world.serveJobs();
  await world.serveCompute();
});

afterEach(async () => {
  expect(await world.faults()).toEqual([]);
});

afterAll(() => world?.close());

/** A run that uses so many rounds and completes. */
function uses(rounds: number): Script {
  return async (attempt) => {
    await attempt.meter(rounds, 1);
    return attempt.finish();
  };
}

function viewOf({ handle }: Submitted) {
  return handle.query(jobViewQuery);
}

function parked(submitted: Submitted, parkedFor: string) {
  return eventually(`job parked for ${parkedFor}`, async () => (await viewOf(submitted)).parkedFor === parkedFor);
}

function raise({ handle }: Submitted, requestId: string, maxCredits: unknown): Promise<RaiseCapOutcome> {
  const request = { requestId, maxCredits: maxCredits as string, actor: 'test' };
  return handle.executeUpdate(raiseCapUpdate, { args: [request], updateId: requestId });
}

async function activitiesIn(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
    scheduled ? [scheduled.activityType?.name ?? ''] : [],
  );
}

describe('a job that runs to its end', () => {
  it('is reserved, then charged once for what it used, and the rest is free again', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.place({ spender, expected: '10', script: uses(7) });
    expect(await submitted.ask()).toMatchObject({ status: 'reserved', reserved: '10' });
    expect(await submitted.handle.result()).toMatchObject({
      state: 'settled',
      end: 'completed',
      charged: '7',
      absorbed: '0',
      released: '3',
      rejection: null,
    });
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'settle']);
    expect(await world.balanceOf(spender)).toEqual({ available: '93', reserved: '0', consumed: '7' });
    expect(await submitted.row()).toMatchObject({ state: 'settled', reason: 'completed' });
    await recordHistory('settled', submitted.handle);
  });

  it('is billed by local activities alone: only its run is a task of the server', async () => {
    const spender = await world.openSpender('10');
    const { handle } = await world.submit({ spender, expected: '5', script: uses(5) });
    await handle.result();
    expect(await activitiesIn(handle)).toEqual(['run']);
  });

  it('never pays for more than its not-to-exceed amount; the provider bears the rest', async () => {
    const spender = await world.openSpender('100');
    const { handle } = await world.submit({ spender, expected: '5', maxCredits: '8', script: uses(11) });
    expect(await handle.result()).toMatchObject({ state: 'settled', charged: '8', absorbed: '3' });
  });

  it('may be reserved at zero and settles like any other', async () => {
    const spender = await world.openSpender('1');
    const { handle } = await world.submit({ spender, expected: '0', script: (attempt) => attempt.finish() });
    expect(await handle.result()).toMatchObject({ state: 'settled', charged: '0', released: '0' });
  });

  it('answers the question for its reservation again while it runs and after it has ended', async () => {
    const spender = await world.openSpender('100');
    const end = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await end.opened;
        return attempt.finish();
      },
    });
    expect(await submitted.ask()).toMatchObject({ status: 'reserved', reserved: '10' });
    end.open();
    await submitted.handle.result();
    expect(await submitted.ask()).toMatchObject({ status: 'reserved', reserved: '10' });
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'settle']);
  });

  it('goes on where it was when its jobs worker is replaced in mid-run', async () => {
    const spender = await world.openSpender('100');
    const replaced = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '50',
      script: async (attempt) => {
        await replaced.opened;
        await attempt.use(9, 0.5);
        await attempt.reserved('18');
        return attempt.finish();
      },
    });
    await jobsWorker.stop();
    jobsWorker = await world.serveJobs();
    replaced.open();
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '9', released: '9' });
  });
});

describe('a job without enough credits', () => {
  it('completes as rejected, with the reason and what is missing, and reserves nothing', async () => {
    const spender = await world.openSpender('4');
    const submitted = await world.place({ spender, expected: '10' });
    const answer = await submitted.ask();
    expect(answer).toMatchObject({
      status: 'rejected',
      rejection: { code: 'insufficient_credits', details: { required: '10', available: '4', shortfall: '6' } },
    });
    const summary = await submitted.handle.result();
    expect(summary).toMatchObject({ state: 'rejected', end: 'rejected', charged: '0', chargeId: null });
    expect((await submitted.handle.describe()).status.name).toBe('COMPLETED');
    expect(await world.balanceOf(spender)).toEqual({ available: '4', reserved: '0', consumed: '0' });
    await recordHistory('rejected', submitted.handle);
  });

  it('gets the same refusal again although credits have come since', async () => {
    const spender = await world.openSpender('4');
    const submitted = await world.place({ spender, expected: '10' });
    const first = await submitted.ask();
    await submitted.handle.result();
    await world.grant(spender, '50');
    expect(await submitted.ask()).toEqual(first);
  });
});

describe('a top-up', () => {
  it('brings the reservation up to the forecast once usage comes near it, and not twice', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '30',
      script: async (attempt) => {
        await attempt.use(9, 0.5);
        await attempt.reserved('18');
        await attempt.use(0, 0.5);
        await attempt.meter(3, 1);
        return attempt.finish();
      },
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '12', released: '6' });
    expect((await world.eventsOf(submitted)).filter((kind) => kind === 'topped-up')).toHaveLength(1);
    await recordHistory('topped-up', submitted.handle);
  });

  it('never passes the not-to-exceed amount', async () => {
    const spender = await world.openSpender('100');
    const checked = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '13',
      script: async (attempt) => {
        await attempt.use(9, 0.1);
        await attempt.reserved('13');
        await checked.opened;
        return attempt.finish();
      },
    });
    const view = await eventually('a top-up', async () => {
      const seen = await viewOf(submitted);
      return seen.reserved !== '10' && seen;
    });
    expect(view).toMatchObject({ reserved: '13', forecast: '90', maxCredits: '13' });
    expect(await world.balanceOf(spender)).toMatchObject({ reserved: '13' });
    checked.open();
    expect(await submitted.handle.result()).toMatchObject({ charged: '9', released: '4' });
  });
});

describe('a parked job', () => {
  it('waits for credits, and goes on once they were granted and it was told', async () => {
    const spender = await world.openSpender('12');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '100',
      script: async (attempt) => {
        await attempt.meter(11, 0.5);
        await attempt.park('credits', 0.5);
        await attempt.reserved('22');
        await attempt.resume();
        await attempt.meter(11, 1);
        return attempt.finish();
      },
    });
    await parked(submitted, 'credits');
    expect(await submitted.row()).toMatchObject({ state: 'parked', reason: 'credits' });
    expect(await world.balanceOf(spender)).toMatchObject({ reserved: '10' });
    await world.grant(spender, '50');
    await world.tellCreditsArrived(submitted);
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '22', absorbed: '0' });
    await recordHistory('parked-for-credits-and-resumed', submitted.handle);
  });

  it('finds by itself that credits came when nobody told it', async () => {
    const spender = await world.openSpender('12');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '100',
      // Nothing runs while time is skipped.
      script: async (attempt) => {
        if (attempt.number === 1) {
          await attempt.meter(11, 0.5);
          await attempt.park('credits', 0.5);
        }
        await attempt.end('lost');
        throw ApplicationFailure.create({ message: 'lost while parked', nextRetryDelay: '3 days' });
      },
    });
    await parked(submitted, 'credits');
    await world.grant(spender, '50');
    await fastForward(world.client, submitted.handle.workflowId, 12 * 60);
    await eventually('the top-up', async () => (await viewOf(submitted)).reserved === '22');
    expect(await viewOf(submitted)).toMatchObject({ topUps: 1 });
    await submitted.handle.cancel();
    expect(await submitted.handle.result()).toMatchObject({ state: 'released', end: 'cancelled', released: '22' });
  });

  it('waits for consent to a higher not-to-exceed amount, and goes on with it', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '10',
      script: async (attempt) => {
        await attempt.meter(11, 0.5);
        await attempt.park('cap', 0.5);
        await attempt.reserved('22');
        await attempt.resume();
        return attempt.finish();
      },
    });
    await parked(submitted, 'cap');
    expect(await raise(submitted, 'consent-1', '40')).toEqual({ status: 'raised', maxCredits: '40' });
    expect(await raise(submitted, 'consent-1', '40')).toEqual({ status: 'raised', maxCredits: '40' });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '11', absorbed: '0' });
    expect((await world.operationsOf(submitted)).filter((kind) => kind === 'raiseCap')).toHaveLength(1);
    expect((await submitted.row()).maxCredits).toBe(40_000_000n);
    await recordHistory('parked-for-cap-and-raised', submitted.handle);
  });

  it('is stopped when nobody answered within its grace, and pays for what it used within its limit', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '10',
      parkedGraceSeconds: GRACE_SECONDS,
      script: async (attempt) => {
        // Nothing runs while time is skipped.
        if (attempt.number === 1) {
          await attempt.meter(11, 0.5);
          await attempt.park('cap', 0.5);
        }
        await attempt.end('stopped');
        throw ApplicationFailure.create({ message: 'between two attempts', nextRetryDelay: '3 days' });
      },
    });
    await parked(submitted, 'cap');
    await fastForward(world.client, submitted.handle.workflowId, GRACE_SECONDS + 60);
    expect(await submitted.handle.result()).toMatchObject({
      state: 'settled',
      end: 'out-of-credits',
      charged: '10',
      absorbed: '1',
    });
    const stopped = await firstRow<{ afterSeconds: number }>(
      world.db,
      `select extract(epoch from c.booked_at - e.at)::float8 as "afterSeconds"
       from charges c
       join job_events e on e.job_id = c.job_id and e.kind = 'parked'
       where c.job_id = ?`,
      [submitted.jobId],
    );
    expect(stopped?.afterSeconds).toBeGreaterThan(GRACE_SECONDS - 5);
    expect(stopped?.afterSeconds).toBeLessThan(GRACE_SECONDS + 90);
    await recordHistory('grace-elapsed', submitted.handle);
  });
});

describe('consent to a higher not-to-exceed amount', () => {
  let end: ReturnType<typeof gate>;
  let submitted: Submitted;

  beforeEach(async () => {
    end = gate();
    const spender = await world.openSpender('100');
    const { opened } = end;
    const running = gate();
    submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '20',
      script: async (attempt) => {
        running.open();
        await opened;
        return attempt.finish();
      },
    });
    await running.opened;
  });

  afterEach(async () => {
    end.open();
    await submitted.handle.result();
  });

  it.each([
    ['an exponent', '1e3'],
    ['a negative amount', '-1'],
    ['too many decimals', '0.0000001'],
    ['forty digits', '9'.repeat(40)],
    ['a number', 30],
    ['nothing', undefined],
  ])('is refused with a sentence when it is %s, and changes nothing', async (_, maxCredits) => {
    const before = await submitted.row();
    await expect(raise(submitted, 'wrong', maxCredits)).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/amount/) },
    });
    expect(await submitted.row()).toEqual(before);
    expect((await viewOf(submitted)).maxCredits).toBe('20');
  });

  it.each(['19.999999', '20', '0'])('is refused when %s credits are no more than before', async (maxCredits) => {
    expect(await raise(submitted, `lower-${maxCredits}`, maxCredits)).toMatchObject({
      status: 'refused',
      rejection: { code: 'cap_not_raised', message: expect.stringMatching(/20/) },
    });
    expect((await submitted.row()).maxCredits).toBe(20_000_000n);
    expect((await viewOf(submitted)).maxCredits).toBe('20');
  });
});

describe('a cancelled job', () => {
  it('still answers its reservation when it is cancelled before that was made, and releases it', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.place({ spender, expected: '10', script: (attempt) => attempt.untilCancelled() });
    await world.postgres.cut();
    expect(await submitted.ask()).toBeNull();
    // As a regular activity, so that the workflow hears of the cancellation while the question waits.
    await eventually('the regular activity', async () => (await activitiesIn(submitted.handle)).includes('reserve'));
    const answer = submitted.handle.executeUpdate(reservationUpdate, { updateId: 'reserve' });
    await submitted.handle.cancel();
    await eventually('the cancellation in the workflow', async () => {
      const { events = [] } = await submitted.handle.fetchHistory();
      const types = (events ?? []).map(({ eventType }) => eventType);
      return (
        types.lastIndexOf(WORKFLOW_TASK_COMPLETED) > types.indexOf(CANCEL_REQUESTED) && types.includes(CANCEL_REQUESTED)
      );
    });
    await world.postgres.restore();
    expect(await answer).toMatchObject({ status: 'reserved', reserved: '10' });
    expect(await submitted.handle.result()).toMatchObject({ state: 'released', end: 'cancelled', released: '10' });
    expect(await world.balanceOf(spender)).toEqual({ available: '100', reserved: '0', consumed: '0' });
  });

  it('may still be asked for consent: the answer says that the reservation is closed or raises it, never a failure', async () => {
    const spender = await world.openSpender('100');
    const working = gate();
    const consented = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await attempt.meter(4, 0.4);
        working.open();
        try {
          return await attempt.untilCancelled();
        } finally {
          await consented.opened;
        }
      },
    });
    await working.opened;
    await submitted.handle.cancel();
    await eventually('the end of the attempt', async () => (await world.eventsOf(submitted)).length > 0);
    expect(await raise(submitted, 'after-cancel', '20')).toEqual({ status: 'raised', maxCredits: '20' });
    consented.open();
    expect(await submitted.handle.result()).toMatchObject({ end: 'cancelled', charged: '4' });
  });

  it('stops in mid-run and pays for what it used', async () => {
    const spender = await world.openSpender('100');
    const working = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await attempt.meter(4, 0.4);
        working.open();
        return attempt.untilCancelled();
      },
    });
    await working.opened;
    await submitted.handle.cancel();
    expect(await submitted.handle.result()).toMatchObject({
      state: 'settled',
      end: 'cancelled',
      charged: '4',
      released: '6',
    });
    await recordHistory('cancelled-in-mid-run', submitted.handle);
  });

  it('pays nothing when it had used nothing', async () => {
    const spender = await world.openSpender('100');
    const working = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: (attempt) => {
        working.open();
        return attempt.untilCancelled();
      },
    });
    await working.opened;
    await submitted.handle.cancel();
    expect(await submitted.handle.result()).toMatchObject({ state: 'released', end: 'cancelled', released: '10' });
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'release']);
  });

  it('stops while it is parked', async () => {
    const spender = await world.openSpender('10');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '50',
      script: async (attempt) => {
        await attempt.meter(11, 0.5);
        await attempt.park('credits', 0.5);
        return attempt.untilCancelled();
      },
    });
    await parked(submitted, 'credits');
    await submitted.handle.cancel();
    expect(await submitted.handle.result()).toMatchObject({ end: 'cancelled', charged: '10', absorbed: '1' });
  });

  it('is not changed by a cancellation that comes after its end', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({ spender, expected: '10', script: uses(7) });
    const summary = await submitted.handle.result();
    await submitted.handle.cancel().catch(() => undefined);
    expect(await submitted.handle.result()).toEqual(summary);
    expect((await submitted.handle.describe()).status.name).toBe('COMPLETED');
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'settle']);
  });
});

describe('a job that fails', () => {
  it('costs nothing when the platform gave it up, although usage was metered', async () => {
    const spender = await world.openSpender('100');
    const attempts: number[] = [];
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        attempts.push(attempt.number);
        await attempt.meter(2, 0.2);
        await attempt.end('engine-failed');
        throw ApplicationFailure.create({
          message: 'the engine crashed',
          nextRetryDelay: 1,
          nonRetryable: attempt.number === 5,
        });
      },
    });
    expect(await submitted.handle.result()).toMatchObject({
      state: 'released',
      end: 'platform-failed',
      charged: '0',
      released: '10',
    });
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    expect((await submitted.row()).message).toMatch(/the engine crashed/);
    const metered = await firstRow<{ sum: bigint }>(
      world.db,
      'select sum(quantity)::bigint as sum from usage_records where job_id = ?',
      [submitted.jobId],
    );
    expect(metered).toEqual({ sum: 10_000_000n });
  });

  it('costs nothing when its input is at fault', async () => {
    const spender = await world.openSpender('100');
    const { handle } = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await attempt.meter(2, 0.2);
        return attempt.finish('input-failed');
      },
    });
    expect(await handle.result()).toMatchObject({ state: 'released', end: 'input-failed', released: '10' });
  });

  it('pays for what it used when its own time limit was up', async () => {
    const spender = await world.openSpender('100');
    const { handle } = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await attempt.meter(6, 0.2);
        return attempt.finish('time-limit');
      },
    });
    expect(await handle.result()).toMatchObject({ state: 'settled', end: 'time-limit', charged: '6', released: '4' });
  });

  it('pays only for the attempt that was not lost', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await attempt.meter(4, 0.4);
        if (attempt.number === 1) throw ApplicationFailure.create({ message: 'lost', nextRetryDelay: 1 });
        await attempt.restart();
        await attempt.meter(2, 1);
        return attempt.finish();
      },
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '6', released: '4' });
    expect(await world.eventsOf(submitted)).toContain('attempt-lost');
    await recordHistory('restarted-attempt', submitted.handle);
  });
});

describe('while Postgres is away', () => {
  afterEach(() => world.postgres.restore().catch(() => undefined));

  it('a reservation waits as a regular activity and is made once Postgres is back', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.place({ spender, expected: '10', script: uses(10) });
    await world.postgres.cut();
    expect(await submitted.ask()).toBeNull();
    await eventually('the regular activity', async () => (await activitiesIn(submitted.handle)).includes('reserve'));
    await world.postgres.restore();
    expect(await submitted.handle.executeUpdate(reservationUpdate, { updateId: 'reserve' })).toMatchObject({
      status: 'reserved',
      reserved: '10',
    });
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '10' });
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'settle']);
    await recordHistory('reserved-by-the-regular-activity', submitted.handle);
  });

  it('a reservation whose answer got lost is not made twice', async () => {
    const spender = await world.openSpender('100');
    const submitted = await world.place({ spender, expected: '10', script: uses(10) });
    const lost = world.postgres.loseAnswerTo('append_batch');
    const answer = submitted.ask();
    await lost;
    expect(await answer).toMatchObject({ status: 'reserved', reserved: '10' });
    expect(await submitted.handle.result()).toMatchObject({ charged: '10' });
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'settle']);
  });

  it('a settlement whose answer got lost is not made twice', async () => {
    const spender = await world.openSpender('100');
    const end = gate();
    const submitted = await world.submit({
      spender,
      expected: '10',
      script: async (attempt) => {
        await attempt.meter(10, 1);
        await end.opened;
        return attempt.finish();
      },
    });
    const lost = world.postgres.loseAnswerTo('holdfast-dossier');
    end.open();
    await lost;
    expect(await submitted.handle.result()).toMatchObject({ state: 'settled', charged: '10' });
    expect(await world.operationsOf(submitted)).toEqual(['reserve', 'settle']);
    expect(await world.balanceOf(spender)).toEqual({ available: '90', reserved: '0', consumed: '10' });
  });
});

describe('what an operator sees', () => {
  it('is found by typed attributes, and told by a summary, a table of amounts and described messages', async () => {
    const spender = await world.openSpender('12');
    const submitted = await world.submit({
      spender,
      expected: '10',
      maxCredits: '100',
      script: async (attempt) => {
        await attempt.meter(11, 0.5);
        await attempt.park('credits', 0.5);
        return attempt.untilCancelled();
      },
    });
    await parked(submitted, 'credits');
    const { handle } = submitted;
    const described = await handle.describe();
    const attribute = (key: typeof BILLING_STATE) => described.typedSearchAttributes.get(key);
    expect([BILLING_STATE, SERVICE, USER_ID, CONTRACT_ID].map(attribute)).toEqual([
      'parked',
      'rounds',
      spender.userId,
      spender.contractId,
    ]);
    expect(attribute(CUSTOMER_ID)).toBeDefined();
    expect(await described.staticSummary()).toMatch(/^Rounds of input\.txt/);
    await eventually('the job in a list by its attributes', async () => {
      const query = `BillingState = 'parked' and ContractId = '${spender.contractId}'`;
      return (await world.client.workflow.count(query)).count === 1;
    });

    const seen = await eventually('the refused top-up', async () => {
      const metadata = await handle.query<Metadata>('__temporal_workflow_metadata');
      return /shortfall|credits/.test(metadata.currentDetails?.split('\n')[0] ?? '') && metadata;
    });
    const told = seen.currentDetails?.replace(/[*|`]/g, '');
    for (const fact of [
      /parked for credits/i,
      /expected +10/i,
      /reserved +10/i,
      /10 of shared lot/i,
      /metered +11/i,
      /forecast +22/i,
      /not to exceed +100/i,
    ]) {
      expect(told).toMatch(fact);
    }
    const { updateDefinitions, signalDefinitions, queryDefinitions } = seen.definition;
    const ours = [...updateDefinitions, ...signalDefinitions, ...queryDefinitions].filter(
      ({ name }) => !name?.startsWith('__'),
    );
    expect(ours.map(({ name }) => name).sort()).toEqual(
      ['creditsArrived', 'job', 'raiseCap', 'reservation', 'runReported'].sort(),
    );
    for (const { description } of ours) expect(description).toMatch(/^[A-Z].{20,}\.$/);

    await handle.cancel();
    await handle.result();
    expect((await handle.describe()).typedSearchAttributes.get(BILLING_STATE)).toBe('settled');
  });
});

interface Definition {
  name?: string;
  description?: string;
}

interface Metadata {
  currentDetails?: string;
  definition: {
    updateDefinitions: Definition[];
    signalDefinitions: Definition[];
    queryDefinitions: Definition[];
  };
}
