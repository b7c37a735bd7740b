/** The rows of a batch while it is being decided, operation by operation. What was passed in is never changed. */
import type { Authorisation, ContractTerm, LedgerState } from './batch';
import { BudgetCounts } from './budgetCounts';
import { type Credits, credits, ZERO } from './credits';
import { LotsInOrder } from './drawdown';
import { entryOf } from './entryOf';
import type { Instant } from './instant';
import { isConserved, type Lot } from './lots';
import type { Accepted, Operation, Refused, Spender, Transfer } from './operations';
import type { RepaidAdvance } from './repayment';
import type { Reservation } from './reservation';
import { type JournalEntry, refused, type Step } from './step';

type WorkingLot = { -readonly [Key in keyof Lot]: Lot[Key] };

export class Book {
  readonly entries: JournalEntry[] = [];
  readonly budgets: BudgetCounts;
  private readonly lots = new Map<string, Lot>();
  /** Private copies of the lots that the batch changes, by id. */
  private readonly changed = new Map<string, WorkingLot>();
  private readonly lotsOfUsers = new Map<string, LotsInOrder>();
  private readonly lotsOfContracts = new Map<string, LotsInOrder>();
  private readonly advances: string[] = [];
  private readonly repaid: RepaidAdvance[];
  private readonly reservations = new Map<string, Reservation>();
  private readonly changedReservations = new Map<string, Reservation>();
  private readonly contracts = new Map<string, ContractTerm>();
  private readonly authorisations = new Map<string, Map<string, Authorisation[]>>();

  constructor(state: LedgerState, operations: readonly Operation[]) {
    for (const lot of state.lots) this.add(lot);
    for (const reservation of state.reservations) this.reservations.set(reservation.jobId, reservation);
    for (const contract of state.contracts) this.contracts.set(contract.contractId, contract);
    for (const authorisation of state.authorisations) this.authorise(authorisation);
    this.repaid = [...state.repayments];
    this.budgets = new BudgetCounts(state, operations);
  }

  /** The lot, when the batch has it. */
  find(lotId: string): Lot | undefined {
    return this.lots.get(lotId);
  }

  /** @throws Error when the lot was not loaded with the batch. */
  lot(lotId: string): Lot {
    const lot = this.lots.get(lotId);
    if (lot === undefined) throw new Error(`lot ${lotId} was not loaded with the batch`);
    return lot;
  }

  reservation(jobId: string): Reservation | undefined {
    return this.reservations.get(jobId);
  }

  /** The user's individual lots, and with a contract its shared and courtesy lots; nobody else's, ever (R2, R6). */
  lotsOf({ userId, contractId }: Spender): LotsInOrder[] {
    const lists: LotsInOrder[] = [];
    const own = this.lotsOfUsers.get(userId);
    if (own) lists.push(own);
    const shared = contractId === null ? undefined : this.lotsOfContracts.get(contractId);
    if (shared) lists.push(shared);
    return lists;
  }

  /** The contract's advances that are owed something, the oldest first (R9). */
  advancesOwedBy(contractId: string): Lot[] {
    return this.advances
      .map((id) => this.lot(id))
      .filter(({ poolId, consumed }) => poolId === contractId && consumed > ZERO)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** What repaid an advance, oldest first; negative where it was undone. */
  repaymentsOf(advanceId: string): RepaidAdvance[] {
    return this.repaid.filter((one) => one.advanceId === advanceId);
  }

  /** Why a user may not spend on a contract at an instant; null when nothing speaks against it. */
  objectionToSpending({ userId, contractId, at }: Spender & { at: Instant }): Refused | null {
    if (contractId === null) return null;
    const term = this.contracts.get(contractId);
    if (!term || at < term.startsAt || at >= term.endsAt) {
      return refused('contract_not_in_force', `Contract ${contractId} is not in force at ${at}.`);
    }
    if (term.suspendedAt !== null && at >= term.suspendedAt) {
      return refused('contract_suspended', `Contract ${contractId} is suspended since ${term.suspendedAt}.`);
    }
    for (const { authorisedAt, removedAt } of this.authorisations.get(contractId)?.get(userId) ?? []) {
      if (authorisedAt <= at && (removedAt === null || at < removedAt)) return null;
    }
    return refused('user_not_authorised', `User ${userId} may not spend on contract ${contractId}.`);
  }

  /**
   * Writes a step down.
   *
   * @throws Error when a transfer would bring a bucket below zero.
   */
  post(operation: Operation, step: Step): Accepted {
    const { transfers, absorbed = ZERO, reservation, lot, undone, repaid, openedBudgetId, closedBudgetId } = step;
    if (undone) for (const entry of undone) this.postRepayment(entry);
    if (lot) this.put(lot);
    for (const transfer of transfers) this.move(transfer);
    this.entries.push({ operation, transfers, absorbed });
    if (repaid) for (const entry of repaid) this.postRepayment(entry);
    if (openedBudgetId !== undefined) this.budgets.open(openedBudgetId);
    if (closedBudgetId !== undefined) this.budgets.close(closedBudgetId);
    const warnings = reservation ? this.budgets.count(this.reservations.get(reservation.jobId), reservation) : [];
    if (reservation) {
      this.reservations.set(reservation.jobId, reservation);
      this.changedReservations.set(reservation.jobId, reservation);
    }
    return { accepted: true, replayed: false, transfers, absorbed, warnings };
  }

  /** @throws Error when a lot is not conserved. */
  lotsAfter(): Lot[] {
    const lots = [...this.changed.values()];
    for (const lot of lots) if (!isConserved(lot)) throw new Error(`lot ${lot.id} is not conserved`);
    return lots;
  }

  reservationsAfter(): Reservation[] {
    return [...this.changedReservations.values()];
  }

  private add(lot: Lot): void {
    this.lots.set(lot.id, lot);
    this.listOf(lot).add(lot);
    if (lot.advance) this.advances.push(lot.id);
  }

  private authorise(authorisation: Authorisation): void {
    const { contractId, userId } = authorisation;
    const users = entryOf(this.authorisations, contractId, () => new Map<string, Authorisation[]>());
    entryOf(users, userId, () => []).push(authorisation);
  }

  private listOf({ kind, poolId }: Lot): LotsInOrder {
    return entryOf(kind === 'individual' ? this.lotsOfUsers : this.lotsOfContracts, poolId, () => new LotsInOrder());
  }

  /** The lot's private copy. */
  private open(lotId: string): WorkingLot {
    const opened = this.changed.get(lotId);
    if (opened) return opened;
    const copy = { ...this.lot(lotId) };
    this.changed.set(lotId, copy);
    this.lots.set(lotId, copy);
    this.listOf(copy).replace(copy);
    return copy;
  }

  private put(lot: Lot): void {
    if (!this.lots.has(lot.id)) {
      const added = { ...lot };
      this.changed.set(lot.id, added);
      this.add(added);
      return;
    }
    const working = this.open(lot.id);
    const list = this.listOf(working);
    // Its place in the order follows from its life.
    list.remove(working);
    working.effectiveAt = lot.effectiveAt;
    working.expiresAt = lot.expiresAt;
    working.withdrawnAt = lot.withdrawnAt;
    working.graceUntil = lot.graceUntil;
    working.endedAs = lot.endedAs;
    list.add(working);
  }

  private move({ lotId, from, to, amount }: Transfer): void {
    const lot = this.open(lotId);
    if (amount <= ZERO || (from !== 'granted' && lot[from] < amount)) {
      throw new Error(`transfer of ${amount} from ${from} to ${to} breaks lot ${lotId}`);
    }
    if (from !== 'granted') lot[from] = credits(lot[from] - amount);
    lot[to] = credits(lot[to] + amount);
    if (to === 'available') this.listOf(lot).refilled(lot);
  }

  private postRepayment(entry: JournalEntry): void {
    const { operation, transfers } = entry;
    for (const transfer of transfers) this.move(transfer);
    this.entries.push(entry);
    const [paying] = transfers;
    if (operation.kind !== 'repay' || !paying) return;
    const amount: Credits = paying.to === 'consumed' ? paying.amount : credits(-paying.amount);
    this.repaid.push({ lotId: paying.lotId, advanceId: operation.advanceId, amount });
  }
}
