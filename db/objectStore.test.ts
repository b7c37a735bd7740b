import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { BillingError } from '../domain/errors';
import { type ObjectStore, openFolderStore } from './objectStore';

const LIMIT = 200_000;

let folder: string;
let store: ObjectStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-objects-'));
  store = await openFolderStore(folder);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** A stream of some bytes in pieces of odd sizes. */
function pieces(bytes: Buffer): Readable {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 7_777) parts.push(bytes.subarray(at, at + 7_777));
  return Readable.from(parts);
}

async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function refusal(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'nothing: it was accepted',
    (error: unknown) => error,
  );
}

test('what is stored is found by its digest, whole, as a stream and as a file', async () => {
  const bytes = randomBytes(100_000);
  const stored = await store.put(pieces(bytes), LIMIT);
  expect(stored).toEqual({ digest: digestOf(bytes), size: bytes.length });
  expect(await buffer(await store.read(stored.digest))).toEqual(bytes);
  expect(await readFile(await store.pathOf(stored.digest))).toEqual(bytes);
  expect(await filesIn(folder)).toEqual([await store.pathOf(stored.digest)]);
});

test('exactly as many bytes as allowed are stored; one more is refused, and nothing of it is kept', async () => {
  const bytes = randomBytes(LIMIT + 1);
  expect((await store.put(pieces(bytes.subarray(0, LIMIT)), LIMIT)).size).toBe(LIMIT);
  const error = await refusal(store.put(pieces(bytes), LIMIT));
  expect(error).toBeInstanceOf(BillingError);
  expect(error).toMatchObject({ code: 'input_too_large', details: { bytesMax: LIMIT } });
  expect(await filesIn(folder)).toHaveLength(1);
});

test('an endless stream is refused as soon as it passes the limit', async () => {
  let given = 0;
  const endless = new Readable({
    read() {
      given += 10_000;
      this.push(Buffer.alloc(10_000));
    },
  });
  expect(await refusal(store.put(endless, LIMIT))).toMatchObject({ code: 'input_too_large' });
  expect(given).toBeLessThan(LIMIT + 500_000);
  expect(await filesIn(folder)).toEqual([]);
});

test('nothing is a legal object too', async () => {
  expect(await store.put(Readable.from([]), LIMIT)).toEqual({ digest: digestOf(Buffer.alloc(0)), size: 0 });
});

test('a stream that breaks off in the middle leaves nothing', async () => {
  async function* broken() {
    yield randomBytes(50_000);
    throw new Error('the sender went away');
  }
  const error = await refusal(store.put(Readable.from(broken()), LIMIT));
  expect(error).toMatchObject({ message: 'the sender went away' });
  expect(await filesIn(folder)).toEqual([]);
});

test('a disk that takes no bytes is an error, and leaves nothing', async () => {
  await rm(join(folder, 'incoming'), { recursive: true });
  await writeFile(join(folder, 'incoming'), 'in the way');
  expect(await refusal(store.put(pieces(randomBytes(50_000)), LIMIT))).toMatchObject({ code: 'ENOTDIR' });
  expect(await filesIn(folder)).toEqual([join(folder, 'incoming')]);
});

test('a disk that does not take the name is an error, and leaves nothing; once it does, the same is stored', async () => {
  const bytes = randomBytes(50_000);
  const inTheWay = join(folder, digestOf(bytes).slice(7, 9));
  await writeFile(inTheWay, 'in the way');
  expect(await refusal(store.put(pieces(bytes), LIMIT))).toMatchObject({ code: 'EEXIST' });
  expect(await filesIn(folder)).toEqual([inTheWay]);
  await rm(inTheWay);
  await mkdir(inTheWay);
  expect(await store.put(pieces(bytes), LIMIT)).toMatchObject({ digest: digestOf(bytes) });
});

test('the same contents stored at once and again are one whole file', async () => {
  const bytes = randomBytes(100_000);
  const all = await Promise.all(Array.from({ length: 8 }, () => store.put(pieces(bytes), LIMIT)));
  const again = await store.put(pieces(bytes), LIMIT);
  for (const stored of [...all, again]) expect(stored).toEqual({ digest: digestOf(bytes), size: bytes.length });
  const files = await filesIn(folder);
  expect(files).toHaveLength(1);
  expect(await readFile(files[0] as string)).toEqual(bytes);
});

test('a digest that is none, or of nothing stored, opens no file', async () => {
  for (const digest of ['', 'sha256:../../etc/passwd', `sha256:${'0'.repeat(63)}`, `md5:${'0'.repeat(64)}`]) {
    expect(String(await refusal(store.read(digest)))).toContain('is not a digest');
  }
  expect(await refusal(store.pathOf(`sha256:${'0'.repeat(64)}`))).toMatchObject({ code: 'ENOENT' });
});

test('a store that is opened again has what it had', async () => {
  const bytes = randomBytes(1_000);
  const { digest } = await store.put(pieces(bytes), LIMIT);
  const reopened = await openFolderStore(folder);
  expect(await buffer(await reopened.read(digest))).toEqual(bytes);
});
