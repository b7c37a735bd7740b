/**
 * What is asked of the ledger while it is broken. A lane does one thing after the other, each when the one before was
 * answered: the lives of jobs, of lots and of budgets, with every kind of operation in them.
 */
import type { Budget } from '../../domain/budget';
import { type Credits, credits, ZERO } from '../../domain/credits';
import { addMilliseconds, type Instant } from '../../domain/instant';
import type { LotLife } from '../../domain/lots';
import type { GrantOperation, Operation, Outcome, Spender } from '../../domain/operations';
import type { Chance } from '../chaos/chance';
import { BEGINNING, type People, TIME_ZONE } from './people';

/** Asks until there is an answer. */
export type Ask = (operation: Operation) => Promise<Outcome>;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const PROJECTS = ['bridge', 'tower'] as const;

/** The time of the world, which passes with what happens in it. */
export class WorldClock {
  private passedMs = 0;

  /** Some minutes later. */
  tick(chance: Chance): Instant {
    this.passedMs += chance.between(0, 20) * MINUTE_MS;
    return addMilliseconds(BEGINNING, this.passedMs);
  }
}

export class Lane {
  private made = 0;

  constructor(
    private readonly number: number,
    private readonly chance: Chance,
    private readonly clock: WorldClock,
    private readonly people: People,
    private readonly ask: Ask,
  ) {}

  /** A job from its reservation to its end, and perhaps what is given back of it later. */
  async job(): Promise<void> {
    const { chance } = this;
    const job = { jobId: this.id(), ...chance.pick(this.people.spenders) };
    if (this.one(20)) await this.ask(this.release(job));
    const amount = this.amount(3_000_000);
    const cap = credits(amount + this.amount(2_000_000));
    const project = this.one(2) ? chance.pick(PROJECTS) : null;
    const reserved = await this.ask({ ...this.base(), ...job, kind: 'reserve', act: 'reserve', amount, cap, project });
    if (!reserved.accepted) return;
    for (let n = 1; n <= chance.between(0, 2); n++) {
      if (this.one(3)) {
        await this.ask({
          ...this.base(),
          ...job,
          kind: 'raiseCap',
          act: `raiseCap/${n}`,
          cap: credits(cap + BigInt(n) * 1_000_000n),
        });
      }
      await this.ask({ ...this.base(), ...job, kind: 'topUp', act: `topUp/${n}`, target: this.amount(6_000_000) });
    }
    const settle = {
      ...this.base(),
      ...job,
      kind: 'settle' as const,
      act: 'close' as const,
      actual: this.amount(6_000_000),
    };
    const late = { ...this.base(), ...job, kind: 'topUp' as const, act: 'topUp/late', target: this.amount(6_000_000) };
    // Whoever ends a job does not wait for the others.
    const endings: Operation[] = this.one(4)
      ? [settle, this.release(job), late]
      : [this.one(4) ? this.release(job) : settle];
    await Promise.all(endings.map((operation) => this.ask(operation)));
    for (let n = chance.between(-2, 2); n > 0; n--) await this.ask(this.refund(job));
  }

  /** A lot that is granted, whose life changes, and that ends, too early perhaps. */
  async lot(): Promise<void> {
    const kind = this.chance.pick(['individual', 'shared', 'courtesy'] as const);
    const poolId = this.chance.pick(kind === 'individual' ? this.people.users : this.people.contracts);
    const lotId = this.id();
    const base = this.base();
    const life: LotLife = {
      effectiveAt: base.at,
      expiresAt: kind === 'individual' ? null : this.daysAfter(base.at, 30),
      withdrawnAt: null,
      graceUntil: kind === 'shared' && this.one(2) ? this.daysAfter(base.at, 40) : null,
    };
    const lot: GrantOperation['lot'] = {
      id: lotId,
      poolId,
      kind,
      source: kind === 'courtesy' ? 'courtesy' : 'purchase',
      amount: credits(1n + this.amount(400_000_000)),
      effectiveAt: life.effectiveAt,
      expiresAt: life.expiresAt,
      graceUntil: life.graceUntil,
      purchasedAt: null,
      reference: null,
      advance: kind === 'courtesy' && this.one(2),
    };
    await this.ask({ ...base, kind: 'grant', act: 'grant', lot });
    if (this.one(3)) return;
    for (let n = 1; n <= this.chance.between(0, 2); n++) {
      const at = this.base();
      const changed =
        kind === 'individual'
          ? { ...life, withdrawnAt: this.one(2) ? this.daysAfter(at.at, 2) : null }
          : { ...life, expiresAt: this.daysAfter(at.at, 60), graceUntil: null };
      await this.ask({ ...at, kind: 'changeLife', act: `changeLife/${n}`, lotId, poolId, life: changed });
    }
    // Ends are booked late: what is refused because it is too early is asked for again, days later.
    const end = kind === 'individual' ? ('withdraw' as const) : ('expire' as const);
    for (let tries = this.chance.between(1, 3); tries > 0; tries--) {
      const at = this.daysAfter(this.base().at, 40);
      const ended = await this.ask({ ...this.base(), at, kind: end, act: end, lotId, poolId });
      if (ended.accepted) return;
    }
  }

  /** A budget that is set, and perhaps closed. */
  async budget(): Promise<void> {
    const contractId = this.chance.pick(this.people.contracts);
    const ofUser = this.one(2);
    const budget: Budget = {
      id: this.id(),
      contractId,
      timeZone: TIME_ZONE,
      userId: ofUser ? this.chance.pick(this.people.users) : null,
      project: ofUser ? null : this.chance.pick(PROJECTS),
      period: this.chance.pick(['day', 'month', 'total'] as const),
      amount: this.amount(500_000_000),
      warnPercent: 80,
      refusePercent: this.one(2) ? 100 : null,
    };
    const opened = await this.ask({ ...this.base(), kind: 'openBudget', act: 'set', budget });
    if (!opened.accepted || this.one(5)) return;
    for (let n = this.chance.between(2, 8); n > 0; n--) await this.job();
    await this.ask({ ...this.base(), kind: 'closeBudget', act: 'close', budgetId: budget.id, contractId });
  }

  private refund(job: Spender & { jobId: string }): Operation {
    const base = { ...this.base(), ...job, refundId: this.id() };
    return this.one(3)
      ? { ...base, kind: 'correct', act: 'correct', actual: this.amount(2_000_000) }
      : { ...base, kind: 'refund', act: 'refund', amount: credits(1n + this.amount(2_000_000)) };
  }

  private release(job: Spender & { jobId: string }): Operation {
    return { ...this.base(), ...job, kind: 'release', act: 'close' };
  }

  private base() {
    return { at: this.clock.tick(this.chance), actor: `lane ${this.number}`, reason: 'something is to be broken' };
  }

  private one(of: number): boolean {
    return this.chance.between(1, of) === 1;
  }

  /** Zero now and then. */
  private amount(max: number): Credits {
    return this.one(20) ? ZERO : credits(BigInt(this.chance.between(0, max)));
  }

  private daysAfter(at: Instant, days: number): Instant {
    return addMilliseconds(at, this.chance.between(1, days * 24) * (DAY_MS / 24));
  }

  private id(): string {
    this.made += 1;
    const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
    return `${hex(this.number + 1, 8)}-0009-7000-8000-${hex(this.made, 12)}`;
  }
}
