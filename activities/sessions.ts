/** What the workflow of a configuration session does: begin its attempt, look at it when something is due, keep its result. */
import { Readable } from 'node:stream';
import { ApplicationFailure } from '@temporalio/activity';
import { addResult, beginAttempt, endAttempt, reportUsage } from '../db/attempts';
import type { Db } from '../db/client';
import { addJobEvent } from '../db/jobs';
import type { ObjectStore } from '../db/objectStore';
import { actInSession, keepSession } from '../db/sessions';
import type { Instant } from '../domain/instant';
import type { SessionLook } from '../domain/session';
import { wholeUnits } from '../domain/usage';

export interface SessionActivities {
  /** Begins the attempt of a session and meters it: a session is used by being opened. @returns the attempt's number. */
  beginSession(input: { jobId: string; at: Instant }): Promise<number>;
  /** Warns an idle user once for each time of being idle, and ends what is over. */
  lookAtSession(input: { jobId: string; at: Instant }): Promise<SessionLook>;
  /** Ends the session of a job that was cancelled. */
  cancelSession(input: { jobId: string; at: Instant }): Promise<void>;
  /** Keeps what was configured, and the attempt's end. */
  endSession(input: { jobId: string; attempt: number; message: string; at: Instant }): Promise<void>;
}

const RUNNER = 'workflow';
const RESULT_BYTES_MAX = 1024 * 1024;

export function createSessionActivities({ db, store }: { db: Db; store: ObjectStore }): SessionActivities {
  return {
    async beginSession({ jobId, at }) {
      const attempt = await beginAttempt(db, { jobId, runner: RUNNER, worker: RUNNER, at });
      if (typeof attempt !== 'number') {
        throw ApplicationFailure.nonRetryable(`the billing of job ${jobId} is closed`, 'BillingClosed');
      }
      const { session } = await keepSession(db, jobId, at);
      const meter = session.isAdministrator ? 'administratorSessions' : 'sessions';
      const usage = [{ meter, unit: 'session', quantity: wholeUnits(1) }];
      const report = { jobId, attempt, seq: 1, usage, progress: 0, source: RUNNER, at };
      if ((await reportUsage(db, report)) === null) {
        throw ApplicationFailure.nonRetryable(`the billing of job ${jobId} is closed`, 'BillingClosed');
      }
      return attempt;
    },
    async lookAtSession({ jobId, at }) {
      const { look, warns } = await keepSession(db, jobId, at);
      if (warns && look.state === 'open') {
        const message = `Nothing has happened for ten minutes; the session ends at ${look.endsAt} unless somebody goes on.`;
        await addJobEvent(db, jobId, { kind: 'session-idle', message, data: { endsAt: look.endsAt }, at });
      }
      return look;
    },
    async cancelSession({ jobId, at }) {
      await actInSession(db, jobId, { kind: 'close', reason: 'cancelled' }, at);
      await keepSession(db, jobId, at);
    },
    async endSession({ jobId, attempt, message, at }) {
      const { session } = await keepSession(db, jobId, at);
      const { design, choices, openedAt, endedAt, endedFor } = session;
      const result = { design, choices, openedAt, endedAt, endedFor };
      const bytes = Buffer.from(`${JSON.stringify(result, null, 2)}\n`);
      const stored = await store.put(Readable.from([bytes]), RESULT_BYTES_MAX);
      const file = { ...stored, jobId, attempt, name: 'configuration.json', mediaType: 'application/json' };
      await addResult(db, file);
      await reportUsage(db, { jobId, attempt, seq: 2, usage: [], progress: 1_000_000, source: RUNNER, at });
      await endAttempt(db, { jobId, attempt, outcome: 'completed', message, at });
    },
  };
}
