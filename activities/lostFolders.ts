/**
 * The folders of lost attempts, kept in `lost/` of the work folder where the engine can go on from them. An attempt that comes
 * to another machine finds none and starts anew.
 */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the folder of a lost attempt of a run is kept. */
export function lostFolderOf(workFolder: string, jobId: string, run: number): string {
  return join(workFolder, LOST, `${jobId}-${run}`);
}

/**
 * Moves what a lost attempt left into `earlier/` of the next one's folder, if there is anything. An engine removes `earlier/` when
 * it has taken what it needs; if the lost attempt did not come to that, what it was given is handed on.
 */
export async function handOn(lost: string, folder: string): Promise<void> {
  const earlier = join(folder, 'earlier');
  if ((await moved(join(lost, 'earlier'), earlier)) || (await moved(lost, earlier))) {
    await rm(lost, { recursive: true, force: true });
  }
}

/** Removes what nobody came for in a day: the job was cancelled, or went on elsewhere. */
export async function forgetLostFolders(workFolder: string): Promise<void> {
  const lost = join(workFolder, LOST);
  for (const name of await readdir(lost).catch(() => [])) {
    const path = join(lost, name);
    // A folder's ctime is when it was moved here. One that vanishes meanwhile was handed on.
    const { ctimeMs } = await stat(path).catch(() => ({ ctimeMs: Date.now() }));
    if (Date.now() - ctimeMs > KEPT_MS) await rm(path, { recursive: true, force: true });
  }
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

const LOST = 'lost';
const KEPT_MS = 24 * 3_600_000;
