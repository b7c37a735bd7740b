import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instancePath, writePrivately } from '../dev/instance';
import { startTimeOf } from '../dev/processes';
import { NothingRuns, WrongUsage } from './failures';
import { findTarget } from './target';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'holdfast-target-'));
});
afterEach(() => rm(home, { recursive: true }));

const API = 'http://127.0.0.1:8080';

async function writeInstance(state: string): Promise<void> {
  const launcher = { pid: process.pid, startTime: startTimeOf(process.pid) };
  const keys = {
    submitter: { name: 'Sana Rahimi', role: 'submitter', key: 'hf_s' },
    contractAdmin: { name: 'Carl Admundsen', role: 'contract-admin', key: 'hf_c' },
  };
  await writePrivately(instancePath(home), { state, launcher, apiUrl: API, keys });
}

const target = (options: Record<string, string>, env: Record<string, string> = {}) =>
  findTarget({ person: 'submitter', ...options, env: { HOLDFAST_HOME: home, ...env } });

test('what runs from the home folder is asked as its demo submitter, or as whoever is named', async () => {
  await writeInstance('running');
  expect(target({})).toEqual({ url: API, key: 'hf_s' });
  for (const as of ['contractAdmin', 'contract-admin', 'Carl Admundsen', 'CONTRACTADMIN']) {
    expect(target({ as })).toEqual({ url: API, key: 'hf_c' });
  }
  expect(() => target({ as: 'nobody' })).toThrow(/there are: submitter, contractAdmin/);
});

test('options come before the environment, and the environment before what runs here', async () => {
  await writeInstance('running');
  const env = { HOLDFAST_URL: 'https://example.test', HOLDFAST_API_KEY: 'hf_e' };
  expect(target({}, env)).toEqual({ url: 'https://example.test', key: 'hf_e' });
  expect(target({ url: 'https://other.test', key: 'hf_o' }, env)).toEqual({ url: 'https://other.test', key: 'hf_o' });
  expect(target({ as: 'submitter' }, { HOLDFAST_API_KEY: 'hf_e' })).toEqual({ url: API, key: 'hf_s' });
});

test('a demo key is never sent to another address', async () => {
  await writeInstance('running');
  expect(() => target({ url: 'https://example.test' })).toThrow(WrongUsage);
  expect(() => target({ url: 'https://example.test', as: 'submitter' })).toThrow(WrongUsage);
  expect(target({ url: `${API}/` })).toMatchObject({ key: 'hf_s' });
});

test('an installation that stopped, or never ran, is nobody to ask', async () => {
  expect(() => target({})).toThrow(NothingRuns);
  await writeInstance('stopped');
  expect(() => target({})).toThrow(NothingRuns);
});
