import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beginLog, cutWhenLong } from './logs';
import { chooseFreePort, isPortFree } from './ports';
import { showSteps } from './steps';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-parts-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

test('a start begins a new log and keeps the last one', async () => {
  const log = join(folder, 'logs/api.log');
  await beginLog(log);
  await writeFile(log, 'first');
  await beginLog(log);
  expect(await readFile(`${log}.1`, 'utf8')).toBe('first');
  await expect(stat(log)).rejects.toThrow('ENOENT');
});

test('a log over its limit is cut and what it held is kept once', async () => {
  const log = join(folder, 'api.log');
  await writeFile(log, 'x'.repeat(100));
  await cutWhenLong(log, 100);
  expect((await stat(log)).size).toBe(100);
  await cutWhenLong(log, 99);
  expect((await stat(log)).size).toBe(0);
  expect((await stat(`${log}.1`)).size).toBe(100);
});

test('a taken port is not free, on whatever address it is taken, and the next wanted one is chosen', async () => {
  const server = createServer();
  const taken = await chooseFreePort([]);
  await new Promise<void>((resolve) => server.listen(taken, '0.0.0.0', resolve));
  try {
    expect(await isPortFree(taken)).toBe(false);
    const other = await chooseFreePort([taken]);
    expect(other).not.toBe(taken);
    expect(await chooseFreePort([taken, other])).toBe(other);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('a step is shown with its time at the end, without control characters where there is no terminal', async () => {
  const stream = new PassThrough();
  const { step } = showSteps(stream as unknown as NodeJS.WriteStream);
  expect(await step('making tea', Promise.resolve('tea'))).toBe('tea');
  await expect(step('making coffee', Promise.reject(new Error('no beans')))).rejects.toThrow('no beans');
  expect(String(stream.read())).toMatch(/^✓ making tea \(0\.0 s\)\n✗ making coffee \(0\.0 s\)\n$/);
});
