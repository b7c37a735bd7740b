import { atHour, idOf } from '../test/builders/ids';
import { amount, aReservation, CONTRACT, JOB, USER } from '../test/builders/ledger';
import { type Credits, ZERO } from './credits';
import type { Transfer } from './operations';
import { chargedFor, heldBy, type JournalLine, reservationOf } from './reservation';

const [FIRST, SECOND] = [idOf('lot', 1), idOf('lot', 2)];

function line(kind: JournalLine['kind'], given: Partial<JournalLine> = {}): JournalLine {
  const quiet = { userId: null, contractId: null, cap: null, absorbed: ZERO, project: null, transfers: [] };
  return { kind, act: kind, bookedAt: atHour(1), ...quiet, ...given };
}

function move(lotId: string, from: Transfer['from'], to: Transfer['to'], tokens: string): Transfer {
  return { lotId, from, to, amount: amount(tokens) };
}

const reserved = line('reserve', {
  userId: USER,
  contractId: CONTRACT,
  cap: amount('10'),
  project: 'apollo',
  transfers: [move(FIRST, 'available', 'reserved', '3')],
});
const quiet = { cap: amount('10'), project: 'apollo', reservedAt: atHour(1) };

test('an open reservation holds what was reserved and topped up, one slice per lot', () => {
  const toppedUp = line('topUp', {
    bookedAt: atHour(2),
    transfers: [move(SECOND, 'available', 'reserved', '1'), move(FIRST, 'available', 'reserved', '2')],
  });
  const reservation = reservationOf(JOB, [reserved, toppedUp]);
  expect(reservation).toEqual(
    aReservation({
      ...quiet,
      draws: [
        { lotId: FIRST, amount: amount('5') },
        { lotId: SECOND, amount: amount('1') },
      ],
    }),
  );
  expect(heldBy(reservation)).toBe(amount('6'));
});

test('the not-to-exceed amount is the last that was consented to', () => {
  const raised = ['12', '15'].map((cap) => line('raiseCap', { cap: amount(cap) }));
  expect(reservationOf(JOB, [reserved, ...raised]).cap).toBe(amount('15'));
});

test('a settlement keeps what it captured in its order, and holds nothing', () => {
  const settled = line('settle', {
    absorbed: amount('2'),
    transfers: [
      move(SECOND, 'available', 'reserved', '4'),
      move(SECOND, 'reserved', 'consumed', '4'),
      move(FIRST, 'reserved', 'consumed', '1'),
      move(FIRST, 'reserved', 'expired', '2'),
    ],
  });
  const reservation = reservationOf(JOB, [reserved, settled]);
  expect(reservation).toEqual(
    aReservation({
      ...quiet,
      state: 'settled',
      captured: [
        { lotId: SECOND, amount: amount('4') },
        { lotId: FIRST, amount: amount('1') },
      ],
      absorbed: amount('2'),
    }),
  );
  expect(chargedFor(reservation)).toBe(amount('5'));
});

test('refunds and corrections lower what remains of the charge and what the provider bears', () => {
  const captured = { transfers: [move(FIRST, 'reserved', 'consumed', '3')], absorbed: amount('2') };
  const refunded = { transfers: [move(FIRST, 'consumed', 'expired', '1')] };
  const corrected = { transfers: [move(FIRST, 'consumed', 'available', '0.5')], absorbed: -amount('2') as Credits };
  const lines = [reserved, line('settle', captured), line('refund', refunded), line('correct', corrected)];
  const reservation = reservationOf(JOB, lines);
  expect(reservation).toMatchObject({ absorbed: 0n, refunded: amount('1.5'), state: 'settled' });
  expect(chargedFor(reservation)).toBe(amount('1.5'));
});

test('a release holds nothing, and nothing was captured', () => {
  const released = line('release', { userId: USER, transfers: [move(FIRST, 'reserved', 'available', '3')] });
  expect(reservationOf(JOB, [reserved, released])).toEqual(aReservation({ ...quiet, state: 'released' }));
});

test('a release without a reserve is a mark', () => {
  const mark = line('release', { userId: USER, contractId: CONTRACT, bookedAt: atHour(5) });
  expect(reservationOf(JOB, [mark])).toEqual(aReservation({ state: 'released', cap: ZERO, reservedAt: atHour(5) }));
});

test.each([
  ['nothing', []],
  ['a settlement', [line('settle', { userId: USER })]],
  ['a reserve of nobody', [{ ...reserved, userId: null }]],
])('a history that begins with %s is no job’s', (_, lines) => {
  expect(() => reservationOf(JOB, lines)).toThrow(/begin neither/);
});
