import type { Command } from 'commander';
import { invocationOf } from '../invocation';
import type { Terminal } from '../output';
import { meView, servicesView } from '../views';

export function aboutCommands(program: Command, terminal: Terminal): void {
  program
    .command('services')
    .description('what can be run, and with which parameters')
    .action(async (_options, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.services();
      if (output.json) output.raw(text);
      else output.say(servicesView(body.items, output.paint));
    });

  program
    .command('whoami')
    .description('who you are by your API key')
    .action(async (_options, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.me();
      if (output.json) output.raw(text);
      else output.say(meView(body, output.paint));
    });
}
