/** Errors as RFC 9457 problems: the one place where an error becomes an HTTP answer. */
import type { ErrorRequestHandler, Request, Response } from 'express';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { isUnavailable } from '../db/client';
import { BillingError, REFUSALS } from '../domain/errors';
import { InputError } from '../services/service';

export function problemOf(error: BillingError, instance: string) {
  const { status, retry, title } = REFUSALS[error.code];
  return {
    type: `urn:holdfast:problem:${error.code}`,
    title,
    status,
    code: error.code,
    detail: error.message,
    instance,
    retryable: retry,
    ...error.details,
  };
}

/** Answers with a problem. */
export function sendProblem(request: Request, response: Response, error: BillingError): void {
  const problem = problemOf(error, request.originalUrl);
  if (problem.status === 503) response.setHeader('Retry-After', '2');
  if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** What a request lacks to be valid, field by field. */
export function invalidRequest(where: string, error: z.ZodError): BillingError {
  const errors = error.issues.map((issue) => ({ field: [where, ...issue.path].join('.'), message: issue.message }));
  const sentence = errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
  return new BillingError('invalid_request', sentence, { errors });
}

/** Thing not there or not yours: the two look the same. */
export function notFound(what: string): BillingError {
  return new BillingError('not_found', `There is no such ${what}, or you may not see it.`);
}

/** A file that cannot be run, as a refusal. */
export function inputInvalid(error: InputError): BillingError {
  return new BillingError('input_invalid', error.message, { reason: error.code }, { cause: error });
}

export function problemHandler(log: Logger): ErrorRequestHandler {
  return (error, request, response, next) => {
    if (response.headersSent) return next(error);
    // The asker broke off: there is nobody to answer, and its connection says nothing about ours to the database.
    if (response.destroyed || request.socket?.destroyed) return;
    sendProblem(request, response, refusalOf(error, request, log));
  };
}

function refusalOf(error: unknown, request: Request, log: Logger): BillingError {
  if (error instanceof BillingError) {
    if (error.code === 'unavailable') log.warn({ err: error }, 'a part of the service cannot be reached');
    return error;
  }
  if (error instanceof InputError) return inputInvalid(error);
  if (isUnavailable(error)) {
    log.warn({ err: error }, 'the database cannot be reached');
    return new BillingError('unavailable', 'The database cannot be reached; send the same request again in a moment.');
  }
  const unread = refusalOfUnread(error);
  if (unread) return unread;
  log.error({ err: error, method: request.method, path: request.path }, 'a request failed');
  return new BillingError('internal_error', 'The request failed on our side; nothing you can mend. It was logged.');
}

/** Requests that Express or the reader of JSON bodies could not read, by the type they give their errors. */
function refusalOfUnread(error: unknown): BillingError | undefined {
  if (error instanceof URIError) return new BillingError('invalid_request', 'The path is not encoded correctly.');
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  const kind = 'type' in error ? error.type : undefined;
  if (kind === 'entity.too.large') return new BillingError('body_too_large', 'A request body is at most 256 KiB.');
  if (kind === 'encoding.unsupported' || kind === 'charset.unsupported') {
    return new BillingError('unsupported_media_type', 'Send the body as JSON in UTF-8 without a content encoding.');
  }
  if (error.status < 400 || error.status >= 500) return undefined;
  return new BillingError('invalid_request', 'The body is not valid JSON.', {}, { cause: error });
}
