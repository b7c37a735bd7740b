/**
 * The program of a Slurm job: runs one attempt on its node with the sandbox runner, or the embedded one where no sandbox
 * can be, does what the worker's command file says, and writes what happens into the job's folder. It needs no network and
 * no word from Slurm's controller.
 *
 *     HOLDFAST_JOB_FOLDER=<job folder> node dist/runners/slurm/job.js
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createEmbeddedRunner } from '../embedded';
import type { Run, RunEnd } from '../runner';
import { canSandbox, createSandboxRunner } from '../sandbox';
import { type JobCommand, JobFolder, type JobOrder } from './jobFolder';

async function main(): Promise<void> {
  const folder = new JobFolder(process.env.HOLDFAST_JOB_FOLDER ?? '');
  const order = await folder.readOrder();
  if (!order) return say('there is no order in the folder: the attempt was given up');
  if (!(await folder.claim({ slurmJobId: process.env.SLURM_JOB_ID ?? null }))) {
    return say('the attempt was started before: this is a repeated or requeued job');
  }
  await new Attempt(folder, order).toItsEnd();
}

class Attempt {
  readonly #beat: Beat;
  #run: Run | undefined;
  #suspended = false;
  #sequence = 0;
  #progressReports = 0;
  #ranMs = 0;
  /** The first reason stands. */
  #stoppedFor: 'worker' | 'slurm' | 'time-limit' | undefined;

  constructor(
    private readonly folder: JobFolder,
    private readonly order: JobOrder,
  ) {
    this.#beat = new Beat(order);
    // Slurm wants the job to end: cancelled by somebody, its time is up, preempted, or the node goes down.
    process.on('SIGTERM', () => {
      this.#stop(INTERRUPTED_GRACE_MS, 'slurm');
    });
  }

  async toItsEnd(): Promise<void> {
    const end = (await this.#isWanted()) ? await this.#compute() : NEVER_STARTED;
    await this.folder.writeEnd({ ...end, interrupted: this.#stoppedFor === 'slurm' });
  }

  /** Waits while the worker wants nothing to run; false when it is not to run at all. */
  async #isWanted(): Promise<boolean> {
    for (;;) {
      const command = await this.folder.readCommand();
      if (this.#stoppedFor || (command ?? STOP).stop !== null || (await this.#beat.isGone())) return false;
      this.#suspended = command?.suspended ?? false;
      await this.#report(NOTHING_YET);
      if (!this.#suspended) return true;
      await delay(LOOK_EVERY_MS);
    }
  }

  async #compute(): Promise<RunEnd> {
    // Whether its folder is kept is for the worker's sweep to say, which sees how the job in Slurm ended.
    const { keptAs, ...spec } = this.order.spec;
    const { enginesFolder, processesMax, folderLimits } = this.order;
    const create = (await canSandbox()) ? createSandboxRunner : createEmbeddedRunner;
    const runner = create({ enginesFolder, workFolder: join(this.folder.path, 'node'), processesMax, folderLimits });
    // What jobs left on this node that were killed without mercy.
    await runner.sweep();
    let run: Run;
    try {
      run = await runner.start({ ...spec, timeLimitMs: Number.MAX_SAFE_INTEGER });
    } catch (error) {
      return { ...NOTHING_YET, kind: 'engine-failed', message: `${error}`.slice(0, 500), results: [], log: '' };
    }
    this.#run = run;
    run.onProgress(() => this.#progressReports++);
    if (this.#stoppedFor) void run.stop(INTERRUPTED_GRACE_MS);
    let over = false;
    const ended = run.end.finally(() => {
      over = true;
    });
    let lookedAt = performance.now();
    while (!over) {
      const now = performance.now();
      // Whoever suspended the whole job, us included, is seen by a gap between two looks, which takes no time of the limit.
      if (!this.#suspended) this.#ranMs += Math.min(now - lookedAt, GAP_MS);
      lookedAt = now;
      if (this.#ranMs > spec.timeLimitMs) this.#stop(TIME_UP_GRACE_MS, 'time-limit');
      await this.#follow(run, (await this.folder.readCommand()) ?? (await this.#lastCommand()));
      await this.#report(run.snapshot());
      await Promise.race([ended, delay(LOOK_EVERY_MS)]);
    }
    const end = await ended;
    if (end.kind !== 'stopped' || this.#stoppedFor !== 'time-limit') return end;
    return { ...end, kind: 'time-limit', message: `Its time limit of ${spec.timeLimitMs / 1000} s was up.` };
  }

  #stop(graceMs: number, reason: 'worker' | 'slurm' | 'time-limit'): void {
    this.#stoppedFor ??= reason;
    void this.#run?.stop(graceMs);
  }

  /** Half a command is read again; without its folder the attempt was given up. */
  async #lastCommand(): Promise<JobCommand> {
    const isThere = await stat(this.folder.path).then(
      () => true,
      () => false,
    );
    return isThere ? { suspended: this.#suspended, stop: null } : STOP;
  }

  async #follow(run: Run, { suspended, stop }: JobCommand): Promise<void> {
    if (stop !== null) this.#stop(stop, 'worker');
    else if (await this.#beat.isGone()) this.#stop(INTERRUPTED_GRACE_MS, 'worker');
    else if (suspended !== this.#suspended) {
      // Not suspended counts only when the kernel says so of every process; until then it is tried again.
      await (suspended ? run.suspend() : run.resume()).then(
        () => {
          this.#suspended = suspended;
        },
        (error: Error) => say(error.message),
      );
    }
  }

  async #report(usage: typeof NOTHING_YET): Promise<void> {
    await this.folder
      .writeStatus({
        ...usage,
        sequence: ++this.#sequence,
        progressReports: this.#progressReports,
        suspended: this.#suspended,
      })
      // A full or missing filesystem: the next look finds out which.
      .catch((error: Error) => say(error.message));
  }
}

/** Whether the worker lives: its beat changes. Time counts in looks, so that a suspended job misses nothing. */
class Beat {
  #last = '';
  #silentLooks = 0;

  constructor(private readonly order: JobOrder) {}

  async isGone(): Promise<boolean> {
    const beat = await readFile(this.order.beatPath, 'utf8').catch(() => '');
    this.#silentLooks = beat === this.#last ? this.#silentLooks + 1 : 0;
    this.#last = beat;
    return this.#silentLooks * LOOK_EVERY_MS > this.order.abandonedAfterMs;
  }
}

const LOOK_EVERY_MS = 200;
/** A look that is later than this was not late, but suspended. */
const GAP_MS = 1000;
const TIME_UP_GRACE_MS = 5000;
/** Slurm kills what is left after `KillWait`, 30 s unless a site says otherwise. */
const INTERRUPTED_GRACE_MS = 5000;
const STOP: JobCommand = { suspended: false, stop: 0 };
const NOTHING_YET: Pick<RunEnd, 'fraction' | 'counters' | 'cpuSeconds' | 'peakMemoryBytes'> = {
  fraction: 0,
  counters: {},
  cpuSeconds: 0,
  peakMemoryBytes: 0,
};
const NEVER_STARTED: RunEnd = { ...NOTHING_YET, kind: 'stopped', message: 'It was stopped.', results: [], log: '' };

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

main().catch((error: Error) => {
  say(error.stack ?? String(error));
  process.exitCode = 1;
});
