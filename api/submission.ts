/** Submitting a job: write it down, start its workflow, answer with the reservation. */
import type { z } from 'zod';
import { findBudgetOnce } from '../db/budgets';
import { findJob, getJob, insertJob, type Job, type NewJob } from '../db/jobs';
import { listLots } from '../db/lots';
import { findVisibleContract, type Person } from '../db/people';
import { findQuote } from '../db/quotes';
import { ratesOf } from '../db/rateCards';
import { periodAt } from '../domain/budget';
import {
  credits,
  formatCredits,
  maxCredits,
  minCredits,
  parseCredits,
  sayCredits,
  sumOf,
  ZERO,
} from '../domain/credits';
import { BillingError, type RefusalCode } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Rejection } from '../domain/job';
import { amountToReserve } from '../domain/quote';
import { type Route as JobRoute, taskQueueOf } from '../domain/route';
import type { Service } from '../services/service';
import type { ReservationOutcome } from '../workflows/messages';
import type { ApiDependencies } from './app';
import { priceRequest, routeOf } from './estimate';
import { jobView, linksOf, NO_RUNS, viewOfJob } from './jobView';
import { notFound, problemOf } from './problems';
import type { Reply } from './route';
import type { jobRequest } from './schemas';
import type { JobStart } from './workflowsPort';

type JobRequest = z.output<typeof jobRequest>;

export interface Submission {
  readonly person: Person;
  readonly body: JobRequest;
  readonly resourceId: string;
  readonly claimedAt: Instant;
  /** It comes from the session that the job is. */
  readonly isSession?: boolean;
  /** Whether the key was claimed before, so that the job may exist already. */
  readonly isRepeat: boolean;
}

/**
 * Answers 201 with the reserved job, 402 (or another refusal) when it was rejected, 202 when no worker answered in time.
 * A repeat works on the same job.
 */
export async function submitJob(dependencies: ApiDependencies, submission: Submission): Promise<Reply> {
  const { db, settings, workflows } = dependencies;
  const before = submission.isRepeat ? await findJob(db, submission.resourceId) : undefined;
  const job = before ?? (await writeJob(dependencies, submission));
  const outcome = await workflows.startJob(await startOf(dependencies, job, submission.person));
  const headers = { Location: `/v1/jobs/${job.id}` };
  if (!outcome) {
    const body = await jobView(db, await getJob(db, job.id), settings.temporalUiUrl);
    return { status: 202, body, headers: { ...headers, 'Retry-After': '2' }, settled: false };
  }
  if (outcome.status === 'rejected') return rejection(dependencies, job, outcome.rejection);
  return { status: 201, body: asReserved(job, outcome, settings.temporalUiUrl), headers };
}

/** The job as it was when it was reserved, so that every repeat says the same however far it has come since. */
function asReserved(
  job: Job,
  { draws }: Extract<ReservationOutcome, { status: 'reserved' }>,
  temporalUiUrl: string | null,
) {
  const then = { state: 'reserved', reason: null, message: null, progress: 0, endedAt: null } as const;
  return viewOfJob({ ...job, ...then }, { draws, runs: NO_RUNS, temporalUiUrl });
}

async function writeJob(dependencies: ApiDependencies, submission: Submission): Promise<Job> {
  const { body, person, resourceId, claimedAt } = submission;
  const terms =
    'quoteId' in body
      ? await quotedTerms(dependencies, submission, body.quoteId)
      : await ownTerms(dependencies, submission, body);
  return insertJob(dependencies.db, {
    id: resourceId,
    userId: person.userId,
    timeLimitSeconds: body.timeLimitSeconds,
    comment: body.comment,
    project: body.project ?? null,
    submittedAt: claimedAt,
    ...terms,
  });
}

type Terms = Omit<NewJob, 'id' | 'userId' | 'timeLimitSeconds' | 'comment' | 'project' | 'submittedAt'>;

async function quotedTerms(
  dependencies: ApiDependencies,
  { person, claimedAt, body }: Submission,
  quoteId: string,
): Promise<Terms> {
  const { db, services } = dependencies;
  const quote = await findQuote(db, person.userId, quoteId);
  if (!quote) throw notFound('quote');
  if (quote.validUntil <= claimedAt) {
    throw new BillingError('quote_expired', `The quote was valid until ${quote.validUntil}; ask for a new one.`);
  }
  if (quote.contractId !== null && !person.contractIds.includes(quote.contractId)) throw notFound('contract');
  const rates = await ratesOf(db, quote.rateCardVersion, quote.service);
  const service = services.get(quote.service);
  if (!service) throw notFound('service');
  mustBeAJob(service);
  return {
    contractId: quote.contractId,
    service: quote.service,
    inputDigest: quote.inputDigest,
    inputName: quote.inputName,
    parameters: quote.parameters,
    dimensions: quote.dimensions,
    quoteId: quote.id,
    rateCardVersion: quote.rateCardVersion,
    expected: amountToReserve(rates, quote),
    maxCredits: quote.maxCredits,
    runs: quote.facts === null ? 1 : (service.runs?.(quote.facts, quote.parameters) ?? 1),
    route:
      quote.facts === null
        ? null
        : await routeOf(dependencies, service, { ...quote, at: claimedAt, wanted: body.runner }),
  };
}

/** A session begins where its user is, and not with a job. */
function mustBeAJob({ name, engines }: Service): void {
  if (engines.length > 0) return;
  throw new BillingError('invalid_request', `body.service: a ${name} is opened with POST /v1/sessions`);
}

async function ownTerms(
  dependencies: ApiDependencies,
  { person, claimedAt, isSession }: Submission,
  body: Extract<JobRequest, { maxCredits: string }>,
): Promise<Terms> {
  const maxCredits = parseCredits(body.maxCredits);
  const own = body.expected === undefined ? undefined : parseCredits(body.expected);
  if (own !== undefined && own > maxCredits) {
    throw new BillingError(
      'invalid_request',
      `body.expected: ${body.expected} credits are above the not-to-exceed amount of ${body.maxCredits}; raise maxCredits or lower expected`,
    );
  }
  const priced = await priceRequest(dependencies, person, body, claimedAt);
  if (!isSession) mustBeAJob(priced.definition);
  return {
    contractId: body.contractId,
    service: priced.service,
    inputDigest: priced.input.digest,
    inputName: priced.input.name,
    parameters: priced.parameters,
    dimensions: priced.dimensions,
    quoteId: null,
    rateCardVersion: priced.rateCardVersion,
    expected: own ?? minCredits(amountToReserve(priced.rates, priced.forecast), maxCredits),
    maxCredits,
    runs: priced.definition.runs?.(priced.facts, priced.parameters) ?? 1,
    route: await routeOf(dependencies, priced.definition, { ...priced, at: claimedAt, wanted: body.runner }),
  };
}

async function startOf({ db, services, settings }: ApiDependencies, job: Job, person: Person): Promise<JobStart> {
  const service = services.get(job.service);
  const contract = job.contractId === null ? undefined : await findVisibleContract(db, person, job.contractId);
  const title = service?.title ?? job.service;
  const expected = formatCredits(job.expected);
  const maxCredits = formatCredits(job.maxCredits);
  return {
    customerId: contract?.customerId ?? null,
    staticSummary: `${title} of ${job.inputName} for ${person.name}`.slice(0, 180),
    staticDetails: [
      `**${title}** of \`${job.inputName}\`, submitted by ${person.name}${contract ? ` on ${contract.name} (${contract.customer})` : ''}.`,
      '',
      `- expected ${sayCredits(job.expected)}, not to exceed ${sayCredits(job.maxCredits)}`,
      `- rate card ${job.rateCardVersion}, ${job.quoteId === null ? 'no quote' : `quote \`${job.quoteId}\``}`,
      `- input \`${job.inputDigest}\``,
      ...(job.route ? [`- engine ${job.route.engine}, runner ${job.route.runner}`] : []),
      ...(job.project === null ? [] : [`- project ${job.project}`]),
      ...(job.comment === '' ? [] : ['', `> ${job.comment.replaceAll('\n', '\n> ')}`]),
    ].join('\n'),
    input: {
      jobId: job.id,
      userId: job.userId,
      contractId: job.contractId,
      service: job.service,
      expected,
      maxCredits,
      timeLimitSeconds: job.timeLimitSeconds,
      heartbeatSeconds: settings.heartbeatSeconds,
      parkedGraceSeconds: settings.parkedGraceSeconds,
      ...(job.runs > 1 && { runs: job.runs }),
      ...(service?.engines.length === 0 && { isSession: true }),
      ...(job.route && { taskQueue: taskQueueOf(job.route, programsOf(service, job.route)) }),
    },
  };
}

function programsOf(service: Service | undefined, { engine }: JobRoute): readonly string[] {
  return service?.engines.find(({ name }) => name === engine)?.programs ?? [];
}

async function rejection({ db, settings }: ApiDependencies, job: Job, refused: Rejection): Promise<Reply> {
  const remedies = await remediesFor(db, job, refused);
  const error = new BillingError(refused.code as RefusalCode, refused.message, {
    ...refused.details,
    ...(remedies && { remedies }),
    jobId: job.id,
    links: linksOf(job.id, settings.temporalUiUrl),
  });
  const body = problemOf(error, '/v1/jobs');
  return { status: body.status, body };
}

/** What would let a rejected job run, where something would. */
async function remediesFor(db: ApiDependencies['db'], job: Job, refused: Rejection) {
  if (refused.code === 'insufficient_credits') return remediesForCredits(db, job, refused);
  return refused.code === 'budget_exceeded' ? remediesForBudget(db, job, refused) : undefined;
}

/** More credits, credits that other jobs still hold, or a smaller job. */
async function remediesForCredits(db: ApiDependencies['db'], job: Job, { details }: Rejection) {
  const pools = job.contractId === null ? [job.userId] : [job.userId, job.contractId];
  const lots = (await Promise.all(pools.map((pool) => listLots(db, pool)))).flat();
  const reserved = sumOf(lots, (lot) => lot.reserved);
  const where = job.contractId === null ? 'your individual credits' : `contract ${job.contractId}`;
  return [
    {
      action: 'add_credits',
      message: `Have at least ${details.shortfall} credits added to ${where}, then submit again with a new Idempotency-Key.`,
      amount: details.shortfall,
    },
    ...(reserved > 0n
      ? [
          {
            action: 'wait',
            message: `Running jobs hold ${formatCredits(reserved)} credits; what they do not use is released when they end.`,
            amount: formatCredits(reserved),
          },
        ]
      : []),
    {
      action: 'ask_for_less',
      message: `Ask for a smaller or cheaper job: ${details.available} credits can be spent now.`,
      amount: details.available,
    },
  ];
}

/** A larger budget, the next period, or a smaller job. */
async function remediesForBudget(db: ApiDependencies['db'], job: Job, { details }: Rejection) {
  const { budgetId = '', used = '0', required = '0', limit = '0' } = details;
  const contractId = job.contractId ?? '';
  const budget = await findBudgetOnce(db, contractId, budgetId);
  const whose = budget?.project == null ? 'your budget' : `the budget of project ${budget.project}`;
  const missing = formatCredits(parseCredits(used) + parseCredits(required) - parseCredits(limit));
  const left = maxCredits(ZERO, credits(parseCredits(limit) - parseCredits(used)));
  const endsAt = budget && budget.period !== 'total' ? periodAt(budget, job.submittedAt).endsAt : undefined;
  return [
    {
      action: 'raise_budget',
      message: `Have an administrator of contract ${contractId} raise ${whose} by at least ${missing} credits, then submit again with a new Idempotency-Key.`,
      amount: missing,
    },
    ...(endsAt === undefined
      ? []
      : [
          {
            action: 'wait',
            message: `The next period of the budget begins at ${endsAt}; what running jobs do not use is given back before.`,
          },
        ]),
    ...(left > ZERO
      ? [
          {
            action: 'ask_for_less',
            message: `Ask for a smaller or cheaper job: the budget leaves ${sayCredits(left)}.`,
            amount: formatCredits(left),
          },
        ]
      : []),
  ];
}
