/** A durable Postgres of its own that can be killed at any instant and comes back on the same port with the same data. */
import { connect, type Db, isUnavailable, rows } from '../../db/client';
import { startPostgres } from '../postgres';
import { CLIENT_NAME } from './clients';

export interface MortalServer {
  readonly url: string;
  /** Settles when the server answers; at once while it does. */
  up(): Promise<void>;
  /** `kill -9` of the postmaster, then a start on what is left. Settles when it answers again. */
  kill(): Promise<void>;
  /**
   * `kill -9` of the process that serves a client's connection. Postgres then ends all others and recovers by itself. Settles
   * when it answers again.
   *
   * @param choose picks one of the ids of such processes.
   * @returns whether there was one to kill.
   */
  killBackend(choose: (pids: readonly number[]) => number): Promise<boolean>;
  stop(): Promise<void>;
}

export async function startMortalServer(folder: string): Promise<MortalServer> {
  let postgres = await startPostgres({ folder, durable: true });
  const { url, port } = postgres;
  let up: Promise<unknown> = Promise.resolve();

  /** Everybody who asks meanwhile waits until it is over. */
  const down = (work: () => Promise<unknown>) => {
    up = work();
    return up;
  };
  return {
    url,
    async up() {
      await up;
    },
    async kill() {
      await down(async () => {
        process.kill(postgres.pid, 'SIGKILL');
        await postgres.exited;
        postgres = await startPostgres({ folder, port, durable: true });
      });
    },
    async killBackend(choose) {
      const pids = await backends(url);
      if (pids.length === 0) return false;
      await down(async () => {
        try {
          process.kill(choose(pids), 'SIGKILL');
        } catch {
          // It ended by itself in this instant.
        }
        await answering(url);
      });
      return true;
    },
    stop: () => postgres.stop(),
  };
}

async function backends(url: string): Promise<number[]> {
  return alone(url, async (db) => {
    const found = await rows<{ pid: number }>(db, 'select pid from pg_stat_activity where application_name = ?', [
      CLIENT_NAME,
    ]);
    return found.map(({ pid }) => pid);
  });
}

async function answering(url: string): Promise<void> {
  for (;;) {
    try {
      await alone(url, (db) => rows(db, 'select 1'));
      return;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
  }
}

async function alone<T>(url: string, work: (db: Db) => Promise<T>): Promise<T> {
  const db = connect(url, { poolMax: 1, as: 'owner' });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}
