/** What a job holds and was charged, folded from its operations: nothing of it is stored a second time. */
import { type Credits, credits, sumOf, ZERO } from './credits';
import type { Draw } from './drawdown';
import type { Instant } from './instant';
import type { Operation, Spender, Transfer } from './operations';

/** An operation as it stands in the journal. */
export interface JournalLine {
  readonly kind: Operation['kind'] | 'repay';
  readonly act: string;
  readonly bookedAt: Instant;
  readonly userId: string | null;
  readonly contractId: string | null;
  readonly cap: Credits | null;
  readonly absorbed: Credits;
  readonly project: string | null;
  readonly transfers: readonly Transfer[];
}

/** Credits set aside for one job, and what became of them. */
export interface Reservation extends Spender {
  readonly jobId: string;
  readonly state: 'open' | 'settled' | 'released';
  /** The not-to-exceed amount (R11). */
  readonly cap: Credits;
  readonly project: string | null;
  /** Decides the budget periods in which the job counts (R17). */
  readonly reservedAt: Instant;
  /** The slices held now, one per lot (R6); empty once closed. */
  readonly draws: readonly Draw[];
  /** What the settlement captured, in the order in which it did, whatever was given back since. */
  readonly captured: readonly Draw[];
  /** What the provider bears, less what corrections unwound of it. */
  readonly absorbed: Credits;
  /** What refunds and corrections have given back of what was captured. */
  readonly refunded: Credits;
}

/**
 * The reservation that the operations of a job leave.
 *
 * @param lines the job's own operations in order, then the refunds and corrections that refer to it, in order.
 * @throws Error when they begin neither with a reserve nor with the mark of a release.
 */
export function reservationOf(jobId: string, lines: readonly JournalLine[]): Reservation {
  const [first] = lines;
  const begins = first?.kind === 'reserve' || first?.kind === 'release';
  if (!first || !begins || first.userId === null) {
    throw new Error(`the operations of job ${jobId} begin neither with a reserve nor with a release`);
  }
  const held = new Map<string, Credits>();
  const captured: Draw[] = [];
  let state: Reservation['state'] = 'open';
  let [cap, absorbed, refunded] = [ZERO, ZERO, ZERO];
  for (const line of lines) {
    cap = line.cap ?? cap;
    absorbed = credits(absorbed + line.absorbed);
    if (line.kind === 'settle') state = 'settled';
    if (line.kind === 'release') state = 'released';
    for (const { lotId, from, to, amount } of line.transfers) {
      if (to === 'reserved') held.set(lotId, credits((held.get(lotId) ?? ZERO) + amount));
      if (from === 'reserved') held.set(lotId, credits((held.get(lotId) ?? ZERO) - amount));
      if (from === 'reserved' && to === 'consumed') captured.push({ lotId, amount });
      if (from === 'consumed') refunded = credits(refunded + amount);
    }
  }
  return {
    jobId,
    userId: first.userId,
    contractId: first.contractId,
    state,
    cap,
    project: first.project,
    reservedAt: first.bookedAt,
    draws: slicesOf(held),
    captured,
    absorbed,
    refunded,
  };
}

/** The sum of a reservation's slices. */
export function heldBy(reservation: Pick<Reservation, 'draws'>): Credits {
  return sumOf(reservation.draws, ({ amount }) => amount);
}

/** What a job was charged, less what was given back. */
export function chargedFor({ captured, refunded }: Pick<Reservation, 'captured' | 'refunded'>): Credits {
  return credits(sumOf(captured, ({ amount }) => amount) - refunded);
}

/** Whether both spend from the same pools (R2). */
export function isSameSpender(a: Spender, b: Spender): boolean {
  return a.userId === b.userId && a.contractId === b.contractId;
}

function slicesOf(held: ReadonlyMap<string, Credits>): Draw[] {
  const slices: Draw[] = [];
  for (const [lotId, amount] of held) if (amount !== ZERO) slices.push({ lotId, amount });
  return slices;
}
