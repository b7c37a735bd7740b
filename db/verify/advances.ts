/** Advances (R9): what a new shared lot repays at once, and what a refund undoes of it. */
import type { LotAccount } from './accounts';
import { mustBe, Wrong } from './findings';
import { type JournalRow, mustHaveAct, mustHaveActLike } from './journalRow';
import { giveBack, least, mustBePositive } from './rules';

interface Repayment {
  readonly lot: LotAccount;
  /** What of it was not undone. */
  remaining: bigint;
}

export class Advances {
  /** By pool, the oldest first. */
  private readonly byPool = new Map<string, LotAccount[]>();
  /** By advance, the oldest first. */
  private readonly repayments = new Map<string, Repayment[]>();
  /** What must follow the grant that was booked last. */
  private due: { readonly lot: LotAccount; readonly advance: LotAccount; readonly amount: bigint }[] = [];
  /** What was undone for the refund that must follow. */
  private undone: { readonly subject: string; readonly advances: Set<LotAccount> } | null = null;

  /** @param lots in the order of their ids, which are ordered by time. */
  constructor(lots: Iterable<LotAccount>) {
    for (const lot of lots) if (lot.isAdvance) listIn(this.byPool, lot.pool.id).push(lot);
  }

  /** A new shared lot repays the oldest advances first, as far as it goes. */
  expectRepaymentsBy(lot: LotAccount): void {
    let left = lot.available;
    for (const advance of this.byPool.get(lot.pool.id) ?? []) {
      if (left === 0n) break;
      if (advance.consumed <= 0n) continue;
      const amount = least(advance.consumed, left);
      this.due.push({ lot, advance, amount });
      left -= amount;
    }
  }

  /** @throws Wrong when something else follows than what is due. */
  mustBeDone(): void {
    const [due] = this.due;
    const { undone } = this;
    this.due = [];
    this.undone = null;
    if (due) {
      const what = `the grant of lot ${due.lot.id} repaid nothing of advance ${due.advance.id} (R9)`;
      throw new Wrong(what, `${due.amount}`, 'nothing');
    }
    if (undone) throw new Wrong('repayments were undone, and nothing was refunded', undone.subject);
  }

  /** A repayment, or one that is undone. */
  repay(row: JournalRow): void {
    const [lot, advance] = row.lots;
    const amount = mustBePositive(row.amounts[0]);
    if (!lot || !advance || row.count !== 2 || advance.id !== row.refersTo) {
      throw new Wrong('it names another advance', String(row.refersTo), String(advance?.id));
    }
    mustBe('a repayment takes and gives the same', row.amounts[1] ?? null, amount);
    if (!advance.isAdvance || lot.kind !== 'shared' || lot.pool !== advance.pool) {
      throw new Wrong(`lot ${lot.id} cannot repay lot ${advance.id} (R9)`);
    }
    if (row.moves === 'accw') this.book(row, { lot, advance, amount });
    else this.undo(row, { lot, advance, amount });
  }

  /** To be told of a refund: the repayments that were undone must have been for it, and no more than it needed. */
  noteRefund(refundId: string): void {
    const { undone } = this;
    this.undone = null;
    if (!undone) return;
    mustBe('repayments were undone for another refund', undone.subject, refundId);
    for (const { id, consumed } of undone.advances) {
      if (consumed !== 0n)
        throw new Wrong(`more repayments of advance ${id} were undone than it lacked`, '0', `${consumed}`);
    }
  }

  private book(
    row: JournalRow,
    { lot, advance, amount }: { lot: LotAccount; advance: LotAccount; amount: bigint },
  ): void {
    const due = this.due.shift();
    if (due?.lot !== lot || due.advance !== advance) {
      throw new Wrong('no such repayment was due (R9)', due?.advance.id, advance.id);
    }
    mustBe('it repays another amount than was due (R9)', amount, due.amount);
    mustBe('a repayment is about the lot that repays', row.subject, lot.id);
    mustHaveAct(row, `repay/${advance.id}`);
    lot.available -= amount;
    lot.consumed += amount;
    advance.consumed -= amount;
    advance.withdrawn += amount;
    listIn(this.repayments, advance.id).push({ lot, remaining: amount });
  }

  /** The latest first, before the refund that needs it. */
  private undo(
    row: JournalRow,
    { lot, advance, amount }: { lot: LotAccount; advance: LotAccount; amount: bigint },
  ): void {
    const { moves, subject, bookedAt } = row;
    mustHaveActLike(row, 'unrepay/');
    if (moves.length !== 4 || moves[0] !== 'c' || !moves.endsWith('wc')) {
      throw new Wrong('a repayment cannot move so', 'accw, cawc or cewc', moves);
    }
    const repayments = listIn(this.repayments, advance.id);
    const latest = repayments.at(-1);
    if (latest?.lot !== lot || latest.remaining < amount) {
      const expected = latest && `at most ${latest.remaining} of lot ${latest.lot.id}`;
      throw new Wrong('it undoes another repayment than the latest (R15)', expected, `${amount} of lot ${lot.id}`);
    }
    latest.remaining -= amount;
    if (latest.remaining === 0n) repayments.pop();
    lot.consumed -= amount;
    if (lot.consumed < 0n) throw new Wrong(`lot ${lot.id} has not that much consumed`, undefined, `${amount}`);
    giveBack(lot, amount, moves[1], bookedAt);
    advance.withdrawn -= amount;
    advance.consumed += amount;
    this.undone ??= { subject, advances: new Set() };
    mustBe('repayments are undone for two refunds at once', subject, this.undone.subject);
    this.undone.advances.add(advance);
  }
}

function listIn<T>(lists: Map<string, T[]>, key: string): T[] {
  let list = lists.get(key);
  if (!list) {
    list = [];
    lists.set(key, list);
  }
  return list;
}
