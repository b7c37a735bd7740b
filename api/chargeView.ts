/** A charge as the API shows it. */
import type { Charge } from '../db/charges';
import { formatCredits } from '../domain/credits';

export function chargeView(charge: Charge) {
  const { dossier } = charge;
  return {
    id: charge.id,
    jobId: charge.jobId,
    service: charge.service,
    userId: charge.userId,
    contractId: charge.contractId,
    rateCardVersion: charge.rateCardVersion,
    end: charge.jobEnd,
    lines: dossier.rating.lines,
    exact: dossier.rating.exact,
    rounding: dossier.rating.rounding,
    rated: formatCredits(charge.rated),
    charged: formatCredits(charge.charged),
    absorbed: formatCredits(charge.absorbed),
    maxCredits: formatCredits(charge.maxCredits),
    draws: dossier.draws,
    returned: dossier.returned,
    bookedAt: charge.bookedAt,
    recordedAt: charge.recordedAt,
    links: {
      self: `/v1/charges/${charge.id}`,
      dossier: `/v1/charges/${charge.id}/dossier`,
      job: `/v1/jobs/${charge.jobId}`,
    },
  };
}
