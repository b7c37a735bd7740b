/** What Temporal and the API add: a job's workflow and its submission, against the barest that do as much. */
import { randomUUID } from 'node:crypto';
import { WithStartWorkflowOperation } from '@temporalio/client';
import { v7 as uuidv7 } from 'uuid';
import { insertJob } from '../../db/jobs';
import { DEMO } from '../../db/seed';
import { parseCredits } from '../../domain/credits';
import { instantOfMilliseconds } from '../../domain/instant';
import { jobWorkflowId } from '../../domain/job';
import { EMBEDDED_TASK_QUEUE, JOBS_TASK_QUEUE, type JobInput } from '../../workflows/messages';
import { type Figure, figure, inTurns, median } from './figure';
import { bareJob, bareUpdate, bareUpdateWithStart } from './workflows';
import type { BenchWorld } from './world';

/** A job workflow against a bare workflow with the same activities: milliseconds per job, several at once. */
export async function benchJobWorkflow(world: BenchWorld): Promise<Figure> {
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
  const measured = await inTurns(
    { rounds, warmUps: 2 },
    { ours: () => perJob(start('job')), baseline: () => perJob(start('bareJob')) },
  );
  return figure({
    name: 'job-workflow',
    params: { rounds, jobs, atOnce: 8, baseline: bareJob.name },
    ours: median(measured.ours),
    baseline: median(measured.baseline),
    unit: 'ms per job',
  });
}

/** `POST /v1/jobs` until its 201 against a bare update-with-start until its answer: p50, one at a time. */
export async function benchJobPost(world: BenchWorld): Promise<Figure> {
  const rounds = 60;
  const ours = async () => {
    const began = performance.now();
    const { id } = await world.call<{ id: string }>('POST', '/v1/jobs', { quoteId: world.quoteId });
    const took = performance.now() - began;
    // Its tail must not run into the next measurement.
    await world.client.workflow.getHandle(jobWorkflowId(id)).result();
    return took;
  };
  const baseline = async () => {
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
  const measured = await inTurns({ rounds, warmUps: 2 }, { ours, baseline });
  return figure({
    name: 'job-post',
    params: { rounds, atOnce: 1, baseline: bareUpdateWithStart.name },
    ours: median(measured.ours),
    baseline: median(measured.baseline),
    unit: 'ms p50',
  });
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
    project: null,
    route: null,
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
