/** How the jobs of a worker, and sweeps of other workers, know that it lives. */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, processSpace, readProcess } from '../processes';
import type { JobOrder } from './jobFolder';

/** A file that changes every second while this worker has runs. */
export class WorkerBeat {
  readonly path: string;
  #runs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.path = join(folder, `worker-${randomUUID()}.beat`);
  }

  async begin(): Promise<void> {
    if (++this.#runs > 1) return;
    await this.#write();
    this.#timer = setInterval(() => void this.#write().catch(() => {}), BEAT_EVERY_MS);
  }

  async finish(): Promise<void> {
    if (--this.#runs > 0) return;
    clearInterval(this.#timer);
    await rm(this.path, { force: true });
  }

  async #write(): Promise<void> {
    await writeFile(this.path, randomUUID(), { mode: 0o600 });
  }
}

/** This process, as a sweep can recognise it. */
export function thisWorker(): JobOrder['worker'] {
  return { ...processSpace(), pid: process.pid, startTime: readProcess(process.pid)?.startTime ?? '' };
}

/**
 * Whether the worker that gave an order is dead. On this host its process tells; of another host's only the beat can be
 * seen, which is compared with the clock of the filesystem itself, so that clocks that differ do no harm.
 */
export async function isWorkerGone({ worker, beatPath, abandonedAfterMs }: JobOrder, folder: string): Promise<boolean> {
  const here = processSpace();
  if (worker.boot === here.boot && worker.namespace === here.namespace) {
    const row = readProcess(worker.pid);
    return !isAlive(row) || row.startTime !== worker.startTime;
  }
  const clock = join(folder, `clock-${randomUUID()}`);
  try {
    await writeFile(clock, '');
    const [now, beat] = await Promise.all([stat(clock), stat(beatPath).catch(() => undefined)]);
    return !beat || now.mtimeMs - beat.mtimeMs > 2 * abandonedAfterMs;
  } finally {
    await rm(clock, { force: true });
  }
}

const BEAT_EVERY_MS = 1000;
