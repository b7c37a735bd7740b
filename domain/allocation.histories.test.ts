/**
 * Random histories of a contract beside a model that looks at every single day, seat and user: whenever and however often
 * it is looked what is due, and whatever of it is granted before somebody is killed, in the end exactly that is granted.
 */
import fc from 'fast-check';
import { contractState } from '../test/builders/contracts';
import { idOf } from '../test/builders/ids';
import { holds } from '../test/builders/seed';
import { type AllocationDue, type AllocationFacts, allocationsDue, type ContractMoment } from './allocation';
import type { AllocationRule, AllocationRules } from './allocationRules';
import { addMilliseconds, type Instant, parseInstant } from './instant';

const TERM_DAYS = 100;
const DAYS = 2 * TERM_DAYS;
const START = parseInstant('2026-01-01T00:00:00Z');
const inDays = (count: number): Instant => addMilliseconds(START, count * 86_400_000);
const dayOf = new Map(Array.from({ length: DAYS }, (_, day) => [inDays(day), day]));

const RULE = { product: null, type: null, level: null } as const;
/** Every kind of rule that there is; `amount` tells the version. */
const rulesOf = (amount: string): AllocationRule[] => [
  { ...RULE, key: 'seat-term', recipient: 'contract', per: 'seat', frequency: 'per-term', amount },
  { ...RULE, key: 'seat-once', recipient: 'contract', per: 'seat', frequency: 'once', amount },
  { ...RULE, key: 'flat-term', recipient: 'contract', per: 'flat', frequency: 'per-term', amount },
  { ...RULE, key: 'flat-once', recipient: 'contract', per: 'flat', frequency: 'once', amount },
  { ...RULE, key: 'user-term', recipient: 'named-user', per: 'flat', frequency: 'per-term', amount },
  { ...RULE, key: 'user-once', recipient: 'named-user', per: 'flat', frequency: 'once', amount },
  {
    ...RULE,
    key: 'annual-seat-term',
    type: 'annual',
    recipient: 'contract',
    per: 'seat',
    frequency: 'per-term',
    amount,
  },
  { ...RULE, key: 'annual-user-once', type: 'annual', recipient: 'named-user', per: 'flat', frequency: 'once', amount },
];

const anyWorld = fc.record({
  /** What changes on which day: `null` suspends or resumes, a number is the seats from then on. */
  changes: fc.uniqueArray(
    fc.record({ day: fc.integer({ min: 0, max: DAYS - 1 }), seats: fc.option(fc.nat(6)), isAnnual: fc.boolean() }),
    { maxLength: 8, selector: ({ day }) => day },
  ),
  firstSeats: fc.nat(4),
  namings: fc.array(
    fc.record({
      user: fc.integer({ min: 1, max: 3 }),
      from: fc.integer({ min: -20, max: DAYS - 1 }),
      days: fc.option(fc.integer({ min: 1, max: 90 })),
    }),
    { maxLength: 6 },
  ),
  /** From when on other amounts count; of `null` there are no rules. */
  versions: fc.array(fc.record({ day: fc.integer({ min: 1, max: DAYS }), amount: fc.option(fc.constantFrom(2, 3)) }), {
    maxLength: 3,
  }),
  /** When somebody looks, and which of what is due is granted before that one is killed. */
  looks: fc.array(fc.record({ day: fc.nat(DAYS), grants: fc.array(fc.nat(20), { maxLength: 8 }) }), { maxLength: 10 }),
});
type World = typeof anyWorld extends fc.Arbitrary<infer Made> ? Made : never;

const inOrder = <T extends { readonly day: number }>(all: readonly T[]) => [...all].sort((a, b) => a.day - b.day);

/** What is known on a day. A user's removal is known when it has come; versions are published ahead. */
function factsOn(world: World, today: number, allocated: ReadonlySet<string>): AllocationFacts {
  const { firstSeats, changes, namings, versions } = world;
  const products = (seats: number, isAnnual: boolean) =>
    seats === 0 ? [] : [{ product: 'suite', type: isAnnual ? 'annual' : 'quarterly', level: 'pro', seats }];
  const history: ContractMoment[] = [{ at: inDays(0), products: products(firstSeats, true), suspendedAt: null }];
  for (const { day, seats, isAnnual } of inOrder(changes).filter(({ day }) => day <= today)) {
    const last = history.at(-1) as ContractMoment;
    const changed =
      seats === null
        ? { suspendedAt: last.suspendedAt === null ? inDays(day) : null }
        : { products: products(seats, isAnnual) };
    history.push({ ...last, ...changed, at: inDays(day) });
  }
  const { products: present, suspendedAt } = history.at(-1) as ContractMoment;
  const terms = [0, 1].map((index) => ({
    number: index + 1,
    startsAt: inDays(index * TERM_DAYS),
    endsAt: inDays((index + 1) * TERM_DAYS),
  }));
  return {
    versions: versionsOf(versions),
    contract: { ...contractState({ terms, endsAt: inDays(DAYS) }), products: present, suspendedAt },
    history,
    authorisations: namings
      .filter(({ from }) => from <= today)
      .map(({ user, from, days }) => ({
        userId: idOf('user', user),
        authorisedAt: inDays(from),
        removedAt: days !== null && from + days <= today ? inDays(from + days) : null,
      })),
    allocated,
  };
}

function versionsOf(versions: World['versions']): AllocationRules[] {
  return [{ day: -1_000, amount: 1 as number | null }, ...versions].map(({ day, amount }, index) => ({
    version: index + 1,
    title: 'a version',
    effectiveAt: inDays(day),
    rules: amount === null ? [] : rulesOf(String(amount)),
  }));
}

/** The amount in force on a day. */
function amountOn({ versions }: World, today: number): number | null {
  return [{ day: -1_000, amount: 1 as number | null }, ...versions]
    .filter(({ day }) => day <= today)
    .reduce((found, one) => (one.day >= found.day ? one : found)).amount;
}

/** What is granted in all, a line for each seat and user, found by looking at each day for itself. */
function modelOf(world: World): string[] {
  const { firstSeats, changes, namings } = world;
  const days: {
    readonly day: number;
    readonly seats: number;
    readonly isAnnual: boolean;
    readonly suspended: boolean;
  }[] = [];
  let now = { seats: firstSeats, isAnnual: true, suspended: false };
  for (let day = 0; day < DAYS; day++) {
    const change = changes.find((one) => one.day === day);
    if (change?.seats === null) now = { ...now, suspended: !now.suspended };
    else if (change) now = { ...now, seats: change.seats, isAnnual: change.isAnnual };
    days.push({ day, ...now });
  }
  const lines: string[] = [];
  /** Granted on the first day that fits, if the version of that day has the rule. */
  const grant = (what: string, fits: (day: number, seats: number) => boolean): number | undefined => {
    const seatsOn = (one: typeof now) => (one.isAnnual || !what.startsWith('annual-') ? one.seats : 0);
    const first = days.find((one) => !one.suspended && fits(one.day, seatsOn(one)));
    const amount = first && amountOn(world, first.day);
    if (!first || amount == null) return undefined;
    lines.push(`${what} on day ${first.day}: ${amount}`);
    return first.day;
  };
  const terms = [0, 1].map((term) => ({
    name: `term ${term + 1}`,
    has: (day: number) => Math.floor(day / TERM_DAYS) === term,
  }));
  const ever = { name: 'ever', has: () => true };
  for (const { name, has } of [...terms, ever]) {
    const kind = name === 'ever' ? 'once' : 'term';
    grant(`flat-${kind} ${name}`, (day, seats) => has(day) && seats > 0);
    for (const key of name === 'ever' ? ['seat-once'] : ['seat-term', 'annual-seat-term']) {
      for (let seat = 1; seat <= 6; seat++)
        grant(`${key} ${name} seat ${seat}`, (day, seats) => has(day) && seats >= seat);
    }
    for (const key of name === 'ever' ? ['user-once', 'annual-user-once'] : ['user-term']) {
      for (const user of [1, 2, 3]) {
        const before = lines.length;
        const granted = namings
          .filter((naming) => naming.user === user)
          .flatMap(({ from, days }) => {
            const isNamed = (day: number) => day >= from && (days === null || day < from + days);
            return grant(`${key} ${name} user ${user}`, (day, seats) => has(day) && isNamed(day) && seats > 0) ?? [];
          });
        // However often named, the first time counts.
        const first = lines[before + granted.indexOf(Math.min(...granted))];
        lines.splice(before, granted.length, ...(granted.length > 0 && first !== undefined ? [first] : []));
      }
    }
  }
  return lines.sort();
}

/** What was granted, a line for each seat and user. */
function linesOf(granted: Iterable<AllocationDue>): string[] {
  return [...granted].flatMap(({ key, at, amount, ruleKey, userId }) => {
    const term = /\/term\/(\d)/.exec(key)?.[1];
    const what = `${ruleKey} ${term === undefined ? 'ever' : `term ${term}`}`;
    const [, range = null] = key.split('/seats/');
    const [first = 1, last = 1] = range?.split('-').map(Number) ?? [];
    const each = `on day ${dayOf.get(at)}: ${Number(amount) / (last - first + 1) / 1_000_000}`;
    if (range === null) {
      const user = [1, 2, 3].find((one) => idOf('user', one) === userId);
      return [`${what}${user === undefined ? '' : ` user ${user}`} ${each}`];
    }
    return Array.from({ length: last - first + 1 }, (_, index) => `${what} seat ${first + index} ${each}`);
  });
}

/** Grants as the database does: a key once, and only after what has to come before. */
function grantInto(granted: Map<string, AllocationDue>, due: AllocationDue): void {
  if (!granted.has(due.key) && (due.after === null || granted.has(due.after))) granted.set(due.key, due);
}

test('exactly what each day brings is granted, whenever it is looked for and whoever is killed', () => {
  holds(
    fc.property(anyWorld, (world) => {
      const granted = new Map<string, AllocationDue>();
      const look = (day: number) =>
        allocationsDue(factsOn(world, day, new Set(granted.keys()))).filter(({ at }) => at <= inDays(day));
      for (const { day, grants } of inOrder(world.looks)) {
        const due = look(day);
        for (const index of grants) {
          const one = due[index];
          if (one) grantInto(granted, one);
        }
      }
      for (const one of look(DAYS)) grantInto(granted, one);
      expect(linesOf(granted.values()).sort()).toEqual(modelOf(world));
      expect(look(DAYS)).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
