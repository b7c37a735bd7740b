/** The embedded Temporal: its development server with UI, on a SQLite file or, for tests, in memory. */
import { mkdir, realpath } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { chooseFreePort } from './ports';
import {
  dieWithParent,
  type Exit,
  isRunning,
  type KnownProcess,
  startProcess,
  stopProcess,
  tailOf,
  until,
} from './processes';
import { defaultPlaces, findTemporal, type Say } from './temporal-program';

export interface StartTemporal {
  /** Where workflows are kept; `memory` forgets them at the end. */
  readonly store: { readonly folder: string } | 'memory';
  readonly port?: number;
  /** A free one is taken when absent; `false` runs no UI. */
  readonly uiPort?: number | false;
  readonly namespace?: string;
  /** A file that the server appends its log to. */
  readonly log: string;
  readonly searchAttributes?: Readonly<Record<string, 'Keyword' | 'Text' | 'Int' | 'Datetime' | 'Bool'>>;
  /** Dynamic configuration beside ours, values as JSON. */
  readonly dynamicConfig?: Readonly<Record<string, string>>;
  /** Hears about what takes more than two seconds. */
  readonly say?: Say;
  /** Gives up getting a server program, which can take minutes. */
  readonly signal?: AbortSignal;
  /** Is waited for once the program is found, before it starts: it may have taken minutes to get. */
  readonly beforeSpawn?: () => unknown;
  /** Hears of the server process before anything is asked of it, and is waited for. */
  readonly onSpawn?: (known: KnownProcess) => unknown;
}

export interface RunningTemporal extends KnownProcess {
  /** `host:port` of the gRPC service. */
  readonly address: string;
  readonly port: number;
  readonly uiUrl: string | undefined;
  readonly uiPort: number | undefined;
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

/** What operators filter workflows by. SQL visibility has ten Keyword columns in all: six are taken. */
export const SEARCH_ATTRIBUTES = {
  CustomerId: 'Keyword',
  ContractId: 'Keyword',
  UserId: 'Keyword',
  Service: 'Keyword',
  BillingState: 'Keyword',
  ContractState: 'Keyword',
  NextAt: 'Datetime',
} as const;

export const DYNAMIC_CONFIG: Readonly<Record<string, string>> = {
  // Fairness between customers in a backlog of jobs.
  'matching.autoEnableV2': 'true',
  'system.enableActivityEagerExecution': 'true',
  // Nothing is reported to anybody.
  'frontend.enableServerVersionCheck': 'false',
};

/** A closed workflow stays visible for a month; the development server's own day would end before the next morning. */
const RETENTION = { workflowExecutionRetentionTtl: msToTs('30 days') };

/**
 * Starts the server and waits until it answers for the namespace.
 *
 * @throws Error when no program can be had, or with the end of the log when the server is not ready within a minute.
 */
export async function startTemporal(options: StartTemporal): Promise<RunningTemporal> {
  const program = await findTemporal(defaultPlaces(options.say ?? (() => undefined), process.env, options.signal));
  const namespace = options.namespace ?? 'default';
  const port = options.port ?? (await chooseFreePort([]));
  const uiPort = options.uiPort === false ? undefined : (options.uiPort ?? (await chooseFreePort([])));
  const command = [
    ...dieWithParent('TERM'),
    program,
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--namespace', namespace],
    ...(uiPort === undefined ? ['--headless'] : ['--ui-port', String(uiPort), '--ui-disable-news-fetch']),
    ...['--log-level', 'warn', '--log-format', 'json', '--disable-config-file', '--disable-config-env'],
    ...(await storeArguments(options.store)),
    ...pairs('--search-attribute', options.searchAttributes ?? SEARCH_ATTRIBUTES),
    ...pairs('--dynamic-config-value', { ...DYNAMIC_CONFIG, ...options.dynamicConfig }),
  ];
  await options.beforeSpawn?.();
  const server = await startProcess({
    command: command[0] as string,
    args: command.slice(1),
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TZ: 'UTC' },
    cwd: tmpdir(),
    log: options.log,
  });
  const stop = () => stopProcess(server, [{ signal: 'SIGTERM', graceMs: 10_000 }]);
  const address = `127.0.0.1:${port}`;
  try {
    await options.onSpawn?.(server);
    await waitUntilReady({
      address,
      port,
      namespace,
      exited: server.exited,
      log: options.log,
      keepHistory: options.store !== 'memory',
    });
  } catch (error) {
    if (isRunning(server)) await stop();
    throw error;
  }
  return {
    pid: server.pid,
    startTime: server.startTime,
    address,
    port,
    uiUrl: uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`,
    uiPort,
    exited: server.exited,
    stop,
  };
}

async function storeArguments(store: StartTemporal['store']): Promise<string[]> {
  if (store === 'memory') return [];
  await mkdir(store.folder, { recursive: true, mode: 0o700 });
  return [
    ...['--db-filename', join(await realpath(store.folder), 'temporal.db')],
    // Twice the workflows a second of SQLite's defaults, and what is committed still survives a crash of the program.
    ...['--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=1'],
  ];
}

function pairs(flag: string, values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [flag, `${name}=${value}`]);
}

const READY_LIMIT_MS = 60_000;

async function waitUntilReady(server: {
  address: string;
  port: number;
  namespace: string;
  exited: Promise<Exit>;
  log: string;
  keepHistory: boolean;
}): Promise<void> {
  let exit: Exit | undefined;
  void server.exited.then((ended) => {
    exit = ended;
  });
  const deadline = performance.now() + READY_LIMIT_MS;
  // A gRPC connection refused once waits a second before it tries again, so the port is asked first.
  await until(async () => exit !== undefined || (await accepts(server.port)), READY_LIMIT_MS);
  const connection = Connection.lazy({ address: server.address });
  const { namespace } = server;
  try {
    for (;;) {
      if (exit) {
        throw new Error(`The Temporal server ended with ${exit.code ?? exit.signal}:\n${tailOf(server.log)}`);
      }
      try {
        await connection.withDeadline(Date.now() + 5_000, async () => {
          await connection.workflowService.describeNamespace({ namespace });
          if (server.keepHistory) await connection.workflowService.updateNamespace({ namespace, config: RETENTION });
        });
        return;
      } catch (cause) {
        if (performance.now() > deadline) {
          throw new Error(`The Temporal server is not ready after a minute:\n${tailOf(server.log)}`, { cause });
        }
      }
      await delay(50);
    }
  } finally {
    await connection.close();
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
