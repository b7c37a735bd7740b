import type { Command } from 'commander';
import { readConfig } from '../config';
import { EndsWith, EXIT } from '../failures';
import { invocationOf } from '../invocation';
import type { Terminal } from '../output';

export function demoCommands(program: Command, terminal: Terminal): void {
  program
    .command('demo')
    .description('run real jobs on what runs here, or on an installation of its own, and show what they cost')
    .option('--keep', 'leave it running afterwards, for looking around')
    .action(async ({ keep = false }: { keep?: boolean }, command: Command) => {
      const { output } = invocationOf(command, terminal);
      // Loaded when needed: it brings the servers along.
      const { runDemo } = require('../demo') as typeof import('../demo');
      const went = await runDemo({ config: readConfig(terminal.env), terminal, output, keep });
      if (!went) throw new EndsWith(EXIT.refused);
    });
}
