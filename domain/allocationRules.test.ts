import { type AllocationRule, objectionToRules } from './allocationRules';

const RULE: AllocationRule = {
  key: 'annual-100',
  product: 'mesh',
  type: null,
  level: null,
  recipient: 'contract',
  amount: '100',
  per: 'seat',
  frequency: 'per-term',
};

test('a list of rules that can be kept is not objected to, an empty one neither', () => {
  expect(objectionToRules([RULE, { ...RULE, key: 'b', recipient: 'named-user', per: 'flat' }])).toBeNull();
  expect(objectionToRules([])).toBeNull();
});

test.each([
  [[RULE, RULE], /^rules\.1\.key: annual-100 is there twice/],
  [[{ ...RULE, key: 'a/b' }], /^rules\.0\.key: 1 to 60 lower-case letters/],
  [[{ ...RULE, key: 'x'.repeat(61) }], /key/],
  [[{ ...RULE, amount: '0' }], /amount: an allocation is of more than zero/],
  [[{ ...RULE, amount: '90000.000001' }], /amount: at most 90000 credits for each seat/],
  [[{ ...RULE, product: ' mesh' }], /product: a word/],
  [[{ ...RULE, level: '' }], /level: a word/],
  [[{ ...RULE, recipient: 'named-user' }], /per: a named user gets a flat amount/],
  [Array.from({ length: 201 }, (_, index) => ({ ...RULE, key: `k${index}` })), /at most 200/],
] as const)('a list that cannot be kept is refused with a sentence', (rules, sentence) => {
  expect(objectionToRules(rules as readonly AllocationRule[])).toMatch(sentence);
});
