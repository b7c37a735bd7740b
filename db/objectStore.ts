/** Inputs and results by content: a file's name is its digest, so storing it twice is storing it once. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BillingError } from '../domain/errors';

export interface StoredObject {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly size: number;
}

export interface ObjectStore {
  /**
   * Stores a stream. It counts only once it is whole and on disk; anything else leaves nothing.
   *
   * @throws BillingError `input_too_large` as soon as more than `bytesMax` bytes came.
   */
  put(source: Readable, bytesMax: number): Promise<StoredObject>;
  /** A local file with the object's contents, not to be changed. @throws Error when it is not stored. */
  pathOf(digest: string): Promise<string>;
  read(digest: string): Promise<Readable>;
}

/** An object store in a folder. */
export async function openFolderStore(folder: string): Promise<ObjectStore> {
  const incoming = join(folder, 'incoming');
  // What was half written when a process died counts for nothing; its names are random, so nobody waits for them.
  await mkdir(incoming, { recursive: true });

  const fileOf = (digest: string) => {
    const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
    if (hex === undefined) throw new Error(`${digest} is not a digest`);
    return join(folder, hex.slice(0, 2), hex.slice(2));
  };
  const pathOf = async (digest: string) => {
    const path = fileOf(digest);
    await stat(path);
    return path;
  };

  return {
    pathOf,
    async put(source, bytesMax) {
      const path = join(incoming, randomUUID());
      const hash = createHash('sha256');
      let size = 0;
      const meter = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          size += chunk.length;
          if (size > bytesMax) return done(tooLarge(bytesMax));
          hash.update(chunk);
          done(null, chunk);
        },
      });
      try {
        await pipeline(source, meter, createWriteStream(path, { flags: 'wx', flush: true }));
        const digest = `sha256:${hash.digest('hex')}`;
        await keep(path, fileOf(digest));
        return { digest, size };
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
    },
    async read(digest) {
      return createReadStream(await pathOf(digest));
    },
  };
}

/** Renames into place and syncs the folder, so that the name survives a power cut as the contents do. */
async function keep(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rename(from, to);
  const folder = await open(dirname(to));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function tooLarge(bytesMax: number): BillingError {
  return new BillingError('input_too_large', `An input is at most ${bytesMax} bytes.`, { bytesMax });
}
