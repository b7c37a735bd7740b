import * as fc from 'fast-check';
import { amount } from '../test/builders/ledger';
import { perUnit } from '../test/builders/rates';
import { holds } from '../test/builders/seed';
import { credits } from './credits';
import { exceeds, progressOf, runningCost, topUpAmount, topUpTarget, wantsTopUp } from './forecast';
import { quantity, wholeUnits } from './usage';

const anyCredits = fc.bigInt({ min: 0n, max: 10n ** 15n }).map(credits);

test('a top-up is wanted above 80 % of the reservation, not at it', () => {
  const known = { forecast: amount('20'), needs: amount('23.6') };
  expect(wantsTopUp({ metered: amount('8'), ...known }, amount('10'))).toBe(false);
  expect(wantsTopUp({ metered: amount('8.000001'), ...known }, amount('10'))).toBe(true);
});

test('no top-up is wanted while the reservation carries the forecast', () => {
  const known = { metered: amount('9'), needs: amount('10.3') };
  expect(wantsTopUp({ ...known, forecast: amount('10') }, amount('10'))).toBe(false);
  expect(wantsTopUp({ ...known, forecast: amount('10.000001') }, amount('10'))).toBe(true);
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
  expect(runningCost(job)).toEqual({ metered: amount('2'), forecast: amount('8'), needs: amount('9.8') });
});

test('before any progress is known the forecast is the metered cost', () => {
  const usage = [{ meter: 'frames', quantity: quantity(1_500_000n) }];
  const cost = runningCost({ rates: perUnit('frames', '1'), dimensions: {}, usage, progress: 0n });
  expect(cost).toEqual({ metered: amount('1.5'), forecast: amount('1.5'), needs: amount('3') });
  // It asks before it stands still, although nobody can say how much it will need.
  expect(wantsTopUp(cost, amount('1.6'))).toBe(true);
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

describe('a job that was reserved at a third of what it costs', () => {
  const rates = perUnit('frames', '1');

  /** Runs a job in a thousand steps and counts its top-ups. */
  function topUps({ cost, progress }: { cost: (part: number) => number; progress: (part: number) => number }) {
    let reserved = amount('33');
    let count = 0;
    for (let step = 1; step <= 1000; step++) {
      const part = step / 1000;
      const usage = [{ meter: 'frames', quantity: quantity(BigInt(Math.round(cost(part) * 1_000_000))) }];
      const now = runningCost({ rates, dimensions: {}, usage, progress: progressOf(progress(part)) });
      if (!wantsTopUp(now, reserved) && !exceeds(now, reserved)) continue;
      const added = topUpAmount(topUpTarget(now, reserved), reserved, amount('1000'));
      if (added > 0n) count++;
      reserved = credits(reserved + added);
    }
    return count;
  }

  it('is topped up once when it goes on as it went', () => {
    expect(topUps({ cost: (part) => 100 * part, progress: (part) => part })).toBe(1);
  });

  it('is topped up once when the rest costs up to 30 % more than what was', () => {
    const cost = (part: number) => (part < 0.25 ? 100 * part : 25 + 130 * (part - 0.25));
    expect(topUps({ cost, progress: (part) => part })).toBe(1);
  });

  it('is topped up a few times when it costs ever more, and when nobody can say how far it is', () => {
    expect(topUps({ cost: (part) => 100 * part ** 3, progress: (part) => part })).toBeLessThanOrEqual(5);
    expect(topUps({ cost: (part) => 100 * part, progress: () => 0 })).toBeLessThanOrEqual(3);
  });
});
