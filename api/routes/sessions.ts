/** Configuration sessions: opened once per design, kept open by activity, charged as one session however they end. */
import type { z } from 'zod';
import { findInput } from '../../db/inputs';
import { findJob } from '../../db/jobs';
import { actInSession, closeOtherSessions, findSession, lookOf, openSession, type SessionRow } from '../../db/sessions';
import { BillingError } from '../../domain/errors';
import type { Instant } from '../../domain/instant';
import type { SessionLook } from '../../domain/session';
import { readDesign, service } from '../../services/configuration-session';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Reply, type Route, route } from '../route';
import * as schemas from '../schemas';
import { submitJob } from '../submission';

/** A session outlives every time limit of a job: its own rules end it. */
const TIME_LIMIT_SECONDS = 604_800;

export function sessionRoutes(dependencies: ApiDependencies): Route[] {
  const { db, store, workflows } = dependencies;

  async function ownSession(userId: string, id: string): Promise<SessionRow> {
    const session = await findSession(db, userId, id);
    if (!session) throw notFound('session');
    return session;
  }

  /** Does something in a session of the asker's own. */
  async function act(
    userId: string,
    id: string,
    what: Parameters<typeof actInSession>[2],
    at: Instant,
  ): Promise<Reply> {
    await ownSession(userId, id);
    const done = await actInSession(db, id, what, at);
    if (!done) throw notFound('session');
    if (done.look.state === 'ended' && what.kind === 'active') {
      throw new BillingError('session_ended', `The session ended at ${done.look.at}; open a new one.`, {
        endedFor: done.look.reason,
      });
    }
    if (what.kind !== 'active') await workflows.sessionTouched(id);
    return { status: 200, body: viewOf(done.session, done.look) };
  }

  /** @throws BillingError `invalid_request` for what the design does not offer. */
  async function mustBeOffered(design: string, choices: Readonly<Record<string, string>>): Promise<void> {
    if (Object.keys(choices).length === 0) return;
    const chunks: Buffer[] = [];
    for await (const chunk of await store.read(design)) chunks.push(chunk as Buffer);
    const { options } = readDesign(Buffer.concat(chunks).toString('utf8'));
    for (const [name, choice] of Object.entries(choices)) {
      const option = options.find((one) => one.name === name);
      if (!option) throw new BillingError('invalid_request', `body.choices: the design has no option "${name}"`);
      if (!option.choices.includes(choice)) {
        const offered = option.choices.slice(0, 20).join(', ');
        throw new BillingError(
          'invalid_request',
          `body.choices: "${name}" has no choice "${choice}"; it has ${offered}`,
        );
      }
    }
  }

  return [
    route({
      method: 'post',
      path: '/v1/sessions',
      tag: 'Sessions',
      summary: 'Open a configuration session, or go on with the one that is open',
      description:
        'One session per user and design: a page that is loaded anew goes on with it and is answered 200. Opening another design ends the sessions on others. An administrator of the contract looks for nothing.',
      roles: ['submitter', 'contract-admin'],
      body: schemas.sessionRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/sessions/${id}` }),
      answers: {
        200: { description: 'It was open already and goes on.', schema: schemas.session },
        201: { description: 'Opened; its credits are reserved.', schema: schemas.session },
        202: { description: 'Accepted; not reserved yet. Repeat the request.', schema: schemas.session },
        402: {
          description: 'Rejected: not enough credits.',
          schema: schemas.insufficientCredits,
          mediaType: 'application/problem+json',
        },
      },
      refusals: [
        'not_found',
        'contract_not_in_force',
        'contract_suspended',
        'user_not_authorised',
        'input_invalid',
        'service_not_sold',
        'reservation_closed',
        'budget_exceeded',
        'session_ended',
      ],
      handle: async (asked) => {
        const { person, body, resourceId, claimedAt } = asked;
        const { design, contractId, ...options } = body;
        if (contractId !== null && !person.contractIds.includes(contractId)) throw notFound('contract');
        if (!(await findInput(db, person.userId, design))) throw notFound('input');
        const isAdministrator = contractId !== null && person.administers.includes(contractId);
        const wanted = { jobId: resourceId, userId: person.userId, contractId, design, isAdministrator };
        const session = await openSession(db, wanted, claimedAt);
        if (session.jobId !== resourceId) return act(person.userId, session.jobId, { kind: 'active' }, claimedAt);
        const reply = await submitJob(dependencies, {
          ...asked,
          isSession: true,
          body: {
            service: service.name,
            input: design,
            contractId,
            parameters: { viewer: isAdministrator ? 'administrator' : 'user' },
            timeLimitSeconds: TIME_LIMIT_SECONDS,
            ...options,
          },
        }).catch(async (error: unknown) => {
          // Refused before there was a job: then there is no session either.
          if (!(await findJob(db, resourceId))) await notBegun(resourceId, claimedAt);
          throw error;
        });
        if (reply.status !== 201 && reply.status !== 202) {
          await notBegun(resourceId, claimedAt);
          return reply;
        }
        const others = await closeOtherSessions(db, { jobId: resourceId, userId: person.userId }, claimedAt);
        await Promise.all(others.map((jobId) => workflows.sessionTouched(jobId)));
        const opened = viewOf(session, lookOf(session, claimedAt));
        const headers = { ...reply.headers, Location: `/v1/sessions/${resourceId}` };
        return { ...reply, headers, body: opened };
      },
    }),
    route({
      method: 'get',
      path: '/v1/sessions/:id',
      tag: 'Sessions',
      summary: 'A session of yours',
      params: schemas.idParams,
      answers: { 200: { description: 'The session.', schema: schemas.session } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const session = await ownSession(person.userId, params.id);
        return { status: 200, body: viewOf(session, lookOf(session, at)) };
      },
    }),
    route({
      method: 'post',
      path: '/v1/sessions/:id/activity',
      tag: 'Sessions',
      summary: 'Go on with a session',
      description: 'Keeps it open for another thirty minutes, takes back that its page was left, and notes choices.',
      params: schemas.idParams,
      body: schemas.sessionActivity,
      answers: { 200: { description: 'The session.', schema: schemas.session } },
      refusals: ['not_found', 'session_ended'],
      handle: async ({ person, params, body: { choices }, at }) => {
        const session = await ownSession(person.userId, params.id);
        await mustBeOffered(session.design, choices);
        return act(person.userId, params.id, { kind: 'active', choices }, at);
      },
    }),
    route({
      method: 'post',
      path: '/v1/sessions/:id/leave',
      tag: 'Sessions',
      summary: 'Say that a session’s page was left',
      description: 'It ends two minutes later unless somebody comes back, such as after loading the page anew.',
      params: schemas.idParams,
      answers: { 200: { description: 'The session.', schema: schemas.session } },
      refusals: ['not_found'],
      handle: ({ person, params, at }) => act(person.userId, params.id, { kind: 'left' }, at),
    }),
    route({
      method: 'post',
      path: '/v1/sessions/:id/close',
      tag: 'Sessions',
      summary: 'End a session',
      params: schemas.idParams,
      answers: { 200: { description: 'The session.', schema: schemas.session } },
      refusals: ['not_found'],
      handle: ({ person, params, at }) => act(person.userId, params.id, { kind: 'close', reason: 'closed' }, at),
    }),
  ];

  async function notBegun(id: string, at: Instant): Promise<void> {
    await actInSession(db, id, { kind: 'close', reason: 'not-reserved' }, at);
  }
}

function viewOf(session: SessionRow, look: SessionLook): z.output<typeof schemas.session> {
  const { jobId, design, contractId, isAdministrator, choices, openedAt, activeAt } = session;
  const job = `/v1/jobs/${jobId}`;
  return {
    id: jobId,
    state: look.state,
    design,
    contractId,
    isAdministrator,
    choices,
    openedAt,
    activeAt,
    warnAt: look.state === 'open' ? look.warnAt : null,
    endsAt: look.state === 'open' ? look.endsAt : look.at,
    endedFor: look.state === 'open' ? null : look.reason,
    links: { self: `/v1/sessions/${jobId}`, job, events: `${job}/events`, results: `${job}/results` },
  };
}
