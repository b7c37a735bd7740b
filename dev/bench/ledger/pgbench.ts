/**
 * What Postgres itself can do: one statement a transaction, by `pgbench` from PostgreSQL's packages. Where there is no
 * pgbench, processes of our own send the same statement through node-pg, which the figures then say.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { startChild } from './children';
import type { Load } from './clients';
import { type BenchDatabase, say } from './server';

export interface Statement {
  readonly name: string;
  readonly setUp: string;
  readonly sql: string;
}

/** The limit of whoever keeps a balance in a row: each commit waits for the one before. */
export const HOT_ROW: Statement = {
  name: 'hot row',
  setUp: `create table hot (id int primary key, v bigint not null) with (fillfactor = 50);
    insert into hot (id, v) values (1, 0)`,
  sql: 'update hot set v = v + 1 where id = 1',
};

/** The limit of whoever commits each operation on its own: only the log is shared. */
export const INSERT_ONLY: Statement = {
  name: 'insert only',
  setUp: 'create table inserted (id bigint generated always as identity primary key, v bigint not null)',
  sql: 'insert into inserted (v) values (1)',
};

/** At which the baseline is measured where its best figure is wanted; the server allows 200 connections. */
export const BASELINE_CLIENTS = [1, 8, 32, 128] as const;

export interface Baseline {
  readonly program: 'pgbench' | 'node-pg';
  /** Transactions per second of a statement, each its own transaction, by clients that wait for nothing else. */
  rate(statement: Statement, load: Load): Promise<number>;
}

/** Makes the statements' tables in a database and finds the program that sends them. */
export async function openBaseline(database: BenchDatabase, statements: readonly Statement[]): Promise<Baseline> {
  for (const { setUp } of statements) await database.owner.raw(setUp);
  const program = await findPgbench();
  if (program === undefined) {
    say('there is no pgbench, neither on the PATH nor where Debian puts it; node-pg measures the same statements');
    return { program: 'node-pg', rate: (statement, load) => nodeRate(database.url, statement, load) };
  }
  return { program: 'pgbench', rate: (statement, load) => pgbenchRate(program, database.url, statement, load) };
}

async function findPgbench(): Promise<string | undefined> {
  const debian = '/usr/lib/postgresql';
  const versions = await readdir(debian).catch(() => []);
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(debian, version, 'bin')),
  ];
  return folders.map((folder) => join(folder, 'pgbench')).find((path) => existsSync(path));
}

async function pgbenchRate(program: string, url: string, { sql }: Statement, load: Load): Promise<number> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-pgbench-'));
  try {
    const script = join(folder, 'statement.sql');
    await writeFile(script, `${sql};\n`);
    // Its time begins before it has connected; the rate it says does not count that.
    const seconds = load.seconds + 1;
    const threads = Math.min(load.clients, availableParallelism());
    const { stdout } = await promisify(execFile)(
      program,
      [
        ...['--no-vacuum', '--protocol=prepared', `--file=${script}`, `--time=${seconds}`],
        ...[`--client=${load.clients}`, `--jobs=${threads}`],
        ...[`--host=${hostname}`, `--port=${port}`, `--username=${decodeURIComponent(username)}`, pathname.slice(1)],
      ],
      { env: { PATH: process.env.PATH, PGPASSWORD: decodeURIComponent(password) } },
    );
    const rate = /^tps = ([\d.]+)/m.exec(stdout)?.[1];
    if (rate === undefined) throw new Error(`pgbench says no rate:\n${stdout}`);
    return Number(rate);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A process a core, each with its share of the clients. */
async function nodeRate(url: string, { sql }: Statement, { clients, seconds }: Load): Promise<number> {
  const processes = Math.min(clients, availableParallelism());
  const rates = await Promise.all(
    Array.from({ length: processes }, async (_, index) => {
      const child = startChild<Load, number>('statementClients.js', [url, sql]);
      const share = Math.floor((clients + index) / processes);
      return child.ask({ clients: share, seconds }).finally(child.stop);
    }),
  );
  return rates.reduce((sum, rate) => sum + rate, 0);
}
