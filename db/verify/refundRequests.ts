/** Refunds that took a second person (R15): what was asked for is what was booked, and by somebody else. */
import type { Closing } from './accounts';
import { amountOf, NULL, nullableTextOf, textOf } from './fields';
import { mustBe, Wrong } from './findings';
import type { JournalRow } from './journalRow';

interface RefundRequest {
  readonly chargeId: string;
  readonly jobId: string;
  readonly amount: bigint | null;
  readonly actual: bigint | null;
  readonly reason: string | null;
  readonly requestedBy: string;
}

export class RefundRequests {
  private readonly byId = new Map<string, RefundRequest>();
  private readonly rejected = new Set<string>();

  /** A row of `refund_requests`. @throws Wrong when there is such a row already. */
  add(fields: readonly string[]): void {
    const [, id = '', chargeId = '', jobId = '', amount = NULL, actual = NULL, reason = NULL, requestedBy = ''] =
      fields;
    if (this.byId.has(id)) throw new Wrong('it stands there twice');
    this.byId.set(id, {
      chargeId,
      jobId,
      amount: amount === NULL ? null : amountOf(amount),
      actual: actual === NULL ? null : amountOf(actual),
      reason: nullableTextOf(reason),
      requestedBy: textOf(requestedBy),
    });
  }

  /** A row of `refund_rejections`. @throws Wrong when there is no such request. */
  addRejection([, requestId = '']: readonly string[]): void {
    if (!this.byId.has(requestId))
      throw new Wrong('the request that it rejects does not exist', 'a request', requestId);
    if (this.rejected.has(requestId)) throw new Wrong('it stands there twice');
    this.rejected.add(requestId);
  }

  /**
   * Compares a refund or correction that was just booked with what was asked for. Most were made without a request.
   *
   * @throws Wrong
   */
  check(row: JournalRow, closing: Closing, given: bigint): void {
    const request = this.byId.get(row.subject);
    if (!request) return;
    if (this.rejected.has(row.subject)) throw new Wrong('the refund was rejected');
    mustBe('the refund was asked for another job', row.refersTo, request.jobId);
    if (closing.chargeId !== null)
      mustBe('the refund was asked for another charge', closing.chargeId, request.chargeId);
    mustBe('the refund was asked for with another reason', row.reason(), request.reason);
    if (row.actor() === request.requestedBy)
      throw new Wrong('the refund takes a second person (R15)', undefined, row.actor());
    if (row.kind === 'refund') {
      mustBe('another amount was asked for', given, request.amount);
      return;
    }
    const charged = closing.captured.reduce((sum, { amount }) => sum + amount, -closing.refunded);
    mustBe('another actual was asked for', charged + closing.absorbed - closing.unwound, request.actual);
  }
}
