/** Who asks: API keys, their persons, and what these may see. */
import { createHash, randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { Language } from '../domain/notices';
import { type Db, firstRow, rows, SQLSTATE, sqlStateOf, type Trx } from './client';

export const ROLES = [
  'submitter',
  'contract-admin',
  'operator',
  'finance',
  'finance-approver',
  'provider',
  'compute',
] as const;
export type Role = (typeof ROLES)[number];

/** The provider's own people see every contract. */
const STAFF: readonly Role[] = ['operator', 'finance', 'finance-approver', 'provider'];

/** What a person may see: everything, or what is theirs and what belongs to the contracts they are authorised on. */
export interface Viewer {
  readonly userId: string;
  readonly everything: boolean;
  readonly contractIds: readonly string[];
}

export interface Person extends Viewer {
  readonly keyId: string;
  readonly name: string;
  readonly email: string;
  readonly roles: readonly Role[];
  /** The contracts on which the person is authorised as an administrator. */
  readonly administers: readonly string[];
}

interface PersonRow {
  readonly keyId: string;
  readonly userId: string;
  readonly name: string;
  readonly email: string;
  readonly roles: readonly Role[];
  readonly contractIds: readonly string[];
  readonly administers: readonly string[];
}

/** The person of an API key, unless the key is unknown, expired or revoked at the instant. */
export async function personOfKey(db: Db, key: string, at: Instant): Promise<Person | undefined> {
  const found = await firstRow<PersonRow>(
    db,
    `select k.id as "keyId", u.id as "userId", u.name, u.email, k.roles,
       coalesce(array_agg(c.contract_id::text) filter (where c.contract_id is not null), '{}') as "contractIds",
       coalesce(array_agg(c.contract_id::text) filter (where c.role = 'contract-admin'), '{}') as administers
     from api_keys k
     join users u on u.id = k.user_id
     left join contract_users c
       on c.user_id = u.id and c.authorised_at <= ? and (c.removed_at is null or ? < c.removed_at)
     where k.key_hash = ?
       and (k.expires_at is null or ? < k.expires_at)
       and (k.revoked_at is null or ? < k.revoked_at)
     group by k.id, u.id`,
    [at, at, hashOfKey(key), at, at],
  );
  if (!found) return undefined;
  return { ...found, everything: found.roles.some((role) => STAFF.includes(role)) };
}

/** Makes an API key for a user and stores its hash. @returns the key, which cannot be had again. */
export async function createApiKey(
  db: Db | Trx,
  { userId, label, roles }: { userId: string; label: string; roles: readonly Role[] },
): Promise<string> {
  const key = `hf_${randomBytes(24).toString('base64url')}`;
  await storeApiKey(db, { userId, label, roles, key });
  return key;
}

async function storeApiKey(
  db: Db | Trx,
  { userId, label, roles, key }: { userId: string; label: string; roles: readonly Role[]; key: string },
): Promise<void> {
  await db.raw('insert into api_keys (id, user_id, key_hash, label, roles) values (?, ?, ?, ?, ?)', [
    uuidv7(),
    userId,
    hashOfKey(key),
    label,
    roles,
  ] as never);
}

/** Keys are random and long, so a plain hash keeps them as safe as a slow one. */
function hashOfKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

export interface Contract {
  readonly id: string;
  readonly customerId: string;
  readonly customer: string;
  readonly name: string;
  readonly startsAt: Instant;
  readonly endsAt: Instant;
  readonly timeZone: string;
}

const CONTRACTS = `select c.id, c.customer_id as "customerId", m.name as customer, c.name, c.starts_at as "startsAt",
    c.ends_at as "endsAt", c.time_zone as "timeZone"
  from contracts c
  join customers m on m.id = c.customer_id`;

export function findVisibleContract(db: Db, viewer: Viewer, id: string): Promise<Contract | undefined> {
  return firstRow<Contract>(db, `${CONTRACTS} where c.id = ? and (? or c.id = any(?::uuid[]))`, [
    id,
    viewer.everything,
    viewer.contractIds,
  ]);
}

/** Whether a user is or was authorised on a contract. */
export async function isOnContract(db: Db, contractId: string, userId: string): Promise<boolean> {
  const found = await firstRow(db, 'select 1 from contract_users where contract_id = ? and user_id = ? limit 1', [
    contractId,
    userId,
  ]);
  return found !== undefined;
}

export interface User {
  readonly id: string;
  /** Null for the provider's own people. */
  readonly customerId: string | null;
  readonly name: string;
  readonly email: string;
  readonly language: Language;
  readonly timeZone: string;
}

const USERS = `select id, customer_id as "customerId", name, email, language, time_zone as "timeZone" from users`;

/** A user's own account is seen by the user and by the provider's people. */
export function findVisibleUser(db: Db, viewer: Viewer, id: string): Promise<User | undefined> {
  return firstRow<User>(db, `${USERS} where id = ? and (? or id = ?)`, [id, viewer.everything, viewer.userId]);
}

/**
 * Makes a user, once per id.
 *
 * @throws BillingError `email_taken`; `not_found` when there is no such customer.
 */
export async function createUser(db: Db, user: User): Promise<User> {
  const { id, customerId, name, email, language, timeZone } = user;
  if (customerId !== null && !(await findCustomer(db, customerId))) {
    throw new BillingError('not_found', `There is no customer ${customerId}.`);
  }
  await db.raw(
    `insert into users (id, customer_id, name, email, language, time_zone)
     values (?, ?, ?, ?, ?, ?)
     on conflict do nothing`,
    [id, customerId, name, email, language, timeZone] as never,
  );
  const made = await firstRow<User>(db, `${USERS} where id = ?`, [id]);
  if (!made) throw emailTaken(email);
  return made;
}

export type UserChange = Partial<Pick<User, 'name' | 'email' | 'language' | 'timeZone'>>;

/** Changes what is given of a user. @throws BillingError `email_taken`. */
export async function changeUser(db: Db, id: string, change: UserChange): Promise<User> {
  const { name = null, email = null, language = null, timeZone = null } = change;
  try {
    const changed = await firstRow<User>(
      db,
      `update users
       set name = coalesce(?, name), email = coalesce(?, email), language = coalesce(?, language),
         time_zone = coalesce(?, time_zone)
       where id = ?
       returning id, customer_id as "customerId", name, email, language, time_zone as "timeZone"`,
      [name, email, language, timeZone, id],
    );
    if (!changed) throw new Error(`there is no user ${id}`);
    return changed;
  } catch (error) {
    if (email !== null && sqlStateOf(error) === SQLSTATE.uniqueViolation) throw emailTaken(email, error);
    throw error;
  }
}

function emailTaken(email: string, cause?: unknown): BillingError {
  return new BillingError('email_taken', `Another user has the address ${email}.`, {}, { cause });
}

export interface Customer {
  readonly id: string;
  readonly name: string;
}

/** Customers in the order of their ids. @param after the id after which to go on. */
export function listCustomers(
  db: Db,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<Customer[]> {
  return rows<Customer>(db, 'select id, name from customers where (?::uuid is null or id > ?) order by id limit ?', [
    after,
    after,
    limit,
  ]);
}

export function findCustomer(db: Db, id: string): Promise<Customer | undefined> {
  return firstRow<Customer>(db, 'select id, name from customers where id = ?', [id]);
}

/** Makes a customer, once per id. */
export async function createCustomer(db: Db, { id, name }: Customer): Promise<void> {
  await db.raw('insert into customers (id, name) values (?, ?) on conflict do nothing', [id, name]);
}

/** @returns undefined when there is no such customer. */
export function renameCustomer(db: Db, { id, name }: Customer): Promise<Customer | undefined> {
  return firstRow<Customer>(db, 'update customers set name = ? where id = ? returning id, name', [name, id]);
}
