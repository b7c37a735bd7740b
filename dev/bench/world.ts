/** The product in one process on its own servers, for measuring: real Postgres and Temporal, real API, real billing. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import pino from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { createJobActivities } from '../../activities/jobActivities';
import type { RunActivities } from '../../activities/run';
import { createApp } from '../../api/app';
import { temporalWorkflows } from '../../api/temporal';
import { beginAttempt, endAttempt, reportUsage } from '../../db/attempts';
import { connect, type Db } from '../../db/client';
import { grantLot } from '../../db/lots';
import { migrate } from '../../db/migrate';
import { openFolderStore } from '../../db/objectStore';
import { DEMO, seed } from '../../db/seed';
import { parseCredits } from '../../domain/credits';
import { addMilliseconds, instantOfMilliseconds } from '../../domain/instant';
import { wholeUnits } from '../../domain/usage';
import { SERVICES } from '../../services';
import { EMBEDDED_TASK_QUEUE, JOBS_TASK_QUEUE } from '../../workflows/messages';
import { startPostgres } from '../postgres';
import { packageRoot } from '../root';
import { startTemporal } from '../temporal';

export interface BenchWorld {
  readonly client: Client;
  readonly db: Db;
  /** Calls the API as the demo submitter, every POST under a new key. */
  call<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T>;
  /** A quote that any number of jobs can be submitted with. */
  readonly quoteId: string;
  stop(): Promise<void>;
}

export async function startBenchWorld(): Promise<BenchWorld> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
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
  const db = connect(postgres.url, { poolMax: 20 });
  await migrate(db, join(packageRoot(), 'db', 'migrations'));
  const keys = await seed(db, {}, now());
  // Many jobs at fifteen credits each are to be measured, not refused.
  await grantLot(db, {
    lot: {
      id: uuidv7(),
      poolId: DEMO.contract,
      kind: 'shared',
      source: 'purchase',
      amount: parseCredits('1000000'),
      effectiveAt: now(),
      expiresAt: addMilliseconds(now(), 86_400_000),
      purchasedAt: now(),
      reference: null,
    },
    actor: 'bench',
    reason: 'credits to measure with',
    at: now(),
  });
  const connection = await NativeConnection.connect({ address: temporal.address });
  const client = new Client({ connection: await Connection.connect({ address: temporal.address }) });
  const store = await openFolderStore(join(folder, 'objects'));
  const workers = await startWorkers(connection, db);
  const server = createServer(
    createApp({
      db,
      store,
      services: SERVICES,
      workflows: temporalWorkflows(client),
      now,
      log: pino({ level: 'error' }),
      settings: { inputBytesMax: 2 ** 28, heartbeatSeconds: 10, parkedGraceSeconds: 3_600, temporalUiUrl: null },
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
    call: (method, path, body) => call(method, path, body),
    quoteId: quote.id,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await workers.stop();
      await client.connection.close();
      await connection.close();
      await db.destroy();
      await Promise.all([postgres.stop(), temporal.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function now() {
  return instantOfMilliseconds(Date.now());
}

async function startWorkers(connection: NativeConnection, db: Db) {
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: join(packageRoot(), 'dist', 'dev', 'bench', 'workflows.js'),
    logger: new DefaultLogger('ERROR'),
  });
  const workers = [
    await Worker.create({
      connection,
      taskQueue: JOBS_TASK_QUEUE,
      workflowBundle,
      activities: createJobActivities({ db }),
    }),
    await Worker.create({ connection, taskQueue: EMBEDDED_TASK_QUEUE, activities: instantRun(db) }),
  ];
  const running = workers.map((worker) => worker.run());
  return {
    async stop() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
    },
  };
}

/** A run without an engine: the attempt's rows and one usage report, so that the settlement has something to charge. */
function instantRun(db: Db): RunActivities {
  return {
    async run({ jobId }) {
      const attempt = await beginAttempt(db, { jobId, runner: 'bench', worker: 'bench', at: now() });
      if (typeof attempt !== 'number') throw new Error(`the billing of job ${jobId} is closed`);
      const usage = [{ meter: 'simulations', unit: 'simulation', quantity: wholeUnits(1) }];
      await reportUsage(db, { jobId, attempt, seq: 1, usage, progress: 1_000_000, source: 'bench', at: now() });
      await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'done', at: now() });
      return { end: 'completed', message: 'done' };
    },
  };
}
