import * as fc from 'fast-check';
import { atHour, idOf } from '../test/builders/ids';
import {
  type Aftermath,
  afterBatch,
  aLedger,
  aLot,
  amount,
  aReservation,
  bucketsOf,
  changeLife,
  correct,
  expire,
  grant,
  lotOf,
  refund,
  release,
  reserve,
  settle,
  USER,
  withdraw,
} from '../test/builders/ledger';
import { holds } from '../test/builders/seed';
import { planBatch } from './batch';
import { credits, minCredits, sumOf, ZERO } from './credits';
import type { Instant } from './instant';
import { slicesToRefund } from './refund';

const [OWN, SHARED, COURTESY] = [idOf('lot', 3), idOf('lot', 2), idOf('lot', 1)];

/** A job of six credits: one of the user's own, two shared, three of courtesy, captured in this order. */
function charged(actual = '6'): Aftermath {
  const lots = [
    aLot({ id: OWN, kind: 'individual', available: amount('1') }),
    aLot({ id: SHARED, available: amount('2'), expiresAt: atHour(10) }),
    aLot({ id: COURTESY, kind: 'courtesy', available: amount('3'), expiresAt: atHour(20) }),
  ];
  return afterBatch(aLedger({ lots }), reserve({ amount: amount('6') }), settle({ actual: amount(actual) }));
}

function availableAfter(state: Aftermath): (string | undefined)[] {
  return [OWN, SHARED, COURTESY].map((id) => bucketsOf(state, id).available);
}

describe('refund', () => {
  test('gives back to courtesy first, then shared, then individual: the draws walked backwards', () => {
    expect(availableAfter(afterBatch(charged(), refund({ amount: amount('2') })))).toEqual([undefined, undefined, '2']);
    expect(availableAfter(afterBatch(charged(), refund({ amount: amount('4') })))).toEqual([undefined, '1', '3']);
    expect(availableAfter(afterBatch(charged(), refund({ amount: amount('6') })))).toEqual(['1', '2', '3']);
  });

  test('is an entry of its own, which moves what was captured and remembers how much', () => {
    const state = afterBatch(charged(), refund({ amount: amount('4') }));
    expect(state.entries).toMatchObject([
      {
        operation: { kind: 'refund' },
        transfers: [
          { lotId: COURTESY, from: 'consumed', to: 'available', amount: amount('3') },
          { lotId: SHARED, from: 'consumed', to: 'available', amount: amount('1') },
        ],
        absorbed: 0n,
      },
    ]);
    expect(state.reservations).toMatchObject([{ state: 'settled', refunded: amount('4') }]);
  });

  test('in steps gives back what one refund of their sum would', () => {
    const steps = ['0.5', '2.75', '0.000001', '1.749999', '1'];
    const stepwise = steps.reduce((state, step) => afterBatch(state, refund({ amount: amount(step) })), charged());
    expect(stepwise.lots).toEqual(afterBatch(charged(), refund({ amount: amount('6') })).lots);
  });

  test('never gives back more than remains of the charge', () => {
    const state = afterBatch(charged(), refund({ amount: amount('4') }));
    const tooMuch = afterBatch(state, refund({ amount: amount('2.000001') }));
    expect(tooMuch.outcomes).toMatchObject([
      { code: 'refund_exceeds_charge', details: { required: '2.000001', remaining: '2' } },
    ]);
    expect(tooMuch.lots).toEqual(state.lots);
    expect(afterBatch(state, refund({ amount: amount('2') }), refund()).outcomes).toMatchObject([
      { accepted: true },
      { code: 'refund_exceeds_charge' },
    ]);
  });

  test('of nothing, or of less than nothing, is refused', () => {
    const asked = [refund({ amount: ZERO }), refund({ amount: credits(-1n) })];
    expect(planBatch(charged(), asked).outcomes).toMatchObject(Array(2).fill({ code: 'refund_exceeds_charge' }));
  });

  test('what the provider bears is no part of the charge', () => {
    expect(planBatch(charged('9'), [refund({ amount: amount('6.000001') })]).outcomes).toMatchObject([
      { code: 'refund_exceeds_charge' },
    ]);
  });

  test.each([
    ['was never heard of', []],
    ['is still open', [reserve()]],
    ['was released', [reserve(), release()]],
    ['was only marked as released', [release()]],
  ])('there is nothing to refund of a job that %s', (_, operations) => {
    const state = afterBatch(aLedger({ lots: [aLot()] }), ...operations);
    expect(planBatch(state, [refund(), correct()]).outcomes).toMatchObject([
      { code: 'nothing_to_refund' },
      { code: 'nothing_to_refund' },
    ]);
  });

  test('a refund is not refunded', () => {
    const refundId = idOf('refund', 77);
    const state = afterBatch(charged(), refund({ refundId }));
    expect(planBatch(state, [refund({ jobId: refundId })]).outcomes).toMatchObject([{ code: 'nothing_to_refund' }]);
  });

  test.each([
    ['another user', { userId: idOf('user', 2) }],
    ['another contract', { contractId: idOf('contract', 2) }],
    ['no contract', { contractId: null }],
  ])('finds no charge of %s', (_, spender) => {
    expect(planBatch(charged(), [refund(spender), correct(spender)]).outcomes).toMatchObject([
      { code: 'not_found' },
      { code: 'not_found' },
    ]);
  });

  test('what is given back can be spent again', () => {
    const again = reserve({ jobId: idOf('job', 2), amount: amount('6') });
    expect(planBatch(charged(), [refund({ amount: amount('6') }), again]).outcomes).toMatchObject([
      { accepted: true },
      { accepted: true },
    ]);
  });
});

describe('a refund into a dead lot goes to that lot’s end', () => {
  const all = (at: Instant) => refund({ amount: amount('6'), at });

  test('a lot that expired, before that is booked, and only that one', () => {
    const state = afterBatch(charged(), all(atHour(10)));
    expect(bucketsOf(state, SHARED)).toEqual({ expired: '2' });
    expect(bucketsOf(state, COURTESY)).toEqual({ available: '3' });
    const justBefore = atHour(9).replace('00:00.000000Z', '59:59.999999Z') as Instant;
    expect(bucketsOf(afterBatch(charged(), all(justBefore)), SHARED)).toEqual({ available: '2' });
  });

  test('a lot whose expiry is booked, whatever the refund’s own instant', () => {
    const poolId = lotOf(charged(), SHARED).poolId;
    const ended = afterBatch(charged(), expire({ lotId: SHARED, poolId, at: atHour(10) }));
    expect(bucketsOf(afterBatch(ended, all(atHour(2))), SHARED)).toEqual({ expired: '2' });
  });

  test('a lot that was withdrawn', () => {
    const notice = changeLife({ lotId: OWN, poolId: USER, life: { expiresAt: null, withdrawnAt: atHour(10) } });
    const noticed = afterBatch(charged(), notice);
    expect(bucketsOf(afterBatch(noticed, all(atHour(10))), OWN)).toEqual({ withdrawn: '1' });
    const ended = afterBatch(noticed, withdraw({ lotId: OWN, at: atHour(10) }));
    expect(bucketsOf(afterBatch(ended, all(atHour(2))), OWN)).toEqual({ withdrawn: '1' });
  });

  test('a lot that lives on after a renewal gets its credits back', () => {
    const poolId = lotOf(charged(), SHARED).poolId;
    const renewed = afterBatch(charged(), changeLife({ lotId: SHARED, poolId, life: { expiresAt: atHour(99) } }));
    expect(bucketsOf(afterBatch(renewed, all(atHour(50))), SHARED)).toEqual({ available: '2' });
  });
});

describe('correct', () => {
  test('first unwinds what the provider bore, then refunds', () => {
    const state = charged('8');
    const partly = afterBatch(state, correct({ actual: amount('7') }));
    expect(partly.outcomes).toMatchObject([{ accepted: true, transfers: [], absorbed: -amount('1') }]);
    expect(partly.reservations).toMatchObject([{ absorbed: amount('1'), refunded: 0n }]);
    const wholly = afterBatch(partly, correct({ actual: amount('5') }));
    expect(wholly.outcomes).toMatchObject([
      {
        transfers: [{ lotId: COURTESY, from: 'consumed', to: 'available', amount: amount('1') }],
        absorbed: -amount('1'),
      },
    ]);
    expect(wholly.reservations).toMatchObject([{ absorbed: 0n, refunded: amount('1') }]);
  });

  test('in steps comes to what one correction would', () => {
    const stepwise = afterBatch(charged('8'), correct({ actual: amount('6.5') }), correct({ actual: amount('2') }));
    const once = afterBatch(charged('8'), correct({ actual: amount('2') }));
    expect(stepwise.lots).toEqual(once.lots);
    expect(stepwise.reservations).toEqual(once.reservations);
  });

  test('to nothing gives everything back', () => {
    expect(availableAfter(afterBatch(charged('8'), correct()))).toEqual(['1', '2', '3']);
  });

  test('counts what was refunded before', () => {
    const state = afterBatch(charged(), refund({ amount: amount('1') }));
    expect(planBatch(state, [correct({ actual: amount('5') })]).outcomes).toMatchObject([
      { code: 'refund_exceeds_charge' },
    ]);
    expect(availableAfter(afterBatch(state, correct({ actual: amount('4') })))).toEqual([undefined, undefined, '2']);
  });

  test.each([['8'], ['8.000001'], ['100']])('only lowers: %s after 8 is refused', (actual) => {
    expect(planBatch(charged('8'), [correct({ actual: amount(actual) })]).outcomes).toMatchObject([
      { code: 'refund_exceeds_charge', details: { remaining: '8' } },
    ]);
  });

  test('below nothing is refused', () => {
    expect(planBatch(charged(), [correct({ actual: credits(-1n) })]).outcomes).toMatchObject([
      { code: 'refund_exceeds_charge' },
    ]);
  });
});

describe('a refund of what an advance paid', () => {
  const [ADVANCE, FIRST, SECOND] = [idOf('lot', 1), idOf('lot', 8), idOf('lot', 9)];
  const buy = (id: string, tokens: string) => grant({ lot: { id, amount: amount(tokens), expiresAt: atHour(50) } });

  /** A job of four credits, paid by an advance of six. */
  function advanced(): Aftermath {
    const advance = aLot({ kind: 'courtesy', advance: true, available: amount('6'), expiresAt: atHour(30) });
    return afterBatch(aLedger({ lots: [advance] }), reserve({ amount: amount('4') }), settle({ actual: amount('4') }));
  }

  test('before it is repaid lowers what it is owed', () => {
    const state = afterBatch(advanced(), refund({ amount: amount('3') }), buy(FIRST, '10'));
    expect(bucketsOf(state, ADVANCE)).toEqual({ available: '5', withdrawn: '1' });
    expect(bucketsOf(state, FIRST)).toEqual({ available: '9', consumed: '1' });
  });

  test('after it was repaid gives the repaying lot its credits back, in an entry of its own before the refund', () => {
    const refundId = idOf('refund', 77);
    const repaid = afterBatch(advanced(), buy(FIRST, '10'));
    const state = afterBatch(repaid, refund({ refundId, amount: amount('3'), actor: 'finance' }));
    expect(bucketsOf(state, FIRST)).toEqual({ available: '9', consumed: '1' });
    expect(bucketsOf(state, ADVANCE)).toEqual({ available: '5', withdrawn: '1' });
    expect(state.entries).toMatchObject([
      {
        operation: { kind: 'repay', subject: refundId, act: 'unrepay/1', advanceId: ADVANCE, actor: 'finance' },
        transfers: [
          { lotId: FIRST, from: 'consumed', to: 'available', amount: amount('3') },
          { lotId: ADVANCE, from: 'withdrawn', to: 'consumed', amount: amount('3') },
        ],
      },
      {
        operation: { kind: 'refund' },
        transfers: [{ lotId: ADVANCE, from: 'consumed', to: 'available', amount: amount('3') }],
      },
    ]);
  });

  test('undoes the latest repayment first, as far as needed, and each part once', () => {
    const repaid = afterBatch(advanced(), buy(FIRST, '3'), buy(SECOND, '10'));
    expect(bucketsOf(repaid, FIRST)).toEqual({ consumed: '3' });
    expect(bucketsOf(repaid, SECOND)).toEqual({ available: '9', consumed: '1' });
    const partly = afterBatch(repaid, refund({ amount: amount('2') }));
    expect(partly.entries.map(({ operation }) => operation.act)).toEqual(['unrepay/1', 'unrepay/2', 'refund']);
    expect(bucketsOf(partly, SECOND)).toEqual({ available: '10' });
    expect(bucketsOf(partly, FIRST)).toEqual({ available: '1', consumed: '2' });
    const wholly = afterBatch(partly, refund({ amount: amount('2') }));
    expect(bucketsOf(wholly, FIRST)).toEqual({ available: '3' });
    expect(bucketsOf(wholly, ADVANCE)).toEqual({ available: '6' });
  });

  test('takes what is still owed before it undoes a repayment', () => {
    const partlyRepaid = afterBatch(advanced(), buy(FIRST, '1'));
    const state = afterBatch(partlyRepaid, refund({ amount: amount('3') }));
    expect(state.entries).toHaveLength(1);
    expect(bucketsOf(state, FIRST)).toEqual({ consumed: '1' });
    expect(bucketsOf(state, ADVANCE)).toEqual({ available: '5', withdrawn: '1' });
  });

  test('goes to the ends of both lots when both are dead', () => {
    const repaid = afterBatch(advanced(), buy(FIRST, '10'));
    const state = afterBatch(repaid, refund({ amount: amount('4'), at: atHour(50) }));
    expect(bucketsOf(state, FIRST)).toEqual({ available: '6', expired: '4' });
    expect(bucketsOf(state, ADVANCE)).toEqual({ available: '2', expired: '4' });
  });

  test('in the batch of its repayment comes to the same', () => {
    const state = afterBatch(advanced(), buy(FIRST, '10'), refund({ amount: amount('4') }));
    expect(bucketsOf(state, FIRST)).toEqual({ available: '10' });
    expect(bucketsOf(state, ADVANCE)).toEqual({ available: '6' });
  });

  test('is undone by a correction as well', () => {
    const state = afterBatch(afterBatch(advanced(), buy(FIRST, '10')), correct({ actual: amount('1') }));
    expect(state.entries.map(({ operation }) => operation.act)).toEqual(['unrepay/1', 'correct']);
    expect(bucketsOf(state, FIRST)).toEqual({ available: '9', consumed: '1' });
  });

  test('fails loudly when nothing is known of the repayment that would have to be undone', () => {
    const repaid = { ...afterBatch(advanced(), buy(FIRST, '10')), repayments: [] };
    expect(() => planBatch(repaid, [refund()])).toThrow(/nothing repaid/);
  });
});

test('grant 360000000, 16 jobs of 1234, everything refunded: 360000000 again', () => {
  const jobs = Array.from({ length: 16 }, (_, n) => idOf('job', n));
  const settled = afterBatch(
    aLedger(),
    grant({ lot: { amount: amount('360000000') } }),
    ...jobs.flatMap((jobId) => [
      reserve({ jobId, amount: amount('3600'), cap: amount('3600') }),
      settle({ jobId, actual: amount('1234') }),
    ]),
  );
  expect(bucketsOf(settled)).toEqual({ available: '359980256', consumed: '19744' });
  const refunded = afterBatch(settled, ...jobs.map((jobId) => refund({ jobId, amount: amount('1234') })));
  expect(bucketsOf(refunded)).toEqual({ available: '360000000' });
});

describe('slices to refund', () => {
  const anyCharge = fc.array(fc.bigInt({ min: 1n, max: 9n }), { minLength: 1, maxLength: 6 });

  test('refunds in any steps are the whole refund, cut where the steps end', () => {
    holds(
      fc.property(anyCharge, fc.array(fc.bigInt({ min: 1n, max: 5n }), { maxLength: 12 }), (slices, steps) => {
        const captured = slices.map((slice, n) => ({ lotId: idOf('lot', n), amount: credits(slice) }));
        const total = sumOf(captured, (draw) => draw.amount);
        const given = new Map<string, bigint>();
        let refunded = ZERO;
        for (const wanted of steps) {
          const step = minCredits(credits(wanted), credits(total - refunded));
          const parts = slicesToRefund(captured, refunded, step);
          expect(sumOf(parts, (part) => part.amount)).toBe(step);
          for (const part of parts) given.set(part.lotId, (given.get(part.lotId) ?? 0n) + part.amount);
          refunded = credits(refunded + step);
        }
        const whole = slicesToRefund(captured, ZERO, refunded);
        expect([...given].sort()).toEqual(whole.map((part) => [part.lotId, part.amount]).sort());
      }),
    );
  });
});

test('a reservation that was refunded in an earlier batch goes on from there', () => {
  const lot = aLot({ available: ZERO, consumed: amount('5'), expired: amount('5') });
  const settled = aReservation({
    state: 'settled',
    captured: [{ lotId: lot.id, amount: amount('8') }],
    refunded: amount('3'),
  });
  const state = aLedger({ lots: [lot], reservations: [settled] });
  expect(planBatch(state, [refund({ amount: amount('5.000001') })]).outcomes).toMatchObject([{ accepted: false }]);
  expect(bucketsOf(afterBatch(state, refund({ amount: amount('5') })))).toEqual({ available: '5', expired: '5' });
});
