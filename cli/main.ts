/** `holdfast`: the commands for people, and the commands that run the product. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from '../db/client';
import { openLedger } from '../db/ledger';
import { migrate } from '../db/migrate';
import { type DemoKey, seed } from '../db/seed';
import { writePrivately } from '../dev/instance';
import { exitWithParent } from '../dev/parent';
import { packageRoot } from '../dev/root';
import { instantOfMilliseconds } from '../domain/instant';
import { buildProgram, runProgram } from './commands';
import { type Config, ConfigError, databaseUrl, readConfig } from './config';

const PARTS = ['api', 'jobs', 'compute'] as const;

async function main(): Promise<void> {
  const terminal = { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: process.env };
  const program = buildProgram(terminal);
  program
    .command('up')
    .description('bring up the whole product on embedded defaults and keep it up')
    .action(async () => {
      // Loaded only here and in `serve`: commands for people start without Temporal's libraries.
      const { upCommand } = require('./up') as typeof import('./up');
      process.exitCode = await upCommand(readConfig());
    });
  program
    .command('serve <part>')
    .description(`run one process of the product: ${PARTS.join(', ')}`)
    .action(async (part: string) => {
      exitWithParent();
      await serve(part, readConfig());
    });
  program
    .command('migrate')
    .description('bring the database to the newest schema')
    .action(() => runMigrate(readConfig()));
  program
    .command('seed')
    .description('add demo people, contracts, credits and rates')
    .action(() => runSeed(readConfig()));
  const code = await runProgram(program, terminal, process.argv.slice(2));
  if (code !== 0) process.exitCode = code;
}

function serve(part: string, config: Config): Promise<void> {
  const { serveApi, serveJobs } = require('./serve') as typeof import('./serve');
  const { serveCompute } = require('./compute') as typeof import('./compute');
  const [api, jobs, compute] = PARTS;
  switch (part) {
    case api:
      return serveApi(config);
    case jobs:
      return serveJobs(config);
    case compute:
      return serveCompute(config);
    default:
      throw new ConfigError(`There is no part "${part}"; serve ${PARTS.join(', ')}.`);
  }
}

async function runMigrate(config: Config): Promise<void> {
  const db = connect(config.databaseOwnerUrl ?? databaseUrl(config), { as: 'owner' });
  try {
    const applied = await migrate(db, join(packageRoot(), 'db', 'migrations'));
    process.stdout.write(`${applied.length} migrations applied\n`);
  } finally {
    await db.destroy();
  }
}

/** Writes the demo people's keys beside the data, readable by its owner alone. */
async function runSeed(config: Config): Promise<void> {
  const db = connect(databaseUrl(config));
  const ledger = openLedger(db);
  const path = join(config.home, 'keys.json');
  try {
    const known = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, DemoKey>) : {};
    const keys = await seed(ledger, known, instantOfMilliseconds(Date.now()));
    await mkdir(config.home, { recursive: true });
    await writePrivately(path, keys);
  } finally {
    await ledger.close();
    await db.destroy();
  }
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
