import { randomUUID } from 'node:crypto';
import { brokenInvariants } from '../db/testing/invariants';
import { addMilliseconds, parseInstant } from '../domain/instant';
import { TestContract } from '../test/world/contracts';
import { eventually } from '../test/world/eventually';
import { recordHistory } from '../test/world/histories';
import { World } from '../test/world/world';
import { contractViewQuery } from './messages';

jest.setTimeout(60_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveContracts();
});
afterEach(async () => expect(await brokenInvariants(world.db)).toEqual([]));
afterAll(() => world?.close());

/** Years ahead, so that day 425 is 29 February 2032 whenever the test runs. */
const BEGIN = parseInstant('2031-01-01T00:00:00Z');
const DAY_MS = 86_400_000;

const looked = (contract: TestContract) =>
  eventually('a look at the calendar', async () => (await contract.handle.query(contractViewQuery)).contract !== null);

it('goes through a year, a lapse in its grace, a renewal and its end', async () => {
  const contract = await TestContract.open(world, { startsAt: BEGIN, graceDays: 30 });
  const lot = await contract.buy('10', contract.day(0));
  const later = await contract.buy('7', contract.day(100));
  const [held, spent] = [randomUUID(), randomUUID()];
  await contract.touch();
  await looked(contract);
  expect(await contract.reserve(held, '3', contract.day(360))).toMatchObject({ accepted: true });
  expect(await contract.reserve(spent, '2', contract.day(361))).toMatchObject({ accepted: true });
  await contract.goTo(contract.day(366));
  // The first lot's twelve months ended with the contract; the second may live on.
  expect(await contract.settle(spent, '1', contract.day(367))).toMatchObject({ accepted: true });
  expect(await contract.reserve(randomUUID(), '1', contract.day(366))).toMatchObject({ code: 'contract_not_in_force' });
  expect((await contract.change({ kind: 'renew' })).terms).toHaveLength(2);
  await contract.release(held, contract.day(370));
  expect(await contract.reserve(randomUUID(), '6', contract.day(371))).toMatchObject({ accepted: true });
  await contract.goTo(contract.day(466));
  expect(await contract.transfers({ [lot]: 'A', [later]: 'B' })).toEqual([
    'day 0 grant: A granted → available 10',
    'day 100 grant: B granted → available 7',
    'day 360 reserve: A available → reserved 3',
    'day 361 reserve: A available → reserved 2',
    'day 365 expire: A available → expired 5',
    'day 367 settle: A reserved → consumed 1',
    'day 367 settle: A reserved → expired 1',
    'day 370 release: A reserved → expired 3',
    'day 371 reserve: B available → reserved 6',
    // 29 February 2032 lies within its twelve months.
    'day 466 expire: B available → expired 1',
  ]);
});

it('reminds four times in a quiet year, and closes at its end', async () => {
  const contract = await TestContract.open(world, { startsAt: BEGIN });
  await contract.touch();
  await contract.goTo(contract.day(365));
  await contract.handle.result();
  expect(await contract.told()).toEqual(['contract-activated', ...Array(4).fill('contract-ending'), 'contract-closed']);
  expect(await contract.changes()).toEqual(['create', 'activate', 'close']);
  await recordHistory('contract-quiet-year', contract.handle);
});

it('goes on from its old end when it is renewed within its grace', async () => {
  const contract = await TestContract.open(world, { startsAt: BEGIN, endsAt: at(5), graceDays: 3 });
  const lot = await contract.buy('10', contract.day(1));
  await contract.touch();
  await contract.goTo(contract.day(6));
  expect((await contract.state()).closedAt).toBeNull();
  expect(await contract.change({ kind: 'renew', months: 1 })).toMatchObject({
    terms: [{ endsAt: at(5) }, { startsAt: at(5), endsAt: parseInstant('2031-02-06T00:00:00Z') }],
  });
  await contract.goTo(contract.day(36 + 3));
  await contract.handle.result();
  expect(await contract.transfers({ [lot]: 'lot' })).toEqual([
    'day 1 grant: lot granted → available 10',
    'day 36 expire: lot available → expired 10',
  ]);
  expect(await contract.changes()).toEqual(['create', 'activate', 'renew', 'close']);
  await recordHistory('contract-renewed-in-its-grace', contract.handle);
});

it('lives on after a termination that was revoked, and ends with one that takes effect', async () => {
  const contract = await TestContract.open(world, { startsAt: BEGIN, endsAt: at(20), graceDays: 3 });
  const lot = await contract.buy('10', contract.day(1));
  await contract.touch();
  await contract.goTo(contract.day(2));
  await contract.change({ kind: 'terminate', at: at(6) });
  await contract.goTo(contract.day(5));
  await contract.change({ kind: 'revokeTermination' });
  await contract.goTo(contract.day(8));
  expect(await contract.transfers()).toHaveLength(1);
  await recordHistory('contract-termination-revoked', contract.handle);
  await contract.change({ kind: 'terminate', at: at(10) });
  await contract.goTo(contract.day(10));
  await contract.handle.result();
  expect(await contract.transfers({ [lot]: 'lot' })).toEqual([
    'day 1 grant: lot granted → available 10',
    'day 10 expire: lot available → expired 10',
  ]);
  expect(await contract.told()).not.toContain('contract-ended');
  await recordHistory('contract-terminated', contract.handle);
});

function at(day: number) {
  return addMilliseconds(BEGIN, day * DAY_MS);
}
