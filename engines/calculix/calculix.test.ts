import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Cantilever, makeCantilever, SAMPLE } from '../../dev/samples/makeCantilever';
import { doorDeck } from '../structure/testing/decks';
import { Attempt, areInstalled } from '../structure/testing/run';
import { deckForProgram } from './deckForProgram';
import { readResults } from './frd';

jest.setTimeout(120_000);
const whereInstalled = areInstalled('ccx', 'gmsh') ? describe : describe.skip;
const BEAM: Cantilever = { ...SAMPLE, length: 100, width: 10, height: 10, mesh: [20, 4, 4], force: 100 };
const bracket = readFileSync(join(__dirname, '..', '..', 'samples', 'bracket.geo'), 'utf8');
const LOADING = {
  youngsModulus: 210_000,
  poissonsRatio: 0.3,
  fixed: 'fixed',
  loaded: 'loaded',
  force: [0, 0, -200],
  meshSize: 8,
};

let attempt: Attempt;
beforeEach(() => {
  attempt = new Attempt('calculix');
});
afterEach(() => attempt.remove());

const summary = (of = attempt) => JSON.parse(of.result('summary.json'));

whereInstalled('CalculiX, where it is installed, gmsh with it', () => {
  it.each(['C3D8', 'C3D8I'] as const)(
    'and our own hexahedra agree on the same deck of %s: every node within 0.1 %, stress in the middle within 5 %',
    async (type) => {
      const deck = makeCantilever({ ...BEAM, type });
      const own = new Attempt('elastic');
      try {
        const [theirs, ours] = [await attempt.run(deck), await own.run(deck)];
        expect([theirs.last.type, ours.last.type]).toEqual(['done', 'done']);
        const tip = summary().maxDisplacement.value;
        expect(Math.abs(summary(own).maxDisplacement.value / tip - 1)).toBeLessThan(1e-3);
        const their = attempt.table('displacements.csv');
        for (const [node, row] of own.table('displacements.csv')) {
          for (const axis of [3, 4, 5]) {
            expect(Math.abs((row[axis] ?? 0) - (their.get(node)?.[axis] ?? Number.NaN))).toBeLessThan(1e-3 * tip);
          }
        }
        // In the middle of the beam, where the means of nodes are not those of an end.
        const middle = 10;
        const theirStress = attempt.table('stresses.csv').get(middle)?.[1] ?? Number.NaN;
        expect(Math.abs((own.table('stresses.csv').get(middle)?.[1] ?? 0) / theirStress - 1)).toBeLessThan(0.05);
      } finally {
        await own.remove();
      }
    },
  );

  it('counts the equations that the program says itself, and gives all results', async () => {
    const { code, last, reports } = await attempt.run(makeCantilever(BEAM));
    const equations = 3 * 20 * 25 + 9 * 320;
    expect({ code, type: last.type, counters: last.counters, statistics: last.statistics }).toEqual({
      code: 0,
      type: 'done',
      counters: { analyses: 1, equations, nonzeros: last.counters.nonzeros },
      statistics: { equations, nonzeros: last.counters.nonzeros },
    });
    expect(last.counters.nonzeros).toBeGreaterThan(equations);
    expect(reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual([
      'displacements.csv',
      'stresses.csv',
      'summary.json',
      'deformed.svg',
    ]);
    expect(summary().equilibrium.imbalance).toBeLessThan(1e-5);
  });

  it('gives large displacements, with the increments as progress', async () => {
    const deck = makeCantilever(BEAM).replace('*STEP', '*STEP, NLGEOM').replace('*STATIC', '*STATIC, DIRECT\n0.25, 1.');
    const { last, reports } = await attempt.run(deck);
    expect(last).toMatchObject({ type: 'done', counters: { analyses: 1 } });
    const fractions = reports.flatMap(({ type, fraction }) => (type === 'progress' ? [fraction ?? 0] : []));
    expect(fractions).toEqual([...fractions].sort((one, other) => one - other));
  });

  it('gravity is a load whose force is not known from the deck', async () => {
    const deck = makeCantilever(BEAM)
      .replace('*SOLID SECTION', '*DENSITY\n7.85E-9\n*SOLID SECTION')
      .replace(/\*CLOAD\n[^*]*/, '*DLOAD\nBEAM, GRAV, 9810., 0., 0., -1.\n');
    const { last } = await attempt.run(deck);
    expect(last.type).toBe('done');
    const { appliedForce, reactionForce, imbalance } = summary().equilibrium;
    expect({ appliedForce, imbalance }).toEqual({ appliedForce: null, imbalance: null });
    expect(reactionForce[2] / (100 * 10 * 10 * 7.85e-9 * 9810)).toBeCloseTo(1, 1);
  });

  it('a geometry is meshed, held on one surface and loaded by exactly the force on another', async () => {
    const { code, last } = await attempt.run(bracket, LOADING);
    expect({ code, type: last.type, counted: last.counters.equations }).toEqual({
      code: 0,
      type: 'done',
      counted: last.statistics?.equations,
    });
    const { elements, equilibrium, maxDisplacement } = summary();
    expect(Object.keys(elements)).toEqual(['C3D10']);
    for (const [axis, value] of [0, 0, -200].entries()) {
      expect(equilibrium.appliedForce[axis]).toBeCloseTo(value, 9);
      expect(equilibrium.reactionForce[axis]).toBeCloseTo(-value, 1);
    }
    // A strip without a hole: F L³ / 3 E I = 0.219; the hole makes it softer.
    expect(-maxDisplacement.components[2]).toBeGreaterThan(0.219);
    expect(-maxDisplacement.components[2]).toBeLessThan(0.26);
    expect(attempt.result('deformed.svg')).toMatch(/^<svg .*von Mises.*<\/svg>\n$/s);
  });

  it.each([
    ['a group that is not there', bracket, { loaded: 'top' }, /nothing in the physical surface "top"/],
    ['a geometry that gmsh does not understand', 'Box(1) = {0, 0;', {}, /^gmsh could not mesh the geometry/],
    ['a geometry without a volume', 'Point(1) = {0, 0, 0};', {}, /^(gmsh could not mesh|the geometry has no volume)/],
    ['a deck that is cut off', makeCantilever(BEAM).slice(0, 5000), {}, /./],
    ['no support', makeCantilever(BEAM).replace('*BOUNDARY\nHELD, 1, 3\n', ''), {}, /can still move as a whole/],
    ['a part on a hinge', doorDeck(), {}, /moved more than 100 times|do not hold the loads/],
    ['a word that is no keyword', makeCantilever(BEAM).replace('*STATIC', '*STATIC\n*NOSUCH'), {}, /\*NOSUCH/],
  ])('refuses %s', async (_, input, parameters, message) => {
    const { code, last } = await attempt.run(input, { ...LOADING, ...parameters });
    expect({ code, type: last.type, analyses: last.counters.analyses }).toEqual({
      code: 2,
      type: 'failed',
      analyses: 0,
    });
    expect(last.message).toMatch(message);
  });

  it.each([
    [
      '*INCLUDE, INPUT=/etc/passwd',
      makeCantilever(BEAM).replace('*MATERIAL', '*INCLUDE, INPUT=/etc/passwd\n*MATERIAL'),
    ],
    [
      'SystemCall',
      bracket.replace('near = 0.001;', 'near = 0.001; SystemCall "cat /etc/passwd > seen; touch /tmp/seen";'),
    ],
    ['Merge', bracket.replace('near = 0.001;', 'near = 0.001; Merge "/etc/passwd";')],
  ])('%s reaches nothing of the machine', async (_, input) => {
    const users = readFileSync('/etc/passwd', 'utf8').split('\n').slice(0, 3);
    const { reports, last } = await attempt.run(input, LOADING);
    if (input.includes('*INCLUDE')) expect(last.type).toBe('failed');
    for (const user of users) expect(JSON.stringify(reports)).not.toContain(user);
    const seen = join(attempt.folder, 'work', 'seen');
    if (existsSync(seen)) expect(readFileSync(seen, 'utf8')).toBe('');
    expect(existsSync('/tmp/seen')).toBe(false);
  });

  it('stops within three seconds, in the middle of a solution', async () => {
    const run = attempt.start(makeCantilever({ ...BEAM, length: 500, mesh: [60, 16, 16] }));
    // From the deck on it takes the program several seconds.
    await waitFor(() => existsSync(join(attempt.folder, 'work', 'job.inp')));
    const from = performance.now();
    run.kill('SIGTERM');
    const { code, last } = await run.end;
    expect({ code, type: last.type, analyses: last.counters.analyses }).toEqual({
      code: 0,
      type: 'stopped',
      analyses: 0,
    });
    expect(performance.now() - from).toBeLessThan(3000);
  });
});

describe('what CalculiX gets and gives', () => {
  it('is the deck as it was, with our own wishes for output', () => {
    const deck =
      '*HEADING\nbeam\n*Step\n*Static\n** a remark\n*node FILE, FREQUENCY=5\nU\n*El Print, elset=a\nS\n*End Step\n';
    expect(deckForProgram(deck)).toBe(
      '*HEADING\nbeam\n*Step\n*Static\n** a remark\n*NODE FILE\nU, RF\n*EL FILE\nS\n*End Step\n\n',
    );
  });

  it('is read from columns that touch, the last increment last', () => {
    const text = [
      ' -4  DISP        4    1',
      ' -5  D1          1    2    1    0',
      ' -1         7 1.00000E+00-2.00000E+00-3.00000E-01',
      ' -3',
      ' -4  DISP        4    1',
      ' -1         7-1.50000E+00-2.00000E+00 3.00000E-01',
      ' -3',
      ' -4  STRESS      6    1',
      ' -1         7 1.00000E+00 2.00000E+00 3.00000E+00 4.00000E+00 5.00000E+00         NaN',
      ' -3',
    ].join('\n');
    const { displacements, stresses, forces } = readResults(text);
    expect([...displacements]).toEqual([[7, [-1.5, -2, 0.3]]]);
    expect([...stresses]).toEqual([[7, [1, 2, 3, 4, 5, Number.NaN]]]);
    expect(forces.size).toBe(0);
  });
});

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
