import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { clearEngines, fallsIn, startEngine } from '../testing/drive';
import { farthest, GHIA, type Profile } from './testing/ghia';

jest.setTimeout(120_000);
afterEach(clearEngines);

interface Wanted {
  readonly geometry?: object;
  readonly cells?: { x: number; y: number };
  readonly fluid?: object;
  readonly speed?: number;
  readonly run?: object;
}

const square = { kind: 'cavity', width: 1, height: 1 };
const coarse = {
  geometry: { kind: 'channel', width: 3, height: 1, obstacle: { x: 0.75, y: 0.25, width: 0.5, height: 0.5 } },
  cells: { x: 12, y: 8 },
};
const around = { kind: 'channel', width: 3, height: 1, obstacle: { x: 0.8, y: 0.4, width: 0.2, height: 0.2 } };

function caseText(wanted: Wanted): string {
  const run = { mode: 'steady', tolerance: 1e-4, stepsMax: 20_000 };
  return JSON.stringify({
    geometry: square,
    cells: { x: 16, y: 16 },
    fluid: { reynolds: 100 },
    speed: 1,
    run,
    ...wanted,
  });
}

/** Runs a case to its end and reads its results. */
async function computed(wanted: Wanted) {
  const engine = startEngine('flow', caseText(wanted));
  const end = await engine.end;
  const result = (name: string) => readFileSync(join(engine.folder, 'out', name), 'utf8');
  const rows = (name: string) => result(name).trim().split('\n').slice(1);
  const profile = (line: string): Profile =>
    rows('centrelines.csv')
      .filter((row) => row.startsWith(line))
      .map((row) => row.split(',').slice(1).map(Number) as [number, number]);
  const cells = (): Cell[] =>
    rows('fields.csv').map((row) => {
      const [x, y, u, v, p] = row.split(',').map(Number) as [number, number, number, number, number];
      return { x, y, u, v, p };
    });
  return { ...end, result, profile, cells, summary: JSON.parse(result('summary.json')) as Summary };
}

interface Cell {
  readonly x: number;
  readonly y: number;
  readonly u: number;
  readonly v: number;
  readonly p: number;
}

type Summary = Readonly<Record<'divergence' | 'massImbalance' | 'drag' | 'lift' | 'time' | 'timeStep', number>>;

describe('a computed flow agrees with what is known', () => {
  it.each([
    [100, 0.005, 0.01],
    [400, 0.015, 0.02],
  ] as const)(
    'the cavity at Reynolds number %i, with the tables of Ghia, Ghia and Shin',
    async (reynolds, uMost, vMost) => {
      const { profile, summary } = await computed({ cells: { x: 48, y: 48 }, fluid: { reynolds } });
      expect(farthest(GHIA[reynolds].u, profile('u at'))).toBeLessThan(uMost);
      expect(farthest(GHIA[reynolds].v, profile('v at'))).toBeLessThan(vMost);
      expect(summary.divergence).toBeLessThan(1e-6);
    },
  );

  it('a channel without an obstacle, with the parabola and the pressure drop of Poiseuille', async () => {
    const { cells, summary } = await computed({
      geometry: { kind: 'channel', width: 2, height: 1 },
      cells: { x: 40, y: 20 },
      fluid: { viscosity: 0.1, density: 2 },
    });
    const [atQuarter, atHalf] = [0.525, 1.025].map((x) => cells().filter((cell) => cell.x === x)) as [Cell[], Cell[]];
    for (const { y, u } of atHalf) expect(Math.abs(u - 6 * y * (1 - y))).toBeLessThan(0.01);
    // 12 × density × viscosity × speed / height²; the parabola of 20 cells is off by 1/400.
    const gradient = ((atHalf[10] as Cell).p - (atQuarter[10] as Cell).p) / 0.5;
    expect(Math.abs(gradient + 2.4)).toBeLessThan(0.02);
    expect(Math.abs(summary.massImbalance)).toBeLessThan(1e-6);
  });

  it('a square in the middle of a channel is dragged along, by what the flow loses, and not lifted', async () => {
    const { cells, summary } = await computed({
      geometry: around,
      cells: { x: 60, y: 20 },
      fluid: { viscosity: 0.01, density: 3 },
      run: { mode: 'steady', tolerance: 1e-3 },
    });
    expect(Math.abs(summary.lift)).toBeLessThan(1e-4 * summary.drag);
    const loss = lossOf(cells(), { dx: 0.05, dy: 0.05, viscosity: 0.01, density: 3 });
    expect(Math.abs(summary.drag / loss - 1)).toBeLessThan(0.03);
    expect(Math.abs(summary.massImbalance)).toBeLessThan(1e-6);
  });

  it('ends a transient run exactly at its end', async () => {
    const { last, summary } = await computed({ run: { mode: 'transient', endTime: 0.5 } });
    expect(summary.time).toBeCloseTo(0.5, 12);
    expect(summary.timeStep * (last.counters.steps as number)).toBeCloseTo(0.5, 12);
  });
});

describe('the engine', () => {
  it('reports counters that never fall, and every result before it is done', async () => {
    const { code, last, reports, result, summary } = await computed({ cells: { x: 32, y: 32 } });
    expect({ code, type: last.type }).toEqual({ code: 0, type: 'done' });
    expect(fallsIn(reports)).toEqual([]);
    const { simulations, cells, steps, cellSteps } = last.counters;
    expect({ simulations, cells, cellSteps }).toEqual({ simulations: 1, cells: 1024, cellSteps: 1024 * Number(steps) });
    expect(reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual([
      'velocity.svg',
      'centrelines.csv',
      'fields.csv',
      'residuals.csv',
      'residuals.svg',
      'summary.json',
    ]);
    expect(summary).toMatchObject({ converged: true, state: 'steady', cells: 1024, steps });
    expect(result('velocity.svg')).toMatch(/^<svg .*speed \(m\/s\).*<\/svg>\n$/s);
    const lines = result('fields.csv').trim().split('\n');
    expect(lines.length).toBe(1 + 1024);
    expect(lines.slice(1).every((line) => line.split(',').map(Number).every(Number.isFinite))).toBe(true);
  });

  it('says so when the steps were used up before the flow was steady', async () => {
    const { last, summary } = await computed({ run: { mode: 'steady', tolerance: 1e-6, stepsMax: 40 } });
    expect(last).toMatchObject({ type: 'done', counters: { simulations: 1, steps: 40 } });
    expect(summary).toMatchObject({ converged: false, state: 'NOT steady when its steps were used up' });
  });

  it('stops with the flow as far as it came', async () => {
    const engine = startEngine(
      'flow',
      caseText({ cells: { x: 64, y: 64 }, run: { mode: 'transient', endTime: 1000 } }),
    );
    await engine.until(({ counters }) => (counters?.steps ?? 0) > 10);
    engine.child.kill('SIGTERM');
    const { code, last, reports } = await engine.end;
    expect({ code, type: last.type, simulations: last.counters.simulations }).toEqual({
      code: 0,
      type: 'stopped',
      simulations: 0,
    });
    expect(reports.map(({ name }) => name)).toContain('velocity.svg');
  });

  it.each([
    ['no JSON', '{', /not JSON/],
    ['a number that is none', caseText({ speed: 1 }).replace('"speed":1', '"speed":1e999'), /speed is a number/],
    ['an obstacle in the wall', caseText({ geometry: { ...around, height: 0.5 } }), /two cells thick/],
    [
      'a flow that leaves every bound',
      caseText({ ...coarse, fluid: { viscosity: 1e-6 }, run: { mode: 'transient', endTime: 200 } }),
      /left every bound/,
    ],
  ])('refuses %s with a sentence', async (_, text, sentence) => {
    const { code, last } = await startEngine('flow', text).end;
    expect({ code, type: last.type }).toEqual({ code: 2, type: 'failed' });
    expect(last.message).toMatch(sentence);
  });
});

/** The force that a channel's flow gives up between its ends, less what the channel's own walls take. */
function lossOf(
  cells: readonly Cell[],
  { dx, dy, viscosity, density }: { dx: number; dy: number; viscosity: number; density: number },
): number {
  const column = (x: number) => cells.filter((cell) => Math.abs(cell.x - x) < dx / 4);
  const right = Math.max(...cells.map(({ x }) => x));
  const through = (column: readonly Cell[]) => column.reduce((sum, { u, p }) => sum + (p + density * u ** 2) * dy, 0);
  const wall = cells
    .filter(({ x, y }) => (y < dy || y > 1 - dy) && x > dx && x < right)
    .reduce((sum, { u }) => sum + ((density * viscosity * u) / (dy / 2)) * dx, 0);
  // Between the second column and the last: the first one's cells mix with the inlet.
  return through(column(1.5 * dx)) - through(column(right)) - wall;
}
