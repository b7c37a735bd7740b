/** Meters that every service has beside its own. */
import type { Meter } from './service';

/** Evidence, never priced: the CPU time of an engine's process tree. */
export const CPU_METER = { name: 'cpu', unit: 's', title: 'CPU time', rated: false } as const satisfies Meter;

/** Evidence, never priced: the most memory that an engine's process tree held at once. */
export const MEMORY_METER = {
  name: 'memory',
  unit: 'MiB',
  title: 'Highest memory',
  rated: false,
} as const satisfies Meter;

/** The meters that every service has. */
export const COMMON_METERS: readonly Meter[] = [CPU_METER, MEMORY_METER];
