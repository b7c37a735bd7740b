/** Configuration sessions from the command line. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { Answer, Session } from '../client';
import { WrongUsage } from '../failures';
import { contractOf, type Invocation, invocationOf } from '../invocation';
import { instantCell, type Terminal } from '../output';

interface OpenOptions {
  readonly contract?: string;
  readonly max: string;
}

export function sessionCommands(program: Command, terminal: Terminal): void {
  const group = program.command('session').description('a configuration session on a design');
  group
    .command('open <design>')
    .description('opens one, or goes on with the one that is open on this design')
    .requiredOption('--max <credits>', 'what it may cost at most')
    .option('--contract <id>', 'who pays: an id, a part of a contract’s name, or none for individual credits alone')
    .action(async (file: string, { contract, max }: OpenOptions, command: Command) => {
      const invocation = invocationOf(command, terminal);
      const { client } = invocation;
      const contractId = await contractOf(client, (await client.me()).body, contract);
      const upload = { path: file, name: basename(file), mediaType: 'application/json' };
      const { digest } = (await client.upload(upload)).body;
      tell(invocation, await client.openSession({ design: digest, contractId, maxCredits: max }));
    });
  group
    .command('show <session>')
    .description('what was chosen, and until when it is open')
    .action(async (id: string, _options: unknown, command: Command) => {
      const invocation = invocationOf(command, terminal);
      tell(invocation, await invocation.client.session(id));
    });
  group
    .command('choose <session> [choices...]')
    .description('goes on with it; each choice is written option=choice')
    .action(async (id: string, texts: readonly string[], _options: unknown, command: Command) => {
      const invocation = invocationOf(command, terminal);
      tell(invocation, await invocation.client.goOnWithSession(id, readChoices(texts)));
    });
  group
    .command('close <session>')
    .description('ends it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const invocation = invocationOf(command, terminal);
      tell(invocation, await invocation.client.closeSession(id));
    });
}

function readChoices(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1) throw new WrongUsage(`A choice is written option=choice, unlike "${text}".`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}

function tell({ output }: Invocation, { body, text }: Answer<Session>): void {
  if (output.json) {
    output.raw(text);
    return;
  }
  const { id, state, choices, endsAt, endedFor, isAdministrator } = body;
  const stands = state === 'open' ? `open until ${instantCell(endsAt)} unless you go on` : `ended: ${endedFor}`;
  const chosen = Object.entries(choices).map(([option, choice]) => `  ${option}: ${choice}`);
  const free = isAdministrator ? ['An administrator’s look: it costs nothing.'] : [];
  output.say([`session ${id}, ${stands}`, ...chosen, ...free].join('\n'));
}
