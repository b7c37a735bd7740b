/** A job's billing: each act moves credits and the job's row in one transaction, and is safe to repeat. */
import { v7 as uuidv7 } from 'uuid';
import { type Assessment, assess, type Dossier, type DossierDraw, drawn, recomputeDossier } from '../domain/charge';
import { type Credits, formatCredits, parseCredits, sayCredits } from '../domain/credits';
import type { Draw } from '../domain/drawdown';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Closing, isTerminal, JOB_STATES, type JobState, type ParkedFor, type Rejection } from '../domain/job';
import { type Accepted, amountMoved, drawsInto } from '../domain/operations';
import type { JobEnd } from '../domain/rateCard';
import { heldBy } from '../domain/reservation';
import { loseOpenAttempts, type MeteredUsage, usageOfJob } from './attempts';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { findJob, getJob, type Job, moveJob, type NewJobEvent } from './jobs';
import { type CompanionContext, JobMoved, type Ledger, operationsOfJob, reservationsOf } from './ledger';
import type { JobWrites } from './ledger/append';
import { ratesOf } from './rateCards';

export type ReserveResult =
  | { readonly reserved: Credits; readonly draws: readonly DossierDraw[] }
  | { readonly rejected: Rejection };

/**
 * Reserves what a job is expected to cost (R6, R8, R11, R17), or rejects the job when that cannot be covered. The answer is
 * recorded with the job and the same ever after.
 */
export async function reserveJob(
  ledger: Ledger,
  { jobId, at }: { jobId: string; at: Instant },
): Promise<ReserveResult> {
  const job = await findJob(ledger.db, jobId);
  if (!job)
    return { rejected: { code: 'not_found', message: `Job ${jobId} was forgotten; submit it again.`, details: {} } };
  if (job.state !== 'reserving') return recordedReservation(ledger.db, jobId);
  const operation = {
    ...operationOf(job, { act: 'reserve', at, reason: 'the job was submitted' }),
    kind: 'reserve' as const,
    amount: job.expected,
    cap: job.maxCredits,
    project: job.project,
  };
  let result: ReserveResult | undefined;
  const wasFirst = await unlessMoved(() =>
    ledger.apply(operation, {
      jobId,
      from: ['reserving'],
      write(outcome, { kindOf }) {
        if (!outcome.accepted) {
          const { code, message, details } = outcome;
          result = { rejected: { code, message, details } };
          const events = [{ kind: 'rejected', message, data: { code, ...details }, at }];
          return { to: 'rejected', reason: code, message, endedAt: at, events };
        }
        const draws = describe(drawsInto('reserved', outcome.transfers), kindOf);
        result = { reserved: job.expected, draws };
        const data = { reserved: formatCredits(job.expected), maxCredits: formatCredits(job.maxCredits), draws };
        const reserved = { kind: 'reserved', message: `Reserved: ${sayCredits(job.expected)}.`, data, at };
        return { to: 'reserved', events: [reserved, ...warningsOf(outcome, at)] };
      },
    }),
  );
  return wasFirst && result ? result : recordedReservation(ledger.db, jobId);
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
  ledger: Ledger,
  { jobId, ordinal, target, at }: { jobId: string; ordinal: number; target: Credits; at: Instant },
): Promise<TopUpResult> {
  const job = await getJob(ledger.db, jobId);
  const operation = {
    ...operationOf(job, { act: `topUp/${ordinal}`, at, reason: 'the forecast needs more' }),
    kind: 'topUp' as const,
    target,
  };
  const outcome = await ledger.apply(operation, {
    jobId,
    from: JOB_STATES,
    write(applied, { kindOf }) {
      if (!applied.accepted || applied.replayed || applied.transfers.length === 0) return undefined;
      const added = amountMoved(applied.transfers, { to: 'reserved' });
      const draws = describe(drawsInto('reserved', applied.transfers), kindOf);
      const data = { added: formatCredits(added), draws };
      const toppedUp = { kind: 'topped-up', message: `Reserved in addition: ${sayCredits(added)}.`, data, at };
      return { events: [toppedUp, ...warningsOf(applied, at)] };
    },
  });
  return { ...(await holdings(ledger.db, jobId)), refused: outcome.accepted ? null : outcome };
}

/**
 * Raises a job's not-to-exceed amount with the submitter's consent (R11).
 *
 * @throws BillingError `cap_not_raised` or `reservation_closed`.
 */
export async function raiseJobCap(
  ledger: Ledger,
  { jobId, requestId, cap, actor, at }: { jobId: string; requestId: string; cap: Credits; actor: string; at: Instant },
): Promise<void> {
  const job = await getJob(ledger.db, jobId);
  const operation = {
    ...operationOf(job, { act: `raiseCap/${requestId}`, at, reason: 'the submitter consents to more' }),
    actor,
    kind: 'raiseCap' as const,
    cap,
  };
  const outcome = await ledger.apply(operation, {
    jobId,
    from: JOB_STATES,
    write(applied) {
      if (!applied.accepted || applied.replayed) return undefined;
      const message = `The not-to-exceed amount is now ${sayCredits(cap)}.`;
      const data = { maxCredits: formatCredits(cap), actor };
      return { maxCredits: cap, events: [{ kind: 'cap-raised', message, data, at }] };
    },
  });
  if (!outcome.accepted) throw new BillingError(outcome.code, outcome.message, outcome.details);
}

/**
 * Closes a job's billing after it ended: rates the charged usage with the frozen card, applies the policy, captures in
 * the order of R6 or releases everything when nothing is due for a job that did not complete (R8, R10, R11, R14). Safe to
 * repeat: the first closing stands.
 *
 * @param message a sentence on how the job ended.
 */
export async function closeJob(
  ledger: Ledger,
  closing: { jobId: string; end: JobEnd; message: string; at: Instant },
): Promise<Closing> {
  const { db } = ledger;
  const { jobId, end, message, at } = closing;
  const job = await beginClosing(db, jobId, at);
  if (isTerminal(job.state)) return closingOf(db, job);
  const usage = await usageOfJob(db, jobId);
  const rates = await ratesOf(db, job.rateCardVersion, job.service);
  const terms = { rateCardVersion: job.rateCardVersion, rates, dimensions: job.dimensions };
  const assessment = assess(terms, end, usage);
  if (end !== 'completed' && assessment.actual === 0n) {
    return closeByRelease(ledger, job, { reason: end, message, at });
  }
  const operation = {
    ...operationOf(job, { act: 'close', at, reason: message }),
    kind: 'settle' as const,
    actual: assessment.actual,
  };
  // One id for the charge, however often it is written before it is committed.
  const chargeId = uuidv7();
  await unlessMoved(() =>
    ledger.apply(operation, {
      jobId,
      from: ['settling'],
      write(outcome, { lines, kindOf }) {
        if (!outcome.accepted) throw new JobMoved(outcome.message);
        return settled({ chargeId, job, end, message, at, usage, terms, assessment, outcome, lines, kindOf });
      },
    }),
  );
  return closedOr(ledger, job, () => closeJob(ledger, closing));
}

/**
 * Gives back whatever a job holds, without a charge: for jobs whose workflow is gone. A job that never reserved is marked,
 * so that a reserve which was only slow finds the mark and refuses.
 */
export async function releaseJob(
  ledger: Ledger,
  { jobId, reason, message, at }: { jobId: string; reason: string; message: string; at: Instant },
): Promise<Closing> {
  const job = await beginClosing(ledger.db, jobId, at);
  if (isTerminal(job.state)) return closingOf(ledger.db, job);
  return closeByRelease(ledger, job, { reason, message, at });
}

/** The states from which a job's billing is closed: it never reserved, or its closing has begun. */
const BEFORE_CLOSING: readonly JobState[] = ['reserving', 'settling'];

async function closeByRelease(
  ledger: Ledger,
  job: Job,
  { reason, message, at }: { reason: string; message: string; at: Instant },
): Promise<Closing> {
  const operation = { ...operationOf(job, { act: 'close', at, reason: message }), kind: 'release' as const };
  await unlessMoved(() =>
    ledger.apply(operation, {
      jobId: job.id,
      from: BEFORE_CLOSING,
      write(outcome) {
        if (!outcome.accepted) throw new JobMoved(outcome.message);
        const amount = amountMoved(outcome.transfers, { from: 'reserved' });
        const told = `Nothing is charged; released: ${sayCredits(amount)}. ${message}`;
        const data = { code: reason, released: formatCredits(amount) };
        return {
          to: 'released',
          reason,
          message,
          endedAt: at,
          events: [{ kind: 'released', message: told, data, at }],
        };
      },
    }),
  );
  return closedOr(ledger, job, () => releaseJob(ledger, { jobId: job.id, reason, message, at }));
}

/** How a job was closed. A reserve that was only slow may have come in between: then the job is closed from there. */
async function closedOr(ledger: Ledger, before: Job, again: () => Promise<Closing>): Promise<Closing> {
  const job = await getJob(ledger.db, before.id);
  const stands = isTerminal(job.state) || (job.state === before.state && BEFORE_CLOSING.includes(job.state));
  return stands ? closingOf(ledger.db, job) : again();
}

/** Does an act that somebody else may have done by now: then what they recorded stands. @returns whether it was done. */
async function unlessMoved(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (!(error instanceof JobMoved)) throw error;
    return false;
  }
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
  readonly chargeId: string;
  readonly job: Job;
  readonly end: JobEnd;
  readonly message: string;
  readonly at: Instant;
  readonly usage: readonly MeteredUsage[];
  readonly terms: Dossier['terms'];
  readonly assessment: Assessment;
  readonly outcome: Accepted;
  readonly lines: CompanionContext['lines'];
  readonly kindOf: CompanionContext['kindOf'];
}

/** What becomes of a settled job: its state, its event, and the charge with its dossier. */
function settled(settlement: Settled): Omit<JobWrites, 'jobId'> {
  const { job, end, message, at, outcome, assessment } = settlement;
  const dossier = dossierOf(settlement);
  const findings = recomputeDossier(dossier);
  if (findings.length > 0)
    throw new Error(`the charge of job ${job.id} does not explain itself: ${findings.join('; ')}`);
  const charged = amountMoved(outcome.transfers, { to: 'consumed' });
  return {
    to: 'settled',
    reason: end,
    message,
    endedAt: at,
    events: [
      {
        kind: 'settled',
        message: `Charged: ${sayCredits(charged)}. ${message}`,
        data: { charged: dossier.charged, absorbed: dossier.absorbed, chargeId: dossier.chargeId, end },
        at,
      },
    ],
    charge: {
      id: dossier.chargeId,
      jobId: job.id,
      userId: job.userId,
      contractId: job.contractId,
      service: job.service,
      rateCardVersion: job.rateCardVersion,
      jobEnd: end,
      rated: assessment.rating.total,
      charged,
      absorbed: outcome.absorbed,
      maxCredits: job.maxCredits,
      dossier,
      bookedAt: at,
    },
  };
}

function dossierOf({ chargeId, job, end, at, usage, terms, assessment, outcome, lines, kindOf }: Settled): Dossier {
  const { rating, payment } = assessment;
  const captured = drawsInto('consumed', outcome.transfers);
  const returned = outcome.transfers.filter(({ from, to }) => from === 'reserved' && to !== 'consumed');
  return {
    format: 'holdfast-dossier/1',
    chargeId,
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
    reserved: lines.flatMap(({ kind, bookedAt, transfers }) => {
      const draws = drawsInto('reserved', transfers);
      return draws.length === 0 ? [] : [{ at: bookedAt, kind, draws: describe(draws, kindOf) }];
    }),
    charged: formatCredits(drawn(captured)),
    absorbed: formatCredits(outcome.absorbed),
    draws: describe(captured, kindOf),
    returned: describe(returned, kindOf).map((draw, index) => ({ ...draw, to: returned[index]?.to ?? '' })),
    bookedAt: at,
  };
}

/** Budgets that came to their warning threshold, told to those who watch the job (R17). */
function warningsOf({ warnings }: Accepted, at: Instant): NewJobEvent[] {
  return warnings.map(({ budgetId, used, amount }) => ({
    kind: 'budget-warning',
    message: `A budget is nearly used up: ${formatCredits(used)} of ${sayCredits(amount)}.`,
    data: { budgetId, used: formatCredits(used), amount: formatCredits(amount) },
    at,
  }));
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

/** Draws in decimal strings, with the kind of their lots, in the order given. */
function describe(draws: readonly Draw[], kindOf: CompanionContext['kindOf']): DossierDraw[] {
  return draws.map(({ lotId, amount }) => ({ lotId, kind: kindOf(lotId), amount: formatCredits(amount) }));
}

/** What every operation of a job has in common. Its actor is the job's workflow. */
function operationOf<Act extends string>(job: Job, { act, at, reason }: { act: Act; at: Instant; reason: string }) {
  const { id: jobId, userId, contractId } = job;
  return { act, jobId, userId, contractId, at, actor: 'job', reason };
}
