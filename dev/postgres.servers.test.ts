import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { type RunningPostgres, startPostgres } from './postgres';
import { isRunning, until } from './processes';
import { packageRoot } from './root';

jest.setTimeout(60_000);

let folder: string;
const running: RunningPostgres[] = [];

beforeEach(async () => {
  // Closed to everybody else, as a home folder of root is: nobody, who runs Postgres for root, must get through.
  folder = await mkdtemp(join(tmpdir(), 'holdfast-postgres-'));
  await chmod(folder, 0o700);
});

afterEach(async () => {
  for (const postgres of running.splice(0)) await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

const start = async (durable = true): Promise<RunningPostgres> => {
  const postgres = await startPostgres({ folder: join(folder, 'a', 'postgres'), durable });
  running.push(postgres);
  return postgres;
};

const ask = async (url: string, sql: string): Promise<Record<string, unknown>[]> => {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
};

test('a product database is durable, checksummed and asks for a password that only its owner can read', async () => {
  const { url } = await start();
  const names = ['fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'TimeZone'];
  const settings = await ask(
    url,
    `select ${names.map((name) => `current_setting('${name}') as "${name}"`).join(', ')}`,
  );
  expect(settings).toEqual([
    { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on', data_checksums: 'on', TimeZone: 'UTC' },
  ]);
  const wrong = new URL(url);
  wrong.password = 'guess';
  await expect(ask(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/);
  expect((await stat(join(folder, 'a/postgres/password'))).mode & 0o777).toBe(0o600);
});

test('what was committed before kill -9 of Postgres is there after the next start', async () => {
  const first = await start();
  await ask(first.url, 'create table kept as select 42 as answer');
  process.kill(first.pid, 'SIGKILL');
  expect((await first.exited).signal).toBe('SIGKILL');

  const second = await start();
  expect(await ask(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
});

test('a Postgres that an earlier launcher left running is stopped first, its data kept', async () => {
  const first = await start();
  await ask(first.url, 'create table kept as select 42 as answer');

  const second = await start();
  expect(isRunning(first)).toBe(false);
  expect(await ask(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
});

test('a lock file that names a stranger neither stops the start nor the stranger', async () => {
  const first = await start();
  process.kill(first.pid, 'SIGKILL');
  await first.exited;
  const lockFile = join(folder, 'a/postgres/data/postmaster.pid');
  const stranger = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    await writeFile(lockFile, (await readFile(lockFile, 'utf8')).replace(/^\d+/, String(stranger.pid)));
    const second = await start();
    expect(await ask(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  } finally {
    stranger.kill('SIGKILL');
  }
});

test('a cluster whose making was killed half-way is made again', async () => {
  const data = join(folder, 'a/postgres/data');
  const script = `require(${JSON.stringify(join(packageRoot(), 'dist/dev/postgres.js'))})
    .startPostgres({ folder: process.argv[1] })`;
  const launcher = spawn(process.execPath, ['-e', script, join(folder, 'a/postgres')], { stdio: 'ignore' });
  const ended = new Promise((resolve) => launcher.once('exit', resolve));
  // PG_VERSION is among the first files; the catalogue that makes a cluster usable comes much later.
  expect(await until(() => existsSync(`${data}.unfinished/PG_VERSION`), 20_000)).toBe(true);
  launcher.kill('SIGKILL');
  await ended;
  expect(existsSync(data)).toBe(false);

  const postgres = await start();
  expect(await ask(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(existsSync(`${data}.unfinished`)).toBe(false);
});

test('Postgres does not outlive a launcher that was killed', async () => {
  const script = `require(${JSON.stringify(join(packageRoot(), 'dist/dev/postgres.js'))})
    .startPostgres({ folder: process.argv[1], durable: false })
    .then(({ pid, startTime }) => console.log(JSON.stringify({ pid, startTime })))`;
  const launcher = spawn(process.execPath, ['-e', script, join(folder, 'p')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    launcher.stdout.once('data', (chunk) => resolve(String(chunk)));
    launcher.once('exit', () => reject(new Error('the launcher ended')));
  });
  const postgres = JSON.parse(line);
  expect(isRunning(postgres)).toBe(true);
  launcher.kill('SIGKILL');
  // Where the kernel offers no such signal the next start stops it instead; see the test above.
  if (process.platform === 'linux') expect(await until(() => !isRunning(postgres), 10_000)).toBe(true);
});

test('a port that somebody else uses is refused with what Postgres says', async () => {
  const { port } = await start();
  await mkdir(join(folder, 'other'));
  await expect(startPostgres({ folder: join(folder, 'other'), port, durable: false })).rejects.toThrow(
    new RegExp(`did not start on port ${port}:[^]*could not bind`),
  );
});
