import { addMilliseconds } from '../domain/instant';
import { atHour, idOf } from '../test/builders/ids';
import { amount, grant, refund, release, reserve, settle } from '../test/builders/ledger';
import { rows } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { insertPeople } from './testing/people';
import { listTransfers, type RecordedTransfer, type TransferPlace, type TransfersOf } from './transfers';

jest.setTimeout(120_000);

/** Each is two batches: more than a page looks through. */
const JOBS = 700;
const USER = idOf('user', 1);
const CONTRACT = idOf('contract', 1);
const [USED, UNUSED, OWN] = [idOf('lot', 1), idOf('lot', 2), idOf('lot', 3)];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  const { db, ledger } = database;
  await insertPeople(db, {
    users: [USER],
    contracts: [{ contractId: CONTRACT, startsAt: atHour(0), endsAt: atHour(8_000) }],
    authorisations: [{ userId: USER, contractId: CONTRACT, authorisedAt: atHour(0), removedAt: null }],
  });
  // The unused one expires last, so that the other pays.
  await ledger.applyBatch([
    grant({ lot: { id: UNUSED, poolId: CONTRACT, amount: amount('1'), expiresAt: atHour(7_000) } }),
    grant({ lot: { id: USED, poolId: CONTRACT, amount: amount('1000'), expiresAt: atHour(6_000) } }),
    grant({ lot: { id: OWN, poolId: USER, kind: 'individual', amount: amount('0.5') } }),
  ]);
  for (let n = 1; n <= JOBS; n++) {
    const at = addMilliseconds(atHour(2), n * 1_000);
    const job = { userId: USER, contractId: CONTRACT, jobId: idOf('job', n), at };
    await ledger.applyBatch([reserve({ ...job, amount: amount('1') })]);
    await ledger.applyBatch([n % 3 === 0 ? release(job) : settle({ ...job, actual: amount('0.7') })]);
  }
  const job = { userId: USER, contractId: CONTRACT, jobId: idOf('job', 1), at: atHour(100) };
  await ledger.applyBatch([refund({ ...job, refundId: idOf('refund', 1), amount: amount('0.6') })]);
});
afterAll(() => database?.drop());

async function walked(of: TransfersOf, limit: number): Promise<{ transfers: RecordedTransfer[]; pages: number }> {
  const transfers: RecordedTransfer[] = [];
  let before: TransferPlace | null = null;
  for (let pages = 1; ; pages++) {
    const page = await listTransfers(database.db, of, { before, limit });
    expect(page.transfers.length).toBeLessThanOrEqual(limit);
    transfers.push(...page.transfers);
    if (page.next === null) return { transfers, pages };
    before = page.next;
  }
}

/** The same from the view, all at once. */
async function all(condition: string, bindings: readonly string[] = []) {
  return rows(
    database.db,
    `select batch_id as "batchId", kind, lot_id as "lotId", from_bucket as "from", to_bucket as "to", amount
     from transfers
     where ${condition}
     order by batch_id desc, operation_position desc, position desc`,
    bindings,
  );
}

const shortened = ({ batchId, kind, lotId, from, to, amount: moved }: RecordedTransfer) => ({
  batchId,
  kind,
  lotId,
  from,
  to,
  amount: moved,
});

test.each<[string, TransfersOf, string, string[]]>([
  ['everything', null, 'true', []],
  ['a contract', { pool: CONTRACT }, 'lot_id in (select id from lots where pool_id = ?)', [CONTRACT]],
  ['a user', { pool: USER }, 'lot_id in (select id from lots where pool_id = ?)', [USER]],
  ['a lot', { lot: USED }, 'lot_id = ?', [USED]],
  ['a job with its refund', { job: idOf('job', 1) }, 'job_id = ?', [idOf('job', 1)]],
])(
  'the transfers of %s are walked once and whole, newest first, in pages of any size',
  async (_, of, condition, ids) => {
    const expected = await all(condition, ids);
    expect(expected.length).toBeGreaterThan(3);
    for (const limit of [1, 7, 200].filter((one) => expected.length / one < 300)) {
      expect((await walked(of, limit)).transfers.map(shortened)).toEqual(expected);
    }
  },
);

test('the grant of a lot that nobody used since is found behind all the others', async () => {
  const { transfers, pages } = await walked({ lot: UNUSED }, 10);
  expect(transfers.map(shortened)).toEqual(await all('lot_id = ?', [UNUSED]));
  expect(transfers).toHaveLength(1);
  // A page without any transfer still says where to go on.
  expect(pages).toBe(2);
});
