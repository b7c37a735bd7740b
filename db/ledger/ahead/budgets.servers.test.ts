import type { Budget } from '../../../domain/budget';
import { atHour, idOf } from '../../../test/builders/ids';
import { aBudget, amount, openBudget, reserve, settle, topUp } from '../../../test/builders/ledger';
import { rows } from '../../client';
import {
  acceptAll,
  database,
  describeApart,
  nextJob,
  openProcess,
  type Process,
  refusedWith,
  untilAhead,
  warmUp,
} from '../../testing/ahead';
import { Place } from '../../testing/place';

jest.setTimeout(60_000);

describeApart('a budget', () => {
  /** The first instant of February, in which the place's monthly budgets begin anew. */
  const FEBRUARY = atHour(744);
  const monthly = (place: Place, credited: string): Budget =>
    aBudget({
      id: idOf('budget', 1, place.number),
      contractId: place.contract,
      userId: place.user,
      amount: amount(credited),
    });
  const usedIn = (place: Place) =>
    rows<{ hour: number; reserved: bigint; charged: bigint }>(
      database.db,
      `select extract(epoch from starts_at - ?::timestamptz)::int / 3600 as hour, reserved, charged
       from budget_periods
       where budget_id = ? and reserved + charged > 0
       order by starts_at`,
      [atHour(0), idOf('budget', 1, place.number)],
    );

  async function aPlaceWithABudget(credited = '10'): Promise<{ place: Place; here: Process }> {
    const [place, here] = [await Place.open(database, '100'), openProcess()];
    await acceptAll(here, [openBudget({ budget: monthly(place, credited) }), reserve(place.spending(1))]);
    await warmUp(here, place);
    return { place, here };
  }

  test('begins anew in the first instant of a period, and counts there from then on', async () => {
    const { place, here } = await aPlaceWithABudget();
    await acceptAll(here, [reserve({ ...place.spending(2), amount: amount('8') })]);
    expect(await here.apply(reserve({ ...place.spending(3), amount: amount('2') }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '2' }),
    );
    await acceptAll(here, [reserve({ ...place.spending(4), amount: amount('9'), at: FEBRUARY })]);
    await warmUp(here, place);
    const more = { ...place.spending(5), amount: amount('2'), at: FEBRUARY };
    expect(await here.apply(reserve(more))).toMatchObject(refusedWith('budget_exceeded', { used: '9', required: '2' }));
    await acceptAll(here, [reserve({ ...more, amount: amount('1') })]);
    expect(await usedIn(place)).toEqual([
      { hour: 0, reserved: amount('9'), charged: 0n },
      { hour: 744, reserved: amount('10'), charged: 0n },
    ]);
  });

  test('is not used anew in a period that another process has begun', async () => {
    const { place, here } = await aPlaceWithABudget();
    await acceptAll(openProcess(), [reserve({ ...place.spending(2), amount: amount('9'), at: FEBRUARY })]);
    // Known again, but for the period: nothing was asked in it.
    await warmUp(here, place);
    expect(await here.apply(reserve({ ...place.spending(3), amount: amount('2'), at: FEBRUARY }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '2' }),
    );
  });

  test('is not used anew in an earlier period, whose jobs nobody asks about any more', async () => {
    const [place, before] = [await Place.open(database, '100'), openProcess()];
    await acceptAll(before, [
      openBudget({ budget: monthly(place, '10') }),
      reserve({ ...place.spending(1), amount: amount('9') }),
    ]);
    const here = openProcess();
    await untilAhead(here, () => reserve({ ...place.spending(nextJob()), amount: amount('0.1'), at: FEBRUARY }));
    expect(await here.apply(reserve({ ...place.spending(2), amount: amount('2') }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '2' }),
    );
    expect(await here.apply(topUp({ ...place.spending(1), target: amount('12'), at: FEBRUARY }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '9', required: '3' }),
    );
  });

  test('counts a job in the period in which it was reserved, also when it is settled in the next one', async () => {
    const { place, here } = await aPlaceWithABudget();
    await acceptAll(here, [reserve({ ...place.spending(2), amount: amount('6'), at: atHour(743) })]);
    await untilAhead(here, () => reserve({ ...place.spending(nextJob()), amount: amount('0.5'), at: FEBRUARY }));
    const { loaded } = here.sent;
    // Two more of January are left for it, whatever February has left.
    expect(await here.apply(settle({ ...place.spending(2), actual: amount('11'), at: FEBRUARY }))).toMatchObject({
      accepted: true,
      absorbed: amount('2'),
    });
    expect(here.sent.loaded).toBe(loaded);
    const [january] = await usedIn(place);
    expect(january).toEqual({ hour: 0, reserved: amount('1'), charged: amount('9') });
    expect(await here.apply(reserve({ ...place.spending(3), amount: amount('0.5') }))).toMatchObject(
      refusedWith('budget_exceeded', { used: '10' }),
    );
  });

  test('warns whoever brings it to its threshold, once and at exactly that', async () => {
    const { place, here } = await aPlaceWithABudget();
    const warning = { budgetId: idOf('budget', 1, place.number), used: amount('8'), amount: amount('10') };
    const ask = async (one: Process, n: number, credited: string, at = atHour(1)) => {
      const outcome = await one.apply(reserve({ ...place.spending(n), amount: amount(credited), at }));
      if (!outcome.accepted) throw new Error(outcome.message);
      return outcome.warnings;
    };
    expect(await ask(here, 2, '6.999999')).toEqual([]);
    expect(await ask(here, 3, '0.000001')).toEqual([warning]);
    expect(await ask(here, 4, '1')).toEqual([]);
    // In the next period another process comes almost there.
    expect(await ask(openProcess(), 5, '7.5', FEBRUARY)).toEqual([]);
    expect(await ask(here, 6, '0.5', FEBRUARY)).toEqual([warning]);
    expect(await ask(here, 7, '0.5', FEBRUARY)).toEqual([]);
  });

  test('warns one of many who ask at once, the one who brings it there', async () => {
    const { place, here } = await aPlaceWithABudget();
    const { ahead } = here.sent;
    const outcomes = await Promise.all(
      Array.from({ length: 80 }, (_, n) => here.apply(reserve({ ...place.spending(100 + n), amount: amount('0.1') }))),
    );
    expect(here.sent.ahead).toBeGreaterThan(ahead);
    const warned = outcomes.flatMap((outcome, n) => (outcome.accepted && outcome.warnings.length > 0 ? [n] : []));
    expect(warned).toEqual([69]);
  });
});
