/** The workers of the benchmarks, in a process of their own as in the product: told where everything is, says when it polls. */
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createContractActivities } from '../../activities/contracts';
import { createJobActivities } from '../../activities/jobActivities';
import type { RunActivities } from '../../activities/run';
import { beginAttempt, endAttempt, reportUsage } from '../../db/attempts';
import { connect, type Db } from '../../db/client';
import { openLedger } from '../../db/ledger';
import { instantOfMilliseconds } from '../../domain/instant';
import { wholeUnits } from '../../domain/usage';
import { CONTRACTS_TASK_QUEUE, EMBEDDED_TASK_QUEUE, JOBS_TASK_QUEUE } from '../../workflows/messages';
import { packageRoot } from '../root';

async function main(): Promise<void> {
  const [databaseUrl = '', temporalAddress = ''] = process.argv.slice(2);
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const db = connect(databaseUrl, { poolMax: 20 });
  const ledger = openLedger(db);
  const contractsDb = connect(databaseUrl, { poolMax: 16 });
  const contractsLedger = openLedger(contractsDb);
  const connection = await NativeConnection.connect({ address: temporalAddress });
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: join(packageRoot(), 'dist', 'dev', 'bench', 'workflows.js'),
    logger: new DefaultLogger('ERROR'),
  });
  const workers = [
    await Worker.create({
      connection,
      taskQueue: JOBS_TASK_QUEUE,
      workflowBundle,
      activities: createJobActivities({ ledger }),
    }),
    await Worker.create({ connection, taskQueue: EMBEDDED_TASK_QUEUE, activities: instantRun(db) }),
    // As the product serves them: few slots and connections of their own.
    await Worker.create({
      connection,
      taskQueue: CONTRACTS_TASK_QUEUE,
      workflowBundle,
      activities: createContractActivities({ ledger: contractsLedger }),
      maxCachedWorkflows: 200,
      maxConcurrentWorkflowTaskExecutions: 3,
      maxConcurrentWorkflowTaskPolls: 3,
      maxConcurrentActivityTaskExecutions: 8,
      maxConcurrentLocalActivityExecutions: 8,
    }),
  ];
  const stopped = new Promise<void>((resolve) => process.once('disconnect', resolve));
  process.send?.('ready');
  await Promise.all(workers.map((worker) => worker.runUntil(stopped)));
  await connection.close();
  for (const one of [ledger, contractsLedger]) await one.close();
  for (const one of [db, contractsDb]) await one.destroy();
}

/** A run without an engine: the attempt's rows and one usage report, so that the settlement has something to charge. */
function instantRun(db: Db): RunActivities {
  const now = () => instantOfMilliseconds(Date.now());
  return {
    async run({ jobId }) {
      const attempt = await beginAttempt(db, { jobId, runner: 'bench', worker: 'bench', at: now() });
      if (typeof attempt !== 'number') throw new Error(`job ${jobId} was run before`);
      const usage = [{ meter: 'simulations', unit: 'simulation', quantity: wholeUnits(1) }];
      await reportUsage(db, { jobId, attempt, seq: 1, usage, progress: 1_000_000, source: 'bench', at: now() });
      await endAttempt(db, { jobId, attempt, outcome: 'completed', message: 'done', at: now() });
      return { end: 'completed', message: 'done' };
    },
  };
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exit(1);
});
