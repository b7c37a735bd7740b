/** What is special to Slurm, on a real one that is started here. What every runner must do is in the conformance suite. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, readProcess } from './processes';
import type { Run, RunSpec } from './runner';
import { canSandbox } from './sandbox';
import { createSlurmRunner } from './slurm';
import { createSlurmClient } from './slurm/client';
import { missingSlurmPrograms, SlurmCluster } from './testing/slurmCluster';

jest.setTimeout(90_000);
const isThere = missingSlurmPrograms.length === 0;
const withSlurm = isThere ? describe : describe.skip;

const enginesFolder = join(__dirname, 'testing');
const jobProgram = join(__dirname, '..', 'dist', 'runners', 'slurm', 'job.js');
const DONE = { do: 'report', report: { type: 'done', counters: {} } };
const EXIT = { do: 'exit', code: 0 };
const STOPS = { do: 'onTerm', steps: [{ do: 'report', report: { type: 'stopped', counters: {} } }, EXIT] };

withSlurm(isThere ? 'on a Slurm' : `on a Slurm (skipped: no ${missingSlurmPrograms.join(', ')} here)`, () => {
  let cluster: SlurmCluster;
  let workFolder: string;
  let runs: Run[];
  let hosts: ChildProcess[];
  let started = 0;

  beforeAll(startCluster);

  afterAll(async () => {
    await cluster?.stop();
  });

  beforeEach(() => {
    workFolder = mkdtempSync(join(tmpdir(), 'holdfast-slurm-work-'));
    runs = [];
    hosts = [];
  });

  afterEach(async () => {
    for (const host of hosts) host.kill('SIGKILL');
    for (const run of runs) await run.stop(0);
    expect(readdirSync(join(workFolder, 'slurm'))).toEqual([]);
    rmSync(workFolder, { recursive: true, force: true });
  });

  it('gives an engine that drives installed programs the walls for them, and nothing of the worker’s', async () => {
    const run = await start(
      [
        { do: 'look' },
        { do: 'report', report: { type: 'result', name: 'seen', file: 'out/seen.json', mediaType: 'text/plain' } },
        DONE,
        EXIT,
      ],
      { engine: { name: 'scripted', programs: ['ngspice'], onLostAttempt: 'restart' } },
    );
    const end = await run.end;
    const { environment } = JSON.parse(readFileSync(end.results[0]?.path ?? '', 'utf8'));
    expect(environment).toEqual((await canSandbox()) ? ['HOLDFAST_SANDBOX', 'HOME', 'PATH'] : ['HOME', 'PATH']);
  });

  describe('suspension', () => {
    it('stops every process, frees the cores in Slurm, and goes on after it', async () => {
      const run = await working([STOPS]);
      const job = await theJob();
      const processes = await processesOf(job.id);
      expect(processes.length).toBeGreaterThanOrEqual(2);
      await run.suspend();
      const engine = processes.at(-1) as number;
      const before = readProcess(engine);
      expect(before?.state).toBe('T');
      await until(async () => (await theJob()).state === 'SUSPENDED');
      await until(async () => processes.every((pid) => readProcess(pid)?.state === 'T'));
      expect(readProcess(engine)?.cpuSeconds).toBe(before?.cpuSeconds);
      const rounds = run.snapshot().counters.rounds ?? 0;
      await run.resume();
      await until(() => (run.snapshot().counters.rounds ?? 0) > rounds + 1);
      expect((await theJob()).state).toBe('RUNNING');
    });

    it('followed by a resumption at once leaves the engine running', async () => {
      const run = await working([STOPS]);
      await run.suspend();
      await run.resume();
      // Slurm takes two seconds to stop the processes of a job, and must not do so after the resumption.
      await delay(3000);
      const rounds = run.snapshot().counters.rounds ?? 0;
      await until(() => (run.snapshot().counters.rounds ?? 0) > rounds + 1);
    });

    it('stops the engine, too, where our account may not suspend jobs', async () => {
      const denied = commandInstead(
        'scontrol',
        '[ "$1" = suspend ] && { echo "Access/permission denied" >&2; exit 1; }; exec "$real" "$@"',
      );
      const run = await working([STOPS], {}, denied);
      const { id } = await theJob();
      const engine = (await processesOf(id)).at(-1) as number;
      await run.suspend();
      expect(readProcess(engine)?.state).toBe('T');
      expect((await theJob()).state).toBe('RUNNING');
      await run.resume();
      await progressOf(run);
    });

    it('whose answer from Slurm was lost is resumed all the same', async () => {
      const lossy = commandInstead(
        'scontrol',
        '"$real" "$@"; [ "$1" = suspend ] || exit; echo "Socket timed out on send/recv operation" >&2; exit 1',
      );
      const run = await working([STOPS], {}, lossy);
      await run.suspend();
      await until(async () => (await theJob()).state === 'SUSPENDED');
      await run.resume();
      await progressOf(run);
    });

    it('by an operator takes no time of the time limit either', async () => {
      const run = await working([STOPS], { timeLimitMs: 8000 });
      const { id } = await theJob();
      await cluster.command('scontrol', 'suspend', id);
      await delay(10_500); // Two seconds until Slurm stops all of it, then longer than the limit.
      const { rounds = 0 } = run.snapshot().counters;
      await cluster.command('scontrol', 'resume', id);
      await until(() => (run.snapshot().counters.rounds ?? 0) > rounds);
      // What the engine did before it was stopped, after the job's own program was, is not yet progress.
      await progressOf(run, 45);
      expect((await run.end).kind).toBe('time-limit');
    });
  });

  describe('a submission', () => {
    it('whose answer was lost is found and not repeated', async () => {
      const lossy = commandInstead(
        'sbatch',
        '"$real" "$@" > /dev/null; echo "Socket timed out on send/recv operation" >&2; exit 1',
      );
      const run = await start([{ do: 'work', cpuMs: 200 }, DONE, EXIT], {}, lossy);
      expect((await run.end).kind).toBe('completed');
      expect(await jobsOfThis()).toHaveLength(1);
    });

    it('that reached the controller twice runs once', async () => {
      const twice = commandInstead(
        'sbatch',
        'cat > "$0.script"; "$real" "$@" < "$0.script" > /dev/null; "$real" "$@" < "$0.script"',
      );
      const run = await start(
        [{ do: 'work', cpuMs: 500 }, { do: 'file', path: 'out/once', text: '' }, DONE, EXIT],
        {},
        twice,
      );
      const end = await run.end;
      expect(end.kind).toBe('completed');
      const jobs = await jobsOfThis();
      expect(jobs).toHaveLength(2);
      await until(async () =>
        (await jobsOfThis()).every(({ state }) => state === 'COMPLETED' || state === 'CANCELLED' || state === 'FAILED'),
      );
    });

    it('that no controller hears is made again when one does', async () => {
      await cluster.killDaemon('slurmctld');
      const starting = start([DONE, EXIT]);
      await cluster.startDaemon('slurmctld');
      expect((await (await starting).end).kind).toBe('completed');
      expect(await jobsOfThis()).toHaveLength(1);
    });

    it('that Slurm refuses is a start that fails, in Slurm’s words', async () => {
      const nowhere = createSlurmRunner({
        enginesFolder,
        workFolder,
        jobProgram,
        environment: cluster.environment,
        partition: 'nowhere',
      });
      await expect(nowhere.start(makeSpec([]))).rejects.toThrow('invalid partition');
    });
  });

  describe('a controller that is away', () => {
    // One that lost its memory gives out the ids of living jobs again, and drains the node when it notices.
    beforeEach(startCluster);

    it('is not the end of a run, which it knows again when it comes back', async () => {
      const run = await working([STOPS]);
      await cluster.saveJobs();
      await cluster.killDaemon('slurmctld');
      await progressOf(run);
      await cluster.startDaemon('slurmctld');
      await progressOf(run, 20);
      expect((await theJob()).state).toBe('RUNNING');
      await run.stop(10_000);
      expect((await run.end).kind).toBe('stopped');
      await until(async () => (await theJob()).state === 'COMPLETED');
    });

    it('does not keep a run from ending', async () => {
      const run = await working([STOPS]);
      await cluster.killDaemon('slurmctld');
      await run.stop(10_000);
      expect((await run.end).kind).toBe('stopped');
      await cluster.startDaemon('slurmctld');
    });

    it('and that forgets a running job and kills it loses the run, with what it had counted', async () => {
      const run = await working([STOPS]);
      await cluster.forgetJobs();
      const end = await run.end;
      expect(end).toMatchObject({ kind: 'engine-failed', message: expect.stringContaining('Slurm does not know it') });
      expect(end.counters.rounds).toBeGreaterThan(0);
    });

    it('and that forgets a job which did not start gets it again', async () => {
      await drain();
      const run = await start([DONE, EXIT]);
      await until(async () => (await theJob()).state === 'PENDING');
      await cluster.forgetJobs();
      await undrain();
      expect((await run.end).kind).toBe('completed');
      expect(await jobsOfThis()).toHaveLength(1);
    });

    it('counts as away, too, when only its authentication is', async () => {
      const run = await working([STOPS]);
      await cluster.killDaemon('munged');
      await progressOf(run, 30);
      await cluster.startDaemon('munged');
      await run.stop(10_000);
      expect((await run.end).kind).toBe('stopped');
    });
  });

  describe('what Slurm and its operators do to a job', () => {
    it('a requeued job is lost and never runs a second time', async () => {
      const run = await working([STOPS]);
      const { id } = await theJob();
      await cluster.command('scontrol', 'update', `JobId=${id}`, 'Requeue=1');
      await cluster.command('scontrol', 'requeue', id);
      const end = await run.end;
      expect(end.kind).toBe('engine-failed');
      expect(end.counters.rounds).toBeGreaterThan(0);
      expect(end.cpuSeconds).toBeGreaterThan(0);
      await until(async () => (await theJob()).state === 'CANCELLED');
    });

    it('a job that somebody cancelled is a failure of the platform', async () => {
      const run = await working([STOPS]);
      await cluster.command('scancel', (await theJob()).id);
      expect(await run.end).toMatchObject({
        kind: 'engine-failed',
        message: 'The job was cancelled in Slurm by somebody else.',
      });
    });

    it('a job that was killed without a word is lost, with what it had counted', async () => {
      const run = await working([STOPS]);
      await cluster.command('scancel', '--signal=KILL', '--full', (await theJob()).id);
      const end = await run.end;
      expect(end.kind).toBe('engine-failed');
      expect(end.counters.rounds).toBeGreaterThan(0);
    });

    it('a drained node keeps a run waiting, which can be suspended and stopped', async () => {
      await drain();
      try {
        const run = await start([STOPS, { do: 'work' }]);
        await until(async () => (await theJob()).state === 'PENDING');
        await run.suspend();
        await run.resume();
        await run.stop(10_000);
        expect(await run.end).toMatchObject({ kind: 'stopped', cpuSeconds: 0 });
        await until(async () => (await theJob()).state === 'CANCELLED');
      } finally {
        await undrain();
      }
    });

    it('the time limit of Slurm, should it come first, is a time limit', async () => {
      const run = await working([STOPS]);
      await cluster.command('scontrol', 'update', `JobId=${(await theJob()).id}`, 'EndTime=now');
      expect((await run.end).kind).toBe('time-limit');
    });
  });

  it('looks at all its runs with one command a second', async () => {
    const log = join(workFolder, 'looks');
    const counting = commandInstead('squeue', `echo "$@" >> ${log}; exec "$real" "$@"`);
    const one = runner(counting);
    const specs = Array.from({ length: 8 }, () => makeSpec([{ do: 'work', cpuMs: 200 }, DONE, EXIT]));
    const since = performance.now();
    runs.push(...(await Promise.all(specs.map((spec) => one.start(spec)))));
    const ends = await Promise.all(runs.map((run) => run.end));
    expect(ends.map(({ kind }) => kind)).toEqual(specs.map(() => 'completed'));
    const looks = readFileSync(log, 'utf8').trim().split('\n');
    expect(looks.length).toBeLessThanOrEqual((performance.now() - since) / 1000 + 2);
    expect(looks.some((look) => /--jobs=\d+(,\d+){3}/.test(look))).toBe(true);
  });

  describe('the death of a worker', () => {
    it('leaves a suspended job to the next sweep, and only that', async () => {
      const spec = makeSpec([STOPS, { do: 'work' }]);
      const host = startHost(spec, 'suspend');
      await once(host.stdout as NodeJS.ReadableStream, 'data');
      const { id } = await theJob();
      const processes = await processesOf(id);

      await runner().sweep();
      expect(processes.every((pid) => isAlive(readProcess(pid)))).toBe(true); // Its worker lives.

      host.kill('SIGKILL');
      await once(host, 'exit');
      await runner().sweep();
      await until(() => !processes.some((pid) => isAlive(readProcess(pid))));
      expect(existsSync(spec.folder)).toBe(false);
    });

    it('ends a running job even when no sweep comes', async () => {
      const spec = makeSpec([STOPS, { do: 'work' }]);
      const host = startHost(spec, 'run');
      await once(host.stdout as NodeJS.ReadableStream, 'data');
      host.kill('SIGKILL');
      await once(host, 'exit');
      await until(async () => (await theJob()).state === 'COMPLETED');
      await runner().sweep();
    });
  });

  async function startCluster(): Promise<void> {
    await cluster?.stop();
    cluster = await SlurmCluster.start();
  }

  async function drain(): Promise<void> {
    await cluster.command('scontrol', 'update', `NodeName=${cluster.node}`, 'State=drain', 'Reason=test');
  }

  /** A controller that forgot that the node was drained refuses, and takes jobs. */
  async function undrain(): Promise<void> {
    await cluster.command('scontrol', 'update', `NodeName=${cluster.node}`, 'State=resume').catch(() => {});
  }

  function startHost(spec: RunSpec, mode: string): ChildProcess {
    const host = join(__dirname, '..', 'dist', 'runners', 'testing', 'host.js');
    const child = spawn(process.execPath, [host, 'slurm', enginesFolder, workFolder, JSON.stringify(spec), mode], {
      env: { ...process.env, ...cluster.environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    hosts.push(child);
    return child;
  }

  /** A PATH on which one of Slurm's commands is reached over a bad network; `$real` is the command itself. */
  function commandInstead(command: string, script: string): Readonly<Record<string, string>> {
    const folder = mkdtempSync(join(workFolder, 'path-'));
    const search = (cluster.environment.PATH ?? '').split(delimiter);
    const real = search.map((one) => join(one, command)).find(existsSync);
    writeFileSync(join(folder, command), `#!/bin/sh\nreal=${real}\n${script}\n`);
    chmodSync(join(folder, command), 0o755);
    return { ...cluster.environment, PATH: [folder, ...search].join(delimiter) };
  }

  /** All jobs that Slurm remembers of this test. */
  async function jobsOfThis() {
    const jobs = await createSlurmClient(cluster.environment).find(
      `holdfast-job-${started}-1`,
      join(workFolder, 'slurm', `holdfast-job-${started}-1`),
    );
    return jobs;
  }

  async function theJob() {
    const [job] = await jobsOfThis();
    if (!job) throw new Error('Slurm has no job of this test');
    return job;
  }

  /** The processes of a job, the engine last. */
  async function processesOf(id: string): Promise<number[]> {
    const steps = (await cluster.command('scontrol', 'listpids', id)).split('\n').slice(1);
    return steps
      .map((line) => Number.parseInt(line, 10))
      .filter((pid) => pid > 0)
      .sort((a, b) => a - b);
  }

  /** A run that was prepared by `steps` and is now busy. */
  async function working(
    steps: readonly object[],
    changes: Partial<RunSpec> = {},
    environment?: Readonly<Record<string, string>>,
  ): Promise<Run> {
    const run = await start([...steps, { do: 'work' }], changes, environment);
    await until(() => (run.snapshot().counters.rounds ?? 0) > 0);
    return run;
  }

  /** Waits until the engine did so many rounds more. */
  async function progressOf(run: Run, more = 3): Promise<void> {
    const rounds = run.snapshot().counters.rounds ?? 0;
    await until(() => (run.snapshot().counters.rounds ?? 0) > rounds + more);
  }

  async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
    for (const giveUpAt = Date.now() + 30_000; !(await condition()); ) {
      if (Date.now() > giveUpAt) throw new Error('waited for 30 s in vain');
      await delay(50);
    }
  }

  function makeSpec(steps: readonly object[], changes: Partial<RunSpec> = {}): RunSpec {
    const folder = mkdtempSync(join(workFolder, 'attempt-'));
    const inputPath = join(workFolder, 'stored-input');
    writeFileSync(inputPath, 'the input');
    return {
      jobId: `job-${++started}`,
      attempt: 1,
      engine: { name: 'scripted', onLostAttempt: 'restart' },
      folder,
      inputPath,
      parameters: { steps },
      timeLimitMs: 60_000,
      memoryBytesMax: 512 * 2 ** 20,
      ...changes,
    };
  }

  function runner(environment: Readonly<Record<string, string>> = cluster.environment) {
    return createSlurmRunner({ enginesFolder, workFolder, jobProgram, environment });
  }

  async function start(
    steps: readonly object[],
    changes: Partial<RunSpec> = {},
    environment?: Readonly<Record<string, string>>,
  ): Promise<Run> {
    const run = await runner(environment).start(makeSpec(steps, changes));
    runs.push(run);
    return run;
  }
});
