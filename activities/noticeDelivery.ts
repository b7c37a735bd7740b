/** The port to notices: what withdrawals ask of whoever tells people something. */
import type { Instant } from '../domain/instant';

/** A lot as a notice names it. Amounts are decimal strings of credits. */
interface LotFacts {
  readonly lotId: string;
  readonly reference: string | null;
  readonly amount: string;
}

export interface WithdrawalFacts {
  readonly lots: readonly LotFacts[];
  readonly total: string;
  /** What running jobs hold of these lots, and keep (R8). */
  readonly reserved: string;
  readonly reason: string;
}

export type WithdrawalNotice =
  | { readonly kind: 'withdrawal'; readonly facts: WithdrawalFacts }
  | {
      readonly kind: 'withdrawal-reminder';
      readonly facts: WithdrawalFacts & { readonly withdrawnAt: Instant; readonly daysLeft: number };
    }
  | {
      readonly kind: 'withdrawal-rescinded' | 'withdrawal-final';
      readonly facts: WithdrawalFacts & { readonly withdrawnAt: Instant };
    };

export type Delivery =
  | { readonly outcome: 'delivered'; readonly channel: string; readonly at: Instant }
  | { readonly outcome: 'deferred'; readonly retryAt: Instant }
  | { readonly outcome: 'undeliverable'; readonly reason: string };

export interface NoticeDelivery {
  /** Makes a notice, once per id. */
  create(
    notice: WithdrawalNotice & {
      readonly id: string;
      readonly userId: string;
      /** The withdrawal. */
      readonly subjectId: string;
      /** Told whatever the user prefers. */
      readonly required: boolean;
      readonly at: Instant;
    },
  ): Promise<void>;
  /**
   * Tries the next channel of a notice. One that is delivered answers as it was; one that came back is tried on the channel
   * after the one that it came back from.
   */
  deliver(noticeId: string, at: Instant): Promise<Delivery>;
}
