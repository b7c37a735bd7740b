import { perUnit, RENDERING, SIMULATION } from '../test/builders/rates';
import { JOB_ENDS, type PricingModel } from './rateCard';
import { objectionsToCard } from './rateCardObjections';

const card = (services: unknown, more: object = {}) =>
  objectionsToCard({ title: 'Card', effectiveAt: null, services, ...more });
/** What is wrong with a service that has one rate of a model, without the path to the model. */
const modelled = (model: unknown) =>
  card([{ ...SIMULATION, rates: [{ meter: 'hours', unit: 'hour', model }] }]).map((sentence) =>
    sentence.replace('services.0.rates.0.model', 'model'),
  );
const priced = (price: unknown) => modelled({ kind: 'per-unit', price });
const tiered = (...tiers: unknown[]) => modelled({ kind: 'tiered', tiering: 'graduated', tiers });

test('cards that can be published have nothing against them', () => {
  expect(card([SIMULATION, RENDERING])).toEqual([]);
  expect(card([SIMULATION], { effectiveAt: '2030-01-01T00:00:00Z' })).toEqual([]);
  const models: PricingModel[] = [
    { kind: 'per-unit', price: '0', minimum: '11', maximum: '11', freeBelow: { dimension: 'size', threshold: '0.5' } },
    {
      kind: 'tiered',
      tiering: 'volume',
      tiers: [
        { from: '0', upTo: '10', price: '1' },
        { from: '10', upTo: '10.5', price: '0.5' },
        { from: '10.5', price: '0' },
      ],
    },
    { kind: 'block', size: '0.000001', price: '100' },
    { kind: 'block', size: '5', price: '100', rounding: 'pro-rata' },
  ];
  for (const model of models) expect(modelled(model)).toEqual([]);
});

test.each([
  ['$5', 'without a currency'],
  ['5 EUR', 'without a currency'],
  ['€5', 'without a currency'],
  ['-1', 'nothing is priced below zero'],
  ['5,00', 'with a point'],
  ['1,234.5', 'with a point'],
  ['1e3', 'without an exponent'],
  ['0.0000001', 'at most six places'],
  ['', 'digits with at most six places'],
  ['01', 'digits with at most six places'],
  ['.5', 'digits with at most six places'],
  [' 5', 'digits with at most six places'],
  ['9000000000000.000001', 'no more than 9000000000000'],
])('"%s" is no price, and the sentence says what to mend', (price, sentence) => {
  const [objection, ...others] = priced(price);
  expect(objection).toMatch(/^model\.price: ".*" is no decimal: /);
  expect(objection).toContain(sentence);
  expect(others).toEqual([]);
});

test('a number is no decimal: it is to be written as a string', () => {
  expect(priced(5)).toEqual(['model.price: write the decimal "5" as a string, since numbers in JSON lose digits.']);
  expect(priced(null)).toHaveLength(1);
});

test('tiers have neither a gap nor an overlap, begin at zero and never end', () => {
  expect(tiered({ from: '0', upTo: '10', price: '1' }, { from: '12', price: '2' })).toEqual([
    'model.tiers.1.from: a gap: nothing has a price between 10 and 12; begin at 10.',
  ]);
  expect(tiered({ from: '0', upTo: '10', price: '1' }, { from: '8', price: '2' })).toEqual([
    'model.tiers.1.from: an overlap: two prices between 8 and 10; begin at 10.',
  ]);
  expect(tiered({ from: '1', price: '1' })).toEqual([
    'model.tiers.0.from: a gap: nothing has a price between 0 and 1; begin at 0.',
  ]);
  expect(tiered({ from: '0', upTo: '10', price: '1' })).toEqual([
    'model.tiers: a gap: nothing has a price above 10; leave upTo out of the last tier.',
  ]);
  expect(tiered({ from: '0', price: '1' }, { from: '10', price: '2' })).toEqual([
    'model.tiers.1.from: the tier before has no end, so that nothing is left for this one.',
  ]);
  expect(tiered({ from: '0', upTo: '0', price: '1' }, { from: '0', price: '2' })).toEqual([
    'model.tiers.0.upTo: a tier ends above its beginning, 0.',
  ]);
  expect(tiered()).toEqual(['model.tiers: it is empty; there is at least a tier.']);
  expect(tiered({ from: '0', upTo: 'ten', price: '1' }, { from: '10', price: '2' })).toHaveLength(1);
});

test('classes, blocks and bounds make sense', () => {
  expect(modelled({ kind: 'by-class', dimension: 'quality', classes: {} })).toEqual([
    'model.classes: there is no class, so that nothing has a price.',
  ]);
  expect(modelled({ kind: 'by-class', dimension: 'quality', classes: { final: { price: '1', least: '1' } } })).toEqual([
    'model.classes.final.least: there is no such field here; there are price, minimum, maximum, freeBelow.',
  ]);
  expect(modelled({ kind: 'block', size: '0', price: '1' })).toEqual(['model.size: a block holds more than nothing.']);
  expect(modelled({ kind: 'block', size: '5', price: '1', rounding: 'up' })).toEqual([
    'model.rounding: started-block or pro-rata, unlike "up".',
  ]);
  expect(modelled({ kind: 'per-unit', price: '1', minimum: '10.5', maximum: '10' })).toEqual([
    'model.minimum: 10.5 is above the maximum, 10.',
  ]);
  expect(modelled({ kind: 'per-unit', price: '1', freeBelow: { dimension: 'size', threshold: 'one' } })).toEqual([
    'model.freeBelow.threshold: "one" is no decimal: digits with at most six places, such as "12.345", and no more than 9000000000000.',
  ]);
  expect(modelled({ kind: 'auction', price: '1' })).toEqual([
    'model.kind: there is no model "auction"; there are per-unit, by-class, tiered, block.',
  ]);
  expect(modelled({ kind: 'constructor' })).toHaveLength(1);
  expect(modelled('5 each')).toEqual(['model: an object with the kind of the model.']);
});

test('a service or a meter is there once', () => {
  expect(card([SIMULATION, RENDERING, SIMULATION])).toEqual([
    'services.2.service: simulation is there twice, and nobody could say which counts.',
  ]);
  expect(card([{ ...SIMULATION, rates: [...SIMULATION.rates, ...SIMULATION.rates] }])).toEqual([
    'services.0.rates.1.meter: simulations is there twice, and nobody could say which counts.',
  ]);
});

test.each(JOB_ENDS)('a policy says who pays for a job that ends as %s', (end) => {
  const { [end]: _missing, ...policy } = SIMULATION.policy;
  expect(card([{ ...SIMULATION, policy }])).toEqual([`services.0.policy.${end}: say who pays for a job that ends so.`]);
});

test('a policy knows no other ends and no other payments', () => {
  const policy = { ...SIMULATION.policy, exploded: { pays: 'nothing' }, completed: { pays: 'half' } };
  expect(card([{ ...SIMULATION, policy }])).toEqual([
    expect.stringMatching(/^services\.0\.policy\.exploded: there is no such field here/),
    'services.0.policy.completed.pays: nothing or actual, unlike "half".',
  ]);
  const upTo = { ...SIMULATION.policy, cancelled: { pays: 'actual', upTo: 2 } };
  expect(card([{ ...SIMULATION, policy: upTo }])).toHaveLength(1);
});

test('everything is said at once, of whatever was sent', () => {
  expect(card('all')).toEqual(['services: a list.']);
  expect(card([])).toEqual(['services: it is empty; there is at least a service.']);
  expect(card([null, 5])).toHaveLength(2);
  expect(objectionsToCard({ title: ' ', effectiveAt: 'soon', services: [perUnit('Hours!', '-1')] })).toEqual([
    'title: a text of 1 to 200 characters.',
    'effectiveAt: an instant in RFC 3339, such as "2026-01-31T12:00:00Z", or null for when it is published.',
    expect.stringMatching(/^services\.0\.rates\.0\.meter: the name of a meter/),
    expect.stringMatching(/^services\.0\.rates\.0\.model\.price: "-1" is no decimal: nothing is priced below zero/),
  ]);
  expect(card([{ service: 'simulation' }])).toEqual([
    'services.0.rates: it is missing.',
    'services.0.rounding: it is missing.',
    'services.0.reserves: it is missing.',
    'services.0.policy: it is missing.',
    'services.0.rates: a list.',
    expect.stringMatching(/^services\.0\.policy: an object with completed/),
  ]);
});
