/**
 * Unpacks a zip archive from strangers into a folder: bounded in number and bytes whatever the archive claims, files and
 * folders only, no paths that lead out. The archive was looked into before it was quoted; an engine trusts nobody.
 */
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { InputFault } from './protocol';

/** What is unpacked, and how much may come of it. */
export interface Unpacking {
  readonly entriesMax: number;
  /** Of all files together, unpacked. */
  readonly bytesMax: number;
  /** Where in the folder a file of the archive goes; undefined leaves it out. */
  readonly placeOf: (name: string) => string | undefined;
}

/** Answers the files made, as places in the folder. @throws InputFault when the archive is not one to unpack. */
export async function unpack(archivePath: string, folder: string, unpacking: Unpacking): Promise<string[]> {
  const { entriesMax, bytesMax, placeOf } = unpacking;
  const places: string[] = [];
  let entries = 0;
  let bytes = 0;
  try {
    const archive = await openPromise(archivePath, { strictFileNames: true });
    for await (const entry of archive.eachEntry()) {
      if (++entries > entriesMax) throw new InputFault(`The archive has more than ${entriesMax} entries.`);
      refuseUnsafe(entry);
      const place = entry.fileName.endsWith('/') ? undefined : placeOf(entry.fileName);
      if (place === undefined) continue;
      const path = join(folder, place);
      if (!path.startsWith(join(folder, '/'))) throw new InputFault(`${entry.fileName} leads out of its folder.`);
      mkdirSync(dirname(path), { recursive: true });
      bytes += await writeEntry(archive, entry, path, bytesMax - bytes);
      places.push(place);
    }
  } catch (error) {
    if (error instanceof InputFault) throw error;
    throw new InputFault(`The archive cannot be unpacked: ${(error as Error).message}.`);
  }
  return places;
}

/** The file type in the upper half of an entry's attributes, as Unix has it; zero where nobody said. */
const TYPE_MASK = 0o170000;
const [FOLDER, FILE] = [0o040000, 0o100000];

function refuseUnsafe(entry: Entry): void {
  const type = (entry.externalFileAttributes >>> 16) & TYPE_MASK;
  if (type !== 0 && type !== FOLDER && type !== FILE) {
    throw new InputFault(`${entry.fileName} is a link or a device; an archive holds files and folders only.`);
  }
}

/** Bytes are counted as they come. `wx` refuses a second file of a name, whatever the first one was. */
async function writeEntry(archive: ZipFile, entry: Entry, path: string, bytesLeft: number): Promise<number> {
  const file = await open(path, 'wx');
  try {
    let length = 0;
    for await (const part of await archive.openReadStreamPromise(entry)) {
      length += (part as Buffer).length;
      if (length > bytesLeft) throw new InputFault('The archive holds more than may be unpacked.');
      await file.writeFile(part as Buffer);
    }
    return length;
  } finally {
    await file.close();
  }
}
