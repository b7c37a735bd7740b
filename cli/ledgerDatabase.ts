/** The database of a ledger, for commands that read it without the API. */
import { connect, type Db, isUnavailable, sqlStateOf } from '../db/client';
import { findRunningInstance } from '../dev/instance';
import { readConfig } from './config';
import { NothingRuns, WrongUsage } from './failures';

/** There is no such table, or no such role: nobody migrated this database. */
const UNMIGRATED = ['42P01', '22023'];

/**
 * Does something with the database of `DATABASE_URL`, or of what runs from the home folder.
 *
 * @throws NothingRuns when there is none or it does not answer. @throws WrongUsage when it has no ledger.
 */
export async function withLedgerDatabase<T>(env: NodeJS.ProcessEnv, work: (db: Db) => Promise<T>): Promise<T> {
  const config = readConfig(env);
  const url = config.databaseUrl ?? findRunningInstance(config.home)?.databaseUrl ?? undefined;
  if (url === undefined) {
    throw new NothingRuns(`Nothing runs from ${config.home}. Start it with "npm start", or set DATABASE_URL.`);
  }
  const db = connect(url, { applicationName: 'holdfast-verify', poolMax: 1 });
  try {
    return await work(db);
  } catch (error) {
    if (isUnavailable(error))
      throw new NothingRuns('The database does not answer, or stopped answering.', { cause: error });
    if (UNMIGRATED.includes(sqlStateOf(error) ?? '')) {
      throw new WrongUsage('The database has no ledger of this version; run "holdfast migrate" first.', {
        cause: error,
      });
    }
    throw error;
  } finally {
    await db.destroy();
  }
}
