/**
 * Does what a contract's calendar lists up to an instant, each thing with its own instant as `bookedAt` (R3, R13). Everything
 * in here can be done again: what was done is found done.
 */
import type { AllocationDue } from '../domain/allocation';
import { type ContractState, planContractChange } from '../domain/contract';
import {
  type CalendarEntry,
  type ContractFacts,
  type ContractLot,
  calendarOf,
  isSameLife,
  lifeIn,
} from '../domain/contractCalendar';
import { digestEntriesOf } from '../domain/contractNotices';
import { CALENDAR_REQUESTS, type DoneEntry } from '../domain/contractProgress';
import { BillingError } from '../domain/errors';
import { type Instant, laterOf } from '../domain/instant';
import type { Operation } from '../domain/operations';
import { type Allocation, allocationsOf, claimAllocation, grantAllocation } from './allocationRules';
import { type Db, rows, type Trx } from './client';
import { changeContract, getContractState } from './contracts';
import { queueDigestEntry } from './digests';
import { type Ledger, LOT_COLUMNS } from './ledger';

/** What was done for a contract, and what comes next. */
export interface Booked {
  readonly contract: ContractState;
  readonly lots: readonly ContractLot[];
  /** What lies ahead, in order. */
  readonly calendar: readonly CalendarEntry[];
  /** There is more to be done by that instant: ask again. */
  readonly more: boolean;
}

/** What a contract's calendar is made of, with all that an allocation needs to be made. */
interface Facts extends ContractFacts {
  readonly allocationsOf: (contract: ContractState) => readonly AllocationDue[];
}

/** So much is done in one call, so that it is short; each is a transaction or two. */
const ACTS_MAX = 25;
/** So many allocations are done side by side, as far as nothing comes between them, and counted as so many acts: 200 take 0.4 s. */
const ALLOCATIONS_MAX = 200;
const ACTS_OF_ALLOCATIONS = 5;
const ACTOR = 'calendar';

/** @throws Error when there is no such contract; whatever Postgres fails with. */
export async function bookDue(ledger: Ledger, contractId: string, at: Instant): Promise<Booked> {
  let facts = await factsOf(ledger.db, contractId);
  for (let acts = 0; acts < ACTS_MAX; acts++) {
    if (!(await deriveLives(ledger, facts, at))) {
      const calendar = calendarOf(facts);
      const [first] = calendar;
      if (first === undefined || first.at > at) {
        const { contract, lots } = facts;
        await watch(ledger.db, contractId, at, first?.at ?? null);
        return { contract, lots, calendar, more: false };
      }
      await perform(ledger, facts, first, calendar, at);
      if (first.act === 'allocate') acts += ACTS_OF_ALLOCATIONS - 1;
    }
    facts = await factsOf(ledger.db, contractId);
  }
  return { contract: facts.contract, lots: facts.lots, calendar: calendarOf(facts), more: true };
}

/** What a contract's calendar is made of. */
export async function factsOf(db: Db | Trx, contractId: string): Promise<Facts> {
  const contract = await getContractState(db, contractId);
  const lots = await rows<ContractLot>(
    db,
    `select ${LOT_COLUMNS}, purchased_at as "purchasedAt" from lots where pool_id = ? and ended_as is null order by id`,
    [contractId],
  );
  // Of everything else something else is left: a lot that has ended, a change of the contract, an allocation.
  const booked = await rows<{ key: string }>(
    db,
    `select key from contract_bookings where contract_id = ? and act in ('end', 'remind')`,
    [contractId],
  );
  return {
    contract,
    lots,
    allocationsOf: await allocationsOf(db, contractId),
    booked: new Set(booked.map(({ key }) => key)),
  };
}

/**
 * Books the lives that lots have by what the contract has become (R3), with the instant of the change that brought it.
 *
 * @returns whether there was any.
 */
async function deriveLives(ledger: Ledger, { contract, lots }: ContractFacts, at: Instant): Promise<boolean> {
  const changed = lots.flatMap((lot) => {
    const life = lifeIn(contract, lot);
    return isSameLife(lot, life) ? [] : [{ lot, life }];
  });
  if (changed.length === 0) return false;
  const granted = await rows<{ lotId: string; grantedAt: Instant; changedAt: Instant | null; lives: bigint }>(
    ledger.db,
    `select o.subject as "lotId", o.booked_at as "grantedAt", c.at as "changedAt",
       (select count(*) from operations l where l.subject = o.subject and l.kind = 'changeLife') as lives
     from operations o
     left join contract_changes c on c.contract_id = ? and c.number = ?
     where o.subject = any(?::uuid[]) and o.act = 'grant'`,
    [contract.contractId, contract.version, changed.map(({ lot }) => lot.id)],
  );
  const bookedAt = new Map(
    granted.map(({ lotId, grantedAt, changedAt }) => [lotId, laterOf(grantedAt, changedAt ?? at)]),
  );
  const lives = new Map(granted.map(({ lotId, lives: count }) => [lotId, count]));
  await apply(
    ledger,
    changed.map(({ lot, life }) => ({
      kind: 'changeLife',
      // Somebody who is slow may book the lives of an older version after those of this one. They are booked anew then, so
      // a version is no key: under it this would be a repeat that changes nothing.
      act: `changeLife/contract-${contract.version}/${lives.get(lot.id) ?? 0}`,
      lotId: lot.id,
      poolId: lot.poolId,
      at: bookedAt.get(lot.id) ?? at,
      actor: ACTOR,
      reason: `the contract ends at ${contract.endsAt}`,
      life: {
        effectiveAt: life.effectiveAt,
        expiresAt: life.expiresAt,
        withdrawnAt: life.withdrawnAt,
        graceUntil: life.graceUntil,
      },
    })),
  );
  return true;
}

/** Does one thing of the calendar. What somebody else did or undid meanwhile is no error: the calendar is made anew. */
async function perform(
  ledger: Ledger,
  facts: Facts,
  entry: CalendarEntry,
  calendar: readonly CalendarEntry[],
  at: Instant,
): Promise<void> {
  const { contractId } = facts.contract;
  switch (entry.act) {
    case 'activate':
    case 'close':
    case 'renew':
      await changeByCalendar(ledger.db, contractId, entry.act, entry, (trx) => note(trx, facts, entry));
      return;
    case 'expire':
      // Before it is done: afterwards nobody would know that it has to be told. Each is told once, by its key.
      await note(ledger.db, facts, entry);
      await apply(
        ledger,
        entry.lotIds.map((lotId) => ({
          kind: 'expire',
          act: 'expire',
          lotId,
          poolId: contractId,
          at: entry.bookedAt,
          actor: ACTOR,
          reason: entry.because,
        })),
      );
      return;
    case 'allocate':
      await allocateTogether(ledger, facts, calendar, at);
      return;
    case 'end':
    case 'remind':
      if (isStale(entry, calendar, at)) await markBooked(ledger.db, contractId, entry, 0);
      else await note(ledger.db, facts, entry);
      return;
  }
}

/** Tells of an entry and marks it. */
async function note(db: Db | Trx, facts: ContractFacts, entry: CalendarEntry, allocated?: Allocation): Promise<void> {
  await markBooked(db, facts.contract.contractId, entry, await tell(db, facts, entry, allocated));
}

/** Of reminders that are overdue only the last is sent, and none once that of which it reminds is over. */
function isStale({ of, at: dueAt }: CalendarEntry, calendar: readonly CalendarEntry[], at: Instant): boolean {
  if (of === null) return false;
  const isLaterOne = (other: CalendarEntry) =>
    other.of?.subject === of.subject && other.of.at === of.at && other.at > dueAt && other.at <= at;
  return of.at <= at || calendar.some(isLaterOne);
}

/** Does the allocations that are due first, many side by side: their grants share transactions of the ledger. */
async function allocateTogether(
  ledger: Ledger,
  facts: Facts,
  calendar: readonly CalendarEntry[],
  at: Instant,
): Promise<void> {
  const next = calendar.findIndex((entry) => entry.act !== 'allocate' || entry.at > at);
  const entries = calendar.slice(0, Math.min(next < 0 ? calendar.length : next, ALLOCATIONS_MAX));
  const due = new Map(facts.allocationsOf(facts.contract).map((one) => [one.key, one]));
  await Promise.all(
    entries.map(async (entry) => {
      const one = due.get(entry.key);
      if (!one) throw new Error(`nothing is due as ${entry.key}`);
      const claim = await claimAllocation(ledger.db, one, facts.contract, { actor: ACTOR });
      // Somebody else was faster and counted otherwise, or seats before are not claimed yet: the calendar is made anew.
      if (!claim) return;
      await note(ledger.db, facts, entry, claim);
      await grantAllocation(ledger, claim);
    }),
  );
}

/** Tells those who administer the contract at the time of an entry, or the user whose lot it brings. @returns how many. */
async function tell(
  db: Db | Trx,
  { contract, lots }: ContractFacts,
  entry: CalendarEntry,
  allocated?: Allocation,
): Promise<number> {
  const { contractId } = contract;
  const named = lots.filter(({ id }) => entry.lotIds.includes(id));
  const references = await rows<{ id: string; reference: string | null }>(
    db,
    'select id, reference from lots where id = any(?::uuid[])',
    [entry.lotIds],
  );
  const told = digestEntriesOf({
    entry,
    contract: afterwards(contract, entry),
    lots: named,
    references: new Map(references.map(({ id, reference }) => [id, reference])),
    ...(allocated && { allocated }),
  });
  if (told.length === 0) return 0;
  const userIds =
    allocated?.kind === 'individual' ? [allocated.poolId] : await administratorsAt(db, contractId, entry.at);
  for (const userId of userIds) {
    for (const one of told) {
      const about = 'lotId' in one.facts ? `/${one.facts.lotId}` : '';
      // One who is named on two contracts is told of one lot once, whichever of them completes it.
      const key = allocated ? `allocated${about}` : `${contractId}/${entry.key}${about}`;
      await queueDigestEntry(db, { userId, key, ...one });
    }
  }
  return userIds.length;
}

async function administratorsAt(db: Db | Trx, contractId: string, at: Instant): Promise<string[]> {
  const people = await rows<{ userId: string }>(
    db,
    `select distinct user_id as "userId"
     from contract_users
     where contract_id = ? and role = 'contract-admin' and authorised_at <= ? and (removed_at is null or ? < removed_at)`,
    [contractId, at, at],
  );
  return people.map(({ userId }) => userId);
}

function afterwards(contract: ContractState, { act, at }: CalendarEntry): ContractState {
  if (act !== 'renew' && act !== 'close') return contract;
  const planned = planContractChange(contract, { kind: act }, at);
  return 'code' in planned ? contract : planned;
}

async function changeByCalendar(
  db: Db,
  contractId: string,
  kind: 'activate' | 'close' | 'renew',
  { key, at, because }: CalendarEntry,
  alongside: (trx: Trx) => Promise<void>,
): Promise<void> {
  const requestId = `${CALENDAR_REQUESTS}${key}`;
  const asked = { contractId, requestId, change: { kind }, at, actor: ACTOR, reason: because };
  try {
    await changeContract(db, asked, alongside);
  } catch (error) {
    if (!(error instanceof BillingError)) throw error;
  }
}

/** @throws Error for a refusal that no change of the contract in between explains. */
async function apply(ledger: Ledger, operations: readonly Operation[]): Promise<void> {
  const outcomes = await Promise.all(operations.map((operation) => ledger.apply(operation)));
  for (const outcome of outcomes) {
    if (!outcome.accepted && !['lot_ended', 'lot_not_over'].includes(outcome.code)) {
      throw new BillingError(outcome.code, outcome.message, outcome.details);
    }
  }
}

async function markBooked(
  db: Db | Trx,
  contractId: string,
  { key, act, at }: CalendarEntry,
  told: number,
): Promise<void> {
  await db.raw(
    'insert into contract_bookings (contract_id, key, act, at, told) values (?, ?, ?, ?, ?) on conflict do nothing',
    [contractId, key, act, at, told],
  );
}

/** What the calendar of a contract brought last, the newest first. */
export function lastBookings(db: Db, contractId: string, limit: number): Promise<DoneEntry[]> {
  return rows<DoneEntry>(
    db,
    'select act, at, told from contract_bookings where contract_id = ? order by recorded_at desc, at desc limit ?',
    [contractId, limit],
  );
}

async function watch(db: Db, contractId: string, at: Instant, nextAt: Instant | null): Promise<void> {
  await db.raw(
    `insert into contract_watches (contract_id, booked_through, next_at)
     values (?, ?, ?)
     on conflict (contract_id) do update
     set booked_through = greatest(contract_watches.booked_through, excluded.booked_through), next_at = excluded.next_at`,
    [contractId, at, nextAt] as never,
  );
}

/**
 * Lets a contract be overdue from an instant on until its calendar is looked at the next time. Written with what the calendar follows
 * from, so that the contract is found by {@link neglectedContracts} where whoever tells its workflow is lost on the way.
 */
export async function askForLook(trx: Trx, contractId: string, at: Instant): Promise<void> {
  // The earlier of the two; null is no instant.
  await trx.raw('update contract_watches set next_at = least(next_at, ?::timestamptz) where contract_id = ?', [
    at,
    contractId,
  ] as never);
}

/**
 * Contracts that nobody seems to follow: never looked at, or with something that should have been booked by an instant.
 * At most so many.
 */
export async function neglectedContracts(db: Db, { at, limit }: { at: Instant; limit: number }): Promise<string[]> {
  const found = await rows<{ id: string }>(
    db,
    `(select c.id from contracts c
        where c.recorded_at < ? and not exists (select from contract_watches w where w.contract_id = c.id)
        limit ?)
     union
     (select contract_id from contract_watches where next_at < ? order by next_at limit ?)
     union
     (select l.pool_id
        from lots l
        join contract_watches w on w.contract_id = l.pool_id
        where l.ended_as is null and l.expires_at < ? and (l.grace_until is null or w.next_at is null or w.next_at < ?)
        limit ?)
     limit ?`,
    [at, limit, at, limit, at, at, limit, limit],
  );
  return found.map(({ id }) => id);
}
