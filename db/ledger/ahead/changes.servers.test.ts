import type { Operation } from '../../../domain/operations';
import { atHour, idOf } from '../../../test/builders/ids';
import {
  amount,
  changeLife,
  closeBudget,
  expire,
  grant,
  openBudget,
  raiseCap,
  refund,
  release,
  reserve,
  settle,
  topUp,
  withdraw,
} from '../../../test/builders/ledger';
import { eventually } from '../../../test/world/eventually';
import { firstRow } from '../../client';
import {
  acceptAll,
  accepted,
  database,
  describeApart,
  moved,
  openProcess,
  type Process,
  projectBudget,
  refusedWith,
  reserving,
  untilAhead,
  untilSent,
  warmUp,
} from '../../testing/ahead';
import { Place } from '../../testing/place';

jest.setTimeout(60_000);

describeApart('the very next operation respects', () => {
  interface Change {
    readonly shared?: string;
    /** What the process itself does first, so that it knows it. */
    readonly before?: (place: Place) => readonly Operation[];
    /** What somebody else does. */
    readonly change: (place: Place) => readonly Operation[];
    readonly next: (place: Place) => Operation;
    readonly answer: (place: Place) => object;
  }

  const CHANGES: Readonly<Record<string, Change>> = {
    'credits that are spent': {
      change: (place) => [reserve({ ...place.spending(2, place.otherUser), amount: amount('9.5') })],
      next: (place) => reserve(place.spending(1)),
      answer: () => refusedWith('insufficient_credits', { required: '1', available: '0.5', shortfall: '0.5' }),
    },
    'credits that are given back': {
      before: (place) => [reserve({ ...place.spending(2), amount: amount('10') })],
      change: (place) => [settle({ ...place.spending(2), actual: amount('4') })],
      next: (place) => reserve({ ...place.spending(1), amount: amount('6') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '6')),
    },
    'a new lot where nothing was left': {
      before: (place) => [reserve({ ...place.spending(2), amount: amount('10') })],
      change: (place) => [place.grant(amount('5'), place.lotId(2))],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '5')),
    },
    'a new lot that pays earlier since it expires earlier': {
      change: (place) => [
        grant({
          lot: { id: place.lotId(2), poolId: place.contract, amount: amount('3'), expiresAt: atHour(4000) },
        }),
      ],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '3'), reserving(place.sharedLot, '2')),
    },
    'a new lot that is the user’s own': {
      change: (place) => [place.grantIndividual(amount('3'), place.lotId(2))],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '3'), reserving(place.sharedLot, '2')),
    },
    'what the user spent of their own without the contract': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2))],
      change: (place) => [reserve({ ...place.spending(2), contractId: null, amount: amount('3') })],
      next: (place) => reserve({ ...place.spending(1), amount: amount('2') }),
      answer: (place) => accepted(reserving(place.lotId(2), '1'), reserving(place.sharedLot, '1')),
    },
    'what the user spent of their own on the contract, where the contract is to pay nothing': {
      before: (place) => [
        place.grantIndividual(amount('4'), place.lotId(2)),
        reserve({ ...place.spending(3), contractId: null }),
      ],
      change: (place) => [reserve({ ...place.spending(2), amount: amount('2') })],
      next: (place) => topUp({ ...place.spending(3), contractId: null, target: amount('3') }),
      answer: () => refusedWith('insufficient_credits', { required: '2', available: '1' }),
    },
    'a new lot that is another user’s own': {
      change: (place) => [place.grantIndividual(amount('3'), place.lotId(2), place.otherUser)],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '5')),
    },
    'the end of a lot that is booked': {
      change: ({ sharedLot: lotId, contract: poolId }) => [expire({ lotId, poolId, at: atHour(8760) })],
      next: (place) => reserve(place.spending(1)),
      answer: () => refusedWith('insufficient_credits', { available: '0' }),
    },
    'a withdrawal': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2))],
      change: (place) => withdrawalOf(place, place.lotId(2)),
      next: (place) => reserve(place.spending(1)),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'a notice, from its instant on': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2))],
      change: (place) => withdrawalOf(place, place.lotId(2)).slice(0, 1),
      next: (place) => reserve({ ...place.spending(1), at: atHour(10) }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'a life that is cut short': {
      change: (place) => [livesTo(place, place.sharedLot, 5)],
      next: (place) => reserve({ ...place.spending(1), at: atHour(5) }),
      answer: () => refusedWith('insufficient_credits', { available: '0' }),
    },
    'a life that is extended': {
      before: (place) => [livesTo(place, place.sharedLot, 5)],
      change: (place) => [livesTo(place, place.sharedLot, 20)],
      next: (place) => reserve({ ...place.spending(1), at: atHour(19) }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'a grace, in which what a job gives back waits': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('3') })],
      change: ({ contract: poolId, sharedLot: lotId }) => [
        changeLife({ lotId, poolId, life: { expiresAt: atHour(5), graceUntil: atHour(9) } }),
      ],
      next: (place) => release({ ...place.spending(1), at: atHour(8) }),
      answer: ({ sharedLot }) => accepted(moved(sharedLot, 'reserved', 'available', '3')),
    },
    'another order in which lots pay': {
      before: (place) => [place.grant(amount('4'), place.lotId(2)), reserve(place.spending(2))],
      change: (place) => [livesTo(place, place.lotId(2), 100)],
      next: (place) => reserve({ ...place.spending(1), amount: amount('5') }),
      answer: (place) => accepted(reserving(place.lotId(2), '4'), reserving(place.sharedLot, '1')),
    },
    'another order in which a settlement captures': {
      before: (place) => [
        place.grant(amount('4'), place.lotId(2)),
        reserve({ ...place.spending(1), amount: amount('12') }),
      ],
      change: (place) => [livesTo(place, place.lotId(2), 100)],
      next: (place) => settle({ ...place.spending(1), actual: amount('3') }),
      answer: (place) =>
        accepted(
          moved(place.lotId(2), 'reserved', 'consumed', '2'),
          moved(place.sharedLot, 'reserved', 'consumed', '1'),
          moved(place.sharedLot, 'reserved', 'available', '9'),
        ),
    },
    'an advance that a new lot repaid': {
      shared: '2',
      before: (place) => [
        reserve({ ...place.spending(2), amount: amount('2') }),
        grant({
          lot: {
            id: place.lotId(2),
            poolId: place.contract,
            kind: 'courtesy',
            source: 'courtesy',
            amount: amount('5'),
            advance: true,
          },
        }),
        reserve({ ...place.spending(3), amount: amount('5') }),
        settle({ ...place.spending(3), actual: amount('5') }),
      ],
      change: (place) => [place.grant(amount('8'), place.lotId(3))],
      next: (place) => reserve({ ...place.spending(1), amount: amount('4') }),
      answer: () => refusedWith('insufficient_credits', { available: '3', shortfall: '1' }),
    },
    'a budget that is opened': {
      change: (place) => [openBudget({ budget: projectBudget(place, '2') })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('3') }),
      answer: () => refusedWith('budget_exceeded', { used: '0', required: '3', limit: '2' }),
    },
    'a budget that is opened and finds something used': {
      before: (place) => [reserve({ ...place.spending(2), project: 'bridge', amount: amount('3') })],
      change: (place) => [openBudget({ budget: projectBudget(place, '5') })],
      next: (place) => topUp({ ...place.spending(2), target: amount('6') }),
      answer: () => refusedWith('budget_exceeded', { used: '3', required: '3', limit: '5' }),
    },
    'a budget that is closed': {
      before: (place) => [openBudget({ budget: projectBudget(place, '2') })],
      change: ({ contract: contractId, number }) => [closeBudget({ budgetId: idOf('budget', 1, number), contractId })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('3') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '3')),
    },
    'a budget that is replaced': {
      before: (place) => [openBudget({ budget: projectBudget(place, '2') })],
      change: (place) => [
        closeBudget({ budgetId: idOf('budget', 1, place.number), contractId: place.contract }),
        openBudget({ budget: projectBudget(place, '4', 2) }),
      ],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('5') }),
      answer: ({ number }) => refusedWith('budget_exceeded', { budgetId: idOf('budget', 2, number), limit: '4' }),
    },
    'a budget that others use up': {
      before: (place) => [
        openBudget({ budget: projectBudget(place, '5') }),
        reserve({ ...place.spending(3), project: 'bridge' }),
      ],
      change: (place) => [reserve({ ...place.spending(2, place.otherUser), project: 'bridge', amount: amount('3') })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('2') }),
      answer: () => refusedWith('budget_exceeded', { used: '4', required: '2', limit: '5' }),
    },
    'a budget that a refund gives back to': {
      before: (place) => [
        openBudget({ budget: projectBudget(place, '5') }),
        reserve({ ...place.spending(2), project: 'bridge', amount: amount('5') }),
        settle({ ...place.spending(2), actual: amount('5') }),
      ],
      change: (place) => [refund({ ...place.spending(2), amount: amount('3') })],
      next: (place) => reserve({ ...place.spending(1), project: 'bridge', amount: amount('3') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '3')),
    },
    'credits that a refund gives back': {
      before: (place) => [
        reserve({ ...place.spending(2), amount: amount('10') }),
        settle({ ...place.spending(2), actual: amount('10') }),
      ],
      change: (place) => [refund({ ...place.spending(2), amount: amount('4') })],
      next: (place) => reserve({ ...place.spending(1), amount: amount('4') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '4')),
    },
    'that a job was closed': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [settle(place.spending(1))],
      next: (place) => topUp({ ...place.spending(1), target: amount('3') }),
      answer: () => refusedWith('reservation_closed', { state: 'settled' }),
    },
    'that a job was closed in another way': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [settle(place.spending(1))],
      next: (place) => release(place.spending(1)),
      answer: () => refusedWith('idempotency_key_reused'),
    },
    'that a job was released before it was reserved': {
      change: (place) => [release(place.spending(1))],
      next: (place) => reserve(place.spending(1)),
      answer: () => refusedWith('reservation_closed', { state: 'released' }),
    },
    'that a job was reserved': {
      change: (place) => [reserve({ ...place.spending(1), amount: amount('2') })],
      next: (place) => topUp({ ...place.spending(1), target: amount('3') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'what a job was topped up by when it is topped up': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [topUp({ ...place.spending(1), target: amount('4') })],
      next: (place) => topUp({ ...place.spending(1), target: amount('5') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '1')),
    },
    'what a job was topped up by when it is settled': {
      before: (place) => [reserve(place.spending(1))],
      change: (place) => [topUp({ ...place.spending(1), target: amount('4') })],
      next: (place) => settle({ ...place.spending(1), actual: amount('3') }),
      answer: ({ sharedLot }) =>
        accepted(moved(sharedLot, 'reserved', 'consumed', '3'), moved(sharedLot, 'reserved', 'available', '1')),
    },
    'a raised not-to-exceed amount': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('2'), cap: amount('2') })],
      change: (place) => [raiseCap({ ...place.spending(1), cap: amount('6') })],
      next: (place) => topUp({ ...place.spending(1), target: amount('9') }),
      answer: ({ sharedLot }) => accepted(reserving(sharedLot, '4')),
    },
    'that credits reserved before a lot’s end stay the job’s, and go to that end when they are released': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('3') })],
      change: ({ sharedLot: lotId, contract: poolId }) => [expire({ lotId, poolId, at: atHour(8760) })],
      next: (place) => settle({ ...place.spending(1), actual: amount('1'), at: atHour(2) }),
      answer: ({ sharedLot }) =>
        accepted(moved(sharedLot, 'reserved', 'consumed', '1'), moved(sharedLot, 'reserved', 'expired', '2')),
    },
    'that credits reserved before a withdrawal go there when they are given back': {
      before: (place) => [place.grantIndividual(amount('4'), place.lotId(2)), reserve(place.spending(1))],
      change: (place) => withdrawalOf(place, place.lotId(2)),
      next: (place) => release({ ...place.spending(1), at: atHour(2) }),
      answer: (place) => accepted(moved(place.lotId(2), 'reserved', 'withdrawn', '1')),
    },
    'that what is lacking can no longer be drawn from a lot that has ended': {
      before: (place) => [reserve({ ...place.spending(1), amount: amount('3') })],
      change: ({ sharedLot: lotId, contract: poolId }) => [expire({ lotId, poolId, at: atHour(8760) })],
      next: (place) => settle({ ...place.spending(1), actual: amount('5'), at: atHour(2) }),
      answer: ({ sharedLot }) => ({
        ...accepted(moved(sharedLot, 'reserved', 'consumed', '3')),
        absorbed: amount('2'),
      }),
    },
  };

  const withdrawalOf = (place: Place, lotId: string): Operation[] => [
    changeLife({ lotId, poolId: place.user, life: { expiresAt: null, withdrawnAt: atHour(10) } }),
    withdraw({ lotId, poolId: place.user, at: atHour(10) }),
  ];
  const livesTo = ({ contract: poolId }: Place, lotId: string, hour: number): Operation =>
    changeLife({ lotId, poolId, life: { expiresAt: atHour(hour) } });

  /** Who can change something beside what a process asks one by one, and the process itself. */
  const CHANGED_BY: Readonly<Record<string, (here: Process, operations: readonly Operation[]) => Promise<unknown>>> = {
    'another process': (_, operations) => acceptAll(openProcess(), operations),
    'the same process, as one batch': async (here, operations) => {
      const outcomes = await here.ledger.applyBatch(operations);
      expect(outcomes).toMatchObject(operations.map(() => ({ accepted: true })));
    },
    'the same process, one by one': (here, operations) => acceptAll(here, operations),
  };

  test.each(Object.entries(CHANGES))(
    '%s, whoever changed it',
    async (_, { shared = '10', before, change, next, answer }) => {
      for (const [who, changed] of Object.entries(CHANGED_BY)) {
        const [place, here] = [await Place.open(database, shared), openProcess()];
        await acceptAll(here, before?.(place) ?? []);
        await warmUp(here, place);
        await changed(here, change(place));
        expect({ who, outcome: await here.apply(next(place)) }).toMatchObject({ who, outcome: answer(place) });
        // Whatever came in between, it is known again soon, as it is now.
        await warmUp(here, place, [place.user]);
        await here.apply(reserve({ ...place.spending(30), amount: amount('0.5'), project: 'bridge' }));
      }
    },
  );
});

describeApart('the very next operation respects what an administrator changes:', () => {
  interface Administered {
    /** What is so before the process comes to know it. */
    readonly before?: (place: Place) => Promise<unknown>;
    readonly change: (place: Place) => Promise<unknown>;
    /** What the user asks then; a reserve of a credit where nothing is said. */
    readonly next?: (place: Place) => Operation;
    readonly answer: (place: Place) => object;
    /** What the user hears who wants a credit later, when that is something else. */
    readonly later?: (place: Place) => object;
  }

  const contractIs = (place: Place, changed: object) =>
    database.owner('contracts').where({ id: place.contract }).update(changed);
  const ofUser = (place: Place) =>
    database.owner('contract_users').where({ contract_id: place.contract, user_id: place.user });
  const drawsOne = ({ sharedLot }: Place) => accepted(reserving(sharedLot, '1'));

  const CHANGES: Readonly<Record<string, Administered>> = {
    'a user is removed': {
      change: (place) => ofUser(place).update({ removed_at: atHour(1) }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user is removed by the application': {
      change: ({ contract: contract_id, user: user_id }) =>
        database
          .db('contract_users')
          .where({ contract_id, user_id })
          .update({ removed_at: atHour(1) }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user is forgotten': {
      change: (place) => ofUser(place).delete(),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user is authorised from another instant on': {
      change: (place) => ofUser(place).update({ authorised_at: atHour(2) }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a user who was removed is authorised again': {
      before: (place) => ofUser(place).update({ removed_at: atHour(0.5) }),
      change: ({ contract, user }) =>
        database
          .owner('contract_users')
          .insert({ contract_id: contract, user_id: user, role: 'submitter', authorised_at: atHour(0.75) }),
      answer: drawsOne,
    },
    'the removal of a user is taken back': {
      before: (place) => ofUser(place).update({ removed_at: atHour(0.5) }),
      change: (place) => ofUser(place).update({ removed_at: null }),
      answer: drawsOne,
    },
    'a contract ends earlier': {
      change: (place) => contractIs(place, { ends_at: atHour(1) }),
      answer: () => refusedWith('contract_not_in_force'),
    },
    'a contract begins later': {
      change: (place) => contractIs(place, { starts_at: atHour(2) }),
      answer: () => refusedWith('contract_not_in_force'),
    },
    'a contract is extended': {
      before: (place) => contractIs(place, { ends_at: atHour(1) }),
      change: (place) => contractIs(place, { ends_at: atHour(2) }),
      answer: drawsOne,
    },
    'a contract is suspended': {
      change: (place) => contractIs(place, { suspended_at: atHour(1) }),
      answer: () => refusedWith('contract_suspended'),
    },
    'a contract is suspended by the application': {
      change: ({ contract: id }) =>
        database
          .db('contracts')
          .where({ id })
          .update({ suspended_at: atHour(1) }),
      answer: () => refusedWith('contract_suspended'),
    },
    'a contract is resumed': {
      before: (place) => contractIs(place, { suspended_at: atHour(1) }),
      change: (place) => contractIs(place, { suspended_at: null }),
      answer: drawsOne,
    },
    'a job of a suspended contract is topped up': {
      change: (place) => contractIs(place, { suspended_at: atHour(1) }),
      next: (place) => topUp({ ...place.spending(5), target: amount('4') }),
      answer: () => refusedWith('contract_suspended'),
    },
    'a job is topped up by a user who was removed': {
      change: (place) => ofUser(place).update({ removed_at: atHour(1) }),
      next: (place) => topUp({ ...place.spending(5), target: amount('4') }),
      answer: () => refusedWith('user_not_authorised'),
    },
    'a job is settled after the contract’s end: what it lacks is not drawn any more': {
      change: (place) => contractIs(place, { ends_at: atHour(1) }),
      next: (place) => settle({ ...place.spending(5), actual: amount('5') }),
      answer: ({ sharedLot }) => ({
        ...accepted(moved(sharedLot, 'reserved', 'consumed', '2')),
        absorbed: amount('3'),
      }),
      later: () => refusedWith('contract_not_in_force'),
    },
    'what was changed and taken back in the same instant is as it was': {
      change: (place) =>
        database.owner
          .transaction(async (trx) => {
            await trx('contracts')
              .where({ id: place.contract })
              .update({ ends_at: atHour(1) });
            throw new Error('taken back');
          })
          .catch(() => undefined),
      answer: drawsOne,
    },
  };

  /** What the process itself may do after the change and before what is asked, which cannot go ahead. */
  const MEANWHILE: Readonly<Record<string, (place: Place) => readonly Operation[]>> = {
    'nothing else': () => [],
    'a lot was granted': (place) => [place.grant(amount('0.5'), place.lotId(2))],
    'a job was released that was never reserved': (place) => [release(place.spending(40))],
  };

  test.each(Object.entries(CHANGES))('%s', async (_, { before, change, next, answer, later = answer }) => {
    for (const [meanwhile, operations] of Object.entries(MEANWHILE)) {
      const [place, here] = [await Place.open(database, '10'), openProcess()];
      await acceptAll(here, [reserve({ ...place.spending(5), amount: amount('2') })]);
      await before?.(place);
      // Who may not spend yet is refused, and that is known as well; a higher not-to-exceed amount spends nothing.
      if (before) expect(await here.apply(reserve(place.spending(1)))).toMatchObject({ accepted: false });
      let cap = 100;
      await untilAhead(here, () => {
        cap += 1;
        return raiseCap({ ...place.spending(5), cap: amount(String(cap)) });
      });
      await change(place);
      await acceptAll(here, operations(place));
      const outcome = await here.apply(next?.(place) ?? reserve(place.spending(1)));
      expect({ meanwhile, outcome }).toMatchObject({ meanwhile, outcome: answer(place) });
      // Also when it is known again.
      for (let n = 20; n < 24; n++) expect(await here.apply(reserve(place.spending(n)))).toMatchObject(later(place));
    }
  });

  test('a user is moved to another contract', async () => {
    const [from, to, here] = [await Place.open(database, '10'), await Place.open(database, '10'), openProcess()];
    await warmUp(here, from);
    await warmUp(here, to);
    const there = { ...to.spending(1), userId: from.user };
    expect(await here.apply(reserve(there))).toMatchObject(refusedWith('user_not_authorised'));
    await ofUser(from).update({ contract_id: to.contract });
    expect(await here.apply(reserve(from.spending(1)))).toMatchObject(refusedWith('user_not_authorised'));
    expect(await here.apply(reserve(there))).toMatchObject(drawsOne(to));
  });

  test('who asks while a change is being written hears what comes of it', async () => {
    for (const end of ['commit', 'rollback'] as const) {
      const [place, here] = [await Place.open(database, '10'), openProcess()];
      await warmUp(here, place);
      const trx = await database.owner.transaction();
      await trx('contracts')
        .where({ id: place.contract })
        .update({ ends_at: atHour(1) });
      const { ahead } = here.sent;
      const asked = here.apply(reserve(place.spending(1)));
      await untilSent(here, ahead + 1);
      await someoneWaits();
      await trx[end]();
      expect(await asked).toMatchObject(end === 'commit' ? refusedWith('contract_not_in_force') : drawsOne(place));
    }
  });

  /** Waits until a session waits for a lock. */
  function someoneWaits(): Promise<unknown> {
    return eventually('a session that waits for a lock', () =>
      firstRow(
        database.owner,
        `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      ),
    );
  }
});
