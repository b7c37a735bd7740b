/** What clients of the ledger do all day: reserve for a job, top one job in ten up, settle. */
import { v7 as uuidv7 } from 'uuid';
import type { Ledger } from '../../../db/ledger';
import { credits, MICRO } from '../../../domain/credits';
import type { Instant } from '../../../domain/instant';
import type { Accepted, Operation, Spender } from '../../../domain/operations';
import { type Chance, chanceOf } from '../../chaos/chance';
import type { Timed } from './clients';
import { PROJECT } from './contracts';

/** Where a client's next job is charged. */
export type SpenderOf = (chance: Chance) => Spender;

/** An operation that was answered, for asking again. */
export interface Answered {
  readonly operation: Operation;
  readonly outcome: Accepted;
}

/** One operation in this many is kept for asking again. */
const KEPT_OF = 499;

/**
 * Clients with jobs on a ledger, for `drive`. Of ten jobs one is topped up; what a job costs is half to all of what it
 * reserved.
 *
 * @param answered is given a sample of what was answered.
 * @returns the work of the n-th client; equal seeds make equal choices.
 */
export function jobClients(
  ledger: Pick<Ledger, 'apply'>,
  seed: number,
  spenderOf: SpenderOf,
  answered: Answered[] = [],
) {
  let count = 0;
  const ask = async (timed: Timed, operation: Operation) => {
    const outcome = await timed(() => ledger.apply(operation));
    if (!outcome.accepted) throw new Error(`${operation.kind} was refused: ${outcome.message}`);
    if (count++ % KEPT_OF === 0) answered.push({ operation, outcome });
  };
  return (client: number) => {
    const chance = chanceOf(seed * 1_000 + client);
    return async (timed: Timed): Promise<void> => {
      const { userId, contractId } = spenderOf(chance);
      const jobId = uuidv7();
      const amount = credits(BigInt(chance.between(1, 9)) * MICRO);
      const isToppedUp = chance.next() < 0.1;
      const held = isToppedUp ? credits(amount * 2n) : amount;
      const actual = credits((held * BigInt(chance.between(50, 100))) / 100n);
      // Written out: what these objects cost is measured too.
      await ask(timed, {
        kind: 'reserve',
        act: 'reserve',
        at: now(),
        actor: 'job',
        reason: '',
        jobId,
        userId,
        contractId,
        amount,
        cap: credits(amount * 3n),
        project: PROJECT,
      });
      if (isToppedUp) {
        await ask(timed, {
          kind: 'topUp',
          act: 'topUp/1',
          at: now(),
          actor: 'job',
          reason: '',
          jobId,
          userId,
          contractId,
          target: held,
        });
      }
      await ask(timed, {
        kind: 'settle',
        act: 'close',
        at: now(),
        actor: 'job',
        reason: '',
        jobId,
        userId,
        contractId,
        actual,
      });
    };
  };
}

/** A clock that costs next to nothing: `instantOfMilliseconds` would be a tenth of what is measured. */
function now(): Instant {
  return `${new Date().toISOString().slice(0, -1)}000Z` as Instant;
}
