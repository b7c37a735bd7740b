/**
 * The kernel's own account of a run: a control group that every process of the run is in, whatever its parent does. It is
 * used as far as this machine lets us: cgroup2 (also beside version 1, where it needs no controller to count CPU time and
 * to kill), and the memory and pids controllers of either version. Where nothing may be written there is no group, and
 * `/proc` must do.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, processSpace, readProcess, sendSignal } from './processes';

/** What a run may take. */
export interface Limits {
  readonly memoryBytesMax: number;
  /** Processes and threads together. */
  readonly processesMax: number;
}

/** The control groups of one run. Every figure is undefined where no controller tells it. */
export class RunCgroup {
  /** One folder per hierarchy, none where nothing may be written. */
  readonly folders: readonly string[];
  readonly limitsMemory: boolean;
  readonly limitsProcesses: boolean;

  constructor({ memoryBytesMax, processesMax }: Limits) {
    const name = `${ownPrefix()}${++made}`;
    this.folders = parents().flatMap((parent) => {
      try {
        mkdirSync(join(parent, name));
        return [join(parent, name)];
      } catch {
        return [];
      }
    });
    const bytes = String(memoryBytesMax);
    const hasMemory = this.#write('memory.limit_in_bytes', bytes) || this.#write('memory.max', bytes);
    // Without this what is over the limit is moved to disk, slowly. Not every kernel counts it.
    void (this.#write('memory.memsw.limit_in_bytes', bytes) || this.#write('memory.swap.max', '0'));
    this.#write('memory.oom.group', '1');
    this.limitsMemory = hasMemory;
    this.limitsProcesses = this.#write('pids.max', String(processesMax));
  }

  /** CPU time of everything that ever ran in it, ended processes and those that left their parents included. */
  get cpuSeconds(): number | undefined {
    return this.#field('cpu.stat', 'usage_usec', 1e-6);
  }

  /** The highest memory, files in the kernel's cache included, which the limit counts too. */
  get peakMemoryBytes(): number | undefined {
    return this.#number('memory.max_usage_in_bytes') ?? this.#number('memory.peak');
  }

  /** Whether the kernel killed for want of memory, which nobody asked for. */
  get wasOutOfMemory(): boolean {
    return (this.#field('memory.oom_control', 'oom_kill') ?? this.#field('memory.events', 'oom_kill') ?? 0) > 0;
  }

  /** Whether a process or thread was refused because there were too many. */
  get wasOutOfProcesses(): boolean {
    return (this.#field('pids.events', 'max') ?? 0) > 0;
  }

  /** The processes that are in it, zombies left out. */
  processes(): number[] {
    return processesIn(this.folders);
  }

  /** Kills everything in it at once, also what is just being started. False where only signals do that. */
  kill(): boolean {
    return this.#write('cgroup.kill', '1');
  }

  /** Takes the groups away, once nothing is left in them. */
  remove(): Promise<void> {
    return removeFolders(this.folders);
  }

  #write(file: string, text: string): boolean {
    return this.folders.filter((folder) => written(join(folder, file), text)).length > 0;
  }

  #read(file: string): string | undefined {
    for (const folder of this.folders) {
      const text = readText(join(folder, file));
      if (text !== undefined) return text;
    }
    return undefined;
  }

  #number(file: string): number | undefined {
    const text = this.#read(file);
    return text === undefined ? undefined : Number(text);
  }

  #field(file: string, name: string, factor = 1): number | undefined {
    const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(this.#read(file) ?? '')?.[1];
    return value === undefined ? undefined : Number(value) * factor;
  }
}

/**
 * A shell's line that puts itself into the groups of its first argument (folders, one a line) and then becomes the rest of
 * them: no process of the run is ever outside, and nothing native is needed.
 */
export const JOIN_AND_BECOME =
  'IFS="\n"; set -f; for d in $1; do echo $$ >"$d/cgroup.procs"; done 2>/dev/null; shift; unset IFS PWD OLDPWD SHLVL _; exec "$@"';

/** Kills and removes the groups with these folders, which a dead worker left. Others than ours are not touched. */
export async function removeLeftCgroups(folders: readonly string[]): Promise<void> {
  await removeFolders(folders.filter((folder) => basename(folder).startsWith(PREFIX)));
}

/** Kills and removes every group of workers that are dead. */
export async function sweepCgroups(): Promise<void> {
  for (const parent of parents()) {
    for (const name of listFolders(parent)) {
      const [space, pid, startTime] = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('.') : [];
      // Pids of another container mean nothing here; its own workers sweep there.
      if (pid === undefined || space !== ownSpace()) continue;
      const worker = readProcess(Number(pid));
      if (isAlive(worker) && worker.startTime === startTime) continue;
      await removeFolders([join(parent, name)]);
    }
  }
}

const PREFIX = 'holdfast.';
let made = 0;
let known: readonly string[] | undefined;

/** A group tells whose it is: its worker's namespace, pid and start time. */
function ownPrefix(): string {
  return `${PREFIX}${ownSpace()}.${process.pid}.${readProcess(process.pid)?.startTime}.`;
}

function ownSpace(): string {
  return processSpace().namespace.replace(/\D/g, '');
}

/** Our own group in each hierarchy where a child of ours can be put into a new one; found out once, by doing it. */
function parents(): readonly string[] {
  known ??= process.platform === 'linux' ? ownFolders().filter(letsUsJoin) : [];
  return known;
}

function letsUsJoin(parent: string): boolean {
  const folder = join(parent, `${ownPrefix()}0`);
  try {
    mkdirSync(folder);
  } catch {
    return false;
  }
  const tried = spawnSync('/bin/sh', ['-c', 'echo $$ >"$0/cgroup.procs"', folder], { stdio: 'ignore' });
  try {
    rmdirSync(folder);
  } catch {
    // Its one process has ended and is not yet gone: the next sweep has it.
  }
  return tried.status === 0;
}

/** Where we are in cgroup2, and in the memory and pids hierarchies of version 1. */
function ownFolders(): string[] {
  const paths = new Map<string, string>();
  for (const line of (readText('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const one of (controllers ?? '').split(',')) if (path !== undefined) paths.set(one, path);
  }
  const folders: string[] = [];
  for (const line of (readText('/proc/self/mountinfo') ?? '').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', mounted = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    const which = type === 'cgroup2' ? '' : ['memory', 'pids'].find((one) => options.split(',').includes(one));
    const path = which === undefined || !type?.startsWith('cgroup') ? undefined : paths.get(which);
    if (path === undefined) continue;
    // In a container the mount shows only a part of the hierarchy.
    const inside = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
    folders.push(join(mounted, inside));
  }
  return folders;
}

function processesIn(folders: readonly string[]): number[] {
  const pids = folders.flatMap((folder) => (readText(join(folder, 'cgroup.procs')) ?? '').split('\n').map(Number));
  // Zero is a process of a namespace that we do not see.
  return [...new Set(pids)].filter((pid) => pid > 0 && isAlive(readProcess(pid)));
}

async function removeFolders(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const giveUpAt = performance.now() + REMOVE_PATIENCE_MS;
    while (!removed(folder) && performance.now() < giveUpAt) {
      if (!written(join(folder, 'cgroup.kill'), '1')) {
        for (const pid of processesIn([folder])) sendSignal(pid, 'SIGKILL');
      }
      await delay(POLL_MS);
    }
  }
}

function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function listFolders(parent: string): string[] {
  try {
    return readdirSync(parent);
  } catch {
    return [];
  }
}

function written(path: string, text: string): boolean {
  try {
    // Never created: a file that the kernel does not offer is not there.
    writeFileSync(path, text, { flag: 'r+' });
    return true;
  } catch {
    return false;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

const POLL_MS = 5;
/** A group of ended processes can be taken away after up to 0.3 s; what cannot be taken away then is left to a sweep. */
const REMOVE_PATIENCE_MS = 3000;
