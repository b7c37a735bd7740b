/** A worker in little: starts one run of the named runner from the RunSpec on its command line, says so, and stays until it is killed. */
import { createEmbeddedRunner } from '../embedded';
import type { RunSpec } from '../runner';
import { createSandboxRunner } from '../sandbox';

async function main(): Promise<void> {
  const [name = '', enginesFolder = '', workFolder = '', spec = '', suspend = ''] = process.argv.slice(2);
  const create = name === 'sandbox' ? createSandboxRunner : createEmbeddedRunner;
  const runner = create({ enginesFolder, workFolder });
  const run = await runner.start(JSON.parse(spec) as RunSpec);
  await new Promise<void>((resolve) => run.onProgress(resolve));
  if (suspend === 'suspend') await run.suspend();
  process.stdout.write(`${JSON.stringify(run.snapshot().counters)}\n`);
  await run.end;
}

void main();
