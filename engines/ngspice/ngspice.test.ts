import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from '../program';
import { clearEngines, type DrivenEngine, fallsIn, startEngine } from '../testing/drive';
import { describeWith, sandboxFor } from '../testing/sandbox';
import { readLog } from './log';

jest.setTimeout(120_000);
afterEach(clearEngines);

const RC = ['RC', 'V1 in 0 PULSE(0 1 0 1n 1n 1 2) AC 1', 'R1 in out 1k', 'C1 out 0 1u'];
const netlist = (...cards: string[]): string => [...RC, ...cards, '.end'].join('\n');

it('reads figures, measurements and complaints in a log, and nothing that is not there', () => {
  const log = `Circuit: rc
  Measurements for Transient Analysis

thalf               =   6.93154e-04
vmax                =  1.0 at=  1.0e-02

Warning: singular matrix:  check node v1#branch
Total iterations = 2053

Circuit Equations = 4
`;
  expect(readLog(log)).toEqual({
    iterations: 2053,
    equations: 4,
    measurements: { thalf: '6.93154e-04', vmax: '1.0' },
    remarks: ['Warning: singular matrix:  check node v1#branch'],
  });
  expect(readLog('')).toEqual({ iterations: undefined, equations: undefined, measurements: {}, remarks: [] });
});

// Skipped where ngspice or bubblewrap is not installed.
describeWith(['bwrap', 'ngspice'])('the driver of ngspice', () => {
  it('gives the results and the counters of the built-in engine for the sample netlist', async () => {
    const sample = readFileSync(join(__dirname, '..', '..', 'samples', 'filter.cir'), 'utf8');
    const [installed, built] = [startEngine('ngspice', sample), startEngine('spice', sample)];
    const [{ last, reports }, other] = await Promise.all([installed.end, built.end]);
    expect(last).toMatchObject({ type: 'done', counters: { simulations: 3 } });
    expect(fallsIn(reports)).toEqual([]);
    expect(resultsOf(installed)).toEqual(resultsOf(built));
    for (const name of ['op-1.csv', 'ac-1.csv']) {
      const [a, b] = [columnsOf(installed, name), columnsOf(built, name)];
      expect([...a.keys()].sort()).toEqual([...b.keys()].sort());
      for (const [vector, values] of a)
        expect([vector, largestDifference(values, b.get(vector) ?? [])]).toEqual([vector, expect.closeTo(0, 6)]);
    }
    // Steps are chosen by the last bits of what came before, which the two programs do not share: values at the same time.
    const [a, b] = [columnsOf(installed, 'tran-1.csv'), columnsOf(built, 'tran-1.csv')];
    for (let at = 1e-4; at < 2e-3; at += 1e-4)
      expect(valueAt(a, at, 'v(l60)')).toBeCloseTo(valueAt(b, at, 'v(l60)'), 2);
    for (const name of ['points', 'iterations']) {
      expect((last.counters[name] ?? 0) / (other.last.counters[name] ?? 1)).toBeCloseTo(1, 1);
    }
    expect(last.counters.equations).toBe(other.last.counters.equations);
  });

  it('runs each kind of analysis, in the order of the netlist', async () => {
    const cards = [
      '.op',
      '.dc V1 0 1 0.5',
      '.noise v(out) V1 dec 5 1 100',
      '.tf v(out) V1',
      '.pz in 0 out 0 vol pol',
      '.sens v(out)',
    ];
    const engine = startEngine(
      'ngspice',
      netlist(...cards, '.tran 10u 10m', '.ac lin 3 159.154943091895 159.154943091897'),
    );
    const { last } = await engine.end;
    expect(last).toMatchObject({ type: 'done', counters: { simulations: 8 } });
    expect(tableOf(engine, 'dc-1.csv').rows.map(([, , out]) => out)).toEqual([0, 0.5, 1]);
    expect(textOf(engine, 'pz-1.csv')).toMatch(/pole\(1\)\)?,-1000,0/i);
    for (const [time = 0, , out = 0] of tableOf(engine, 'tran-1.csv').rows) {
      expect(Math.abs(out - (1 - Math.exp(-time / 1e-3)))).toBeLessThan(1e-3);
    }
    const [, , , re = 0, im = 0] = tableOf(engine, 'ac-1.csv').rows[1] ?? [];
    expect(20 * Math.log10(Math.hypot(re, im))).toBeCloseTo(-3.0103, 4);
  });

  it('measures what the netlist asks, at the temperature of the parameters', async () => {
    const engine = startEngine('ngspice', netlist('.temp 20', '.tran 10u 10m', '.meas tran thalf when v(out)=0.5'), {
      temperature: 90,
    });
    expect((await engine.end).last).toMatchObject({ type: 'done', counters: { simulations: 1, points: 1026 } });
    const { simulations } = JSON.parse(textOf(engine, 'simulation.json')) as {
      simulations: { measurements: { thalf: string } }[];
    };
    expect(Number(simulations[0]?.measurements.thalf)).toBeCloseTo(Math.LN2 * 1e-3, 6);
    expect(readFileSync(join(engine.folder, 'work', 'out.log'), 'utf8')).toContain('TEMP = 90.0');
  });

  it.each([
    ['an unknown subcircuit', ['X1 in out nosuch', '.tran 1u 1m'], /tran-1.*unknown subckt: x1/],
    ['an unknown model', ['Q1 in out 0 nomodel', '.op'], /nomodel/],
    ['sources that contradict each other', ['V2 in 0 5', '.op'], /op-1/],
    ['an expression without a value', ['R2 in 0 {nope}', '.op'], /nope/],
    ['steps that cannot become small enough', ['B1 x 0 V={time < 0.5m ? 0 : v(x)*v(x)+1}', '.tran 1u 1m'], /tran-1/],
    ['commands', ['.control', 'shell echo x > mark', '.endc', '.op'], /control/],
    ['commands in a comment', ['*# shell echo x > mark', '.op'], /line 5: comments that start with \*# are commands/],
    ['no analysis', [], /no analysis/],
  ])('fails with a sentence for %s', async (_, cards, message) => {
    const engine = startEngine('ngspice', netlist(...cards));
    const { code, last } = await engine.end;
    expect({ code, type: last.type }).toEqual({ code: 2, type: 'failed' });
    expect(last.message).toMatch(message);
    expect(existsSync(join(engine.folder, 'work', 'mark'))).toBe(false);
  });

  it('keeps what was finished before a fault, and before a stop', async () => {
    const failed = await startEngine('ngspice', netlist('.tran 1u 1m', '.dc V9 0 1 0.1')).end;
    expect(failed.last).toMatchObject({ type: 'failed', counters: { simulations: 1 } });
    const engine = startEngine('ngspice', netlist('.op', '.tran 10n 1'));
    await engine.until(({ counters, fraction = 0 }) => counters?.simulations === 1 && fraction > 0.5);
    const from = performance.now();
    engine.child.kill('SIGTERM');
    const { code, last, reports } = await engine.end;
    expect(performance.now() - from).toBeLessThan(3000);
    expect({ code, last }).toMatchObject({ code: 0, last: { type: 'stopped', counters: { simulations: 1 } } });
    expect(fallsIn(reports)).toEqual([]);
    expect(resultsOf(engine)).toEqual(['op-1.csv']);
  });

  it('whatever commands a netlist brings, they stay in its folder', async () => {
    // Past the driver, which refuses such a netlist: what holds when that fails.
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-ngspice-'));
    process.env.HOLDFAST_SANDBOX = sandboxFor(folder);
    const shell = ['touch inside', 'touch /usr/bin/mark', 'touch ../mark', 'cat /etc/passwd', 'ls /home', 'env'];
    const commands = ['.control', ...shell.map((line) => `shell ${line}`), 'quit', '.endc'];
    writeFileSync(join(folder, 'work', 'deck.cir'), netlist('*# shell touch hidden', '.op', ...commands));
    const { output } = await startProgram('ngspice', ['-n', '-b', 'deck.cir']).end;
    delete process.env.HOLDFAST_SANDBOX;
    // The commands ran: otherwise this would prove nothing.
    expect(readdirSync(join(folder, 'work')).sort()).toEqual(['deck.cir', 'hidden', 'inside']);
    expect(existsSync('/usr/bin/mark')).toBe(false);
    expect(readdirSync(folder).sort()).toEqual(['tmp', 'work']);
    expect(readdirSync(join(folder, 'tmp'))).toEqual([]);
    expect(output).not.toMatch(/root:|HOLDFAST/);
    rmSync(folder, { recursive: true });
  });
});

function resultsOf({ folder }: DrivenEngine): string[] {
  return readdirSync(join(folder, 'out')).sort();
}

function textOf({ folder }: DrivenEngine, name: string): string {
  return readFileSync(join(folder, 'out', name), 'utf8');
}

function tableOf(engine: DrivenEngine, name: string): { head: string[]; rows: number[][] } {
  const [head = '', ...rows] = textOf(engine, name).trimEnd().split('\n');
  return { head: head.split(','), rows: rows.map((row) => row.split(',').map(Number)) };
}

/** A table by the names of its vectors, which the two programs put in different orders. */
function columnsOf(engine: DrivenEngine, name: string): Map<string, number[]> {
  const [head = '', ...lines] = textOf(engine, name).trimEnd().split('\n');
  const rows = lines.map((line) => line.split(','));
  if (head === 'vector,value') return new Map(rows.map(([vector = '', value]) => [vector, [Number(value)]]));
  return new Map(head.split(',').map((vector, column) => [vector, rows.map((row) => Number(row[column]))]));
}

/** Relative to the largest value; below a nanovolt nothing counts. */
function largestDifference(a: readonly number[], b: readonly number[]): number {
  const scale = Math.max(1e-9, ...b.map(Math.abs));
  return Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? NaN)) / scale));
}

function valueAt(columns: ReadonlyMap<string, readonly number[]>, time: number, vector: string): number {
  const [times, values] = [columns.get('time') ?? [], columns.get(vector) ?? []];
  const after = times.findIndex((at) => at >= time);
  const [t0 = 0, t1 = 0, v0 = 0, v1 = 0] = [times[after - 1], times[after], values[after - 1], values[after]];
  return v0 + ((v1 - v0) * (time - t0)) / (t1 - t0);
}
