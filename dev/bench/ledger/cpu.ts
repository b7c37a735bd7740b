/** Who computes and who waits: the processor time of processes, and what Postgres's backends wait for. Linux alone tells. */
import { readdirSync, readFileSync } from 'node:fs';
import { rows } from '../../../db/client';
import { rounded } from '../figure';
import type { BenchDatabase } from './server';

/** Clock ticks of /proc are hundredths of a second on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time that a process and its children, ended ones too, have used; null where nothing tells. */
export function cpuSeconds(pid: number): number | null {
  for (;;) {
    // A child that ends between two files is in neither or in both: looked at again, the family is whole.
    const before = familyOf(pid);
    const family = familyOf(pid);
    if (before?.pids === family?.pids) return family?.seconds ?? null;
  }
}

function familyOf(pid: number): { pids: string; seconds: number } | null {
  const all = processTimes();
  const own = all.get(pid);
  if (!own) return null;
  const children = [...all].filter(([, { parent }]) => parent === pid);
  return {
    pids: children.map(([child]) => child).join(' '),
    seconds: own.used + own.ofEnded + children.reduce((sum, [, { used }]) => sum + used, 0),
  };
}

/** From /proc/<pid>/stat: behind the program's name in brackets come state, parent and, from the twelfth on, times. */
function processTimes(): Map<number, { parent: number; used: number; ofEnded: number }> {
  const times = new Map<number, { parent: number; used: number; ofEnded: number }>();
  for (const name of readFolder('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const stat = readText(`/proc/${name}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const seconds = (from: number) => (Number(fields[from]) + Number(fields[from + 1])) / TICKS_PER_SECOND;
    if (stat !== '') times.set(Number(name), { parent: Number(fields[1]), used: seconds(11), ofEnded: seconds(13) });
  }
  return times;
}

function readFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Empty for a process that ended meanwhile. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export interface Profile {
  /** How many processors were busy on average. */
  readonly processors: Readonly<Record<string, number | null>>;
  /** Of all looks at a busy backend, the shares that found it computing (`CPU`) or waiting, and for what. */
  readonly backends: Readonly<Record<string, number>>;
}

/** Looks on while work is done: which processes compute, and what backends wait for. */
export async function profile<T>(
  database: BenchDatabase,
  processes: Readonly<Record<string, readonly number[]>>,
  work: () => Promise<T>,
): Promise<{ result: T; profile: Profile }> {
  const sum = (pids: readonly number[]) => {
    const each = pids.map(cpuSeconds);
    return each.includes(null) ? null : each.reduce<number>((total, seconds) => total + (seconds ?? 0), 0);
  };
  const before = Object.entries(processes).map(([name, pids]) => [name, sum(pids)] as const);
  const began = performance.now();
  const looks = new Map<string, number>();
  const timer = setInterval(() => void look(database, looks), 100);
  const result = await work();
  clearInterval(timer);
  const seconds = (performance.now() - began) / 1_000;
  const busy = before.map(([name, from]) => {
    const to = sum(processes[name] ?? []);
    return [name, from === null || to === null ? null : rounded((to - from) / seconds)];
  });
  const total = [...looks.values()].reduce((all, one) => all + one, 0);
  const shares = [...looks].sort(([, a], [, b]) => b - a).map(([wait, count]) => [wait, rounded(count / total)]);
  return { result, profile: { processors: Object.fromEntries(busy), backends: Object.fromEntries(shares) } };
}

async function look(database: BenchDatabase, looks: Map<string, number>): Promise<void> {
  const waits = await rows<{ wait: string }>(
    database.owner,
    `select coalesce(wait_event_type || '/' || wait_event, 'CPU') as wait
     from pg_stat_activity
     where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()`,
  );
  for (const { wait } of waits) looks.set(wait, (looks.get(wait) ?? 0) + 1);
}
