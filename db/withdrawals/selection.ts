/** Which lots a withdrawal concerns: individual ones that live and hold credits. */
import { type Credits, credits } from '../../domain/credits';
import type { Instant } from '../../domain/instant';
import { type Db, firstRow, rows } from '../client';

/** Whom or what a campaign is to concern. */
export type Selection =
  | { readonly userIds: readonly string[] }
  | { readonly lotIds: readonly string[] }
  | { readonly customerId: string }
  /** All that was granted before an instant, by when the grant is booked. */
  | { readonly grantedBefore: Instant };

/**
 * Lots that live at an instant and hold something available or reserved; binds {@link selectionBindings}. What is used up is
 * left out: there is nothing to withdraw, and nothing to tell.
 */
export const SELECTED = `select l.pool_id as user_id, l.id as lot_id, l.available, l.reserved
  from lots l
  where l.kind = 'individual' and l.available + l.reserved > 0 and l.ended_as is null
    and l.effective_at <= ? and (l.withdrawn_at is null or l.withdrawn_at > ?)
    and (?::uuid[] is null or l.pool_id = any(?::uuid[]))
    and (?::uuid[] is null or l.id = any(?::uuid[]))
    and (?::uuid is null or exists (select from users u where u.id = l.pool_id and u.customer_id = ?))
    and (?::timestamptz is null
      or exists (select from operations o where o.subject = l.id and o.act = 'grant' and o.booked_at < ?))`;

export function selectionBindings(selection: Selection, at: Instant): unknown[] {
  const userIds = 'userIds' in selection ? selection.userIds : null;
  const lotIds = 'lotIds' in selection ? selection.lotIds : null;
  const customerId = 'customerId' in selection ? selection.customerId : null;
  const before = 'grantedBefore' in selection ? selection.grantedBefore : null;
  return [at, at, userIds, userIds, lotIds, lotIds, customerId, customerId, before, before];
}

export interface SelectedUser {
  readonly userId: string;
  readonly name: string;
  readonly email: string;
  readonly lots: number;
  readonly available: Credits;
  readonly reserved: Credits;
}

export interface WithdrawalPreview {
  readonly users: number;
  readonly lots: number;
  readonly available: Credits;
  readonly reserved: Credits;
  /** A page of the users in the order of their ids. */
  readonly page: readonly SelectedUser[];
}

/** What a campaign would concern if it started at an instant. Nothing of it is kept. */
export async function previewWithdrawal(
  db: Db,
  selection: Selection,
  { at, after, limit }: { at: Instant; after: string | null; limit: number },
): Promise<WithdrawalPreview> {
  const bindings = selectionBindings(selection, at);
  const totals = await firstRow<{ users: bigint; lots: bigint; available: string; reserved: string }>(
    db,
    `select count(distinct user_id) as users, count(*) as lots, coalesce(sum(available), 0)::text as available,
       coalesce(sum(reserved), 0)::text as reserved
     from (${SELECTED}) chosen`,
    bindings,
  );
  if (!totals) throw new Error('a sum has no row');
  const page = await rows<SelectedUser>(
    db,
    `select u.id as "userId", u.name, u.email, count(*)::int as lots, sum(chosen.available)::bigint as available,
       sum(chosen.reserved)::bigint as reserved
     from (${SELECTED}) chosen
     join users u on u.id = chosen.user_id
     where ?::uuid is null or u.id > ?
     group by u.id
     order by u.id
     limit ?`,
    [...bindings, after, after, limit],
  );
  return {
    users: Number(totals.users),
    lots: Number(totals.lots),
    available: credits(BigInt(totals.available)),
    reserved: credits(BigInt(totals.reserved)),
    page,
  };
}
