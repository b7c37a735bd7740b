/**
 * What will happen to a contract and its lots, and when (R3, R9, R13). The contract's workflow does what this lists, in this
 * order, each at its own instant; people are shown the same list. Nothing here is remembered: what has been done is among
 * the facts, so the list can be made anew at any time.
 */
import { type ContractState, graceEndOf, lastTerm, planContractChange, sharedLifeIn } from './contract';
import { type Credits, credits, formatCredits, sumOf } from './credits';
import { addDays, addMonths, type Instant, laterOf, nextInstant } from './instant';
import type { Lot, LotLife } from './lots';

/** How many days before an end people are reminded of it. */
export const REMINDER_DAYS = [60, 30, 7, 1] as const;
/** A contract that renews itself does so this many days ahead, so that its spending is never interrupted. */
const RENEWED_AHEAD_DAYS = 1;

/** What the contract owes by the allocation rules (R13). */
export interface DueAllocation {
  /** What makes it the same allocation however often it is looked for. */
  readonly key: string;
  readonly at: Instant;
  readonly amount: Credits;
  readonly because: string;
}

/** A lot in a contract's pool; its life follows from the contract where it is shared. */
export interface ContractLot extends Lot {
  /** Null for courtesy lots. */
  readonly purchasedAt: Instant | null;
}

export interface ContractFacts {
  readonly contract: ContractState;
  /** The contract's lots whose end is not booked. */
  readonly lots: readonly ContractLot[];
  /** What the rules grant to a contract and its users and is not granted yet. */
  readonly allocationsOf: (contract: ContractState) => readonly DueAllocation[];
  /** The keys of what has been done and leaves no other trace. */
  readonly booked: ReadonlySet<string>;
}

/**
 * The life that a lot has by what its contract is: a shared one's follows from it (R3), others have their own. None is empty
 * (R7): a lot of a contract that was terminated before the lot became effective keeps the first instant of its life.
 */
export function lifeIn(contract: ContractState, lot: ContractLot): LotLife {
  if (lot.kind !== 'shared') return lot;
  const life = sharedLifeIn(contract, lot);
  if (life.expiresAt === null || life.expiresAt > lot.effectiveAt) return life;
  const expiresAt = nextInstant(lot.effectiveAt);
  const { graceUntil } = life;
  return { ...life, expiresAt, graceUntil: graceUntil !== null && graceUntil > expiresAt ? graceUntil : null };
}

/** Whether two lives are the same. */
export function isSameLife(a: LotLife, b: LotLife): boolean {
  return (
    a.effectiveAt === b.effectiveAt &&
    a.expiresAt === b.expiresAt &&
    a.withdrawnAt === b.withdrawnAt &&
    a.graceUntil === b.graceUntil
  );
}

/** In the order in which they come when their instants are equal. */
export const CALENDAR_ACTS = ['activate', 'renew', 'allocate', 'close', 'expire', 'end', 'remind'] as const;
export type CalendarAct = (typeof CALENDAR_ACTS)[number];

export interface CalendarEntry {
  /** The same for the same event however often the list is made. */
  readonly key: string;
  readonly act: CalendarAct;
  /** When it happens. */
  readonly at: Instant;
  /** When it counts; earlier than `at` where a grace had to pass first. */
  readonly bookedAt: Instant;
  readonly lotIds: readonly string[];
  /** What it concerns of those lots, or grants. */
  readonly credits: Credits;
  readonly because: string;
  /** Of a reminder: what it reminds of, and the instant of that. */
  readonly of: { readonly subject: 'contract' | 'lots'; readonly at: Instant; readonly days: number } | null;
}

/**
 * Everything that lies ahead or is overdue, in order. Of a contract that renews itself what follows from its renewals is
 * listed, too, until the lots that it has now are over.
 */
export function calendarOf(facts: ContractFacts): CalendarEntry[] {
  const { contract, renewals } = renewedByItself(facts);
  const lots = facts.lots.map((lot) => ({ ...lot, ...lifeIn(contract, lot) }));
  const then = { ...facts, contract, lots };
  return [...renewals, ...lifeOfContract(then), ...endsOfLots(then), ...allocations(then)]
    .filter(({ key }) => !facts.booked.has(key))
    .sort(
      (a, b) =>
        compare(a.at, b.at) ||
        CALENDAR_ACTS.indexOf(a.act) - CALENDAR_ACTS.indexOf(b.act) ||
        compare(a.bookedAt, b.bookedAt) ||
        compare(a.key, b.key),
    );
}

/** The contract after the renewals that come by themselves, and these. */
function renewedByItself({ contract, lots }: ContractFacts): { contract: ContractState; renewals: CalendarEntry[] } {
  const renewals: CalendarEntry[] = [];
  const { renewal, terminatesAt, closedAt, timeZone } = contract;
  if (renewal !== 'automatic' || terminatesAt !== null || closedAt !== null) return { contract, renewals };
  const lastEnd = lots
    .flatMap(({ purchasedAt, expiresAt }) => (purchasedAt ? addMonths(purchasedAt, 12, timeZone) : (expiresAt ?? [])))
    .reduce(laterOf, contract.endsAt);
  let state = contract;
  do {
    const term = lastTerm(state);
    const at = laterOf(term.startsAt, addDays(term.endsAt, -RENEWED_AHEAD_DAYS, timeZone));
    const because = `The contract renews itself for ${state.renewalMonths} months from ${term.endsAt}.`;
    renewals.push(entry({ key: `renew/${term.number + 1}`, act: 'renew', at, because }));
    const renewed = planContractChange(state, { kind: 'renew' }, at);
    if ('code' in renewed) throw new Error(`a contract cannot renew itself: ${renewed.message}`);
    state = renewed;
  } while (state.endsAt < lastEnd);
  return { contract: state, renewals };
}

function lifeOfContract({ contract, lots }: ContractFacts): CalendarEntry[] {
  const { startsAt, endsAt, activatedAt, closedAt, terminatesAt, renewal, graceDays } = contract;
  if (closedAt !== null) return [];
  const entries: CalendarEntry[] = [];
  if (activatedAt === null) {
    entries.push(entry({ key: 'activate', act: 'activate', at: startsAt, because: 'The contract begins.' }));
  }
  // It does not end by itself.
  if (renewal === 'automatic' && terminatesAt === null) return entries;
  const graceEnd = graceEndOf(contract);
  const dying = lots.filter(({ kind, expiresAt }) => kind === 'shared' && expiresAt === endsAt);
  const how = terminatesAt === null ? 'ends without renewal' : 'is terminated';
  entries.push(...reminders(contract, { subject: 'contract', at: endsAt }, dying, `The contract ${how} at ${endsAt}.`));
  if (terminatesAt === null && graceDays > 0) {
    const because = `The contract ends; renewed before ${graceEnd}, it goes on as if never interrupted.`;
    const waiting = dying.filter(({ graceUntil }) => graceUntil !== null);
    entries.push(entry({ key: `end/${endsAt}`, act: 'end', at: endsAt, lots: waiting, because }));
  }
  const because =
    terminatesAt !== null
      ? 'The termination takes effect.'
      : graceDays > 0
        ? `The contract was not renewed in its grace of ${graceDays} days after ${endsAt}.`
        : 'The contract ends without renewal.';
  return [...entries, entry({ key: `close/${endsAt}`, act: 'close', at: graceEnd, because })];
}

/** The ends of lots: by their own life, or with a contract that is not renewed, once that is certain. */
function endsOfLots({ contract, lots }: ContractFacts): CalendarEntry[] {
  const entries: CalendarEntry[] = [];
  for (const [key, ending] of byEnd(lots)) {
    const [first] = ending;
    if (!first?.expiresAt) continue;
    const { expiresAt, graceUntil, kind } = first;
    const withContract = kind === 'shared' && expiresAt === contract.endsAt;
    const because = withContract
      ? 'Lots end with their contract.'
      : kind === 'courtesy'
        ? 'A courtesy lot ends.'
        : 'Twelve months after the purchase are over.';
    const at = graceUntil === null ? expiresAt : graceEndOf(contract);
    entries.push(entry({ key: `expire/${key}`, act: 'expire', at, bookedAt: expiresAt, lots: ending, because }));
    const full = ending.filter(({ available }) => available > 0n);
    // With its contract a lot is reminded of by the contract's own reminder.
    if (withContract || full.length === 0) continue;
    const amount = formatCredits(sumOf(full, ({ available }) => available));
    const remind = `${amount} credits expire at ${expiresAt}.`;
    entries.push(...reminders(contract, { subject: 'lots', at: expiresAt }, full, remind));
  }
  return entries;
}

/** Lots that end at the same instant for the same reason. */
function byEnd(lots: readonly Lot[]): Map<string, Lot[]> {
  const groups = new Map<string, Lot[]>();
  for (const lot of lots) {
    if (lot.expiresAt === null) continue;
    const key = `${lot.expiresAt}/${lot.kind}/${lot.graceUntil ?? 'none'}`;
    groups.set(key, [...(groups.get(key) ?? []), lot]);
  }
  return groups;
}

function reminders(
  { startsAt, timeZone }: ContractState,
  of: { readonly subject: 'contract' | 'lots'; readonly at: Instant },
  lots: readonly Lot[],
  because: string,
): CalendarEntry[] {
  return REMINDER_DAYS.map((days) => ({ days, at: addDays(of.at, -days, timeZone) }))
    .filter(({ at }) => at >= startsAt)
    .map(({ days, at }) =>
      entry({ key: `remind/${of.subject}/${of.at}/${days}`, act: 'remind', at, lots, because, of: { ...of, days } }),
    );
}

function allocations({ contract, allocationsOf }: ContractFacts): CalendarEntry[] {
  return allocationsOf(contract).map(({ key, at, amount, because }) => ({
    ...entry({ key, act: 'allocate', at, because }),
    credits: amount,
  }));
}

function entry(
  given: Pick<CalendarEntry, 'key' | 'act' | 'at' | 'because'> & {
    readonly bookedAt?: Instant;
    readonly lots?: readonly Lot[];
    readonly of?: CalendarEntry['of'];
  },
): CalendarEntry {
  const { lots = [], bookedAt = given.at, of = null, key, act, at, because } = given;
  const lotIds = lots.map(({ id }) => id).sort();
  return { key, act, at, bookedAt, lotIds, credits: credits(sumOf(lots, ({ available }) => available)), because, of };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
