/**
 * Runs on somebody else's compute. The runner puts a run up and watches what its claimer reports over REST; whatever the
 * claimer is, it is believed only while it holds the token of the attempt and is heard of.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Counters } from '../services/service';
import type { ResultFile, Run, RunEnd, RunEndKind, Runner, RunSnapshot, RunSpec } from './runner';

interface RunKey {
  readonly jobId: string;
  readonly attempt: number;
}

/** What is known of a run that was put up. */
export interface ExternalLook extends RunKey {
  /** Null while nobody claimed it. */
  readonly claimedAt: string | null;
  readonly agent: string | null;
  readonly isSuspended: boolean;
  readonly fraction: number;
  readonly counters: Counters;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
  /** Changes whenever the claimer is heard of. */
  readonly heardAt: string | null;
  readonly endKind: 'completed' | 'stopped' | 'input-failed' | 'engine-failed' | null;
  readonly message: string | null;
  readonly log: string;
  readonly statistics: Counters | null;
  readonly results: readonly { readonly name: string; readonly digest: string; readonly mediaType: string }[];
}

/** Where runs are put up and reports arrive. A call waits until it can be answered; one that rejects is a bug. */
export interface ExternalBoard {
  offer(
    run: RunKey & { engine: string; parameters: unknown; timeLimitMs: number; memoryBytesMax: number },
  ): Promise<void>;
  /** What is known of runs, or `undefined` when it cannot be told now. */
  look(runs: readonly RunKey[]): Promise<readonly ExternalLook[] | undefined>;
  wish(run: RunKey, wants: 'run' | 'suspend' | 'stop'): Promise<void>;
  /** From here on nothing that is reported of the run counts. */
  close(run: RunKey): Promise<void>;
  /** A local file with a stored result. */
  pathOf(digest: string): Promise<string>;
}

export interface ExternalRunnerOptions {
  readonly board: ExternalBoard;
  /** A claimer that is not heard of for so long is lost. */
  readonly lostAfterMs?: number;
  readonly lookEveryMs?: number;
}

/** The runner for somebody else's compute. */
export function createExternalRunner({
  board,
  lostAfterMs = 60_000,
  lookEveryMs = 500,
}: ExternalRunnerOptions): Runner {
  const runs = new Map<string, ExternalRun>();
  let looking = false;

  /** One look for all runs, for as long as there are any. */
  async function keepLooking(): Promise<void> {
    if (looking) return;
    looking = true;
    while (runs.size > 0) {
      // A board that cannot be reached is asked again: only its claimer's silence ends a run.
      const looks = await board.look([...runs.values()].map(({ key }) => key));
      for (const look of looks ?? []) runs.get(nameOf(look))?.see(look);
      if (looks === undefined) for (const run of runs.values()) run.hearNothing();
      await delay(lookEveryMs);
    }
    looking = false;
  }

  return {
    name: 'external',
    async start(spec) {
      const { jobId, attempt, engine, parameters, timeLimitMs, memoryBytesMax } = spec;
      await board.offer({ jobId, attempt, engine: engine.name, parameters, timeLimitMs, memoryBytesMax });
      const run = new ExternalRun(spec, board, lostAfterMs);
      runs.set(nameOf(spec), run);
      void run.end.finally(() => runs.delete(nameOf(spec)));
      void keepLooking();
      return run;
    },
    // A run whose worker died belongs to an attempt that is lost: its claimer is refused from then on.
    async sweep() {},
  };
}

function nameOf({ jobId, attempt }: RunKey): string {
  return `${jobId}/${attempt}`;
}

/** Why we are ending a run; the first reason stands. */
interface EndReason {
  readonly kind: Exclude<RunEndKind, 'completed' | 'input-failed'>;
  readonly message: string;
}

const NOTHING: RunSnapshot = { fraction: 0, counters: {}, cpuSeconds: 0, peakMemoryBytes: 0 };
const TIME_UP_GRACE_MS = 5_000;

class ExternalRun implements Run {
  readonly key: RunKey;
  readonly end: Promise<RunEnd>;
  #look: ExternalLook | undefined;
  #resolve: (end: RunEnd) => void = () => {};
  #ending = false;
  #reason: EndReason | undefined;
  #heardAt: string | null = null;
  #silentSince = performance.now();
  #ranMs = 0;
  #seenMs = performance.now();
  #wants: 'run' | 'suspend' | 'stop' = 'run';
  readonly #listeners: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(
    private readonly spec: RunSpec,
    private readonly board: ExternalBoard,
    private readonly lostAfterMs: number,
  ) {
    this.key = { jobId: spec.jobId, attempt: spec.attempt };
    this.end = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  snapshot(): RunSnapshot {
    if (!this.#look) return NOTHING;
    const { fraction, counters, cpuSeconds, peakMemoryBytes } = this.#look;
    return { fraction, counters, cpuSeconds, peakMemoryBytes };
  }

  onProgress(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async suspend(): Promise<void> {
    await this.#wish('suspend');
    // A run that nobody claimed yet uses nothing.
    await this.#until(() => this.#ending || this.#look?.claimedAt == null || this.#look.isSuspended);
  }

  async resume(): Promise<void> {
    await this.#wish('run');
  }

  async stop(graceMs: number): Promise<void> {
    await this.#stop({ kind: 'stopped', message: 'It was stopped.' }, graceMs);
  }

  /** Takes what the board says of the run. */
  see(look: ExternalLook): void {
    if (this.#ending) return;
    const now = performance.now();
    const isRunning = this.#look?.claimedAt != null && !this.#look.isSuspended;
    if (isRunning) this.#ranMs += now - this.#seenMs;
    this.#seenMs = now;
    const isNews = look.heardAt !== this.#heardAt;
    if (isNews) {
      this.#heardAt = look.heardAt;
      this.#silentSince = now;
    }
    const before = this.snapshot();
    this.#look = look;
    if (hasProgressed(before, this.snapshot())) for (const listener of this.#listeners) listener();
    for (const check of [...this.#waiting]) check();
    if (look.endKind !== null) {
      void this.#finish(look);
    } else if (look.claimedAt !== null && now - this.#silentSince > this.lostAfterMs) {
      this.#reason ??= { kind: 'engine-failed', message: `The compute of ${look.agent} was not heard of any more.` };
      void this.#finish(look);
    } else if (this.#ranMs > this.spec.timeLimitMs && !this.#reason) {
      const seconds = this.spec.timeLimitMs / 1000;
      void this.#stop({ kind: 'time-limit', message: `Its time limit of ${seconds} s was up.` }, TIME_UP_GRACE_MS);
    }
  }

  /** The board could not be reached: the claimer's silence is ours. */
  hearNothing(): void {
    this.#silentSince = performance.now();
    this.#seenMs = performance.now();
  }

  async #stop(reason: EndReason, graceMs: number): Promise<void> {
    if (this.#ending) {
      await this.end;
      return;
    }
    this.#reason ??= reason;
    if (this.#look?.claimedAt != null && graceMs > 0) {
      await this.#wish('stop');
      const grace = new AbortController();
      await Promise.race([this.end, delay(graceMs, undefined, { signal: grace.signal }).catch(() => {})]);
      grace.abort();
    }
    await this.#finish(this.#look);
    await this.end;
  }

  async #wish(wants: 'run' | 'suspend' | 'stop'): Promise<void> {
    if (this.#ending || this.#wants === wants || this.#wants === 'stop') return;
    this.#wants = wants;
    await this.board.wish(this.key, wants);
  }

  #until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const check = () => {
        if (!holds()) return;
        this.#waiting.splice(this.#waiting.indexOf(check), 1);
        resolve();
      };
      this.#waiting.push(check);
      void this.end.then(check);
    });
  }

  /** Nothing counts any more; what was reported until then is what the run did. */
  async #finish(seen: ExternalLook | undefined): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    await this.board.close(this.key);
    const last = (await this.#lastLook()) ?? seen;
    this.#look = last;
    const results: ResultFile[] = [];
    for (const { name, digest, mediaType } of last?.results ?? []) {
      results.push({ name, mediaType, path: await this.board.pathOf(digest) });
    }
    this.#resolve({
      ...this.snapshot(),
      ...this.#judge(last),
      results,
      log: last?.log ?? '',
      ...(last?.statistics && { statistics: last.statistics }),
    });
  }

  async #lastLook(): Promise<ExternalLook | undefined> {
    for (;;) {
      const looks = await this.board.look([this.key]);
      if (looks) return looks[0];
      await delay(AGAIN_MS);
    }
  }

  #judge(look: ExternalLook | undefined): { kind: RunEndKind; message: string } {
    const said = look?.endKind ?? null;
    if (said === 'completed') return { kind: 'completed', message: 'It was completed.' };
    if (said === 'input-failed') return { kind: 'input-failed', message: look?.message ?? 'The input is at fault.' };
    if (this.#reason) return this.#reason;
    if (said === 'stopped') return { kind: 'engine-failed', message: 'The engine was stopped by somebody else.' };
    return { kind: 'engine-failed', message: look?.message ?? 'The engine failed.' };
  }
}

/** Whether there is more work to tell of; that the claimer is alive is no progress. */
function hasProgressed(before: RunSnapshot, now: RunSnapshot): boolean {
  if (now.fraction > before.fraction) return true;
  return Object.entries(now.counters).some(([name, value]) => value > (before.counters[name] ?? 0));
}

const AGAIN_MS = 500;
