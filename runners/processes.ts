/**
 * What the kernel says about processes. Linux only, by `/proc`: elsewhere there is no table, and metering, the memory
 * limit by resident size and sweeping do nothing. Reading `/proc` ourselves, because Node measures only its own process
 * and a process identifier alone is reused: an identifier together with its start time is not.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** One process as `/proc/<pid>/stat` shows it. */
export interface ProcessRow {
  readonly pid: number;
  /** `R` running, `S` sleeping, `T` stopped, `Z` a zombie, which uses nothing and waits to be collected. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Its own time and that of its collected children. */
  readonly cpuSeconds: number;
  /** Clock ticks since the machine started; with the pid it names one process for ever. */
  readonly startTime: string;
}

export type ProcessTable = Map<number, ProcessRow>;

/** All processes of this host, or undefined where there is no `/proc` to read. */
export function readProcessTable(): ProcessTable | undefined {
  if (process.platform !== 'linux') return undefined;
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch {
    return undefined;
  }
  const table: ProcessTable = new Map();
  for (const name of names) {
    const first = name.charCodeAt(0);
    if (first < 48 || first > 57) continue;
    const row = readProcess(Number(name));
    if (row) table.set(row.pid, row);
  }
  return table;
}

/** One process, or undefined when it is gone (or there is no `/proc`). */
export function readProcess(pid: number): ProcessRow | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  // The name of the program stands in parentheses and may itself hold any character, so the fields start after the last one.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  if (!fields || fields.length < 20) return undefined;
  const ticks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
  return {
    pid,
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    cpuSeconds: ticks / TICKS_PER_SECOND,
    startTime: fields[19] ?? '',
  };
}

/** Resident memory now and at its highest, in bytes. */
export function readMemory(pid: number): { readonly now: number; readonly peak: number } {
  const status = readProc(`/proc/${pid}/status`) ?? '';
  const bytes = (field: string) => Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}

/** A dead process is gone, or a zombie that only waits to be collected. */
export function isAlive(row: ProcessRow | undefined): row is ProcessRow {
  return row !== undefined && row.state !== 'Z' && row.state !== 'X';
}

/** Where identifiers of processes mean something: this start of this machine, and this container. */
export function processSpace(): { readonly boot: string; readonly namespace: string } {
  if (process.platform !== 'linux') return { boot: '', namespace: '' };
  let namespace = '';
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // Hidden by a sandbox: then the machine's start alone must do.
  }
  return { boot: readProc('/proc/sys/kernel/random/boot_id')?.trim() ?? '', namespace };
}

/** Sends a signal; false when there is nobody to receive it. A negative pid is a whole group. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    // A process of a group may have become somebody else's (setuid); the others were signalled.
    if ((error as NodeJS.ErrnoException).code === 'EPERM') return false;
    throw error;
  }
}

/** Linux reports process times in hundredths of a second on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // The process ended between two looks; that is no error.
  }
}
