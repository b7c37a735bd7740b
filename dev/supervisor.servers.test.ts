import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, readConfig } from '../cli/config';
import { findRunningInstance, type Instance, readInstance } from './instance';
import { chooseFreePort } from './ports';
import { isRunning, startTimeOf, until } from './processes';
import { packageRoot } from './root';
import { type Product, StartRefused, startProduct } from './supervisor';

jest.setTimeout(120_000);

const program = join(packageRoot(), 'dev/testing/program.js');
const quiet = { say: () => undefined, step: <T>(_: string, work: Promise<T>) => work };

let home: string;
const products: Product[] = [];
const launchers: ChildProcess[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-home-'));
});

afterEach(async () => {
  for (const launcher of launchers.splice(0)) launcher.kill('SIGKILL');
  for (const product of products.splice(0)) await product.stop();
  const left = readInstance(home)?.processes ?? [];
  await until(() => !left.some(isRunning), 20_000);
  await rm(home, { recursive: true, force: true });
});

const config = (more: Record<string, string> = {}): Config => readConfig({ HOLDFAST_HOME: home, ...more });

const start = (more: Record<string, string> = {}): Product => {
  const product = startProduct({ config: config(more), program, ...quiet });
  products.push(product);
  return product;
};

/** The launcher as its own process, as a person starts it. */
const launch = async (env: Record<string, string> = {}): Promise<{ launcher: ChildProcess; instance: Instance }> => {
  const script = `
    const { readConfig } = require(${JSON.stringify(join(packageRoot(), 'dist/cli/config.js'))});
    const { upCommand } = require(${JSON.stringify(join(packageRoot(), 'dist/cli/up.js'))});
    upCommand(readConfig(), ${JSON.stringify(program)}).then((code) => process.exit(code));`;
  const launcher = spawn(process.execPath, ['-e', script], {
    env: { ...process.env, HOLDFAST_HOME: home, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  launchers.push(launcher);
  expect(await until(() => findRunningInstance(home) !== undefined || launcher.exitCode !== null, 60_000)).toBe(true);
  return { launcher, instance: findRunningInstance(home) as Instance };
};

const exitOf = (launcher: ChildProcess) =>
  new Promise((resolve) => launcher.once('exit', (code, signal) => resolve(code ?? signal)));

const starts = async (apiUrl: string | null): Promise<number | undefined> => {
  try {
    const answer = (await (await fetch(`${apiUrl}/health/ready`)).json()) as { starts?: number };
    return answer.starts;
  } catch {
    return undefined;
  }
};

const named = (instance: Instance, name: string) => {
  const found = instance.processes.find((one) => one.name === name);
  if (!found) throw new Error(`no ${name} in instance.json`);
  return found;
};

test('every part that is killed comes back on the same port with its data, and a stop leaves no process', async () => {
  const product = start();
  const instance = await product.ready;
  expect(instance).toMatchObject({ state: 'running', keys: { ada: { key: 'key-of-ada' } }, namespace: 'default' });
  expect(instance.processes.map(({ name }) => name).sort()).toEqual(['api', 'compute', 'jobs', 'postgres', 'temporal']);
  expect((await stat(join(home, 'instance.json'))).mode & 0o777).toBe(0o600);
  expect(findRunningInstance(home)).toEqual(instance);
  expect((await fetch(instance.temporalUiUrl as string)).status).toBe(200);

  for (const name of ['postgres', 'temporal', 'api', 'jobs', 'compute']) {
    const before = named(readInstance(home) as Instance, name);
    process.kill(before.pid, 'SIGKILL');
    const back = await until(() => {
      const now = named(readInstance(home) as Instance, name);
      return now.pid !== before.pid && isRunning(now);
    }, 30_000);
    expect({ name, back }).toEqual({ name, back: true });
    expect(await until(async () => (await starts(instance.apiUrl)) === 1, 30_000)).toBe(true);
    expect(
      await until(async () => (await fetch(instance.temporalUiUrl as string).catch(() => null))?.ok === true, 30_000),
    ).toBe(true);
  }

  const running = (readInstance(home) as Instance).processes;
  await product.stop();
  expect(running.filter(isRunning)).toEqual([]);
  expect(readInstance(home)).toMatchObject({ state: 'stopped', processes: [], launcher: null });
});

test('a second start from the same home says who runs it and leaves the first alone', async () => {
  const first = await start().ready;
  const refused = start().ready;
  await expect(refused).rejects.toThrow(StartRefused);
  await expect(refused).rejects.toThrow(new RegExp(`Process ${process.pid} already runs .*${first.apiUrl}`));
  expect(findRunningInstance(home)).toEqual(first);
});

test('Ctrl-C stops everything with exit code 0, and the next start continues on the same ports and data', async () => {
  const { launcher, instance } = await launch();
  const ended = exitOf(launcher);
  launcher.kill('SIGINT');
  expect(await ended).toBe(0);
  expect(instance.processes.filter(isRunning)).toEqual([]);

  const next = await start().ready;
  expect(await starts(next.apiUrl)).toBe(2);
  expect(next.databaseUrl).toBe(instance.databaseUrl);
  expect(next.temporalAddress).toBe(instance.temporalAddress);
});

test('after kill -9 of the launcher the next start cleans what was left and keeps the data', async () => {
  const { launcher, instance } = await launch();
  const ended = exitOf(launcher);
  launcher.kill('SIGKILL');
  await ended;

  const next = await start().ready;
  expect(instance.processes.filter(isRunning)).toEqual([]);
  expect(await starts(next.apiUrl)).toBe(2);
});

test('a process id in instance.json that a stranger has now is not touched', async () => {
  const stranger = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  launchers.push(stranger);
  const pid = stranger.pid as number;
  const product = start();
  const { processes, ...instance } = await product.ready;
  await product.stop();
  const left = { ...instance, processes: [{ name: 'api', pid, startTime: 'of somebody else' }] };
  await writeFile(join(home, 'instance.json'), JSON.stringify(left));
  await start().ready;
  expect(startTimeOf(pid)).toBeDefined();
  expect(processes).not.toHaveLength(0);
});

test('a signal in the middle of a start stops what had been started', async () => {
  const script = `
    const { readConfig } = require(${JSON.stringify(join(packageRoot(), 'dist/cli/config.js'))});
    const { upCommand } = require(${JSON.stringify(join(packageRoot(), 'dist/cli/up.js'))});
    upCommand(readConfig(), ${JSON.stringify(program)}).then((code) => process.exit(code));`;
  const launcher = spawn(process.execPath, ['-e', script], {
    env: { ...process.env, HOLDFAST_HOME: home },
    stdio: 'ignore',
  });
  launchers.push(launcher);
  const ended = exitOf(launcher);
  expect(await until(() => (readInstance(home)?.processes ?? []).length > 0, 30_000)).toBe(true);
  const begun = (readInstance(home) as Instance).processes;
  launcher.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(begun.filter(isRunning)).toEqual([]);
  expect(readInstance(home)).toMatchObject({ state: 'stopped', processes: [] });
});

test('a wanted port that is taken is refused; the default is exchanged for a free one', async () => {
  const port = await chooseFreePort([]);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  try {
    await expect(start({ PORT: String(port) }).ready).rejects.toThrow(
      `PORT is ${port}, and another program listens there`,
    );
    const product = startProduct({ config: { ...config(), port }, program, ...quiet });
    products.push(product);
    const instance = await product.ready;
    expect(instance.apiUrl).not.toContain(String(port));
    expect(await starts(instance.apiUrl)).toBe(1);
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test('two starts at the same moment from two homes do not meet on a port', async () => {
  const other = await mkdtemp(join(tmpdir(), 'holdfast-home-'));
  const second = startProduct({ config: { ...config(), home: other }, program, ...quiet });
  products.push(second);
  try {
    const [one, two] = await Promise.all([start().ready, second.ready]);
    expect(await starts(one.apiUrl)).toBe(1);
    expect(await starts(two.apiUrl)).toBe(1);
    expect(two.apiUrl).not.toBe(one.apiUrl);
  } finally {
    await second.stop();
    await rm(other, { recursive: true, force: true });
  }
});

test('a part that keeps ending fails the start with the end of its log, and everything else is stopped', async () => {
  process.env.TEST_FAILS = 'api';
  try {
    await expect(start().ready).rejects.toThrow(/api keeps ending:[\s\S]*api is told to fail/);
    expect(readInstance(home)).toMatchObject({ state: 'stopped', processes: [] });
    expect(await readFile(join(home, 'logs/api.log'), 'utf8')).toContain('told to fail');
  } finally {
    delete process.env.TEST_FAILS;
  }
});
