/**
 * The history of the allocation rules that a new installation starts with. What is published: the amounts, the dates, for
 * whom. Inferred, and named so: the words of the types, which of the amounts by term are shared, how often the first ones came.
 */
import type { AllocationRule, AllocationRules } from '../domain/allocationRules';
import { parseInstant } from '../domain/instant';

const perSeat = {
  product: null,
  type: null,
  level: null,
  recipient: 'contract',
  per: 'seat',
  frequency: 'per-term',
} as const;

/** For each licence of a type, at the start of each term, pooled on the contract. */
function byTerm(type: string, amount: string): AllocationRule {
  return {
    ...perSeat,
    key: `term-${type}`,
    type,
    amount,
    inferred: [`the word “${type}” for this type`, 'that it is pooled on the contract, as in the version before'],
  };
}

export const SEED_ALLOCATION_RULES: readonly AllocationRules[] = [
  {
    version: 1,
    title: '2012: up to 100 for each eligible seat',
    effectiveAt: parseInstant('2012-01-01T00:00:00Z'),
    rules: [
      {
        ...perSeat,
        key: 'eligible-seat',
        amount: '100',
        frequency: 'once',
        inferred: [
          'the first of January: only the year is published',
          'the whole of “up to 100”',
          'that every seat is eligible',
          'that it is once',
        ],
      },
    ],
  },
  {
    version: 2,
    title: '2013-04-12: 100 for each licence and year, pooled on the contract',
    effectiveAt: parseInstant('2013-04-12T00:00:00Z'),
    rules: [{ ...perSeat, key: 'licence-year', amount: '100', inferred: ['that a term is a year'] }],
  },
  {
    version: 3,
    title: '2013-12-13: 100 for each new named user, once; by term for each licence',
    effectiveAt: parseInstant('2013-12-13T00:00:00Z'),
    rules: [
      {
        key: 'named-user',
        product: null,
        // 30 licences with one named user are 100 credits in all: what is granted by term is for other types.
        type: 'maintenance',
        level: null,
        recipient: 'named-user',
        amount: '100',
        per: 'flat',
        frequency: 'once',
        inferred: ['the word “maintenance” for the type that is granted for named users and not by term'],
      },
      byTerm('annual', '100'),
      byTerm('quarterly', '150'),
      byTerm('two-years', '500'),
      byTerm('three-years', '500'),
      byTerm('not-for-resale', '2500'),
    ],
  },
];
