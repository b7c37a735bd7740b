/** What a runner puts into the folder of an attempt before it starts, takes from it when it has ended, and leaves of it. */
import { constants, existsSync } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DeclaredResult } from './reports';
import type { ResultFile, RunSpec } from './runner';

/** Gives the engine its two files. A copy, not a link: an engine gone wrong cannot change the stored input. */
export async function layOut({ folder, inputPath, parameters }: RunSpec): Promise<void> {
  const input = join(folder, 'input');
  await copyFile(inputPath, input, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chmod(input, 0o444);
  await writeFile(join(folder, 'parameters.json'), JSON.stringify(parameters ?? {}));
}

/**
 * The declared files that are there, and the name of the first that is not. To be called when no process of the run is
 * left, so that nothing can change between the look and the use.
 */
export async function collectResults(
  folder: string,
  declared: Iterable<DeclaredResult>,
): Promise<{ results: ResultFile[]; missing: string | undefined }> {
  const results: ResultFile[] = [];
  let missing: string | undefined;
  for (const one of declared) {
    const path = await wholeFile(folder, one);
    if (path === undefined) missing ??= one.name;
    else results.push({ name: one.name, path, mediaType: one.mediaType });
  }
  return { results, missing };
}

/** Keeps the folder of a lost attempt for the next one to go on from, or removes it; none is left in its place. */
export async function leaveFolder({ folder, keptAs }: Pick<RunSpec, 'folder' | 'keptAs'>): Promise<void> {
  if (keptAs === undefined) return rm(folder, { recursive: true, force: true });
  // A sweep that died after this is done again: what is kept by then must stay.
  if (!existsSync(folder)) return;
  await mkdir(dirname(keptAs), { recursive: true });
  await rm(keptAs, { recursive: true, force: true });
  await rename(folder, keptAs);
}

const RESULT_BYTES_MAX = 512 * 1024 * 1024;

/** The path of a declared file that is there, regular, not too large, and reached through no symbolic link. */
async function wholeFile(folder: string, { file }: DeclaredResult): Promise<string | undefined> {
  let path = folder;
  const parts = file.split('/');
  try {
    for (const [index, part] of parts.entries()) {
      path = join(path, part);
      const seen = await lstat(path);
      const isLast = index === parts.length - 1;
      if (!(isLast ? seen.isFile() && seen.size <= RESULT_BYTES_MAX : seen.isDirectory())) return undefined;
    }
  } catch {
    return undefined;
  }
  return path;
}
