/**
 * Refunds and corrections (R15): what was given back of charges, what waits for a second person, and who decided. A refund
 * that was made is an operation of the ledger; only what waits is a row of its own.
 */
import { type Credits, credits, formatCredits, maxCredits, sayCredits, sumOf, ZERO } from '../domain/credits';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Accepted, amountMoved, type RefundingOperation, type Transfer } from '../domain/operations';
import type { Charge } from './charges';
import { type Db, firstRow, inTransaction, rows, SQLSTATE, sqlStateOf, type Trx } from './client';
import type { NewJobEvent } from './jobs';
import type { Companion, Ledger } from './ledger';
import { transfersOf } from './ledger/journal';

export const REFUND_STATUSES = ['waiting', 'booked', 'rejected'] as const;
export type RefundStatus = (typeof REFUND_STATUSES)[number];

/** Either an amount to give back, or what the charge should have been (a correction). */
export type RefundAsked = { readonly amount: Credits } | { readonly actual: Credits };

export interface Refund {
  readonly id: string;
  readonly chargeId: string;
  readonly jobId: string;
  readonly asked: RefundAsked;
  readonly reason: string;
  readonly requestedBy: string;
  readonly requestedAt: Instant;
  readonly status: RefundStatus;
  /** Whether it took a second person, and what that person decided. */
  readonly needsApproval: boolean;
  readonly decision: { readonly by: string; readonly at: Instant; readonly reason: string | null } | null;
  /** What was given back, with the lots it went to and how much less the provider bears; null until it is booked. */
  readonly booked: BookedRefund | null;
}

export interface BookedRefund {
  readonly refunded: Credits;
  readonly unwound: Credits;
  readonly transfers: readonly Transfer[];
  readonly bookedAt: Instant;
  readonly recordedAt: Instant;
}

/** What remains of a charge after its refunds and corrections. */
export interface Remaining {
  readonly refunded: Credits;
  readonly charged: Credits;
  readonly absorbed: Credits;
}

type Refunded = Pick<Charge, 'id' | 'jobId' | 'charged' | 'absorbed'>;

/** The refunds of charges, by charge, in the order in which they were asked for. */
export async function refundsOf(
  db: Db | Trx,
  charges: readonly Refunded[],
): Promise<ReadonlyMap<string, readonly Refund[]>> {
  const jobIds = charges.map(({ jobId }) => jobId);
  const operations = await rows<OperationRow>(
    db,
    `select o.subject as id, o.kind, o.refers_to as "jobId", o.actor, o.reason, o.moves, o.lot_ids as "lotIds", o.amounts,
       o.absorbed, o.booked_at as "bookedAt", b.recorded_at as "recordedAt"
     from operations o
     join batches b on b.id = o.batch_id
     where o.refers_to = any(?::uuid[]) and o.kind in ('refund', 'correct')
     order by o.batch_id, o.position`,
    [jobIds],
  );
  const requests = await rows<RequestRow>(db, `${REQUESTS} where r.job_id = any(?::uuid[])`, [jobIds]);
  return new Map(charges.map((charge) => [charge.id, refundsOfCharge(charge, operations, requests)]));
}

/** A refund by its id, with the charge that it is of. */
export async function findRefund(db: Db, id: string): Promise<Refund | undefined> {
  const charge = await firstRow<Refunded>(
    db,
    `select id, job_id as "jobId", charged, absorbed
     from charges
     where job_id = (
       select job_id from refund_requests where id = ?
       union
       select refers_to from operations where subject = ? and kind in ('refund', 'correct')
     )`,
    [id, id],
  );
  if (!charge) return undefined;
  return (await refundsOf(db, [charge])).get(charge.id)?.find((refund) => refund.id === id);
}

/** Refunds that took or take a second person, newest first, before an id, at most `limit`. */
export async function listRequestedRefunds(
  db: Db,
  page: { readonly status: RefundStatus | null; readonly before: string | null; readonly limit: number },
): Promise<Refund[]> {
  const found = await rows<{ requestId: string } & Refunded>(
    db,
    `select r.id as "requestId", c.id, c.job_id as "jobId", c.charged, c.absorbed
     from refund_requests r
     join charges c on c.id = r.charge_id
     cross join lateral (
       select case
         when exists (select from refund_rejections j where j.request_id = r.id) then 'rejected'
         when exists (select from operations o where o.subject = r.id) then 'booked'
         else 'waiting'
       end as status
     ) as s
     where (?::text is null or s.status = ?::text) and (?::uuid is null or r.id < ?::uuid)
     order by r.id desc
     limit ?`,
    [page.status, page.status, page.before, page.before, page.limit],
  );
  const refunds = await refundsOf(db, [...new Map(found.map((charge) => [charge.id, charge])).values()]);
  return found.flatMap(({ id, requestId }) => refunds.get(id)?.find((refund) => refund.id === requestId) ?? []);
}

/** What remains of a charge. */
export function remainingOf(charge: Pick<Charge, 'charged' | 'absorbed'>, refunds: readonly Refund[]): Remaining {
  const booked = refunds.flatMap((refund) => refund.booked ?? []);
  const refunded = sumOf(booked, (one) => one.refunded);
  return {
    refunded,
    charged: credits(charge.charged - refunded),
    absorbed: credits(charge.absorbed - sumOf(booked, (one) => one.unwound)),
  };
}

interface Ask {
  readonly id: string;
  readonly charge: Charge;
  readonly asked: RefundAsked;
  readonly reason: string;
  readonly by: string;
  readonly at: Instant;
  /** What may be given back of a charge, in all, without a second person. */
  readonly approvalAbove: Credits;
}

/** Any number of its own: who refunds a charge waits for whoever else does. */
const REFUNDING = 4_721_003;

/**
 * Refunds or corrects a charge, or writes down that it waits for a second person: as soon as that much and what was given
 * back of the charge without one is above the set amount, so that nobody gets around it in small steps. Once per id.
 *
 * @throws BillingError `refund_exceeds_charge`, `idempotency_key_reused`.
 */
export async function askForRefund(ledger: Ledger, ask: Ask): Promise<void> {
  await inTransaction(ledger.db, async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?, hashtext(?))', [REFUNDING, ask.charge.id]);
    const refunds = (await refundsOf(trx, [ask.charge])).get(ask.charge.id) ?? [];
    const before = refunds.find(({ id }) => id === ask.id);
    if (before?.needsApproval) return;
    if (!before && waitsForApproval(ask, refunds)) return insertRequest(trx, ask);
    await book(ledger, { ...ask, jobId: ask.charge.jobId });
  });
}

function waitsForApproval({ charge, asked, approvalAbove }: Ask, refunds: readonly Refund[]): boolean {
  const { charged } = remainingOf(charge, refunds);
  const wanted = 'amount' in asked ? asked.amount : maxCredits(ZERO, credits(charged - asked.actual));
  // More than there is waits for nobody: the ledger refuses it at once.
  if (wanted === ZERO || wanted > charged) return false;
  const alone = remainingOf(
    charge,
    refunds.filter(({ needsApproval }) => !needsApproval),
  ).refunded;
  return alone + wanted > approvalAbove;
}

async function insertRequest(trx: Trx, { id, charge, asked, reason, by, at }: Ask): Promise<void> {
  await trx.raw(
    `insert into refund_requests (id, charge_id, job_id, amount, actual, reason, requested_by, requested_at)
     values (?, ?, ?, ?::bigint, ?::bigint, ?, ?, ?)`,
    [
      id,
      charge.id,
      charge.jobId,
      'amount' in asked ? asked.amount.toString() : null,
      'actual' in asked ? asked.actual.toString() : null,
      reason,
      by,
      at,
    ] as never,
  );
}

interface Decision {
  readonly refund: Refund;
  readonly by: string;
  readonly at: Instant;
  /** Whether the same decision may have been made under the same key already. */
  readonly isRepeat: boolean;
}

/**
 * Approves a refund that waits, and books it at the instant of the approval. Safe to repeat.
 *
 * @throws BillingError `forbidden` to whoever asked for it, `refund_decided`, `refund_exceeds_charge` when too much was
 * given back meanwhile: it goes on waiting then.
 */
export async function approveRefund(
  ledger: Ledger,
  { refund, by, at, isRepeat }: Decision,
  charge: Pick<Charge, 'userId' | 'contractId'>,
): Promise<void> {
  const { id, jobId, asked, reason } = refund;
  if (isRepeat && refund.status === 'booked' && refund.decision?.by === by) return;
  mustBeUndecided(refund, by);
  await explainingDecisions(() => book(ledger, { id, jobId, charge, asked, reason, by, at }));
}

/**
 * Rejects a refund that waits: nothing is given back. Safe to repeat.
 *
 * @throws BillingError `forbidden` to whoever asked for it, `refund_decided`.
 */
export async function rejectRefund(db: Db, { refund, by, at, isRepeat }: Decision, reason: string): Promise<void> {
  if (isRepeat && refund.status === 'rejected' && refund.decision?.by === by) return;
  mustBeUndecided(refund, by);
  await explainingDecisions(async () => {
    await db.raw('insert into refund_rejections (request_id, reason, rejected_by, rejected_at) values (?, ?, ?, ?)', [
      refund.id,
      reason,
      by,
      at,
    ]);
  });
}

function mustBeUndecided({ requestedBy, status }: Refund, by: string): void {
  if (status !== 'waiting') throw new BillingError('refund_decided', `The refund is ${status} already.`);
  if (requestedBy === by) throw secondPersonNeeded();
}

/** Two decisions at once are told apart by the database alone. */
async function explainingDecisions(decide: () => Promise<void>): Promise<void> {
  try {
    await decide();
  } catch (error) {
    const state = sqlStateOf(error);
    if (state === SECOND_PERSON) throw secondPersonNeeded();
    const isDecided =
      state === DECIDED ||
      state === SQLSTATE.uniqueViolation ||
      // The operation is in the journal, with another approver.
      (error instanceof BillingError && error.code === 'idempotency_key_reused');
    if (!isDecided) throw error;
    throw new BillingError('refund_decided', 'Somebody else decided the refund first.', {}, { cause: error });
  }
}

/** As the trigger `decide_once` raises them. */
const SECOND_PERSON = 'HF006';
const DECIDED = 'HF007';

function secondPersonNeeded(): BillingError {
  return new BillingError(
    'forbidden',
    'A refund above the set amount is decided by a second person; you asked for it.',
  );
}

interface Booking {
  readonly id: string;
  readonly jobId: string;
  readonly charge: Pick<Charge, 'userId' | 'contractId'>;
  readonly asked: RefundAsked;
  readonly reason: string;
  readonly by: string;
  readonly at: Instant;
}

async function book(ledger: Ledger, booking: Booking): Promise<void> {
  const outcome = await ledger.apply(operationOf(booking), tellingTheJob(booking));
  if (!outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
}

function operationOf({ id, jobId, charge, asked, reason, by, at }: Booking): RefundingOperation {
  const common = {
    refundId: id,
    jobId,
    userId: charge.userId,
    contractId: charge.contractId,
    at,
    actor: by,
    reason,
  };
  return 'amount' in asked
    ? { ...common, kind: 'refund', act: 'refund', amount: asked.amount }
    : { ...common, kind: 'correct', act: 'correct', actual: asked.actual };
}

function tellingTheJob({ id, jobId, reason, at }: Booking): Companion {
  return {
    jobId,
    from: ['settled'],
    write: (outcome) =>
      outcome.accepted && !outcome.replayed ? { events: [refundedEvent(outcome, { id, reason, at })] } : undefined,
  };
}

function refundedEvent(
  { transfers, absorbed }: Accepted,
  { id, reason, at }: { id: string; reason: string; at: Instant },
): NewJobEvent {
  const refunded = amountMoved(transfers, { from: 'consumed' });
  const unwound = credits(-absorbed);
  const parts = [
    ...(refunded > ZERO || unwound === ZERO ? [`Given back: ${sayCredits(refunded)}.`] : []),
    ...(unwound > ZERO ? [`The provider bears ${sayCredits(unwound)} less.`] : []),
    reason,
  ];
  return {
    kind: 'refunded',
    message: parts.join(' '),
    data: { refundId: id, refunded: formatCredits(refunded), unwound: formatCredits(unwound) },
    at,
  };
}

interface OperationRow {
  readonly id: string;
  readonly kind: 'refund' | 'correct';
  readonly jobId: string;
  readonly actor: string;
  readonly reason: string;
  readonly moves: string;
  readonly lotIds: readonly string[];
  readonly amounts: readonly bigint[];
  readonly absorbed: bigint | null;
  readonly bookedAt: Instant;
  readonly recordedAt: Instant;
}

const REQUESTS = `select r.id, r.job_id as "jobId", r.amount, r.actual, r.reason, r.requested_by as "requestedBy",
    r.requested_at as "requestedAt", j.reason as "rejectionReason", j.rejected_by as "rejectedBy",
    j.rejected_at as "rejectedAt"
  from refund_requests r
  left join refund_rejections j on j.request_id = r.id`;

interface RequestRow {
  readonly id: string;
  readonly jobId: string;
  readonly amount: Credits | null;
  readonly actual: Credits | null;
  readonly reason: string;
  readonly requestedBy: string;
  readonly requestedAt: Instant;
  readonly rejectionReason: string | null;
  readonly rejectedBy: string | null;
  readonly rejectedAt: Instant | null;
}

function refundsOfCharge(
  charge: Refunded,
  operations: readonly OperationRow[],
  requests: readonly RequestRow[],
): Refund[] {
  const waiting = new Map(requests.filter(({ jobId }) => jobId === charge.jobId).map((row) => [row.id, row]));
  const found: Refund[] = [];
  // The actual that each correction brought the charge to follows from what was booked up to it.
  let standing = credits(charge.charged + charge.absorbed);
  for (const row of operations.filter(({ jobId }) => jobId === charge.jobId)) {
    const refund = bookedRefund(charge, row, { request: waiting.get(row.id), standing });
    standing = credits(standing - (refund.booked?.refunded ?? ZERO) - (refund.booked?.unwound ?? ZERO));
    waiting.delete(row.id);
    found.push(refund);
  }
  for (const request of waiting.values()) found.push(undoneRefund(charge, request));
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function bookedRefund(
  charge: Refunded,
  row: OperationRow,
  { request, standing }: { request: RequestRow | undefined; standing: Credits },
): Refund {
  const transfers = transfersOf(row);
  const refunded = amountMoved(transfers, { from: 'consumed' });
  const unwound = credits(-(row.absorbed ?? 0n));
  return {
    id: row.id,
    chargeId: charge.id,
    jobId: charge.jobId,
    asked: row.kind === 'refund' ? { amount: refunded } : { actual: credits(standing - refunded - unwound) },
    reason: row.reason,
    requestedBy: request?.requestedBy ?? row.actor,
    requestedAt: request?.requestedAt ?? row.bookedAt,
    status: 'booked',
    needsApproval: request !== undefined,
    decision: request ? { by: row.actor, at: row.bookedAt, reason: null } : null,
    booked: { refunded, unwound, transfers, bookedAt: row.bookedAt, recordedAt: row.recordedAt },
  };
}

function undoneRefund(charge: Refunded, request: RequestRow): Refund {
  const { id, amount, actual, reason, requestedBy, requestedAt, rejectedBy, rejectedAt, rejectionReason } = request;
  return {
    id,
    chargeId: charge.id,
    jobId: charge.jobId,
    asked: amount !== null ? { amount } : { actual: actual ?? ZERO },
    reason,
    requestedBy,
    requestedAt,
    status: rejectedBy === null ? 'waiting' : 'rejected',
    needsApproval: true,
    decision:
      rejectedBy !== null && rejectedAt !== null ? { by: rejectedBy, at: rejectedAt, reason: rejectionReason } : null,
    booked: null,
  };
}
