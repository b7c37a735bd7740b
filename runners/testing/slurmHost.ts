/** A worker in little: starts one run in Slurm from the RunSpec on its command line, says so, and stays until it is killed. */
import { join } from 'node:path';
import type { RunSpec } from '../runner';
import { createSlurmRunner } from '../slurm';

async function main(): Promise<void> {
  const [enginesFolder = '', workFolder = '', spec = '', suspend = ''] = process.argv.slice(2);
  const jobProgram = join(__dirname, '..', 'slurm', 'job.js');
  const runner = createSlurmRunner({ enginesFolder, workFolder, jobProgram, abandonedAfterMs: 3000 });
  const run = await runner.start(JSON.parse(spec) as RunSpec);
  await new Promise<void>((resolve) => run.onProgress(resolve));
  if (suspend === 'suspend') await run.suspend();
  process.stdout.write(`${JSON.stringify(run.snapshot().counters)}\n`);
  await run.end;
}

void main();
