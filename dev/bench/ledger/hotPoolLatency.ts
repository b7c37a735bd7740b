/** What batching costs whoever is alone: the latency of one client against that of a naive transaction in the same language. */
import { type Effort, type Figure, figure, inTurns, median } from '../figure';
import { driveHotPool } from './hotPool';
import { openNaive } from './naive';
import { type BenchServer, say } from './server';
import { checkSound } from './soundness';

export async function benchHotPoolLatency(server: BenchServer, { rounds, seconds }: Effort): Promise<Figure> {
  const database = await server.createDatabase('hot_pool_latency');
  const naive = await openNaive(database, 1);
  const load = { clients: 1, seconds };
  const measured = await inTurns(
    { rounds, warmUps: 1 },
    {
      ours: () => driveHotPool(database, load),
      baseline: () => naive.drive(load),
    },
  );
  await naive.close();
  await checkSound(database);
  await database.drop();
  const p50 = {
    ours: median(measured.ours.map((run) => run.p50)),
    naive: median(measured.baseline.map((run) => run.p50)),
  };
  say(`one client: ${p50.ours.toFixed(2)} ms, naive ${p50.naive.toFixed(2)} ms`);
  return figure({
    name: 'hot-pool-latency',
    params: { rounds, seconds, clients: 1, baseline: 'naive transaction through node-pg' },
    ours: p50.ours,
    baseline: p50.naive,
    unit: 'ms p50',
    goal: { of: 'ratio', bound: '<=', value: 2 },
  });
}
