/** Forward-only migrations: numbered SQL files, each applied once, in order, in one transaction with its record. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Db, inTransaction, rows } from './client';

/** Any number; all of Holdfast's processes take the same lock, so only one migrates. */
const LOCK = 4_721_001;

/**
 * Brings the database to the newest schema. Safe to run from several processes at once and again after a crash.
 *
 * @returns the names of the migrations that were applied now.
 * @throws Error when an applied migration's file has changed: a merged file never does.
 */
export async function migrate(db: Db, folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  return inTransaction(db, async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?)', [LOCK]);
    await trx.raw(
      'create table if not exists migrations (name text primary key, sha256 text not null, applied_at timestamptz not null default clock_timestamp())',
    );
    const applied = new Map(
      (await rows<{ name: string; sha256: string }>(trx, 'select name, sha256 from migrations')).map((row) => [
        row.name,
        row.sha256,
      ]),
    );
    const now: string[] = [];
    for (const name of files) {
      const sql = await readFile(join(folder, name), 'utf8');
      const sha256 = createHash('sha256').update(sql).digest('hex');
      const before = applied.get(name);
      if (before !== undefined && before !== sha256) {
        throw new Error(`migration ${name} was applied with other contents; restore the file and add a new migration`);
      }
      if (before !== undefined) continue;
      // No bindings: a question mark in the file is the file's own.
      await trx.raw(sql.replaceAll('?', '\\?'));
      await trx.raw('insert into migrations (name, sha256) values (?, ?)', [name, sha256]);
      now.push(name);
    }
    return now;
  });
}
