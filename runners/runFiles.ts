/**
 * One small file per run, so that a later worker finds what a dead one left. It matters for suspended engines above
 * all: a running one sees its stdin end and exits, a stopped one sees nothing.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { leaveFolder } from './attemptFolder';
import { removeLeftCgroups, sweepCgroups } from './cgroups';
import { isAlive, processSpace, readProcess } from './processes';
import { ProcessTree } from './processTree';
import type { RunSpec } from './runner';

/** Writes the file of a run that just started and returns how to remove it. */
export function recordRun(
  folder: string,
  run: Pick<RunSpec, 'jobId' | 'attempt' | 'folder' | 'keptAs'> & { pid: number; cgroups: readonly string[] },
): () => void {
  const engine = readProcess(run.pid);
  const worker = readProcess(process.pid);
  // Without start times a later sweep could only guess, and kill a stranger who got the same pid.
  if (!engine || !worker) return () => {};
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${run.pid}-${engine.startTime}.json`);
  const record: RunRecord = {
    ...processSpace(),
    ...run,
    startTime: engine.startTime,
    worker: { pid: worker.pid, startTime: worker.startTime },
  };
  // Renamed into place, so that a sweep never reads half a file.
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return () => {
    try {
      rmSync(path, { force: true });
    } catch {
      // A file too many: the next sweep finds its run gone and removes it.
    }
  };
}

/** Kills every run whose worker is dead, waits until none of its processes is left, and removes what it worked in or keeps it. */
export async function sweepRuns(folder: string): Promise<void> {
  const here = processSpace();
  for (const name of listFolder(folder)) {
    const path = join(folder, name);
    const record = readRecord(path);
    if (!record) continue;
    if (record.boot === here.boot) {
      // Pids of another container mean nothing here; its own workers sweep there.
      if (record.namespace !== here.namespace) continue;
      if (isSameProcess(record.worker)) continue;
      await killRun(record);
      await removeLeftCgroups(record.cgroups ?? []);
    }
    const { folder: left, keptAs } = record;
    if (left !== undefined) await leaveFolder({ folder: left, ...(keptAs !== undefined && { keptAs }) });
    rmSync(path, { force: true });
  }
  await sweepCgroups();
  sweepUnrecorded(dirname(folder));
}

/** Removes the folders of attempts whose worker died before it recorded the run. A folder's name ends with the worker's pid. */
function sweepUnrecorded(workFolder: string): void {
  // Elsewhere nobody can say which processes live. A work folder belongs to one machine or container.
  if (process.platform !== 'linux' || !existsSync(workFolder)) return;
  for (const name of readdirSync(workFolder)) {
    const [, pid] = /-[0-9]+-([0-9]+)-[A-Za-z0-9]{6}$/.exec(name) ?? [];
    if (pid === undefined || isAlive(readProcess(Number(pid)))) continue;
    rmSync(join(workFolder, name), { recursive: true, force: true });
  }
}

const RunRecord = z.object({
  boot: z.string(),
  namespace: z.string(),
  pid: z.int().min(2),
  startTime: z.string(),
  jobId: z.string(),
  attempt: z.int(),
  folder: z.string().optional(),
  keptAs: z.string().optional(),
  cgroups: z.array(z.string()).readonly().optional(),
  worker: z.object({ pid: z.int(), startTime: z.string() }),
});
type RunRecord = z.infer<typeof RunRecord>;

/**
 * The kernel does not give a pid to a new process while a group carries that number. So when a process has our pid and
 * another start time, our group is empty; when none has it, whoever is in the group is ours.
 */
async function killRun(record: RunRecord): Promise<void> {
  const leader = readProcess(record.pid);
  if (leader && leader.startTime !== record.startTime) return;
  const tree = new ProcessTree(record.pid);
  while (!tree.isEmpty()) {
    tree.signal('SIGKILL');
    await delay(10);
  }
}

function isSameProcess(known: { pid: number; startTime: string }): boolean {
  const row = readProcess(known.pid);
  return isAlive(row) && row.startTime === known.startTime;
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readRecord(path: string): RunRecord | undefined {
  try {
    return RunRecord.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined; // Removed meanwhile by its own worker, or not ours to judge.
  }
}
