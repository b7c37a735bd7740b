import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import pino from 'pino';
import { packageRoot } from '../dev/root';
import { describedRoutes, OPENAPI_FILE, openApiText } from '../dev/writeOpenApi';
import { REFUSALS } from '../domain/errors';
import { instantOfMilliseconds } from '../domain/instant';
import { SERVICES } from '../services';
import { type ApiDependencies, createApp } from './app';
import { codesOf } from './openapi';

// biome-ignore lint/suspicious/noExplicitAny: a document of any shape, looked through by these tests
type Json = any;

const document: Json = JSON.parse(openApiText());
const operations: Json[] = Object.values(document.paths).flatMap((path) => Object.values(path as object));
const CODES = Object.keys(REFUSALS);

/** Codes that no answer of the API can carry, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  cap_exceeded: 'a job’s own limits are checked when it is submitted; the ledger refuses it all the same',
  lot_ended: 'no route ends or changes the life of a lot',
  lot_not_over: 'no route ends the life of a lot',
  nothing_to_refund: 'a charge is of a settled job, and zero is no amount to give back',
};

describe('the description of the API', () => {
  it('is committed as it is generated now: run "npm run openapi" when this fails', () => {
    expect(readFileSync(OPENAPI_FILE, 'utf8')).toBe(openApiText());
  });

  it('holds every schema that it refers to, and refers to every schema that it holds', () => {
    const refs = new Set<string>();
    JSON.stringify(document, (name, value) => {
      if (name === '$ref') refs.add(value);
      return value;
    });
    const held = Object.keys(document.components.schemas).map((id) => `#/components/schemas/${id}`);
    expect([...refs].filter((ref) => !held.includes(ref))).toEqual([]);
    expect(held.filter((ref) => !refs.has(ref))).toEqual([]);
    expect(JSON.stringify(document.components)).not.toMatch(/"\$(id|schema|defs)"/);
  });

  it('names every operation, each by another name, with a summary and a tag', () => {
    const ids = operations.map(({ operationId }) => operationId);
    expect(ids.every((id) => /^[a-z][A-Za-z]+$/.test(id))).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
    expect(operations.filter(({ summary, tags }) => !summary || !tags?.[0])).toEqual([]);
  });

  it('declares the parameters that a path has', () => {
    for (const [path, methods] of Object.entries<Json>(document.paths)) {
      for (const { parameters } of Object.values<Json>(methods)) {
        const named = parameters.filter((one: Json) => one.in === 'path').map((one: Json) => `{${one.name}}`);
        expect(path.match(/\{[^}]+\}/g) ?? []).toEqual(named);
      }
    }
  });

  it('requires an Idempotency-Key on every write that makes something', () => {
    for (const one of describedRoutes().filter(({ method }) => method !== 'get')) {
      expect({ path: one.path, keyed: one.idempotent === true }).toEqual({
        path: one.path,
        // An upload is named by what it holds and a purchase by its order number; digests and sessions that are ended stay
        // ended; reports of external runs never fall; a preview makes nothing, and neither does rating what might be used or
        // replaying what was.
        keyed: ![
          '/v1/inputs',
          '/v1/external/claims',
          '/v1/external/heartbeat',
          '/v1/external/results/:name',
          '/v1/external/end',
          '/v1/quotes/preview',
          '/v1/sessions/:id/activity',
          '/v1/sessions/:id/leave',
          '/v1/sessions/:id/close',
          '/v1/purchases',
          '/v1/purchases/:id/allocate',
          '/v1/rate-card-drafts/:id/rate',
          '/v1/rate-card-drafts/:id/replay',
          '/v1/rate-cards/:version/rate',
          '/v1/unsubscribe/:token',
          '/v1/withdrawals/preview',
        ].includes(one.path),
      });
    }
  });

  it('knows every code that a route refuses with', () => {
    for (const one of describedRoutes()) for (const code of codesOf(one)) expect(CODES).toContain(code);
  });
});

describe('the codes of refusals', () => {
  it('are the rows of docs/api.md, with status and retry, and nothing else', () => {
    const text = readFileSync(join(packageRoot(), 'docs/api.md'), 'utf8');
    const rows = [...text.matchAll(/^\| `(\w+)` +\| (\d{3}) +\| (yes|no) +\| (.+?) +\|$/gm)];
    const expected = Object.entries(REFUSALS).map(([code, { status, retry, title }]) => [
      code,
      String(status),
      retry ? 'yes' : 'no',
      title,
    ]);
    expect(rows.map(([, ...cells]) => cells)).toEqual(expected);
  });

  it('are each met by a test of the API, or cannot be', () => {
    const tests = readdirSync(__dirname).filter((name) => name.endsWith('.test.ts'));
    const asserted = tests.map((name) => readFileSync(join(__dirname, name), 'utf8')).join('\n');
    const met = CODES.filter((code) => asserted.includes(`code: '${code}'`));
    expect(CODES.filter((code) => !met.includes(code))).toEqual(Object.keys(ELSEWHERE));
  });
});

describe('an app without anything to stand on', () => {
  const messages: string[] = [];
  const app = createApp({
    services: SERVICES,
    now: () => instantOfMilliseconds(0),
    log: pino({ level: 'error' }, { write: (line: string) => void messages.push(line) }),
    settings: { inputBytesMax: 1, heartbeatSeconds: 1, parkedGraceSeconds: 1, temporalUiUrl: null },
  } as unknown as ApiDependencies);
  const server = createServer(app);
  let url: string;

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('says nothing of a bug but that there is one, and logs it', async () => {
    const response = await fetch(`${url}/v1/me`, { headers: { Authorization: 'Bearer hf_any' } });
    expect(response.status).toBe(500);
    const body = (await response.json()) as Json;
    expect(body).toMatchObject({ code: 'internal_error', retryable: true });
    expect(JSON.stringify(body)).not.toMatch(/TypeError|undefined|node_modules/);
    expect(messages.join()).toContain('TypeError');
  });

  it('describes itself, and shows the description with files of its own alone', async () => {
    expect(((await (await fetch(`${url}/openapi.json`)).json()) as Json).openapi).toBe('3.1.0');
    const page = await fetch(`${url}/docs`);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    const html = await page.text();
    expect(html).not.toMatch(/(https?:)?\/\/[\w.-]+/);
    const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? '');
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const path of files) {
      const response = await fetch(`${url}${path}`);
      expect([path, response.status]).toEqual([path, 200]);
      await response.arrayBuffer();
    }
    expect(await (await fetch(`${url}/docs/start.js`)).text()).not.toMatch(/https?:\/\//);
  });
});
