/**
 * Finds the program `temporal` (its development server, UI and command line in one file), or gets it. The places are
 * tried in order and the first that has one new enough wins: PATH, our cache, the download of Temporal's SDK, a build of
 * the module pinned in `tools/temporal`.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { takeLock } from './lock';
import { dieWithParent, until } from './processes';
import { packageRoot } from './root';

/** Time skipping, which the tests need, and eager activities came with this server. */
export const SERVER_MIN = '1.32.0';
/** The version of the pinned module's command line. */
const PINNED = '1.8.2';

export interface Place {
  readonly name: string;
  /** The path of a program that is there and new enough, or a clause that says why there is none. */
  readonly look: () => Promise<{ readonly path: string } | { readonly reason: string }>;
}

export type Say = (sentence: string) => void;

/**
 * @throws Error that names every place, why it gave nothing, and what to do.
 */
export async function findTemporal(places: readonly Place[]): Promise<string> {
  const reasons: string[] = [];
  for (const place of places) {
    const found = await place.look();
    if ('path' in found) return found.path;
    reasons.push(`  ${place.name}: ${found.reason}`);
  }
  throw new Error(
    'No Temporal server could be had. Install Go 1.21 or newer (it builds one), or a temporal command line with server ' +
      `${SERVER_MIN} or newer, or set TEMPORAL_ADDRESS to a server of yours. What was tried:\n${reasons.join('\n')}`,
  );
}

export function defaultPlaces(say: Say, env: NodeJS.ProcessEnv = process.env, signal?: AbortSignal): Place[] {
  const cache = cacheFolder(env);
  const pinned = join(cache, `${PINNED}-${pinnedDigest()}`);
  const downloads = join(cache, 'sdk-download');
  return [
    { name: 'the PATH', look: () => lookOnPath(env.PATH ?? '') },
    { name: `the cache ${pinned}`, look: () => checked(join(pinned, executable('temporal'))) },
    { name: `the cache ${downloads}`, look: () => lookInFolder(downloads) },
    { name: "the SDK's download", look: () => download(downloads, say, signal) },
    { name: 'a build of the pinned module', look: () => build(pinned, env, say, signal) },
  ];
}

/** What `temporal --version` prints, as versions; undefined when it prints something else. */
export function parseVersion(text: string): { readonly cli: string; readonly server: string } | undefined {
  const match = /temporal version (\S+) \(Server (\d+\.\d+\.\d+)[^,)]*/.exec(text);
  return match ? { cli: match[1] as string, server: match[2] as string } : undefined;
}

export function isNewEnough(server: string): boolean {
  const [wanted, given] = [SERVER_MIN, server].map((version) => version.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (given?.[i] ?? 0) - (wanted?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** Whether a program is there, runs and has a server new enough. */
export async function checked(path: string): Promise<{ path: string } | { reason: string }> {
  if (!existsSync(path)) return { reason: 'not there' };
  let text: string;
  try {
    text = (await promisify(execFile)(path, ['--version'], { timeout: 20_000 })).stdout;
  } catch (error) {
    return { reason: `does not run (${(error as Error).message.split('\n', 1)[0]})` };
  }
  const version = parseVersion(text);
  if (!version) return { reason: `says ${JSON.stringify(text.trim().slice(0, 80))} instead of a version` };
  if (!isNewEnough(version.server)) return { reason: `has server ${version.server}, older than ${SERVER_MIN}` };
  return { path };
}

/** Outside the checkout, so that a second clone does not build again. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const root = env.HOLDFAST_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'holdfast');
  return join(root, 'temporal');
}

function pinnedDigest(): string {
  const sum = readFileSync(join(packageRoot(), 'tools/temporal/go.sum'));
  return createHash('sha256').update(sum).digest('hex').slice(0, 16);
}

async function lookOnPath(path: string): Promise<{ path: string } | { reason: string }> {
  const reasons: string[] = [];
  for (const folder of path.split(delimiter)) {
    // A relative folder in the PATH would run whatever lies in the current one.
    if (!isAbsolute(folder)) continue;
    const program = join(folder, executable('temporal'));
    if (!existsSync(program)) continue;
    const found = await checked(program);
    if ('path' in found) return found;
    reasons.push(`${program} ${found.reason}`);
  }
  return { reason: reasons.join(', ') || 'no temporal on it' };
}

async function lookInFolder(folder: string): Promise<{ path: string } | { reason: string }> {
  const names = await readdir(folder).catch(() => []);
  let reason = 'empty';
  for (const name of names.filter((name) => name.startsWith('temporal')).sort()) {
    const found = await checked(join(folder, name));
    if ('path' in found) return found;
    reason = `${name} ${found.reason}`;
  }
  return { reason };
}

/**
 * The SDK downloads the newest release as a side effect of starting a test environment, so one is started and ended, in a
 * child process of its own. Without a way to Temporal's download site this fails within a second.
 */
async function download(
  folder: string,
  say: Say,
  signal?: AbortSignal,
): Promise<{ path: string } | { reason: string }> {
  try {
    require.resolve('@temporalio/testing');
  } catch {
    return { reason: '@temporalio/testing is not installed' };
  }
  await mkdir(folder, { recursive: true });
  const progress = everyFewSeconds(say, "asking the SDK's download for a Temporal server");
  try {
    const script = `
      const { TestWorkflowEnvironment } = require('@temporalio/testing');
      TestWorkflowEnvironment.createLocal({
        server: { executable: { type: 'cached-download', downloadDir: process.argv[1], version: 'latest' } },
      }).then((environment) => environment.teardown()).then(() => process.exit(0), (error) => {
        console.error(String(error.message).split('\\n', 1)[0]);
        process.exit(1);
      });`;
    await promisify(execFile)(process.execPath, ['-e', script, folder], {
      cwd: packageRoot(),
      timeout: 300_000,
      signal,
    });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1);
    return { reason: `failed (${said || (error as Error).message.split('\n', 1)[0]})` };
  } finally {
    progress.end();
  }
  return await lookInFolder(folder);
}

/** Compiles the pinned module into the cache: about five minutes on two cores, once per machine and version. */
async function build(
  folder: string,
  env: NodeJS.ProcessEnv,
  say: Say,
  signal?: AbortSignal,
): Promise<{ path: string } | { reason: string }> {
  try {
    await promisify(execFile)('go', ['version'], { timeout: 20_000 });
  } catch {
    return { reason: 'Go is not installed' };
  }
  await mkdir(folder, { recursive: true });
  const program = join(folder, executable('temporal'));
  const progress = everyFewSeconds(say, 'building the Temporal server from its pinned module (about 5 minutes, once)');
  try {
    let lock = await takeLock(join(folder, 'build.lock'));
    // Another start builds the same: its result is ours too. Should it die, the lock becomes free and we build.
    await until(async () => {
      signal?.throwIfAborted();
      if ('holder' in lock) lock = await takeLock(join(folder, 'build.lock'));
      return !('holder' in lock);
    }, 3_600_000);
    if ('holder' in lock) return { reason: `process ${lock.holder.pid} has been building for an hour` };
    try {
      const made = await checked(program);
      if ('path' in made) return made;
      const unfinished = join(folder, `unfinished-${randomUUID()}`);
      try {
        await compile(unfinished, env, signal);
        await chmod(unfinished, 0o755);
        await rename(unfinished, program);
      } finally {
        await rm(unfinished, { force: true });
      }
      return await checked(program);
    } finally {
      await lock.release();
    }
  } catch (error) {
    return { reason: `failed (${(error as Error).message})` };
  } finally {
    progress.end();
  }
}

function compile(output: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<void> {
  const version = `-X github.com/temporalio/cli/internal/temporalcli.Version=${PINNED}`;
  const args = ['build', '-trimpath', '-ldflags', `-s -w ${version}`, '-o', output];
  const command = [...dieWithParent('TERM'), 'go', ...args, 'github.com/temporalio/cli/cmd/temporal'];
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] as string, command.slice(1), {
      cwd: join(packageRoot(), 'tools/temporal'),
      // The pinned module decides, whatever workspace or flags the person has.
      env: { ...env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(signal ? { signal } : {}),
    });
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said = (said + chunk).slice(-4_000);
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`go build ended with ${code}: ${said.trim().split('\n').slice(-4).join('; ')}`));
    });
  });
}

/** Says what is going on after two seconds and every fifteen from then on, with the time it has taken. */
export function everyFewSeconds(say: Say, what: string): { end(): void } {
  const from = performance.now();
  const tell = () => say(`${what}, ${Math.round((performance.now() - from) / 1000)} s`);
  const first = setTimeout(tell, 2_000);
  const more = setInterval(tell, 15_000);
  return {
    end: () => {
      clearTimeout(first);
      clearInterval(more);
    },
  };
}

function executable(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name;
}
