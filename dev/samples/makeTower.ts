/**
 * Makes `samples/tower.truss.json`: a lattice mast of 24 m under a line pull at its head and wind from both sides; the
 * optimisation chooses among all diagonals of up to two panels. `node dist/dev/samples/makeTower.js`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PANELS = 8;
const PANEL_HEIGHT = 3;

/** The file's text. */
export function makeTower(): string {
  const nodes: Record<string, number[]> = {};
  const rows: string[][] = [];
  for (let row = 0; row <= PANELS; row++) {
    // It narrows from 6 m at the foot to 2 m at the head.
    const half = 3 - (2 * row) / PANELS;
    const names = ['L', 'M', 'R'].map((side) => `${side}${row}`);
    for (const [index, name] of names.entries()) nodes[name] = [(index - 1) * half, row * PANEL_HEIGHT];
    rows.push(names);
  }
  const members: string[][] = [];
  for (const [row, names] of rows.entries()) {
    if (row > 0) members.push([names[0] as string, names[1] as string], [names[1] as string, names[2] as string]);
    for (const name of names) for (const above of rows[row + 1] ?? []) members.push([name, above]);
    for (const [from, to] of [
      [0, 2],
      [2, 0],
      [0, 1],
      [2, 1],
      [1, 0],
      [1, 2],
    ] as const) {
      const above = rows[row + 2]?.[to];
      if (above) members.push([names[from] as string, above]);
    }
  }
  const wind = (side: string, force: number) =>
    Object.fromEntries(rows.slice(1).map((_, row) => [`${side}${row + 1}`, [force, 0]]));
  const head = { [`M${PANELS}`]: [0, -60] };
  const tower = {
    title: 'Lattice mast, 24 m, wind from both sides',
    material: { tensileStress: 235, compressiveStress: 140, density: 7850 },
    nodes,
    supports: { L0: ['x', 'y'], R0: ['x', 'y'] },
    members: members.filter(([from, to]) => from !== 'M0' && to !== 'M0'),
    loadCases: [
      { name: 'wind from the left', loads: { ...wind('L', 6), ...head } },
      { name: 'wind from the right', loads: { ...wind('R', -6), ...head } },
      { name: 'line pull', loads: { [`R${PANELS}`]: [25, -30], ...head } },
    ],
  };
  const { M0: _, ...standing } = nodes;
  return `${JSON.stringify({ ...tower, nodes: standing }, null, 1)}\n`;
}

if (require.main === module) writeFileSync(join('samples', 'tower.truss.json'), makeTower());
