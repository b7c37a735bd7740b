import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readWorkFile } from './workFile';

const home = process.cwd();
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-work-'));
  mkdirSync(join(folder, 'work'));
  process.chdir(folder);
});

afterEach(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true });
});

it('reads what a program wrote, and no more of it than wanted', () => {
  writeFileSync('work/log', 'all is well');
  expect(readWorkFile('log', 100)?.toString()).toBe('all is well');
  expect(readWorkFile('log', 3)?.toString()).toBe('all');
});

it('takes a link that a program left, a folder or a pipe for no file, without waiting', () => {
  writeFileSync('beside', 'secret');
  symlinkSync('../beside', 'work/log');
  mkdirSync('work/folder');
  execFileSync('mkfifo', ['work/pipe']);
  expect(['log', 'folder', 'pipe', 'absent'].map((name) => readWorkFile(name, 100))).toEqual(Array(4).fill(undefined));
});
