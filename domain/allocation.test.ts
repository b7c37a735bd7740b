import fc from 'fast-check';
import { contractState } from '../test/builders/contracts';
import { idOf } from '../test/builders/ids';
import { holds } from '../test/builders/seed';
import {
  type AllocationDue,
  type AllocationFacts,
  allocationsDue,
  type ContractMoment,
  type Naming,
} from './allocation';
import type { AllocationRule, AllocationRules } from './allocationRules';
import type { ContractProduct, Term } from './contract';
import { formatCredits } from './credits';
import { type Instant, parseInstant } from './instant';

const CONTRACT = idOf('contract', 1);
const ANNA = idOf('user', 1);

/** Midnight in UTC of a day such as `2026-03-01`. */
const day = (text: string): Instant => parseInstant(`${text}T00:00:00Z`);
const annual = (seats: number, type = 'annual'): ContractProduct => ({ product: 'mesh', type, level: 'pro', seats });
const rule = (said: Partial<AllocationRule> = {}): AllocationRule => ({
  key: 'credits',
  product: null,
  type: null,
  level: null,
  recipient: 'contract',
  amount: '10',
  per: 'seat',
  frequency: 'per-term',
  ...said,
});
const toUsers = (said: Partial<AllocationRule> = {}) =>
  rule({ recipient: 'named-user', per: 'flat', frequency: 'once', ...said });
const version = (number: number, effective: string, ...rules: AllocationRule[]): AllocationRules => ({
  version: number,
  title: `version ${number}`,
  effectiveAt: day(effective),
  rules,
});
const terms = (...days: string[]): Term[] =>
  days.slice(1).map((end, index) => ({ number: index + 1, startsAt: day(days[index] ?? ''), endsAt: day(end) }));
const moment = (at: string, products: readonly ContractProduct[], suspended?: string): ContractMoment => ({
  at: day(at),
  products,
  suspendedAt: suspended === undefined ? null : day(suspended),
});
const named = (userId: string, from: string, to?: string): Naming => ({
  userId,
  authorisedAt: day(from),
  removedAt: to === undefined ? null : day(to),
});

/** What is due of the contract of the year 2026 that begins with one product of 30 seats. */
function due(said: Partial<AllocationFacts> & { readonly rules?: readonly AllocationRule[] } = {}): AllocationDue[] {
  const { rules = [rule()], ...facts } = said;
  return allocationsDue({
    versions: [version(1, '2020-01-01', ...rules)],
    contract: contractState({ products: [annual(30)] }),
    authorisations: [],
    allocated: new Set(),
    ...facts,
  });
}

/** An allocation in one line: the day, credits, and its key without what is the same in all of them. */
function line({ at, amount, key, kind }: AllocationDue): string {
  const short = key.replace(`/contract/${CONTRACT}`, '').replace('rule/', '').replace(`/user/${ANNA}`, '/anna');
  return `${at.slice(0, 10)} ${kind} ${formatCredits(amount)} ${short}`;
}
const lines = (said: Parameters<typeof due>[0] = {}) => due(said).map(line);
const twoTerms = { terms: terms('2026-01-01', '2027-01-01', '2028-01-01'), endsAt: '2028-01-01T00:00:00Z' };

describe('for each seat and term', () => {
  it('the seats get theirs when each term begins, also in terms that are agreed and lie ahead', () => {
    const contract = contractState({ products: [annual(30)], ...twoTerms });
    expect(due({ contract })).toEqual([
      {
        key: `rule/credits/contract/${CONTRACT}/term/1/seats/1-30`,
        at: day('2026-01-01'),
        amount: 300_000_000n,
        because: 'Term 1 of the contract began: 10 for each of 30 seats by rule credits.',
        poolId: CONTRACT,
        kind: 'shared',
        userId: null,
        ruleKey: 'credits',
        version: 1,
        after: null,
      },
      expect.objectContaining({
        key: `rule/credits/contract/${CONTRACT}/term/2/seats/1-30`,
        at: day('2027-01-01'),
      }),
    ]);
  });

  it('seats that are added within a term get theirs then, and none twice when they go and come again', () => {
    const history = [
      moment('2026-01-01', [annual(30)]),
      moment('2026-03-01', [annual(40)]),
      moment('2026-05-01', [annual(20)]),
      moment('2026-07-01', [annual(40)]),
      moment('2026-09-01', [annual(41)]),
    ];
    const contract = contractState({ products: [annual(41)], ...twoTerms });
    expect(lines({ contract, history })).toEqual([
      '2026-01-01 shared 300 credits/term/1/seats/1-30',
      '2026-03-01 shared 100 credits/term/1/seats/31-40',
      '2026-09-01 shared 10 credits/term/1/seats/41-41',
      '2027-01-01 shared 410 credits/term/2/seats/1-41',
    ]);
  });

  it('later seats come after earlier ones that are due, and after nothing once those have theirs', () => {
    const history = [
      moment('2026-01-01', [annual(3)]),
      moment('2026-03-01', [annual(4)]),
      moment('2026-05-01', [annual(5)]),
    ];
    const contract = contractState({ products: [annual(5)] });
    const seats = (numbers: string) => `rule/credits/contract/${CONTRACT}/term/1/seats/${numbers}`;
    const orderOf = (allocated: string[]) =>
      due({ contract, history, allocated: new Set(allocated.map(seats)) }).map((one) => one.after);
    expect(orderOf([])).toEqual([null, seats('1-3'), seats('4-4')]);
    expect(orderOf(['1-3'])).toEqual([null, seats('4-4')]);
    // Three of them came when there was no rule for them.
    const versions = [version(1, '2026-02-01', rule())];
    expect(due({ contract, history, versions }).map((one) => one.after)).toEqual([null, seats('4-4')]);
  });

  it('what is allocated is not due again, and whoever has counted more seats before has granted them', () => {
    const term = `rule/credits/contract/${CONTRACT}/term/1/seats`;
    expect(lines({ allocated: new Set([`${term}/1-30`]) })).toEqual([]);
    expect(lines({ allocated: new Set([`${term}/1-20`]) })).toEqual([
      '2026-01-01 shared 100 credits/term/1/seats/21-30',
    ]);
    expect(lines({ allocated: new Set([`${term}/1-35`]) })).toEqual([]);
  });

  it('a product counts for the rules that match it, each value or any', () => {
    const products = [
      annual(30),
      annual(4, 'quarterly'),
      { product: 'flow', type: 'annual', level: 'basic', seats: 5 },
    ];
    const seats = (said: Partial<AllocationRule>) =>
      lines({ contract: contractState({ products }), rules: [rule(said)] }).map((text) => text.split('/').at(-1));
    expect(seats({})).toEqual(['1-39']);
    expect(seats({ type: 'annual' })).toEqual(['1-35']);
    expect(seats({ type: 'annual', product: 'flow' })).toEqual(['1-5']);
    expect(seats({ level: 'pro' })).toEqual(['1-34']);
    expect(seats({ level: 'ultra' })).toEqual([]);
  });

  it('products that come before the contract begins count from its beginning', () => {
    const history = [moment('2025-11-01', [annual(1)]), moment('2025-12-01', [annual(2)])];
    expect(lines({ history })).toEqual(['2026-01-01 shared 20 credits/term/1/seats/1-2']);
  });
});

describe('flat and once', () => {
  it('a contract gets a flat amount in each term, or once ever, whatever its seats', () => {
    const contract = contractState({ products: [annual(30)], ...twoTerms });
    expect(lines({ contract, rules: [rule({ per: 'flat' })] })).toEqual([
      '2026-01-01 shared 10 credits/term/1',
      '2027-01-01 shared 10 credits/term/2',
    ]);
    expect(lines({ contract, rules: [rule({ per: 'flat', frequency: 'once' })] })).toEqual([
      '2026-01-01 shared 10 credits/once',
    ]);
  });

  it('each seat gets it once ever: a renewal brings nothing, more seats do', () => {
    const contract = contractState({ products: [annual(35)], ...twoTerms });
    const history = [moment('2026-01-01', [annual(30)]), moment('2027-02-01', [annual(35)])];
    expect(lines({ contract, history, rules: [rule({ frequency: 'once' })] })).toEqual([
      '2026-01-01 shared 300 credits/once/seats/1-30',
      '2027-02-01 shared 50 credits/once/seats/31-35',
    ]);
  });
});

describe('a named user', () => {
  const rules = [toUsers()];

  it('gets it once ever, however often named and whatever is renewed', () => {
    const contract = contractState({ products: [annual(30)], ...twoTerms });
    const authorisations = [
      named(ANNA, '2026-02-01', '2026-03-01'),
      named(ANNA, '2026-06-01'),
      named(ANNA, '2027-06-01'),
    ];
    expect(due({ contract, rules, authorisations })).toEqual([
      {
        key: `rule/credits/user/${ANNA}`,
        at: day('2026-02-01'),
        amount: 10_000_000n,
        because: 'A user was named: 10 credits by rule credits.',
        poolId: ANNA,
        kind: 'individual',
        userId: ANNA,
        ruleKey: 'credits',
        version: 1,
        after: null,
      },
    ]);
    const allocated = new Set([`rule/credits/user/${ANNA}`]);
    expect(lines({ contract, rules, authorisations, allocated })).toEqual([]);
  });

  it('of thirty licences is the only one who gets something', () => {
    expect(lines({ rules, authorisations: [named(ANNA, '2026-01-01')] })).toEqual([
      '2026-01-01 individual 10 credits/anna',
    ]);
    expect(lines({ rules })).toEqual([]);
  });

  it('who was named before the contract begins gets it when it begins, and nothing when removed by then', () => {
    expect(lines({ rules, authorisations: [named(ANNA, '2025-12-01')] })).toEqual([
      '2026-01-01 individual 10 credits/anna',
    ]);
    expect(lines({ rules, authorisations: [named(ANNA, '2025-12-01', '2026-01-01')] })).toEqual([]);
  });

  it('removed later was named then, whenever that is booked', () => {
    expect(lines({ rules, authorisations: [named(ANNA, '2026-02-01', '2026-02-02')] })).toEqual([
      '2026-02-01 individual 10 credits/anna',
    ]);
  });

  it('gets it when a product comes that the rule is for, and not when what it is for was there before', () => {
    const history = [
      moment('2026-01-01', [annual(1, 'trial')]),
      moment('2026-04-01', [annual(1)]),
      moment('2026-05-01', [annual(9)]),
    ];
    const authorisations = [named(ANNA, '2026-02-01')];
    expect(lines({ history, authorisations, rules: [toUsers({ type: 'annual' })] })).toEqual([
      '2026-04-01 individual 10 credits/anna',
    ]);
    const versions = [version(1, '2026-04-15', toUsers({ type: 'annual' }))];
    expect(lines({ history, authorisations, versions })).toEqual([]);
  });

  it('gets what comes per term in each term, once', () => {
    const contract = contractState({ products: [annual(30)], ...twoTerms });
    const authorisations = [named(ANNA, '2026-02-01', '2026-03-01'), named(ANNA, '2026-06-01')];
    expect(lines({ contract, authorisations, rules: [toUsers({ frequency: 'per-term' })] })).toEqual([
      '2026-02-01 individual 10 credits/anna/term/1',
      '2027-01-01 individual 10 credits/anna/term/2',
    ]);
  });

  it('received before 2013-12-13 what is shared, whatever it was called (R5)', () => {
    const contract = contractState({
      products: [annual(1)],
      startsAt: '2013-12-01T00:00:00Z',
      endsAt: '2014-12-01T00:00:00Z',
    });
    const versions = [version(1, '2013-01-01', toUsers())];
    const at = (instant: string) =>
      due({
        contract,
        versions,
        authorisations: [{ userId: ANNA, authorisedAt: parseInstant(instant), removedAt: null }],
      });
    expect(at('2013-12-12T23:59:59.999999Z')).toMatchObject([{ kind: 'shared', poolId: CONTRACT, userId: ANNA }]);
    expect(at('2013-12-13T00:00:00Z')).toMatchObject([{ kind: 'individual', poolId: ANNA }]);
  });
});

describe('the version in force at the occasion counts', () => {
  const versions = [
    version(1, '2020-01-01', rule({ amount: '10' })),
    version(2, '2026-06-01', rule({ amount: '20' })),
    version(3, '2027-06-01'),
  ];
  const contract = contractState({
    products: [annual(3)],
    terms: terms('2026-01-01', '2027-01-01', '2028-01-01', '2029-01-01'),
    endsAt: '2029-01-01T00:00:00Z',
  });

  it('for the beginning of a term, and for seats that are added', () => {
    const history = [moment('2026-01-01', [annual(1)]), moment('2026-06-01', [annual(3)])];
    expect(lines({ contract, versions, history })).toEqual([
      '2026-01-01 shared 10 credits/term/1/seats/1-1',
      '2026-06-01 shared 40 credits/term/1/seats/2-3',
      '2027-01-01 shared 60 credits/term/2/seats/1-3',
    ]);
  });

  it('and of two that take effect at the same instant, the one published later', () => {
    const both = [...versions, version(4, '2026-06-01', rule({ amount: '30' }))];
    expect(due({ contract, versions: both }).at(-1)).toMatchObject({ version: 4, at: day('2027-01-01') });
  });

  it('a rule that comes while a contract has its seats is for those that are added', () => {
    const history = [moment('2026-01-01', [annual(1)]), moment('2026-07-01', [annual(3)])];
    expect(lines({ contract, versions: versions.slice(1), history })[0]).toBe(
      '2026-07-01 shared 40 credits/term/1/seats/2-3',
    );
  });
});

describe('a contract that is not in force', () => {
  const authorisations = [named(ANNA, '2026-05-01')];
  const rules = [toUsers({ key: 'user' }), rule()];

  it('grants nothing once it is over, for what lies after its end', () => {
    const contract = contractState({ products: [annual(1)], endsAt: '2026-05-01T00:00:00Z' });
    expect(lines({ contract, authorisations, rules })).toEqual(['2026-01-01 shared 10 credits/term/1/seats/1-1']);
    expect(lines({ contract: { ...contract, closedAt: day('2026-05-01') }, authorisations, rules })).toEqual([]);
  });

  it('grants what came in its grace at that instant, once it is renewed', () => {
    const state = { products: [annual(1)], ...twoTerms };
    expect(lines({ contract: contractState(state), authorisations: [named(ANNA, '2027-01-20')], rules }).at(-1)).toBe(
      '2027-01-20 individual 10 user/anna',
    );
  });

  it('grants nothing while it is suspended, and what came meanwhile when it is resumed', () => {
    const suspended = [moment('2026-01-01', [annual(1)]), moment('2026-04-01', [annual(1)], '2026-04-01')];
    const contract = contractState({ products: [annual(3)], suspendedAt: '2026-04-01T00:00:00Z' });
    const meanwhile = [...suspended, moment('2026-06-01', [annual(3)], '2026-04-01')];
    const before = '2026-01-01 shared 10 credits/term/1/seats/1-1';
    expect(lines({ contract, history: meanwhile, authorisations, rules })).toEqual([before]);
    const resumed = {
      contract: { ...contract, suspendedAt: null },
      history: [...meanwhile, moment('2026-08-01', [annual(3)])],
    };
    expect(lines({ ...resumed, authorisations, rules })).toEqual([
      before,
      '2026-08-01 shared 20 credits/term/1/seats/2-3',
      '2026-08-01 individual 10 user/anna',
    ]);
    const gone = [named(ANNA, '2026-05-01', '2026-07-01')];
    expect(lines({ ...resumed, authorisations: gone, rules })).toHaveLength(2);
  });
});

describe('whatever happens', () => {
  /** A contract of two years in which seats, suspensions and users come and go. */
  const anyWorld = fc.record({
    changes: fc.array(
      fc.record({
        at: fc.integer({ min: 0, max: 729 }),
        seats: fc.integer({ min: 0, max: 9 }),
        type: fc.constantFrom('annual', 'quarterly'),
        suspends: fc.boolean(),
      }),
      { maxLength: 8 },
    ),
    namings: fc.array(
      fc.record({
        user: fc.integer({ min: 1, max: 3 }),
        from: fc.integer({ min: -30, max: 760 }),
        days: fc.option(fc.integer({ min: 1, max: 300 })),
      }),
      { maxLength: 8 },
    ),
    amounts: fc.array(fc.record({ at: fc.integer({ min: -10, max: 700 }), type: fc.constantFrom(null, 'annual') }), {
      maxLength: 4,
    }),
    /** How much of the history is known when each of the allocators looks. */
    looks: fc.array(fc.record({ known: fc.nat(8), takes: fc.nat(5), picks: fc.nat(1_000) }), { maxLength: 12 }),
  });

  const START = Date.UTC(2026, 0, 1);
  const inDays = (days: number) => parseInstant(new Date(START + days * 86_400_000).toISOString());

  type World = typeof anyWorld extends fc.Arbitrary<infer T> ? T : never;

  function factsOf({ changes, namings, amounts }: World, known: number): Omit<AllocationFacts, 'allocated'> {
    let suspendedAt: Instant | null = null;
    const history: ContractMoment[] = [{ at: inDays(0), products: [annual(3)], suspendedAt }];
    // No two at one instant: what an allocator has seen of an instant is all of it.
    const ordered = [...new Map(changes.map((change) => [change.at, change])).values()].sort((a, b) => a.at - b.at);
    for (const { at, seats, type, suspends } of ordered.slice(0, known)) {
      const products: readonly ContractProduct[] = suspends
        ? (history.at(-1)?.products ?? [])
        : seats === 0
          ? []
          : [annual(seats, type)];
      if (suspends) suspendedAt = suspendedAt === null ? inDays(at) : null;
      history.push({ at: inDays(at), products, suspendedAt });
    }
    return {
      versions: [
        version(1, '2020-01-01', rule(), toUsers({ key: 'user' }), toUsers({ key: 'term', frequency: 'per-term' })),
        ...amounts.map(({ at, type }, index) => ({
          version: index + 2,
          title: 'another',
          effectiveAt: inDays(at),
          rules: [rule({ type, amount: '7' }), toUsers({ key: 'user', type })],
        })),
      ],
      contract: {
        ...contractState({ ...twoTerms, products: [] }),
        products: history.at(-1)?.products ?? [],
        suspendedAt,
      },
      history,
      authorisations: namings.map(({ user, from, days }) => ({
        userId: idOf('user', user),
        authorisedAt: inDays(from),
        removedAt: days === null ? null : inDays(from + days),
      })),
    };
  }

  it('no seat of a term and no user gets anything twice, in whatever order it is looked for and granted', () => {
    holds(
      fc.property(anyWorld, (world) => {
        const granted = new Map<string, AllocationDue>();
        for (const [index, { known, takes, picks }] of [
          ...world.looks,
          { known: 8, takes: 1_000, picks: 0 },
        ].entries()) {
          // What is known only grows.
          const grown = Math.max(known, ...world.looks.slice(0, index).map((look) => look.known));
          const found = allocationsDue({ ...factsOf(world, grown), allocated: new Set(granted.keys()) });
          const from = found.length === 0 ? 0 : picks % found.length;
          for (const one of [...found.slice(from), ...found.slice(0, from)].slice(0, takes)) {
            expect(granted.has(one.key)).toBe(false);
            granted.set(one.key, one);
          }
        }
        expect(allocationsDue({ ...factsOf(world, 8), allocated: new Set(granted.keys()) })).toEqual([]);
        expect(twice([...granted.keys()])).toEqual([]);
        const users = [...granted.values()].filter(({ ruleKey }) => ruleKey === 'user').map(({ userId }) => userId);
        expect(users).toHaveLength(new Set(users).size);
      }),
      { numRuns: 300 },
    );
  });

  /** Seats of a term that are in more than one key. */
  function twice(keys: readonly string[]): string[] {
    const seen = new Set<string>();
    return keys.flatMap((key) => {
      const [scope, range] = key.split('/seats/');
      const [from = 0, to = -1] = range?.split('-').map(Number) ?? [];
      return Array.from({ length: to - from + 1 }, (_, index) => `${scope} ${from + index}`).filter(
        (seat) => seen.has(seat) || !seen.add(seat),
      );
    });
  }
});
