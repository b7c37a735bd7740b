import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { createTestDatabase, type TestDatabase } from '../db/testing/database';
import { FULL, fillLedger } from '../db/testing/fullLedger';
import { tamper } from '../db/testing/tampering';
import { buildProgram, runProgram } from './commands';

let database: TestDatabase;
let home: string;

beforeAll(async () => {
  database = await createTestDatabase();
  await fillLedger(database);
  home = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
});

afterAll(async () => {
  await database.drop();
  await rm(home, { recursive: true });
});

async function holdfast(words: string[], given: { env?: Record<string, string>; stdin?: string } = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const stdin = Readable.from([Buffer.from(given.stdin ?? '')]);
  const env = { HOLDFAST_HOME: home, DATABASE_URL: database.url, ...given.env };
  const [said, noted] = [collected(stdout), collected(stderr)];
  const terminal = { stdout, stderr, stdin, env };
  const code = await runProgram(buildProgram(terminal), terminal, words);
  stdout.end();
  stderr.end();
  return { code, stdout: await said, stderr: await noted };
}

async function collected(stream: PassThrough): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}

test('verify says that a sound ledger is sound, and ends with 0', async () => {
  const { code, stdout, stderr } = await holdfast(['verify']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/is sound.*\n.*operations +\d+ in \d+ batches/s);
  const asJson = await holdfast(['--json', 'verify']);
  expect(JSON.parse(asJson.stdout)).toMatchObject({ sound: true, findings: [], counts: { lots: 5 } });
});

test('verify names the first wrong row of a pool, and ends with 1; so does it for an export', async () => {
  const set = (reason: string) =>
    tamper(database.owner, `update operations set reason = ? where subject = ? and kind = 'topUp'`, [
      reason,
      FULL.quotedJob,
    ]);
  const file = join(home, 'changed.export');
  await set('something else');
  const live = await holdfast(['verify']);
  const asJson = await holdfast(['--json', 'verify']);
  await holdfast(['export', '--out', file]);
  await set('the forecast needs more');
  const kept = await holdfast(['verify', '--export', file]);
  for (const { code, stdout } of [live, kept]) {
    expect(code).toBe(1);
    expect(stdout).toMatch(
      new RegExp(`${FULL.contract} +batches +batch \\d+ +digest is not that of its canonical form`),
    );
  }
  expect(asJson.code).toBe(1);
  expect(JSON.parse(asJson.stdout)).toMatchObject({
    sound: false,
    findings: [{ poolId: FULL.contract, table: 'batches' }],
  });
});

test('an export can be written to a file or a pipe, read from either, and stays private', async () => {
  const file = join(home, 'ledger.export');
  const written = await holdfast(['export', '--out', file]);
  expect(written).toMatchObject({ code: 0, stderr: '' });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await holdfast(['verify', '--export', file])).toMatchObject({ code: 0 });
  const piped = await holdfast(['export', '--out', '-']);
  expect(piped).toMatchObject({ code: 0, stderr: '' });
  const lines = (text: string) => text.split('\n').slice(1, -2);
  expect(lines(piped.stdout)).toEqual(lines(await readFile(file, 'utf8')));
  expect(await holdfast(['verify', '--export', '-'], { stdin: piped.stdout })).toMatchObject({ code: 0 });
  const cut = await holdfast(['verify', '--export', '-'], { stdin: piped.stdout.slice(0, 5_000) });
  expect(cut.code).toBe(1);
  expect(cut.stdout).toMatch(/its last line is missing/);
});

test('progress is told where it is wanted', async () => {
  expect((await holdfast(['verify'])).stderr).toBe('');
  const { stdout, stderr } = await holdfast(['--json', 'verify', '--progress']);
  const { counts } = JSON.parse(stdout) as { counts: { operations: number } };
  expect(stderr).toMatch(new RegExp(`^${counts.operations} operations, [\\d,]+ a second\n$`));
});

test('what cannot be read is wrong usage; who does not answer is another code', async () => {
  const other = join(home, 'other.txt');
  await writeFile(other, 'something else\n');
  expect(await holdfast(['verify', '--export', other])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/no export/),
  });
  const missing = await holdfast(['verify', '--export', join(home, 'missing')]);
  expect(missing).toMatchObject({ code: 2, stderr: expect.stringMatching(/no file/) });
  const unwritable = await holdfast(['export', '--out', join(home, 'missing', 'file')]);
  expect(unwritable).toMatchObject({ code: 2, stderr: expect.stringMatching(/cannot be written/) });
  const nobody = await holdfast(['verify'], { env: { DATABASE_URL: 'postgres://holdfast@127.0.0.1:9/holdfast' } });
  expect(nobody.code).toBe(3);
  expect((await holdfast(['verify'], { env: { DATABASE_URL: '' } })).code).toBe(3);
});

test('a database without a ledger is told from one that is not sound', async () => {
  const empty = await createTestDatabase({ migrated: false });
  try {
    for (const words of [['verify'], ['export', '--out', join(home, 'nothing')]]) {
      const { code, stderr } = await holdfast(words, { env: { DATABASE_URL: empty.url } });
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/holdfast migrate/) });
    }
  } finally {
    await empty.drop();
  }
});
