/** What people and clocks ask of a ledger, drawn by chance so that most of it makes sense and some of it does not. */
import type { Chance } from '../../dev/chaos/chance';
import { UNIT_ZONES, type UnitPeriod, type UnitZone } from './calendar';
import { idOf } from './ids';
import type {
  UnitBudget,
  UnitCredits,
  UnitJob,
  UnitLife,
  UnitLot,
  UnitRequest,
  UnitSpender,
  UnitWorld,
} from './unitCredits';

const USERS = [1, 2, 3];
const CONTRACTS = [1, 2];
const PROJECTS = ['alpha', 'beta'];
const PERIODS: readonly UnitPeriod[] = ['day', 'day', 'month', 'quarter', 'year', 'total'];
/** Ends of months, quarters and a year, and the nights in which clocks change, are a few days after one of these hours. */
const ORIGINS = [-40, 1_390, 2_070, 2_130, 7_100, 7_270];
/** Contracts end within what the clocks of a history reach, or long after. */
const TERMS = [90, 140, 200, 2_000];

/** How often something is asked, of what all of these add up to. */
const SORTS: Readonly<Record<UnitRequest['do'] | 'repeat' | 'reuse', number>> = {
  grant: 13,
  reserve: 17,
  topUp: 9,
  raiseCap: 5,
  settle: 10,
  release: 3,
  expire: 4,
  withdraw: 3,
  changeLife: 7,
  refund: 8,
  correct: 5,
  openBudget: 3,
  closeBudget: 1,
  repeat: 10,
  reuse: 6,
};
const SORT_OF = Object.entries(SORTS).flatMap(([sort, weight]) => Array(weight).fill(sort) as (keyof typeof SORTS)[]);

/** The people and contracts of a history, and what it begins with. */
export interface Setting extends UnitWorld {
  readonly users: readonly string[];
  readonly zones: ReadonlyMap<string, UnitZone>;
  /** The hour at which the history begins. */
  readonly origin: number;
  /** How many operations travel together, in turn. */
  readonly batches: readonly number[];
}

/** Draws who there is in a world: ids carry its number, so that worlds can share a database. */
export function drawSetting(chance: Chance, world: number): Setting {
  const origin = chance.pick(ORIGINS);
  const users = USERS.map((n) => idOf('user', n, world));
  const contracts = CONTRACTS.map((n) => idOf('contract', n, world));
  const terms = contracts.map((id) => [id, { from: origin - 5, to: origin + chance.pick(TERMS) }] as const);
  const authorised = contracts.flatMap((contractId) =>
    users.flatMap((userId) => {
      const from = origin + chance.pick([-5, -5, -5, 0, 0, 10]);
      const to = chance.pick([null, null, null, null, null, origin + chance.between(30, 90)]);
      return chance.between(1, 16) === 1 ? [] : [{ contractId, userId, from, to }];
    }),
  );
  const batches = Array.from({ length: chance.between(1, 5) }, () => chance.pick([1, 2, 3, 4, 6, 25]));
  const zones = new Map(contracts.map((id) => [id, chance.pick(UNIT_ZONES)]));
  return { origin, users, terms: new Map(terms), zones, authorised, batches };
}

/** Draws requests that fit what the model has come to; the same chance and model draw the same. */
export class Requests {
  private hour: number;
  private made = 0;
  private readonly jobIds: string[] = [];
  private readonly refundIds: string[] = [];
  private readonly asked: UnitRequest[] = [];

  constructor(
    private readonly setting: Setting,
    private readonly model: UnitCredits,
    private readonly world: number,
  ) {
    this.hour = setting.origin;
  }

  /** Lets some time pass, and asks. */
  next(chance: Chance): { readonly request: UnitRequest; readonly at: number } {
    // Clocks of several machines stand still or go back.
    const hours = chance.pick([
      () => 0,
      () => -chance.between(1, 5),
      () => chance.between(0, 6),
      () => chance.between(0, 3),
    ]);
    this.hour += hours();
    const sort = chance.pick(SORT_OF);
    const request =
      sort === 'repeat' || sort === 'reuse'
        ? this.again(chance, sort)
        : this.draw(chance, isRare(chance) ? sort : this.possible(sort));
    this.asked.push(request);
    return { request, at: chance.between(1, 20) === 1 ? chance.pick(this.edges()) : this.hour };
  }

  /** Hours at which something begins or ends: half-open lives and terms differ there from closed ones. */
  private edges(): number[] {
    const { terms, authorised } = this.setting;
    const lots = [...this.model.lots.values()].slice(-6);
    const edges = [
      ...[...terms.values()].flatMap(({ from, to }) => [from, to]),
      ...authorised.flatMap(({ from, to }) => [from, to]),
      ...lots.flatMap(({ life }) => [life.effectiveAt, life.expiresAt, life.withdrawnAt, life.graceUntil]),
    ];
    return edges.filter((hour) => hour !== null);
  }

  /** What has to come first where there is nothing yet to do that to. */
  private possible(sort: UnitRequest['do']): UnitRequest['do'] {
    switch (sort) {
      case 'topUp':
      case 'raiseCap':
      case 'settle':
      case 'release':
        return this.hasJob('open') ? sort : this.possible('reserve');
      case 'refund':
      case 'correct':
        return this.hasJob('settled') ? sort : this.possible('settle');
      case 'reserve':
      case 'changeLife':
        return this.model.lots.size > 0 ? sort : 'grant';
      case 'expire':
        return this.lots(this.isExpired).length > 0 ? sort : 'grant';
      case 'withdraw':
        return this.lots(this.isWithdrawn).length > 0 ? sort : this.possible('changeLife');
      case 'closeBudget':
        return this.model.budgets.size > 0 ? sort : 'openBudget';
      default:
        return sort;
    }
  }

  private hasJob(state: UnitJob['state']): boolean {
    return [...this.model.jobs.values()].some((job) => job.state === state);
  }

  private draw(chance: Chance, sort: UnitRequest['do']): UnitRequest {
    switch (sort) {
      case 'grant':
        return this.grant(chance);
      case 'expire':
        return { do: sort, ...this.lotFor(chance, this.isExpired, 'withdrawn') };
      case 'withdraw':
        return { do: sort, ...this.lotFor(chance, this.isWithdrawn, 'expired') };
      case 'changeLife':
        return this.changeLife(chance);
      case 'reserve':
        return this.reserve(chance);
      case 'topUp':
        return { do: sort, ...this.jobFor(chance, 'open'), number: this.number(), target: chance.between(0, 20) };
      case 'raiseCap':
        return { do: sort, ...this.jobFor(chance, 'open'), number: this.number(), cap: chance.between(0, 30) };
      case 'settle':
        return { do: sort, ...this.jobFor(chance, 'open'), actual: chance.between(0, 22) };
      case 'release':
        return { do: sort, ...this.jobFor(chance, chance.between(1, 8) === 1 ? 'never' : 'open') };
      case 'refund':
        return { do: sort, ...this.refundFor(chance), amount: chance.between(1, 6) };
      case 'correct':
        return { do: sort, ...this.refundFor(chance), actual: chance.between(0, 9) };
      case 'openBudget':
        return { do: sort, budget: this.budget(chance) };
      case 'closeBudget':
        return { do: sort, ...this.openBudget(chance) };
    }
  }

  private readonly isExpired = ({ life: { expiresAt } }: UnitLot) => expiresAt !== null && expiresAt <= this.hour;
  private readonly isWithdrawn = ({ life: { withdrawnAt } }: UnitLot) =>
    withdrawnAt !== null && withdrawnAt <= this.hour;

  /** Those whose end is not booked and that match. */
  private lots(matches: (lot: UnitLot) => boolean): UnitLot[] {
    return [...this.model.lots.values()].filter((lot) => lot.endedAs === null && matches(lot));
  }

  /** An earlier request once more, as it was or with something else in it. */
  private again(chance: Chance, sort: 'repeat' | 'reuse'): UnitRequest {
    const request = this.asked[Math.max(0, this.asked.length - chance.between(1, 25))] ?? this.grant(chance);
    return sort === 'repeat' ? request : altered(request);
  }

  private grant(chance: Chance): UnitRequest {
    const kind = chance.pick([
      'individual',
      'individual',
      'shared',
      'shared',
      'shared',
      'courtesy',
      'courtesy',
    ] as const);
    const ownerId = this.owner(chance, kind);
    const effectiveAt = this.hour + chance.between(-10, 4);
    const expires = isRare(chance) ? kind === 'individual' : kind !== 'individual';
    const expiresAt = expires ? effectiveAt + chance.between(0, 100) : null;
    return {
      do: 'grant',
      lotId: idOf('lot', this.number(), this.world),
      ownerId,
      kind,
      amount: isRare(chance) ? 0 : chance.between(1, 25),
      life: { effectiveAt, expiresAt, withdrawnAt: null, graceUntil: graceAfter(chance, kind, expiresAt) },
      advance: kind === 'courtesy' ? chance.between(1, 3) > 1 : chance.between(1, 40) === 1,
    };
  }

  /** R3, R4: renewals, early ends, notices and their withdrawal; now and then a life that the kind cannot have. */
  private changeLife(chance: Chance): UnitRequest {
    const named = this.lotFor(chance, ({ kind }) => kind === 'individual' || chance.between(0, 1) === 0);
    const lot = this.model.lots.get(named.lotId);
    const before: UnitLife = lot?.life ?? {
      effectiveAt: this.hour,
      expiresAt: null,
      withdrawnAt: null,
      graceUntil: null,
    };
    const effectiveAt = before.effectiveAt + (isRare(chance) ? chance.between(-4, 4) : 0);
    const later = this.hour + chance.between(-4, 30);
    const isNotice = (lot?.kind === 'individual') !== isRare(chance);
    const life = isNotice
      ? {
          effectiveAt,
          expiresAt: before.expiresAt,
          withdrawnAt: chance.pick([null, this.hour + chance.between(-1, 10), later]),
          graceUntil: before.graceUntil,
        }
      : {
          effectiveAt,
          expiresAt: later,
          withdrawnAt: before.withdrawnAt,
          graceUntil: graceAfter(chance, lot?.kind ?? 'shared', later),
        };
    return { do: 'changeLife', ...named, number: this.number(), life };
  }

  private reserve(chance: Chance): UnitRequest {
    const amount = chance.between(0, 9);
    // Also of jobs that were released before they were reserved.
    const released = [...this.model.jobs.values()].filter(({ state, cap }) => state === 'released' && cap === 0);
    const known = isRare(chance) ? [...released.map(({ id }) => id), this.anyJobId(chance)] : [];
    const jobId = known.length > 0 ? chance.pick(known) : this.newJobId();
    return {
      do: 'reserve',
      jobId,
      userId: chance.pick(this.setting.users),
      contractId: chance.pick([...this.contracts(), ...this.contracts(), ...this.contracts(), null]),
      amount,
      cap: Math.max(0, amount + chance.between(-1, 12)),
      project: chance.pick([null, ...PROJECTS]),
    };
  }

  private budget(chance: Chance): UnitBudget {
    const contractId = chance.pick(this.contracts());
    const isForUser = chance.between(0, 1) === 0;
    return {
      id: idOf('budget', this.number(), this.world),
      contractId,
      zone: this.setting.zones.get(contractId) ?? 'UTC',
      userId: isForUser ? chance.pick(this.setting.users) : null,
      project: isForUser ? null : chance.pick(PROJECTS),
      period: chance.pick(PERIODS),
      amount: chance.between(0, 40),
      warnPercent: chance.pick([null, 20, 33, 50, 80, 100]),
      refusePercent: chance.pick([null, 50, 99, 100, 100, 120]),
    };
  }

  private openBudget(chance: Chance): { budgetId: string; contractId: string } {
    const budgets = [...this.model.budgets.values()];
    const contractId = chance.pick(this.contracts());
    if (budgets.length === 0 || isRare(chance))
      return { budgetId: idOf('budget', this.number(), this.world), contractId };
    const budget = chance.pick(budgets);
    return { budgetId: budget.id, contractId: isRare(chance) ? contractId : budget.contractId };
  }

  /** Mostly a lot for which the request makes sense, in the pool of its owner; now and then one that has ended, or any. */
  private lotFor(
    chance: Chance,
    makesSense: (lot: UnitLot) => boolean,
    otherEnd?: UnitLot['endedAs'],
  ): { lotId: string; ownerId: string } {
    const all = [...this.model.lots.values()];
    const ended = all.filter(({ endedAs }) => endedAs !== null && (otherEnd === undefined || endedAs === otherEnd));
    const sensible = this.lots(makesSense);
    const choices = chance.pick([sensible, sensible, sensible, sensible, sensible, sensible, ended, all]);
    const known = choices.length > 0 ? choices : all;
    if (known.length === 0 || chance.between(1, 40) === 1) {
      return { lotId: idOf('lot', this.number(), this.world), ownerId: this.owner(chance, 'shared') };
    }
    const lot = chance.pick(known);
    return { lotId: lot.id, ownerId: chance.between(1, 8) === 1 ? this.owner(chance, lot.kind) : lot.ownerId };
  }

  /** Mostly one of the newest jobs in a state, asked for by who reserved it; now and then any job, or a stranger. */
  private jobFor(chance: Chance, state: UnitJob['state'] | 'never'): { jobId: string } & UnitSpender {
    const jobs = [...this.model.jobs.values()].filter((job) => job.state === state);
    const newest = jobs[Math.max(0, jobs.length - chance.between(1, 4))];
    const id = newest === undefined || isRare(chance) ? this.anyJobId(chance) : newest.id;
    const job = this.model.jobs.get(id);
    const [userId, contractId] = [chance.pick(this.setting.users), chance.pick(this.contracts())];
    if (!job) return { jobId: id, userId, contractId };
    const stranger = isRare(chance);
    return {
      jobId: id,
      userId: stranger ? userId : job.userId,
      contractId: stranger && isRare(chance) ? contractId : job.contractId,
    };
  }

  private refundFor(chance: Chance) {
    const refundId = idOf('refund', this.number(), this.world);
    const ofJob = this.jobFor(chance, 'settled');
    // A refund is nothing that could be refunded itself.
    const jobId = this.refundIds.length > 0 && isRare(chance) ? chance.pick(this.refundIds) : ofJob.jobId;
    this.refundIds.push(refundId);
    return { ...ofJob, refundId, jobId };
  }

  /** One that was reserved, or that was not yet. */
  private anyJobId(chance: Chance): string {
    return chance.between(1, 4) === 1 ? this.newJobId() : chance.pick([...this.jobIds.slice(-12), this.newJobId()]);
  }

  private newJobId(): string {
    const jobId = idOf('job', this.number(), this.world);
    this.jobIds.push(jobId);
    return jobId;
  }

  private owner(chance: Chance, kind: UnitLot['kind']): string {
    return chance.pick(kind === 'individual' ? this.setting.users : this.contracts());
  }

  private contracts(): string[] {
    return [...this.setting.terms.keys()];
  }

  private number(): number {
    this.made += 1;
    return this.made;
  }
}

function isRare(chance: Chance): boolean {
  return chance.between(1, 13) === 1;
}

/** The same key, and something else asked under it. */
function altered(request: UnitRequest): UnitRequest {
  switch (request.do) {
    case 'grant':
    case 'reserve':
    case 'refund':
      return { ...request, amount: request.amount + 1 };
    case 'raiseCap':
      return { ...request, cap: request.cap + 1 };
    case 'topUp':
      return { ...request, target: request.target + 1 };
    case 'settle':
    case 'correct':
      return { ...request, actual: request.actual + 1 };
    case 'changeLife':
      return { ...request, life: { ...request.life, effectiveAt: request.life.effectiveAt - 1 } };
    case 'release': {
      const { jobId, userId, contractId } = request;
      return { do: 'settle', jobId, userId, contractId, actual: 1 };
    }
    case 'openBudget':
      return { ...request, budget: { ...request.budget, amount: request.budget.amount + 1 } };
    // There is nothing else to ask for.
    case 'expire':
    case 'withdraw':
    case 'closeBudget':
      return request;
  }
}

/** Mostly none; now and then one that the kind cannot have, or that is over before it begins. */
function graceAfter(chance: Chance, kind: UnitLot['kind'], expiresAt: number | null): number | null {
  const has = kind === 'shared' ? chance.between(1, 2) === 1 : isRare(chance);
  return has ? (expiresAt ?? 0) + chance.between(isRare(chance) ? -1 : 1, 20) : null;
}
