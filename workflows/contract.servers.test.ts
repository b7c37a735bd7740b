import { randomUUID } from 'node:crypto';
import { brokenInvariants } from '../db/testing/invariants';
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

const looked = (contract: TestContract) =>
  eventually('a look at the calendar', async () => (await contract.handle.query(contractViewQuery)).contract !== null);

it('goes through a year, a lapse in its grace, a renewal and its end', async () => {
  const contract = await TestContract.open(world, { graceDays: 30 });
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
    // 29 February 2028 lies within its twelve months.
    'day 466 expire: B available → expired 1',
  ]);
  await recordHistory('contract-lapsed-and-renewed', contract.handle);
});
