/** Whether a long history slows the present: the hot pool on a long journal against the same on an empty one. */
import { type Effort, type Figure, figure, inTurns, median, rounded } from '../figure';
import { fillJournal, hasRoomFor } from './history';
import { driveHotPool } from './hotPool';
import { type BenchServer, say } from './server';
import { checkSound } from './soundness';

const CLIENTS = 128;

/** Operations per second for each size, each in a database of its own on the same server. */
export async function benchJournalSize(server: BenchServer, { rounds, seconds, sizes }: Effort): Promise<Figure[]> {
  const empty = await server.createDatabase('journal_0');
  const databases = [{ size: 0, database: empty }];
  for (const size of sizes) {
    if (!(await hasRoomFor(size))) {
      say(`there is no room on the disk for a journal of ${size} operations; it is left out`);
      continue;
    }
    const database = await server.createDatabase(`journal_${size}`);
    await fillJournal(database, size);
    databases.push({ size, database });
  }
  const measured = await inTurns(
    { rounds, warmUps: 1 },
    Object.fromEntries(
      databases.map(({ size, database }) => [
        size,
        async () => {
          const { perSecond } = await driveHotPool(database, { clients: CLIENTS, seconds });
          say(`journal of ${size}: ${Math.round(perSecond)}/s`);
          return perSecond;
        },
      ]),
    ),
  );
  // The laws join the whole journal: on the long ones they would take longer than everything else.
  await checkSound(empty);
  for (const { database } of databases) await database.drop();
  const rateAt = (size: number) => median(measured[size] ?? []);
  return databases.slice(1).map(({ size }) =>
    figure({
      name: 'journal-size',
      params: { rounds, seconds, clients: CLIENTS, size, baseline: 'an empty journal' },
      ours: rateAt(size),
      baseline: rateAt(0),
      unit: 'operations/s',
      goal: { of: 'ratio', bound: '>=', value: 0.85 },
      seen: { eachRound: (measured[size] ?? []).map(rounded) },
    }),
  );
}
