/** Closed-loop clients: each asks again as soon as it is answered. */
import { percentile } from '../figure';

export interface Load {
  readonly clients: number;
  readonly seconds: number;
}

export interface Driven {
  /** All that were answered, also before and after the time that counts. */
  readonly operations: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** Runs one operation and takes its time. */
export type Timed = <T>(operation: () => Promise<T>) => Promise<T>;

/** Before anything counts: connections are opened, statements are prepared. */
const WARM_UP_MS = 300;

/**
 * Runs clients side by side in this process until the time is over, and lets each finish what it is in.
 *
 * @param clientOf the work of a client, again and again; it passes each of its operations through `timed`.
 */
export async function drive(
  { clients, seconds }: Load,
  clientOf: (client: number) => (timed: Timed) => Promise<void>,
): Promise<Driven> {
  const took: number[] = [];
  let operations = 0;
  const began = performance.now() + WARM_UP_MS;
  const end = began + seconds * 1_000;
  const timed: Timed = async (operation) => {
    const asked = performance.now();
    const answer = await operation();
    const answered = performance.now();
    operations++;
    if (began <= answered && answered < end) took.push(answered - asked);
    return answer;
  };
  const client = async (work: (timed: Timed) => Promise<void>) => {
    while (performance.now() < end) await work(timed);
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(clientOf(index))));
  const sorted = Float64Array.from(took).sort();
  return {
    operations,
    perSecond: took.length / seconds,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
  };
}
