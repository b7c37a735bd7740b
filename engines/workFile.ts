/** Files that an installed program wrote into `work/`: never trusted, and reached through no link it may have left. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Opens a file that a program wrote. The caller closes it.
 *
 * @returns undefined when there is none, or something that is no regular file.
 */
export function openWorkFile(name: string): { readonly file: number; readonly size: number } | undefined {
  let file: number;
  try {
    // Without waiting: a named pipe in its place has no writer.
    file = openSync(join('work', name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const seen = fstatSync(file);
  if (seen.isFile()) return { file, size: seen.size };
  closeSync(file);
  return undefined;
}

/** The content of a file that a program wrote, or its first bytes; undefined when there is none. */
export function readWorkFile(name: string, bytesMax: number): Buffer | undefined {
  const opened = openWorkFile(name);
  if (!opened) return undefined;
  const bytes = Buffer.alloc(Math.min(opened.size, bytesMax));
  let length = 0;
  for (let read = -1; read !== 0 && length < bytes.length; length += read) {
    read = readSync(opened.file, bytes, length, bytes.length - length, null);
  }
  closeSync(opened.file);
  return bytes.subarray(0, length);
}
