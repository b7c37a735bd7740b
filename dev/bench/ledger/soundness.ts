/** A figure counts only if the ledger is sound afterwards. */
import { isDeepStrictEqual } from 'node:util';
import type { Ledger } from '../../../db/ledger';
import { verifyLedger } from '../../../db/verify/verifyLedger';
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

/** @throws Error with what the verifier finds wrong. */
export async function checkSound(database: BenchDatabase): Promise<void> {
  const began = performance.now();
  const { findings, counts } = await verifyLedger({ kind: 'database', db: database.db });
  if (findings.length > 0)
    throw new Error(`the ledger is not sound after the run: ${JSON.stringify(findings.slice(0, 5))}`);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  say(`the ledger of ${counts.operations} operations is sound (verified in ${seconds} s)`);
}
