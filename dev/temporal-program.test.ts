import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, checked, defaultPlaces, findTemporal, isNewEnough, parseVersion } from './temporal-program';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-program-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

/** A real program that prints a version, in place of 150 MB of server. */
const program = async (path: string, output: string): Promise<string> => {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho '${output}'\n`);
  await chmod(path, 0o755);
  return path;
};

test('the version line of the program is read, anything else is not', () => {
  expect(parseVersion('temporal version 1.8.2 (Server 1.32.0, UI 2.54.1)\n')).toEqual({
    cli: '1.8.2',
    server: '1.32.0',
  });
  expect(parseVersion('temporal version 1.9.3-preview (Server 1.33.0-164.1, UI 2.60.0)')?.server).toBe('1.33.0');
  expect(parseVersion('temporal 0.9')).toBeUndefined();
});

test.each([
  ['1.32.0', true],
  ['1.32.1', true],
  ['1.100.0', true],
  ['2.0.0', true],
  ['1.31.9', false],
  ['1.4.0', false],
  ['0.99.0', false],
])('server %s is new enough: %s', (server, expected) => {
  expect(isNewEnough(server)).toBe(expected);
});

test('a program that is absent, broken, strange or old is refused with the reason', async () => {
  expect(await checked(join(folder, 'none'))).toEqual({ reason: 'not there' });
  const broken = await program(join(folder, 'broken'), '');
  await writeFile(broken, '#!/bin/sh\nexit 3\n');
  expect(await checked(broken)).toEqual({ reason: expect.stringContaining('does not run') });
  expect(await checked(await program(join(folder, 'strange'), 'hello'))).toEqual({
    reason: 'says "hello" instead of a version',
  });
  const old = await program(join(folder, 'old'), 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)');
  expect(await checked(old)).toEqual({ reason: 'has server 1.29.1, older than 1.32.0' });
});

const NEW = 'temporal version 1.9.0 (Server 1.32.0, UI 2.54.1)';
const OLD = 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)';

test('an installed program wins over the cache, an old installed one does not', async () => {
  const env = { PATH: `bin:${folder}/old:${folder}/bin`, HOLDFAST_CACHE: `${folder}/cache` };
  const places = defaultPlaces(() => undefined, env);
  const cached = await program(join(cachedFolder(places), 'temporal'), NEW);
  await program(join(folder, 'old/temporal'), OLD);
  expect(await findTemporal(places)).toBe(cached);
  const installed = await program(join(folder, 'bin/temporal'), NEW);
  expect(await findTemporal(places)).toBe(installed);
});

test('the places are asked in order: PATH, cache, what the SDK downloaded, its download, a build', () => {
  const names = defaultPlaces(() => undefined, { HOLDFAST_CACHE: '/c' }).map(({ name }) => name);
  expect(names).toEqual([
    'the PATH',
    expect.stringMatching(/^the cache \/c\/temporal\/1\.8\.2-[0-9a-f]{16}$/),
    'the cache /c/temporal/sdk-download',
    "the SDK's download",
    'a build of the pinned module',
  ]);
});

test('the cache follows HOLDFAST_CACHE, then XDG_CACHE_HOME, then the home folder', () => {
  expect(cacheFolder({ HOLDFAST_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a/temporal');
  expect(cacheFolder({ XDG_CACHE_HOME: '/b' })).toBe('/b/holdfast/temporal');
  expect(cacheFolder({})).toMatch(/\/\.cache\/holdfast\/temporal$/);
});

test('when no place gives a program, the error names each reason and what to do', async () => {
  const places = [
    { name: 'the PATH', look: async () => ({ reason: 'no temporal on it' }) },
    { name: 'a build', look: async () => ({ reason: 'Go is not installed' }) },
  ];
  await expect(findTemporal(places)).rejects.toThrow(
    /Install Go.*TEMPORAL_ADDRESS.*\n {2}the PATH: no temporal on it\n {2}a build: Go is not installed$/,
  );
});

function cachedFolder(places: readonly { name: string }[]): string {
  return (places[1]?.name ?? '').replace('the cache ', '');
}
