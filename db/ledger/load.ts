/**
 * What a batch locks and loads, in one round trip: what `load_batch` answers, as the domain wants it.
 */
import type { PoolClient } from 'pg';
import type { Authorisation, ContractTerm, LedgerState } from '../../domain/batch';
import type { Budget, BudgetPeriod } from '../../domain/budget';
import { type Credits, credits } from '../../domain/credits';
import { entryOf } from '../../domain/entryOf';
import type { Instant } from '../../domain/instant';
import type { JobState } from '../../domain/job';
import type { Bucket, Lot } from '../../domain/lots';
import { type Operation, subjectOf } from '../../domain/operations';
import { type Reservation, reservationOf } from '../../domain/reservation';
import { instantOfJson } from '../client';
import { bigints, byteas, uuids } from '../wire';
import { lineOf, type RecordedRow, transfersOf } from './journal';
import type { KnownBudget, KnownContract, KnownJob, Memory, PoolState } from './memory';

/** A pool as it is locked. */
export interface LockedPool extends PoolState {
  readonly id: string;
  readonly owner: 'contract' | 'user';
}

export interface Loaded {
  readonly pools: ReadonlyMap<string, LockedPool>;
  readonly state: LedgerState;
  /** What budgets' periods had in the database. */
  readonly budgetPeriods: readonly BudgetPeriod[];
  /** The rows of the journal about the subjects of the batch and the refunds of its jobs, in order. */
  readonly rows: readonly RecordedRow[];
  /** The states of the jobs whose rows change with the batch; they stay locked until it ends. */
  readonly jobStates: ReadonlyMap<string, JobState>;
}

/** The pools that an operation reads or writes. */
export function poolsOf(operation: Operation): string[] {
  switch (operation.kind) {
    case 'grant':
      return [operation.lot.poolId];
    case 'openBudget':
      return [operation.budget.contractId];
    case 'closeBudget':
      return [operation.contractId];
    case 'expire':
    case 'withdraw':
    case 'changeLife':
      return [operation.poolId];
    default:
      return operation.contractId === null ? [operation.userId] : [operation.contractId, operation.userId];
  }
}

/** The columns of a {@link Lot}. */
export const LOT_COLUMNS = `id, pool_id as "poolId", kind, granted, available, reserved, consumed, expired, withdrawn,
  effective_at as "effectiveAt", expires_at as "expiresAt", withdrawn_at as "withdrawnAt", grace_until as "graceUntil", ended_as as "endedAs",
  advance`;

/** Lots that can still pay, hold what a job reserved, or are to be repaid. */
export const IS_OPEN = '(available > 0 or reserved > 0 or (advance and consumed > 0))';

const LOAD = {
  name: 'load_batch',
  text: 'select load_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as loaded',
};

/**
 * Begins a transaction, locks the pools of operations in ascending order, loads what they concern and remembers it.
 *
 * @param movedJobIds the jobs whose rows change with the batch.
 */
export async function lockAndLoad(
  client: PoolClient,
  operations: readonly Operation[],
  movedJobIds: readonly string[],
  memory: Memory,
): Promise<Loaded> {
  const needs = needsOf(operations);
  const known = memory.known(needs.poolIds);
  const values = [
    uuids(needs.poolIds),
    bigints(needs.poolIds.map((id) => known.get(id)?.seq ?? null)),
    byteas(needs.poolIds.map((id) => known.get(id)?.digest ?? null)),
    uuids(needs.contractIds),
    uuids(needs.userIds),
    uuids(needs.subjects),
    uuids(needs.jobIds),
    needs.firstAt,
    needs.lastAt,
    uuids(needs.lotIds),
    uuids(needs.refundedJobIds),
    uuids(movedJobIds),
  ];
  const [, { rows: answer }] = await Promise.all([
    client.query(BEGIN),
    client.query<{ loaded: LoadedJson }>({ ...LOAD, values }),
  ]);
  const loaded = answer[0]?.loaded;
  if (!loaded) throw new Error('load_batch gave nothing');
  const pools = loaded.pools.map(poolOf);
  const rows = rowsOf(loaded.journal);
  const referring = rowsOf(loaded.referring);
  const zones = new Map(loaded.terms.map(({ contractId, timeZone }) => [contractId, timeZone]));
  const budgetPeriods = loaded.budgets.flatMap(periodOf);
  const state = {
    reservations: reservationsOf(
      needs.jobIds,
      rows,
      referring.filter(({ kind }) => kind !== 'repay'),
    ),
    repayments: referring.filter(({ kind }) => kind === 'repay').map(repaymentOf),
    contracts: contractsOf(loaded.terms),
    authorisations: loaded.terms.flatMap(authorisationOf),
    budgets: budgetsOf(loaded.budgets, zones),
    budgetPeriods,
  };
  const lots = grouped(loaded.lots.map(lotOf), ({ poolId }) => poolId);
  const jobs = openJobs(state.reservations, rows);
  const contracts = knownContracts(state, needs.usersOfContracts);
  const openLots = memory.found(
    pools.map((pool) => ({
      ...pool,
      lots: lots.get(pool.id) ?? [],
      jobs: jobs.get(pool.id) ?? [],
      contract: contracts.get(pool.id) ?? null,
    })),
    known,
  );
  const seen = new Set(openLots.map(({ id }) => id));
  return {
    pools: new Map(pools.map((pool) => [pool.id, pool])),
    rows,
    jobStates: new Map(loaded.jobs.map(({ id, state }) => [id, state])),
    budgetPeriods,
    state: { ...state, lots: [...openLots, ...loaded.namedLots.map(lotOf).filter(({ id }) => !seen.has(id))] },
  };
}

export const BEGIN = { name: 'begin', text: 'begin' };

/** What `load_batch` answers: instants as JSON writes them, amounts as text. */
interface LoadedJson {
  readonly pools: readonly PoolJson[];
  readonly lots: readonly LotJson[];
  readonly terms: readonly TermJson[];
  readonly budgets: readonly BudgetJson[];
  readonly journal: JournalJson;
  readonly namedLots: readonly LotJson[];
  readonly referring: JournalJson;
  readonly jobs: readonly { readonly id: string; readonly state: JobState }[];
}

interface PoolJson {
  readonly id: string;
  readonly owner: LockedPool['owner'];
  readonly seq: string;
  readonly digest: string | null;
  readonly terms: string;
}

type LotJson = Record<Bucket | 'granted' | 'effectiveAt', string> &
  Pick<Lot, 'id' | 'poolId' | 'kind' | 'endedAs' | 'advance'> & {
    readonly expiresAt: string | null;
    readonly withdrawnAt: string | null;
    readonly graceUntil: string | null;
  };

interface TermJson {
  readonly contractId: string;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly timeZone: string;
  readonly suspendedAt: string | null;
  /** Null where nobody who asks was ever authorised. */
  readonly userId: string | null;
  readonly authorisedAt: string | null;
  readonly removedAt: string | null;
}

interface BudgetJson extends Omit<Budget, 'timeZone' | 'amount'> {
  readonly amount: string;
  readonly startsAt: string | null;
  readonly endsAt: string | null;
  readonly reserved: string | null;
  readonly charged: string | null;
}

/** One array per column; null where there is no row. */
type JournalJson = {
  readonly [Column in keyof RecordedRow]?: readonly (string | null)[] | null;
};

function poolOf({ id, owner, seq, digest, terms }: PoolJson): LockedPool {
  const bytes = digest === null ? null : Buffer.from(digest, 'hex');
  return { id, owner, seq: BigInt(seq), digest: bytes, terms: BigInt(terms) };
}

function lotOf(lot: LotJson): Lot {
  const { id, poolId, kind, endedAs, advance, effectiveAt, expiresAt, withdrawnAt, graceUntil } = lot;
  return {
    id,
    poolId,
    kind,
    granted: amountOf(lot.granted),
    available: amountOf(lot.available),
    reserved: amountOf(lot.reserved),
    consumed: amountOf(lot.consumed),
    expired: amountOf(lot.expired),
    withdrawn: amountOf(lot.withdrawn),
    effectiveAt: instantOfJson(effectiveAt),
    expiresAt: expiresAt === null ? null : instantOfJson(expiresAt),
    withdrawnAt: withdrawnAt === null ? null : instantOfJson(withdrawnAt),
    graceUntil: graceUntil === null ? null : instantOfJson(graceUntil),
    endedAs,
    advance,
  };
}

function amountOf(text: string): Credits {
  return credits(BigInt(text));
}

function rowsOf(columns: JournalJson): RecordedRow[] {
  const at = (column: keyof RecordedRow, index: number) => columns[column]?.[index] ?? null;
  return (columns.subject ?? []).map((subject, index) => {
    const lotIds = at('lotIds', index);
    const [cap, absorbed, hash] = [at('cap', index), at('absorbed', index), at('requestHash', index)];
    return {
      subject,
      act: at('act', index),
      kind: at('kind', index),
      refersTo: at('refersTo', index),
      userId: at('userId', index),
      contractId: at('contractId', index),
      bookedAt: instantOfJson(at('bookedAt', index) ?? ''),
      cap: cap === null ? null : BigInt(cap),
      absorbed: absorbed === null ? null : BigInt(absorbed),
      project: at('project', index),
      moves: at('moves', index),
      lotIds: lotIds ? lotIds.split(' ') : [],
      amounts: lotIds ? (at('amounts', index) ?? '').split(' ').map(BigInt) : [],
      requestHash: hash === null ? null : Buffer.from(hash, 'hex'),
    } as RecordedRow;
  });
}

/** Each contract once, however many of its users were asked for. */
function contractsOf(terms: readonly TermJson[]): ContractTerm[] {
  const contracts = new Map<string, ContractTerm>();
  for (const { contractId, startsAt, endsAt, suspendedAt } of terms) {
    contracts.set(contractId, {
      contractId,
      startsAt: instantOfJson(startsAt),
      endsAt: instantOfJson(endsAt),
      suspendedAt: suspendedAt === null ? null : instantOfJson(suspendedAt),
    });
  }
  return [...contracts.values()];
}

/** What memory keeps of contracts: of the users who were asked for also that they are not authorised. */
function knownContracts(
  state: Pick<LedgerState, 'contracts' | 'authorisations' | 'budgets' | 'budgetPeriods'>,
  usersOfContracts: ReadonlyMap<string, ReadonlySet<string>>,
): Map<string, KnownContract> {
  const authorisations = grouped(state.authorisations, ({ contractId, userId }) => `${contractId} ${userId}`);
  const budgets = grouped(state.budgets, ({ contractId }) => contractId);
  const periods = grouped(state.budgetPeriods, ({ budgetId }) => budgetId);
  return new Map(
    state.contracts.map((term) => {
      const { contractId } = term;
      const users = [...(usersOfContracts.get(contractId) ?? [])];
      return [
        contractId,
        {
          term,
          users: new Map(users.map((id) => [id, authorisations.get(`${contractId} ${id}`) ?? []])),
          budgets: new Map(
            (budgets.get(contractId) ?? []).map((budget): [string, KnownBudget] => {
              const known = (periods.get(budget.id) ?? []).map((period) => [period.startsAt, period] as const);
              return [budget.id, { budget, periods: new Map(known) }];
            }),
          ),
        },
      ];
    }),
  );
}

/** What memory keeps of jobs, by the pool where their operations are linked: those that are open. */
function openJobs(reservations: readonly Reservation[], rows: readonly RecordedRow[]): Map<string, KnownJob[]> {
  const lines = grouped(rows, ({ subject }) => subject);
  const open = reservations
    .filter(({ state }) => state === 'open')
    .map((reservation) => ({ reservation, lines: (lines.get(reservation.jobId) ?? []).map(lineOf) }));
  return grouped(open, ({ reservation: { contractId, userId } }) => contractId ?? userId);
}

function grouped<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) entryOf(groups, keyOf(value), () => []).push(value);
  return groups;
}

function authorisationOf({ contractId, userId, authorisedAt, removedAt }: TermJson): Authorisation[] {
  if (userId === null || authorisedAt === null) return [];
  return [
    {
      contractId,
      userId,
      authorisedAt: instantOfJson(authorisedAt),
      removedAt: removedAt === null ? null : instantOfJson(removedAt),
    },
  ];
}

/** What operations concern, each id once. */
function needsOf(operations: readonly Operation[]) {
  const poolIds = new Set<string>();
  const contractIds = new Set<string>();
  const userIds = new Set<string>();
  const subjects = new Set<string>();
  const jobIds = new Set<string>();
  const refundedJobIds = new Set<string>();
  const lotIds = new Set<string>();
  const usersOfContracts = new Map<string, Set<string>>();
  let firstAt = operations[0]?.at ?? ('' as Instant);
  let lastAt = firstAt;
  for (const operation of operations) {
    for (const id of poolsOf(operation)) poolIds.add(id);
    subjects.add(subjectOf(operation));
    if (operation.at < firstAt) firstAt = operation.at;
    if (operation.at > lastAt) lastAt = operation.at;
    if ('jobId' in operation) {
      userIds.add(operation.userId);
      if (operation.contractId !== null) {
        contractIds.add(operation.contractId);
        entryOf(usersOfContracts, operation.contractId, () => new Set<string>()).add(operation.userId);
      }
      jobIds.add(operation.jobId);
      subjects.add(operation.jobId);
      if (operation.kind === 'refund' || operation.kind === 'correct') refundedJobIds.add(operation.jobId);
    } else if ('lotId' in operation) {
      lotIds.add(operation.lotId);
    } else if (operation.kind === 'openBudget') {
      contractIds.add(operation.budget.contractId);
      if (operation.budget.userId !== null) userIds.add(operation.budget.userId);
    } else if (operation.kind === 'closeBudget') {
      contractIds.add(operation.contractId);
    }
  }
  return {
    poolIds: [...poolIds].sort(),
    contractIds: [...contractIds],
    userIds: [...userIds],
    subjects: [...subjects],
    jobIds: [...jobIds],
    refundedJobIds: [...refundedJobIds],
    lotIds: [...lotIds],
    usersOfContracts,
    firstAt,
    lastAt,
  };
}

function reservationsOf(jobIds: readonly string[], rows: readonly RecordedRow[], references: readonly RecordedRow[]) {
  const lines = new Map<string, RecordedRow[]>();
  for (const row of rows) lines.set(row.subject, [...(lines.get(row.subject) ?? []), row]);
  for (const row of references) lines.get(row.refersTo ?? '')?.push(row);
  return jobIds.flatMap((jobId) => {
    const own = lines.get(jobId);
    // What is asked of a refund or a lot as if it were a job finds no reservation.
    const isJob = own?.[0]?.kind === 'reserve' || own?.[0]?.kind === 'release';
    return own && isJob ? [reservationOf(jobId, own.map(lineOf))] : [];
  });
}

/** What a repayment moved from a lot to an advance, negative where a refund undid it. */
function repaymentOf(row: RecordedRow) {
  const [first] = transfersOf(row);
  if (!first || row.refersTo === null) throw new Error(`the repayment ${row.subject}/${row.act} moved nothing`);
  const amount = first.to === 'consumed' ? first.amount : credits(-first.amount);
  return { lotId: first.lotId, advanceId: row.refersTo, amount };
}

function budgetsOf(rows: readonly BudgetJson[], zones: ReadonlyMap<string, string>): Budget[] {
  const byId = new Map<string, Budget>();
  for (const { id, contractId, userId, project, period, amount, warnPercent, refusePercent } of rows) {
    const timeZone = zones.get(contractId) ?? 'UTC';
    const limits = { amount: amountOf(amount), warnPercent, refusePercent };
    byId.set(id, { id, contractId, timeZone, userId, project, period, ...limits });
  }
  return [...byId.values()];
}

function periodOf({ id, startsAt, endsAt, reserved, charged }: BudgetJson): BudgetPeriod[] {
  if (startsAt === null || endsAt === null || reserved === null || charged === null) return [];
  return [
    {
      budgetId: id,
      startsAt: instantOfJson(startsAt),
      endsAt: instantOfJson(endsAt),
      reserved: amountOf(reserved),
      charged: amountOf(charged),
    },
  ];
}
