import { atHour } from '../test/builders/ids';
import { aLot, amount } from '../test/builders/ledger';
import { parseInstant } from './instant';
import { bucketOfReturn, isAlive, isConserved, objectionToLife, sharedLotLife } from './lots';

const lot = aLot({ effectiveAt: atHour(10), expiresAt: atHour(20) });

test('a life is half-open: it begins with its first instant and is over at its last', () => {
  const justBefore = (hour: number) => parseInstant(atHour(hour - 1).replace('00:00.000000Z', '59:59.999999Z'));
  expect(isAlive(lot, justBefore(10))).toBe(false);
  expect(isAlive(lot, atHour(10))).toBe(true);
  expect(isAlive(lot, justBefore(20))).toBe(true);
  expect(isAlive(lot, atHour(20))).toBe(false);
});

test('what a living lot gets back is available, also before it is effective', () => {
  expect(bucketOfReturn(lot, atHour(15))).toBe('available');
  expect(bucketOfReturn(lot, atHour(5))).toBe('available');
});

test('what an expired or withdrawn lot gets back goes to its end', () => {
  expect(bucketOfReturn(lot, atHour(20))).toBe('expired');
  expect(bucketOfReturn(aLot({ kind: 'individual', withdrawnAt: atHour(5) }), atHour(5))).toBe('withdrawn');
});

test('once an end is booked everything given back goes there, whatever its own instant', () => {
  expect(bucketOfReturn({ ...lot, endedAs: 'expired' }, atHour(15))).toBe('expired');
  expect(isAlive({ ...lot, endedAs: 'expired' }, atHour(15))).toBe(false);
});

test.each([
  [
    'bought 2024-02-29, contract to 2026',
    '2024-02-29T00:00:00Z',
    '2026-01-01T00:00:00Z',
    '2025-02-28T00:00:00.000000Z',
  ],
  [
    'bought 2024-03-01, contract to 2024-12-31',
    '2024-03-01T00:00:00Z',
    '2024-12-31T00:00:00Z',
    '2024-12-31T00:00:00.000000Z',
  ],
  ['the same, renewed to 2025-12-31', '2024-03-01T00:00:00Z', '2025-12-31T00:00:00Z', '2025-03-01T00:00:00.000000Z'],
])('a shared lot expires after 12 months or with its contract: %s', (_, purchasedAt, contractEndsAt, expiresAt) => {
  const bought = parseInstant(purchasedAt);
  const life = { effectiveAt: bought, purchasedAt: bought, contractEndsAt: parseInstant(contractEndsAt) };
  expect(sharedLotLife({ ...life, graceUntil: null, timeZone: 'UTC' })).toEqual({
    effectiveAt: bought,
    expiresAt,
    withdrawnAt: null,
    graceUntil: null,
  });
});

const END = parseInstant('2026-06-01T00:00:00Z');
const GRACE_END = parseInstant('2026-07-01T00:00:00Z');

test.each([
  ['2025-12-01T00:00:00Z', 'that would live longer waits for the whole grace', GRACE_END],
  ['2025-06-15T00:00:00Z', 'whose twelve months end in the grace waits until then', '2026-06-15T00:00:00.000000Z'],
  ['2025-06-01T00:00:00Z', 'whose twelve months end with the contract waits for nothing', null],
  ['2025-05-01T00:00:00Z', 'whose twelve months ended before waits for nothing', null],
])('a lot of a contract with a grace, bought %s, %s (R3)', (purchasedAt, _, graceUntil) => {
  const bought = parseInstant(purchasedAt);
  const lot = { effectiveAt: bought, purchasedAt: bought, contractEndsAt: END, graceUntil: GRACE_END, timeZone: 'UTC' };
  expect(sharedLotLife(lot).graceUntil).toBe(graceUntil);
});

test('what comes back in a grace stays available, from its end on it expires, and once the end is booked at once (R3, R8)', () => {
  const lot = aLot({ expiresAt: END, graceUntil: GRACE_END });
  expect(isAlive(lot, END)).toBe(false);
  expect(bucketOfReturn(lot, END)).toBe('available');
  expect(bucketOfReturn(lot, parseInstant('2026-06-30T23:59:59.999999Z'))).toBe('available');
  expect(bucketOfReturn(lot, GRACE_END)).toBe('expired');
  expect(bucketOfReturn({ ...lot, endedAs: 'expired' }, END)).toBe('expired');
});

test('only a shared lot has a grace, and only after its expiry', () => {
  const life = { effectiveAt: parseInstant('2026-01-01T00:00:00Z'), withdrawnAt: null, graceUntil: GRACE_END };
  expect(objectionToLife('shared', { ...life, expiresAt: END })).toBeNull();
  expect(objectionToLife('shared', { ...life, expiresAt: GRACE_END })).toMatch(/after its expiry/);
  expect(objectionToLife('courtesy', { ...life, expiresAt: END })).toMatch(/Only a shared lot/);
  expect(objectionToLife('individual', { ...life, expiresAt: null })).toMatch(/Only a shared lot/);
});

test('conservation notices a credit too many, too few and below zero', () => {
  const whole = aLot({ available: amount('3'), reserved: amount('2'), consumed: amount('1') });
  expect(isConserved(whole)).toBe(true);
  expect(isConserved({ ...whole, available: amount('3.000001') })).toBe(false);
  expect(isConserved({ ...whole, granted: amount('7') })).toBe(false);
  expect(isConserved({ ...whole, available: -amount('1') as never, reserved: amount('6') })).toBe(false);
});
