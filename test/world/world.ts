/**
 * A small world for tests of workflows and activities: a database, a Temporal namespace, a proxy between the activities and
 * Postgres, and the workers that a test asks for, all wired as the product wires them.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Client, isGrpcServiceError, type WorkflowHandle, WorkflowNotFoundError } from '@temporalio/client';
import {
  DefaultLogger,
  GracefulShutdownPeriodExpiredError,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import { v7 as uuidv7 } from 'uuid';
import { createContractActivities } from '../../activities/contracts';
import { createJobActivities } from '../../activities/jobActivities';
import type { NoticeDelivery } from '../../activities/notices';
import { createReconcileActivities, type WorkflowStatus } from '../../activities/reconcile';
import type { RunActivities } from '../../activities/run';
import { createWithdrawalActivities } from '../../activities/withdrawals';
import { temporalWorkflows } from '../../api/temporal';
import { connect, type Db, firstRow, rows } from '../../db/client';
import { addInput } from '../../db/inputs';
import { getJob, insertJob, type Job } from '../../db/jobs';
import { type Ledger, openLedger } from '../../db/ledger';
import { grantLot } from '../../db/lots';
import { type ObjectStore, openFolderStore } from '../../db/objectStore';
import { publishRateCard } from '../../db/rateCards';
import { seed } from '../../db/seed';
import { createTestDatabase } from '../../db/testing/database';
import { brokenInvariants } from '../../db/testing/invariants';
import { insertPeople } from '../../db/testing/people';
import { formatCredits, parseCredits } from '../../domain/credits';
import { addMilliseconds, type Instant, instantOfMilliseconds } from '../../domain/instant';
import type { RunReport } from '../../domain/job';
import { jobWorkflowId } from '../../domain/job';
import { sharedLotLife } from '../../domain/lots';
import { type Route, taskQueueOf } from '../../domain/route';
import type { job } from '../../workflows/job';
import {
  CONTRACTS_TASK_QUEUE,
  creditsArrivedSignal,
  EMBEDDED_TASK_QUEUE,
  JOBS_TASK_QUEUE,
  type ReservationOutcome,
  runReportedSignal,
} from '../../workflows/messages';
import { idOf } from '../builders/ids';
import { bundlePath } from './bundle';
import { failedTasksOf } from './failedTasks';
import { openNamespace } from './namespace';
import { type ServerProxy, startProxy } from './proxy';
import { CARD, CARD_VERSION } from './rates';
import { createScriptedRun, type Script } from './scripts';

/** The code of gRPC. */
const NOT_FOUND = 5;
const DAY_MS = 86_400_000;
const INPUT = 'an input\n';

/** A user on a contract of their own, with one shared lot. */
export interface Spender {
  readonly userId: string;
  readonly contractId: string;
}

/** What a test cares about of a job; everything else has quiet defaults. */
export interface Order {
  readonly spender: Spender;
  readonly expected: string;
  /** The expected credits when absent. */
  readonly maxCredits?: string;
  readonly script?: Script;
  readonly service?: string;
  readonly rateCardVersion?: number;
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly dimensions?: Readonly<Record<string, string>>;
  /** The bytes of the input file. */
  readonly input?: Buffer;
  readonly timeLimitSeconds?: number;
  /** One when absent. */
  readonly runs?: number;
  /** Where it runs, if not on the first engine of its service. */
  readonly route?: Route;
  readonly heartbeatSeconds?: number;
  readonly parkedGraceSeconds?: number;
  /** How long ago the job was submitted. */
  readonly submittedAgoMs?: number;
}

export interface Submitted {
  readonly jobId: string;
  readonly handle: WorkflowHandle<typeof job>;
  /** Asks for the reservation as the API does, starting the workflow if it is not there; `null` when nobody answers. */
  ask(): Promise<ReservationOutcome | null>;
  row(): Promise<Job>;
}

export interface WorkingWorker {
  /** Lets it finish what it does, and waits for that. */
  stop(): Promise<void>;
}

export class World {
  private readonly workers = new Set<WorkingWorker>();
  private readonly scripts = new Map<string, Script>();
  private readonly submitted: WorkflowHandle[] = [];
  private spenders = 0;

  private constructor(
    /** Straight to Postgres, for what tests look at. */
    readonly db: Db,
    readonly ledger: Ledger,
    /** As the owner of the schema, for what a test does by hand. */
    readonly owner: Db,
    readonly databaseUrl: string,
    /** Between the activities and Postgres. */
    readonly postgres: ServerProxy,
    /** Through the proxy, as the activities see the database. */
    readonly proxied: Db,
    private readonly proxiedLedger: Ledger,
    readonly client: Client,
    readonly address: string,
    readonly namespace: string,
    readonly store: ObjectStore,
    /** For whatever a test writes. */
    readonly folder: string,
    private readonly connection: NativeConnection,
    private readonly closing: readonly (() => Promise<unknown>)[],
  ) {}

  static async open(): Promise<World> {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const closing: (() => Promise<unknown>)[] = [];
    try {
      const folder = await mkdtemp(join(tmpdir(), 'holdfast-world-'));
      closing.push(() => rm(folder, { recursive: true, force: true }));
      const database = await createTestDatabase();
      closing.push(() => database.drop());
      await seed(database.ledger, {}, now());
      await publishRateCard(database.db, CARD, 'test');
      const postgres = await startProxy(database.url);
      closing.push(() => postgres.close());
      const proxied = connect(postgres.url, { poolMax: 8, applicationName: 'holdfast-test' });
      closing.push(() => proxied.destroy());
      const proxiedLedger = openLedger(proxied);
      closing.push(() => proxiedLedger.close());
      const { client, address, namespace } = await openNamespace();
      closing.push(() => client.connection.close());
      const connection = await NativeConnection.connect({ address });
      closing.push(() => connection.close());
      const store = await openFolderStore(join(folder, 'objects'));
      const { db, ledger, owner, url } = database;
      return new World(
        db,
        ledger,
        owner,
        url,
        postgres,
        proxied,
        proxiedLedger,
        client,
        address,
        namespace,
        store,
        folder,
        connection,
        closing,
      );
    } catch (error) {
      for (const close of closing.reverse()) await close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.workers].map((worker) => worker.stop()));
    for (const close of [...this.closing].reverse()) await close();
  }

  /** The jobs worker, with its real activities. */
  serveJobs(): Promise<WorkingWorker> {
    return this.serve({
      taskQueue: JOBS_TASK_QUEUE,
      workflowBundle: { codePath: bundlePath() },
      activities: {
        ...createJobActivities({ ledger: this.proxiedLedger }),
        ...createReconcileActivities({
          ledger: this.proxiedLedger,
          workflowStatus: (jobId) => this.workflowStatus(jobId),
          touchContract: (contractId) => temporalWorkflows(this.client).contractTouched(contractId),
        }),
      },
    });
  }

  /** The worker of what is years long, with its real activities; notices go as the test says, and nowhere unless it does. */
  serveContracts({ notices }: { notices?: NoticeDelivery } = {}): Promise<WorkingWorker> {
    return this.serve({
      taskQueue: CONTRACTS_TASK_QUEUE,
      workflowBundle: { codePath: bundlePath() },
      activities: {
        ...createContractActivities({ ledger: this.proxiedLedger }),
        ...(notices && createWithdrawalActivities({ ledger: this.proxiedLedger, notices })),
      },
    });
  }

  /** A compute worker; without activities of its own it runs the scripts of the orders. */
  serveCompute(activities: RunActivities = this.scriptedRun()): Promise<WorkingWorker> {
    return this.serve({ taskQueue: EMBEDDED_TASK_QUEUE, activities: { ...activities } });
  }

  async openSpender(credits: string): Promise<Spender> {
    const spender = { userId: uuidv7(), contractId: uuidv7() };
    const { userId, contractId } = spender;
    const startsAt = addMilliseconds(now(), -30 * DAY_MS);
    const endsAt = addMilliseconds(startsAt, 3_650 * DAY_MS);
    await insertPeople(this.db, {
      world: ++this.spenders,
      users: [userId],
      contracts: [{ contractId, startsAt, endsAt }],
      authorisations: [{ contractId, userId, authorisedAt: startsAt, removedAt: null }],
    });
    if (credits !== '0') await this.grant(spender, credits);
    return spender;
  }

  /** Grants a shared lot. Nobody is told: see {@link World.tellCreditsArrived}. */
  async grant({ contractId }: Spender, credits: string): Promise<void> {
    const at = addMilliseconds(now(), -1_000);
    const life = sharedLotLife({
      effectiveAt: at,
      purchasedAt: at,
      contractEndsAt: addMilliseconds(at, 3_600 * DAY_MS),
      graceUntil: null,
      timeZone: 'UTC',
    });
    await grantLot(this.ledger, {
      lot: {
        id: uuidv7(),
        poolId: contractId,
        kind: 'shared',
        source: 'purchase',
        amount: parseCredits(credits),
        ...life,
        purchasedAt: at,
        reference: 'ORDER-1',
        advance: false,
      },
      actor: 'test',
      reason: 'credits for a test',
      at,
    });
  }

  /** Writes the job as the API does, and starts nothing yet. */
  async place(order: Order): Promise<Submitted> {
    const { spender, expected, maxCredits = expected, script } = order;
    const jobId = uuidv7();
    const input = await this.store.put(Readable.from([order.input ?? INPUT]), 64 * 1024 * 1024);
    await addInput(this.db, spender.userId, { ...input, name: 'input.txt', mediaType: 'text/plain' });
    const service = order.service ?? 'rounds';
    const timeLimitSeconds = order.timeLimitSeconds ?? 600;
    await insertJob(this.db, {
      id: jobId,
      userId: spender.userId,
      contractId: spender.contractId,
      service,
      inputDigest: input.digest,
      inputName: 'input.txt',
      parameters: order.parameters ?? {},
      dimensions: order.dimensions ?? {},
      quoteId: null,
      rateCardVersion: order.rateCardVersion ?? CARD_VERSION,
      expected: parseCredits(expected),
      maxCredits: parseCredits(maxCredits),
      timeLimitSeconds,
      comment: '',
      project: null,
      route: order.route ?? null,
      runs: order.runs ?? 1,
      submittedAt: addMilliseconds(now(), -(order.submittedAgoMs ?? 0)),
    });
    if (script) this.scripts.set(jobId, script);
    const start = {
      customerId: idOf('customer', 1, this.spenders),
      staticSummary: `Rounds of input.txt for ${spender.userId}`,
      staticDetails: `expected ${expected} credits, not to exceed ${maxCredits}`,
      input: {
        jobId,
        ...spender,
        service,
        expected,
        maxCredits,
        timeLimitSeconds,
        heartbeatSeconds: order.heartbeatSeconds ?? 5,
        parkedGraceSeconds: order.parkedGraceSeconds ?? 86_400,
        ...(order.runs !== undefined && { runs: order.runs }),
        ...(order.route && { taskQueue: taskQueueOf(order.route, [order.route.engine]) }),
      },
    };
    const handle = this.client.workflow.getHandle<typeof job>(jobWorkflowId(jobId));
    this.submitted.push(handle);
    return {
      jobId,
      handle,
      ask: () => temporalWorkflows(this.client).startJob(start),
      row: () => getJob(this.db, jobId),
    };
  }

  /** Places a job and starts it. @throws Error when it is not reserved at once. */
  async submit(order: Order): Promise<Submitted> {
    const submitted = await this.place(order);
    const answer = await submitted.ask();
    if (answer?.status !== 'reserved') throw new Error(`job ${submitted.jobId}: ${JSON.stringify(answer)}`);
    return submitted;
  }

  /** Has {@link World.faults} look at another workflow than a job's. */
  watch(handle: WorkflowHandle): void {
    this.submitted.push(handle);
  }

  tellCreditsArrived({ handle }: Submitted): Promise<void> {
    return handle.signal(creditsArrivedSignal);
  }

  /** What the ledger did for a job, in order, without the sizes. */
  async operationsOf({ jobId }: Submitted): Promise<string[]> {
    const found = await rows<{ kind: string }>(
      this.db,
      'select kind from operations where subject = ? order by batch_id, position',
      [jobId],
    );
    return found.map(({ kind }) => kind);
  }

  async eventsOf({ jobId }: Submitted): Promise<string[]> {
    const found = await rows<{ kind: string }>(this.db, 'select kind from job_events where job_id = ? order by seq', [
      jobId,
    ]);
    return found.map(({ kind }) => kind);
  }

  /** A spender's shared credits by bucket, as decimal strings. */
  async balanceOf({ contractId }: Spender): Promise<{ available: string; reserved: string; consumed: string }> {
    const found = await firstRow<{ available: bigint; reserved: bigint; consumed: bigint }>(
      this.db,
      `select coalesce(sum(available), 0)::bigint as available, coalesce(sum(reserved), 0)::bigint as reserved,
         coalesce(sum(consumed), 0)::bigint as consumed
       from lots
       where pool_id = ?`,
      [contractId],
    );
    const of = (bucket: 'available' | 'reserved' | 'consumed') => formatCredits(found?.[bucket] ?? 0n);
    return { available: of('available'), reserved: of('reserved'), consumed: of('consumed') };
  }

  /**
   * What must never be seen after a job: workflow tasks that failed, and reservations without a job that needs them.
   * Forgets the jobs it looked at.
   */
  async faults(): Promise<string[]> {
    const found: string[] = [];
    for (const handle of this.submitted.splice(0)) {
      try {
        found.push(...(await failedTasksOf(handle)));
      } catch (error) {
        // A job whose workflow never started.
        if (!isGrpcServiceError(error) || error.code !== NOT_FOUND) throw error;
      }
    }
    for (const jobId of await this.forgottenReservations()) found.push(`the reservation of job ${jobId} is open`);
    return [...found, ...(await brokenInvariants(this.db))];
  }

  /** Reservations that are open although their job has ended. */
  private async forgottenReservations(): Promise<string[]> {
    const found = await rows<{ jobId: string }>(
      this.db,
      `select r.job_id as "jobId"
       from open_reservations r
       left join jobs j on j.id = r.job_id
       where j.id is null or j.ended_at is not null`,
    );
    return found.map(({ jobId }) => jobId);
  }

  async tellWorkflow(jobId: string, report: RunReport): Promise<void> {
    try {
      await this.client.withDeadline(Date.now() + 3_000, () =>
        this.client.workflow.getHandle(jobWorkflowId(jobId)).signal(runReportedSignal, report),
      );
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  private async workflowStatus(jobId: string): Promise<WorkflowStatus> {
    try {
      const { status } = await this.client.workflow.getHandle(jobWorkflowId(jobId)).describe();
      return status.name === 'RUNNING' ? 'running' : 'closed';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'missing';
      throw error;
    }
  }

  private scriptedRun(): RunActivities {
    const tell = (jobId: string, report: RunReport) => this.tellWorkflow(jobId, report);
    return createScriptedRun({ db: this.db, tell, scripts: this.scripts });
  }

  private async serve(
    options: Pick<WorkerOptions, 'taskQueue' | 'workflowBundle' | 'activities'>,
  ): Promise<WorkingWorker> {
    const worker = await Worker.create({
      ...options,
      identity: `test-${randomUUID()}`,
      connection: this.connection,
      namespace: this.namespace,
      maxCachedWorkflows: 50,
      // Cancellations come with the answers to heartbeats.
      maxHeartbeatThrottleInterval: '100ms',
      defaultHeartbeatThrottleInterval: '100ms',
      // What a failed test left waiting does not keep the next one.
      shutdownGraceTime: '2s',
      shutdownForceTime: '5s',
    });
    const ran = worker.run();
    const working = {
      stop: async () => {
        this.workers.delete(working);
        if (worker.getState() === 'RUNNING') worker.shutdown();
        await ran.catch((error) => {
          if (!(error instanceof GracefulShutdownPeriodExpiredError)) throw error;
        });
      },
    };
    this.workers.add(working);
    return working;
  }
}

export function now(): Instant {
  return instantOfMilliseconds(Date.now());
}
