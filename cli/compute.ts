/** The compute worker: runs engines through the runners that this machine has, and says what it offers. */
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createExternalBoard } from '../activities/externalBoard';
import { createRunActivities, type RunDependencies } from '../activities/run';
import { createSlots, type Slots } from '../activities/slots';
import { connect, type Db, isUnavailable } from '../db/client';
import { offerEngines, withdrawOffers } from '../db/computeOffers';
import { createObjectStore } from '../db/objectStore';
import { packageRoot } from '../dev/root';
import { jobWorkflowId } from '../domain/job';
import { type Route, type RunnerName, taskQueueOf } from '../domain/route';
import { createEmbeddedRunner } from '../runners/embedded';
import { createExternalRunner, type ExternalBoard } from '../runners/external';
import type { Runner } from '../runners/runner';
import { SERVICES } from '../services';
import { runReportedSignal } from '../workflows/messages';
import { type Config, databaseUrl } from './config';
import { logger, logTemporal, now, runUntilSignalled, temporalClient, temporalConnection } from './processParts';

const MEMORY_BYTES_MAX = 4 * 1024 ** 3;
/** Parked runs wait without a slot, so many more runs are held than engines run. */
const RUNS_HELD_MAX = 200;
/** Engines run for minutes: waiting longer would seldom save an attempt, and would keep Ctrl-C waiting. */
const SHUTDOWN_GRACE = '1s';
/** Well within the time after which the API takes an offer for gone. */
const OFFER_EVERY_MS = 30_000;

/** A runner, and what it is good for. */
interface Offered {
  readonly name: RunnerName;
  readonly runner: Runner;
  /** The installed programs that its engines may drive; `'elsewhere'` where others have and offer them. */
  readonly programs: readonly string[] | 'elsewhere';
  readonly slots: Slots;
}

/** Runs engines until a signal comes. */
export async function serveCompute(config: Config): Promise<void> {
  logTemporal(config);
  const log = logger(config, 'compute');
  const db = connect(databaseUrl(config), { poolMax: 20, applicationName: 'holdfast compute' });
  const connection = await NativeConnection.connect(temporalConnection(config));
  const client = await temporalClient(config);
  const workFolder = join(config.home, 'work');
  const worker = `${hostname()}/${process.pid}`;
  const store = await createObjectStore(config.objects);
  const dependencies: Omit<RunDependencies, 'runner' | 'slots'> = {
    db,
    store,
    services: SERVICES,
    workFolder,
    memoryBytesMax: MEMORY_BYTES_MAX,
    worker,
    now,
    tellWorkflow: async (jobId, report) => {
      try {
        await client.withDeadline(Date.now() + 3_000, () =>
          client.workflow.getHandle(jobWorkflowId(jobId)).signal(runReportedSignal, report),
        );
      } catch (error) {
        // A workflow that is gone needs no report: the attempt learns from its next heartbeat that it must stop.
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
    },
    log,
  };
  const runners = runnersOf(workFolder, createExternalBoard({ db, store, now }));
  const workers: Worker[] = [];
  for (const offered of runners) {
    const { runner, slots } = offered;
    await runner.sweep();
    const activities = createRunActivities({ ...dependencies, runner, slots });
    for (const taskQueue of queuesOf(offered)) {
      workers.push(
        await Worker.create({
          connection,
          namespace: config.temporalNamespace,
          taskQueue,
          activities,
          maxConcurrentActivityTaskExecutions: RUNS_HELD_MAX,
          // A cancellation comes with the answer to a heartbeat, and until it comes the job goes on costing credits.
          maxHeartbeatThrottleInterval: '1s',
          shutdownGraceTime: SHUTDOWN_GRACE,
        }),
      );
    }
  }
  const offering = await keepOffering(db, worker, runners.flatMap(routesOf));
  await runUntilSignalled(...workers);
  await offering.end();
  await client.connection.close();
  await connection.close();
  await db.destroy();
}

function runnersOf(workFolder: string, board: ExternalBoard): Offered[] {
  const enginesFolder = join(packageRoot(), 'dist', 'engines');
  const here = createSlots(availableParallelism());
  return [
    { name: 'embedded', runner: createEmbeddedRunner({ enginesFolder, workFolder }), programs: [], slots: here },
    // What computes elsewhere takes no processor here.
    {
      name: 'external',
      runner: createExternalRunner({ board }),
      programs: 'elsewhere',
      slots: createSlots(RUNS_HELD_MAX),
    },
  ];
}

/** The engines that a runner can run here, each with the programs that it drives. */
function enginesOf({ programs }: Offered) {
  return [...SERVICES.values()]
    .flatMap(({ engines }) => engines)
    .filter((engine) => programs === 'elsewhere' || (engine.programs ?? []).every((one) => programs.includes(one)));
}

function routesOf(offered: Offered): Route[] {
  if (offered.programs === 'elsewhere') return [];
  return enginesOf(offered).map(({ name }) => ({ runner: offered.name, engine: name }));
}

function queuesOf(offered: Offered): string[] {
  const queues = enginesOf(offered).map((engine) =>
    taskQueueOf({ runner: offered.name, engine: engine.name }, engine.programs),
  );
  return [...new Set(queues)];
}

/** Says what this worker offers now and from time to time, until it ends. */
async function keepOffering(db: Db, worker: string, offers: readonly Route[]): Promise<{ end(): Promise<void> }> {
  // A database that is away hears of it the next time.
  const survive = (error: unknown) => {
    if (!isUnavailable(error)) throw error;
  };
  const offer = () => offerEngines(db, { worker, offers, at: now() }).catch(survive);
  await offer();
  const timer = setInterval(offer, OFFER_EVERY_MS);
  return {
    async end() {
      clearInterval(timer);
      await withdrawOffers(db, worker).catch(survive);
    },
  };
}
