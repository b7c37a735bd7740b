/** A durable Postgres for measuring the ledger, and databases on it with the product's schema. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Db } from '../../../db/client';
import { migrate } from '../../../db/migrate';
import { startPostgres } from '../../postgres';
import { packageRoot } from '../../root';

export interface BenchServer {
  /** Of the server process, whose children serve the connections. */
  readonly pid: number;
  /** Makes a database with the newest schema and nothing in it. */
  createDatabase(name: string): Promise<BenchDatabase>;
  stop(): Promise<void>;
}

export interface BenchDatabase {
  readonly url: string;
  readonly serverPid: number;
  /** With the rights of the application, as the product connects. */
  readonly db: Db;
  /** With all rights: for what is set up and looked at outside of what is measured. */
  readonly owner: Db;
  drop(): Promise<void>;
}

/** Starts the server in a folder of its own, as durable as the product's. Stopping it removes the folder. */
export async function startBenchServer(): Promise<BenchServer> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  const postgres = await startPostgres({ folder: join(folder, 'postgres'), durable: true }).catch(async (error) => {
    await removeFolder();
    throw error;
  });
  await recycleLog(postgres.url);
  const pools = new Set<Db>();
  const open = (...given: Parameters<typeof connect>): Db => {
    const pool = connect(...given);
    pools.add(pool);
    return pool;
  };
  const close = async (pool: Db): Promise<void> => {
    pools.delete(pool);
    await pool.destroy();
  };

  const createDatabase = async (name: string): Promise<BenchDatabase> => {
    const admin = open(postgres.url, { poolMax: 1, as: 'owner' });
    await admin.raw('create database ??', [name]);
    const url = Object.assign(new URL(postgres.url), { pathname: `/${name}` }).toString();
    const owner = open(url, { poolMax: 2, as: 'owner' });
    const db = open(url, { poolMax: 16 });
    const database: BenchDatabase = {
      url,
      serverPid: postgres.pid,
      db,
      owner,
      async drop() {
        await Promise.all([close(db), close(owner)]);
        await admin.raw('drop database ?? with (force)', [name]);
        await close(admin);
      },
    };
    await migrate(owner, join(packageRoot(), 'db', 'migrations'));
    return database;
  };

  return {
    pid: postgres.pid,
    createDatabase,
    async stop() {
      // The server first: a pool waits for its statements, and on an interruption one may run for minutes.
      await postgres.stop();
      await Promise.all([...pools].map(close));
      await removeFolder();
    },
  };
}

/** Files of the log, of 16 MB each: more than a run of one figure writes. */
const LOG_FILES = 48;

/**
 * Leaves a log as a server has it that runs for a while: each next file is one that was used before. A new server makes every
 * file when it comes to it and fills it with zeros first, which takes a twentieth of what writes much and nothing of what
 * writes little.
 */
async function recycleLog(url: string): Promise<void> {
  const admin = connect(url, { poolMax: 1, as: 'owner' });
  try {
    for (let file = 0; file < LOG_FILES; file++) {
      await admin.raw(`select pg_logical_emit_message(true, 'bench', '')`);
      await admin.raw('select pg_switch_wal()');
    }
    await admin.raw('checkpoint');
  } finally {
    await admin.destroy();
  }
}

/** Says on standard error what is going on: a run takes minutes. */
export function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}
