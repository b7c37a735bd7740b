import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeNetlist } from '../../dev/samples/makeNetlist';
import { readDeck } from '../../engines/spice/deck';
import { service as simulation } from '.';
import { readNetlist } from './netlist';

const CIRCUIT = ['V1 in 0 DC 1 AC 1', 'R1 in out 1k', 'C1 out 0 1u'];
const sample = join(__dirname, '..', '..', 'samples', 'filter.cir');

function netlist(...cards: string[]): string {
  return ['a title', ...CIRCUIT, ...cards, '.end', ''].join('\n');
}

function codeOf(text: string): string {
  try {
    readNetlist(text);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'accepted';
}

describe('what is counted in a netlist', () => {
  it('finds elements, nodes and analyses, in any case, over continued lines', () => {
    expect(
      readNetlist(netlist('D1 OUT 0 dm ; a clamp', '.MODEL dm D', '.TRAN', '+ 1u', '* between', '+ 1m', '.op')),
    ).toEqual({
      title: 'a title',
      elements: { c: 1, d: 1, r: 1, v: 1 },
      elementCount: 4,
      nodes: 2,
      analyses: [
        { kind: 'tran', card: '.tran 1u 1m', line: 7, steps: 1000 },
        { kind: 'op', card: '.op', line: 11, steps: 1 },
      ],
    });
  });

  it('never takes the first line for a card, nor anything after .end', () => {
    const text = ['.tran 1n 1', ...CIRCUIT, '.op', '.end', '.tran 1u 1m', '.control'].join('\n');
    expect(readNetlist(text).analyses.map(({ kind }) => kind)).toEqual(['op']);
  });

  it.each([
    ['.tran 1u 2m', 2000],
    ['.tran 1u 2m 0 0.5u uic', 4000],
    ['.tran 1us 2ms', 2000],
    ['.ac dec 10 1 1meg', 61],
    ['.ac lin 100 1 1k', 100],
    ['.ac oct 5 1 8', 16],
    ['.dc V1 0 1 0.1', 11],
    ['.dc V1 0 1 0.1 temp 0 100 50', 33],
    ['.noise v(out) V1 dec 10 1 100', 21],
    ['.tran {step} {stop}', null],
    ['.tf v(out) V1', 1],
  ])('knows the steps of %s', (card, steps) => {
    expect(readNetlist(netlist(card)).analyses[0]?.steps).toBe(steps);
  });

  it('counts a subcircuit as often as it is used', () => {
    const facts = readNetlist(
      netlist(
        '.subckt pair a b',
        'R1 a m 1',
        'R2 m b 1',
        '.ends',
        'X1 in out pair',
        'X2 out 0 pair PARAMS: k=1',
        '.op',
      ),
    );
    expect(facts.elements).toEqual({ c: 1, r: 5, v: 1, x: 2 });
  });

  it('counts the analyses that the engine will run', () => {
    const texts = [
      netlist('.op', '.tran 1u', '+ 1m', '*.ac dec 1 1 2', '  .AC dec 1 1 2', '.dc V1 0 1 1', '.end of it', '.op'),
      makeNetlist(1),
      readFileSync(sample, 'utf8'),
    ];
    for (const text of texts) {
      const kinds = readDeck(text).analyses.map(({ kind }) => kind);
      expect(readNetlist(text).analyses.map(({ kind }) => kind)).toEqual(kinds);
    }
  });
});

it('prefers the installed simulator, and runs without it', () => {
  const facts = readNetlist(netlist('.op'));
  expect(simulation.enginesFor?.(facts, { plots: [] })).toEqual(['ngspice', 'spice']);
  expect(simulation.engines[0]).toEqual({ name: 'spice', onLostAttempt: 'restart' });
});

describe('what is refused, with a reason', () => {
  it.each([
    ['an included file', netlist('.include /etc/passwd', '.op'), 'input_outside_reference'],
    ['a library', netlist('.LIB "models.lib" typical', '.op'), 'input_outside_reference'],
    ['a file over a continued line', netlist('.inc', '+ other.cir', '.op'), 'input_outside_reference'],
    ['a parameter that opens a file', netlist('.model f filesource(file="x.csv")', '.op'), 'input_outside_reference'],
    ['a compiled model', netlist('.osdi x.so', '.op'), 'input_outside_reference'],
    ['commands', netlist('.control', 'shell rm -rf /', '.endc', '.op'), 'netlist_control_block'],
    ['a command in what reads like a comment', netlist('*# shell rm -rf /', '.op'), 'netlist_control_block'],
    ['no analysis', netlist(), 'netlist_no_analysis'],
    ['an analysis in a comment only', netlist('* .op'), 'netlist_no_analysis'],
    ['an endless transient', netlist('.tran 1n 1'), 'netlist_endless_analysis'],
    ['an endless transient by its largest step', netlist('.tran 1m 1 0 1n'), 'netlist_endless_analysis'],
    ['an endless sweep', netlist('.dc V1 0 1 1u V2 0 1 1m'), 'netlist_endless_analysis'],
    ['an endless band', netlist('.ac dec 1000000 1 1t'), 'netlist_endless_analysis'],
    ['no step', netlist('.tran 0 1m'), 'netlist_unsupported'],
    ['too many values for the memory', netlist('.tran 1n 9m'), 'netlist_too_large'],
    ['an unknown card', netlist('.disto dec 1 1 10', '.op'), 'netlist_unsupported'],
    ['a code model', netlist('A1 in out gain', '.op'), 'netlist_unsupported'],
    ['a subcircuit within itself', netlist('.subckt s a', 'X1 a s', '.ends', 'X1 in s', '.op'), 'netlist_unsupported'],
    ['prose', 'Dear friends,\nthis is a letter.\n', 'netlist_no_analysis'],
    ['nothing', ' \n', 'input_not_netlist'],
  ])('%s', (_, text, code) => {
    expect(codeOf(text)).toBe(code);
  });

  it('a subcircuit that multiplies beyond all bounds', () => {
    const levels = Array.from({ length: 12 }, (_, level) => [
      `.subckt s${level} a`,
      ...Array.from({ length: 10 }, (_, use) => (level === 0 ? `R${use} a 0 1` : `X${use} a s${level - 1}`)),
      '.ends',
    ]);
    expect(codeOf(netlist(...levels.flat(), 'X1 in s11', '.op'))).toBe('netlist_too_large');
  });

  it.each(['+', 'x1 ', ' $', '$ ', ';', '(', '=', '1', 'a=', 'file ', '.op\n', '.subckt a\n', '\t', '{', '\n+ '])(
    'soon, also for a megabyte of %j',
    (pattern) => {
      const startedAt = performance.now();
      codeOf(`title\n.op\n${pattern.repeat(Math.floor(2 ** 20 / pattern.length))}x\n.op\n`);
      // A tenth of this is plenty; a reader that goes over the text again and again needs the better part of a minute.
      // Asserted here, because jest's own limit cannot end a test that never waits.
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    },
  );
});

describe('the simulation service', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-netlist-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const inspect = (bytes: string | Buffer) => {
    const path = join(folder, 'input');
    writeFileSync(path, bytes);
    return simulation.inspect({ path, size: 1 });
  };

  it('reads the sample and quotes one simulation an analysis', async () => {
    const facts = await simulation.inspect({ path: sample, size: 1 });
    expect(facts.nodes).toBeGreaterThan(100);
    const estimate = simulation.estimate(facts, simulation.parameters.parse({}));
    const three = [{ meter: 'simulations', quantity: 3_000_000n }];
    expect(estimate).toMatchObject({ low: three, expected: three, high: three });
    expect(estimate.reason).toBe(
      'The netlist has 3 analyses (.op, .ac, .tran); each is one simulation however long it runs.',
    );
    expect(simulation.dimensions(facts, { plots: [] })).toEqual({});
  });

  it('is the sample that its generator makes', () => {
    expect(makeNetlist(20)).toBe(readFileSync(sample, 'utf8'));
  });

  it.each([
    ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 0]), 'input_not_netlist'],
    ['text with zeros', Buffer.from('title\0\n.op\n'), 'input_not_netlist'],
    ['another encoding', Buffer.from([0x74, 0xff, 0xfe, 0x0a]), 'input_not_netlist'],
    ['more than a megabyte, whatever size was claimed', Buffer.alloc(2 ** 20 + 1, '*'), 'input_too_large'],
  ])('refuses %s', async (_, bytes, code) => {
    await expect(inspect(bytes)).rejects.toMatchObject({ name: 'InputError', code });
  });

  it('charges finished simulations and keeps the rest as evidence', () => {
    expect(simulation.usageOf({ simulations: 2, points: 1500, iterations: 4000, equations: 8 })).toEqual([
      { meter: 'simulations', quantity: 2_000_000n },
      { meter: 'points', quantity: 1_500_000_000n },
      { meter: 'iterations', quantity: 4_000_000_000n },
    ]);
    expect(simulation.usageOf({})[0]).toEqual({ meter: 'simulations', quantity: 0n });
  });

  it.each([[{ temperature: 301 }], [{ plots: ['v(a) v(b)'] }], [{ plots: Array(9).fill('v(a)') }], [{ speed: 1 }]])(
    'refuses the parameters %j',
    (wrong) => {
      expect(simulation.parameters.safeParse(wrong).success).toBe(false);
    },
  );
});
