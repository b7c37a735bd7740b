/**
 * A lock as a file that names its owner, process id and start time, so that the lock of a killed process counts as free.
 */
import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, type KnownProcess, startTimeOf } from './processes';

export interface Lock {
  release(): Promise<void>;
}

/** Takes the lock, or says which living process holds it. */
export async function takeLock(path: string): Promise<Lock | { readonly holder: KnownProcess }> {
  const text = JSON.stringify({ pid: process.pid, startTime: startTimeOf(process.pid), id: randomUUID() });
  const own = `${path}.${randomUUID()}`;
  await writeFile(own, text, { mode: 0o600 });
  try {
    for (;;) {
      try {
        // A link appears whole or not at all and never replaces: nobody ever reads a half-written lock.
        await link(own, path);
        return { release: () => releaseLock(path, text) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const found = await readFile(path, 'utf8').catch(() => undefined);
      if (found === undefined) continue;
      const holder = holderIn(found);
      if (holder && isRunning(holder)) return { holder };
      await removeStale(path, found);
    }
  } finally {
    await rm(own, { force: true });
  }
}

/** Who holds the lock now; undefined when nobody does. */
export async function lockHolder(path: string): Promise<KnownProcess | undefined> {
  const found = await readFile(path, 'utf8').catch(() => undefined);
  const holder = found === undefined ? undefined : holderIn(found);
  return holder && isRunning(holder) ? holder : undefined;
}

function holderIn(text: string): KnownProcess | undefined {
  try {
    const { pid, startTime } = JSON.parse(text);
    return typeof pid === 'number' && typeof startTime === 'string' ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Between reading a stale lock and removing it another process may have done the same and taken a fresh one. So stale
 * locks are removed only under a lock of their own, after a second look.
 */
async function removeStale(path: string, stale: string): Promise<void> {
  const guard = await takeLock(`${path}.guard`);
  if ('holder' in guard) {
    await delay(5);
    return;
  }
  try {
    await releaseLock(path, stale);
  } finally {
    await guard.release();
  }
}

async function releaseLock(path: string, text: string): Promise<void> {
  const found = await readFile(path, 'utf8').catch(() => undefined);
  if (found === text) await rm(path, { force: true });
}
