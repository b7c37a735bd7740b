import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inFolder, runBuilt, startBuilt } from '../testing/run';

jest.setTimeout(60_000);
const LIMITS = {
  formationWidth: 10,
  maximumGradePercent: 6,
  minimumCurveRadius: 1,
  cutCost: 1,
  fillCost: 1,
  stationSpacing: 10,
  controlPoints: [],
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-road-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function road(points: readonly (readonly [number, number])[], limits: object = {}) {
  const input = ['chainage,level', ...points.map((point) => point.join(','))].join('\n');
  const end = await runBuilt('road-profile', folder, input, { ...LIMITS, ...limits });
  const isDone = end.last.type === 'done';
  const rows = isDone ? inFolder(folder, 'profile.csv').trimEnd().split('\n').slice(1) : [];
  const summary = isDone ? JSON.parse(inFolder(folder, 'summary.json')) : {};
  return { ...end, summary, rows: rows.map((row) => row.split(',').map(Number)) };
}

describe('an alignment agrees with what can be worked out by hand', () => {
  it('moves nothing where the ground keeps the limits', async () => {
    const { last, summary } = await road(
      [
        [0, 100],
        [500, 100],
        [1000.0004, 105],
      ],
      { minimumCurveRadius: 0.5 },
    );
    expect(last).toMatchObject({ type: 'done', counters: { millimetres: 1_000_001, stations: 102 } });
    expect([summary.cutCubicMetres, summary.fillCubicMetres].map((volume) => Math.round(volume))).toEqual([0, 0]);
  });

  it('cuts a ridge of 2 m to the half metre that 5 % can climb', async () => {
    // The ends hold the road to 0.5 m at most above the middle's ground level of 0, 10 m from each end: 1.5 m are cut.
    const { summary, rows } = await road(
      [
        [0, 0],
        [10, 2],
        [20, 0],
      ],
      { maximumGradePercent: 5 },
    );
    expect(rows.map(([, , design]) => design)).toEqual([0, 0.5, 0]);
    expect(summary).toMatchObject({ cutCubicMetres: 150, fillCubicMetres: 0, cost: 150, maximumGradePercent: 5 });
  });

  it('fills a V valley up to the steepest road that leads through it', async () => {
    // 20 % slopes, 10 % road: the start is held, so the road falls 10 % all the way and the fill is a triangle.
    const { summary, rows } = await road(
      [
        [0, 20],
        [100, 0],
        [200, 20],
      ],
      { maximumGradePercent: 10 },
    );
    expect(rows[10]?.[2]).toBeCloseTo(10, 6);
    expect(summary.fillCubicMetres).toBeCloseTo((10 * 200 * 10) / 2, 1);
    expect(summary.cutCubicMetres).toBeCloseTo(0, 3);
  });

  it('rounds a crest with the radius that was asked', async () => {
    const { summary } = await road(
      [
        [0, 0],
        [200, 8],
        [400, 0],
      ],
      { minimumCurveRadius: 2000 },
    );
    expect(summary.minimumRadius).toBeCloseTo(2000, 0);
    expect(summary.cutCubicMetres).toBeGreaterThan(0);
  });

  it('is as cheap as the best of all levels on a grid', async () => {
    const ground = [0, 1.5, -1, 2, 0.5];
    const { summary } = await road(
      ground.map((level, index) => [index * 10, level] as const),
      {
        maximumGradePercent: 8,
        minimumCurveRadius: 100,
        fillCost: 2,
      },
    );
    let best = Number.POSITIVE_INFINITY;
    const steps = Array.from({ length: 41 }, (_, index) => (index - 20) / 10);
    for (const a of steps)
      for (const b of steps)
        for (const c of steps) {
          const design = [0, a, b, c, 0.5];
          const grades = design.slice(1).map((level, index) => level - (design[index] as number));
          if (grades.some((rise) => Math.abs(rise) > 0.8 + 1e-9)) continue;
          if (grades.slice(1).some((rise, index) => Math.abs(rise - (grades[index] as number)) > 1 + 1e-9)) continue;
          const cost = design.reduce((sum, level, index) => {
            const height = level - (ground[index] as number);
            return sum + 100 * (height > 0 ? 2 * height : -height);
          }, 0);
          best = Math.min(best, cost);
        }
    expect(summary.cost).toBeCloseTo(best, 6);
  });

  it('goes through, above and below the control points', async () => {
    const flat = [
      [0, 0],
      [600, 0],
    ] as const;
    const controlPoints = [
      { chainage: 105, level: 2, kind: 'through' },
      { chainage: 300, level: -1, kind: 'not-above' },
      { chainage: 455, level: 1.5, kind: 'not-below' },
    ];
    const { rows } = await road(flat, { controlPoints });
    const level = (index: number) => rows[index]?.[2] as number;
    expect((level(10) + level(11)) / 2).toBeCloseTo(2, 5);
    expect(level(30)).toBeLessThanOrEqual(-1 + 1e-5);
    expect((level(45) + level(46)) / 2).toBeGreaterThanOrEqual(1.5 - 1e-5);
  });
});

describe('limits that cannot be kept are named', () => {
  it('names those that conflict, and no others', async () => {
    const controlPoints = [
      { chainage: 50, level: 50, kind: 'through' },
      { chainage: 150, level: 0, kind: 'not-below' },
    ];
    const { code, last } = await road(
      [
        [0, 0],
        [200, 0],
      ],
      { controlPoints, minimumCurveRadius: 0.1 },
    );
    expect({ code, type: last.type }).toEqual({ code: 2, type: 'failed' });
    expect(last.message).toMatch(
      /maximum grade of 6 % and the control point at 50 m \(through 50 m\) cannot all be kept/,
    );
    expect(last.message).not.toMatch(/150 m|radius/);
  });

  it('names the grade alone when the ends are too far apart', async () => {
    const { last } = await road([
      [0, 0],
      [100, 20],
    ]);
    expect(last.message).toMatch(
      /the maximum grade of 6 % cannot be kept between a start at 0.00 m and an end at 20.00 m/,
    );
  });

  it('names the line of a chainage that does not grow', async () => {
    expect(
      (
        await road([
          [0, 0],
          [10, 1],
          [10, 2],
        ])
      ).last.message,
    ).toMatch(/Line 4: the chainage does not grow/);
  });
});

describe('a long road', () => {
  const long = Array.from(
    { length: 1001 },
    (_, index) => [index * 20, 40 * Math.sin(index / 40) + 9 * Math.sin(index / 7)] as const,
  );

  it('of 20 km is solved and drawn', async () => {
    const { last, summary } = await road(long, { minimumCurveRadius: 4000 });
    expect(last).toMatchObject({ type: 'done', counters: { millimetres: 20_000_000, stations: 2001 } });
    expect(summary.optimalityGap).toBeLessThan(1e-6);
    expect(inFolder(folder, 'profile.svg')).toMatch(/^<svg .*mass haul.*<\/svg>\n$/s);
  });

  it('stops at SIGTERM within 3 s, in the middle of solving', async () => {
    const input = ['chainage,level', ...long.map((point) => point.join(','))].join('\n');
    const running = startBuilt('road-profile', folder, input, {
      ...LIMITS,
      minimumCurveRadius: 4000,
      stationSpacing: 2,
    });
    await running.until(({ fraction }) => fraction === 0.1);
    const stoppedAt = performance.now();
    running.child.kill('SIGTERM');
    const { code, last } = await running.end;
    expect({ code, type: last.type, metres: last.counters.millimetres }).toEqual({
      code: 0,
      type: 'stopped',
      metres: 0,
    });
    expect(performance.now() - stoppedAt).toBeLessThan(3000);
  });
});
