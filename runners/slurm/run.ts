/**
 * One run as its worker sees it: a job in Slurm and a folder. The folder decides, because Slurm may be away, forget a
 * job or be asked twice for the same; Slurm tells what a job cannot tell any more.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Run, RunEnd, RunSnapshot } from '../runner';
import { type SlurmClient, SlurmRefusal } from './client';
import type { JobClaim, JobEnd, JobFolder, JobStatus } from './jobFolder';
import { endOf, isOver, isWaiting } from './states';
import type { JobWatch, Sight } from './watch';

/** What all runs of a worker share, and how this one is submitted. */
export interface SlurmRunContext {
  readonly client: SlurmClient;
  readonly watch: JobWatch;
  readonly folder: JobFolder;
  readonly name: string;
  readonly script: string;
  readonly options: readonly string[];
  /** Called when the run leaves nothing behind any more, before its end is told. */
  readonly forget: () => Promise<void>;
}

export class SlurmRun implements Run {
  readonly end: Promise<RunEnd>;
  readonly #listeners: (() => void)[] = [];
  /** Where Slurm was asked to run it, as far as we know. */
  #id: string | undefined;
  #submissions = 0;
  #placedAt = Number.NEGATIVE_INFINITY;
  #refusal: string | undefined;
  #claim: JobClaim | undefined;
  #claimSeenAt = 0;
  #status: JobStatus = { ...NOTHING, sequence: 0, progressReports: 0, suspended: false };
  #said: JobEnd | undefined;
  #saidAt = 0;
  /** The last time that the job showed that it runs. */
  #signAt = performance.now();
  /** Since when Slurm does not say that the job runs. */
  #overSince: number | undefined;
  #suspended = false;
  #allocationSuspended = false;
  #stop: { readonly graceMs: number; readonly at: number } | undefined;
  #canceledAt = Number.NEGATIVE_INFINITY;
  #over = false;
  /** Suspensions and resumptions take effect in the order they were asked for. */
  #turn: Promise<void> = Promise.resolve();

  /** @throws SlurmRefusal when Slurm will not have the job. When Slurm is away the run goes on asking. */
  static async begin(context: SlurmRunContext): Promise<SlurmRun> {
    const run = new SlurmRun(context);
    const refusal = await run.#submit();
    if (refusal) throw refusal;
    run.#start();
    return run;
  }

  private constructor(private readonly context: SlurmRunContext) {
    this.end = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  #settle: (end: RunEnd) => void = () => {};

  #start(): void {
    void this.#live().then(async (end) => {
      this.#over = true;
      await this.#leaveNothing();
      this.#settle(end);
    });
  }

  snapshot(): RunSnapshot {
    const { fraction, counters, cpuSeconds, peakMemoryBytes } = this.#said ?? this.#status;
    return { fraction, counters, cpuSeconds, peakMemoryBytes };
  }

  onProgress(listener: () => void): void {
    this.#listeners.push(listener);
  }

  suspend(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#suspended || this.#stop || this.#over) return;
      this.#suspended = true;
      const askedAt = performance.now();
      await this.#command();
      const isStill = () => this.#status.suspended || this.#isWaitingSince(askedAt);
      await this.#until(isStill, SUSPEND_PATIENCE_MS, 'the job does not suspend');
      // The engine stands still already. That its cores serve others meanwhile is Slurm's to grant: where our account may
      // not suspend, the job keeps them.
      if (this.#over || this.#id === undefined || !this.#claim) return;
      this.#allocationSuspended = await this.context.client.suspend(this.#id).then(
        () => true,
        // Without an answer it may be suspended: it is resumed in any case.
        (error) => !(error instanceof SlurmRefusal),
      );
    });
  }

  resume(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#suspended || this.#over) return;
      this.#suspended = false;
      await this.#command();
      const isRunning = () => !this.#allocationSuspended && !this.#status.suspended;
      // While Slurm is away a suspended job stays so. The run goes on asking, and nobody waits for ever.
      await this.#until(isRunning, RESUME_PATIENCE_MS).catch(() => {});
    });
  }

  /** Repeats wait for the first: one stop, one grace. */
  async stop(graceMs: number): Promise<void> {
    if (!this.#stop && !this.#over) {
      this.#stop = { graceMs, at: performance.now() };
      await this.#command().catch(() => {}); // Written again at the next look.
    }
    await this.end;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** What the job shall do now, in the place where it looks several times a second. */
  async #command(): Promise<void> {
    await this.context.folder.writeCommand({ suspended: this.#suspended, stop: this.#stop?.graceMs ?? null });
  }

  async #until(condition: () => boolean, patienceMs: number, complaint = ''): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    while (!this.#over && !condition()) {
      if (performance.now() > giveUpAt) throw new Error(`run ${this.context.name}: ${complaint}`);
      await delay(POLL_MS);
    }
  }

  /** Looks, judges and acts, until the run has ended. */
  async #live(): Promise<RunEnd> {
    for (;;) {
      try {
        await this.#look();
        const end = await this.#verdict();
        if (end) return end;
        await this.#act();
      } catch {
        // The filesystem does not answer. The job goes on meanwhile, and the next look may see it again.
      }
      await delay(LOOK_EVERY_MS);
    }
  }

  async #look(): Promise<void> {
    const { folder, watch } = this.context;
    const [status, said] = await Promise.all([folder.readStatus(), folder.readEnd()]);
    if (!this.#claim) {
      this.#claim = await folder.readClaim();
      this.#claimSeenAt = performance.now();
      const id = this.#claim?.slurmJobId;
      if (id && id !== this.#id) {
        // Another submission than the one we know of was the first to start.
        if (this.#id !== undefined) watch.forget(this.#id);
        this.#id = id;
        watch.follow(id);
      }
    }
    if (status && status.sequence > this.#status.sequence) {
      const progressed = status.progressReports > this.#status.progressReports;
      this.#status = status;
      this.#signAt = performance.now();
      if (progressed) for (const listener of this.#listeners) listener();
    }
    if (said && !this.#said) {
      this.#said = said;
      this.#saidAt = performance.now();
    }
  }

  async #verdict(): Promise<RunEnd | undefined> {
    if (this.#said) return this.#verdictOf(this.#said);
    return this.#claim ? this.#verdictWithoutWord() : this.#verdictBeforeStart();
  }

  /** The job said how it ended. Whether that was asked for, only we know. */
  #verdictOf({ interrupted, ...said }: JobEnd): RunEnd | undefined {
    if (said.kind !== 'stopped' && !interrupted) return said;
    if (this.#stop || said.kind === 'completed' || said.kind === 'input-failed') return said;
    if (!interrupted) return { ...said, kind: 'engine-failed', message: 'The job no longer saw its worker and ended.' };
    const { job } = this.#sight() ?? {};
    if (job && (isOver(job.state) || isWaiting(job.state))) return { ...said, ...endOf(job.state, job.reason) };
    if (performance.now() - this.#saidAt < STATE_PATIENCE_MS) return undefined;
    return { ...said, kind: 'engine-failed', message: 'The job was ended by Slurm.' };
  }

  /**
   * It was started, and has not said how it ended. As long as it reports it runs, whatever Slurm says: a controller that
   * was restarted knows what it had saved before, and may not know the job or believe that it still waits.
   */
  async #verdictWithoutWord(): Promise<RunEnd | undefined> {
    const sight = this.#sight();
    // A look that began before the job did shows what was then.
    if (!sight || sight.at < this.#claimSeenAt) return undefined;
    const { job } = sight;
    if (job && !isOver(job.state) && !isWaiting(job.state)) {
      this.#overSince = undefined;
      return undefined;
    }
    const now = performance.now();
    this.#overSince ??= now;
    // Its last word may be on its way through the filesystem.
    const silentMs = now - Math.max(this.#signAt, this.#overSince);
    if (job) return silentMs > SILENCE_MS ? this.#lost(endOf(job.state, job.reason)) : undefined;
    // Suspended by a controller that forgot it, it can say nothing until it is resumed.
    if (silentMs < UNKNOWN_SILENCE_MS || this.#allocationSuspended) return undefined;
    return this.#lost({ kind: 'engine-failed', message: 'The job was lost: Slurm does not know it and it is silent.' });
  }

  async #lost(end: Pick<RunEnd, 'kind' | 'message'>): Promise<RunEnd> {
    const asked = this.#stop ? { kind: 'stopped' as const, message: 'It was stopped.' } : end;
    return { ...this.snapshot(), ...asked, results: [], log: await this.context.folder.readLog() };
  }

  /** Nobody has started it yet. What ends it here takes the claim first, so that nobody ever will. */
  async #verdictBeforeStart(): Promise<RunEnd | undefined> {
    const end = this.#endBeforeStart();
    if (!end || !(await this.context.folder.claim({ slurmJobId: null }))) return undefined;
    return this.#lost(end);
  }

  #endBeforeStart(): Pick<RunEnd, 'kind' | 'message'> | undefined {
    if (this.#stop) return { kind: 'stopped', message: 'It was stopped.' };
    if (this.#refusal !== undefined) return { kind: 'engine-failed', message: this.#refusal };
    const { job } = this.#sight() ?? {};
    return job && isOver(job.state) ? endOf(job.state, job.reason) : undefined;
  }

  async #act(): Promise<void> {
    const now = performance.now();
    if (this.#stop) {
      await this.#command();
      // The job stops its engine itself. Slurm is asked when it does not, with a grace of its own (`KillWait`).
      const isLate = now - this.#stop.at > this.#stop.graceMs + JOB_GRACE_MS;
      if (isLate && this.#id !== undefined && now - this.#canceledAt > ASK_EVERY_MS) {
        this.#canceledAt = now;
        await this.context.client.cancel([this.#id]).catch(() => {});
      }
    }
    if (this.#allocationSuspended && (this.#stop || !this.#suspended)) await this.#resumeAllocation();
    if (!this.#claim && now - this.#placedAt > ASK_EVERY_MS) await this.#place();
  }

  async #resumeAllocation(): Promise<void> {
    try {
      await this.context.client.resume(this.#id as string);
    } catch (error) {
      // Away: asked again. Refused: somebody else resumed it, or Slurm knows it no more.
      if (!(error instanceof SlurmRefusal)) return;
    }
    this.#allocationSuspended = false;
    this.#signAt = performance.now();
  }

  /**
   * Sees to it that Slurm has the job: one whose submission was not answered, or that a controller forgot, is searched
   * by its name first. Should it be there twice after all, the claim lets one run.
   */
  async #place(): Promise<void> {
    const sight = this.#sight();
    const isForgotten = sight !== undefined && !sight.job;
    if (this.#id !== undefined && !isForgotten) return;
    this.#placedAt = performance.now();
    let found: string | undefined;
    try {
      [{ id: found } = { id: undefined }] = await this.context.client.find(this.context.name, this.context.folder.path);
    } catch {
      return; // Away: it may have the job or not.
    }
    if (found !== undefined) this.#follow(found);
    else this.#refusal = (await this.#submit())?.message;
  }

  async #submit(): Promise<SlurmRefusal | undefined> {
    this.#placedAt = performance.now();
    this.#submissions++;
    try {
      this.#follow(await this.context.client.submit(this.context.script, this.context.options));
    } catch (error) {
      if (error instanceof SlurmRefusal) return error;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
    }
    return undefined;
  }

  #follow(id: string): void {
    if (this.#id !== undefined) this.context.watch.forget(this.#id);
    this.#id = id;
    this.context.watch.follow(id);
  }

  #sight(): Sight | undefined {
    return this.#id === undefined ? undefined : this.context.watch.sightOf(this.#id);
  }

  #isWaitingSince(at: number): boolean {
    const sight = this.#sight();
    return !this.#claim && sight?.job !== undefined && sight.at > at && isWaiting(sight.job.state);
  }

  /** Cancels what Slurm still has under our name, and removes the folder, without which no job can start. */
  async #leaveNothing(): Promise<void> {
    const { client, folder, watch, name, forget } = this.context;
    if (this.#id !== undefined) watch.forget(this.#id);
    const isDone = this.#said && !this.#said.interrupted && this.#submissions === 1;
    const attempts = isDone ? 0 : LEAVE_ATTEMPTS;
    const cancel = async () => {
      const left = (await client.find(name, folder.path)).filter(({ state }) => !isOver(state)).map(({ id }) => id);
      if (left.length > 0) await client.cancel(left);
    };
    const retry = async (more: number): Promise<void> => {
      if (more === 0) return;
      await cancel().catch(async (error) => {
        if (error instanceof SlurmRefusal) return;
        await delay(ASK_EVERY_MS, undefined, { ref: false });
        await retry(more - 1);
      });
    };
    // The end of a run does not wait for a controller that is away: nothing of the run can start any more.
    await Promise.race([retry(attempts), delay(CLEAN_PATIENCE_MS, undefined, { ref: false })]);
    await folder.remove().catch(() => {}); // The next sweep removes it.
    await forget().catch(() => {});
  }
}

const NOTHING: RunSnapshot = { fraction: 0, counters: {}, cpuSeconds: 0, peakMemoryBytes: 0 };
const LOOK_EVERY_MS = 200;
const POLL_MS = 20;
const ASK_EVERY_MS = 2000;
/** What a job needs beyond the engine's grace to see the command, to kill and to say so. */
const JOB_GRACE_MS = 10_000;
const SUSPEND_PATIENCE_MS = 30_000;
const RESUME_PATIENCE_MS = 30_000;
/** Slurm's state follows the end of a job within a look or two. */
const STATE_PATIENCE_MS = 5000;
/** A job reports five times a second. */
const SILENCE_MS = 3000;
const UNKNOWN_SILENCE_MS = 10_000;
const LEAVE_ATTEMPTS = 12;
const CLEAN_PATIENCE_MS = 2000;
