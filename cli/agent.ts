/**
 * An agent: takes runs from an installation elsewhere and computes them with a runner of this machine. It needs the API's
 * address and a key with the role `compute`, and nothing else of the installation.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type * as schemas from '../api/schemas';
import type { Run, RunEnd, Runner } from '../runners/runner';
import type { Engine } from '../services/service';

type Claim = z.output<typeof schemas.externalClaim>;
type Wish = z.output<typeof schemas.externalWish>['wants'];

export interface AgentOptions {
  readonly url: string;
  readonly key: string;
  /** Names the agent to operators. */
  readonly name: string;
  readonly engines: readonly Engine[];
  readonly runner: Runner;
  /** A folder of this host for the agent's own files. */
  readonly workFolder: string;
  /** How many runs are computed at once. */
  readonly runsMax: number;
  readonly log: Logger;
  /** Aborted to end the agent; what it computes is stopped and given back. */
  readonly signal: AbortSignal;
  readonly heartbeatMs?: number;
  readonly claimEveryMs?: number;
}

const CLAIM_EVERY_MS = 1_000;
const HEARTBEAT_MS = 1_000;
const STOP_GRACE_MS = 5_000;
/** Whoever is not heard of for a minute is given up: asking longer would be in vain. */
const PATIENCE_MS = 90_000;

/** Claims and computes runs until the signal comes. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { engines, name, runsMax, signal, log, workFolder, claimEveryMs = CLAIM_EVERY_MS } = options;
  await mkdir(workFolder, { recursive: true });
  const running = new Set<Promise<unknown>>();
  while (!signal.aborted) {
    const claim =
      running.size < runsMax ? await claimRun(options, { agent: name, engines }).catch(survive(log)) : undefined;
    if (claim) {
      const one = new ClaimedRun(options, claim).toItsEnd().catch(survive(log));
      running.add(one);
      void one.then(() => running.delete(one));
      continue;
    }
    await delay(claimEveryMs, undefined, { signal }).catch(() => {});
  }
  await Promise.all(running);
}

async function claimRun(
  options: AgentOptions,
  { agent, engines }: { agent: string; engines: readonly Engine[] },
): Promise<Claim | null> {
  const body = { agent, engines: engines.map((engine) => engine.name) };
  const answer = await ask<{ claim: Claim | null }>(options, 'POST', '/v1/external/claims', { json: body });
  return answer.claim;
}

/** The attempt is not ours any more, and nothing that we say of it counts. */
class AttemptOver extends Error {}

class ClaimedRun {
  private seq = 0;

  constructor(
    private readonly options: AgentOptions,
    private readonly claim: Claim,
  ) {}

  async toItsEnd(): Promise<void> {
    const { options, claim } = this;
    const { workFolder, log } = options;
    const { jobId, attempt } = claim;
    const engine = options.engines.find(({ name }) => name === claim.engine);
    if (!engine) throw new Error(`${claim.engine} was claimed and never offered`);
    log.info({ jobId, attempt, engine: engine.name }, 'a run was claimed');
    const folder = await mkdtemp(join(workFolder, `${jobId}-${attempt}-${process.pid}-`));
    const inputPath = `${folder}.input`;
    try {
      await this.download(inputPath);
      const run = await options.runner.start({
        jobId,
        attempt,
        engine,
        folder,
        inputPath,
        parameters: claim.parameters,
        // The other side watches the time; ours is a net beneath it.
        timeLimitMs: claim.timeLimitSeconds * 1_000 + 2 * PATIENCE_MS,
        memoryBytesMax: claim.memoryBytesMax,
      });
      try {
        await this.report(await this.watch(run));
      } finally {
        await run.stop(0);
      }
    } catch (error) {
      if (!(error instanceof AttemptOver)) {
        await this.tellFailure();
        throw error;
      }
      log.info({ jobId, attempt }, 'the attempt was given up by the other side');
    } finally {
      await rm(folder, { recursive: true, force: true });
      await rm(inputPath, { force: true });
    }
  }

  private async download(path: string): Promise<void> {
    const response = await this.send('GET', '/v1/external/input');
    await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(path, { mode: 0o600 }));
  }

  /** Reports what the run does and does with it what is wanted, until it ends. */
  private async watch(run: Run): Promise<RunEnd> {
    const { signal, heartbeatMs = HEARTBEAT_MS } = this.options;
    let isSuspended = false;
    for (;;) {
      const end = await Promise.race([run.end, delay(heartbeatMs, undefined)]);
      if (end) return end;
      if (signal.aborted) await run.stop(STOP_GRACE_MS);
      const wants = await this.heartbeat(run, isSuspended);
      if (wants === 'stop') void run.stop(STOP_GRACE_MS);
      else if ((wants === 'suspend') !== isSuspended) {
        isSuspended = wants === 'suspend';
        await (isSuspended ? run.suspend() : run.resume());
        await this.heartbeat(run, isSuspended);
      }
    }
  }

  private async heartbeat(run: Run, isSuspended: boolean): Promise<Wish> {
    const { fraction, counters, cpuSeconds, peakMemoryBytes } = run.snapshot();
    const json = { seq: ++this.seq, fraction, counters, cpuSeconds, peakMemoryBytes, isSuspended };
    const response = await this.send('POST', '/v1/external/heartbeat', { json });
    return ((await response.json()) as { wants: Wish }).wants;
  }

  /** Sends the last figures, the results, and the end. */
  private async report(end: RunEnd): Promise<void> {
    const { fraction, counters, cpuSeconds, peakMemoryBytes, statistics = null } = end;
    await this.send('POST', '/v1/external/heartbeat', {
      json: { seq: ++this.seq, fraction, counters, cpuSeconds, peakMemoryBytes, isSuspended: false },
    });
    for (const { name, path, mediaType } of end.results) {
      const target = `/v1/external/results/${encodeURIComponent(name)}?mediaType=${encodeURIComponent(mediaType)}`;
      await this.send('PUT', target, { file: path });
    }
    const kind = end.kind === 'time-limit' ? 'stopped' : end.kind;
    const message = printable(end.message);
    const log = printable(end.log);
    await this.send('POST', '/v1/external/end', { json: { kind, message, log, counters, statistics } });
  }

  /** The other side learns at once that nobody computes the run; why is for those who look after this machine. */
  private async tellFailure(): Promise<void> {
    const json = { kind: 'engine-failed', message: 'The engine could not be run elsewhere.', counters: {} };
    // Whatever it answers, the first error is the one to tell.
    await this.send('POST', '/v1/external/end', { json }).catch(survive(this.options.log));
  }

  /** Asks until there is an answer, for as long as somebody would still listen. */
  private async send(method: string, path: string, body: Body = {}): Promise<Response> {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const response = await request(this.options, method, path, body, this.claim.token).catch((error: Error) => error);
      if (response instanceof Response) {
        if (response.ok) return response;
        if (response.status === 409 || response.status === 404) throw new AttemptOver();
        if (response.status < 500) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
      }
      if (performance.now() > giveUpAt) throw new AttemptOver();
      await delay(HEARTBEAT_MS);
    }
  }
}

/** What an engine says may be anything; the API takes no NUL and no half of a surrogate pair. */
function printable(text: string): string {
  return text.replaceAll('\0', '').replace(/\p{Surrogate}/gu, '');
}

interface Body {
  readonly json?: unknown;
  readonly file?: string;
}

async function ask<T>(options: AgentOptions, method: string, path: string, body: Body): Promise<T> {
  const response = await request(options, method, path, body);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

function request(
  { url, key }: AgentOptions,
  method: string,
  path: string,
  { json, file }: Body,
  token?: string,
): Promise<Response> {
  const type = json !== undefined ? 'application/json' : file !== undefined ? 'application/octet-stream' : undefined;
  return fetch(`${url}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${key}`,
      ...(token !== undefined && { 'Attempt-Token': token }),
      ...(type !== undefined && { 'Content-Type': type }),
    },
    ...(json !== undefined && { body: JSON.stringify(json) }),
    ...(file !== undefined && { body: Readable.toWeb(createReadStream(file)) as unknown, duplex: 'half' }),
  } as RequestInit);
}

function survive(log: Logger): (error: unknown) => undefined {
  return (error) => {
    log.warn({ err: error }, 'a run or a claim failed');
    return undefined;
  };
}
