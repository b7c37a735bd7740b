/** Published versions, such as of rates and of allocation rules: which one counts when (R10, R12, R13). */
import type { Instant } from './instant';

export interface Published {
  readonly version: number;
  readonly effectiveAt: Instant;
}

/** The version in force at an instant: the latest that is effective by then, of two the one published later. */
export function versionInForce<Version extends Published>(
  versions: readonly Version[],
  at: Instant,
): Version | undefined {
  return versions
    .filter(({ effectiveAt }) => effectiveAt <= at)
    .sort((a, b) =>
      a.effectiveAt < b.effectiveAt ? 1 : a.effectiveAt > b.effectiveAt ? -1 : b.version - a.version,
    )[0];
}
