/** What a contract's workflow does at the edges: of lives, of calendars, of its worker, of its database and of its messages. */
import { randomUUID } from 'node:crypto';
import { temporal } from '@temporalio/proto';
import { createReconcileActivities } from '../activities/reconcile';
import { temporalWorkflows } from '../api/temporal';
import { brokenInvariants } from '../db/testing/invariants';
import { verifyLedger } from '../db/verify/verifyLedger';
import { addMilliseconds, type Instant, parseInstant } from '../domain/instant';
import { TestContract } from '../test/world/contracts';
import { eventually } from '../test/world/eventually';
import { failedTasksOf } from '../test/world/failedTasks';
import { now, type WorkingWorker, World } from '../test/world/world';
import {
  type AskedChange,
  contractTouchedSignal,
  contractUpdates,
  contractViewQuery,
  JOBS_TASK_QUEUE,
  lotsChangedUpdate,
} from './messages';
import type { reconcile } from './reconcile';
import { CONTRACT_ID, CONTRACT_STATE, CUSTOMER_ID, NEXT_AT } from './searchAttributes';

jest.setTimeout(90_000);

const DAY_MS = 86_400_000;
const { EVENT_TYPE_TIMER_FIRED: TIMER_FIRED, EVENT_TYPE_WORKFLOW_TASK_STARTED: TASK_STARTED } =
  temporal.api.enums.v1.EventType;
const { EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: UPDATE_ACCEPTED } = temporal.api.enums.v1.EventType;

let world: World;
let worker: WorkingWorker;
const opened: TestContract[] = [];

beforeAll(async () => {
  world = await World.open();
  worker = await world.serveContracts();
  await world.serveJobs();
});
afterEach(async () => {
  expect(await brokenInvariants(world.db)).toEqual([]);
  for (const { handle } of opened.splice(0)) {
    // Some never have a workflow.
    expect(await failedTasksOf(handle).catch(() => [])).toEqual([]);
  }
});
afterAll(async () => {
  try {
    expect((await verifyLedger({ kind: 'database', db: world.db })).findings).toEqual([]);
  } finally {
    await world?.close();
  }
});

const on = (text: string): Instant => parseInstant(`${text.replace(' ', 'T')}Z`);
const inDays = (days: number): Instant => addMilliseconds(now(), days * DAY_MS);

async function open(said: Parameters<typeof TestContract.open>[1]): Promise<TestContract> {
  const contract = await TestContract.open(world, said);
  opened.push(contract);
  return contract;
}

async function looked(contract: TestContract): Promise<void> {
  await contract.touch();
  await eventually('a look at the calendar', async () => (await contract.handle.query(contractViewQuery)).contract);
}

async function accepted(act: Promise<unknown>): Promise<void> {
  expect(await act).toMatchObject({ accepted: true });
}

async function refused(contract: TestContract, at: Instant, code = 'contract_not_in_force'): Promise<void> {
  expect(await contract.reserve(randomUUID(), '0.000001', at)).toMatchObject({ accepted: false, code });
}

describe('lives are half-open to the microsecond', () => {
  it('when the contract’s end, a lot’s twelve months and a settlement are the same instant', async () => {
    const contract = await open({ startsAt: on('2023-05-10 08:30:15.123457'), months: 12, graceDays: 30 });
    const same = await contract.buy('20', on('2023-05-10 08:30:15.123457'));
    const later = await contract.buy('10', on('2023-05-10 08:30:15.123458'));
    const jobs = Array.from({ length: 4 }, () => randomUUID()) as [string, string, string, string];
    await refused(contract, on('2023-05-10 08:30:15.123456'));
    await accepted(contract.reserve(jobs[0], '8', on('2023-05-10 08:30:15.123457')));
    // At the last microsecond: what is left of the first lot, then the second.
    await accepted(contract.reserve(jobs[1], '11', on('2024-05-10 08:30:15.123456')));
    await accepted(contract.reserve(jobs[2], '4', on('2024-05-10 08:30:15.123456')));
    await accepted(contract.reserve(jobs[3], '3', on('2024-05-10 08:30:15.123456')));
    await refused(contract, on('2024-05-10 08:30:15.123457'));
    await accepted(contract.settle(jobs[0], '5', on('2024-05-10 08:30:15.123457')));
    await accepted(contract.release(jobs[2], on('2024-05-10 08:30:15.123457')));
    await accepted(contract.release(jobs[3], on('2024-05-10 08:30:15.123458')));
    await contract.touch();
    await contract.handle.result();
    await accepted(contract.settle(jobs[1], '2', on('2024-05-10 08:30:15.123457')));
    expect(await contract.journal({ [same]: 'same', [later]: 'later' })).toEqual([
      '2023-05-10 08:30:15.123457Z grant: same granted → available 20',
      '2023-05-10 08:30:15.123458Z grant: later granted → available 10',
      '2023-05-10 08:30:15.123457Z reserve: same available → reserved 8',
      '2024-05-10 08:30:15.123456Z reserve: same available → reserved 11',
      '2024-05-10 08:30:15.123456Z reserve: same available → reserved 1',
      '2024-05-10 08:30:15.123456Z reserve: later available → reserved 3',
      '2024-05-10 08:30:15.123456Z reserve: later available → reserved 3',
      '2024-05-10 08:30:15.123457Z settle: same reserved → consumed 5',
      // No renewal can save it: its own twelve months are over too.
      '2024-05-10 08:30:15.123457Z settle: same reserved → expired 3',
      '2024-05-10 08:30:15.123457Z release: same reserved → expired 1',
      // It has a microsecond to live if the contract is renewed: nothing has expired yet.
      '2024-05-10 08:30:15.123457Z release: later reserved → available 3',
      // Over, whether the contract is renewed or not.
      '2024-05-10 08:30:15.123458Z release: later reserved → expired 3',
      '2024-05-10 08:30:15.123457Z expire: later available → expired 7',
      '2024-05-10 08:30:15.123457Z settle: same reserved → consumed 2',
      '2024-05-10 08:30:15.123457Z settle: same reserved → expired 9',
    ]);
  });
});

describe('twelve months are those of the contract’s own calendar', () => {
  it.each([
    ['Europe/Berlin', '29 February', '2024-02-29 12:00', '2025-02-28 12:00'],
    ['Europe/Berlin', 'a first of March that is February in UTC', '2023-02-28 23:30', '2024-02-29 23:30'],
    ['Europe/Berlin', 'a time that clocks skip', '2023-03-31 00:30', '2024-03-31 01:30'],
    ['Europe/Berlin', 'a time that comes twice', '2023-10-27 00:30', '2024-10-27 00:30'],
    ['Europe/Berlin', 'summer to winter', '2023-03-26 10:00', '2024-03-26 11:00'],
    ['Pacific/Kiritimati', '29 February, the day before in UTC', '2024-02-28 22:00', '2025-02-27 22:00'],
    ['Pacific/Niue', '28 February, the day after in UTC', '2024-02-29 09:00', '2025-03-01 09:00'],
    ['Pacific/Niue', 'a 31 December that is next year in UTC', '2023-01-01 10:59', '2024-01-01 10:59'],
  ])('in %s: %s', async (timeZone, _, purchased, expires) => {
    const contract = await open({ timeZone, startsAt: on('2022-01-01 00:00'), months: 240 });
    const lot = await contract.buy('5', on(purchased));
    await accepted(contract.reserve(randomUUID(), '1', addMilliseconds(on(expires), -1)));
    expect(await contract.reserve(randomUUID(), '1', on(expires))).toMatchObject({ code: 'insufficient_credits' });
    await looked(contract);
    expect((await contract.journal({ [lot]: 'lot' })).at(-1)).toBe(`${expires} expire: lot available → expired 4`);
    await contract.handle.terminate();
  });

  it('for terms and graces too: 29 February, month ends and a change of clocks in the grace', async () => {
    const contract = await open({
      timeZone: 'Pacific/Kiritimati',
      // 31 January, midnight.
      startsAt: on('2024-01-30 10:00'),
      months: 1,
    });
    expect((await contract.state()).endsAt).toBe(on('2024-02-28 10:00'));
    const berlin = await open({
      timeZone: 'Europe/Berlin',
      startsAt: on('2023-02-28 23:00'),
      months: 12,
      graceDays: 31,
    });
    const lot = await berlin.buy('5', on('2023-06-01 00:00'));
    const [kept, lost] = [randomUUID(), randomUUID()];
    await accepted(berlin.reserve(kept, '1', on('2024-02-29 22:00')));
    await accepted(berlin.reserve(lost, '1', on('2024-02-29 22:00')));
    // Midnight of 1 April in Berlin, an hour earlier in UTC than on 1 March.
    await accepted(berlin.release(kept, on('2024-03-31 21:59:59.999999')));
    await accepted(berlin.release(lost, on('2024-03-31 22:00')));
    await berlin.touch();
    await berlin.handle.result();
    expect(await berlin.state()).toMatchObject({ endsAt: on('2024-02-29 23:00'), closedAt: on('2024-03-31 22:00') });
    expect((await berlin.journal({ [lot]: 'lot' })).slice(3)).toEqual([
      '2024-03-31 21:59:59.999999Z release: lot reserved → available 1',
      '2024-03-31 22:00 release: lot reserved → expired 1',
      '2024-02-29 23:00 expire: lot available → expired 4',
    ]);
  });
});

describe('a system that was down', () => {
  it('has refused spending on time, books everything late with its own instant, and reminds of nothing that is over', async () => {
    const contract = await open({ startsAt: on('2024-01-01 00:00'), endsAt: on('2025-01-01 00:00'), graceDays: 10 });
    const old = await contract.buy('10', on('2023-12-01 00:00'));
    const young = await contract.buy('20', on('2024-06-01 00:00'));
    const gift = await contract.give('3', on('2024-06-01 00:00'), on('2024-08-01 00:00'));
    const [first, second, third] = [randomUUID(), randomUUID(), randomUUID()];
    await refused(contract, on('2023-12-31 23:59:59.999999'));
    await accepted(contract.reserve(first, '4', on('2024-01-01 00:00')));
    // The first lot is over, although nobody has booked it: the second pays.
    await accepted(contract.reserve(second, '7', on('2024-12-01 00:00')));
    await accepted(contract.reserve(third, '2', on('2024-12-01 00:00')));
    await accepted(contract.settle(first, '1', on('2024-12-02 00:00')));
    await refused(contract, on('2025-01-01 00:00'));
    await accepted(contract.release(second, on('2025-01-10 23:59:59.999999')));
    await accepted(contract.release(third, on('2025-01-11 00:00')));
    await contract.touch();
    expect(await contract.handle.result()).toMatchObject({ nextAt: null });
    expect(await contract.state()).toMatchObject({
      activatedAt: on('2024-01-01 00:00'),
      closedAt: on('2025-01-11 00:00'),
    });
    expect(await contract.journal({ [old]: 'old', [young]: 'young', [gift]: 'gift' })).toEqual([
      '2023-12-01 00:00 grant: old granted → available 10',
      '2024-06-01 00:00 grant: young granted → available 20',
      '2024-06-01 00:00 grant: gift granted → available 3',
      '2024-01-01 00:00 reserve: old available → reserved 4',
      '2024-12-01 00:00 reserve: young available → reserved 7',
      '2024-12-01 00:00 reserve: young available → reserved 2',
      '2024-12-02 00:00 settle: old reserved → consumed 1',
      '2024-12-02 00:00 settle: old reserved → expired 3',
      '2025-01-10 23:59:59.999999Z release: young reserved → available 7',
      '2025-01-11 00:00 release: young reserved → expired 2',
      '2024-08-01 00:00 expire: gift available → expired 3',
      '2024-12-01 00:00 expire: old available → expired 6',
      '2025-01-01 00:00 expire: young available → expired 18',
    ]);
    const told = await contract.told();
    for (const kind of ['contract-activated', 'contract-ended', 'contract-closed']) {
      expect(told.filter((one) => one === kind)).toHaveLength(1);
    }
    expect(told.filter((kind) => kind === 'lot-expired')).toHaveLength(3);
    expect(told.filter((kind) => kind === 'contract-ending').length).toBeLessThanOrEqual(1);
    expect(told.filter((kind) => kind === 'lot-expiring').length).toBeLessThanOrEqual(3);
  });

  it('has a contract renew itself as often as it should have, before it takes a change', async () => {
    const contract = await open({
      timeZone: 'Europe/Berlin',
      startsAt: on('2023-12-31 23:00'),
      months: 1,
      renewal: 'automatic',
      renewalMonths: 1,
    });
    const lots = ['2024-02-29 12:00', '2024-03-31 00:30', '2024-05-31 10:00', '2024-06-30 10:00', '2024-07-31 10:00'];
    const names: Record<string, string> = {};
    for (const at of lots) names[await contract.buy('1', on(at))] = 'lot';
    // Asked of a workflow that has never run, with more behind it than one look takes.
    await askUntilAnswered(contract, { kind: 'suspend' });
    const { terms, endsAt, suspendedAt } = await contract.state();
    expect(terms.slice(1).map((term) => term.startsAt)).toEqual(terms.slice(0, -1).map((term) => term.endsAt));
    expect(terms[2]).toMatchObject({ startsAt: on('2024-02-29 23:00'), endsAt: on('2024-03-31 22:00') });
    expect(endsAt > now() && suspendedAt !== null && terms.length > 20).toBe(true);
    expect((await contract.journal(names)).slice(lots.length)).toEqual([
      '2025-02-28 12:00 expire: lot available → expired 1',
      // Half past one in Berlin, in the winter of one year and in the summer of the other.
      '2025-03-30 23:30 expire: lot available → expired 1',
      '2025-05-31 10:00 expire: lot available → expired 1',
      '2025-06-30 10:00 expire: lot available → expired 1',
      '2025-07-31 10:00 expire: lot available → expired 1',
    ]);
    expect((await contract.changes()).at(-1)).toBe('suspend');
    await contract.handle.terminate();
  });

  it('reminds once of an end whose reminders it missed, and then again in time', async () => {
    const contract = await open({ startsAt: inDays(-360), endsAt: inDays(5) });
    await looked(contract);
    const reminders = async () => (await contract.told()).filter((kind) => kind === 'contract-ending').length;
    expect(await reminders()).toBe(1);
    await looked(contract);
    expect(await reminders()).toBe(1);
    await contract.goTo(inDays(4.5));
    expect(await reminders()).toBe(2);
    await contract.handle.terminate();
  });

  it('books the activation, twelve months, the end and the grace’s end that passed while no worker was there', async () => {
    const contract = await open({ startsAt: inDays(1), endsAt: inDays(1.5), graceDays: 2 });
    const { startsAt, endsAt } = await contract.state();
    const closesAt = addMilliseconds(endsAt, 2 * DAY_MS);
    const lot = await contract.buy('10', now());
    await looked(contract);
    const seen: unknown[] = [];
    for (const instant of [startsAt, endsAt, closesAt]) {
      // The worker is away for the last stretch.
      await contract.goTo(addMilliseconds(instant, -60_000));
      await worker.stop();
      await contract.passUnnoticed(instant);
      const { activatedAt, closedAt } = await contract.state();
      seen.push([activatedAt, closedAt, (await contract.journal()).length]);
      if (instant !== startsAt) await refused(contract, instant);
      worker = await world.serveContracts();
      if (instant !== closesAt) await contract.goTo(addMilliseconds(instant, 1_000));
    }
    await contract.handle.result();
    expect(seen).toEqual([
      [null, null, 1],
      [startsAt, null, 1],
      [startsAt, null, 1],
    ]);
    expect(await contract.state()).toMatchObject({ activatedAt: startsAt, closedAt: closesAt });
    const [, expired] = await contract.journal({ [lot]: 'lot' });
    expect(expired).toBe(`${endsAt.replace('T', ' ')} expire: lot available → expired 10`);
  });

  it('books an instant at which Postgres was away, once it is back', async () => {
    const contract = await open({ endsAt: inDays(0.5) });
    const { endsAt } = await contract.state();
    const lot = await contract.buy('10', now());
    await looked(contract);
    await contract.goTo(addMilliseconds(endsAt, -60_000));
    await world.postgres.cut();
    const gone = contract.goTo(endsAt).catch(() => undefined);
    try {
      await eventually('the regular activity', async () => {
        const { pendingActivities } = (await contract.handle.describe()).raw;
        return (pendingActivities ?? []).length > 0;
      });
      // Spending knows nothing of the workflow.
      await refused(contract, endsAt);
    } finally {
      await world.postgres.restore();
    }
    await contract.handle.result();
    await gone;
    expect((await contract.journal({ [lot]: 'lot' })).slice(1)).toEqual([
      `${endsAt.replace('T', ' ')} expire: lot available → expired 10`,
    ]);
  });

  it('makes a change once whose commit was not heard of', async () => {
    const contract = await open({ endsAt: inDays(0.5) });
    const lot = await contract.buy('10', now());
    await looked(contract);
    const lost = world.postgres.loseAnswerTo('COMMIT');
    const change = contract.change({ kind: 'terminate', at: inDays(0.25) });
    await lost;
    const { terminatesAt } = await change;
    expect(await contract.changes()).toEqual(['create', 'activate', 'terminate']);
    await contract.goTo(terminatesAt as Instant);
    await contract.handle.result();
    const [, expired] = await contract.journal({ [lot]: 'lot' });
    expect(expired).toBe(`${terminatesAt?.replace('T', ' ')} expire: lot available → expired 10`);
  });

  it('wakes contracts whose workflow is gone, and books what was missed', async () => {
    const [never, ended, watched] = await Promise.all([
      open({ startsAt: on('2024-01-01 00:00'), endsAt: on('2025-01-01 00:00') }),
      open({ endsAt: inDays(0.5) }),
      open({ endsAt: inDays(0.5) }),
    ]);
    const lot = await never.buy('10', on('2024-01-01 00:00'));
    await worker.stop();
    await never.touch();
    await never.handle.terminate('an operator did it');
    worker = await world.serveContracts();
    // A younger one may be on its way to its workflow.
    await world.owner.raw(`update contracts set recorded_at = recorded_at - interval '1 hour' where id = ?`, [
      never.id,
    ]);
    await Promise.all([looked(ended), looked(watched)]);
    await ended.handle.terminate('an operator did it');
    const summary = await world.client.workflow.execute<typeof reconcile>('reconcile', {
      taskQueue: JOBS_TASK_QUEUE,
      workflowId: `reconcile-${randomUUID()}`,
    });
    expect(summary.wokenContracts).toContain(never.id);
    expect(summary.wokenContracts).not.toContain(ended.id);
    await never.handle.result();
    expect(await never.journal({ [lot]: 'lot' })).toContain('2025-01-01 00:00 expire: lot available → expired 10');

    const { wakeContracts } = createReconcileActivities({
      ledger: world.ledger,
      workflowStatus: async () => 'missing',
      touchContract: (id) => temporalWorkflows(world.client).contractTouched(id),
    });
    expect(await wakeContracts({ at: inDays(21) })).toEqual(expect.arrayContaining([ended.id, watched.id]));
    expect(await wakeContracts({ at: now() })).not.toContain(ended.id);
    await ended.goTo((await ended.state()).endsAt);
    await ended.handle.result();
    expect((await ended.state()).closedAt).toBe((await ended.state()).endsAt);
    await watched.handle.terminate();
  });
});

describe('an update in the same task as the timer', () => {
  it('finds a contract that has ended just now, and may renew it in its grace only', async () => {
    const [without, within] = await Promise.all([
      open({ endsAt: inDays(0.5), graceDays: 0 }),
      open({ endsAt: inDays(0.5), graceDays: 5 }),
    ]);
    const lots = [await without.buy('10', now()), await within.buy('10', now())];
    const names = { [lots[0] as string]: 'lot', [lots[1] as string]: 'lot' };
    await Promise.all([looked(without), looked(within)]);
    const ends = await Promise.all([without, within].map(async (contract) => (await contract.state()).endsAt));
    await without.goTo(addMilliseconds(ends[0] as Instant, -60_000));
    await within.goTo(addMilliseconds(ends[1] as Instant, -60_000));
    await worker.stop();
    await Promise.all([without.passUnnoticed(ends[0] as Instant), within.passUnnoticed(ends[1] as Instant)]);
    // It waits with the server, which puts it into the task that tells of the timer.
    const asked = [without, within].map((contract) => askUntilAnswered(contract, { kind: 'renew' }));
    worker = await world.serveContracts();
    const [refusal, renewal] = await Promise.all(asked);
    expect(refusal).toMatchObject({ code: 'contract_closed' });
    expect(renewal).toMatchObject({ terms: [{}, { startsAt: ends[1] }] });
    await without.handle.result();
    expect(await without.journal(names)).toContain(`${ends[0]?.replace('T', ' ')} expire: lot available → expired 10`);
    expect(await within.journal(names)).toHaveLength(1);
    await accepted(within.reserve(randomUUID(), '10', addMilliseconds(ends[1] as Instant, DAY_MS)));
    expect(await oneTask(within, [TIMER_FIRED, UPDATE_ACCEPTED])).toBe(true);
    await within.handle.terminate();
  });
});

/** As a caller does who is told to send the same request again. */
function askUntilAnswered(contract: TestContract, change: AskedChange): Promise<unknown> {
  const requestId = randomUUID();
  return eventually('an answer', () =>
    contract.change(change, requestId).catch((error) => (error.code === 'unavailable' ? null : error)),
  );
}

/** Whether events of these types stand in the history with one task of a worker between them. */
async function oneTask({ handle }: TestContract, types: readonly number[]): Promise<boolean> {
  const { events } = await handle.fetchHistory();
  const found = (events ?? []).map(({ eventType }) => eventType);
  const last = found.lastIndexOf(types[1]);
  const first = found.lastIndexOf(types[0], last);
  return found.slice(first, last).filter((type) => type === TASK_STARTED).length === 1;
}

describe('changes', () => {
  it('are made once per request; the same request for something else is refused', async () => {
    const contract = await open({ endsAt: inDays(100) });
    const first = await contract.change({ kind: 'renew', months: 3 }, 'order-1');
    expect(first.terms).toHaveLength(2);
    expect(await contract.change({ kind: 'renew', months: 3 }, 'order-1')).toEqual(first);
    await expect(contract.change({ kind: 'renew', months: 4 }, 'order-1')).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    });
    await expect(contract.change({ kind: 'suspend' }, 'order-1')).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    });
    const [one, two] = await Promise.all([
      contract.change({ kind: 'renew', months: 1 }, 'twin'),
      contract.change({ kind: 'renew', months: 1 }, 'twin'),
    ]);
    expect(one).toEqual(two);
    expect((await contract.state()).terms).toHaveLength(3);
    await contract.handle.terminate();
    // A new workflow knows the requests of the old one.
    expect(await contract.change({ kind: 'renew', months: 3 }, 'order-1')).toEqual(first);
    await contract.handle.terminate();
  });

  it('cannot take the names of what the calendar does', async () => {
    const contract = await open({ startsAt: inDays(0.25), endsAt: inDays(0.5) });
    await looked(contract);
    expect((await contract.handle.describe()).typedSearchAttributes.get(CONTRACT_STATE)).toBe('upcoming');
    const same = { kind: 'changeRenewal', renewal: 'manual', renewalMonths: 12, graceDays: 0 } as const;
    for (const name of ['activate', 'close', `close/${(await contract.state()).endsAt}`])
      await contract.change(same, name);
    const names = ['calendar/activate', `calendar/close/${(await contract.state()).endsAt}`];
    for (const name of names)
      await expect(contract.change(same, name)).rejects.toMatchObject({
        code: 'change_invalid',
        message: expect.stringMatching(/begin with calendar/),
      });
    await contract.goTo((await contract.state()).endsAt);
    await contract.handle.result();
    const { activatedAt, closedAt, startsAt, endsAt } = await contract.state();
    expect([activatedAt, closedAt]).toEqual([startsAt, endsAt]);
  });

  it('that come at once are all made, one after the other', async () => {
    const contract = await open({ endsAt: inDays(100), graceDays: 3 });
    const { endsAt } = await contract.state();
    await Promise.all([
      contract.change({ kind: 'renew', months: 1 }),
      contract.change({ kind: 'renew', months: 1 }),
      contract.change({ kind: 'suspend' }),
      contract.change({ kind: 'changeRenewal', renewal: 'manual', renewalMonths: 6, graceDays: 9 }),
    ]);
    const state = await contract.state();
    expect(state).toMatchObject({ renewalMonths: 6, graceDays: 9, terms: [{ endsAt }, {}, {}] });
    expect(state.suspendedAt).not.toBeNull();
    expect((await contract.changes()).sort()).toEqual(
      ['create', 'activate', 'renew', 'renew', 'suspend', 'changeRenewal'].sort(),
    );
    const outcomes = await Promise.allSettled([
      contract.change({ kind: 'terminate', at: inDays(50) }),
      contract.change({ kind: 'terminate', at: inDays(60) }),
    ]);
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
    const after = await contract.state();
    expect(after.endsAt).toBe(after.terminatesAt);
    await contract.handle.terminate();
  });

  it('are made once each while their worker is replaced', async () => {
    const contract = await open({ endsAt: inDays(100) });
    await looked(contract);
    const graces = [1, 2, 3, 4, 5, 6, 7, 8];
    const changes = graces.map((graceDays) =>
      askUntilAnswered(contract, { kind: 'changeRenewal', renewal: 'manual', renewalMonths: 12, graceDays }),
    );
    await eventually('the first change', async () => (await contract.changes()).includes('changeRenewal'));
    await worker.stop();
    worker = await world.serveContracts();
    expect(await Promise.all(changes)).toMatchObject(graces.map((graceDays) => ({ graceDays })));
    expect(await contract.changes()).toHaveLength(2 + graces.length);
    await contract.handle.terminate();
  });

  it('to an end at once are answered when everything of it is booked; a lot that comes later has its own end', async () => {
    const contract = await open({ endsAt: inDays(100), graceDays: 30 });
    const lot = await contract.buy('10', now());
    const held = randomUUID();
    await accepted(contract.reserve(held, '4', now()));
    await looked(contract);
    const { terminatesAt } = await contract.change({ kind: 'terminate' });
    const end = terminatesAt as Instant;
    const written = end.replace('T', ' ');
    expect(Math.abs(Date.parse(end) - Date.now())).toBeLessThan(10_000);
    expect((await contract.journal({ [lot]: 'lot' })).slice(2)).toEqual([
      `${written} expire: lot available → expired 6`,
    ]);
    expect(await contract.state()).toMatchObject({ endsAt: end, closedAt: end });
    await refused(contract, end);
    await contract.handle.result();
    const gift = await contract.give('1', now(), inDays(0.25));
    await looked(contract);
    await accepted(contract.settle(held, '3', now()));
    await contract.goTo(inDays(0.25));
    await contract.handle.result();
    expect(
      (await contract.journal({ [lot]: 'lot', [gift]: 'gift' })).map((line) => line.split(': ')[1]).slice(3),
    ).toEqual([
      'gift granted → available 1',
      'lot reserved → consumed 3',
      'lot reserved → expired 1',
      'gift available → expired 1',
    ]);
  });

  it('that are wrong are refused in a sentence and leave no trace', async () => {
    const contract = await open({ endsAt: inDays(100) });
    await looked(contract);
    const before = [await contract.state(), await contract.changes()];
    await expect(contract.ask({ kind: 'suspend' }, 'x'.repeat(501))).rejects.toMatchObject({
      code: 'change_invalid',
      message: expect.stringMatching(/reason is a text of 1 to 500/),
    });
    const wrong: [Record<string, unknown> & { kind: AskedChange['kind'] }, RegExp][] = [
      [{ kind: 'renew', months: 0 }, /months/],
      [{ kind: 'renew', months: -1 }, /months/],
      [{ kind: 'renew', months: 1.5 }, /months/],
      [{ kind: 'renew', months: 1e9 }, /months/],
      [{ kind: 'renew', months: 'twelve' }, /months/],
      [{ kind: 'renew', months: '12' }, /months/],
      [{ kind: 'renew', months: null }, /months/],
      [{ kind: 'extend' }, /endsAt/],
      [{ kind: 'extend', endsAt: 'next year' }, /endsAt/],
      [{ kind: 'extend', endsAt: 2031 }, /endsAt/],
      [{ kind: 'extend', endsAt: '2031-01-01' }, /endsAt/],
      [{ kind: 'extend', endsAt: '2031-02-30T00:00:00Z' }, /endsAt/],
      [{ kind: 'extend', endsAt: inDays(99) }, /endsAt/],
      [{ kind: 'extend', endsAt: (before[0] as { endsAt: Instant }).endsAt }, /endsAt/],
      [{ kind: 'terminate', at: inDays(-0.01) }, /at/],
      [{ kind: 'terminate', at: inDays(-400) }, /at/],
      [{ kind: 'terminate', at: inDays(100.1) }, /at/],
      [{ kind: 'terminate', at: 'tomorrow' }, /at/],
      [{ kind: 'revokeTermination' }, /not terminated/],
      [{ kind: 'resume' }, /not suspended/],
      [{ kind: 'changeProducts' }, /products/],
      [{ kind: 'changeProducts', products: [{ product: 'p', type: 't', level: 'l', seats: 0 }] }, /seats/],
      [{ kind: 'changeProducts', products: [{ product: '', type: 't', level: 'l', seats: 1 }] }, /product/],
      [{ kind: 'changeProducts', products: [null] }, /products/],
      [{ kind: 'changeRenewal', renewal: 'sometimes', renewalMonths: 12, graceDays: 1 }, /renewal/],
      [{ kind: 'changeRenewal', renewal: 'manual', renewalMonths: 12, graceDays: -1 }, /graceDays/],
      [{ kind: 'changeRenewal', renewal: 'manual', renewalMonths: 12 }, /graceDays/],
    ];
    for (const [change, sentence] of wrong) {
      await expect(contract.change(change as unknown as AskedChange)).rejects.toMatchObject({
        code: expect.stringMatching(/^change_(invalid|refused)$/),
        message: expect.stringMatching(/ .*\.$/),
      });
      await expect(contract.change(change as unknown as AskedChange)).rejects.toThrow(sentence);
    }
    const asking = { requestId: 'r', actor: 'olga', reason: 'order' };
    for (const [field, value] of [
      ['reason', undefined],
      ['reason', ''],
      ['reason', 4711],
      ['actor', undefined],
      ['requestId', undefined],
      ['requestId', 'x'.repeat(201)],
    ] as const) {
      const request = { ...asking, [field]: value } as typeof asking;
      await expect(contract.handle.executeUpdate(contractUpdates.suspend, { args: [request] })).rejects.toMatchObject({
        cause: { message: expect.stringContaining(field) },
      });
    }
    await expect(contract.handle.executeUpdate(contractUpdates.suspend, { args: [] as never })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('requestId') },
    });
    expect([await contract.state(), await contract.changes()]).toEqual(before);
    await contract.handle.terminate();
  });

  it('are all made and answered although their workflow goes on in a new run meanwhile', async () => {
    const contract = await open({ endsAt: inDays(1_000) });
    await looked(contract);
    const { runId } = await contract.handle.describe();
    // A history grows by signals too, and these cost little.
    await worker.stop();
    for (let sent = 0; sent < 1_800; sent += 100) {
      await Promise.all(Array.from({ length: 100 }, () => contract.handle.signal(contractTouchedSignal)));
    }
    worker = await world.serveContracts();
    const answers: number[] = [];
    const lane = async (number: number) => {
      for (let graceDays = number; graceDays < 90; graceDays += 6) {
        const state = await contract.change(
          { kind: 'changeRenewal', renewal: 'manual', renewalMonths: 12, graceDays },
          `grace-${graceDays}`,
        );
        expect(state.graceDays).toBe(graceDays);
        answers.push(graceDays);
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map(lane));
    expect(answers).toHaveLength(90);
    expect((await contract.changes()).filter((kind) => kind === 'changeRenewal')).toHaveLength(90);
    const after = await eventually('a new run', async () => {
      const described = await contract.handle.describe();
      return described.runId !== runId && described;
    });
    expect(after.status.name).toBe('RUNNING');
    expect(after.typedSearchAttributes.get(CONTRACT_ID)).toBe(contract.id);
    expect(after.typedSearchAttributes.get(CONTRACT_STATE)).toBe('active');
    await contract.handle.terminate();
  });
});

describe('what an operator sees', () => {
  it('is where the contract stands, what comes next and why, by attributes that find it', async () => {
    const contract = await open({ endsAt: inDays(100), graceDays: 3, renewalMonths: 6 });
    const lot = await contract.buy('12.5', now());
    await accepted(contract.reserve(randomUUID(), '2.5', now()));
    await contract.change({
      kind: 'changeProducts',
      products: [{ product: 'lab', type: 'annual', level: 'gold', seats: 7 }],
    });
    const { endsAt, customerId } = await contract.state();
    const described = await contract.handle.describe();
    const attribute = (key: typeof CONTRACT_STATE) => described.typedSearchAttributes.get(key);
    expect([CONTRACT_ID, CUSTOMER_ID, CONTRACT_STATE].map(attribute)).toEqual([contract.id, customerId, 'active']);
    expect(await described.staticSummary()).toContain(contract.id);
    // Sixty days before its end it reminds.
    const nextAt = described.typedSearchAttributes.get(NEXT_AT)?.getTime() ?? 0;
    expect(Math.abs(nextAt - (Date.parse(endsAt) - 60 * DAY_MS))).toBeLessThan(1_000);
    const seen = await contract.handle.query<Metadata>('__temporal_workflow_metadata');
    for (const fact of [
      'active',
      endsAt,
      'grace of 3 days',
      '6 months',
      '7 seats of lab, annual, gold',
      lot,
      '**10** available, **2.5** reserved',
    ]) {
      expect(seen.currentDetails).toContain(fact);
    }
    const view = await contract.handle.executeUpdate(lotsChangedUpdate);
    expect(view).toMatchObject({
      contract: { endsAt },
      nextAt: seenAt(nextAt),
      nextWhat: expect.stringContaining(endsAt),
    });
    await contract.change({ kind: 'suspend' });
    expect((await contract.handle.query<Metadata>('__temporal_workflow_metadata')).currentDetails).toMatch(
      /suspended since/,
    );
    expect((await contract.handle.describe()).typedSearchAttributes.get(CONTRACT_STATE)).toBe('suspended');
    await eventually('the contract in a list by its attributes', async () => {
      const query = `ContractState = 'suspended' and ContractId = '${contract.id}' and NextAt > '${now()}'`;
      return (await world.client.workflow.count(query)).count === 1;
    });
    const { updateDefinitions, signalDefinitions, queryDefinitions } = seen.definition;
    const ours = [...updateDefinitions, ...signalDefinitions, ...queryDefinitions].filter(
      ({ name }) => !name?.startsWith('__'),
    );
    expect(ours.map(({ name }) => name).sort()).toEqual(
      [...Object.keys(contractUpdates), 'lotsChanged', 'touched', 'contract'].sort(),
    );
    for (const { description } of ours) expect(description).toMatch(/^[A-Z].{20,}\.$/);
    await contract.goTo(addMilliseconds(endsAt, 1_000));
    const ended = await contract.handle.describe();
    expect(ended.typedSearchAttributes.get(CONTRACT_STATE)).toBe('grace');
    await contract.goTo(addMilliseconds(endsAt, 3 * DAY_MS));
    await contract.handle.result();
    const over = await contract.handle.describe();
    expect(over.typedSearchAttributes.get(CONTRACT_STATE)).toBe('ended');
    expect(over.typedSearchAttributes.get(NEXT_AT)).toBeUndefined();
  });
});

/** An instant that an attribute shows to the millisecond. */
function seenAt(ms: number): unknown {
  return expect.stringContaining(new Date(ms).toISOString().slice(0, -1));
}

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
