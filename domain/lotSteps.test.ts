import { atHour, idOf } from '../test/builders/ids';
import {
  afterBatch,
  aLedger,
  aLot,
  amount,
  aReservation,
  bucketsOf,
  CONTRACT,
  changeLife,
  expire,
  grant,
  lotOf,
  reserve,
  settle,
  USER,
  withdraw,
} from '../test/builders/ledger';
import { planBatch } from './batch';
import { credits, ZERO } from './credits';
import type { Instant } from './instant';
import type { LotKind } from './lots';

const justBefore = (hour: number) => atHour(hour - 1).replace('00:00.000000Z', '59:59.999999Z') as Instant;

describe('grant', () => {
  test.each([
    ['nothing', { amount: credits(0n) }],
    ['less than nothing', { amount: credits(-1n) }],
    ['more than anything may have', { amount: credits(9_000_000_000_000_000_001n) }],
    ['an individual lot that expires', { kind: 'individual' as const, expiresAt: atHour(9) }],
    ['a shared lot without an end', { expiresAt: null }],
    ['a courtesy lot without an end', { kind: 'courtesy' as const, expiresAt: null }],
    ['a life of no length', { effectiveAt: atHour(9), expiresAt: atHour(9) }],
    ['an individual lot with a grace', { kind: 'individual' as const, graceUntil: atHour(9) }],
    ['a courtesy lot with a grace', { kind: 'courtesy' as const, graceUntil: atHour(9_999) }],
    ['a grace that is over with the expiry', { expiresAt: atHour(9), graceUntil: atHour(9) }],
    ['a shared lot as an advance', { advance: true }],
    ['an individual lot as an advance', { kind: 'individual' as const, advance: true }],
  ])('refuses %s', (_, lot) => {
    expect(planBatch(aLedger(), [grant({ lot })]).outcomes).toMatchObject([{ code: 'lot_invalid' }]);
  });

  test('a lot that exists is not granted again under another key', () => {
    const used = aLot({ available: amount('1'), consumed: amount('9') });
    expect(planBatch(aLedger({ lots: [used] }), [grant({ lot: { id: used.id } })]).outcomes).toMatchObject([
      { code: 'lot_invalid' },
    ]);
  });

  test.each([['shared'], ['individual'], ['courtesy']] as const)(
    'a %s lot begins whole, in its owner’s pool',
    (kind) => {
      const { lots, entries } = planBatch(aLedger(), [grant({ lot: { kind } })]);
      expect(lots).toEqual([aLot({ kind })]);
      expect(entries).toMatchObject([
        { transfers: [{ lotId: idOf('lot', 1), from: 'granted', to: 'available', amount: amount('10') }] },
      ]);
    },
  );

  test('the largest amount there is can be granted and spent to the last microcredit', () => {
    const most = amount('9000000000000');
    const state = afterBatch(
      aLedger(),
      grant({ lot: { amount: most } }),
      reserve({ amount: most, cap: most }),
      settle({ actual: credits(most - 1n) }),
    );
    expect(bucketsOf(state)).toEqual({ available: '0.000001', consumed: '8999999999999.999999' });
  });

  test('a lot that is granted in a batch pays in the same batch, in its place', () => {
    const later = aLot({ id: idOf('lot', 2), available: amount('5') });
    const state = afterBatch(
      aLedger({ lots: [later] }),
      reserve({ jobId: idOf('job', 2) }),
      grant({ lot: { amount: amount('2'), expiresAt: atHour(100) } }),
      reserve({ amount: amount('3') }),
    );
    expect(bucketsOf(state)).toEqual({ reserved: '2' });
    expect(bucketsOf(state, later.id)).toEqual({ available: '3', reserved: '2' });
  });
});

describe('expire', () => {
  const lot = aLot({ expiresAt: atHour(10) });

  test.each([['shared'], ['courtesy']] as const)('what a %s lot never spent expires at its end', (kind) => {
    const state = afterBatch(aLedger({ lots: [{ ...lot, kind }] }), expire({ at: atHour(10) }));
    expect(lotOf(state)).toEqual({ ...lot, kind, available: ZERO, expired: amount('10'), endedAs: 'expired' });
  });

  test('is refused one microsecond before the end', () => {
    const { outcomes, lots } = planBatch(aLedger({ lots: [lot] }), [expire({ at: justBefore(10) })]);
    expect(outcomes).toMatchObject([{ code: 'lot_not_over' }]);
    expect(lots).toEqual([]);
  });

  test('an individual lot never expires', () => {
    const own = aLot({ kind: 'individual' });
    const { outcomes } = planBatch(aLedger({ lots: [own] }), [expire({ poolId: USER, at: atHour(9_999) })]);
    expect(outcomes).toMatchObject([{ code: 'lot_not_over' }]);
  });

  test('the end of a lot that spent everything is booked all the same', () => {
    const spent = aLot({ available: ZERO, consumed: amount('10'), expiresAt: atHour(10) });
    const state = afterBatch(aLedger({ lots: [spent] }), expire({ at: atHour(10) }));
    expect(state.entries).toMatchObject([{ transfers: [] }]);
    expect(lotOf(state).endedAs).toBe('expired');
  });

  test('an end is booked once', () => {
    const { outcomes } = planBatch(aLedger({ lots: [lot] }), [expire({ at: atHour(10) }), expire({ at: atHour(10) })]);
    expect(outcomes).toMatchObject([{ accepted: true }, { code: 'lot_ended' }]);
  });

  test('nothing of an ended lot is spent, also at an earlier instant', () => {
    const { outcomes } = planBatch(aLedger({ lots: [lot] }), [expire({ at: atHour(10) }), reserve({ at: atHour(9) })]);
    expect(outcomes).toMatchObject([{ accepted: true }, { code: 'insufficient_credits' }]);
  });
});

describe('withdraw', () => {
  const lot = aLot({ kind: 'individual', withdrawnAt: atHour(10) });

  test('what a user never spent is withdrawn when the notice takes effect', () => {
    const state = afterBatch(aLedger({ lots: [lot] }), withdraw({ at: atHour(10) }));
    expect(lotOf(state)).toEqual({ ...lot, available: ZERO, withdrawn: amount('10'), endedAs: 'withdrawn' });
  });

  test('is refused one microsecond before', () => {
    expect(planBatch(aLedger({ lots: [lot] }), [withdraw({ at: justBefore(10) })]).outcomes).toMatchObject([
      { code: 'lot_not_over' },
    ]);
  });

  test('is refused without a notice', () => {
    const unnoticed = { ...lot, withdrawnAt: null };
    expect(planBatch(aLedger({ lots: [unnoticed] }), [withdraw({ at: atHour(99) })]).outcomes).toMatchObject([
      { code: 'lot_not_over' },
    ]);
  });

  test.each([['shared'], ['courtesy']] as const)('a %s lot is not withdrawn', (kind) => {
    const asked = withdraw({ poolId: CONTRACT, at: atHour(9_999) });
    expect(planBatch(aLedger({ lots: [aLot({ kind })] }), [asked]).outcomes).toMatchObject([{ code: 'lot_not_over' }]);
  });

  test('an end is booked once', () => {
    const asked = [withdraw({ at: atHour(10) }), withdraw({ at: atHour(11) })];
    expect(planBatch(aLedger({ lots: [lot] }), asked).outcomes).toMatchObject([
      { accepted: true },
      { code: 'lot_ended' },
    ]);
  });
});

describe('changeLife', () => {
  const spendsAt = (kind: LotKind, given: Parameters<typeof changeLife>[0], at: Instant) => {
    const lot = aLot({ kind, expiresAt: kind === 'individual' ? null : atHour(10) });
    return planBatch(aLedger({ lots: [lot] }), [changeLife({ poolId: lot.poolId, ...given }), reserve({ at })])
      .outcomes;
  };

  test('a renewed contract’s lots live on as if never interrupted, also after they were over', () => {
    const renewed = { life: { expiresAt: atHour(20) }, at: atHour(12) };
    expect(spendsAt('shared', renewed, justBefore(20))).toMatchObject([{ accepted: true }, { accepted: true }]);
    expect(spendsAt('shared', renewed, atHour(20))).toMatchObject([{ accepted: true }, { accepted: false }]);
  });

  test('a contract that is cut short takes its lots with it', () => {
    const cut = { life: { expiresAt: atHour(5) } };
    expect(spendsAt('shared', cut, justBefore(5))).toMatchObject([{ accepted: true }, { accepted: true }]);
    expect(spendsAt('shared', cut, atHour(5))).toMatchObject([{ accepted: true }, { accepted: false }]);
  });

  test('a purchase that is allocated later is spent from then on', () => {
    const allocated = { life: { effectiveAt: atHour(5), expiresAt: atHour(10) } };
    expect(spendsAt('shared', allocated, justBefore(5))).toMatchObject([{ accepted: true }, { accepted: false }]);
    expect(spendsAt('shared', allocated, atHour(5))).toMatchObject([{ accepted: true }, { accepted: true }]);
  });

  test('a delivered notice withdraws a user’s credits at its instant and not before', () => {
    const notice = { life: { expiresAt: null, withdrawnAt: atHour(10) } };
    expect(spendsAt('individual', notice, justBefore(10))).toMatchObject([{ accepted: true }, { accepted: true }]);
    expect(spendsAt('individual', notice, atHour(10))).toMatchObject([{ accepted: true }, { accepted: false }]);
  });

  test('a notice can be rescinded until it takes effect', () => {
    const noticed = aLot({ kind: 'individual', withdrawnAt: atHour(10) });
    const rescind = (at: Instant) => changeLife({ poolId: USER, life: { expiresAt: null }, at });
    const state = afterBatch(aLedger({ lots: [noticed] }), rescind(justBefore(10)));
    expect(lotOf(state)).toEqual({ ...noticed, withdrawnAt: null });
    expect(planBatch(aLedger({ lots: [noticed] }), [rescind(atHour(10))]).outcomes).toMatchObject([
      { code: 'lot_ended' },
    ]);
  });

  test('a life whose end is booked is not changed any more', () => {
    const ended = aLot({ available: ZERO, expired: amount('10'), endedAs: 'expired' });
    expect(planBatch(aLedger({ lots: [ended] }), [changeLife()]).outcomes).toMatchObject([{ code: 'lot_ended' }]);
  });

  test.each([
    ['an individual lot that expires', 'individual' as const, { expiresAt: atHour(9) }],
    ['a shared lot without an end', 'shared' as const, { expiresAt: null }],
    ['a courtesy lot without an end', 'courtesy' as const, { expiresAt: null }],
    ['a shared lot that is withdrawn', 'shared' as const, { withdrawnAt: atHour(9) }],
    ['a courtesy lot that is withdrawn', 'courtesy' as const, { withdrawnAt: atHour(9) }],
    ['a life of no length', 'shared' as const, { effectiveAt: atHour(9), expiresAt: atHour(9) }],
    ['an individual lot with a grace', 'individual' as const, { expiresAt: null, graceUntil: atHour(9_999) }],
    ['a courtesy lot with a grace', 'courtesy' as const, { graceUntil: atHour(9_999) }],
    ['a grace that is over with the expiry', 'shared' as const, { expiresAt: atHour(9), graceUntil: atHour(9) }],
  ])('refuses %s', (_, kind, life) => {
    const lot = aLot({ kind });
    const { outcomes } = planBatch(aLedger({ lots: [lot] }), [changeLife({ poolId: lot.poolId, life })]);
    expect(outcomes).toMatchObject([{ code: 'lot_invalid' }]);
  });

  test('moves nothing, of what is available as of what is reserved', () => {
    const lot = aLot({ available: amount('3'), reserved: amount('4'), consumed: amount('2'), expired: amount('1') });
    const state = afterBatch(aLedger({ lots: [lot] }), changeLife({ life: { expiresAt: atHour(5) } }));
    expect(lotOf(state)).toEqual({ ...lot, expiresAt: atHour(5) });
    expect(state.entries).toMatchObject([{ transfers: [] }]);
  });

  test('a lot takes its new place in the drawdown order at once', () => {
    const lots = [aLot({ expiresAt: atHour(100) }), aLot({ id: idOf('lot', 2), expiresAt: atHour(200) })];
    const state = afterBatch(
      aLedger({ lots }),
      reserve({ jobId: idOf('job', 2) }),
      changeLife({ life: { expiresAt: atHour(300) } }),
      reserve({ amount: amount('11') }),
    );
    expect(bucketsOf(state)).toEqual({ available: '8', reserved: '2' });
    expect(bucketsOf(state, idOf('lot', 2))).toEqual({ reserved: '10' });
  });
});

test.each([
  ['expire', expire({ at: atHour(9_999) })],
  ['withdraw', withdraw({ at: atHour(9_999) })],
  ['changeLife', changeLife()],
])('%s finds no lot that is not there, or is in another pool', (_, operation) => {
  const elsewhere = aLot({ poolId: idOf('contract', 2) });
  expect(planBatch(aLedger(), [operation]).outcomes).toMatchObject([{ code: 'not_found' }]);
  expect(planBatch(aLedger({ lots: [elsewhere] }), [operation]).outcomes).toMatchObject([{ code: 'not_found' }]);
});

describe('an advance is repaid by the next shared lot', () => {
  const advance = (n: number, consumed: string, given: Parameters<typeof aLot>[0] = {}) =>
    aLot({
      id: idOf('lot', n),
      kind: 'courtesy',
      advance: true,
      available: ZERO,
      consumed: amount(consumed),
      ...given,
    });
  const purchase = (tokens: string) => grant({ lot: { id: idOf('lot', 9), amount: amount(tokens) }, actor: 'sales' });

  test('by what of it is consumed, in an entry of its own right after the grant', () => {
    const state = afterBatch(aLedger({ lots: [advance(1, '4')] }), purchase('10'));
    expect(bucketsOf(state, idOf('lot', 9))).toEqual({ available: '6', consumed: '4' });
    expect(bucketsOf(state)).toEqual({ withdrawn: '4' });
    expect(state.entries).toMatchObject([
      { operation: { kind: 'grant' } },
      {
        operation: {
          kind: 'repay',
          subject: idOf('lot', 9),
          act: `repay/${idOf('lot', 1)}`,
          advanceId: idOf('lot', 1),
          at: atHour(1),
          actor: 'sales',
        },
        transfers: [
          { lotId: idOf('lot', 9), from: 'available', to: 'consumed', amount: amount('4') },
          { lotId: idOf('lot', 1), from: 'consumed', to: 'withdrawn', amount: amount('4') },
        ],
      },
    ]);
    expect(state.outcomes).toHaveLength(1);
  });

  test('the oldest first, as far as the new lot’s credits go; the next lot repays the rest', () => {
    const first = afterBatch(aLedger({ lots: [advance(2, '5'), advance(1, '4')] }), purchase('6'));
    expect(bucketsOf(first, idOf('lot', 9))).toEqual({ consumed: '6' });
    expect(bucketsOf(first, idOf('lot', 1))).toEqual({ withdrawn: '4' });
    expect(bucketsOf(first, idOf('lot', 2))).toEqual({ consumed: '3', withdrawn: '2' });
    const second = afterBatch(first, grant({ lot: { id: idOf('lot', 10) } }));
    expect(bucketsOf(second, idOf('lot', 10))).toEqual({ available: '7', consumed: '3' });
    expect(bucketsOf(second, idOf('lot', 2))).toEqual({ withdrawn: '5' });
  });

  test('what of it was not spent stays usable until its end', () => {
    const state = afterBatch(
      aLedger({ lots: [advance(1, '4', { available: amount('3') })] }),
      purchase('10'),
      reserve({ amount: amount('9') }),
    );
    expect(bucketsOf(state)).toEqual({ reserved: '3', withdrawn: '4' });
  });

  test('what a job still holds of it is repaid once it is consumed, by the lot after that', () => {
    const held = advance(1, '0', { reserved: amount('4') });
    const reservation = aReservation({ draws: [{ lotId: held.id, amount: amount('4') }] });
    const state = afterBatch(
      aLedger({ lots: [held], reservations: [reservation] }),
      purchase('10'),
      settle({ actual: amount('4') }),
      grant({ lot: { id: idOf('lot', 10) } }),
    );
    expect(bucketsOf(state, idOf('lot', 9))).toEqual({ available: '10' });
    expect(bucketsOf(state, idOf('lot', 10))).toEqual({ available: '6', consumed: '4' });
  });

  test('also when its end is booked', () => {
    const ended = advance(1, '4', { expired: amount('6'), endedAs: 'expired' });
    const state = afterBatch(aLedger({ lots: [ended] }), purchase('10'));
    expect(bucketsOf(state)).toEqual({ expired: '6', withdrawn: '4' });
  });

  test.each([
    ['courtesy that is no advance', advance(1, '4', { advance: false }), purchase('10')],
    ['another contract’s advance', advance(1, '4', { poolId: idOf('contract', 2) }), purchase('10')],
    ['an individual lot', advance(1, '4'), grant({ lot: { id: idOf('lot', 9), kind: 'individual' } })],
    ['a courtesy lot', advance(1, '4'), grant({ lot: { id: idOf('lot', 9), kind: 'courtesy' } })],
  ])('and nothing else is repaid, or repays: %s', (_, lot, granted) => {
    const state = afterBatch(aLedger({ lots: [lot] }), granted);
    expect(state.entries).toHaveLength(1);
    expect(bucketsOf(state)).toEqual({ consumed: '4' });
  });
});
