import { amount } from '../test/builders/ledger';
import { aDossier, perUnit, SIMULATION } from '../test/builders/rates';
import { type AttemptUsage, assess, type Dossier, recomputeDossier } from './charge';
import type { JobEnd } from './rateCard';

const terms = { rateCardVersion: 1, rates: SIMULATION, dimensions: {} };

function used(quantity: string, given: Partial<AttemptUsage> = {}): AttemptUsage {
  return { attempt: 1, charged: true, meter: 'simulations', quantity, ...given };
}

test.each<[JobEnd, string]>([
  ['completed', '15'],
  ['cancelled', '15'],
  ['out-of-credits', '15'],
  ['input-failed', '0'],
  ['platform-failed', '0'],
  ['time-limit', '2'],
])('who pays is policy: a job that used 15 credits and ended as %s is charged %s', (end, charged) => {
  expect(assess(terms, end, [used('3')]).actual).toBe(amount(charged));
});

test('a limit of the policy is a limit, not a price', () => {
  const cheap = { ...terms, rates: { ...SIMULATION, rates: perUnit('simulations', '0.5').rates } };
  expect(assess(cheap, 'time-limit', [used('1')]).actual).toBe(amount('0.5'));
});

test('usage of an attempt that the platform lost is not charged', () => {
  const { actual, rating } = assess(terms, 'completed', [used('2', { charged: false }), used('1', { attempt: 2 })]);
  expect(actual).toBe(amount('5'));
  expect(rating.lines[0]?.quantity).toBe('1');
});

test('a true dossier explains itself', () => {
  expect(recomputeDossier(aDossier())).toEqual([]);
});

test('a dossier explains itself after it crossed JSON and a database that orders keys in its own way', () => {
  const reordered = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reordered);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => b.length - a.length || (a < b ? 1 : -1))
        .map(([key, inner]) => [key, reordered(inner)]),
    );
  };
  expect(recomputeDossier(reordered(JSON.parse(JSON.stringify(aDossier()))) as Dossier)).toEqual([]);
});

type Tampering = (dossier: Mutable<Dossier>) => void;
type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] };

/** The first of a list that a dossier surely has. */
function first<T>(list: readonly T[] | T[]): T {
  const [one] = list;
  if (one === undefined) throw new Error('the dossier has none');
  return one;
}

const TAMPERED: readonly (readonly [string, RegExp, Tampering])[] = [
  [
    'the quantity of a line',
    /rating/,
    (d) => {
      first(d.rating.lines).quantity = '7.26';
    },
  ],
  [
    'the price of a line',
    /rating/,
    (d) => {
      first(d.rating.lines).price = '1.1';
    },
  ],
  [
    'the amount of a line',
    /rating/,
    (d) => {
      first(d.rating.lines).amount = '7.26';
    },
  ],
  [
    'the exact sum',
    /exact/,
    (d) => {
      d.rating.exact = '7.26';
    },
  ],
  [
    'the rounding',
    /rounding/,
    (d) => {
      d.rating.rounding = 'nearest-credit';
    },
  ],
  [
    'the rated total',
    /total/,
    (d) => {
      d.rating.total = '7.26';
    },
  ],
  [
    'a metered quantity',
    /rating/,
    (d) => {
      (d.usage[1] as Mutable<AttemptUsage>).quantity = '7.26';
    },
  ],
  [
    'whether an attempt is charged',
    /rating/,
    (d) => {
      first(d.usage).charged = true;
    },
  ],
  [
    'who pays',
    /payment/,
    (d) => {
      (d as { payment: unknown }).payment = { pays: 'nothing' };
    },
  ],
  [
    'how the job ended',
    /payment/,
    (d) => {
      d.end = 'platform-failed';
    },
  ],
  [
    'the charge',
    /charge/,
    (d) => {
      d.charged = '6.76';
    },
  ],
  [
    'what was absorbed',
    /absorbed/,
    (d) => {
      d.absorbed = '0.6';
    },
  ],
  [
    'a draw',
    /charge/,
    (d) => {
      first(d.draws).amount = '2.6';
    },
  ],
  [
    'what was reserved',
    /returned/,
    (d) => {
      first(first(d.reserved).draws).amount = '2.6';
    },
  ],
  [
    'what was returned',
    /returned/,
    (d) => {
      first(d.returned).amount = '0.85';
    },
  ],
  [
    'the not-to-exceed amount, below the charge',
    /due/,
    (d) => {
      d.maxCredits = '6.74';
    },
  ],
  [
    'the price in the frozen rates',
    /rating/,
    (d) => {
      const { model } = first(d.terms.rates.rates);
      if (model.kind === 'by-class') (model as Mutable<typeof model>).classes.final = { price: '1.1' };
    },
  ],
];

test.each(TAMPERED)('a tampered digit is named: %s', (_, named, tamper) => {
  const dossier = structuredClone(aDossier()) as unknown as Mutable<Dossier>;
  tamper(dossier);
  const findings = recomputeDossier(dossier as unknown as Dossier);
  expect(findings.join('\n')).toMatch(named);
});
