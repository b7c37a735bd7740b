/**
 * `npm run soak [-- --seed N] [-- --operations N] [-- --faults] [-- --memory]`: random histories of many worlds at the same
 * time, each beside the model of single credits. Ends with one line of JSON; exit code 1 when anything differs.
 */
import { Command, InvalidArgumentError } from 'commander';
import { runInMemory } from './memory';
import { runOnPostgres } from './stored';

async function main(): Promise<void> {
  const { memory, durable, faults, ...options } = new Command('soak')
    .option('--seed <n>', 'repeats a run’s histories', whole, Math.floor(Math.random() * 2 ** 31))
    .option('--operations <n>', 'how many operations are asked for', whole, 100_000)
    .option('--worlds <n>', 'how many worlds are under way at once', whole, 400)
    .option('--only <world>', 'run one world alone, which a finding named', whole)
    .option('--faults', 'break connections, end sessions and lose answers')
    .option('--durable', 'let Postgres wait for the disk')
    .option('--memory', 'plan in memory, without a database')
    .parse()
    .opts<{
      seed: number;
      operations: number;
      worlds: number;
      only?: number;
      faults?: boolean;
      durable?: boolean;
      memory?: boolean;
    }>();
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  say(`seed ${options.seed}, ${options.operations} operations`);
  const summary = memory
    ? await runInMemory({ ...options, say })
    : await runOnPostgres({ ...options, faults: faults === true, durable: durable === true, say });
  process.stdout.write(`${JSON.stringify(summary)}\n`);
  if (summary.findings.length > 0) process.exitCode = 1;
}

function whole(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('a whole number in plain digits is wanted');
  return Number(text);
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
