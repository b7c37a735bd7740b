/** What a route is. The same object registers it with Express, validates its requests and describes it in OpenAPI. */
import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { Person, Role } from '../db/people';
import type { RefusalCode } from '../domain/errors';
import type { Instant } from '../domain/instant';

/** What a handler is given: everything validated, nothing to parse. */
export interface Asked<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly person: Person;
  readonly at: Instant;
  /** The id of what this request makes: the same for every repeat with its Idempotency-Key. */
  readonly resourceId: string;
  /** When the key was claimed: the business time of what the request does, the same for every repeat. */
  readonly claimedAt: Instant;
  readonly isRepeat: boolean;
  readonly request: Request;
  readonly response: Response;
}

/** An answer in JSON; `settled: false` is not remembered for its Idempotency-Key, so that a repeat looks again. */
export interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly settled?: boolean;
}

export interface Answer {
  readonly description: string;
  readonly schema?: z.ZodType;
  readonly mediaType?: string;
}

export interface Route<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** As Express writes it, with `:name` for parameters. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** Who may; anyone with a key when absent. `'anyone'` needs no key. */
  readonly roles?: readonly Role[] | 'anyone';
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** The request's body is a file, streamed by the handler. */
  readonly rawBody?: { readonly mediaTypes: readonly string[]; readonly description: string };
  /** Whether an Idempotency-Key is required: every write that is not idempotent by nature. */
  readonly idempotent?: boolean;
  /** Whether an If-Match header is required: the handler compares it with `mustMatch`. */
  readonly ifMatch?: boolean;
  /** The headers of a 201 by the id of what was made, for the repeats that get the first answer again. */
  readonly created?: (resourceId: string, params: z.output<Params>) => Readonly<Record<string, string>>;
  readonly answers: Readonly<Record<number, Answer>>;
  readonly refusals: readonly RefusalCode[];
  /** @returns a reply, or nothing when the handler answered the response itself. */
  readonly handle: (asked: Asked<z.output<Params>, z.output<Query>, z.output<Body>>) => Promise<Reply | undefined>;
}

/** Keeps the types of a route's parts together. */
export function route<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  definition: Route<Params, Query, Body>,
): Route {
  return definition as unknown as Route;
}
