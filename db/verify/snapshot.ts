/** A ledger in a database as one snapshot: everything that is read was committed at one instant, whatever is written meanwhile. */
import { Client, type ClientConfig } from 'pg';
import type { Db } from '../client';
import { copyOut } from './copyOut';
import { mergeByBatch } from './merge';
import { FACTS, JOURNAL, type Section } from './sections';

export interface Snapshot {
  /** The lines of sections, one section after the other, in handfuls of whole lines. */
  linesOf(sections: readonly Section[]): AsyncGenerator<Buffer[]>;
  /** The lines of the journal and of the facts around it, merged. */
  mergedLines(): AsyncGenerator<Buffer[]>;
  /** Whether the database keeps two operations from having one key. */
  readonly keysAreUnique: boolean;
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
    const { rows } = await leader.query(`select pg_export_snapshot() as id, ${KEYS_ARE_UNIQUE} as unique`);
    const { id, unique } = rows[0] as { id: string; unique: boolean };
    return {
      keysAreUnique: unique,
      close,
      async *linesOf(sections) {
        for (const { sql } of sections) {
          for await (const { bytes } of copyOut(leader, sql)) yield [bytes];
        }
      },
      async *mergedLines() {
        const followers = await Promise.all(
          [...JOURNAL, ...FACTS].map(async (section) => {
            const client = await connect(id);
            // The journal lies in the order of its index; a sort of all of it would have to come first.
            if (section.table === 'operations' || section.table === 'batches') {
              await client.query('set local enable_sort = off; set local enable_seqscan = off');
            }
            return { lines: copyOut(client, section.sql), byJob: FACTS.includes(section) };
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

const KEYS_ARE_UNIQUE = `exists (
  select from pg_index
  where indexrelid = to_regclass('operations_key') and indrelid = 'operations'::regclass
    and indisunique and indisvalid and indimmediate and indpred is null
    and pg_get_indexdef(indexrelid, 1, true) = 'subject' and pg_get_indexdef(indexrelid, 2, true) = 'act' and indnkeyatts = 2
)`;
