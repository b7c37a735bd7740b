/** Charges: what finance audits. */
import type { Dossier } from '../domain/charge';
import type { Credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { JobEnd } from '../domain/rateCard';
import type { RecordedJob } from '../domain/replay';
import { type Db, firstRow, rows } from './client';
import { visible, visibleBindings } from './jobs';
import type { Viewer } from './people';

export interface Charge {
  readonly id: string;
  readonly jobId: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly service: string;
  readonly rateCardVersion: number;
  readonly jobEnd: JobEnd;
  readonly rated: Credits;
  readonly charged: Credits;
  readonly absorbed: Credits;
  readonly maxCredits: Credits;
  readonly dossier: Dossier;
  readonly bookedAt: Instant;
  readonly recordedAt: Instant;
}

/** A charge before it is written. */
export type ChargeRow = Omit<Charge, 'recordedAt'>;

const CHARGES = `select id, job_id as "jobId", user_id as "userId", contract_id as "contractId", service,
    rate_card_version as "rateCardVersion", job_end as "jobEnd", rated, charged, absorbed, max_credits as "maxCredits",
    dossier, booked_at as "bookedAt", recorded_at as "recordedAt"
  from charges`;

export function findVisibleCharge(db: Db, viewer: Viewer, id: string): Promise<Charge | undefined> {
  return firstRow<Charge>(db, `${CHARGES} where id = ? and ${visible(viewer)}`, [id, ...visibleBindings(viewer)]);
}

export function findChargeOfJob(db: Db, jobId: string): Promise<Charge | undefined> {
  return firstRow<Charge>(db, `${CHARGES} where job_id = ?`, [jobId]);
}

/** Newest first, before a charge's id, at most `limit`. */
export function listVisibleCharges(
  db: Db,
  viewer: Viewer,
  page: { before: string | null; limit: number },
): Promise<Charge[]> {
  return rows<Charge>(
    db,
    `${CHARGES} where ${visible(viewer)} and (?::uuid is null or id < ?::uuid) order by id desc limit ?`,
    [...visibleBindings(viewer), page.before, page.before, page.limit],
  );
}

const RECORDED_PAGE = 500;

/** What charges booked in [from, to) recorded of their jobs, in the order of their booking, a page at a time. */
export async function* recordedJobs(db: Db, { from, to }: { from: Instant; to: Instant }): AsyncGenerator<RecordedJob> {
  let after: { bookedAt: Instant; chargeId: string } | undefined;
  for (;;) {
    const page: (RecordedJob & { readonly bookedAt: Instant })[] = await rows(
      db,
      `select id as "chargeId", job_id as "jobId", service, job_end as "end", charged, absorbed, booked_at as "bookedAt",
         dossier->'terms'->'dimensions' as dimensions, dossier->'usage' as usage
       from charges
       where booked_at < ? and (booked_at, id) > (?::timestamptz, ?::uuid)
       order by booked_at, id
       limit ?`,
      [to, after?.bookedAt ?? from, after?.chargeId ?? BEFORE_ALL, RECORDED_PAGE],
    );
    yield* page;
    after = page.at(-1);
    if (page.length < RECORDED_PAGE) return;
  }
}

/** No charge has this id, and every one comes after it. */
const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';
