/** Tiers, blocks and bounds of prices, each against the sum that a person would write down. */
import * as fc from 'fast-check';
import { amount } from '../test/builders/ledger';
import { aDossier, perUnit } from '../test/builders/rates';
import { holds } from '../test/builders/seed';
import { assess, recomputeDossier } from './charge';
import { credits, formatCredits, minCredits, parseCredits } from './credits';
import type { PricingModel, Rate, Rounding, Tier } from './rateCard';
import { rateUsage } from './rating';
import { quantity } from './usage';

type Tiered = Extract<PricingModel, { kind: 'tiered' }>;
type Block = Extract<PricingModel, { kind: 'block' }>;

const rated = (model: PricingModel, used: bigint, rounding: Rounding = 'microcredit-up') =>
  rateUsage(perUnit('x', '0', { rates: [{ meter: 'x', unit: 'unit', model }], rounding }), {}, [
    { meter: 'x', quantity: quantity(used) },
  ]);
const units = (text: string): bigint => parseCredits(text);

const TIERS: readonly Tier[] = [
  { from: '0', upTo: '10', price: '1' },
  { from: '10', upTo: '100', price: '0.5' },
  { from: '100', price: '0.1' },
];
const graduated: Tiered = { kind: 'tiered', tiering: 'graduated', tiers: TIERS };
const byVolume: Tiered = { ...graduated, tiering: 'volume' };

describe('graduated tiers', () => {
  it('price the units in each tier by that tier, one line for each', () => {
    expect(rated(graduated, units('120.5'))).toMatchObject({
      lines: [
        { meter: 'x', unit: 'unit', quantity: '10', tier: 'up to 10', price: '1', amount: '10' },
        { quantity: '90', tier: 'above 10 up to 100', price: '0.5', amount: '45' },
        { quantity: '20.5', tier: 'above 100', price: '0.1', amount: '2.05' },
      ],
      exact: '57.05',
      total: amount('57.05'),
    });
  });

  it('include their ends: ten units are in the first tier alone', () => {
    expect(rated(graduated, units('10')).lines).toHaveLength(1);
    expect(rated(graduated, units('10.000001')).lines).toHaveLength(2);
    expect(rated(graduated, 0n).lines).toEqual([
      { meter: 'x', unit: 'unit', quantity: '0', tier: 'up to 10', price: '1', amount: '0' },
    ]);
  });

  it('a bound decides for the whole rate, in one line that says so', () => {
    expect(rated({ ...graduated, maximum: '50' }, units('120')).lines).toEqual([
      { meter: 'x', unit: 'unit', quantity: '120', price: '0.1', amount: '50', note: 'at most 50' },
    ]);
    expect(rated({ ...graduated, maximum: '57' }, units('120')).lines).toHaveLength(3);
  });
});

describe('tiers by volume', () => {
  it('price everything by the tier that the quantity falls in', () => {
    expect(rated(byVolume, units('10')).exact).toBe('10');
    expect(rated(byVolume, units('20'))).toMatchObject({
      lines: [{ quantity: '20', tier: 'above 10 up to 100', price: '0.5', amount: '10' }],
      exact: '10',
    });
    expect(rated(byVolume, units('100')).exact).toBe('50');
    expect(rated(byVolume, units('100.000001')).lines).toMatchObject([{ tier: 'above 100' }]);
  });
});

describe('blocks', () => {
  const road: Block = { kind: 'block', size: '5', price: '100' };
  it.each([
    ['0', '0', '0'],
    ['0.000001', '1', '100'],
    ['5', '1', '100'],
    ['5.000001', '2', '200'],
    ['5.1', '2', '200'],
    ['10', '2', '200'],
  ])('%s km are %s started blocks of 5 km', (used, blocks, exact) => {
    expect(rated(road, units(used))).toMatchObject({ lines: [{ price: '100', block: '5', blocks }], exact });
    expect(rated({ ...road, rounding: 'started-block' }, units(used)).exact).toBe(exact);
  });

  it('in parts are paid for as far as they were used', () => {
    expect(rated({ ...road, rounding: 'pro-rata' }, units('5.1'))).toMatchObject({
      lines: [{ block: '5', blocks: '1.02', amount: '102' }],
      total: amount('102'),
    });
  });

  it('that divide into no decimal stay a fraction until the charge is rounded, which the customer pays', () => {
    const hour: Block = { kind: 'block', size: '3600', price: '2', rounding: 'pro-rata' };
    expect(rated(hour, units('217'))).toMatchObject({
      lines: [{ quantity: '217', blocks: '217/3600', amount: '217/1800' }],
      exact: '217/1800',
      // 0.1205555…
      total: amount('0.120556'),
    });
  });

  it('are rounded once: three thirds are one, and just below a half is not a half', () => {
    const thirds = ['a', 'b', 'c'].map((meter) => ({
      meter,
      unit: 'unit',
      model: { kind: 'block', size: '3', price: '1', rounding: 'pro-rata' } as const,
    }));
    const used = thirds.map(({ meter }) => ({ meter, quantity: quantity(units('1')) }));
    expect(rateUsage(perUnit('x', '0', { rates: thirds }), {}, used)).toMatchObject({ exact: '1', total: amount('1') });
    // 1,499,999.999999… / 3,000,000: below half a credit by less than twelve decimals can tell.
    const big: Block = { kind: 'block', size: '9000000000000', price: '1', rounding: 'pro-rata' };
    const below = rated(big, units('4499999999999.999999'), 'nearest-credit');
    expect(below.total).toBe(0n);
    expect(below.exact).toMatch(/^\d+\/\d+$/);
    expect(rated(big, units('4500000000000'), 'nearest-credit').total).toBe(amount('1'));
  });
});

test('a charge in tiers and parts of blocks explains itself to who recomputes it, and a changed fraction does not', () => {
  const rates: Rate[] = [
    { meter: 'megapixels', unit: 'Mpx', model: { kind: 'block', size: '3', price: '1', rounding: 'pro-rata' } },
    { meter: 'rays', unit: 'ray', model: graduated },
  ];
  const given = aDossier();
  const terms = { ...given.terms, rates: { ...given.terms.rates, rates } };
  const { rating, actual } = assess(terms, 'completed', given.usage);
  expect(rating.exact).toBe('490249/60');
  const dossier = {
    ...given,
    terms,
    rating: { ...rating, total: formatCredits(rating.total) },
    absorbed: formatCredits(actual - parseCredits(given.charged)),
  };
  expect(recomputeDossier(dossier)).toEqual([]);
  const changed = { ...dossier, rating: { ...dossier.rating, exact: '8171/1' } };
  expect(recomputeDossier(changed)).toEqual([expect.stringMatching(/^the exact sum says 8171\/1, the dossier gives/)]);
});

describe('bounds', () => {
  it('the least is due as soon as anything was used, however little it costs', () => {
    const study: PricingModel = { kind: 'per-unit', price: '0', minimum: '11' };
    expect(rated(study, 0n).exact).toBe('0');
    expect(rated(study, units('1'))).toMatchObject({ exact: '11', lines: [{ note: 'at least 11' }] });
    expect(rated(study, units('40')).exact).toBe('11');
  });

  it('the most is the most', () => {
    const capped: PricingModel = { kind: 'per-unit', price: '2', maximum: '7' };
    expect(rated(capped, units('3.5'))).toMatchObject({ exact: '7' });
    expect(rated(capped, units('3.5')).lines[0]).not.toHaveProperty('note');
    expect(rated(capped, units('3.500001'))).toMatchObject({ exact: '7', lines: [{ note: 'at most 7' }] });
  });
});

describe('whatever the numbers', () => {
  const price = fc.bigInt({ min: 0n, max: 10n ** 9n });
  const width = fc.bigInt({ min: 1n, max: 10n ** 9n });
  const used = fc.bigInt({ min: 0n, max: 4n * 10n ** 9n });
  /** Adjoining tiers; the last has no end. */
  const tiers = fc.array(fc.tuple(width, price), { minLength: 1, maxLength: 5 }).map((steps): readonly Tier[] => {
    let from = 0n;
    return steps.map(([wide, each], index) => {
      const tier = { from: formatCredits(from), price: formatCredits(each) };
      from += wide;
      return index === steps.length - 1 ? tier : { ...tier, upTo: formatCredits(from) };
    });
  });

  it('a graduated sum is the sum by hand: each millionth of a unit by the tier that it is in', () => {
    holds(
      fc.property(tiers, used, (steps, quantityUsed) => {
        let rest = quantityUsed;
        let sum = 0n;
        for (const { from, upTo, price: each } of steps) {
          const room = upTo === undefined ? rest : parseCredits(upTo) - parseCredits(from);
          const here = minCredits(credits(rest), credits(room));
          sum += here * parseCredits(each);
          rest -= here;
        }
        const { total, lines } = rated({ kind: 'tiered', tiering: 'graduated', tiers: steps }, quantityUsed);
        const counted = lines.reduce((all, line) => all + parseCredits(line.quantity), 0n);
        return rest === 0n && counted === quantityUsed && total === (sum + 999_999n) / 1_000_000n;
      }),
    );
  });

  it('a graduated sum never falls and never jumps: a millionth more costs a millionth of some tier’s price', () => {
    holds(
      fc.property(tiers, used, (steps, quantityUsed) => {
        const model: Tiered = { kind: 'tiered', tiering: 'graduated', tiers: steps };
        const at = (millionths: bigint) =>
          rated(model, millionths).lines.reduce(
            (sum, line) => sum + parseCredits(line.quantity) * parseCredits(line.price),
            0n,
          );
        const step = at(quantityUsed + 1n) - at(quantityUsed);
        return steps.some((tier) => parseCredits(tier.price) === step);
      }),
    );
  });

  it('by volume it is quantity times the price of exactly one tier', () => {
    holds(
      fc.property(tiers, used, (steps, quantityUsed) => {
        const { lines } = rated({ kind: 'tiered', tiering: 'volume', tiers: steps }, quantityUsed);
        const fitting = steps.filter(
          ({ from, upTo }) =>
            (quantityUsed > parseCredits(from) || from === '0') &&
            (upTo === undefined || quantityUsed <= parseCredits(upTo)),
        );
        return lines.length === 1 && fitting.length === 1 && lines[0]?.price === fitting[0]?.price;
      }),
    );
  });

  it('blocks never cost less for more, and started ones at least the part and less than a block above it', () => {
    holds(
      fc.property(width, price, used, fc.bigInt({ min: 0n, max: 10n ** 6n }), (size, each, first, more) => {
        const block: Block = { kind: 'block', size: formatCredits(size), price: formatCredits(each) };
        const parts: Block = { ...block, rounding: 'pro-rata' };
        const [started, part] = [rated(block, first).total, rated(parts, first).total];
        return (
          rated(block, first + more).total >= started &&
          rated(parts, first + more).total >= part &&
          part <= started &&
          (started === 0n || started < part + each + 1n)
        );
      }),
    );
  });

  it('a part of a block is charged to the microcredit above it', () => {
    holds(
      fc.property(width, price, used, (size, each, quantityUsed) => {
        const model: Block = {
          kind: 'block',
          size: formatCredits(size),
          price: formatCredits(each),
          rounding: 'pro-rata',
        };
        const { total } = rated(model, quantityUsed);
        return total * size >= each * quantityUsed && (total - 1n) * size < each * quantityUsed;
      }),
    );
  });

  it('bounds hold, and more usage never costs less within them', () => {
    holds(
      fc.property(tiers, used, used, price, price, (steps, first, more, one, other) => {
        const [low, high] = one < other ? [one, other] : [other, one];
        const bounds = { minimum: formatCredits(low), maximum: formatCredits(high) };
        const model: Tiered = { kind: 'tiered', tiering: 'graduated', tiers: steps, ...bounds };
        const total = rated(model, first).total;
        const isBounded = first === 0n ? total === 0n : total >= low && total <= high;
        return isBounded && rated(model, first + more).total >= total;
      }),
    );
  });
});
