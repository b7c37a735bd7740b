import type { Instant } from '../domain/instant';

/** The workflow's own time, which replays and fast-forwards with it. */
export function now(): Instant {
  return new Date().toISOString().replace('Z', '000Z') as Instant;
}
