/** A refund as the API shows it. */
import { describeDraws } from '../db/billing';
import type { Db } from '../db/client';
import type { Refund } from '../db/refunds';
import { type Credits, formatCredits } from '../domain/credits';

/** Refunds in the order given. */
export async function refundViews(db: Db, refunds: readonly Refund[]) {
  return Promise.all(
    refunds.map(async (refund) => {
      const transfers = refund.booked?.transfers ?? [];
      const draws = await describeDraws(db, transfers);
      return viewOfRefund(
        refund,
        draws.map((draw, index) => ({ ...draw, to: transfers[index]?.to ?? '' })),
      );
    }),
  );
}

function viewOfRefund(
  refund: Refund,
  returned: readonly { lotId: string; kind: string; amount: string; to: string }[],
) {
  const { asked, booked, decision } = refund;
  return {
    id: refund.id,
    chargeId: refund.chargeId,
    jobId: refund.jobId,
    status: refund.status,
    amount: formatOrNull('amount' in asked ? asked.amount : undefined),
    actual: formatOrNull('actual' in asked ? asked.actual : undefined),
    reason: refund.reason,
    requestedBy: refund.requestedBy,
    requestedAt: refund.requestedAt,
    needsApproval: refund.needsApproval,
    decidedBy: decision?.by ?? null,
    decidedAt: decision?.at ?? null,
    decisionReason: decision?.reason ?? null,
    refunded: formatOrNull(booked?.refunded),
    unwound: formatOrNull(booked?.unwound),
    returned,
    bookedAt: booked?.bookedAt ?? null,
    recordedAt: booked?.recordedAt ?? null,
    links: {
      self: `/v1/refunds/${refund.id}`,
      charge: `/v1/charges/${refund.chargeId}`,
      job: `/v1/jobs/${refund.jobId}`,
    },
  };
}

function formatOrNull(amount: Credits | undefined): string | null {
  return amount === undefined ? null : formatCredits(amount);
}
