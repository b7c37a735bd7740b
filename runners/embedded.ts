/** Runs the engines of `engines/` as child processes of this worker, measured from outside and never trusted. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, chmod, copyFile, lstat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { sendSignal } from './processes';
import { ProcessTree } from './processTree';
import { type DeclaredResult, type LastReport, ReportReader } from './reports';
import { recordRun, sweepRuns } from './runFiles';
import type { ResultFile, Run, RunEnd, RunEndKind, Runner, RunSnapshot, RunSpec } from './runner';

/** Where the compiled engines are, and a folder of this host for the runner's own files. */
export interface EmbeddedRunnerOptions {
  readonly enginesFolder: string;
  readonly workFolder: string;
}

/** The runner for a machine with only Node. */
export function createEmbeddedRunner({ enginesFolder, workFolder }: EmbeddedRunnerOptions): Runner {
  const runsFolder = join(workFolder, 'runs');
  return {
    name: 'embedded',
    async start(spec) {
      if (!ENGINE_NAME.test(spec.engine.name)) throw new RangeError(`not a name of an engine: ${spec.engine.name}`);
      const program = spec.engine.main ?? join(enginesFolder, spec.engine.name, 'main.js');
      await access(program);
      await layOut(spec);
      const child = spawn(process.execPath, [`--max-old-space-size=${oldSpaceMiB(spec.memoryBytesMax)}`, program], {
        cwd: spec.folder,
        // A group and a session of its own: one signal reaches all of it, and Ctrl-C in a terminal does not.
        detached: true,
        env: { PATH: process.env.PATH ?? '', HOME: spec.folder },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      await once(child, 'spawn');
      try {
        return new EmbeddedRun(spec, child, runsFolder);
      } catch (error) {
        sendSignal(-(child.pid as number), 'SIGKILL');
        throw error;
      }
    },
    sweep: () => sweepRuns(runsFolder),
  };
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** Why we are ending a run. The first reason stands: a job that was stopped stays stopped, however badly it stops. */
type EndReason = { readonly kind: Exclude<RunEndKind, 'completed' | 'input-failed'>; readonly message: string };

class EmbeddedRun implements Run {
  readonly end: Promise<RunEnd>;
  readonly #pid: number;
  readonly #tree: ProcessTree;
  readonly #reports: ReportReader;
  readonly #listeners: (() => void)[] = [];
  readonly #forget: () => void;
  #log = Buffer.alloc(0);
  #reason: EndReason | undefined;
  #exited = false;
  #stopping: Promise<void> | undefined;
  /** Suspensions and resumptions take effect in the order they were asked for. */
  #turn: Promise<void> = Promise.resolve();
  #suspended = false;
  #ranMs = 0;
  #runningSince: number | undefined = performance.now();
  /** The running time when the last report came. */
  #reportedEndMs: number | undefined;
  #tick: NodeJS.Timeout | undefined;

  constructor(
    private readonly spec: RunSpec,
    private readonly child: Child,
    runsFolder: string,
  ) {
    this.#pid = child.pid as number; // Defined once `spawn` was emitted.
    // If this worker dies before the file is there, the engine's stdin ends and the engine with it.
    this.#forget = recordRun(runsFolder, {
      pid: this.#pid,
      jobId: spec.jobId,
      attempt: spec.attempt,
      folder: spec.folder,
    });
    this.#tree = new ProcessTree(this.#pid);
    this.#reports = new ReportReader({
      progress: () => {
        for (const listener of this.#listeners) listener();
      },
      last: () => this.#onLastReport(),
      breach: (sentence) =>
        this.#kill({ kind: 'engine-failed', message: `The engine broke the protocol: ${sentence}.` }),
    });
    // Closed by the engine, or gone between two looks: its exit tells the rest.
    child.stdin.on('error', () => {});
    child.on('error', () => {});
    child.stdout.on('data', (chunk: Buffer) => this.#reports.read(chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      this.#log = Buffer.concat([this.#log, chunk.subarray(-LOG_BYTES)]).subarray(-LOG_BYTES);
    });
    this.end = this.#finish();
    this.#watch();
  }

  snapshot(): RunSnapshot {
    return {
      fraction: this.#reports.fraction,
      counters: this.#reports.counters,
      cpuSeconds: this.#tree.cpuSeconds,
      peakMemoryBytes: this.#tree.peakMemoryBytes,
    };
  }

  onProgress(listener: () => void): void {
    this.#listeners.push(listener);
  }

  suspend(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#suspended || this.#stopping || this.#exited) return;
      this.#suspended = true;
      this.#pauseClock();
      this.#sample();
      const giveUpAt = performance.now() + SUSPEND_PATIENCE_MS;
      do {
        // Again each time: a process that was being started missed the first signal.
        this.#tree.signal('SIGSTOP');
        await delay(POLL_MS);
        if (performance.now() > giveUpAt) throw new Error(`the processes of run ${this.#pid} do not stop`);
      } while (!this.#exited && !this.#tree.isStopped());
    });
  }

  resume(): Promise<void> {
    return this.#inTurn(async () => this.#continue());
  }

  stop(graceMs: number): Promise<void> {
    return this.#stop({ kind: 'stopped', message: 'It was stopped.' }, graceMs);
  }

  /** Repeats wait for the first: one stop, one grace. */
  #stop(reason: EndReason, graceMs: number): Promise<void> {
    this.#stopping ??= this.#inTurn(async () => {
      if (this.#exited) return;
      this.#reason ??= reason;
      this.#sample();
      this.#tree.signal('SIGTERM');
      // A stopped process keeps SIGTERM waiting until it continues.
      this.#continue();
      const grace = new AbortController();
      await Promise.race([this.end, delay(graceMs, undefined, { signal: grace.signal }).catch(() => {})]);
      grace.abort();
      if (!this.#exited) this.#kill(reason);
    }).then(async () => {
      await this.end;
    });
    return this.#stopping;
  }

  /** At once and without asking: for an engine that cannot be trusted to stop. */
  #kill(reason: EndReason): void {
    if (this.#exited) return;
    this.#reason ??= reason;
    this.#sample();
    this.#tree.signal('SIGKILL');
  }

  #continue(): void {
    if (!this.#suspended || this.#exited) return;
    this.#suspended = false;
    this.#tree.signal('SIGCONT');
    this.#runningSince = performance.now();
    this.#watch();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #pauseClock(): void {
    clearTimeout(this.#tick);
    this.#ranMs = this.#ran();
    this.#runningSince = undefined;
  }

  /** Samples four times a second, sooner at first and at the time limit, and never while suspended. */
  #watch(): void {
    clearTimeout(this.#tick);
    if (this.#exited || this.#runningSince === undefined) return;
    const ranMs = this.#ran();
    const leftMs = this.spec.timeLimitMs - ranMs;
    if (leftMs <= 0 && !this.#stopping) {
      const seconds = this.spec.timeLimitMs / 1000;
      void this.#stop({ kind: 'time-limit', message: `Its time limit of ${seconds} s was up.` }, TIME_UP_GRACE_MS);
    }
    if (this.#reportedEndMs !== undefined && ranMs - this.#reportedEndMs > LINGER_MS) {
      this.#kill({ kind: 'engine-failed', message: 'The engine reported its end and did not exit.' });
    }
    this.#sample();
    const nextMs = Math.min(SAMPLE_EVERY_MS, Math.max(ranMs, FIRST_SAMPLE_MS));
    this.#tick = setTimeout(() => this.#watch(), leftMs > 0 ? Math.min(nextMs, leftMs + 1) : nextMs);
  }

  #sample(): void {
    if (this.#exited) return;
    const memory = this.#tree.sample(performance.now());
    if (memory > this.spec.memoryBytesMax && this.#reason?.kind !== 'engine-failed') {
      this.#kill({ kind: 'engine-failed', message: this.#memorySentence() });
    }
  }

  #onLastReport(): void {
    // The last chance to measure: what an exited process used cannot be read any more.
    this.#sample();
    this.#reportedEndMs = this.#ran();
  }

  #ran(): number {
    return this.#ranMs + (this.#runningSince === undefined ? 0 : performance.now() - this.#runningSince);
  }

  /** Waits for the engine, then for every process it left, then judges. */
  async #finish(): Promise<RunEnd> {
    const closed = once(this.child, 'close');
    const [code, signal] = (await once(this.child, 'exit')) as [number | null, NodeJS.Signals | null];
    this.#pauseClock();
    this.#exited = true;
    while (!this.#tree.isEmpty()) {
      this.#tree.signal('SIGKILL');
      await delay(POLL_MS);
    }
    // What is still in the pipes is read. Somebody who left the tree and holds them open is not waited for.
    const patience = new AbortController();
    await Promise.race([closed, delay(PIPE_PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => {})]);
    patience.abort();
    for (const stream of this.child.stdio) stream?.destroy();
    this.#forget();

    const { results, missing } = await this.#collectResults();
    const { kind, message } = this.#judge(code, signal, missing);
    const log = this.#log.toString('utf8').replace(/^\uFFFD+/, '');
    return { ...this.snapshot(), kind, message, results, log };
  }

  #judge(
    code: number | null,
    signal: NodeJS.Signals | null,
    missing: string | undefined,
  ): { readonly kind: RunEndKind; readonly message: string } {
    const reason = this.#reason;
    const last = this.#reports.last;
    if (reason?.kind === 'engine-failed') return reason;
    if (last?.type === 'done' && code === 0) {
      // Finished before the stop reached it: it is what was ordered, whoever wanted it to end.
      if (missing === undefined) return { kind: 'completed', message: 'It was completed.' };
      return { kind: 'engine-failed', message: `The engine declared the result ${missing} and did not write it.` };
    }
    if (last?.type === 'failed' && code === 2) return { kind: 'input-failed', message: last.message };
    if (reason) return reason;
    return { kind: 'engine-failed', message: this.#crashSentence(code, signal, last) };
  }

  #crashSentence(code: number | null, signal: NodeJS.Signals | null, last: LastReport | undefined): string {
    if (signal === 'SIGABRT' && this.#log.includes('heap out of memory')) return this.#memorySentence();
    if (last?.type === 'stopped') return 'The engine was stopped by somebody else.';
    if (signal) return `The engine was ended by ${signal}.`;
    return `The engine exited with code ${code}${last ? ` after reporting ${last.type}` : ' without reporting its end'}.`;
  }

  #memorySentence(): string {
    return `The engine used more than ${Math.floor(this.spec.memoryBytesMax / 2 ** 20)} MiB of memory.`;
  }

  /** Looked at when no process of the run is left, so nothing can change between the look and the use. */
  async #collectResults(): Promise<{ results: ResultFile[]; missing: string | undefined }> {
    const results: ResultFile[] = [];
    let missing: string | undefined;
    for (const declared of this.#reports.results.values()) {
      const path = await wholeFile(this.spec.folder, declared);
      if (path === undefined) missing ??= declared.name;
      else results.push({ name: declared.name, path, mediaType: declared.mediaType });
    }
    return { results, missing };
  }
}

const ENGINE_NAME = /^[a-z][a-z0-9-]*$/;
const LOG_BYTES = 8 * 1024;
const RESULT_BYTES_MAX = 512 * 1024 * 1024;
const SAMPLE_EVERY_MS = 250;
const FIRST_SAMPLE_MS = 25;
const POLL_MS = 5;
const TIME_UP_GRACE_MS = 5000;
const LINGER_MS = 10_000;
const SUSPEND_PATIENCE_MS = 5000;
const PIPE_PATIENCE_MS = 2000;

/**
 * V8's heap gets three quarters of the memory: the rest is for buffers and threads, and an engine that fills its heap
 * dies with a clear message before the whole process is killed.
 */
function oldSpaceMiB(memoryBytesMax: number): number {
  return Math.max(64, Math.floor((memoryBytesMax / 2 ** 20) * 0.75));
}

/** Gives the engine its two files. A copy, not a link: an engine gone wrong cannot change the stored input. */
async function layOut({ folder, inputPath, parameters }: RunSpec): Promise<void> {
  const input = join(folder, 'input');
  await copyFile(inputPath, input, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chmod(input, 0o444);
  await writeFile(join(folder, 'parameters.json'), JSON.stringify(parameters ?? {}));
}

/** The path of a declared file that is there, regular, not too large, and reached through no symbolic link. */
async function wholeFile(folder: string, { file }: DeclaredResult): Promise<string | undefined> {
  let path = folder;
  const parts = file.split('/');
  try {
    for (const [index, part] of parts.entries()) {
      path = join(path, part);
      const seen = await lstat(path);
      const isLast = index === parts.length - 1;
      if (!(isLast ? seen.isFile() && seen.size <= RESULT_BYTES_MAX : seen.isDirectory())) return undefined;
    }
  } catch {
    return undefined;
  }
  return path;
}
