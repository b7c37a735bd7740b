/** The Express app: one pipeline for every route. */
import { createHash } from 'node:crypto';
import express, { type Express, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Db } from '../db/client';
import { claimKey, rememberAnswer } from '../db/idempotency';
import type { Ledger } from '../db/ledger';
import type { ObjectStore } from '../db/objectStore';
import { type Person, personOfKey } from '../db/people';
import type { Credits } from '../domain/credits';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Service } from '../services/service';
import { docsPage } from './docsPage';
import { openApiDocument } from './openapi';
import { invalidRequest, problemHandler, sendProblem } from './problems';
import type { Reply, Route } from './route';
import { allRoutes } from './routes';
import type { Workflows } from './workflowsPort';

export interface ApiDependencies {
  readonly db: Db;
  readonly ledger: Ledger;
  readonly store: ObjectStore;
  readonly services: ReadonlyMap<string, Service>;
  readonly workflows: Workflows;
  readonly now: () => Instant;
  readonly log: Logger;
  readonly settings: ApiSettings;
}

export interface ApiSettings {
  readonly inputBytesMax: number;
  readonly heartbeatSeconds: number;
  readonly parkedGraceSeconds: number;
  /** What may be given back of a charge without a second person (R15). */
  readonly refundApprovalAbove: Credits;
  /** The Temporal UI's page of our namespace; null when there is none. */
  readonly temporalUiUrl: string | null;
}

const BODY_MAX = '256kb';
const KEY_FORMAT = /^[\x21-\x7e]{1,255}$/;

export function createApp(dependencies: ApiDependencies): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  const routes = allRoutes(dependencies);
  const document = openApiDocument(routes);
  app.get('/openapi.json', (_request, response) => {
    response.json(document);
  });
  app.use('/docs', docsPage());
  for (const one of routes) app[one.method](one.path, ...pipeline(dependencies, one));
  for (const path of new Set(routes.map((one) => one.path))) {
    app.all(path, (request, response) => {
      const allowed = routes.filter((one) => one.path === path).map((one) => one.method.toUpperCase());
      response.setHeader('Allow', allowed.join(', ').replace('GET', 'GET, HEAD'));
      sendProblem(request, response, new BillingError('method_not_allowed', `Use ${allowed.join(' or ')} here.`));
    });
  }
  app.use((request, response) => {
    sendProblem(request, response, new BillingError('not_found', 'There is nothing here; /docs lists what there is.'));
  });
  app.use(problemHandler(dependencies.log));
  return app;
}

function pipeline(dependencies: ApiDependencies, one: Route): RequestHandler[] {
  const answer = (request: Request, response: Response, next: NextFunction) => {
    serve(dependencies, one, request, response).catch(next);
  };
  if (!one.body) return [answer];
  return [requireJson, express.json({ limit: BODY_MAX, strict: true, inflate: false }), requirePlain, answer];
}

const requireJson: RequestHandler = (request, _response, next) => {
  if (request.is('application/json')) return next();
  next(new BillingError('unsupported_media_type', 'Send the body as application/json.'));
};

const requirePlain: RequestHandler = (request, _response, next) => {
  const fault = faultOf(request.body, 0);
  next(fault === null ? undefined : new BillingError('invalid_request', fault));
};

const NESTING_MAX = 32;

/** What Postgres cannot keep in `text` or `jsonb`, and what is nested too deeply to be walked through safely. */
function faultOf(value: unknown, nesting: number): string | null {
  if (nesting > NESTING_MAX) return `The body is nested deeper than ${NESTING_MAX} levels.`;
  if (typeof value === 'string') {
    const isText = !/[\0\p{Surrogate}]/u.test(value);
    return isText ? null : 'A text in the body holds a NUL or half of a surrogate pair.';
  }
  if (value === null || typeof value !== 'object') return null;
  const inside = Array.isArray(value) ? value : Object.entries(value).flat();
  for (const member of inside) {
    const fault = faultOf(member, nesting + 1);
    if (fault !== null) return fault;
  }
  return null;
}

async function serve(dependencies: ApiDependencies, one: Route, request: Request, response: Response): Promise<void> {
  const { db, now } = dependencies;
  const at = now();
  const person = one.roles === 'anyone' ? NOBODY : await authenticate(db, request, at);
  if (Array.isArray(one.roles) && !one.roles.some((role) => person.roles.includes(role))) {
    throw new BillingError('forbidden', `This needs one of the roles: ${one.roles.join(', ')}.`);
  }
  const asked = {
    params: parse('path', one.params, request.params),
    query: parse('query', one.query, request.query),
    body: parse('body', one.body, request.body),
    person,
    at,
    request,
    response,
  };
  const claim = one.idempotent ? await claimRequest(dependencies, one, request, person, at) : null;
  if (claim?.answer) {
    response.setHeader('Idempotent-Replayed', 'true');
    const headers = claim.answer.status === 201 ? one.created?.(claim.resourceId, asked.params) : undefined;
    return send(one, response, { ...claim.answer, ...(headers && { headers }) });
  }
  const reply = await one.handle({
    ...asked,
    resourceId: claim?.resourceId ?? '',
    claimedAt: claim?.claimedAt ?? at,
    isRepeat: claim?.isRepeat ?? false,
  } as Parameters<Route['handle']>[0]);
  if (!reply) return;
  if (claim && reply.settled !== false) {
    await rememberAnswer(db, { userId: person.userId, key: claim.key, status: reply.status, body: reply.body });
  }
  send(one, response, reply);
}

const NOBODY: Person = {
  keyId: '',
  userId: '',
  name: '',
  email: '',
  roles: [],
  everything: false,
  contractIds: [],
  administers: [],
};

async function authenticate(db: Db, request: Request, at: Instant): Promise<Person> {
  const key = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const person = key === undefined ? undefined : await personOfKey(db, key, at);
  if (!person) {
    throw new BillingError('unauthenticated', 'Send a valid API key in the header "Authorization: Bearer hf_…".');
  }
  return person;
}

function parse(where: string, schema: z.ZodType | undefined, value: unknown): unknown {
  if (!schema) return undefined;
  const parsed = schema.safeParse(value ?? {});
  if (!parsed.success) throw invalidRequest(where, parsed.error);
  return parsed.data;
}

async function claimRequest(dependencies: ApiDependencies, one: Route, request: Request, person: Person, at: Instant) {
  const key = request.header('Idempotency-Key') ?? '';
  if (!KEY_FORMAT.test(key)) {
    throw new BillingError(
      'idempotency_key_required',
      'Send an Idempotency-Key header of 1 to 255 visible characters, a new one for each thing you want done.',
    );
  }
  const requestHash = createHash('sha256')
    .update(JSON.stringify([one.method, request.path, canonical(request.body)]))
    .digest();
  const claim = await claimKey(dependencies.db, { userId: person.userId, key, requestHash, at });
  if (!claim) {
    throw new BillingError(
      'idempotency_key_reused',
      'This Idempotency-Key was used with another request; use a new key for a new request.',
    );
  }
  return { ...claim, key };
}

/** The same for two bodies that differ only in the order of their members. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, member]) => [name, canonical(member)]));
}

function send({ answers }: Route, response: Response, { status, body, headers }: Reply): void {
  if (headers) response.set(headers);
  const type = answers[status] ? (answers[status].mediaType ?? 'application/json') : 'application/problem+json';
  response.status(status).type(type).send(JSON.stringify(body));
}
