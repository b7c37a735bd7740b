/** The published history by hand: what each version grants to whom. */
import { type AllocationFacts, allocationsDue } from '../domain/allocation';
import { objectionToRules } from '../domain/allocationRules';
import type { ContractProduct } from '../domain/contract';
import { formatCredits, sumOf } from '../domain/credits';
import { parseInstant } from '../domain/instant';
import { versionInForce } from '../domain/versions';
import { contractState } from '../test/builders/contracts';
import { idOf } from '../test/builders/ids';
import { SEED_ALLOCATION_RULES } from './seedAllocationRules';

/** What a contract with one product is granted for a term from a day on: credits in all, of which kinds. */
function granted(startsAt: string, endsAt: string, product: Partial<ContractProduct>, users = 0): string {
  const said = { startsAt: `${startsAt}T00:00:00Z`, endsAt: `${endsAt}T00:00:00Z` };
  const products = [{ product: 'suite', type: 'annual', level: 'premium', seats: 1, ...product }];
  const facts: AllocationFacts = {
    versions: SEED_ALLOCATION_RULES,
    contract: contractState({ ...said, products }),
    authorisations: Array.from({ length: users }, (_, index) => ({
      userId: idOf('user', index + 1),
      authorisedAt: parseInstant(said.startsAt),
      removedAt: null,
    })),
    allocated: new Set(),
  };
  const due = allocationsDue(facts);
  const kinds = [...new Set(due.map(({ kind }) => kind))].join(' and ');
  return `${formatCredits(sumOf(due, ({ amount }) => amount))} ${kinds || 'nothing'}`;
}

test.each([
  ['before there were any', '2011-12-31', '2012-12-31', { seats: 30 }, 30, '0 nothing'],
  ['2012: 100 for each seat', '2012-01-01', '2013-01-01', { seats: 30 }, 30, '3000 shared'],
  ['on its last day', '2013-04-11', '2014-04-11', { seats: 2 }, 0, '200 shared'],
  ['2013-04-12: 100 for each licence and year', '2013-04-12', '2014-04-12', { seats: 30 }, 1, '3000 shared'],
  [
    'on its last day, also for named users',
    '2013-12-12',
    '2014-12-12',
    { seats: 2, type: 'maintenance' },
    5,
    '200 shared',
  ],
  [
    '2013-12-13: 30 licences with one named user',
    '2013-12-13',
    '2014-12-13',
    { seats: 30, type: 'maintenance' },
    1,
    '100 individual',
  ],
  ['30 licences with nobody named', '2013-12-13', '2014-12-13', { seats: 30, type: 'maintenance' }, 0, '0 nothing'],
  ['one licence with three named users', '2014-01-01', '2015-01-01', { type: 'maintenance' }, 3, '300 individual'],
  ['by term: annual', '2014-01-01', '2015-01-01', { seats: 3 }, 2, '300 shared'],
  ['quarterly', '2014-01-01', '2014-04-01', { seats: 3, type: 'quarterly' }, 0, '450 shared'],
  ['two years', '2014-01-01', '2016-01-01', { type: 'two-years' }, 0, '500 shared'],
  ['three years', '2014-01-01', '2017-01-01', { type: 'three-years' }, 0, '500 shared'],
  ['not for resale', '2014-01-01', '2015-01-01', { type: 'not-for-resale' }, 0, '2500 shared'],
])('%s', (_what, startsAt, endsAt, product, users, expected) => {
  expect(granted(startsAt, endsAt, product, users)).toBe(expected);
});

test('each version could be published, and each takes over at its first instant', () => {
  expect(SEED_ALLOCATION_RULES.map(({ rules }) => objectionToRules(rules))).toEqual([null, null, null]);
  const at = (instant: string) => versionInForce(SEED_ALLOCATION_RULES, parseInstant(instant))?.version;
  expect(at('2011-12-31T23:59:59.999999Z')).toBeUndefined();
  expect([at('2012-01-01T00:00:00Z'), at('2013-04-11T23:59:59.999999Z')]).toEqual([1, 1]);
  expect([at('2013-04-12T00:00:00Z'), at('2013-12-12T23:59:59.999999Z'), at('2013-12-13T00:00:00Z')]).toEqual([
    2, 2, 3,
  ]);
});
