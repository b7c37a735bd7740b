/** Granting a lot, and telling those whom it concerns. */
import { jobsParkedForCredits } from '../db/jobs';
import { type DescribedLot, findLot, grantLot, type NewLot } from '../db/lots';
import type { Instant } from '../domain/instant';
import type { ApiDependencies } from './app';

/** When a lot is granted, by whom and why; with when the customer received it, where it is imported. */
export interface Granting {
  readonly actor: string;
  readonly reason: string;
  readonly at: Instant;
  readonly receivedAt?: Instant;
}

type Telling = Pick<ApiDependencies, 'db' | 'ledger' | 'workflows' | 'log'>;

/** Grants a lot once, wakes the jobs that wait for it and tells its contract. @throws BillingError `lot_invalid`. */
export async function grantAndTell(telling: Telling, lot: NewLot, by: Granting): Promise<DescribedLot> {
  const { db, ledger, workflows, log } = telling;
  await grantLot(ledger, { lot, ...by });
  for (const { id } of await jobsParkedForCredits(db, lot.poolId)) {
    // A parked job also asks by itself from time to time, so a lost wake-up only costs time.
    await workflows
      .creditsArrived(id)
      .catch((error) => log.warn({ err: error, jobId: id }, 'a parked job was not woken'));
  }
  if (lot.kind !== 'individual') await tellContract(telling, lot.poolId);
  const granted = await findLot(db, lot.id);
  if (!granted) throw new Error(`lot ${lot.id} was granted and is not there`);
  return granted;
}

/** Tells a contract's workflow that its lots or users changed. One that is not told is found by the reconciler. */
export async function tellContract({ workflows, log }: Pick<Telling, 'workflows' | 'log'>, id: string): Promise<void> {
  await workflows
    .contractTouched(id)
    .catch((error) => log.warn({ err: error, contractId: id }, 'a contract was not told of a change'));
}
