/** What is special to the embedded runner; `conformance.test.ts` has what every runner does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createEmbeddedRunner } from './embedded';
import { isAlive, readProcess } from './processes';
import type { Run, RunSpec } from './runner';
import { DONE, EXIT, STOPS, type Step, scriptedSpec, until } from './testing/bed';

jest.setTimeout(60_000);
const linux = process.platform === 'linux';
const onLinux = linux ? it : it.skip;

const enginesFolder = join(__dirname, 'testing');

let workFolder: string;
let runs: Run[];

beforeEach(() => {
  workFolder = mkdtempSync(join(tmpdir(), 'holdfast-runner-'));
  runs = [];
});

afterEach(async () => {
  for (const run of runs) await run.stop(0);
  rmSync(workFolder, { recursive: true, force: true });
});

describe('a run', () => {
  it('leaves no record of a run, and gives it an environment of two words', async () => {
    const end = await (
      await start([
        { do: 'look' },
        { do: 'report', report: { type: 'result', name: 'seen', file: 'out/seen.json', mediaType: 'text/plain' } },
        DONE,
        EXIT,
      ])
    ).end;
    const seen = JSON.parse(readFileSync(end.results[0]?.path ?? '', 'utf8'));
    expect(seen.environment).toEqual(['HOME', 'PATH']);
    if (linux) expect(readdirSync(join(workFolder, 'runs'))).toEqual([]);
  });
});

describe('stopping', () => {
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
});

describe('the death of a worker', () => {
  onLinux.each([
    ['a running', 'run'],
    ['a suspended', 'suspend'],
  ])('leaves %s engine to the next sweep, children included', async (_, mode) => {
    const program = 'setInterval(() => {}, 1000)';
    const spec = scriptedSpec(workFolder, [{ do: 'child', program, leaves: false }, { do: 'work' }], {
      outlivesItsWatcher: true,
    });
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
    const host = startHost(scriptedSpec(workFolder, [{ do: 'work' }]), 'run');
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

async function start(steps: readonly Step[], changes: Partial<RunSpec> = {}): Promise<Run> {
  const run = await createEmbeddedRunner({ enginesFolder, workFolder }).start(scriptedSpec(workFolder, steps, changes));
  runs.push(run);
  return run;
}

/** A run that was prepared by `steps` and is now busy. */
async function working(steps: readonly Step[], changes: Partial<RunSpec> = {}): Promise<Run> {
  const run = await start([...steps, { do: 'work' }], changes);
  await until(() => (run.snapshot().counters.rounds ?? 0) > 0);
  return run;
}

function startHost(spec: RunSpec, mode: string): ChildProcess {
  const host = join(__dirname, '..', 'dist', 'runners', 'testing', 'host.js');
  return spawn(process.execPath, [host, 'embedded', enginesFolder, workFolder, JSON.stringify(spec), mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The pid of the one run that is recorded. */
function enginePid(): number {
  return Number.parseInt(readdirSync(join(workFolder, 'runs')).find((name) => name.endsWith('.json')) ?? '', 10);
}
