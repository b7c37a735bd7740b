/** OpenAPI 3.1 out of the routes and the schemas that validate them. */
import { z } from 'zod';
import { REFUSALS, type RefusalCode } from '../domain/errors';
import type { Route } from './route';
import * as schemas from './schemas';

type Json = Record<string, unknown>;

const TITLE = 'Holdfast';
const ref = (id: string) => `#/components/schemas/${id}`;

/** The whole document. Deterministic, so that a copy of it can be compared. */
export function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const one of routes) {
    const path = one.path.replace(/:([a-zA-Z]+)/g, '{$1}');
    paths[path] = { ...paths[path], [one.method]: operationOf(one) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: TITLE,
      version: '1',
      description:
        'Compute jobs billed in prepaid credits. Amounts are decimal strings of credits; instants are RFC 3339; errors are RFC 9457 problems with a stable code.',
    },
    security: [{ apiKey: [] }],
    paths,
    components: {
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'An API key, hf_….' } },
      schemas: components(routes),
    },
  };
}

/** Every schema with a name, those of the pages of lists included: they are made by the routes that answer them. */
function components(routes: readonly Route[]): Json {
  const answered = routes.flatMap(({ answers }) => Object.values(answers).map(({ schema }) => schema));
  const named = new Map<string, z.ZodType>();
  for (const schema of [...Object.values(schemas), ...answered]) {
    const id = idOf(schema);
    if (id !== undefined && !named.has(id)) named.set(id, schema as z.ZodType);
  }
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of named) registry.add(schema, { id });
  const { schemas: made } = z.toJSONSchema(registry, { uri: ref, io: 'input', unrepresentable: 'any' });
  // Inside one document a schema is known by its place: an `$id` would change what its references are relative to.
  const byName = Object.entries(made).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(byName.map(([id, { $schema: _schema, $id: _id, ...json }]) => [id, json]));
}

function idOf(schema: unknown): string | undefined {
  return schema instanceof z.ZodType ? (z.globalRegistry.get(schema)?.id as string | undefined) : undefined;
}

function operationOf(one: Route): Json {
  return {
    operationId: operationId(one),
    tags: [one.tag],
    summary: one.summary,
    ...(one.description !== undefined && { description: one.description }),
    ...(one.roles === 'anyone' && { security: [] }),
    ...(Array.isArray(one.roles) && { 'x-roles': one.roles }),
    parameters: [
      ...parametersOf(one.params, 'path'),
      ...parametersOf(one.query, 'query'),
      ...keyParameter(one),
      ...matchParameter(one),
    ],
    ...requestBodyOf(one),
    responses: { ...answersOf(one), ...refusalsOf(one) },
  };
}

function operationId({ method, path }: Route): string {
  const words = path
    .replace('/v1', '')
    .split(/[/:.-]+/)
    .filter(Boolean);
  return [method, ...words]
    .map((word, index) => (index === 0 ? word : word[0]?.toUpperCase() + word.slice(1)))
    .join('');
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, value]) => ({
    name,
    in: where,
    required: where === 'path' || !value.safeParse(undefined).success,
    schema: inline(value),
  }));
}

function keyParameter(one: Route): Json[] {
  if (!one.idempotent) return [];
  return [
    {
      name: 'Idempotency-Key',
      in: 'header',
      required: true,
      description: 'A new key for each thing you want done; a repeat with the same key and body gets the same answer.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    },
  ];
}

function matchParameter(one: Route): Json[] {
  if (!one.ifMatch) return [];
  return [
    {
      name: 'If-Match',
      in: 'header',
      required: true,
      description: 'The ETag of what you read, so that nobody’s change is lost; * changes whatever is there.',
      schema: { type: 'string' },
    },
  ];
}

function requestBodyOf(one: Route): Json {
  if (one.body)
    return { requestBody: { required: true, content: { 'application/json': { schema: inline(one.body) } } } };
  if (!one.rawBody) return {};
  const binary = { schema: { type: 'string', format: 'binary' } };
  const content = Object.fromEntries(one.rawBody.mediaTypes.map((type) => [type, binary]));
  return { requestBody: { required: true, description: one.rawBody.description, content } };
}

function answersOf(one: Route): Json {
  return Object.fromEntries(
    Object.entries(one.answers).map(([status, { description, schema, mediaType = 'application/json' }]) => [
      status,
      { description, ...(schema && { content: { [mediaType]: { schema: inline(schema) } } }) },
    ]),
  );
}

/** Every code that a route can refuse with. */
export function codesOf(one: Route): Set<RefusalCode> {
  const always: RefusalCode[] = ['internal_error', 'unavailable'];
  const keyed: RefusalCode[] = one.idempotent ? ['idempotency_key_required', 'idempotency_key_reused'] : [];
  const guarded: RefusalCode[] = one.roles === 'anyone' ? [] : ['unauthenticated'];
  const matched: RefusalCode[] = one.ifMatch ? ['precondition_required', 'precondition_failed'] : [];
  const limited: RefusalCode[] = Array.isArray(one.roles) ? ['forbidden'] : [];
  const parsed: RefusalCode[] = one.body || one.params || one.query ? ['invalid_request'] : [];
  const bodied: RefusalCode[] = one.body ? ['body_too_large', 'unsupported_media_type'] : [];
  return new Set([...one.refusals, ...parsed, ...bodied, ...keyed, ...matched, ...guarded, ...limited, ...always]);
}

/** Refusals by status, each with the codes that it can carry. */
function refusalsOf(one: Route): Json {
  const byStatus = new Map<number, RefusalCode[]>();
  for (const code of codesOf(one)) {
    const { status } = REFUSALS[code];
    if (status in one.answers) continue;
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, codes]) => [
        status,
        {
          description: codes.map((code) => `\`${code}\`: ${REFUSALS[code].title}.`).join(' '),
          content: { 'application/problem+json': { schema: { $ref: ref('Problem') } } },
        },
      ]),
  );
}

function inline(schema: z.ZodType): Json {
  const id = idOf(schema);
  if (id !== undefined) return { $ref: ref(id) };
  const {
    $schema: _schema,
    $defs: _defs,
    ...json
  } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json;
  // A named schema that says more here is referred to by a definition beside it; the document holds it under its name.
  return JSON.parse(JSON.stringify(json).replaceAll('"#/$defs/', `"${ref('')}`));
}
