/** How much an attempt may keep on the disk, which is every other attempt's too. Control groups do not count that. */
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

/** What the folder of an attempt may hold, its input included. */
export interface FolderLimits {
  /** As the disk counts: blocks that are taken, so that holes are free. */
  readonly bytesMax: number;
  /** Files, folders and everything else that has a name. */
  readonly filesMax: number;
}

/** More than any engine of ours writes, and little enough for some attempts at once. */
export const FOLDER_LIMITS: FolderLimits = { bytesMax: 8 * 2 ** 30, filesMax: 100_000 };

/**
 * What is wrong with a folder, as the end of a sentence about the engine; undefined while it is within its limits. Looking
 * ends at the limits, so that no folder keeps us busy. Links are counted and never followed; what vanishes meanwhile counts nothing.
 */
export async function folderExcess(folder: string, { bytesMax, filesMax }: FolderLimits): Promise<string | undefined> {
  let bytes = 0;
  let files = 0;
  for (const folders = [folder]; folders.length > 0; ) {
    const one = folders.pop() as string;
    try {
      for await (const entry of await opendir(one)) {
        const path = join(one, entry.name);
        bytes += await bytesOf(path);
        files += 1;
        if (bytes > bytesMax) return `filled its folder with more than ${Math.floor(bytesMax / 2 ** 20)} MiB`;
        if (files > filesMax) return `filled its folder with more than ${filesMax} files`;
        if (entry.isDirectory()) folders.push(path);
      }
    } catch {
      // Gone since it was listed, or closed to us by the engine: then it is its own entry alone.
    }
  }
  return undefined;
}

async function bytesOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).blocks * BYTES_OF_BLOCK;
  } catch {
    return 0;
  }
}

/** The unit of `stat`, whatever the disk's own blocks are. */
const BYTES_OF_BLOCK = 512;
