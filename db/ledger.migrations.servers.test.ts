import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, rows } from './client';
import { migrate } from './migrate';
import { createTestDatabase, MIGRATIONS, type TestDatabase } from './testing/database';

let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
  folder = await mkdtemp(join(tmpdir(), 'holdfast-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
});

afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

function tables(): Promise<{ name: string }[]> {
  return rows(
    database.db,
    `select table_name as name from information_schema.tables where table_schema = 'public' order by 1`,
  );
}

test('an empty database is migrated once; a second time changes nothing', async () => {
  const first = await migrate(database.db, folder);
  expect(first).toContain('0001_initial.sql');
  const made = await tables();
  expect(made.length).toBeGreaterThan(10);
  expect(await migrate(database.db, folder)).toEqual([]);
  expect(await tables()).toEqual(made);
});

test('several processes that start at once migrate once', async () => {
  const pools = Array.from({ length: 3 }, () => connect(database.url, { poolMax: 1 }));
  try {
    const applied = await Promise.all(pools.map((pool) => migrate(pool, folder)));
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
});

test('a migration that changed after it was applied is refused by name', async () => {
  await migrate(database.db, folder);
  const file = join(folder, '0001_initial.sql');
  await writeFile(file, `${await readFile(file, 'utf8')}\n-- A later thought.\n`);
  await expect(migrate(database.db, folder)).rejects.toThrow(/0001_initial\.sql/);
});

test('a new migration is applied alone, question marks and all, and one that fails leaves nothing', async () => {
  await migrate(database.db, folder);
  await writeFile(join(folder, '9000_good.sql'), `create table later (sign text default '?' check (sign ~ '^.?$'));`);
  expect(await migrate(database.db, folder)).toEqual(['9000_good.sql']);
  expect(await rows(database.db, 'insert into later default values returning sign')).toEqual([{ sign: '?' }]);
  await writeFile(join(folder, '9001_bad.sql'), 'create table half (n int); select 1 / 0;');
  await expect(migrate(database.db, folder)).rejects.toMatchObject({ code: '22012' });
  expect((await tables()).map(({ name }) => name)).not.toContain('half');
  await rm(join(folder, '9001_bad.sql'));
  expect(await migrate(database.db, folder)).toEqual([]);
});
