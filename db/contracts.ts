/** Contracts as they are, and their changes: each one row of a history that can be asked (R3, R12). */
import { type ContractChange, type ContractState, planContractChange } from '../domain/contract';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Db, firstRow, inTransaction, type Trx } from './client';

const STATE = `select id as "contractId", customer_id as "customerId", name, time_zone as "timeZone", starts_at as "startsAt",
    ends_at as "endsAt", terms, products, renewal, renewal_months as "renewalMonths", grace_days as "graceDays",
    terminates_at as "terminatesAt", suspended_at as "suspendedAt", activated_at as "activatedAt", closed_at as "closedAt", version
  from contracts
  where id = ?`;

/** A contract as it is. */
export function findContractState(db: Db | Trx, id: string): Promise<ContractState | undefined> {
  return firstRow<ContractState>(db, STATE, [id]);
}

/** @throws Error when there is no such contract. */
export async function getContractState(db: Db | Trx, id: string): Promise<ContractState> {
  const found = await findContractState(db, id);
  if (!found) throw new Error(`there is no contract ${id}`);
  return found;
}

export interface AskedContractChange {
  readonly contractId: string;
  /** The change's idempotency key within the contract. */
  readonly requestId: string;
  readonly change: ContractChange;
  /** Business time. */
  readonly at: Instant;
  readonly actor: string;
  readonly reason: string;
}

/**
 * Changes a contract, once per request: a repeat answers with what the contract was after the change.
 *
 * @param alongside what is written with the change or not at all.
 * @throws BillingError `not_found`, `idempotency_key_reused`, and what {@link planContractChange} refuses.
 */
export function changeContract(
  db: Db,
  asked: AskedContractChange,
  alongside: (trx: Trx) => Promise<unknown> = async () => undefined,
): Promise<ContractState> {
  const { contractId, requestId, change, at } = asked;
  return inTransaction(db, async (trx) => {
    const state = await firstRow<ContractState>(trx, `${STATE} for no key update`, [contractId]);
    if (!state) throw new BillingError('not_found', `There is no contract ${contractId}.`);
    const before = await firstRow<{ state: ContractState; isSame: boolean }>(
      trx,
      `select state, request = ?::jsonb as "isSame" from contract_changes where contract_id = ? and request_id = ?`,
      [JSON.stringify(change), contractId, requestId],
    );
    if (before) {
      if (before.isSame) return before.state;
      throw new BillingError('idempotency_key_reused', `Request ${requestId} changed the contract in another way.`);
    }
    const planned = planContractChange(state, change, at);
    if ('code' in planned) throw new BillingError(planned.code, planned.message, planned.details);
    await recordContractChange(trx, { ...asked, kind: change.kind, request: change, state: planned });
    await alongside(trx);
    return planned;
  });
}

/** Writes a change down and makes it the present. */
export async function recordContractChange(
  trx: Trx,
  change: Pick<AskedContractChange, 'contractId' | 'requestId' | 'at' | 'actor' | 'reason'> & {
    readonly kind: string;
    readonly request: unknown;
    readonly state: ContractState;
  },
): Promise<void> {
  const { contractId, requestId, kind, at, actor, reason, request, state } = change;
  await trx.raw(
    `insert into contract_changes (contract_id, number, request_id, kind, at, actor, reason, request, state)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [contractId, state.version, requestId, kind, at, actor, reason, JSON.stringify(request), JSON.stringify(state)],
  );
  await trx.raw(
    `update contracts
     set ends_at = ?, terms = ?, products = ?, renewal = ?, renewal_months = ?, grace_days = ?, terminates_at = ?,
       suspended_at = ?, activated_at = ?, closed_at = ?, version = ?
     where id = ?`,
    [
      state.endsAt,
      JSON.stringify(state.terms),
      JSON.stringify(state.products),
      state.renewal,
      state.renewalMonths,
      state.graceDays,
      state.terminatesAt,
      state.suspendedAt,
      state.activatedAt,
      state.closedAt,
      state.version,
      contractId,
    ] as never,
  );
}
