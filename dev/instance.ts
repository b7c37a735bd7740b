/**
 * `instance.json` in the home folder: where a running installation is found by the command line, the demo and the next
 * start. It holds passwords and keys, so only its owner reads it.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRunning, type KnownProcess } from './processes';

export interface NamedProcess extends KnownProcess {
  readonly name: string;
}

export interface DemoKey {
  readonly name: string;
  readonly role: string;
  readonly key: string;
}

export interface Instance {
  readonly version: string;
  /** `running` once everything answered; whether it still does is asked of `launcher` and of `/health/ready`. */
  readonly state: 'starting' | 'running' | 'stopped';
  readonly startedAt: string;
  readonly launcher: KnownProcess | null;
  readonly apiUrl: string | null;
  readonly docsUrl: string | null;
  readonly temporalUiUrl: string | null;
  readonly temporalAddress: string | null;
  readonly databaseUrl: string | null;
  readonly namespace: string;
  /** Everything the launcher started and has not seen the end of. */
  readonly processes: readonly NamedProcess[];
  /** Person to name, role and API key. */
  readonly keys: Readonly<Record<string, DemoKey>>;
}

/** What the file says, whether or not anything runs; undefined when there is none or it cannot be read. */
export function readInstance(home: string): Instance | undefined {
  try {
    return JSON.parse(readFileSync(instancePath(home), 'utf8')) as Instance;
  } catch {
    return undefined;
  }
}

/** The installation that runs from this home folder now; undefined when none does. */
export function findRunningInstance(home: string): Instance | undefined {
  const instance = readInstance(home);
  if (instance?.state !== 'running' || !instance.launcher) return undefined;
  return isRunning(instance.launcher) ? instance : undefined;
}

export function instancePath(home: string): string {
  return join(home, 'instance.json');
}

/** Replaces a file as a whole, readable by its owner alone: nobody ever sees half of it. */
export async function writePrivately(path: string, value: unknown): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeFile(unfinished, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
}
