import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

jest.setTimeout(60_000);
const program = join(__dirname, '..', '..', 'dist', 'engines', 'spice', 'main.js');
const RC = ['RC', 'V1 in 0 PULSE(0 1 0 1n 1n 1 2) AC 1', 'R1 in out 1k', 'C1 out 0 1u'];

interface Report {
  readonly type: string;
  readonly name?: string;
  readonly message?: string;
  readonly fraction?: number;
  readonly counters: Readonly<Record<string, number>>;
}

let folder: string;
let engine: ChildProcessWithoutNullStreams | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-spice-'));
});

afterEach(async () => {
  if (engine && engine.exitCode === null && engine.signalCode === null) {
    engine.kill('SIGKILL');
    await once(engine, 'exit');
  }
  engine = undefined;
  rmSync(folder, { recursive: true, force: true });
});

describe('a simulated circuit agrees with its formula', () => {
  it('charges a capacitor as 1 - exp(-t / RC)', async () => {
    const { code, last } = await run([...RC, '.tran 10u 10m', '.end']);
    expect({ code, type: last.type, simulations: last.counters.simulations }).toEqual({
      code: 0,
      type: 'done',
      simulations: 1,
    });
    const { columns, rows } = table('tran-1.csv');
    expect(columns).toEqual(['time', 'v(in)', 'v(out)', 'i(v1)']);
    expect(rows.length).toBe(last.counters.points);
    for (const [time = 0, , out = 0] of rows) expect(Math.abs(out - (1 - Math.exp(-time / 1e-3)))).toBeLessThan(1e-3);
    expect(rows.at(-1)?.[0]).toBeCloseTo(10e-3, 9);
    expect(readFileSync(join(folder, 'out', 'tran-1.svg'), 'utf8')).toMatch(/^<svg .*v\(out\).*<\/svg>\n$/s);
  });

  it('passes half the power of a low-pass at 1 / (2 π RC), and turns it by 45°', async () => {
    await run([...RC, '.ac lin 3 159.154943091895 159.154943091897', '.end']);
    const { columns, rows } = table('ac-1.csv');
    expect(columns.slice(3, 5)).toEqual(['v(out) real', 'v(out) imaginary']);
    const [, , , re = 0, im = 0] = rows[1] ?? [];
    expect(20 * Math.log10(Math.hypot(re, im))).toBeCloseTo(-3.0103, 4);
    expect((Math.atan2(im, re) / Math.PI) * 180).toBeCloseTo(-45, 6);
  });

  it('runs each analysis once, in the order of the netlist', async () => {
    const { last } = await run([
      ...RC,
      '.op',
      '.dc V1 0 1 0.5',
      '.noise v(out) V1 dec 5 1 100',
      '.tf v(out) V1',
      '.pz in 0 out 0 vol pol',
      '.sens v(out)',
      '.end',
    ]);
    expect(last).toMatchObject({ type: 'done', counters: { simulations: 6 } });
    expect(readdirSync(join(folder, 'out')).filter((name) => name.endsWith('.csv'))).toEqual([
      'dc-1.csv',
      'noise-1.csv',
      'op-1.csv',
      'pz-1.csv',
      'sens-1.csv',
      'tf-1.csv',
    ]);
    expect(table('dc-1.csv').rows.map(([, , out]) => out)).toEqual([0, 0.5, 1]);
    expect(readFileSync(join(folder, 'out', 'pz-1.csv'), 'utf8')).toContain('v(pole(1)),-1000,0');
  });

  it('takes the temperature from the parameters, not the netlist', async () => {
    const diode = ['D', 'V1 a 0 1', 'R1 a b 1k', 'D1 b 0 dm', '.model dm d'];
    await run([...diode, '.op', '.end'], { temperature: 100 });
    const plain = readFileSync(join(folder, 'out', 'op-1.csv'), 'utf8');
    await run([...diode, '.options temp=60', '.temp 20', '.op', '.end'], { temperature: 100 });
    expect(readFileSync(join(folder, 'out', 'op-1.csv'), 'utf8')).toBe(plain);
  });

  it('gives the same tables again, and measures what the netlist asks', async () => {
    const deck = [...RC, '.tran 10u 10m', '.meas tran thalf when v(out)=0.5', '.end'];
    await run(deck);
    const first = ['tran-1.csv', 'tran-1.svg', 'simulation.json'].map(text);
    await run(deck);
    expect(['tran-1.csv', 'tran-1.svg', 'simulation.json'].map(text)).toEqual(first);
    const { thalf } = JSON.parse(text('simulation.json')).simulations[0].measurements;
    expect(Number(thalf)).toBeCloseTo(Math.LN2 * 1e-3, 6);
  });

  it('gives the same table with and without pauses for progress', async () => {
    await run([...RC, '.tran 1u 10m', '.end']);
    const paused = text('tran-1.csv');
    await run([...RC, '.tran 1u 10m', '.meas tran x max v(out)', '.end']);
    expect(text('tran-1.csv')).toBe(paused);
  });
});

describe('a netlist at fault ends as failed, soon', () => {
  it.each([
    ['an unknown subcircuit', ['X1 in out nosuch', '.tran 1u 1m'], /tran-1.*unknown subckt: x1.*line no. 5/],
    ['an unknown model', ['Q1 in out 0 nomodel', '.op'], /nomodel/],
    ['sources that contradict each other', ['V2 in 0 5', '.op'], /op-1/],
    ['an expression without a value', ['R2 in 0 {nope}', '.op'], /nope/],
    ['more points than memory', ['.tran 1n 1'], /tran-1/],
    ['commands', ['.control', 'quit', '.endc', '.op'], /control/],
    ['no analysis', [], /no analysis/],
  ])(
    '%s',
    async (_, cards, message) => {
      const { code, last } = await run([...RC, ...cards, '.end']);
      expect({ code, type: last.type }).toEqual({ code: 2, type: 'failed' });
      expect(last.message).toMatch(message);
      // Without its own detection of a fatal error the engine would never end.
    },
    60_000,
  );

  it('keeps what was finished before the fault', async () => {
    const { last } = await run([...RC, '.tran 1u 1m', '.dc V9 0 1 0.1', '.end']);
    expect(last).toMatchObject({ type: 'failed', counters: { simulations: 1 } });
    expect(table('tran-1.csv').rows.length).toBeGreaterThan(1000);
  });
});

describe('while it works', () => {
  const LONG = [...RC, '.op', '.tran 10n 40m', '.end'];

  it('stops at SIGTERM within 3 s and keeps the finished analyses', async () => {
    const running = start(LONG);
    // Well into the second analysis.
    await running.until(({ counters, fraction = 0 }) => counters?.simulations === 1 && fraction > 0.51);
    const stoppedAt = performance.now();
    engine?.kill('SIGTERM');
    const { code, last, reports } = await running.end;
    // The protocol's promise: a runner kills what takes longer, and partial results with it.
    expect(performance.now() - stoppedAt).toBeLessThan(3000);
    expect({ code, type: last.type, simulations: last.counters.simulations }).toEqual({
      code: 0,
      type: 'stopped',
      simulations: 1,
    });
    expect(reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual(['op-1.csv']);
    expect(existsSync(join(folder, 'out', 'op-1.csv'))).toBe(true);
  });

  it('never lets the fraction or a counter fall', async () => {
    const { reports } = await run([...RC, '.op', '.tran 100n 20m', '.ac dec 100 1 1meg', '.end']);
    const progress = reports.filter(({ type }) => type === 'progress' || type === 'done');
    expect(progress.length).toBeGreaterThan(3);
    for (const [index, { fraction = 1, counters }] of progress.entries()) {
      const before = progress[index - 1];
      expect(fraction).toBeGreaterThanOrEqual(before?.fraction ?? 0);
      for (const [name, count] of Object.entries(counters)) {
        expect(count).toBeGreaterThanOrEqual(before?.counters[name] ?? 0);
      }
    }
  });

  it('exits at once when nobody watches any more', async () => {
    const running = start(LONG);
    await running.until(({ type }) => type === 'progress');
    engine?.stdin.end();
    expect((await running.end).code).toBe(1);
  });
});

interface End {
  readonly code: number | null;
  readonly last: Report;
  readonly reports: readonly Report[];
}

function run(lines: readonly string[], parameters: object = {}): Promise<End> {
  return start(lines, parameters).end;
}

function start(lines: readonly string[], parameters: object = {}) {
  writeFileSync(join(folder, 'input'), lines.join('\n'));
  writeFileSync(join(folder, 'parameters.json'), JSON.stringify(parameters));
  const child = spawn(process.execPath, [program], { cwd: folder, env: { PATH: process.env.PATH, HOME: folder } });
  engine = child;
  const reports: Report[] = [];
  const watchers: ((report: Report) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const report = JSON.parse(line) as Report;
    reports.push(report);
    for (const watcher of watchers) watcher(report);
  });
  const end = once(child, 'close').then(([code]): End => {
    const last = reports.at(-1);
    if (!last) throw new Error('the engine reported nothing');
    return { code: code as number | null, last, reports };
  });
  const until = (condition: (report: Report) => boolean) =>
    new Promise<void>((resolve, reject) => {
      watchers.push((report) => condition(report) && resolve());
      void end.then(() => reject(new Error('the engine ended before')), reject);
    });
  return { end, until };
}

function text(name: string): string {
  return readFileSync(join(folder, 'out', name), 'utf8');
}

function table(name: string): { columns: string[]; rows: number[][] } {
  const [head = '', ...rows] = text(name).trimEnd().split('\n');
  return { columns: head.split(','), rows: rows.map((row) => row.split(',').map(Number)) };
}
