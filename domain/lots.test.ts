import { atHour } from '../test/builders/ids';
import { aLot, amount } from '../test/builders/ledger';
import { parseInstant } from './instant';
import { bucketOfReturn, isAlive, isConserved, sharedLotExpiry } from './lots';

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
  const life = { purchasedAt: parseInstant(purchasedAt), contractEndsAt: parseInstant(contractEndsAt) };
  expect(sharedLotExpiry({ ...life, timeZone: 'UTC' })).toBe(expiresAt);
});

test('conservation notices a credit too many, too few and below zero', () => {
  const whole = aLot({ available: amount('3'), reserved: amount('2'), consumed: amount('1') });
  expect(isConserved(whole)).toBe(true);
  expect(isConserved({ ...whole, available: amount('3.000001') })).toBe(false);
  expect(isConserved({ ...whole, granted: amount('7') })).toBe(false);
  expect(isConserved({ ...whole, available: -amount('1') as never, reserved: amount('6') })).toBe(false);
});
