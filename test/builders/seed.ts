/** Random tests that can be repeated: the seed is in the failure, and `HOLDFAST_SEED` is used when it is given. */
import { assert, type IAsyncProperty, type IProperty, type Parameters } from 'fast-check';

/** The seed of this run. */
export const SEED = readSeed(process.env.HOLDFAST_SEED);

function readSeed(given: string | undefined): number {
  if (given === undefined || given === '') return Math.floor(Math.random() * 0x7fff_ffff);
  if (!/^-?[0-9]{1,10}$/.test(given)) throw new Error(`HOLDFAST_SEED is a whole number, not "${given}"`);
  return Number(given);
}

/** Checks a property; a failure says how to repeat it. */
export function holds<T>(property: IProperty<T>, options: Parameters<T> = {}): void {
  try {
    void assert(property, { seed: SEED, ...options });
  } catch (error) {
    throw repeatable(error);
  }
}

/** Checks an asynchronous property; a failure says how to repeat it. */
export function holdsEventually<T>(property: IAsyncProperty<T>, options: Parameters<T> = {}): Promise<void> {
  return repeatably(async () => assert(property, { seed: SEED, ...options }));
}

/** Runs what draws its choices from {@link SEED}; a failure says how to repeat it. */
export async function repeatably<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw repeatable(error);
  }
}

function repeatable(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  return new Error(`repeat with HOLDFAST_SEED=${SEED}\n${message}`, { cause: error });
}
