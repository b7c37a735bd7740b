/**
 * Before the `servers` tests: one Postgres and one Temporal for all of them, forgotten afterwards, and the workflow bundle
 * built once. Tests find them by the environment; each makes its own database and its own task queues.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { startPostgres } from '../../dev/postgres';
import { packageRoot } from '../../dev/root';
import { startTemporal } from '../../dev/temporal';

declare global {
  var stopTestServers: (() => Promise<void>) | undefined;
}

export default async function start(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-test-'));
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  const stops: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  const started = await Promise.allSettled([
    startPostgres({ folder: join(folder, 'postgres'), durable: false }).then((postgres) => {
      stops.push(() => postgres.stop());
      process.env.HOLDFAST_TEST_DATABASE_URL = postgres.url;
    }),
    startTemporal({
      store: 'memory',
      log: join(folder, 'temporal.log'),
      uiPort: false,
      dynamicConfig: { 'frontend.WorkflowTimeSkippingEnabled': 'true' },
      say,
    }).then((temporal) => {
      stops.push(() => temporal.stop());
      process.env.HOLDFAST_TEST_TEMPORAL_ADDRESS = temporal.address;
    }),
    bundleWorkflows(join(folder, 'workflows.js')),
  ]);
  globalThis.stopTestServers = async () => {
    for (const stop of stops.reverse()) await stop();
  };
  const failed = started.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    await globalThis.stopTestServers();
    throw failed.reason;
  }
}

async function bundleWorkflows(file: string): Promise<void> {
  const workflowsPath = join(packageRoot(), 'dist/workflows/index.js');
  if (!existsSync(workflowsPath)) return;
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
  await writeFile(file, code);
  process.env.HOLDFAST_TEST_WORKFLOW_BUNDLE = file;
}
