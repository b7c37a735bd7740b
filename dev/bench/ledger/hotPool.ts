/** One contract's pool as the hot spot, against what Postgres can do with one hot row. */
import { openLedger } from '../../../db/ledger';
import { type Effort, type Figure, figure, inTurns, median, rounded } from '../figure';
import { type Driven, drive, type Load } from './clients';
import { type BenchContract, openHotPool } from './contracts';
import { cpuSeconds } from './cpu';
import { type Answered, jobClients, type SpenderOf } from './jobMix';
import { BASELINE_CLIENTS, HOT_ROW, openBaseline } from './pgbench';
import { type BenchDatabase, type BenchServer, say } from './server';
import { checkSound, replay } from './soundness';

const CLIENTS = [...BASELINE_CLIENTS, 512] as const;
/** The number of clients that the goals speak of. */
const HOT = 128;

/** Operations per second with so many clients, of each number a figure; and the best of the baseline against ours at 128. */
export async function benchHotPool(server: BenchServer, { rounds, seconds }: Effort): Promise<Figure[]> {
  const database = await server.createDatabase('hot_pool');
  const { program, rate } = await openBaseline(database, [HOT_ROW]);
  const baselineAt = (clients: number) => async () => {
    const perSecond = await rate(HOT_ROW, { clients, seconds });
    say(`hot row, ${clients} clients: ${Math.round(perSecond)}/s`);
    return perSecond;
  };
  const costs: Cost[] = [];
  const oursAt = (clients: number) => async () => {
    const { perSecond, cost } = await driveHotPool(database, { clients, seconds });
    if (clients === HOT && cost) costs.push(cost);
    say(`hot pool, ${clients} clients: ${Math.round(perSecond)}/s, ${JSON.stringify(cost)}`);
    return perSecond;
  };
  const measured: Record<string, number[]> = await inTurns(
    { rounds, warmUps: 1 },
    Object.fromEntries([
      ...CLIENTS.map((clients) => [`ours ${clients}`, oursAt(clients)]),
      ...BASELINE_CLIENTS.map((clients) => [`baseline ${clients}`, baselineAt(clients)]),
    ]),
  );
  await checkSound(database);
  await database.drop();

  const rates = new Map(Object.entries(measured).map(([name, values]) => [name, median(values)]));
  const best = Math.max(...BASELINE_CLIENTS.map((clients) => rates.get(`baseline ${clients}`) ?? 0));
  const params = { rounds, seconds, baseline: `${program}, ${HOT_ROW.name}` };
  const figureAt = (clients: number) => {
    const baseline = rates.get(`baseline ${clients}`);
    return figure({
      name: 'hot-pool',
      params: { ...params, clients },
      ours: rates.get(`ours ${clients}`) ?? Number.NaN,
      ...(baseline !== undefined && { baseline }),
      unit: 'operations/s',
      ...(clients === HOT && { goal: { of: 'ratio', bound: '>=', value: 20 } }),
    });
  };
  const againstBest = figure({
    name: 'hot-pool-against-best',
    params: { ...params, clients: HOT, baseline: `${params.baseline}, best of ${BASELINE_CLIENTS.join(', ')} clients` },
    ours: rates.get(`ours ${HOT}`) ?? Number.NaN,
    baseline: best,
    unit: 'operations/s',
    goal: { of: 'ratio', bound: '>=', value: 5 },
    seen: {
      rates: Object.fromEntries([...rates].map(([name, value]) => [name, rounded(value)])),
      microsecondsPerOperation: {
        client: rounded(median(costs.map(({ client }) => client))),
        postgres: rounded(median(costs.map(({ postgres }) => postgres))),
      },
    },
  });
  return [...CLIENTS.map(figureAt), againstBest];
}

/** Microseconds of processor time per operation: of this process with its clients and its ledger, and of Postgres. */
export interface Cost {
  readonly client: number;
  readonly postgres: number;
}

/** Drives clients on a new hot pool, and afterwards asks for a sample of their operations again. */
export async function driveHotPool(
  database: BenchDatabase,
  load: Load,
): Promise<Driven & { readonly cost: Cost | null }> {
  const ledger = openLedger(database.db);
  try {
    const contract = await openHotPool(database, ledger);
    const answered: Answered[] = [];
    const usedBefore = cpuUsed(database);
    const driven = await drive(load, jobClients(ledger, load.clients, spendersOf(contract), answered));
    const used = cpuUsed(database);
    await replay(ledger, answered);
    const perOperation = (seconds: number) => rounded((seconds * 1e6) / driven.operations);
    const cost = used &&
      usedBefore && {
        client: perOperation(used.client - usedBefore.client),
        postgres: perOperation(used.postgres - usedBefore.postgres),
      };
    return { ...driven, cost };
  } finally {
    await ledger.close();
  }
}

/** Seconds of processor time so far; null where nothing tells Postgres's. */
function cpuUsed({ serverPid }: BenchDatabase): Cost | null {
  const { user, system } = process.cpuUsage();
  const postgres = cpuSeconds(serverPid);
  return postgres === null ? null : { client: (user + system) / 1e6, postgres };
}

/** Each job is one of the contract's users'. */
function spendersOf({ contractId, userIds }: BenchContract): SpenderOf {
  return (chance) => ({ userId: chance.pick(userIds), contractId });
}
