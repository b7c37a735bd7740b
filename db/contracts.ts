/** Contracts as they are, and their changes: each one row of a history that can be asked (R3, R12). */
import {
  type ContractChange,
  type ContractState,
  type NewContract,
  newContractState,
  objectionToContract,
  planContractChange,
} from '../domain/contract';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import type { Viewer } from './people';

const COLUMNS = `c.id as "contractId", c.customer_id as "customerId", c.name, c.time_zone as "timeZone",
  c.starts_at as "startsAt", c.ends_at as "endsAt", c.terms, c.products, c.renewal, c.renewal_months as "renewalMonths",
  c.grace_days as "graceDays", c.terminates_at as "terminatesAt", c.suspended_at as "suspendedAt",
  c.activated_at as "activatedAt", c.closed_at as "closedAt", c.version`;
const STATE = `select ${COLUMNS} from contracts c where c.id = ?`;

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

/** A contract as it is, while nobody changes it until the transaction ends. */
export function findSteadyContract(trx: Trx, id: string): Promise<ContractState | undefined> {
  return firstRow<ContractState>(trx, `${STATE} for share`, [id]);
}

/**
 * A contract as it was at an instant: after its last change until then. Before its first change it is as that one left it; one that
 * was never changed is as it is. The instants in it say what came later.
 */
export async function getContractStateAt(db: Db | Trx, id: string, at: Instant): Promise<ContractState> {
  // A change can be booked late, with the instant for which it counts: instants decide before numbers.
  const found = await firstRow<{ state: ContractState }>(
    db,
    `(select state from contract_changes where contract_id = ? and at <= ? order by at desc, number desc limit 1)
     union all
     (select state from contract_changes where contract_id = ? order by at, number limit 1)
     limit 1`,
    [id, at, id],
  );
  return found?.state ?? getContractState(db, id);
}

/** A contract with the name of its customer. */
export interface NamedContract extends ContractState {
  readonly customer: string;
}

const NAMED = `select ${COLUMNS}, m.name as customer from contracts c join customers m on m.id = c.customer_id`;
const VISIBLE = '(? or c.id = any(?::uuid[]))';

/** Contracts that a viewer may see, in the order of their ids. */
export function listNamedContracts(
  db: Db,
  viewer: Viewer,
  page: { readonly customerId: string | null; readonly after: string | null; readonly limit: number },
): Promise<NamedContract[]> {
  const { customerId, after, limit } = page;
  return rows<NamedContract>(
    db,
    `${NAMED}
     where ${VISIBLE} and (?::uuid is null or c.customer_id = ?) and (?::uuid is null or c.id > ?)
     order by c.id
     limit ?`,
    [viewer.everything, viewer.contractIds, customerId, customerId, after, after, limit],
  );
}

export function findNamedContract(db: Db, viewer: Viewer, id: string): Promise<NamedContract | undefined> {
  return firstRow<NamedContract>(db, `${NAMED} where c.id = ? and ${VISIBLE}`, [
    id,
    viewer.everything,
    viewer.contractIds,
  ]);
}

export interface RecordedContractChange {
  readonly number: number;
  readonly kind: string;
  readonly at: Instant;
  readonly recordedAt: Instant;
  readonly actor: string;
  readonly reason: string;
  readonly request: Record<string, unknown>;
  readonly state: Record<string, unknown>;
}

/** The changes of a contract, the last first. @param before the number before which to go on. */
export function listContractChanges(
  db: Db,
  contractId: string,
  { before, limit }: { readonly before: number | null; readonly limit: number },
): Promise<RecordedContractChange[]> {
  return rows<RecordedContractChange>(
    db,
    `select number, kind, at, recorded_at as "recordedAt", actor, reason, request, state
     from contract_changes
     where contract_id = ? and (?::int is null or number < ?)
     order by number desc
     limit ?`,
    [contractId, before, before, limit],
  );
}

/** Whether a request has changed a contract. */
export async function isContractChangedBy(db: Db, contractId: string, requestId: string): Promise<boolean> {
  const found = await firstRow(db, 'select 1 from contract_changes where contract_id = ? and request_id = ?', [
    contractId,
    requestId,
  ]);
  return found !== undefined;
}

/**
 * Makes a contract with the first row of its history, once per id.
 *
 * @throws BillingError `change_invalid`; `not_found` when there is no such customer.
 */
export async function createContract(
  db: Db,
  contract: NewContract,
  { at, actor, reason }: { readonly at: Instant; readonly actor: string; readonly reason: string },
): Promise<void> {
  const { contractId, customerId, name, timeZone, startsAt, endsAt } = contract;
  await inTransaction(db, async (trx) => {
    if (await findContractState(trx, contractId)) return;
    const objection = objectionToContract(contract, at);
    if (objection) throw new BillingError(objection.code, objection.message, objection.details);
    if (!(await firstRow(trx, 'select 1 from customers where id = ?', [customerId]))) {
      throw new BillingError('not_found', `There is no customer ${customerId}.`);
    }
    const made = await rows(
      trx,
      `insert into contracts (id, customer_id, name, starts_at, ends_at, time_zone)
       values (?, ?, ?, ?, ?, ?)
       on conflict (id) do nothing
       returning id`,
      [contractId, customerId, name, startsAt, endsAt, timeZone],
    );
    if (made.length === 0) return;
    const { contractId: _, ...request } = contract;
    const change = { contractId, requestId: contractId, kind: 'create', at, actor, reason, request };
    await recordContractChange(trx, { ...change, state: newContractState(contract) });
  });
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
