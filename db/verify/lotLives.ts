/** What happens to a lot in its life: granted once and in full, given other lives, ended once (R3, R4, R7, R9). */
import type { LotAccount, PoolAccount } from './accounts';
import type { Advances } from './advances';
import { mustBe, Wrong } from './findings';
import { type JournalRow, mustHaveAct, mustHaveActLike, mustHaveMovedNothing } from './journalRow';
import { mustBePositive } from './rules';

/** @throws Wrong */
export function grantLot(row: JournalRow, lots: ReadonlyMap<string, LotAccount>, advances: Advances): PoolAccount {
  const lot = lots.get(row.subject);
  mustHaveAct(row, 'grant');
  mustBe('a grant moves one lot', row.moves, 'ga');
  if (!lot || row.lots[0] !== lot) throw new Wrong('it grants another lot', row.subject, row.lots[0]?.id);
  if (lot.isGranted) throw new Wrong('the lot was granted before');
  mustBe('the lot is not granted in full', mustBePositive(row.amounts[0]), lot.granted);
  mustBe('a lot begins without a withdrawal', row.withdrawnAt, null);
  live(lot, row);
  lot.isGranted = true;
  lot.available = lot.granted;
  // What is dead when it is granted, as something imported can be, repays nothing.
  if (lot.kind === 'shared' && lot.expiresAt !== null && row.bookedAt < lot.expiresAt) advances.expectRepaymentsBy(lot);
  return lot.pool;
}

/** Books the end of a lot's life: nothing is available afterwards. @throws Wrong */
export function endLot(row: JournalRow, lots: ReadonlyMap<string, LotAccount>): PoolAccount {
  const lot = livingLot(row, lots);
  const { kind, moves, bookedAt } = row;
  mustHaveAct(row, kind);
  const [end, endedAs] =
    kind === 'withdraw' ? [lot.withdrawnAt, 'withdrawn' as const] : [lot.expiresAt, 'expired' as const];
  if ((kind === 'withdraw') !== (lot.kind === 'individual')) {
    throw new Wrong('a lot of this kind does not end so (R3, R4)', lot.kind, kind);
  }
  if (end === null || end > bookedAt) throw new Wrong('the end is booked before it came', String(end), bookedAt);
  const { available } = lot;
  mustBe('it does not move what is available', moves, available === 0n ? '' : `a${endedAs.charAt(0)}`);
  if (available > 0n) {
    if (row.lots[0] !== lot) throw new Wrong('it moves another lot', lot.id, row.lots[0]?.id);
    mustBe('it does not move all that is available', row.amounts[0] ?? null, available);
  }
  lot.available = 0n;
  lot[endedAs] += available;
  lot.endedAs = endedAs;
  return lot.pool;
}

/** @throws Wrong */
export function changeLife(row: JournalRow, lots: ReadonlyMap<string, LotAccount>): PoolAccount {
  const lot = livingLot(row, lots);
  mustHaveActLike(row, 'changeLife/');
  mustHaveMovedNothing(row);
  if (lot.withdrawnAt !== null && lot.withdrawnAt <= row.bookedAt) {
    throw new Wrong('the lot was withdrawn by then (R4)', `before ${lot.withdrawnAt}`, row.bookedAt);
  }
  live(lot, row);
  return lot.pool;
}

/** A lot that was granted and whose end is not booked. */
function livingLot({ subject }: JournalRow, lots: ReadonlyMap<string, LotAccount>): LotAccount {
  const lot = lots.get(subject);
  if (!lot?.isGranted) throw new Wrong('the lot was not granted', 'a granted lot', subject);
  if (lot.endedAs !== null) throw new Wrong('the lot’s end was booked before', 'no end', lot.endedAs);
  return lot;
}

/** Gives a lot the life that an operation says. Individual lots never expire and alone are withdrawn. */
function live(lot: LotAccount, { effectiveAt, expiresAt, withdrawnAt, graceUntil }: JournalRow): void {
  if ((lot.kind === 'individual') !== (expiresAt === null)) {
    throw new Wrong('the life does not fit the lot’s kind (R3, R4)', lot.kind, `expires_at ${expiresAt}`);
  }
  if (withdrawnAt !== null && lot.kind !== 'individual') {
    throw new Wrong('a lot of this kind is not withdrawn (R4)', lot.kind, `withdrawn_at ${withdrawnAt}`);
  }
  if (effectiveAt === null || (expiresAt !== null && expiresAt <= effectiveAt)) {
    throw new Wrong('the life is empty (R7)', `after ${effectiveAt}`, String(expiresAt));
  }
  if (graceUntil !== null && lot.kind !== 'shared') {
    throw new Wrong('a lot of this kind has no grace (R3)', lot.kind, `grace_until ${graceUntil}`);
  }
  if (graceUntil !== null && expiresAt !== null && graceUntil <= expiresAt) {
    throw new Wrong('the grace is empty (R3)', `after ${expiresAt}`, graceUntil);
  }
  lot.effectiveAt = effectiveAt;
  lot.expiresAt = expiresAt;
  lot.withdrawnAt = withdrawnAt;
  lot.graceUntil = graceUntil;
}
