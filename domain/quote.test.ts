import { atHour, idOf } from '../test/builders/ids';
import { aLot, amount } from '../test/builders/ledger';
import { RENDERING, SIMULATION } from '../test/builders/rates';
import { parseCredits } from './credits';
import { amountToReserve, payersOf, rateEstimate } from './quote';
import { quantity, wholeUnits } from './usage';

test('the three scenarios of an estimate are rated with the same card', () => {
  const megapixels = (text: string) => [{ meter: 'megapixels', quantity: quantity(parseCredits(text)) }];
  const estimate = { low: megapixels('4.2'), expected: megapixels('6.5'), high: megapixels('9'), reason: 'noise' };
  const forecast = rateEstimate(RENDERING, { quality: 'final', 'image-megapixels': '2' }, estimate);
  expect(forecast).toEqual({ low: amount('4'), expected: amount('7'), high: amount('9') });
  expect(amountToReserve(RENDERING, forecast)).toBe(amount('7'));
  expect(amountToReserve({ ...RENDERING, reserves: 'high' }, forecast)).toBe(amount('9'));
});

test('one simulation is forecast at 5 in every scenario', () => {
  const one = [{ meter: 'simulations', quantity: wholeUnits(1) }];
  const forecast = rateEstimate(SIMULATION, {}, { low: one, expected: one, high: one, reason: 'always one' });
  expect(forecast).toEqual({ low: amount('5'), expected: amount('5'), high: amount('5') });
});

const individual = aLot({ id: idOf('lot', 2), kind: 'individual', available: amount('5') });
const shared = aLot({ id: idOf('lot', 1), available: amount('10') });
const dead = aLot({ id: idOf('lot', 3), expiresAt: atHour(1) });
const lots = [shared, dead, individual];

test('a quote names the lots that would pay, in their order, and what would remain', () => {
  expect(payersOf(lots, amount('11'), atHour(1))).toEqual({
    draws: [
      { lotId: individual.id, amount: amount('5') },
      { lotId: shared.id, amount: amount('6') },
    ],
    available: amount('15'),
    shortfall: 0n,
    remaining: amount('4'),
  });
});

test('a quote that cannot be paid names what is missing and takes nothing', () => {
  expect(payersOf(lots, amount('15.25'), atHour(1))).toEqual({
    draws: [],
    available: amount('15'),
    shortfall: amount('0.25'),
    remaining: amount('15'),
  });
});
