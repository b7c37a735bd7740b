/** Who is authorised on a contract, and was: stretches of time that are never rewritten. */
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { askForLook } from './contractBooking';

export const CONTRACT_ROLES = ['submitter', 'contract-admin'] as const;
export type ContractRole = (typeof CONTRACT_ROLES)[number];

export interface Authorisation {
  readonly userId: string;
  readonly name: string;
  readonly email: string;
  readonly role: ContractRole;
  readonly authorisedAt: Instant;
  readonly removedAt: Instant | null;
}

const COLUMNS = `c.user_id as "userId", u.name, u.email, c.role, c.authorised_at as "authorisedAt",
  c.removed_at as "removedAt"`;
const FROM = 'from contract_users c join users u on u.id = c.user_id';

/** With the requests that made it what it is, whose repeats find it so. */
interface RequestedAuthorisation extends Authorisation {
  readonly requestId: string | null;
  readonly removalRequestId: string | null;
}

const IN_ORDER = 'order by c.authorised_at, c.user_id';

/** All authorisations that there ever were on a contract, oldest first. */
export function listAuthorisations(db: Db | Trx, contractId: string): Promise<Authorisation[]> {
  return rows<Authorisation>(db, `select ${COLUMNS} ${FROM} where c.contract_id = ? ${IN_ORDER}`, [contractId]);
}

interface OnContract {
  readonly contractId: string;
  readonly userId: string;
}

/**
 * A request and its present. The present decides, not what a lost attempt began with: meanwhile people spent, or were refused. What
 * an attempt has done whose answer was lost is found by the request's id.
 */
interface Asking {
  readonly requestId: string;
  readonly at: Instant;
}

/**
 * Authorises a user on a contract from an instant on. The same again changes nothing.
 *
 * @param authorising `authorisedAt` is null for the present: who was authorised before that is history.
 * @throws BillingError `authorisation_invalid`, `user_already_authorised`.
 */
export function authoriseUser(
  db: Db,
  authorising: OnContract & { readonly role: ContractRole; readonly authorisedAt: Instant | null },
  { requestId, at }: Asking,
): Promise<Authorisation> {
  const { contractId, userId, role } = authorising;
  const authorisedAt = authorising.authorisedAt ?? at;
  return inTransaction(db, async (trx) => {
    const before = await lockedAuthorisations(trx, contractId, userId);
    const done = before.find((one) => one.requestId === requestId);
    if (done) return authorisationOf(done);
    const found = before.find((one) => one.authorisedAt === authorisedAt);
    if (found?.role === role && !isTakenBack(found)) return authorisationOf(found);
    if (authorisedAt < at) {
      throw new BillingError('authorisation_invalid', `authorisedAt: ${authorisedAt} is over; it begins now or later.`);
    }
    const open = before.find((one) => !isTakenBack(one) && (one.removedAt === null || authorisedAt < one.removedAt));
    if (open) throw alreadyAuthorised(open);
    if (found) {
      const message = `authorisedAt: an authorisation from ${authorisedAt} on was taken back; take another instant.`;
      throw new BillingError('authorisation_invalid', message);
    }
    await trx.raw(
      'insert into contract_users (contract_id, user_id, role, authorised_at, request_id) values (?, ?, ?, ?, ?)',
      [contractId, userId, role, authorisedAt, requestId] as never,
    );
    await askForLook(trx, contractId, at);
    return only(await lockedAuthorisations(trx, contractId, userId), authorisedAt);
  });
}

/**
 * Ends what authorises a user on a contract from an instant on; what was to begin only then is taken back. The same again changes
 * nothing.
 *
 * @param removing `removedAt` is null for the present: who was authorised before that is history.
 * @returns the last of the user's authorisations that this ends.
 * @throws BillingError `authorisation_invalid`, `not_found` when the user is not authorised from then on anyway.
 */
export function removeUser(
  db: Db,
  removing: OnContract & { readonly removedAt: Instant | null },
  { requestId, at }: Asking,
): Promise<Authorisation> {
  const { contractId, userId } = removing;
  const removedAt = removing.removedAt ?? at;
  return inTransaction(db, async (trx) => {
    const before = await lockedAuthorisations(trx, contractId, userId);
    const done = before.findLast((one) => one.removalRequestId === requestId);
    if (done) return authorisationOf(done);
    if (removedAt < at) {
      const message = `removedAt: ${removedAt} is over; a removal takes effect now or later.`;
      throw new BillingError('authorisation_invalid', message);
    }
    // What ended by then stays as it is; an end that is still to come can become another.
    const changing = before.filter((one) => !isTakenBack(one) && (one.removedAt === null || at < one.removedAt));
    const last = changing.at(-1);
    if (!last) throw new BillingError('not_found', 'The user is not authorised on the contract.');
    for (const { authorisedAt, removedAt: ends } of changing) {
      // Only the last can end later than it would: the others are followed by the next.
      const limit = authorisedAt === last.authorisedAt ? null : ends;
      await trx.raw(
        `update contract_users
         set removed_at = greatest(authorised_at, least(?::timestamptz, ?::timestamptz)), removal_request_id = ?
         where contract_id = ? and user_id = ? and authorised_at = ?`,
        [removedAt, limit, requestId, contractId, userId, authorisedAt] as never,
      );
    }
    await askForLook(trx, contractId, at);
    return only(await lockedAuthorisations(trx, contractId, userId), last.authorisedAt);
  });
}

/** The authorisations of a user on a contract, oldest first, while nobody else changes those of the contract. */
async function lockedAuthorisations(trx: Trx, contractId: string, userId: string): Promise<RequestedAuthorisation[]> {
  await trx.raw('select from contracts where id = ? for no key update', [contractId]);
  return rows<RequestedAuthorisation>(
    trx,
    `select ${COLUMNS}, c.request_id as "requestId", c.removal_request_id as "removalRequestId"
     ${FROM}
     where c.contract_id = ? and c.user_id = ?
     ${IN_ORDER}`,
    [contractId, userId],
  );
}

function authorisationOf(requested: RequestedAuthorisation): Authorisation {
  const { userId, name, email, role, authorisedAt, removedAt } = requested;
  return { userId, name, email, role, authorisedAt, removedAt };
}

/** Whether an authorisation was removed before it began. */
function isTakenBack({ authorisedAt, removedAt }: Authorisation): boolean {
  return removedAt === authorisedAt;
}

function only(authorisations: readonly RequestedAuthorisation[], authorisedAt: Instant): Authorisation {
  const found = authorisations.find((one) => one.authorisedAt === authorisedAt);
  if (!found) throw new Error(`an authorisation from ${authorisedAt} on was written and is not there`);
  return authorisationOf(found);
}

function alreadyAuthorised({ name, role, authorisedAt, removedAt }: Authorisation): BillingError {
  const until = removedAt === null ? '' : ` until ${removedAt}`;
  return new BillingError(
    'user_already_authorised',
    `${name} is authorised as ${role} from ${authorisedAt} on${until}; remove the user first, or begin after that.`,
  );
}

/** Whether somebody is a user of the same customer as a contract is of. */
export async function isOfCustomer(db: Db, userId: string, customerId: string): Promise<boolean> {
  const found = await firstRow(db, 'select 1 from users where id = ? and customer_id = ?', [userId, customerId]);
  return found !== undefined;
}
