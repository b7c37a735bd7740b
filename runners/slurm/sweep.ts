/** Ends what the runs of dead workers left in Slurm, suspended jobs above all: those see nothing by themselves. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { leaveFolder } from '../attemptFolder';
import { type SlurmClient, SlurmRefusal } from './client';
import { JobFolder } from './jobFolder';
import { isOver } from './states';
import { isWorkerGone } from './worker';

/**
 * Sweeps the job folders of all workers that share `jobsFolder`. What cannot be ended now, because Slurm is away, is left
 * to the next sweep: it was told to stop all the same, and what has not started never will.
 */
export async function sweepJobs(client: SlurmClient, jobsFolder: string): Promise<void> {
  const names = await readdir(jobsFolder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  await Promise.all(
    names
      .filter((name) => name.startsWith('holdfast-'))
      .map((name) => sweepJob(client, jobsFolder, new JobFolder(join(jobsFolder, name)), name)),
  );
}

async function sweepJob(client: SlurmClient, jobsFolder: string, folder: JobFolder, name: string): Promise<void> {
  const order = await folder.readOrder();
  // Without an order nothing was submitted: it is being written, or its worker died writing it.
  if (!order || !(await isWorkerGone(order, jobsFolder))) return;
  await folder.writeCommand({ suspended: false, stop: 0 });
  const neverStarted = await folder.claim({ slurmJobId: null });
  const claimed = (await folder.readClaim())?.slurmJobId;
  let isEnded = neverStarted;
  for (let look = 0; look < LOOKS_MAX; look++) {
    try {
      isEnded = await endJobs(client, name, folder.path, claimed ?? undefined);
    } catch {
      break;
    }
    // A job that Slurm forgot is seen by its last word only.
    if (isEnded && (neverStarted || (await folder.readEnd()) || look >= LOOKS_WITHOUT_WORD)) break;
    await delay(LOOK_EVERY_MS);
  }
  if (!isEnded) return;
  await leaveFolder(order.spec);
  await folder.remove();
  await rm(order.beatPath, { force: true });
}

/** Cancels what is left of an attempt in Slurm; true when nothing was. */
async function endJobs(client: SlurmClient, name: string, path: string, claimed?: string): Promise<boolean> {
  const left = (await client.find(name, path)).filter(({ state }) => !isOver(state));
  for (const { id, state } of left) {
    if (state === 'SUSPENDED') await client.resume(id).catch(ignoreRefusal);
  }
  const ids = [...new Set([...left.map(({ id }) => id), ...(left.length > 0 && claimed ? [claimed] : [])])];
  if (ids.length > 0) await client.cancel(ids).catch(ignoreRefusal);
  return left.length === 0;
}

/** It ended between the look and the request. */
function ignoreRefusal(error: Error): void {
  if (!(error instanceof SlurmRefusal)) throw error;
}

const LOOK_EVERY_MS = 300;
const LOOKS_MAX = 100;
/** Longer than a forgotten job needs to see the command. */
const LOOKS_WITHOUT_WORD = 10;
