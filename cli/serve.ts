/** The processes of the product beside `compute.ts`, each a plain wiring of parts: the API, and the worker of jobs and contracts. */
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Client, Connection, ScheduleAlreadyRunning, WorkflowNotFoundError } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createContractActivities } from '../activities/contracts';
import { createDigestActivities } from '../activities/digests';
import { createJobActivities } from '../activities/jobActivities';
import { createNoticeDelivery } from '../activities/notices';
import { createReconcileActivities } from '../activities/reconcile';
import { createSessionActivities } from '../activities/sessions';
import { createWithdrawalActivities } from '../activities/withdrawals';
import { createApp } from '../api/app';
import { temporalWorkflows } from '../api/temporal';
import { connect } from '../db/client';
import { openLedger } from '../db/ledger';
import { createObjectStore } from '../db/objectStore';
import { packageRoot } from '../dev/root';
import { jobWorkflowId } from '../domain/job';
import type { Channel } from '../notices/channel';
import { createMailChannel, type MailChannel } from '../notices/mail';
import { administratorChannel, inServiceChannel } from '../notices/shown';
import { SERVICES } from '../services';
import { withAddedServices } from '../services/added';
import {
  CONTRACTS_TASK_QUEUE,
  DIGESTS_SCHEDULE_ID,
  JOBS_TASK_QUEUE,
  RECONCILE_SCHEDULE_ID,
} from '../workflows/messages';
import { type Config, databaseUrl, publicUrl } from './config';
import {
  logger,
  logTemporal,
  now,
  runUntilSignalled,
  signalled,
  temporalClient,
  temporalConnection,
} from './processParts';

const RECONCILE_EVERY = '5 minutes';
const DIGESTS_EVERY = '15 minutes';
/** What contracts and notices ask of the database is small; what takes longer is broken and would hold up what waits. */
const CONTRACTS_STATEMENT_MAX_MS = 30_000;
const SHUTDOWN_GRACE = '15s';

/** Serves the API until a signal comes. */
export async function serveApi(config: Config): Promise<void> {
  const log = logger(config, 'api');
  const db = connect(databaseUrl(config), { poolMax: 20, applicationName: 'holdfast api' });
  const ledger = openLedger(db);
  // Lazy: the API starts and answers 503 while Temporal is away.
  const connection = Connection.lazy(temporalConnection(config));
  const app = createApp({
    db,
    ledger,
    store: await createObjectStore(config.objects),
    services: withAddedServices(SERVICES, config.servicesFolder),
    workflows: temporalWorkflows(new Client({ connection, namespace: config.temporalNamespace })),
    now,
    log,
    settings: {
      inputBytesMax: config.inputBytesMax,
      heartbeatSeconds: config.heartbeatSeconds,
      parkedGraceSeconds: config.parkedGraceSeconds,
      refundApprovalAbove: config.refundApprovalAbove,
      temporalUiUrl: config.temporalUiUrl ? `${config.temporalUiUrl}/namespaces/${config.temporalNamespace}` : null,
    },
  });
  // An upload of the largest input over a slow line takes its time; headers still have to come at once.
  const server = createServer({ requestTimeout: 3_600_000 }, app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.port, config.host, resolve);
  });
  log.info({ port: config.port }, 'the API answers');
  await signalled();
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), 3_000).unref();
  await closed;
  await connection.close();
  await ledger.close();
  await db.destroy();
}

/** Runs workflows and their activities until a signal comes: jobs, and beside them contracts and notices. */
export async function serveJobs(config: Config): Promise<void> {
  logTemporal(config);
  const db = connect(databaseUrl(config), { poolMax: 20, applicationName: 'holdfast jobs' });
  const ledger = openLedger(db);
  const connection = await NativeConnection.connect(temporalConnection(config));
  const client = await temporalClient(config);
  await ensureSchedule(client, {
    scheduleId: RECONCILE_SCHEDULE_ID,
    workflowType: 'reconcile',
    taskQueue: JOBS_TASK_QUEUE,
    every: RECONCILE_EVERY,
  });
  await ensureSchedule(client, {
    scheduleId: DIGESTS_SCHEDULE_ID,
    workflowType: 'digests',
    taskQueue: CONTRACTS_TASK_QUEUE,
    every: DIGESTS_EVERY,
  });
  const touchContract = (contractId: string) => temporalWorkflows(client).contractTouched(contractId);
  const reconciling = { ledger, workflowStatus: (jobId: string) => workflowStatus(client, jobId), touchContract };
  // Contracts that came with the data need not wait for the first reconciliation.
  await createReconcileActivities({ ...reconciling, youngMs: 0 }).wakeContracts({ at: now() });
  const worker = await Worker.create({
    connection,
    namespace: config.temporalNamespace,
    taskQueue: JOBS_TASK_QUEUE,
    workflowBundle: { codePath: workflowBundlePath() },
    activities: {
      ...createJobActivities({ ledger }),
      ...createSessionActivities({ db, store: await createObjectStore(config.objects) }),
      ...createReconcileActivities({ ...reconciling, youngMs: config.reconcileAfterSeconds * 1_000 }),
    },
    maxCachedWorkflows: 500,
    maxConcurrentActivityTaskExecutions: 20,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  const contracts = await contractsWorker(config, connection);
  await runUntilSignalled(worker, contracts.worker);
  await contracts.close();
  await client.connection.close();
  await connection.close();
  await ledger.close();
  await db.destroy();
}

/**
 * Contracts and notices, with few slots and connections of their own: however much of them there is to do, and however slow
 * a mail server is, jobs find theirs free.
 */
async function contractsWorker(config: Config, connection: NativeConnection) {
  const db = connect(databaseUrl(config), {
    poolMax: 16,
    applicationName: 'holdfast contracts',
    statementTimeoutMs: CONTRACTS_STATEMENT_MAX_MS,
  });
  const ledger = openLedger(db);
  const mail = config.mail && createMailChannel(config.mail);
  const delivery = createNoticeDelivery({
    db,
    channels: channelsOf(config, mail),
    contact: config.noticeContact,
    publicUrl: publicUrl(config),
  });
  const worker = await Worker.create({
    connection,
    namespace: config.temporalNamespace,
    taskQueue: CONTRACTS_TASK_QUEUE,
    workflowBundle: { codePath: workflowBundlePath() },
    activities: {
      ...createContractActivities({ ledger }),
      ...createDigestActivities({ db, delivery }),
      ...createWithdrawalActivities({ ledger, notices: delivery }),
    },
    maxCachedWorkflows: 200,
    // Measured on two cores with four hundred contracts that had something to book at one instant: with ten at once jobs waited
    // 4.8 times as long as before (p99 of POST /v1/jobs), with three not longer; the booking took 27 s instead of 22.
    maxConcurrentWorkflowTaskExecutions: 3,
    maxConcurrentWorkflowTaskPolls: 3,
    maxConcurrentActivityTaskExecutions: 8,
    maxConcurrentLocalActivityExecutions: 8,
    shutdownGraceTime: SHUTDOWN_GRACE,
  });
  const close = async () => {
    mail?.close();
    await ledger.close();
    await db.destroy();
  };
  return { worker, close };
}

/** The channels of notices in their order. The configuration has no mail without a server. */
function channelsOf({ noticeChannels }: Config, mail: MailChannel | undefined): Channel[] {
  const known = { mail, administrator: administratorChannel, 'in-service': inServiceChannel };
  return noticeChannels.flatMap((name) => known[name] ?? []);
}

/** The bundle that the build made of `workflows/`. */
function workflowBundlePath(): string {
  return join(packageRoot(), 'dist', 'workflow-bundle.js');
}

async function workflowStatus(client: Client, jobId: string): Promise<'running' | 'closed' | 'missing'> {
  try {
    const { status } = await client.workflow.getHandle(jobWorkflowId(jobId)).describe();
    return status.name === 'RUNNING' ? 'running' : 'closed';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'missing';
    throw error;
  }
}

interface Recurring {
  readonly scheduleId: string;
  readonly workflowType: 'reconcile' | 'digests';
  readonly taskQueue: string;
  readonly every: typeof RECONCILE_EVERY | typeof DIGESTS_EVERY;
}

async function ensureSchedule(
  client: Client,
  { scheduleId, workflowType, taskQueue, every }: Recurring,
): Promise<void> {
  try {
    await client.schedule.create({
      scheduleId,
      spec: { intervals: [{ every }] },
      action: { type: 'startWorkflow', workflowType, taskQueue },
      policies: { overlap: 'SKIP' },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}
