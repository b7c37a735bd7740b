/** Lots that were granted elsewhere before, and are brought in with their own times (R5). */
import { earlierOf, type Instant } from './instant';

/** R5: every allocation received before is a shared lot, whatever it was called. */
export const SHARED_BEFORE = '2013-12-13T00:00:00.000000Z' as Instant;

export interface ImportedTimes {
  /** When the customer received the allocation. */
  readonly receivedAt: Instant;
  readonly effectiveAt: Instant;
  readonly purchasedAt: Instant;
}

/** The times of an import of which only some are known: effective when received, purchased when effective or received. */
export function importedTimes(
  known: Pick<ImportedTimes, 'receivedAt'> & { [Name in 'effectiveAt' | 'purchasedAt']?: Instant | undefined },
): ImportedTimes {
  const { receivedAt, effectiveAt = receivedAt, purchasedAt = earlierOf(receivedAt, effectiveAt) } = known;
  return { receivedAt, effectiveAt, purchasedAt };
}

/**
 * What is wrong with the times of a lot that is imported at an instant, as a sentence that begins with the field; null when
 * nothing is. A lot is not effective before its purchase (R3), and what was received is no news from the future.
 */
export function objectionToImport(
  kind: 'individual' | 'shared',
  { receivedAt, effectiveAt, purchasedAt }: ImportedTimes,
  at: Instant,
): string | null {
  if (receivedAt > at) return `receivedAt: ${receivedAt} is in the future.`;
  if (purchasedAt > at) return `purchasedAt: ${purchasedAt} is in the future.`;
  if (kind === 'individual' && receivedAt < SHARED_BEFORE) {
    return `receivedAt: what was received before ${SHARED_BEFORE} is a shared lot, whatever it was called; import it into a contract.`;
  }
  if (effectiveAt < purchasedAt) {
    return `effectiveAt: a lot that was purchased at ${purchasedAt} cannot be effective from ${effectiveAt}.`;
  }
  return null;
}
