/**
 * The open lots of pools as this process knows them, by the head of the pool's chain. Lots change with links alone, so under
 * the pool's lock an equal head means equal lots, and a user's thousand lots are not read again for every batch. Not by the
 * number of the link: after a commit whose answer was lost another process may have written the link that was noted here.
 */
import { compareForDrawdown } from '../../domain/drawdown';
import type { Lot } from '../../domain/lots';
import type { LockedPool } from './load';

/** About fifty megabytes. */
const LOTS_MAX = 100_000;

export interface KnownPool {
  readonly head: Buffer;
  readonly lots: readonly Lot[];
}

export class PoolCache {
  private readonly pools = new Map<string, KnownPool>();
  private lots = 0;

  /** What is known of pools. The caller keeps it: while it loads, another batch may push it out. */
  known(poolIds: readonly string[]): Map<string, KnownPool> {
    return new Map(
      poolIds.flatMap((id) => {
        const pool = this.pools.get(id);
        return pool ? [[id, pool]] : [];
      }),
    );
  }

  /** The open lots of locked pools: those that were loaded, and those of the pools that are as they were known. */
  lotsOf(pools: readonly LockedPool[], loaded: readonly Lot[], before: ReadonlyMap<string, KnownPool>): Lot[] {
    const byPool = new Map<string, Lot[]>();
    for (const lot of loaded) {
      const lots = byPool.get(lot.poolId);
      if (lots) lots.push(lot);
      else byPool.set(lot.poolId, [lot]);
    }
    return pools.flatMap(({ id, head }) => {
      const known = before.get(id);
      if (known?.head.equals(head)) {
        this.keep(id, known);
        return known.lots;
      }
      // In the order in which they pay, once: the planner then only sees that they are.
      const lots = (byPool.get(id) ?? []).sort(compareForDrawdown);
      this.keep(id, { head, lots });
      return lots;
    });
  }

  /** Notes what a batch leaves of the pools that it is linked to: their heads before and after it. */
  advance(links: readonly { poolId: string; before: Buffer; head: Buffer }[], changed: readonly Lot[]): void {
    const after = new Map(changed.map((lot) => [lot.id, lot]));
    for (const { poolId, before, head } of links) {
      const known = this.pools.get(poolId);
      if (!known?.head.equals(before)) {
        this.forget(poolId);
        continue;
      }
      const kept = known.lots.map((lot) => after.get(lot.id) ?? lot).filter(isOpen);
      const ids = new Set(known.lots.map((lot) => lot.id));
      const added = changed.filter((lot) => lot.poolId === poolId && !ids.has(lot.id) && isOpen(lot));
      this.keep(poolId, { head, lots: added.length > 0 ? [...kept, ...added].sort(compareForDrawdown) : kept });
    }
  }

  private keep(id: string, pool: KnownPool): void {
    this.forget(id);
    this.pools.set(id, pool);
    this.lots += pool.lots.length + 1;
    // The map keeps the order in which pools were last written: the first is the one that rested longest.
    for (const oldest of this.pools.keys()) {
      if (this.lots <= LOTS_MAX) break;
      this.forget(oldest);
    }
  }

  private forget(id: string): void {
    const known = this.pools.get(id);
    if (!known) return;
    this.pools.delete(id);
    this.lots -= known.lots.length + 1;
  }
}

function isOpen(lot: Lot): boolean {
  return lot.available > 0n || lot.reserved > 0n || (lot.advance && lot.consumed > 0n);
}
