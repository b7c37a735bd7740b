/** Ids and instants for tests: readable, deterministic, and in the order in which they are numbered. */
import { type Instant, instantOfMilliseconds } from '../../domain/instant';

const KINDS = ['customer', 'user', 'contract', 'lot', 'job', 'operation', 'quote', 'refund', 'budget'] as const;

/** The n-th id of a kind. Worlds keep tests that share a database apart. */
export function idOf(kind: (typeof KINDS)[number], n: number, world = 0): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  return `${hex(world, 8)}-000${KINDS.indexOf(kind) + 1}-7000-8000-${hex(n, 12)}`;
}

const START = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;

/** So many hours after 2026-01-01T00:00:00Z. */
export function atHour(hours: number): Instant {
  return instantOfMilliseconds(START + hours * HOUR);
}
