import type { Credits } from '../../../domain/credits';
import type { Operation } from '../../../domain/operations';
import { atHour, idOf } from '../../../test/builders/ids';
import { amount, openBudget, raiseCap, release, reserve, settle, topUp } from '../../../test/builders/ledger';
import { operationsOfJob } from '../../ledger';
import {
  acceptAll,
  accepted,
  database,
  describeApart,
  openProcess,
  type Process,
  projectBudget,
  refusedWith,
  reserving,
  tenths,
  untilSent,
  warmUp,
} from '../../testing/ahead';
import { Place } from '../../testing/place';

jest.setTimeout(60_000);

describeApart('a key', () => {
  /** An operation of every kind that goes ahead, on a job that was reserved before. */
  const OPERATIONS: Readonly<Record<string, (place: Place) => Operation>> = {
    reserve: (place) => reserve({ ...place.spending(2), amount: amount('2') }),
    topUp: (place) => topUp({ ...place.spending(1), target: amount('3') }),
    raiseCap: (place) => raiseCap({ ...place.spending(1), cap: amount('200') }),
    settle: (place) => settle({ ...place.spending(1), actual: amount('3') }),
    release: (place) => release(place.spending(1)),
  };

  async function aPlaceWithAJob(shared = '10'): Promise<{ place: Place; here: Process }> {
    const [place, here] = [await Place.open(database, shared), openProcess()];
    await acceptAll(here, [reserve({ ...place.spending(1), amount: amount('2') })]);
    await warmUp(here, place);
    return { place, here };
  }

  test.each(Object.entries(OPERATIONS))(
    'of a %s that is asked again at once, while it is in flight, afterwards and elsewhere is applied once',
    async (_, operationFor) => {
      const { place, here } = await aPlaceWithAJob();
      const [there, count] = [openProcess(), await place.operations()];
      const operation = operationFor(place);
      const { ahead } = here.sent;
      const asked = [here.apply(operation), here.apply(operation)];
      await untilSent(here, ahead + 1);
      asked.push(here.apply(operation), there.apply(operation), here.apply({ ...operation, at: atHour(3) }));
      const outcomes = await Promise.all(asked);
      outcomes.push(await here.apply(operation), await there.apply(operation), await here.apply(operation));
      const first = outcomes.filter((outcome) => outcome.accepted && !outcome.replayed);
      expect(first).toHaveLength(1);
      for (const outcome of outcomes) {
        expect(outcome).toEqual({ ...first[0], replayed: outcome.accepted && outcome.replayed, warnings: [] });
      }
      expect(await place.operations()).toBe(count + 1);
    },
  );

  test.each(Object.entries(OPERATIONS))(
    'of a %s is answered with what was done then, when the pool is too empty to do it again',
    async (_, operationFor) => {
      for (const by of ['here', 'there'] as const) {
        const { place, here } = await aPlaceWithAJob();
        const operation = operationFor(place);
        const first = await here.apply(operation);
        expect(first).toMatchObject({ accepted: true });
        const { available } = await place.lot();
        const rest = reserve({ ...place.spending(3, place.otherUser), amount: available });
        await acceptAll(by === 'here' ? here : openProcess(), [rest]);
        await warmUp(here, place);
        const count = await place.operations();
        for (const one of [here, openProcess()]) {
          expect(await one.apply(operation)).toEqual({ ...first, replayed: true, warnings: [] });
        }
        expect(await place.operations()).toBe(count);
      }
    },
  );

  test.each(Object.entries(OPERATIONS))(
    'of a %s is not for another request: not at once, not while the first is in flight, not later, not elsewhere',
    async (_, operationFor) => {
      const { place, here } = await aPlaceWithAJob();
      const [there, count] = [openProcess(), await place.operations()];
      const operation = operationFor(place);
      const other = { ...operation, reason: 'something else' } as Operation;
      const { ahead } = here.sent;
      const [first, ...others] = [here.apply(operation), here.apply(other)];
      await untilSent(here, ahead + 1);
      others.push(here.apply(other));
      expect(await first).toMatchObject({ accepted: true, replayed: false });
      others.push(here.apply(other), there.apply(other));
      await warmUp(here, place);
      others.push(here.apply(other));
      for (const outcome of await Promise.all(others))
        expect(outcome).toMatchObject(refusedWith('idempotency_key_reused'));
      expect(await place.operations()).toBeGreaterThan(count);
      expect(await here.apply(operation)).toEqual({ ...(await first), replayed: true, warnings: [] });
    },
  );

  test('that another spender used for the same job is refused, whoever of them goes ahead', async () => {
    const { place, here } = await aPlaceWithAJob();
    const stranger = { ...place.spending(1, place.otherUser) };
    for (const one of [here, openProcess()]) {
      expect(await one.apply(reserve(stranger))).toMatchObject(refusedWith('idempotency_key_reused'));
      expect(await one.apply(topUp(stranger))).toMatchObject(refusedWith('not_found'));
      expect(await one.apply(settle(stranger))).toMatchObject(refusedWith('not_found'));
    }
  });

  test('of a refusal is free: the same, or something else, is accepted under it later', async () => {
    const { place, here } = await aPlaceWithAJob('3');
    const [there, count] = [openProcess(), await place.operations()];
    const tooMuch = [4, 5, 6].map((n) => reserve({ ...place.spending(n), amount: amount('2') }));
    for (const operation of tooMuch) {
      expect(await here.apply(operation)).toMatchObject(refusedWith('insufficient_credits', { available: '1' }));
      expect(await here.apply(operation)).toMatchObject(refusedWith('insufficient_credits', { available: '1' }));
    }
    await warmUp(here, place);
    const [same, less, elsewhere] = tooMuch as [Operation, Operation, Operation];
    expect(await here.apply({ ...less, amount: amount('0.5') } as Operation)).toMatchObject(
      accepted(reserving(place.sharedLot, '0.5')),
    );
    await acceptAll(here, [place.grant(amount('5'), place.lotId(2))]);
    await warmUp(here, place);
    expect(await here.apply(same)).toMatchObject({ accepted: true, replayed: false });
    expect(await there.apply(elsewhere)).toMatchObject({ accepted: true, replayed: false });
    expect(await here.apply(elsewhere)).toMatchObject({ accepted: true, replayed: true });
    // Two that warmed up twice, a grant, and one for each key.
    expect(await place.operations()).toBeGreaterThanOrEqual(count + 4);
  });
});

describeApart('among many that go ahead', () => {
  const REFUSED: Readonly<Record<string, (place: Place) => readonly [Operation, object]>> = {
    'lacks credits': (place) => [
      reserve({ ...place.spending(1), amount: amount('99') }),
      // Those before it have theirs already, those after it not yet.
      refusedWith('insufficient_credits', { required: '99', available: '19', shortfall: '80' }),
    ],
    'is above its not-to-exceed amount': (place) => [
      reserve({ ...place.spending(1), amount: amount('2'), cap: amount('1') }),
      refusedWith('cap_exceeded', { required: '2', maxCredits: '1' }),
    ],
    'is above a budget': (place) => [
      reserve({ ...place.spending(1), amount: amount('2'), project: 'bridge' }),
      refusedWith('budget_exceeded', { used: '0', required: '2', limit: '1.5' }),
    ],
    'comes after the contract’s end': (place) => [
      reserve({ ...place.spending(1), at: atHour(8760) }),
      refusedWith('contract_not_in_force'),
    ],
    'is about a job that is closed': (place) => [
      topUp(place.spending(3)),
      refusedWith('reservation_closed', { state: 'released' }),
    ],
    'is about a job that was never reserved': (place) => [settle(place.spending(4)), refusedWith('reservation_closed')],
    'raises nothing': (place) => [
      raiseCap({ ...place.spending(2), cap: amount('5') }),
      refusedWith('cap_not_raised', { maxCredits: '100' }),
    ],
    'uses a key again': (place) => [
      release({ ...place.spending(3), reason: 'another' }),
      refusedWith('idempotency_key_reused'),
    ],
  };

  test.each(Object.entries(REFUSED))(
    'one that %s is refused alone, and nothing of it is remembered',
    async (_, refusal) => {
      const [place, here] = [await Place.open(database, '25'), openProcess()];
      await acceptAll(here, [
        openBudget({ budget: projectBudget(place, '1.5') }),
        reserve(place.spending(2)),
        reserve(place.spending(3)),
        release(place.spending(3)),
      ]);
      await warmUp(here, place);
      const count = await place.operations();
      const others = tenths(place, 100);
      const [one, answer] = refusal(place);
      const asked = [...others.slice(0, 50), one, ...others.slice(50)];
      const outcomes = await Promise.all(asked.map((operation) => here.apply(operation)));
      expect(outcomes[50]).toMatchObject(answer);
      outcomes.splice(50, 1);
      expect(outcomes).toMatchObject(others.map(() => accepted(reserving(place.sharedLot, '0.1'))));
      expect(await place.operations()).toBe(count + 100);
      expect(await operationsOfJob(database.db, place.job(1))).toEqual([]);
      await warmUp(here, place);
    },
  );

  const POISONED: Readonly<Record<string, (place: Place) => Operation>> = {
    'half of a surrogate pair': (place) => reserve({ ...place.spending(1), reason: 'a\ud83db' }),
    'a NUL': (place) => reserve({ ...place.spending(1), reason: 'a\0b' }),
    'a job that is no uuid': (place) => reserve({ ...place.spending(1), jobId: 'job' }),
    'a job whose uuid is in capitals': (place) =>
      reserve({ ...place.spending(1), jobId: '0000000A-0000-7000-8000-000000000000' }),
    'an amount below zero': (place) => reserve({ ...place.spending(1), amount: -1n as Credits }),
    'a not-to-exceed amount beyond 64 bits': (place) => reserve({ ...place.spending(1), cap: (2n ** 64n) as Credits }),
    'an instant that is none': (place) => reserve({ ...place.spending(1), at: 'soon' as never }),
    'a user who does not exist': (place) => reserve({ ...place.spending(1), userId: idOf('user', 99, place.number) }),
  };

  test.each(Object.entries(POISONED))(
    'one with %s fails alone, and the others are applied in their order',
    async (_, poisoned) => {
      const [place, here] = [await Place.open(database, '15'), openProcess()];
      await warmUp(here, place);
      const count = await place.operations();
      const others = tenths(place, 200);
      const asked = [...others.slice(0, 120), poisoned(place), ...others.slice(120)];
      const answers = await Promise.allSettled(asked.map((operation) => here.apply(operation)));
      expect(answers[120]).toMatchObject({ status: 'rejected' });
      const outcomes = [...answers.slice(0, 120), ...answers.slice(121)];
      // The first of them get the credits, as they asked.
      const first = outcomes.slice(0, 150);
      expect(first).toMatchObject(first.map(() => ({ value: accepted(reserving(place.sharedLot, '0.1')) })));
      const last = outcomes.slice(150);
      expect(last).toMatchObject(last.map(() => ({ value: refusedWith('insufficient_credits', { available: '0' }) })));
      expect(await place.operations()).toBe(count + 150);
      await warmUp(here, place);
    },
  );
});
