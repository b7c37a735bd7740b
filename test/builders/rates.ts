/** The published rates of March 2018 as tests need them. Names and numbers marked inferred in the source are so here. */
import { type AttemptUsage, assess, type Dossier } from '../../domain/charge';
import { formatCredits, parseCredits } from '../../domain/credits';
import type { JobEnd, Payment, Rate, RateCard, ServiceRates } from '../../domain/rateCard';
import { atHour, idOf } from './ids';
import { CONTRACT, JOB, USER } from './ledger';

const POLICY: Readonly<Record<JobEnd, Payment>> = {
  completed: { pays: 'actual' },
  cancelled: { pays: 'actual' },
  'input-failed': { pays: 'nothing' },
  'platform-failed': { pays: 'nothing' },
  'time-limit': { pays: 'actual', upTo: '2' },
  'out-of-credits': { pays: 'actual' },
};

/** A service with one price per unit of one meter. */
export function perUnit(meter: string, price: string, given: Partial<ServiceRates> = {}): ServiceRates {
  return {
    service: 'simulation',
    rates: [{ meter, unit: meter, model: { kind: 'per-unit', price } }],
    rounding: 'microcredit-up',
    reserves: 'expected',
    policy: POLICY,
    ...given,
  };
}

/** 5 credits a simulation. */
export const SIMULATION = perUnit('simulations', '5');

const MEGAPIXELS: Rate = {
  meter: 'megapixels',
  unit: 'megapixel',
  model: {
    kind: 'by-class',
    dimension: 'quality',
    classes: {
      standard: { price: '0.25', freeBelow: { dimension: 'image-megapixels', threshold: '1' } },
      final: { price: '1' },
    },
  },
};

/** Standard is free under one megapixel, final never; the charge is rounded to the nearest credit. */
export const RENDERING: ServiceRates = {
  ...perUnit('megapixels', '0'),
  service: 'rendering',
  rates: [MEGAPIXELS],
  rounding: 'nearest-credit',
  inferred: ['service name'],
};

export function aCard(given: Partial<RateCard> = {}): RateCard {
  return { version: 1, title: 'Card', effectiveAt: atHour(0), services: [SIMULATION, RENDERING], ...given };
}

/** A dossier that explains itself: 7.5 final megapixels in two attempts, one of them lost by the platform. */
export function aDossier(): Dossier {
  const usage: AttemptUsage[] = [
    { attempt: 1, charged: false, meter: 'megapixels', quantity: '2.25' },
    { attempt: 2, charged: true, meter: 'megapixels', quantity: '7.25' },
    { attempt: 2, charged: true, meter: 'rays', quantity: '81234' },
  ];
  const terms = {
    rateCardVersion: 3,
    rates: { ...RENDERING, rounding: 'microcredit-up' as const },
    dimensions: { quality: 'final', 'image-megapixels': '7.25' },
  };
  const { rating, payment } = assess(terms, 'completed', usage);
  const [first, second] = [idOf('lot', 1), idOf('lot', 2)];
  return {
    format: 'holdfast-dossier/1',
    chargeId: idOf('operation', 9),
    jobId: JOB,
    service: 'rendering',
    userId: USER,
    contractId: CONTRACT,
    inputDigest: `sha256:${'ab'.repeat(32)}`,
    parameters: { quality: 'final' },
    quoteId: idOf('quote', 1),
    terms,
    end: 'completed',
    usage,
    rating: { lines: rating.lines, exact: rating.exact, rounding: rating.rounding, total: formatCredits(rating.total) },
    payment,
    maxCredits: '6.75',
    reserved: [
      {
        at: atHour(1),
        kind: 'reserve',
        draws: [
          { lotId: first, kind: 'individual', amount: '2.5' },
          { lotId: second, kind: 'shared', amount: '3.75' },
        ],
      },
      { at: atHour(2), kind: 'topUp', draws: [{ lotId: second, kind: 'shared', amount: '1.25' }] },
    ],
    charged: '6.75',
    absorbed: formatCredits(rating.total - parseCredits('6.75')),
    draws: [
      { lotId: first, kind: 'individual', amount: '2.5' },
      { lotId: second, kind: 'shared', amount: '4.25' },
    ],
    returned: [{ lotId: second, kind: 'shared', amount: '0.75', to: 'available' }],
    bookedAt: atHour(3),
  };
}
