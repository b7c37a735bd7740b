import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, Refused, Unreachable } from './client';
import type { ServerEvent } from './eventStream';
import { answerJson, INSUFFICIENT, startServer, type TestServer, UNAVAILABLE } from './testing/server';

const open: TestServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function serverThat(...parameters: Parameters<typeof startServer>): Promise<TestServer> {
  const server = await startServer(...parameters);
  open.push(server);
  return server;
}

/** A client that notes how long it would wait and does not. */
function impatient(url: string) {
  const waits: number[] = [];
  const client = createClient({
    url,
    key: 'hf_test',
    pause: async (milliseconds) => {
      waits.push(milliseconds);
    },
  });
  return { client, waits };
}

const JOB_REQUEST = { quoteId: '00000000-0000-7000-8000-000000000001' };

test('a request that got no answer, or a 503, is sent again with the same idempotency key', async () => {
  const server = await serverThat((_request, response, count) => {
    if (count === 0) response.destroy();
    else if (count === 1) answerJson(response, 503, UNAVAILABLE, { 'retry-after': '2' });
    else answerJson(response, 201, { id: 'job' });
  });
  const { client, waits } = impatient(server.url);
  expect((await client.submit(JOB_REQUEST)).body.id).toBe('job');
  const keys = server.received.map(({ headers }) => headers['idempotency-key']);
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
  expect(new Set(server.received.map(({ body }) => body))).toEqual(new Set([JSON.stringify(JOB_REQUEST)]));
  expect(waits).toEqual([250, 2000]);
});

test('two requests never share an idempotency key', async () => {
  const server = await serverThat((_request, response) => answerJson(response, 201, {}));
  const { client } = impatient(server.url);
  await client.submit(JOB_REQUEST);
  await client.submit(JOB_REQUEST);
  const keys = server.received.map(({ headers }) => headers['idempotency-key']);
  expect(new Set(keys).size).toBe(2);
});

test('retries are bounded, and the last problem is what is told', async () => {
  const server = await serverThat((_request, response) => answerJson(response, 503, UNAVAILABLE));
  const { client } = impatient(server.url);
  await expect(client.me()).rejects.toMatchObject({ problem: { code: 'unavailable' } });
  expect(server.received).toHaveLength(5);
});

test('a server that wants to be left alone for long is not waited for', async () => {
  const server = await serverThat((_request, response) =>
    answerJson(response, 503, UNAVAILABLE, { 'retry-after': '3600' }),
  );
  const { client, waits } = impatient(server.url);
  await expect(client.me()).rejects.toBeInstanceOf(Refused);
  expect(waits).toEqual([]);
});

test('a refusal is not tried again and keeps its exact text', async () => {
  const server = await serverThat((_request, response) => answerJson(response, 402, INSUFFICIENT));
  const { client } = impatient(server.url);
  const refused = await client.submit(JOB_REQUEST).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Refused);
  expect((refused as Refused).text).toBe(JSON.stringify(INSUFFICIENT));
  expect(server.received).toHaveLength(1);
});

test('nobody there, or somebody else, is told as such', async () => {
  const server = await serverThat((_request, response) => response.end('<html>'));
  await expect(impatient(server.url).client.me()).rejects.toThrow(/not as Holdfast does/);
  const gone = await startServer(() => undefined);
  await gone.close();
  const { client, waits } = impatient(gone.url);
  await expect(client.me()).rejects.toBeInstanceOf(Unreachable);
  expect(waits).toHaveLength(4);
});

test('a broken stream of events goes on after the last id and delivers nothing twice', async () => {
  const server = await serverThat((request, response, count) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (count === 0) {
      // Broken off in the middle of an event.
      response.write('id: 1\nevent: reserved\ndata: {}\n\nid: 2\nevent: running\ndata: {', () => response.destroy());
    } else if (count === 1) {
      response.end('id: 2\nevent: running\ndata: {}\n\nevent: progress\ndata: {}\n\n');
    } else {
      response.end(`id: 3\nevent: settled\ndata: "${request.headers['last-event-id']}"\n\nevent: end\ndata: {}\n\n`);
    }
  });
  const events: ServerEvent[] = [];
  for await (const event of impatient(server.url).client.events('job')) events.push(event);
  expect(events.map(({ event }) => event)).toEqual(['reserved', 'running', 'progress', 'settled', 'end']);
  expect(server.received.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '1', '2']);
});

test('a stream that never gets anywhere is given up', async () => {
  const server = await serverThat((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end();
  });
  const { client } = impatient(server.url);
  await expect(client.events('job').next()).rejects.toBeInstanceOf(Unreachable);
});

test('a job that may not be seen has no events', async () => {
  const problem = { ...UNAVAILABLE, status: 404, code: 'not_found', detail: 'There is no such job.' };
  const server = await serverThat((_request, response) => answerJson(response, 404, problem));
  await expect(impatient(server.url).client.events('job').next()).rejects.toMatchObject({ problem: { status: 404 } });
});

describe('files', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-client-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test('an upload that broke off is sent again whole', async () => {
    const contents = 'netlist\n'.repeat(50_000);
    await writeFile(join(folder, 'a b.cir'), contents);
    const server = await serverThat((_request, response, count) => {
      if (count === 0) response.destroy();
      else answerJson(response, 201, { digest: 'sha256:0' });
    });
    const { client } = impatient(server.url);
    await client.upload({ path: join(folder, 'a b.cir'), name: 'a b.cir', mediaType: 'text/x-spice' });
    expect(server.received.map(({ body }) => body === contents)).toEqual([true, true]);
    expect(server.received[1]).toMatchObject({
      path: '/v1/inputs?name=a+b.cir',
      headers: { 'content-type': 'text/x-spice' },
    });
  });

  test('a download that broke off leaves no file', async () => {
    const server = await serverThat((_request, response, count) => {
      response.writeHead(200, { 'content-length': '10' });
      if (count === 0) response.write('half', () => response.destroy());
      else response.end('0123456789');
    });
    const { client } = impatient(server.url);
    await expect(client.download('job', 'x.csv', join(folder, 'x.csv'))).rejects.toThrow();
    expect(await readdir(folder)).toEqual([]);
    await client.download('job', 'x.csv', join(folder, 'x.csv'));
    expect(await readFile(join(folder, 'x.csv'), 'utf8')).toBe('0123456789');
  });
});
