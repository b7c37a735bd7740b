/**
 * The object store in a bucket of S3 or of a server that speaks its protocol. Objects come through a local folder: a
 * digest, and with it the key, is known only after the last byte. What came once stays there, so that an engine reads a
 * local file and a file that was just stored is not fetched back.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { BillingError } from '../domain/errors';
import { hexOf, openContentFolder, type Received } from './contentFolder';
import type { ObjectStore, S3Place } from './objectStore';

const CONNECT_LIMIT_MS = 3_000;
/** A connection on which nothing moves for this long is given up. */
const SILENCE_LIMIT_MS = 30_000;
/** Parts of an upload that are on their way at once, of at least 5 MiB each: what an upload takes of memory. */
const PARTS_AT_ONCE = 2;
/** Local copies that nobody asked for during this time are dropped when a process starts. */
const COPY_LIFE_MS = 7 * 86_400_000;

export async function openS3Store({ bucket, prefix, endpoint, region, cacheFolder }: S3Place): Promise<ObjectStore> {
  const files = await openContentFolder(cacheFolder);
  await dropCopies(cacheFolder, new Date(Date.now() - COPY_LIFE_MS));
  const client = new S3Client({
    region,
    // Other servers than Amazon's know neither names of buckets in their host name nor the newer checksums.
    ...(endpoint === undefined
      ? {}
      : { endpoint, forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' as const }),
    // Contents are compared with their digest, which says more.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: CONNECT_LIMIT_MS, socketTimeout: SILENCE_LIMIT_MS },
  });
  const keyOf = (digest: string) => {
    const hex = hexOf(digest);
    return [...(prefix === '' ? [] : [prefix]), hex.slice(0, 2), hex.slice(2)].join('/');
  };

  /** Whether the bucket has a whole object under the key. An upload that was cut off has no key, or another size. */
  const isStored = async ({ digest, size }: Received) => {
    try {
      const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: keyOf(digest) }));
      return head.ContentLength === size;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  };
  const upload = async (received: Received) => {
    if (await isStored(received)) return;
    const body = createReadStream(received.path);
    try {
      await new Upload({
        client,
        params: { Bucket: bucket, Key: keyOf(received.digest), Body: body, ContentLength: received.size },
        queueSize: PARTS_AT_ONCE,
      }).done();
    } finally {
      body.destroy();
    }
  };
  const fetchObject = async (digest: string): Promise<Readable> => {
    const key = keyOf(digest);
    try {
      const { Body } = await reaching(client.send(new GetObjectCommand({ Bucket: bucket, Key: key })));
      // In Node the body is always a stream of its own; the type also speaks for browsers.
      return Body as Readable;
    } catch (error) {
      if (isMissing(error)) throw new Error(`${digest} is not stored in ${bucket}`, { cause: error });
      throw error;
    }
  };
  const download = async (digest: string) => {
    const source = whole(await fetchObject(digest), digest);
    return files.receive(source, Number.POSITIVE_INFINITY, (received) => files.keep(received));
  };
  /** The copy on this machine, from now on a used one. */
  const findCopy = async (digest: string) => {
    try {
      const path = await files.locate(digest);
      const now = new Date();
      await utimes(path, now, now);
      return path;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  };

  const uploads = sharing<void>();
  const downloads = sharing<string>();
  return {
    put: (source, bytesMax) =>
      files.receive(source, bytesMax, async (received) => {
        const { digest, size } = received;
        await reaching(uploads(digest, () => upload(received)));
        // Only now: a copy on this machine says that the bucket has the object.
        await files.keep(received);
        return { digest, size };
      }),
    pathOf: async (digest) => (await findCopy(digest)) ?? (await downloads(digest, () => download(digest))),
    async read(digest) {
      const copy = await findCopy(digest);
      return copy === undefined ? whole(await fetchObject(digest), digest) : createReadStream(copy);
    },
  };
}

/**
 * The same stream, but it ends only when its contents are those of the digest. Its last bytes are held back until that
 * is known, so nobody takes an altered object for a whole one.
 */
function whole(source: Readable, digest: string): Readable {
  const stream = Readable.from(compared(source, digest), { objectMode: false });
  // A reader who leaves before the first byte never starts the comparison, which would close the connection.
  stream.once('close', () => source.destroy());
  return stream;
}

async function* compared(source: Readable, digest: string): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let last: Buffer | undefined;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      hash.update(chunk);
      if (last !== undefined) yield last;
      last = chunk;
    }
  } catch (error) {
    throw unreachable(error) ?? error;
  }
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error(`the object stored as ${digest} has other contents`);
  if (last !== undefined) yield last;
}

/** Who asks for a digest while somebody else does gets the same answer. */
function sharing<T>(): (digest: string, work: () => Promise<T>) => Promise<T> {
  const running = new Map<string, Promise<T>>();
  return (digest, work) => {
    const joined = running.get(digest);
    if (joined) return joined;
    const begun = work().finally(() => running.delete(digest));
    running.set(digest, begun);
    return begun;
  };
}

async function reaching<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw unreachable(error) ?? error;
  }
}

const NETWORK = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ETIMEDOUT',
]);
const REFUSED_FOR_NOW = new Set(['RequestTimeout', 'SlowDown', 'ThrottlingException', 'TimeoutError']);

/** The refusal for an error that says that the store cannot be reached or is too busy; undefined for every other error. */
function unreachable(error: unknown): BillingError | undefined {
  const { name } = error as Error;
  const temporary = NETWORK.has(codeOf(error) ?? '') || REFUSED_FOR_NOW.has(name) || statusOf(error) >= 500;
  if (!temporary && statusOf(error) !== 429) return undefined;
  const sentence = 'The store of files cannot be reached; send the same request again in a moment.';
  return new BillingError('unavailable', sentence, {}, { cause: error });
}

/** Whether the bucket says that it has no such object. An answer to HEAD has no body, and hence no code. */
function isMissing(error: unknown): boolean {
  return ['NoSuchKey', 'NotFound'].includes((error as Error).name);
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** The HTTP status that the store answered with; 0 when it did not answer. */
function statusOf(error: unknown): number {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode ?? 0;
}

/** Drops what was last used before some time, also what was half received when a process died. */
async function dropCopies(folder: string, before: Date): Promise<void> {
  for (const found of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!found.isFile()) continue;
    const path = join(found.parentPath, found.name);
    // Processes of one machine share the folder: another may have dropped it just now.
    const usedAt = await stat(path).then(
      ({ mtime }) => mtime,
      () => undefined,
    );
    if (usedAt && usedAt < before) await rm(path, { force: true });
  }
}
