/** The connection to Postgres: types as the domain wants them, transactions with a bounded retry. */
import { setTimeout as wait } from 'node:timers/promises';
import { isNativeError } from 'node:util/types';
import knex, { type Knex } from 'knex';
import { Pool, type PoolConfig, types } from 'pg';
import type { Instant } from '../domain/instant';

export type Db = Knex;
export type Trx = Knex.Transaction;

/** SQLSTATEs that the code decides on; messages are never compared. */
export const SQLSTATE = {
  uniqueViolation: '23505',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
} as const;

/**
 * Class 08 is a lost connection, 57P0x a server that is stopping or starting, 53300 too many connections, 25P03 a
 * transaction that its client forgot.
 */
const UNAVAILABLE = /^(08|57P0|53300|25P03)/;
const NETWORK = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND']);

const INT8 = 20;
const INT8_ARRAY = 1016;
const UUID_ARRAY = 2951;
const TIMESTAMPTZ = 1184;

const parsers: Record<number, (text: string) => unknown> = {
  [INT8]: BigInt,
  [INT8_ARRAY]: (text) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(BigInt)),
  [UUID_ARRAY]: (text) => (text === '{}' ? [] : text.slice(1, -1).split(',')),
  [TIMESTAMPTZ]: instantOf,
};

/** The role of the application, which may append facts and change none. The schema's migrations make it. */
export const APPLICATION_ROLE = 'holdfast_application';

export interface ConnectOptions {
  readonly poolMax?: number;
  readonly applicationName?: string;
  /** Ends statements that take longer; without it they take as long as they take. */
  readonly statementTimeoutMs?: number;
  /** `owner` keeps the rights of the address's user: for migrations and tests, never for serving. */
  readonly as?: 'application' | 'owner';
}

/** Opens a pool. Every session speaks UTC, so that instants read the same everywhere. */
export function connect(url: string, options: ConnectOptions = {}): Db {
  return knex({
    client: 'pg',
    connection: connectionTo(url, options) as Knex.PgConnectionConfig,
    pool: { min: 0, max: options.poolMax ?? 10 },
    acquireConnectionTimeout: 5_000,
    // Errors are thrown; knex would print them to standard output as well, into what programs read there.
    log: { warn: silent, error: silent, deprecate: silent, debug: silent },
  });
}

/**
 * Opens a pool whose connections send statements without waiting for the answer of the one before. Statements of a
 * transaction go out together and fail together: after an error the server refuses the rest, and `commit` rolls back.
 *
 * @param settings further settings of the sessions, as Postgres names them.
 */
export function connectPipelined(db: Db, settings: Readonly<Record<string, string>>, max: number): Pool {
  const { options, ...connection } = db.client.config.connection as PoolConfig;
  const words = Object.entries(settings).map(([name, value]) => ` -c ${name}=${value}`);
  const pool = new Pool({ ...connection, options: `${options}${words.join('')}`, pipeline: true, max } as PoolConfig);
  // A connection that breaks fails what is asked on it, and the pool gives another to whoever asks next. It also tells
  // its listeners, and without any the process would end.
  pool.on('error', silent);
  pool.on('connect', (client) => client.on('error', silent));
  return pool;
}

function connectionTo(url: string, options: ConnectOptions): PoolConfig {
  const { as = 'application', applicationName = 'holdfast', statementTimeoutMs } = options;
  const role = as === 'application' ? ` -c role=${APPLICATION_ROLE}` : '';
  const limit = statementTimeoutMs === undefined ? '' : ` -c statement_timeout=${statementTimeoutMs}`;
  return {
    connectionString: url,
    options: `-c TimeZone=UTC${role}${limit}`,
    application_name: applicationName,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    types: {
      getTypeParser: (oid: number, format?: 'text') => parsers[oid] ?? types.getTypeParser(oid, format),
    } as never,
  };
}

function silent(): void {}

/** Postgres writes `2026-01-31 12:00:00.5+00` in a UTC session. */
function instantOf(text: string): Instant {
  const [date = '', time = ''] = text.replace(/\+00$/, '').split(' ');
  const [clock = '', fraction = ''] = time.split('.');
  return `${date}T${clock}.${fraction.padEnd(6, '0')}Z` as Instant;
}

/** In JSON Postgres writes `2026-01-31T12:00:00.5+00:00` in a UTC session. */
export function instantOfJson(text: string): Instant {
  const fraction = text.slice(20, -6);
  return `${text.slice(0, 19)}.${fraction.padEnd(6, '0')}Z` as Instant;
}

export function sqlStateOf(error: unknown): string | undefined {
  const code = isNativeError(error) && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Whether an error says that Postgres cannot be reached at the moment. */
export function isUnavailable(error: unknown): boolean {
  if (!isNativeError(error)) return false;
  const code = sqlStateOf(error);
  if (code !== undefined) return UNAVAILABLE.test(code) || NETWORK.has(code);
  return error.name === 'KnexTimeoutError' || LOST.test(error.message);
}

// pg gives neither a code nor a class to a connection that was lost or took too long, and knex writes the statement before.
const LOST =
  /Connection (terminated|ended) unexpectedly|Connection terminated$|connection error and is not queryable|timeout expired|connection timeout|timeout exceeded when/i;

const TRIES = 5;

/** Runs a transaction, again when Postgres chose it as a deadlock's victim; at most five times, with jitter. */
export async function inTransaction<T>(db: Db, work: (trx: Trx) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction(work);
    } catch (error) {
      const state = sqlStateOf(error);
      const again = state === SQLSTATE.serializationFailure || state === SQLSTATE.deadlockDetected;
      if (!again || attempt === TRIES) throw error;
      await wait(Math.random() * 20 * 2 ** attempt);
    }
  }
}

/** The rows of a statement, typed by the caller who wrote its columns. */
export async function rows<T>(db: Db | Trx, sql: string, bindings: readonly unknown[] = []): Promise<T[]> {
  const result = await db.raw<{ rows: T[] }>(sql, bindings as Knex.RawBinding[]);
  return result.rows;
}

export async function firstRow<T>(
  db: Db | Trx,
  sql: string,
  bindings: readonly unknown[] = [],
): Promise<T | undefined> {
  return (await rows<T>(db, sql, bindings))[0];
}

/** Asks for a table of ours: a server without the schema serves nobody. @throws what keeps the database from answering. */
export async function ping(db: Db): Promise<void> {
  await rows(db, 'select 1 from rate_cards limit 1');
}

/**
 * Runs several statements in one round trip and answers the rows of each. Nothing can be bound: ids are written with
 * {@link idList}.
 */
export async function rowsOfEach(trx: Trx, statements: readonly string[]): Promise<unknown[][]> {
  const results = (await trx.raw(statements.join(';\n'))) as { rows: unknown[] }[];
  return results.map(({ rows: found }) => found);
}

/** Ids as a literal array. @throws Error when one is not a UUID, so that nothing else can ever get into a statement. */
export function idList(ids: readonly string[]): string {
  const wrong = ids.find((id) => !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id));
  if (wrong !== undefined) throw new Error(`${JSON.stringify(wrong)} is not a UUID`);
  return `'{${ids.join(',')}}'::uuid[]`;
}
