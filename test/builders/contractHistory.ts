/**
 * Random histories of one contract, and what the rules make of them: a model of R3, R7, R8 and R9 in milliseconds, in UTC, that
 * shares nothing with `domain/`. It draws what happens next and says what must come of it.
 */
import type { Chance } from '../../dev/chaos/chance';
import type { ContractChange } from '../../domain/contract';
import { type Instant, instantOfMilliseconds, millisecondsOf } from '../../domain/instant';
import { idOf } from './ids';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MICRO = 1_000_000n;

interface ModelLot {
  id: string;
  readonly kind: 'shared' | 'courtesy';
  readonly effectiveAt: number;
  /** Its own end: twelve months after the purchase, or a courtesy lot's. */
  readonly ownEnd: number;
  available: bigint;
  reserved: bigint;
  consumed: bigint;
  expired: bigint;
  /** Once its end is booked: when it counts. */
  endedAt: number | null;
}

interface ModelJob {
  readonly id: string;
  readonly held: Map<ModelLot, bigint>;
}

type Act =
  | { readonly kind: 'book' }
  | { readonly kind: 'buy'; readonly credits: string; readonly purchasedAt: Instant }
  | { readonly kind: 'give'; readonly credits: string; readonly expiresAt: Instant }
  | {
      readonly kind: 'reserve' | 'settle';
      readonly jobId: string;
      readonly credits: string;
      readonly accepted: boolean;
    }
  | { readonly kind: 'release'; readonly jobId: string }
  | { readonly kind: 'change'; readonly change: ContractChange; readonly accepted: boolean };

export class ContractHistory {
  readonly opening: { startsAt: Instant; endsAt: Instant; graceDays: number };
  private now: number;
  private readonly startsAt: number;
  private termEnd: number;
  private terminatesAt: number | null = null;
  private graceDays: number;
  private suspended = false;
  private closed = false;
  private readonly lots: ModelLot[] = [];
  private readonly jobs: ModelJob[] = [];
  private nextJob = 0;

  /**
   * @param world keeps the jobs of histories in one database apart.
   * @param seen counts what the history has met.
   */
  constructor(
    private readonly world: number,
    private readonly chance: Chance,
    private readonly seen: Record<string, number>,
  ) {
    this.startsAt = Date.UTC(2023, chance.between(0, 11), chance.between(1, 28), chance.between(0, 23));
    this.now = this.startsAt - 20 * DAY;
    this.termEnd = addMonths(this.startsAt, chance.pick([1, 6, 12, 12, 14]));
    this.graceDays = chance.pick([0, 10, 40, 40, 200]);
    this.opening = {
      startsAt: instantOfMilliseconds(this.startsAt),
      endsAt: instantOfMilliseconds(this.termEnd),
      graceDays: this.graceDays,
    };
  }

  next(): { at: Instant; act: Act } {
    this.now = this.nextInstant();
    return { at: instantOfMilliseconds(this.now), act: this.act() };
  }

  /** Nothing moves any more. */
  get isOver(): boolean {
    return this.closed && this.jobs.length === 0 && this.lots.every(({ endedAt }) => endedAt !== null);
  }

  /** Tells the id of the lot that was bought or given last. */
  bought(id: string): void {
    const lot = this.lots.at(-1);
    if (lot) lot.id = id;
  }

  buckets() {
    return [...this.lots]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ available, reserved, consumed, expired, endedAt }) => ({
        available,
        reserved,
        consumed,
        expired,
        ended: endedAt !== null,
      }));
  }

  expiries(): string[] {
    return this.lots
      .flatMap(({ id, endedAt }) => (endedAt === null ? [] : [`${id} ${instantOfMilliseconds(endedAt)}`]))
      .sort();
  }

  /** Later than the last one; often exactly an end, or the last moment before it. */
  private nextInstant(): number {
    const end = this.end();
    const comesSoon = this.now < end && end < this.now + 120 * DAY;
    if (comesSoon && this.jobs.length > 0 && this.chance.between(0, 2) === 0) return end;
    const far = this.now + this.chance.between(1, 30 * 24) * HOUR;
    const edges = [this.startsAt, this.end(), this.graceEnd(), ...this.lots.map(({ ownEnd }) => ownEnd)]
      .flatMap((edge) => [edge - 1, edge])
      .filter((edge) => edge > this.now && edge < this.now + 60 * DAY);
    return edges.length > 0 && this.chance.between(0, 2) === 0 ? this.chance.pick(edges) : far;
  }

  private act(): Act {
    const { chance } = this;
    const inGrace = this.end() <= this.now && this.now < this.graceEnd();
    // What is rare by chance is what this is about: an end that is not certain yet.
    const held = inGrace && chance.between(0, 2) > 0 ? this.jobs.pop() : undefined;
    if (held) return this.release(held);
    if (inGrace && !this.closed && chance.between(0, 2) === 0) {
      return this.change({ kind: 'renew', months: chance.pick([1, 12]) });
    }
    const isBuyable = !this.closed && this.now < this.end();
    switch (chance.between(0, 10)) {
      case 0:
      case 1: {
        if (!isBuyable) break;
        // Some are bought ahead and reach the contract months later.
        const purchasedAt = this.now - chance.pick([0, 0, 30, 200]) * DAY;
        const credits = chance.between(1, 50);
        this.add('shared', credits, addMonths(purchasedAt, 12));
        return { kind: 'buy', credits: `${credits}`, purchasedAt: instantOfMilliseconds(purchasedAt) };
      }
      case 2: {
        if (!isBuyable || chance.between(0, 1) === 0) break;
        const expiresAt = this.now + chance.between(1, 200) * DAY;
        const credits = chance.between(1, 10);
        this.add('courtesy', credits, expiresAt);
        return { kind: 'give', credits: `${credits}`, expiresAt: instantOfMilliseconds(expiresAt) };
      }
      case 3:
      case 4:
      case 5:
        return this.reserve(chance.between(1, chance.pick([10, 10, 60])));
      case 6: {
        const job = this.jobs.splice(chance.between(0, Math.max(0, this.jobs.length - 1)), 1)[0];
        if (!job) break;
        return chance.between(0, 1) === 0 ? this.settle(job) : this.release(job);
      }
      case 7:
      case 8:
        return this.change();
      default:
        break;
    }
    this.book();
    return { kind: 'book' };
  }

  private add(kind: ModelLot['kind'], credits: number, ownEnd: number): void {
    const empty = { reserved: 0n, consumed: 0n, expired: 0n, endedAt: null };
    this.lots.push({ id: '', kind, effectiveAt: this.now, ownEnd, available: BigInt(credits) * MICRO, ...empty });
  }

  /** The contract's end: its termination, or the end of its last term. */
  private end(): number {
    return this.terminatesAt ?? this.termEnd;
  }

  private graceEnd(): number {
    return this.terminatesAt ?? this.termEnd + this.graceDays * DAY;
  }

  /** R3: the earlier of twelve months and the contract's end. */
  private endOf(lot: ModelLot): number {
    if (lot.endedAt !== null) return lot.endedAt;
    return lot.kind === 'courtesy' ? lot.ownEnd : Math.min(lot.ownEnd, this.end());
  }

  private diesWithContract(lot: ModelLot): boolean {
    return lot.kind === 'shared' && this.end() < lot.ownEnd;
  }

  private book(): void {
    if (!this.closed && this.now >= this.graceEnd()) {
      this.closed = true;
      this.note(
        this.terminatesAt !== null ? 'closed by termination' : this.graceDays > 0 ? 'closed after a grace' : 'closed',
      );
    }
    for (const lot of this.lots) {
      if (lot.endedAt !== null) continue;
      // With the contract it ends once nothing can renew that any more.
      const certainAt = this.diesWithContract(lot) ? this.graceEnd() : lot.ownEnd;
      if (this.now < certainAt) continue;
      if (!this.diesWithContract(lot) && lot.kind === 'shared') this.note('expired with twelve months');
      lot.endedAt = this.endOf(lot);
      lot.expired += lot.available;
      lot.available = 0n;
    }
  }

  private inOrder(lots: Iterable<ModelLot>): ModelLot[] {
    return [...lots].sort(
      (a, b) =>
        Number(a.kind === 'courtesy') - Number(b.kind === 'courtesy') ||
        this.endOf(a) - this.endOf(b) ||
        a.effectiveAt - b.effectiveAt ||
        (a.id < b.id ? -1 : 1),
    );
  }

  private reserve(credits: number): Act {
    const jobId = idOf('job', this.nextJob++, this.world);
    let missing = BigInt(credits) * MICRO;
    const held = new Map<ModelLot, bigint>();
    const inForce = this.startsAt <= this.now && this.now < this.end() && !this.suspended;
    for (const lot of inForce ? this.inOrder(this.lots) : []) {
      const isAlive = lot.endedAt === null && lot.effectiveAt <= this.now && this.now < this.endOf(lot);
      const drawn = !isAlive ? 0n : lot.available < missing ? lot.available : missing;
      if (drawn > 0n) held.set(lot, drawn);
      missing -= drawn;
    }
    const accepted = missing === 0n;
    if (accepted) {
      for (const [lot, drawn] of held) {
        lot.available -= drawn;
        lot.reserved += drawn;
      }
      this.jobs.push({ id: jobId, held });
    } else this.note('refused');
    return { kind: 'reserve', jobId, credits: `${credits}`, accepted };
  }

  private settle(job: ModelJob): Act {
    const whole = [...job.held.values()].reduce((sum, one) => sum + one, 0n);
    const actual = BigInt(this.chance.between(0, Number(whole / MICRO)));
    let due = actual * MICRO;
    for (const lot of this.inOrder(job.held.keys())) {
      const held = job.held.get(lot) ?? 0n;
      const taken = held < due ? held : due;
      due -= taken;
      lot.reserved -= taken;
      lot.consumed += taken;
      this.giveBack(lot, held - taken);
    }
    return { kind: 'settle', jobId: job.id, credits: `${actual}`, accepted: true };
  }

  private release(job: ModelJob): Act {
    for (const [lot, held] of job.held) this.giveBack(lot, held);
    return { kind: 'release', jobId: job.id };
  }

  /** R8; in a grace a lot's end is not certain, unless its own twelve months are over. */
  private giveBack(lot: ModelLot, amount: bigint): void {
    if (amount === 0n) return;
    lot.reserved -= amount;
    const mayLiveOn = this.diesWithContract(lot) && this.now < this.graceEnd() && this.now < lot.ownEnd;
    const isOver = lot.endedAt !== null || (this.now >= this.endOf(lot) && !mayLiveOn);
    if (isOver) lot.expired += amount;
    else lot.available += amount;
    if (isOver) this.note('returned to an end');
    else if (this.now >= this.end()) this.note('returned in a grace');
  }

  private change(change = this.anyChange()): Act {
    this.book();
    const { now } = this;
    const isOver = this.closed;
    const hasEnded = isOver || now >= this.end();
    let accepted = !isOver;
    switch (change.kind) {
      case 'renew':
        accepted &&= this.terminatesAt === null;
        if (!accepted) break;
        if (now >= this.end()) this.note('renewed in the grace');
        this.termEnd = addMonths(this.termEnd, change.months ?? 12);
        break;
      case 'extend': {
        const endsAt = millisecondsOf(change.endsAt);
        accepted &&= this.terminatesAt === null && endsAt > this.termEnd && endsAt > now;
        if (accepted) this.termEnd = endsAt;
        break;
      }
      case 'terminate': {
        const at = change.at === undefined ? now : millisecondsOf(change.at);
        accepted = !hasEnded && at >= now && at > this.startsAt && at < this.termEnd;
        if (accepted) this.terminatesAt = at;
        break;
      }
      case 'revokeTermination':
        accepted &&= this.terminatesAt !== null && now < this.terminatesAt;
        if (accepted) this.terminatesAt = null;
        break;
      case 'suspend':
      case 'resume':
        accepted &&= this.suspended === (change.kind === 'resume');
        if (accepted) this.suspended = change.kind === 'suspend';
        break;
      case 'changeRenewal':
        accepted = !hasEnded;
        if (accepted) this.graceDays = change.graceDays;
        break;
      default:
        throw new Error(`the model draws no ${change.kind}`);
    }
    this.book();
    return { kind: 'change', change, accepted };
  }

  private anyChange(): ContractChange {
    const { chance, now } = this;
    const soon = () => instantOfMilliseconds(now + chance.between(-5, 90) * DAY);
    switch (chance.between(0, 8)) {
      case 0:
      case 1:
      case 2:
        return { kind: 'renew', months: chance.pick([1, 3, 12]) };
      case 3:
        return { kind: 'extend', endsAt: instantOfMilliseconds(this.termEnd + chance.between(-5, 60) * DAY) };
      case 4:
        return chance.between(0, 3) === 0 ? { kind: 'terminate' } : { kind: 'terminate', at: soon() };
      case 5:
        return { kind: 'revokeTermination' };
      case 6:
        return { kind: this.suspended ? 'resume' : chance.pick(['resume', 'suspend'] as const) };
      case 7:
        return { kind: 'resume' };
      default: {
        const graceDays = chance.pick([0, 5, 30, 100]);
        return { kind: 'changeRenewal', renewal: 'manual', renewalMonths: 12, graceDays };
      }
    }
  }

  private note(what: string): void {
    this.seen[what] = (this.seen[what] ?? 0) + 1;
  }
}

/** R7 in UTC: the same day of a later month, or that month's last. */
function addMonths(ms: number, months: number): number {
  const then = new Date(ms);
  const day = then.getUTCDate();
  then.setUTCDate(1);
  then.setUTCMonth(then.getUTCMonth() + months);
  const last = new Date(Date.UTC(then.getUTCFullYear(), then.getUTCMonth() + 1, 0)).getUTCDate();
  then.setUTCDate(Math.min(day, last));
  return then.getTime();
}
