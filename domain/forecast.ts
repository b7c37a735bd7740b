/** What a running job will cost, from what it used so far, and whether its reservation carries that. */
import { type Credits, credits, MICRO, minCredits, ZERO } from './credits';
import type { ServiceRates } from './rateCard';
import { rateUsage } from './rating';
import { type Dimensions, quantity, type Usage } from './usage';

export interface RunningCost {
  /** The charge if the job stopped now. */
  readonly metered: Credits;
  /** The charge of the whole job if it goes on as it went. */
  readonly forecast: Credits;
}

/** Parts of a whole job's work that are done, in millionths; an engine's fraction is only this exact. */
export function progressOf(fraction: number): bigint {
  return BigInt(Math.round(Math.min(1, Math.max(0, fraction)) * 1_000_000));
}

/**
 * Rates the usage so far and scales it to the whole job. Before any progress is known the forecast is the metered cost.
 */
export function runningCost(job: {
  rates: ServiceRates;
  dimensions: Dimensions;
  usage: readonly Usage[];
  progress: bigint;
}): RunningCost {
  const { rates, dimensions, usage, progress } = job;
  const metered = rateUsage(rates, dimensions, usage).total;
  if (progress <= 0n) return { metered, forecast: metered };
  const whole = usage.map(({ meter, quantity: used }) => ({ meter, quantity: quantity((used * MICRO) / progress) }));
  return { metered, forecast: rateUsage(rates, dimensions, whole).total };
}

/** Whether the metered cost has passed 80 % of what is reserved and the forecast needs more. */
export function wantsTopUp({ metered, forecast }: RunningCost, reserved: Credits): boolean {
  return metered * 5n > reserved * 4n && forecast > reserved;
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
