/** What the verifier is for: whoever may write everything and changes one digit of one row is found. */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { packageRoot } from '../../dev/root';
import { atHour, idOf } from '../../test/builders/ids';
import { rows, SQLSTATE, sqlStateOf } from '../client';
import { createTestDatabase, type TestDatabase } from '../testing/database';
import { FULL, fillLedger } from '../testing/fullLedger';
import { type Column, changes, columnsOf, digitsOf, dropChecks, tamper } from '../testing/tampering';
import { exportLedger } from './exportFile';
import { verifyLedger } from './verifyLedger';

/** The ledger's own tables and those whose figures follow from it. */
const TABLES = [
  'attempts',
  'batches',
  'budget_periods',
  'budgets',
  'charges',
  'jobs',
  'links',
  'lots',
  'moves',
  'operations',
  'pools',
  'quotes',
  'rate_cards',
  'refund_rejections',
  'refund_requests',
  'usage_records',
];

/** Tables that say who people are and what was said: nothing of them follows from an operation. */
const OTHER_TABLES = [
  'allocation_rules',
  'allocations',
  'api_keys',
  'balance_states',
  'balance_thresholds',
  'compute_offers',
  'contract_bookings',
  'contract_changes',
  'contract_users',
  'contract_watches',
  'contracts',
  'customers',
  'digest_entries',
  'external_results',
  'external_runs',
  'idempotency_keys',
  'imports',
  'input_uploads',
  'inputs',
  'job_events',
  'meter_disagreements',
  'migrations',
  'notice_attempts',
  'notice_bounces',
  'notice_deliveries',
  'notice_preferences',
  'notice_reads',
  'notice_results',
  'notice_showings',
  'notices',
  'packs',
  'purchases',
  'rate_card_drafts',
  'results',
  'sessions',
  'unsubscribe_tokens',
  'users',
  'withdrawal_lots',
  'withdrawal_requests',
  'withdrawal_users',
  'withdrawals',
];

/** Columns that nothing else repeats; `docs/ledger.md` lists them. */
const UNPROVABLE: Readonly<Record<string, readonly string[]>> = {
  attempts: ['runner', 'worker', 'started_at', 'ended_at', 'message', 'run', 'progress'],
  charges: ['recorded_at'],
  jobs: [
    'input_name',
    'time_limit_seconds',
    'comment',
    'progress',
    'revision',
    'runner',
    'engine',
    'runs',
    'submitted_at',
  ],
  pools: ['terms'],
  quotes: ['facts', 'quoted_at', 'valid_until'],
  rate_cards: ['published_by', 'recorded_at'],
  refund_rejections: ['reason', 'rejected_by', 'rejected_at', 'recorded_at'],
  refund_requests: ['id', 'requested_by', 'requested_at', 'recorded_at'],
  usage_records: ['seq', 'source', 'measured_at', 'recorded_at'],
};

/** Of these tables the row that everything is known of: of the quoted and settled job, of a refund that was booked. */
const CHOSEN: Readonly<Record<string, string>> = {
  attempts: `job_id = '${FULL.quotedJob}' and outcome = 'lost'`,
  charges: `job_id = '${FULL.quotedJob}'`,
  jobs: `id = '${FULL.quotedJob}'`,
  refund_requests: `id in ('${idOf('refund', 4)}', '${idOf('refund', 5)}')`,
  usage_records: `job_id = '${FULL.quotedJob}'`,
};

let database: TestDatabase;
let columns: Column[];

beforeAll(async () => {
  database = await createTestDatabase();
  await fillLedger(database);
  await dropChecks(database.owner, TABLES);
  columns = await columnsOf(database.owner, TABLES);
  expect(await findings()).toEqual([]);
});

afterAll(() => database.drop());

async function findings() {
  return (await verifyLedger({ kind: 'database', db: database.db })).findings;
}

function isProvable({ table, column }: Column): boolean {
  return !UNPROVABLE[table]?.includes(column);
}

test('every table is either verified or known to follow from nothing', async () => {
  const tables = await rows<{ name: string }>(
    database.db,
    `select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
  );
  expect(tables.map(({ name }) => name).sort()).toEqual([...TABLES, ...OTHER_TABLES].sort());
});

test('the document lists the columns that nothing proves', async () => {
  const document = await readFile(join(packageRoot(), 'docs/ledger.md'), 'utf8');
  const listed = [...document.matchAll(/^\| `(\w+)` +\| ((?:`\w+`(?:, )?)+) +\|$/gm)].map(([, table, names]) => [
    table,
    [...(names ?? '').matchAll(/\w+/g)].map(([name]) => name),
  ]);
  expect(Object.fromEntries(listed)).toEqual(UNPROVABLE);
});

test('one digit of one row is found in every column of every table of the ledger', async () => {
  const missed: string[] = [];
  for (const one of columns.filter(isProvable)) {
    const { table, column } = one;
    const restore = await change(one);
    const found = await findings();
    if (found.length === 0) missed.push(`${table}.${column}`);
    await restore();
  }
  expect(missed).toEqual([]);
  expect(await findings()).toEqual([]);
}, 120_000);

/** Changes a column of one row. @returns what changes it back. */
async function change({ table, column, type }: Column, at = 0): Promise<() => Promise<unknown>> {
  const { owner } = database;
  const [row] = await rows<{ place: string; text: string }>(
    owner,
    `select ctid::text as place, ${column}::text as text
     from ${table}
     where ${column} is not null and ${CHOSEN[table] ?? 'true'}
     order by length(${column}::text) desc
     limit 1`,
  );
  if (!row) throw new Error(`no row of ${table} has a ${column}`);
  const cast = type === 'ARRAY' ? '' : `::${type}`;
  const write = async (place: string, text: string) => {
    const sql = `update ${table} set ${column} = ?${cast} where ctid = ?::tid returning ctid::text as place`;
    const [written] = await tamper<{ place: string }>(owner, sql, [text, place]);
    if (!written) throw new Error(`nothing of ${table} was changed`);
    return written.place;
  };
  for (const text of changes(row.text, type, at)) {
    try {
      const place = await write(row.place, text);
      return () => write(place, row.text);
    } catch (error) {
      // A key that another row has: it is changed to yet another one.
      if (sqlStateOf(error) !== SQLSTATE.uniqueViolation) throw error;
    }
  }
  throw new Error(`${column} of ${table} cannot be changed`);
}

test('any digit of a dossier is found', async () => {
  const [charge] = await rows<{ dossier: string }>(
    database.db,
    `select dossier::text as dossier from charges where job_id = ?`,
    [FULL.quotedJob],
  );
  const digits = digitsOf(charge?.dossier ?? '', 'jsonb').length;
  expect(digits).toBeGreaterThan(400);
  const missed: number[] = [];
  // Neighbouring digits belong to the same value mostly.
  for (let at = 0; at < digits; at += 17) {
    const restore = await change({ table: 'charges', column: 'dossier', type: 'jsonb' }, at);
    if ((await findings()).length === 0) missed.push(at);
    await restore();
  }
  expect(missed).toEqual([]);
}, 120_000);

test.each([
  ['operations', 'true'],
  ['operations', `kind = 'raiseCap'`],
  ['operations', `kind = 'repay'`],
  ['batches', 'true'],
  ['links', 'true'],
  ['links', `seq = (select max(seq) from links where pool_id = '${FULL.contract}') and pool_id = '${FULL.contract}'`],
  ['pools', 'true'],
  ['lots', 'true'],
  ['budgets', 'closed_at is null'],
  ['budget_periods', 'charged > 0'],
  ['charges', 'true'],
  ['jobs', `id = '${FULL.quotedJob}'`],
  ['quotes', 'true'],
  ['rate_cards', 'true'],
  ['attempts', `outcome = 'lost'`],
  ['usage_records', CHOSEN.usage_records as string],
])('a row deleted from %s where %s is found', async (table, condition) => {
  const found = await restoring(table, async () => {
    const place = `select ctid from ${table} where ${condition} limit 1`;
    expect(await tamper(database.owner, `delete from ${table} where ctid = (${place}) returning 1`)).toHaveLength(1);
  });
  expect(found).not.toEqual([]);
});

/** What is found of a table after something was done to it; then its rows are as they were. */
async function restoring(table: string, work: () => Promise<void>) {
  const { owner } = database;
  await owner.raw('create table kept as table ??', [table]);
  try {
    await work();
    return await findings();
  } finally {
    await tamper(owner, `delete from ${table}`);
    await tamper(owner, `insert into ${table} select * from kept`);
    await owner.raw('drop table kept');
    expect(await findings()).toEqual([]);
  }
}

test.each([
  ['operations', ['amounts'], `kind = 'grant'`],
  ['operations', ['reason', 'actor'], `kind in ('raiseCap', 'withdraw')`],
  ['operations', ['lot_ids'], `kind = 'reserve' and cardinality(lot_ids) > 0`],
  ['operations', ['booked_at'], `kind in ('grant', 'reserve')`],
  ['operations', ['position'], `batch_id = (select min(batch_id) from operations)`],
  ['operations', ['batch_id', 'position'], `kind in ('raiseCap', 'settle')`],
  ['operations', ['subject'], `kind = 'settle'`],
  ['batches', ['digest'], 'true'],
  ['batches', ['recorded_at'], 'true'],
  ['batches', ['id'], 'true'],
  ['links', ['batch_id'], `pool_id = '${FULL.contract}'`],
  ['links', ['seq'], `pool_id = '${FULL.contract}'`],
  ['links', ['head'], 'true'],
  ['links', ['pool_id'], `seq = 3`],
  ['pools', ['seq', 'head', 'booked_max', 'recorded_at', 'digest'], `seq > 0`],
  ['lots', ['available', 'consumed', 'reserved', 'expired', 'withdrawn', 'granted'], `kind <> 'individual'`],
  ['lots', ['reference'], `kind = 'shared'`],
  ['charges', ['job_id'], 'true'],
  ['charges', ['dossier'], 'true'],
  ['jobs', ['max_credits', 'expected'], `state in ('settled', 'released')`],
  ['usage_records', ['quantity'], CHOSEN.usage_records as string],
])('two rows of %s that exchange their %j are found', async (table, exchanged, condition) => {
  const { owner } = database;
  const found = await restoring(table, async () => {
    const chosen = await rows<{ place: string }>(
      owner,
      `select min(ctid)::text as place from ${table} where ${condition} group by ${exchanged.join(', ')} order by 1 limit 2`,
    );
    expect(chosen).toHaveLength(2);
    const places = chosen.map(({ place }) => place);
    const columnsThen = (await columnsOf(owner, [table])).map(({ column }) =>
      exchanged.includes(column) ? `other.${column}` : `one.${column}`,
    );
    // Unique keys would refuse one row after the other.
    await owner.raw(
      `create temporary table exchanged as
       select ${columnsThen.join(', ')}
       from ${table} one
       join ${table} other on one.ctid = any(?::tid[]) and other.ctid = any(?::tid[]) and one.ctid <> other.ctid`,
      [places, places],
    );
    await tamper(owner, `delete from ${table} where ctid = any(?::tid[])`, [places]);
    await tamper(owner, `insert into ${table} select * from exchanged`);
    await owner.raw('drop table exchanged');
  });
  expect(found).not.toEqual([]);
});

test('the first wrong row of each pool is named, and no other', async () => {
  const { owner } = database;
  const setReason = (of: string, reason: string) =>
    tamper<{ batchId: bigint }>(owner, `update operations set reason = ? where ${of} returning batch_id as "batchId"`, [
      reason,
    ]);
  const setAvailable = (id: string, more: number) =>
    tamper(owner, 'update lots set available = available + ? where id = ?', [more, id]);
  const topUp = `subject = '${FULL.quotedJob}' and kind = 'topUp'`;
  const [shared, others] = [idOf('lot', 2), idOf('lot', 4)];
  const [wrong] = await setReason(topUp, 'another reason');
  await setReason(`subject = '${shared}' and kind = 'expire'`, 'another reason');
  await setAvailable(shared, 1);
  await setAvailable(others, 1);
  const found = await findings();
  await setReason(topUp, 'the forecast needs more');
  await setReason(`subject = '${shared}' and kind = 'expire'`, 'a test asks for it');
  await setAvailable(shared, -1);
  await setAvailable(others, -1);
  expect(found).toEqual([
    {
      poolId: FULL.contract,
      table: 'batches',
      row: String(wrong?.batchId),
      batchId: String(wrong?.batchId),
      what: 'digest is not that of its canonical form',
      expected: expect.stringMatching(/^[0-9a-f]{64}$/),
      found: expect.stringMatching(/^[0-9a-f]{64}$/),
    },
    { poolId: FULL.otherUser, table: 'lots', row: others, what: 'available', expected: '0', found: '1' },
  ]);
  expect(await findings()).toEqual([]);
});

/** The text of an export of the ledger. */
async function exported(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of exportLedger(database.db, atHour(0))) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

async function findingsIn(text: string) {
  // In small pieces, so that lines are cut everywhere.
  const bytes = Buffer.from(text);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, n) =>
    bytes.subarray(1000 * n, 1000 * (n + 1)),
  );
  return (await verifyLedger({ kind: 'export', stream: Readable.from(pieces) })).findings;
}

/** An export with other lines between its first and its last, and a last line that fits them. */
function sealed(first: string, lines: readonly string[]): string {
  const text = `${[first, ...lines].join('\n')}\n`;
  const counts: Record<string, number> = {};
  for (const line of lines) counts[line.charAt(0)] = (counts[line.charAt(0)] ?? 0) + 1;
  const sha256 = createHash('sha256').update(text).digest('hex');
  return `${text}${JSON.stringify({ lines: counts, sha256 })}\n`;
}

function partsOf(text: string): { first: string; lines: string[] } {
  const [first = '', ...lines] = text.trimEnd().split('\n');
  lines.pop();
  return { first, lines };
}

test('an export of a sound ledger is sound, in pieces of any size', async () => {
  const text = await exported();
  expect(await findingsIn(text)).toEqual([]);
  const { first, lines } = partsOf(text);
  expect(await findingsIn(sealed(first, lines))).toEqual([]);
});

test('an export that was cut or changed on its way is not whole', async () => {
  const text = await exported();
  for (const cut of [
    text.slice(0, -1),
    text.slice(0, -50),
    text.slice(0, Math.floor(text.length / 2)),
    `${text}o\t1\n`,
  ]) {
    expect(await findingsIn(cut)).toContainEqual(expect.objectContaining({ table: 'export' }));
  }
  const at = text.indexOf('the job was submitted');
  const changedOne = `${text.slice(0, at)}T${text.slice(at + 1)}`;
  expect(await findingsIn(changedOne)).toContainEqual(expect.objectContaining({ table: 'export' }));
  await expect(findingsIn('')).rejects.toThrow(/no export/);
  await expect(findingsIn('something else\n')).rejects.toThrow(/no export/);
  await expect(findingsIn(text.replace('time_zone', 'time_zones'))).rejects.toThrow(/other columns/);
});

test('one digit of one line is found in every field of every section of an export that was sealed anew', async () => {
  const { first, lines } = partsOf(await exported());
  const types = new Map(columns.map(({ table, column, type }) => [`${table}.${column}`, type]));
  const { sections } = JSON.parse(first) as { sections: Record<string, { table: string; columns: string[] }> };
  const missed: string[] = [];
  for (const [letter, section] of Object.entries(sections)) {
    for (const [index, column] of section.columns.entries()) {
      const { table } = section;
      if (!isProvable({ table, column, type: '' })) continue;
      const chosen = CHOSEN[table] === undefined ? '' : FULL.quotedJob;
      const at = lines.findIndex(
        (line) =>
          line.startsWith(`${letter}\t`) &&
          line.includes(chosen) &&
          !['\\N', '{}', ''].includes(line.split('\t')[index + 1] ?? ''),
      );
      const fields = lines[at]?.split('\t') ?? [];
      const field = fields[index + 1] ?? '';
      fields[index + 1] = changes(field, types.get(`${table}.${column}`) ?? 'text')[0] ?? '';
      const found = await findingsIn(sealed(first, lines.with(at, fields.join('\t'))));
      if (at < 0 || found.length === 0) missed.push(`${letter} ${table}.${column}`);
    }
  }
  expect(missed).toEqual([]);
}, 120_000);

test('a line that is missing or stands elsewhere is found in an export that was sealed anew', async () => {
  const { first, lines } = partsOf(await exported());
  const missed: string[] = [];
  for (const letter of new Set(lines.map((line) => line.charAt(0)))) {
    // Of a job without a charge nothing tells that it was there, and neither of a refund that was asked for.
    if ('rx'.includes(letter)) continue;
    const at = lines.findIndex(
      (line) => line.startsWith(letter) && (!'jqamc'.includes(letter) || line.includes(FULL.quotedJob)),
    );
    const line = lines[at] ?? '';
    const without = lines.toSpliced(at, 1);
    if ((await findingsIn(sealed(first, without))).length === 0) missed.push(`without ${line}`);
    if ((await findingsIn(sealed(first, lines.toSpliced(at, 0, line)))).length === 0) missed.push(`twice ${line}`);
  }
  const swappable = lines.flatMap((line, at) =>
    'ob'.includes(line.charAt(0)) && lines[at + 1]?.startsWith(line.charAt(0)) ? [at] : [],
  );
  expect(swappable.length).toBeGreaterThan(5);
  for (const at of swappable) {
    const swapped = lines.with(at, lines[at + 1] ?? '').with(at + 1, lines[at] ?? '');
    if ((await findingsIn(sealed(first, swapped))).length === 0) missed.push(`behind the next: ${lines[at]}`);
  }
  expect(missed).toEqual([]);
}, 120_000);

test('a second operation under one key is found', async () => {
  const { first, lines } = partsOf(await exported());
  const key = lines.findIndex((line) => line.startsWith('y'));
  const found = await findingsIn(sealed(first, lines.toSpliced(key, 0, lines[key] ?? '')));
  expect(found).toContainEqual(expect.objectContaining({ what: 'two operations have one key' }));
  await database.owner.raw('alter index operations_key rename to operations_key_away');
  expect(await findings()).toContainEqual(expect.objectContaining({ row: 'operations_key' }));
  await database.owner.raw('alter index operations_key_away rename to operations_key');
});

/** Tables whose rows are facts: appended, never changed. */
const FACTS = ['operations', 'batches', 'links', 'charges', 'usage_records', 'rate_cards', 'job_events', 'quotes'];

test.each([...FACTS, 'lots', 'budgets'])(
  '%s: the application can change nothing, and the owner is told',
  async (table) => {
    const { db, owner } = database;
    const [column] = await columnsOf(owner, [table]);
    const statements = [
      `update ${table} set ${column?.column} = ${column?.column}`,
      `delete from ${table}`,
      `truncate ${table} cascade`,
    ];
    for (const statement of statements) {
      await expect(db.raw(statement)).rejects.toMatchObject({ code: '42501' });
      // Lots move with operations and budgets close: of them other triggers watch what changes.
      if (statement.startsWith('update') && !FACTS.includes(table)) continue;
      await expect(owner.raw(statement)).rejects.toMatchObject({ code: 'HF001' });
    }
  },
);
