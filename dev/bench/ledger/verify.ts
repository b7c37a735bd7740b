/** How fast a ledger is recomputed from its operations, against how fast Postgres can as much as count them. */
import { firstRow } from '../../../db/client';
import { verifyLedger } from '../../../db/verify/verifyLedger';
import { type Effort, type Figure, figure, inTurns, median, rounded } from '../figure';
import { cpuSeconds } from './cpu';
import { fillJournal } from './history';
import { type BenchDatabase, type BenchServer, say } from './server';

const OPERATIONS = 1_000_000;

interface Run {
  readonly perSecond: number;
  /** By the processor time of all who took part: the verifier and the backends that read for it. */
  readonly perCpuSecond: number;
}

/** Operations per second and core: of all processor time that is spent, the verifier's and Postgres's. */
export async function benchVerify(server: BenchServer, { rounds }: Effort): Promise<Figure> {
  const database = await server.createDatabase('verify');
  await fillJournal(database, OPERATIONS);
  const measured = await inTurns(
    { rounds, warmUps: 1 },
    {
      ours: () => timed(database, () => verify(database)),
      baseline: () => timed(database, () => count(database)),
    },
  );
  await database.drop();
  const medianOf = (runs: readonly Run[], what: keyof Run) => median(runs.map((run) => run[what]));
  return figure({
    name: 'verify',
    params: { rounds, operations: OPERATIONS, baseline: 'select count(*) from operations' },
    ours: medianOf(measured.ours, 'perCpuSecond'),
    baseline: medianOf(measured.baseline, 'perCpuSecond'),
    unit: 'operations/s per core',
    goal: { of: 'ours', bound: '>=', value: 200_000 },
    seen: { operationsPerSecond: rounded(medianOf(measured.ours, 'perSecond')) },
  });
}

/** @returns how many operations were verified. @throws Error when the ledger is not sound: then nothing was measured. */
async function verify({ db }: BenchDatabase): Promise<number> {
  const { findings, counts } = await verifyLedger({ kind: 'database', db });
  if (findings.length > 0)
    throw new Error(`the verifier found what is not there: ${JSON.stringify(findings.slice(0, 5))}`);
  return counts.operations;
}

async function count({ db }: BenchDatabase): Promise<number> {
  return Number((await firstRow<{ count: bigint }>(db, 'select count(*) from operations'))?.count);
}

/** Where nothing tells processor time, the time that passed stands for it: then one core is assumed. */
async function timed(database: BenchDatabase, work: () => Promise<number>): Promise<Run> {
  const cpu = () => (cpuSeconds(database.serverPid) ?? Number.NaN) + (cpuSeconds(process.pid) ?? Number.NaN);
  const [began, used] = [performance.now(), cpu()];
  const operations = await work();
  const seconds = (performance.now() - began) / 1_000;
  const cpuUsed = cpu() - used;
  const perCpuSecond = operations / (cpuUsed > 0 ? cpuUsed : seconds);
  say(`${operations} operations in ${seconds.toFixed(1)} s, ${Math.round(perCpuSecond)} per second and core`);
  return { perSecond: operations / seconds, perCpuSecond };
}
