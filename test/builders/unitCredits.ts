/**
 * The rules of the credits as plainly as they can be said: a list of single credits, each with a lot and a state. Amounts
 * are small whole numbers, instants are hours. Written from the rules, not from `domain/`: nothing is summed that can be
 * counted, nothing is sliced. A credit is picked, then the next one.
 */
import { periodAround, type UnitPeriod, type UnitZone } from './calendar';

export interface UnitLife {
  readonly effectiveAt: number;
  readonly expiresAt: number | null;
  readonly withdrawnAt: number | null;
  /** R3: until when what comes back after the expiry waits for a renewal. */
  readonly graceUntil: number | null;
}

export interface UnitLot {
  readonly id: string;
  readonly kind: 'individual' | 'shared' | 'courtesy';
  /** A user for individual lots, a contract for the others. */
  readonly ownerId: string;
  readonly advance: boolean;
  readonly life: UnitLife;
  readonly endedAs: 'expired' | 'withdrawn' | null;
}

export type UnitState = 'available' | 'reserved' | 'consumed' | 'expired' | 'withdrawn';

interface UnitCredit {
  readonly lotId: string;
  state: UnitState;
  /** The job that holds it or consumed it; a credit that repaid an advance was consumed by none. */
  jobId: string | null;
}

export interface UnitSpender {
  readonly userId: string;
  readonly contractId: string | null;
}

export interface UnitJob extends UnitSpender {
  readonly id: string;
  readonly project: string | null;
  readonly reservedAt: number;
  state: 'open' | 'settled' | 'released';
  cap: number;
  /** The lot of each captured credit, in the order of capture. */
  readonly captured: string[];
  /** How many of them were given back, the last one first. */
  refunded: number;
  absorbed: number;
}

export interface UnitBudget {
  readonly id: string;
  readonly contractId: string;
  readonly zone: UnitZone;
  readonly userId: string | null;
  readonly project: string | null;
  readonly period: UnitPeriod;
  readonly amount: number;
  readonly warnPercent: number | null;
  readonly refusePercent: number | null;
}

/** What counts against a budget in the period between two hours. */
export interface UnitBudgetPeriod {
  readonly startsAt: number;
  readonly endsAt: number;
  readonly reserved: number;
  readonly charged: number;
}

type OfLot = { readonly lotId: string; readonly ownerId: string };
type OfJob = { readonly jobId: string } & UnitSpender;
type OfRefund = { readonly refundId: string } & OfJob;

/** Everything that can be asked. `number` tells several requests of one sort about the same thing apart. */
export type UnitRequest =
  | ({ do: 'grant'; kind: UnitLot['kind']; amount: number; life: UnitLife; advance: boolean } & OfLot)
  | ({ do: 'expire' } & OfLot)
  | ({ do: 'withdraw' } & OfLot)
  | ({ do: 'changeLife'; number: number; life: UnitLife } & OfLot)
  | ({ do: 'reserve'; amount: number; cap: number; project: string | null } & OfJob)
  | ({ do: 'topUp'; number: number; target: number } & OfJob)
  | ({ do: 'raiseCap'; number: number; cap: number } & OfJob)
  | ({ do: 'settle'; actual: number } & OfJob)
  | ({ do: 'release' } & OfJob)
  | ({ do: 'refund'; amount: number } & OfRefund)
  | ({ do: 'correct'; actual: number } & OfRefund)
  | { do: 'openBudget'; budget: UnitBudget }
  | { do: 'closeBudget'; budgetId: string; contractId: string };

type Asked<Sort extends UnitRequest['do']> = Extract<UnitRequest, { do: Sort }>;
type AskedOfJob = Extract<UnitRequest, OfJob>;

export interface UnitWorld {
  /** Half-open terms of contracts. */
  readonly terms: ReadonlyMap<string, { readonly from: number; readonly to: number }>;
  /** Who may spend on which contract, when. */
  readonly authorised: readonly { contractId: string; userId: string; from: number; to: number | null }[];
}

export interface UnitAccepted {
  readonly accepted: true;
  readonly replayed: boolean;
  readonly absorbed: number;
  readonly warnings: readonly { budgetId: string; used: number; amount: number }[];
}

export interface UnitRefused {
  readonly accepted: false;
  readonly code: string;
  /** What was looked for and what was there, when there are not enough credits. */
  readonly short?: { readonly required: number; readonly available: number };
  /** Each budget that is in the way, with what counts against it. */
  readonly exceeded?: readonly { budgetId: string; used: number }[];
}

export type UnitOutcome = UnitAccepted | UnitRefused;

const DONE: UnitAccepted = { accepted: true, replayed: false, absorbed: 0, warnings: [] };
const refused = (code: string): UnitRefused => ({ accepted: false, code });

/** The ledger, one credit at a time. */
export class UnitCredits {
  readonly lots = new Map<string, UnitLot>();
  readonly jobs = new Map<string, UnitJob>();
  readonly budgets = new Map<string, UnitBudget>();
  /** How often something happened that seldom does, so that a test can see that it did. */
  readonly marks = new Map<string, number>();
  private readonly credits: UnitCredit[] = [];
  /** Which lot repaid which advance, a credit a line, the oldest first. */
  private readonly repaid: { readonly advanceId: string; readonly lotId: string }[] = [];
  /** What counted against a budget when it was closed. */
  private readonly closed = new Map<string, readonly UnitBudgetPeriod[]>();
  private readonly answers = new Map<string, { readonly request: string; readonly absorbed: number }>();

  constructor(private readonly world: UnitWorld) {}

  /** Answers a request at an hour. What was accepted before is answered as it was then; a refusal is forgotten. */
  ask(request: UnitRequest, at: number): UnitOutcome {
    const key = keyOf(request);
    const text = JSON.stringify(request);
    const before = this.answers.get(key);
    if (before && before.request !== text) return refused('idempotency_key_reused');
    if (before) return { ...DONE, replayed: true, absorbed: before.absorbed };
    const outcome = this.decide(request, at);
    if (outcome.accepted) this.answers.set(key, { request: text, absorbed: outcome.absorbed });
    return outcome;
  }

  private decide(request: UnitRequest, at: number): UnitOutcome {
    switch (request.do) {
      case 'grant':
        return this.grant(request, at);
      case 'expire':
        return this.expire(request, at);
      case 'withdraw':
        return this.withdraw(request, at);
      case 'changeLife':
        return this.changeLife(request, at);
      case 'reserve':
        return this.reserve(request, at);
      case 'topUp':
        return this.topUp(request, at);
      case 'raiseCap':
        return this.raiseCap(request);
      case 'settle':
        return this.settle(request, at);
      case 'release':
        return this.release(request, at);
      case 'refund':
        return this.refund(request, at);
      case 'correct':
        return this.correct(request, at);
      case 'openBudget':
        return this.openBudget(request);
      case 'closeBudget':
        return this.closeBudget(request);
    }
  }

  private grant({ lotId: id, ownerId, kind, life, advance, amount }: Asked<'grant'>, at: number): UnitOutcome {
    if (amount <= 0 || this.lots.has(id) || !fits(kind, life) || (advance && kind !== 'courtesy')) {
      return refused('lot_invalid');
    }
    this.lots.set(id, { id, kind, ownerId, advance, life, endedAs: null });
    for (let i = 0; i < amount; i++) this.credits.push({ lotId: id, state: 'available', jobId: null });
    // Dead credits are worth nothing and repay nothing.
    if (kind === 'shared' && life.expiresAt !== null && at < life.expiresAt) this.repayAdvances(id, ownerId);
    return DONE;
  }

  /** R9: the next shared lot pays for what was consumed of advances, the oldest advance first. */
  private repayAdvances(lotId: string, contractId: string): void {
    const advances = [...this.lots.values()].filter(({ advance, ownerId }) => advance && ownerId === contractId);
    for (const { id: advanceId } of advances.sort((a, b) => (a.id < b.id ? -1 : 1))) {
      for (;;) {
        const owed = this.find(advanceId, 'consumed');
        const paying = this.find(lotId, 'available');
        if (!owed || !paying) break;
        owed.state = 'withdrawn';
        paying.state = 'consumed';
        this.repaid.push({ advanceId, lotId });
        this.mark('an advance was repaid');
      }
    }
  }

  /** The latest repayment of an advance is undone: its credit counts as consumed again, and is returned. */
  private undoRepayment(advanceId: string, at: number): UnitCredit {
    const last = this.repaid.findLastIndex((one) => one.advanceId === advanceId);
    const [repayment] = this.repaid.splice(last, 1);
    const paid = this.credits.find(
      ({ lotId, state, jobId }) => lotId === repayment?.lotId && state === 'consumed' && jobId === null,
    );
    const withdrawn = this.find(advanceId, 'withdrawn');
    if (!paid || !withdrawn) throw new Error(`the model lost a repayment of ${advanceId}`);
    this.giveBack(paid, at);
    withdrawn.state = 'consumed';
    this.mark('a repayment was undone');
    return withdrawn;
  }

  private expire({ lotId, ownerId }: Asked<'expire'>, at: number): UnitOutcome {
    const lot = this.lotOf(lotId, ownerId);
    if (!lot) return refused('not_found');
    if (lot.endedAs) return refused('lot_ended');
    if (lot.life.expiresAt === null || at < lot.life.expiresAt) return refused('lot_not_over');
    return this.end(lot, 'expired');
  }

  private withdraw({ lotId, ownerId }: Asked<'withdraw'>, at: number): UnitOutcome {
    const lot = this.lotOf(lotId, ownerId);
    if (!lot) return refused('not_found');
    if (lot.endedAs) return refused('lot_ended');
    if (lot.life.withdrawnAt === null || at < lot.life.withdrawnAt) return refused('lot_not_over');
    return this.end(lot, 'withdrawn');
  }

  private end(lot: UnitLot, endedAs: 'expired' | 'withdrawn'): UnitOutcome {
    this.lots.set(lot.id, { ...lot, endedAs });
    for (const credit of this.credits) {
      if (credit.lotId === lot.id && credit.state === 'available') credit.state = endedAs;
    }
    return DONE;
  }

  private changeLife({ lotId, ownerId, life }: Asked<'changeLife'>, at: number): UnitOutcome {
    const lot = this.lotOf(lotId, ownerId);
    if (!lot) return refused('not_found');
    const isWithdrawn = lot.life.withdrawnAt !== null && at >= lot.life.withdrawnAt;
    if (lot.endedAs || isWithdrawn) return refused('lot_ended');
    if (!fits(lot.kind, life)) return refused('lot_invalid');
    const wasDead = endOf(lot, at) !== null;
    this.lots.set(lotId, { ...lot, life });
    if (wasDead && endOf({ ...lot, life }, at) === null) this.mark('a lot came back to life');
    if (lot.life.withdrawnAt !== null && life.withdrawnAt === null) this.mark('a notice was rescinded');
    return DONE;
  }

  private reserve(request: Asked<'reserve'>, at: number): UnitOutcome {
    const { jobId: id, userId, contractId, amount, cap, project } = request;
    if (this.jobs.has(id)) return refused('reservation_closed');
    if (amount > cap) return refused('cap_exceeded');
    const job = newJob({ id, userId, contractId, project, reservedAt: at, state: 'open', cap });
    return this.holdAll(job, amount, at, () => this.jobs.set(id, job));
  }

  /** Up to a total or to the cap, whichever is less; nothing when the job holds that much already. */
  private topUp(request: Asked<'topUp'>, at: number): UnitOutcome {
    const job = this.openJob(request);
    if (typeof job === 'string') return refused(job);
    const amount = Math.max(0, Math.min(request.target, job.cap) - this.heldBy(job).length);
    return this.holdAll(job, amount, at, () => undefined);
  }

  private holdAll(job: UnitJob, amount: number, at: number, begin: () => void): UnitOutcome {
    const objection = this.objection(job, at);
    if (objection) return refused(objection);
    const exceeded = this.budgetsOf(job)
      .map((budget) => ({ budgetId: budget.id, used: this.used(budget, job), room: this.room(budget, job) }))
      // What costs nothing is never refused for a budget.
      .filter(({ room }) => amount > 0 && amount > room)
      .map(({ budgetId, used }) => ({ budgetId, used }));
    if (exceeded.length > 0) return { accepted: false, code: 'budget_exceeded', exceeded };
    const picked = this.pick(job, amount, at);
    if (picked.length < amount) {
      return { accepted: false, code: 'insufficient_credits', short: { required: amount, available: picked.length } };
    }
    if (new Set(picked.map(({ lotId }) => this.lots.get(lotId)?.kind)).size > 1) this.mark('a job drew on two kinds');
    return this.warning(job, () => {
      begin();
      hold(picked, job.id);
    });
  }

  private raiseCap(request: Asked<'raiseCap'>): UnitOutcome {
    const job = this.openJob(request);
    if (typeof job === 'string') return refused(job);
    if (request.cap <= job.cap) return refused('cap_not_raised');
    job.cap = request.cap;
    return DONE;
  }

  private settle(request: Asked<'settle'>, at: number): UnitOutcome {
    const job = this.openJob(request);
    if (typeof job === 'string') return refused(job);
    const { actual } = request;
    const due = Math.min(actual, job.cap);
    const outcome = this.warning(job, () => {
      const missing = due - this.heldBy(job).length;
      const room = Math.min(...this.budgetsOf(job).map((budget) => this.room(budget, job)), missing);
      if (room > 0 && !this.objection(job, at)) hold(this.pick(job, room, at), job.id);
      if (room > 0) this.mark('a settlement drew on lots');
      if (room < missing) this.mark('a budget limited a settlement');
      for (const credit of this.inOrder(this.heldBy(job))) {
        if (job.captured.length < due) {
          credit.state = 'consumed';
          job.captured.push(credit.lotId);
        } else {
          this.giveBack(credit, at);
        }
      }
      job.state = 'settled';
    });
    job.absorbed = actual - job.captured.length;
    return { ...outcome, absorbed: job.absorbed };
  }

  private release(request: Asked<'release'>, at: number): UnitOutcome {
    const { jobId: id, userId, contractId } = request;
    if (!this.jobs.has(id)) {
      this.jobs.set(id, newJob({ id, userId, contractId, project: null, reservedAt: at, state: 'released', cap: 0 }));
      return DONE;
    }
    const job = this.openJob(request);
    if (typeof job === 'string') return refused(job);
    for (const credit of this.heldBy(job)) this.giveBack(credit, at);
    job.state = 'released';
    return DONE;
  }

  private refund(request: Asked<'refund'>, at: number): UnitOutcome {
    const job = this.settledJob(request);
    if (typeof job === 'string') return refused(job);
    if (request.amount <= 0 || request.amount > remains(job)) return refused('refund_exceeds_charge');
    for (let i = 0; i < request.amount; i++) this.unwind(job, at);
    return DONE;
  }

  private correct(request: Asked<'correct'>, at: number): UnitOutcome {
    const job = this.settledJob(request);
    if (typeof job === 'string') return refused(job);
    if (request.actual >= remains(job) + job.absorbed) return refused('refund_exceeds_charge');
    const absorbedBefore = job.absorbed;
    while (request.actual < remains(job) + job.absorbed) {
      if (job.absorbed > 0) job.absorbed -= 1;
      else this.unwind(job, at);
    }
    if (job.absorbed < absorbedBefore) this.mark('a correction unwound what was absorbed');
    return { ...DONE, absorbed: job.absorbed - absorbedBefore };
  }

  /** Gives the last captured credit back that was not given back before. */
  private unwind(job: UnitJob, at: number): void {
    const lotId = job.captured[job.captured.length - 1 - job.refunded];
    const lot = this.lots.get(lotId ?? '');
    if (!lot) throw new Error(`the model has nothing left to give back of ${job.id}`);
    job.refunded += 1;
    if (job.refunded > 1 && lotId !== job.captured[job.captured.length - job.refunded + 1])
      this.mark('refunds crossed lots');
    // What an advance still owes is what is consumed of it, whichever job it was consumed by.
    const credit = lot.advance
      ? (this.find(lot.id, 'consumed') ?? this.undoRepayment(lot.id, at))
      : this.credits.find((one) => one.lotId === lot.id && one.state === 'consumed' && one.jobId === job.id);
    if (!credit) throw new Error(`the model lost a captured credit of ${job.id}`);
    this.giveBack(credit, at);
  }

  private openBudget({ budget }: Asked<'openBudget'>): UnitOutcome {
    const isSame = (one: UnitBudget) =>
      !this.closed.has(one.id) &&
      one.contractId === budget.contractId &&
      one.userId === budget.userId &&
      one.project === budget.project &&
      one.period === budget.period;
    if ([...this.budgets.values()].some(isSame)) return refused('budget_exists');
    this.budgets.set(budget.id, budget);
    return DONE;
  }

  private closeBudget({ budgetId, contractId }: Asked<'closeBudget'>): UnitOutcome {
    if (this.budgets.get(budgetId)?.contractId !== contractId) return refused('not_found');
    this.closed.set(budgetId, this.periodsOf(budgetId));
    return DONE;
  }

  /** What counts against a budget, by period; what counted at its end once it is closed. */
  periodsOf(budgetId: string): readonly UnitBudgetPeriod[] {
    const budget = this.budgets.get(budgetId);
    if (!budget) throw new Error(`the model has no budget ${budgetId}`);
    const closed = this.closed.get(budgetId);
    if (closed) return closed;
    const periods = new Map<number, { startsAt: number; endsAt: number; reserved: number; charged: number }>();
    for (const job of this.jobs.values()) {
      if (!concerns(budget, job)) continue;
      const around = periodAround(budget.zone, budget.period, job.reservedAt);
      const period = periods.get(around.startsAt) ?? { ...around, reserved: 0, charged: 0 };
      period.reserved += this.heldBy(job).length;
      period.charged += remains(job);
      periods.set(around.startsAt, period);
    }
    return [...periods.values()];
  }

  /** How many credits of each lot are in each state. */
  counts(): Map<string, Record<UnitState, number>> {
    const counts = new Map<string, Record<UnitState, number>>();
    for (const id of this.lots.keys()) {
      counts.set(id, { available: 0, reserved: 0, consumed: 0, expired: 0, withdrawn: 0 });
    }
    for (const { lotId, state } of this.credits) {
      const ofLot = counts.get(lotId);
      if (ofLot) ofLot[state] += 1;
    }
    return counts;
  }

  /** The lot of each credit that a job holds. */
  heldLots(job: UnitJob): string[] {
    return this.heldBy(job).map(({ lotId }) => lotId);
  }

  /** R2 on the model itself: individual credits that another user's job holds or consumed. */
  strayCredits(): string[] {
    return this.credits
      .filter(({ lotId, jobId }) => {
        const lot = this.lots.get(lotId);
        return lot?.kind === 'individual' && jobId !== null && this.jobs.get(jobId)?.userId !== lot.ownerId;
      })
      .map(({ lotId }) => lotId);
  }

  private openJob(request: AskedOfJob): UnitJob | string {
    const job = this.jobs.get(request.jobId);
    if (!job) return 'reservation_closed';
    if (isStranger(job, request)) return 'not_found';
    return job.state === 'open' ? job : 'reservation_closed';
  }

  private settledJob(request: AskedOfJob): UnitJob | string {
    const job = this.jobs.get(request.jobId);
    if (job && isStranger(job, request)) return 'not_found';
    return job?.state === 'settled' ? job : 'nothing_to_refund';
  }

  private lotOf(id: string, ownerId: string): UnitLot | undefined {
    const lot = this.lots.get(id);
    return lot?.ownerId === ownerId ? lot : undefined;
  }

  private objection({ userId, contractId }: UnitSpender, at: number): string | null {
    if (contractId === null) return null;
    const term = this.world.terms.get(contractId);
    if (!term || at < term.from || at >= term.to) return 'contract_not_in_force';
    for (const one of this.world.authorised) {
      const theirs = one.contractId === contractId && one.userId === userId;
      if (theirs && at >= one.from && (one.to === null || at < one.to)) return null;
    }
    return 'user_not_authorised';
  }

  private budgetsOf(job: UnitJob): UnitBudget[] {
    return [...this.budgets.values()].filter((budget) => !this.closed.has(budget.id) && concerns(budget, job));
  }

  /** R17: what counts in the period in which a job was, or is being, reserved. */
  private used(budget: UnitBudget, { reservedAt }: UnitJob): number {
    const { startsAt } = periodAround(budget.zone, budget.period, reservedAt);
    const period = this.periodsOf(budget.id).find((one) => one.startsAt === startsAt);
    return period ? period.reserved + period.charged : 0;
  }

  /** How many credits more a budget lets a job reserve or cost; less than none when it is exceeded already. */
  private room(budget: UnitBudget, job: UnitJob): number {
    if (budget.refusePercent === null) return Number.POSITIVE_INFINITY;
    return Math.floor((budget.amount * budget.refusePercent) / 100) - this.used(budget, job);
  }

  /** Makes a change to a job, and warns of each budget that it brought to its threshold. */
  private warning(job: UnitJob, change: () => void): UnitAccepted {
    const watched = this.budgetsOf(job).flatMap((budget) =>
      budget.warnPercent === null ? [] : [{ budget, from: (budget.amount * budget.warnPercent) / 100 }],
    );
    const below = watched.filter(({ budget, from }) => this.used(budget, job) < from);
    change();
    const warnings = below
      .map(({ budget, from }) => ({ budgetId: budget.id, used: this.used(budget, job), amount: budget.amount, from }))
      .filter(({ used, from }) => used >= from)
      .map(({ budgetId, used, amount }) => ({ budgetId, used, amount }));
    return { ...DONE, warnings };
  }

  /** The first so many credits that may be spent, or all of them when there are fewer. */
  private pick(spender: UnitSpender, amount: number, at: number): UnitCredit[] {
    const spendable = this.credits.filter(
      (credit) => credit.state === 'available' && this.maySpend(credit, spender, at),
    );
    return this.inOrder(spendable).slice(0, amount);
  }

  private maySpend({ lotId }: UnitCredit, { userId, contractId }: UnitSpender, at: number): boolean {
    const lot = this.lots.get(lotId);
    if (!lot) return false;
    const theirs = lot.kind === 'individual' ? lot.ownerId === userId : lot.ownerId === contractId;
    return theirs && at >= lot.life.effectiveAt && endOf(lot, at) === null;
  }

  /** R6: the user's own, the contract's, courtesy; what dies first; what was effective first; what came first. */
  private inOrder(credits: readonly UnitCredit[]): UnitCredit[] {
    const lotIds = [...new Set(credits.map(({ lotId }) => lotId))];
    const lots = lotIds.flatMap((id) => this.lots.get(id) ?? []);
    const ordered = lots.map((lot) => ({ id: lot.id, rank: rankOf(lot) })).sort((a, b) => (a.rank < b.rank ? -1 : 1));
    return ordered.flatMap(({ id }) => credits.filter(({ lotId }) => lotId === id));
  }

  private giveBack(credit: UnitCredit, at: number): void {
    const lot = this.lots.get(credit.lotId);
    credit.state = (lot && endOfReturn(lot, at)) ?? 'available';
    if (lot && credit.state === 'available' && endOf(lot, at) !== null) this.mark('something came back in a grace');
    credit.jobId = null;
    if (credit.state !== 'available') this.mark('credits came back to a dead lot');
  }

  private mark(what: string): void {
    this.marks.set(what, (this.marks.get(what) ?? 0) + 1);
  }

  private heldBy({ id }: UnitJob): UnitCredit[] {
    return this.credits.filter((credit) => credit.jobId === id && credit.state === 'reserved');
  }

  private find(lot: string, wanted: UnitState): UnitCredit | undefined {
    return this.credits.find(({ lotId, state }) => lotId === lot && state === wanted);
  }
}

/** What a request is about, and what it does to it: a second one under the same key is a repeat, or a mistake. */
export function keyOf(request: UnitRequest): string {
  switch (request.do) {
    case 'grant':
    case 'expire':
    case 'withdraw':
      return `${request.lotId} ${request.do}`;
    case 'changeLife':
      return `${request.lotId} ${request.do}/${request.number}`;
    case 'reserve':
      return `${request.jobId} ${request.do}`;
    case 'topUp':
    case 'raiseCap':
      return `${request.jobId} ${request.do}/${request.number}`;
    // A job's billing closes once, this way or that.
    case 'settle':
    case 'release':
      return `${request.jobId} close`;
    case 'refund':
    case 'correct':
      return `${request.refundId} ${request.do}`;
    case 'openBudget':
      return `${request.budget.id} open`;
    case 'closeBudget':
      return `${request.budgetId} close`;
  }
}

function newJob(job: Omit<UnitJob, 'captured' | 'refunded' | 'absorbed'>): UnitJob {
  return { ...job, captured: [], refunded: 0, absorbed: 0 };
}

/** What a settled job has been charged and not been given back. */
function remains(job: UnitJob): number {
  return job.captured.length - job.refunded;
}

function isStranger(job: UnitJob, { userId, contractId }: UnitSpender): boolean {
  return job.userId !== userId || job.contractId !== contractId;
}

/** R17: a budget is for one user or for one project inside a contract. */
function concerns(budget: UnitBudget, job: UnitJob): boolean {
  if (job.contractId !== budget.contractId) return false;
  return budget.userId === null ? job.project === budget.project : job.userId === budget.userId;
}

/** Where what comes back goes: in a grace the end is not certain yet (R3, R8). */
function endOfReturn(lot: UnitLot, at: number): 'expired' | 'withdrawn' | null {
  const { graceUntil } = lot.life;
  if (!lot.endedAs && graceUntil !== null && at < graceUntil) return null;
  return endOf(lot, at);
}

/** R3, R4: individual lots have no expiry and may be withdrawn, others have one that comes after their beginning. */
function fits(kind: UnitLot['kind'], { effectiveAt, expiresAt, withdrawnAt, graceUntil }: UnitLife): boolean {
  if (graceUntil !== null && (kind !== 'shared' || expiresAt === null || graceUntil <= expiresAt)) return false;
  if (kind === 'individual') return expiresAt === null;
  return expiresAt !== null && expiresAt > effectiveAt && withdrawnAt === null;
}

/** A text that sorts like R6; hours are padded to one length, and no number comes after a word. */
function rankOf({ id, kind, life: { effectiveAt, expiresAt } }: UnitLot): string {
  const text = (hour: number) => String(5_000_000 + hour);
  const first = { individual: 1, shared: 2, courtesy: 3 }[kind];
  return [first, expiresAt === null ? 'never' : text(expiresAt), text(effectiveAt), id].join(' ');
}

function hold(credits: readonly UnitCredit[], jobId: string): void {
  for (const credit of credits) {
    credit.state = 'reserved';
    credit.jobId = jobId;
  }
}

/** How a lot has ended at an hour; null while it lives. Individual lots are withdrawn, all others expire. */
function endOf({ endedAs, life }: UnitLot, at: number): 'expired' | 'withdrawn' | null {
  if (endedAs) return endedAs;
  if (life.withdrawnAt !== null && at >= life.withdrawnAt) return 'withdrawn';
  return life.expiresAt !== null && at >= life.expiresAt ? 'expired' : null;
}
