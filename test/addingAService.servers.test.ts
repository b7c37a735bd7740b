/** The guide for adding a service, followed to the letter on a product that is started as a person starts it. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../dev/root';
import { withAddedServices } from '../services/added';
import { type Home, makeHome } from './blackbox/home';

jest.setTimeout(240_000);

const run = promisify(execFile);

let folder: string;
let home: Home | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-added-'));
});

afterAll(async () => {
  await home?.leave();
  await rm(folder, { recursive: true, force: true });
});

interface Guide {
  /** The files that the guide shows, by path. */
  readonly files: ReadonlyMap<string, string>;
  /** Its commands, block by block. */
  readonly commands: readonly string[];
}

/** A block of code belongs to the file that its paragraph begins with; shell is to be run. */
async function readGuide(): Promise<Guide> {
  const text = await readFile(join(packageRoot(), 'docs/adding-a-service.md'), 'utf8');
  const files = new Map<string, string>();
  const commands: string[] = [];
  let named: string | undefined;
  for (const [, path, language, code = ''] of text.matchAll(
    /^\*\*(word-count\/[\w./-]+)\*\*|^```(\w+)\n([\s\S]*?)^```$/gm,
  )) {
    if (path !== undefined) named = path;
    else if (language === 'sh') commands.push(code);
    else if (named !== undefined) files.set(named, code);
  }
  return { files, commands };
}

test('a folder and a rate make a service that is quoted, run and charged', async () => {
  const { files, commands } = await readGuide();
  expect([...files.keys()]).toEqual(['word-count/index.js', 'word-count/engine/main.js', 'word-count/rates.json']);
  const services = join(folder, 'services');
  for (const [path, content] of files) {
    await mkdir(dirname(join(services, path)), { recursive: true });
    await writeFile(join(services, path), content);
  }
  home = await makeHome();
  const product = await home.launch({ HOLDFAST_SERVICES: services });
  const holdfast = join(folder, 'holdfast');
  await writeFile(holdfast, `#!/bin/sh\nexec "${process.execPath}" "${join(packageRoot(), 'cli/holdfast.js')}" "$@"\n`);
  await chmod(holdfast, 0o755);
  const env = {
    ...process.env,
    HOLDFAST_HOME: home.path,
    PATH: `${folder}:${dirname(process.execPath)}:${process.env.PATH}`,
  };
  const said: string[] = [];
  for (const script of commands) {
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: services, env });
    said.push(stdout);
  }
  expect(said[1]).toContain('The text has 1500 words, counted beforehand.');
  const { body: jobs } = await product.ask('GET', '/v1/jobs');
  const [job] = jobs.items;
  expect(job).toMatchObject({ service: 'word-count', state: 'settled', charged: '0.2' });
  const { body: words } = await product.ask('GET', `/v1/jobs/${job.id}/results/words.json`);
  expect(words).toEqual({ words: 1500, longest: ['not', 'to', 'be'] });
});

describe('a folder that is no service is refused with a sentence that names it', () => {
  const INDEX = `module.exports = ({ z }) => ({ name: 'x', meters: [{ name: 'm', unit: 'm', title: 'm', rated: true }],
    parameters: z.strictObject({}), inspect() {}, estimate() {}, dimensions() {}, usageOf() {} });`;
  const ENGINE = { 'engine/main.js': '' };

  test.each([
    ['without an engine', { 'index.js': INDEX }, /no engine\/main\.js/],
    ['whose code cannot be read', { 'index.js': 'module.exports = (', ...ENGINE }, /index\.js cannot be used/],
    ['with the name of another', { 'index.js': INDEX.replace("'x'", "'rendering'"), ...ENGINE }, /"rendering" already/],
    ['with a bad name', { 'index.js': INDEX.replace("'x'", "'../x'"), ...ENGINE }, /no name of a service/],
    ['without a function', { 'index.js': INDEX.replace('usageOf() {}', ''), ...ENGINE }, /no function usageOf/],
    ['without a rated meter', { 'index.js': INDEX.replace('rated: true', 'rated: false'), ...ENGINE }, /is rated/],
  ])('%s', async (name, files, sentence) => {
    const services = join(folder, name);
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(services, 'added', path)), { recursive: true });
      await writeFile(join(services, 'added', path), content as string);
    }
    const { SERVICES } = require('../services') as typeof import('../services');
    expect(() => withAddedServices(SERVICES, services)).toThrow(sentence);
    expect(() => withAddedServices(SERVICES, services)).toThrow('added');
  });
});
