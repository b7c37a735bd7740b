/**
 * Runs engines as jobs of Slurm. The worker and the nodes share a filesystem, on which every run has a folder: `job.ts`
 * runs there on some node, `run.ts` watches here, and `jobFolder.ts` is what they say to each other.
 */
import { constants } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { engineCommand } from './engineProgram';
import { FOLDER_LIMITS, type FolderLimits } from './folderLimits';
import { PROCESSES_MAX } from './processRun';
import type { Runner, RunSpec } from './runner';
import { createSlurmClient } from './slurm/client';
import { JobFolder } from './slurm/jobFolder';
import { SlurmRun } from './slurm/run';
import { sweepJobs } from './slurm/sweep';
import { JobWatch } from './slurm/watch';
import { thisWorker, WorkerBeat } from './slurm/worker';

/** The folders, the attempts' folders and Node itself have the same paths on the worker and on every node. */
export interface SlurmRunnerOptions {
  readonly enginesFolder: string;
  /** On the shared filesystem; only this account may read it. */
  readonly workFolder: string;
  readonly partition?: string;
  readonly account?: string;
  /** What Slurm's commands and the jobs see; otherwise `PATH`, `HOME`, `USER` and `SLURM_CONF` of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Processes and threads of a run together. */
  readonly processesMax?: number;
  /** What a run may keep in its folder. */
  readonly folderLimits?: FolderLimits;
  /** Cores of a job. */
  readonly cpus?: number;
  /** A job ends when its worker was silent for so long. */
  readonly abandonedAfterMs?: number;
  /** The compiled `slurm/job.ts`. */
  readonly jobProgram?: string;
}

/** The runner for a cluster. `docs/slurm.md` says what Slurm must offer, and what happens when it fails or forgets. */
export function createSlurmRunner({
  enginesFolder,
  workFolder,
  partition,
  account,
  environment = inherited(),
  processesMax = PROCESSES_MAX,
  folderLimits = FOLDER_LIMITS,
  cpus = 1,
  abandonedAfterMs = 30_000,
  jobProgram = join(__dirname, 'slurm', 'job.js'),
}: SlurmRunnerOptions): Runner {
  const client = createSlurmClient(environment);
  const watch = new JobWatch(client);
  const jobsFolder = join(workFolder, 'slurm');
  const beat = new WorkerBeat(jobsFolder);

  async function order(spec: RunSpec, folder: JobFolder): Promise<void> {
    await folder.create({
      // What the node needs is on the shared filesystem; the store may be elsewhere.
      spec: { ...spec, inputPath: folder.inputPath },
      enginesFolder,
      processesMax,
      folderLimits,
      worker: thisWorker(),
      beatPath: beat.path,
      abandonedAfterMs,
    });
    await copyFile(spec.inputPath, folder.inputPath, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }

  return {
    name: 'slurm',
    async start(spec) {
      await engineCommand(enginesFolder, spec); // Sees that there is such an engine.
      const name = `holdfast-${spec.jobId}-${spec.attempt}`;
      const folder = new JobFolder(join(jobsFolder, name));
      const options = [
        `--job-name=${name}`,
        `--chdir=${folder.path}`,
        `--output=${folder.logPath}`,
        '--nodes=1',
        '--ntasks=1',
        `--cpus-per-task=${cpus}`,
        `--mem=${Math.ceil(spec.memoryBytesMax / 2 ** 20) + JOB_MEBIBYTES}M`,
        `--time=${Math.ceil((spec.timeLimitMs + STOPPING_MS) / 60_000) + 1}`,
        // A lost attempt is made again as an attempt of its own, with a folder and a measurement of its own.
        '--no-requeue',
        ...(partition === undefined ? [] : [`--partition=${partition}`]),
        ...(account === undefined ? [] : [`--account=${account}`]),
      ];
      // Named, because a job whose folder is gone is started in another one.
      const script = `#!/bin/sh
export HOLDFAST_JOB_FOLDER=${quoted(folder.path)}
exec ${quoted(process.execPath)} ${quoted(jobProgram)}
`;
      await beat.begin();
      try {
        await order(spec, folder);
        return await SlurmRun.begin({ client, watch, folder, name, script, options, forget: () => beat.finish() });
      } catch (error) {
        await beat.finish();
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await folder.remove();
        throw error;
      }
    },
    sweep: () => sweepJobs(client, jobsFolder),
  };
}

/** For the program of the job itself, beside the engine that it limits. */
const JOB_MEBIBYTES = 256;
/** The job keeps the exact time limit. Slurm's, in minutes, is for a job that does not, and must come later. */
const STOPPING_MS = 30_000;

function inherited(): Record<string, string> {
  const names = ['PATH', 'HOME', 'USER', 'SLURM_CONF'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
