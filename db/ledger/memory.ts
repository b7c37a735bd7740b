/**
 * What this process knows of pools: their open lots, the jobs that hold something of them, and who may spend of a contract,
 * within which budgets. All of that changes with the links of a pool's chain, or with a contract's terms. So a pool whose
 * last batch and whose terms are the ones that are known is as it is known: a user's thousand lots are not read again for
 * every batch, and a batch can be planned without being loaded, as long as nobody else works on its pools.
 *
 * A batch is known by its number and its digest: after a commit whose answer was lost another process may have written the
 * link that was noted here.
 */
import type { Authorisation, ContractTerm, LedgerState, Plan } from '../../domain/batch';
import type { Budget, BudgetPeriod } from '../../domain/budget';
import { compareForDrawdown } from '../../domain/drawdown';
import type { Instant } from '../../domain/instant';
import type { Lot } from '../../domain/lots';
import type { JobOperation, Operation, Spender } from '../../domain/operations';
import type { JournalLine, Reservation } from '../../domain/reservation';

/** Lots and jobs; about a hundred megabytes. */
const SIZE_MAX = 100_000;
/** Of one pool: a job that was forgotten is loaded again. */
const JOBS_MAX = 20_000;

/** Of one budget: a period that was forgotten is loaded again. */
const PERIODS_MAX = 16;
const NOTHING = { users: new Map(), budgets: new Map() } as const;

/** A job with an open reservation, and its operations in order. */
export interface KnownJob {
  readonly reservation: Reservation;
  readonly lines: readonly JournalLine[];
}

/** A budget with those of its periods that were loaded or counted, by their start. */
export interface KnownBudget {
  readonly budget: Budget;
  readonly periods: Map<Instant, BudgetPeriod>;
}

/** A contract as far as it was asked for: all budgets of projects; of users those who spent, and their budgets. */
export interface KnownContract {
  readonly term: ContractTerm;
  readonly users: Map<string, readonly Authorisation[]>;
  readonly budgets: Map<string, KnownBudget>;
}

/**
 * What identifies the state of a pool: how many batches it is linked to, the digest of the last of them if there is any, and
 * how often its terms changed. Digests alone would not do: what one process did not get written another may write later, as
 * the same batch on top of something else.
 */
export interface PoolState {
  readonly seq: bigint;
  readonly digest: Buffer | null;
  readonly terms: bigint;
}

export interface KnownPool extends PoolState {
  readonly lots: readonly Lot[];
  readonly jobs: Map<string, KnownJob>;
  readonly contract: KnownContract | null;
  /** Whether nobody else changed the pool since it was known: then it is likely to be still as it is known. */
  readonly isCalm: boolean;
}

/** What a batch found of a pool that it locked. */
export interface FoundPool extends PoolState {
  readonly id: string;
  /** Only when it is not the one that was known. */
  readonly lots: readonly Lot[];
  readonly jobs: readonly KnownJob[];
  readonly contract: KnownContract | null;
}

/** What a batch leaves. */
export interface Left {
  readonly digest: Buffer;
  /** The pools that it is linked to. */
  readonly poolIds: readonly string[];
  readonly plan: Pick<Plan, 'lots' | 'reservations' | 'budgetPeriods'>;
  /** The operations of its jobs afterwards, in order. */
  readonly linesOf: (jobId: string) => readonly JournalLine[];
}

export class Memory {
  private readonly pools = new Map<string, KnownPool & { readonly size: number }>();
  /** Pools that others changed behind this process's back, until one is found unchanged. */
  private readonly busy = new Set<string>();
  private size = 0;

  /** What is known of pools. The caller keeps it: while it loads, another batch may push it out. */
  known(poolIds: readonly string[]): Map<string, KnownPool> {
    return new Map(
      poolIds.flatMap((id) => {
        const pool = this.pools.get(id);
        return pool ? [[id, pool]] : [];
      }),
    );
  }

  /**
   * Notes what a batch found under its locks.
   *
   * @param before what was known when it asked.
   * @returns the open lots of the pools, in the order in which they pay.
   */
  found(pools: readonly FoundPool[], before: ReadonlyMap<string, KnownPool>): Lot[] {
    return pools.flatMap((pool) => {
      const known = before.get(pool.id);
      const isSame = known !== undefined && isSameBatch(known, pool);
      // In the order in which they pay, once: the planner then only sees that they are.
      const lots = isSame ? known.lots : pool.lots.toSorted(compareForDrawdown);
      const now = this.pools.get(pool.id);
      const isUnchanged = now !== undefined && isSameState(now, pool);
      const isCalm = isUnchanged || (now === undefined && !this.busy.has(pool.id));
      if (isUnchanged) this.busy.delete(pool.id);
      const jobs = isUnchanged ? now.jobs : new Map<string, KnownJob>();
      for (const job of pool.jobs) jobs.set(job.reservation.jobId, job);
      const contract = merged(isUnchanged ? now.contract : null, pool.contract);
      const { seq, digest, terms } = pool;
      this.keep(pool.id, { seq, digest, terms, lots, jobs, contract, isCalm });
      return lots;
    });
  }

  /** Notes what a batch leaves of the pools that it is linked to, whose states before it are given. */
  left({ digest, poolIds, plan, linesOf }: Left, before: ReadonlyMap<string, PoolState>): void {
    const after = new Map(plan.lots.map((lot) => [lot.id, lot]));
    for (const poolId of poolIds) {
      const known = this.pools.get(poolId);
      const state = before.get(poolId);
      if (!known || !state || !isSameState(known, state)) {
        this.forget([poolId]);
        continue;
      }
      const { jobs, contract } = known;
      for (const reservation of plan.reservations) {
        const { jobId } = reservation;
        if (homeOf(reservation) !== poolId) continue;
        // Last, so that the first is the one that rested longest.
        jobs.delete(jobId);
        if (reservation.state === 'open') jobs.set(jobId, { reservation, lines: linesOf(jobId) });
      }
      for (const jobId of jobs.keys()) {
        if (jobs.size <= JOBS_MAX) break;
        jobs.delete(jobId);
      }
      for (const period of plan.budgetPeriods) {
        const periods = contract?.budgets.get(period.budgetId)?.periods;
        if (periods) keepPeriod(periods, period);
      }
      this.keep(poolId, { ...known, seq: known.seq + 1n, digest, lots: lotsAfter(known.lots, poolId, after) });
    }
  }

  /** Forgets pools that did not turn out to be as they were known. */
  lost(poolIds: readonly string[]): void {
    this.forget(poolIds);
    for (const id of poolIds) this.busy.add(id);
    if (this.busy.size > SIZE_MAX) this.busy.clear();
  }

  forget(poolIds: readonly string[]): void {
    for (const id of poolIds) {
      this.size -= this.pools.get(id)?.size ?? 0;
      this.pools.delete(id);
    }
  }

  /** Whether all is known that an operation of a job is planned with; nothing else is planned without being loaded. */
  knows(operation: Operation): operation is JobOperation {
    switch (operation.kind) {
      case 'reserve':
      case 'topUp':
      case 'raiseCap':
      case 'settle':
      case 'release':
        break;
      default:
        return false;
    }
    const { userId, contractId, jobId } = operation;
    if (this.pools.get(userId)?.isCalm !== true) return false;
    if (contractId !== null) {
      const known = this.pools.get(contractId);
      if (known?.isCalm !== true || !known.contract?.users.has(userId)) return false;
    }
    // What is not known of a job may be anything: only what begins it can be planned, and a key that is used is found.
    return operation.kind === 'reserve' || this.pools.get(homeOf(operation))?.jobs.has(jobId) === true;
  }

  /** What is known for operations, each of which {@link knows} was asked about. */
  stateFor(operations: readonly JobOperation[], known: ReadonlyMap<string, KnownPool>): LedgerState {
    const reservations = new Map<string, Reservation>();
    const users = new Set<string>();
    const authorisations = new Map<string, readonly Authorisation[]>();
    for (const operation of operations) {
      const { jobId, userId, contractId } = operation;
      const job = known.get(homeOf(operation))?.jobs.get(jobId);
      if (job) reservations.set(jobId, job.reservation);
      if (contractId === null) continue;
      users.add(userId);
      authorisations.set(`${contractId} ${userId}`, known.get(contractId)?.contract?.users.get(userId) ?? []);
    }
    const contracts = [...known.values()].flatMap(({ contract }) => contract ?? []);
    const budgets = contracts.flatMap((contract) =>
      [...contract.budgets.values()].filter(({ budget: { userId } }) => userId === null || users.has(userId)),
    );
    return {
      lots: [...known.values()].flatMap(({ lots }) => lots),
      reservations: [...reservations.values()],
      repayments: [],
      contracts: contracts.map(({ term }) => term),
      authorisations: [...authorisations.values()].flat(),
      budgets: budgets.map(({ budget }) => budget),
      budgetPeriods: budgets.flatMap(({ periods }) => [...periods.values()]),
    };
  }

  private keep(id: string, pool: KnownPool): void {
    this.forget([id]);
    const { users, budgets } = pool.contract ?? NOTHING;
    const size = 1 + pool.lots.length + pool.jobs.size + users.size + budgets.size * PERIODS_MAX;
    this.pools.set(id, { ...pool, size });
    this.size += size;
    // The map keeps the order in which pools were last written: the first is the one that rested longest.
    for (const oldest of this.pools.keys()) {
      if (this.size <= SIZE_MAX) break;
      this.forget([oldest]);
    }
  }
}

/** Where the operations of a job are linked, whatever else they are linked to. */
function homeOf({ userId, contractId }: Spender): string {
  return contractId ?? userId;
}

function isSameState(a: PoolState, b: PoolState): boolean {
  return a.terms === b.terms && isSameBatch(a, b);
}

function isSameBatch(a: PoolState, b: PoolState): boolean {
  if (a.seq !== b.seq) return false;
  return a.digest === null || b.digest === null ? a.digest === b.digest : a.digest.equals(b.digest);
}

/** What is known of a contract that did not change, with what was loaded of it now. */
function merged(known: KnownContract | null, loaded: KnownContract | null): KnownContract | null {
  if (known === null || loaded === null) return loaded ?? known;
  for (const [userId, authorisations] of loaded.users) known.users.set(userId, authorisations);
  for (const [id, { budget, periods }] of loaded.budgets) {
    const all = known.budgets.get(id)?.periods ?? new Map<Instant, BudgetPeriod>();
    for (const period of periods.values()) keepPeriod(all, period);
    known.budgets.set(id, { budget, periods: all });
  }
  return known;
}

/** Last, so that the first is the one that rested longest. */
function keepPeriod(periods: Map<Instant, BudgetPeriod>, period: BudgetPeriod): void {
  periods.delete(period.startsAt);
  periods.set(period.startsAt, period);
  for (const startsAt of periods.keys()) {
    if (periods.size <= PERIODS_MAX) break;
    periods.delete(startsAt);
  }
}

function lotsAfter(before: readonly Lot[], poolId: string, after: ReadonlyMap<string, Lot>): readonly Lot[] {
  const kept = before.map((lot) => after.get(lot.id) ?? lot).filter(isOpen);
  const ids = new Set(before.map(({ id }) => id));
  const added = [...after.values()].filter((lot) => lot.poolId === poolId && !ids.has(lot.id) && isOpen(lot));
  return added.length > 0 ? [...kept, ...added].sort(compareForDrawdown) : kept;
}

function isOpen(lot: Lot): boolean {
  return lot.available > 0n || lot.reserved > 0n || (lot.advance && lot.consumed > 0n);
}
