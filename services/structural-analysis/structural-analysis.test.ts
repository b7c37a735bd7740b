import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cantilever, makeCantilever, SAMPLE } from '../../dev/samples/makeCantilever';
import { refuseOthers } from '../../engines/elastic/subset';
import { countEquations } from '../../engines/structure/model';
import { readModel } from '../../engines/structure/readModel';
import { service as structural } from '.';
import { type DeckFacts, DeckReader } from './deck';

const samples = join(__dirname, '..', '..', 'samples');
const BEAM: Cantilever = { ...SAMPLE, mesh: [4, 2, 2] };
const deck = makeCantilever(BEAM);
const geometry = readFileSync(join(samples, 'bracket.geo'), 'utf8');

function factsOf(text: string): DeckFacts {
  const reader = new DeckReader();
  for (const line of text.split('\n')) reader.read(line);
  return reader.facts();
}

function refusalOf(text: string): { code: string; message: string } {
  try {
    factsOf(text);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  return { code: 'accepted', message: '' };
}

describe('what is counted in a deck', () => {
  it('is what CalculiX counts, 3 a free node and 9 a hexahedron with modes', () => {
    expect(factsOf(deck)).toEqual({
      kind: 'deck',
      title: 'Steel cantilever 200 x 20 x 20 mm, 1000 N at its end',
      nodes: 45,
      elements: { C3D8I: 16 },
      fixedDegrees: 27,
      equations: 3 * 45 - 27 + 9 * 16,
      elasticRefusal: null,
    });
  });

  it('counts only nodes that an element uses, and each fixed direction once', () => {
    const more = deck
      .replace('*ELEMENT', '9001, 1., 2., 3.\n*ELEMENT')
      .replace('HELD, 1, 3', 'HELD, 1, 3\nHELD, 2\n9001, 1, 3\n1, 1');
    expect(factsOf(more)).toEqual(factsOf(deck));
  });

  it.each([
    ['the plain one', deck],
    ['plain elements', makeCantilever({ ...BEAM, type: 'C3D8' })],
    [
      'sets of sets, and a list',
      deck.replace('*MATERIAL', '*NSET, NSET=MORE\nHELD\n*NSET, NSET=TOP, GENERATE\n31, 45, 2\n*MATERIAL'),
    ],
    [
      'small letters, blanks, exponents',
      deck.toLowerCase().replace('210000, 0.3', ' 2.1D5 , 3.e-1').replace('*end step', '* End Step'),
    ],
    ['large displacements', deck.replace('*STEP', '*STEP, NLGEOM')],
    ['gravity', deck.replace('*CLOAD', '*DLOAD\nBEAM, GRAV, 9810., 0., 0., -1.\n*CLOAD')],
    ['other elements', deck.replace('TYPE=C3D8I', 'TYPE=C3D8R')],
    ['a material by temperature', deck.replace('210000, 0.3', '210000, 0.3, 20.\n200000, 0.3, 100.')],
    ['a solver', deck.replace('*STATIC', '*STATIC, SOLVER=SPOOLES')],
  ])('agrees with the reader of the engines on %s', (_, text) => {
    const facts = factsOf(text);
    expect(countEquations(readModel(text), { modesCount: true })).toBe(facts.equations);
    const isElastic = () => {
      try {
        readModel(text, refuseOthers);
        return true;
      } catch {
        return false;
      }
    };
    expect(facts.elasticRefusal === null).toBe(isElastic());
  });
});

describe('a deck is refused before anything is charged', () => {
  it.each([
    [
      'another file',
      deck.replace('*MATERIAL', '*INCLUDE, INPUT=/etc/passwd\n*MATERIAL'),
      'input_outside_reference',
      /^line \d+: \*INCLUDE/,
    ],
    [
      'another file in disguise',
      deck.replace('*MATERIAL', '* include , input = "/etc/passwd"\n*MATERIAL'),
      'input_outside_reference',
      /^line \d+/,
    ],
    [
      'nodes from another file',
      deck.replace('*NODE, NSET=ALL', '*NODE, INPUT=/etc/passwd'),
      'input_outside_reference',
      /^line 4/,
    ],
    [
      'loads from another file',
      deck.replace('*CLOAD', '*TEMPERATURE, FILE=old\n*CLOAD'),
      'input_outside_reference',
      /^line \d+/,
    ],
    [
      'a keyword that only starts as one',
      deck.replace('*ELASTIC', '*ELASTICX'),
      'deck_unsupported',
      /\*ELASTICX is not run/,
    ],
    ['vibrations', deck.replace('*STATIC', '*FREQUENCY\n5'), 'deck_unsupported', /\*FREQUENCY is not run/],
    ['shells', deck.replace('TYPE=C3D8I', 'TYPE=S8'), 'deck_unsupported', /only solids: C3D4/],
    [
      'a type that objects have by nature',
      deck.replace('TYPE=C3D8I', 'TYPE=constructor'),
      'deck_unsupported',
      /CONSTRUCTOR/,
    ],
    ['two steps', `${deck}*STEP\n*STATIC\n*END STEP\n`, 'deck_unsupported', /one job is one analysis/],
    ['no step', deck.slice(0, deck.indexOf('*STEP')), 'deck_no_step', /static step/],
    ['no element', '*NODE\n1, 0, 0, 0\n', 'deck_no_elements', /no solid element/],
    ['no support', deck.replace('*BOUNDARY\nHELD, 1, 3\n', ''), 'model_not_held', /\*BOUNDARY/],
    ['too little support', deck.replace('HELD, 1, 3', 'HELD, 1, 1'), 'model_not_held', /shift nor turn/],
    [
      'support in one line',
      deck.replace('HELD, 1, 3', '1, 1, 3\n2, 1, 3\n3, 1, 3'),
      'model_not_held',
      /shift nor turn/,
    ],
    ['no load', deck.replace(/\*CLOAD\n[^*]*/, ''), 'model_not_loaded', /\*CLOAD/],
    ['a missing node', deck.replace('HELD, 1, 3', '999, 1, 3'), 'deck_malformed', /999/],
    ['a short element', deck.replace(/(\*ELEMENT.*\n1, 1, 2)[^\n]*\n/, '$1\n'), 'deck_malformed', /more than 8 nodes/],
    ['infinity', deck.replace('210000, 0.3', '1e999, 0.3'), 'deck_malformed', /number belongs/],
    ['an element without a section', deck.replace('ELSET=BEAM, M', 'ELSET=OTHER, M'), 'deck_malformed', /OTHER/],
    [
      'an endless list',
      deck.replace('*MATERIAL', '*NSET, NSET=L, GENERATE\n1, 999999999, 1\n*MATERIAL'),
      'deck_malformed',
      /list/,
    ],
    ['a line without end', `*HEADING\n${'x'.repeat(3000)}`, 'deck_malformed', /2000 characters/],
    ['prose', 'Dear friends,', 'input_not_deck', /keyword/],
  ])('%s', (_, text, code, message) => {
    expect(refusalOf(text)).toEqual({ code, message: expect.stringMatching(message) });
  });

  it('sets of sets that would never end', () => {
    const lists = Array.from({ length: 60 }, (_, level) => `*NSET, NSET=L${level}, GENERATE\n1, 100000, 1`);
    expect(refusalOf(deck.replace('*MATERIAL', `${lists.join('\n')}\n*MATERIAL`)).code).toBe('deck_too_large');
  });
});

describe('the structural analysis service', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-structural-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const inspect = (bytes: string | Buffer) => {
    const path = join(folder, 'input');
    writeFileSync(path, bytes);
    return structural.inspect({ path, size: 1 });
  };
  const chosen = (given: object) => structural.parameters.parse(given);
  const LOADING = { youngsModulus: 210_000, poissonsRatio: 0.3, force: [0, 0, -200] };

  it('reads the sample deck, quotes one analysis and can run it without any program', async () => {
    const facts = await structural.inspect({ path: join(samples, 'cantilever.inp'), size: 1 });
    const one = [{ meter: 'analyses', quantity: 1_000_000n }];
    expect(structural.estimate(facts, chosen({}))).toEqual({
      low: one,
      expected: one,
      high: one,
      reason:
        'The deck has 18840 equations (2009 nodes; elements: 1440 C3D8I), which is one analysis whatever its size.',
    });
    expect(structural.enginesFor?.(facts, chosen({}))).toEqual(['calculix', 'elastic']);
  });

  it('is the sample that its generator makes', () => {
    expect(makeCantilever(SAMPLE)).toBe(readFileSync(join(samples, 'cantilever.inp'), 'utf8'));
  });

  it('leaves to CalculiX what our own engine cannot do', async () => {
    const facts = await inspect(deck.replace('*STEP', '*STEP, NLGEOM').replaceAll('\n', '\r\n'));
    expect(facts).toMatchObject({ elasticRefusal: expect.stringMatching(/^line \d+: \*STEP with NLGEOM$/) });
    expect(structural.enginesFor?.(facts, chosen({}))).toEqual(['calculix']);
  });

  it('reads the sample geometry, which only CalculiX can run', async () => {
    const facts = await inspect(geometry);
    expect(facts).toEqual({ kind: 'geometry', surfaces: ['fixed', 'loaded'], surfacesAreKnown: true });
    expect(structural.enginesFor?.(facts, chosen(LOADING))).toEqual(['calculix']);
    expect(structural.estimate(facts, chosen(LOADING)).expected).toEqual([{ meter: 'analyses', quantity: 1_000_000n }]);
  });

  it.each([
    ['a geometry without a material', geometry, { ...LOADING, youngsModulus: undefined }, 'parameters_missing'],
    ['a geometry without a force', geometry, { ...LOADING, force: undefined }, 'parameters_missing'],
    ['a surface that it does not have', geometry, { ...LOADING, loaded: 'top' }, 'surface_not_in_geometry'],
    ['a deck with a material of its own', deck, { youngsModulus: 1 }, 'parameters_not_for_decks'],
  ])('quotes nothing for %s', async (_, text, given, code) => {
    const facts = await inspect(text);
    expect(() => structural.estimate(facts, chosen(given))).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 0]), 'input_not_deck'],
    ['nothing', '', 'input_not_geometry'],
    ['more than the limit, whatever size was claimed', Buffer.alloc(64 * 2 ** 20 + 1, '*'), 'input_too_large'],
    ['a geometry of more than a megabyte', `// ${'x'.repeat(2 ** 20)}\n`, 'input_too_large'],
    ['a geometry that runs programs', `${geometry}SystemCall "id";`, 'input_outside_reference'],
    ['a geometry that reads files', `${geometry}Merge "/etc/passwd";`, 'input_outside_reference'],
    ['a geometry that writes files', `${geometry}Printf("a") > "b";`, 'input_outside_reference'],
    ['a geometry without named surfaces', 'Box(1) = {0, 0, 0, 1, 1, 1};', 'geometry_no_surfaces'],
  ])('refuses %s', async (_, bytes, code) => {
    await expect(inspect(bytes)).rejects.toMatchObject({ name: 'InputError', code });
  });

  it('lets a comment or a text say what a command may not', async () => {
    await expect(inspect(`// Merge nothing\n/* SystemCall */\n${geometry}`)).resolves.toMatchObject({
      kind: 'geometry',
    });
  });

  it.each(['/*', '"', '/', 'Physical Surface("', 'Printf(', 'Printf(x', ' ', 'a\n*'])(
    'reads a megabyte of %j in reasonable time',
    async (pattern) => {
      const startedAt = performance.now();
      await inspect(`a;${pattern.repeat(Math.floor((2 ** 20 - 2) / pattern.length))}`).catch(() => {});
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    },
  );

  it('charges the analysis and keeps the rest as evidence', () => {
    expect(structural.usageOf({ analyses: 1, equations: 5880, iterations: 232, elementIterations: 334080 })).toEqual([
      { meter: 'analyses', quantity: 1_000_000n },
      { meter: 'equations', quantity: 5_880_000_000n },
      { meter: 'iterations', quantity: 232_000_000n },
      { meter: 'nonzeros', quantity: 0n },
    ]);
    expect(structural.dimensions({} as DeckFacts, chosen({}))).toEqual({});
  });

  it.each([
    [{ youngsModulus: 0 }],
    [{ poissonsRatio: 0.5 }],
    [{ force: [1, 2] }],
    [{ force: [0, 0, 0] }],
    [{ meshSize: -1 }],
    [{ fixed: '"; SystemCall "id' }],
    [{ speed: 1 }],
  ])('refuses the parameters %j', (wrong) => {
    expect(structural.parameters.safeParse(wrong).success).toBe(false);
  });
});
