/**
 * The whole product on one machine: Postgres and Temporal (embedded, unless the configuration names others), migrations,
 * seed, and the three processes of ours, each kept running until it is stopped.
 */
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, environmentOf } from '../cli/config';
import { type DemoKey, type Instance, instancePath, type NamedProcess, readInstance, writePrivately } from './instance';
import { type Lock, takeLock } from './lock';
import { beginLog, boundLogs } from './logs';
import { isPortFree, type ReservedPort, reservePort } from './ports';
import { startPostgres } from './postgres';
import {
  isRunning,
  type KnownProcess,
  type Request,
  startProcess,
  startTimeOf,
  stopProcess,
  tailOf,
  until,
} from './processes';
import { packageRoot } from './root';
import { type Running, type Supervision, supervise } from './supervise';
import { startTemporal } from './temporal';
import type { Say } from './temporal-program';

/** Expected refusal to start; the message is for people. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}

/** Shows one step of a start and how long it takes. */
export type Step = <T>(what: string, work: Promise<T>) => Promise<T>;

export interface StartProduct {
  readonly config: Config;
  readonly step: Step;
  readonly say: Say;
  /** The program that knows `migrate`, `seed` and `serve`; this package's own when absent. */
  readonly program?: string;
}

export interface Product {
  /** Resolves when everything answers. */
  readonly ready: Promise<Instance>;
  /** Ends everything that was started, in the reverse order, also in the middle of a start. Safe to call again. */
  stop(): Promise<void>;
  /** Makes a stop under way impatient: what still runs of ours is killed. Postgres and Temporal close properly all the same. */
  hurry(): void;
}

const SERVED = ['api', 'jobs', 'compute'] as const;

/** Long enough for a worker to hand back what it does; a second Ctrl-C does not wait for it. */
const SERVED_GRACE: readonly Request[] = [{ signal: 'SIGTERM', graceMs: 20_000 }];
const POSTGRES_GRACE: readonly Request[] = [
  { signal: 'SIGINT', graceMs: 20_000 },
  { signal: 'SIGQUIT', graceMs: 5_000 },
];
const READY_LIMIT_MS = 90_000;
/** A process of ours that ended this often before the first answer will not come up by trying further. */
const ENDS_MAX = 4;

/** Begins to start the product. Everything that goes wrong rejects `ready`, after what had been started was stopped. */
export function startProduct(options: StartProduct): Product {
  const run = new Run(options);
  const ready = run.start().catch(async (error) => {
    await run.stop();
    throw error;
  });
  return { ready, stop: () => run.stop(), hurry: () => run.hurry() };
}

class Run {
  readonly #config: Config;
  readonly #step: Step;
  readonly #say: Say;
  readonly #home: string;
  readonly #program: string;
  readonly #stopping = new AbortController();
  readonly #supervisions: Supervision[] = [];
  /** Starts under way: a stop in the middle of a start must wait for them to know what to stop. */
  readonly #starting = new Set<Promise<unknown>>();
  readonly #processes = new Map<string, NamedProcess>();
  readonly #logs = new Set<string>();
  readonly #reserved: ReservedPort[] = [];
  #lock: Lock | undefined;
  #bounding: { end(): void } | undefined;
  #instance: Instance | undefined;
  #writing: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor({ config, step, say, program }: StartProduct) {
    this.#program = program ?? join(packageRoot(), 'dist/cli/main.js');
    this.#config = config;
    this.#step = step;
    this.#say = say;
    this.#home = config.home;
  }

  async start(): Promise<Instance> {
    await mkdir(this.#home, { recursive: true, mode: 0o700 });
    await this.#takeHome();
    await this.#cleanLeftovers();
    await this.#write({
      version: JSON.parse(await readFile(join(packageRoot(), 'package.json'), 'utf8')).version,
      state: 'starting',
      startedAt: new Date().toISOString(),
      launcher: { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' },
      apiUrl: null,
      docsUrl: null,
      temporalUiUrl: this.#config.temporalUiUrl ?? null,
      temporalAddress: this.#config.temporalAddress ?? null,
      databaseUrl: this.#config.databaseUrl ?? null,
      namespace: this.#config.temporalNamespace,
      keys: {},
    });
    this.#bounding = boundLogs(() => [...this.#logs]);

    const ports = await this.#choosePorts();
    const [databaseUrl, temporal] = await Promise.all([
      this.#config.databaseUrl ?? this.#startPostgres(ports.postgres),
      this.#config.temporalAddress
        ? { address: this.#config.temporalAddress, uiUrl: this.#config.temporalUiUrl }
        : this.#startTemporal(ports.temporal, ports.temporalUi),
    ]);
    const config: Config = {
      ...this.#config,
      databaseUrl,
      temporalAddress: temporal.address,
      temporalUiUrl: temporal.uiUrl,
      port: ports.api.port,
      portIsExplicit: true,
    };
    const apiUrl = `http://${reachable(config.host)}:${config.port}`;
    await this.#update({
      databaseUrl,
      temporalAddress: temporal.address,
      temporalUiUrl: temporal.uiUrl ?? null,
      apiUrl,
      docsUrl: `${apiUrl}/docs`,
    });

    await this.#step('migrating the database', this.#command('migrate', config));
    await this.#step('seeding', this.#command('seed', config));
    await this.#update({ keys: await readKeys(this.#home) });
    await ports.api.release();
    for (const name of SERVED) await this.#startServed(name, config);
    await this.#step('waiting until everything answers', this.#waitUntilReady(apiUrl));
    return await this.#update({ state: 'running' });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  hurry(): void {
    for (const name of SERVED) {
      const known = this.#processes.get(name);
      if (known && isRunning(known)) process.kill(known.pid, 'SIGKILL');
    }
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled([...this.#starting]);
    for (const supervision of this.#inStopOrder()) {
      await supervision.stop();
      this.#processes.delete(supervision.name);
      await this.#update({});
    }
    this.#bounding?.end();
    for (const reserved of this.#reserved) await reserved.release();
    if (!this.#lock) return;
    this.#processes.clear();
    if (this.#instance) await this.#update({ state: 'stopped', launcher: null });
    await this.#lock.release();
  }

  /** Compute, jobs, API, Temporal, Postgres: whoever asks ends before who answers. */
  #inStopOrder(): Supervision[] {
    const order = ['compute', 'jobs', 'api', 'temporal', 'postgres'];
    return [...this.#supervisions].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  }

  async #takeHome(): Promise<void> {
    const lock = await takeLock(join(await realpath(this.#home), 'lock'));
    if ('holder' in lock) {
      const apiUrl = readInstance(this.#home)?.apiUrl;
      throw new StartRefused(
        `Process ${lock.holder.pid} already runs from ${this.#home}${apiUrl ? ` and answers on ${apiUrl}` : ''}. ` +
          'Stop it first, or set HOLDFAST_HOME to another folder.',
      );
    }
    this.#lock = lock;
  }

  /** Stops what a launcher that was killed left behind: exactly the processes it wrote down, and no reused id. */
  async #cleanLeftovers(): Promise<void> {
    const left = (readInstance(this.#home)?.processes ?? []).filter(isRunning);
    if (left.length === 0) return;
    const names = left.map(({ name, pid }) => `${name} (${pid})`).join(', ');
    await this.#step(
      `stopping what an earlier start left running: ${names}`,
      (async () => {
        // Ours first, together; then the servers they would otherwise miss.
        const ofOurs = left.filter(({ name }) => name !== 'postgres' && name !== 'temporal');
        await Promise.all(ofOurs.map((known) => stopProcess(known, SERVED_GRACE)));
        const servers = left.filter((known) => !ofOurs.includes(known));
        await Promise.all(
          servers.map((known) => stopProcess(known, known.name === 'postgres' ? POSTGRES_GRACE : SERVED_GRACE)),
        );
      })(),
    );
  }

  /** The ports of the last start if they are free, so that bookmarks keep working; else the defaults; else any. */
  async #choosePorts(): Promise<Ports<ReservedPort>> {
    const path = join(this.#home, 'ports.json');
    const last = await readJson<Partial<Ports<number>>>(path, {});
    const { port, portIsExplicit, host } = this.#config;
    if (portIsExplicit && !(await isPortFree(port, host))) {
      throw new StartRefused(`PORT is ${port}, and another program listens there. Choose another or leave PORT unset.`);
    }
    const reserve = async (wanted: readonly (number | undefined)[], on?: string): Promise<ReservedPort> => {
      const reserved = await reservePort(
        wanted.filter((one) => one !== undefined),
        on,
      );
      this.#reserved.push(reserved);
      return reserved;
    };
    // The API first: its port is the one that people know.
    const api = await reserve(portIsExplicit ? [port] : [port, last.api], host);
    if (api.port !== port) this.#say(`Port ${port} is taken; the API is on ${api.port}.`);
    const ports = {
      api,
      postgres: await reserve([last.postgres, 54_329]),
      temporal: await reserve([last.temporal, 7233]),
      temporalUi: await reserve([last.temporalUi, 8233]),
    };
    await writePrivately(path, Object.fromEntries(Object.entries(ports).map(([name, { port }]) => [name, port])));
    return ports;
  }

  async #startPostgres({ port, release }: ReservedPort): Promise<string> {
    const folder = join(this.#home, 'postgres');
    const log = await this.#log('postgres');
    let url = '';
    const start = async (): Promise<Running> => {
      await release();
      const postgres = await startPostgres({ folder, port, log, onSpawn: (known) => this.#record('postgres', known) });
      url = postgres.url;
      return postgres;
    };
    await this.#step(`starting Postgres on 127.0.0.1:${port}`, this.#supervise('postgres', start));
    return url;
  }

  async #startTemporal(grpc: ReservedPort, ui: ReservedPort): Promise<{ address: string; uiUrl: string | undefined }> {
    const folder = join(this.#home, 'temporal');
    const log = await this.#log('temporal');
    let started: { address: string; uiUrl: string | undefined } = { address: '', uiUrl: undefined };
    const start = async (): Promise<Running> => {
      const temporal = await startTemporal({
        store: { folder },
        port: grpc.port,
        uiPort: ui.port,
        namespace: this.#config.temporalNamespace,
        log,
        say: this.#say,
        signal: this.#stopping.signal,
        beforeSpawn: () => Promise.all([grpc.release(), ui.release()]),
        onSpawn: (known) => this.#record('temporal', known),
      });
      started = { address: temporal.address, uiUrl: temporal.uiUrl };
      return temporal;
    };
    await this.#step(`starting Temporal on 127.0.0.1:${grpc.port}`, this.#supervise('temporal', start));
    return started;
  }

  async #startServed(name: (typeof SERVED)[number], config: Config): Promise<void> {
    const log = await this.#log(name);
    await this.#supervise(name, async () => {
      const served = await startProcess({
        command: process.execPath,
        args: ['--enable-source-maps', this.#program, 'serve', name],
        env: { ...process.env, ...environmentOf(config) },
        log,
        ipc: true,
      });
      await this.#record(name, served);
      return { ...served, stop: () => stopProcess(served, SERVED_GRACE) };
    });
  }

  async #supervise(name: string, start: () => Promise<Running>): Promise<void> {
    this.#stopping.signal.throwIfAborted();
    const starting = supervise({
      name,
      start,
      ended: ({ code, signal }) => this.#say(`${name} ended (${signal ?? code}) and is started again`),
      failed: (error) => this.#say(`${name} did not start and is tried again: ${(error as Error).message}`),
    });
    this.#starting.add(starting);
    try {
      this.#supervisions.push(await starting);
    } finally {
      this.#starting.delete(starting);
    }
    this.#stopping.signal.throwIfAborted();
  }

  /** Runs one of our own commands to its end. */
  async #command(name: 'migrate' | 'seed', config: Config): Promise<void> {
    this.#stopping.signal.throwIfAborted();
    const log = await this.#log(name);
    const started = await startProcess({
      command: process.execPath,
      args: ['--enable-source-maps', this.#program, name],
      env: { ...process.env, ...environmentOf(config) },
      log,
      ipc: true,
    });
    await this.#record(name, started);
    const abort = () => void stopProcess(started, SERVED_GRACE);
    this.#stopping.signal.addEventListener('abort', abort, { once: true });
    this.#starting.add(started.exited);
    const { code, signal } = await started.exited;
    this.#starting.delete(started.exited);
    this.#stopping.signal.removeEventListener('abort', abort);
    this.#processes.delete(name);
    this.#stopping.signal.throwIfAborted();
    if (code !== 0) throw new Error(`"holdfast ${name}" ended with ${signal ?? code}:\n${tailOf(log)}`);
  }

  async #waitUntilReady(apiUrl: string): Promise<void> {
    const { signal } = this.#stopping;
    let answer = 'no answer';
    const ready = await until(async () => {
      signal.throwIfAborted();
      const failing = this.#supervisions.find((supervision) => supervision.ends() >= ENDS_MAX);
      if (failing) {
        throw new Error(`${failing.name} keeps ending:\n${tailOf(join(this.#home, 'logs', `${failing.name}.log`))}`);
      }
      try {
        const response = await fetch(`${apiUrl}/health/ready`, { signal: AbortSignal.timeout(2_000) });
        answer = `${response.status} ${(await response.text()).slice(0, 500)}`;
        return response.status === 200;
      } catch {
        return false;
      }
    }, READY_LIMIT_MS);
    if (!ready) {
      throw new Error(
        `${apiUrl}/health/ready did not turn 200 within ${READY_LIMIT_MS / 1000} s (last: ${answer}). Logs: ${join(this.#home, 'logs')}`,
      );
    }
  }

  async #log(name: string): Promise<string> {
    const log = await beginLog(join(this.#home, 'logs', `${name}.log`));
    this.#logs.add(log);
    return log;
  }

  /** Written down before it is used: whatever happens to this launcher, the next one finds it. */
  #record(name: string, { pid, startTime }: KnownProcess): Promise<unknown> {
    this.#processes.set(name, { name, pid, startTime });
    return this.#update({});
  }

  async #update(change: Partial<Instance>): Promise<Instance> {
    if (!this.#instance) throw new Error('nothing was written yet');
    return await this.#write({ ...this.#instance, ...change });
  }

  /** One write after the other, each with all processes known when it is asked for. */
  async #write(instance: Omit<Instance, 'processes'>): Promise<Instance> {
    const whole: Instance = { ...instance, processes: [...this.#processes.values()] };
    this.#instance = whole;
    this.#writing = this.#writing.then(() => writePrivately(instancePath(this.#home), whole));
    await this.#writing;
    return whole;
  }
}

interface Ports<Port> {
  readonly postgres: Port;
  readonly temporal: Port;
  readonly temporalUi: Port;
  readonly api: Port;
}

/** A host to put into an address: what listens on every interface is reached on this machine. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

async function readKeys(home: string): Promise<Record<string, DemoKey>> {
  return await readJson(join(home, 'keys.json'), {});
}

async function readJson<T>(path: string, otherwise: T): Promise<T> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return otherwise;
  }
}
