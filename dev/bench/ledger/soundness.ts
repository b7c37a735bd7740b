/** A figure counts only if the ledger is sound afterwards. */
import { isDeepStrictEqual } from 'node:util';
import type { Ledger } from '../../../db/ledger';
import { brokenInvariants } from '../../../db/testing/invariants';
import type { Answered } from './jobMix';
import { type BenchDatabase, say } from './server';

/**
 * Asks for a sample of what was answered again.
 *
 * @throws Error when an answer differs from the first, or is not known to be a repeat.
 */
export async function replay(ledger: Pick<Ledger, 'apply'>, answered: readonly Answered[]): Promise<void> {
  await Promise.all(
    answered.map(async ({ operation, outcome: { transfers, absorbed } }) => {
      const again = await ledger.apply(operation);
      if (
        !again.accepted ||
        !again.replayed ||
        !isDeepStrictEqual(again.transfers, transfers) ||
        again.absorbed !== absorbed
      )
        throw new Error(`${operation.kind} was answered differently when it was asked again`);
    }),
  );
}

/** @throws Error with the laws of the ledger that are broken. */
export async function checkSound(database: BenchDatabase): Promise<void> {
  const began = performance.now();
  // The laws join the whole journal: planned for an empty table, they would compare every row with every row.
  await database.owner.raw('analyze');
  const broken = await brokenInvariants(database.owner);
  if (broken.length > 0) throw new Error(`the ledger is not sound after the run:\n${broken.join('\n')}`);
  say(`the ledger is sound (checked in ${((performance.now() - began) / 1_000).toFixed(1)} s)`);
}
