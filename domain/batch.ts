/**
 * Plans a batch of operations against the locked rows they concern. Operations are decided one after the other, in
 * arrival order; each succeeds or is refused on its own, and a refusal changes nothing.
 */
import {
  CREDITS_MAX,
  type Credits,
  credits,
  formatCredits,
  maxCredits,
  minCredits,
  sayCredits,
  sumOf,
  ZERO,
} from './credits';
import { compareForDrawdown, type Draw, drawDown, payingLots, take } from './drawdown';
import type { RefusalCode } from './errors';
import { topUpAmount } from './forecast';
import type { Instant } from './instant';
import { bucketOfReturn, type Lot } from './lots';
import type {
  GrantOperation,
  JobOperation,
  Operation,
  Outcome,
  RaiseCapOperation,
  Refused,
  ReleaseOperation,
  ReserveOperation,
  SettleOperation,
  Spender,
  TopUpOperation,
  Transfer,
} from './operations';

/** Credits set aside for one job: at most one slice per lot (R6). */
export interface Reservation extends Spender {
  readonly jobId: string;
  readonly state: 'open' | 'settled' | 'released';
  readonly cap: Credits;
  /** The slices held; empty once closed. */
  readonly draws: readonly Draw[];
  readonly openedAt: Instant;
  readonly closedAt: Instant | null;
}

export interface ContractTerm {
  readonly contractId: string;
  readonly startsAt: Instant;
  readonly endsAt: Instant;
}

/** That a user may spend on a contract, from one instant to another. */
export interface Authorisation {
  readonly contractId: string;
  readonly userId: string;
  readonly authorisedAt: Instant;
  readonly removedAt: Instant | null;
}

/** The rows a batch concerns, read after their pools were locked. */
export interface LedgerState {
  readonly lots: readonly Lot[];
  readonly reservations: readonly Reservation[];
  readonly contracts: readonly ContractTerm[];
  readonly authorisations: readonly Authorisation[];
}

/** An accepted operation with what it moved: one row of the journal. */
export interface JournalEntry {
  readonly operation: Operation;
  readonly transfers: readonly Transfer[];
  readonly absorbed: Credits;
}

export interface Plan {
  /** One per operation, in the same order. */
  readonly outcomes: readonly Outcome[];
  readonly entries: readonly JournalEntry[];
  /** New and changed lots as they are after the batch. */
  readonly lots: readonly Lot[];
  readonly reservations: readonly Reservation[];
}

interface Step {
  readonly transfers: readonly Transfer[];
  readonly absorbed?: Credits;
  readonly lot?: Lot;
  readonly reservation?: Reservation;
}

/**
 * Decides a batch. Pure: the same state and operations give the same plan.
 *
 * @throws Error when a lot would break conservation; that is a bug, and nothing may be written then.
 */
export function planBatch(state: LedgerState, operations: readonly Operation[]): Plan {
  const book = new Book(state);
  const outcomes = operations.map((operation) => book.decide(operation));
  return { outcomes, entries: book.entries, lots: book.changedLots(), reservations: book.changedReservations() };
}

/** The state of the pools while a batch is being planned. */
class Book {
  readonly entries: JournalEntry[] = [];
  private readonly lots: Map<string, Lot>;
  private readonly reservations: Map<string, Reservation>;
  private readonly touchedLots = new Set<string>();
  private readonly touchedReservations = new Set<string>();

  constructor(private readonly state: LedgerState) {
    this.lots = new Map(state.lots.map((lot) => [lot.id, lot]));
    this.reservations = new Map(state.reservations.map((reservation) => [reservation.jobId, reservation]));
  }

  decide(operation: Operation): Outcome {
    const step = this.plan(operation);
    if ('accepted' in step) return step;
    const absorbed = step.absorbed ?? ZERO;
    this.post(step);
    this.entries.push({ operation, transfers: step.transfers, absorbed });
    return { accepted: true, replayed: false, transfers: step.transfers, absorbed };
  }

  changedLots(): Lot[] {
    return [...this.touchedLots].map((id) => this.lot(id));
  }

  changedReservations(): Reservation[] {
    return [...this.touchedReservations].map((id) => present(this.reservations.get(id), id));
  }

  private plan(operation: Operation): Step | Refused {
    switch (operation.kind) {
      case 'grant':
        return this.planGrant(operation);
      case 'reserve':
        return this.planReserve(operation);
      case 'topUp':
        return this.planTopUp(operation);
      case 'raiseCap':
        return this.planRaiseCap(operation);
      case 'settle':
        return this.planSettle(operation);
      case 'release':
        return this.planRelease(operation);
    }
  }

  private planGrant({ lot }: GrantOperation): Step | Refused {
    if (this.lots.has(lot.id)) return refused('lot_invalid', `Lot ${lot.id} exists already.`);
    if (lot.amount <= ZERO || lot.amount > CREDITS_MAX) {
      return refused('lot_invalid', 'A lot holds more than zero and at most 9000000000000 credits.');
    }
    if (lot.expiresAt !== null && lot.expiresAt <= lot.effectiveAt) {
      return refused(
        'lot_invalid',
        `A lot that expires at ${lot.expiresAt} cannot be effective from ${lot.effectiveAt}.`,
      );
    }
    if (lot.kind === 'individual' && lot.expiresAt !== null) {
      return refused('lot_invalid', 'An individual lot never expires; leave expiresAt out.');
    }
    if (lot.kind !== 'individual' && lot.expiresAt === null) {
      return refused('lot_invalid', `A ${lot.kind} lot has an end; give expiresAt.`);
    }
    return {
      lot: {
        id: lot.id,
        poolId: lot.poolId,
        kind: lot.kind,
        granted: lot.amount,
        available: ZERO,
        reserved: ZERO,
        consumed: ZERO,
        expired: ZERO,
        withdrawn: ZERO,
        effectiveAt: lot.effectiveAt,
        expiresAt: lot.expiresAt,
        withdrawnAt: null,
        endedAs: null,
      },
      transfers: [{ lotId: lot.id, from: 'granted', to: 'available', amount: lot.amount }],
    };
  }

  private planReserve(operation: ReserveOperation): Step | Refused {
    const { jobId, userId, contractId, amount, cap, at } = operation;
    const existing = this.reservations.get(jobId);
    if (existing) return closedOrTaken(existing);
    if (amount > cap) return capExceeded(amount, cap);
    const objection = this.objectionToSpending(operation);
    if (objection) return objection;
    const drawdown = drawDown(this.lotsOf(operation), amount, at);
    if (!drawdown.covered) return insufficient({ required: amount, ...drawdown });
    return {
      transfers: drawdown.draws.map(reserving),
      reservation: {
        jobId,
        userId,
        contractId,
        state: 'open',
        cap,
        draws: drawdown.draws,
        openedAt: at,
        closedAt: null,
      },
    };
  }

  private planTopUp(operation: TopUpOperation): Step | Refused {
    const reservation = this.openReservation(operation);
    if ('accepted' in reservation) return reservation;
    const objection = this.objectionToSpending(operation);
    if (objection) return objection;
    const amount = topUpAmount(operation.target, heldBy(reservation), reservation.cap);
    const drawdown = drawDown(this.lotsOf(operation), amount, operation.at);
    if (!drawdown.covered) return insufficient({ required: amount, ...drawdown });
    return {
      transfers: drawdown.draws.map(reserving),
      reservation: { ...reservation, draws: mergeDraws(reservation.draws, drawdown.draws) },
    };
  }

  private planRaiseCap(operation: RaiseCapOperation): Step | Refused {
    const reservation = this.openReservation(operation);
    if ('accepted' in reservation) return reservation;
    if (operation.cap <= reservation.cap) {
      return refused(
        'cap_not_raised',
        `The not-to-exceed amount is ${sayCredits(reservation.cap)} already; give more than that.`,
        { maxCredits: formatCredits(reservation.cap) },
      );
    }
    return { transfers: [], reservation: { ...reservation, cap: operation.cap } };
  }

  /** Captures in the order of R6 as it stands now, whatever was drawn when; above the cap the provider bears it. */
  private planSettle(operation: SettleOperation): Step | Refused {
    const reservation = this.openReservation(operation);
    if ('accepted' in reservation) return reservation;
    const due = minCredits(operation.actual, reservation.cap);
    const extra = this.drawWhatIsThere(operation, maxCredits(ZERO, credits(due - heldBy(reservation))));
    const slices = mergeDraws(reservation.draws, extra)
      .map(({ lotId, amount }) => ({ ...this.lot(lotId), held: amount }))
      .sort(compareForDrawdown);
    const { taken, left } = take(slices, (slice) => slice.held, due);
    return {
      transfers: [
        ...extra.map(reserving),
        ...taken.map(capturing),
        ...left.map((draw) => this.returning(draw, operation.at)),
      ],
      absorbed: credits(operation.actual - sumOf(taken, ({ amount }) => amount)),
      reservation: { ...reservation, state: 'settled', draws: [], closedAt: operation.at },
    };
  }

  private planRelease(operation: ReleaseOperation): Step | Refused {
    const { jobId, userId, contractId, at } = operation;
    const existing = this.reservations.get(jobId);
    if (existing && !isSameSpender(existing, operation)) return notTheirs(operation);
    if (existing && existing.state !== 'open') return closedOrTaken(existing);
    const reservation = existing ?? { jobId, userId, contractId, cap: ZERO, draws: [], openedAt: at };
    return {
      transfers: reservation.draws.map((draw) => this.returning(draw, at)),
      reservation: { ...reservation, state: 'released', draws: [], closedAt: at },
    };
  }

  /** What a settlement may still draw: all that is missing or as much as there is. */
  private drawWhatIsThere(operation: SettleOperation, missing: Credits): Draw[] {
    if (missing === ZERO || this.objectionToSpending(operation)) return [];
    return take(payingLots(this.lotsOf(operation), operation.at), (lot) => lot.available, missing).taken;
  }

  private openReservation(operation: JobOperation): Reservation | Refused {
    const reservation = this.reservations.get(operation.jobId);
    if (!reservation) return refused('reservation_closed', `Nothing is reserved for job ${operation.jobId}.`);
    // Another spender's pools would pay for this one's job (R2).
    if (!isSameSpender(reservation, operation)) return notTheirs(operation);
    return reservation.state === 'open' ? reservation : closedOrTaken(reservation);
  }

  /** The user's individual lots, and with a contract its shared and courtesy lots; nobody else's, ever (R2, R6). */
  private lotsOf({ userId, contractId }: Spender): Lot[] {
    return [...this.lots.values()].filter(({ poolId, kind }) =>
      kind === 'individual' ? poolId === userId : poolId === contractId,
    );
  }

  private objectionToSpending({ userId, contractId, at }: Spender & { at: Instant }): Refused | null {
    if (contractId === null) return null;
    const term = this.state.contracts.find((contract) => contract.contractId === contractId);
    if (!term || at < term.startsAt || at >= term.endsAt) {
      return refused('contract_not_in_force', `Contract ${contractId} is not in force at ${at}.`);
    }
    const authorised = this.state.authorisations.some(
      (one) =>
        one.contractId === contractId &&
        one.userId === userId &&
        one.authorisedAt <= at &&
        (one.removedAt === null || at < one.removedAt),
    );
    return authorised
      ? null
      : refused('user_not_authorised', `User ${userId} may not spend on contract ${contractId}.`);
  }

  private returning({ lotId, amount }: Draw, at: Instant): Transfer {
    return { lotId, from: 'reserved', to: bucketOfReturn(this.lot(lotId), at), amount };
  }

  private post({ lot, reservation, transfers }: Step): void {
    if (lot) this.lots.set(lot.id, lot);
    for (const transfer of transfers) this.move(transfer);
    if (reservation) {
      this.reservations.set(reservation.jobId, reservation);
      this.touchedReservations.add(reservation.jobId);
    }
  }

  private move({ lotId, from, to, amount }: Transfer): void {
    const lot = this.lot(lotId);
    const left = from === 'granted' ? {} : { [from]: credits(lot[from] - amount) };
    const moved = { ...lot, ...left, [to]: credits(lot[to] + amount) };
    if (amount <= ZERO || (from !== 'granted' && moved[from] < ZERO)) {
      throw new Error(`transfer of ${amount} from ${from} to ${to} breaks lot ${lotId}`);
    }
    this.lots.set(lotId, moved);
    this.touchedLots.add(lotId);
  }

  private lot(id: string): Lot {
    return present(this.lots.get(id), id);
  }
}

/** The sum of a reservation's slices. */
export function heldBy(reservation: Pick<Reservation, 'draws'>): Credits {
  return sumOf(reservation.draws, ({ amount }) => amount);
}

/** One slice per lot (R6). */
function mergeDraws(...lists: readonly (readonly Draw[])[]): Draw[] {
  const byLot = new Map<string, Credits>();
  for (const { lotId, amount } of lists.flat()) byLot.set(lotId, credits((byLot.get(lotId) ?? ZERO) + amount));
  return [...byLot].map(([lotId, amount]) => ({ lotId, amount }));
}

function reserving({ lotId, amount }: Draw): Transfer {
  return { lotId, from: 'available', to: 'reserved', amount };
}

function capturing({ lotId, amount }: Draw): Transfer {
  return { lotId, from: 'reserved', to: 'consumed', amount };
}

function insufficient(amounts: { required: Credits; available: Credits; shortfall: Credits }): Refused {
  const required = formatCredits(amounts.required);
  const available = formatCredits(amounts.available);
  const shortfall = formatCredits(amounts.shortfall);
  return refused(
    'insufficient_credits',
    `Needed: ${required} credits. Spendable here now: ${available}. Missing: ${shortfall}.`,
    { required, available, shortfall },
  );
}

function capExceeded(total: Credits, cap: Credits): Refused {
  const details = { required: formatCredits(total), maxCredits: formatCredits(cap) };
  return refused(
    'cap_exceeded',
    `${details.required} credits would be reserved, above the not-to-exceed amount of ${details.maxCredits}.`,
    details,
  );
}

function closedOrTaken({ jobId, state }: Reservation): Refused {
  return refused('reservation_closed', `The reservation of job ${jobId} is ${state} already.`, { state });
}

function isSameSpender(a: Spender, b: Spender): boolean {
  return a.userId === b.userId && a.contractId === b.contractId;
}

function notTheirs({ jobId, userId }: JobOperation): Refused {
  return refused('not_found', `User ${userId} has nothing reserved for job ${jobId} there.`);
}

function refused(code: RefusalCode, message: string, details: Record<string, string> = {}): Refused {
  return { accepted: false, code, message, details };
}

function present<T>(value: T | undefined, id: string): T {
  if (value === undefined) throw new Error(`${id} was not loaded with the batch`);
  return value;
}
