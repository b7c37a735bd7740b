import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetLostFolders, handOn, lostFolderOf } from './lostFolders';

let workFolder: string;
let lost: string;
let next: string;

beforeEach(() => {
  workFolder = mkdtempSync(join(tmpdir(), 'holdfast-lost-'));
  lost = lostFolderOf(workFolder, 'job', 1);
  next = join(workFolder, 'next');
  mkdirSync(next);
});

afterEach(() => {
  jest.useRealTimers();
  rmSync(workFolder, { recursive: true, force: true });
});

function leave(name: string): void {
  const path = join(lost, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, '');
}

describe('what a lost attempt left', () => {
  it('is moved before the next one, whole', async () => {
    leave('work/state');
    await handOn(lost, next);
    expect(readdirSync(join(next, 'earlier', 'work'))).toEqual(['state']);
    expect(existsSync(lost)).toBe(false);
  });

  it('is what it was given itself, when it was lost before its engine took that', async () => {
    leave('earlier/out/half');
    leave('parameters.json');
    await handOn(lost, next);
    expect(readdirSync(join(next, 'earlier'))).toEqual(['out']);
    expect(existsSync(lost)).toBe(false);
  });

  it('may be nothing', async () => {
    await handOn(lost, next);
    expect(readdirSync(next)).toEqual([]);
  });

  it('is forgotten after a day in which nobody came for it', async () => {
    leave('work/state');
    await forgetLostFolders(workFolder);
    expect(existsSync(lost)).toBe(true);
    jest.useFakeTimers({ now: Date.now() + 25 * 3_600_000, doNotFake: ['nextTick', 'setImmediate'] });
    await forgetLostFolders(workFolder);
    expect(existsSync(lost)).toBe(false);
    await forgetLostFolders(join(workFolder, 'never'));
  });

  it('is apart for each run of a job', () => {
    expect(lostFolderOf(workFolder, 'job', 2)).not.toBe(lost);
  });
});
