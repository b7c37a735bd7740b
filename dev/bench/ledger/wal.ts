/** What an operation writes to Postgres's log: by it disks wear, replicas lag and backups grow. */
import { firstRow } from '../../../db/client';
import { type Effort, type Figure, figure, inTurns, median, rounded } from '../figure';
import type { Driven } from './clients';
import { driveHotPool } from './hotPool';
import { openNaive } from './naive';
import { type BenchDatabase, type BenchServer, say } from './server';
import { checkSound } from './soundness';

/** Bytes of log per operation with 128 clients on a warm hot pool, against the naive transactions'. */
export async function benchWal(server: BenchServer, { rounds, seconds }: Effort): Promise<Figure> {
  const database = await server.createDatabase('wal');
  const clients = 128;
  const naive = await openNaive(database, 32);
  const measured = await inTurns(
    { rounds, warmUps: 1 },
    {
      ours: () => walPerOperation(database, () => driveHotPool(database, { clients, seconds })),
      baseline: () => walPerOperation(database, () => naive.drive({ clients: 32, seconds })),
    },
  );
  await naive.close();
  await checkSound(database);
  await database.drop();
  return figure({
    name: 'wal',
    params: { rounds, seconds, clients, baseline: 'naive transaction through node-pg, 32 clients' },
    ours: median(measured.ours),
    baseline: median(measured.baseline),
    unit: 'bytes of WAL per operation',
    goal: { of: 'ours', bound: '<=', value: 450 },
    seen: { eachRound: measured.ours.map(rounded) },
  });
}

/** All that the server wrote in that time; what setting up a pool adds is less than one byte an operation. */
async function walPerOperation(database: BenchDatabase, run: () => Promise<Driven>): Promise<number> {
  const from = await walPosition(database);
  const { operations } = await run();
  const perOperation = Number((await walPosition(database)) - from) / operations;
  say(`${Math.round(perOperation)} bytes of WAL per operation`);
  return perOperation;
}

async function walPosition(database: BenchDatabase): Promise<bigint> {
  const found = await firstRow<{ bytes: bigint }>(
    database.owner,
    `select (pg_current_wal_lsn() - '0/0')::bigint as bytes`,
  );
  if (!found) throw new Error('Postgres does not say where its log is');
  return found.bytes;
}
