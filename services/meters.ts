/** Meters that every service has beside its own. */
import type { Meter } from './service';

/** Evidence, never priced: the CPU time of an engine's process tree. */
export const CPU_METER = { name: 'cpu', unit: 's', title: 'CPU time', rated: false } as const satisfies Meter;
