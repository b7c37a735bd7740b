import { type Cantilever, makeCantilever } from '../../dev/samples/makeCantilever';
import { doorDeck, OUTER_PLACES, patchDeck, strainField } from '../structure/testing/decks';
import { Attempt } from '../structure/testing/run';

jest.setTimeout(60_000);
const BEAM: Cantilever = {
  length: 100,
  width: 10,
  height: 10,
  mesh: [20, 4, 4],
  youngsModulus: 200_000,
  poissonsRatio: 0,
  force: 100,
};

let attempt: Attempt;
beforeEach(() => {
  attempt = new Attempt('elastic');
});
afterEach(() => attempt.remove());

const summary = () => JSON.parse(attempt.result('summary.json'));

describe('an analysis agrees with theory', () => {
  it.each(['C3D8', 'C3D8I'] as const)('a patch of distorted %s has constant stress, exactly', async (type) => {
    const step = [...OUTER_PLACES].flatMap(([node, place]) =>
      strainField(place).map((value, axis) => `${node}, ${axis + 1}, ${axis + 1}, ${value}`),
    );
    const { code, last } = await attempt.run(patchDeck(type, { boundary: [], step: ['*Boundary', ...step] }));
    expect({ code, type: last.type }).toEqual({ code: 0, type: 'done' });
    // MacNeal and Harder: 2000 in each direction, shears 400.
    for (const [, ...stress] of attempt.table('stresses.csv').values()) {
      for (const [part, value] of stress.entries()) expect(value).toBeCloseTo(part < 3 ? 2000 : 400, 3);
    }
    for (const [x = 0, y = 0, z = 0, ...moved] of attempt.table('displacements.csv').values()) {
      for (const [axis, value] of strainField([x, y, z]).entries()) expect(moved[axis]).toBeCloseTo(value, 10);
    }
  });

  it.each(['C3D8', 'C3D8I'] as const)(
    '%s that are pulled get longer by F L / E A and thinner by Poisson',
    async (type) => {
      const boundary = ['left, 1', '9, 2, 3', '13, 2'];
      await attempt.run(patchDeck(type, { boundary, step: ['*Cload', 'right, 1, 250.'] }));
      const moved = attempt.table('displacements.csv');
      // 1000 on a face of 1 with 1e6 and 0.25.
      expect(moved.get(15)?.slice(3)[0]).toBeCloseTo(1e-3, 9);
      expect(moved.get(15)?.slice(3)[1]).toBeCloseTo(-0.25e-3, 9);
      for (const [equivalent, xx, ...others] of attempt.table('stresses.csv').values()) {
        expect(equivalent).toBeCloseTo(1000, 3);
        expect(xx).toBeCloseTo(1000, 3);
        for (const value of others) expect(value).toBeCloseTo(0, 3);
      }
    },
  );

  it('a cantilever of C3D8I bends as a Timoshenko beam, within 0.5 %', async () => {
    await attempt.run(makeCantilever(BEAM));
    expect(-summary().maxDisplacement.components[2] / timoshenko(BEAM)).toBeGreaterThan(0.995);
    expect(-summary().maxDisplacement.components[2] / timoshenko(BEAM)).toBeLessThan(1.005);
  });

  it('a slender cantilever of one element in its height bends as a beam, within 2 %, where plain C3D8 lock', async () => {
    const slender: Cantilever = { ...BEAM, height: 2, mesh: [20, 2, 1] };
    await attempt.run(makeCantilever(slender));
    expect(Math.abs(-summary().maxDisplacement.components[2] / timoshenko(slender) - 1)).toBeLessThan(0.02);
    await attempt.run(makeCantilever({ ...slender, type: 'C3D8' }));
    expect(-summary().maxDisplacement.components[2] / timoshenko(slender)).toBeLessThan(0.5);
  });

  it('supports hold exactly what loads the model', async () => {
    await attempt.run(makeCantilever(BEAM));
    const { appliedForce, reactionForce, imbalance } = summary().equilibrium;
    expect(appliedForce[2]).toBeCloseTo(-100, 9);
    for (const axis of [0, 1, 2]) expect(reactionForce[axis] + appliedForce[axis]).toBeCloseTo(0, 5);
    expect(imbalance).toBeLessThan(1e-8);
  });
});

describe('the protocol', () => {
  it('counts the same twice, and never falls on the way', async () => {
    const first = await attempt.run(makeCantilever(BEAM));
    const tables = [
      attempt.result('displacements.csv'),
      attempt.result('stresses.csv'),
      attempt.result('deformed.svg'),
    ];
    const second = await attempt.run(makeCantilever(BEAM));
    expect(second.last).toEqual(first.last);
    expect([
      attempt.result('displacements.csv'),
      attempt.result('stresses.csv'),
      attempt.result('deformed.svg'),
    ]).toEqual(tables);
    const { analyses, equations, iterations = 0, elementIterations } = first.last.counters;
    expect({ analyses, equations, elementIterations }).toEqual({
      analyses: 1,
      equations: 3 * 20 * 25,
      elementIterations: 320 * iterations,
    });
    const fractions = first.reports.filter(({ type }) => type === 'progress').map(({ fraction }) => fraction ?? 0);
    expect(fractions).toEqual([...fractions].sort((one, other) => one - other));
    expect(first.reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual([
      'displacements.csv',
      'stresses.csv',
      'summary.json',
      'deformed.svg',
    ]);
  });

  it('stops when it is told to, in the middle of a solution, with no analysis done', async () => {
    const run = attempt.start(makeCantilever({ ...BEAM, length: 1000, mesh: [200, 10, 10] }), {}, 'iterations');
    await run.progressed;
    const from = performance.now();
    run.kill('SIGTERM');
    const { code, last } = await run.end;
    expect({ code, type: last.type, analyses: last.counters.analyses }).toEqual({
      code: 0,
      type: 'stopped',
      analyses: 0,
    });
    expect(last.counters.iterations).toBeGreaterThan(0);
    expect(performance.now() - from).toBeLessThan(3000);
  });
});

describe('a deck is refused with its line', () => {
  const deck = makeCantilever({ ...BEAM, mesh: [2, 1, 1] });

  it.each([
    ['a keyword beyond it', deck.replace('*MATERIAL', '*EQUATION\n1\n*MATERIAL'), /^line 25: \*EQUATION is beyond/],
    [
      'another file',
      deck.replace('*MATERIAL', '*INCLUDE, INPUT=/etc/passwd\n*MATERIAL'),
      /^line 25: \*INCLUDE is beyond/,
    ],
    ['large displacements', deck.replace('*STEP', '*STEP, NLGEOM'), /^line \d+: \*STEP with NLGEOM is beyond/],
    [
      'other elements',
      deck.replace('TYPE=C3D8I', 'TYPE=C3D8R'),
      /^line 17: elements are C3D8 or C3D8I here, not C3D8R/,
    ],
    ['a missing node', deck.replace('HELD, 1, 3', '999, 1, 3'), /^line \d+: there is no node 999$/],
    ['a missing set', deck.replace('HELD, 1, 3', 'OTHER, 1, 3'), /^line \d+: there is no node set OTHER$/],
    [
      'a word for a number',
      deck.replace('200000, 0', 'steel, 0'),
      /^line \d+: Young's modulus is a number, not "STEEL"$/,
    ],
    ['no support', deck.replace('*BOUNDARY\nHELD, 1, 3\n', ''), /can still move as a whole.* stop 0 of the 6/],
    ['too little support', deck.replace('HELD, 1, 3', 'HELD, 1'), /can still move as a whole.* stop 3 of the 6/],
    ['no load', deck.replace(/\*CLOAD\n[^*]*/, ''), /^nothing loads the model/],
    ['no step', deck.slice(0, deck.indexOf('*STEP')), /no static step/],
    ['two steps', `${deck}*STEP\n*STATIC\n*END STEP\n`, /^line \d+: one job is one analysis/],
    [
      'an element that is turned inside out',
      deck.replace('1, 1, 2, 5, 4, 7', '1, 7, 2, 5, 4, 1'),
      /^element 1 has no volume/,
    ],
    ['a part on a hinge', doorDeck(), /^the model has no single answer/],
    ['another text', 'Dear friends', /^line 1: a deck starts with a keyword/],
  ])('%s', async (_, text, message) => {
    const { code, last } = await attempt.run(text);
    expect({ code, type: last.type, analyses: last.counters.analyses }).toEqual({
      code: 2,
      type: 'failed',
      analyses: 0,
    });
    expect(last.message).toMatch(message);
  });

  it('two bodies of which one is held', async () => {
    const far = OUTER_PLACES.size + 100;
    const nodes = [...OUTER_PLACES.values()].map(([x = 0, y = 0, z = 0], at) => `${far + at}, ${x + 500}, ${y}, ${z}`);
    const second = [
      '*NODE',
      ...nodes,
      '*ELEMENT, TYPE=C3D8, ELSET=BEAM',
      [99, ...nodes.map((_, at) => far + at)].join(','),
    ];
    const { last } = await attempt.run(deck.replace('*NSET', `${second.join('\n')}\n*NSET`));
    expect(last.message).toMatch(/^the body with node 10\d can still move as a whole/);
  });
});

/** The deflection of the end, from bending and from shear (shear coefficient of a rectangle: 5/6). */
function timoshenko({ length, width, height, youngsModulus, poissonsRatio, force }: Cantilever): number {
  const inertia = (width * height ** 3) / 12;
  const shearModulus = youngsModulus / (2 * (1 + poissonsRatio));
  return (
    (force * length ** 3) / (3 * youngsModulus * inertia) + (force * length) / ((5 / 6) * shearModulus * width * height)
  );
}
