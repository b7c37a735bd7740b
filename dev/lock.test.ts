import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockHolder, takeLock } from './lock';
import { isRunning, startProcess, startTimeOf, stopProcess } from './processes';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

test('a held lock names its living holder; released, it can be taken again', async () => {
  const path = join(folder, 'lock');
  const first = await takeLock(path);
  if ('holder' in first) throw new Error('nobody holds it');
  expect(await takeLock(path)).toEqual({ holder: { pid: process.pid, startTime: startTimeOf(process.pid) } });
  await first.release();
  expect(await lockHolder(path)).toBeUndefined();
  expect(await takeLock(path)).toHaveProperty('release');
});

test.each([
  ['of a process that has ended', JSON.stringify({ pid: 999_999_999, startTime: 'never' })],
  ['of an id that another process has now', JSON.stringify({ pid: process.pid, startTime: 'earlier' })],
  ['that holds nonsense', '}{'],
])('a lock %s counts as free, and only one of many takes it', async (_, text) => {
  const path = join(folder, 'lock');
  await writeFile(path, text);
  const taken = await Promise.all(Array.from({ length: 20 }, () => takeLock(path)));
  expect(taken.filter((lock) => 'release' in lock)).toHaveLength(1);
  expect(await readdir(folder)).toEqual(['lock']);
});

test('a process is known by id and start time, so a reused id is not it', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const known = { pid: child.pid as number, startTime: startTimeOf(child.pid as number) as string };
  expect(isRunning(known)).toBe(true);
  await stopProcess({ ...known, startTime: 'another' }, []);
  expect(isRunning(known)).toBe(true);
  await stopProcess(known, [{ signal: 'SIGTERM', graceMs: 10_000 }]);
  await ended;
  expect(isRunning(known)).toBe(false);
});

test('a process that ignores the polite signal is killed', async () => {
  const script = "process.on('SIGTERM', () => {}); console.log('deaf'); setInterval(() => {}, 1000)";
  const log = join(folder, 'log');
  const started = await startProcess({ command: process.execPath, args: ['-e', script], env: {}, log });
  await stopProcess(started, [{ signal: 'SIGTERM', graceMs: 300 }]);
  expect(await started.exited).toEqual({ code: null, signal: expect.stringMatching(/SIGKILL|SIGTERM/) });
});
