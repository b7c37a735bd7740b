/**
 * `npm run faults [-- --seed N] [-- --kills N]`: the ledger on a Postgres of its own, with its processes and Postgres killed
 * in the middle of batches. Ends with one line of JSON; exit code 1 when anything is not as it must be.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { startMortalServer } from './server';
import { runStorm } from './storm';

async function main(): Promise<void> {
  const { seed, kills, keep } = new Command('faults')
    .option('--seed <n>', 'repeats a run’s choices', whole, Math.floor(Math.random() * 2 ** 31))
    .option('--kills <n>', 'how many kills', whole, 100)
    .option('--keep', 'keep the database')
    .parse()
    .opts<{ seed: number; kills: number; keep?: boolean }>();
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-faults-'));
  say(`seed ${seed}, ${kills} kills, folder ${folder}`);
  const server = await startMortalServer(join(folder, 'postgres'));
  try {
    const servers = Math.floor(kills / 5);
    const backends = Math.floor(kills / 10);
    const summary = await runStorm({
      server,
      seed,
      kills: { client: kills - servers - backends, server: servers, backend: backends },
      say,
    });
    process.stdout.write(`${JSON.stringify(summary)}\n`);
    if (summary.findings.length > 0) process.exitCode = 1;
  } finally {
    await server.stop();
  }
  if (keep || process.exitCode === 1) say(`The database is kept in ${folder}.`);
  else await rm(folder, { recursive: true, force: true });
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number in plain digits is wanted');
  return Number(text);
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
