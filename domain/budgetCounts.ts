/** What counts against budgets while a batch is being decided (R17). */
import type { LedgerState } from './batch';
import {
  type Budget,
  type BudgetPeriod,
  type BudgetWarning,
  limitOf,
  objectionToBudget,
  periodAt,
  warningThresholdOf,
} from './budget';
import { type Credits, credits, formatCredits, ZERO } from './credits';
import { entryOf } from './entryOf';
import type { Instant } from './instant';
import type { Operation, Refused } from './operations';
import { chargedFor, heldBy, type Reservation } from './reservation';
import { refused } from './step';

/** What decides which budgets a job concerns, and in which of their periods it counts. */
type BudgetedJob = Pick<Reservation, 'userId' | 'contractId' | 'project' | 'reservedAt'>;

type WorkingPeriod = { -readonly [Key in keyof BudgetPeriod]: BudgetPeriod[Key] };

interface Counted {
  readonly budget: Budget;
  readonly limit: Credits | null;
  readonly warningThreshold: Credits | null;
  /** By their start. */
  readonly periods: Map<Instant, WorkingPeriod>;
  /** The period that was asked for last: mostly it is the next one too. */
  latest: WorkingPeriod | undefined;
  /** A budget that the batch opens counts from the beginning, because the batch's earlier jobs count in it as well. */
  state: 'opening' | 'open' | 'closed';
}

const NONE: readonly Counted[] = [];
const NO_WARNINGS: readonly BudgetWarning[] = Object.freeze([]);

export class BudgetCounts {
  private readonly byId = new Map<string, Counted>();
  /** By contract, then by user or project. */
  private readonly ofUsers = new Map<string, Map<string, Counted[]>>();
  private readonly ofProjects = new Map<string, Map<string, Counted[]>>();
  private readonly changed = new Set<WorkingPeriod>();

  constructor(
    { budgets, budgetPeriods }: Pick<LedgerState, 'budgets' | 'budgetPeriods'>,
    operations: readonly Operation[],
  ) {
    for (const budget of budgets) this.add(budget, 'open');
    for (const operation of operations) {
      if (operation.kind === 'openBudget') this.expect(operation.budget);
    }
    for (const period of budgetPeriods) this.byId.get(period.budgetId)?.periods.set(period.startsAt, { ...period });
  }

  /** The open budget with an id. */
  find(budgetId: string): Budget | undefined {
    const counted = this.byId.get(budgetId);
    return counted?.state === 'open' ? counted.budget : undefined;
  }

  /** The open budget for the same person or project and kind of period. */
  findLike({ contractId, userId, project, period }: Budget): Budget | undefined {
    const alike = [
      ...(listIn(this.ofUsers, contractId, userId) ?? NONE),
      ...(listIn(this.ofProjects, contractId, project) ?? NONE),
    ];
    return alike.find((one) => one.state === 'open' && one.budget.period === period)?.budget;
  }

  /** Why a job may not reserve so much more: `budget_exceeded`, or null when no budget objects. */
  objection(job: BudgetedJob, amount: Credits): Refused | null {
    // What costs nothing is reserved whatever else was spent (R16).
    if (amount === ZERO) return null;
    for (const counted of this.concerning(job)) {
      if (counted.state !== 'open' || counted.limit === null) continue;
      const used = usedIn(periodOf(counted, job.reservedAt));
      if (used + amount > counted.limit)
        return exceeded(counted.budget, { used, required: amount, limit: counted.limit });
    }
    return null;
  }

  /** How much more than it holds a job may cost; null without a limit, below zero where more is used already. */
  leftFor(job: BudgetedJob): Credits | null {
    let least: Credits | null = null;
    for (const counted of this.concerning(job)) {
      if (counted.state !== 'open' || counted.limit === null) continue;
      const left = credits(counted.limit - usedIn(periodOf(counted, job.reservedAt)));
      if (least === null || left < least) least = left;
    }
    return least;
  }

  /**
   * Counts what a job holds and was charged after an operation in place of what it was before, in the period in which it
   * was reserved.
   *
   * @returns the budgets that this brought to their warning threshold.
   * @throws Error when less than nothing would be counted; the state does not fit the journal then.
   */
  count(before: Reservation | undefined, after: Reservation): readonly BudgetWarning[] {
    const concerned = this.concerning(after);
    if (concerned.length === 0) return NO_WARNINGS;
    const reserved = credits(heldBy(after) - (before ? heldBy(before) : ZERO));
    const charged = credits(chargedFor(after) - (before ? chargedFor(before) : ZERO));
    if (reserved === ZERO && charged === ZERO) return NO_WARNINGS;
    let warnings = NO_WARNINGS;
    for (const counted of concerned) {
      if (counted.state === 'closed') continue;
      const period = periodOf(counted, after.reservedAt);
      const usedBefore = usedIn(period);
      period.reserved = credits(period.reserved + reserved);
      period.charged = credits(period.charged + charged);
      this.changed.add(period);
      const used = usedIn(period);
      if (period.reserved < ZERO || period.charged < ZERO) {
        throw new Error(`job ${after.jobId} brings budget ${period.budgetId} below zero from ${period.startsAt}`);
      }
      const { budget, state, warningThreshold } = counted;
      if (state === 'open' && warningThreshold !== null && usedBefore < warningThreshold && used >= warningThreshold) {
        warnings = [...warnings, { budgetId: budget.id, used, amount: budget.amount }];
      }
    }
    return warnings;
  }

  /** From here on a budget of the batch limits and warns; all that was counted for it is written. */
  open(budgetId: string): void {
    const counted = this.byId.get(budgetId);
    if (counted?.state !== 'opening')
      throw new Error(`budget ${budgetId} was not counted from the beginning of its batch`);
    counted.state = 'open';
    for (const period of counted.periods.values()) this.changed.add(period);
  }

  /** From here on a budget limits nothing and counts nothing. */
  close(budgetId: string): void {
    const counted = this.byId.get(budgetId);
    if (counted) counted.state = 'closed';
  }

  periodsAfter(): BudgetPeriod[] {
    return [...this.changed].filter(({ budgetId }) => this.byId.get(budgetId)?.state !== 'opening');
  }

  private expect(budget: Budget): void {
    if (!this.byId.has(budget.id) && objectionToBudget(budget) === null) this.add(budget, 'opening');
  }

  private add(budget: Budget, state: Counted['state']): void {
    const { contractId, userId, project } = budget;
    const [index, key] = userId !== null ? [this.ofUsers, userId] : [this.ofProjects, project ?? ''];
    const counted: Counted = {
      budget,
      limit: limitOf(budget),
      warningThreshold: warningThresholdOf(budget),
      periods: new Map(),
      latest: undefined,
      state,
    };
    this.byId.set(budget.id, counted);
    const ofContract = entryOf(index, contractId, () => new Map<string, Counted[]>());
    entryOf(ofContract, key, () => []).push(counted);
  }

  /** A job without a contract concerns no budget; another does those of its user and those of its project. */
  private concerning({ userId, contractId, project }: BudgetedJob): readonly Counted[] {
    if (contractId === null) return NONE;
    const ofUser = listIn(this.ofUsers, contractId, userId);
    const ofProject = listIn(this.ofProjects, contractId, project);
    if (!ofUser || !ofProject) return ofUser ?? ofProject ?? NONE;
    return [...ofUser, ...ofProject];
  }
}

function listIn(
  index: ReadonlyMap<string, ReadonlyMap<string, readonly Counted[]>>,
  contractId: string,
  key: string | null,
): readonly Counted[] | undefined {
  return key === null ? undefined : index.get(contractId)?.get(key);
}

function periodOf(counted: Counted, at: Instant): WorkingPeriod {
  const { latest, budget, periods } = counted;
  if (latest && latest.startsAt <= at && at < latest.endsAt) return latest;
  const { startsAt, endsAt } = periodAt(budget, at);
  const uncounted = () => ({ budgetId: budget.id, startsAt, endsAt, reserved: ZERO, charged: ZERO });
  const period = entryOf(periods, startsAt, uncounted);
  counted.latest = period;
  return period;
}

function usedIn({ reserved, charged }: WorkingPeriod): Credits {
  return credits(reserved + charged);
}

function exceeded({ id }: Budget, amounts: { used: Credits; required: Credits; limit: Credits }): Refused {
  const used = formatCredits(amounts.used);
  const required = formatCredits(amounts.required);
  const limit = formatCredits(amounts.limit);
  return refused(
    'budget_exceeded',
    `Budget ${id} allows ${limit} credits in this period. Used: ${used}. Needed in addition: ${required}.`,
    { budgetId: id, used, required, limit },
  );
}
