/** The ledger without a database: plans are written to rows in memory, as Postgres would, and read back for the next plan. */
import { type JournalEntry, type LedgerState, type Plan, planBatch } from '../../domain/batch';
import { type Budget, type BudgetPeriod, periodAt } from '../../domain/budget';
import { type Credits, credits, sumOf, ZERO } from '../../domain/credits';
import { isConserved, type Lot } from '../../domain/lots';
import {
  type Accepted,
  type GrantOperation,
  type Operation,
  type Outcome,
  type Repayment,
  subjectOf,
  type Transfer,
} from '../../domain/operations';
import { type JournalLine, type Reservation, reservationOf } from '../../domain/reservation';
import type { LedgerSeen } from './comparison';
import type { Answered, LedgerUnderTest } from './histories';
import { poolsOf, type World } from './unitOperations';

type RepaidAdvance = LedgerState['repayments'][number];

/** Operations of a job, and refunds that refer to it. */
interface Lines {
  readonly own: JournalLine[];
  readonly referring: JournalLine[];
}

/** Every batch is checked against the laws of the ledger. */
export class PlannedLedger implements LedgerUnderTest {
  private world: World = { contracts: [], authorisations: [], users: [] };
  private readonly lots = new Map<string, Lot>();
  private readonly jobs = new Map<string, Lines>();
  private readonly repayments: RepaidAdvance[] = [];
  private readonly budgets = new Map<string, Budget>();
  private readonly closed = new Set<string>();
  private readonly periods = new Map<string, BudgetPeriod>();
  /** What was answered under each key, and to which request. */
  private readonly answers = new Map<string, { readonly request: string; readonly answer: Accepted }>();

  /** Another planner than the true one can be put in its place. */
  constructor(private readonly plan: typeof planBatch = planBatch) {}

  open(world: World): void {
    this.world = world;
  }

  apply(operations: readonly Operation[]): Answered {
    const outcomes: Outcome[] = [];
    let fresh: Operation[] = [];
    const plan = () => {
      outcomes.push(...this.applyFresh(fresh));
      fresh = [];
    };
    for (const operation of operations) {
      // Whether a key is taken is known once the operations before it are decided.
      if (fresh.some((one) => keyOf(one) === keyOf(operation))) plan();
      const before = this.answers.get(keyOf(operation));
      if (!before) {
        fresh.push(operation);
        continue;
      }
      plan();
      outcomes.push(
        before.request === requestOf(operation)
          ? { ...before.answer, replayed: true, warnings: [] }
          : { accepted: false, code: 'idempotency_key_reused', message: '', details: {} },
      );
    }
    plan();
    return { outcomes, sent: 1 };
  }

  look(): LedgerSeen {
    return {
      lots: [...this.lots.values()],
      reservations: [...this.jobs.keys()].flatMap((jobId) => this.reservation(jobId)),
      budgetPeriods: [...this.periods.values()],
    };
  }

  private applyFresh(operations: readonly Operation[]): readonly Outcome[] {
    if (operations.length === 0) return [];
    const plan = this.plan(this.stateFor(operations), operations);
    const touched = new Set(plan.entries.flatMap((entry) => this.write(entry)));
    for (const period of plan.budgetPeriods) this.periods.set(`${period.budgetId} ${period.startsAt}`, period);
    operations.forEach((operation, index) => {
      const outcome = plan.outcomes[index];
      if (outcome?.accepted) this.answers.set(keyOf(operation), { request: requestOf(operation), answer: outcome });
    });
    this.checkPlan(plan, touched);
    this.checkLaws();
    return plan.outcomes;
  }

  /** The rows that a database would load for a batch, and no others. */
  private stateFor(operations: readonly Operation[]): LedgerState {
    const pools = new Set(operations.flatMap(poolsOf));
    const reservations = new Set(operations.flatMap(jobIdOf));
    const charged = [...reservations].flatMap((jobId) => this.reservation(jobId)).flatMap(({ captured }) => captured);
    const named = new Set([...operations.map(subjectOf), ...charged.map(({ lotId }) => lotId)]);
    const repayments = this.repayments.filter(({ advanceId }) => named.has(advanceId));
    for (const { lotId } of repayments) named.add(lotId);
    const budgets = [...this.budgets.values()].filter(
      ({ id, contractId }) => pools.has(contractId) && !this.closed.has(id),
    );
    const opened = operations.flatMap((operation) => (operation.kind === 'openBudget' ? [operation.budget] : []));
    return {
      lots: [...this.lots.values()].filter((lot) => named.has(lot.id) || (pools.has(lot.poolId) && isOpen(lot))),
      reservations: [...reservations].flatMap((jobId) => this.reservation(jobId)),
      repayments,
      contracts: this.world.contracts.filter(({ contractId }) => pools.has(contractId)),
      authorisations: this.world.authorisations.filter(({ contractId }) => pools.has(contractId)),
      budgets,
      budgetPeriods: [
        ...[...this.periods.values()].filter(({ budgetId }) => budgets.some(({ id }) => id === budgetId)),
        ...opened.flatMap((budget) => this.countedFor(budget)),
      ],
    };
  }

  /** What jobs have reserved and cost already that a budget concerns, by period. */
  private countedFor(budget: Budget): BudgetPeriod[] {
    const periods = new Map<string, BudgetPeriod>();
    for (const reservation of [...this.jobs.keys()].flatMap((jobId) => this.reservation(jobId))) {
      const { contractId, userId, project, reservedAt, draws, captured, refunded } = reservation;
      const isConcerned = budget.userId === null ? budget.project === project : budget.userId === userId;
      if (contractId !== budget.contractId || !isConcerned) continue;
      const bounds = periodAt(budget, reservedAt);
      const before = periods.get(bounds.startsAt) ?? { budgetId: budget.id, ...bounds, reserved: ZERO, charged: ZERO };
      periods.set(bounds.startsAt, {
        ...before,
        reserved: credits(before.reserved + amountOf(draws)),
        charged: credits(before.charged + amountOf(captured) - refunded),
      });
    }
    return [...periods.values()];
  }

  private reservation(jobId: string): Reservation[] {
    const lines = this.jobs.get(jobId);
    return lines && lines.own.length > 0 ? [reservationOf(jobId, [...lines.own, ...lines.referring])] : [];
  }

  /** Writes an entry of the journal and what follows from it. @returns the lots that it changed. */
  private write({ operation, transfers, absorbed }: JournalEntry): string[] {
    if (operation.kind === 'grant') this.lots.set(operation.lot.id, wholeLot(operation));
    for (const transfer of transfers) if (transfer.from !== 'granted') this.move(transfer);
    const moved = transfers.map(({ lotId }) => lotId);
    switch (operation.kind) {
      case 'repay':
        this.repayments.push(repaymentOf(operation, transfers));
        return moved;
      case 'grant':
        return moved;
      case 'expire':
      case 'withdraw':
        this.change(operation.lotId, { endedAs: operation.kind === 'expire' ? 'expired' : 'withdrawn' });
        return [operation.lotId, ...moved];
      case 'changeLife':
        this.change(operation.lotId, operation.life);
        return [operation.lotId, ...moved];
      case 'openBudget':
        this.budgets.set(operation.budget.id, operation.budget);
        return moved;
      case 'closeBudget':
        this.closed.add(operation.budgetId);
        return moved;
      default: {
        const { kind, act, at: bookedAt, userId, contractId, jobId } = operation;
        const cap = operation.kind === 'reserve' || operation.kind === 'raiseCap' ? operation.cap : null;
        const project = operation.kind === 'reserve' ? operation.project : null;
        const lines = this.jobs.get(jobId) ?? { own: [], referring: [] };
        const own = kind === 'refund' || kind === 'correct' ? lines.referring : lines.own;
        own.push({ kind, act, bookedAt, userId, contractId, cap, absorbed, project, transfers });
        this.jobs.set(jobId, lines);
        return moved;
      }
    }
  }

  private move({ lotId, from, to, amount }: Transfer): void {
    if (amount <= 0n) throw new Error(`${amount} of lot ${lotId} was moved`);
    if (from === 'granted') return;
    const lot = this.lot(lotId);
    this.lots.set(lotId, { ...lot, [from]: credits(lot[from] - amount) });
    const left = this.lot(lotId);
    this.lots.set(lotId, { ...left, [to]: credits(left[to] + amount) });
  }

  private change(lotId: string, changes: Partial<Lot>): void {
    this.lots.set(lotId, { ...this.lot(lotId), ...changes });
  }

  private lot(id: string): Lot {
    const lot = this.lots.get(id);
    if (!lot) throw new Error(`there is no lot ${id}`);
    return lot;
  }

  /** What a plan says of the rows after it is what follows from its entries. */
  private checkPlan(plan: Plan, touched: ReadonlySet<string>): void {
    for (const lot of plan.lots) {
      if (text(lot) !== text(this.lot(lot.id)))
        throw new Error(`lot ${text(lot)} is planned, ${text(this.lot(lot.id))} written`);
    }
    const planned = new Set(plan.lots.map(({ id }) => id));
    for (const id of touched) if (!planned.has(id)) throw new Error(`lot ${id} changes, and the plan does not say so`);
    for (const reservation of plan.reservations) {
      const [folded] = this.reservation(reservation.jobId);
      if (text(sorted(reservation)) !== text(folded && sorted(folded))) {
        throw new Error(`reservation ${text(reservation)} is planned, ${text(folded)} written`);
      }
    }
  }

  private checkLaws(): void {
    for (const lot of this.lots.values()) if (!isConserved(lot)) throw new Error(`lot ${lot.id} is not conserved`);
    const held = new Map<string, Credits>();
    for (const jobId of this.jobs.keys()) {
      for (const { userId, contractId, draws, captured } of this.reservation(jobId)) {
        for (const { lotId } of [...draws, ...captured]) {
          const { kind, poolId } = this.lot(lotId);
          // R2 on what was really moved.
          if (poolId !== (kind === 'individual' ? userId : contractId)) {
            throw new Error(`lot ${lotId} paid for job ${jobId} of somebody else`);
          }
        }
        for (const { lotId, amount } of draws) held.set(lotId, credits((held.get(lotId) ?? ZERO) + amount));
      }
    }
    for (const { id, reserved } of this.lots.values()) {
      if (reserved !== (held.get(id) ?? ZERO))
        throw new Error(`lot ${id} has ${reserved} reserved, jobs hold ${held.get(id)}`);
    }
  }
}

function keyOf(operation: Operation): string {
  return `${subjectOf(operation)} ${operation.act}`;
}

/** What was asked, without the instant: a repeat brings a new one. */
function requestOf({ at: _at, ...asked }: Operation): string {
  return text(asked);
}

function jobIdOf(operation: Operation): string[] {
  return 'jobId' in operation ? [operation.jobId] : [];
}

function isOpen({ available, reserved, advance, consumed }: Lot): boolean {
  return available > ZERO || reserved > ZERO || (advance && consumed > ZERO);
}

function wholeLot({ lot }: GrantOperation): Lot {
  const { source: _source, purchasedAt: _purchasedAt, reference: _reference, amount, ...rest } = lot;
  const empty = { reserved: ZERO, consumed: ZERO, expired: ZERO, withdrawn: ZERO };
  return { ...rest, granted: amount, available: amount, ...empty, withdrawnAt: null, endedAs: null };
}

function repaymentOf({ advanceId }: Repayment, transfers: readonly Transfer[]): RepaidAdvance {
  const paid = transfers.find(({ lotId }) => lotId !== advanceId);
  if (!paid) throw new Error(`advance ${advanceId} was repaid by nobody`);
  return { lotId: paid.lotId, advanceId, amount: credits(paid.to === 'consumed' ? paid.amount : -paid.amount) };
}

function amountOf(draws: Reservation['draws']): Credits {
  return sumOf(draws, ({ amount }) => amount);
}

function sorted(reservation: Reservation): Reservation {
  return { ...reservation, draws: [...reservation.draws].sort((a, b) => (a.lotId < b.lotId ? -1 : 1)) };
}

/** The same for the same facts, in whatever order they are named. */
function text(facts: object | undefined): string {
  return JSON.stringify(facts, (_, value) => {
    if (typeof value === 'bigint') return value.toString();
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
