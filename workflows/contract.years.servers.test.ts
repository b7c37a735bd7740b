/**
 * Years of contracts on the real server, line by line against tables that were written by hand from the rules. Dates are years
 * ahead and written down, so that a reader can check them on a calendar: in Berlin clocks change on 28 March 2032, on
 * 27 March 2033 and on 30 March 2031.
 */
import { randomUUID } from 'node:crypto';
import { listLots } from '../db/lots';
import { brokenInvariants } from '../db/testing/invariants';
import { verifyLedger } from '../db/verify/verifyLedger';
import { type Instant, parseInstant } from '../domain/instant';
import { type SaidOfContract, TestContract } from '../test/world/contracts';
import { World } from '../test/world/world';

jest.setTimeout(240_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveContracts();
});
afterEach(async () => expect(await brokenInvariants(world.db)).toEqual([]));
afterAll(async () => {
  try {
    expect((await verifyLedger({ kind: 'database', db: world.db })).findings).toEqual([]);
  } finally {
    await world?.close();
  }
});

const on = (text: string): Instant => parseInstant(`${text.replace(' ', 'T')}Z`);

/** From the first of March 2031, midnight in Berlin. */
const BERLIN = { timeZone: 'Europe/Berlin', startsAt: on('2031-02-28 23:00:00') } as const;

/** A contract with what its jobs do, in one line each. */
async function open(said: SaidOfContract) {
  const contract = await TestContract.open(world, { ...BERLIN, ...said });
  const jobs = new Map<string, string>();
  const idOf = (job: string) => {
    const id = jobs.get(job) ?? randomUUID();
    jobs.set(job, id);
    return id;
  };
  const accepted = async (act: Promise<unknown>) => expect(await act).toMatchObject({ accepted: true });
  return {
    contract,
    reserve: (job: string, credits: string, at: string) => accepted(contract.reserve(idOf(job), credits, on(at))),
    settle: (job: string, credits: string, at: string) => accepted(contract.settle(idOf(job), credits, on(at))),
    release: (job: string, at: string) => accepted(contract.release(idOf(job), on(at))),
    refused: async (at: string, code: string) =>
      expect(await contract.reserve(randomUUID(), '0.000001', on(at))).toMatchObject({ accepted: false, code }),
    goTo: async (at: string) => {
      await contract.touch();
      await contract.goTo(on(at));
    },
    lifeOf: async (lotId: string) => {
      const { expiresAt, graceUntil } = (await listLots(world.db, contract.id)).find(({ id }) => id === lotId) ?? {};
      return { expiresAt, graceUntil };
    },
  };
}

it('moves what the rules say in three years with renewals, a lapse, a suspension and a termination', async () => {
  const { contract, reserve, settle, release, refused, goTo, lifeOf } = await open({ graceDays: 30, months: 12 });
  const buy = (credits: string, at: string) => contract.buy(credits, on(at));

  const A = await buy('100', '2031-02-01 10:00');
  await refused('2031-02-15 09:00', 'contract_not_in_force');
  await refused('2031-02-28 22:59:59.999999', 'contract_not_in_force');
  await goTo('2031-05-01 08:00');
  expect((await contract.state()).activatedAt).toBe(on('2031-02-28 23:00'));
  await reserve('j1', '30', '2031-05-01 08:00');
  await settle('j1', '20', '2031-05-01 10:00');
  const B = await buy('60', '2031-06-30 12:00');
  expect(await lifeOf(B)).toEqual({ expiresAt: on('2032-02-29 23:00'), graceUntil: on('2032-03-30 22:00') });
  await goTo('2032-01-20 09:00');
  await reserve('j2', '25', '2032-01-20 09:00');
  await goTo('2032-02-01 10:00');
  await settle('j2', '15', '2032-02-05 09:00');
  await goTo('2032-02-10 12:00');
  await contract.change({ kind: 'renew' });
  expect(await lifeOf(B)).toEqual({ expiresAt: on('2032-06-30 12:00'), graceUntil: null });
  await reserve('j3', '10', '2032-02-20 09:00');
  await goTo('2032-03-05 09:00');
  await settle('j3', '4', '2032-03-05 09:00');
  const D = await buy('70', '2032-03-15 12:00');
  await reserve('j4', '5', '2032-06-30 11:59:59.999999');
  await reserve('j4b', '1', '2032-06-30 12:00');
  await release('j4b', '2032-06-30 12:00');
  await goTo('2032-06-30 12:00');
  await release('j4', '2032-07-02 09:00');
  const C = await buy('200', '2032-08-31 22:30');
  await goTo('2033-02-28 22:00');
  await reserve('j5', '20', '2033-02-28 20:00');
  await reserve('j6', '60', '2033-02-28 21:00');
  await reserve('j7', '40', '2033-02-28 22:59:59.999999');
  await refused('2033-02-28 23:00', 'contract_not_in_force');
  await goTo('2033-03-06 09:00');
  await refused('2033-03-06 09:00', 'contract_not_in_force');
  await settle('j5', '12', '2033-03-06 09:00');
  await release('j7', '2033-03-07 10:00');
  await goTo('2033-03-20 09:00');
  await refused('2033-03-20 09:00', 'contract_not_in_force');
  // R3: nothing has expired yet, not even what has had its twelve months by now.
  expect(await contract.journal()).not.toContainEqual(expect.stringContaining('2033-03-15 12:00 expire'));
  expect((await contract.change({ kind: 'renew' })).terms).toHaveLength(3);
  expect(await lifeOf(C)).toEqual({ expiresAt: on('2033-08-31 22:30'), graceUntil: null });
  await settle('j6', '55', '2033-03-25 09:00');
  await reserve('j8', '190', '2033-04-02 09:00');
  await settle('j8', '190', '2033-04-02 11:00');
  const E = await contract.give('15', on('2033-04-10 09:00'), on('2033-07-10 10:00'));
  await goTo('2033-05-01 09:00');
  await contract.change({ kind: 'suspend' });
  await refused('2033-05-02 09:00', 'contract_suspended');
  await goTo('2033-05-03 09:00');
  await contract.change({ kind: 'resume' });
  await goTo('2033-07-09 09:00');
  await reserve('j9', '10', '2033-07-09 09:00');
  await goTo('2033-07-10 10:00');
  await settle('j9', '7', '2033-07-11 09:00');
  const F = await buy('50', '2033-08-01 12:00');
  const G = await contract.give('4', on('2033-08-01 13:00'), on('2034-01-31 09:00'));
  await goTo('2033-09-10 09:00');
  await contract.change({ kind: 'terminate', at: on('2033-10-01 00:00') });
  expect(await lifeOf(F)).toEqual({ expiresAt: on('2033-10-01 00:00'), graceUntil: null });
  await reserve('j10', '3', '2033-09-15 09:00');
  await goTo('2033-09-20 09:00');
  await contract.change({ kind: 'revokeTermination' });
  expect(await lifeOf(F)).toEqual({ expiresAt: on('2034-02-28 23:00'), graceUntil: on('2034-03-30 22:00') });
  await goTo('2033-10-02 09:00');
  await settle('j10', '1', '2033-10-02 09:00');
  await goTo('2033-11-05 09:00');
  await contract.change({ kind: 'terminate', at: on('2034-01-15 12:00') });
  await reserve('j11', '10', '2034-01-15 11:59:59.999999');
  await refused('2034-01-15 12:00', 'contract_not_in_force');
  await goTo('2034-01-16 09:00');
  await refused('2034-01-16 09:00', 'contract_not_in_force');
  await release('j11', '2034-01-16 09:00');
  await expect(contract.change({ kind: 'renew' })).rejects.toMatchObject({ code: 'contract_closed' });
  await expect(contract.change({ kind: 'revokeTermination' })).rejects.toMatchObject({ code: 'contract_closed' });
  await goTo('2034-01-31 09:00');
  expect(await contract.handle.result()).toMatchObject({ nextAt: null });

  expect(await contract.journal({ [A]: 'A', [B]: 'B', [C]: 'C', [D]: 'D', [E]: 'E', [F]: 'F', [G]: 'G' })).toEqual([
    '2031-02-01 10:00 grant: A granted → available 100', // R3: it may be bought before the contract begins
    '2031-05-01 08:00 reserve: A available → reserved 30', // R3: alive, in a contract in force
    '2031-05-01 10:00 settle: A reserved → consumed 20', // the actual cost
    '2031-05-01 10:00 settle: A reserved → available 10', // R8 by contrast: to a living lot the rest comes back
    '2031-06-30 12:00 grant: B granted → available 60',
    '2032-01-20 09:00 reserve: A available → reserved 25', // R6: A ends on 1 February, B with the contract on 1 March
    '2032-02-01 10:00 expire: A available → expired 55', // R3, R7: eleven o'clock in Berlin, twelve months later
    '2032-02-05 09:00 settle: A reserved → consumed 15', // R8: reserved while it lived
    '2032-02-05 09:00 settle: A reserved → expired 10', // R8: the rest goes to the lot's end
    '2032-02-20 09:00 reserve: B available → reserved 10',
    '2032-03-05 09:00 settle: B reserved → consumed 4', // R3: renewed early, the old end is no end
    '2032-03-05 09:00 settle: B reserved → available 6',
    '2032-03-15 12:00 grant: D granted → available 70',
    '2032-06-30 11:59:59.999999Z reserve: B available → reserved 5', // R7: alive to the last microsecond
    '2032-06-30 12:00 reserve: D available → reserved 1', // R7: dead at the end, although nothing is booked of it
    '2032-06-30 12:00 release: D reserved → available 1',
    '2032-06-30 12:00 expire: B available → expired 51', // R3: twelve months, not the old end of the contract
    '2032-07-02 09:00 release: B reserved → expired 5', // R8
    '2032-08-31 22:30 grant: C granted → available 200', // half past midnight on 1 September in Berlin
    '2033-02-28 20:00 reserve: D available → reserved 20', // R6: both end with the contract, D began earlier
    '2033-02-28 21:00 reserve: D available → reserved 50', // R6: one job, two lots
    '2033-02-28 21:00 reserve: C available → reserved 10',
    '2033-02-28 22:59:59.999999Z reserve: C available → reserved 40',
    // Nothing at the end of 28 February: R3, nothing has expired yet.
    '2033-03-06 09:00 settle: D reserved → consumed 12', // R8: spendable although the contract has ended
    '2033-03-06 09:00 settle: D reserved → available 8', // R3: in the grace nothing has expired yet
    '2033-03-07 10:00 release: C reserved → available 40',
    // R3: renewed in time, the lots live on as if never interrupted: D has had its twelve months in the meantime.
    '2033-03-15 12:00 expire: D available → expired 8',
    '2033-03-25 09:00 settle: D reserved → consumed 50', // R6, R8: D ended first
    '2033-03-25 09:00 settle: C reserved → consumed 5',
    '2033-03-25 09:00 settle: C reserved → available 5', // R3: C lives on
    '2033-04-02 09:00 reserve: C available → reserved 190', // with what came back in the grace
    '2033-04-02 11:00 settle: C reserved → consumed 190',
    '2033-04-10 09:00 grant: E granted → available 15',
    '2033-07-09 09:00 reserve: C available → reserved 5', // R6: courtesy pays last, although it ends first
    '2033-07-09 09:00 reserve: E available → reserved 5',
    '2033-07-10 10:00 expire: E available → expired 10', // R9: its own end
    '2033-07-11 09:00 settle: C reserved → consumed 5', // R6 at the settlement too
    '2033-07-11 09:00 settle: E reserved → consumed 2', // R8
    '2033-07-11 09:00 settle: E reserved → expired 3',
    '2033-08-01 12:00 grant: F granted → available 50',
    '2033-08-01 13:00 grant: G granted → available 4',
    '2033-09-15 09:00 reserve: F available → reserved 3',
    // Nothing on 1 October: the termination was revoked.
    '2033-10-02 09:00 settle: F reserved → consumed 1',
    '2033-10-02 09:00 settle: F reserved → available 2', // R3: restored with the contract's end
    '2034-01-15 11:59:59.999999Z reserve: F available → reserved 10',
    '2034-01-15 12:00 expire: F available → expired 39', // R3: the termination, without a grace
    '2034-01-16 09:00 release: F reserved → expired 10', // R8
    '2034-01-31 09:00 expire: G available → expired 4', // R9: its own end, although the contract was over before
  ]);
});

it('books a lapse that nobody renews with the contract’s end, when its grace is over', async () => {
  const { contract, reserve, settle, release, refused, goTo } = await open({ graceDays: 10, months: 1 });
  const H = await contract.buy('30', on('2031-03-05 09:00'));
  await goTo('2031-03-30 09:00');
  await reserve('k1', '10', '2031-03-30 09:00');
  await reserve('k2', '5', '2031-03-30 09:00');
  await reserve('k3', '6', '2031-03-31 21:59:59.999999');
  await goTo('2031-04-02 09:00');
  await settle('k1', '4', '2031-04-02 09:00');
  await refused('2031-04-02 09:00', 'contract_not_in_force');
  await release('k2', '2031-04-10 21:59:59.999999');
  await contract.goTo(on('2031-04-10 22:00'));
  await release('k3', '2031-04-12 09:00');
  await refused('2031-04-12 09:00', 'contract_not_in_force');
  await expect(contract.change({ kind: 'renew' })).rejects.toMatchObject({ code: 'contract_closed' });
  expect(await contract.state()).toMatchObject({ closedAt: on('2031-04-10 22:00'), endsAt: on('2031-03-31 22:00') });
  expect(await contract.journal({ [H]: 'H' })).toEqual([
    '2031-03-05 09:00 grant: H granted → available 30',
    '2031-03-30 09:00 reserve: H available → reserved 10',
    '2031-03-30 09:00 reserve: H available → reserved 5',
    '2031-03-31 21:59:59.999999Z reserve: H available → reserved 6',
    '2031-04-02 09:00 settle: H reserved → consumed 4', // R8
    '2031-04-02 09:00 settle: H reserved → available 6', // R3: nothing has expired yet
    '2031-04-10 21:59:59.999999Z release: H reserved → available 5', // the last microsecond of ten days of the calendar
    '2031-03-31 22:00 expire: H available → expired 20', // R3: midnight in Berlin, booked as the contract's end
    '2031-04-12 09:00 release: H reserved → expired 6', // R8
  ]);
});

it('books the end of a contract without a grace at its end', async () => {
  const { contract, reserve, settle, refused, goTo } = await open({ graceDays: 0, months: 1 });
  const I = await contract.buy('30', on('2031-03-05 09:00'));
  const Z = await contract.give('2', on('2031-03-05 09:00'), on('2031-03-20 09:00'));
  await goTo('2031-03-30 09:00');
  await reserve('k1', '10', '2031-03-30 09:00');
  await contract.goTo(on('2031-03-31 22:00'));
  await refused('2031-03-31 22:00', 'contract_not_in_force');
  await settle('k1', '3', '2031-04-01 09:00');
  expect(await contract.journal({ [I]: 'I', [Z]: 'Z' })).toEqual([
    '2031-03-05 09:00 grant: I granted → available 30',
    '2031-03-05 09:00 grant: Z granted → available 2',
    '2031-03-20 09:00 expire: Z available → expired 2', // R9
    '2031-03-30 09:00 reserve: I available → reserved 10',
    '2031-03-31 22:00 expire: I available → expired 20', // R3
    '2031-04-01 09:00 settle: I reserved → consumed 3', // R8
    '2031-04-01 09:00 settle: I reserved → expired 7', // R8
  ]);
});
