/** The product on its own servers, for measuring: real Postgres and Temporal, real API, real billing, workers beside it. */
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pino from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { createApp } from '../../api/app';
import { temporalWorkflows } from '../../api/temporal';
import { connect, type Db } from '../../db/client';
import { type Ledger, openLedger } from '../../db/ledger';
import { grantLot } from '../../db/lots';
import { migrate } from '../../db/migrate';
import { openFolderStore } from '../../db/objectStore';
import { DEMO, seed } from '../../db/seed';
import { CREDITS_MAX, parseCredits } from '../../domain/credits';
import { addMilliseconds, instantOfMilliseconds } from '../../domain/instant';
import { SERVICES } from '../../services';
import { startPostgres } from '../postgres';
import { packageRoot } from '../root';
import { startTemporal } from '../temporal';

export interface BenchWorld {
  readonly client: Client;
  readonly db: Db;
  readonly ledger: Ledger;
  /** Ids of processes, by what they are. */
  readonly processes: Readonly<Record<'postgres' | 'temporal' | 'workers', number>>;
  /** Calls the API as the demo submitter, every POST under a new key. */
  call<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T>;
  /** A quote that any number of jobs can be submitted with. */
  readonly quoteId: string;
  stop(): Promise<void>;
}

export async function startBenchWorld(): Promise<BenchWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  const [postgres, temporal] = await Promise.all([
    startPostgres({ folder: join(folder, 'postgres'), durable: true }),
    startTemporal({
      store: { folder: join(folder, 'temporal') },
      uiPort: false,
      log: join(folder, 'temporal.log'),
      say,
    }),
  ]);
  const owner = connect(postgres.url, { poolMax: 1, as: 'owner' });
  await migrate(owner, join(packageRoot(), 'db', 'migrations'));
  await owner.destroy();
  const db = connect(postgres.url, { poolMax: 20 });
  const ledger = openLedger(db);
  const keys = await seed(ledger, {}, now());
  // Many jobs at fifteen credits each are to be measured, not refused.
  await grantLot(ledger, {
    lot: {
      id: uuidv7(),
      poolId: DEMO.contract,
      kind: 'shared',
      source: 'purchase',
      amount: parseCredits('1000000'),
      effectiveAt: now(),
      expiresAt: addMilliseconds(now(), 86_400_000),
      graceUntil: null,
      purchasedAt: now(),
      reference: null,
      advance: false,
    },
    actor: 'bench',
    reason: 'credits to measure with',
    at: now(),
  });
  const client = new Client({ connection: await Connection.connect({ address: temporal.address }) });
  const store = await openFolderStore(join(folder, 'objects'));
  const workers = await startWorkers(postgres.url, temporal.address);
  const server = createServer(
    createApp({
      db,
      ledger,
      store,
      services: SERVICES,
      workflows: temporalWorkflows(client),
      now,
      log: pino({ level: 'error' }),
      settings: {
        inputBytesMax: 2 ** 28,
        heartbeatSeconds: 10,
        parkedGraceSeconds: 3_600,
        refundApprovalAbove: CREDITS_MAX,
        temporalUiUrl: null,
      },
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const key = keys.submitter?.key ?? '';
  const call = async <T>(method: 'GET' | 'POST', path: string, body?: unknown, mediaType = 'application/json') => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${key}`, 'Idempotency-Key': randomUUID(), 'Content-Type': mediaType },
      ...(body !== undefined && { body: Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body) }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer as T;
  };
  const netlist = await readFile(join(packageRoot(), 'samples', 'filter.cir'));
  const input = await call<{ digest: string }>(
    'POST',
    '/v1/inputs?name=filter.cir',
    netlist,
    'application/octet-stream',
  );
  const quote = await call<{ id: string }>('POST', '/v1/quotes', {
    service: 'simulation',
    input: input.digest,
    contractId: DEMO.contract,
  });
  return {
    client,
    db,
    ledger,
    processes: { postgres: postgres.pid, temporal: temporal.pid, workers: workers.pid },
    call: (method, path, body) => call(method, path, body),
    quoteId: quote.id,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await workers.stop();
      await client.connection.close();
      await ledger.close();
      await db.destroy();
      await Promise.all([postgres.stop(), temporal.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function now() {
  return instantOfMilliseconds(Date.now());
}

/** Starts the workers' process and waits until it polls. */
async function startWorkers(databaseUrl: string, temporalAddress: string) {
  const worker = fork(join(packageRoot(), 'dist', 'dev', 'bench', 'worker.js'), [databaseUrl, temporalAddress]);
  const ended = once(worker, 'exit');
  await Promise.race([
    once(worker, 'message'),
    ended.then(([code]) => {
      throw new Error(`the workers ended with ${code}`);
    }),
  ]);
  return {
    pid: worker.pid as number,
    async stop() {
      worker.disconnect();
      await ended;
    },
  };
}
