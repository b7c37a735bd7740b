/** Where a ledger is read from: a database at one instant, or an export. */
import type { Readable } from 'node:stream';
import type { Db } from '../client';
import { readExport } from './exportFile';
import { STATE } from './sections';
import { type Flaw, openSnapshot } from './snapshot';

export type LedgerSource =
  | { readonly kind: 'database'; readonly db: Db }
  /** What `exportLedger` wrote. */
  | { readonly kind: 'export'; readonly stream: Readable };

export interface OpenSource {
  /** The lines of all sections, in order, in handfuls of whole lines; operations may be tuples. */
  readonly lines: AsyncGenerator<Buffer[]>;
  /** Whether the keys of operations stand behind the journal once more; a database sees to them itself. */
  readonly keysAreListed: boolean;
  readonly flaws: readonly Flaw[];
  close(): Promise<void>;
}

export async function openSource(source: LedgerSource): Promise<OpenSource> {
  if (source.kind === 'export') {
    return {
      lines: readExport(source.stream),
      keysAreListed: true,
      flaws: [],
      close: async () => {
        source.stream.destroy();
      },
    };
  }
  const snapshot = await openSnapshot(source.db);
  async function* lines() {
    yield* snapshot.linesOf(STATE);
    yield* snapshot.mergedLines('binary');
  }
  return { lines: lines(), keysAreListed: false, flaws: snapshot.flaws, close: () => snapshot.close() };
}
