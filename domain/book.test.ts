import { atHour, idOf } from '../test/builders/ids';
import {
  afterBatch,
  aLedger,
  aLot,
  amount,
  aReservation,
  changeLife,
  correct,
  expire,
  grant,
  refund,
  release,
  reserve,
  settle,
  topUp,
} from '../test/builders/ledger';
import { planBatch } from './batch';
import { credits, ZERO } from './credits';

const everything = [
  grant({ lot: { id: idOf('lot', 5) } }),
  reserve({ amount: amount('12') }),
  topUp({ target: amount('13') }),
  settle({ actual: amount('11') }),
  refund(),
  correct({ actual: amount('2') }),
  reserve({ jobId: idOf('job', 2) }),
  changeLife({ life: { expiresAt: atHour(9) }, at: atHour(2) }),
  expire({ at: atHour(9) }),
  release({ jobId: idOf('job', 2), at: atHour(10) }),
];

test('rows that a caller keeps are never changed, so that they can be planned with again', () => {
  const state = aLedger({ lots: [aLot(), aLot({ id: idOf('lot', 2) })] });
  const before = structuredClone(state);
  const plan = planBatch(state, everything);
  expect(plan.outcomes.every(({ accepted }) => accepted)).toBe(true);
  expect(state).toEqual(before);
  expect(planBatch(state, everything)).toEqual(plan);
});

test('a plan names what changed and nothing else, granted lots included', () => {
  const untouched = aLot({ id: idOf('lot', 2), expiresAt: atHour(9_000) });
  const { lots } = planBatch(aLedger({ lots: [untouched, aLot()] }), [
    grant({ lot: { id: idOf('lot', 5) } }),
    reserve(),
  ]);
  expect(lots).toEqual([
    aLot({ id: idOf('lot', 5) }),
    aLot({ available: amount('9'), reserved: amount('1'), granted: amount('10') }),
  ]);
});

test('operations one by one come to the same as in one batch', () => {
  const state = aLedger({ lots: [aLot(), aLot({ id: idOf('lot', 2) })] });
  const together = afterBatch(state, ...everything);
  const apart = everything.reduce((before, operation) => afterBatch(before, operation), afterBatch(state));
  expect(apart.lots).toEqual(together.lots);
  expect(apart.reservations).toEqual(together.reservations);
});

test('an operation that is refused changes nothing', () => {
  const { entries, lots, reservations } = planBatch(aLedger({ lots: [aLot()] }), [
    reserve({ amount: amount('11') }),
    settle(),
    expire(),
    refund(),
  ]);
  expect({ entries, lots, reservations }).toEqual({ entries: [], lots: [], reservations: [] });
});

test('a reservation that says more than its lot has reserved fails loudly instead of moving it', () => {
  const lot = aLot({ reserved: amount('1') });
  const reservation = aReservation({ draws: [{ lotId: lot.id, amount: amount('1.000001') }] });
  const state = aLedger({ lots: [lot], reservations: [reservation] });
  expect(() => planBatch(state, [release()])).toThrow(/breaks lot/);
});

test('a lot that does not add up fails loudly as soon as something of it would move', () => {
  const lot = { ...aLot(), granted: amount('11') };
  expect(() => planBatch(aLedger({ lots: [lot] }), [reserve()])).toThrow(/not conserved/);
});

test('a lot that was not loaded fails loudly', () => {
  const reservation = aReservation({ draws: [{ lotId: idOf('lot', 1), amount: credits(1n) }] });
  expect(() => planBatch(aLedger({ reservations: [reservation] }), [settle({ actual: ZERO })])).toThrow(/not loaded/);
});
