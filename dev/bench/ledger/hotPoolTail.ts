/** How even the answers are: the slowest of a hundred against the middle one, with 128 clients on the hot pool. */
import { type Effort, type Figure, figure, inTurns, median, rounded } from '../figure';
import { driveHotPool } from './hotPool';
import type { BenchServer } from './server';
import { checkSound } from './soundness';

export async function benchHotPoolTail(server: BenchServer, { rounds, seconds }: Effort): Promise<Figure> {
  const database = await server.createDatabase('hot_pool_tail');
  const clients = 128;
  const { ours } = await inTurns({ rounds, warmUps: 1 }, { ours: () => driveHotPool(database, { clients, seconds }) });
  await checkSound(database);
  await database.drop();
  return figure({
    name: 'hot-pool-tail',
    params: { rounds, seconds, clients, baseline: 'p50 of the same run' },
    ours: median(ours.map(({ p99 }) => p99)),
    baseline: median(ours.map(({ p50 }) => p50)),
    unit: 'ms p99',
    goal: { of: 'ratio', bound: '<=', value: 4 },
    seen: { ratioOfEachRound: ours.map(({ p50, p99 }) => rounded(p99 / p50)) },
  });
}
