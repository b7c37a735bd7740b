import { atHour, idOf } from '../test/builders/ids';
import {
  afterBatch,
  aLedger,
  aLot,
  amount,
  anAuthorisation,
  aReservation,
  aTerm,
  bucketsOf,
  changeLife,
  expire,
  grant,
  lotOf,
  raiseCap,
  release,
  reserve,
  settle,
  topUp,
  withdraw,
} from '../test/builders/ledger';
import { planBatch } from './batch';
import { credits, formatCredits, ZERO } from './credits';
import type { Instant } from './instant';
import type { Operation } from './operations';
import { heldBy } from './reservation';

const OTHER_USER = idOf('user', 2);
const OTHER_JOB = idOf('job', 2);
const SECOND = idOf('lot', 2);
const ONE_MICROSECOND_BEFORE = (hour: number) => atHour(hour - 1).replace('00:00.000000Z', '59:59.999999Z') as Instant;

describe('reserve', () => {
  test('5 individual and 10 shared pay a job of 11 with 5 and 6', () => {
    const individual = aLot({ id: SECOND, kind: 'individual', available: amount('5') });
    const state = afterBatch(aLedger({ lots: [aLot(), individual] }), reserve({ amount: amount('11') }));
    expect(state.reservations[0]?.draws).toEqual([
      { lotId: individual.id, amount: amount('5') },
      { lotId: idOf('lot', 1), amount: amount('6') },
    ]);
  });

  test('individual, shared and courtesy lots pay one job in this order', () => {
    const lots = [
      aLot({ id: idOf('lot', 1), kind: 'courtesy', available: amount('3'), expiresAt: atHour(20) }),
      aLot({ id: idOf('lot', 2), kind: 'shared', available: amount('2') }),
      aLot({ id: idOf('lot', 3), kind: 'individual', available: amount('1') }),
    ];
    const state = afterBatch(aLedger({ lots }), reserve({ amount: amount('4') }));
    expect(state.reservations[0]?.draws).toEqual([
      { lotId: idOf('lot', 3), amount: amount('1') },
      { lotId: idOf('lot', 2), amount: amount('2') },
      { lotId: idOf('lot', 1), amount: amount('1') },
    ]);
  });

  test('without a contract only the user’s individual lots pay', () => {
    const individual = aLot({ id: SECOND, kind: 'individual', available: amount('5') });
    const state = aLedger({ lots: [aLot(), individual] });
    const { outcomes } = planBatch(state, [reserve({ contractId: null, amount: amount('5.5') })]);
    expect(outcomes).toMatchObject([
      { code: 'insufficient_credits', details: { required: '5.5', available: '5', shortfall: '0.5' } },
    ]);
  });

  test('somebody else’s individual lot never pays', () => {
    const theirs = aLot({ kind: 'individual', poolId: OTHER_USER });
    expect(planBatch(aLedger({ lots: [theirs] }), [reserve()]).outcomes).toMatchObject([
      { code: 'insufficient_credits' },
    ]);
  });

  test('zero is a legal reservation, and settles like any other', () => {
    const { outcomes, reservations } = planBatch(aLedger(), [
      reserve({ amount: ZERO, cap: ZERO }),
      settle({ actual: ZERO }),
    ]);
    expect(outcomes).toMatchObject([
      { accepted: true, transfers: [] },
      { accepted: true, transfers: [], absorbed: 0n },
    ]);
    expect(reservations).toMatchObject([{ state: 'settled' }]);
  });

  test('never above the not-to-exceed amount', () => {
    const asked = reserve({ amount: amount('2'), cap: amount('1.999999') });
    expect(planBatch(aLedger({ lots: [aLot()] }), [asked]).outcomes).toMatchObject([{ code: 'cap_exceeded' }]);
  });

  test('one job has one reservation', () => {
    const { outcomes } = planBatch(aLedger({ lots: [aLot()] }), [reserve(), reserve()]);
    expect(outcomes).toMatchObject([{ accepted: true }, { code: 'reservation_closed' }]);
  });

  test('two jobs in one batch cannot both have the last credit', () => {
    const { outcomes } = planBatch(aLedger({ lots: [aLot({ available: amount('1') })] }), [
      reserve(),
      reserve({ jobId: OTHER_JOB }),
    ]);
    expect(outcomes).toMatchObject([{ accepted: true }, { code: 'insufficient_credits' }]);
  });

  test('what a batch gives back can be reserved by the next operation of it', () => {
    const [small, large] = [aLot({ available: amount('1') }), aLot({ id: SECOND, available: amount('1') })];
    const { outcomes } = planBatch(aLedger({ lots: [small, large] }), [
      reserve({ amount: amount('2') }),
      release(),
      reserve({ jobId: OTHER_JOB, amount: amount('2') }),
    ]);
    expect(outcomes).toMatchObject([{ accepted: true }, { accepted: true }, { accepted: true }]);
  });

  test('a negative amount is a mistake and no refusal', () => {
    const asked = reserve({ amount: credits(-1n) });
    expect(() => planBatch(aLedger({ lots: [aLot()] }), [asked])).toThrow(RangeError);
  });

  test.each([
    ['one microsecond before it starts', ONE_MICROSECOND_BEFORE(10), 'contract_not_in_force'],
    ['from its first instant', atHour(10), undefined],
    ['one microsecond before its end', ONE_MICROSECOND_BEFORE(20), undefined],
    ['at its end', atHour(20), 'contract_not_in_force'],
  ])('a contract pays within its term: %s', (_, at, code) => {
    const state = aLedger({ lots: [aLot()], contracts: [aTerm({ startsAt: atHour(10), endsAt: atHour(20) })] });
    expect(planBatch(state, [reserve({ at })]).outcomes[0]).toMatchObject(code ? { code } : { accepted: true });
  });

  test.each([
    ['one microsecond before', ONE_MICROSECOND_BEFORE(10), undefined],
    ['from its first instant', atHour(10), 'contract_suspended'],
    ['after the contract’s end', atHour(20), 'contract_not_in_force'],
  ])('a suspended contract pays nothing: %s', (_, at, code) => {
    const state = aLedger({ lots: [aLot()], contracts: [aTerm({ suspendedAt: atHour(10), endsAt: atHour(20) })] });
    expect(planBatch(state, [reserve({ at })]).outcomes[0]).toMatchObject(code ? { code } : { accepted: true });
  });

  test.each([
    ['one microsecond before', ONE_MICROSECOND_BEFORE(10), 'user_not_authorised'],
    ['from the first instant', atHour(10), undefined],
    ['one microsecond before being removed', ONE_MICROSECOND_BEFORE(20), undefined],
    ['once removed', atHour(20), 'user_not_authorised'],
  ])('only authorised users spend: %s', (_, at, code) => {
    const authorisations = [anAuthorisation({ authorisedAt: atHour(10), removedAt: atHour(20) })];
    const state = aLedger({ lots: [aLot()], authorisations });
    expect(planBatch(state, [reserve({ at })]).outcomes[0]).toMatchObject(code ? { code } : { accepted: true });
  });

  test('a user who was removed and authorised again spends again, and not in between', () => {
    const authorisations = [
      anAuthorisation({ authorisedAt: atHour(0), removedAt: atHour(10) }),
      anAuthorisation({ authorisedAt: atHour(20) }),
    ];
    const asked = [5, 15, 25].map((hour) => reserve({ jobId: idOf('job', hour), at: atHour(hour) }));
    expect(planBatch(aLedger({ lots: [aLot()], authorisations }), asked).outcomes).toMatchObject([
      { accepted: true },
      { code: 'user_not_authorised' },
      { accepted: true },
    ]);
  });

  test.each([
    ['one microsecond before it is effective', ONE_MICROSECOND_BEFORE(10), false],
    ['from its first instant', atHour(10), true],
    ['one microsecond before its end', ONE_MICROSECOND_BEFORE(20), true],
    ['at its end', atHour(20), false],
  ])('a lot pays within its life: %s', (_, at, accepted) => {
    const lots = [aLot({ effectiveAt: atHour(10), expiresAt: atHour(20) })];
    expect(planBatch(aLedger({ lots }), [reserve({ at })]).outcomes).toMatchObject([{ accepted }]);
  });
});

describe('topUp', () => {
  const small = { amount: amount('1'), cap: amount('3') };
  const heldAfter = (...operations: Operation[]) => {
    const [reservation] = afterBatch(aLedger({ lots: [aLot()] }), ...operations).reservations;
    return reservation && formatCredits(heldBy(reservation));
  };

  test('brings a reservation up to a total, so that asking twice is asking once', () => {
    expect(heldAfter(reserve(small), topUp({ target: amount('2') }))).toBe('2');
    expect(heldAfter(reserve(small), topUp({ target: amount('2') }), topUp({ target: amount('2') }))).toBe('2');
  });

  test('never gives anything back', () => {
    expect(heldAfter(reserve(small), topUp({ target: amount('0.5') }))).toBe('1');
  });

  test('stops at the not-to-exceed amount until the submitter consents to more', () => {
    expect(heldAfter(reserve(small), topUp({ target: amount('5') }))).toBe('3');
    const consented = raiseCap({ cap: amount('4') });
    expect(heldAfter(reserve(small), consented, topUp({ target: amount('5') }))).toBe('4');
  });

  test('adds all that is missing or nothing', () => {
    const state = afterBatch(
      aLedger({ lots: [aLot({ available: amount('2') })] }),
      reserve(small),
      topUp({ target: amount('3') }),
    );
    expect(state.outcomes[1]).toMatchObject({
      code: 'insufficient_credits',
      details: { required: '2', available: '1', shortfall: '1' },
    });
    expect(bucketsOf(state)).toEqual({ available: '1', reserved: '1' });
  });

  test('a job holds one slice per lot, however often it was topped up', () => {
    const { reservations } = afterBatch(
      aLedger({ lots: [aLot()] }),
      reserve(small),
      topUp(),
      topUp({ target: amount('3') }),
    );
    expect(reservations[0]?.draws).toEqual([{ lotId: idOf('lot', 1), amount: amount('3') }]);
  });

  test('is refused once the contract has ended, and what is held stays held', () => {
    const contracts = [aTerm({ endsAt: atHour(5) })];
    const state = afterBatch(aLedger({ lots: [aLot()], contracts }), reserve(small), topUp({ at: atHour(5) }));
    expect(state.outcomes[1]).toMatchObject({ code: 'contract_not_in_force' });
    expect(bucketsOf(state)).toEqual({ available: '9', reserved: '1' });
  });
});

test('consent to a not-to-exceed amount only ever raises it', () => {
  const { outcomes } = planBatch(aLedger({ lots: [aLot()] }), [
    reserve({ cap: amount('3') }),
    raiseCap({ cap: amount('3') }),
    raiseCap({ cap: amount('2') }),
    raiseCap({ cap: amount('3.000001') }),
  ]);
  expect(outcomes.slice(1)).toMatchObject([{ code: 'cap_not_raised' }, { code: 'cap_not_raised' }, { accepted: true }]);
});

describe('settle', () => {
  test('captures what was used and gives the rest back', () => {
    const state = afterBatch(
      aLedger({ lots: [aLot()] }),
      reserve({ amount: amount('4') }),
      settle({ actual: amount('2.5') }),
    );
    expect(bucketsOf(state)).toEqual({ available: '7.5', consumed: '2.5' });
    expect(state.outcomes[1]).toMatchObject({ absorbed: 0n });
    expect(state.reservations).toEqual([
      aReservation({
        state: 'settled',
        reservedAt: atHour(1),
        captured: [{ lotId: idOf('lot', 1), amount: amount('2.5') }],
      }),
    ]);
  });

  test('slices are captured in the order of R6 as it stands now, whatever was drawn first', () => {
    const held = afterBatch(
      aLedger({ lots: [aLot({ available: amount('5') })] }),
      reserve({ amount: amount('3') }),
      grant({ lot: { id: SECOND, kind: 'individual', amount: amount('2') } }),
      topUp({ target: amount('5') }),
    );
    const state = afterBatch(held, settle({ actual: amount('3') }));
    expect(bucketsOf(state, SECOND)).toEqual({ consumed: '2' });
    expect(bucketsOf(state)).toEqual({ available: '4', consumed: '1' });
  });

  test('a life that changed meanwhile changes which slice is captured first', () => {
    const lots = [
      aLot({ available: amount('2'), expiresAt: atHour(100) }),
      aLot({ id: SECOND, available: amount('2'), expiresAt: atHour(200) }),
    ];
    const held = afterBatch(aLedger({ lots }), reserve({ amount: amount('4') }));
    const state = afterBatch(held, changeLife({ life: { expiresAt: atHour(300) } }), settle({ actual: amount('2') }));
    expect(bucketsOf(state)).toEqual({ available: '2' });
    expect(bucketsOf(state, SECOND)).toEqual({ consumed: '2' });
  });

  test('actual above the cap is absorbed by the provider', () => {
    const { outcomes, reservations } = planBatch(aLedger({ lots: [aLot()] }), [
      reserve({ amount: amount('2'), cap: amount('3') }),
      settle({ actual: amount('5') }),
    ]);
    expect(outcomes[1]).toMatchObject({ accepted: true, absorbed: amount('2') });
    expect(reservations).toMatchObject([{ absorbed: amount('2') }]);
  });

  test('what is missing is drawn in the same operation, as much as there is', () => {
    const ledger = aLedger({ lots: [aLot({ available: amount('3') })] });
    const state = afterBatch(ledger, reserve({ amount: amount('2') }), settle({ actual: amount('5') }));
    expect(state.outcomes[1]).toMatchObject({ absorbed: amount('2') });
    expect(bucketsOf(state)).toEqual({ consumed: '3' });
    expect(state.entries[1]?.transfers).toEqual([
      { lotId: idOf('lot', 1), from: 'available', to: 'reserved', amount: amount('1') },
      { lotId: idOf('lot', 1), from: 'reserved', to: 'consumed', amount: amount('3') },
    ]);
  });

  test('nothing more is drawn from a contract that ended meanwhile; the provider bears it', () => {
    const contracts = [aTerm({ endsAt: atHour(5) })];
    const state = afterBatch(
      aLedger({ lots: [aLot()], contracts }),
      reserve({ amount: amount('2') }),
      settle({ actual: amount('3'), at: atHour(5) }),
    );
    expect(state.outcomes[1]).toMatchObject({ absorbed: amount('1') });
    expect(bucketsOf(state)).toEqual({ available: '8', consumed: '2' });
  });

  test('a job is settled once', () => {
    const { outcomes } = planBatch(aLedger({ lots: [aLot()] }), [reserve(), settle(), settle(), release(), topUp()]);
    expect(outcomes.slice(2)).toMatchObject(Array(3).fill({ code: 'reservation_closed' }));
  });

  test('what was never reserved is not settled', () => {
    expect(planBatch(aLedger({ lots: [aLot()] }), [settle()]).outcomes).toMatchObject([{ code: 'reservation_closed' }]);
  });

  test('a negative actual is a mistake and no refusal', () => {
    const asked = [reserve(), settle({ actual: credits(-1n) })];
    expect(() => planBatch(aLedger({ lots: [aLot()] }), asked)).toThrow(RangeError);
  });
});

describe('release', () => {
  test('before a reserve leaves a mark that the late reserve finds', () => {
    const { outcomes, reservations } = planBatch(aLedger({ lots: [aLot()] }), [release(), reserve()]);
    expect(outcomes).toMatchObject([{ accepted: true, transfers: [] }, { code: 'reservation_closed' }]);
    expect(reservations).toEqual([aReservation({ state: 'released', cap: ZERO, reservedAt: atHour(1) })]);
  });

  test('gives every slice back to the lot it came from', () => {
    const lots = [aLot({ available: amount('3') }), aLot({ id: SECOND, available: amount('3') })];
    const state = afterBatch(aLedger({ lots }), reserve({ amount: amount('5') }), release());
    expect(bucketsOf(state)).toEqual({ available: '3' });
    expect(bucketsOf(state, SECOND)).toEqual({ available: '3' });
    expect(state.reservations).toMatchObject([{ state: 'released', draws: [] }]);
  });
});

describe('what is reserved while its lot lives stays the job’s, and what comes back later goes to the lot’s end', () => {
  const held = (kind: 'shared' | 'individual' | 'courtesy') => {
    const lot = aLot(kind === 'individual' ? { kind } : { kind, expiresAt: atHour(10) });
    return afterBatch(aLedger({ lots: [lot] }), reserve({ amount: amount('4'), at: atHour(4) }));
  };
  const lateSettle = (at: Instant) => settle({ actual: amount('1'), at });
  const notice = changeLife({ poolId: idOf('user', 1), life: { expiresAt: null, withdrawnAt: atHour(10) } });

  test.each(['shared', 'courtesy'] as const)('a %s lot that expired, before that is booked', (kind) => {
    expect(bucketsOf(afterBatch(held(kind), lateSettle(atHour(10))))).toEqual({
      available: '6',
      consumed: '1',
      expired: '3',
    });
    expect(bucketsOf(afterBatch(held(kind), release({ at: atHour(10) })))).toEqual({ available: '6', expired: '4' });
  });

  test('one microsecond before the expiry everything comes back to the customer', () => {
    const state = afterBatch(held('shared'), release({ at: ONE_MICROSECOND_BEFORE(10) }));
    expect(bucketsOf(state)).toEqual({ available: '10' });
  });

  test.each(['shared', 'courtesy'] as const)('a %s lot whose expiry is booked', (kind) => {
    const ended = afterBatch(held(kind), expire({ at: atHour(10) }));
    expect(bucketsOf(ended)).toEqual({ reserved: '4', expired: '6' });
    expect(bucketsOf(afterBatch(ended, lateSettle(atHour(11))))).toEqual({ consumed: '1', expired: '9' });
  });

  test('once an end is booked, even an earlier instant brings nothing back', () => {
    const ended = afterBatch(held('shared'), expire({ at: atHour(10) }));
    expect(bucketsOf(afterBatch(ended, release({ at: atHour(1) })))).toEqual({ expired: '10' });
  });

  test('an individual lot whose notice took effect, before and after that is booked', () => {
    const noticed = afterBatch(held('individual'), notice);
    expect(bucketsOf(afterBatch(noticed, lateSettle(atHour(10))))).toEqual({
      available: '6',
      consumed: '1',
      withdrawn: '3',
    });
    const ended = afterBatch(noticed, withdraw({ at: atHour(10) }));
    expect(bucketsOf(ended)).toEqual({ reserved: '4', withdrawn: '6' });
    expect(bucketsOf(afterBatch(ended, lateSettle(atHour(11))))).toEqual({ consumed: '1', withdrawn: '9' });
  });

  test('an individual lot whose notice has not taken effect gets everything back', () => {
    const noticed = afterBatch(held('individual'), notice);
    expect(bucketsOf(afterBatch(noticed, release({ at: ONE_MICROSECOND_BEFORE(10) })))).toEqual({ available: '10' });
  });

  test('a contract that ended takes nothing from a job that holds its credits', () => {
    const contracts = [aTerm({ endsAt: atHour(5) })];
    const state = afterBatch(
      aLedger({ lots: [aLot()], contracts }),
      reserve({ amount: amount('4'), at: atHour(4) }),
      settle({ actual: amount('4'), at: atHour(6) }),
    );
    expect(bucketsOf(state)).toEqual({ available: '6', consumed: '4' });
  });

  test('a life that was cut short while the job ran', () => {
    const cut = afterBatch(held('shared'), changeLife({ life: { expiresAt: atHour(5) }, at: atHour(5) }));
    expect(bucketsOf(afterBatch(cut, lateSettle(atHour(6))))).toEqual({ available: '6', consumed: '1', expired: '3' });
  });

  test('a life that was extended after it was over, before that was booked', () => {
    const renewed = afterBatch(held('shared'), changeLife({ life: { expiresAt: atHour(50) }, at: atHour(12) }));
    expect(bucketsOf(afterBatch(renewed, lateSettle(atHour(13))))).toEqual({ available: '9', consumed: '1' });
  });

  test('a settlement draws nothing more from a lot that is dead', () => {
    const state = afterBatch(held('shared'), settle({ actual: amount('9'), at: atHour(10) }));
    expect(bucketsOf(state)).toEqual({ available: '6', consumed: '4' });
    expect(state.outcomes).toMatchObject([{ absorbed: amount('5') }]);
  });
});

describe('a job belongs to who reserved it', () => {
  const theirs = aLot({ id: SECOND, kind: 'individual', poolId: OTHER_USER });
  const ledger = () => {
    const authorisations = [anAuthorisation(), anAuthorisation({ userId: OTHER_USER })];
    return afterBatch(aLedger({ lots: [aLot(), theirs], authorisations }), reserve());
  };

  test('nobody’s individual credits pay for another user’s job, even when that user asks for it', () => {
    const { outcomes, entries } = planBatch(ledger(), [
      topUp({ userId: OTHER_USER }),
      settle({ userId: OTHER_USER, actual: amount('5') }),
    ]);
    expect(outcomes).toMatchObject([{ accepted: false }, { accepted: false }]);
    expect(entries).toEqual([]);
  });

  test.each([
    ['topUp', topUp({ userId: OTHER_USER })],
    ['raiseCap', raiseCap({ userId: OTHER_USER })],
    ['settle', settle({ userId: OTHER_USER })],
    ['release', release({ userId: OTHER_USER })],
    ['settle without its contract', settle({ contractId: null })],
  ])('%s by another spender finds nothing', (_, operation) => {
    expect(planBatch(ledger(), [operation]).outcomes).toMatchObject([{ accepted: false, code: 'not_found' }]);
  });
});

test('16 jobs of 3600 that used 1234 each leave 359980256 of 360000000', () => {
  const jobs = Array.from({ length: 16 }, (_, n) => idOf('job', n));
  const ledger = aLedger({ lots: [aLot({ available: amount('360000000') })] });
  const reserved = afterBatch(
    ledger,
    ...jobs.map((jobId) => reserve({ jobId, amount: amount('3600'), cap: amount('3600') })),
  );
  expect(lotOf(reserved).available).toBe(amount('359942400'));
  const settled = afterBatch(reserved, ...jobs.map((jobId) => settle({ jobId, actual: amount('1234') })));
  expect(bucketsOf(settled)).toEqual({ available: '359980256', consumed: '19744' });
});
