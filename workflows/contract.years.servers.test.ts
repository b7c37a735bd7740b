/**
 * Three years of one contract on the real server, its clock fast-forwarded. The table at the end was written from the rules,
 * line by line, before the test was run.
 */
import { randomUUID } from 'node:crypto';
import { brokenInvariants } from '../db/testing/invariants';
import { TestContract } from '../test/world/contracts';
import { recordHistory } from '../test/world/histories';
import { World } from '../test/world/world';

jest.setTimeout(120_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveContracts();
});
afterAll(() => world?.close());

it('lives three years by the rules, whatever its jobs hold across each end', async () => {
  // From 2027 on, so that the years of the table have 365 days up to the leap day of 2028.
  const contract = await TestContract.open(world, { graceDays: 30 });
  const end = (days: number) => contract.calendarDay(days);
  const lots: Record<string, string> = {};
  const buy = async (name: string, credits: string, day: number) => {
    lots[await contract.buy(credits, contract.day(day))] = name;
  };
  const job = randomUUID;
  const [a, b, c, d, e, f, g] = [job(), job(), job(), job(), job(), job(), job()] as const;

  // Year 1: two purchases, a courtesy lot, jobs across the ends of the year.
  await buy('A', '100', 0);
  await buy('B', '50', 200);
  lots[await contract.give('20', contract.day(10), contract.day(40))] = 'C';
  await contract.touch();
  expect(await contract.reserve(a, '130', contract.day(30))).toMatchObject({ code: 'insufficient_credits' });
  expect(await contract.reserve(b, '110', contract.day(30))).toMatchObject({ accepted: true });
  await contract.goTo(contract.day(41));
  await contract.settle(b, '105', contract.day(50));
  expect(await contract.reserve(c, '30', contract.day(360))).toMatchObject({ accepted: true });
  expect(await contract.reserve(d, '5', contract.day(361))).toMatchObject({ accepted: true });
  await contract.goTo(end(366));
  // In the grace: nothing can be spent, nothing of B has expired, what comes back waits with it.
  expect(await contract.reserve(a, '1', contract.day(366))).toMatchObject({ code: 'contract_not_in_force' });
  await contract.release(c, contract.day(370));
  await contract.change({ kind: 'renew' });
  // Renewed in the grace, B pays again, also with what came back; it dies of its own twelve months.
  expect(await contract.reserve(e, '42', contract.day(380))).toMatchObject({ accepted: true });
  await contract.settle(d, '5', contract.day(381));
  await contract.goTo(contract.day(567));
  await contract.release(e, contract.day(570));

  // Year 2: a termination that is revoked, a suspension, and no renewal: the grace runs out.
  await buy('D', '10', 600);
  await contract.change({ kind: 'terminate', at: contract.day(650) });
  await contract.change({ kind: 'revokeTermination' });
  await contract.change({ kind: 'suspend' });
  expect(await contract.reserve(a, '1', contract.day(601))).toMatchObject({ code: 'contract_suspended' });
  await contract.change({ kind: 'resume' });
  expect(await contract.reserve(f, '4', contract.day(602))).toMatchObject({ accepted: true });
  // Renewed early, a third term follows the second without a gap.
  await contract.change({ kind: 'renew' });
  await contract.goTo(contract.day(740));
  await buy('E', '8', 741);
  expect(await contract.reserve(g, '11', contract.day(742))).toMatchObject({ accepted: true });

  // Year 3: terminated for good.
  await contract.change({ kind: 'terminate', at: contract.day(800) });
  await contract.goTo(contract.day(801));
  await contract.settle(g, '9', contract.day(805));
  await contract.release(f, contract.day(806));
  expect(await contract.reserve(a, '1', contract.day(801))).toMatchObject({ code: 'contract_not_in_force' });
  await expect(contract.change({ kind: 'renew' })).rejects.toMatchObject({ code: 'contract_closed' });

  expect(await contract.transfers(lots)).toEqual([
    'day 0 grant: A granted → available 100',
    'day 200 grant: B granted → available 50',
    'day 10 grant: C granted → available 20',
    // R6: shared before courtesy, courtesy last.
    'day 30 reserve: A available → reserved 100',
    'day 30 reserve: C available → reserved 10',
    // R9: a courtesy lot ends at its own instant; what is reserved stays with its job (R8).
    'day 40 expire: C available → expired 10',
    // R6, R8: captured in order; what comes back of the dead lot goes to its end.
    'day 50 settle: A reserved → consumed 100',
    'day 50 settle: C reserved → consumed 5',
    'day 50 settle: C reserved → expired 5',
    'day 360 reserve: B available → reserved 30',
    'day 361 reserve: B available → reserved 5',
    // R3: in the grace what comes back stays available.
    'day 370 release: B reserved → available 30',
    // R3: renewed in time, the lot lives on as if never interrupted.
    'day 380 reserve: B available → reserved 42',
    // R8: reserved before the end, captured after the renewal.
    'day 381 settle: B reserved → consumed 5',
    // R3, R7: twelve months after its purchase, with the leap day of 2028 among them or not as the calendar has it.
    `day ${daysUntilTwelveMonths(contract, 200)} expire: B available → expired 3`,
    'day 570 release: B reserved → expired 42',
    'day 600 grant: D granted → available 10',
    'day 602 reserve: D available → reserved 4',
    'day 741 grant: E granted → available 8',
    // R6: D dies first. Both die with the contract until it is renewed, then of their twelve months.
    'day 742 reserve: D available → reserved 6',
    'day 742 reserve: E available → reserved 5',
    // R3: a termination ends what is left at its instant.
    'day 800 expire: E available → expired 3',
    // R8: spendable by its job all the same, the rest to the end.
    'day 805 settle: D reserved → consumed 6',
    'day 805 settle: E reserved → consumed 3',
    'day 805 settle: E reserved → expired 2',
    'day 806 release: D reserved → expired 4',
  ]);
  expect(await contract.handle.result()).toMatchObject({ nextAt: null, contract: { closedAt: contract.day(800) } });
  await recordHistory('contract-three-years', contract.handle);
  expect(await brokenInvariants(world.db)).toEqual([]);
});

function daysUntilTwelveMonths(contract: TestContract, bought: number): number {
  const at = new Date(contract.day(bought));
  const then = new Date(at);
  then.setUTCFullYear(at.getUTCFullYear() + 1);
  return bought + (then.getTime() - at.getTime()) / 86_400_000;
}
