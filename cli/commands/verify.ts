/** The proof that a ledger follows from its operations. */
import { createReadStream } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { NotAnExport } from '../../db/verify/exportFile';
import type { Finding } from '../../db/verify/findings';
import { type Verification, verifyLedger } from '../../db/verify/verifyLedger';
import { EndsWith, EXIT, WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import { withLedgerDatabase } from '../ledgerDatabase';
import { formatPairs, formatTable, type Output, printable, type Terminal } from '../output';

interface VerifyCommandOptions {
  readonly export?: string;
  readonly progress?: boolean;
}

export function verifyCommands(program: Command, terminal: Terminal): void {
  program
    .command('verify')
    .description('recompute every balance, reservation, chain and charge of the ledger from its operations alone')
    .option('--export <file>', 'of an export instead of the database; "-" reads standard input')
    .option('--progress', 'tell how far it is, also where standard error is no terminal')
    .action(async (options: VerifyCommandOptions, command: Command) => {
      const { output } = invocationOf(command, terminal);
      const progress = showOperations(terminal, options.progress === true);
      const began = performance.now();
      const verification = await verify(options, terminal, progress.show).finally(progress.end);
      const seconds = (performance.now() - began) / 1_000;
      if (output.json) output.raw(JSON.stringify({ ...verification, seconds: Number(seconds.toFixed(3)) }));
      else output.say(verification.sound ? soundView(verification, seconds) : findingsView(verification, output));
      if (!verification.sound) throw new EndsWith(EXIT.notSound);
    });
}

async function verify(
  { export: file }: VerifyCommandOptions,
  { env, stdin }: Terminal,
  onProgress: (operations: number) => void,
): Promise<Verification> {
  if (file === undefined) {
    return withLedgerDatabase(env, (db) => verifyLedger({ kind: 'database', db }, { onProgress }));
  }
  try {
    const stream = file === '-' ? new Readable().wrap(stdin) : await openFile(file);
    return await verifyLedger({ kind: 'export', stream }, { onProgress });
  } catch (error) {
    if (error instanceof NotAnExport) throw new WrongUsage(error.message, { cause: error });
    throw error;
  }
}

async function openFile(file: string): Promise<Readable> {
  try {
    await access(file, constants.R_OK);
  } catch (cause) {
    throw new WrongUsage(`There is no file ${file} that can be read.`, { cause });
  }
  return createReadStream(file, { highWaterMark: 1 << 18 });
}

const EVERY_MS = 500;

/** How far a verification is: a line that is written over on a terminal, a line now and then elsewhere. */
function showOperations({ stderr }: Terminal, isWanted: boolean) {
  const isTerminal = stderr.isTTY === true;
  if (!isTerminal && !isWanted) return { show: () => undefined, end: () => undefined };
  const began = performance.now();
  let shown = began;
  let operations = 0;
  const write = () => {
    const perSecond = Math.round((operations / (performance.now() - began)) * 1_000);
    const line = `${whole(operations)} operations, ${whole(perSecond)} a second`;
    stderr.write(isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  };
  return {
    show(count: number) {
      operations = count;
      if (performance.now() - shown < EVERY_MS) return;
      shown = performance.now();
      write();
    },
    end() {
      write();
      if (isTerminal) stderr.write('\n');
    },
  };
}

function soundView({ counts }: Verification, seconds: number): string {
  const figures = formatPairs([
    ['operations', `${whole(counts.operations)} in ${whole(counts.batches)} batches`],
    ['chains', `${whole(counts.links)} links of ${whole(counts.pools)} pools`],
    ['lots', whole(counts.lots)],
    ['open reservations', whole(counts.openReservations)],
    ['verified in', `${seconds.toFixed(1)} s`],
  ]);
  return `The ledger is sound: everything that is stored follows from its operations.\n\n${figures}`;
}

function findingsView({ findings, counts }: Verification, { paint }: Output): string {
  const rows = findings.map((finding) => [
    finding.poolId ?? '–',
    finding.table,
    placeOf(finding),
    finding.what,
    finding.expected ?? '',
    finding.found ?? '',
  ]);
  const titles = ['POOL', 'TABLE', 'ROW', 'WHAT IS WRONG', 'EXPECTED', 'FOUND'].map((title) => ({ title }));
  return [
    `The ledger is not sound. The first wrong row of each pool, after ${whole(counts.operations)} operations:`,
    '',
    formatTable(titles, rows, paint),
  ].join('\n');
}

function placeOf({ row, batchId, position }: Finding): string {
  if (batchId === undefined) return printable(row);
  const place = position === undefined ? `batch ${batchId}` : `batch ${batchId}, position ${position}`;
  return row === batchId ? place : `${place}: ${printable(row)}`;
}

function whole(count: number): string {
  return count.toLocaleString('en-US');
}
