/**
 * One run as a process of this worker: started, measured from outside, limited, suspended, stopped, and judged when no
 * process of it is left. What it starts is its runner's; everything else is here, for every runner that starts processes.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { collectResults } from './attemptFolder';
import { JOIN_AND_BECOME, RunCgroup } from './cgroups';
import { type FolderLimits, folderExcess } from './folderLimits';
import { sendSignal } from './processes';
import { ProcessTree } from './processTree';
import { type LastReport, ReportReader } from './reports';
import { recordRun } from './runFiles';
import type { Run, RunEnd, RunEndKind, RunSnapshot, RunSpec } from './runner';

/** What a runner starts for an attempt. */
export interface Launch {
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  /** How many generations below the first process the engine is: none, unless others stand around it. */
  readonly depth: number;
}

/** What is the same for all runs of a runner. */
export interface RunSettings {
  /** Where the records of runs are kept for a sweep. */
  readonly runsFolder: string;
  /** Processes and threads of a run together; against engines that start ever more. */
  readonly processesMax: number;
  /** What it may keep in its folder; against engines that fill the disk. */
  readonly folderLimits: FolderLimits;
}

/** Starts an attempt whose folder is laid out. Rejects when nothing can be started. */
export async function startProcessRun(spec: RunSpec, launch: Launch, settings: RunSettings): Promise<Run> {
  const cgroup = new RunCgroup({ memoryBytesMax: spec.memoryBytesMax, processesMax: settings.processesMax });
  try {
    const [command, ...args] =
      process.platform === 'linux'
        ? ['/bin/sh', '-c', START, 'sh', cgroup.folders.join('\n'), ...launch.command]
        : launch.command;
    const child = spawn(command, args, {
      cwd: spec.folder,
      // A group and a session of its own: one signal reaches all of it, and Ctrl-C in a terminal does not.
      detached: true,
      env: launch.environment,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await once(child, 'spawn');
    try {
      return new ProcessRun(spec, child, cgroup, launch, settings);
    } catch (error) {
      sendSignal(-(child.pid as number), 'SIGKILL');
      throw error;
    }
  } catch (error) {
    await cgroup.remove();
    throw error;
  }
}

/** Enough for every thread of Node and of a solver on many cores. */
export const PROCESSES_MAX = 512;
/** No file grows without end, and what crashes leaves no image of its memory: both would fill the disk. */
const FILE_BYTES_MAX = 16 * 2 ** 30;
/** A shell counts files in blocks of 512 bytes. */
const START = `{ ulimit -c 0; ulimit -f ${FILE_BYTES_MAX / 512}; } 2>/dev/null; ${JOIN_AND_BECOME}`;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Why we are ending a run. The first reason stands: a job that was stopped stays stopped, however badly it stops. */
type EndReason = { readonly kind: Exclude<RunEndKind, 'completed' | 'input-failed'>; readonly message: string };

class ProcessRun implements Run {
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
  /** When its folder may be looked at next; never while a look is on. */
  #folderLookAt = FOLDER_LOOK_EVERY_MS;

  constructor(
    private readonly spec: RunSpec,
    private readonly child: Child,
    private readonly cgroup: RunCgroup,
    private readonly launch: Launch,
    private readonly settings: RunSettings,
  ) {
    this.#pid = child.pid as number; // Defined once `spawn` was emitted.
    // If this worker dies before the file is there, the engine's stdin ends and the engine with it.
    this.#forget = recordRun(settings.runsFolder, {
      pid: this.#pid,
      jobId: spec.jobId,
      attempt: spec.attempt,
      folder: spec.folder,
      ...(spec.keptAs !== undefined && { keptAs: spec.keptAs }),
      cgroups: cgroup.folders,
    });
    this.#tree = new ProcessTree(this.#pid, cgroup);
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
      // The engine alone is asked: it stops what it started, which may have more to write.
      const engine = this.#tree.descendant(this.launch.depth);
      if (engine === undefined) this.#kill(reason);
      else sendSignal(engine, 'SIGTERM');
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
    if (ranMs >= this.#folderLookAt) void this.#lookAtFolder();
    const nextMs = Math.min(SAMPLE_EVERY_MS, Math.max(ranMs, FIRST_SAMPLE_MS));
    this.#tick = setTimeout(() => this.#watch(), leftMs > 0 ? Math.min(nextMs, leftMs + 1) : nextMs);
  }

  #sample(): void {
    if (this.#exited) return;
    const memory = this.#tree.sample();
    if (this.#reason?.kind === 'engine-failed') return;
    const { cgroup } = this;
    const isTooBig = cgroup.limitsMemory ? cgroup.wasOutOfMemory : memory > this.spec.memoryBytesMax;
    const isTooMany = cgroup.limitsProcesses ? cgroup.wasOutOfProcesses : this.#tree.size > this.settings.processesMax;
    if (isTooBig) this.#kill({ kind: 'engine-failed', message: this.#memorySentence() });
    else if (isTooMany) this.#kill({ kind: 'engine-failed', message: this.#processesSentence() });
  }

  /** A look that takes long, because there is much to see or the disk is busy, is followed by a longer pause. */
  async #lookAtFolder(): Promise<void> {
    this.#folderLookAt = Number.POSITIVE_INFINITY;
    const startedAt = performance.now();
    const excess = await folderExcess(this.spec.folder, this.settings.folderLimits);
    if (excess) this.#kill({ kind: 'engine-failed', message: `The engine ${excess}.` });
    const tookMs = performance.now() - startedAt;
    this.#folderLookAt = this.#ran() + Math.max(FOLDER_LOOK_EVERY_MS, 4 * tookMs);
  }

  #onLastReport(): void {
    // The last chance to measure where there is no control group: what an exited process used cannot be read any more.
    this.#tree.sample({ look: true });
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
    this.#tree.sample();
    const excess = this.#excess();
    await this.cgroup.remove();
    this.#forget();

    const { results, missing } = await collectResults(this.spec.folder, this.#reports.results.values());
    this.#reason ??= excess;
    const { kind, message } = this.#judge(this.#exit(code, signal), missing);
    const { statistics } = this.#reports;
    const log = this.#log.toString('utf8').replace(/^\uFFFD+/, '');
    return { ...this.snapshot(), kind, message, results, log, ...(statistics && { statistics }) };
  }

  /** What the kernel refused or killed that nobody has seen yet. */
  #excess(): EndReason | undefined {
    if (this.cgroup.wasOutOfMemory) return { kind: 'engine-failed', message: this.#memorySentence() };
    if (this.cgroup.wasOutOfProcesses) return { kind: 'engine-failed', message: this.#processesSentence() };
    return undefined;
  }

  /** Those who stand around an engine tell the signal that ended it as a shell does, by a code. */
  #exit(code: number | null, signal: NodeJS.Signals | null): Exit {
    if (this.launch.depth === 0 || code === null || code <= 128) return { code, signal };
    const names = Object.entries(constants.signals) as [NodeJS.Signals, number][];
    const name = names.find(([, number]) => number === code - 128)?.[0];
    return name ? { code: null, signal: name } : { code, signal };
  }

  #judge({ code, signal }: Exit, missing: string | undefined): { readonly kind: RunEndKind; readonly message: string } {
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
    if (/ENOSPC|No space left on device/.test(this.#log.toString()))
      return 'The engine found no space left on the disk.';
    if (last?.type === 'stopped') return 'The engine was stopped by somebody else.';
    if (signal) return `The engine was ended by ${signal}.`;
    return `The engine exited with code ${code}${last ? ` after reporting ${last.type}` : ' without reporting its end'}.`;
  }

  #memorySentence(): string {
    return `The engine used more than ${Math.floor(this.spec.memoryBytesMax / 2 ** 20)} MiB of memory.`;
  }

  #processesSentence(): string {
    return `The engine started more than ${this.settings.processesMax} processes and threads.`;
  }
}

const LOG_BYTES = 8 * 1024;
const SAMPLE_EVERY_MS = 250;
const FIRST_SAMPLE_MS = 25;
const POLL_MS = 5;
const TIME_UP_GRACE_MS = 5000;
const LINGER_MS = 10_000;
const FOLDER_LOOK_EVERY_MS = 500;
const SUSPEND_PATIENCE_MS = 30_000;
const PIPE_PATIENCE_MS = 2000;
