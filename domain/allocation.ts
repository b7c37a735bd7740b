/**
 * What the allocation rules grant to a contract and its named users, and when (R13). `docs/allocation.md` tells it in words.
 * It follows from facts that are only added to: a list made later, or by two at once, names the same allocations by the
 * same keys.
 */
import { type AllocationRule, type AllocationRules, matches } from './allocationRules';
import type { ContractProduct, ContractState, Term } from './contract';
import type { DueAllocation } from './contractCalendar';
import { type Credits, credits, parseCredits, sayCredits } from './credits';
import { SHARED_BEFORE } from './imports';
import { type Instant, laterOf } from './instant';
import { versionInForce } from './versions';

export interface AllocationDue extends DueAllocation {
  /** Whose lot it becomes: the contract's, or the named user's. */
  readonly poolId: string;
  readonly kind: 'shared' | 'individual';
  /** The named user whose occasion it is; null for what goes to the contract. */
  readonly userId: string | null;
  readonly ruleKey: string;
  readonly version: number;
  /** The key of what has to be allocated before, as earlier seats have to be before later ones; null where nothing has to. */
  readonly after: string | null;
}

/** Since when and until when a user is named on a contract, half-open. */
export interface Naming {
  readonly userId: string;
  readonly authorisedAt: Instant;
  readonly removedAt: Instant | null;
}

/** What a contract was from an instant on, as far as allocations follow from it. */
export interface ContractMoment {
  readonly at: Instant;
  readonly products: readonly ContractProduct[];
  readonly suspendedAt: Instant | null;
}

export interface AllocationFacts {
  readonly versions: readonly AllocationRules[];
  readonly contract: ContractState;
  /** What the contract was after each change of its products and each suspension, in order; as it is when empty. */
  readonly history?: readonly ContractMoment[];
  readonly authorisations: readonly Naming[];
  /** The keys of the allocations that exist. */
  readonly allocated: ReadonlySet<string>;
}

/** The number of the stretch that is the whole contract; its terms count from 1. */
const WHOLE = 0;

/** An instant at which rules are looked at, with the products that count there. */
interface Occasion {
  readonly at: Instant;
  readonly products: readonly ContractProduct[];
  readonly rules: AllocationRules | undefined;
  readonly because: string;
}

/**
 * What is due and not granted yet, in order, also what lies ahead in terms that are agreed. An occasion is the beginning of
 * the contract or of a term, a change of its products, the naming of a user, or the end of a suspension that put one of them
 * off; the version of the rules that is in force then counts. Nothing is due of a contract that is closed, or for instants
 * at which it is not in force.
 */
export function allocationsDue(facts: AllocationFacts): AllocationDue[] {
  if (facts.contract.closedAt !== null) return [];
  const first = new Map<string, AllocationDue>();
  for (const due of [...toContract(facts), ...toUsers(facts)]) {
    const before = first.get(due.key);
    if (!facts.allocated.has(due.key) && (before === undefined || due.at < before.at)) first.set(due.key, due);
  }
  return [...first.values()].sort((a, b) => compare(a.at, b.at) || compare(a.key, b.key));
}

function toContract(facts: AllocationFacts): AllocationDue[] {
  const { contract } = facts;
  const ofContract = occasionsOf(facts, { number: WHOLE, startsAt: contract.startsAt, endsAt: contract.endsAt });
  return [
    ...grants(facts, ofContract, 'once', 'once'),
    ...contract.terms.flatMap((term) => grants(facts, occasionsOf(facts, term), 'per-term', `term/${term.number}`)),
  ];
}

/** What a series of occasions grants to the contract: each time what it has more than ever before in the series. */
function grants(
  { contract, allocated }: AllocationFacts,
  occasions: readonly Occasion[],
  frequency: AllocationRule['frequency'],
  series: string,
): AllocationDue[] {
  const before = new Map<string, string>();
  return occasions.flatMap(({ at, products, rules, because }, index) =>
    (rules?.rules ?? []).flatMap((rule) => {
      if (rules === undefined || rule.recipient !== 'contract' || rule.frequency !== frequency) return [];
      const scope = `rule/${rule.key}/contract/${contract.contractId}/${series}`;
      const mark = Math.max(highWaterMark(rule, occasions.slice(0, index)), lastSeat(scope, allocated));
      const reached = measure(rule, products);
      if (reached <= mark) return [];
      const isPerSeat = rule.per === 'seat';
      const count = reached - mark;
      const amount = credits(parseCredits(rule.amount) * BigInt(count));
      const seats = `${count} ${mark > 0 ? 'more ' : ''}${count === 1 ? 'seat' : 'seats'}`;
      const key = isPerSeat ? `${scope}/seats/${mark + 1}-${reached}` : scope;
      const after = before.get(scope) ?? null;
      before.set(scope, key);
      const what = isPerSeat ? `${rule.amount} for each of ${seats}` : sayCredits(amount);
      return {
        key,
        at,
        amount,
        because: `${because}: ${what} by rule ${rule.key}.`,
        poolId: contract.contractId,
        kind: 'shared' as const,
        userId: null,
        ruleKey: rule.key,
        version: rules.version,
        after,
      };
    }),
  );
}

/** The most that a rule, as it is now or as it was then, found on earlier occasions. */
function highWaterMark(rule: AllocationRule, earlier: readonly Occasion[]): number {
  return earlier.reduce((most, { products, rules }) => {
    const then = rules?.rules.find(({ key }) => key === rule.key);
    return Math.max(most, measure(rule, products), then ? measure(then, products) : 0);
  }, 0);
}

/**
 * The last seat that has its allocation already, by the keys; so nothing is granted twice whatever else is found. All before
 * it that are to have one have it, because seats are allocated one after the other.
 */
function lastSeat(scope: string, allocated: ReadonlySet<string>): number {
  const prefix = `${scope}/seats/`;
  let last = 0;
  for (const key of allocated) {
    if (key.startsWith(prefix)) last = Math.max(last, Number(key.slice(prefix.length).split('-')[1]));
  }
  return last;
}

/** How many seats a rule is for; a flat one counts them all as one. */
function measure(rule: AllocationRule, products: readonly ContractProduct[]): number {
  const seats = products.reduce((sum, product) => sum + (matches(rule, product) ? product.seats : 0), 0);
  return rule.per === 'seat' ? seats : Math.min(seats, 1);
}

function toUsers(facts: AllocationFacts): AllocationDue[] {
  const { contract, authorisations } = facts;
  const { contractId, startsAt, endsAt } = contract;
  const whole = { number: WHOLE, startsAt, endsAt };
  const ofContract = occasionsOf(facts, whole);
  const ofTerms = contract.terms.map((term) => ({ term, occasions: occasionsOf(facts, term) }));
  return authorisations.flatMap((naming) => {
    const { userId } = naming;
    return [
      ...grantsToUser(facts, naming, whole, ofContract, 'once', (rule) => `rule/${rule}/user/${userId}`),
      ...ofTerms.flatMap(({ term, occasions }) =>
        grantsToUser(
          facts,
          naming,
          term,
          occasions,
          'per-term',
          (rule) => `rule/${rule}/user/${userId}/contract/${contractId}/term/${term.number}`,
        ),
      ),
    ];
  });
}

/** What being named on a contract in a stretch of it brings: when it begins, and when a product comes that a rule is for. */
function grantsToUser(
  facts: AllocationFacts,
  { userId, authorisedAt, removedAt }: Naming,
  stretch: Term,
  occasions: readonly Occasion[],
  frequency: AllocationRule['frequency'],
  keyOf: (ruleKey: string) => string,
): AllocationDue[] {
  const isNamed = (at: Instant) => authorisedAt <= at && (removedAt === null || at < removedAt);
  const { startsAt } = stretch;
  const why = authorisedAt > startsAt ? 'A user was named' : beginning(stretch);
  const named = occasionAt(facts, stretch, laterOf(authorisedAt, startsAt), why);
  const later = occasions.filter(({ at }) => named !== undefined && at > named.at);
  return [named, ...later].flatMap((occasion, index, all) => {
    if (occasion?.rules === undefined || !isNamed(occasion.at)) return [];
    const { at, products, rules, because } = occasion;
    return rules.rules.flatMap((rule) => {
      if (rule.recipient !== 'named-user' || rule.frequency !== frequency || measure(rule, products) === 0) return [];
      // What the rule was for all along is no news to who was named before.
      const before = all.slice(0, index).flatMap((earlier) => earlier ?? []);
      if (highWaterMark(rule, before) > 0) return [];
      const isShared = at < SHARED_BEFORE;
      const amount: Credits = parseCredits(rule.amount);
      return {
        key: keyOf(rule.key),
        at,
        amount,
        because: `${because}: ${sayCredits(amount)} by rule ${rule.key}.`,
        // R5: whatever it was called.
        poolId: isShared ? facts.contract.contractId : userId,
        kind: isShared ? ('shared' as const) : ('individual' as const),
        userId,
        ruleKey: rule.key,
        version: rules.version,
        after: null,
      };
    });
  });
}

function beginning({ number }: Term): string {
  return number === WHOLE ? 'The contract began' : `Term ${number} of the contract began`;
}

/** The beginning of a stretch of a contract, and the changes of its products in it. */
function occasionsOf(facts: AllocationFacts, stretch: Term): Occasion[] {
  const { startsAt } = stretch;
  const changes = (facts.history ?? []).slice(1).filter(({ at }) => at > startsAt);
  return [
    occasionAt(facts, stretch, startsAt, beginning(stretch)),
    ...changes.map(({ at, products }) => {
      const occasion = occasionAt(facts, stretch, at, 'The products of the contract changed');
      // Two changes at one instant are two: whoever saw only the first has granted what it brought.
      return occasion && { ...occasion, ...(occasion.at === at && { products }) };
    }),
  ].flatMap((occasion) => occasion ?? []);
}

/** An occasion, at the end of the suspension into which it fell; none outside a stretch or the contract's life. */
function occasionAt(facts: AllocationFacts, stretch: Term, wanted: Instant, because: string): Occasion | undefined {
  const { contract, versions } = facts;
  const at = onceNotSuspended(facts, wanted);
  if (at === null || at < stretch.startsAt || at >= stretch.endsAt || at >= contract.endsAt) return undefined;
  return { at, products: productsAt(facts, at), rules: versionInForce(versions, at), because };
}

function onceNotSuspended({ contract, history = [] }: AllocationFacts, wanted: Instant): Instant | null {
  for (const [index, { at, suspendedAt }] of history.entries()) {
    const before = history[index - 1]?.suspendedAt ?? null;
    if (suspendedAt === null && before !== null && before <= wanted && wanted < at) return at;
  }
  return contract.suspendedAt !== null && contract.suspendedAt <= wanted ? null : wanted;
}

/** The products that a contract has at an instant; what it was first said to have it had from its beginning. */
function productsAt({ contract, history = [] }: AllocationFacts, at: Instant): readonly ContractProduct[] {
  const past = history.filter((moment, index) => index === 0 || moment.at <= at);
  return (past.at(-1) ?? contract).products;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
