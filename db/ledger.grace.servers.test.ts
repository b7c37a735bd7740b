/** What becomes of a shared lot between its contract's end and the end of the renewal's grace, and of a suspended contract. */
import type { Instant } from '../domain/instant';
import { type LotLife, sharedLotLife } from '../domain/lots';
import { atHour } from '../test/builders/ids';
import { amount, changeLife, expire, grant, refund, release, reserve, settle, topUp } from '../test/builders/ledger';
import { rows } from './client';
import { createTestDatabase, type TestDatabase } from './testing/database';
import { brokenInvariants } from './testing/invariants';
import { Place } from './testing/place';
import { tamper } from './testing/tampering';
import { verifyLedger } from './verify/verifyLedger';

jest.setTimeout(30_000);

const YEAR = 8_760;
const [BOUGHT, CONTRACT_ENDS, GRACE_ENDS] = [atHour(0), atHour(YEAR - 100), atHour(YEAR - 40)];

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterEach(async () => {
  expect(await brokenInvariants(database.db)).toEqual([]);
  expect(await findings()).toEqual([]);
});

afterAll(() => database?.drop());

async function findings() {
  return (await verifyLedger({ kind: 'database', db: database.db })).findings;
}

/** A lot as a contract's end and grace make it. */
function lifeUntil(contractEndsAt: Instant, graceUntil: Instant | null, purchasedAt = BOUGHT): LotLife {
  return sharedLotLife({ effectiveAt: BOUGHT, purchasedAt, contractEndsAt, graceUntil, timeZone: 'UTC' });
}

/** Ten credits that die with their contract, four of which a job holds. */
async function held(life = lifeUntil(CONTRACT_ENDS, GRACE_ENDS)) {
  const place = await Place.open(database, '1');
  const lotId = place.lotId(2);
  const { withdrawnAt: _withdrawnAt, ...begun } = life;
  await place.accept(
    grant({ lot: { id: lotId, poolId: place.contract, amount: amount('10'), ...begun } }),
    reserve({ ...place.spending(1), amount: amount('4') }),
  );
  expect(await place.lot(lotId)).toMatchObject({ ...life, reserved: amount('4') });
  return { place, lotId, ofLot: { lotId, poolId: place.contract } };
}

test('what a job gives back in the grace stays available, and nothing is drawn from it', async () => {
  const { place, lotId } = await held();
  const at = atHour(YEAR - 99);
  await place.accept(release({ ...place.spending(1), at }));
  expect(await place.lot(lotId)).toMatchObject({ available: amount('10'), expired: 0n, endedAs: null });
  const asked = reserve({ ...place.spending(2), amount: amount('2'), at });
  expect(await database.ledger.apply(asked)).toMatchObject({ code: 'insufficient_credits' });
});

test('the rest of a settlement and a refund in the grace stay available', async () => {
  const { place, lotId } = await held();
  await place.accept(settle({ ...place.spending(1), actual: amount('3'), at: CONTRACT_ENDS }));
  await place.accept(refund({ ...place.spending(1), amount: amount('2'), at: atHour(YEAR - 41) }));
  expect(await place.lot(lotId)).toMatchObject({ available: amount('9'), consumed: amount('1'), expired: 0n });
});

test('what a job gives back from the end of the grace on expires', async () => {
  const { place, lotId } = await held();
  await place.accept(release({ ...place.spending(1), at: GRACE_ENDS }));
  expect(await place.lot(lotId)).toMatchObject({ available: amount('6'), expired: amount('4') });
});

test('what a job gives back after the lot’s twelve months expires, in the contract’s grace as well', async () => {
  const life = lifeUntil(CONTRACT_ENDS, atHour(2 * YEAR));
  expect(life.graceUntil).toBe(atHour(YEAR));
  const { place, lotId } = await held(life);
  await place.accept(release({ ...place.spending(1), at: atHour(YEAR) }));
  expect(await place.lot(lotId)).toMatchObject({ available: amount('6'), expired: amount('4') });
});

test('a lot that dies of its twelve months has no grace', async () => {
  const life = lifeUntil(CONTRACT_ENDS, GRACE_ENDS, atHour(-200));
  expect(life).toMatchObject({ expiresAt: atHour(YEAR - 200), graceUntil: null });
  const { place, lotId } = await held(life);
  await place.accept(release({ ...place.spending(1), at: atHour(YEAR - 99) }));
  expect(await place.lot(lotId)).toMatchObject({ available: amount('6'), expired: amount('4') });
});

test('an expiry that is booked late with the contract’s end takes what came back in the grace', async () => {
  const { place, lotId, ofLot } = await held();
  await place.accept(release({ ...place.spending(1), at: atHour(YEAR - 60) }));
  const [booked] = await place.accept(expire({ ...ofLot, at: CONTRACT_ENDS }));
  expect(booked?.transfers).toEqual([{ lotId, from: 'available', to: 'expired', amount: amount('10') }]);
  expect(await place.lot(lotId)).toMatchObject({ available: 0n, expired: amount('10'), endedAs: 'expired' });
});

test('once the expiry is booked everything goes there, in the grace as well', async () => {
  const { place, lotId, ofLot } = await held();
  await place.accept(expire({ ...ofLot, at: CONTRACT_ENDS }));
  await place.accept(release({ ...place.spending(1), at: atHour(YEAR - 60) }));
  expect(await place.lot(lotId)).toMatchObject({ available: 0n, expired: amount('10') });
});

test('a lot whose contract is renewed in the grace pays again, with what came back meanwhile', async () => {
  const { place, lotId, ofLot } = await held();
  const at = atHour(YEAR - 60);
  await place.accept(release({ ...place.spending(1), at }));
  const life = lifeUntil(atHour(YEAR - 20), atHour(YEAR - 10));
  await place.accept(changeLife({ ...ofLot, life, at }));
  const [paid] = await place.accept(reserve({ ...place.spending(2), amount: amount('10'), at }));
  expect(paid?.transfers).toEqual([{ lotId, from: 'available', to: 'reserved', amount: amount('10') }]);
  expect(await place.lot(lotId)).toMatchObject(life);
  const beyond = changeLife({ ...ofLot, life: lifeUntil(atHour(9 * YEAR), atHour(10 * YEAR)), at });
  await place.accept(beyond);
  expect(await place.lot(lotId)).toMatchObject({ expiresAt: atHour(YEAR), graceUntil: null });
});

test('the digest of a batch says a grace where there is one, and is as it always was where there is none', async () => {
  const { place, ofLot } = await held();
  await place.accept(changeLife({ ...ofLot, life: lifeUntil(atHour(YEAR - 20), null) }));
  const lines = await rows<{ kind: string; fields: bigint; grace: string | null }>(
    database.db,
    `select o.kind, json_array_length(c.line::json)::bigint as fields, case when json_array_length(c.line::json) in (21, 29) then c.line::json ->> -1 end as grace
     from canonical_operations c
     join operations o on o.batch_id = c.batch_id and o.position = c.position
     where o.subject in (?, ?) and o.kind in ('grant', 'changeLife')
     order by o.batch_id, o.position`,
    [place.sharedLot, ofLot.lotId],
  );
  expect(lines).toEqual([
    { kind: 'grant', fields: 28n, grace: null },
    { kind: 'grant', fields: 29n, grace: GRACE_ENDS },
    { kind: 'changeLife', fields: 20n, grace: null },
  ]);
});

test('another grace under the same key is another request', async () => {
  const { place, lotId, ofLot } = await held();
  const asked = changeLife({ ...ofLot, life: lifeUntil(CONTRACT_ENDS, GRACE_ENDS) });
  await place.accept(asked);
  const other = { ...asked, life: { ...asked.life, graceUntil: null } };
  expect(await database.ledger.apply(asked)).toMatchObject({ accepted: true, replayed: true });
  expect(await database.ledger.apply(other)).toMatchObject({ code: 'idempotency_key_reused' });
  expect(await place.lot(lotId)).toMatchObject({ graceUntil: GRACE_ENDS });
});

test('a return in the grace that went to the end is found, and so is one after it that did not', async () => {
  for (const [at, from, to] of [
    [atHour(YEAR - 60), 'ra', 're'],
    [GRACE_ENDS, 're', 'ra'],
  ] as const) {
    const { place, lotId } = await held();
    await place.accept(release({ ...place.spending(1), at }));
    const move = (moves: string, more: number) =>
      tamper(
        database.owner,
        `with moved as (update operations set moves = ? where subject = ? and kind = 'release' returning batch_id),
           digested as (
             update lots set available = available + ?, expired = expired - ? where id = ? returning 1
           )
         select batch_id from moved, digested`,
        [moves, place.job(1), more, more, lotId],
      );
    const credits = from === 'ra' ? -4_000_000 : 4_000_000;
    await move(to, credits);
    expect(await findings()).toContainEqual(
      expect.objectContaining({ table: 'operations', row: `${place.job(1)}/close`, what: expect.stringMatching(/R8/) }),
    );
    expect((await brokenInvariants(database.db)).join()).toMatch(/did not come back to where/);
    await move(from, -credits);
  }
});

test.each<[string, string, readonly [string, string][]]>([
  ['of an individual lot', 'lot_grace_follows_a_shared_expiry', [['grace_until', atHour(9_000)]]],
  [
    'that is over with the expiry',
    'lot_grace_follows_a_shared_expiry',
    [
      ['expires_at', atHour(20)],
      ['grace_until', atHour(20)],
    ],
  ],
])('the database itself refuses a grace %s', async (what, constraint, changed) => {
  const place = await Place.open(database, '1');
  await place.accept(place.grantIndividual(amount('1'), place.lotId(2)));
  const id = what === 'of an individual lot' ? place.lotId(2) : place.sharedLot;
  const change = database.owner('lots').where({ id }).update(Object.fromEntries(changed));
  await expect(change).rejects.toMatchObject({ code: '23514', constraint });
});

test('the database itself refuses another grace for a lot whose end is booked', async () => {
  const { place, lotId, ofLot } = await held();
  await place.accept(expire({ ...ofLot, at: CONTRACT_ENDS }));
  const longer = database
    .owner('lots')
    .where({ id: lotId })
    .update({ grace_until: atHour(YEAR) });
  await expect(longer).rejects.toMatchObject({ code: 'HF002' });
});

test('on a suspended contract nothing is spent, and what is reserved settles and is released as ever', async () => {
  const place = await Place.open(database, '10');
  await place.accept(
    ...[1, 2].map((n) => reserve({ ...place.spending(n), amount: amount('2') })),
    place.grantIndividual(amount('1'), place.lotId(2)),
  );
  const suspend = (suspended_at: Instant | null) =>
    database.db('contracts').where({ id: place.contract }).update({ suspended_at });
  await suspend(atHour(5));
  await place.accept(reserve({ ...place.spending(3), at: atHour(4) }));
  const refused = { accepted: false, code: 'contract_suspended' };
  const { ledger } = database;
  expect(await ledger.apply(reserve({ ...place.spending(4), at: atHour(5) }))).toMatchObject(refused);
  expect(await ledger.apply(topUp({ ...place.spending(1), target: amount('3'), at: atHour(5) }))).toMatchObject(
    refused,
  );
  const [settled] = await place.accept(settle({ ...place.spending(1), actual: amount('3'), at: atHour(6) }));
  expect(settled).toMatchObject({ absorbed: amount('1') });
  await place.accept(release({ ...place.spending(2), at: atHour(6) }));
  // What is the user's own is none of the contract's business.
  await place.accept(reserve({ ...place.spending(5), contractId: null, at: atHour(6), amount: amount('0') }));
  await suspend(null);
  await place.accept(reserve({ ...place.spending(4), at: atHour(5) }));
});
