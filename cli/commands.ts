/** The commands for people. */
import { Command, CommanderError } from 'commander';
import { Refused } from './client';
import { aboutCommands } from './commands/about';
import { agentCommands } from './commands/agent';
import { allocationCommands } from './commands/allocations';
import { budgetCommands } from './commands/budgets';
import { calendarCommands } from './commands/calendar';
import { chargeCommands } from './commands/charges';
import { contractCommands } from './commands/contracts';
import { creditCommands } from './commands/credits';
import { demoCommands } from './commands/demo';
import { exportCommands } from './commands/export';
import { jobCommands } from './commands/jobs';
import { noticeCommands } from './commands/notices';
import { peopleCommands } from './commands/people';
import { purchaseCommands } from './commands/purchases';
import { rateCardCommands } from './commands/rateCards';
import { refundCommands } from './commands/refunds';
import { sessionCommands } from './commands/sessions';
import { submitCommands } from './commands/submit';
import { transferCommands } from './commands/transfers';
import { verifyCommands } from './commands/verify';
import { withdrawalCommands } from './commands/withdrawals';
import { describeProblem, EndsWith, EXIT, exitCodeOf } from './failures';
import type { GlobalOptions } from './invocation';
import { printable, type Terminal } from './output';

/** Builds `holdfast` with all commands for people; `main.ts` adds those that serve. Run it with {@link runProgram}. */
export function buildProgram(terminal: Terminal): Command {
  const program = new Command('holdfast')
    .description('Bills compute jobs in prepaid credits.')
    // Before any command is added, since they inherit it.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
    })
    .option('--url <address>', 'the API (HOLDFAST_URL, else what runs from HOLDFAST_HOME)')
    .option('--key <key>', 'the API key (HOLDFAST_API_KEY, else a demo key)')
    .option('--as <person>', 'a demo person, such as submitter, operator, finance or provider')
    .option('--json', 'print the API’s own JSON')
    .option('--no-color', 'no colours');
  for (const add of [
    submitCommands,
    jobCommands,
    sessionCommands,
    creditCommands,
    contractCommands,
    peopleCommands,
    purchaseCommands,
    rateCardCommands,
    allocationCommands,
    calendarCommands,
    chargeCommands,
    budgetCommands,
    refundCommands,
    withdrawalCommands,
    transferCommands,
    noticeCommands,
    verifyCommands,
    exportCommands,
    aboutCommands,
    demoCommands,
    agentCommands,
  ]) {
    add(program, terminal);
  }
  return program;
}

/** Runs a command line and gives its exit code. Errors that are nobody's expectation are thrown. */
export async function runProgram(program: Command, terminal: Terminal, words: readonly string[]): Promise<number> {
  // Whoever reads may have enough, as `head` does.
  terminal.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
  try {
    await program.parseAsync(words, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    // Commander has said what is wrong; help and version that were asked for are no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.wrongUsage;
    const code = exitCodeOf(error);
    if (code === undefined) throw error;
    tell(error as Error, terminal, program.opts<GlobalOptions>());
    return code;
  }
}

function tell(error: Error, { stdout, stderr }: Terminal, { json = false }: GlobalOptions): void {
  if (error instanceof EndsWith) return;
  if (!(error instanceof Refused)) {
    stderr.write(`${printable(error.message)}\n`);
    return;
  }
  if (json) stdout.write(`${error.text.trimEnd()}\n`);
  stderr.write(`${printable(describeProblem(error.problem))}\n`);
}
