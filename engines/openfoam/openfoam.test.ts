import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeOpenFoamCase, type OpenFoamCavity, openFoamFiles } from '../../dev/samples/makeOpenFoamCase';
import { zip } from '../../dev/samples/zip';
import { farthest, GHIA, type Profile } from '../flow/testing/ghia';
import { clearEngines, fallsIn, startEngine } from '../testing/drive';
import { describeWith } from '../testing/sandbox';

jest.setTimeout(120_000);
afterEach(clearEngines);

const PROGRAMS = ['blockMesh', 'icoFoam', 'simpleFoam', 'pisoFoam', 'postProcess', 'bwrap'];
const small: OpenFoamCavity = { cells: 10, endTime: 0.5, deltaT: 0.02 };

/** The small case with some of its files changed. */
function changed(change: (files: Record<string, string>) => object): Buffer {
  const files = openFoamFiles(small);
  const all = { ...files, ...change(files) } as Record<string, string>;
  return zip(Object.entries(all).map(([name, content]) => ({ name, content })));
}

describeWith(PROGRAMS)('OpenFOAM, where it is installed', () => {
  it('computes the cavity of Ghia, Ghia and Shin, and counts cells, steps and iterations', async () => {
    const engine = startEngine('openfoam', makeOpenFoamCase({ cells: 32, endTime: 10, deltaT: 0.02 }));
    const { code, last, reports, log } = await engine.end;
    expect({ code, type: last.type, log }).toEqual({ code: 0, type: 'done', log: '' });
    expect(fallsIn(reports)).toEqual([]);
    const { solverIterations, ...counted } = last.counters;
    expect(counted).toEqual({ simulations: 1, cells: 1024, steps: 500, cellSteps: 512_000 });
    const text = readFileSync(join(engine.folder, 'out', 'openfoam.log'), 'utf8');
    const stated = [...text.matchAll(/No Iterations (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
    expect(solverIterations).toBe(stated);
    expect(reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual([
      'openfoam.log',
      'residuals.csv',
      'residuals.svg',
      'velocity.svg',
      'fields.csv',
      'summary.json',
    ]);
    expect(farthest(GHIA[100].u, verticalCentreline(engine.folder))).toBeLessThan(0.02);
  });

  it('moves forward with the time of the case', async () => {
    const engine = startEngine('openfoam', makeOpenFoamCase({ cells: 32, endTime: 100, deltaT: 0.02 }));
    await engine.until(({ fraction = 0, counters }) => fraction > 0 && counters.steps !== 5000);
    engine.child.kill('SIGTERM');
    const { code, last, reports } = await engine.end;
    expect({ code, type: last.type, simulations: last.counters.simulations }).toEqual({
      code: 0,
      type: 'stopped',
      simulations: 0,
    });
    expect(fallsIn(reports)).toEqual([]);
    expect(last.counters.steps).toBeGreaterThan(0);
  });

  it.each([
    ['a field that is missing', changed(() => ({ '0/p': '' })), /icoFoam: /],
    [
      'a mesh that is none',
      changed((files) => ({ 'system/blockMeshDict': files['system/blockMeshDict']?.replace('(0 1 2 3', '(0 1 2 9') })),
      /blockMesh: /,
    ],
    [
      'a flow that leaves every bound',
      changed((files) => ({ '0/U': files['0/U']?.replace('(1 0 0)', '(1e200 0 0)') })),
      /left every bound/,
    ],
    [
      'an application that is not run',
      changed((files) => ({ 'system/controlDict': files['system/controlDict']?.replace('icoFoam', 'bash') })),
      /application is one of/,
    ],
    ['an archive that is none', Buffer.from('PK\x03\x04'), /cannot be unpacked/],
    ['a link', zip([{ name: 'system/controlDict', content: '/etc/passwd', mode: 0o120777 }]), /link or a device/],
    [
      'a path that leads out',
      zip([{ name: '../system/x', content: 'x' }]),
      /cannot be unpacked: invalid relative path/,
    ],
  ])('says what is wrong with %s', async (_, input, sentence) => {
    const { code, last, log } = await startEngine('openfoam', input).end;
    expect({ code, type: last.type, log }).toEqual({ code: 2, type: 'failed', log: '' });
    expect(last.message).toMatch(sentence);
    expect(last.counters.simulations).toBe(0);
  });

  // The service refuses these before; here the second wall is tried.
  it.each([
    ['#calc', '#calc "0.01";'],
    ['#codeStream', '#codeStream { code #{ system("touch /job/ran"); os << 0.01; #}; };'],
  ])('runs no code of a case: %s', async (_, value) => {
    const input = changed((files) => ({
      'constant/transportProperties': files['constant/transportProperties']?.replace('nu 0.01;', `nu ${value}`),
    }));
    const engine = startEngine('openfoam', input);
    const { last } = await engine.end;
    expect(last).toMatchObject({ type: 'failed' });
    // An administrator is refused for being one, anybody else for our settings.
    expect(last.message).toMatch(/administrator rights|disabled by default for security reasons/);
    const said = readFileSync(join(engine.folder, 'out', 'openfoam.log'), 'utf8');
    expect(said).toContain('Disallowing user-supplied system call operations');
    expect(existsSync(join(engine.folder, 'work', 'ran'))).toBe(false);
    expect(existsSync(join(engine.folder, 'work', 'case', 'dynamicCode'))).toBe(false);
  });

  it('runs no function objects of a case', async () => {
    const functions = `functions { speed { type mag; libs ("libfieldFunctionObjects.so"); field U; writeControl timeStep; } }`;
    const input = changed((files) => ({ 'system/controlDict': `${files['system/controlDict']}\n${functions}\n` }));
    const engine = startEngine('openfoam', input);
    expect((await engine.end).last.type).toBe('done');
    expect(readdirSync(join(engine.folder, 'work', 'case', '0.5'))).not.toContain('mag(U)');
  });
});

/** The u in the middle of the columns beside the centreline, and at the walls. */
function verticalCentreline(folder: string): Profile {
  const rows = readFileSync(join(folder, 'out', 'fields.csv'), 'utf8')
    .trim()
    .split('\n')
    .slice(1);
  const cells = rows.map((row) => row.split(',').map(Number) as [x: number, y: number, u: number]);
  const [left, right] = [15.5 / 32, 16.5 / 32].map((at) => cells.filter(([x]) => x === at)) as [
    typeof cells,
    typeof cells,
  ];
  const inside = left.map(([, y, u], j) => [y, (u + (right[j]?.[2] as number)) / 2] as const);
  return [[0, 0], ...inside, [1, 1]];
}
