/**
 * The folder through which a worker and its job on some node speak, on a filesystem that both see. Slurm may be away,
 * forget a job or start it twice; what stands here decides.
 *
 * Files that change exist from the beginning and are overwritten in place: a network filesystem checks a file that it
 * knows whenever it is opened, but may keep believing for a minute that one is missing. Half a file is no file: it is
 * read again at the next look.
 */
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { RunEnd, RunSpec } from '../runner';

const Counters = z.record(z.string(), z.int().min(0));
const Usage = {
  fraction: z.number(),
  counters: Counters,
  cpuSeconds: z.number().min(0),
  peakMemoryBytes: z.number().min(0),
};

/** What the worker ordered. Fixed. */
const Order = z.object({
  spec: z.object({
    jobId: z.string(),
    attempt: z.int(),
    engine: z.looseObject({ name: z.string(), onLostAttempt: z.enum(['restart', 'resume']) }),
    folder: z.string(),
    keptAs: z.string().optional(),
    inputPath: z.string(),
    parameters: z.unknown(),
    timeLimitMs: z.number(),
    memoryBytesMax: z.number(),
  }),
  enginesFolder: z.string(),
  processesMax: z.int(),
  folderLimits: z.object({ bytesMax: z.number(), filesMax: z.int() }),
  /** Who ordered it, for a sweep. */
  worker: z.object({ boot: z.string(), namespace: z.string(), pid: z.int(), startTime: z.string() }),
  /** Changes as long as the worker lives. */
  beatPath: z.string(),
  abandonedAfterMs: z.number(),
});
export type JobOrder = Omit<z.infer<typeof Order>, 'spec'> & { readonly spec: RunSpec };

/** What the worker wants now. */
const Command = z.object({
  suspended: z.boolean(),
  /** Stop, with so many milliseconds of grace. */
  stop: z.number().nullable(),
});
export type JobCommand = z.infer<typeof Command>;

/** Who has the attempt: the one job that may run it, or nobody any more. */
const Claim = z.object({ slurmJobId: z.string().nullable() });
export type JobClaim = z.infer<typeof Claim>;

/** What the job says of itself several times a second. */
const Status = z.object({
  ...Usage,
  /** Grows with every write: a job that is silent runs no more, or is suspended. */
  sequence: z.int(),
  progressReports: z.int(),
  suspended: z.boolean(),
});
export type JobStatus = z.infer<typeof Status>;

/** The job's last word: no process of the engine is left. */
const End = z.object({
  ...Usage,
  kind: z.enum(['completed', 'stopped', 'input-failed', 'engine-failed', 'time-limit']),
  message: z.string(),
  results: z.array(z.object({ name: z.string(), path: z.string(), mediaType: z.string() })),
  log: z.string(),
  statistics: Counters.optional(),
  /** Slurm ended the job, not the worker. */
  interrupted: z.boolean(),
});
export type JobEnd = RunEnd & { readonly interrupted: boolean };

export class JobFolder {
  constructor(readonly path: string) {}

  /** Makes the folder. Rejects when it exists: an attempt is ordered once. */
  async create(order: JobOrder): Promise<void> {
    await mkdir(this.path, { mode: 0o700 });
    await this.#write('command', { suspended: false, stop: null } satisfies JobCommand);
    for (const name of ['status', 'end']) await writeFile(join(this.path, name), '', { mode: 0o600 });
    await this.#write('order', order);
  }

  async readOrder(): Promise<JobOrder | undefined> {
    return (await this.#read('order', Order)) as JobOrder | undefined;
  }

  /**
   * Takes the attempt, once for ever: true for the first who asks. It is what makes a submission that was repeated, a
   * job that was requeued and one that comes too late harmless.
   */
  async claim(claim: JobClaim): Promise<boolean> {
    try {
      const file = await open(join(this.path, 'claim'), 'wx', 0o600);
      await file.writeFile(JSON.stringify(claim));
      await file.close();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }

  readClaim = (): Promise<JobClaim | undefined> => this.#read('claim', Claim);
  writeCommand = (command: JobCommand): Promise<void> => this.#write('command', command);
  readCommand = (): Promise<JobCommand | undefined> => this.#read('command', Command);
  writeStatus = (status: JobStatus): Promise<void> => this.#write('status', status);
  readStatus = (): Promise<JobStatus | undefined> => this.#read('status', Status);
  writeEnd = (end: JobEnd): Promise<void> => this.#write('end', end);
  readEnd = () => this.#read('end', End) as Promise<JobEnd | undefined>;

  /** What the job wrote outside the protocol, such as why it could not begin. */
  async readLog(): Promise<string> {
    return (await readFile(this.logPath, 'utf8').catch(() => '')).slice(-LOG_CHARACTERS);
  }

  get logPath(): string {
    return join(this.path, 'log');
  }

  get inputPath(): string {
    return join(this.path, 'input');
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 3 });
  }

  async #write(name: string, content: object): Promise<void> {
    await writeFile(join(this.path, name), JSON.stringify(content), { mode: 0o600 });
  }

  async #read<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    try {
      return schema.parse(JSON.parse(await readFile(join(this.path, name), 'utf8')));
    } catch {
      return undefined;
    }
  }
}

const LOG_CHARACTERS = 8 * 1024;
