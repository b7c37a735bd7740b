import * as fc from 'fast-check';
import { holds } from '../test/builders/seed';
import { CREDITS_MAX, credits, formatCredits, mulDivCeil, parseCredits } from './credits';

const anyAmount = fc.bigInt({ min: 0n, max: CREDITS_MAX }).map(credits);

test('an amount survives being written and read, to the last microcredit', () => {
  holds(fc.property(anyAmount, (amount) => parseCredits(formatCredits(amount)) === amount));
});

test('an amount has one shortest spelling, whatever spelling was read', () => {
  holds(
    fc.property(anyAmount, fc.nat({ max: 6 }), (amount, zeros) => {
      const shortest = formatCredits(amount);
      const fraction = shortest.split('.')[1] ?? '';
      const padded =
        (shortest.includes('.') ? shortest : `${shortest}.0`) +
        '0'.repeat(Math.min(zeros, Math.max(0, 5 - fraction.length)));
      return formatCredits(parseCredits(padded)) === shortest && !/\.\d*0$|\.$/.test(shortest);
    }),
  );
});

test.each([
  ['0', 0n],
  ['12.345', 12_345_000n],
  ['0.000001', 1n],
  ['1.500000', 1_500_000n],
  ['9000000000000', 9_000_000_000_000_000_000n],
])('%s is read exactly', (text, microcredits) => {
  expect(parseCredits(text)).toBe(microcredits);
});

test.each([
  '',
  ' ',
  '1e3',
  '-1',
  '+1',
  '0.0000001',
  '9'.repeat(40),
  '007',
  '00',
  '01.5',
  '1.',
  '.5',
  '1,5',
  '1_000',
  '0x10',
  ' 1',
  '1 ',
  '1\n',
  'NaN',
  'Infinity',
  '٣',
  '9000000000000.000001',
  '9999999999999',
])('%j is refused with a sentence', (text) => {
  expect(() => parseCredits(text)).toThrow(RangeError);
  expect(() => parseCredits(text)).toThrow(/an amount is /);
});

test('the largest amount fits the 64 bits that the database has', () => {
  expect(CREDITS_MAX).toBeLessThan(2n ** 63n);
});

test('a difference below zero is written with its sign', () => {
  expect(formatCredits(-1_250_000n)).toBe('-1.25');
});

test('a divided amount is never too small and less than one microcredit too large', () => {
  const factor = fc.bigInt({ min: 0n, max: 10n ** 18n });
  holds(
    fc.property(factor, factor, fc.bigInt({ min: 1n, max: 10n ** 12n }), (a, b, divisor) => {
      const result = mulDivCeil(a, b, divisor);
      return result * divisor >= a * b && (result - 1n) * divisor < a * b;
    }),
  );
});
