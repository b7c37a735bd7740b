/**
 * What can be bought. A service is one folder: what it accepts, what an input file will use, what its engine's
 * counters mean on the meters of the rate card, and what a person gets.
 */
import type { z } from 'zod';
import type { Dimensions, Estimate, Usage } from '../domain/usage';

/** A stored input, readable as a local file. */
export interface InputFile {
  readonly path: string;
  readonly size: number;
}

/** A meter of a service. `rated` meters decide the charge; the others are evidence. */
export interface Meter {
  readonly name: string;
  readonly unit: string;
  readonly title: string;
  readonly rated: boolean;
}

/** Cumulative work counters of an engine, whole numbers that never fall during an attempt. */
export type Counters = Readonly<Record<string, number>>;

/** A program that runs jobs and speaks the protocol of `engines/README.md`. */
export interface Engine {
  /** A folder of `engines/`, unless `main` says where it is. */
  readonly name: string;
  /** The absolute path of the main file of an engine that is not ours. */
  readonly main?: string;
  /** Commands of installed programs that it drives, which run in a sandbox; none when the engine is all there is. */
  readonly programs?: readonly string[];
  /** What the attempt after a lost one does: all of it again, or goes on from what the lost one left in its folder. */
  readonly onLostAttempt: 'restart' | 'resume';
}

/**
 * One service. `Parameters` are what the submitter chooses; `Facts` are what {@link Service.inspect} read in the
 * input file (plain JSON, kept with the quote).
 */
export interface Service<Parameters = unknown, Facts = unknown> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Strict: unknown fields are refused. Each field has a `.describe()` and a default where one is sensible. */
  readonly parameters: z.ZodType<Parameters>;
  readonly accepts: readonly { readonly extension: string; readonly mediaType: string; readonly title: string }[];
  readonly inputBytesMax: number;
  readonly meters: readonly Meter[];
  /** The engines that can run its jobs, best first; none for what a workflow keeps, such as a session. */
  readonly engines: readonly Engine[];
  /**
   * Reads what the estimate needs out of an input file, never trusting it: bounded memory and time, no other file
   * opened.
   *
   * @throws InputError with a sentence for the submitter when the file cannot be run.
   */
  inspect(input: InputFile): Promise<Facts>;
  /**
   * Which of the engines can run this input, best first; all of them without it. The first one that a compute worker
   * offers runs the job. Pure.
   */
  enginesFor?(facts: Facts, parameters: Parameters): readonly string[];
  /**
   * How many runs the job is made of, such as the points of a design of experiments; one without it. Each run is an
   * attempt of its own and finds the number of its run, from 1, as `run` in its parameters. Pure.
   */
  runs?(facts: Facts, parameters: Parameters): number;
  /** What the job will use. Pure. @throws InputError when the parameters do not fit the file. */
  estimate(facts: Facts, parameters: Parameters): Estimate;
  /** What classifies the job for its rates. Pure, fixed by the quote. */
  dimensions(facts: Facts, parameters: Parameters): Dimensions;
  /** The engine's counters as usage on this service's meters. Pure. */
  usageOf(counters: Counters): Usage[];
}

/** Why an input file or its parameters cannot be run: the submitter's to mend, never retried. */
export class InputError extends Error {
  override readonly name = 'InputError';
  constructor(
    /** Stable code in snake_case, such as `input_not_gltf`. */
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
