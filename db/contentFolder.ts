/** A folder of files named by their digests. A file is received beside them and gets its name once it is whole. */
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BillingError } from '../domain/errors';

/** A file that came whole and is on disk, but has no name yet. */
export interface Received {
  readonly digest: string;
  readonly size: number;
  readonly path: string;
}

export interface ContentFolder {
  /**
   * Receives a stream and passes it to `act`. Unless `act` keeps it, nothing is left.
   *
   * @throws BillingError `input_too_large` as soon as more than `bytesMax` bytes came.
   */
  receive<T>(source: Readable, bytesMax: number, act: (received: Received) => Promise<T>): Promise<T>;
  /** Gives a received file its name; whoever had it before had the same contents. */
  keep(received: Received): Promise<string>;
  /** @throws Error with the code `ENOENT` when the folder has no such file. */
  locate(digest: string): Promise<string>;
}

export async function openContentFolder(folder: string): Promise<ContentFolder> {
  const incoming = join(folder, 'incoming');
  // What was half written when a process died counts for nothing; its names are random, so nobody waits for them.
  await mkdir(incoming, { recursive: true });
  const fileOf = (digest: string) => {
    const hex = hexOf(digest);
    return join(folder, hex.slice(0, 2), hex.slice(2));
  };

  return {
    async receive(source, bytesMax, act) {
      const path = join(incoming, randomUUID());
      const hash = createHash('sha256');
      const size = { bytes: 0 };
      const file = createWriteStream(path, { flags: 'wx', flush: true });
      try {
        await pipeline(source, meter(hash, size, bytesMax), file);
        return await act({ path, digest: `sha256:${hash.digest('hex')}`, size: size.bytes });
      } finally {
        // A file whose opening was under way when the source broke off appears only after that.
        if (!file.closed) await new Promise<void>((resolve) => file.once('close', () => resolve()));
        // Once it is kept there is nothing left under this name.
        await rm(path, { force: true });
      }
    },
    async keep({ path, digest }) {
      const kept = fileOf(digest);
      await moveDurably(path, kept);
      return kept;
    },
    async locate(digest) {
      const path = fileOf(digest);
      await stat(path);
      return path;
    },
  };
}

/** The 64 hex digits of a digest. @throws Error when it is none. */
export function hexOf(digest: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined) throw new Error(`${digest} is not a digest`);
  return hex;
}

export function tooLarge(bytesMax: number): BillingError {
  return new BillingError('input_too_large', `An input is at most ${bytesMax} bytes.`, { bytesMax });
}

/** Counts and hashes what passes, up to the limit. */
function meter(hash: Hash, size: { bytes: number }, bytesMax: number): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size.bytes += chunk.length;
      if (size.bytes > bytesMax) return done(tooLarge(bytesMax));
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

/** Renames into place and syncs the folder, so that the name survives a power cut as the contents do. */
async function moveDurably(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rename(from, to);
  const folder = await open(dirname(to));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
