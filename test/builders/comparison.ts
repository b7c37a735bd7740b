/** What a ledger answers and holds beside what the model of single credits does; both are compared as texts. */
import type { BudgetPeriod } from '../../domain/budget';
import { parseCredits } from '../../domain/credits';
import type { Lot } from '../../domain/lots';
import type { Outcome, Transfer } from '../../domain/operations';
import type { Reservation } from '../../domain/reservation';
import {
  keyOf,
  type UnitBudgetPeriod,
  type UnitCredits,
  type UnitJob,
  type UnitLot,
  type UnitOutcome,
  type UnitRequest,
} from './unitCredits';
import { instantOf, lifeOf, micro } from './unitOperations';

/** What a ledger answered otherwise than it should have; nothing when it is right. */
export function differenceOf(
  request: UnitRequest,
  wanted: UnitOutcome,
  outcome: Outcome | undefined,
): string | undefined {
  const [says, should] = [seenText(outcome, wanted), wantedText(wanted)];
  return says === should ? undefined : `${keyOf(request)}: the ledger says ${says}, the rules ${should}`;
}

function seenText(outcome: Outcome | undefined, wanted: UnitOutcome): string {
  if (!outcome) return 'nothing';
  if (outcome.accepted) return acceptedText(outcome.replayed, outcome.absorbed, outcome.warnings);
  const { code, details } = outcome;
  if (code === 'insufficient_credits') {
    return shortText(parseCredits(details.required ?? ''), parseCredits(details.available ?? ''));
  }
  if (code !== 'budget_exceeded' || wanted.accepted) return code;
  // Several may be in the way: any of them may be named, with its own figure.
  const named = wanted.exceeded?.find(({ budgetId }) => budgetId === details.budgetId);
  const isRight = named && micro(named.used) === parseCredits(details.used ?? '');
  return isRight ? code : `${code}, ${JSON.stringify(details)} instead of ${JSON.stringify(wanted.exceeded)}`;
}

function wantedText(wanted: UnitOutcome): string {
  if (wanted.accepted) return acceptedText(wanted.replayed, wanted.absorbed, wanted.warnings);
  return wanted.short ? shortText(wanted.short.required, wanted.short.available) : wanted.code;
}

function acceptedText(
  replayed: boolean,
  absorbed: number | bigint,
  warnings: readonly { budgetId: string; used: number | bigint; amount: number | bigint }[],
): string {
  const warned = warnings.map(({ budgetId, used, amount }) => `, ${used} of ${amount} of ${budgetId}`).sort();
  return `${replayed ? 'replayed' : 'accepted'}, ${absorbed} absorbed${warned.join('')}`;
}

function shortText(required: number | bigint, available: number | bigint): string {
  return `insufficient_credits, ${available} of ${required}`;
}

/**
 * Compares the transfers that an answer tells with those of the first answer under the same key.
 *
 * @throws Error when a repeat tells others.
 */
export function compareAnswer(
  request: UnitRequest,
  transfers: readonly Transfer[],
  answers: Map<string, readonly Transfer[]>,
): void {
  const key = keyOf(request);
  const text = (one: readonly Transfer[]) =>
    one.map(({ lotId, from, to, amount }) => `${amount} of ${lotId} ${from}-${to}`).join();
  const first = answers.get(key);
  if (first && text(first) !== text(transfers)) {
    throw new Error(`${key}: first ${text(first)} were moved, and the repeat says ${text(transfers)}`);
  }
  answers.set(key, transfers);
}

/** What a ledger holds of a world. */
export interface LedgerSeen {
  readonly lots: readonly Lot[];
  /** Of every job that was ever asked about and is known. */
  readonly reservations: readonly Reservation[];
  /** Also those of budgets that are closed, as they were then. */
  readonly budgetPeriods: readonly BudgetPeriod[];
}

/** @throws Error that names the first thing that a ledger holds and the model does not, or otherwise. */
export function compareSeen(model: UnitCredits, seen: LedgerSeen): void {
  const counts = model.counts();
  compareTexts(
    'lot',
    [...model.lots.values()].map((lot) => [lot.id, lotText(lot, counts.get(lot.id))]),
    seen.lots.map((lot) => [lot.id, storedLotText(lot)]),
  );
  compareTexts(
    'job',
    [...model.jobs.values()].map((job) => [job.id, jobText(model, job)]),
    seen.reservations.map((reservation) => [reservation.jobId, reservationText(reservation)]),
  );
  compareTexts(
    'budget',
    [...model.budgets.values()].flatMap((budget) =>
      model.periodsOf(budget.id).flatMap((period) => periodLine(budget.id, period)),
    ),
    seen.budgetPeriods.flatMap((period) =>
      storedPeriodLine(period, model.budgets.get(period.budgetId)?.period === 'total'),
    ),
  );
}

type Line = readonly [id: string, text: string];

function compareTexts(what: string, wanted: readonly Line[], seen: readonly Line[]): void {
  const byId = new Map(seen);
  for (const [id, text] of wanted) {
    const has = byId.get(id);
    if (has === undefined) throw new Error(`${what} ${id} is missing: ${text}`);
    if (has !== text) throw new Error(`${what} ${id}: the ledger has ${has}, the rules ${text}`);
  }
  if (seen.length === wanted.length) return;
  const known = new Set(wanted.map(([id]) => id));
  const stray = seen.filter(([id], index) => !known.has(id) || seen.findIndex((one) => one[0] === id) !== index);
  throw new Error(`the ledger has a ${what} too many: ${stray.map((line) => line.join(': ')).join('; ')}`);
}

const STATES = ['available', 'reserved', 'consumed', 'expired', 'withdrawn'] as const;
type Counts = Readonly<Record<(typeof STATES)[number], number | bigint>>;

function lotText({ ownerId, kind, advance, life, endedAs }: UnitLot, counts: Counts | undefined): string {
  return textOfLot({ poolId: ownerId, kind, advance, endedAs, ...lifeOf(life) }, counts);
}

function storedLotText(lot: Lot): string {
  return textOfLot(lot, lot);
}

function textOfLot(
  lot: Pick<
    Lot,
    'poolId' | 'kind' | 'advance' | 'endedAs' | 'effectiveAt' | 'expiresAt' | 'withdrawnAt' | 'graceUntil'
  >,
  counts: Counts | undefined,
): string {
  const { poolId, kind, advance, endedAs, effectiveAt, expiresAt, withdrawnAt, graceUntil } = lot;
  const buckets = STATES.map((state) => `${counts?.[state]} ${state}`).join(', ');
  return `${buckets}; ${kind}${advance ? ' advance' : ''} of ${poolId} from ${effectiveAt} to ${expiresAt ?? withdrawnAt}, ${graceUntil}${
    endedAs ? `, ended as ${endedAs}` : ''
  }`;
}

function jobText(model: UnitCredits, job: UnitJob): string {
  const { state, cap, project, userId, contractId, reservedAt, captured, absorbed, refunded } = job;
  const facts = { state, cap, project, userId, contractId, reservedAt: instantOf(reservedAt), absorbed, refunded };
  return textOfJob(facts, countedSlices(model.heldLots(job)).sort(), countedSlices(captured));
}

function reservationText({ draws, captured, ...facts }: Reservation): string {
  const slices = (some: Reservation['draws']) => some.map(({ lotId, amount }) => `${amount} of ${lotId}`);
  return textOfJob(facts, slices(draws).sort(), slices(captured));
}

function textOfJob(
  facts: Readonly<
    Record<'state' | 'cap' | 'project' | 'userId' | 'contractId' | 'reservedAt' | 'absorbed' | 'refunded', unknown>
  >,
  held: readonly string[],
  captured: readonly string[],
): string {
  const { state, cap, project, userId, contractId, reservedAt, absorbed, refunded } = facts;
  return `${state} up to ${cap} for ${userId} on ${contractId} and ${project} since ${reservedAt}, holds ${held.join(' + ')}, captured ${captured.join(
    ' + ',
  )}, ${refunded} refunded, ${absorbed} absorbed`;
}

/** One slice for each lot, in the order in which the lots come. */
function countedSlices(lotIds: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const id of lotIds) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts].map(([id, amount]) => `${amount} of ${id}`);
}

/** A period in which nothing counts is the same as none. */
function periodLine(budgetId: string, { startsAt, endsAt, reserved, charged }: UnitBudgetPeriod): Line[] {
  if (reserved === 0 && charged === 0) return [];
  const isTotal = !Number.isFinite(startsAt);
  const when = isTotal ? 'always' : `from ${instantOf(startsAt)} to ${instantOf(endsAt)}`;
  return [[`${budgetId} ${when}`, `${reserved} reserved, ${charged} charged`]];
}

function storedPeriodLine({ budgetId, startsAt, endsAt, reserved, charged }: BudgetPeriod, isTotal: boolean): Line[] {
  if (reserved === 0n && charged === 0n) return [];
  const when = isTotal ? 'always' : `from ${startsAt} to ${endsAt}`;
  return [[`${budgetId} ${when}`, `${reserved} reserved, ${charged} charged`]];
}
