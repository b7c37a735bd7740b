/** Server-sent events of jobs: one query looks after all the streams of this process. */
import type { Response } from 'express';
import type { Db } from '../db/client';
import { findJob, jobEventsAfter, revisionsOf } from '../db/jobs';
import { reservationsOf } from '../db/ledger';
import { formatCredits } from '../domain/credits';
import { isTerminal } from '../domain/job';
import { heldBy } from '../domain/reservation';

const LOOK_EVERY_MS = 300;
const KEEP_ALIVE_MS = 15_000;

interface Stream {
  readonly jobId: string;
  readonly response: Response;
  lastSeq: bigint;
  lastRevision: bigint;
  lastWrittenMs: number;
}

export interface JobEvents {
  /** Streams a job's events after a sequence number until the job ends or the listener goes away. */
  stream(jobId: string, afterSeq: bigint, response: Response): void;
}

export function createJobEvents(db: Db): JobEvents {
  const streams = new Set<Stream>();
  let isLooking = false;

  async function look(): Promise<void> {
    const jobIds = [...new Set([...streams].map(({ jobId }) => jobId))];
    const revisions = await revisionsOf(db, jobIds);
    for (const stream of [...streams]) {
      const revision = revisions.get(stream.jobId) ?? 0n;
      if (revision !== stream.lastRevision) await advance(stream, revision);
      else keepAlive(stream);
    }
  }

  async function advance(stream: Stream, revision: bigint): Promise<void> {
    const job = await findJob(db, stream.jobId);
    if (!job) return close(stream);
    for (const { seq, kind, message, data, at } of await jobEventsAfter(db, stream.jobId, stream.lastSeq)) {
      write(stream, `id: ${seq}\nevent: ${kind}\ndata: ${JSON.stringify({ kind, message, data, at })}\n\n`);
      stream.lastSeq = seq;
    }
    const [reservation] = await reservationsOf(db, [job.id]);
    const snapshot = {
      progress: formatCredits(BigInt(job.progress)),
      state: job.state,
      reason: job.reason,
      reserved: formatCredits(reservation ? heldBy(reservation) : 0n),
    };
    write(stream, `event: progress\ndata: ${JSON.stringify(snapshot)}\n\n`);
    stream.lastRevision = revision;
    if (!isTerminal(job.state)) return;
    write(stream, `event: end\ndata: ${JSON.stringify(snapshot)}\n\n`);
    close(stream);
  }

  function keepAlive(stream: Stream): void {
    if (Date.now() - stream.lastWrittenMs > KEEP_ALIVE_MS) write(stream, ': still here\n\n');
  }

  function write(stream: Stream, text: string): void {
    stream.response.write(text);
    stream.lastWrittenMs = Date.now();
  }

  function close(stream: Stream): void {
    streams.delete(stream);
    stream.response.end();
  }

  function schedule(): void {
    if (isLooking) return;
    isLooking = true;
    setTimeout(() => {
      // A database that is away shows as silence; the streams go on when it is back.
      void look()
        .catch(() => undefined)
        .finally(() => {
          isLooking = false;
          if (streams.size > 0) schedule();
        });
    }, LOOK_EVERY_MS);
  }

  return {
    stream(jobId, afterSeq, response) {
      response.status(200).set({
        'Content-Type': 'text/event-stream',
        'Cache-Control': 'no-store',
        'X-Accel-Buffering': 'no',
      });
      response.flushHeaders();
      const stream = { jobId, response, lastSeq: afterSeq, lastRevision: -1n, lastWrittenMs: Date.now() };
      streams.add(stream);
      response.on('close', () => streams.delete(stream));
      schedule();
    },
  };
}
