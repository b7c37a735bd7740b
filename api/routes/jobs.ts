import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { attemptsOf, resultsOf, usageOfJob } from '../../db/attempts';
import { findChargeOfJob } from '../../db/charges';
import { addJobEvent, findVisibleJob, getJob, type Job, listVisibleJobs } from '../../db/jobs';
import type { Person } from '../../db/people';
import { BillingError, type RefusalCode } from '../../domain/errors';
import { isTerminal } from '../../domain/job';
import { COMMON_METERS } from '../../services/meters';
import type { ApiDependencies } from '../app';
import { chargeView } from '../chargeView';
import { createJobEvents } from '../jobEvents';
import { jobView } from '../jobView';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';
import { submitJob } from '../submission';

const resultParams = schemas.idParams.extend({ name: z.string().max(200) });

export function jobRoutes(dependencies: ApiDependencies): Route[] {
  const { db, store, services, settings, workflows, log } = dependencies;
  const events = createJobEvents(db);
  const view = (job: Job) => jobView(db, job, settings.temporalUiUrl);

  async function visibleJob(person: Person, id: string): Promise<Job> {
    const job = await findVisibleJob(db, person, id);
    if (!job) throw notFound('job');
    return job;
  }

  return [
    route({
      method: 'post',
      path: '/v1/jobs',
      tag: 'Jobs',
      summary: 'Submit a job',
      description:
        'With a quote, or with a not-to-exceed amount of your own. Answers once the credits are reserved; after three seconds without an answer 202, and the same request with the same key finds the same job.',
      roles: ['submitter', 'contract-admin'],
      body: schemas.jobRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/jobs/${id}` }),
      answers: {
        201: { description: 'Reserved, and about to run.', schema: schemas.job },
        202: {
          description: 'Accepted; not reserved yet. Look at the job’s URL or repeat the request.',
          schema: schemas.job,
        },
        402: {
          description: 'Rejected: not enough credits. After buying some, submit with a new key.',
          schema: schemas.insufficientCredits,
          mediaType: 'application/problem+json',
        },
      },
      refusals: [
        'not_found',
        'quote_expired',
        'contract_not_in_force',
        'contract_suspended',
        'user_not_authorised',
        'input_invalid',
        'service_not_sold',
        'engine_not_offered',
        'reservation_closed',
        'budget_exceeded',
      ],
      handle: (asked) => submitJob(dependencies, asked),
    }),
    route({
      method: 'get',
      path: '/v1/jobs',
      tag: 'Jobs',
      summary: 'Jobs that you may see, newest first',
      query: schemas.jobsQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.job, 'JobPage') } },
      refusals: [],
      handle: async ({ person, query }) => {
        const { limit, cursor = null, state = null } = query;
        const jobs = await listVisibleJobs(db, person, { before: cursor, limit: limit + 1, state });
        const items = await Promise.all(jobs.slice(0, limit).map(view));
        return { status: 200, body: { items, nextCursor: jobs.length > limit ? (items.at(-1)?.id ?? null) : null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:id',
      tag: 'Jobs',
      summary: 'A job',
      params: schemas.idParams,
      answers: { 200: { description: 'The job.', schema: schemas.job } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => ({ status: 200, body: await view(await visibleJob(person, params.id)) }),
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:id/usage',
      tag: 'Jobs',
      summary: 'What a job used, per attempt and meter',
      params: schemas.idParams,
      answers: { 200: { description: 'The usage.', schema: schemas.usage } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const job = await visibleJob(person, params.id);
        const meters = new Map(
          [...(services.get(job.service)?.meters ?? []), ...COMMON_METERS].map((one) => [one.name, one]),
        );
        const usage = await usageOfJob(db, job.id);
        return {
          status: 200,
          body: {
            jobId: job.id,
            attempts: (await attemptsOf(db, job.id)).map(({ progress: _, ...attempt }) => attempt),
            usage: usage.map((one) => ({ ...one, rated: meters.get(one.meter)?.rated ?? false })),
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:id/events',
      tag: 'Jobs',
      summary: 'What happens to a job, as server-sent events',
      description:
        'Each event carries its kind and a JobEvent; `progress` tells the state and progress whenever they change; `end` is the last one. Send Last-Event-ID to go on after an event.',
      params: schemas.idParams,
      answers: { 200: { description: 'A stream.', schema: schemas.jobEvent, mediaType: 'text/event-stream' } },
      refusals: ['not_found'],
      handle: async ({ person, params, request, response }) => {
        const job = await visibleJob(person, params.id);
        const last = request.header('Last-Event-ID') ?? '0';
        if (!/^[0-9]{1,18}$/.test(last)) {
          throw new BillingError('invalid_request', 'Last-Event-ID is the id of an event of this stream.');
        }
        events.stream(job.id, BigInt(last), response);
        // There is nothing to wait for when nobody reads.
        if (request.method === 'HEAD') response.end();
        return undefined;
      },
    }),
    route({
      method: 'post',
      path: '/v1/jobs/:id/cancel',
      tag: 'Jobs',
      summary: 'Cancel a job',
      description: 'Stops the engine, keeps partial results and settles what was used. The job ends a moment later.',
      roles: ['submitter', 'contract-admin', 'operator'],
      params: schemas.idParams,
      idempotent: true,
      answers: { 202: { description: 'Being cancelled.', schema: schemas.job } },
      refusals: ['not_found', 'job_already_ended', 'forbidden'],
      handle: async ({ person, params, claimedAt }) => {
        const job = await visibleJob(person, params.id);
        mustBeCancellable(job, person);
        // First, so that listeners never hear of it after the end that it brings.
        await addJobEvent(db, job.id, {
          kind: 'cancel-requested',
          message: `${person.name} cancelled the job.`,
          data: { by: person.userId },
          at: claimedAt,
        });
        await workflows.cancelJob(job.id);
        return { status: 202, body: await view(await getJob(db, job.id)) };
      },
    }),
    route({
      method: 'post',
      path: '/v1/jobs/:id/raise-cap',
      tag: 'Jobs',
      summary: 'Consent to a higher not-to-exceed amount',
      description: 'A job that is parked at its not-to-exceed amount goes on at once.',
      roles: ['submitter', 'contract-admin'],
      params: schemas.idParams,
      body: schemas.raiseCapRequest,
      idempotent: true,
      answers: { 200: { description: 'Raised.', schema: schemas.job } },
      refusals: ['not_found', 'job_already_ended', 'cap_not_raised', 'reservation_closed', 'forbidden'],
      handle: async ({ person, params, body, resourceId }) => {
        const job = await visibleJob(person, params.id);
        if (job.userId !== person.userId) {
          throw new BillingError('forbidden', 'Only the submitter may consent to a higher not-to-exceed amount.');
        }
        mustBeUnfinished(job);
        const request = { requestId: resourceId, maxCredits: body.maxCredits, actor: person.userId };
        const outcome = await workflows.raiseCap(job.id, request);
        if (outcome.status === 'refused') {
          const { code, message, details } = outcome.rejection;
          throw new BillingError(code as RefusalCode, message, details);
        }
        return { status: 200, body: await view(await getJob(db, job.id)) };
      },
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:id/charge',
      tag: 'Jobs',
      summary: 'What a job was charged',
      params: schemas.idParams,
      answers: { 200: { description: 'The charge.', schema: schemas.charge } },
      refusals: ['not_found', 'job_not_ended'],
      handle: async ({ person, params }) => {
        const job = await visibleJob(person, params.id);
        const charge = await findChargeOfJob(db, job.id);
        if (charge) return { status: 200, body: await chargeView(db, charge, person) };
        if (!isTerminal(job.state))
          throw new BillingError('job_not_ended', `The job is ${job.state}; it is charged when it ends.`);
        throw new BillingError('not_found', `The job was ${job.state} and nothing was charged: ${job.message ?? ''}`);
      },
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:id/results',
      tag: 'Jobs',
      summary: 'The files a job produced',
      params: schemas.idParams,
      answers: { 200: { description: 'The results.', schema: schemas.pageOf(schemas.result, 'ResultPage') } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const job = await visibleJob(person, params.id);
        const items = (await resultsOf(db, job.id)).map((one) => ({
          ...one,
          url: `/v1/jobs/${job.id}/results/${encodeURIComponent(one.name)}`,
        }));
        return { status: 200, body: { items, nextCursor: null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:id/results/:name',
      tag: 'Jobs',
      summary: 'Download a file that a job produced',
      params: resultParams,
      answers: { 200: { description: 'The file.', mediaType: 'application/octet-stream' } },
      refusals: ['not_found'],
      handle: async ({ person, params, response }) => {
        const job = await visibleJob(person, params.id);
        const found = (await resultsOf(db, job.id)).find(({ name }) => name === params.name);
        if (!found) throw notFound('result');
        response.set({
          'Content-Type': found.mediaType,
          'Content-Length': String(found.size),
          // Results are made from strangers' inputs: a browser must never run one as a page of ours.
          'Content-Disposition': `attachment; filename*=UTF-8''${encodeURIComponent(found.name)}`,
          'X-Content-Type-Options': 'nosniff',
          ETag: `"${found.digest}"`,
        });
        // A client that leaves early is no failure; the pipeline closes what it read from.
        await pipeline(await store.read(found.digest), response).catch((err) =>
          log.debug({ err }, 'a download ended early'),
        );
        return undefined;
      },
    }),
  ];
}

/** A job is cancelled by its submitter, an administrator of its contract or an operator. */
function mustBeCancellable(job: Job, person: Person): void {
  const administers = job.contractId !== null && person.administers.includes(job.contractId);
  if (job.userId !== person.userId && !administers && !person.roles.includes('operator')) {
    throw new BillingError(
      'forbidden',
      'Only the submitter, an administrator of the contract or an operator may do this.',
    );
  }
  mustBeUnfinished(job);
}

function mustBeUnfinished(job: Job): void {
  if (!isTerminal(job.state)) return;
  throw new BillingError('job_already_ended', `The job is ${job.state}; nothing can be changed any more.`);
}
