/**
 * Advances (R9): courtesy lots that the contract's next shared lots repay. What an advance is still owed is what of it is
 * consumed; repaying moves as much of the new lot to `consumed`, and of the advance from there to `withdrawn`.
 */
import { type Credits, credits, minCredits, ZERO } from './credits';
import type { Draw } from './drawdown';
import { bucketOfReturn, type Lot } from './lots';
import type { GrantOperation, RefundingOperation, Transfer } from './operations';
import type { JournalEntry } from './step';

/** That a lot repaid an advance; a negative amount where a refund undid it. */
export interface RepaidAdvance {
  readonly lotId: string;
  readonly advanceId: string;
  readonly amount: Credits;
}

/** What a new shared lot repays at once: the advances in the given order, as far as its credits go. */
export function repaymentsBy({ lot, act: _, ...grant }: GrantOperation, owed: readonly Lot[]): JournalEntry[] {
  const entries: JournalEntry[] = [];
  let left = lot.amount;
  for (const advance of owed) {
    const amount = minCredits(advance.consumed, left);
    if (amount === ZERO) break;
    left = credits(left - amount);
    entries.push({
      operation: {
        kind: 'repay',
        subject: lot.id,
        act: `repay/${advance.id}`,
        advanceId: advance.id,
        at: grant.at,
        actor: grant.actor,
        reason: 'a new shared lot repays an advance',
      },
      transfers: [
        { lotId: lot.id, from: 'available', to: 'consumed', amount },
        { lotId: advance.id, from: 'consumed', to: 'withdrawn', amount },
      ],
      absorbed: ZERO,
    });
  }
  return entries;
}

/** A slice of a charge that goes back to an advance, with what repaid that advance, oldest first. */
export interface RefundedAdvance {
  readonly slice: Draw;
  readonly advance: Lot;
  readonly repaid: readonly RepaidAdvance[];
}

/**
 * The repayments that a refund undoes, so that what it gives back to advances is there again: of each advance the latest
 * first, no more than it lacks. The lot that had repaid gets its credits back, or their end does (R8, R15).
 *
 * @throws Error when an advance was repaid less than it lacks; the journal is broken then.
 */
export function repaymentsUndoneBy(
  operation: RefundingOperation,
  refunded: readonly RefundedAdvance[],
  lotOf: (id: string) => Lot,
): JournalEntry[] {
  const entries: JournalEntry[] = [];
  for (const { slice, advance, repaid } of refunded) {
    let lacking = credits(slice.amount - advance.consumed);
    for (const { lotId, amount: standing } of standingRepayments(repaid).reverse()) {
      if (lacking <= ZERO) break;
      const amount = minCredits(standing, lacking);
      lacking = credits(lacking - amount);
      entries.push({
        operation: {
          kind: 'repay',
          subject: operation.refundId,
          act: `unrepay/${entries.length + 1}`,
          advanceId: advance.id,
          at: operation.at,
          actor: operation.actor,
          reason: 'a refund undoes the repayment of an advance',
        },
        transfers: undoing({ lot: lotOf(lotId), advance, amount, at: operation.at }),
        absorbed: ZERO,
      });
    }
    if (lacking > ZERO) throw new Error(`advance ${advance.id} lacks ${lacking} that nothing repaid`);
  }
  return entries;
}

function undoing({
  lot,
  advance,
  amount,
  at,
}: {
  lot: Lot;
  advance: Lot;
  amount: Credits;
  at: RefundingOperation['at'];
}): Transfer[] {
  return [
    { lotId: lot.id, from: 'consumed', to: bucketOfReturn(lot, at), amount },
    { lotId: advance.id, from: 'withdrawn', to: 'consumed', amount },
  ];
}

/** What of each lot's repayment was not undone, in the order in which the lots repaid. */
function standingRepayments(repaid: readonly RepaidAdvance[]): Draw[] {
  const byLot = new Map<string, Credits>();
  for (const { lotId, amount } of repaid) byLot.set(lotId, credits((byLot.get(lotId) ?? ZERO) + amount));
  return Array.from(byLot, ([lotId, amount]) => ({ lotId, amount })).filter(({ amount }) => amount > ZERO);
}
