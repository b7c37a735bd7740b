/** A user with a thousand lots against a user with one: loading and sorting lots must not become what a job waits for. */
import { openLedger } from '../../../db/ledger';
import { type Effort, type Figure, figure, inTurns, median } from '../figure';
import { type Driven, drive, type Load } from './clients';
import { grantIndividualLots, openContracts } from './contracts';
import { type Answered, jobClients } from './jobMix';
import { type BenchDatabase, type BenchServer, say } from './server';
import { checkSound, replay } from './soundness';

const MANY = 1_000;

/** Time per operation: of one client its p50, of 128 clients what the throughput makes of it. */
export async function benchManyLots(server: BenchServer, { rounds, seconds }: Effort): Promise<Figure[]> {
  const database = await server.createDatabase('many_lots');
  const ledger = openLedger(database.db);
  const [contract] = await openContracts(database, ledger, { contracts: 1, usersEach: 2, lotsEach: 1 });
  const [rich = '', plain = ''] = contract?.userIds ?? [];
  await grantIndividualLots(ledger, rich, MANY);
  await grantIndividualLots(ledger, plain, 1);
  await ledger.close();
  await database.owner.raw('vacuum analyze');

  const at = async (clients: number) => {
    const measured = await inTurns(
      { rounds, warmUps: 1 },
      {
        ours: () => driveUser(database, rich, { clients, seconds }),
        baseline: () => driveUser(database, plain, { clients, seconds }),
      },
    );
    const figureOf = (unit: string, perOperation: (run: Driven) => number) =>
      figure({
        name: 'many-lots',
        params: { rounds, seconds, clients, lots: MANY, baseline: 'the same with 1 lot' },
        ours: median(measured.ours.map(perOperation)),
        baseline: median(measured.baseline.map(perOperation)),
        unit,
        goal: { of: 'ratio', bound: '<=', value: 2 },
      });
    return clients === 1
      ? figureOf('ms p50', ({ p50 }) => p50)
      : figureOf('ms per operation', ({ perSecond }) => 1_000 / perSecond);
  };
  const figures = [await at(1), await at(128)];
  await checkSound(database);
  await database.drop();
  return figures;
}

/** Jobs without a contract: only the user's own lots pay. */
async function driveUser(database: BenchDatabase, userId: string, load: Load): Promise<Driven> {
  const ledger = openLedger(database.db);
  try {
    const answered: Answered[] = [];
    const spender = { userId, contractId: null };
    const driven = await drive(
      load,
      jobClients(ledger, load.clients, () => spender, answered),
    );
    await replay(ledger, answered);
    say(`${load.clients} clients: ${driven.p50.toFixed(2)} ms p50, ${Math.round(driven.perSecond)}/s`);
    return driven;
  } finally {
    await ledger.close();
  }
}
