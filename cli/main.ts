/** `holdfast`: reads the configuration once and hands it to a command. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { connect } from '../db/client';
import { migrate } from '../db/migrate';
import { type DemoKey, seed } from '../db/seed';
import { writePrivately } from '../dev/instance';
import { exitWithParent } from '../dev/parent';
import { packageRoot } from '../dev/root';
import { instantOfMilliseconds } from '../domain/instant';
import { type Config, ConfigError, readConfig } from './config';
import { databaseUrl, serveApi, serveCompute, serveJobs } from './serve';
import { upCommand } from './up';

const SERVE = { api: serveApi, jobs: serveJobs, compute: serveCompute };

async function main(): Promise<void> {
  const program = new Command('holdfast').description('Bills compute jobs in prepaid credits.');
  program
    .command('up')
    .description('bring up the whole product on embedded defaults and keep it up')
    .action(async () => {
      process.exitCode = await upCommand(readConfig());
    });
  program
    .command('serve <part>')
    .description('run one process: api, jobs or compute')
    .action(async (part: string) => {
      exitWithParent();
      if (!(part in SERVE)) throw new ConfigError(`There is no part "${part}"; serve api, jobs or compute.`);
      await SERVE[part as keyof typeof SERVE](readConfig());
    });
  program
    .command('migrate')
    .description('bring the database to the newest schema')
    .action(() => runMigrate(readConfig()));
  program
    .command('seed')
    .description('add demo people, contracts, credits and rates')
    .action(() => runSeed(readConfig()));
  await program.parseAsync();
}

async function runMigrate(config: Config): Promise<void> {
  const db = connect(databaseUrl(config));
  try {
    const applied = await migrate(db, join(packageRoot(), 'db', 'migrations'));
    process.stdout.write(`${applied.length} migrations applied\n`);
  } finally {
    await db.destroy();
  }
}

async function runSeed(config: Config): Promise<void> {
  const db = connect(databaseUrl(config));
  const path = join(config.home, 'keys.json');
  try {
    const known = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, DemoKey>) : {};
    const keys = await seed(db, known, instantOfMilliseconds(Date.now()));
    await mkdir(config.home, { recursive: true });
    await writePrivately(path, keys);
  } finally {
    await db.destroy();
  }
}

main().catch((error) => {
  const text = error instanceof ConfigError ? error.message : (error?.stack ?? String(error));
  process.stderr.write(`${text}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
});
