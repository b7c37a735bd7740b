/**
 * The published rates that a new installation starts with: their history in dated versions, each a whole card. Version 1
 * was published when only two of the services ran here; it is kept as it was, and version 5 for the same instant has its place.
 *
 * No version may be added here any more: from 8 on each installation numbers what it publishes itself.
 */
import { parseInstant } from '../domain/instant';
import type { Rate, RateCard, ServiceRates, UnitPrice } from '../domain/rateCard';

/** The submitter pays for what was used unless the job never had a chance: a bad input or our own failure is free. */
const POLICY: ServiceRates['policy'] = {
  completed: { pays: 'actual' },
  cancelled: { pays: 'actual' },
  'input-failed': { pays: 'nothing' },
  'platform-failed': { pays: 'nothing' },
  'time-limit': { pays: 'actual' },
  'out-of-credits': { pays: 'actual' },
};

const FIRST: RateCard = {
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
};

/** Rates of a service whose charges are rounded up to the next microcredit. */
function rated(service: string, rates: readonly Rate[], more: Partial<ServiceRates> = {}): ServiceRates {
  return { service, rates, rounding: 'microcredit-up', reserves: 'expected', policy: POLICY, ...more };
}

function perUnit(meter: string, unit: string, price: string, bounds: Omit<UnitPrice, 'price'> = {}): Rate {
  return { meter, unit, model: { kind: 'per-unit', price, ...bounds } };
}

function ofFirst(service: string): ServiceRates {
  const found = FIRST.services.find((one) => one.service === service);
  if (!found) throw new Error(`version 1 has no ${service}`);
  return found;
}

const renderingByImage = (price: string, inferred: readonly string[]) =>
  rated('rendering', [perUnit('images', 'image', price)], { inferred: ['the name of the service', ...inferred] });

const EIGHT: readonly ServiceRates[] = [
  ofFirst('rendering'),
  rated('injection-moulding', [perUnit('simulations', 'simulation', '20'), perUnit('doeRuns', 'run', '20')], {
    inferred: [
      'the name of the service',
      'the price of a design of experiments, published as variable: the price of a simulation for each of its runs',
    ],
  }),
  rated(
    'cfd',
    [
      {
        meter: 'simulations',
        unit: 'simulation',
        model: {
          kind: 'by-class',
          dimension: 'complexity',
          classes: { simple: { price: '5' }, moderate: { price: '10' }, complex: { price: '35' } },
        },
      },
    ],
    {
      inferred: [
        'the name of the service',
        'the classes and their prices, published as variable by complexity: those of a later table for the same service',
      ],
    },
  ),
  ofFirst('simulation'),
  rated(
    'road-profile',
    [
      {
        meter: 'kilometres',
        unit: 'km',
        model: { kind: 'block', size: '5', price: '100', rounding: 'started-block' },
      },
    ],
    {
      inferred: ['the name of the service', 'that started 5 km count as 5 km, which the published rate leaves open'],
    },
  ),
  rated('structural-analysis', [perUnit('analyses', 'analysis', '2')], { inferred: ['the name of the service'] }),
  rated('optimization', [perUnit('optimizations', 'optimization', '5')], { inferred: ['the name of the service'] }),
  rated('configuration-session', [perUnit('sessions', 'session', '1')], { inferred: ['the name of the service'] }),
];

const MODEL_TRANSLATION = rated(
  'model-translation',
  [
    {
      meter: 'models',
      unit: 'model',
      model: { kind: 'by-class', dimension: 'format', classes: { named: { price: '1.5' }, other: { price: '0.2' } } },
    },
  ],
  {
    policy: { ...POLICY, cancelled: { pays: 'nothing' }, 'time-limit': { pays: 'nothing' } },
    inferred: [
      'the names of the service, the meter and the classes: named is for the two formats that the published rate names',
      'that a translation which was cancelled or ran out of time is as free as one that failed',
    ],
  },
);

/** 2 for 3,600 seconds in parts, since an hour's millionths could not say 217 seconds. */
const DESIGN_AUTOMATION = rated(
  'design-automation',
  [{ meter: 'processingSeconds', unit: 's', model: { kind: 'block', size: '3600', price: '2', rounding: 'pro-rata' } }],
  {
    policy: { ...POLICY, 'input-failed': { pays: 'actual' } },
    inferred: [
      'the name of the meter; transfers count as processing, in whole seconds that are over',
      'that a faulty input pays for the time that it took',
    ],
  },
);

/**
 * What is paid for is the study and not its iterations: each costs nothing, and the least amount is due as soon as one
 * exists. So whatever ended a study, before its first iteration it costs nothing and from then on all of it.
 */
const GENERATIVE_STUDY = rated('generative-study', [perUnit('iterations', 'iteration', '0', { minimum: '11' })], {
  policy: { ...POLICY, 'input-failed': { pays: 'actual' } },
  inferred: [
    'the day from which the rate counts',
    'the name of the meter',
    'that a failure of the platform costs nothing even when an iteration exists',
  ],
});

/** Only a check that was completed is paid for. */
const VALIDATION_CHECK = rated('validation-check', [perUnit('checks', 'check', '1')], {
  policy: {
    completed: { pays: 'actual' },
    cancelled: { pays: 'nothing' },
    'input-failed': { pays: 'nothing' },
    'platform-failed': { pays: 'nothing' },
    'time-limit': { pays: 'nothing' },
    'out-of-credits': { pays: 'nothing' },
  },
  inferred: ['the day from which the rate counts', 'the name of the meter'],
});

const later = (version: number, day: string, services: readonly ServiceRates[]): RateCard => ({
  version,
  title: `Rates of ${day}`,
  effectiveAt: parseInstant(`${day}T00:00:00Z`),
  services,
});

export const SEED_RATE_CARDS: readonly RateCard[] = [
  FIRST,
  later(2, '2012-01-01', [
    renderingByImage('1', [
      'the name of the meter',
      'the day from which the rate counts, published as until early 2012',
    ]),
  ]),
  later(3, '2012-04-06', [renderingByImage('5', ['the name of the meter'])]),
  later(4, '2013-04-12', [ofFirst('rendering')]),
  later(5, '2018-03-23', EIGHT),
  later(6, '2020-04-13', [...EIGHT, MODEL_TRANSLATION]),
  later(7, '2022-11-07', [...EIGHT, MODEL_TRANSLATION, DESIGN_AUTOMATION, GENERATIVE_STUDY, VALIDATION_CHECK]),
];
