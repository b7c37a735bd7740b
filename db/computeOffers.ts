/** Which engines can run where: what compute workers say of themselves. */
import type { Instant } from '../domain/instant';
import type { Route } from '../domain/route';
import { type Db, rows } from './client';

/** Says, or says again, what a worker offers; what it no longer offers is gone at once. */
export async function offerEngines(
  db: Db,
  { worker, offers, at }: { worker: string; offers: readonly Route[]; at: Instant },
): Promise<void> {
  const runners = offers.map(({ runner }) => runner);
  const engines = offers.map(({ engine }) => engine);
  await db.raw(
    `with gone as (
       delete from compute_offers
       where worker = ? and (runner, engine) not in (select * from unnest(?::text[], ?::text[]))
     )
     insert into compute_offers (worker, runner, engine, offered_at)
     select ?, runner, engine, ? from unnest(?::text[], ?::text[]) as offered (runner, engine)
     on conflict (worker, runner, engine) do update set offered_at = excluded.offered_at`,
    [worker, runners, engines, worker, at, runners, engines] as never,
  );
}

/** Takes back all that a worker offers, for one that ends. */
export async function withdrawOffers(db: Db, worker: string): Promise<void> {
  await db.raw('delete from compute_offers where worker = ?', [worker]);
}

/** What was offered since an instant. */
export function offersSince(db: Db, since: Instant): Promise<Route[]> {
  return rows<Route>(
    db,
    'select distinct runner, engine from compute_offers where offered_at >= ? order by runner, engine',
    [since],
  );
}
