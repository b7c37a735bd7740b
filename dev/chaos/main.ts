/**
 * `npm run chaos [-- --seed N] [-- --jobs N]`: an installation of its own, jobs of all sorts, and somebody of it killed every
 * few seconds. Ends with one line of JSON; exit code 1 when anything is not as it must be.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { DEMO } from '../../db/seed';
import { launch, processesOf } from './product';
import { runStorm } from './storm';

async function main(): Promise<void> {
  const { seed, jobs, kills, keep } = new Command('chaos')
    .option('--seed <n>', 'repeats a run’s choices', whole, Math.floor(Math.random() * 2 ** 31))
    .option('--jobs <n>', 'how many jobs are submitted', whole, 30)
    .option('--kills <n>', 'how many kills at most; as many as jobs when absent', whole)
    .option('--keep', 'keep the home folder, logs and data included')
    .parse()
    .opts<{ seed: number; jobs: number; kills?: number; keep?: boolean }>();
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  const home = await mkdtemp(join(tmpdir(), 'holdfast-chaos-'));
  say(`seed ${seed}, ${jobs} jobs, home folder ${home}`);
  const product = await launch({
    home,
    env: { HOLDFAST_HEARTBEAT_SECONDS: '3' },
  });
  let findings: string[];
  try {
    await product.insist('POST', `/v1/contracts/${DEMO.contract}/lots`, {
      as: 'provider',
      json: { kind: 'shared', amount: String(20 * jobs), reason: 'credits for a storm' },
    });
    const summary = await runStorm({
      product,
      contractId: DEMO.contract,
      seed,
      jobs,
      atOnce: 6,
      killsMax: kills ?? jobs,
      pauseMs: { low: 300, high: 6_000 },
      say,
    });
    findings = [...summary.findings];
    process.stdout.write(`${JSON.stringify(summary)}\n`);
  } finally {
    await product.stop();
  }
  const left = processesOf(home).map(({ pid, command }) => `process ${pid} is left: ${command}`);
  for (const finding of left) say(finding);
  if (findings.length + left.length > 0) process.exitCode = 1;
  if (keep || process.exitCode === 1) say(`Logs and data are kept in ${home}.`);
  else await rm(home, { recursive: true, force: true });
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number in plain digits is wanted');
  return Number(text);
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
