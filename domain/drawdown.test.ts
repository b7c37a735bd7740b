import * as fc from 'fast-check';
import { atHour, idOf } from '../test/builders/ids';
import { aLot, amount } from '../test/builders/ledger';
import { holds } from '../test/builders/seed';
import { type Credits, credits, sumOf, ZERO } from './credits';
import { compareForDrawdown, type Draw, drawDown, LotsInOrder, mergeDraws, payingLots, take } from './drawdown';
import { LOT_KINDS, type Lot } from './lots';

const at = atHour(50);

/** Which lot pays first, whatever order the lots came in. */
function firstToPay(...lots: Lot[]): string[] {
  const forwards = payingLots(lots, at).map(({ id }) => id);
  expect(payingLots([...lots].reverse(), at).map(({ id }) => id)).toEqual(forwards);
  return forwards;
}

test('the user’s individual lots pay before shared ones, courtesy lots last, even when they expire sooner', () => {
  const individual = aLot({ id: idOf('lot', 3), kind: 'individual', effectiveAt: atHour(40) });
  const shared = aLot({ id: idOf('lot', 2), kind: 'shared', expiresAt: atHour(100) });
  const courtesy = aLot({ id: idOf('lot', 1), kind: 'courtesy', expiresAt: atHour(60) });
  expect(firstToPay(courtesy, shared, individual)).toEqual([individual.id, shared.id, courtesy.id]);
});

test('within a kind the earliest expiry pays first', () => {
  const sooner = aLot({ id: idOf('lot', 2), expiresAt: atHour(100), effectiveAt: atHour(30) });
  const later = aLot({ id: idOf('lot', 1), expiresAt: atHour(101), effectiveAt: atHour(0) });
  expect(firstToPay(later, sooner)).toEqual([sooner.id, later.id]);
});

test('a lot that never expires pays last within its kind', () => {
  const expiring = aLot({ id: idOf('lot', 2), expiresAt: atHour(9000), effectiveAt: atHour(30) });
  const endless = aLot({ id: idOf('lot', 1), expiresAt: null, effectiveAt: atHour(0) });
  expect(firstToPay(endless, expiring)).toEqual([expiring.id, endless.id]);
});

test('with the same expiry the earliest effective pays first, and of endless lots too', () => {
  const sooner = aLot({ id: idOf('lot', 2), effectiveAt: atHour(10) });
  const later = aLot({ id: idOf('lot', 1), effectiveAt: atHour(11) });
  expect(firstToPay(later, sooner)).toEqual([sooner.id, later.id]);
  const endless = (lot: Lot) => ({ ...lot, kind: 'individual' as const, expiresAt: null });
  expect(firstToPay(endless(later), endless(sooner))).toEqual([sooner.id, later.id]);
});

test('with the same life the older id pays first', () => {
  const [older, newer] = [aLot({ id: idOf('lot', 1) }), aLot({ id: idOf('lot', 2) })];
  expect(firstToPay(newer, older)).toEqual([older.id, newer.id]);
});

test('lots that are not effective yet, over, withdrawn, ended or empty do not pay', () => {
  const lots = [
    aLot({ effectiveAt: atHour(51) }),
    aLot({ expiresAt: at }),
    aLot({ kind: 'individual', withdrawnAt: at }),
    aLot({ endedAs: 'expired' }),
    aLot({ available: credits(0n), reserved: amount('5') }),
  ];
  expect(payingLots(lots, at)).toEqual([]);
});

test('5 individual and 10 shared pay 11 as 5 and 6', () => {
  const individual = aLot({ id: idOf('lot', 2), kind: 'individual', available: amount('5') });
  const shared = aLot({ id: idOf('lot', 1), available: amount('10') });
  expect(drawDown([shared, individual], amount('11'), at)).toEqual({
    covered: true,
    draws: [
      { lotId: individual.id, amount: amount('5') },
      { lotId: shared.id, amount: amount('6') },
    ],
  });
});

test('a job is covered in full or not at all, and the shortfall is what is missing', () => {
  const lots = [aLot({ available: amount('2') }), aLot({ id: idOf('lot', 2), available: amount('1.5') })];
  expect(drawDown(lots, amount('3.5'), at)).toMatchObject({ covered: true });
  expect(drawDown(lots, amount('3.500001'), at)).toEqual({
    covered: false,
    available: amount('3.5'),
    shortfall: amount('0.000001'),
  });
});

test('nothing is drawn for an amount of zero, with or without lots', () => {
  expect(drawDown([aLot()], credits(0n), at)).toEqual({ covered: true, draws: [] });
  expect(drawDown([], credits(0n), at)).toEqual({ covered: true, draws: [] });
});

const anyLot = fc.record({
  kind: fc.constantFrom(...LOT_KINDS),
  available: fc.bigInt({ min: 0n, max: 5n }),
  from: fc.integer({ min: 45, max: 52 }),
  life: fc.integer({ min: 1, max: 6 }),
});

test('draws are positive, at most one per lot, never more than the lot has, and sum to the amount', () => {
  const anyLots = fc.array(anyLot, { maxLength: 8 });
  holds(
    fc.property(anyLots, fc.bigInt({ min: 0n, max: 20n }), (given, asked) => {
      const lots = given.map(({ kind, available, from, life }, n) =>
        aLot({
          id: idOf('lot', n),
          kind,
          available: credits(available),
          effectiveAt: atHour(from),
          expiresAt: kind === 'individual' ? null : atHour(from + life),
        }),
      );
      const drawdown = drawDown(lots, credits(asked), at);
      if (!drawdown.covered) return drawdown.shortfall > 0n && drawdown.available + drawdown.shortfall === asked;
      const { draws } = drawdown;
      const within = draws.every(({ lotId, amount: drawn }) => {
        const lot = lots.find(({ id }) => id === lotId);
        return lot !== undefined && drawn > 0n && drawn <= lot.available;
      });
      return (
        within &&
        new Set(draws.map(({ lotId }) => lotId)).size === draws.length &&
        sumOf(draws, (draw) => draw.amount) === asked
      );
    }),
  );
});

describe('lots that are kept in order', () => {
  const draw = (list: LotsInOrder, wanted: string) => {
    const draws: Draw[] = [];
    list.drawInto(draws, amount(wanted), at);
    return draws.map(({ lotId }) => lotId);
  };
  const setAvailable = (lot: Lot, to: Credits) => Object.assign(lot, { available: to });

  test('a lot that was emptied and refilled pays in its place again', () => {
    const lots = [1, 2, 3].map((n) => aLot({ id: idOf('lot', n), available: amount('1') }));
    const [first, second, third] = lots as [Lot, Lot, Lot];
    const list = new LotsInOrder(lots);
    for (const lot of lots) setAvailable(lot, ZERO);
    expect(draw(list, '1')).toEqual([]);
    setAvailable(third, amount('1'));
    list.refilled(third);
    expect(draw(list, '1')).toEqual([third.id]);
    setAvailable(first, amount('1'));
    list.refilled(first);
    expect(draw(list, '2')).toEqual([first.id, third.id]);
    setAvailable(second, amount('1'));
    list.refilled(second);
    expect(draw(list, '3')).toEqual([first.id, second.id, third.id]);
  });

  test('a dead lot is passed over and pays again at an instant at which it lives', () => {
    const list = new LotsInOrder([aLot({ expiresAt: at }), aLot({ id: idOf('lot', 2), available: amount('1') })]);
    expect(draw(list, '2')).toEqual([idOf('lot', 2)]);
    const draws: Draw[] = [];
    list.drawInto(draws, amount('2'), atHour(49));
    expect(draws.map(({ lotId }) => lotId)).toEqual([idOf('lot', 1)]);
  });

  test('whatever is added, removed, emptied and refilled, they draw what sorting all of them would', () => {
    const step = fc.record({
      act: fc.constantFrom('draw', 'add', 'remove', 'refill'),
      n: fc.nat({ max: 7 }),
      life: fc.integer({ min: 1, max: 4 }),
      size: fc.bigInt({ min: 0n, max: 6n }),
    });
    holds(
      fc.property(fc.array(step, { minLength: 20, maxLength: 60 }), (steps) => {
        const lots = new Map<string, Lot>();
        const list = new LotsInOrder();
        for (const { act, n, life, size } of steps) {
          const id = idOf('lot', n);
          const lot = lots.get(id);
          if (act === 'draw') {
            const draws: Draw[] = [];
            const missing = list.drawInto(draws, credits(size), at);
            const paying = [...lots.values()].filter(({ available }) => available > 0n).sort(compareForDrawdown);
            const slices = paying.map((one) => ({ lotId: one.id, amount: one.available }));
            expect(draws).toEqual(take(slices, credits(size)).taken);
            expect(missing).toBe(size - sumOf(draws, (one) => one.amount));
            for (const { lotId, amount: drawn } of draws) {
              const paid = lots.get(lotId);
              if (paid) setAvailable(paid, credits(paid.available - drawn));
            }
          } else if (act === 'add' && !lot) {
            const added = aLot({ id, available: credits(size), expiresAt: atHour(100 + life) });
            lots.set(id, added);
            list.add(added);
          } else if (act === 'remove' && lot) {
            lots.delete(id);
            list.remove(lot);
          } else if (act === 'refill' && lot) {
            setAvailable(lot, credits(lot.available + size));
            list.refilled(lot);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('taking from slices leaves the rest of the last one and all that come after', () => {
  const slices = ['2', '3', '4'].map((slice, n) => ({ lotId: idOf('lot', n), amount: amount(slice) }));
  expect(take(slices, amount('3.5'))).toEqual({
    taken: [slices[0], { lotId: idOf('lot', 1), amount: amount('1.5') }],
    left: [{ lotId: idOf('lot', 1), amount: amount('1.5') }, slices[2]],
  });
  expect(take(slices, amount('99'))).toEqual({ taken: slices, left: [] });
  expect(take(slices, ZERO)).toEqual({ taken: [], left: slices });
});

test('merged draws hold one slice per lot', () => {
  const [one, two] = [idOf('lot', 1), idOf('lot', 2)].map((lotId) => ({ lotId, amount: amount('1') }));
  if (!one || !two) throw new Error('unreachable');
  expect(mergeDraws([one], [two, one])).toEqual([{ ...one, amount: amount('2') }, two]);
  expect(mergeDraws([], [one])).toEqual([one]);
  expect(mergeDraws([one], [])).toEqual([one]);
});
