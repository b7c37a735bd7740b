/** A thousand contracts' pools and several processes, against what Postgres can commit one by one. */
import { setTimeout } from 'node:timers/promises';
import { firstRow } from '../../../db/client';
import { openLedger } from '../../../db/ledger';
import { type Effort, type Figure, figure, inTurns, median, rounded } from '../figure';
import { startChild } from './children';
import type { Driven } from './clients';
import { openContracts } from './contracts';
import { type Profile, profile } from './cpu';
import { BASELINE_CLIENTS, INSERT_ONLY, openBaseline } from './pgbench';
import type { PoolLoad } from './poolClients';
import { type BenchDatabase, type BenchServer, say } from './server';
import { checkSound } from './soundness';

const POOLS = 1_000;
const PROCESSES = 4;
const CLIENTS_EACH = 128;
/** How unevenly the contracts are asked for; see {@link PoolLoad.skew}. */
const SKEWS = { uniform: 0, zipf: 1 } as const;

interface Run {
  readonly perSecond: number;
  readonly profile?: Profile;
  readonly rowsPerOperation?: number;
}

/** Operations per second of all processes together, and what bounds them: who computes, and what backends wait for. */
export async function benchManyPools(server: BenchServer, { rounds, seconds }: Effort): Promise<Figure[]> {
  const database = await server.createDatabase('many_pools');
  const ledger = openLedger(database.db);
  const contracts = await openContracts(database, ledger, { contracts: POOLS, usersEach: 1, lotsEach: 2 });
  await ledger.close();
  const { program, rate } = await openBaseline(database, [INSERT_ONLY]);
  await database.owner.raw('vacuum analyze');
  const children = Array.from({ length: PROCESSES }, () =>
    startChild<PoolLoad, Driven>('poolClients.js', [database.url]),
  );
  const processes = { postgres: [database.serverPid], clients: children.map(({ pid }) => pid) };

  const oursWith = (skew: number) => async (): Promise<Run> => {
    const written = await rowsWritten(database);
    const { result, profile: seen } = await profile(database, processes, () =>
      Promise.all(children.map((child, seed) => child.ask({ clients: CLIENTS_EACH, seconds, seed, skew, contracts }))),
    );
    const perSecond = result.reduce((sum, driven) => sum + driven.perSecond, 0);
    say(`${POOLS} pools, skew ${skew}: ${Math.round(perSecond)}/s`);
    const operations = result.reduce((sum, driven) => sum + driven.operations, 0);
    const rowsPerOperation = rounded(((await rowsWritten(database)) - written) / operations);
    return { perSecond, profile: seen, rowsPerOperation };
  };
  const baselineAt = (clients: number) => async (): Promise<Run> => {
    const perSecond = await rate(INSERT_ONLY, { clients, seconds });
    say(`insert only, ${clients} clients: ${Math.round(perSecond)}/s`);
    return { perSecond };
  };
  const measured: Record<string, Run[]> = await inTurns(
    { rounds, warmUps: 1 },
    Object.fromEntries([
      ...Object.entries(SKEWS).map(([name, skew]) => [name, oursWith(skew)] as const),
      ...BASELINE_CLIENTS.map((clients) => [`baseline ${clients}`, baselineAt(clients)] as const),
    ]),
  );
  await Promise.all(children.map((child) => child.stop()));
  await checkSound(database);
  await database.drop();

  const rateOf = (name: string) => median((measured[name] ?? []).map(({ perSecond }) => perSecond));
  const baselines = Object.fromEntries(BASELINE_CLIENTS.map((clients) => [clients, rateOf(`baseline ${clients}`)]));
  return Object.keys(SKEWS).map((name) =>
    figure({
      name: 'many-pools',
      params: {
        ...{ rounds, seconds, pools: POOLS, processes: PROCESSES, clientsEach: CLIENTS_EACH, choice: name },
        baseline: `${program}, ${INSERT_ONLY.name}, best of ${BASELINE_CLIENTS.join(', ')} clients`,
      },
      ours: rateOf(name),
      baseline: Math.max(...Object.values(baselines)),
      unit: 'operations/s',
      goal: { of: 'ratio', bound: '>=', value: 0.6 },
      seen: {
        baselines: Object.fromEntries(Object.entries(baselines).map(([clients, value]) => [clients, rounded(value)])),
        profile: measured[name]?.at(-1)?.profile,
        rowsPerOperation: measured[name]?.at(-1)?.rowsPerOperation,
        microsecondsPerOperation: costOf(measured[name]?.at(-1)),
      },
    }),
  );
}

/** Rows that were inserted and updated in the database so far, as its statistics know: the baseline writes one an operation. */
async function rowsWritten({ owner }: BenchDatabase): Promise<number> {
  // Backends tell their figures once a second.
  await setTimeout(1_100);
  const found = await firstRow<{ rows: bigint }>(
    owner,
    'select tup_inserted + tup_updated as rows from pg_stat_database where datname = current_database()',
  );
  return Number(found?.rows);
}

/** Processor time of an operation in microseconds: with as many processors it could not be asked more often. */
function costOf(run: Run | undefined): Record<string, number> | null {
  if (!run?.profile) return null;
  const { processors } = run.profile;
  return Object.fromEntries(
    Object.entries(processors).map(([who, busy]) => [who, rounded(((busy ?? Number.NaN) * 1e6) / run.perSecond)]),
  );
}
