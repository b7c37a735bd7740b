/**
 * The ledger that everybody writes first, on tables of its own: each operation is a transaction that locks the pool, reads and
 * updates a lot, appends to a journal and keeps the reservation, one statement after the other.
 */
import { Pool, type PoolClient } from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { chanceOf } from '../../chaos/chance';
import { type Driven, drive, type Load } from './clients';
import type { BenchDatabase } from './server';

export interface Naive {
  drive(load: Load): Promise<Driven>;
  close(): Promise<void>;
}

const POOL_ID = '00000000-0000-7000-8000-000000000001';
const LOT_ID = '00000000-0000-7000-8000-000000000002';

/** Makes the tables and opens the connections. */
export async function openNaive(database: BenchDatabase, connections: number): Promise<Naive> {
  await database.owner.raw(`
    create table naive_pools (id uuid primary key);
    create table naive_lots (
      id uuid primary key,
      pool_id uuid not null references naive_pools,
      available bigint not null check (available >= 0),
      reserved bigint not null check (reserved >= 0),
      consumed bigint not null check (consumed >= 0)
    ) with (fillfactor = 50);
    create table naive_journal (
      id uuid primary key,
      key text not null unique,
      job_id uuid not null,
      lot_id uuid not null references naive_lots,
      from_bucket text not null,
      to_bucket text not null,
      amount bigint not null check (amount > 0),
      booked_at timestamptz not null,
      recorded_at timestamptz not null default clock_timestamp()
    );
    create table naive_reservations (
      job_id uuid primary key,
      lot_id uuid not null references naive_lots,
      amount bigint not null check (amount >= 0),
      state text not null
    ) with (fillfactor = 50);
    insert into naive_pools values ('${POOL_ID}');
    insert into naive_lots values ('${LOT_ID}', '${POOL_ID}', 9000000000000000, 0, 0)`);
  const pool = new Pool({ connectionString: database.url, max: connections, min: connections });
  return {
    drive: (load) =>
      drive(load, (client) => {
        const chance = chanceOf(client);
        return async (timed) => {
          const jobId = uuidv7();
          const amount = chance.between(1, 9) * 1_000_000;
          await timed(() => inOwnTransaction(pool, (connection) => reserve(connection, jobId, amount)));
          await timed(() => inOwnTransaction(pool, (connection) => settle(connection, jobId)));
        };
      }),
    close: () => pool.end(),
  };
}

async function inOwnTransaction(pool: Pool, work: (connection: PoolClient) => Promise<void>): Promise<void> {
  const connection = await pool.connect();
  try {
    await connection.query('begin');
    await connection.query(prepared('lock', 'select id from naive_pools where id = $1 for update', [POOL_ID]));
    await work(connection);
    await connection.query('commit');
  } finally {
    connection.release();
  }
}

async function reserve(connection: PoolClient, jobId: string, amount: number): Promise<void> {
  await connection.query(
    prepared('hold', 'update naive_lots set available = available - $2, reserved = reserved + $2 where id = $1', [
      LOT_ID,
      amount,
    ]),
  );
  await append(connection, { jobId, act: 'reserve', from: 'available', to: 'reserved', amount });
  await connection.query(
    prepared('open', `insert into naive_reservations (job_id, lot_id, amount, state) values ($1, $2, $3, 'open')`, [
      jobId,
      LOT_ID,
      amount,
    ]),
  );
}

async function settle(connection: PoolClient, jobId: string): Promise<void> {
  const { rows } = await connection.query<{ amount: string }>(
    prepared(
      'close',
      `update naive_reservations set state = 'settled' where job_id = $1 and state = 'open' returning amount`,
      [jobId],
    ),
  );
  const amount = Number(rows[0]?.amount);
  await connection.query(
    prepared('capture', 'update naive_lots set reserved = reserved - $2, consumed = consumed + $2 where id = $1', [
      LOT_ID,
      amount,
    ]),
  );
  await append(connection, { jobId, act: 'settle', from: 'reserved', to: 'consumed', amount });
}

async function append(
  connection: PoolClient,
  row: { jobId: string; act: string; from: string; to: string; amount: number },
): Promise<void> {
  await connection.query(
    prepared(
      'append',
      `insert into naive_journal (id, key, job_id, lot_id, from_bucket, to_bucket, amount, booked_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [uuidv7(), `${row.jobId}/${row.act}`, row.jobId, LOT_ID, row.from, row.to, row.amount, new Date().toISOString()],
    ),
  );
}

function prepared(name: string, text: string, values: unknown[]) {
  return { name, text, values };
}
