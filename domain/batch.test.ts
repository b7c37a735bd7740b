import * as fc from 'fast-check';
import { histories, type LedgerUnderTest, newTally, runBesideModel } from '../test/builders/histories';
import { atHour, idOf } from '../test/builders/ids';
import {
  aLedger,
  aLot,
  amount,
  anAuthorisation,
  aReservation,
  aTerm,
  grant,
  raiseCap,
  release,
  reserve,
  settle,
  topUp,
} from '../test/builders/ledger';
import { holds, holdsEventually } from '../test/builders/seed';
import { type LedgerState, planBatch } from './batch';
import { credits, sumOf, ZERO } from './credits';
import { isConserved, type Lot } from './lots';
import type { Operation, Outcome } from './operations';

const OTHER_USER = idOf('user', 2);
const OTHER_JOB = idOf('job', 2);

/** The state after a plan, as a database would have it. */
function stateAfter(
  state: LedgerState,
  operations: readonly Operation[],
): LedgerState & { outcomes: readonly Outcome[] } {
  const plan = planBatch(state, operations);
  const replace = <T>(before: readonly T[], changed: readonly T[], idOfRow: (row: T) => string) => [
    ...new Map([...before, ...changed].map((row) => [idOfRow(row), row])).values(),
  ];
  return {
    ...state,
    lots: replace(state.lots, plan.lots, ({ id }) => id),
    reservations: replace(state.reservations, plan.reservations, ({ jobId }) => jobId),
    outcomes: plan.outcomes,
  };
}

/** The lot that a test is about. */
function lotOf(state: LedgerState, id = idOf('lot', 1)): Lot {
  const lot = state.lots.find((one) => one.id === id);
  if (!lot) throw new Error(`there is no lot ${id}`);
  return lot;
}

describe('reserve', () => {
  test('5 individual and 10 shared pay a job of 11 with 5 and 6', () => {
    const individual = aLot({ id: idOf('lot', 2), kind: 'individual', available: amount('5') });
    const state = stateAfter(aLedger({ lots: [aLot(), individual] }), [reserve({ amount: amount('11') })]);
    expect(state.reservations[0]?.draws).toEqual([
      { lotId: individual.id, amount: amount('5') },
      { lotId: idOf('lot', 1), amount: amount('6') },
    ]);
  });

  test('without a contract only the user’s individual lots pay', () => {
    const individual = aLot({ id: idOf('lot', 2), kind: 'individual', available: amount('5') });
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
    const state = aLedger({ lots: [] });
    const zero = credits(0n);
    const { outcomes, reservations } = planBatch(state, [
      reserve({ amount: zero, cap: zero }),
      settle({ actual: zero }),
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

  test.each([
    ['before it starts', atHour(9), 'contract_not_in_force'],
    ['from its first instant', atHour(10), undefined],
    ['at its end', atHour(20), 'contract_not_in_force'],
  ])('a contract pays within its term: %s', (_, at, code) => {
    const state = aLedger({ lots: [aLot()], contracts: [aTerm({ startsAt: atHour(10), endsAt: atHour(20) })] });
    expect(planBatch(state, [reserve({ at })]).outcomes[0]).toMatchObject(code ? { code } : { accepted: true });
  });

  test.each([
    ['before', atHour(9), 'user_not_authorised'],
    ['from the first instant', atHour(10), undefined],
    ['once removed', atHour(20), 'user_not_authorised'],
  ])('only authorised users spend: %s', (_, at, code) => {
    const authorisations = [anAuthorisation({ authorisedAt: atHour(10), removedAt: atHour(20) })];
    const state = aLedger({ lots: [aLot()], authorisations });
    expect(planBatch(state, [reserve({ at })]).outcomes[0]).toMatchObject(code ? { code } : { accepted: true });
  });
});

describe('settle', () => {
  test('credits reserved before their lot expired can still be settled after', () => {
    const state = stateAfter(aLedger({ lots: [aLot({ expiresAt: atHour(5) })] }), [
      reserve({ amount: amount('4'), at: atHour(4) }),
      settle({ actual: amount('4'), at: atHour(6) }),
    ]);
    expect(lotOf(state)).toMatchObject({ available: amount('6'), consumed: amount('4'), reserved: 0n });
  });

  test('what a dead lot gets back goes to its end and not to the customer', () => {
    const expiring = aLot({ expiresAt: atHour(5) });
    const state = stateAfter(aLedger({ lots: [expiring] }), [
      reserve({ amount: amount('4'), at: atHour(4) }),
      settle({ actual: amount('1'), at: atHour(5) }),
    ]);
    expect(lotOf(state)).toMatchObject({ available: amount('6'), consumed: amount('1'), expired: amount('3') });
  });

  test('once an end is booked, even an earlier instant brings nothing back', () => {
    const ended = aLot({ available: ZERO, reserved: amount('4'), expired: amount('6'), endedAs: 'expired' });
    const reservation = aReservation({ draws: [{ lotId: ended.id, amount: amount('4') }] });
    const state = stateAfter(aLedger({ lots: [ended], reservations: [reservation] }), [release({ at: atHour(1) })]);
    expect(lotOf(state)).toMatchObject({ available: 0n, reserved: 0n, expired: amount('10') });
  });

  test('slices are captured in the order of R6 as it stands now, whatever was drawn first', () => {
    const shared = aLot({ id: idOf('lot', 1), available: amount('5') });
    const ledger = stateAfter(aLedger({ lots: [shared] }), [
      reserve({ amount: amount('3') }),
      grant({ lot: { id: idOf('lot', 2), kind: 'individual', amount: amount('2') } }),
      topUp({ target: amount('5') }),
    ]);
    const state = stateAfter(ledger, [settle({ actual: amount('3') })]);
    expect(lotOf(state, idOf('lot', 2))).toMatchObject({ consumed: amount('2') });
    expect(lotOf(state, shared.id)).toMatchObject({ consumed: amount('1'), available: amount('4') });
  });

  test('actual above the cap is absorbed by the provider', () => {
    const { outcomes } = planBatch(aLedger({ lots: [aLot()] }), [
      reserve({ amount: amount('2'), cap: amount('3') }),
      settle({ actual: amount('5') }),
    ]);
    expect(outcomes[1]).toMatchObject({ accepted: true, absorbed: amount('2') });
  });

  test('what is missing is drawn in the same operation, as much as there is', () => {
    const ledger = aLedger({ lots: [aLot({ available: amount('3') })] });
    const state = stateAfter(ledger, [reserve({ amount: amount('2') }), settle({ actual: amount('5') })]);
    expect(state.outcomes[1]).toMatchObject({ absorbed: amount('2') });
    expect(lotOf(state)).toMatchObject({ available: 0n, reserved: 0n, consumed: amount('3') });
  });

  test('a job is settled once', () => {
    const { outcomes } = planBatch(aLedger({ lots: [aLot()] }), [reserve(), settle(), settle(), release(), topUp()]);
    expect(outcomes.slice(2)).toMatchObject(Array(3).fill({ code: 'reservation_closed' }));
  });

  test('16 jobs of 3600 that used 1234 each leave 359980256 of 360000000', () => {
    const jobs = Array.from({ length: 16 }, (_, n) => idOf('job', n));
    const ledger = aLedger({ lots: [aLot({ available: amount('360000000') })] });
    const reserved = stateAfter(
      ledger,
      jobs.map((jobId) => reserve({ jobId, amount: amount('3600'), cap: amount('3600') })),
    );
    expect(lotOf(reserved).available).toBe(amount('359942400'));
    const settled = stateAfter(
      reserved,
      jobs.map((jobId) => settle({ jobId, actual: amount('1234') })),
    );
    expect(lotOf(settled)).toMatchObject({ consumed: amount('19744'), available: amount('359980256'), reserved: 0n });
  });
});

describe('release', () => {
  test('before a reserve leaves a mark that the late reserve finds', () => {
    const { outcomes } = planBatch(aLedger({ lots: [aLot()] }), [release(), reserve()]);
    expect(outcomes).toMatchObject([{ accepted: true, transfers: [] }, { code: 'reservation_closed' }]);
  });

  test('gives every slice back to the lot it came from', () => {
    const ledger = aLedger({
      lots: [aLot({ available: amount('3') }), aLot({ id: idOf('lot', 2), available: amount('3') })],
    });
    const state = stateAfter(ledger, [reserve({ amount: amount('5') }), release()]);
    expect(state.lots).toMatchObject([
      { available: amount('3'), reserved: 0n },
      { available: amount('3'), reserved: 0n },
    ]);
  });
});

describe('a job belongs to who reserved it', () => {
  const theirs = aLot({ id: idOf('lot', 2), kind: 'individual', poolId: OTHER_USER });
  const ledger = () => {
    const authorisations = [anAuthorisation(), anAuthorisation({ userId: OTHER_USER })];
    return stateAfter(aLedger({ lots: [aLot(), theirs], authorisations }), [reserve()]);
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

describe('grant', () => {
  test.each([
    ['nothing', { amount: credits(0n) }],
    ['less than nothing', { amount: credits(-1n) }],
    ['more than anything may have', { amount: credits(9_000_000_000_000_000_001n) }],
    ['an individual lot that expires', { kind: 'individual' as const, expiresAt: atHour(9) }],
    ['a shared lot without an end', { expiresAt: null }],
    ['a courtesy lot without an end', { kind: 'courtesy' as const, expiresAt: null }],
    ['a life of no length', { effectiveAt: atHour(9), expiresAt: atHour(9) }],
  ])('refuses %s', (_, lot) => {
    expect(planBatch(aLedger(), [grant({ lot })]).outcomes).toMatchObject([{ code: 'lot_invalid' }]);
  });

  test('a lot that exists is not granted again under another key', () => {
    const used = aLot({ available: amount('1'), consumed: amount('9') });
    expect(planBatch(aLedger({ lots: [used] }), [grant({ lot: { id: used.id } })]).outcomes).toMatchObject([
      { code: 'lot_invalid' },
    ]);
  });
});

describe('topUp', () => {
  const small = { amount: amount('1'), cap: amount('3') };
  const heldAfter = (...operations: Operation[]) =>
    sumOf(stateAfter(aLedger({ lots: [aLot()] }), operations).reservations[0]?.draws ?? [], (draw) => draw.amount);

  test('brings a reservation up to a total, so that asking twice is asking once', () => {
    expect(heldAfter(reserve(small), topUp({ target: amount('2') }))).toBe(amount('2'));
    expect(heldAfter(reserve(small), topUp({ target: amount('2') }), topUp({ target: amount('2') }))).toBe(amount('2'));
  });

  test('never gives anything back', () => {
    expect(heldAfter(reserve(small), topUp({ target: amount('0.5') }))).toBe(amount('1'));
  });

  test('stops at the not-to-exceed amount until the submitter consents to more', () => {
    expect(heldAfter(reserve(small), topUp({ target: amount('5') }))).toBe(amount('3'));
    const consented = raiseCap({ cap: amount('4') });
    expect(heldAfter(reserve(small), consented, topUp({ target: amount('5') }))).toBe(amount('4'));
  });

  test('adds all that is missing or nothing', () => {
    const state = stateAfter(aLedger({ lots: [aLot({ available: amount('2') })] }), [
      reserve(small),
      topUp({ target: amount('3') }),
    ]);
    expect(state.outcomes[1]).toMatchObject({
      code: 'insufficient_credits',
      details: { required: '2', shortfall: '1' },
    });
    expect(lotOf(state)).toMatchObject({ available: amount('1'), reserved: amount('1') });
  });

  test('a job holds one slice per lot, however often it was topped up', () => {
    const { reservations } = stateAfter(aLedger({ lots: [aLot()] }), [
      reserve(small),
      topUp(),
      topUp({ target: amount('3') }),
    ]);
    expect(reservations[0]?.draws).toEqual([{ lotId: idOf('lot', 1), amount: amount('3') }]);
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

test('two jobs in one batch cannot both have the last credit', () => {
  const { outcomes } = planBatch(aLedger({ lots: [aLot({ available: amount('1') })] }), [
    reserve(),
    reserve({ jobId: OTHER_JOB }),
  ]);
  expect(outcomes).toMatchObject([{ accepted: true }, { code: 'insufficient_credits' }]);
});

describe('random histories', () => {
  test('outcomes, buckets and reservations are those of single credits moved one by one', async () => {
    const tally = newTally();
    await holdsEventually(
      fc.asyncProperty(histories({ min: 30, max: 60 }), async (history) => {
        const model = await runBesideModel(history, new PlannedLedger(), { tally });
        expect(model.strayCredits()).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
    // A history that never gets anywhere would compare equal as well.
    expect(tally.operations).toBeGreaterThan(20_000);
    for (const what of EXPECTED_OFTEN) expect([what, (tally.outcomes.get(what) ?? 0) >= 20]).toEqual([what, true]);
  }, 60_000);

  const EXPECTED_OFTEN = [
    'grant accepted',
    'grant lot_invalid',
    'reserve accepted',
    'reserve insufficient_credits',
    'reserve reservation_closed',
    'reserve cap_exceeded',
    'reserve contract_not_in_force',
    'reserve user_not_authorised',
    'topUp accepted',
    'topUp insufficient_credits',
    'topUp not_found',
    'raiseCap accepted',
    'raiseCap cap_not_raised',
    'settle accepted',
    'settle not_found',
    'release accepted',
    'release reservation_closed',
  ];

  test('a plan is the same for the same state and operations, and leaves what it was given as it was', () => {
    const amounts = fc.array(fc.bigInt({ min: 0n, max: 6n }), { minLength: 1, maxLength: 8 });
    holds(
      fc.property(amounts, (asked) => {
        const operations = asked.map((one, n) => reserve({ jobId: idOf('job', n), amount: credits(one) }));
        const state = aLedger({ lots: [aLot({ available: credits(15n) })] });
        const before = structuredClone(state);
        const plan = planBatch(state, operations);
        expect(state).toEqual(before);
        expect(planBatch(state, operations)).toEqual(plan);
      }),
    );
  });
});

/** The ledger without a database: plans are applied to rows in memory. Every batch is checked against the laws. */
class PlannedLedger implements LedgerUnderTest {
  private state: LedgerState = aLedger();

  open({
    contracts,
    authorisations,
  }: {
    contracts: LedgerState['contracts'];
    authorisations: LedgerState['authorisations'];
  }): void {
    this.state = { lots: [], reservations: [], contracts, authorisations };
  }

  apply(operations: readonly Operation[]): readonly Outcome[] {
    const before = this.state;
    const planned = stateAfter(before, operations);
    this.state = planned;
    this.checkLaws(before, operations, planned.outcomes);
    return planned.outcomes;
  }

  withdrawFrom(lotId: string, hour: number): void {
    this.change(lotId, () => ({ withdrawnAt: atHour(hour) }));
  }

  bookEnd(lotId: string, end: 'expired' | 'withdrawn'): void {
    this.change(lotId, (lot) => ({ endedAs: end, available: ZERO, [end]: credits(lot[end] + lot.available) }));
  }

  lots() {
    return this.state.lots;
  }

  reservations() {
    return this.state.reservations;
  }

  private change(lotId: string, changes: (lot: Lot) => Partial<Lot>): void {
    this.state = {
      ...this.state,
      lots: this.state.lots.map((lot) => (lot.id === lotId ? { ...lot, ...changes(lot) } : lot)),
    };
  }

  private checkLaws(before: LedgerState, operations: readonly Operation[], outcomes: readonly Outcome[]): void {
    for (const lot of this.state.lots) if (!isConserved(lot)) throw new Error(`lot ${lot.id} is not conserved`);
    const open = this.state.reservations.flatMap(({ draws }) => draws);
    const held = sumOf(open, ({ amount: slice }) => slice);
    if (held !== sumOf(this.state.lots, ({ reserved }) => reserved)) throw new Error('reservations and lots disagree');
    this.checkOwners(operations, outcomes);
    if (outcomes.every(({ accepted }) => !accepted)) {
      expect(this.state.lots).toEqual(before.lots);
      expect(this.state.reservations).toEqual(before.reservations);
    }
  }

  /** R2 on what was really moved. */
  private checkOwners(operations: readonly Operation[], outcomes: readonly Outcome[]): void {
    operations.forEach((operation, index) => {
      const outcome = outcomes[index];
      if (!outcome?.accepted || operation.kind === 'grant') return;
      const owner = this.state.reservations.find(({ jobId }) => jobId === operation.jobId);
      for (const { lotId } of outcome.transfers) {
        const lot = lotOf(this.state, lotId);
        const payer = lot.kind === 'individual' ? owner?.userId : owner?.contractId;
        if (lot.poolId !== payer) throw new Error(`lot ${lotId} paid for a job of somebody else`);
      }
    });
  }
}
