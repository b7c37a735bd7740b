/** What the job workflow calls for its billing: thin, idempotent by key, amounts as decimal strings. */
import { closeJob, raiseJobCap, reserveJob, topUpJob } from '../db/billing';
import type { Ledger } from '../db/ledger';
import type { DossierDraw } from '../domain/charge';
import { formatCredits, parseCredits } from '../domain/credits';
import { BillingError, REFUSALS } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Closing, Rejection } from '../domain/job';
import type { JobEnd } from '../domain/rateCard';

/** What a reservation holds, and of which lots. */
export interface Held {
  readonly reserved: string;
  readonly draws: readonly DossierDraw[];
}

export interface JobActivities {
  /** Reserves what the job is expected to cost or rejects it; the same answer ever after (R6, R11). */
  reserve(input: { jobId: string; at: Instant }): Promise<Held | { rejected: Rejection }>;
  /** Brings the reservation up to a target, never past the not-to-exceed amount. */
  topUp(input: {
    jobId: string;
    ordinal: number;
    target: string;
    at: Instant;
  }): Promise<Held & { maxCredits: string; refused: Rejection | null }>;
  /** Records the submitter's consent to a higher not-to-exceed amount (R11). */
  raiseCap(input: {
    jobId: string;
    requestId: string;
    maxCredits: string;
    actor: string;
    at: Instant;
  }): Promise<{ refused: Rejection | null }>;
  /** Settles or releases, by how the job ended (R8, R10, R14). */
  close(input: { jobId: string; end: JobEnd; message: string; at: Instant }): Promise<Closing>;
}

export function createJobActivities({ ledger }: { ledger: Ledger }): JobActivities {
  return {
    async reserve(input) {
      const result = await reserveJob(ledger, input);
      return 'rejected' in result ? result : { reserved: formatCredits(result.reserved), draws: result.draws };
    },
    async topUp({ target, ...input }) {
      const result = await topUpJob(ledger, { ...input, target: parseCredits(target) });
      return {
        reserved: formatCredits(result.reserved),
        draws: result.draws,
        maxCredits: formatCredits(result.cap),
        refused: result.refused && rejectionOf(result.refused),
      };
    },
    async raiseCap({ maxCredits, ...input }) {
      try {
        await raiseJobCap(ledger, { ...input, cap: parseCredits(maxCredits) });
        return { refused: null };
      } catch (error) {
        // What may succeed later, such as what an overloaded ledger did not take, is tried again and is no refusal.
        if (!(error instanceof BillingError) || REFUSALS[error.code].retry) throw error;
        return {
          refused: { code: error.code, message: error.message, details: error.details as Rejection['details'] },
        };
      }
    },
    close: (input) => closeJob(ledger, input),
  };
}

function rejectionOf({ code, message, details }: Rejection): Rejection {
  return { code, message, details };
}
