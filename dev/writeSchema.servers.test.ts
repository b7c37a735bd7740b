import { readFile } from 'node:fs/promises';
import { createTestDatabase, type TestDatabase } from '../db/testing/database';
import { SCHEMA_FILE, schemaText } from './writeSchema';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.drop());

test('db/schema.sql is what the migrations make', async () => {
  const [committed, made] = [await readFile(SCHEMA_FILE, 'utf8'), await schemaText(database.owner)];
  if (committed !== made) throw new Error('db/schema.sql is not what the migrations make: run "npm run schema"');
});

test('every kind of change to the schema changes its picture', async () => {
  const { owner } = database;
  const changes = [
    'alter table lots add column later int',
    'alter table lots alter column later type bigint',
    'alter table lots alter column later set default 7',
    'alter table lots alter column later set not null',
    'alter table lots add constraint later_is_small check (later < 9)',
    'create index lots_later on lots (later)',
    'create sequence later',
    'create view later_lots as select id from lots where later > 0',
    `create function later() returns trigger language plpgsql as 'begin return null; end'`,
    'create trigger lots_later after insert on lots for each row execute function later()',
    'grant delete on links to holdfast_application',
    'grant update (later) on lots to holdfast_application',
    'revoke execute on function later() from public',
    'alter table links set (fillfactor = 70)',
    'alter table customers alter column name type text collate "C"',
  ];
  const pictures = new Set([await schemaText(owner)]);
  for (const change of changes) {
    await owner.raw(change);
    pictures.add(await schemaText(owner));
  }
  expect(pictures.size).toBe(changes.length + 1);
});
