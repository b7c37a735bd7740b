/** A contract's workflow where instants meet, parts are away, and people ask wrong things. */
import { randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { firstRow, rows } from '../db/client';
import { changeContract } from '../db/contracts';
import { brokenInvariants } from '../db/testing/invariants';
import { addDays, addMilliseconds, addMonths, type Instant, parseInstant } from '../domain/instant';
import { TestContract } from '../test/world/contracts';
import { eventually } from '../test/world/eventually';
import { recordHistory } from '../test/world/histories';
import { now, type WorkingWorker, World } from '../test/world/world';
import { type AskedChange, contractUpdates, contractViewQuery, JOBS_TASK_QUEUE, lotsChangedUpdate } from './messages';
import type { reconcile } from './reconcile';
import { CONTRACT_STATE, NEXT_AT } from './searchAttributes';

jest.setTimeout(60_000);

let world: World;
let worker: WorkingWorker;

beforeAll(async () => {
  world = await World.open();
  worker = await world.serveContracts();
  await world.serveJobs();
});
afterEach(async () => expect(await brokenInvariants(world.db)).toEqual([]));
afterAll(() => world?.close());

const looked = (contract: TestContract) =>
  eventually('a look at the calendar', async () => (await contract.handle.query(contractViewQuery)).contract !== null);

const closed = (contract: TestContract) =>
  eventually('the contract closed', async () => (await contract.state()).closedAt !== null && contract.handle.result());

describe('when everything was down over every instant of its life', () => {
  it('each is booked late with its own instant, what would be too late to say is not said, and nothing twice', async () => {
    const startsAt = addMonths(now(), -24, 'UTC');
    const endsAt = addMonths(startsAt, 12, 'UTC');
    const contract = await TestContract.open(world, { startsAt, endsAt, graceDays: 30 });
    const [early, late] = [await contract.buy('10', startsAt), await contract.buy('7', addDays(startsAt, 100, 'UTC'))];
    const graceEnd = addDays(endsAt, 30, 'UTC');
    // Refused on time, with no workflow anywhere.
    expect(await contract.reserve(randomUUID(), '1', endsAt)).toMatchObject({ code: 'contract_not_in_force' });
    await Promise.all([contract.touch(), contract.touch()]);
    await closed(contract);
    expect(await contract.state()).toMatchObject({ activatedAt: startsAt, closedAt: graceEnd });
    const ends = await rows<{ lotId: string; bookedAt: Instant }>(
      world.db,
      `select subject as "lotId", booked_at as "bookedAt" from operations where kind = 'expire' and subject = any(?::uuid[])`,
      [[early, late]],
    );
    expect(new Map(ends.map(({ lotId, bookedAt }) => [lotId, bookedAt]))).toEqual(
      new Map([
        [early, endsAt],
        [late, endsAt],
      ]),
    );
    const told = await rows<{ kind: string }>(
      world.db,
      'select kind from digest_entries where user_id = ? order by kind',
      [contract.adminId],
    );
    await recordHistory('contract-booked-late', contract.handle);
    expect(told.map(({ kind }) => kind)).toEqual([
      'contract-activated',
      'contract-closed',
      'contract-ended',
      'lot-expired',
      'lot-expired',
    ]);
  });

  it('of several reminders that are overdue the last one is sent, with what is left', async () => {
    const contract = await TestContract.open(world, {
      startsAt: addDays(now(), -300, 'UTC'),
      endsAt: addDays(now(), 5, 'UTC'),
    });
    await contract.buy('10', addDays(now(), -100, 'UTC'));
    await contract.touch();
    await looked(contract);
    const told = await rows<{ key: string; facts: { amount: string } }>(
      world.db,
      `select key, facts from digest_entries where user_id = ? and kind = 'contract-ending'`,
      [contract.adminId],
    );
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ key: expect.stringMatching(/\/7$/), facts: { amount: '10' } });
  });

  it('a worker that comes back after the instant books it, and the API’s question waits for nobody', async () => {
    const contract = await TestContract.open(world, {
      startsAt: addDays(now(), -10, 'UTC'),
      endsAt: addMilliseconds(now(), 2_500),
    });
    const lot = await contract.buy('10', addDays(now(), -5, 'UTC'));
    await contract.touch();
    await looked(contract);
    await worker.stop();
    const { endsAt } = await contract.state();
    await eventually('the end', async () => now() > endsAt);
    expect(await contract.reserve(randomUUID(), '1', now())).toMatchObject({ code: 'contract_not_in_force' });
    await expect(contract.change({ kind: 'suspend' })).rejects.toMatchObject({ code: 'unavailable' });
    worker = await world.serveContracts();
    await closed(contract);
    expect(await endOf(lot)).toBe(endsAt);
  });

  it('Postgres that comes back after the instant finds it booked with its own instant', async () => {
    const contract = await TestContract.open(world, {
      startsAt: addDays(now(), -10, 'UTC'),
      endsAt: addMilliseconds(now(), 2_500),
    });
    const lot = await contract.buy('10', addDays(now(), -5, 'UTC'));
    await contract.touch();
    await looked(contract);
    const { endsAt } = await contract.state();
    await world.postgres.cut();
    try {
      await eventually('the end', async () => now() > addMilliseconds(endsAt, 500));
    } finally {
      await world.postgres.restore();
    }
    await eventually('the contract closed', async () => (await contract.state()).closedAt !== null, 40_000);
    await eventually('the end of the lot', async () => (await endOf(lot)) !== undefined);
    expect(await endOf(lot)).toBe(endsAt);
  });
});

async function endOf(lotId: string): Promise<Instant | undefined> {
  const found = await firstRow<{ at: Instant }>(
    world.db,
    `select booked_at as at from operations where kind = 'expire' and subject = ?`,
    [lotId],
  );
  return found?.at;
}

describe('where instants meet', () => {
  it('the contract’s end, a lot’s twelve months and a settlement at one microsecond: in force before, over at it', async () => {
    const startsAt = parseInstant('2024-03-01T00:00:00.000001Z');
    const endsAt = parseInstant('2025-03-01T00:00:00.000001Z');
    const before = parseInstant('2025-03-01T00:00:00Z');
    const contract = await TestContract.open(world, { startsAt, endsAt });
    const lot = await contract.buy('10', startsAt);
    const [held, refused] = [uuidv7(), uuidv7()];
    expect(await contract.reserve(held, '4', before)).toMatchObject({ accepted: true });
    expect(await contract.reserve(refused, '1', endsAt)).toMatchObject({ code: 'contract_not_in_force' });
    await contract.touch();
    await closed(contract);
    expect(await contract.settle(held, '3', endsAt)).toMatchObject({ accepted: true });
    expect(await contract.transfers({ [lot]: 'A' })).toEqual([
      'day 0 grant: A granted → available 10',
      'day 365 reserve: A available → reserved 4',
      'day 365 expire: A available → expired 6',
      'day 365 settle: A reserved → consumed 3',
      'day 365 settle: A reserved → expired 1',
    ]);
  });

  it.each([
    ['Europe/Berlin', '2024-02-28T23:00:00Z', '2025-02-27T23:00:00Z'],
    // Half past one by the clock of the night in which clocks go forward; a year later it is summer at that hour.
    ['Europe/Berlin', '2024-03-31T00:30:00Z', '2025-03-30T23:30:00Z'],
    ['Pacific/Kiritimati', '2024-02-28T11:00:00Z', '2025-02-27T11:00:00Z'],
    ['Pacific/Niue', '2024-02-29T12:00:00Z', '2025-02-28T12:00:00Z'],
  ])('twelve months are of the calendar of %s: bought %s, expired %s', async (timeZone, bought, expired) => {
    const contract = await TestContract.open(world, {
      startsAt: parseInstant('2023-01-01T00:00:00Z'),
      endsAt: parseInstant('2040-01-01T00:00:00Z'),
      timeZone,
    });
    const lot = await contract.buy('10', parseInstant(bought));
    await contract.touch();
    await eventually('the end of the lot', async () => (await endOf(lot)) !== undefined);
    expect(await endOf(lot)).toBe(parseInstant(expired));
  });

  it('a renewal that comes with the timer of the end either renews or is refused, and the lots follow it', async () => {
    const contract = await TestContract.open(world, {
      startsAt: addDays(now(), -10, 'UTC'),
      endsAt: addMilliseconds(now(), 2_000),
    });
    const lot = await contract.buy('10', addDays(now(), -5, 'UTC'));
    await contract.touch();
    await looked(contract);
    const { endsAt } = await contract.state();
    await eventually('the end', async () => now() >= addMilliseconds(endsAt, -20));
    const asked = await Promise.allSettled([contract.change({ kind: 'renew' }), contract.change({ kind: 'renew' })]);
    const renewals = asked.filter(({ status }) => status === 'fulfilled').length;
    const { terms, closedAt } = await contract.state();
    expect(terms).toHaveLength(1 + renewals);
    for (const one of asked)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'contract_closed' });
    await eventually('the end of the contract or none', async () => renewals > 0 || (await endOf(lot)) === endsAt);
    if (renewals > 0) expect(closedAt).toBeNull();
  });
});

describe('a change', () => {
  it('is made once per request, however often it is asked for, and another under the same request is refused', async () => {
    const contract = await TestContract.open(world);
    const request = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => contract.change({ kind: 'renew', months: 6 }, request)),
    );
    expect(new Set(answers.map(({ endsAt }) => endsAt))).toEqual(new Set([addMonths(contract.begin, 18, 'UTC')]));
    expect((await contract.state()).terms).toHaveLength(2);
    // Temporal answers a repeat from the history, whatever it asks; what the database has done it does not do otherwise.
    const asked = { contractId: contract.id, requestId: request, at: now(), actor: 'test', reason: 'a test' };
    await expect(changeContract(world.db, { ...asked, change: { kind: 'renew', months: 7 } })).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    });
  });

  it.each<[string, unknown, RegExp]>([
    ['renew', { months: 0 }, /months/],
    ['renew', { months: 'twelve' }, /months/],
    ['extend', { endsAt: 'tomorrow' }, /endsAt/],
    ['extend', { endsAt: '2020-01-01T00:00:00Z' }, /only a later end/],
    ['terminate', { at: '2020-01-01T00:00:00Z' }, /is over/],
    ['revokeTermination', {}, /not terminated/],
    ['resume', {}, /not suspended/],
    ['changeProducts', { products: [{ product: 'render', type: 'annual', level: 'standard', seats: -1 }] }, /seats/],
    ['changeProducts', { products: 'all' }, /list/],
    ['changeRenewal', { renewal: 'sometimes', renewalMonths: 12, graceDays: 0 }, /renewal/],
  ])('%s with %j is refused with a sentence and leaves no trace', async (kind, given, sentence) => {
    const contract = await TestContract.open(world);
    await expect(contract.change({ kind, ...(given as object) } as AskedChange)).rejects.toMatchObject({
      message: expect.stringMatching(sentence),
    });
    const { version, activatedAt } = await contract.state();
    expect({ version, activatedAt }).toEqual({ version: 2, activatedAt: contract.begin });
  });

  it('without a reason is refused by the workflow itself', async () => {
    const contract = await TestContract.open(world);
    await contract.touch();
    const asked = { requestId: 'r', actor: 'olga' } as never;
    await expect(contract.handle.executeUpdate(contractUpdates.suspend, { args: [asked] })).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/reason is a text/) },
    });
    await expect(contract.ask({ kind: 'suspend' }, 'x'.repeat(501))).rejects.toMatchObject({ code: 'change_invalid' });
  });

  it('is answered once the lots have the lives that follow', async () => {
    const contract = await TestContract.open(world, { months: 24 });
    const lot = await contract.buy('10', contract.begin);
    const cut = addDays(now(), 30, 'UTC');
    await contract.change({ kind: 'terminate', at: cut });
    expect(await expiryOf(lot)).toBe(cut);
    await contract.change({ kind: 'revokeTermination' });
    expect(await expiryOf(lot)).toBe(addMonths(contract.begin, 12, 'UTC'));
  });
});

async function expiryOf(lotId: string): Promise<Instant | undefined> {
  return (await firstRow<{ at: Instant }>(world.db, 'select expires_at as at from lots where id = ?', [lotId]))?.at;
}

it('goes on as a new run without losing an update', async () => {
  const contract = await TestContract.open(world);
  await contract.touch();
  await looked(contract);
  const first = (await contract.handle.describe()).runId;
  let answered = 0;
  const client = async () => {
    for (;;) {
      await contract.handle.executeUpdate(lotsChangedUpdate);
      answered++;
      if (answered % 40 === 0 && (await contract.handle.describe()).runId !== first) return;
      if (answered > 4_000) throw new Error('the workflow never went on as a new run');
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  expect((await contract.handle.describe()).status.name).toBe('RUNNING');
  expect((await contract.change({ kind: 'suspend' })).suspendedAt).not.toBeNull();
});

it('is woken by the reconciler when somebody terminated its workflow, and does what was missed', async () => {
  const contract = await TestContract.open(world, {
    startsAt: addDays(now(), -10, 'UTC'),
    endsAt: addDays(now(), -1, 'UTC'),
  });
  const lot = await contract.buy('10', addDays(now(), -5, 'UTC'));
  await world.owner.raw(`update contracts set recorded_at = recorded_at - interval '1 hour' where id = ?`, [
    contract.id,
  ]);
  const summary = await world.client.workflow.execute<typeof reconcile>('reconcile', {
    taskQueue: JOBS_TASK_QUEUE,
    workflowId: `reconcile-${randomUUID()}`,
  });
  expect(summary.wokenContracts).toContain(contract.id);
  await closed(contract);
  expect(await endOf(lot)).toBe((await contract.state()).endsAt);
});

it('shows operators what it is, what comes next and what they may ask', async () => {
  const contract = await TestContract.open(world, { name: 'Aurora main', graceDays: 14 });
  await contract.buy('10', contract.begin);
  await contract.touch();
  await looked(contract);
  const described = await contract.handle.describe();
  expect(described.typedSearchAttributes.get(CONTRACT_STATE)).toBe('active');
  expect(described.typedSearchAttributes.get(NEXT_AT)).toEqual(
    new Date(addDays(addMonths(contract.begin, 12, 'UTC'), -60, 'UTC')),
  );
  const metadata = await contract.handle.query<Metadata>('__temporal_workflow_metadata');
  for (const fact of [/is \*\*active\*\*/, /grace of 14 days/, /remind/, /expire \| 10/, /available/, /activate/]) {
    expect(metadata.currentDetails).toMatch(fact);
  }
  const { updateDefinitions, signalDefinitions, queryDefinitions } = metadata.definition;
  const ours = [...updateDefinitions, ...signalDefinitions, ...queryDefinitions].filter(
    ({ name }) => !name?.startsWith('__'),
  );
  expect(ours.map(({ name }) => name).sort()).toEqual(
    [...Object.keys(contractUpdates), 'lotsChanged', 'touched', 'contract'].sort(),
  );
  for (const { description } of ours) expect(description).toMatch(/^[A-Z].{20,}\.$/s);
});

interface Definition {
  name?: string;
  description?: string;
}

interface Metadata {
  currentDetails?: string;
  definition: Record<'updateDefinitions' | 'signalDefinitions' | 'queryDefinitions', Definition[]>;
}
