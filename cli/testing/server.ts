/** A small HTTP server for tests of the client: it answers as each test says and remembers what was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface TestServer {
  readonly url: string;
  readonly received: Received[];
  close(): Promise<void>;
}

type Answering = (request: Received, response: ServerResponse, count: number) => void;

/** Starts a server on a free port. `answer` is given how many requests came before, too. */
export async function startServer(answer: Answering): Promise<TestServer> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request;
      const one = { method, path, headers, body: Buffer.concat(chunks).toString() };
      received.push(one);
      answer(one, response, received.length - 1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function answerJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

export const INSUFFICIENT = {
  type: 'urn:holdfast:problem:insufficient_credits',
  title: 'There are not enough credits',
  status: 402,
  code: 'insufficient_credits',
  detail: 'Needed: 12 credits. Spendable here now: 2. Missing: 10.',
  instance: '/v1/jobs',
  retryable: false,
  required: '12',
  available: '2',
  shortfall: '10',
  remedies: [
    { action: 'add_credits', message: 'Have at least 10 credits added.', amount: '10' },
    { action: 'ask_for_less', message: 'Ask for a smaller job.', amount: '2' },
  ],
};

export const UNAVAILABLE = {
  type: 'urn:holdfast:problem:unavailable',
  title: 'A part of the service is not reachable at the moment',
  status: 503,
  code: 'unavailable',
  detail: 'The database cannot be reached.',
  instance: '/v1/me',
  retryable: true,
};
