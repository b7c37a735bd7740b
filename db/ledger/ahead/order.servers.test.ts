import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { Operation, Outcome } from '../../../domain/operations';
import { idOf } from '../../../test/builders/ids';
import { amount, openBudget, reserve, settle, topUp } from '../../../test/builders/ledger';
import { firstRow } from '../../client';
import {
  acceptAll,
  accepted,
  database,
  describeApart,
  type HeldWire,
  openHeldWire,
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

describeApart('batches that are on their way', () => {
  /** A process whose connection for what goes ahead can be held up, and that is known to go ahead on a place. */
  async function aPlaceFarAway(shared = '100'): Promise<{ place: Place; here: Process; wire: HeldWire }> {
    const wire = await openHeldWire(database.url);
    const [place, here] = [await Place.open(database, shared), openProcess(wire.url)];
    await warmUp(here, place);
    return { place, here, wire };
  }

  /** Sends two operations ahead, each as a batch, of which none has arrived. */
  async function sendBoth(here: Process, wire: HeldWire, operations: readonly [Operation, Operation]) {
    wire.hold();
    const answers: Promise<Outcome>[] = [];
    for (const operation of operations) {
      const { ahead } = here.sent;
      answers.push(here.apply(operation));
      await untilSent(here, ahead + 1);
    }
    await wire.hasHeld(2);
    return answers as [Promise<Outcome>, Promise<Outcome>];
  }

  /** Project jobs, of which the budget allows ten credits in all. */
  const ofProject = (place: Place, n: number, credited: string) =>
    reserve({ ...place.spending(n), project: 'bridge', amount: amount(credited) });

  async function usedOf(place: Place): Promise<unknown> {
    return firstRow(database.db, 'select reserved from budget_periods where budget_id = ?', [
      idOf('budget', 1, place.number),
    ]);
  }

  test('arrive in their order and are accepted, one behind the other', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      const { loaded, refused } = here.sent;
      const answers = await sendBoth(here, wire, [
        reserve(place.spending(1)),
        topUp({ ...place.spending(1), target: amount('3') }),
      ]);
      wire.letGo();
      expect(await Promise.all(answers)).toMatchObject([
        accepted(reserving(place.sharedLot, '1')),
        accepted(reserving(place.sharedLot, '2')),
      ]);
      expect(here.sent).toMatchObject({ loaded, refused, atOnce: 2 });
    } finally {
      await wire.close();
    }
  });

  test('are answered before a process that is closed leaves', async () => {
    const [place, here] = [await Place.open(database, '10'), openProcess()];
    await warmUp(here, place);
    const { ahead } = here.sent;
    const asked = Promise.all(tenths(place, 100).map((operation) => here.apply(operation)));
    await untilSent(here, ahead + 1);
    await here.close();
    expect(await asked).toMatchObject(Array(100).fill(accepted(reserving(place.sharedLot, '0.1'))));
  });

  test('do not wait for a place that somebody else keeps locked', async () => {
    const [blocked, free, here] = [await Place.open(database, '9'), await Place.open(database, '9'), openProcess()];
    await warmUp(here, blocked);
    await warmUp(here, free);
    const holder = await database.owner.transaction();
    await holder.raw('select id from pools where id = ? for update', [blocked.contract]);
    const { ahead } = here.sent;
    const waiting = here.apply(reserve(blocked.spending(1)));
    await untilSent(here, ahead + 1);
    try {
      const answered = [1, 2].map((n) => here.apply(reserve(free.spending(n))));
      const tooLate = delay(5_000, ['nothing, as long as the other place is locked'], { ref: false });
      expect(await Promise.race([Promise.all(answered), tooLate])).toMatchObject([
        accepted(reserving(free.sharedLot, '1')),
        accepted(reserving(free.sharedLot, '1')),
      ]);
    } finally {
      await holder.rollback();
    }
    expect(await waiting).toMatchObject(accepted(reserving(blocked.sharedLot, '1')));
  });

  test('are decided in their order when somebody else was first', async () => {
    for (let round = 0; round < 10; round++) {
      const { place, here, wire } = await aPlaceFarAway();
      try {
        const answers = await sendBoth(here, wire, [
          reserve(place.spending(1)),
          topUp({ ...place.spending(1), target: amount('3') }),
        ]);
        await acceptAll(openProcess(), [reserve(place.spending(2))]);
        wire.letGo();
        expect(await Promise.all(answers)).toMatchObject([
          accepted(reserving(place.sharedLot, '1')),
          accepted(reserving(place.sharedLot, '2')),
        ]);
      } finally {
        await wire.close();
      }
    }
  });

  test('are decided in their order when one of the first fails, and the others of its batch have to be tried anew', async () => {
    const { place, here, wire } = await aPlaceFarAway('10');
    try {
      wire.hold();
      const { ahead } = here.sent;
      const first = Array.from({ length: 40 }, (_, n) =>
        reserve({ ...place.spending(n), amount: amount('0.1'), reason: n === 10 ? 'a NUL: \0' : 'none' }),
      ).map((operation) => here.apply(operation).catch((error: unknown) => error));
      await untilSent(here, ahead + 1);
      const later = here.apply(topUp({ ...place.spending(39), target: amount('0.3') }));
      await untilSent(here, ahead + 2);
      await wire.hasHeld(2);
      wire.letGo();
      expect((await Promise.all(first)).filter((answer) => answer instanceof Error)).toHaveLength(1);
      expect(await later).toMatchObject(accepted(reserving(place.sharedLot, '0.2')));
    } finally {
      await wire.close();
    }
  });

  test('are decided in the order in which they were asked while another process comes in between, again and again', async () => {
    const [place, here, there] = [await Place.open(database, '1000'), openProcess(), openProcess()];
    for (let round = 1; round <= 60; round++) {
      await warmUp(here, place, [place.user]);
      const elsewhere = there.apply(reserve(place.spending(1000 + round, place.otherUser)));
      const { ahead } = here.sent;
      const asked = [here.apply(reserve(place.spending(round)))];
      await untilSent(here, ahead + 1);
      asked.push(here.apply(topUp({ ...place.spending(round), target: amount('2') })));
      await turn();
      asked.push(here.apply(settle({ ...place.spending(round), actual: amount('2') })));
      const outcomes = await Promise.all([elsewhere, ...asked]);
      expect({ round, outcomes }).toMatchObject({ round, outcomes: outcomes.map(() => ({ accepted: true })) });
    }
    // Now and then it was the other who was first.
    expect(here.sent.refused).toBeGreaterThan(0);
  });

  test('do not follow another batch of another process, that came in place of the first', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      await acceptAll(here, [openBudget({ budget: projectBudget(place, '10') }), ofProject(place, 1, '1')]);
      await warmUp(here, place);
      const answers = await sendBoth(here, wire, [ofProject(place, 2, '1'), ofProject(place, 3, '2')]);
      await acceptAll(openProcess(), [ofProject(place, 4, '7')]);
      wire.letGo();
      expect(await Promise.all(answers)).toMatchObject([
        { accepted: true, replayed: false },
        refusedWith('budget_exceeded', { used: '9', required: '2', limit: '10' }),
      ]);
      expect(await usedOf(place)).toEqual({ reserved: amount('9') });
    } finally {
      await wire.close();
    }
  });

  test('do not follow the same batch of another process, before which something else was done', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      await acceptAll(here, [openBudget({ budget: projectBudget(place, '10') }), ofProject(place, 1, '1')]);
      await warmUp(here, place);
      const repeated = ofProject(place, 2, '1');
      const answers = await sendBoth(here, wire, [repeated, ofProject(place, 3, '2')]);
      const there = openProcess();
      await acceptAll(there, [ofProject(place, 4, '7'), repeated]);
      wire.letGo();
      expect(await Promise.all(answers)).toMatchObject([
        { accepted: true, replayed: true },
        refusedWith('budget_exceeded', { used: '9', required: '2', limit: '10' }),
      ]);
      expect(await usedOf(place)).toEqual({ reserved: amount('9') });
    } finally {
      await wire.close();
    }
  });

  test('do not follow what the same process did the long way in the meantime, after something else', async () => {
    const { place, here, wire } = await aPlaceFarAway();
    try {
      await acceptAll(here, [openBudget({ budget: projectBudget(place, '10') }), ofProject(place, 1, '1')]);
      await warmUp(here, place);
      const [first, second] = await sendBoth(here, wire, [ofProject(place, 2, '1'), ofProject(place, 3, '2')]);
      await acceptAll(openProcess(), [ofProject(place, 4, '7')]);
      wire.letOne();
      expect(await first).toMatchObject({ accepted: true, replayed: false });
      wire.letGo();
      expect(await second).toMatchObject(refusedWith('budget_exceeded', { used: '9', required: '2', limit: '10' }));
      expect(await usedOf(place)).toEqual({ reserved: amount('9') });
    } finally {
      await wire.close();
    }
  });

  test.each(['here', 'there'] as const)(
    'reserve no job a second time, whatever the act is called: it was reserved %s',
    async (by) => {
      const [place, here, there] = [await Place.open(database, '10'), openProcess(), openProcess()];
      await warmUp(here, place);
      await acceptAll(by === 'here' ? here : there, [reserve(place.spending(1))]);
      // Others work on the place since then, and it is known again.
      await acceptAll(there, [reserve(place.spending(2))]);
      await warmUp(here, place);
      expect(await here.apply(reserve({ ...place.spending(1), act: 'reserve/again' }))).toMatchObject(
        refusedWith('reservation_closed'),
      );
    },
  );
});
