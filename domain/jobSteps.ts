/** What happens to a job's reservation: it is made, grows, and is settled or given back (R6, R8, R11, R16, R17). */
import type { Book } from './book';
import { type Credits, credits, formatCredits, maxCredits, minCredits, sayCredits, sumOf, ZERO } from './credits';
import { compareForDrawdown, type Draw, drawUpTo, mergeDraws, take } from './drawdown';
import { topUpAmount } from './forecast';
import type { Instant } from './instant';
import { bucketOfReturn } from './lots';
import type {
  JobOperation,
  RaiseCapOperation,
  Refused,
  ReleaseOperation,
  ReserveOperation,
  SettleOperation,
  TopUpOperation,
  Transfer,
} from './operations';
import { heldBy, isSameSpender, type Reservation } from './reservation';
import { refused, type Step } from './step';

const NOTHING: readonly Draw[] = Object.freeze([]);

/**
 * All of the amount or nothing. Refusals, in this order: `reservation_closed`, `cap_exceeded`, `contract_not_in_force`,
 * `contract_suspended`, `user_not_authorised`, `budget_exceeded`, `insufficient_credits`.
 */
export function planReserve(book: Book, operation: ReserveOperation): Step | Refused {
  const { jobId, userId, contractId, amount, cap, project, at } = operation;
  const existing = book.reservation(jobId);
  if (existing) return closedOrTaken(existing);
  if (amount > cap) return capExceeded(amount, cap);
  const job = { userId, contractId, project, reservedAt: at };
  const objection = book.objectionToSpending(operation) ?? book.budgets.objection(job, amount);
  if (objection) return objection;
  const { draws, missing } = drawUpTo(book.lotsOf(operation), amount, at);
  if (missing > ZERO) return insufficient(amount, missing);
  return {
    transfers: draws.map(reserving),
    reservation: {
      jobId,
      userId,
      contractId,
      state: 'open',
      cap,
      project,
      reservedAt: at,
      draws,
      captured: NOTHING,
      absorbed: ZERO,
      refunded: ZERO,
    },
  };
}

/**
 * All that is missing up to the target, never past the not-to-exceed amount, or nothing. Refusals, in this order:
 * `reservation_closed` or `not_found`, `contract_not_in_force`, `contract_suspended`, `user_not_authorised`,
 * `budget_exceeded`, `insufficient_credits`.
 */
export function planTopUp(book: Book, operation: TopUpOperation): Step | Refused {
  const reservation = openReservation(book, operation);
  if ('code' in reservation) return reservation;
  const amount = topUpAmount(operation.target, heldBy(reservation), reservation.cap);
  const objection = book.objectionToSpending(operation) ?? book.budgets.objection(reservation, amount);
  if (objection) return objection;
  const { draws, missing } = drawUpTo(book.lotsOf(operation), amount, operation.at);
  if (missing > ZERO) return insufficient(amount, missing);
  return {
    transfers: draws.map(reserving),
    reservation: { ...reservation, draws: mergeDraws(reservation.draws, draws) },
  };
}

/** Refusals: `reservation_closed` or `not_found`, `cap_not_raised`. */
export function planRaiseCap(book: Book, operation: RaiseCapOperation): Step | Refused {
  const reservation = openReservation(book, operation);
  if ('code' in reservation) return reservation;
  if (operation.cap <= reservation.cap) {
    return refused(
      'cap_not_raised',
      `The not-to-exceed amount is ${sayCredits(reservation.cap)} already; give more than that.`,
      { maxCredits: formatCredits(reservation.cap) },
    );
  }
  return { transfers: [], reservation: { ...reservation, cap: operation.cap } };
}

/**
 * Captures in the order of R6 as it stands now, whatever was drawn when. What the not-to-exceed amount, the budgets and
 * the lots leave uncovered is the provider's. Refusals: `reservation_closed` or `not_found`.
 */
export function planSettle(book: Book, operation: SettleOperation): Step | Refused {
  const reservation = openReservation(book, operation);
  if ('code' in reservation) return reservation;
  const due = minCredits(operation.actual, reservation.cap);
  const extra = drawWhatIsThere(book, operation, reservation, credits(due - heldBy(reservation)));
  const { taken, left } = take(inOrderNow(book, mergeDraws(reservation.draws, extra)), due);
  const absorbed = credits(operation.actual - sumOf(taken, ({ amount }) => amount));
  const transfers: Transfer[] = [];
  for (const draw of extra) transfers.push(reserving(draw));
  for (const draw of taken) transfers.push(capturing(draw));
  for (const draw of left) transfers.push(returning(book, draw, operation.at));
  return {
    transfers,
    absorbed,
    reservation: { ...reservation, state: 'settled', draws: NOTHING, captured: taken, absorbed },
  };
}

/** Gives everything back, or leaves a mark that a late reserve finds. Refusals: `reservation_closed` or `not_found`. */
export function planRelease(book: Book, operation: ReleaseOperation): Step | Refused {
  const { jobId, userId, contractId, at } = operation;
  if (!book.reservation(jobId)) return { transfers: [], reservation: markOf({ jobId, userId, contractId, at }) };
  const reservation = openReservation(book, operation);
  if ('code' in reservation) return reservation;
  return {
    transfers: reservation.draws.map((draw) => returning(book, draw, at)),
    reservation: { ...reservation, state: 'released', draws: NOTHING },
  };
}

function markOf({ at, ...job }: Pick<ReleaseOperation, 'jobId' | 'userId' | 'contractId' | 'at'>): Reservation {
  return {
    ...job,
    state: 'released',
    cap: ZERO,
    project: null,
    reservedAt: at,
    draws: NOTHING,
    captured: NOTHING,
    absorbed: ZERO,
    refunded: ZERO,
  };
}

/** What a settlement may still draw of what its reservation lacks: as much as there is, within the budgets. */
function drawWhatIsThere(
  book: Book,
  operation: SettleOperation,
  reservation: Reservation,
  lacking: Credits,
): readonly Draw[] {
  if (lacking <= ZERO || book.objectionToSpending(operation)) return NOTHING;
  const left = book.budgets.leftFor(reservation);
  const amount = left === null ? lacking : minCredits(lacking, maxCredits(left, ZERO));
  return drawUpTo(book.lotsOf(operation), amount, operation.at).draws;
}

function inOrderNow(book: Book, draws: readonly Draw[]): readonly Draw[] {
  if (draws.length < 2) return draws;
  return draws.toSorted((a, b) => compareForDrawdown(book.lot(a.lotId), book.lot(b.lotId)));
}

function openReservation(book: Book, operation: JobOperation): Reservation | Refused {
  const reservation = book.reservation(operation.jobId);
  if (!reservation) return refused('reservation_closed', `Nothing is reserved for job ${operation.jobId}.`);
  // Another spender's pools would pay for this one's job (R2).
  if (!isSameSpender(reservation, operation)) {
    return refused('not_found', `User ${operation.userId} has nothing reserved for job ${operation.jobId} there.`);
  }
  return reservation.state === 'open' ? reservation : closedOrTaken(reservation);
}

function reserving({ lotId, amount }: Draw): Transfer {
  return { lotId, from: 'available', to: 'reserved', amount };
}

function capturing({ lotId, amount }: Draw): Transfer {
  return { lotId, from: 'reserved', to: 'consumed', amount };
}

function returning(book: Book, { lotId, amount }: Draw, at: Instant): Transfer {
  return { lotId, from: 'reserved', to: bucketOfReturn(book.lot(lotId), at), amount };
}

function insufficient(amount: Credits, missing: Credits): Refused {
  const required = formatCredits(amount);
  const available = formatCredits(amount - missing);
  const shortfall = formatCredits(missing);
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
