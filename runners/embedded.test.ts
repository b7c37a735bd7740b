import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Engine } from '../services/service';
import { createEmbeddedRunner } from './embedded';
import { isAlive, readProcess } from './processes';
import type { Run, RunSpec } from './runner';

jest.setTimeout(60_000);
const linux = process.platform === 'linux';
const onLinux = linux ? it : it.skip;

const enginesFolder = join(__dirname, 'testing');
const DONE = { do: 'report', report: { type: 'done', counters: {} } };
const STOPPED = { do: 'report', report: { type: 'stopped', counters: {} } };
const EXIT = { do: 'exit', code: 0 };
const STOPS = { do: 'onTerm', steps: [STOPPED, EXIT] };

let workFolder: string;
let runs: Run[];
let started = 0;

beforeEach(() => {
  workFolder = mkdtempSync(join(tmpdir(), 'holdfast-runner-'));
  runs = [];
});

afterEach(async () => {
  for (const run of runs) await run.stop(0);
  rmSync(workFolder, { recursive: true, force: true });
});

describe('a run that ends by itself', () => {
  it('completes with its results, counters and what it used', async () => {
    const end = await ended([
      { do: 'report', report: { type: 'progress', fraction: 0.5, counters: { pixels: 10 } } },
      { do: 'work', cpuMs: 300 },
      { do: 'file', path: 'out/a.txt', text: 'whole' },
      { do: 'report', report: { type: 'result', name: 'a.txt', file: 'out/a.txt', mediaType: 'text/plain' } },
      { do: 'write', fd: 2, text: 'a word for people\n' },
      { do: 'report', report: { type: 'done', counters: { pixels: 20 } } },
      EXIT,
    ]);
    expect(end).toMatchObject({ kind: 'completed', fraction: 1, log: 'a word for people\n' });
    expect(end.counters).toMatchObject({ pixels: 20 });
    expect(end.results.map(({ name, mediaType }) => ({ name, mediaType }))).toEqual([
      { name: 'a.txt', mediaType: 'text/plain' },
    ]);
    expect(readFileSync(end.results[0]?.path ?? '', 'utf8')).toBe('whole');
    if (linux) {
      expect(end.cpuSeconds).toBeGreaterThanOrEqual(0.3);
      expect(end.peakMemoryBytes).toBeGreaterThan(10 * 2 ** 20);
      expect(readdirSync(join(workFolder, 'runs'))).toEqual([]);
    }
  });

  it('sees its input, its folder and almost no environment', async () => {
    const end = await ended([
      { do: 'look' },
      { do: 'report', report: { type: 'result', name: 'seen', file: 'out/seen.json', mediaType: 'text/plain' } },
      DONE,
      EXIT,
    ]);
    const seen = JSON.parse(readFileSync(end.results[0]?.path ?? '', 'utf8'));
    expect(seen).toMatchObject({ environment: ['HOME', 'PATH'], input: 'the input' });
    expect(seen.home).toBe(seen.folder);
  });

  it('is the submitter’s to mend when the engine found the input wrong', async () => {
    const end = await ended([
      { do: 'report', report: { type: 'failed', message: 'line 12: no such node', counters: { lines: 11 } } },
      { do: 'exit', code: 2 },
    ]);
    expect(end).toMatchObject({ kind: 'input-failed', message: 'line 12: no such node', counters: { lines: 11 } });
  });

  it.each([
    ['exits without a last report', [EXIT], 'The engine exited with code 0 without reporting its end.'],
    ['exits with an error', [{ do: 'exit', code: 3 }], 'The engine exited with code 3 without reporting its end.'],
    ['says done and fails', [DONE, { do: 'exit', code: 1 }], 'The engine exited with code 1 after reporting done.'],
    ['says stopped unasked', [STOPPED, EXIT], 'The engine was stopped by somebody else.'],
    ['is killed by somebody else', [{ do: 'die', signal: 'SIGKILL' }], 'The engine was ended by SIGKILL.'],
  ])('is a failure of the platform when it %s', async (_, steps, message) => {
    expect(await ended(steps)).toMatchObject({ kind: 'engine-failed', message });
  });

  it('cannot be started when there is no such engine', async () => {
    await expect(start([], { engine: engine('nowhere') })).rejects.toThrow('ENOENT');
    await expect(start([], { engine: engine('../escape') })).rejects.toThrow(RangeError);
  });
});

describe('what an engine writes', () => {
  it.each([
    ['is not JSON', 'hello\n'],
    ['is not an object', '[]\n'],
    ['has an unknown type', '{"type":"profit"}\n'],
    ['has no fraction', '{"type":"progress","counters":{}}\n'],
    ['counts in fractions', '{"type":"progress","fraction":0,"counters":{"pixels":0.5}}\n'],
    ['counts below zero', '{"type":"progress","fraction":0,"counters":{"pixels":-1}}\n'],
    ['counts past whole numbers', '{"type":"progress","fraction":0,"counters":{"pixels":1e300}}\n'],
    ['names a file elsewhere', '{"type":"result","name":"a","file":"../a","mediaType":"text/plain"}\n'],
    ['names an absolute file', '{"type":"result","name":"a","file":"/etc/passwd","mediaType":"text/plain"}\n'],
    ['is longer than 64 KiB', `"${'x'.repeat(70_000)}"\n`],
  ])('ends the run when a report %s', async (_, text) => {
    const end = await ended([{ do: 'write', text }, { do: 'wait' }]);
    expect(end.kind).toBe('engine-failed');
    expect(end.message).toContain('broke the protocol');
  });

  it('never makes a counter or the fraction fall', async () => {
    const end = await ended([
      { do: 'report', report: { type: 'progress', fraction: 0.9, counters: { pixels: 90, rays: 1 } } },
      { do: 'report', report: { type: 'progress', fraction: 0.2, counters: { pixels: 20, rays: 2 } } },
      { do: 'report', report: { type: 'progress', fraction: -4, counters: { pixels: 30 } } },
      { do: 'exit', code: 1 },
    ]);
    expect(end).toMatchObject({ fraction: 0.9, counters: { pixels: 90, rays: 2 } });
  });

  it('reads reports that arrive in pieces', async () => {
    const end = await ended([
      { do: 'write', text: '{"type":"progress","fraction":0.25,' },
      { do: 'write', text: '"counters":{"pixels":7}}\n\n{"type":"done",' },
      { do: 'write', text: '"counters":{}}\n' },
      EXIT,
    ]);
    expect(end).toMatchObject({ kind: 'completed', counters: { pixels: 7 } });
  });

  it('keeps little of 50 MB without an end of line', async () => {
    const before = process.memoryUsage().rss;
    const end = await ended([{ do: 'write', text: 'x'.repeat(50_000), times: 1000 }, { do: 'wait' }]);
    expect(end.message).toContain('longer than 64 KiB');
    expect(process.memoryUsage().rss - before).toBeLessThan(40 * 2 ** 20);
  });

  it('reads a flood of 20 MB of reports and keeps none of them', async () => {
    const line = `${JSON.stringify({ type: 'progress', fraction: 0.5, counters: { pixels: 1 }, note: 'x'.repeat(950) })}\n`;
    const before = process.memoryUsage().rss;
    const end = await ended([{ do: 'write', text: line.repeat(40), times: 500 }, DONE, EXIT]);
    expect(end).toMatchObject({ kind: 'completed', counters: { pixels: 1 } });
    expect(process.memoryUsage().rss - before).toBeLessThan(120 * 2 ** 20);
  });

  it('keeps only the end of a long log', async () => {
    const end = await ended([
      { do: 'write', fd: 2, text: 'x'.repeat(50_000), times: 20 },
      { do: 'write', fd: 2, text: 'the last words' },
      DONE,
      EXIT,
    ]);
    expect(end.log).toHaveLength(8192);
    expect(end.log.endsWith('the last words')).toBe(true);
  });

  it.each([
    ['is not there', { do: 'wait' }],
    ['is a symbolic link', { do: 'link', path: 'out/a', target: '/etc/hostname' }],
    ['is a folder', { do: 'file', path: 'out/a/b', text: '' }],
  ])('is no result when the declared file %s', async (_, step) => {
    const prepare = step.do === 'wait' ? [] : [step];
    const declare = { do: 'report', report: { type: 'result', name: 'a', file: 'out/a', mediaType: 'text/plain' } };
    const end = await ended([...prepare, declare, DONE, EXIT]);
    expect(end).toMatchObject({ kind: 'engine-failed', results: [] });
    expect(end.message).toContain('declared the result a');
  });

  it('is no result when a folder on the way is a symbolic link', async () => {
    const end = await ended([
      { do: 'link', path: 'out', target: '/etc' },
      { do: 'report', report: { type: 'result', name: 'a', file: 'out/hostname', mediaType: 'text/plain' } },
      DONE,
      EXIT,
    ]);
    expect(end).toMatchObject({ kind: 'engine-failed', results: [] });
  });
});

describe('stopping', () => {
  it('keeps what the engine wrote before it stopped', async () => {
    const run = await working([
      {
        do: 'onTerm',
        steps: [
          { do: 'file', path: 'out/part.txt', text: 'half' },
          { do: 'report', report: { type: 'result', name: 'part', file: 'out/part.txt', mediaType: 'text/plain' } },
          STOPPED,
          EXIT,
        ],
      },
    ]);
    await Promise.all([run.stop(10_000), run.stop(10_000)]);
    const end = await run.end;
    expect(end).toMatchObject({ kind: 'stopped', results: [{ name: 'part' }] });
    expect(end.counters.rounds).toBeGreaterThan(0);
  });

  it('kills an engine that ignores the request', async () => {
    const run = await working([{ do: 'onTerm', steps: [] }]);
    await run.stop(100);
    expect((await run.end).kind).toBe('stopped');
  });

  it('changes nothing for an engine that finished first', async () => {
    const run = await working([{ do: 'onTerm', steps: [DONE, EXIT] }]);
    await run.stop(10_000);
    expect((await run.end).kind).toBe('completed');
  });

  onLinux.each([
    ['in the group', false],
    ['that left the group', true],
  ])('leaves no child %s alive', async (_, leaves) => {
    const program = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)';
    const run = await working([STOPS, { do: 'child', program, leaves }]);
    const child = run.snapshot().counters.child ?? 0;
    expect(isAlive(readProcess(child))).toBe(true);
    await until(() => run.snapshot().peakMemoryBytes > 0);
    await run.stop(10_000);
    expect((await run.end).kind).toBe('stopped');
    expect(isAlive(readProcess(child))).toBe(false);
  });
});

describe('suspension', () => {
  onLinux('uses no CPU until resumed, then goes on', async () => {
    const run = await working([STOPS]);
    await run.suspend();
    await run.suspend();
    const pid = enginePid();
    const before = readProcess(pid)?.cpuSeconds;
    // Fifty other looks at the clock of a busy engine would see it move many times over.
    for (let look = 0; look < 50; look++) {
      await delay(10);
      expect(readProcess(pid)).toMatchObject({ state: 'T', cpuSeconds: before });
    }
    const rounds = run.snapshot().counters.rounds ?? 0;
    await run.resume();
    await run.resume();
    await until(() => (run.snapshot().counters.rounds ?? 0) > rounds + 1);
    await run.stop(10_000);
    expect((await run.end).kind).toBe('stopped');
  });

  it('does not keep a suspended engine from stopping', async () => {
    const run = await working([STOPS]);
    await run.suspend();
    await run.stop(10_000);
    expect(await run.end).toMatchObject({ kind: 'stopped', message: 'It was stopped.' });
  });

  it('takes no time of the time limit', async () => {
    const run = await working([STOPS], { timeLimitMs: 1500 });
    await run.suspend();
    let over = false;
    void run.end.then(() => {
      over = true;
    });
    await delay(2000); // Longer than the limit: the passing of time is what is tested.
    expect(over).toBe(false);
    await run.resume();
    expect(await run.end).toMatchObject({ kind: 'time-limit', message: 'Its time limit of 1.5 s was up.' });
  });
});

describe('limits', () => {
  it('ends a run whose time is up and keeps its results', async () => {
    const end = await ended(
      [
        STOPS,
        { do: 'file', path: 'out/part', text: 'half' },
        { do: 'report', report: { type: 'result', name: 'part', file: 'out/part', mediaType: 'text/plain' } },
        { do: 'work' },
      ],
      { timeLimitMs: 500 },
    );
    expect(end).toMatchObject({ kind: 'time-limit', results: [{ name: 'part' }] });
  });

  onLinux('ends a run that uses too much memory', async () => {
    const end = await ended([{ do: 'hoard', mebibytes: 400 }, { do: 'wait' }], { memoryBytesMax: 200 * 2 ** 20 });
    expect(end).toMatchObject({ kind: 'engine-failed', message: 'The engine used more than 200 MiB of memory.' });
    expect(end.peakMemoryBytes).toBeGreaterThan(200 * 2 ** 20);
  });
});

describe('the death of a worker', () => {
  onLinux.each([
    ['a running', 'run'],
    ['a suspended', 'suspend'],
  ])('leaves %s engine to the next sweep, children included', async (_, mode) => {
    const program = 'setInterval(() => {}, 1000)';
    const spec = makeSpec([{ do: 'child', program, leaves: false }, { do: 'work' }], { outlivesItsWatcher: true });
    const host = startHost(spec, mode);
    const [line] = (await once(host.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const child = JSON.parse(line.toString()).child as number;
    const engine = enginePid();

    const runner = createEmbeddedRunner({ enginesFolder, workFolder });
    await runner.sweep();
    expect(isAlive(readProcess(engine))).toBe(true); // Its worker lives.

    host.kill('SIGKILL');
    await once(host, 'exit');
    expect(isAlive(readProcess(engine))).toBe(true);
    await runner.sweep();
    expect(isAlive(readProcess(engine))).toBe(false);
    expect(isAlive(readProcess(child))).toBe(false);
    expect(readdirSync(join(workFolder, 'runs'))).toEqual([]);
  });

  onLinux('ends an engine that keeps to the protocol at once', async () => {
    const host = startHost(makeSpec([{ do: 'work' }]), 'run');
    await once(host.stdout as NodeJS.ReadableStream, 'data');
    const engine = enginePid();
    host.kill('SIGKILL');
    await once(host, 'exit');
    await until(() => !isAlive(readProcess(engine)));
  });

  onLinux('leaves a folder that no run was recorded for to the next sweep, and nobody else’s', async () => {
    const gone = spawn(process.execPath, ['-e', '']);
    await once(gone, 'exit');
    const of = (pid: number | undefined) => mkdtempSync(join(workFolder, `0197-1-${pid}-`));
    const [left, ours] = [of(gone.pid), of(process.pid)];
    await createEmbeddedRunner({ enginesFolder, workFolder }).sweep();
    expect([existsSync(left), existsSync(ours)]).toEqual([false, true]);
  });

  onLinux('never kills a stranger who got the same pid', async () => {
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true });
    await once(stranger, 'spawn');
    const run = await working([STOPS]);
    const folder = join(workFolder, 'runs');
    const record = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0] ?? ''), 'utf8'));
    const forged = { ...record, pid: stranger.pid, startTime: '1', worker: { pid: process.pid, startTime: '1' } };
    writeFileSync(join(folder, 'forged.json'), JSON.stringify(forged));
    await createEmbeddedRunner({ enginesFolder, workFolder }).sweep();
    expect(isAlive(readProcess(stranger.pid ?? 0))).toBe(true);
    expect(existsSync(join(folder, 'forged.json'))).toBe(false);
    stranger.kill('SIGKILL');
    await run.stop(10_000);
  });
});

function makeSpec(
  steps: readonly object[],
  changes: Partial<RunSpec> & { outlivesItsWatcher?: boolean } = {},
): RunSpec {
  const { outlivesItsWatcher = false, ...others } = changes;
  const folder = mkdtempSync(join(workFolder, 'attempt-'));
  const inputPath = join(workFolder, 'stored-input');
  writeFileSync(inputPath, 'the input');
  return {
    jobId: `job-${++started}`,
    attempt: 1,
    engine: engine('scripted'),
    folder,
    inputPath,
    parameters: { steps, outlivesItsWatcher },
    timeLimitMs: 60_000,
    memoryBytesMax: 1024 * 2 ** 20,
    ...others,
  };
}

async function start(steps: readonly object[], changes: Partial<RunSpec> = {}): Promise<Run> {
  const run = await createEmbeddedRunner({ enginesFolder, workFolder }).start(makeSpec(steps, changes));
  runs.push(run);
  return run;
}

async function ended(steps: readonly object[], changes: Partial<RunSpec> = {}) {
  return (await start(steps, changes)).end;
}

/** A run that was prepared by `steps` and is now busy. */
async function working(steps: readonly object[], changes: Partial<RunSpec> = {}): Promise<Run> {
  const run = await start([...steps, { do: 'work' }], changes);
  await until(() => (run.snapshot().counters.rounds ?? 0) > 0);
  return run;
}

function startHost(spec: RunSpec, mode: string): ChildProcess {
  const host = join(__dirname, '..', 'dist', 'runners', 'testing', 'host.js');
  return spawn(process.execPath, [host, enginesFolder, workFolder, JSON.stringify(spec), mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The pid of the one run that is recorded. */
function enginePid(): number {
  return Number.parseInt(readdirSync(join(workFolder, 'runs')).find((name) => name.endsWith('.json')) ?? '', 10);
}

async function until(condition: () => boolean): Promise<void> {
  for (const giveUpAt = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > giveUpAt) throw new Error('waited for 20 s in vain');
    await delay(10);
  }
}

function engine(name: string): Engine {
  return { name, onLostAttempt: 'restart' };
}
