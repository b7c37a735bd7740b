/** Demo people, a customer with two contracts, credits and the published rates. Seeding again changes nothing. */

import { sharedLifeIn } from '../domain/contract';
import { type Credits, parseCredits } from '../domain/credits';
import { addMilliseconds, addMonths, type Instant } from '../domain/instant';
import { publishAllocationRules } from './allocationRules';
import { type Db, firstRow, inTransaction, type Trx } from './client';
import { getContractState } from './contracts';
import type { Ledger } from './ledger';
import { grantLot } from './lots';
import { createApiKey, personOfKey, type Role } from './people';
import { publishPack } from './purchases';
import { publishRateCard } from './rateCards';
import { SEED_ALLOCATION_RULES } from './seedAllocationRules';
import { SEED_PACKS } from './seedPacks';
import { SEED_RATE_CARDS } from './seedRateCards';

/** Fixed ids, so that seeding twice meets what is there; written so that a person recognises them. */
const id = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`;

export const DEMO = {
  customer: id(1),
  contract: id(11),
  /** A contract with hardly any credits, to see a refusal. */
  smallContract: id(12),
  people: {
    submitter: { id: id(21), name: 'Sana Rahimi', email: 'sana@aurora.example', role: 'submitter' },
    contractAdmin: { id: id(22), name: 'Carl Admundsen', email: 'carl@aurora.example', role: 'contract-admin' },
    operator: { id: id(23), name: 'Olga Perez', email: 'olga@provider.example', role: 'operator' },
    finance: { id: id(24), name: 'Femi Adeyemi', email: 'femi@provider.example', role: 'finance' },
    financeApprover: { id: id(25), name: 'Aiko Tanaka', email: 'aiko@provider.example', role: 'finance-approver' },
    provider: { id: id(26), name: 'Pavel Novak', email: 'pavel@provider.example', role: 'provider' },
    compute: { id: id(27), name: 'Aurora cluster', email: 'cluster@aurora.example', role: 'compute' },
  },
} as const;

/** A demo person with an API key that works. */
export interface DemoKey {
  readonly name: string;
  readonly role: Role;
  readonly key: string;
}

/**
 * Seeds the database.
 *
 * @param known keys made by an earlier seeding; those that still work are kept.
 */
export async function seed(
  ledger: Ledger,
  known: Readonly<Record<string, DemoKey>>,
  at: Instant,
): Promise<Record<string, DemoKey>> {
  const { db } = ledger;
  await inTransaction(db, async (trx) => {
    for (const card of SEED_RATE_CARDS) await publishRateCard(trx, card, 'seed');
    for (const rules of SEED_ALLOCATION_RULES) await publishAllocationRules(trx, rules, 'seed');
    for (const pack of SEED_PACKS) await publishPack(trx, pack);
    await seedPeople(trx, at);
  });
  await seedLots(ledger, at);
  return seedKeys(db, known, at);
}

async function seedPeople(trx: Trx, at: Instant): Promise<void> {
  const { submitter, contractAdmin } = DEMO.people;
  await trx.raw('insert into customers (id, name) values (?, ?) on conflict do nothing', [
    DEMO.customer,
    'Aurora Engineering',
  ]);
  for (const person of Object.values(DEMO.people)) {
    const ofCustomer = ['submitter', 'contract-admin', 'compute'].includes(person.role);
    await trx.raw('insert into users (id, customer_id, name, email) values (?, ?, ?, ?) on conflict do nothing', [
      person.id,
      ofCustomer ? DEMO.customer : null,
      person.name,
      person.email,
    ]);
  }
  const startsAt = addMilliseconds(at, -30 * 86_400_000);
  for (const [contractId, name] of [
    [DEMO.contract, 'Aurora main contract'],
    [DEMO.smallContract, 'Aurora pilot contract'],
  ]) {
    await trx.raw(
      `insert into contracts (id, customer_id, name, starts_at, ends_at, time_zone)
       values (?, ?, ?, ?, ?, 'Europe/Berlin')
       on conflict do nothing`,
      [contractId, DEMO.customer, name, startsAt, addMonths(startsAt, 36, 'Europe/Berlin')] as never,
    );
    for (const { id: userId, role } of [submitter, contractAdmin]) {
      await trx.raw(
        `insert into contract_users (contract_id, user_id, role, authorised_at)
         select ?, ?, ?, ?
         where not exists (select 1 from contract_users where contract_id = ? and user_id = ?)`,
        [contractId, userId, role, startsAt, contractId, userId] as never,
      );
    }
  }
}

async function seedLots(ledger: Ledger, at: Instant): Promise<void> {
  await seedLot(ledger, id(31), { individual: DEMO.people.submitter.id, amount: parseCredits('10') }, at);
  for (const [lotId, contractId, amount] of [
    [id(32), DEMO.contract, '500'],
    [id(33), DEMO.smallContract, '2'],
  ] as const) {
    await seedLot(ledger, lotId, { contract: contractId, amount: parseCredits(amount) }, at);
  }
}

type SeedLot = { readonly amount: Credits } & ({ readonly individual: string } | { readonly contract: string });

async function seedLot(ledger: Ledger, lotId: string, lot: SeedLot, at: Instant): Promise<void> {
  if (await firstRow(ledger.db, 'select 1 from lots where id = ?', [lotId])) return;
  const by = { actor: 'seed', reason: 'credits to try the product with', at };
  const common = { id: lotId, amount: lot.amount, effectiveAt: at, advance: false };
  if ('individual' in lot) {
    const individual = {
      kind: 'individual',
      source: 'allocation',
      expiresAt: null,
      graceUntil: null,
      purchasedAt: null,
    } as const;
    await grantLot(ledger, { lot: { ...common, ...individual, poolId: lot.individual, reference: null }, ...by });
    return;
  }
  const contract = await getContractState(ledger.db, lot.contract);
  const { expiresAt, graceUntil } = sharedLifeIn(contract, { effectiveAt: at, purchasedAt: at });
  const life = { purchasedAt: at, expiresAt, graceUntil };
  const shared = { kind: 'shared', source: 'purchase', ...life, reference: 'ORDER-1' } as const;
  await grantLot(ledger, { lot: { ...common, ...shared, poolId: lot.contract }, ...by });
}

async function seedKeys(
  db: Db,
  known: Readonly<Record<string, DemoKey>>,
  at: Instant,
): Promise<Record<string, DemoKey>> {
  const keys: Record<string, DemoKey> = {};
  for (const [who, person] of Object.entries(DEMO.people)) {
    const kept = known[who];
    const works = kept !== undefined && (await personOfKey(db, kept.key, at))?.userId === person.id;
    const key = works ? kept.key : await createApiKey(db, { userId: person.id, label: 'demo', roles: [person.role] });
    keys[who] = { name: person.name, role: person.role, key };
  }
  return keys;
}
