/** What it costs to watch and wall an engine: a tiny one beside a plain start of it, and a long one's watcher. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createEmbeddedRunner } from '../../runners/embedded';
import type { Runner, RunSpec } from '../../runners/runner';
import { canSandbox, createSandboxRunner } from '../../runners/sandbox';
import { type Effort, type Figure, figure, inTurns, median } from './figure';

/** Ends as soon as it has said so. */
const TINY = `process.stdin.resume();
process.stdout.write('{"type":"done","counters":{}}\\n', () => process.exit(0));`;
/** Works for ever, and reports as often as our engines do. */
const LONG = `process.on('SIGTERM', () => process.exit(0));
process.stdin.resume();
setInterval(() => process.stdout.write('{"type":"progress","fraction":0,"counters":{"steps":1}}\\n'), 250);`;

/** Milliseconds of a job above a plain start of the same engine, and processor time of watching, for each runner. */
export async function benchRunners({ rounds, seconds }: Effort): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  try {
    const enginesFolder = join(folder, 'engines');
    for (const [name, program] of Object.entries({ tiny: TINY, long: LONG })) {
      mkdirSync(join(enginesFolder, name), { recursive: true });
      writeFileSync(join(enginesFolder, name, 'main.js'), program);
    }
    writeFileSync(join(folder, 'input'), 'the input');
    const place = { enginesFolder, workFolder: join(folder, 'work') };
    mkdirSync(place.workFolder);
    const runners = [createEmbeddedRunner(place), ...((await canSandbox()) ? [createSandboxRunner(place)] : [])];
    const overhead = await measureOverhead(folder, enginesFolder, runners, rounds * JOBS_A_ROUND);
    const watching: Figure[] = [];
    for (const runner of runners) watching.push(await measureWatching(folder, runner, seconds));
    return [...overhead, ...watching];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const JOBS_A_ROUND = 4;
const OVERHEAD_MS_MAX = 50;
const WATCHING_PERCENT_MAX = 2;

async function measureOverhead(folder: string, enginesFolder: string, runners: readonly Runner[], rounds: number) {
  const timed = async (job: () => Promise<unknown>) => {
    const startedAt = performance.now();
    await job();
    return performance.now() - startedAt;
  };
  const program = join(enginesFolder, 'tiny', 'main.js');
  const bare = () =>
    timed(async () => {
      // As little of the environment as an engine gets: Node starts the slower the more it is told.
      const child = spawn(process.execPath, [program], { cwd: folder, env: { PATH: process.env.PATH ?? '' } });
      child.stdout.resume();
      child.stderr.resume();
      await once(child, 'close');
    });
  const ours = runners.map((runner) => {
    const job = async () => (await runner.start(specIn(folder, 'tiny'))).end;
    return [runner.name, () => timed(job)] as const;
  });
  const measured = await inTurns<string, number>({ rounds, warmUps: 2 }, { bare, ...Object.fromEntries(ours) });
  const baseline = median(measured.bare ?? []);
  return runners.map(({ name }) => {
    const jobMs = median(measured[name] ?? []);
    return figure({
      name: `runner-overhead-${name}`,
      params: { jobs: rounds },
      ours: jobMs - baseline,
      unit: 'ms above a plain start',
      goal: { of: 'ours', bound: '<=', value: OVERHEAD_MS_MAX },
      seen: { plainMs: Math.round(baseline), jobMs: Math.round(jobMs) },
    });
  });
}

/** The processor time of this process while it does nothing but watch. */
async function measureWatching(folder: string, runner: Runner, seconds: number): Promise<Figure> {
  const run = await runner.start(specIn(folder, 'long'));
  await new Promise<void>((resolve) => run.onProgress(resolve));
  const before = process.cpuUsage();
  const startedAt = performance.now();
  await delay(seconds * 1000);
  const { user, system } = process.cpuUsage(before);
  const percent = ((user + system) / 1000 / (performance.now() - startedAt)) * 100;
  await run.stop(1000);
  return figure({
    name: `runner-watching-${runner.name}`,
    params: { seconds },
    ours: percent,
    unit: '% of a processor',
    goal: { of: 'ours', bound: '<=', value: WATCHING_PERCENT_MAX },
  });
}

function specIn(folder: string, engine: string): RunSpec {
  return {
    jobId: 'bench',
    attempt: 1,
    engine: { name: engine, onLostAttempt: 'restart' },
    folder: mkdtempSync(join(folder, 'attempt-')),
    inputPath: join(folder, 'input'),
    parameters: {},
    timeLimitMs: 600_000,
    memoryBytesMax: 2 ** 30,
  };
}
