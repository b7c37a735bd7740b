import * as fc from 'fast-check';
import { aBudget, amount } from '../test/builders/ledger';
import { holds } from '../test/builders/seed';
import { BUDGET_PERIODS, limitOf, objectionToBudget, periodAt, warningThresholdOf } from './budget';
import { credits, formatCredits } from './credits';
import { addMilliseconds, type Instant, instantOfMilliseconds, parseInstant } from './instant';

const [DAY, MONTH, QUARTER, YEAR] = (['day', 'month', 'quarter', 'year'] as const).map((period) => ({ period }));

describe('a period begins and ends at midnight where the contract is', () => {
  test.each([
    ['a day', DAY, 'UTC', '2026-02-28T00:00:00Z', '2026-03-01T00:00:00Z'],
    ['a month', MONTH, 'Europe/Berlin', '2026-01-31T23:00:00Z', '2026-02-28T23:00:00Z'],
    [
      'a month that begins in winter and ends in summer',
      MONTH,
      'Europe/Berlin',
      '2026-02-28T23:00:00Z',
      '2026-03-31T22:00:00Z',
    ],
    ['a February of a leap year', MONTH, 'UTC', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z'],
    ['a December', MONTH, 'UTC', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['a quarter, half an hour off', QUARTER, 'Asia/Kolkata', '2025-12-31T18:30:00Z', '2026-03-31T18:30:00Z'],
    ['a last quarter', QUARTER, 'UTC', '2026-10-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['a year, half a day ahead', YEAR, 'Pacific/Auckland', '2025-12-31T11:00:00Z', '2026-12-31T11:00:00Z'],
    ['a year, behind', YEAR, 'America/Los_Angeles', '2026-01-01T08:00:00Z', '2027-01-01T08:00:00Z'],
    ['a day of 23 hours', DAY, 'Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['a day of 25 hours', DAY, 'Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
    ['a day whose midnight is skipped', DAY, 'America/Sao_Paulo', '2018-11-04T03:00:00Z', '2018-11-05T02:00:00Z'],
    ['a day whose midnight comes twice', DAY, 'America/Havana', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z'],
    ['a day before one that a date line took', DAY, 'Pacific/Apia', '2011-12-29T10:00:00Z', '2011-12-30T10:00:00Z'],
  ])('%s', (_, period, timeZone, from, to) => {
    const budget = { ...(period as { period: 'day' }), timeZone };
    const [startsAt, endsAt] = [parseInstant(from), parseInstant(to)];
    const lastMicrosecond = addMilliseconds(endsAt, -1).replace('.999000Z', '.999999Z') as Instant;
    for (const at of [startsAt, lastMicrosecond]) expect(periodAt(budget, at)).toEqual({ startsAt, endsAt });
    expect(periodAt(budget, endsAt).startsAt).toBe(endsAt);
    expect(periodAt(budget, addMilliseconds(startsAt, -1)).endsAt).toBe(startsAt);
  });

  test('a total has one period, whenever that is', () => {
    const always = { startsAt: '0001-01-01T00:00:00.000000Z', endsAt: '9999-12-31T00:00:00.000000Z' };
    for (const text of ['1970-01-01T00:00:00Z', '2026-06-01T12:00:00Z', '2999-12-31T23:59:59Z']) {
      expect(periodAt({ period: 'total', timeZone: 'Europe/Berlin' }, parseInstant(text))).toEqual(always);
    }
  });

  test('periods follow each other without a gap and without an overlap, and hold what they are asked for', () => {
    const zones = ['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/Sao_Paulo', 'Pacific/Apia', 'Australia/Lord_Howe'];
    holds(
      fc.property(
        fc.constantFrom(...zones),
        fc.constantFrom(...BUDGET_PERIODS.filter((period) => period !== 'total')),
        fc.integer({ min: Date.UTC(1990, 0, 1), max: Date.UTC(2060, 0, 1) }),
        (timeZone, period, ms) => {
          const at = instantOfMilliseconds(ms);
          const { startsAt, endsAt } = periodAt({ period, timeZone }, at);
          const before = addMilliseconds(startsAt, -1);
          return (
            startsAt <= at &&
            at < endsAt &&
            periodAt({ period, timeZone }, endsAt).startsAt === endsAt &&
            periodAt({ period, timeZone }, before).endsAt === startsAt
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test('more periods than are kept give the same answers', () => {
    const days = Array.from({ length: 5_000 }, (_, n) => instantOfMilliseconds(Date.UTC(2000, 0, 1 + n)));
    const budget = { period: 'day' as const, timeZone: 'Etc/GMT-1' };
    const answers = days.map((day) => periodAt(budget, day));
    expect(answers).toEqual(
      days.map((day) => ({ startsAt: addMilliseconds(day, -3_600_000), endsAt: addMilliseconds(day, 82_800_000) })),
    );
    expect(days.map((day) => periodAt(budget, day))).toEqual(answers);
  });

  test('an unknown time zone fails loudly', () => {
    expect(() => periodAt({ period: 'month', timeZone: 'Mars/Olympus' }, parseInstant('2026-01-01T00:00:00Z'))).toThrow(
      RangeError,
    );
  });
});

describe('thresholds', () => {
  const limit = (text: string, refusePercent: number | null) => limitOf({ amount: amount(text), refusePercent });
  const warning = (text: string, warnPercent: number | null) =>
    warningThresholdOf({ amount: amount(text), warnPercent });

  test('are percents of the amount, also above it', () => {
    expect(formatCredits(limit('10', 100) ?? 0n)).toBe('10');
    expect(formatCredits(limit('10', 150) ?? 0n)).toBe('15');
    expect(formatCredits(warning('10', 80) ?? 0n)).toBe('8');
  });

  test('a fraction of a microcredit is neither spent nor warned of early', () => {
    expect(limit('0.000001', 50)).toBe(0n);
    expect(limit('0.000003', 50)).toBe(1n);
    expect(warning('0.000003', 50)).toBe(2n);
  });

  test('none neither refuses nor warns', () => {
    expect([limit('10', null), warning('10', null)]).toEqual([null, null]);
  });

  test('are exact for the largest amount there is', () => {
    expect(limit('9000000000000', 1000)).toBe(90_000_000_000_000_000_000n);
    expect(limit('8999999999999.999999', 33)).toBe(2_969_999_999_999_999_999n);
  });

  test('compare like the exact fractions do', () => {
    const anyAmount = fc.bigInt({ min: 0n, max: 1_000n }).map(credits);
    holds(
      fc.property(anyAmount, anyAmount, fc.integer({ min: 1, max: 1_000 }), (total, used, percent) => {
        const refuses = used > (limitOf({ amount: total, refusePercent: percent }) ?? 0n);
        const warns = used >= (warningThresholdOf({ amount: total, warnPercent: percent }) ?? 0n);
        const exact = total * BigInt(percent);
        return refuses === used * 100n > exact && warns === used * 100n >= exact;
      }),
    );
  });
});

test.each([
  ['nobody', { userId: null, project: null }],
  ['a user and a project', { userId: 'somebody', project: 'apollo' }],
  ['less than nothing', { amount: credits(-1n) }],
  ['more than anything may have', { amount: credits(9_000_000_000_000_000_001n) }],
  ['a warning at 0 %', { warnPercent: 0 }],
  ['a refusal above 1000 %', { refusePercent: 1001 }],
  ['half a percent', { refusePercent: 0.5 }],
])('a budget for %s is none', (_, given) => {
  expect(objectionToBudget({ ...aBudget(), ...given })).not.toBeNull();
  expect(objectionToBudget(aBudget())).toBeNull();
});
