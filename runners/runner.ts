/** The port to every engine and scheduler: start, watch, suspend, resume, stop, and what was used per attempt. */
import type { Counters, Engine } from '../services/service';

/** One attempt to run. Everything the engine may see is in `folder`. */
export interface RunSpec {
  readonly jobId: string;
  /** Counts from 1 per job. */
  readonly attempt: number;
  readonly engine: Engine;
  /**
   * A private, existing folder for this attempt, empty but for `earlier/`: the folder of a lost attempt, to go on from. The
   * caller removes it after the run's end.
   */
  readonly folder: string;
  /** Where a sweep keeps the folder, should this worker die. Without it the folder is removed then. */
  readonly keptAs?: string;
  /** The input file; the runner makes it visible to the engine as `<folder>/input`. */
  readonly inputPath: string;
  /** Validated parameters; the runner writes them to `<folder>/parameters.json`. */
  readonly parameters: unknown;
  /** Running time, without suspended time, after which the run ends as `time-limit`. */
  readonly timeLimitMs: number;
  readonly memoryBytesMax: number;
}

/** What is known of a run at this moment. `cpuSeconds` and `peakMemoryBytes` cover the engine's process tree. */
export interface RunSnapshot {
  readonly fraction: number;
  readonly counters: Counters;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
}

export interface ResultFile {
  readonly name: string;
  readonly path: string;
  readonly mediaType: string;
}

/**
 * How a run ended. `completed`: the engine said so and its results exist. `stopped`: we asked. `input-failed`: the
 * engine found the input wrong. `engine-failed`: it crashed, was killed by somebody else, broke the protocol or used
 * too much memory. `time-limit`: its time was up.
 */
export type RunEndKind = 'completed' | 'stopped' | 'input-failed' | 'engine-failed' | 'time-limit';

export interface RunEnd extends RunSnapshot {
  readonly kind: RunEndKind;
  /** A sentence for the submitter. */
  readonly message: string;
  /** Whole files the engine declared, partial results of a stopped run included. */
  readonly results: readonly ResultFile[];
  /** The last lines of the engine's own log, bounded. */
  readonly log: string;
  /** Counters as the program itself states them, to hold against ours. */
  readonly statistics?: Counters;
}

export interface Run {
  snapshot(): RunSnapshot;
  /** Calls the listener after each progress report of the engine. */
  onProgress(listener: () => void): void;
  /** Stops the engine's use of CPU until {@link Run.resume}. Idempotent. */
  suspend(): Promise<void>;
  resume(): Promise<void>;
  /** Asks the engine to stop, keeps what it wrote, kills its whole process tree after the grace. Idempotent. */
  stop(graceMs: number): Promise<void>;
  /** Settles once, when no process of the run is left. Never rejects. */
  readonly end: Promise<RunEnd>;
}

export interface Runner {
  readonly name: string;
  /** Starts one attempt. Rejects only when the engine cannot be started at all. */
  start(spec: RunSpec): Promise<Run>;
  /** Kills what runs of dead workers on this host left behind; called when a worker starts. */
  sweep(): Promise<void>;
}
