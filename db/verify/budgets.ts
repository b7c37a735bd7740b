/** What counts against budgets (R17), counted anew: a job in the period in which it was reserved, whatever happens when. */
import { type BudgetPeriodKind, type PeriodBounds, periodAt } from '../../domain/budget';
import type { Instant } from '../../domain/instant';
import { amountOf, instantOf, NULL, nullableInstantOf, nullableTextOf, quoted, textOf } from './fields';
import { type Findings, mustBe, Wrong } from './findings';
import type { JournalRow } from './journalRow';

/** One period of a budget, counted. */
export class BudgetCounter {
  reserved = 0n;
  charged = 0n;

  constructor(
    private readonly budget: BudgetAccount,
    readonly bounds: PeriodBounds,
  ) {}

  /** @throws Wrong when an open budget refuses it. */
  reserve(amount: bigint): void {
    if (this.budget.closedAt !== null) return;
    this.reserved += amount;
    const { limit } = this.budget;
    if (!this.budget.isOpened || limit === null || this.reserved + this.charged <= limit) return;
    throw new Wrong(
      `budget ${this.budget.id} does not allow it (R17)`,
      `at most ${limit} from ${this.bounds.startsAt}`,
      `${this.reserved + this.charged}`,
    );
  }

  capture(amount: bigint): void {
    if (this.budget.closedAt !== null) return;
    this.reserved -= amount;
    this.charged += amount;
  }

  giveBack(amount: bigint): void {
    if (this.budget.closedAt === null) this.reserved -= amount;
  }

  refund(amount: bigint): void {
    if (this.budget.closedAt === null) this.charged -= amount;
  }
}

interface WrittenPeriod {
  readonly endsAt: string;
  readonly reserved: bigint;
  readonly charged: bigint;
}

/** A budget with its periods, counted from the first job on: what came before it was opened counts as well. */
export class BudgetAccount {
  isOpened = false;
  closedAt: Instant | null = null;
  readonly counters = new Map<string, BudgetCounter>();
  readonly written = new Map<string, WrittenPeriod>();
  private latest: BudgetCounter | undefined;

  private constructor(
    readonly id: string,
    readonly contractId: string,
    readonly userId: string | null,
    readonly project: string | null,
    readonly period: BudgetPeriodKind,
    /** The most that jobs may reserve and cost in a period; `null` for no limit. */
    readonly limit: bigint | null,
    private readonly timeZone: string,
    private readonly fields: readonly string[],
  ) {}

  static of(fields: readonly string[], timeZones: ReadonlyMap<string, string>): BudgetAccount {
    const [, id = '', contractId = '', userId = '', project = '', period = '', amount = '', , refusePercent = ''] =
      fields;
    const timeZone = timeZones.get(contractId);
    if (timeZone === undefined) throw new Wrong('its contract does not exist', 'a contract', contractId);
    const limit = refusePercent === NULL ? null : (amountOf(amount) * amountOf(refusePercent)) / 100n;
    return new BudgetAccount(
      id,
      contractId,
      nullableTextOf(userId),
      nullableTextOf(project),
      textOf(period) as BudgetPeriodKind,
      limit,
      timeZone,
      fields,
    );
  }

  /** What the canonical line of the budget's opening ends with. */
  canonical(): string {
    return this.fields
      .slice(2, 9)
      .map((field) => `,${quoted(field)}`)
      .join('');
  }

  writtenClosedAt(): Instant | null {
    return nullableInstantOf(this.fields[9] ?? NULL);
  }

  boundsAt(at: Instant): PeriodBounds {
    return periodAt({ period: this.period, timeZone: this.timeZone }, at);
  }

  counterAt(at: Instant): BudgetCounter {
    // Mostly it is the period of the job before.
    if (this.latest && this.latest.bounds.startsAt <= at && at < this.latest.bounds.endsAt) return this.latest;
    const bounds = this.boundsAt(at);
    let counter = this.counters.get(bounds.startsAt);
    if (!counter) {
      counter = new BudgetCounter(this, bounds);
      this.counters.set(bounds.startsAt, counter);
    }
    this.latest = counter;
    return counter;
  }
}

const NONE: readonly BudgetCounter[] = [];

export class Budgets {
  private readonly byId = new Map<string, BudgetAccount>();
  private readonly byContract = new Map<string, BudgetAccount[]>();

  /** @throws Wrong when there is such a budget already. */
  add(budget: BudgetAccount): void {
    if (this.byId.has(budget.id)) throw new Wrong('it stands there twice');
    this.byId.set(budget.id, budget);
    const budgets = this.byContract.get(budget.contractId);
    if (budgets) budgets.push(budget);
    else this.byContract.set(budget.contractId, [budget]);
  }

  get(id: string): BudgetAccount | undefined {
    return this.byId.get(id);
  }

  /** A row of `budget_periods`, to be compared at the end. @throws Wrong when its budget does not exist. */
  addWritten(fields: readonly string[]): void {
    const [, id = '', startsAt = '', endsAt = '', reserved = '', charged = ''] = fields;
    const budget = this.byId.get(id);
    if (!budget) throw new Wrong('its budget does not exist', 'a budget', id);
    if (budget.written.has(instantOf(startsAt))) throw new Wrong('it stands there twice');
    budget.written.set(instantOf(startsAt), {
      endsAt: instantOf(endsAt),
      reserved: amountOf(reserved),
      charged: amountOf(charged),
    });
  }

  /** The periods in which a job counts that is reserved: of the budgets of its contract for its user or its project. */
  countersOf({ userId: jobUserId, contractId, project: jobProject, bookedAt }: JournalRow): readonly BudgetCounter[] {
    const budgets = contractId === null ? undefined : this.byContract.get(contractId);
    if (!budgets) return NONE;
    let counters = NONE;
    for (const budget of budgets) {
      if (budget.userId === null ? budget.project !== jobProject : budget.userId !== jobUserId) continue;
      const counter = budget.counterAt(bookedAt);
      counters = counters.length === 0 ? [counter] : [...counters, counter];
    }
    return counters;
  }

  /** @throws Wrong when the budget cannot be opened. */
  open(id: string, act: string): BudgetAccount {
    const budget = this.known(id);
    mustBe('its act does not fit its kind', act, 'set');
    if (budget.isOpened) throw new Wrong('the budget was opened before');
    for (const other of this.byContract.get(budget.contractId) ?? []) {
      const isAlike =
        other.userId === budget.userId && other.project === budget.project && other.period === budget.period;
      if (isAlike && other.isOpened && other.closedAt === null)
        throw new Wrong(`budget ${other.id} for the same is open`);
    }
    budget.isOpened = true;
    return budget;
  }

  /** @throws Wrong when the budget cannot be closed. */
  close({
    id,
    act,
    contractId,
    bookedAt,
  }: {
    id: string;
    act: string;
    contractId: string | null;
    bookedAt: Instant;
  }): BudgetAccount {
    const budget = this.known(id);
    mustBe('its act does not fit its kind', act, 'close');
    mustBe('the budget is of another contract', contractId, budget.contractId);
    if (!budget.isOpened || budget.closedAt !== null) throw new Wrong('the budget is not open');
    budget.closedAt = bookedAt;
    return budget;
  }

  /** Compares every budget and period with what is written. */
  compare(findings: Findings): void {
    for (const budget of this.byId.values()) {
      const pools = [budget.contractId];
      findings.check(pools, { table: 'budgets', row: budget.id }, () => {
        if (!budget.isOpened) throw new Wrong('no operation opened the budget');
        mustBe('closed_at', budget.writtenClosedAt(), budget.closedAt);
      });
      for (const [startsAt, written] of budget.written) {
        const row = `${budget.id} from ${startsAt}`;
        findings.check(pools, { table: 'budget_periods', row }, () => {
          const bounds = budget.boundsAt(startsAt as Instant);
          mustBe('starts_at', startsAt, bounds.startsAt);
          mustBe('ends_at', written.endsAt, bounds.endsAt);
          const counter = budget.counters.get(startsAt);
          mustBe('reserved', written.reserved, counter?.reserved ?? 0n);
          mustBe('charged', written.charged, counter?.charged ?? 0n);
        });
      }
      for (const [startsAt, { reserved, charged }] of budget.counters) {
        if (budget.written.has(startsAt) || (reserved === 0n && charged === 0n)) continue;
        const row = `${budget.id} from ${startsAt}`;
        findings.add(
          pools,
          { table: 'budget_periods', row },
          new Wrong('the period is not written', `${reserved} reserved, ${charged} charged`, 'no row'),
        );
      }
    }
  }

  private known(id: string): BudgetAccount {
    const budget = this.byId.get(id);
    if (!budget) throw new Wrong('the budget does not exist', 'a budget', id);
    return budget;
  }
}
