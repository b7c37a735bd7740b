import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inFolder, runBuilt } from '../testing/run';

jest.setTimeout(60_000);
const STEEL = { tensileStress: 100, compressiveStress: 100, density: 7850 };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-truss-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function sized(truss: object) {
  const end = await runBuilt('truss', folder, JSON.stringify({ material: STEEL, ...truss }), {});
  const isDone = end.last.type === 'done';
  const rows = isDone ? inFolder(folder, 'members.csv').trimEnd().split('\n').slice(1) : [];
  return {
    ...end,
    summary: isDone ? JSON.parse(inFolder(folder, 'summary.json')) : {},
    areas: rows.map((row) => Number(row.split(',')[3])),
  };
}

const PULL = { name: 'pull', loads: { B: [50, 0] } };
const BAR = { nodes: { A: [0, 0], B: [2, 0] }, supports: { A: ['x', 'y'], B: ['y'] }, members: [['A', 'B']] };

test('a single bar is as thick as its worst load case needs', async () => {
  const push = { name: 'push', loads: { B: [-30, 0] } };
  const material = { ...STEEL, compressiveStress: 50 };
  const { areas, last, summary } = await sized({ ...BAR, material, loadCases: [PULL, push] });
  expect(areas).toEqual([600]);
  expect(summary.massKilograms).toBeCloseTo(600e-6 * 2 * 7850, 9);
  expect(last.counters).toMatchObject({ optimizations: 1, members: 1 });
});

test('areas keep to their least and most, and too small a most is refused with a sentence', async () => {
  expect((await sized({ ...BAR, minimumArea: 700, loadCases: [PULL] })).areas).toEqual([700]);
  const { code, last } = await sized({ ...BAR, maximumArea: 499, loadCases: [PULL] });
  expect({ code, type: last.type }).toEqual({ code: 2, type: 'failed' });
  expect(last.message).toMatch(/maximum area is too small/);
});

test('of three bars, a load along the middle one needs only that one', async () => {
  const { areas } = await sized({
    nodes: { A: [-1, 1], B: [0, 1], C: [1, 1], D: [0, 0] },
    supports: { A: ['x', 'y'], B: ['x', 'y'], C: ['x', 'y'] },
    members: [
      ['A', 'D'],
      ['B', 'D'],
      ['C', 'D'],
    ],
    loadCases: [{ name: 'down', loads: { D: [0, -100] } }],
  });
  expect(areas).toEqual([0, 1000, 0]);
});

test('a load beside a wall is carried by two bars at 45°, of volume 2 P L / σ', async () => {
  const nodes: Record<string, number[]> = { P: [3, 0] };
  for (let y = -6; y <= 6; y++) nodes[`W${y}`] = [0, y];
  const walls = Object.keys(nodes).filter((name) => name !== 'P');
  const { summary } = await sized({
    nodes,
    supports: Object.fromEntries(walls.map((name) => [name, ['x', 'y']])),
    members: walls.map((name) => [name, 'P']),
    loadCases: [{ name: 'down', loads: { P: [0, -10] } }],
  });
  expect(summary.volumeCubicMetres).toBeCloseTo((2 * 10_000 * 3) / 100e6, 10);
  expect(summary.membersUsed).toBe(2);
});

test('a load between two pins is carried by an arch and a fan, within 1 % above the optimum of Michell', async () => {
  // P L (1 + π / 2) / σ for a span of 2 L (Michell, 1904): bars at 45° that touch a quarter circle around the load.
  const nodes: Record<string, number[]> = { P: [0, 0], A: [-1, 0], B: [1, 0] };
  for (let spoke = 0; spoke <= 12; spoke++) {
    const angle = Math.PI / 4 + (spoke / 12) * (Math.PI / 2);
    nodes[`F${spoke}`] = [Math.cos(angle) * Math.SQRT1_2, Math.sin(angle) * Math.SQRT1_2];
  }
  const names = Object.keys(nodes);
  const members = names.flatMap((from, index) => names.slice(index + 1).map((to) => [from, to]));
  const { summary } = await sized({
    nodes,
    supports: { A: ['x', 'y'], B: ['x', 'y'] },
    members,
    loadCases: [{ name: 'down', loads: { P: [0, -10] } }],
  });
  const optimum = (10_000 * (1 + Math.PI / 2)) / 100e6;
  expect(summary.volumeCubicMetres / optimum).toBeGreaterThanOrEqual(1);
  expect(summary.volumeCubicMetres / optimum).toBeLessThan(1.01);
  expect(summary.equilibriumResidualKilonewtons).toBeLessThan(1e-8);
});

test('a tripod in space shares its load evenly', async () => {
  const foot = (turn: number) => [Math.cos(turn), Math.sin(turn), 0];
  const { areas } = await sized({
    nodes: { T: [0, 0, 1], A: foot(0), B: foot((2 * Math.PI) / 3), C: foot((4 * Math.PI) / 3) },
    supports: { A: ['x', 'y', 'z'], B: ['x', 'y', 'z'], C: ['x', 'y', 'z'] },
    members: [
      ['A', 'T'],
      ['B', 'T'],
      ['C', 'T'],
    ],
    loadCases: [{ name: 'down', loads: { T: [0, 0, -30] } }],
  });
  for (const area of areas) expect(area).toBeCloseTo(100 * Math.SQRT2, 3);
});

test('a mechanism is refused with a sentence', async () => {
  const { code, last } = await sized({
    ...BAR,
    supports: { A: ['x', 'y'] },
    loadCases: [{ name: 'side', loads: { B: [0, 1] } }],
  });
  expect(code).toBe(2);
  expect(last.message).toMatch(/mechanism/);
});
