/**
 * The product as a person starts it: `node cli/holdfast.js up` as a process of its own, asked over HTTP alone. What it runs on
 * is looked at from outside, for faults and for proofs: its processes, its database, its workflows.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findRunningInstance, type Instance, type NamedProcess, readInstance, writePrivately } from '../instance';
import { isPortFree } from '../ports';
import { isRunning, startTimeOf, tailOf, until } from '../processes';
import { packageRoot } from '../root';

/** The demo people, by the names of their keys in `instance.json`. */
export type Who = 'submitter' | 'contractAdmin' | 'operator' | 'finance' | 'financeApprover' | 'provider';

export interface Ask {
  readonly as?: Who;
  readonly json?: unknown;
  /** Sent as it is, beside its media type. */
  readonly body?: { readonly content: Buffer | string; readonly mediaType: string };
  /** The Idempotency-Key; a new one unless given. */
  readonly key?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: callers look at the fields that they ask about
  readonly body: any;
}

/** An engine that runs for an attempt of a job. */
export interface Engine {
  readonly pid: number;
  readonly jobId: string;
  readonly attempt: number;
}

const ANSWER_LIMIT_MS = 30_000;
const START_LIMIT_MS = 180_000;
const STOP_LIMIT_MS = 90_000;

/** Starts the product from a home folder and waits until it says that it runs. */
export async function launch(options: { home: string; env?: Record<string, string> }): Promise<LaunchedProduct> {
  const PORT = String(await keepPorts(options.home));
  const launched = new LaunchedProduct(options.home, { PORT, ...options.env });
  await launched.whenRunning();
  return launched;
}

export class LaunchedProduct {
  readonly exited: Promise<number | NodeJS.Signals | null>;
  /** What the launcher printed, both streams. */
  readonly output: string;
  /** Answers that said "not now", and requests that got none, so far. */
  repeats = 0;
  readonly #launcher: ChildProcess;
  #ended = false;

  constructor(
    readonly home: string,
    env: Readonly<Record<string, string>>,
  ) {
    this.output = join(home, `launcher-${randomUUID()}.log`);
    const log = openSync(this.output, 'a', 0o600);
    this.#launcher = spawn(process.execPath, [join(packageRoot(), 'cli/holdfast.js'), 'up'], {
      // Nothing of whoever starts this decides where the product finds its servers.
      env: { ...process.env, DATABASE_URL: '', TEMPORAL_ADDRESS: '', ...env, HOLDFAST_HOME: home },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.exited = new Promise((resolve) => {
      this.#launcher.once('exit', (code, signal) => {
        this.#ended = true;
        resolve(code ?? signal);
      });
      this.#launcher.once('error', () => resolve(null));
    });
  }

  /** @throws Error with the end of what it printed when it ends or does not come up. */
  async whenRunning(): Promise<void> {
    const { pid } = this.#launcher;
    const runs = () => findRunningInstance(this.home)?.launcher?.pid === pid;
    await until(() => this.#ended || runs(), START_LIMIT_MS);
    if (!runs()) throw new Error(`the product did not come up:\n${tailOf(this.output, 40)}`);
  }

  /** What `instance.json` says now. */
  get instance(): Instance {
    const instance = readInstance(this.home);
    if (!instance) throw new Error(`there is no instance.json in ${this.home}`);
    return instance;
  }

  /** One request, one answer. @throws TypeError of `fetch` when nobody answers. */
  async ask(method: string, path: string, { as = 'submitter', json, body, key }: Ask = {}): Promise<Answer> {
    const { apiUrl, keys } = this.instance;
    const content = json === undefined ? body?.content : JSON.stringify(json);
    const mediaType = json === undefined ? body?.mediaType : 'application/json';
    const response = await fetch(`${apiUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${keys[as]?.key}`,
        ...(mediaType !== undefined && { 'content-type': mediaType }),
        ...(method === 'POST' && { 'idempotency-key': key ?? randomUUID() }),
      },
      ...(content !== undefined && { body: content }),
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && text !== '' ? JSON.parse(text) : text,
    };
  }

  /**
   * As `ask`, again with the same key for as long as nobody answers or the answer is 503: what every client does.
   *
   * @throws Error when no answer comes within the limit.
   */
  async insist(method: string, path: string, ask: Ask = {}, limitMs = 180_000): Promise<Answer> {
    const key = ask.key ?? randomUUID();
    const giveUpAt = performance.now() + limitMs;
    for (;;) {
      const heard = await this.ask(method, path, { ...ask, key }).then(
        (answer) => ({ answer, why: JSON.stringify(answer.body) }),
        (error: Error) => ({ answer: undefined, why: String(error.cause ?? error) }),
      );
      if (heard.answer && heard.answer.status !== 503) return heard.answer;
      this.repeats += 1;
      if (performance.now() > giveUpAt) throw new Error(`${method} ${path} got no answer: ${heard.why}`);
      await delay(200);
    }
  }

  /** The newest process of this name, if it runs. */
  part(name: string): NamedProcess | undefined {
    return readInstance(this.home)?.processes.find((one) => one.name === name && isRunning(one));
  }

  /** Sends a part a signal. @returns whether there was one to receive it. */
  signal(name: string, signal: NodeJS.Signals): boolean {
    const part = this.part(name);
    return part !== undefined && send(part.pid, signal);
  }

  /** The engines that run now, from the runner's own records. */
  engines(): Engine[] {
    const folder = join(this.home, 'work/runs');
    return namesIn(folder).flatMap((name) => {
      const [pid = '', start = ''] = name.replace('.json', '').split('-');
      // The record's name holds the start time in ticks, ours in the machine's own writing ends with it.
      if (!name.endsWith('.json') || !startTimeOf(Number(pid))?.endsWith(`/${start}`)) return [];
      try {
        const { jobId, attempt } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
        return [{ pid: Number(pid), jobId, attempt }];
      } catch {
        return [];
      }
    });
  }

  /** Kills the launcher alone, and waits for its end. */
  async killLauncher(): Promise<void> {
    this.#launcher.kill('SIGKILL');
    await this.exited;
  }

  /** Ctrl-C. @returns the exit code. @throws Error when the launcher does not end. */
  async stop(): Promise<number | NodeJS.Signals | null> {
    if (!this.#ended) this.#launcher.kill('SIGINT');
    if (!(await until(() => this.#ended, STOP_LIMIT_MS))) {
      throw new Error(`the launcher does not end:\n${tailOf(this.output, 40)}`);
    }
    return this.exited;
  }
}

/**
 * Every process that belongs to a home folder by its command line, its environment or where it stands, whether or not
 * anybody recorded it. Linux alone: elsewhere the launcher's own records are believed.
 */
export function processesOf(home: string): { readonly pid: number; readonly command: string }[] {
  if (process.platform !== 'linux') {
    return (readInstance(home)?.processes ?? []).filter(isRunning).map(({ pid, name }) => ({ pid, command: name }));
  }
  return namesIn('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid || startTimeOf(pid) === undefined) return [];
    const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    const belongs = [command, read(`/proc/${pid}/environ`), linkOf(`/proc/${pid}/cwd`)].some((text) =>
      text.includes(home),
    );
    return belongs ? [{ pid, command }] : [];
  });
}

/**
 * Gives a new home ports that no other installation wants. A part that was killed comes back on its port, and on the usual
 * one it could find another installation that was started meanwhile. @returns the API's port.
 */
async function keepPorts(home: string): Promise<number> {
  const path = join(home, 'ports.json');
  if (!existsSync(path)) {
    const ports: Record<string, number> = {};
    for (const name of ['api', 'postgres', 'temporal', 'temporalUi']) ports[name] = await chooseQuietPort();
    await writePrivately(path, ports);
  }
  return JSON.parse(readFileSync(path, 'utf8')).api;
}

/** A free port that the system does not give to outgoing connections either, so that it stays free while nobody listens. */
export async function chooseQuietPort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000);
    if (await isPortFree(port)) return port;
  }
}

/** Sends a signal to a process. @returns whether it was there. */
export function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
