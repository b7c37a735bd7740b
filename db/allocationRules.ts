/** Published allocation rules, and what was allocated by them: each allocation once (R12, R13). */
import { v7 as uuidv7 } from 'uuid';
import { type AllocationDue, allocationsDue, type ContractMoment, type Naming } from '../domain/allocation';
import { type AllocationRules, objectionToRules } from '../domain/allocationRules';
import { type ContractState, sharedLifeIn } from '../domain/contract';
import type { Credits } from '../domain/credits';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import type { Ledger } from './ledger';
import { grantLot } from './lots';

/** Publishes a version under its number once; publishing the same version again changes nothing. */
export async function publishAllocationRules(
  db: Db | Trx,
  rules: AllocationRules,
  publishedBy: string,
  requestId: string | null = null,
): Promise<void> {
  await db.raw(
    `insert into allocation_rules (version, effective_at, rules, request_id, published_by)
     values (?, ?, ?, ?, ?)
     on conflict do nothing`,
    [rules.version, rules.effectiveAt, JSON.stringify(rules), requestId, publishedBy] as never,
  );
}

/** Locks are taken in namespaces of their own; this one serialises who numbers the versions. */
const PUBLISHING = 0x616c6c6f;

/**
 * Publishes the next version, once per request, for the instant at which it is asked for or a later one (R12).
 *
 * @param asked `at` is the present, not when the request was first made: a repeat of one that was lost on the way must not
 *   change what was granted in between.
 * @throws BillingError `rules_invalid`.
 */
export async function publishNextAllocationRules(
  db: Db,
  asked: Omit<AllocationRules, 'version'> & {
    readonly requestId: string;
    readonly publishedBy: string;
    readonly at: Instant;
  },
): Promise<AllocationRules> {
  const { title, effectiveAt, rules, requestId, publishedBy, at } = asked;
  return inTransaction(db, async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?, 0)', [PUBLISHING]);
    const before = await firstRow<{ rules: AllocationRules }>(
      trx,
      'select rules from allocation_rules where request_id = ?',
      [requestId],
    );
    if (before) return before.rules;
    const objection =
      effectiveAt < at
        ? `effectiveAt: ${effectiveAt} is over; rules are published for now or the future.`
        : objectionToRules(rules);
    if (objection) throw new BillingError('rules_invalid', objection);
    const last = await firstRow<{ version: number | null }>(
      trx,
      'select max(version) as version from allocation_rules',
    );
    const next = { version: (last?.version ?? 0) + 1, title, effectiveAt, rules };
    await publishAllocationRules(trx, next, publishedBy, requestId);
    return next;
  });
}

/** All versions, oldest first. */
export async function listAllocationRules(db: Db | Trx): Promise<AllocationRules[]> {
  const found = await rows<{ rules: AllocationRules }>(db, 'select rules from allocation_rules order by version');
  return found.map(({ rules }) => rules);
}

export async function findAllocationRules(db: Db | Trx, version: number): Promise<AllocationRules | undefined> {
  const found = await firstRow<{ rules: AllocationRules }>(db, 'select rules from allocation_rules where version = ?', [
    version,
  ]);
  return found?.rules;
}

/** The keys of the allocations that exist for a contract, and for users on whatever contract. */
export async function allocatedKeys(
  db: Db | Trx,
  contractId: string,
  userIds: readonly string[],
): Promise<Set<string>> {
  const found = await rows<{ key: string }>(
    db,
    `select key from allocations where contract_id = ?
     union
     select key from allocations where user_id = any(?::uuid[])`,
    [contractId, userIds],
  );
  return new Set(found.map(({ key }) => key));
}

/** What is due by a contract's state, whatever state is asked about; what was claimed and not granted is due first of all. */
export async function allocationsOf(
  db: Db | Trx,
  contractId: string,
): Promise<(contract: ContractState) => readonly AllocationDue[]> {
  const history = await rows<ContractMoment>(
    db,
    `select at, state->'products' as products, state->>'suspendedAt' as "suspendedAt"
     from contract_changes
     where contract_id = ? and (kind in ('changeProducts', 'suspend', 'resume') or number = 1)
     order by number`,
    [contractId],
  );
  if (history.every(({ products }) => products.length === 0)) return () => [];
  const authorisations = await rows<Naming>(
    db,
    `select user_id as "userId", authorised_at as "authorisedAt", removed_at as "removedAt"
     from contract_users
     where contract_id = ?
     order by authorised_at, user_id`,
    [contractId],
  );
  const versions = await listAllocationRules(db);
  const userIds = [...new Set(authorisations.map(({ userId }) => userId))];
  const allocated = await allocatedKeys(db, contractId, userIds);
  const claimed = await rows<AllocationDue>(
    db,
    `select a.key, a.at, a.amount, a.because, a.pool_id as "poolId", a.kind, a.user_id as "userId",
       a.rule_key as "ruleKey", a.version, null as after
     from allocations a
     where a.contract_id = ? and not exists (select from lots l where l.id = a.lot_id)
     order by a.at, a.key`,
    [contractId],
  );
  return (contract) => [...claimed, ...allocationsDue({ versions, contract, history, authorisations, allocated })];
}

/** An allocation that was claimed: the lot that it is, whether or not it is granted yet. */
export interface Allocation {
  readonly key: string;
  readonly contractId: string;
  readonly userId: string | null;
  readonly poolId: string;
  readonly kind: 'shared' | 'individual';
  readonly ruleKey: string;
  readonly version: number;
  readonly lotId: string;
  readonly amount: Credits;
  readonly at: Instant;
  /** The life of the lot as it was claimed. */
  readonly expiresAt: Instant | null;
  readonly graceUntil: Instant | null;
  readonly because: string;
  readonly actor: string;
}

const ALLOCATIONS = `select key, contract_id as "contractId", user_id as "userId", pool_id as "poolId", kind, rule_key as "ruleKey",
    version, lot_id as "lotId", amount, at, expires_at as "expiresAt", grace_until as "graceUntil", because, actor
  from allocations`;

/**
 * Claims what is due: whoever is first names the lot and its life, everybody else finds that. Seats are claimed one after
 * the other: were later ones claimed first and the process killed, nobody would know that earlier ones are still to come.
 *
 * @returns the claim that stands; undefined when somebody counted the seats of the contract differently and was first, or when
 *   what has to come before is not claimed yet, so that what is due has to be listed anew.
 */
export async function claimAllocation(
  db: Db,
  due: AllocationDue,
  contract: ContractState,
  { actor }: { readonly actor: string },
): Promise<Allocation | undefined> {
  const { key, userId, poolId, kind, ruleKey, version, amount, at, because, after } = due;
  const isShared = kind === 'shared';
  const life = isShared ? sharedLifeIn(contract, { effectiveAt: at, purchasedAt: at }) : undefined;
  await db.raw(
    `insert into allocations (key, contract_id, user_id, pool_id, kind, rule_key, version, lot_id, amount, at, expires_at,
       grace_until, because, actor)
     select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
     where ?::text is null or exists (select from allocations where key = ?)
     on conflict do nothing`,
    [
      key,
      contract.contractId,
      userId,
      poolId,
      kind,
      ruleKey,
      version,
      uuidv7(),
      amount,
      at,
      life?.expiresAt ?? null,
      life?.graceUntil ?? null,
      because,
      actor,
      after,
      after,
    ] as never,
  );
  return firstRow<Allocation>(db, `${ALLOCATIONS} where key = ?`, [key]);
}

/**
 * Allocates what is due: claims it and grants its lot. Repeated, or run by many at once, it grants one lot; a claim whose
 * grant was lost is completed by the next call.
 *
 * @returns the lot's id; undefined when there is nothing to allocate under this key (see {@link claimAllocation}).
 * @throws BillingError what the ledger refuses.
 */
export async function allocate(
  ledger: Pick<Ledger, 'db' | 'apply'>,
  due: AllocationDue,
  contract: ContractState,
  by: { readonly actor: string },
): Promise<string | undefined> {
  const claim = await claimAllocation(ledger.db, due, contract, by);
  if (claim) await grantAllocation(ledger, claim);
  return claim?.lotId;
}

/** Grants the lot of a claim, once. @throws BillingError what the ledger refuses. */
export async function grantAllocation(ledger: Pick<Ledger, 'db' | 'apply'>, claim: Allocation): Promise<void> {
  const { lotId: id, poolId, kind, amount, at, expiresAt, graceUntil, because, actor } = claim;
  const life = { effectiveAt: at, expiresAt, graceUntil, purchasedAt: kind === 'shared' ? at : null };
  const lot = { id, poolId, kind, amount, ...life, source: 'allocation', reference: null, advance: false } as const;
  await grantLot(ledger, { lot, actor, reason: because, at });
}

/** What was allocated on a contract, to it and to its users, oldest first. */
export function allocationsOnContract(db: Db, contractId: string): Promise<Allocation[]> {
  return rows<Allocation>(db, `${ALLOCATIONS} where contract_id = ? order by at, key`, [contractId]);
}

/** What a user was allocated, on whatever contract. */
export function allocationsToUser(db: Db, userId: string): Promise<Allocation[]> {
  return rows<Allocation>(db, `${ALLOCATIONS} where user_id = ? order by at, key`, [userId]);
}
