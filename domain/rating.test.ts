import * as fc from 'fast-check';
import { amount } from '../test/builders/ledger';
import { perUnit, RENDERING, SIMULATION } from '../test/builders/rates';
import { holds } from '../test/builders/seed';
import { CREDITS_MAX, formatCredits, parseCredits } from './credits';
import type { ServiceRates } from './rateCard';
import { rateUsage } from './rating';
import { quantity, type Usage, wholeUnits } from './usage';

/** An image's pixels, in all its frames, on the meter of rendering. */
function rendered(image: { width: number; height: number; frames?: number; quality: string }) {
  const pixels = image.width * image.height;
  const dimensions = { quality: image.quality, 'image-megapixels': formatCredits(BigInt(pixels)) };
  return rateUsage(RENDERING, dimensions, [
    { meter: 'megapixels', quantity: quantity(BigInt(pixels * (image.frames ?? 1))) },
  ]);
}

test('a standard image of 1024 x 768 is free, and the line says why', () => {
  const rating = rendered({ width: 1024, height: 768, quality: 'standard' });
  expect(rating.total).toBe(0n);
  expect(rating.lines).toEqual([
    {
      meter: 'megapixels',
      unit: 'megapixel',
      quantity: '0.786432',
      price: '0.25',
      class: 'standard',
      amount: '0',
      note: 'free below 1 image-megapixels',
    },
  ]);
});

test('a final image is never free', () => {
  expect(rendered({ width: 1024, height: 768, quality: 'final' }).total).toBe(amount('1'));
});

test('the free size is of one image: many small standard frames stay free, one megapixel exactly is not', () => {
  expect(rendered({ width: 1024, height: 768, frames: 60, quality: 'standard' }).total).toBe(0n);
  expect(rendered({ width: 2000, height: 1000, quality: 'standard' })).toMatchObject({
    exact: '0.5',
    total: amount('1'),
  });
  expect(rendered({ width: 1000, height: 1000, quality: 'standard' })).toMatchObject({ exact: '0.25', total: 0n });
  expect(rendered({ width: 1000, height: 1000, quality: 'standard' }).lines[0]).not.toHaveProperty('note');
});

test('a panorama is charged as its six frames', () => {
  expect(rendered({ width: 2000, height: 2000, frames: 6, quality: 'final' })).toMatchObject({
    exact: '24',
    total: amount('24'),
  });
});

test.each([
  ['7.49', '7'],
  ['7.499999', '7'],
  ['7.5', '8'],
  ['0.49', '0'],
  ['0.5', '1'],
  ['8', '8'],
])('%s credits are charged as %s where a service rounds to the nearest credit', (exact, charged) => {
  const rates = perUnit('credits', '1', { rounding: 'nearest-credit' });
  const rating = rateUsage(rates, {}, [{ meter: 'credits', quantity: quantity(parseCredits(exact)) }]);
  expect(formatCredits(rating.total)).toBe(charged);
});

test('a simulation is 5 credits, three are 15', () => {
  expect(rateUsage(SIMULATION, {}, [{ meter: 'simulations', quantity: wholeUnits(1) }]).total).toBe(amount('5'));
  expect(rateUsage(SIMULATION, {}, [{ meter: 'simulations', quantity: wholeUnits(3) }]).total).toBe(amount('15'));
});

test('several records of a meter are rated as their sum, with one rounding', () => {
  const rates = perUnit('seconds', '0.000001');
  const third = { meter: 'seconds', quantity: quantity(333_333n) };
  expect(rateUsage(rates, {}, [third, third, third])).toMatchObject({ exact: '0.000000999999', total: 1n });
});

test('a meter without a rate is evidence and costs nothing', () => {
  expect(rateUsage(SIMULATION, {}, [{ meter: 'iterations', quantity: wholeUnits(812) }]).total).toBe(0n);
});

test('a service priced at zero is metered and included', () => {
  const rating = rateUsage(perUnit('sessions', '0'), {}, [{ meter: 'sessions', quantity: wholeUnits(2) }]);
  expect(rating).toMatchObject({ total: 0n, lines: [{ quantity: '2', amount: '0' }] });
});

test('a minimum counts as soon as anything was used, and says so', () => {
  const rates: ServiceRates = perUnit('hours', '2');
  const least: ServiceRates = {
    ...rates,
    rates: [{ meter: 'hours', unit: 'hour', model: { kind: 'per-unit', price: '2', minimum: '1' } }],
  };
  const used = (text: string): Usage[] => [{ meter: 'hours', quantity: quantity(parseCredits(text)) }];
  expect(rateUsage(least, {}, used('0.000001'))).toMatchObject({ total: amount('1'), lines: [{ note: 'at least 1' }] });
  expect(rateUsage(least, {}, used('0.5')).lines[0]).not.toHaveProperty('note');
  expect(rateUsage(least, {}, used('0.6')).total).toBe(amount('1.2'));
  expect(rateUsage(least, {}, []).total).toBe(0n);
});

test('a class or dimension that a job does not have is an error, never a price', () => {
  expect(() => rateUsage(RENDERING, { quality: 'draft', 'image-megapixels': '2' }, [])).toThrow(/draft/);
  expect(() => rateUsage(RENDERING, {}, [])).toThrow(/quality/);
  expect(() => rateUsage(RENDERING, { quality: 'standard' }, [])).toThrow(/image-megapixels/);
});

test('a class named like something every object has is no class', () => {
  expect(() => rateUsage(RENDERING, { quality: 'constructor', 'image-megapixels': '2' }, [])).toThrow();
  expect(() => rateUsage(RENDERING, { quality: '__proto__', 'image-megapixels': '2' }, [])).toThrow();
});

test('a charge is never below its exact cost and less than one microcredit above it, at any size', () => {
  const price = fc.bigInt({ min: 0n, max: 1_000_000_000n });
  holds(
    fc.property(price, fc.bigInt({ min: 0n, max: 10n ** 12n }), (each, used) => {
      const rates = perUnit('seconds', formatCredits(each));
      const { total } = rateUsage(rates, {}, [{ meter: 'seconds', quantity: quantity(used) }]);
      return total * 1_000_000n >= each * used && (total - 1n) * 1_000_000n < each * used && total <= CREDITS_MAX;
    }),
  );
});

test('more usage never costs less', () => {
  const used = fc.bigInt({ min: 0n, max: 10n ** 8n });
  holds(
    fc.property(used, used, fc.constantFrom('standard', 'final'), (first, more, quality) => {
      const cost = (pixels: bigint) =>
        rateUsage(RENDERING, { quality, 'image-megapixels': '2' }, [
          { meter: 'megapixels', quantity: quantity(pixels) },
        ]).total;
      return cost(first + more) >= cost(first);
    }),
  );
});
