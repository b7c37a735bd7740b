/** Customers, users and contracts as rows; the database opens the pools of their lots. */

import type { Authorisation, ContractTerm } from '../../domain/batch';
import { idOf } from '../../test/builders/ids';
import type { Db, Trx } from '../client';

/** Makes the people and contracts of a test under one customer. Each user and each contract gets its pool. */
export async function insertPeople(
  db: Db | Trx,
  given: {
    readonly world?: number;
    readonly users: readonly string[];
    readonly contracts: readonly (Omit<ContractTerm, 'suspendedAt'> & { readonly timeZone?: string })[];
    readonly authorisations: readonly Authorisation[];
  },
): Promise<void> {
  const customerId = idOf('customer', 1, given.world);
  await db('customers').insert({ id: customerId, name: 'Customer' });
  await db('users').insert(
    given.users.map((id) => ({ id, customer_id: customerId, name: 'User', email: `${id}@example.org` })),
  );
  await db('contracts').insert(
    given.contracts.map(({ contractId, startsAt, endsAt, timeZone }) => ({
      id: contractId,
      customer_id: customerId,
      name: 'Contract',
      starts_at: startsAt,
      ends_at: endsAt,
      time_zone: timeZone ?? 'UTC',
    })),
  );
  if (given.authorisations.length === 0) return;
  await db('contract_users').insert(
    given.authorisations.map(({ contractId, userId, authorisedAt, removedAt }) => ({
      contract_id: contractId,
      user_id: userId,
      role: 'submitter',
      authorised_at: authorisedAt,
      removed_at: removedAt,
    })),
  );
}
