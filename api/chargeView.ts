/** A charge as the API shows it. */
import { disagreementsOfJobs } from '../db/attempts';
import type { Charge } from '../db/charges';
import type { Db } from '../db/client';
import type { Viewer } from '../db/people';
import { type Refund, refundsOf, remainingOf } from '../db/refunds';
import { formatCredits } from '../domain/credits';
import type { Disagreement } from '../domain/disagreement';
import { refundViews } from './refundView';

/** Charges in the order given, each with the refunds of it that a viewer may see. */
export async function chargeViews(db: Db, charges: readonly Charge[], viewer: Viewer) {
  const refunds = await refundsOf(db, charges);
  const flags = await disagreementsOfJobs(
    db,
    charges.map(({ jobId }) => jobId),
  );
  return Promise.all(
    charges.map((charge) =>
      viewOfCharge(db, charge, { refunds: refunds.get(charge.id) ?? [], flags: flags.get(charge.jobId) ?? [] }, viewer),
    ),
  );
}

export async function chargeView(db: Db, charge: Charge, viewer: Viewer) {
  const [view] = await chargeViews(db, [charge], viewer);
  if (!view) throw new Error(`charge ${charge.id} has no view`);
  return view;
}

/** The customer's people see what was given back; what is only asked for is the provider's business. */
export function maySeeRefund(viewer: Viewer, { status }: Refund): boolean {
  return viewer.everything || status === 'booked';
}

interface BesideCharge {
  readonly refunds: readonly Refund[];
  readonly flags: readonly (Disagreement & { readonly attempt: number })[];
}

async function viewOfCharge(db: Db, charge: Charge, { refunds, flags }: BesideCharge, viewer: Viewer) {
  const { dossier } = charge;
  const remaining = remainingOf(charge, refunds);
  const seen = refunds.filter((refund) => maySeeRefund(viewer, refund));
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
    refunded: formatCredits(remaining.refunded),
    netCharged: formatCredits(remaining.charged),
    netAbsorbed: formatCredits(remaining.absorbed),
    refunds: await refundViews(db, seen),
    flags: flags.map((one) => ({
      ...one,
      message: `In attempt ${one.attempt} ${one.counted} ${one.counter} were counted; the program states ${one.stated}.`,
    })),
    bookedAt: charge.bookedAt,
    recordedAt: charge.recordedAt,
    links: {
      self: `/v1/charges/${charge.id}`,
      dossier: `/v1/charges/${charge.id}/dossier`,
      refunds: `/v1/charges/${charge.id}/refunds`,
      job: `/v1/jobs/${charge.jobId}`,
    },
  };
}
