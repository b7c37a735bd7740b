/** A job's billing: each act moves credits and the job's row in one transaction, and is safe to repeat. */
import { v7 as uuidv7 } from 'uuid';
import { heldBy } from '../domain/batch';
import { type Assessment, assess, type Dossier, type DossierDraw, drawn, recomputeDossier } from '../domain/charge';
import { type Credits, formatCredits, parseCredits, sayCredits } from '../domain/credits';
import type { Draw } from '../domain/drawdown';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Closing, isTerminal, type ParkedFor, type Rejection } from '../domain/job';
import { amountMoved, drawsInto, type Outcome, type Refused, type Transfer } from '../domain/operations';
import type { JobEnd } from '../domain/rateCard';
import { loseOpenAttempts, type MeteredUsage, usageOfJob } from './attempts';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { addJobEvent, findJob, getJob, type Job, moveJob } from './jobs';
import { applyBatch, operationsOfJob, reservationsOf } from './ledger';
import { ratesOf } from './rateCards';

export type ReserveResult =
  | { readonly reserved: Credits; readonly draws: readonly DossierDraw[] }
  | { readonly rejected: Rejection };

/** Thrown inside a batch when the job's row is not in the state the act needs: the batch must not commit. */
class JobMoved extends Error {}

/**
 * Reserves what a job is expected to cost (R6, R8, R11), or rejects the job when that cannot be covered. The answer is
 * recorded with the job and the same ever after.
 */
export async function reserveJob(db: Db, { jobId, at }: { jobId: string; at: Instant }): Promise<ReserveResult> {
  const job = await findJob(db, jobId);
  if (!job)
    return { rejected: { code: 'not_found', message: `Job ${jobId} was forgotten; submit it again.`, details: {} } };
  if (job.state !== 'reserving') return recordedReservation(db, jobId);
  const operation = {
    ...operationOf(job, 'reserve', at, 'the job was submitted'),
    kind: 'reserve' as const,
    amount: job.expected,
    cap: job.maxCredits,
  };
  let result: ReserveResult | undefined;
  try {
    await applyBatch(db, [operation], async (trx, [outcome]) => {
      if (!outcome) return;
      result = outcome.accepted
        ? await noteReserved(trx, job, outcome.transfers, at)
        : await noteRejected(trx, job, outcome, at);
    });
    if (result) return result;
  } catch (error) {
    if (!(error instanceof JobMoved)) throw error;
  }
  return recordedReservation(db, jobId);
}

async function noteReserved(trx: Trx, job: Job, transfers: readonly Transfer[], at: Instant): Promise<ReserveResult> {
  const draws = await describeDraws(trx, drawsInto('reserved', transfers));
  await mustMove(
    trx,
    { id: job.id, from: ['reserving'], to: 'reserved' },
    {
      kind: 'reserved',
      message: `Reserved: ${sayCredits(job.expected)}.`,
      data: { reserved: formatCredits(job.expected), maxCredits: formatCredits(job.maxCredits), draws },
      at,
    },
  );
  return { reserved: job.expected, draws };
}

async function noteRejected(trx: Trx, job: Job, refusal: Refused, at: Instant): Promise<ReserveResult> {
  const { code, message, details } = refusal;
  await mustMove(
    trx,
    { id: job.id, from: ['reserving'], to: 'rejected', reason: code, message, endedAt: at },
    { kind: 'rejected', message, data: { code, ...details }, at },
  );
  return { rejected: { code, message, details } };
}

async function recordedReservation(db: Db, jobId: string): Promise<ReserveResult> {
  const event = await firstRow<{ kind: string; message: string; data: Record<string, unknown> }>(
    db,
    `select kind, message, data
     from job_events
     where job_id = ? and kind in ('reserved', 'rejected', 'released')
     order by seq
     limit 1`,
    [jobId],
  );
  if (event?.kind === 'reserved') {
    const { reserved = '0', draws = [] } = event.data as { reserved?: string; draws?: DossierDraw[] };
    return { reserved: parseCredits(reserved), draws };
  }
  if (!event) throw new Error(`job ${jobId} has neither a reservation nor a rejection`);
  // A release says why the job ended; whoever wanted to reserve only learns that it is too late.
  if (event.kind === 'released')
    return { rejected: { code: 'reservation_closed', message: event.message, details: {} } };
  const { code = '', ...details } = event.data as Record<string, string>;
  return { rejected: { code, message: event.message, details } };
}

/** What a job's reservation holds, from which lots, and up to what it may grow. */
export interface Holdings {
  readonly reserved: Credits;
  readonly cap: Credits;
  readonly draws: readonly DossierDraw[];
}

async function holdings(db: Db, jobId: string): Promise<Holdings> {
  const [reservation] = await reservationsOf(db, [jobId]);
  if (!reservation) throw new Error(`job ${jobId} has no reservation`);
  return {
    reserved: heldBy(reservation),
    cap: reservation.cap,
    draws: await describeDraws(db, reservation.draws),
  };
}

export type TopUpResult = Holdings & { readonly refused: Rejection | null };

/**
 * Brings a job's reservation up to a target, never past its not-to-exceed amount.
 *
 * @param ordinal counts the job's top-ups: one ordinal, one top-up.
 */
export async function topUpJob(
  db: Db,
  { jobId, ordinal, target, at }: { jobId: string; ordinal: number; target: Credits; at: Instant },
): Promise<TopUpResult> {
  const job = await getJob(db, jobId);
  const operation = {
    ...operationOf(job, `topUp/${ordinal}`, at, 'the forecast needs more'),
    kind: 'topUp' as const,
    target,
  };
  const [outcome] = await applyBatch(db, [operation], async (trx, [applied]) => {
    if (!applied?.accepted || applied.replayed || applied.transfers.length === 0) return;
    const added = amountMoved(applied.transfers, { to: 'reserved' });
    await addJobEvent(trx, jobId, {
      kind: 'topped-up',
      message: `Reserved in addition: ${sayCredits(added)}.`,
      data: { added: formatCredits(added), draws: await describeDraws(trx, drawsInto('reserved', applied.transfers)) },
      at,
    });
  });
  if (!outcome) throw new Error(`the top-up of job ${jobId} has no outcome`);
  return { ...(await holdings(db, jobId)), refused: outcome.accepted ? null : outcome };
}

/**
 * Raises a job's not-to-exceed amount with the submitter's consent (R11).
 *
 * @throws BillingError `cap_not_raised` or `reservation_closed`.
 */
export async function raiseJobCap(
  db: Db,
  { jobId, requestId, cap, actor, at }: { jobId: string; requestId: string; cap: Credits; actor: string; at: Instant },
): Promise<void> {
  const job = await getJob(db, jobId);
  const operation = {
    ...operationOf(job, `raiseCap/${requestId}`, at, 'the submitter consents to more'),
    actor,
    kind: 'raiseCap' as const,
    cap,
  };
  const [outcome] = await applyBatch(db, [operation], async (trx, [applied]) => {
    if (!applied?.accepted || applied.replayed) return;
    await trx.raw('update jobs set max_credits = ? where id = ?', [cap.toString(), jobId]);
    await addJobEvent(trx, jobId, {
      kind: 'cap-raised',
      message: `The not-to-exceed amount is now ${sayCredits(cap)}.`,
      data: { maxCredits: formatCredits(cap), actor },
      at,
    });
  });
  if (outcome && !outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
}

/**
 * Closes a job's billing after it ended: rates the charged usage with the frozen card, applies the policy, captures in
 * the order of R6 or releases everything when nothing is due for a job that did not complete (R8, R10, R11, R14). Safe to
 * repeat: the first closing stands.
 *
 * @param message a sentence on how the job ended.
 */
export async function closeJob(
  db: Db,
  { jobId, end, message, at }: { jobId: string; end: JobEnd; message: string; at: Instant },
): Promise<Closing> {
  const job = await beginClosing(db, jobId, at);
  if (isTerminal(job.state)) return closingOf(db, job);
  const usage = await usageOfJob(db, jobId);
  const rates = await ratesOf(db, job.rateCardVersion, job.service);
  const terms = { rateCardVersion: job.rateCardVersion, rates, dimensions: job.dimensions };
  const assessment = assess(terms, end, usage);
  const settles = end === 'completed' || assessment.actual > 0n;
  const operation = settles
    ? { ...operationOf(job, 'settle', at, message), kind: 'settle' as const, actual: assessment.actual }
    : { ...operationOf(job, 'release', at, message), kind: 'release' as const };
  try {
    await applyBatch(db, [operation], async (trx, [outcome]) => {
      if (!outcome?.accepted) throw new JobMoved(outcome?.message);
      const closing = { job, end, message, at, usage, terms, assessment, outcome };
      if (settles) await noteSettled(trx, closing);
      else await noteReleased(trx, job, { reason: end, message, at, transfers: outcome.transfers });
    });
  } catch (error) {
    if (!(error instanceof JobMoved)) throw error;
  }
  return closingOf(db, await getJob(db, jobId));
}

/**
 * Gives back whatever a job holds, without a charge: for jobs whose workflow is gone. A job that never reserved is marked,
 * so that a reserve which was only slow finds the mark and refuses.
 */
export async function releaseJob(
  db: Db,
  { jobId, reason, message, at }: { jobId: string; reason: string; message: string; at: Instant },
): Promise<Closing> {
  const job = await beginClosing(db, jobId, at);
  if (isTerminal(job.state)) return closingOf(db, job);
  try {
    await applyBatch(
      db,
      [{ ...operationOf(job, 'release', at, message), kind: 'release' as const }],
      async (trx, [outcome]) => {
        if (!outcome?.accepted) throw new JobMoved(outcome?.message);
        await noteReleased(trx, job, { reason, message, at, transfers: outcome.transfers });
      },
    );
  } catch (error) {
    if (!(error instanceof JobMoved)) throw error;
  }
  return closingOf(db, await getJob(db, jobId));
}

/** No attempt may report any more once a job's billing is being closed. */
function beginClosing(db: Db, jobId: string, at: Instant): Promise<Job> {
  return inTransaction(db, async (trx) => {
    await moveJob(trx, { id: jobId, from: ['reserved', 'running', 'parked'], to: 'settling' });
    await loseOpenAttempts(trx, jobId, at);
    return getJob(trx, jobId);
  });
}

interface Settled {
  readonly job: Job;
  readonly end: JobEnd;
  readonly message: string;
  readonly at: Instant;
  readonly usage: readonly MeteredUsage[];
  readonly terms: Dossier['terms'];
  readonly assessment: Assessment;
  readonly outcome: Extract<Outcome, { accepted: true }>;
}

async function noteSettled(trx: Trx, settled: Settled): Promise<void> {
  const { job, end, message, at, outcome, assessment } = settled;
  const dossier = await writeDossier(trx, settled);
  const findings = recomputeDossier(dossier);
  if (findings.length > 0)
    throw new Error(`the charge of job ${job.id} does not explain itself: ${findings.join('; ')}`);
  const charged = amountMoved(outcome.transfers, { to: 'consumed' });
  await mustMove(
    trx,
    { id: job.id, from: ['settling'], to: 'settled', reason: end, message, endedAt: at },
    {
      kind: 'settled',
      message: `Charged: ${sayCredits(charged)}. ${message}`,
      data: { charged: dossier.charged, absorbed: dossier.absorbed, chargeId: dossier.chargeId, end },
      at,
    },
  );
  await trx.raw(
    `insert into charges
       (id, job_id, user_id, contract_id, service, rate_card_version, job_end, rated, charged, absorbed, max_credits,
        dossier, booked_at)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      dossier.chargeId,
      job.id,
      job.userId,
      job.contractId,
      job.service,
      job.rateCardVersion,
      end,
      assessment.rating.total.toString(),
      charged.toString(),
      outcome.absorbed.toString(),
      job.maxCredits.toString(),
      JSON.stringify(dossier),
      at,
    ] as never,
  );
}

async function writeDossier(trx: Trx, settled: Settled): Promise<Dossier> {
  const { job, end, at, usage, terms, assessment, outcome } = settled;
  const { rating, payment } = assessment;
  const reserved = [];
  for (const operation of await operationsOfJob(trx, job.id)) {
    const draws = drawsInto('reserved', operation.transfers);
    if (draws.length === 0) continue;
    reserved.push({ at: operation.bookedAt, kind: operation.kind, draws: await describeDraws(trx, draws) });
  }
  const captured = drawsInto('consumed', outcome.transfers);
  const returned = outcome.transfers.filter(({ from, to }) => from === 'reserved' && to !== 'consumed');
  return {
    format: 'holdfast-dossier/1',
    chargeId: uuidv7(),
    jobId: job.id,
    service: job.service,
    userId: job.userId,
    contractId: job.contractId,
    inputDigest: job.inputDigest,
    parameters: job.parameters,
    quoteId: job.quoteId,
    terms,
    end,
    usage: usage.map(({ attempt, charged, meter, quantity }) => ({ attempt, charged, meter, quantity })),
    rating: { lines: rating.lines, exact: rating.exact, rounding: rating.rounding, total: formatCredits(rating.total) },
    payment,
    maxCredits: formatCredits(job.maxCredits),
    reserved,
    charged: formatCredits(drawn(captured)),
    absorbed: formatCredits(outcome.absorbed),
    draws: await describeDraws(trx, captured),
    returned: (await describeDraws(trx, returned)).map((draw, index) => ({ ...draw, to: returned[index]?.to ?? '' })),
    bookedAt: at,
  };
}

async function noteReleased(
  trx: Trx,
  job: Job,
  released: { reason: string; message: string; at: Instant; transfers: readonly Transfer[] },
): Promise<void> {
  const { reason, message, at, transfers } = released;
  const amount = amountMoved(transfers, { from: 'reserved' });
  await mustMove(
    trx,
    { id: job.id, from: ['reserving', 'settling'], to: 'released', reason, message, endedAt: at },
    {
      kind: 'released',
      message: `Nothing is charged; released: ${sayCredits(amount)}. ${message}`,
      data: { code: reason, released: formatCredits(amount) },
      at,
    },
  );
}

async function closingOf(db: Db, job: Job): Promise<Closing> {
  const operations = await operationsOfJob(db, job.id);
  const last = operations.find(({ kind }) => kind === 'settle' || kind === 'release');
  const transfers = last?.transfers ?? [];
  const charge = await firstRow<{ id: string }>(db, 'select id from charges where job_id = ?', [job.id]);
  const consumed = amountMoved(transfers, { from: 'reserved', to: 'consumed' });
  return {
    state: job.state,
    charged: formatCredits(consumed),
    absorbed: formatCredits(last?.absorbed ?? 0n),
    released: formatCredits(amountMoved(transfers, { from: 'reserved' }) - consumed),
    draws: await describeDraws(db, drawsInto('consumed', transfers)),
    chargeId: charge?.id ?? null,
  };
}

/** Notes that the engine stands still because credits or the not-to-exceed amount do not carry on. */
export async function parkJob(
  db: Db,
  { jobId, parkedFor, message, at }: { jobId: string; parkedFor: ParkedFor; message: string; at: Instant },
): Promise<void> {
  await moveJob(
    db,
    { id: jobId, from: ['running', 'parked'], to: 'parked', reason: parkedFor, message },
    { kind: 'parked', message, data: { parkedFor }, at },
  );
}

/** Notes that a parked job's engine runs again. */
export async function resumeJob(db: Db, { jobId, at }: { jobId: string; at: Instant }): Promise<void> {
  await moveJob(
    db,
    { id: jobId, from: ['parked'], to: 'running' },
    { kind: 'resumed', message: 'The job runs again.', at },
  );
}

/** The kinds of lots that were asked for before: a lot keeps its kind (R2), so they never go stale. */
const knownKinds = new Map<string, string>();
const KNOWN_KINDS_MAX = 100_000;

/** Draws in decimal strings, with the kind of their lots, in the order given. */
export async function describeDraws(db: Db | Trx, draws: readonly Draw[]): Promise<DossierDraw[]> {
  const unknown = draws.map(({ lotId }) => lotId).filter((lotId) => !knownKinds.has(lotId));
  if (unknown.length > 0) {
    if (knownKinds.size > KNOWN_KINDS_MAX) knownKinds.clear();
    const sql = 'select id, kind from lots where id = any(?::uuid[])';
    for (const { id, kind } of await rows<{ id: string; kind: string }>(db, sql, [unknown])) knownKinds.set(id, kind);
  }
  return draws.map(({ lotId, amount }) => ({
    lotId,
    kind: knownKinds.get(lotId) ?? '',
    amount: formatCredits(amount),
  }));
}

async function mustMove(
  trx: Trx,
  change: Parameters<typeof moveJob>[1],
  event: Parameters<typeof moveJob>[2],
): Promise<void> {
  if (!(await moveJob(trx, change, event))) throw new JobMoved(`job ${change.id} is not ${change.from.join(' or ')}`);
}

/** What every operation of a job has in common. */
function operationOf(job: Job, act: string, at: Instant, reason: string) {
  return {
    id: uuidv7(),
    key: `${job.id}/${act}`,
    jobId: job.id,
    userId: job.userId,
    contractId: job.contractId,
    at,
    actor: `job/${job.id}`,
    reason,
  };
}
