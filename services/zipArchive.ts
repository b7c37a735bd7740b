/**
 * The files of a zip archive, read into memory and never trusted: bounded in number and bytes whatever the archive
 * claims, no links, no paths that lead out.
 */
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { InputError } from './service';

/** How much an archive may hold. */
export interface ArchiveBounds {
  readonly entriesMax: number;
  /** Of all files together, unpacked. */
  readonly bytesMax: number;
}

/**
 * Reads the files that are wanted, by path; folders are left out. Every entry is checked, wanted or not.
 *
 * @throws InputError `archive_invalid` (broken, encrypted, two files of one name), `archive_unsafe` (a link, or a path
 * that leads out), `archive_too_large` (more than its bounds when unpacked).
 */
export async function readArchive(
  path: string,
  { entriesMax, bytesMax }: ArchiveBounds,
  isWanted: (name: string) => boolean,
): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  let entries = 0;
  let bytes = 0;
  try {
    const archive = await openPromise(path, { strictFileNames: true });
    for await (const entry of archive.eachEntry()) {
      if (++entries > entriesMax) {
        throw new InputError('archive_too_large', `The archive has more than ${entriesMax} entries.`);
      }
      refuseUnsafe(entry);
      if (entry.fileName.endsWith('/') || !isWanted(entry.fileName)) continue;
      if (files.has(entry.fileName)) {
        throw new InputError('archive_invalid', `The archive has two files called ${shown(entry.fileName)}.`);
      }
      const content = await readEntry(archive, entry, bytesMax - bytes);
      bytes += content.length;
      files.set(entry.fileName, content);
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    // The library refuses paths that lead out before we see the entry.
    const isUnsafe = /^(absolute path|invalid relative path|invalid characters in fileName)/.test(
      (error as Error).message,
    );
    throw new InputError(
      isUnsafe ? 'archive_unsafe' : 'archive_invalid',
      `The archive cannot be read: ${shown((error as Error).message)}.`,
      { cause: error },
    );
  }
  return files;
}

/** The file type in the upper half of an entry's attributes, as Unix has it; zero where nobody said. */
const TYPE_MASK = 0o170000;
const [FOLDER, FILE] = [0o040000, 0o100000];

function refuseUnsafe(entry: Entry): void {
  const type = (entry.externalFileAttributes >>> 16) & TYPE_MASK;
  if (type !== 0 && type !== FOLDER && type !== FILE) {
    throw new InputError(
      'archive_unsafe',
      `${shown(entry.fileName)} is a link or a device; an archive holds files and folders only.`,
    );
  }
  if (entry.isEncrypted() || !entry.canDecodeFileData()) {
    throw new InputError('archive_invalid', `${shown(entry.fileName)} is encrypted or packed in an unusual way.`);
  }
}

/** The archive's own word on sizes is not taken: the bytes are counted as they come. */
async function readEntry(archive: ZipFile, entry: Entry, bytesLeft: number): Promise<Buffer> {
  const tooLarge = () => new InputError('archive_too_large', 'The archive holds more than may be unpacked.');
  if (entry.uncompressedSize > bytesLeft) throw tooLarge();
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of await archive.openReadStreamPromise(entry)) {
    length += (part as Buffer).length;
    if (length > bytesLeft) throw tooLarge();
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

/** The author's own words, short enough for a sentence. */
function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
