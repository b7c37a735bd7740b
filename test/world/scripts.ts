/**
 * A typed double of the activity `run`, for tests of the workflow alone: each job has a script that says what its attempts
 * do. Attempts, usage and their ends are written to the real database, so the billing of such a job is real.
 */
import { ApplicationFailure, Context, heartbeat } from '@temporalio/activity';
import type { CombiningActivities } from '../../activities/combineRuns';
import type { RunActivities, RunOutcome } from '../../activities/run';
import { type AttemptOutcome, allowanceOf, beginAttempt, endAttempt, reportUsage } from '../../db/attempts';
import { parkJob, resumeJob } from '../../db/billing';
import type { Db } from '../../db/client';
import { parseCredits } from '../../domain/credits';
import { progressOf } from '../../domain/forecast';
import { instantOfMilliseconds } from '../../domain/instant';
import type { ParkedFor, RunReport } from '../../domain/job';
import { wholeUnits } from '../../domain/usage';
import { eventually } from './eventually';
import { METER } from './rates';

export type Script = (attempt: ScriptedAttempt) => Promise<RunOutcome>;
export type Tell = (jobId: string, report: RunReport) => Promise<void>;

const BEAT_MS = 100;

/** The double. A job without a script fails for good: its test forgot it. */
export function createScriptedRun(options: {
  db: Db;
  tell: Tell;
  scripts: ReadonlyMap<string, Script>;
}): RunActivities & CombiningActivities {
  const { db, tell, scripts } = options;
  return {
    /** Scripts write no results, so there is nothing to compare. */
    async combineRuns() {},
    async run({ jobId, run = 1 }) {
      const script = scripts.get(jobId);
      if (!script) throw ApplicationFailure.nonRetryable(`job ${jobId} has no script`);
      const beating = setInterval(() => heartbeat(), BEAT_MS);
      try {
        const at = now();
        const number = await beginAttempt(db, { jobId, run, runner: 'scripted', worker: 'test', at });
        if (typeof number !== 'number') {
          throw ApplicationFailure.nonRetryable(`the billing of job ${jobId} is closed or its work done`);
        }
        return await script(new ScriptedAttempt(db, tell, jobId, run, number));
      } finally {
        clearInterval(beating);
      }
    },
  };
}

/** One attempt, as its script sees it. One round costs one credit. */
export class ScriptedAttempt {
  private seq = 0;
  private rounds = 0;

  constructor(
    private readonly db: Db,
    private readonly tell: Tell,
    readonly jobId: string,
    readonly run: number,
    readonly number: number,
  ) {}

  /** Meters so many more rounds and tells the workflow. */
  async use(rounds: number, fraction: number): Promise<void> {
    await this.meter(rounds, fraction);
    await this.tell(this.jobId, { run: this.run, kind: 'usage', ...this.cost(fraction) });
  }

  /** Meters without telling anybody. */
  async meter(rounds: number, fraction: number): Promise<void> {
    this.rounds += rounds;
    await reportUsage(this.db, {
      jobId: this.jobId,
      attempt: this.number,
      seq: ++this.seq,
      usage: rounds === 0 ? [] : [{ meter: METER, unit: 'round', quantity: wholeUnits(rounds) }],
      progress: Number(progressOf(fraction)),
      source: 'scripted',
      at: now(),
    });
  }

  async park(parkedFor: ParkedFor, fraction: number): Promise<void> {
    const { jobId } = this;
    await parkJob(this.db, { jobId, parkedFor, message: `parked for ${parkedFor}`, at: now() });
    await this.tell(jobId, { run: this.run, kind: 'parked', parkedFor, ...this.cost(fraction) });
  }

  async resume(): Promise<void> {
    await resumeJob(this.db, { jobId: this.jobId, at: now() });
    await this.tell(this.jobId, { run: this.run, kind: 'resumed' });
  }

  /** Tells the workflow that this attempt begins anew. */
  restart(): Promise<void> {
    return this.tell(this.jobId, { run: this.run, kind: 'restarted', attempt: this.number });
  }

  /** Waits until so many credits are reserved for the job. */
  async reserved(credits: string): Promise<void> {
    const enough = parseCredits(credits);
    await eventually(`${credits} credits reserved for job ${this.jobId}`, async () => {
      const allowance = await allowanceOf(this.db, this.jobId, this.number);
      return allowance !== null && allowance.reserved >= enough;
    });
  }

  /** Ends the attempt in the database. */
  async end(outcome: AttemptOutcome): Promise<void> {
    await endAttempt(this.db, { jobId: this.jobId, attempt: this.number, outcome, message: outcome, at: now() });
  }

  async finish(end: RunOutcome['end'] = 'completed'): Promise<RunOutcome> {
    await this.end(end);
    return { end, message: `The run ended: ${end}.` };
  }

  /** Works until the workflow cancels; the attempt ends as stopped then. Never returns. */
  async untilCancelled(): Promise<never> {
    try {
      return await Context.current().cancelled;
    } finally {
      await this.end('stopped');
    }
  }

  private cost(fraction: number): { metered: string; forecast: string } {
    return { metered: String(this.rounds), forecast: String(Math.round(this.rounds / fraction)) };
  }
}

function now() {
  return instantOfMilliseconds(Date.now());
}
