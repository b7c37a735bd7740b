/** The whole ledger as text, to be kept and to be verified elsewhere. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { Db } from '../../db/client';
import { type Exported, exportLedger } from '../../db/verify/exportFile';
import { instantOfMilliseconds } from '../../domain/instant';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import { withLedgerDatabase } from '../ledgerDatabase';
import type { Terminal } from '../output';

export function exportCommands(program: Command, terminal: Terminal): void {
  program
    .command('export')
    .description('write one snapshot of the whole ledger as text; "verify --export" recomputes it anywhere')
    .requiredOption('--out <file>', 'the file that is written; "-" writes to standard output')
    .action(async ({ out }: { out: string }, command: Command) => {
      const { output } = invocationOf(command, terminal);
      const exported = await withLedgerDatabase(terminal.env, (db) =>
        out === '-' ? writeTo(db, terminal.stdout) : writeFile(db, out),
      );
      if (out === '-') return;
      if (output.json) output.raw(JSON.stringify({ file: out, ...exported }));
      else output.say(`${exported.operations} operations, sha256 ${exported.sha256}: written to ${out}.`);
    });
}

/** What fails with a file, not with a connection. */
const FILE_CALLS = new Set(['open', 'write', 'close', 'rename']);

/** The file appears when it is whole. */
async function writeFile(db: Db, out: string): Promise<Exported> {
  const unfinished = `${out}.unfinished`;
  const stream = createWriteStream(unfinished, { mode: 0o600 });
  try {
    const exported = await writeTo(db, stream);
    await rename(unfinished, out);
    return exported;
  } catch (error) {
    await rm(unfinished, { force: true });
    const { code, syscall = '' } = error as NodeJS.ErrnoException;
    if (FILE_CALLS.has(syscall)) throw new WrongUsage(`${out} cannot be written: ${code}.`, { cause: error });
    throw error;
  }
}

async function writeTo(db: Db, stream: NodeJS.WritableStream): Promise<Exported> {
  let exported: Exported | undefined;
  async function* pieces() {
    exported = yield* exportLedger(db, instantOfMilliseconds(Date.now()));
  }
  await pipeline(Readable.from(pieces()), stream, { end: stream !== process.stdout });
  if (!exported) throw new Error('the export has no end');
  return exported;
}
