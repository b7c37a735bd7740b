/**
 * `npm run bench [-- --only NAME] [-- --json FILE]`: ratios of what we do against the barest way to do as much, measured in
 * the same run on the same servers, in alternating rounds.
 */
import { randomUUID } from 'node:crypto';
import { appendFile, writeFile } from 'node:fs/promises';
import { WithStartWorkflowOperation } from '@temporalio/client';
import { Command } from 'commander';
import { v7 as uuidv7 } from 'uuid';
import { insertJob } from '../../db/jobs';
import { DEMO } from '../../db/seed';
import { parseCredits } from '../../domain/credits';
import { instantOfMilliseconds } from '../../domain/instant';
import { jobWorkflowId } from '../../domain/job';
import { EMBEDDED_TASK_QUEUE, JOBS_TASK_QUEUE, type JobInput } from '../../workflows/messages';
import { bareJob, bareUpdate, bareUpdateWithStart } from './workflows';
import { type BenchWorld, startBenchWorld } from './world';

/** One line of output: `ratio` is ours / baseline, in `unit`. */
interface Figure {
  readonly name: string;
  readonly params: Readonly<Record<string, number | string>>;
  readonly ours: number;
  readonly baseline: number;
  readonly ratio: number;
  readonly unit: string;
}

const BENCHES: Readonly<Record<string, (world: BenchWorld) => Promise<Figure>>> = {
  'job-workflow': benchJobWorkflow,
  'job-post': benchJobPost,
};

async function main(): Promise<void> {
  const options = new Command('bench')
    .option('--only <name>', `one of ${Object.keys(BENCHES).join(', ')}`)
    .option('--json <file>', 'write the lines to a file too')
    .parse()
    .opts<{ only?: string; json?: string }>();
  const names = options.only === undefined ? Object.keys(BENCHES) : [options.only];
  const unknown = names.find((name) => !(name in BENCHES));
  if (unknown !== undefined)
    throw new Error(`there is no benchmark "${unknown}"; there are ${Object.keys(BENCHES).join(', ')}`);
  if (options.json !== undefined) await writeFile(options.json, '');
  const world = await startBenchWorld();
  try {
    for (const name of names) {
      const line = JSON.stringify(await BENCHES[name]?.(world));
      process.stdout.write(`${line}\n`);
      if (options.json !== undefined) await appendFile(options.json, `${line}\n`);
    }
  } finally {
    await world.stop();
  }
}

/** A job workflow against a bare workflow with the same activities: milliseconds per job, several at once. */
async function benchJobWorkflow(world: BenchWorld): Promise<Figure> {
  const rounds = 8;
  const jobs = 24;
  const start = (type: 'job' | 'bareJob') => async () => {
    const input = await writeJob(world);
    const args = type === 'job' ? [input] : [input, EMBEDDED_TASK_QUEUE];
    const workflowId = type === 'job' ? jobWorkflowId(input.jobId) : `bare/${input.jobId}`;
    await world.client.workflow.execute(type, { workflowId, taskQueue: JOBS_TASK_QUEUE, args });
  };
  const perJob = async (work: () => Promise<void>) => {
    const began = performance.now();
    await atOnce(jobs, 8, work);
    return (performance.now() - began) / jobs;
  };
  const { ours, baseline } = await alternate(
    rounds,
    () => perJob(start('job')),
    () => perJob(start('bareJob')),
  );
  return figure('job-workflow', { rounds, jobs, atOnce: 8, baseline: bareJob.name }, ours, baseline, 'ms per job');
}

/** `POST /v1/jobs` until its 201 against a bare update-with-start until its answer: p50, one at a time. */
async function benchJobPost(world: BenchWorld): Promise<Figure> {
  const rounds = 60;
  const ours = async () => {
    const began = performance.now();
    const { id } = await world.call<{ id: string }>('POST', '/v1/jobs', { quoteId: world.quoteId });
    const took = performance.now() - began;
    // Its tail must not run into the next measurement.
    await world.client.workflow.getHandle(jobWorkflowId(id)).result();
    return took;
  };
  const bare = async () => {
    const workflowId = `bare-update/${randomUUID()}`;
    const began = performance.now();
    await world.client.workflow.executeUpdateWithStart(bareUpdate, {
      updateId: 'bare',
      startWorkflowOperation: new WithStartWorkflowOperation<typeof bareUpdateWithStart>('bareUpdateWithStart', {
        workflowId,
        taskQueue: JOBS_TASK_QUEUE,
        args: [],
        workflowIdConflictPolicy: 'USE_EXISTING',
      }),
    });
    const took = performance.now() - began;
    await world.client.workflow.getHandle(workflowId).result();
    return took;
  };
  const measured = await alternate(rounds, ours, bare);
  return figure(
    'job-post',
    { rounds, atOnce: 1, baseline: bareUpdateWithStart.name },
    measured.ours,
    measured.baseline,
    'ms p50',
  );
}

async function writeJob(world: BenchWorld): Promise<JobInput> {
  const { rows: quotes } = await world.db.raw('select input_digest as digest from quotes where id = ?', [
    world.quoteId,
  ]);
  const jobId = uuidv7();
  const expected = '5';
  await insertJob(world.db, {
    id: jobId,
    userId: DEMO.people.submitter.id,
    contractId: DEMO.contract,
    service: 'simulation',
    inputDigest: quotes[0].digest,
    inputName: 'filter.cir',
    parameters: {},
    dimensions: {},
    quoteId: null,
    rateCardVersion: 1,
    expected: parseCredits(expected),
    maxCredits: parseCredits(expected),
    timeLimitSeconds: 60,
    comment: '',
    submittedAt: instantOfMilliseconds(Date.now()),
  });
  return {
    jobId,
    userId: DEMO.people.submitter.id,
    contractId: DEMO.contract,
    service: 'simulation',
    expected,
    maxCredits: expected,
    timeLimitSeconds: 60,
    heartbeatSeconds: 10,
    parkedGraceSeconds: 60,
  };
}

/** Runs work a number of times, so many at once. */
async function atOnce(times: number, width: number, work: () => Promise<void>): Promise<void> {
  let left = times;
  const lane = async () => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** Medians of two measurements taken in turns, after two turns to warm up: noise of the machine meets both. */
async function alternate(rounds: number, ours: () => Promise<number>, baseline: () => Promise<number>) {
  const measured: { ours: number[]; baseline: number[] } = { ours: [], baseline: [] };
  for (let round = -2; round < rounds; round++) {
    const one = await ours();
    const other = await baseline();
    if (round < 0) continue;
    measured.ours.push(one);
    measured.baseline.push(other);
  }
  return { ours: median(measured.ours), baseline: median(measured.baseline) };
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function figure(name: string, params: Figure['params'], ours: number, baseline: number, unit: string): Figure {
  const rounded = (value: number) => Math.round(value * 100) / 100;
  return { name, params, ours: rounded(ours), baseline: rounded(baseline), ratio: rounded(ours / baseline), unit };
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
