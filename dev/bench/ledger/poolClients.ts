/** A process of clients with jobs on many contracts, each on a ledger of its own: told how long, says what it did. */
import { connect } from '../../../db/client';
import { openLedger } from '../../../db/ledger';
import type { Chance } from '../../chaos/chance';
import { answerParent } from './children';
import { type Driven, drive, type Load } from './clients';
import type { BenchContract } from './contracts';
import { type Answered, jobClients } from './jobMix';
import { replay } from './soundness';

export interface PoolLoad extends Load {
  readonly seed: number;
  /** The n-th contract is asked for in proportion to 1 / n^skew: 0 is uniform, 1 is Zipf's law. */
  readonly skew: number;
  readonly contracts: readonly BenchContract[];
}

const [url = ''] = process.argv.slice(2);
const ledger = openLedger(connect(url, { poolMax: 8 }));

answerParent(async ({ seed, skew, contracts, ...load }: PoolLoad): Promise<Driven> => {
  const pick = skewed(contracts, skew);
  const answered: Answered[] = [];
  const spenderOf = (chance: Chance) => {
    const { contractId, userIds } = pick(chance);
    return { contractId, userId: chance.pick(userIds) };
  };
  const driven = await drive(load, jobClients(ledger, seed, spenderOf, answered));
  await replay(ledger, answered);
  return driven;
});

function skewed<T>(choices: readonly T[], skew: number): (chance: Chance) => T {
  let sum = 0;
  const upTo = Float64Array.from(choices, (_, index) => {
    sum += 1 / (index + 1) ** skew;
    return sum;
  });
  return (chance) => {
    const point = chance.next() * sum;
    let [low, high] = [0, upTo.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((upTo[middle] ?? 0) > point) high = middle;
      else low = middle + 1;
    }
    return choices[low] as T;
  };
}
