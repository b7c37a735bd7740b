/**
 * The real API on a free port, with a seeded database and a Temporal namespace of its own. Workers run only when a test
 * starts them. Every answer is held against what the route declares before a test sees it.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import pino from 'pino';
import { createContractActivities } from '../../activities/contracts';
import { createExternalBoard } from '../../activities/externalBoard';
import { createJobActivities } from '../../activities/jobActivities';
import type { NoticeDelivery } from '../../activities/notices';
import { createRunActivities } from '../../activities/run';
import { createSessionActivities } from '../../activities/sessions';
import { createSlots, type Slots } from '../../activities/slots';
import { createWithdrawalActivities } from '../../activities/withdrawals';
import { type ApiDependencies, createApp } from '../../api/app';
import { codesOf } from '../../api/openapi';
import type { Route } from '../../api/route';
import { allRoutes } from '../../api/routes';
import { problem } from '../../api/schemas';
import { temporalWorkflows } from '../../api/temporal';
import type { Workflows } from '../../api/workflowsPort';
import { connect, type Db } from '../../db/client';
import { offerEngines } from '../../db/computeOffers';
import { type Ledger, type LedgerOptions, openLedger } from '../../db/ledger';
import { type ObjectStore, openFolderStore } from '../../db/objectStore';
import { type DEMO, type DemoKey, seed } from '../../db/seed';
import { createTestDatabase } from '../../db/testing/database';
import { brokenInvariants } from '../../db/testing/invariants';
import { packageRoot } from '../../dev/root';
import { type Credits, parseCredits } from '../../domain/credits';
import { REFUSALS, type RefusalCode } from '../../domain/errors';
import { type Instant, instantOfMilliseconds } from '../../domain/instant';
import { jobWorkflowId } from '../../domain/job';
import { taskQueueOf } from '../../domain/route';
import { createEmbeddedRunner } from '../../runners/embedded';
import { createExternalRunner } from '../../runners/external';
import type { FolderLimits } from '../../runners/folderLimits';
import type { Runner } from '../../runners/runner';
import { createSandboxRunner, programsOffered } from '../../runners/sandbox';
import { SERVICES } from '../../services';
import {
  CONTRACTS_TASK_QUEUE,
  EMBEDDED_TASK_QUEUE,
  JOBS_TASK_QUEUE,
  runReportedSignal,
} from '../../workflows/messages';
import { bundlePath } from '../world/bundle';
import { openNamespace } from '../world/namespace';

export type Who = keyof typeof DEMO.people;

/** Small enough to send too much. */
export const INPUT_BYTES_MAX = 4 * 1024 * 1024;

export interface Ask {
  /** A demo person, an API key, or nobody. */
  readonly as?: Who | { readonly key: string } | null;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: NonNullable<RequestInit['body']>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The Idempotency-Key: a new one unless given; `null` sends none. */
  readonly key?: string | null;
}

export interface Heard {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: checked against the route's schema before a test looks at it
  readonly body: any;
}

export interface TestApi {
  readonly url: string;
  readonly db: Db;
  /** As the owner of the schema, for what a test has to arrange. */
  readonly owner: Db;
  /** Another ledger of the same database than the API's. */
  readonly ledger: Ledger;
  readonly keys: Readonly<Record<string, DemoKey>>;
  readonly store: ObjectStore;
  /** What the API takes for the present, as a distance from the real one. */
  readonly clock: { aheadMs: number };
  /** What a test may change for the jobs that it submits. */
  readonly settings: { parkedGraceSeconds: number };
  readonly client: Client;
  /** Asks and compares the answer with what the route says it answers. */
  ask(method: string, path: string, ask?: Ask): Promise<Heard>;
  /** Uploads a text as an input. @returns its digest. */
  upload(text: string, options?: { as?: Who; name?: string; mediaType?: string }): Promise<string>;
  startJobsWorker(): Promise<void>;
  startComputeWorker(): Promise<void>;
  /** A worker of the sandbox, with every program that is installed; it says what it offers. @returns its work folder. */
  startSandboxWorker(memoryBytesMax: number, folderLimits?: FolderLimits): Promise<string>;
  /** The worker of what computes elsewhere; a claimer is lost after being silent for so long. */
  startExternalWorker(lostAfterMs: number): Promise<void>;
  /** The worker of contracts and, where a test says how notices go, of withdrawals. */
  startContractsWorker(activities?: { notices?: NoticeDelivery }): Promise<void>;
  /** Files in the object store, half-written ones too. */
  storedFiles(): Promise<string[]>;
  /** Stops everything, and fails when the ledger is not sound. */
  close(): Promise<void>;
}

export interface StartApi {
  /** Where the API finds Postgres, when not directly: given the URL of the database. */
  readonly databaseUrl?: (direct: string) => string | Promise<string>;
  /** Where the API finds Temporal, when not at the test's server. */
  readonly temporalAddress?: string;
  /** How much the API's ledger lets wait. */
  readonly ledger?: LedgerOptions;
  /** What may be given back of a charge without a second person. */
  readonly refundApprovalAbove?: Credits;
  /** How long a parked job waits. */
  readonly parkedGraceSeconds?: number;
  /** What the API asks instead of Temporal, made from what it would ask. */
  readonly workflows?: (temporal: Workflows) => Workflows;
}

/** Starts the API; {@link TestApi.close} ends it. */
export async function startApi(options: StartApi = {}): Promise<TestApi> {
  const ends: (() => Promise<unknown>)[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-api-'));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  const [database, temporal] = await Promise.all([createTestDatabase(), openNamespace()]);
  ends.push(() => database.drop());
  ends.push(() => temporal.client.connection.close());
  const { namespace } = temporal;
  const keys = await seed(database.ledger, {}, now());
  const db = connect((await options.databaseUrl?.(database.url)) ?? database.url, { poolMax: 8 });
  const ledger = openLedger(db, options.ledger);
  ends.push(() => db.destroy());
  ends.push(() => ledger.close());
  const connection = Connection.lazy({ address: options.temporalAddress ?? temporal.address });
  const client = new Client({ connection, namespace });
  ends.push(() => connection.close());
  const objects = join(folder, 'objects');
  const clock = { aheadMs: 0 };
  const settings = {
    inputBytesMax: INPUT_BYTES_MAX,
    heartbeatSeconds: 5,
    parkedGraceSeconds: options.parkedGraceSeconds ?? 60,
    refundApprovalAbove: options.refundApprovalAbove ?? parseCredits('1000'),
    temporalUiUrl: 'http://127.0.0.1:8233',
  };
  const dependencies: ApiDependencies = {
    db,
    ledger,
    store: await openFolderStore(objects),
    services: SERVICES,
    workflows: options.workflows?.(temporalWorkflows(client)) ?? temporalWorkflows(client),
    now: () => instantOfMilliseconds(Date.now() + clock.aheadMs),
    log: pino({ level: process.env.HOLDFAST_LOG_LEVEL ?? 'silent' }),
    settings,
  };
  const server = createServer(createApp(dependencies));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const routes = allRoutes(dependencies);

  async function ask(method: string, path: string, one: Ask = {}): Promise<Heard> {
    const response = await fetch(`${url}${path}`, requestOf(method, one, keys));
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    const heard = {
      status: response.status,
      headers: response.headers,
      body: isJson && text !== '' ? JSON.parse(text) : text,
    };
    if (method !== 'HEAD') checkAnswer(routes, method, path, heard);
    return heard;
  }

  /** Runs a worker until the API closes. */
  async function work(worker: Worker): Promise<void> {
    const running = worker.run();
    ends.push(async () => {
      worker.shutdown();
      await running;
    });
  }

  async function nativeConnection(): Promise<NativeConnection> {
    const native = await NativeConnection.connect({ address: temporal.address });
    ends.push(() => native.close());
    return native;
  }

  /** Serves runs through a runner. */
  async function runWith(
    taskQueue: string,
    runner: Runner,
    slots: Slots,
    { workFolder = join(folder, 'work'), memoryBytesMax = 1024 ** 3 } = {},
  ): Promise<void> {
    await work(
      await Worker.create({
        connection: await nativeConnection(),
        namespace,
        taskQueue,
        activities: createRunActivities({
          db: database.db,
          store: dependencies.store,
          runner,
          services: SERVICES,
          slots,
          workFolder,
          memoryBytesMax,
          worker: 'test',
          now,
          tellWorkflow: (jobId, report) =>
            client.workflow.getHandle(jobWorkflowId(jobId)).signal(runReportedSignal, report),
          log: dependencies.log,
        }),
        maxHeartbeatThrottleInterval: '200ms',
      }),
    );
  }

  return {
    url,
    db: database.db,
    owner: database.owner,
    ledger: database.ledger,
    keys,
    clock,
    settings,
    store: dependencies.store,
    client,
    ask,
    async upload(text, { as = 'submitter', name = 'input.cir', mediaType = 'text/x-spice' } = {}) {
      const query = new URLSearchParams({ name });
      const { body } = await ask('POST', `/v1/inputs?${query}`, {
        as,
        body: text,
        headers: { 'Content-Type': mediaType },
      });
      return body.digest;
    },
    async startJobsWorker() {
      const codePath = process.env.HOLDFAST_TEST_WORKFLOW_BUNDLE;
      if (!codePath) throw new Error('HOLDFAST_TEST_WORKFLOW_BUNDLE is not set; build before running these tests');
      await work(
        await Worker.create({
          connection: await nativeConnection(),
          namespace,
          taskQueue: JOBS_TASK_QUEUE,
          workflowBundle: { codePath },
          activities: {
            ...createJobActivities({ ledger: database.ledger }),
            ...createSessionActivities({ db: database.db, store: dependencies.store }),
          },
        }),
      );
    },
    async startContractsWorker({ notices } = {}) {
      await work(
        await Worker.create({
          connection: await nativeConnection(),
          namespace,
          taskQueue: CONTRACTS_TASK_QUEUE,
          workflowBundle: { codePath: bundlePath() },
          activities: {
            ...createContractActivities({ ledger: database.ledger }),
            ...(notices && createWithdrawalActivities({ ledger: database.ledger, notices })),
          },
        }),
      );
    },
    async startComputeWorker() {
      const workFolder = join(folder, 'work');
      const runner = createEmbeddedRunner({ enginesFolder: join(packageRoot(), 'dist/engines'), workFolder });
      await runWith(EMBEDDED_TASK_QUEUE, runner, createSlots(1));
    },
    async startSandboxWorker(memoryBytesMax, folderLimits) {
      const workFolder = join(folder, 'sandbox');
      const enginesFolder = join(packageRoot(), 'dist/engines');
      const runner = createSandboxRunner({ enginesFolder, workFolder, ...(folderLimits && { folderLimits }) });
      const installed = programsOffered();
      const slots = createSlots(2);
      const engines = [...SERVICES.values()]
        .flatMap((service) => service.engines)
        .filter(({ programs = [] }) => programs.every((program) => installed.includes(program)));
      const routes = engines.map(({ name }) => ({ runner: 'sandbox' as const, engine: name }));
      const queues = new Set(
        engines.map(({ name, programs }) => taskQueueOf({ runner: 'sandbox', engine: name }, programs)),
      );
      for (const queue of queues) await runWith(queue, runner, slots, { workFolder, memoryBytesMax });
      await offerEngines(database.db, { worker: 'sandbox', offers: routes, at: now() });
      return workFolder;
    },
    async startExternalWorker(lostAfterMs) {
      const board = createExternalBoard({ db: database.db, store: dependencies.store, now });
      const runner = createExternalRunner({ board, lostAfterMs, lookEveryMs: 50 });
      await runWith(taskQueueOf({ runner: 'external', engine: '' }), runner, createSlots(10));
    },
    async storedFiles() {
      const entries = await readdir(objects, { recursive: true, withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    },
    async close() {
      const broken = await brokenInvariants(database.db).finally(async () => {
        for (const end of ends.reverse()) await end();
      });
      expect(broken).toEqual([]);
    },
  };
}

function now(): Instant {
  return instantOfMilliseconds(Date.now());
}

function requestOf(method: string, one: Ask, keys: Readonly<Record<string, DemoKey>>): RequestInit {
  const { as = 'submitter', json, body = json === undefined ? undefined : JSON.stringify(json), key } = one;
  const apiKey = typeof as === 'string' ? keys[as]?.key : as?.key;
  const isJson = json !== undefined;
  return {
    method,
    ...(body !== undefined && { body }),
    ...(body instanceof ReadableStream && { duplex: 'half' }),
    headers: {
      ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}` }),
      ...(isJson && { 'Content-Type': 'application/json' }),
      ...(!['GET', 'HEAD'].includes(method) && key !== null && { 'Idempotency-Key': key ?? randomUUID() }),
      ...one.headers,
    },
  };
}

/** Fails when an answer is not what its route declares: another shape, more than it says, or an undeclared refusal. */
function checkAnswer(routes: readonly Route[], method: string, path: string, heard: Heard): void {
  const { pathname } = new URL(path, 'http://any');
  const one = routes.find((route) => route.method === method.toLowerCase() && patternOf(route).test(pathname));
  const mediaType = heard.headers.get('content-type')?.split(';')[0];
  const declared = one?.answers[heard.status];
  if (declared) {
    if (declared.schema) expect(mediaType).toBe(declared.mediaType ?? 'application/json');
    if (declared.schema && /json/.test(mediaType ?? '')) expect(declared.schema.parse(heard.body)).toEqual(heard.body);
    return;
  }
  if (pathname === '/openapi.json' || pathname.startsWith('/docs')) return;
  expect(mediaType).toBe('application/problem+json');
  const { code, status, instance, type, title, retryable } = problem.parse(heard.body);
  const refusal = REFUSALS[code as RefusalCode];
  expect({ code, status, title, retryable }).toEqual({
    code,
    status: heard.status,
    title: refusal.title,
    retryable: refusal.retry,
  });
  expect(heard.status).toBe(refusal.status);
  expect(type).toBe(`urn:holdfast:problem:${code}`);
  expect(instance).toBe(path);
  if (heard.status === 503) expect(Number(heard.headers.get('retry-after'))).toBeGreaterThan(0);
  if (one) expect([...codesOf(one)]).toContain(code);
}

function patternOf({ path }: Route): RegExp {
  return new RegExp(`^${path.replaceAll('.', '\\.').replace(/:[a-zA-Z]+/g, '[^/]+')}$`);
}
