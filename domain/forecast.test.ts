import * as fc from 'fast-check';
import { amount } from '../test/builders/ledger';
import { perUnit } from '../test/builders/rates';
import { holds } from '../test/builders/seed';
import { credits } from './credits';
import { exceeds, progressOf, runningCost, topUpAmount, wantsTopUp } from './forecast';
import { quantity, wholeUnits } from './usage';

const anyCredits = fc.bigInt({ min: 0n, max: 10n ** 15n }).map(credits);

test('a top-up is wanted above 80 % of the reservation, not at it', () => {
  const forecast = amount('20');
  expect(wantsTopUp({ metered: amount('8'), forecast }, amount('10'))).toBe(false);
  expect(wantsTopUp({ metered: amount('8.000001'), forecast }, amount('10'))).toBe(true);
});

test('no top-up is wanted while the reservation carries the forecast', () => {
  expect(wantsTopUp({ metered: amount('9'), forecast: amount('10') }, amount('10'))).toBe(false);
  expect(wantsTopUp({ metered: amount('9'), forecast: amount('10.000001') }, amount('10'))).toBe(true);
});

test('a top-up brings the reservation to the forecast', () => {
  expect(topUpAmount(amount('15'), amount('10'), amount('100'))).toBe(amount('5'));
  expect(topUpAmount(amount('9'), amount('10'), amount('100'))).toBe(0n);
});

test('a top-up never passes the not-to-exceed amount', () => {
  expect(topUpAmount(amount('15'), amount('10'), amount('12'))).toBe(amount('2'));
  expect(topUpAmount(amount('15'), amount('12'), amount('12'))).toBe(0n);
  holds(
    fc.property(anyCredits, anyCredits, anyCredits, (forecast, reserved, cap) => {
      const added = topUpAmount(forecast, reserved, cap);
      return added >= 0n && (added === 0n || reserved + added <= cap);
    }),
  );
});

test('an engine stops when the metered cost is above the reservation, not when it equals it', () => {
  expect(exceeds({ metered: amount('10') }, amount('10'))).toBe(false);
  expect(exceeds({ metered: amount('10.000001') }, amount('10'))).toBe(true);
});

test('a quarter done at 2 credits forecasts 8', () => {
  const rates = perUnit('frames', '0.5');
  const job = {
    rates,
    dimensions: {},
    usage: [{ meter: 'frames', quantity: wholeUnits(4) }],
    progress: progressOf(0.25),
  };
  expect(runningCost(job)).toEqual({ metered: amount('2'), forecast: amount('8') });
});

test('before any progress is known the forecast is the metered cost', () => {
  const usage = [{ meter: 'frames', quantity: quantity(1_500_000n) }];
  const cost = runningCost({ rates: perUnit('frames', '1'), dimensions: {}, usage, progress: 0n });
  expect(cost).toEqual({ metered: amount('1.5'), forecast: amount('1.5') });
});

test('a forecast is never below what is metered already', () => {
  const rates = perUnit('frames', '0.333333');
  holds(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 12n }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (used, fraction) => {
        const usage = [{ meter: 'frames', quantity: quantity(used) }];
        const { metered, forecast } = runningCost({ rates, dimensions: {}, usage, progress: progressOf(fraction) });
        return forecast >= metered;
      },
    ),
  );
});

test.each([
  [-1, 0n],
  [0, 0n],
  [0.5, 500_000n],
  [1, 1_000_000n],
  [7, 1_000_000n],
])('an engine that says %d is %s millionths done', (fraction, millionths) => {
  expect(progressOf(fraction)).toBe(millionths);
});
