import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { v7 as uuidv7 } from 'uuid';
import { createNoticeDelivery } from '../activities/notices';
import { temporalWorkflows } from '../api/temporal';
import { firstRow, rows } from '../db/client';
import { LOT_COLUMNS } from '../db/ledger';
import { recordBounce } from '../db/notices';
import { verifyLedger } from '../db/verify/verifyLedger';
import { findWithdrawal, startWithdrawal } from '../db/withdrawals/campaign';
import { formatCredits, parseCredits } from '../domain/credits';
import { addMilliseconds, type Instant, millisecondsOf } from '../domain/instant';
import type { Lot } from '../domain/lots';
import type { GrantOperation, Operation } from '../domain/operations';
import { type WithdrawalUser, withdrawalWorkflowId } from '../domain/withdrawal';
import { createMailChannel } from '../notices/mail';
import { inServiceChannel } from '../notices/shown';
import { startMailServer } from '../notices/testing/mailServer';
import { eventually } from '../test/world/eventually';
import { fastForward } from '../test/world/fastForward';
import { gate } from '../test/world/gate';
import { recordHistory } from '../test/world/histories';
import { type ScriptedNotices, scriptedNotices } from '../test/world/notices';
import { now, type WorkingWorker, World } from '../test/world/world';
import { NEXT_AT } from './searchAttributes';
import type { withdrawal } from './withdrawal';
import {
  noticeBouncedSignal,
  type RescindAnswer,
  rescindUpdate,
  retryUpdate,
  type WithdrawalAsking,
  withdrawalViewQuery,
} from './withdrawalMessages';

jest.setTimeout(90_000);

const DAY_MS = 86_400_000;
const DAYS = 86_400;

let world: World;
let worker: WorkingWorker;
let notices: ScriptedNotices;

beforeAll(async () => {
  world = await World.open();
});
beforeEach(async () => {
  notices = scriptedNotices();
  worker = await world.serveContracts({ notices });
});
afterEach(async () => {
  await worker?.stop();
  expect(await world.faults()).toEqual([]);
});
afterAll(async () => {
  try {
    const { findings } = await verifyLedger({ kind: 'database', db: world.db });
    expect(findings).toEqual([]);
  } finally {
    await world?.close();
  }
});

interface Owner {
  readonly userId: string;
  readonly lotId: string;
}

/** Users with one individual lot each. */
async function owners(count: number, amount = '10'): Promise<Owner[]> {
  const customerId = randomUUID();
  const made = Array.from({ length: count }, () => ({ userId: uuidv7(), lotId: uuidv7() }));
  await world.db('customers').insert({ id: customerId, name: 'Customer' });
  await world.db.raw(
    `insert into users (id, customer_id, name, email)
     select id, ?::uuid, 'User', id || '@example.org' from unnest(?::uuid[]) as id`,
    [customerId, made.map(({ userId }) => userId)],
  );
  const at = addMilliseconds(now(), -DAY_MS);
  const grants = made.map(
    ({ userId, lotId }): GrantOperation => ({
      kind: 'grant',
      act: 'grant',
      at,
      actor: 'test',
      reason: 'credits for a test',
      lot: {
        id: lotId,
        poolId: userId,
        kind: 'individual',
        source: 'allocation',
        amount: parseCredits(amount),
        effectiveAt: at,
        expiresAt: null,
        graceUntil: null,
        purchasedAt: null,
        reference: 'A-1',
        advance: false,
      },
    }),
  );
  for (let from = 0; from < count; from += 1_000) await accept(...grants.slice(from, from + 1_000));
  return made;
}

async function accept(...operations: Operation[]): Promise<void> {
  for (const outcome of await world.ledger.applyBatch(operations)) {
    if (!outcome.accepted) throw new Error(outcome.message);
  }
}

async function owner(amount?: string): Promise<Owner> {
  const [one] = await owners(1, amount);
  if (!one) throw new Error('nobody was made');
  return one;
}

/** A campaign over users, and what a test sees of it. */
class Campaign {
  readonly id = uuidv7();
  readonly handle: WorkflowHandle<typeof withdrawal>;

  private constructor(readonly owners: readonly Owner[]) {
    this.handle = world.client.workflow.getHandle<typeof withdrawal>(withdrawalWorkflowId(this.id));
    world.watch(this.handle);
  }

  static async start(
    of: readonly Owner[],
    options: { pagesPerRun?: number; noticesPerSecond?: number } = {},
  ): Promise<Campaign> {
    const campaign = new Campaign(of);
    await startWithdrawal(world.db, {
      id: campaign.id,
      reason: 'the programme ends',
      selection: { lotIds: of.map(({ lotId }) => lotId) },
      createdBy: of[0]?.userId ?? '',
      startedAt: now(),
      noticesPerSecond: options.noticesPerSecond ?? 1_000,
    });
    if (options.pagesPerRun === undefined) {
      await temporalWorkflows(world.client).startWithdrawal({ id: campaign.id, staticSummary: 'A withdrawal' });
    } else {
      await world.client.workflow.start('withdrawal', {
        workflowId: withdrawalWorkflowId(campaign.id),
        taskQueue: 'holdfast-contracts',
        args: [{ withdrawalId: campaign.id, pagesPerRun: options.pagesPerRun }],
      });
    }
    return campaign;
  }

  /** A user's row. */
  async user({ userId }: Owner): Promise<WithdrawalUser> {
    const found = await firstRow<WithdrawalUser>(
      world.db,
      `select user_id as "userId", state, changed_at as "changedAt", next_at as "nextAt", delivered_at as "deliveredAt",
         channel, withdraws_at as "withdrawsAt", reminded, told_at as "toldAt", round, failure
       from withdrawal_users where withdrawal_id = ? and user_id = ?`,
      [this.id, userId],
    );
    if (!found) throw new Error(`user ${userId} is not in the campaign`);
    return found;
  }

  async states(): Promise<string[]> {
    return Promise.all(this.owners.map(async (one) => (await this.user(one)).state));
  }

  /** Waits until the workflow itself knows that its users are so. */
  async until(counts: Partial<Record<WithdrawalUser['state'], number>>): Promise<void> {
    await eventually(`the campaign with ${JSON.stringify(counts)}`, async () => {
      const view = await this.handle.query(withdrawalViewQuery);
      return view !== null && Object.entries(counts).every(([state, n]) => view.counts[state as 'waiting'] === n);
    });
  }

  forward(days: number): Promise<void> {
    return fastForward(world.client, this.handle.workflowId, Math.round(days * DAYS));
  }

  rescind(asking: Partial<WithdrawalAsking> = {}): Promise<RescindAnswer> {
    const request = { requestId: randomUUID(), userIds: 'all', actor: 'test', reason: 'a mistake', ...asking } as const;
    return this.handle.executeUpdate(rescindUpdate, { args: [request], updateId: request.requestId });
  }
}

async function lotOf({ lotId }: Owner): Promise<Lot> {
  const lot = await firstRow<Lot>(world.db, `select ${LOT_COLUMNS} from lots where id = ?`, [lotId]);
  if (!lot) throw new Error(`there is no lot ${lotId}`);
  return lot;
}

/** What the ledger did about a lot since its grant: kind, instant, and the end that a change of its life gave it. */
async function factsOf({ lotId }: Owner) {
  return rows<{ kind: string; bookedAt: Instant; withdrawnAt: Instant | null }>(
    world.db,
    `select kind, booked_at as "bookedAt", withdrawn_at as "withdrawnAt"
     from operations where subject = ? and kind <> 'grant' order by batch_id, position`,
    [lotId],
  );
}

const daysAfter = (at: Instant | null, days: number) => addMilliseconds(at as Instant, days * DAY_MS);

function reserve({ userId }: Owner, jobId: string, amount: string): Operation {
  const by = { at: now(), actor: 'test', reason: 'a job', jobId, userId, contractId: null };
  return {
    kind: 'reserve',
    act: 'reserve',
    ...by,
    amount: parseCredits(amount),
    cap: parseCredits(amount),
    project: null,
  };
}

test('a notice, two reminders, the withdrawal at its instant and a final notice; what a job holds is spared until it is given back (R4, R8)', async () => {
  const one = await owner('10');
  const [settling, releasing] = [uuidv7(), uuidv7()];
  await accept(reserve(one, settling, '2'), reserve(one, releasing, '3'));
  const campaign = await Campaign.start([one]);
  await campaign.until({ noticed: 1 });
  const { deliveredAt, withdrawsAt, channel } = await campaign.user(one);
  expect(channel).toBe('mail');
  expect(deliveredAt).toMatch(/417Z$/);
  expect(withdrawsAt).toBe(daysAfter(deliveredAt, 90));
  expect((await lotOf(one)).withdrawnAt).toBe(withdrawsAt);
  expect(notices.made).toMatchObject([
    {
      kind: 'withdrawal',
      userId: one.userId,
      subjectId: campaign.id,
      required: true,
      facts: {
        lots: [{ lotId: one.lotId, reference: 'A-1', amount: '5' }],
        total: '5',
        reserved: '5',
        reason: 'the programme ends',
      },
    },
  ]);
  const { searchAttributes } = await campaign.handle.describe();
  expect(searchAttributes[NEXT_AT.name]).toEqual([new Date(daysAfter(withdrawsAt, -30))]);

  await campaign.forward(61);
  expect(notices.made.slice(1)).toMatchObject([
    { kind: 'withdrawal-reminder', facts: { daysLeft: 30, withdrawnAt: withdrawsAt, total: '5' } },
  ]);
  await campaign.forward(24);
  expect(notices.made.slice(2)).toMatchObject([{ kind: 'withdrawal-reminder', facts: { daysLeft: 7 } }]);
  expect(await lotOf(one)).toMatchObject({ available: parseCredits('5'), endedAs: null });

  await campaign.forward(6);
  expect(await campaign.handle.result()).toEqual({
    waiting: 0,
    noticed: 0,
    rescinded: 0,
    withdrawn: 1,
    undeliverable: 0,
  });
  expect(notices.made.slice(3)).toMatchObject([
    { kind: 'withdrawal-final', facts: { withdrawnAt: withdrawsAt, total: '5', reserved: '5' } },
  ]);
  expect(await factsOf(one)).toEqual([
    { kind: 'changeLife', bookedAt: deliveredAt, withdrawnAt: withdrawsAt },
    { kind: 'withdraw', bookedAt: withdrawsAt, withdrawnAt: null },
  ]);
  const afterwards = {
    actor: 'test',
    reason: 'a job',
    userId: one.userId,
    contractId: null,
    at: daysAfter(withdrawsAt, 1),
  };
  await accept(
    { kind: 'settle', act: 'close', jobId: settling, actual: parseCredits('1.5'), ...afterwards },
    { kind: 'release', act: 'close', jobId: releasing, ...afterwards },
  );
  const { available, reserved, consumed, withdrawn } = await lotOf(one);
  expect([available, reserved, consumed, withdrawn].map(formatCredits)).toEqual(['0', '0', '1.5', '8.5']);
  expect(await findWithdrawal(world.db, campaign.id)).toMatchObject({ state: 'ended' });
  await recordHistory('withdrawal-to-its-end', campaign.handle);
});

test('a rescission lets some users or all keep their credits, tells those who had a notice, and ends the campaign', async () => {
  const three = await owners(3);
  const [first, second, third] = three as [Owner, Owner, Owner];
  const campaign = await Campaign.start(three);
  await campaign.until({ noticed: 3 });
  await campaign.handle.cancel();
  expect(await campaign.rescind({ userIds: [second.userId], requestId: 'one' })).toEqual({
    rescinded: 1,
    tookEffect: [],
    tookEffectCount: 0,
  });
  expect(await Promise.all(three.map(async (one) => (await lotOf(one)).withdrawnAt === null))).toEqual([
    false,
    true,
    false,
  ]);
  await eventually('the second user told', async () => notices.kindsFor(second.userId).length === 2);
  expect(notices.kindsFor(second.userId)).toEqual(['withdrawal', 'withdrawal-rescinded']);
  expect(notices.kindsFor(third.userId)).toEqual(['withdrawal']);
  expect(await campaign.rescind()).toMatchObject({ rescinded: 3 });
  expect(await campaign.handle.result()).toMatchObject({ rescinded: 3, withdrawn: 0 });
  expect((await lotOf(first)).withdrawnAt).toBeNull();
  const { changedAt, deliveredAt, withdrawsAt } = await campaign.user(first);
  expect(await factsOf(first)).toEqual([
    { kind: 'changeLife', bookedAt: deliveredAt, withdrawnAt: withdrawsAt },
    { kind: 'changeLife', bookedAt: changedAt, withdrawnAt: null },
  ]);
  expect(notices.kindsFor(first.userId)).toEqual(['withdrawal', 'withdrawal-rescinded']);
});

test('a rescission that cannot be meant is refused with a sentence', async () => {
  const one = await owner();
  const campaign = await Campaign.start([one]);
  for (const [wrong, sentence] of [
    [{ userIds: [] }, /userIds is "all" or a list of 1 to 1000 ids/],
    [{ userIds: ['nobody'] }, /userIds is "all" or a list of 1 to 1000 ids/],
    [{ userIds: 'some' }, /userIds is "all"/],
    [{ reason: '' }, /reason is a text of 1 to 500 characters/],
    [{ actor: 7 }, /actor is a text/],
  ] as const) {
    await expect(campaign.rescind(wrong as never)).rejects.toMatchObject({
      cause: { message: expect.stringMatching(sentence) },
    });
  }
  await campaign.rescind();
  await campaign.handle.result();
});

test('after it took effect a rescission changes nothing and names whose credits are gone; an undeliverable notice takes nothing and can be tried again', async () => {
  const [gone, unreached] = (await owners(2)) as [Owner, Owner];
  notices.script(unreached.userId, { outcome: 'undeliverable', reason: 'No channel reaches the user.' });
  const campaign = await Campaign.start([gone, unreached]);
  await campaign.until({ noticed: 1, undeliverable: 1 });
  expect((await campaign.handle.query(withdrawalViewQuery))?.failures).toEqual([
    `user ${unreached.userId}: No channel reaches the user.`,
  ]);
  await campaign.forward(91);
  await campaign.until({ withdrawn: 1, undeliverable: 1 });
  expect(await campaign.rescind({ userIds: [gone.userId] })).toEqual({
    rescinded: 0,
    tookEffect: [gone.userId],
    tookEffectCount: 1,
  });
  expect(await lotOf(gone)).toMatchObject({ endedAs: 'withdrawn', withdrawn: parseCredits('10') });
  expect(await lotOf(unreached)).toMatchObject({ withdrawnAt: null, available: parseCredits('10') });

  const again = { requestId: 'again', userIds: 'all', actor: 'test', reason: 'the address was wrong' } as const;
  expect(await campaign.handle.executeUpdate(retryUpdate, { args: [again] })).toEqual({ retried: 1 });
  await campaign.until({ noticed: 1, withdrawn: 1 });
  expect(new Set(notices.made.filter(({ userId }) => userId === unreached.userId).map(({ id }) => id)).size).toBe(2);
  const { deliveredAt, withdrawsAt } = await campaign.user(unreached);
  expect(deliveredAt && deliveredAt > daysAfter(now(), 90)).toBe(true);
  expect((await lotOf(unreached)).withdrawnAt).toBe(withdrawsAt);
  expect(await campaign.rescind()).toEqual({ rescinded: 1, tookEffect: [gone.userId], tookEffectCount: 1 });
  await campaign.handle.result();
});

test('operators see how far a campaign is, and which messages it understands', async () => {
  const [reached, unreached] = (await owners(2)) as [Owner, Owner];
  notices.script(unreached.userId, { outcome: 'undeliverable', reason: 'No channel reaches the user.' });
  const campaign = await Campaign.start([reached, unreached]);
  await campaign.until({ noticed: 1, undeliverable: 1 });
  const seen = await campaign.handle.query<Metadata>('__temporal_workflow_metadata');
  const { withdrawsAt } = await campaign.user(reached);
  expect(seen.currentDetails?.split('\n')).toEqual([
    '**running**: the programme ends',
    '',
    '| waiting | noticed | rescinded | withdrawn | undeliverable |',
    '| ------: | ------: | --------: | --------: | ------------: |',
    '| 0 | 1 | 0 | 0 | 1 |',
    '',
    `- next: a reminder 30 days before the end, at **${daysAfter(withdrawsAt, -30)}**`,
    '- undeliverable users wait for the update `retry` or `rescind`',
    `- user ${unreached.userId}: No channel reaches the user.`,
  ]);
  const { queryDefinitions = [], signalDefinitions = [], updateDefinitions = [] } = seen.definition ?? {};
  const described = [...queryDefinitions, ...signalDefinitions, ...updateDefinitions]
    .filter(({ name }) => !name?.startsWith('__'))
    .map(({ name, description }) => ({ name, isDescribed: (description?.length ?? 0) > 20 }));
  expect(described).toEqual(
    ['withdrawal', 'noticeBounced', 'rescind', 'retry'].map((name) => ({ name, isDescribed: true })),
  );
  await campaign.rescind();
  await campaign.handle.result();
});

interface Described {
  readonly name?: string;
  readonly description?: string;
}

/** What the Temporal UI asks of a workflow. */
interface Metadata {
  readonly currentDetails?: string;
  readonly definition?: {
    readonly queryDefinitions?: readonly Described[];
    readonly signalDefinitions?: readonly Described[];
    readonly updateDefinitions?: readonly Described[];
  };
}

test('a delivery that is deferred starts the 90 days later, and one that fails keeps nobody else waiting', async () => {
  const [late, failing, prompt] = (await owners(3)) as [Owner, Owner, Owner];
  notices.script(late.userId, { outcome: 'deferred', retryAt: daysAfter(now(), 2) });
  notices.script(failing.userId, new Error('the mail server answers nonsense'));
  const campaign = await Campaign.start([late, failing, prompt]);
  await campaign.until({ waiting: 2, noticed: 1 });
  expect((await campaign.handle.query(withdrawalViewQuery))?.failures).toEqual([
    `user ${failing.userId}: the mail server answers nonsense`,
  ]);
  expect((await lotOf(late)).withdrawnAt).toBeNull();
  const started = now();
  await campaign.forward(3);
  await campaign.until({ noticed: 3 });
  const delivered = await campaign.user(late);
  expect(delivered.deliveredAt && delivered.deliveredAt >= daysAfter(started, 1.9)).toBe(true);
  expect(delivered.withdrawsAt).toBe(daysAfter(delivered.deliveredAt, 90));
  expect((await lotOf(late)).withdrawnAt).toBe(delivered.withdrawsAt);
  expect((await campaign.user(prompt)).withdrawsAt).not.toBe(delivered.withdrawsAt);
  await campaign.rescind();
  await campaign.handle.result();
});

test('notices go out no faster than the campaign says, and the 90 days of each user start at their own delivery', async () => {
  const three = await owners(3);
  const campaign = await Campaign.start(three, { noticesPerSecond: 20 });
  await campaign.until({ noticed: 3 });
  const users = await Promise.all(three.map((one) => campaign.user(one)));
  const deliveries = users.map(({ deliveredAt }) => millisecondsOf(deliveredAt as Instant)).sort((a, b) => a - b);
  const [first = 0, second = 0, third = 0] = deliveries;
  // One of four lanes has a quarter of the pace.
  expect(second - first).toBeGreaterThanOrEqual(195);
  expect(third - second).toBeGreaterThanOrEqual(195);
  await campaign.rescind();
  await campaign.handle.result();
});

test('a notice that comes back gives the credits their life back, goes out by the next channel, and the 90 days begin anew', async () => {
  const one = await owner();
  notices.script(one.userId, 'mail', 'mail', 'administrator');
  const campaign = await Campaign.start([one]);
  await campaign.until({ noticed: 1 });
  const first = await campaign.user(one);
  await campaign.forward(65);
  expect(notices.kindsFor(one.userId)).toEqual(['withdrawal', 'withdrawal-reminder']);
  const cameBackAt = daysAfter(first.deliveredAt, 64);
  await campaign.handle.signal(noticeBouncedSignal, { userId: one.userId, at: cameBackAt });
  // News of the delivery before, as it is repeated when nobody was sure that it arrived.
  await campaign.handle.signal(noticeBouncedSignal, { userId: one.userId, at: cameBackAt });
  await eventually('the notice delivered again', async () => (await campaign.user(one)).channel === 'administrator');
  await campaign.until({ noticed: 1 });
  const second = await campaign.user(one);
  expect(second.deliveredAt && second.deliveredAt >= cameBackAt).toBe(true);
  expect(second).toMatchObject({ reminded: null, withdrawsAt: daysAfter(second.deliveredAt, 90) });
  expect(await factsOf(one)).toEqual([
    { kind: 'changeLife', bookedAt: first.deliveredAt, withdrawnAt: first.withdrawsAt },
    { kind: 'changeLife', bookedAt: cameBackAt, withdrawnAt: null },
    { kind: 'changeLife', bookedAt: second.deliveredAt, withdrawnAt: second.withdrawsAt },
  ]);
  await campaign.forward(61);
  expect(notices.kindsFor(one.userId)).toEqual(['withdrawal', 'withdrawal-reminder', 'withdrawal-reminder']);
  expect(notices.tried.map(({ kind }) => kind)).toEqual([
    'withdrawal',
    'withdrawal-reminder',
    'withdrawal',
    'withdrawal-reminder',
  ]);
  await campaign.rescind();
  await campaign.handle.result();
});

test('with every worker down at the instant nothing can be spent from it on, and the withdrawal is booked late with its true instant', async () => {
  const one = await owner();
  const campaign = await Campaign.start([one]);
  await campaign.until({ noticed: 1 });
  const { withdrawsAt } = await campaign.user(one);
  await campaign.forward(84);
  await worker.stop();
  const passing = campaign.forward(7);
  await eventually('a timer that nobody heard', async () => {
    const { raw } = await campaign.handle.describe();
    return raw.pendingWorkflowTask !== null && raw.pendingWorkflowTask !== undefined;
  });
  const job = (at: Instant | null) => ({ ...reserve(one, uuidv7(), '1'), at: at as Instant }) as Operation;
  const justBefore = withdrawsAt?.replace(/417Z$/, '416Z') as Instant;
  const [before, after] = await world.ledger.applyBatch([job(justBefore), job(withdrawsAt)]);
  expect([before?.accepted, after?.accepted]).toEqual([true, false]);
  expect(await lotOf(one)).toMatchObject({ endedAs: null, available: parseCredits('9') });
  worker = await world.serveContracts({ notices });
  await passing;
  expect(await campaign.handle.result()).toMatchObject({ withdrawn: 1 });
  expect(await lotOf(one)).toMatchObject({
    endedAs: 'withdrawn',
    withdrawn: parseCredits('9'),
    reserved: parseCredits('1'),
  });
  expect((await factsOf(one)).at(-1)).toEqual({ kind: 'withdraw', bookedAt: withdrawsAt, withdrawnAt: null });
  // The reservation was made before the credits went, and is given back after.
  await accept({
    ...{ kind: 'release', act: 'close', actor: 'test', reason: 'done', userId: one.userId, contractId: null },
    jobId: (before?.accepted && (await openJobOf(one))) || '',
    at: daysAfter(withdrawsAt, 1),
  });
  expect(await lotOf(one)).toMatchObject({ withdrawn: parseCredits('10'), reserved: 0n });
});

async function openJobOf({ userId }: Owner): Promise<string> {
  const found = await firstRow<{ jobId: string }>(
    world.db,
    'select job_id as "jobId" from open_reservations where user_id = ?',
    [userId],
  );
  return found?.jobId ?? '';
}

describe('of two campaigns over one lot', () => {
  test('the earlier end stands, and rescinding one leaves the other’s', async () => {
    const one = await owner();
    const earlier = await Campaign.start([one]);
    await earlier.until({ noticed: 1 });
    const first = await earlier.user(one);
    notices.script(one.userId, { outcome: 'deferred', retryAt: daysAfter(now(), 3) });
    const later = await Campaign.start([one]);
    await later.until({ waiting: 1 });
    await later.forward(4);
    await later.until({ noticed: 1 });
    const second = await later.user(one);
    expect((await lotOf(one)).withdrawnAt).toBe(first.withdrawsAt);
    await earlier.rescind();
    expect((await lotOf(one)).withdrawnAt).toBe(second.withdrawsAt);
    await earlier.handle.result();
    await later.rescind();
    expect((await lotOf(one)).withdrawnAt).toBeNull();
    await later.handle.result();
  });

  test('the first to come books the withdrawal, and the other finds nothing left to do', async () => {
    const one = await owner();
    const earlier = await Campaign.start([one]);
    await earlier.until({ noticed: 1 });
    const later = await Campaign.start([one]);
    await later.until({ noticed: 1 });
    const { withdrawsAt } = await earlier.user(one);
    for (const campaign of [later, earlier]) {
      await campaign.forward(91);
      expect(await campaign.handle.result()).toMatchObject({ withdrawn: 1 });
    }
    expect((await factsOf(one)).filter(({ kind }) => kind === 'withdraw')).toEqual([
      { kind: 'withdraw', bookedAt: withdrawsAt, withdrawnAt: null },
    ]);
  });
});

test('a user whose lots have all ended otherwise before the delivery is let go without a notice', async () => {
  const one = await owner();
  const first = await Campaign.start([one]);
  await first.until({ noticed: 1 });
  notices.script(one.userId, { outcome: 'deferred', retryAt: daysAfter(now(), 92) });
  const second = await Campaign.start([one]);
  await second.until({ waiting: 1 });
  await first.forward(91);
  expect(await first.handle.result()).toMatchObject({ withdrawn: 1 });
  const tried = notices.tried.length;
  await second.forward(93);
  expect(await second.handle.result()).toMatchObject({ rescinded: 1, withdrawn: 0 });
  expect(notices.tried).toHaveLength(tried);
  expect(await second.user(one)).toMatchObject({ failure: 'Every selected lot ended otherwise.' });
});

test('a campaign goes on as a new run in its middle, and a rescission that arrives meanwhile is not lost', async () => {
  const many = await owners(250, '1');
  const arrival = gate();
  notices.hold(arrival.opened);
  const campaign = await Campaign.start(many, { pagesPerRun: 1 });
  const firstRun = (await campaign.handle.describe()).runId;
  await eventually('a notice on its way', () => notices.made.length > 0);
  const spared = many.slice(120, 125).map(({ userId }) => userId);
  const answers = Promise.all(spared.map((userId) => campaign.rescind({ userIds: [userId] })));
  await eventually('the rescissions in the database', async () => {
    const view = await firstRow<{ count: bigint }>(
      world.db,
      'select count(*) from withdrawal_requests where withdrawal_id = ?',
      [campaign.id],
    );
    return view?.count === 5n;
  });
  arrival.open();
  expect(await answers).toEqual(spared.map(() => ({ rescinded: 1, tookEffect: [], tookEffectCount: 0 })));
  // One after another while the runs change.
  const more = many.slice(200, 210).map(({ userId }) => userId);
  for (const userId of more) expect(await campaign.rescind({ userIds: [userId] })).toMatchObject({ rescinded: 1 });
  await campaign.until({ noticed: 235, rescinded: 15 });
  expect((await campaign.handle.describe()).runId).not.toBe(firstRun);
  await campaign.rescind();
  expect(await campaign.handle.result()).toMatchObject({ rescinded: 250 });
  await recordHistory('withdrawal-rescinded-and-continued', campaign.handle);
});

test('thousands of users take a bounded history and a bounded number of pages at once', async () => {
  const many = await owners(2_000, '1');
  const campaign = await Campaign.start(many);
  await campaign.until({ noticed: 2_000 });
  const { historyLength } = await campaign.handle.describe();
  // Twenty pages with three events and at most a workflow task of three events each, and what begins and looks.
  expect(historyLength).toBeLessThan(20 * 6 + 40);
  const ends = await firstRow<{ lots: bigint }>(
    world.db,
    `select count(*) as lots from withdrawal_lots s
     join lots l on l.id = s.lot_id
     join withdrawal_users u on u.withdrawal_id = s.withdrawal_id and u.user_id = s.user_id
     where s.withdrawal_id = ? and l.withdrawn_at = u.withdraws_at`,
    [campaign.id],
  );
  expect(ends?.lots).toBe(2_000n);
  expect(await campaign.rescind()).toMatchObject({ rescinded: 2_000 });
  expect(await campaign.handle.result()).toMatchObject({ rescinded: 2_000 });
});

it('tells its users by real mail, goes on in the service where a mailbox is unknown or a mail comes back, and withdraws', async () => {
  const server = await startMailServer();
  const mail = createMailChannel({ url: server.url, from: 'credits@provider.example' });
  try {
    await worker.stop();
    worker = await world.serveContracts({
      notices: createNoticeDelivery({ db: world.db, channels: [mail, inServiceChannel] }),
    });
    const [heard, unknown, returned] = (await owners(3)) as [Owner, Owner, Owner];
    server.behave({
      recipient: (address) => (address.startsWith(unknown.userId) ? { code: 550, text: 'no such mailbox' } : null),
    });
    const campaign = await Campaign.start([heard, unknown, returned]);
    await campaign.until({ noticed: 3 });
    const channelOf = async (one: Owner) => (await campaign.user(one)).channel;
    expect(await Promise.all([heard, unknown, returned].map(channelOf))).toEqual(['mail', 'in-service', 'mail']);
    const mailsTo = ({ userId }: Owner) => server.mails.filter(({ to }) => JSON.stringify(to).includes(userId));
    const [notice] = mailsTo(returned);
    expect(notice?.text).toMatch(/10 credits/);

    // What comes back was never delivered: the 90 days begin anew with the next channel.
    const at = now();
    const bounce = { messageId: notice?.messageId ?? '', reason: '552 mailbox full', at, actor: heard.userId };
    expect(await recordBounce(world.db, bounce)).toMatchObject({ kind: 'withdrawal', subjectId: campaign.id });
    await temporalWorkflows(world.client).noticeBounced(campaign.id, returned.userId, at);
    await eventually('the next channel', async () => (await channelOf(returned)) === 'in-service');
    const { deliveredAt } = await campaign.user(returned);
    expect(deliveredAt !== null && deliveredAt >= at).toBe(true);

    await campaign.forward(91);
    await campaign.handle.result();
    expect(await campaign.states()).toEqual(['withdrawn', 'withdrawn', 'withdrawn']);
    for (const one of [heard, unknown, returned]) {
      expect(await lotOf(one)).toMatchObject({ available: 0n, withdrawn: 10_000_000n, endedAs: 'withdrawn' });
    }
    // The notice, two reminders, the last word.
    expect(mailsTo(heard)).toHaveLength(4);
    expect(mailsTo(unknown)).toHaveLength(0);
  } finally {
    mail.close();
    await server.close();
  }
});
