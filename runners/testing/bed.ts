/** Where a runner is tried: a work folder, an engine that misbehaves on demand, and eyes on the machine's processes. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { FolderLimits } from '../folderLimits';
import { isAlive, readProcess } from '../processes';
import type { Run, RunEnd, Runner, RunSpec } from '../runner';

/** One step of the scripted engine; `scripted/main.js` says what there is. */
export type Step = { readonly do: string } & Readonly<Record<string, unknown>>;

/** What a behaviour may choose of its attempt. */
export type Changes = Partial<RunSpec> & { readonly outlivesItsWatcher?: boolean };

/** What a runner is made with. */
export interface RunnerPlace {
  readonly enginesFolder: string;
  readonly workFolder: string;
  readonly processesMax: number;
  readonly folderLimits: FolderLimits;
}

export const DONE: Step = { do: 'report', report: { type: 'done', counters: {} } };
export const STOPPED: Step = { do: 'report', report: { type: 'stopped', counters: {} } };
export const EXIT: Step = { do: 'exit', code: 0 };
/** Stops as the protocol wants it. */
export const STOPS: Step = { do: 'onTerm', steps: [STOPPED, EXIT] };

/** Declares a file as a result. */
export function declare(name: string, file = `out/${name}`): Step {
  return { do: 'report', report: { type: 'result', name, file, mediaType: 'text/plain' } };
}

/** A place of its own for each behaviour. */
export class Bed {
  readonly workFolder = mkdtempSync(join(tmpdir(), 'holdfast-runner-'));
  readonly place: RunnerPlace = {
    enginesFolder: __dirname,
    workFolder: this.workFolder,
    processesMax: PROCESSES_MAX,
    folderLimits: { bytesMax: 64 * 2 ** 20, filesMax: 2000 },
  };
  readonly #runs: Run[] = [];
  #made: Runner | undefined;

  /** @param host the program of a worker in little, as `host.ts` is, with its first arguments; or none. */
  constructor(
    private readonly create: (place: RunnerPlace) => Runner | Promise<Runner>,
    readonly host: readonly string[] = [],
  ) {}

  spec(steps: readonly Step[], changes: Changes = {}): RunSpec {
    return scriptedSpec(this.workFolder, steps, changes);
  }

  async start(steps: readonly Step[], changes: Changes = {}): Promise<Run> {
    return this.startSpec(this.spec(steps, changes));
  }

  async startSpec(spec: RunSpec): Promise<Run> {
    const runner = await this.#runner();
    const run = await runner.start(spec);
    this.#runs.push(run);
    return run;
  }

  async ended(steps: readonly Step[], changes: Changes = {}): Promise<RunEnd> {
    return (await this.start(steps, changes)).end;
  }

  /** A run that was prepared by `steps` and is now busy. */
  async working(steps: readonly Step[], changes: Changes = {}): Promise<Run> {
    return this.workingSpec(this.spec([...steps, { do: 'work' }], changes));
  }

  async workingSpec(spec: RunSpec): Promise<Run> {
    const run = await this.startSpec(spec);
    await until(() => (run.snapshot().counters.rounds ?? 0) > 0);
    return run;
  }

  async sweep(): Promise<void> {
    await (await this.#runner()).sweep();
  }

  async close(): Promise<void> {
    for (const run of this.#runs) await run.stop(0);
    rmSync(this.workFolder, { recursive: true, force: true });
  }

  async #runner(): Promise<Runner> {
    this.#made ??= await this.create(this.place);
    return this.#made;
  }
}

/** An attempt of the scripted engine; its processes are found by its `jobId`, as {@link alive} does. */
export function scriptedSpec(
  workFolder: string,
  steps: readonly Step[],
  { outlivesItsWatcher = false, ...changes }: Changes = {},
): RunSpec {
  const jobId = `hf-${process.pid}-${++made}`;
  const inputPath = join(workFolder, 'stored-input');
  writeFileSync(inputPath, 'the input');
  return {
    jobId,
    attempt: 1,
    engine: { name: 'scripted', onLostAttempt: 'restart' },
    folder: mkdtempSync(join(workFolder, 'attempt-')),
    inputPath,
    parameters: { steps, outlivesItsWatcher, title: jobId },
    timeLimitMs: 60_000,
    memoryBytesMax: 1024 * 2 ** 20,
    ...changes,
  };
}

/** The processes of an attempt, in whatever namespace: they carry the id of its job in their command line. */
export function alive({ jobId }: RunSpec): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && carries(pid, jobId) && isAlive(readProcess(pid)));
}

/** Waits for what must come. */
export async function until(condition: () => boolean): Promise<void> {
  for (const giveUpAt = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > giveUpAt) throw new Error('waited for 20 s in vain');
    await delay(10);
  }
}

const PROCESSES_MAX = 96;
let made = 0;

function carries(pid: number, word: string): boolean {
  try {
    return new RegExp(`${word}\\b`).test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
}
