/** A worker in little: starts one run from the RunSpec on its command line, says so, and stays until it is killed. */
import { createEmbeddedRunner } from '../embedded';
import type { RunSpec } from '../runner';

async function main(): Promise<void> {
  const [enginesFolder = '', workFolder = '', spec = '', suspend = ''] = process.argv.slice(2);
  const runner = createEmbeddedRunner({ enginesFolder, workFolder });
  const run = await runner.start(JSON.parse(spec) as RunSpec);
  await new Promise<void>((resolve) => run.onProgress(resolve));
  if (suspend === 'suspend') await run.suspend();
  process.stdout.write(`${JSON.stringify(run.snapshot().counters)}\n`);
  await run.end;
}

void main();
