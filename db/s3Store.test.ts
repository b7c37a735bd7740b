/**
 * What every object store promises, tried with a folder and with a bucket of a local server that speaks S3; and what a
 * bucket adds: a network, other processes that write, and copies on this machine.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type ServerProxy, startProxy } from '../test/world/proxy';
import { createObjectStore, type ObjectPlace, type ObjectStore, type S3Place } from './objectStore';

// The package has no types of its own.
interface BucketServer {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}
type BucketServerClass = new (options: {
  address: string;
  port: number;
  silent: boolean;
  directory: string;
  configureBuckets: { name: string }[];
}) => BucketServer;

const LIMIT = 200_000;
const MEBIBYTE = 1024 * 1024;
const NOBODY_HAS = `sha256:${'0'.repeat(64)}`;

let root: string;
let server: BucketServer;
let proxy: ServerProxy;
let folder: string;

beforeAll(async () => {
  // Tests get an Error of their own, of which Node's errors are no instances; the client of S3 drops what it finds to be
  // no Error, codes included. So client and server are loaded after this.
  globalThis.Error = (await stat(join(tmpdir(), randomUUID())).catch(
    (error: Error) => error.constructor,
  )) as typeof Error;
  // The two that the server knows.
  process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
  process.env.AWS_SECRET_ACCESS_KEY = 'S3RVER';
  root = await mkdtemp(join(tmpdir(), 'holdfast-bucket-'));
  const S3rver = require('s3rver') as BucketServerClass;
  server = new S3rver({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    directory: join(root, 'buckets'),
    configureBuckets: [{ name: 'objects' }],
  });
  const { port } = await server.run();
  proxy = await startProxy(`http://127.0.0.1:${port}`);
});

afterAll(async () => {
  // First the connections through it, for which the server would wait.
  await proxy.close();
  await server.close();
  await rm(root, { recursive: true, force: true });
});

beforeEach(async () => {
  folder = await mkdtemp(join(root, 'store-'));
});

/** A part of the bucket for this test alone, as seen by a machine with its own copies. */
const bucketOn = (machine: string): S3Place => ({
  kind: 's3',
  bucket: 'objects',
  prefix: folder.slice(root.length + 1),
  endpoint: proxy.url,
  region: 'us-east-1',
  cacheFolder: join(folder, machine),
});

const places: [string, (machine: string) => ObjectPlace][] = [
  ['folder', () => ({ kind: 'folder', folder })],
  ['bucket', bucketOn],
];

describe.each(places)('a store in a %s', (_kind, placeOn) => {
  let one: ObjectStore;
  /** The same store, opened by another process on another machine. */
  let other: ObjectStore;

  beforeEach(async () => {
    one = await createObjectStore(placeOn('one'));
    other = await createObjectStore(placeOn('other'));
  });

  test('what one process stores another finds by its digest, whole, as a stream and as a file', async () => {
    const bytes = randomBytes(100_000);
    const stored = await one.put(pieces(bytes), LIMIT);
    expect(stored).toEqual({ digest: digestOf(bytes), size: bytes.length });
    expect(await buffer(await other.read(stored.digest))).toEqual(bytes);
    expect(await readFile(await other.pathOf(stored.digest))).toEqual(bytes);
    expect(await buffer(await other.read(stored.digest))).toEqual(bytes);
  });

  test('an object of several parts arrives whole', async () => {
    const bytes = randomBytes(11 * MEBIBYTE);
    const { digest } = await one.put(Readable.from([bytes]), bytes.length);
    expect(digest).toBe(digestOf(bytes));
    expect(digestOf(await readFile(await other.pathOf(digest)))).toBe(digest);
  });

  test('exactly as many bytes as allowed are stored; one more is refused, and nothing of it is kept', async () => {
    const bytes = randomBytes(LIMIT + 1);
    expect((await one.put(pieces(bytes.subarray(0, LIMIT)), LIMIT)).size).toBe(LIMIT);
    const before = await everything();
    expect(await refusal(one.put(pieces(bytes), LIMIT))).toMatchObject({
      code: 'input_too_large',
      details: { bytesMax: LIMIT },
    });
    expect(await everything()).toEqual(before);
  });

  test('a stream that breaks off leaves nothing', async () => {
    async function* broken() {
      yield randomBytes(50_000);
      throw new Error('the sender went away');
    }
    expect(await refusal(one.put(Readable.from(broken()), LIMIT))).toMatchObject({ message: 'the sender went away' });
    const destroyed = new Readable({ read() {} });
    destroyed.push(randomBytes(50_000));
    const refused = refusal(one.put(destroyed, LIMIT));
    destroyed.destroy();
    expect(await refused).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    expect(await everything()).toEqual([]);
  });

  test('nothing is a legal object too', async () => {
    const stored = await one.put(Readable.from([]), LIMIT);
    expect(stored).toEqual({ digest: digestOf(Buffer.alloc(0)), size: 0 });
    expect(await buffer(await other.read(stored.digest))).toHaveLength(0);
  });

  test('the same contents stored and asked for many times at once are one whole object', async () => {
    const bytes = randomBytes(100_000);
    const digest = digestOf(bytes);
    const put = (store: ObjectStore) => store.put(pieces(bytes), LIMIT);
    const stored = await Promise.all(Array.from({ length: 6 }, () => put(one)));
    for (const each of [...stored, await put(other)]) expect(each).toEqual({ digest, size: bytes.length });
    const paths = await Promise.all(Array.from({ length: 6 }, () => other.pathOf(digest)));
    expect(new Set(paths).size).toBe(1);
    expect(await readFile(paths[0] as string)).toEqual(bytes);
  });

  test('a digest that is none, or of nothing stored, opens nothing', async () => {
    for (const digest of ['', 'sha256:../../etc/passwd', `sha256:${'0'.repeat(63)}`]) {
      expect(String(await refusal(one.read(digest)))).toContain('is not a digest');
      expect(String(await refusal(one.pathOf(digest)))).toContain('is not a digest');
    }
    for (const error of await Promise.all([one.pathOf(NOBODY_HAS), one.read(NOBODY_HAS)].map(refusal))) {
      expect(error).toMatchObject({ name: 'Error' });
    }
    expect(await everything()).toEqual([]);
  });
});

describe('a store in a bucket', () => {
  test('keys are the prefix and the digits of the digest', async () => {
    const store = await createObjectStore(bucketOn('one'));
    const { digest } = await store.put(Readable.from([Buffer.from('abc')]), LIMIT);
    expect(digest).toMatch(/^sha256:ba7816bf/);
    expect(await readFile(fileInBucket(digest), 'utf8')).toBe('abc');
    expect(fileInBucket(digest)).toMatch(/\/store-\w+\/ba\/7816bf[0-9a-f]{56}\._S3rver_object$/);
  });

  test('an object that was altered in the bucket is never taken for whole, and no copy of it stays', async () => {
    const bytes = randomBytes(300_000);
    const { digest } = await (await createObjectStore(bucketOn('one'))).put(Readable.from([bytes]), LIMIT * 2);
    const altered = Buffer.from(bytes);
    altered[150_000] = (altered[150_000] as number) ^ 1;
    await writeFile(fileInBucket(digest), altered);
    const other = await createObjectStore(bucketOn('other'));
    expect(String(await refusal(other.pathOf(digest)))).toContain('has other contents');
    const { came, error } = await drain(await other.read(digest));
    expect(String(error)).toContain('has other contents');
    expect(came).toBeLessThan(bytes.length);
    expect(await filesIn(join(folder, 'other'))).toEqual([]);
  });

  test('what the bucket has whole is not sent again; what it has in part is', async () => {
    const bytes = randomBytes(100_000);
    const place = bucketOn('one');
    const store = await createObjectStore(place);
    const { digest } = await store.put(pieces(bytes), LIMIT);
    const first = await stat(fileInBucket(digest));
    await store.put(pieces(bytes), LIMIT);
    expect((await stat(fileInBucket(digest))).mtimeMs).toBe(first.mtimeMs);
    await writeFile(fileInBucket(digest), bytes.subarray(0, 5_000));
    await store.put(pieces(bytes), LIMIT);
    expect(await readFile(fileInBucket(digest))).toEqual(bytes);
  });

  test('a copy on this machine is read without the bucket', async () => {
    const bytes = randomBytes(10_000);
    const store = await createObjectStore(bucketOn('one'));
    const { digest } = await store.put(pieces(bytes), LIMIT);
    await proxy.cut();
    try {
      expect(await readFile(await store.pathOf(digest))).toEqual(bytes);
      expect(await buffer(await store.read(digest))).toEqual(bytes);
    } finally {
      await proxy.restore();
    }
  });

  test('a store that cannot be reached refuses with "unavailable", keeps nothing, and serves again afterwards', async () => {
    const bytes = randomBytes(10_000);
    const { digest } = await (await createObjectStore(bucketOn('one'))).put(pieces(bytes), LIMIT);
    const more = randomBytes(10_000);
    await proxy.cut();
    const other = await createObjectStore(bucketOn('other'));
    try {
      const asked = [other.put(pieces(more), LIMIT), other.pathOf(digest), other.read(digest)];
      for (const error of await Promise.all(asked.map(refusal))) {
        expect(error).toMatchObject({ name: 'BillingError', code: 'unavailable' });
      }
      expect(await filesIn(join(folder, 'other'))).toEqual([]);
    } finally {
      await proxy.restore();
    }
    expect((await other.put(pieces(more), LIMIT)).digest).toBe(digestOf(more));
    expect(await readFile(await other.pathOf(digest))).toEqual(bytes);
  });

  test('a connection that is cut in the middle ends the stream with "unavailable"', async () => {
    const bytes = randomBytes(24 * MEBIBYTE);
    const { digest } = await (await createObjectStore(bucketOn('one'))).put(Readable.from([bytes]), bytes.length);
    const stream = await (await createObjectStore(bucketOn('other'))).read(digest);
    await once(stream, 'readable');
    await proxy.cut();
    try {
      const { came, error } = await drain(stream);
      expect(error).toMatchObject({ name: 'BillingError', code: 'unavailable' });
      expect(came).toBeLessThan(bytes.length);
    } finally {
      await proxy.restore();
    }
  });

  test('a bucket that is not there is a mistake in the configuration, not an outage', async () => {
    const store = await createObjectStore({ ...bucketOn('one'), bucket: 'elsewhere' });
    const asked = [store.put(Readable.from([Buffer.from('abc')]), LIMIT), store.read(NOBODY_HAS)];
    for (const error of await Promise.all(asked.map(refusal))) expect(error).toMatchObject({ name: 'NoSuchBucket' });
  });

  test('copies that nobody used for a week are dropped by the next start; the object stays', async () => {
    const place = bucketOn('one');
    const store = await createObjectStore(place);
    const digests = [];
    for (const text of ['used', 'unused']) {
      const { digest } = await store.put(Readable.from([Buffer.from(text)]), LIMIT);
      digests.push(digest);
      const eightDaysAgo = new Date(Date.now() - 8 * 86_400_000);
      await utimes(await store.pathOf(digest), eightDaysAgo, eightDaysAgo);
    }
    const [used, unused] = digests as [string, string];
    const path = await store.pathOf(used);
    const reopened = await createObjectStore(place);
    expect(await filesIn(place.cacheFolder)).toEqual([path]);
    expect(await readFile(await reopened.pathOf(unused), 'utf8')).toBe('unused');
  });
});

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** A stream of some bytes in pieces of odd sizes. */
function pieces(bytes: Buffer): Readable {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 7_777) parts.push(bytes.subarray(at, at + 7_777));
  return Readable.from(parts);
}

/** Where the server keeps an object of this test. */
function fileInBucket(digest: string): string {
  const hex = digest.slice('sha256:'.length);
  return join(root, 'buckets', 'objects', bucketOn('').prefix, hex.slice(0, 2), `${hex.slice(2)}._S3rver_object`);
}

/** All files of this test: in its folder and in its part of the bucket. */
async function everything(): Promise<string[]> {
  return [
    ...(await filesIn(folder)),
    ...(await filesIn(join(root, 'buckets', 'objects', bucketOn('').prefix))),
    ...(await filesIn(join(root, 'buckets', 'objects', '._S3rver_uploads'))),
  ].sort();
}

async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function drain(stream: Readable): Promise<{ came: number; error: unknown }> {
  let came = 0;
  try {
    for await (const chunk of stream) came += (chunk as Buffer).length;
    return { came, error: undefined };
  } catch (error) {
    return { came, error };
  }
}

async function refusal(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'nothing: it was accepted',
    (error: unknown) => error,
  );
}
