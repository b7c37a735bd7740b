import { atHour } from '../test/builders/ids';
import { aCard } from '../test/builders/rates';
import { cardInForce } from './rateCard';

const first = aCard({ version: 1, effectiveAt: atHour(0) });
const second = aCard({ version: 2, effectiveAt: atHour(10) });
const future = aCard({ version: 3, effectiveAt: atHour(20) });
const cards = [future, first, second];

test('the latest effective card is in force, from its first instant', () => {
  expect(cardInForce(cards, atHour(9))).toBe(first);
  expect(cardInForce(cards, atHour(10))).toBe(second);
  expect(cardInForce(cards, atHour(19))).toBe(second);
  expect(cardInForce(cards, atHour(20))).toBe(future);
});

test('before the first card nothing is sold', () => {
  expect(cardInForce(cards, atHour(-1))).toBeUndefined();
  expect(cardInForce([], atHour(5))).toBeUndefined();
});

test('of two cards for the same instant the later version is in force, in whatever order they are read', () => {
  const corrected = aCard({ version: 4, effectiveAt: atHour(10) });
  expect(cardInForce([second, corrected], atHour(10))).toBe(corrected);
  expect(cardInForce([corrected, second], atHour(10))).toBe(corrected);
});

test('asking leaves the cards as they were', () => {
  const asked = [...cards];
  cardInForce(asked, atHour(15));
  expect(asked).toEqual(cards);
});
