import * as fc from 'fast-check';
import type { Instant } from '../domain/instant';
import { holdsEventually } from '../test/builders/seed';
import { firstRow } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { bigints, byteas, instants, integers, texts, uuids } from './wire';

jest.setTimeout(60_000);

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database?.drop());

const BIGINT_MAX = 2n ** 63n - 1n;
const INT_MAX = 2 ** 31 - 1;

/** Instants of the years 0001 to 9999, to the microsecond. */
const anInstant = fc
  .tuple(
    fc.integer({ min: 1, max: 9999 }),
    fc.integer({ min: 0, max: 366 * 86_400 - 1 }),
    fc.integer({ min: 0, max: 999_999 }),
  )
  .map(([year, second, micro]) => {
    const date = new Date(0);
    date.setUTCFullYear(year, 0, 1);
    date.setUTCSeconds(second);
    const text = date.toISOString();
    // A leap day's second can lie in the year 10000, which is written otherwise.
    return `${text.startsWith('+') ? '9999-12-31T23:59:59' : text.slice(0, 19)}.${String(micro).padStart(6, '0')}Z` as Instant;
  });
const aText = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\0', ''));

/** What Postgres understands of an array, element by element and as text. */
async function understood(type: string, written: string, array: Buffer): Promise<(string | null)[]> {
  const found = await firstRow<{ elements: (string | null)[] }>(
    database.db,
    `select coalesce(json_agg(${written} order by position), '[]') as elements
     from unnest(?::${type}[]) with ordinality as given (element, position)`,
    [array],
  );
  return found?.elements ?? [];
}

test.each<[string, string, fc.Arbitrary<unknown>, (values: never[]) => Buffer, (value: never) => string]>([
  ['uuid', 'element::text', fc.uuid(), uuids, String],
  ['bigint', 'element::text', fc.bigInt({ min: -BIGINT_MAX - 1n, max: BIGINT_MAX }), bigints, String],
  ['int', 'element::text', fc.integer({ min: -INT_MAX - 1, max: INT_MAX }), integers, String],
  ['timestamptz', 'canonical_instant(element)', anInstant, instants, String],
  ['text', 'element', aText, texts, String],
  [
    'bytea',
    `encode(element, 'hex')`,
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    byteas,
    (value: Buffer) => value.toString('hex'),
  ],
])(
  'an array of %s arrives as it was sent, with nulls and without any elements too',
  async (type, written, any, send, say) => {
    await holdsEventually(
      fc.asyncProperty(fc.array(fc.option(any), { maxLength: 30 }), async (values) => {
        const expected = values.map((value) => (value === null ? null : say(value as never)));
        expect(await understood(type, written, send(values as never[]))).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  },
);

test.each<[string, () => Buffer]>([
  ['a UUID with a letter that is no digit', () => uuids(['0000000g-0000-7000-8000-000000000000'])],
  ['a UUID that is too short', () => uuids(['00000000-0000-7000-8000-00000000000'])],
  ['a UUID without its dashes', () => uuids(['00000000000007000080000000000000000'])],
  [
    'a UUID in capitals, which Postgres gives back in small letters',
    () => uuids(['0000000A-0000-7000-8000-000000000000']),
  ],
  ['a number beyond 64 bits', () => bigints([BIGINT_MAX + 1n])],
  ['a number beyond 32 bits', () => integers([INT_MAX + 1])],
  ['an instant that is not written canonically', () => instants(['2026-01-01T00:00:00Z' as Instant])],
  ['a day that is none', () => instants(['2026-13-01T00:00:00.000000Z' as Instant])],
  ['the year 0, which Postgres writes otherwise', () => instants(['0000-01-01T00:00:00.000000Z' as Instant])],
])('%s is not sent at all', (_, write) => {
  // Of another realm than the test's, where Node itself throws it.
  expect(write).toThrow(expect.objectContaining({ name: 'RangeError' }));
});
