/** The compute worker: runs engines through the runners that this machine has, and says what it offers. */
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createExternalBoard } from '../activities/externalBoard';
import { forgetLostFolders } from '../activities/lostFolders';
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
import { canSandbox, createSandboxRunner, programsOffered } from '../runners/sandbox';
import { createSlurmRunner } from '../runners/slurm';
import { SERVICES } from '../services';
import { withAddedServices } from '../services/added';
import type { Engine } from '../services/service';
import { runReportedSignal } from '../workflows/messages';
import { type Config, ConfigError, databaseUrl } from './config';
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
  const services = withAddedServices(SERVICES, config.servicesFolder);
  const engines = [...services.values()].flatMap((service) => service.engines);
  const dependencies: Omit<RunDependencies, 'runner' | 'slots'> = {
    db,
    store,
    services,
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
  const runners = await runnersOf(config, workFolder, createExternalBoard({ db, store, now }));
  const workers: Worker[] = [];
  await forgetLostFolders(workFolder);
  for (const offered of runners) {
    const { runner, slots } = offered;
    await runner.sweep();
    const activities = createRunActivities({ ...dependencies, runner, slots });
    for (const taskQueue of queuesOf(offered, engines)) {
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
  const offering = await keepOffering(
    db,
    worker,
    runners.flatMap((offered) => routesOf(offered, engines)),
  );
  await runUntilSignalled(...workers);
  await offering.end();
  await client.connection.close();
  await connection.close();
  await db.destroy();
}

/** The runners of this worker: those that were asked for, or all that need nobody to set them up. */
async function runnersOf({ runners, slurm }: Config, workFolder: string, board: ExternalBoard): Promise<Offered[]> {
  const enginesFolder = join(packageRoot(), 'dist', 'engines');
  const here = createSlots(availableParallelism());
  const places = { enginesFolder, workFolder };
  const sandbox: Offered = {
    name: 'sandbox',
    runner: createSandboxRunner(places),
    programs: programsOffered(),
    slots: here,
  };
  const known: Offered[] = [
    ...((await canSandbox()) ? [sandbox] : []),
    { name: 'embedded', runner: createEmbeddedRunner(places), programs: [], slots: here },
    // What computes elsewhere takes no processor here.
    {
      name: 'external',
      runner: createExternalRunner({ board }),
      programs: 'elsewhere',
      slots: createSlots(RUNS_HELD_MAX),
    },
  ];
  if (runners?.includes('slurm')) {
    // The nodes have what this machine has: they share its file system.
    const programs = (await canSandbox()) ? programsOffered() : [];
    const runner = createSlurmRunner({ ...places, ...slurm });
    known.push({ name: 'slurm', runner, programs, slots: createSlots(RUNS_HELD_MAX) });
  }
  const wanted = known.filter(({ name }) => runners?.includes(name) ?? true);
  const missing = runners?.find((name) => wanted.every((one) => one.name !== name));
  if (missing !== undefined) throw new ConfigError(`HOLDFAST_RUNNERS asks for ${missing}, which does not work here.`);
  return wanted;
}

/** Those of all engines that a runner can run here. */
function enginesOf({ programs }: Offered, engines: readonly Engine[]): Engine[] {
  return engines.filter(
    (engine) => programs === 'elsewhere' || (engine.programs ?? []).every((one) => programs.includes(one)),
  );
}

function routesOf(offered: Offered, engines: readonly Engine[]): Route[] {
  if (offered.programs === 'elsewhere') return [];
  return enginesOf(offered, engines).map(({ name }) => ({ runner: offered.name, engine: name }));
}

function queuesOf(offered: Offered, engines: readonly Engine[]): string[] {
  const queues = enginesOf(offered, engines).map((engine) =>
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
