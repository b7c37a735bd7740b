/** What a running job will cost, from what it used so far, and whether its reservation carries that. */
import { type Credits, credits, MICRO, maxCredits, minCredits, ZERO } from './credits';
import type { ServiceRates } from './rateCard';
import { rateUsage } from './rating';
import { type Dimensions, quantity, type Usage } from './usage';

export interface RunningCost {
  /** The charge if the job stopped now. */
  readonly metered: Credits;
  /** The charge of the whole job if it goes on as it went. */
  readonly forecast: Credits;
  /** What to have reserved so that, as far as can be told, nothing more has to be reserved later. */
  readonly needs: Credits;
}

/** The same job was measured to take up to 30 % more or less from one run to the next. */
const NOISE_PERCENT = 30n;

/** Parts of a whole job's work that are done, in millionths; an engine's fraction is only this exact. */
export function progressOf(fraction: number): bigint {
  return BigInt(Math.round(Math.min(1, Math.max(0, fraction)) * 1_000_000));
}

/**
 * Rates the usage so far and scales it to the whole job. What is still to come may cost more than what was, so the need is
 * the forecast and some of the rest; it shrinks to nothing towards the end. Before any progress is known the forecast is
 * the metered cost, and the need twice that: however long the job is, it asks a few times and not at every step.
 */
export function runningCost(job: {
  rates: ServiceRates;
  dimensions: Dimensions;
  usage: readonly Usage[];
  progress: bigint;
}): RunningCost {
  const { rates, dimensions, usage, progress } = job;
  const metered = rateUsage(rates, dimensions, usage).total;
  if (progress <= 0n) return { metered, forecast: metered, needs: credits(2n * metered) };
  const whole = usage.map(({ meter, quantity: used }) => ({ meter, quantity: quantity((used * MICRO) / progress) }));
  const forecast = rateUsage(rates, dimensions, whole).total;
  return { metered, forecast, needs: credits(forecast + ((forecast - metered) * NOISE_PERCENT) / 100n) };
}

/** What the other runs of a job did, for a run of it; see `OtherRuns`. */
export interface JobOfRuns {
  readonly expected: number;
  readonly completed: number;
  readonly completedUsage: readonly Usage[];
  readonly openUsage: readonly Usage[];
  readonly progress: bigint;
}

/**
 * The running cost of a job of several runs, of which one used so much. What runs cost is known from those that completed: the
 * open ones and those that have not begun are forecast at their mean, since what is charged by the run comes at its end and not
 * along its way. Before one has completed, all usage is scaled by all progress.
 */
export function runningCostOfRuns(
  job: { rates: ServiceRates; dimensions: Dimensions; usage: readonly Usage[]; progress: bigint },
  others: JobOfRuns,
): RunningCost {
  const { rates, dimensions } = job;
  const used = summed([...job.usage, ...others.openUsage, ...others.completedUsage]);
  if (others.completed === 0) {
    const progress = (job.progress + others.progress) / BigInt(Math.max(1, others.expected));
    return runningCost({ rates, dimensions, usage: used, progress });
  }
  const completed = new Map(summed(others.completedUsage).map(({ meter, quantity: amount }) => [meter, amount]));
  const [count, all] = [BigInt(others.completed), BigInt(Math.max(others.completed, others.expected))];
  const whole = used.map(({ meter, quantity: now }) => {
    const atMean = ((completed.get(meter) ?? 0n) * all) / count;
    return { meter, quantity: quantity(atMean > now ? atMean : now) };
  });
  const metered = rateUsage(rates, dimensions, used).total;
  const forecast = rateUsage(rates, dimensions, whole).total;
  return { metered, forecast, needs: forecast };
}

function summed(usage: readonly Usage[]): Usage[] {
  const sums = new Map<string, bigint>();
  for (const { meter, quantity: amount } of usage) sums.set(meter, (sums.get(meter) ?? 0n) + amount);
  return [...sums].map(([meter, sum]) => ({ meter, quantity: quantity(sum) }));
}

/** Whether the metered cost has passed 80 % of what is reserved, and the job is forecast to need more or cannot be forecast. */
export function wantsTopUp({ metered, forecast, needs }: RunningCost, reserved: Credits): boolean {
  const isUnknown = forecast === metered && needs > forecast;
  return metered * 5n > reserved * 4n && (forecast > reserved || isUnknown);
}

/**
 * What a reservation is brought to when it is topped up: what is needed, and a quarter more than before at least, so that a job
 * whose work grows ever dearer asks a few times too.
 */
export function topUpTarget({ needs }: RunningCost, reserved: Credits): Credits {
  return maxCredits(needs, credits((reserved * 5n) / 4n));
}

/** What to add so that the reservation holds the target, such as a forecast, but never past the not-to-exceed amount. */
export function topUpAmount(target: Credits, reserved: Credits, cap: Credits): Credits {
  const wanted = minCredits(target, cap);
  return wanted > reserved ? credits(wanted - reserved) : ZERO;
}

/** Whether the engine must stop using CPU until more is reserved. */
export function exceeds({ metered }: Pick<RunningCost, 'metered'>, reserved: Credits): boolean {
  return metered > reserved;
}
