/**
 * Operating-system processes that outlive the one that started them. A process is known by its id *and* its start time:
 * ids are reused, and a launcher that cleans up after a crash must never stop a stranger.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface KnownProcess {
  readonly pid: number;
  /** Opaque; equal for the same process and for no other, also across restarts of the machine. */
  readonly startTime: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface StartedProcess extends KnownProcess {
  readonly child: ChildProcess;
  /** Resolves when the process has ended, whoever ended it; never rejects. */
  readonly exited: Promise<Exit>;
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Record<string, string | undefined>;
  readonly cwd?: string;
  /** Everything the program prints is appended here, straight by the program: it survives the death of the launcher. */
  readonly log: string;
  /** An IPC channel that tells a Node child when its parent has gone. */
  readonly ipc?: boolean;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Starts a program in its own process group, so that Ctrl-C in a terminal reaches the launcher alone and the order of
 * stopping stays ours.
 *
 * @throws Error when the program cannot be started at all.
 */
export async function startProcess(program: Program): Promise<StartedProcess> {
  const output = openSync(program.log, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(program.command, program.args, {
      cwd: program.cwd,
      env: program.env,
      detached: true,
      stdio: ['ignore', output, output, ...(program.ipc ? (['ipc'] as const) : [])],
      ...(program.uid === undefined ? {} : { uid: program.uid }),
      ...(program.gid === undefined ? {} : { gid: program.gid }),
    });
  } finally {
    closeSync(output);
  }
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new Error(`${program.command} could not be started`, { cause })));
  });
  const pid = child.pid as number;
  // A process that ended within this instant has no start time any more; its `exited` tells the rest of the story.
  return { pid, startTime: startTimeOf(pid) ?? 'ended', child, exited };
}

/** The start time of a running process; undefined when none has this id. */
export function startTimeOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The second field is the program's name in brackets and may hold anything, spaces and brackets included.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
      return `${bootId()}/${fields[19]}`;
    } catch {
      return undefined;
    }
  }
  const answer = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
  return answer.stdout?.trim() || undefined;
}

/** Whether exactly this process still runs. */
export function isRunning(known: KnownProcess): boolean {
  return startTimeOf(known.pid) === known.startTime;
}

/** A request to end, and how long it may take before the next, less polite one. */
export interface Request {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
}

/**
 * Ends a process, politely first. SIGKILL is the last request always. Returns when the process has gone, or at once
 * when it went before.
 *
 * @throws Error when the process survives even SIGKILL for ten seconds (stuck in the kernel).
 */
export async function stopProcess(known: KnownProcess, requests: readonly Request[]): Promise<void> {
  for (const { signal, graceMs } of [...requests, { signal: 'SIGKILL', graceMs: 10_000 } as const]) {
    if (!isRunning(known)) return;
    try {
      process.kill(known.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    if (await until(() => !isRunning(known), graceMs)) return;
  }
  throw new Error(`process ${known.pid} does not end`);
}

/** Looks at a condition every few milliseconds until it holds or the time is over; says whether it holds. */
export async function until(condition: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() >= end) return false;
    await delay(20);
  }
}

/** The last lines of a log, for a message that has to explain why a program ended. */
export function tailOf(log: string, linesMax = 12): string {
  try {
    return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-linesMax).join('\n');
  } catch {
    return '(no log)';
  }
}

/**
 * Arguments for util-linux's `setpriv` before a command: the kernel signals the command when its parent dies. Empty
 * where there is no `setpriv`; what then stays behind is found and stopped by the next start.
 */
export function dieWithParent(signal: 'INT' | 'TERM' | 'KILL'): string[] {
  return hasSetpriv() ? ['setpriv', `--pdeathsig=${signal}`] : [];
}

let setprivSeen: boolean | undefined;

/** Whether util-linux's `setpriv` is here and new enough to know `--pdeathsig` and ambient capabilities. */
export function hasSetpriv(): boolean {
  if (setprivSeen === undefined) {
    const help = process.platform === 'linux' ? spawnSync('setpriv', ['--help'], { encoding: 'utf8' }).stdout : '';
    setprivSeen = (help ?? '').includes('--pdeathsig') && help.includes('--ambient-caps');
  }
  return setprivSeen;
}

let bootIdRead: string | undefined;

function bootId(): string {
  bootIdRead ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootIdRead;
}

/** The command line of a running process, for recognising a leftover; empty when it cannot be read. */
export function commandLineOf(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}
