import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeOpenFoamCase, openFoamFiles, SAMPLE } from '../../dev/samples/makeOpenFoamCase';
import { type ZipEntry, zip } from '../../dev/samples/zip';
import { readCase } from '../../engines/flow/caseFile';
import { layGrid } from '../../engines/flow/grid';
import { stepsOf } from '../../engines/flow/timeStep';
import { complexityOf, WORK_MAX } from './complexity';
import { service as cfd } from './index';

const samples = join(__dirname, '..', '..', 'samples');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-cfd-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inspect = (bytes: string | Uint8Array) => {
  const path = join(folder, 'input');
  writeFileSync(path, bytes);
  return cfd.inspect({ path, size: 1 });
};

const square = { kind: 'cavity', width: 1, height: 1 };
const around = { kind: 'channel', width: 4, height: 1, obstacle: { x: 0.8, y: 0.4, width: 0.2, height: 0.2 } };
const flow = (wanted: object = {}) => ({
  geometry: square,
  cells: { x: 32, y: 32 },
  fluid: { reynolds: 100 },
  speed: 1,
  run: { mode: 'steady' },
  ...wanted,
});
const transient = (endTime: number) => ({ run: { mode: 'transient', endTime } });

/** A small case with some files changed, or left out when undefined. */
function openFoam(change: Record<string, string | undefined> = {}, root = ''): Buffer {
  const files = { ...openFoamFiles({ cells: 20, endTime: 1, deltaT: 0.01 }), ...change };
  const entries = Object.entries(files).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return zip(entries.map(([name, content]) => ({ name: root + name, content })));
}

const original = openFoamFiles({ cells: 20, endTime: 1, deltaT: 0.01 });
const with_ = (name: string, from: string | RegExp, to: string) =>
  openFoam({ [name]: (original[name] as string).replace(from, to) });
const control = (line: string) => openFoam({ 'system/controlDict': `${original['system/controlDict']}\n${line}\n` });

describe('what a flow case will compute', () => {
  it.each([
    ['a cavity', flow()],
    ['a cavity in time', flow(transient(3))],
    ['a cavity by its viscosity', flow({ ...transient(3), fluid: { viscosity: 0.02 } })],
    [
      'a slow channel',
      flow({ ...transient(7), geometry: { kind: 'channel', width: 3, height: 2 }, fluid: { reynolds: 5 } }),
    ],
    ['a channel with an obstacle', flow({ ...transient(7), geometry: around, cells: { x: 80, y: 20 } })],
  ])('is what the engine computes: %s', async (_, file) => {
    const text = JSON.stringify(file);
    const { cells, steps } = await inspect(text);
    const flowCase = readCase(text);
    expect({ cells, steps }).toEqual({ cells: layGrid(flowCase).fluidCells, steps: stepsOf(flowCase).count });
  });

  it('is read in the samples', async () => {
    const sample = (name: string) => cfd.inspect({ path: join(samples, name), size: 1 });
    expect(await sample('cavity.cfd.json')).toMatchObject({
      kind: 'flow',
      cells: 2304,
      steps: 12_000,
      mayEndSooner: true,
    });
    expect(await sample('channel.cfd.json')).toMatchObject({ kind: 'flow', cells: 6336, steps: 8_000 });
    const openFoamFacts = await sample('cavity-openfoam.zip');
    expect(openFoamFacts).toMatchObject({ kind: 'openfoam', cells: 1600, steps: 1000, physics: 'laminar' });
    expect(cfd.enginesFor?.(openFoamFacts, {})).toEqual(['openfoam']);
    expect(makeOpenFoamCase(SAMPLE)).toEqual(readFileSync(join(samples, 'cavity-openfoam.zip')));
  });
});

describe('a flow case is refused with a reason', () => {
  it.each([
    ['prose', 'Dear friends', 'case_not_json'],
    ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0]), 'input_not_case'],
    ['another encoding', Buffer.from([0x7b, 0xff, 0xfe]), 'input_not_case'],
    ['too long a file', ' '.repeat(65 * 1024), 'input_too_large'],
    ['JSON that goes ever deeper', `{"geometry":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 'case_invalid'],
    ['a field nobody knows', JSON.stringify(flow({ colour: 'red' })), 'case_invalid'],
    ['no geometry', JSON.stringify(flow({ geometry: undefined })), 'case_invalid'],
    ['a number that is none', JSON.stringify(flow()).replace('"speed":1', '"speed":NaN'), 'case_not_json'],
    ['a number beyond all numbers', JSON.stringify(flow()).replace('"speed":1', '"speed":1e999'), 'case_invalid'],
    ['a speed below zero', JSON.stringify(flow({ speed: -1 })), 'case_invalid'],
    ['two viscosities', JSON.stringify(flow({ fluid: { reynolds: 1, viscosity: 1 } })), 'case_invalid'],
    ['half a cell', JSON.stringify(flow({ cells: { x: 31.5, y: 32 } })), 'case_invalid'],
    ['a thousand million cells', JSON.stringify(flow({ cells: { x: 1e5, y: 1e4 } })), 'case_invalid'],
    ['more cells than are computed', JSON.stringify(flow({ cells: { x: 2000, y: 2000 } })), 'case_too_large'],
    ['an end that is never reached', JSON.stringify(flow(transient(1e9))), 'case_too_large'],
    [
      'more work than is done',
      JSON.stringify(flow({ cells: { x: 600, y: 600 }, run: { mode: 'steady', stepsMax: 1_000_000 } })),
      'case_too_large',
    ],
    ['cells too coarse for the flow', JSON.stringify(flow({ fluid: { reynolds: 100_000 } })), 'case_too_coarse'],
    ['cells like needles', JSON.stringify(flow({ cells: { x: 4, y: 64 }, fluid: { reynolds: 1 } })), 'case_too_coarse'],
    ['an obstacle in the wall', JSON.stringify(flow({ geometry: { ...around, height: 0.6 } })), 'case_invalid'],
  ])('%s', async (_, text, code) => {
    await expect(inspect(text)).rejects.toMatchObject({ name: 'InputError', code });
  });

  it('and told how many cells would do', async () => {
    await expect(inspect(JSON.stringify(flow({ fluid: { reynolds: 3_000 } })))).rejects.toThrow(
      'at least 100 x 100 cells',
    );
  });
});

describe('what an OpenFOAM case will compute', () => {
  it('is read at the top of an archive and in a folder of it, comments left out', async () => {
    const facts = { kind: 'openfoam', cells: 400, steps: 100, physics: 'laminar', mayEndSooner: false };
    expect(await inspect(openFoam())).toMatchObject(facts);
    expect(await inspect(openFoam({}, 'my case/'))).toMatchObject({ ...facts, title: 'my case (icoFoam)' });
    expect(await inspect(control('// endTime 5;\n/* endTime 6; #calc */'))).toMatchObject(facts);
    // As in OpenFOAM, the last entry of a name counts.
    expect(await inspect(control('endTime 5;'))).toMatchObject({ ...facts, steps: 500 });
  });

  it('is the sum of its blocks', async () => {
    const two = with_(
      'system/blockMeshDict',
      /hex.*/,
      'hex (0 1 2 3 4 5 6 7) zone (3 4 5)\nhex (0 1 2 3 4 5 6 7) (1 2 3)',
    );
    expect(await inspect(two)).toMatchObject({ cells: 66 });
  });

  it('is turbulent unless the case says laminar, and a steady one may end sooner', async () => {
    const steady = with_('system/controlDict', 'icoFoam', 'simpleFoam');
    expect(await inspect(steady)).toMatchObject({ physics: 'turbulent', mayEndSooner: true });
  });
});

describe('an OpenFOAM case is refused with a reason', () => {
  it.each([
    ['code in a directive', with_('constant/transportProperties', '0.01', '#calc "1.0/100"'), 'case_runs_code'],
    ['compiled code', with_('0/U', 'uniform (1 0 0)', '#codeStream { code #{ system("id"); #}; }'), 'case_runs_code'],
    ['a coded boundary', with_('0/U', 'fixedValue', 'codedFixedValue'), 'case_runs_code'],
    ['a function that runs commands', control('functions { a { type systemCall; } }'), 'case_runs_code'],
    ['a coded function', control('functions { a { type coded; } }'), 'case_runs_code'],
    ['a library of its own', control('libs ("./mine.so");'), 'case_runs_code'],
    ['a library by a macro', control('libs ("$FOAM_CASE/mine.so");'), 'case_runs_code'],
    ['settings that allow commands', control('InfoSwitches { allowSystemOperations 1; }'), 'case_runs_code'],
    ['code that was compiled before', openFoam({ 'dynamicCode/a/a.C': 'x' }), 'case_runs_code'],
    ['a file of the machine', with_('0/p', 'uniform 0', '#include "/etc/passwd"'), 'input_outside_reference'],
    ['a file above', with_('0/p', 'uniform 0', '#include "../../secret"'), 'input_outside_reference'],
    ['a file by a variable', with_('0/p', 'uniform 0', '#include "$HOME/secret"'), 'input_outside_reference'],
    ['a comment without an end', control('/* endTime'), 'case_invalid'],
    ['a text without an end', control('a "b'), 'case_invalid'],
    ['another application', with_('system/controlDict', 'icoFoam', 'interFoam'), 'case_unsupported'],
    ['a command for an application', with_('system/controlDict', 'icoFoam', '"icoFoam;id"'), 'case_unsupported'],
    ['cells by a macro', with_('system/blockMeshDict', '(20 20 1)', '($n $n 1)'), 'case_unsupported'],
    ['settings from elsewhere', control('#include "more"'), 'case_unsupported'],
    ['a later start', with_('system/controlDict', /startTime +0/, 'startTime 5'), 'case_unsupported'],
    ['a thousand million cells', with_('system/blockMeshDict', '(20 20 1)', '(100000 10000 1)'), 'case_too_large'],
    ['an endless run', control('endTime 1e9;'), 'case_too_large'],
    ['a step that is no number', control('deltaT NaN;'), 'case_incomplete'],
    ['half a cell', with_('system/blockMeshDict', '(20 20 1)', '(20.5 20 1)'), 'case_invalid'],
    ['no mesh', openFoam({ 'system/blockMeshDict': undefined }), 'case_incomplete'],
    ['no fields', openFoam({ '0/U': undefined, '0/p': undefined }), 'case_incomplete'],
    ['binary fields', openFoam({ '0/U': 'a\0b' }), 'case_invalid'],
    ['files packed twice', openFoam({ '0/U.gz': 'x' }), 'case_invalid'],
    ['no case at all', zip([{ name: 'readme', content: 'x' }]), 'case_incomplete'],
  ])('%s', async (_, bytes, code) => {
    await expect(inspect(bytes)).rejects.toMatchObject({ name: 'InputError', code });
  });

  const entry: ZipEntry = { name: 'system/a', content: 'x' };
  it.each([
    ['a link', zip([{ ...entry, mode: 0o120777, content: '/etc/passwd' }]), 'archive_unsafe'],
    ['a device', zip([{ ...entry, mode: 0o020666 }]), 'archive_unsafe'],
    ['a path that leads out', zip([{ ...entry, name: 'system/../../../x' }]), 'archive_unsafe'],
    ['an absolute path', zip([{ ...entry, name: '/etc/cron.d/system/x' }]), 'archive_unsafe'],
    ['a path for another system', zip([{ ...entry, name: 'system\\..\\x' }]), 'archive_unsafe'],
    ['a bomb that says so', zip([{ ...entry, content: Buffer.alloc(64 * 2 ** 20) }]), 'archive_too_large'],
    [
      'bombs that add up',
      zip([1, 2, 3, 4, 5].map((n) => ({ name: `0/${n}`, content: Buffer.alloc(8 * 2 ** 20) }))),
      'archive_too_large',
    ],
    ['a bomb that lies', zip([{ ...entry, content: Buffer.alloc(64 * 2 ** 20), claimedSize: 10 }]), 'archive_invalid'],
    [
      'too many files',
      zip(Array.from({ length: 501 }, (_, n) => ({ name: `0/${n}`, content: 'x' }))),
      'archive_too_large',
    ],
    ['two files of one name', zip([entry, entry]), 'archive_invalid'],
    ['half an archive', openFoam().subarray(0, 400), 'archive_invalid'],
  ])('as an archive: %s', async (_, bytes, code) => {
    await expect(inspect(bytes)).rejects.toMatchObject({ name: 'InputError', code });
  });

  it.each(['/', '/*', '"', '#', '(', ')', '{', '\\', 'hex ', '#include ', '$', 'a;', '//', '#{'])(
    'soon, also for a megabyte of %j',
    async (pattern) => {
      const startedAt = performance.now();
      await inspect(control(pattern.repeat(Math.floor(2 ** 20 / pattern.length)))).catch(() => {});
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    },
  );
});

describe('the price of a flow', () => {
  it.each([
    [10_000, 10_000, 'laminar', 'simple'],
    [10_000, 10_001, 'laminar', 'moderate'],
    [10_000, 5_001, 'turbulent', 'moderate'],
    [100_000, 50_000, 'laminar', 'moderate'],
    [100_000, 50_001, 'laminar', 'complex'],
  ] as const)('%i cells x %i steps, %s, are %s', (cells, steps, physics, complexity) => {
    expect(complexityOf({ cells, steps, physics })).toBe(complexity);
  });

  it('is fixed by the most steps the file allows, which the quote says', async () => {
    const facts = await inspect(JSON.stringify(flow({ run: { mode: 'steady', stepsMax: 200_000 } })));
    expect(cfd.dimensions(facts, {})).toEqual({ complexity: 'moderate' });
    const one = [{ meter: 'simulations', quantity: 1_000_000n }];
    const estimate = cfd.estimate(facts, {});
    expect(estimate).toMatchObject({ low: one, expected: one, high: one });
    expect(estimate.reason).toBe(
      'One simulation of class moderate: 1,024 cells x at most 200,000 steps = 204,800,000 cell steps, of at most ' +
        `${WORK_MAX.moderate.toLocaleString('en')} in this class. The class counts the most steps the file allows and stays when the flow is steady sooner.`,
    );
  });

  it('is one simulation when it is done, with the work as evidence, of either engine', () => {
    expect(cfd.usageOf({ simulations: 1, cells: 9, steps: 3, cellSteps: 27, pressureIterations: 5 })).toEqual([
      { meter: 'simulations', quantity: 1_000_000n },
      { meter: 'cellSteps', quantity: 27_000_000n },
      { meter: 'solverIterations', quantity: 5_000_000n },
    ]);
    expect(cfd.usageOf({ solverIterations: 7 })[2]).toEqual({ meter: 'solverIterations', quantity: 7_000_000n });
    expect(cfd.usageOf({})[0]).toEqual({ meter: 'simulations', quantity: 0n });
  });
});
