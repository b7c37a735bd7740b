import { Filling } from './filling';
import { fileOfRun, mouldOf } from './mould';
import { summaryOf } from './tables';

function filled(file: object): { mould: ReturnType<typeof mouldOf>; filling: Filling } {
  const mould = mouldOf(file as Parameters<typeof mouldOf>[0]);
  const filling = new Filling(mould);
  while (!filling.isOver) filling.advance();
  return { mould, filling };
}

const MPA = 1e6;
/** 200 mm long, 20 mm wide, 2 mm thick, filled from its left edge. */
const strip = {
  plate: { width: 200, height: 20, thickness: 2 },
  gates: [{ edge: 'left' }],
  material: { viscosity: 200 },
  injection: { flowRate: 8, pressureLimit: 500 },
  cells: 80,
};

describe('a strip that is filled from its edge agrees with the solution on paper', () => {
  it('at a constant flow: it is full after volume over flow, and the gate needs 12 η Q L / (w h³)', () => {
    const { mould, filling } = filled(strip);
    expect(filling.time).toBeCloseTo(8e-6 / 8e-6, 4);
    for (const { time, pressure } of filling.moments) {
      const front = (time * 8e-6) / (0.02 * 0.002);
      expect(pressure / ((12 * 200 * 8e-6 * front) / (0.02 * 0.002 ** 3))).toBeCloseTo(1, 4);
    }
    expect(summaryOf(mould, filling)).toMatchObject({ filled: true, filledPercent: 100, cavityVolumeCm3: 8 });
  });

  it('at a constant pressure: it is full after 6 η L² / (p h²), to the size of a cell', () => {
    const { filling } = filled({ ...strip, injection: { pressure: 60 } });
    expect(filling.time / ((6 * 200 * 0.2 ** 2) / (60 * MPA * 0.002 ** 2))).toBeCloseTo(1, 1);
  });

  it.each([0.3, 0.6])(
    'for a power law with the exponent %d: the fall of pressure is that of its plane channel',
    (n) => {
      const consistency = 5_000;
      const { filling } = filled({
        ...strip,
        material: { consistency, exponent: n },
        injection: { flowRate: 8, pressureLimit: 1000 },
      });
      const last = filling.moments.at(-1);
      const front = ((last?.time ?? 0) * 8e-6) / (0.02 * 0.002);
      // Mean velocity u: dp/dx = 2 K / h (u (4n+2) / (n h))^n.
      const fall = ((2 * consistency) / 0.002) * ((0.2 * (4 * n + 2)) / (n * 0.002)) ** n;
      expect((last?.pressure ?? 0) / (fall * front)).toBeCloseTo(1, 2);
    },
  );
});

describe('a plate that is filled from a pin in its middle', () => {
  const plate = {
    plate: { width: 101, height: 101, thickness: 2 },
    gates: [{ x: 50.5, y: 50.5, diameter: 0.4 }],
    material: { viscosity: 100 },
    injection: { flowRate: 10, pressureLimit: 500 },
    cells: 41,
  };
  const { mould, filling } = filled(plate);
  const radial = filling.moments.filter(({ filled: part }) => part > 0.15 && part < 0.7);

  it('has a front whose radius grows as the root of the time', () => {
    const distances: number[] = [];
    for (const [cell, time] of filling.filledAt.entries()) {
      const x = ((cell % mould.stride) - 0.5) * mould.dx - 0.0505;
      const y = (Math.floor(cell / mould.stride) - 0.5) * mould.dy - 0.0505;
      const radius = Math.hypot(x, y);
      if (radius < 0.015 || radius > 0.045 || Number.isNaN(time)) continue;
      distances.push((radius - Math.sqrt((10e-6 * time) / (Math.PI * 0.002))) / mould.dx);
    }
    expect(distances.length).toBeGreaterThan(500);
    // A cell is full when the front has passed its far side.
    expect(Math.max(...distances.map(Math.abs))).toBeLessThan(1.5);
  });

  it('needs 6 η Q / (π h³) ln(R / r) at the gate', () => {
    expect(radial.length).toBeGreaterThan(20);
    for (const { time, pressure } of radial) {
      const front = Math.sqrt((10e-6 * time) / (Math.PI * 0.002));
      const exact = ((6 * 100 * 10e-6) / (Math.PI * 0.002 ** 3)) * Math.log(front / 0.0002);
      expect(Math.abs(pressure / exact - 1)).toBeLessThan(0.02);
    }
  });

  it('is last filled in a corner, and alike in all of them', () => {
    const { stride, columns, rows } = mould;
    const corners = [stride + 1, stride + columns, rows * stride + 1, rows * stride + columns];
    const times = corners.map((cell) => filling.filledAt[cell] as number);
    expect(corners).toContain(filling.lastCell);
    expect(Math.max(...times) / Math.min(...times)).toBeCloseTo(1, 3);
  });
});

describe('a short shot', () => {
  it('is where the gate needs more than its limit: the strip is filled as far as the limit carries', () => {
    const { mould, filling } = filled({ ...strip, injection: { flowRate: 8, pressureLimit: 12 } });
    expect(filling.shortShot).toBe('pressure');
    const reach = (12 * MPA * 0.02 * 0.002 ** 3) / (12 * 200 * 8e-6);
    expect(filling.filled).toBeCloseTo(reach / 0.2, 1);
    expect(summaryOf(mould, filling)).toMatchObject({ filled: false, fillTimeSeconds: null });
  });

  it('is where the time is over', () => {
    const { filling } = filled({ ...strip, injection: { flowRate: 8, pressureLimit: 500, timeLimit: 0.5 } });
    expect(filling).toMatchObject({ shortShot: 'time', time: 0.5 });
    expect(filling.filled).toBeCloseTo(0.5, 6);
  });
});

describe('what cannot be moulded is said with what to mend', () => {
  const hole = { kind: 'hole', x: 90, y: 0, width: 20, height: 20 };
  it.each([
    [{ ...strip, regions: [hole] }, /cut a part of the plate off/],
    [
      { ...strip, gates: [{ x: 100, y: 10, diameter: 2 }], regions: [{ ...hole, height: 15 }] },
      /gates.0: the gate lies in a hole/,
    ],
    [{ ...strip, plate: { ...strip.plate, thickness: 0 } }, /plate.thickness is 0; it is from 0.05 to 50 mm/],
  ])('%#', (file, message) => expect(() => filled(file)).toThrow(message));
});

describe('a design of experiments', () => {
  const factors = [
    { field: 'plate.thickness', levels: [1, 2] },
    { field: 'injection.flowRate', levels: [5, 10, 20] },
  ];
  const text = (design: object) => JSON.stringify({ ...strip, designOfExperiments: design });
  it('runs every combination of its levels, the last factor changing fastest', () => {
    const points = [1, 2, 3, 4, 5, 6].map((run) => Object.values(fileOfRun(text({ factors }), run).factors));
    expect(points).toEqual([
      [1, 5],
      [1, 10],
      [1, 20],
      [2, 5],
      [2, 10],
      [2, 20],
    ]);
    expect(() => fileOfRun(text({ factors }), 7)).toThrow('has no run 7');
  });
  it('runs the rows of a table, and sets their values in the file', () => {
    const design = {
      factors: factors.map(({ field }) => ({ field })),
      runs: [
        [1.5, 7],
        [3, 9],
      ],
    };
    expect(fileOfRun(text(design), 2)).toMatchObject({
      isDesign: true,
      factors: { 'plate.thickness': 3, 'injection.flowRate': 9 },
      file: { plate: { thickness: 3, width: 200 }, injection: { flowRate: 9 } },
    });
  });
  it('is not there in a file without one', () => {
    expect(fileOfRun(JSON.stringify(strip), 1)).toMatchObject({ isDesign: false, factors: {} });
  });
});
