/** Whose balances are watched, and what they were told last. */
import type { Credits } from '../domain/credits';
import type { Instant } from '../domain/instant';
import type { Lot } from '../domain/lots';
import { type Db, inTransaction, rows } from './client';
import { queueDigestEntry } from './digests';
import { LOT_COLUMNS } from './ledger';

/** A person's look at one balance. */
export interface BalanceWatch {
  readonly userId: string;
  /** The contract's, or the person's own. */
  readonly poolId: string;
  /** Null for the person's own credits. */
  readonly contractName: string | null;
  /** What the person chose; undefined where the default counts. */
  readonly threshold: Credits | undefined;
  readonly isLow: boolean;
  /** How often the person was told something of it. */
  readonly number: number;
}

/** A page of persons who watch balances, in the order of their ids, and what each of them watches at the instant. */
export async function balanceWatches(
  db: Db,
  page: { readonly after: string | null; readonly at: Instant; readonly limit: number },
): Promise<{ readonly userIds: readonly string[]; readonly watches: readonly BalanceWatch[] }> {
  const { at, limit } = page;
  const after = page.after ?? '00000000-0000-0000-0000-000000000000';
  const found = await rows<{ userId: string }>(
    db,
    `select user_id as "userId" from (
       (select distinct user_id from balance_thresholds where threshold is not null and user_id > ?
        order by user_id limit ?)
       union
       (select distinct user_id from contract_users where role = 'contract-admin' and user_id > ? order by user_id limit ?)
     ) both_kinds
     order by user_id
     limit ?`,
    [after, limit, after, limit, limit],
  );
  const userIds = found.map(({ userId }) => userId);
  const watches = await rows<Omit<BalanceWatch, 'threshold'> & { threshold: Credits | null; isChosen: boolean }>(
    db,
    `with pools_of as (
       select c.user_id, c.contract_id as pool_id, k.name as contract_name, bool_or(c.role = 'contract-admin') as administers
       from contract_users c
       join contracts k on k.id = c.contract_id and k.starts_at <= ? and ? < k.ends_at
       where c.user_id = any(?::uuid[]) and c.authorised_at <= ? and (c.removed_at is null or ? < c.removed_at)
       group by c.user_id, c.contract_id, k.name
       union all
       select id, id, null, false from users where id = any(?::uuid[])
     )
     select p.user_id as "userId", p.pool_id as "poolId", p.contract_name as "contractName", t.threshold,
       t.user_id is not null as "isChosen", coalesce(s.is_low, false) as "isLow", coalesce(s.number, 0) as number
     from pools_of p
     left join balance_thresholds t on t.user_id = p.user_id and t.pool_id = p.pool_id
     left join balance_states s on s.user_id = p.user_id and s.pool_id = p.pool_id
     where t.threshold is not null or (p.administers and t.user_id is null)
     order by p.user_id, p.pool_id`,
    [at, at, userIds, at, at, userIds],
  );
  return {
    userIds,
    watches: watches.map(({ threshold, isChosen, ...watch }) => ({
      ...watch,
      threshold: isChosen ? (threshold ?? undefined) : undefined,
    })),
  };
}

/** Lots whose end is not booked, by the pool they lie in. */
export async function lotsByPool(db: Db, poolIds: readonly string[]): Promise<ReadonlyMap<string, readonly Lot[]>> {
  const lots = await rows<Lot>(
    db,
    `select ${LOT_COLUMNS} from lots where ended_as is null and pool_id = any(?::uuid[]) order by id`,
    [poolIds],
  );
  const byPool = new Map<string, Lot[]>(poolIds.map((id) => [id, []]));
  for (const lot of lots) byPool.get(lot.poolId)?.push(lot);
  return byPool;
}

/** Has a person's next digest tell of a balance, and keeps that it does; once, however often it is asked. */
export async function tellOfBalance(
  db: Db,
  watch: BalanceWatch,
  news: {
    readonly kind: 'low-balance' | 'balance-recovered';
    readonly at: Instant;
    readonly spendable: string;
    readonly threshold: string;
  },
): Promise<void> {
  const { userId, poolId, contractName, number } = watch;
  const { kind, at, spendable, threshold } = news;
  await inTransaction(db, async (trx) => {
    const told = await rows(
      trx,
      `insert into balance_states (user_id, pool_id, is_low, number, changed_at)
       values (?, ?, ?, ?, ?)
       on conflict (user_id, pool_id) do update
       set is_low = excluded.is_low, number = excluded.number, changed_at = excluded.changed_at
       where balance_states.number < excluded.number
       returning number`,
      [userId, poolId, kind === 'low-balance', number + 1, at],
    );
    if (told.length === 0) return;
    const key = `balance/${poolId}/${number + 1}`;
    await queueDigestEntry(trx, { userId, key, kind, at, facts: { contractName, spendable, threshold } });
  });
}
