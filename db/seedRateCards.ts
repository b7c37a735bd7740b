/** The published rates that a new installation starts with. */
import { parseInstant } from '../domain/instant';
import type { RateCard, ServiceRates } from '../domain/rateCard';

/** The submitter pays for what was used unless the job never had a chance: a bad input or our own failure is free. */
const POLICY: ServiceRates['policy'] = {
  completed: { pays: 'actual' },
  cancelled: { pays: 'actual' },
  'input-failed': { pays: 'nothing' },
  'platform-failed': { pays: 'nothing' },
  'time-limit': { pays: 'actual' },
  'out-of-credits': { pays: 'actual' },
};

export const SEED_RATE_CARDS: readonly RateCard[] = [
  {
    version: 1,
    title: 'Rates of 2018-03-23',
    effectiveAt: parseInstant('2018-03-23T00:00:00Z'),
    services: [
      {
        service: 'rendering',
        rates: [
          {
            meter: 'megapixels',
            unit: 'Mpx',
            model: {
              kind: 'by-class',
              dimension: 'quality',
              classes: {
                standard: { price: '0.25', freeBelow: { dimension: 'imageMegapixels', threshold: '1' } },
                high: { price: '0.5' },
                final: { price: '1', minimum: '1' },
              },
            },
          },
        ],
        rounding: 'nearest-credit',
        reserves: 'expected',
        policy: POLICY,
        inferred: [
          'the name of the service',
          'the quality "high" and its price, between the published 0.25 and 1',
          'one credit as the least for quality "final", which is published as never free',
        ],
      },
      {
        service: 'simulation',
        rates: [{ meter: 'simulations', unit: 'simulation', model: { kind: 'per-unit', price: '5' } }],
        rounding: 'microcredit-up',
        reserves: 'expected',
        policy: POLICY,
        inferred: ['the name of the service, which is lost in the source'],
      },
    ],
  },
];
