/** Refunds and corrections (R15): back to the lots of the charge, its draws walked backwards, never more than remains. */
import type { Closing, LotAccount, PoolAccount, Slice } from './accounts';
import type { Advances } from './advances';
import { mustBe, Wrong } from './findings';
import { type Jobs, mustBeOf } from './jobs';
import { type JournalRow, mustHaveAct } from './journalRow';
import type { RefundRequests } from './refundRequests';
import { giveBack, least, mustBePositive } from './rules';

/** Books a refund or a correction. @throws Wrong */
export function refund(
  row: JournalRow,
  { jobs, advances, requests }: { jobs: Jobs; advances: Advances; requests: RefundRequests },
): PoolAccount {
  const { kind, refersTo, amounts, count } = row;
  const job = jobs.refundable.get(refersTo ?? '');
  const closing = job?.closing;
  if (!job || closing?.state !== 'settled') {
    throw new Wrong('the job that it refers to is not settled', 'a settled job', String(refersTo));
  }
  mustHaveAct(row, kind);
  mustBeOf(job, row);
  let given = 0n;
  for (let index = 0; index < count; index += 1) given += mustBePositive(amounts[index]);
  const remains = closing.captured.reduce((sum, { amount }) => sum + amount, -closing.refunded);
  if (given > remains) {
    throw new Wrong('more is given back than remains of the charge', `at most ${remains}`, `${given}`);
  }
  if (kind === 'correct') unwind(closing, row.absorbed, given);
  else if (given === 0n) throw new Wrong('it refunds nothing');
  giveBackSlices(walkedBackwards(closing, given), row);
  closing.refunded += given;
  for (const counter of job.budgets) counter.refund(given);
  advances.noteRefund(row.subject);
  requests.check(row, closing, given);
  return job.home;
}

/** A correction unwinds what the provider bore before it gives anything back. */
function unwind(closing: Closing, absorbed: bigint | null, given: bigint): void {
  if (absorbed !== null && absorbed >= 0n) {
    throw new Wrong('a correction unwinds what was absorbed', 'less than 0', `${absorbed}`);
  }
  const unwound = -(absorbed ?? 0n);
  closing.unwound += unwound;
  const left = closing.absorbed - closing.unwound;
  if (left < 0n) throw new Wrong('more is unwound than was absorbed', `at most ${left + unwound}`, `${unwound}`);
  if (given > 0n && left > 0n) throw new Wrong('it gives something back while something is absorbed', '0', `${left}`);
  if (given === 0n && unwound === 0n) throw new Wrong('it corrects nothing');
}

/** The captured slices from the last one back, without what earlier refunds gave back already. */
function walkedBackwards({ captured, refunded }: Closing, amount: bigint): Slice[] {
  const slices: Slice[] = [];
  let skip = refunded;
  let left = amount;
  for (const slice of captured.toReversed()) {
    const skipped = least(skip, slice.amount);
    skip -= skipped;
    const taken = least(slice.amount - skipped, left);
    left -= taken;
    if (taken > 0n) slices.push({ lot: slice.lot, amount: taken });
  }
  return slices;
}

function giveBackSlices(expected: readonly Slice[], { moves, lots, amounts, count, bookedAt }: JournalRow): void {
  const what = 'it does not walk the captured draws backwards';
  if (count !== expected.length) throw new Wrong(what, `${expected.length} slices`, `${count}`);
  for (const [index, { lot, amount }] of expected.entries()) {
    mustBe(what, (lots[index] as LotAccount).id, lot.id);
    mustBe(what, amounts[index] ?? null, amount);
    mustBe('it takes what was not consumed', moves[2 * index] ?? null, 'c');
    lot.consumed -= amount;
    if (lot.consumed < 0n) {
      throw new Wrong(`lot ${lot.id} has not that much consumed`, `at most ${lot.consumed + amount}`, `${amount}`);
    }
    giveBack(lot, amount, moves[2 * index + 1], bookedAt);
  }
}
