/** Who uses the ledger while it is broken: users on contracts that overlap, so that batches share some of their pools. */
import { join } from 'node:path';
import { connect } from '../../db/client';
import { migrate } from '../../db/migrate';
import { addMilliseconds, parseInstant } from '../../domain/instant';
import type { Spender } from '../../domain/operations';
import { packageRoot } from '../root';

export interface People {
  readonly contracts: readonly string[];
  readonly users: readonly string[];
  /** Whoever may spend: each user on two contracts, and on individual credits alone. */
  readonly spenders: readonly Spender[];
}

/** When the contracts begin; they run for ten years. */
export const BEGINNING = parseInstant('2026-01-01T00:00:00Z');
const TEN_YEARS_MS = 3_650 * 86_400_000;

export const TIME_ZONE = 'Europe/Berlin';

/** Makes the schema and the people in an empty database. */
export async function openPeople(url: string): Promise<People> {
  const contracts = [1, 2, 3].map((n) => idOf(2, n));
  const users = [1, 2, 3, 4, 5, 6].map((n) => idOf(1, n));
  const pairs = users.flatMap((userId, n) =>
    [n, n + 1].map((place) => ({ userId, contractId: contracts[place % contracts.length] as string })),
  );
  const owner = connect(url, { poolMax: 1, as: 'owner' });
  try {
    await migrate(owner, join(packageRoot(), 'db/migrations'));
    const customer = { id: idOf(0, 1), name: 'Customer' };
    const life = { starts_at: BEGINNING, ends_at: addMilliseconds(BEGINNING, TEN_YEARS_MS), time_zone: TIME_ZONE };
    await owner('customers').insert(customer);
    await owner('users').insert(
      users.map((id) => ({ id, customer_id: customer.id, name: 'User', email: `${id}@example.org` })),
    );
    await owner('contracts').insert(
      contracts.map((id) => ({ id, customer_id: customer.id, name: 'Contract', ...life })),
    );
    await owner('contract_users').insert(
      pairs.map(({ userId, contractId }) => ({
        user_id: userId,
        contract_id: contractId,
        role: 'submitter',
        authorised_at: BEGINNING,
      })),
    );
  } finally {
    await owner.destroy();
  }
  return { contracts, users, spenders: [...pairs, ...users.map((userId) => ({ userId, contractId: null }))] };
}

function idOf(kind: number, n: number): string {
  return `00000000-000${kind}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}
