import * as fc from 'fast-check';
import { holds } from '../test/builders/seed';
import {
  addMilliseconds,
  addMonths,
  calendarDayOf,
  earlierOf,
  instantOfMilliseconds,
  millisecondsOf,
  parseInstant,
  startOfDay,
} from './instant';

const anyMilliseconds = fc.integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(2999, 11, 31) });

test('29 February and twelve months is 28 February', () => {
  expect(addMonths(parseInstant('2024-02-29T00:00:00Z'), 12, 'UTC')).toBe('2025-02-28T00:00:00.000000Z');
});

test('the calendar that counts is the one of the contract’s time zone', () => {
  // Already 29 February in Auckland, still the 28th in UTC.
  const bought = parseInstant('2024-02-28T12:00:00Z');
  expect(addMonths(bought, 12, 'Pacific/Auckland')).toBe('2025-02-27T12:00:00.000000Z');
  expect(addMonths(bought, 12, 'UTC')).toBe('2025-02-28T12:00:00.000000Z');
});

test('a month that ends the daylight saving keeps the wall clock', () => {
  // Noon in Berlin: +02:00 in October, +01:00 in November.
  expect(addMonths(parseInstant('2025-10-15T12:00:00+02:00'), 1, 'Europe/Berlin')).toBe('2025-11-15T11:00:00.000000Z');
});

test('a wall clock that the change of clocks skips is read with the offset from before it', () => {
  // 02:30 on 2026-03-29 does not exist in Berlin.
  expect(addMonths(parseInstant('2026-02-28T02:30:00+01:00'), 1, 'Europe/Berlin')).toBe('2026-03-28T01:30:00.000000Z');
  expect(addMonths(parseInstant('2026-01-29T02:30:00+01:00'), 2, 'Europe/Berlin')).toBe('2026-03-29T01:30:00.000000Z');
});

test('a wall clock that comes twice is the first of the two', () => {
  // 02:30 on 2025-10-26 comes with +02:00 and again with +01:00 in Berlin.
  expect(addMonths(parseInstant('2025-09-26T02:30:00+02:00'), 1, 'Europe/Berlin')).toBe('2025-10-26T00:30:00.000000Z');
});

test('the day on the wall depends on where the wall is', () => {
  const at = parseInstant('2026-01-31T23:30:00Z');
  expect(calendarDayOf(at, 'UTC')).toEqual({ year: 2026, month: 1, day: 31 });
  expect(calendarDayOf(at, 'Europe/Berlin')).toEqual({ year: 2026, month: 2, day: 1 });
});

test('a day begins at midnight, or after it where a change of clocks skips that', () => {
  expect(startOfDay({ year: 2026, month: 7, day: 1 }, 'Europe/Berlin')).toBe('2026-06-30T22:00:00.000000Z');
  // 00:00 to 01:00 on 2018-11-04 does not exist in São Paulo.
  expect(startOfDay({ year: 2018, month: 11, day: 4 }, 'America/Sao_Paulo')).toBe('2018-11-04T03:00:00.000000Z');
});

test('months and days beyond the last count on', () => {
  expect(startOfDay({ year: 2026, month: 13, day: 1 }, 'UTC')).toBe('2027-01-01T00:00:00.000000Z');
  expect(startOfDay({ year: 2028, month: 2, day: 30 }, 'UTC')).toBe('2028-03-01T00:00:00.000000Z');
});

test('microseconds are kept', () => {
  expect(parseInstant('2026-01-31T12:00:00.123456Z')).toBe('2026-01-31T12:00:00.123456Z');
  expect(addMonths(parseInstant('2026-01-31T12:00:00.123456Z'), 1, 'UTC')).toBe('2026-02-28T12:00:00.123456Z');
  expect(addMilliseconds(parseInstant('2026-01-31T23:59:59.999999Z'), 1)).toBe('2026-02-01T00:00:00.000999Z');
});

test('an instant has one spelling, whatever its offset was', () => {
  expect(parseInstant('2026-01-31T14:30:00+02:30')).toBe('2026-01-31T12:00:00.000000Z');
  expect(parseInstant('2026-01-31T12:00:00Z')).toBe('2026-01-31T12:00:00.000000Z');
});

test('instants compare as strings like they compare in time', () => {
  holds(
    fc.property(anyMilliseconds, anyMilliseconds, (a, b) => {
      const [first, second] = [instantOfMilliseconds(a), instantOfMilliseconds(b)];
      return first < second === a < b && earlierOf(first, second) === instantOfMilliseconds(Math.min(a, b));
    }),
  );
});

test('milliseconds survive', () => {
  holds(fc.property(anyMilliseconds, (ms) => millisecondsOf(instantOfMilliseconds(ms)) === ms));
});

test.each(['', 'tomorrow', '2026-01-31', '2026-01-31T12:00:00', '2026-02-30T12:00:00Z', '2026-01-31T25:00:00Z'])(
  '%j is refused with a sentence',
  (text) => {
    expect(() => parseInstant(text)).toThrow(RangeError);
    expect(() => parseInstant(text)).toThrow(/RFC 3339/);
  },
);

test.each(['+010000-01-01T00:00:00Z', '-000001-12-31T23:59:59Z'])('%s would not compare, and is refused', (text) => {
  expect(() => parseInstant(text)).toThrow(/years 0000 to 9999/);
});
