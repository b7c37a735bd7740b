/** A service of tests whose amounts can be added up in the head: one round costs one credit. */
import { z } from 'zod';
import { parseInstant } from '../../domain/instant';
import type { RateCard, ServiceRates } from '../../domain/rateCard';
import { wholeUnits } from '../../domain/usage';
import type { Service } from '../../services/service';

export const METER = 'rounds';
export const CARD_VERSION = 1000;

const TERMS: Pick<ServiceRates, 'rounding' | 'reserves' | 'policy'> = {
  rounding: 'microcredit-up',
  reserves: 'expected',
  policy: {
    completed: { pays: 'actual' },
    cancelled: { pays: 'actual' },
    'input-failed': { pays: 'nothing' },
    'platform-failed': { pays: 'nothing' },
    'time-limit': { pays: 'actual' },
    'out-of-credits': { pays: 'actual' },
  },
};

export const CARD: RateCard = {
  version: CARD_VERSION,
  title: 'A credit a round',
  effectiveAt: parseInstant('2018-03-23T00:00:00Z'),
  services: [
    {
      service: 'rounds',
      rates: [{ meter: METER, unit: 'round', model: { kind: 'per-unit', price: '1' } }],
      ...TERMS,
    },
    {
      service: 'injection-moulding',
      rates: [{ meter: 'doeRuns', unit: 'run', model: { kind: 'per-unit', price: '20' } }],
      ...TERMS,
    },
  ],
};

/** Runs on the engine that does what its parameters say, step by step. */
export const rounds: Service<{ steps: unknown[] }, null> = {
  name: 'rounds',
  title: 'Rounds',
  description: 'Counts rounds.',
  parameters: z.strictObject({ steps: z.array(z.unknown()) }),
  accepts: [],
  inputBytesMax: 1024,
  meters: [{ name: METER, unit: 'round', title: 'Rounds', rated: true }],
  engines: [{ name: 'scripted', onLostAttempt: 'restart' }],
  inspect: async () => null,
  estimate: () => ({ low: [], expected: [], high: [], reason: 'nobody knows' }),
  dimensions: () => ({}),
  usageOf: (counters) => [{ meter: METER, quantity: wholeUnits(counters[METER] ?? 0) }],
};
