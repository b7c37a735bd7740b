import { createHash } from 'node:crypto';
import { parseInstant } from '../domain/instant';
import { cardInForce } from '../domain/rateCard';
import { objectionsToMeters } from '../domain/rateCardMeters';
import { objectionsToCard } from '../domain/rateCardObjections';
import { SERVICES } from '../services';
import { SEED_RATE_CARDS } from './seedRateCards';

const inForce = (day: string) => cardInForce(SEED_RATE_CARDS, parseInstant(`${day}T12:00:00Z`));
const EIGHT = [
  'cfd',
  'configuration-session',
  'injection-moulding',
  'optimization',
  'rendering',
  'road-profile',
  'simulation',
  'structural-analysis',
];
const sold = (day: string) =>
  inForce(day)
    ?.services.map(({ service }) => service)
    .sort();

test('version 1, which is published in installations, is as it was to the last byte', () => {
  const text = JSON.stringify(SEED_RATE_CARDS[0]);
  expect(createHash('sha256').update(text).digest('hex')).toBe(
    'f789a751a2b464fee248320d4526a50256f3087ffc2f2a5429eab3e582ed8874',
  );
});

test('versions are numbered as they follow each other, and nothing is to be said against any', () => {
  expect(SEED_RATE_CARDS.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  for (const card of SEED_RATE_CARDS) expect(objectionsToCard(card)).toEqual([]);
});

test('what is in force sells every installed service by its meters', () => {
  const card = inForce('2026-01-01');
  expect(card?.version).toBe(7);
  const services = card?.services ?? [];
  expect(objectionsToMeters(services, SERVICES)).toEqual([]);
  expect([...SERVICES.keys()].filter((name) => !services.some(({ service }) => service === name))).toEqual([]);
});

test('the versions in force follow the published days', () => {
  expect(inForce('2011-12-31')).toBeUndefined();
  expect(
    ['2012-04-05', '2012-04-06', '2013-04-12', '2018-03-22', '2018-03-23', '2020-04-13', '2022-11-07']
      .map(inForce)
      .map((card) => card?.version),
  ).toEqual([2, 3, 4, 4, 5, 6, 7]);
  expect(sold('2018-03-23')).toEqual(EIGHT);
  expect(sold('2020-04-13')).toEqual([...EIGHT, 'model-translation'].sort());
  expect(sold('2022-11-07')).toEqual(
    [...EIGHT, 'model-translation', 'design-automation', 'generative-study', 'validation-check'].sort(),
  );
});

test('whatever a card inferred it says', () => {
  for (const { services } of SEED_RATE_CARDS.slice(4)) {
    for (const { service, inferred } of services.slice(0, 8))
      expect([service, inferred?.length ?? 0]).not.toEqual([service, 0]);
  }
});
