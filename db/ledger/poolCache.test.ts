import type { Lot } from '../../domain/lots';
import { atHour, idOf } from '../../test/builders/ids';
import { aLot, amount } from '../../test/builders/ledger';
import type { LockedPool } from './load';
import { PoolCache } from './poolCache';

const POOL = idOf('contract', 1);
const head = (n: number) => Buffer.alloc(32, n);
const locked = (n: number, id = POOL): LockedPool => ({
  id,
  owner: 'contract',
  seq: BigInt(n),
  head: head(n),
  bookedMax: null,
  recordedAt: null,
});
const lot = (n: number, given: Partial<Lot> = {}) => aLot({ id: idOf('lot', n), poolId: POOL, ...given });

function many(count: number, poolId: string): Lot[] {
  const one = lot(0, { poolId });
  return Array.from({ length: count }, (_, n) => ({ ...one, id: idOf('lot', n) }));
}

/** What a cache gives for a pool at a head; `loaded` is what the database gave because the cache did not know it. */
function lotsAt(cache: PoolCache, n: number, loaded: readonly Lot[] = []): readonly Lot[] {
  return cache.lotsOf([locked(n)], loaded, cache.known([POOL]));
}

test('a pool that is as it was known gives the same lots without loading them', () => {
  const cache = new PoolCache();
  expect(cache.known([POOL])).toEqual(new Map());
  expect(lotsAt(cache, 1, [lot(1)])).toEqual([lot(1)]);
  expect(cache.known([POOL]).get(POOL)?.head).toEqual(head(1));
  expect(lotsAt(cache, 1)).toEqual([lot(1)]);
});

test('a pool that somebody else changed gives what was loaded', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1)]);
  const spent = lot(1, { available: amount('4'), consumed: amount('6') });
  expect(lotsAt(cache, 2, [spent])).toEqual([spent]);
  expect(lotsAt(cache, 2)).toEqual([spent]);
});

test('a chain that is as long but tells of something else is not taken for the one that is known', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1)]);
  const other = { ...locked(1), head: head(9) };
  expect(cache.lotsOf([other], [lot(2)], cache.known([POOL]))).toEqual([lot(2)]);
});

test('a batch takes the pool along: its lots as it leaves them, without those that are used up', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1), lot(2)]);
  const used = lot(1, { available: amount('0'), consumed: amount('10') });
  const granted = lot(3, { expiresAt: atHour(10) });
  cache.advance([{ poolId: POOL, before: head(1), head: head(2) }], [used, granted]);
  // In the order in which they pay.
  expect(lotsAt(cache, 2)).toEqual([granted, lot(2)]);
});

test('a lot that is changed to another life is known with it', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1, { expiresAt: atHour(10) }), lot(2, { expiresAt: atHour(20) })]);
  const extended = lot(1, { expiresAt: atHour(30) });
  cache.advance([{ poolId: POOL, before: head(1), head: head(2) }], [extended]);
  expect(new Set(lotsAt(cache, 2))).toEqual(new Set([lot(2, { expiresAt: atHour(20) }), extended]));
});

test('an advance that is used up stays as long as it is owed', () => {
  const cache = new PoolCache();
  const advance = { kind: 'courtesy' as const, advance: true, available: amount('0') };
  lotsAt(cache, 1, [lot(1, { ...advance, consumed: amount('3') })]);
  const repaid = lot(1, { ...advance, withdrawn: amount('3') });
  const owed = lot(1, { ...advance, consumed: amount('1'), withdrawn: amount('2') });
  cache.advance([{ poolId: POOL, before: head(1), head: head(2) }], [owed]);
  expect(lotsAt(cache, 2)).toEqual([owed]);
  cache.advance([{ poolId: POOL, before: head(2), head: head(3) }], [repaid]);
  expect(lotsAt(cache, 3)).toEqual([]);
});

test('what a batch would have left is never used when it was not committed', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1)]);
  const reserved = lot(1, { available: amount('7'), reserved: amount('3') });
  cache.advance([{ poolId: POOL, before: head(1), head: head(2) }], [reserved]);
  // The pool is where it was, or where another batch brought it.
  expect(lotsAt(cache, 1, [lot(1)])).toEqual([lot(1)]);
  cache.advance([{ poolId: POOL, before: head(1), head: head(2) }], [reserved]);
  expect(lotsAt(cache, 3, [lot(1)])).toEqual([lot(1)]);
});

test('a batch that began at a head that is not known makes nothing known', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1)]);
  cache.advance([{ poolId: POOL, before: head(5), head: head(6) }], [lot(2)]);
  expect(cache.known([POOL])).toEqual(new Map());
  expect(lotsAt(cache, 6, [lot(1), lot(2)])).toEqual([lot(1), lot(2)]);
});

test('lots go to their own pools', () => {
  const cache = new PoolCache();
  const other = idOf('contract', 2);
  const theirs = lot(2, { poolId: other });
  const pools = [locked(1), locked(1, other)];
  expect(cache.lotsOf(pools, [theirs, lot(1)], new Map())).toEqual([lot(1), theirs]);
  cache.advance(
    pools.map(({ id }) => ({ poolId: id, before: head(1), head: head(2) })),
    [lot(3), lot(4, { poolId: other })],
  );
  expect(cache.lotsOf([locked(2, other)], [], cache.known([other]))).toEqual([theirs, lot(4, { poolId: other })]);
  expect(lotsAt(cache, 2)).toEqual([lot(1), lot(3)]);
});

test('it forgets the pools that rested longest rather than grow', () => {
  const cache = new PoolCache();
  const second = idOf('contract', 2);
  lotsAt(cache, 1, many(60_000, POOL));
  cache.lotsOf([locked(1, second)], many(60_000, second), new Map());
  expect([...cache.known([POOL, second]).keys()]).toEqual([second]);
});

test('what a batch is loading stays known to it although another batch pushes it out', () => {
  const cache = new PoolCache();
  lotsAt(cache, 1, [lot(1)]);
  const known = cache.known([POOL]);
  const second = idOf('contract', 2);
  cache.lotsOf([locked(1, second)], many(110_000, second), new Map());
  expect(cache.lotsOf([locked(1)], [], known)).toEqual([lot(1)]);
});
