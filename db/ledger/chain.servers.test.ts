import * as fc from 'fast-check';
import { ZERO } from '../../domain/credits';
import { atHour, idOf } from '../../test/builders/ids';
import { aBudget, amount, changeLife, grant, openBudget, release, reserve } from '../../test/builders/ledger';
import { holdsEventually } from '../../test/builders/seed';
import { rows } from '../client';
import { createTestDatabase, type TestDatabase } from '../testing/database';
import { brokenInvariants } from '../testing/invariants';
import { Place } from '../testing/place';

jest.setTimeout(60_000);

let database: TestDatabase;
let place: Place;

beforeAll(async () => {
  database = await createTestDatabase();
  place = await Place.open(database, '1');
});

afterEach(async () => {
  expect(await brokenInvariants(database.db)).toEqual([]);
});

afterAll(() => database?.drop());

/** Anything that Postgres keeps: quotes, backslashes, controls, every script. */
const aText = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ unit: fc.constantFrom('\\', '"', 'u', 'd', '8', '0', '\n') }),
  )
  .map((text) => text.replaceAll('\0', ''));

/** Batches whose digest is not that of what the database shows of them. */
function misdigested() {
  return rows(
    database.db,
    `select b.id
     from batches b
     join (
       select batch_id, string_agg(line, E'\\n' order by position) as lines from canonical_operations group by batch_id
     ) as c on c.batch_id = b.id
     where b.digest <> sha256(convert_to(c.lines, 'UTF8'))`,
  );
}

test('the digest of a batch is the one of what the database shows, whatever the texts in it', async () => {
  let made = 10;
  await holdsEventually(
    fc.asyncProperty(aText, aText, aText, async (reason, actor, reference) => {
      made += 1;
      const by = { reason, actor };
      const lot = { id: place.lotId(made), poolId: place.contract, reference, purchasedAt: atHour(-made) };
      const project = `${reference}-${made}`.slice(0, 100);
      const budget = aBudget({
        id: idOf('budget', made, place.number),
        contractId: place.contract,
        userId: null,
        project,
      });
      await place.accept(
        grant({ lot, ...by }),
        reserve({ ...place.spending(made), ...by, project, amount: ZERO }),
        changeLife({ lotId: lot.id, poolId: place.contract, ...by, act: `changeLife/${reason}` }),
        release({ ...place.spending(made), ...by }),
        openBudget({ budget, ...by }),
      );
    }),
    { numRuns: 50 },
  );
  expect(await misdigested()).toEqual([]);
});

test('half of a surrogate pair, which no database keeps, is refused instead of being digested', async () => {
  const half = '\ud83d';
  for (const text of [half, `a${half}b`, `\\${half}`, `${half}\\ud83d`]) {
    const asked = database.ledger.apply(release({ ...place.spending(1), reason: text }));
    await expect(asked).rejects.toThrow(/half of a surrogate pair/);
  }
  const spelled = ['\\ud83d', '\\\\ud83d', '\ud83d\ude00'];
  for (const [n, text] of spelled.entries()) await place.accept(release({ ...place.spending(2 + n), reason: text }));
  expect(await misdigested()).toEqual([]);
});

test('amounts and instants at their limits are digested as they are kept', async () => {
  const first = '0001-01-01T00:00:00.000000Z' as never;
  const last = '9999-12-31T23:59:59.999999Z' as never;
  const lot = { id: place.lotId(2), poolId: place.contract, effectiveAt: first, expiresAt: last, purchasedAt: first };
  await place.accept(
    grant({ lot: { ...lot, amount: amount('9000000000000') }, at: first }),
    reserve({ ...place.spending(9), amount: amount('8000000000000'), cap: amount('9000000000000') }),
    release({ ...place.spending(9), at: last }),
  );
  expect(await misdigested()).toEqual([]);
});
