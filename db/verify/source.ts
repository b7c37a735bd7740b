/** Where a ledger is read from: a database at one instant, or an export. */
import type { Readable } from 'node:stream';
import type { Db } from '../client';
import { readExport } from './exportFile';
import { STATE } from './sections';
import { openSnapshot } from './snapshot';

export type LedgerSource =
  | { readonly kind: 'database'; readonly db: Db }
  /** What `exportLedger` wrote. */
  | { readonly kind: 'export'; readonly stream: Readable };

export interface OpenSource {
  /** The lines of all sections, in order, in handfuls of whole lines. */
  readonly lines: AsyncGenerator<Buffer[]>;
  /** Whether one operation alone has a key, where the source itself sees to that; `null` where the lines tell. */
  readonly keysAreUnique: boolean | null;
  close(): Promise<void>;
}

export async function openSource(source: LedgerSource): Promise<OpenSource> {
  if (source.kind === 'export') {
    return {
      lines: readExport(source.stream),
      keysAreUnique: null,
      close: async () => {
        source.stream.destroy();
      },
    };
  }
  const snapshot = await openSnapshot(source.db);
  async function* lines() {
    yield* snapshot.linesOf(STATE);
    yield* snapshot.mergedLines();
  }
  return { lines: lines(), keysAreUnique: snapshot.keysAreUnique, close: () => snapshot.close() };
}
