/** A ledger in a database as one snapshot: everything that is read was committed at one instant, whatever is written meanwhile. */
import { Client, type ClientConfig } from 'pg';
import type { Db } from '../client';
import { copyOut } from './copyOut';
import { type Place, Wrong } from './findings';
import { mergeByBatch } from './merge';
import { FACTS, JOURNAL, type Section } from './sections';

export interface Snapshot {
  /** The lines of sections, one section after the other, in handfuls of whole lines. */
  linesOf(sections: readonly Section[]): AsyncGenerator<Buffer[]>;
  /**
   * The lines of the journal and of the facts around it, merged.
   *
   * @param operations whether operations come as lines too, or as tuples in binary form without their letter.
   */
  mergedLines(operations: 'text' | 'binary'): AsyncGenerator<Buffer[]>;
  /** What of the schema itself is not as the ledger needs it. */
  readonly flaws: readonly Flaw[];
  close(): Promise<void>;
}

/** Opens a snapshot. Whoever opens it closes it. */
export async function openSnapshot(db: Db): Promise<Snapshot> {
  const clients: Client[] = [];
  const connect = async (snapshotId?: string) => {
    const client = new Client(db.client.config.connection as ClientConfig);
    // A connection that breaks fails the statement that runs on it; nothing else is to be done about it.
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    await client.query(`
      begin transaction isolation level repeatable read, read only;
      ${snapshotId === undefined ? '' : `set transaction snapshot '${snapshotId}';`}
      set local datestyle = 'ISO';
      set local timezone = 'UTC';
      set local bytea_output = 'hex';
      set local client_encoding = 'UTF8';
      set local statement_timeout = 0;
      set local idle_in_transaction_session_timeout = 0`);
    return client;
  };
  const close = async () => {
    await Promise.all(clients.map((client) => client.end()));
  };
  try {
    const leader = await connect();
    const { rows } = await leader.query('select pg_export_snapshot() as id');
    const { id } = rows[0] as { id: string };
    return {
      flaws: await flawsOf(leader),
      close,
      async *linesOf(sections) {
        for (const { sql } of sections) {
          for await (const { bytes } of copyOut(leader, sql)) yield [bytes];
        }
      },
      async *mergedLines(operations) {
        const followers = await Promise.all(
          [...JOURNAL, ...FACTS].map(async (section) => {
            const client = await connect(id);
            // The journal lies in the order of its index; a sort of all of it would have to come first.
            if (section.table === 'operations' || section.table === 'batches') {
              await client.query('set local enable_sort = off; set local enable_seqscan = off');
            }
            const lines =
              section.letter === 'o' && operations === 'binary'
                ? copyOut(client, section.sql.replace(`select 'o', `, 'select '), 'binary')
                : copyOut(client, section.sql);
            return { lines, byJob: FACTS.includes(section) };
          }),
        );
        yield* mergeByBatch(followers);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A row of the schema's that is wrong. */
export interface Flaw {
  readonly place: Place;
  readonly wrong: Wrong;
}

/** What the database does by itself must be what it should: keep keys unique, and move what two letters say. */
async function flawsOf(client: Client): Promise<Flaw[]> {
  const flaws: Flaw[] = [];
  const { rows: indexes } = await client.query(KEY_INDEX);
  if (indexes.length === 0) {
    const wrong = new Wrong('the unique index is not there: two operations could have one key');
    flaws.push({ place: { table: 'operations', row: 'operations_key' }, wrong });
  }
  const { rows: moves } = await client.query(`select move, ${BUCKETS.join(', ')} from moves order by move`);
  for (const { move, ...changes } of moves as ({ move: string } & Record<string, number>)[]) {
    for (const bucket of BUCKETS) {
      const expected = Number(move.endsWith(bucket.charAt(0))) - Number(move.startsWith(bucket.charAt(0)));
      if (changes[bucket] === expected) continue;
      const wrong = new Wrong(`${bucket} is changed otherwise than the move says`, `${expected}`, `${changes[bucket]}`);
      flaws.push({ place: { table: 'moves', row: move }, wrong });
    }
  }
  return flaws;
}

const BUCKETS = ['available', 'reserved', 'consumed', 'expired', 'withdrawn'];

const KEY_INDEX = `select 1
  from pg_index
  where indexrelid = to_regclass('operations_key') and indrelid = 'operations'::regclass
    and indisunique and indisvalid and indimmediate and indpred is null and indnkeyatts = 2
    and pg_get_indexdef(indexrelid, 1, true) = 'subject' and pg_get_indexdef(indexrelid, 2, true) = 'act'`;
