import { readDesign, service } from '.';

const DESIGN = { title: 'Door', options: [{ name: 'colour', choices: ['red', 'grey'] }] };

it('reads a design with its options', () => {
  expect(readDesign(JSON.stringify(DESIGN))).toEqual(DESIGN);
});

it.each([
  ['{', /not JSON/],
  ['{"title":"Door","options":[]}', /options/],
  [JSON.stringify({ ...DESIGN, options: [...DESIGN.options, ...DESIGN.options] }), /named twice/],
  [JSON.stringify({ ...DESIGN, price: '$5' }), /Unrecognized key/],
])('refuses what is no design: %s', (text, sentence) => {
  expect(() => readDesign(text)).toThrow(sentence);
});

it('is one session for a user, and one that costs nothing for an administrator', () => {
  const used = (viewer: 'user' | 'administrator') => service.estimate(DESIGN, { viewer }).expected;
  expect(used('user')).toEqual([{ meter: 'sessions', quantity: 1_000_000n }]);
  expect(used('administrator')).toEqual([{ meter: 'administratorSessions', quantity: 1_000_000n }]);
});
