/** A database of its own for each test file, made and dropped on the server that `test/servers/` started. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { packageRoot } from '../../dev/root';
import { connect, type Db, firstRow } from '../client';
import { type Ledger, openLedger } from '../ledger';
import { migrate } from '../migrate';

export interface TestDatabase {
  /** As the application connects: it may append facts and change none. */
  readonly db: Db;
  /** As the owner of the schema, for what a test has to arrange or to tamper with. */
  readonly owner: Db;
  readonly ledger: Ledger;
  /** For further pools and processes. */
  readonly url: string;
  /** For what only another session can do, such as ending one. */
  readonly admin: Db;
  drop(): Promise<void>;
}

/** The folder of the migrations, from source and from compiled code alike. */
export const MIGRATIONS = join(packageRoot(), 'db/migrations');

/**
 * Makes a database with the newest schema and nothing in it.
 *
 * @throws Error with a sentence when there is no server, or when the database is not what a test expects.
 */
export async function createTestDatabase(
  options: { migrated?: boolean; poolMax?: number } = {},
): Promise<TestDatabase> {
  const { migrated = true, poolMax = 4 } = options;
  const adminUrl = process.env.HOLDFAST_TEST_DATABASE_URL;
  if (!adminUrl)
    throw new Error('HOLDFAST_TEST_DATABASE_URL is not set; run these tests with jest’s project "servers"');
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = connect(adminUrl, { poolMax: 2, applicationName: 'holdfast-test-admin', as: 'owner' });
  await admin.raw('create database ??', [name]);
  const url = Object.assign(new URL(adminUrl), { pathname: `/${name}` }).toString();
  const owner = connect(url, { poolMax: 2, as: 'owner' });
  const db = connect(url, { poolMax });
  const ledger = openLedger(db);
  const drop = async () => {
    await ledger.close();
    await db.destroy();
    await owner.destroy();
    await admin.raw('drop database if exists ?? with (force)', [name]);
    await admin.destroy();
  };
  try {
    if (migrated) await migrate(owner, MIGRATIONS);
    await checkFresh(owner, migrated);
  } catch (error) {
    await drop();
    throw error;
  }
  return { db, owner, ledger, url, admin, drop };
}

async function checkFresh(db: Db, migrated: boolean): Promise<void> {
  const found = await firstRow<{ zone: string; ledger: boolean }>(
    db,
    `select current_setting('TimeZone') as zone, to_regclass('operations') is not null as ledger`,
  );
  if (found?.zone !== 'UTC') throw new Error(`a session speaks ${found?.zone}, not UTC`);
  if (found.ledger !== migrated) throw new Error(`a fresh database ${found.ledger ? 'has' : 'has no'} ledger`);
  if (!migrated) return;
  const rows = await firstRow<{ count: bigint }>(
    db,
    'select (select count(*) from operations) + (select count(*) from lots) as count',
  );
  if (rows?.count !== 0n) throw new Error(`a fresh database has ${rows?.count} rows in its ledger`);
}
