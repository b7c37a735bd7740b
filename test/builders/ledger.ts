/** Lots, contracts, budgets and operations with quiet defaults: one user, one contract of 2026, ten credits. */
import {
  type Authorisation,
  type ContractTerm,
  type JournalEntry,
  type LedgerState,
  type Plan,
  planBatch,
} from '../../domain/batch';
import type { Budget, BudgetPeriod } from '../../domain/budget';
import { type Credits, credits, formatCredits, parseCredits, sumOf, ZERO } from '../../domain/credits';
import { BUCKETS, type Bucket, type Lot, type LotLife } from '../../domain/lots';
import type {
  ChangeLifeOperation,
  CloseBudgetOperation,
  CorrectOperation,
  ExpireOperation,
  GrantOperation,
  OpenBudgetOperation,
  Operation,
  RaiseCapOperation,
  RefundOperation,
  ReleaseOperation,
  ReserveOperation,
  SettleOperation,
  TopUpOperation,
  WithdrawOperation,
} from '../../domain/operations';
import type { Reservation } from '../../domain/reservation';
import { atHour, idOf } from './ids';

export const USER = idOf('user', 1);
export const CONTRACT = idOf('contract', 1);
export const JOB = idOf('job', 1);
const HOURS_OF_A_YEAR = 8760;
const HOURS_OF_JANUARY = 744;

/** Credits from a decimal string. */
export function amount(text: string): Credits {
  return parseCredits(text);
}

/** A shared lot of the contract with ten available credits; `granted` follows from the buckets. */
export function aLot(given: Partial<Lot> = {}): Lot {
  const kind = given.kind ?? 'shared';
  const buckets = {
    available: given.available ?? amount('10'),
    reserved: given.reserved ?? ZERO,
    consumed: given.consumed ?? ZERO,
    expired: given.expired ?? ZERO,
    withdrawn: given.withdrawn ?? ZERO,
  };
  return {
    id: idOf('lot', 1),
    poolId: kind === 'individual' ? USER : CONTRACT,
    kind,
    granted: sumOf(BUCKETS, (bucket) => buckets[bucket]),
    effectiveAt: atHour(0),
    expiresAt: kind === 'individual' ? null : atHour(HOURS_OF_A_YEAR),
    withdrawnAt: null,
    graceUntil: null,
    endedAs: null,
    advance: false,
    ...given,
    ...buckets,
  };
}

export function aTerm(given: Partial<ContractTerm> = {}): ContractTerm {
  return { contractId: CONTRACT, startsAt: atHour(0), endsAt: atHour(HOURS_OF_A_YEAR), suspendedAt: null, ...given };
}

export function anAuthorisation(given: Partial<Authorisation> = {}): Authorisation {
  return { contractId: CONTRACT, userId: USER, authorisedAt: atHour(0), removedAt: null, ...given };
}

/** An open reservation of the user on the contract. */
export function aReservation(given: Partial<Reservation> = {}): Reservation {
  return {
    jobId: JOB,
    userId: USER,
    contractId: CONTRACT,
    state: 'open',
    cap: amount('100'),
    project: null,
    reservedAt: atHour(0),
    draws: [],
    captured: [],
    absorbed: ZERO,
    refunded: ZERO,
    ...given,
  };
}

/** A monthly budget of ten credits for the user, which warns at 80 % and refuses at 100 %. */
export function aBudget(given: Partial<Budget> = {}): Budget {
  return {
    id: idOf('budget', 1),
    contractId: CONTRACT,
    timeZone: 'UTC',
    userId: given.project == null ? USER : null,
    project: null,
    period: 'month',
    amount: amount('10'),
    warnPercent: 80,
    refusePercent: 100,
    ...given,
  };
}

/** January 2026 of that budget, with nothing counted. */
export function aBudgetPeriod(given: Partial<BudgetPeriod> = {}): BudgetPeriod {
  return {
    budgetId: idOf('budget', 1),
    startsAt: atHour(0),
    endsAt: atHour(HOURS_OF_JANUARY),
    reserved: ZERO,
    charged: ZERO,
    ...given,
  };
}

/** The user is authorised on the contract; everything else as given. */
export function aLedger(given: Partial<LedgerState> = {}): LedgerState {
  return {
    lots: [],
    reservations: [],
    repayments: [],
    contracts: [aTerm()],
    authorisations: [anAuthorisation()],
    budgets: [],
    budgetPeriods: [],
    ...given,
  };
}

/** The state after a batch, as a database would have it, with the batch's plan. */
export interface Aftermath extends LedgerState {
  readonly outcomes: Plan['outcomes'];
  readonly entries: Plan['entries'];
}

/** Plans operations as one batch and writes the plan into the state. */
export function afterBatch(state: LedgerState, ...operations: readonly Operation[]): Aftermath {
  const plan = planBatch(state, operations);
  const opened = plan.entries.flatMap(({ operation }) => (operation.kind === 'openBudget' ? [operation.budget] : []));
  const closed = plan.entries.map(({ operation }) => (operation.kind === 'closeBudget' ? operation.budgetId : ''));
  return {
    ...state,
    lots: replaced(state.lots, plan.lots, ({ id }) => id),
    reservations: replaced(state.reservations, plan.reservations, ({ jobId }) => jobId),
    repayments: [...state.repayments, ...plan.entries.flatMap(repaymentOf)],
    budgets: [...state.budgets, ...opened].filter(({ id }) => !closed.includes(id)),
    budgetPeriods: replaced(state.budgetPeriods, plan.budgetPeriods, (one) => `${one.budgetId} ${one.startsAt}`),
    outcomes: plan.outcomes,
    entries: plan.entries,
  };
}

function replaced<T>(before: readonly T[], changed: readonly T[], keyOf: (row: T) => string): T[] {
  return [...new Map([...before, ...changed].map((row) => [keyOf(row), row])).values()];
}

function repaymentOf({ operation, transfers: [paid] }: JournalEntry): LedgerState['repayments'] {
  if (operation.kind !== 'repay' || !paid) return [];
  const signed = paid.to === 'consumed' ? paid.amount : credits(-paid.amount);
  return [{ lotId: paid.lotId, advanceId: operation.advanceId, amount: signed }];
}

/** A lot of a state, the first one unless the test says which. */
export function lotOf(state: LedgerState, id = idOf('lot', 1)): Lot {
  const lot = state.lots.find((one) => one.id === id);
  if (!lot) throw new Error(`there is no lot ${id}`);
  return lot;
}

/** A lot's buckets that hold something, as decimals. */
export function bucketsOf(state: LedgerState, id = idOf('lot', 1)): Partial<Record<Bucket, string>> {
  const lot = lotOf(state, id);
  const held = BUCKETS.filter((bucket) => lot[bucket] !== ZERO);
  return Object.fromEntries(held.map((bucket) => [bucket, formatCredits(lot[bucket])]));
}

type Given<O extends Operation> = Partial<Omit<O, 'kind'>>;

let made = 0;

/** What every operation has. */
function base<Act extends string>(act: Act) {
  return { act, at: atHour(1), actor: 'test', reason: 'a test asks for it' };
}

/** For acts that a subject can see several times. */
function numbered(act: string) {
  made += 1;
  return base(`${act}/${made}`);
}

const LOT = { lotId: idOf('lot', 1), poolId: CONTRACT };
const OF_JOB = { jobId: JOB, userId: USER, contractId: CONTRACT };

export function grant({
  lot,
  ...given
}: Partial<Omit<GrantOperation, 'lot'>> & { lot?: Partial<GrantOperation['lot']> } = {}): GrantOperation {
  const kind = lot?.kind ?? 'shared';
  return {
    ...base('grant'),
    ...given,
    kind: 'grant',
    lot: {
      id: idOf('lot', 1),
      poolId: kind === 'individual' ? USER : CONTRACT,
      kind,
      source: 'purchase',
      amount: amount('10'),
      effectiveAt: atHour(0),
      expiresAt: kind === 'individual' ? null : atHour(HOURS_OF_A_YEAR),
      graceUntil: null,
      purchasedAt: null,
      reference: null,
      advance: false,
      ...lot,
    },
  };
}

export function expire(given: Given<ExpireOperation> = {}): ExpireOperation {
  return { ...base('expire'), ...LOT, ...given, kind: 'expire' };
}

export function withdraw(given: Given<WithdrawOperation> = {}): WithdrawOperation {
  return { ...base('withdraw'), ...LOT, poolId: USER, ...given, kind: 'withdraw' };
}

/** The life that the test gives is the one of a quiet lot but for that. */
export function changeLife({
  life,
  ...given
}: Partial<Omit<ChangeLifeOperation, 'life'>> & { life?: Partial<LotLife> } = {}): ChangeLifeOperation {
  const quiet = { effectiveAt: atHour(0), expiresAt: atHour(HOURS_OF_A_YEAR), withdrawnAt: null, graceUntil: null };
  return { ...numbered('changeLife'), ...LOT, ...given, kind: 'changeLife', life: { ...quiet, ...life } };
}

export function reserve(given: Given<ReserveOperation> = {}): ReserveOperation {
  const quiet = { amount: amount('1'), cap: amount('100'), project: null };
  return { ...base('reserve'), ...OF_JOB, ...quiet, ...given, kind: 'reserve' };
}

export function topUp(given: Given<TopUpOperation> = {}): TopUpOperation {
  return { ...numbered('topUp'), ...OF_JOB, target: amount('2'), ...given, kind: 'topUp' };
}

export function raiseCap(given: Given<RaiseCapOperation> = {}): RaiseCapOperation {
  return { ...numbered('raiseCap'), ...OF_JOB, cap: amount('200'), ...given, kind: 'raiseCap' };
}

export function settle(given: Given<SettleOperation> = {}): SettleOperation {
  return { ...base('close'), ...OF_JOB, actual: amount('1'), ...given, kind: 'settle' };
}

export function release(given: Given<ReleaseOperation> = {}): ReleaseOperation {
  return { ...base('close'), ...OF_JOB, ...given, kind: 'release' };
}

function newRefundId(): string {
  made += 1;
  return idOf('refund', made);
}

/** Of one credit; every refund has an id of its own unless the test gives it. */
export function refund(given: Given<RefundOperation> = {}): RefundOperation {
  return { ...base('refund'), refundId: newRefundId(), ...OF_JOB, amount: amount('1'), ...given, kind: 'refund' };
}

export function correct(given: Given<CorrectOperation> = {}): CorrectOperation {
  return { ...base('correct'), refundId: newRefundId(), ...OF_JOB, actual: ZERO, ...given, kind: 'correct' };
}

export function openBudget(given: Given<OpenBudgetOperation> = {}): OpenBudgetOperation {
  return { ...base('set'), budget: aBudget(), ...given, kind: 'openBudget' };
}

export function closeBudget(given: Given<CloseBudgetOperation> = {}): CloseBudgetOperation {
  const quiet = { budgetId: idOf('budget', 1), contractId: CONTRACT };
  return { ...base('close'), ...quiet, ...given, kind: 'closeBudget' };
}
