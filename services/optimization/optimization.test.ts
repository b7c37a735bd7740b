import { join } from 'node:path';
import { service } from '.';
import { readTruss } from './truss';

const TRUSS = {
  material: { tensileStress: 200, compressiveStress: 100, density: 7850 },
  nodes: { A: [0, 0], B: [2, 0], C: [1, 1] },
  supports: { A: ['x', 'y'], B: ['x', 'y'] },
  members: [
    ['A', 'C'],
    ['B', 'C'],
  ],
  loadCases: [{ name: 'down', loads: { C: [0, -10] } }],
};

function codeOf(change: object | string): string {
  try {
    readTruss(typeof change === 'string' ? change : JSON.stringify({ ...TRUSS, ...change }));
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'accepted';
}

test.each([
  ['accepted', {}],
  ['input_not_truss', 'no json'],
  ['input_not_truss', 'null'],
  ['input_not_truss', { nodes: { A: [0, 0], B: [2, 0], C: [1, 1e300] } }],
  ['input_not_truss', { nodes: { A: [0, 0], B: [2, 0, 0], C: [1, 1] } }],
  ['input_not_truss', { unknown: 1 }],
  ['input_not_truss', { minimumArea: 3, maximumArea: 2 }],
  ['truss_too_large', { members: Array.from({ length: 10_001 }, () => ['A', 'C']) }],
  [
    'truss_node_unknown',
    {
      members: [
        ['A', 'C'],
        ['B', 'toString'],
      ],
    },
  ],
  [
    'truss_member_invalid',
    {
      members: [
        ['A', 'C'],
        ['C', 'A'],
      ],
    },
  ],
  ['truss_member_invalid', { members: [['A', 'A']] }],
  ['truss_disconnected', { nodes: { ...TRUSS.nodes, D: [5, 5], E: [6, 5] }, members: [...TRUSS.members, ['D', 'E']] }],
  ['truss_not_loaded', { loadCases: [{ name: 'ground', loads: { A: [1, 0] } }] }],
  ['truss_mechanism', { members: [['A', 'C']] }],
  ['truss_mechanism', { supports: { A: ['y'], B: ['y'] }, loadCases: [{ name: 'side', loads: { C: [1, 0] } }] }],
])('a truss is %s: %#', (code, change) => {
  expect(codeOf(change)).toBe(code);
});

test('a mechanism that no load moves is let through, since plastic design needs no more', () => {
  expect(codeOf({ members: [['A', 'C']], loadCases: [{ name: 'along', loads: { C: [3, 3] } }] })).toBe('accepted');
});

test('the sample is one optimization', async () => {
  const facts = await service.inspect({ path: join(__dirname, '../../samples/tower.truss.json'), size: 0 });
  expect(facts).toMatchObject({ dimensions: 2, nodes: 26, members: 125, loadCases: 3 });
  expect(service.estimate(facts, {}).high).toEqual([{ meter: 'optimizations', quantity: 1_000_000n }]);
});
