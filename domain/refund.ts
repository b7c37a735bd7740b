/** Refunds and corrections (R15): back to the lots of the charge, its draws walked backwards, never more than remains. */
import type { Book } from './book';
import { type Credits, credits, formatCredits, minCredits, sayCredits, ZERO } from './credits';
import type { Draw } from './drawdown';
import { bucketOfReturn } from './lots';
import type { CorrectOperation, RefundingOperation, RefundOperation, Refused, Transfer } from './operations';
import { repaymentsUndoneBy } from './repayment';
import { chargedFor, isSameSpender, type Reservation } from './reservation';
import { refused, type Step } from './step';

/**
 * The slices of a charge that a refund gives back, the last captured first. What earlier refunds gave back is what comes
 * last in the charge, so refunds in steps give back what one refund of their sum would.
 */
export function slicesToRefund(captured: readonly Draw[], refunded: Credits, amount: Credits): Draw[] {
  const slices: Draw[] = [];
  let [passed, missing] = [refunded, amount];
  for (let index = captured.length - 1; index >= 0 && missing > ZERO; index--) {
    const draw = captured[index] as Draw;
    const skipped = minCredits(draw.amount, passed);
    passed = credits(passed - skipped);
    const slice = minCredits(credits(draw.amount - skipped), missing);
    missing = credits(missing - slice);
    if (slice > ZERO) slices.push({ lotId: draw.lotId, amount: slice });
  }
  return slices;
}

/** Refusals: `nothing_to_refund`, `not_found`, `refund_exceeds_charge`. */
export function planRefund(book: Book, operation: RefundOperation): Step | Refused {
  const reservation = settledReservation(book, operation);
  if ('code' in reservation) return reservation;
  const remaining = chargedFor(reservation);
  if (operation.amount <= ZERO || operation.amount > remaining) {
    return refused(
      'refund_exceeds_charge',
      `Of the charge of job ${operation.jobId} remain ${sayCredits(remaining)}; refund something, and at most that.`,
      { required: formatCredits(operation.amount), remaining: formatCredits(remaining) },
    );
  }
  return givingBack(book, operation, { reservation, unwound: ZERO, amount: operation.amount });
}

/**
 * A correction only lowers: first what the provider bore, then the charge. Refusals: `nothing_to_refund`, `not_found`,
 * `refund_exceeds_charge`.
 */
export function planCorrect(book: Book, operation: CorrectOperation): Step | Refused {
  const reservation = settledReservation(book, operation);
  if ('code' in reservation) return reservation;
  const standing = credits(chargedFor(reservation) + reservation.absorbed);
  if (operation.actual < ZERO || operation.actual >= standing) {
    return refused(
      'refund_exceeds_charge',
      `The actual of job ${operation.jobId} stands at ${sayCredits(standing)}; a correction brings it below that.`,
      { required: formatCredits(operation.actual), remaining: formatCredits(standing) },
    );
  }
  const excess = credits(standing - operation.actual);
  const unwound = minCredits(reservation.absorbed, excess);
  return givingBack(book, operation, { reservation, unwound, amount: credits(excess - unwound) });
}

function settledReservation(book: Book, operation: RefundingOperation): Reservation | Refused {
  const reservation = book.reservation(operation.jobId);
  if (reservation && !isSameSpender(reservation, operation)) {
    return refused('not_found', `User ${operation.userId} has no charge for job ${operation.jobId} there.`);
  }
  if (reservation?.state !== 'settled') {
    return refused('nothing_to_refund', `Job ${operation.jobId} is not settled, so there is no charge.`);
  }
  return reservation;
}

function givingBack(
  book: Book,
  operation: RefundingOperation,
  { reservation, unwound, amount }: { reservation: Reservation; unwound: Credits; amount: Credits },
): Step {
  const slices = slicesToRefund(reservation.captured, reservation.refunded, amount);
  const transfers = slices.map((slice): Transfer => {
    const to = bucketOfReturn(book.lot(slice.lotId), operation.at);
    return { lotId: slice.lotId, from: 'consumed', to, amount: slice.amount };
  });
  const advances = slices
    .map((slice) => ({ slice, advance: book.lot(slice.lotId), repaid: book.repaymentsOf(slice.lotId) }))
    .filter(({ advance }) => advance.advance);
  return {
    transfers,
    absorbed: credits(-unwound),
    undone: repaymentsUndoneBy(operation, advances, (id) => book.lot(id)),
    reservation: {
      ...reservation,
      absorbed: credits(reservation.absorbed - unwound),
      refunded: credits(reservation.refunded + amount),
    },
  };
}
