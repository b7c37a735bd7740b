/** What `docs/ledger.md` lets anybody run is run here, as it stands there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../dev/root';
import { rows } from '../client';
import { createTestDatabase, type TestDatabase } from '../testing/database';
import { FULL, fillLedger } from '../testing/fullLedger';

let database: TestDatabase;
let sql: string;

beforeAll(async () => {
  database = await createTestDatabase();
  await fillLedger(database);
  const document = await readFile(join(packageRoot(), 'docs/ledger.md'), 'utf8');
  const blocks = [...document.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
  expect(blocks).toHaveLength(1);
  sql = blocks[0] ?? '';
});

afterAll(() => database.drop());

interface Chain {
  readonly pool: string;
  readonly links: bigint;
  readonly head: string;
  readonly agrees: boolean;
}

test('the documented query recomputes the chain of every pool', async () => {
  const recomputed = await rows<Chain>(database.db, sql);
  const pools = await rows<Chain>(
    database.db,
    `select id as pool, seq as links, encode(head, 'hex') as head, true as agrees from pools order by id`,
  );
  expect(recomputed).toEqual(pools);
  expect(recomputed.find(({ pool }) => pool === FULL.contract)?.links).toBeGreaterThan(10n);
});

test.each([
  [
    'an operation’s reason',
    `update operations set reason = reason || '.' where subject = '${FULL.quotedJob}' and kind = 'topUp'`,
  ],
  ['a lot’s reference', `update lots set reference = 'order 8' where reference is not null`],
  ['a head', `update links set head = sha256(head) where pool_id = '${FULL.contract}' and seq = 2`],
  ['a pool’s head', `update pools set head = sha256(head) where id = '${FULL.contract}'`],
])('the documented query finds another value of %s', async (_, change) => {
  const trx = await database.owner.transaction();
  try {
    await trx.raw('set local session_replication_role = replica');
    await trx.raw(change);
    const chains = await rows<Chain>(trx, sql);
    expect(chains).toContainEqual(expect.objectContaining({ pool: FULL.contract, agrees: false }));
  } finally {
    await trx.rollback();
  }
});
