import { ZERO } from '../../../domain/credits';
import { reserve } from '../../../test/builders/ledger';
import { database, describeApart, nextJob, openProcess, type Process } from '../../testing/ahead';
import { Place } from '../../testing/place';

jest.setTimeout(60_000);

const ROUNDS = 60;

describeApart('a process among others', () => {
  const ask = (one: Process, place: Place) =>
    one.apply(reserve({ ...place.spending(nextJob(), place.user), amount: ZERO, cap: ZERO }));

  /** Each time a process finds the pools unchanged and trusts them, another comes in between. */
  async function disturb(one: Process, other: Process, place: Place): Promise<void> {
    for (const who of [one, other, one]) expect(await ask(who, place)).toMatchObject({ accepted: true });
  }

  test('tries ever more rarely to go ahead of them, and does so again for good when they are gone', async () => {
    const [place, one, other] = [await Place.open(database, '10'), openProcess(), openProcess()];
    for (let round = 0; round < ROUNDS; round++) await disturb(one, other, place);
    const { refused } = one.sent;
    expect(refused).toBeGreaterThan(2);
    expect(refused).toBeLessThan(ROUNDS / 5);

    // As long as the longest rest, and a little.
    for (let n = 0; n < 70; n++) await ask(one, place);
    const { ahead, loaded } = one.sent;
    for (let n = 0; n < 10; n++) await ask(one, place);
    expect(one.sent).toMatchObject({ ahead: ahead + 10, loaded, refused });
  });
});
