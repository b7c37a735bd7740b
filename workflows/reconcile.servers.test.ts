import { randomUUID } from 'node:crypto';
import { reserveJob } from '../db/billing';
import { recordPurchase } from '../db/purchases';
import { DEMO } from '../db/seed';
import { parseCredits } from '../domain/credits';
import { addMilliseconds } from '../domain/instant';
import { gate } from '../test/world/gate';
import { now, World } from '../test/world/world';
import { JOBS_TASK_QUEUE } from './messages';
import type { ReconcileSummary, reconcile } from './reconcile';

jest.setTimeout(60_000);

const HOUR_MS = 3_600_000;

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveJobs();
  await world.serveCompute();
});

afterEach(async () => {
  expect(await world.faults()).toEqual([]);
});

afterAll(() => world?.close());

function runReconcile(): Promise<ReconcileSummary> {
  return world.client.workflow.execute<typeof reconcile>('reconcile', {
    taskQueue: JOBS_TASK_QUEUE,
    workflowId: `reconcile-${randomUUID()}`,
  });
}

it('releases what a terminated workflow held, and does so once', async () => {
  const spender = await world.openSpender('100');
  const working = gate();
  const submitted = await world.submit({
    spender,
    expected: '10',
    submittedAgoMs: HOUR_MS,
    script: async (attempt) => {
      await attempt.meter(3, 0.3);
      working.open();
      return attempt.untilCancelled();
    },
  });
  await working.opened;
  await submitted.handle.terminate('an operator did it');
  expect(await world.balanceOf(spender)).toMatchObject({ reserved: '10' });
  expect((await runReconcile()).repaired).toEqual([submitted.jobId]);
  expect(await world.balanceOf(spender)).toEqual({ available: '100', reserved: '0', consumed: '0' });
  expect(await submitted.row()).toMatchObject({ state: 'released', reason: 'workflow-closed' });
  expect(await runReconcile()).toEqual({
    examined: 0,
    repaired: [],
    findings: [],
    fulfilledPurchases: [],
    wokenContracts: [],
  });
});

it('leaves a job alone whose workflow lives', async () => {
  const spender = await world.openSpender('100');
  const end = gate();
  const submitted = await world.submit({
    spender,
    expected: '10',
    submittedAgoMs: HOUR_MS,
    script: async (attempt) => {
      await end.opened;
      return attempt.finish();
    },
  });
  expect(await runReconcile()).toEqual({
    examined: 1,
    repaired: [],
    findings: [],
    fulfilledPurchases: [],
    wokenContracts: [],
  });
  expect(await world.balanceOf(spender)).toMatchObject({ reserved: '10' });
  end.open();
  expect(await submitted.handle.result()).toMatchObject({ state: 'settled' });
});

it('leaves a job alone that is so young that its workflow may be on its way', async () => {
  const spender = await world.openSpender('100');
  const young = await world.place({ spender, expected: '10', submittedAgoMs: 60_000 });
  expect(await runReconcile()).toEqual({
    examined: 0,
    repaired: [],
    findings: [],
    fulfilledPurchases: [],
    wokenContracts: [],
  });
  expect(await young.row()).toMatchObject({ state: 'reserving' });
  await young.ask();
  await young.handle.terminate();
});

it('closes a job whose workflow never started, and a reserve that was only slow finds the mark and refuses', async () => {
  const spender = await world.openSpender('100');
  const submitted = await world.place({ spender, expected: '10', submittedAgoMs: HOUR_MS });
  expect((await runReconcile()).repaired).toContain(submitted.jobId);
  expect(await submitted.row()).toMatchObject({ state: 'released', reason: 'workflow-missing' });
  expect(await reserveJob(world.ledger, { jobId: submitted.jobId, at: now() })).toMatchObject({
    rejected: { message: expect.stringMatching(/never started/) },
  });
  expect(await submitted.ask()).toMatchObject({ status: 'rejected' });
  expect(await submitted.handle.result()).toMatchObject({ state: 'rejected', charged: '0' });
  expect(await submitted.row()).toMatchObject({ state: 'released' });
  expect(await world.balanceOf(spender)).toEqual({ available: '100', reserved: '0', consumed: '0' });
});

it('walks through more jobs than fit a page', async () => {
  const spender = await world.openSpender('100');
  const placed = [];
  for (let number = 0; number < 103; number++) {
    placed.push(await world.place({ spender, expected: '1', submittedAgoMs: HOUR_MS }));
  }
  const { examined, repaired } = await runReconcile();
  expect(examined).toBeGreaterThanOrEqual(103);
  expect(repaired).toEqual(expect.arrayContaining(placed.map(({ jobId }) => jobId)));
});

it('reports a reservation that somebody left open by hand', async () => {
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
  const [before] = [await submitted.row()];
  await world.db.raw("update jobs set state = 'settled', ended_at = ? where id = ?", [now(), submitted.jobId]);
  expect((await runReconcile()).findings).toEqual([expect.stringContaining(submitted.jobId)]);
  await world.db.raw('update jobs set state = ?, ended_at = null where id = ?', [before.state, submitted.jobId]);
  end.open();
  await submitted.handle.result();
});

it('grants what was bought and allocated by somebody who was lost before the grant, once', async () => {
  const { contractId } = await world.openSpender('0');
  const contract = await world.db('contracts').where({ id: contractId }).first('customer_id');
  const at = addMilliseconds(now(), -HOUR_MS);
  const order = { orderNumber: randomUUID(), customerId: contract.customer_id, bought: { amount: parseCredits('5') } };
  const { purchase } = await recordPurchase(
    world.db,
    { ...order, price: null, purchasedAt: null, contractId },
    { actor: DEMO.people.provider.id, at },
  );
  expect((await runReconcile()).fulfilledPurchases).toEqual([purchase.id]);
  expect((await runReconcile()).fulfilledPurchases).toEqual([]);
  expect(await world.balanceOf({ userId: '', contractId })).toMatchObject({ available: '5' });
});
