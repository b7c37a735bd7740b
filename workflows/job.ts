/**
 * A job: reserve, run, settle; on any other exit, release. It tops up while it runs, parks when credits or the
 * not-to-exceed amount do not carry on, and closes its billing on every exit that can run code.
 */
import {
  ActivityCancellationType,
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  ChildWorkflowCancellationType,
  condition,
  executeChild,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  rootCause,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { CombiningActivities } from '../activities/combineRuns';
import type { RunActivities, RunOutcome } from '../activities/run';
import { parseCredits } from '../domain/credits';
import type { Closing, JobState, ParkedFor, Rejection, ReportedCost, RunReport } from '../domain/job';
import type { JobEnd } from '../domain/rateCard';
import { sessionWorkflowId } from '../domain/session';
import { bill } from './billing';
import { now } from './clock';
import { describeJob } from './details';
import {
  creditsArrivedSignal,
  EMBEDDED_TASK_QUEUE,
  type JobInput,
  type JobView,
  jobViewQuery,
  type RaiseCapRequest,
  type ReservationOutcome,
  raiseCapUpdate,
  reservationUpdate,
  runReportedSignal,
} from './messages';
import { endOfRuns, type RunEnded, runAll } from './runs';
import { BILLING_STATE } from './searchAttributes';
import { session } from './session';

/** A net under lost messages: how often a parked job asks for credits by itself. */
const PARKED_RETRY_MS = 10 * 60_000;
/**
 * Losing the worker this often in one job is the platform's failure. Many, because each deploy under a parked job counts; an
 * engine that dies by itself is given up much sooner, by the activity.
 */
const ATTEMPTS_MAX = 50;

/** What became of the job, for those who read the workflow's result. */
export interface JobSummary extends Closing {
  readonly end: JobEnd | 'rejected';
  readonly rejection: Rejection | null;
}

export async function job(input: JobInput): Promise<JobSummary> {
  return new JobRun(input).toItsEnd();
}

type Ended = { readonly end: JobEnd; readonly message: string };

class JobRun {
  private state: JobState = 'reserving';
  private reservation: ReservationOutcome | undefined;
  private reserved = '0';
  private draws: JobView['draws'] = [];
  private closing: JobView['closing'] = null;
  private maxCredits: string;
  private metered = '0';
  private forecast = '0';
  private needs = '0';
  private parkedFor: ParkedFor | null = null;
  /** Which runs stand still; the job is parked while any does. */
  private readonly parkedRuns = new Set<number>();
  private parkedAtMs = 0;
  /** How often more was asked for, and how often more was reserved. */
  private topUpsAsked = 0;
  private topUps = 0;
  private note = '';
  /** Something happened that a top-up might answer. */
  private attention = false;
  private ended: Ended | undefined;
  /** Set when the run is being stopped on purpose: how it ends then. */
  private stoppedFor: Ended | undefined;

  constructor(private readonly input: JobInput) {
    this.maxCredits = input.maxCredits;
    setHandler(jobViewQuery, () => this.view(), { description: 'State, reserved and metered credits of the job.' });
    // Handlers run in the workflow's own scope, and a cancelled job still answers.
    setHandler(reservationUpdate, () => CancellationScope.nonCancellable(() => this.answerReservation()), {
      description: 'Waits for the reservation and answers whether the job is reserved or rejected.',
    });
    setHandler(raiseCapUpdate, (request) => CancellationScope.nonCancellable(() => this.raiseCap(request)), {
      description: 'Raises the not-to-exceed amount with the submitter’s consent; a parked job goes on.',
      validator: (request) => this.checkRaiseCap(request),
    });
    setHandler(runReportedSignal, (report) => this.noteReport(report), {
      description: 'What the running attempt reports: usage near the reservation, parked, resumed, restarted.',
    });
    setHandler(creditsArrivedSignal, () => this.wake(), {
      description: 'Credits were granted to the spender: a parked job tries to top up at once.',
    });
    this.show();
  }

  /**
   * Nothing in here is cancelled except the run: a cancelled job still reserves what it asked for, and then settles or
   * releases it.
   */
  async toItsEnd(): Promise<JobSummary> {
    const cancellation = CancellationScope.current().cancelRequested;
    return CancellationScope.nonCancellable(async () => {
      const summary = await this.reserveRunAndClose(cancellation);
      // Whoever asked in the last moment gets an answer, not a workflow that is gone.
      await condition(allHandlersFinished);
      return summary;
    });
  }

  private async reserveRunAndClose(cancellation: Promise<never>): Promise<JobSummary> {
    const rejection = await this.reserve();
    if (rejection) return this.rejected(rejection);
    return this.close(await this.run(cancellation));
  }

  private async reserve(): Promise<Rejection | null> {
    const result = await bill('reserve', { jobId: this.input.jobId, at: now() });
    if ('rejected' in result) {
      this.reservation = { status: 'rejected', rejection: result.rejected };
      return result.rejected;
    }
    this.reserved = result.reserved;
    this.draws = result.draws;
    this.reservation = { status: 'reserved', ...result };
    this.enter('running');
    return null;
  }

  private async run(cancellation: Promise<never>): Promise<Ended> {
    const scope = new CancellationScope({ cancellable: true });
    cancellation.catch(() => this.stop(scope, { end: 'cancelled', message: 'The job was cancelled.' }));
    void scope
      .run(() => this.work())
      .then(
        (outcome: RunOutcome) => {
          this.ended = outcome;
        },
        (error: unknown) => {
          this.ended = this.endOfFailure(error);
        },
      );
    while (!this.ended) {
      await this.waitForSomething();
      if (this.ended) break;
      if (this.parkedFor && this.graceLeftMs() <= 0) {
        this.stop(scope, {
          end: 'out-of-credits',
          message: 'The job was stopped after waiting for credits or consent.',
        });
        await condition(() => this.ended !== undefined);
      } else if (this.attention) {
        await this.topUp();
      } else if (this.parkedFor) {
        this.attention = true;
      }
    }
    return this.ended;
  }

  /** What the job is there for: an attempt on an engine after the other until one ends, or a session. */
  private work(): Promise<RunOutcome> {
    const { jobId, isSession } = this.input;
    if (isSession) {
      return executeChild(session, {
        workflowId: sessionWorkflowId(jobId),
        args: [{ jobId }],
        cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        staticSummary: `session of ${this.input.service}`,
      });
    }
    const { runs = 1 } = this.input;
    if (runs === 1) return this.attemptsOf('run', `run ${this.input.service}`).run({ jobId });
    return this.workOnRuns(runs);
  }

  /** The attempts of one run, one after the other until one ends. */
  private attemptsOf(activityId: string, summary: string) {
    const { timeLimitSeconds, heartbeatSeconds, parkedGraceSeconds } = this.input;
    return proxyActivities<RunActivities>({
      activityId,
      taskQueue: this.taskQueue,
      heartbeatTimeout: `${heartbeatSeconds} seconds`,
      // Parked time counts here and not in the job's own limit; the runner enforces that one.
      startToCloseTimeout: `${timeLimitSeconds + 2 * parkedGraceSeconds + 3_600} seconds`,
      retry: { initialInterval: '500ms', maximumInterval: '10s', maximumAttempts: ATTEMPTS_MAX },
      // The last usage must be written before the job settles.
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary,
    });
  }

  private get taskQueue(): string {
    return this.input.taskQueue ?? EMBEDDED_TASK_QUEUE;
  }

  /** Each run to its end, a few at a time, then the table that compares them. A run that fails ends nothing but itself. */
  private async workOnRuns(runs: number): Promise<RunOutcome> {
    const { jobId, service } = this.input;
    const ended = await runAll(runs, async (run): Promise<RunEnded> => {
      const { run: attempt } = this.attemptsOf(run === 1 ? 'run' : `run-${run}`, `run ${run} of ${runs} of ${service}`);
      try {
        return { run, ...(await attempt({ jobId, run })) };
      } catch (error) {
        if (isCancellation(error)) throw error;
        return { run, end: 'platform-failed', message: String(rootCause(error) ?? 'the run failed') };
      } finally {
        this.goOn(run);
      }
    });
    const outcome = endOfRuns(ended);
    if (outcome.end === 'platform-failed') throw ApplicationFailure.nonRetryable(outcome.message);
    const { combineRuns } = proxyActivities<CombiningActivities>({
      activityId: 'combine',
      taskQueue: this.taskQueue,
      startToCloseTimeout: '1 minute',
      retry: { initialInterval: '500ms', maximumInterval: '10s' },
      summary: 'compare the runs in a table',
    });
    await combineRuns({ jobId });
    return { end: outcome.end, message: outcome.message };
  }

  private async waitForSomething(): Promise<void> {
    const something = () => this.ended !== undefined || this.attention;
    if (!this.parkedFor) {
      await condition(() => something() || this.parkedFor !== null);
      return;
    }
    const waitMs = Math.max(1, Math.min(this.graceLeftMs(), PARKED_RETRY_MS));
    await condition(() => something() || this.parkedFor === null, waitMs, { summary: `parked for ${this.parkedFor}` });
  }

  private graceLeftMs(): number {
    return this.parkedAtMs + this.input.parkedGraceSeconds * 1_000 - Date.now();
  }

  private stop(scope: CancellationScope, how: Ended): void {
    this.stoppedFor ??= how;
    scope.cancel();
  }

  private endOfFailure(error: unknown): Ended {
    if (isCancellation(error) && this.stoppedFor) return this.stoppedFor;
    const cause = rootCause(error) ?? 'the run failed';
    return { end: 'platform-failed', message: `The platform failed to run the job: ${cause}` };
  }

  /** Brings the reservation up to what is needed, or to the forecast at least; a refusal leaves a parked job parked. */
  private async topUp(): Promise<void> {
    this.attention = false;
    let result = await this.askForTopUp(this.needs);
    const isTooMuch = result.refused?.code === 'insufficient_credits';
    if (isTooMuch && parseCredits(this.forecast) < parseCredits(this.needs)) {
      result = await this.askForTopUp(this.forecast);
    }
    if (result.reserved !== this.reserved) this.topUps++;
    this.reserved = result.reserved;
    this.draws = result.draws;
    this.maxCredits = result.maxCredits;
    this.note = result.refused?.message ?? '';
    this.show();
  }

  private askForTopUp(target: string) {
    const ordinal = ++this.topUpsAsked;
    return bill('topUp', { jobId: this.input.jobId, ordinal, target, at: now() });
  }

  private async close({ end, message }: Ended): Promise<JobSummary> {
    this.enter('settling');
    const closing = await bill('close', { jobId: this.input.jobId, end, message, at: now() });
    this.note = message;
    this.closing = closing;
    this.enter(closing.state);
    return { ...closing, end, rejection: null };
  }

  private rejected(rejection: Rejection): JobSummary {
    this.note = rejection.message;
    this.enter('rejected');
    return {
      state: 'rejected',
      end: 'rejected',
      charged: '0',
      absorbed: '0',
      released: '0',
      draws: [],
      chargeId: null,
      rejection,
    };
  }

  private async answerReservation(): Promise<ReservationOutcome> {
    await condition(() => this.reservation !== undefined);
    if (!this.reservation) throw ApplicationFailure.nonRetryable('no reservation was answered');
    return this.reservation;
  }

  private checkRaiseCap({ maxCredits }: RaiseCapRequest): void {
    // What comes over the wire is not what the types say.
    if (typeof maxCredits !== 'string')
      throw new TypeError('an amount is a decimal string of credits such as "12.345"');
    parseCredits(maxCredits);
    if (this.ended || this.reservation?.status === 'rejected')
      throw new Error('the job has ended; nothing can be raised');
  }

  private async raiseCap(request: RaiseCapRequest) {
    await condition(() => this.reservation !== undefined);
    const { refused } = await bill('raiseCap', { jobId: this.input.jobId, ...request, at: now() });
    if (refused) return { status: 'refused' as const, rejection: refused };
    this.maxCredits = request.maxCredits;
    this.wake();
    return { status: 'raised' as const, maxCredits: request.maxCredits };
  }

  private noteReport(report: RunReport): void {
    switch (report.kind) {
      case 'usage':
        this.noteCost(report);
        // Several runs see the same shortage at once: what the first had reserved answers the others too.
        this.attention ||= (this.input.runs ?? 1) === 1 || parseCredits(this.needs) > parseCredits(this.reserved);
        break;
      case 'parked':
        this.noteCost(report);
        this.parkedRuns.add(report.run ?? 1);
        if (!this.parkedFor) this.parkedAtMs = Date.now();
        this.parkedFor = report.parkedFor;
        this.attention = true;
        this.enter('parked');
        break;
      case 'resumed':
      case 'restarted':
        this.note =
          report.kind === 'restarted' ? `Attempt ${report.attempt} started; earlier ones are not charged.` : '';
        this.goOn(report.run ?? 1);
        break;
    }
    this.show();
  }

  /** A run goes on or has ended: the job does when none is parked any more. */
  private goOn(run: number): void {
    this.parkedRuns.delete(run);
    if (this.parkedRuns.size > 0) return;
    this.parkedFor = null;
    this.enter('running');
  }

  private noteCost({ metered, forecast, needs = forecast }: ReportedCost): void {
    this.metered = metered;
    this.forecast = forecast;
    this.needs = needs;
  }

  private wake(): void {
    if (this.parkedFor) this.attention = true;
  }

  private enter(state: JobState): void {
    if (this.state === state) return;
    this.state = state;
    upsertSearchAttributes([{ key: BILLING_STATE, value: state }]);
    this.show();
  }

  private view(): JobView {
    const { state, reserved, draws, maxCredits, metered, forecast, parkedFor, topUps, closing } = this;
    return { state, reserved, draws, maxCredits, metered, forecast, parkedFor, topUps, closing };
  }

  private show(): void {
    setCurrentDetails(describeJob(this.input, this.view(), this.note));
  }
}
