/**
 * The rules of the credits as plainly as they can be said: a list of single credits, each with a lot and a state. Amounts
 * are small whole numbers, instants are hours. Written from the rules, not from `domain/`: nothing is
 * summed, nothing is sliced. A credit is picked, then the next one.
 */

export interface UnitLot {
  readonly id: string;
  readonly kind: 'individual' | 'shared' | 'courtesy';
  /** A user for individual lots, a contract for the others. */
  readonly ownerId: string;
  readonly effectiveAt: number;
  readonly expiresAt: number | null;
  readonly withdrawnAt: number | null;
  readonly endedAs: 'expired' | 'withdrawn' | null;
}

export type UnitState = 'available' | 'reserved' | 'consumed' | 'expired' | 'withdrawn';

interface UnitCredit {
  readonly lotId: string;
  state: UnitState;
  /** The job that holds it or consumed it. */
  jobId: string | null;
}

export interface UnitJob {
  readonly userId: string;
  readonly contractId: string | null;
  readonly state: 'open' | 'settled' | 'released';
  readonly cap: number;
}

export interface UnitWorld {
  /** Half-open terms of contracts. */
  readonly terms: ReadonlyMap<string, { readonly from: number; readonly to: number }>;
  /** Who may spend on which contract, when. */
  readonly authorised: readonly { contractId: string; userId: string; from: number; to: number | null }[];
}

interface Spending {
  readonly jobId: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly at: number;
}

export type UnitOutcome =
  | { readonly accepted: true; readonly absorbed: number }
  | { readonly accepted: false; readonly code: string; readonly shortfall?: number };

const DONE: UnitOutcome = { accepted: true, absorbed: 0 };
const refused = (code: string): UnitOutcome => ({ accepted: false, code });

/** The ledger, one credit at a time. */
export class UnitCredits {
  readonly lots = new Map<string, UnitLot>();
  readonly jobs = new Map<string, UnitJob>();
  private readonly all: UnitCredit[] = [];

  constructor(private readonly world: UnitWorld) {}

  grant(lot: UnitLot, amount: number): UnitOutcome {
    const endless = lot.expiresAt === null;
    const dead = lot.expiresAt !== null && lot.expiresAt <= lot.effectiveAt;
    if (amount <= 0 || dead || endless !== (lot.kind === 'individual')) return refused('lot_invalid');
    this.lots.set(lot.id, lot);
    for (let i = 0; i < amount; i++) this.all.push({ lotId: lot.id, state: 'available', jobId: null });
    return DONE;
  }

  reserve(spending: Spending, amount: number, cap: number): UnitOutcome {
    if (this.jobs.has(spending.jobId)) return refused('reservation_closed');
    if (amount > cap) return refused('cap_exceeded');
    const objection = this.objection(spending);
    if (objection) return refused(objection);
    const picked = this.pick(spending, amount);
    if (picked.length < amount) return this.short(amount - picked.length);
    hold(picked, spending.jobId);
    const { userId, contractId } = spending;
    this.jobs.set(spending.jobId, { userId, contractId, state: 'open', cap });
    return DONE;
  }

  /** Up to a total or to the cap, whichever is less; nothing when the job holds that much already. */
  topUp(spending: Spending, target: number): UnitOutcome {
    const job = this.open(spending);
    if (typeof job === 'string') return refused(job);
    const objection = this.objection(spending);
    if (objection) return refused(objection);
    const amount = Math.max(0, Math.min(target, job.cap) - this.heldBy(spending.jobId).length);
    const picked = this.pick(spending, amount);
    if (picked.length < amount) return this.short(amount - picked.length);
    hold(picked, spending.jobId);
    return DONE;
  }

  raiseCap(spending: Spending, cap: number): UnitOutcome {
    const job = this.open(spending);
    if (typeof job === 'string') return refused(job);
    if (cap <= job.cap) return refused('cap_not_raised');
    this.jobs.set(spending.jobId, { ...job, cap });
    return DONE;
  }

  settle(spending: Spending, actual: number): UnitOutcome {
    const job = this.open(spending);
    if (typeof job === 'string') return refused(job);
    const due = Math.min(actual, job.cap);
    const missing = due - this.heldBy(spending.jobId).length;
    if (missing > 0 && !this.objection(spending)) hold(this.pick(spending, missing), spending.jobId);
    let captured = 0;
    for (const credit of this.inOrder(this.heldBy(spending.jobId))) {
      if (captured < due) {
        credit.state = 'consumed';
        captured += 1;
      } else {
        this.giveBack(credit, spending.at);
      }
    }
    this.jobs.set(spending.jobId, { ...job, state: 'settled' });
    return { accepted: true, absorbed: actual - captured };
  }

  release(spending: Spending): UnitOutcome {
    const { userId, contractId, jobId, at } = spending;
    const known = this.jobs.has(jobId);
    const job = known ? this.open(spending) : { userId, contractId, state: 'open' as const, cap: 0 };
    if (typeof job === 'string') return refused(job);
    for (const credit of this.heldBy(jobId)) this.giveBack(credit, at);
    this.jobs.set(jobId, { ...job, state: 'released' });
    return DONE;
  }

  /** A notice takes effect at an instant: nothing moves, but the lot is dead from then on. */
  withdrawFrom(lotId: string, at: number): void {
    this.lots.set(lotId, { ...this.lot(lotId), withdrawnAt: at });
  }

  /** The end of a lot is booked: what was never spent goes there. */
  bookEnd(lotId: string, end: 'expired' | 'withdrawn'): void {
    this.lots.set(lotId, { ...this.lot(lotId), endedAs: end });
    for (const credit of this.all) if (credit.lotId === lotId && credit.state === 'available') credit.state = end;
  }

  /** How many credits of a lot are in a state. */
  count(lotId: string, state: UnitState): number {
    return this.all.filter((credit) => credit.lotId === lotId && credit.state === state).length;
  }

  /** How many credits of each lot a job holds. */
  slicesOf(jobId: string): Record<string, number> {
    const slices: Record<string, number> = {};
    for (const { lotId } of this.heldBy(jobId)) slices[lotId] = (slices[lotId] ?? 0) + 1;
    return slices;
  }

  /** R2 on the model itself: individual credits that another user's job holds or consumed. */
  strayCredits(): string[] {
    return this.all
      .filter(({ lotId, jobId }) => {
        const lot = this.lot(lotId);
        return lot.kind === 'individual' && jobId !== null && this.jobs.get(jobId)?.userId !== lot.ownerId;
      })
      .map(({ lotId }) => lotId);
  }

  private open({ jobId, userId, contractId }: Spending): UnitJob | string {
    const job = this.jobs.get(jobId);
    if (!job) return 'reservation_closed';
    if (job.userId !== userId || job.contractId !== contractId) return 'not_found';
    return job.state === 'open' ? job : 'reservation_closed';
  }

  private objection({ userId, contractId, at }: Spending): string | null {
    if (contractId === null) return null;
    const term = this.world.terms.get(contractId);
    if (!term || at < term.from || at >= term.to) return 'contract_not_in_force';
    for (const one of this.world.authorised) {
      const theirs = one.contractId === contractId && one.userId === userId;
      if (theirs && at >= one.from && (one.to === null || at < one.to)) return null;
    }
    return 'user_not_authorised';
  }

  private short(shortfall: number): UnitOutcome {
    return { accepted: false, code: 'insufficient_credits', shortfall };
  }

  /** The first so many credits that may be spent, or all of them when there are fewer. */
  private pick(spending: Spending, amount: number): UnitCredit[] {
    const spendable = this.all.filter((credit) => this.maySpend(credit, spending));
    return this.inOrder(spendable).slice(0, amount);
  }

  private maySpend(credit: UnitCredit, { userId, contractId, at }: Spending): boolean {
    const lot = this.lot(credit.lotId);
    const theirs = lot.kind === 'individual' ? lot.ownerId === userId : lot.ownerId === contractId;
    return theirs && credit.state === 'available' && at >= lot.effectiveAt && endOf(lot, at) === null;
  }

  /** R6: the user's own, the contract's, courtesy; what dies first; what was effective first; what came first. */
  private inOrder(credits: readonly UnitCredit[]): UnitCredit[] {
    const left = [...credits];
    const ordered: UnitCredit[] = [];
    for (const kind of ['individual', 'shared', 'courtesy']) {
      const ofKind = left.filter(({ lotId }) => this.lot(lotId).kind === kind);
      ordered.push(...ofKind.sort((a, b) => this.rank(a.lotId).localeCompare(this.rank(b.lotId), 'en')));
    }
    return ordered;
  }

  private rank(lotId: string): string {
    const { expiresAt, effectiveAt } = this.lot(lotId);
    const text = (hour: number) => String(5_000_000 + hour);
    return [expiresAt === null ? 'never' : text(expiresAt), text(effectiveAt), lotId].join(' ');
  }

  private giveBack(credit: UnitCredit, at: number): void {
    credit.state = endOf(this.lot(credit.lotId), at) ?? 'available';
    credit.jobId = null;
  }

  private heldBy(jobId: string): UnitCredit[] {
    return this.all.filter((credit) => credit.jobId === jobId && credit.state === 'reserved');
  }

  private lot(id: string): UnitLot {
    const lot = this.lots.get(id);
    if (!lot) throw new Error(`the model has no lot ${id}`);
    return lot;
  }
}

function hold(credits: readonly UnitCredit[], jobId: string): void {
  for (const credit of credits) {
    credit.state = 'reserved';
    credit.jobId = jobId;
  }
}

/** How a lot has ended at an instant; null while it lives. Individual lots are withdrawn, all others expire. */
function endOf(lot: UnitLot, at: number): 'expired' | 'withdrawn' | null {
  if (lot.endedAs) return lot.endedAs;
  if (lot.withdrawnAt !== null && at >= lot.withdrawnAt) return 'withdrawn';
  return lot.expiresAt !== null && at >= lot.expiresAt ? 'expired' : null;
}
