/**
 * The activity `run`: one attempt of a job on a real engine. It meters usage into Postgres, keeps the engine within what
 * is reserved, reports to the workflow and stores the results. Every attempt is safe to lose: what it used is metered and
 * not charged.
 */
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure, Context, heartbeat } from '@temporalio/activity';
import type { Logger } from 'pino';
import {
  type Allowance,
  type AttemptOutcome,
  addDisagreements,
  addResult,
  allowanceOf,
  attemptsOf,
  beginAttempt,
  countAttempts,
  endAttempt,
} from '../db/attempts';
import { parkJob, resumeJob } from '../db/billing';
import { type Db, isUnavailable } from '../db/client';
import { getJob, type Job } from '../db/jobs';
import type { ObjectStore } from '../db/objectStore';
import { ratesOf } from '../db/rateCards';
import { type Credits, formatCredits, sayCredits, ZERO } from '../domain/credits';
import { disagreementsOf } from '../domain/disagreement';
import { BillingError } from '../domain/errors';
import { exceeds, type RunningCost, runningCost, runningCostOfRuns, topUpTarget, wantsTopUp } from '../domain/forecast';
import type { Instant } from '../domain/instant';
import type { ParkedFor, ReportedCost, RunReport } from '../domain/job';
import type { JobEnd, ServiceRates } from '../domain/rateCard';
import type { Usage } from '../domain/usage';
import { leaveFolder } from '../runners/attemptFolder';
import type { Run, RunEnd, Runner } from '../runners/runner';
import type { Service } from '../services/service';
import { type CombiningActivities, createCombiningActivities, resultNameOf } from './combineRuns';
import { handOn, lostFolderOf } from './lostFolders';
import { createMetering, type Metering } from './metering';
import type { Slots } from './slots';

export interface RunDependencies {
  readonly db: Db;
  readonly store: ObjectStore;
  readonly runner: Runner;
  readonly services: ReadonlyMap<string, Service>;
  readonly slots: Slots;
  readonly workFolder: string;
  readonly memoryBytesMax: number;
  /** Names this worker in attempts. */
  readonly worker: string;
  readonly now: () => Instant;
  /** Signals the job's workflow. Rejects when Temporal is away; the report is repeated then. */
  readonly tellWorkflow: (jobId: string, report: RunReport) => Promise<void>;
  readonly log: Logger;
}

export interface RunInput {
  readonly jobId: string;
  /** Which run of a job of several, from 1. */
  readonly run?: number;
}

/** How the run ended, when it is not to be tried again. */
export interface RunOutcome {
  readonly end: Extract<JobEnd, 'completed' | 'input-failed' | 'time-limit'>;
  readonly message: string;
}

export interface RunActivities {
  run(input: RunInput): Promise<RunOutcome>;
}

/** How often usage is written and the reservation looked at. */
const REPORT_INTERVAL_MS = 400;
/** How long an engine may take to write its partial results when it is stopped. */
const STOP_GRACE_MS = 5_000;
/** An engine that died this often in one job will not do better. */
const ENGINE_FAILURES_MAX = 5;
const RESULT_BYTES_MAX = 512 * 1024 * 1024;

export function createRunActivities(dependencies: RunDependencies): RunActivities & CombiningActivities {
  return { run: (input) => runAttempt(dependencies, input), ...createCombiningActivities(dependencies) };
}

async function runAttempt(dependencies: RunDependencies, { jobId, run = 1 }: RunInput): Promise<RunOutcome> {
  const { db, runner, worker, slots, now } = dependencies;
  const context = Context.current();
  const cursor = { attempt: 0, progress: 0 };
  const beating = setInterval(() => heartbeat(cursor), 1_000);
  try {
    await slots.acquire(context.cancellationSignal);
    const slot = { taken: true };
    try {
      const attempt = await beginAttempt(db, { jobId, run, runner: runner.name, worker, at: now() });
      if (attempt === null) throw billingClosed(jobId);
      if (typeof attempt !== 'number') return { end: attempt.outcome, message: attempt.message };
      const job = await getJob(db, jobId);
      return await new AttemptRun(dependencies, job, run, attempt, slot, cursor).toItsEnd();
    } finally {
      if (slot.taken) slots.release();
    }
  } finally {
    clearInterval(beating);
  }
}

function billingClosed(jobId: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(`the billing of job ${jobId} is closed`, 'BillingClosed');
}

/** One attempt from the start of its engine to its end. */
class AttemptRun {
  private allowance: Allowance | null = null;
  private suspended = false;
  /** Why the job is parked, as far as its row says. */
  private notedParkedFor: ParkedFor | null = null;
  /** Why the job is parked, as far as its workflow was told. */
  private saidParkedFor: ParkedFor | null = null;
  /** The reservation at which the workflow was last asked for more. */
  private askedAt: bigint | null = null;
  private isLost = false;
  private readonly service: Service;
  private readonly metering: Metering;

  constructor(
    private readonly dependencies: RunDependencies,
    private readonly job: Job,
    private readonly runNumber: number,
    private readonly attempt: number,
    private readonly slot: { taken: boolean },
    /** What heartbeats say, for operators. */
    private readonly cursor: { attempt: number; progress: number },
  ) {
    const { db, now, runner, services } = dependencies;
    const service = services.get(job.service);
    if (!service) throw ApplicationFailure.nonRetryable(`no service ${job.service}`, 'UnknownService');
    this.service = service;
    this.metering = createMetering({ db, now, service, jobId: job.id, attempt, source: runner.name });
  }

  async toItsEnd(): Promise<RunOutcome> {
    const { db, store, runner, workFolder, memoryBytesMax, log } = this.dependencies;
    const { id: jobId } = this.job;
    const rates = await ratesOf(db, this.job.rateCardVersion, this.job.service);
    const { engines } = this.service;
    const engine = engines.find(({ name }) => name === this.job.route?.engine) ?? engines[0];
    if (!engine) throw ApplicationFailure.nonRetryable(`service ${this.job.service} has no engine`, 'NoEngine');
    this.allowance = await allowanceOf(db, jobId, this.attempt);
    const isRestart = await this.isRestart();
    if (isRestart) await this.tell({ kind: 'restarted', attempt: this.attempt });
    await mkdir(workFolder, { recursive: true });
    // With our pid, so that a sweep knows whose it was, should we die before the run is recorded.
    const folder = await mkdtemp(join(workFolder, `${jobId}-${this.attempt}-${process.pid}-`));
    log.info({ jobId, attempt: this.attempt }, 'attempt starts');
    const resumes = engine.onLostAttempt === 'resume';
    const keptAs = resumes ? { keptAs: lostFolderOf(workFolder, jobId, this.runNumber) } : undefined;
    try {
      if (keptAs && isRestart) await this.goOnFrom(keptAs.keptAs, folder);
      const run = await runner.start({
        jobId,
        attempt: this.attempt,
        engine,
        folder,
        ...keptAs,
        inputPath: await store.pathOf(this.job.inputDigest),
        parameters: this.isOfSeveral ? { ...this.job.parameters, run: this.runNumber } : this.job.parameters,
        timeLimitMs: this.job.timeLimitSeconds * 1_000,
        memoryBytesMax,
      });
      try {
        return await this.watch(run, rates);
      } finally {
        // Whatever happened above, no process outlives its attempt.
        await run.stop(0);
      }
    } finally {
      await leaveFolder({ folder, ...(this.isLost && keptAs) });
    }
  }

  /** Puts what a lost attempt left before the engine. Whatever is wrong with it, the engine can start anew. */
  private async goOnFrom(lost: string, folder: string): Promise<void> {
    try {
      // When its worker died and none has been started here since, its folder is still where it was.
      await this.dependencies.runner.sweep();
      await handOn(lost, folder);
    } catch (error) {
      this.dependencies.log.warn({ jobId: this.job.id, error }, 'a lost attempt could not be gone on from');
    }
  }

  private get isOfSeveral(): boolean {
    return this.job.runs > 1;
  }

  /** The first attempt of a later run is no restart. */
  private async isRestart(): Promise<boolean> {
    if (!this.isOfSeveral) return this.attempt > 1;
    const attempts = await attemptsOf(this.dependencies.db, this.job.id);
    return attempts.some(({ run, number }) => run === this.runNumber && number < this.attempt);
  }

  private async watch(run: Run, rates: ServiceRates): Promise<RunOutcome> {
    const { cancellationSignal } = Context.current();
    const aborted = new Promise<'cancelled'>((resolve) => {
      if (cancellationSignal.aborted) resolve('cancelled');
      cancellationSignal.addEventListener('abort', () => resolve('cancelled'), { once: true });
    });
    let wake: () => void = () => undefined;
    run.onProgress(() => {
      if (this.suspended || !this.allowance) return;
      const { usage, progress } = this.metering.read(run.snapshot());
      if (!exceeds(this.costOf(usage, progress, rates), this.allowance.reserved)) return;
      // At once, whatever the loop below is waiting for: an engine that goes on is work that nobody pays.
      this.suspend(run).then(wake, wake);
    });
    for (;;) {
      const tick = new AbortController();
      const woken = await Promise.race([
        run.end,
        aborted,
        wait(REPORT_INTERVAL_MS, 'tick' as const, { signal: tick.signal }).catch(() => 'tick' as const),
        new Promise<'tick'>((resolve) => {
          wake = () => resolve('tick');
        }),
      ]);
      tick.abort();
      if (woken === 'cancelled') return this.stopAndRethrow(run);
      if (woken !== 'tick') return this.finish(woken);
      const answer = await this.metering.report(run.snapshot());
      if (answer === null) throw billingClosed(this.job.id);
      if (answer !== 'unavailable') this.allowance = answer;
      Object.assign(this.cursor, { attempt: this.attempt, progress: Number(this.metering.progress) / 1_000_000 });
      await this.keepWithin(run, rates);
    }
  }

  /** Parks, resumes or asks for more, by what the usage costs and what is reserved. */
  private async keepWithin(run: Run, rates: ServiceRates): Promise<void> {
    if (!this.allowance) return;
    const { reserved, cap } = this.allowance;
    const cost = this.costOf(this.metering.usage, this.metering.progress, rates);
    if (exceeds(cost, reserved)) {
      await this.park(run, cost, reserved >= cap ? 'cap' : 'credits');
    } else if (this.suspended) {
      await this.resume(run);
    } else if (reserved < cap && wantsTopUp(cost, reserved) && this.askedAt !== reserved) {
      if (await this.tell({ kind: 'usage', ...written(cost, reserved) })) this.askedAt = reserved;
    }
  }

  private async park(run: Run, cost: RunningCost, parkedFor: ParkedFor): Promise<void> {
    await this.suspend(run);
    if (this.saidParkedFor === parkedFor) return;
    const message =
      parkedFor === 'cap'
        ? `The job has used ${sayCredits(cost.metered)}, more than its not-to-exceed amount: raise it, or the job is stopped and settled.`
        : `The job has used ${sayCredits(cost.metered)}, more than is reserved: add credits, or the job is stopped and settled.`;
    const { db, now } = this.dependencies;
    // The engine stands still already; what cannot be said now is said at the next look.
    if (this.notedParkedFor !== parkedFor) {
      if (!(await survive(() => parkJob(db, { jobId: this.job.id, parkedFor, message, at: now() })))) return;
      this.notedParkedFor = parkedFor;
    }
    if (await this.tell({ kind: 'parked', parkedFor, ...written(cost, this.allowance?.reserved ?? ZERO) }))
      this.saidParkedFor = parkedFor;
  }

  private async resume(run: Run): Promise<void> {
    const { db, now, slots } = this.dependencies;
    if (!(await survive(() => resumeJob(db, { jobId: this.job.id, at: now() })))) return;
    if (!(await this.tell({ kind: 'resumed' }))) return;
    this.notedParkedFor = null;
    this.saidParkedFor = null;
    try {
      await slots.acquire(Context.current().cancellationSignal);
    } catch {
      // Cancelled while waiting for a slot: the engine stays suspended and is stopped at the next look.
      return;
    }
    this.slot.taken = true;
    this.suspended = false;
    await run.resume();
  }

  /** Stops the engine's use of CPU and gives its slot to others, once. */
  private async suspend(run: Run): Promise<void> {
    if (this.suspended) return;
    this.suspended = true;
    if (this.slot.taken) this.dependencies.slots.release();
    this.slot.taken = false;
    try {
      await run.suspend();
    } catch (error) {
      this.suspended = false;
      throw error;
    }
  }

  private costOf(usage: readonly Usage[], progress: bigint, rates: ServiceRates): RunningCost {
    const used = { rates, dimensions: this.job.dimensions, usage, progress };
    const others = this.allowance?.otherRuns;
    return others ? runningCostOfRuns(used, others) : runningCost(used);
  }

  private async finish(end: RunEnd): Promise<RunOutcome> {
    await this.keep(end, end.kind);
    switch (end.kind) {
      case 'completed':
      case 'input-failed':
      case 'time-limit':
        return { end: end.kind, message: end.message };
      case 'stopped':
      case 'engine-failed': {
        const failures = await countAttempts(this.dependencies.db, {
          jobId: this.job.id,
          run: this.runNumber,
          outcome: 'engine-failed',
        });
        const nonRetryable = failures >= ENGINE_FAILURES_MAX;
        throw ApplicationFailure.create({ message: end.message, type: 'EngineFailed', nonRetryable });
      }
    }
  }

  /** Ends the engine because the workflow or the worker wants it, keeping what it wrote. */
  private async stopAndRethrow(run: Run): Promise<never> {
    const { cancelRequested, workerShutdown } = Context.current().cancellationDetails ?? {};
    await run.stop(STOP_GRACE_MS);
    const end = await run.end;
    if (cancelRequested) {
      await this.keep(end, end.kind === 'engine-failed' ? 'stopped' : end.kind);
      throw new CancelledFailure('the job was stopped');
    }
    await this.keep(end, 'lost');
    this.isLost = true;
    throw ApplicationFailure.retryable(
      workerShutdown ? 'the worker is shutting down' : 'the attempt was lost',
      'AttemptLost',
    );
  }

  /** Writes the last usage, the results and the attempt's end, waiting for a database that is away. */
  private async keep(end: RunEnd, outcome: AttemptOutcome): Promise<void> {
    const { db, store, now } = this.dependencies;
    const { id: jobId } = this.job;
    let answer = await this.metering.report(end);
    while (answer === 'unavailable') {
      await wait(REPORT_INTERVAL_MS);
      answer = await this.metering.report(end);
    }
    if (answer === null) throw billingClosed(jobId);
    for (const { name, path, mediaType } of end.results) {
      await insist(async () => {
        const stored = await store.put(createReadStream(path), RESULT_BYTES_MAX);
        await addResult(db, {
          ...stored,
          jobId,
          attempt: this.attempt,
          name: this.isOfSeveral ? resultNameOf(this.runNumber, name) : name,
          mediaType,
        });
      });
    }
    const disagreements = disagreementsOf(end.counters, end.statistics ?? {});
    if (disagreements.length > 0) {
      await insist(() => addDisagreements(db, { jobId, attempt: this.attempt, disagreements }));
    }
    const { message } = end;
    await insist(() => endAttempt(db, { jobId, attempt: this.attempt, outcome, message, at: now() }));
  }

  /** @returns whether the workflow was told; it is tried again at the next look otherwise. */
  private async tell(report: RunReport): Promise<boolean> {
    try {
      await this.dependencies.tellWorkflow(this.job.id, this.isOfSeveral ? { ...report, run: this.runNumber } : report);
      return true;
    } catch (error) {
      this.dependencies.log.warn({ jobId: this.job.id, report, error }, 'the workflow could not be told');
      return false;
    }
  }
}

function written(cost: RunningCost, reserved: Credits): ReportedCost {
  const needs = topUpTarget(cost, reserved);
  return { metered: formatCredits(cost.metered), forecast: formatCredits(cost.forecast), needs: formatCredits(needs) };
}

/** @returns whether it was done; a database or an object store that is away is no error here. */
async function survive(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    const away = isUnavailable(error) || (error instanceof BillingError && error.code === 'unavailable');
    if (!away) throw error;
    return false;
  }
}

async function insist(act: () => Promise<void>): Promise<void> {
  while (!(await survive(act))) await wait(REPORT_INTERVAL_MS);
}
