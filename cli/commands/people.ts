/** Customers and users, and who is on which contract. */
import { type Command, Option } from 'commander';
import { CONTRACT_ROLES } from '../../db/authorisations';
import { LANGUAGES } from '../../domain/notices';
import type { Authorisation, UserChange, UserRequest } from '../client';
import { authorisationsView, customersView, userView } from '../contractViews';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import type { Terminal } from '../output';
import { type PageOptions, paged, pageOf, tellPage } from '../paged';
import { namedContract, readInstant } from './credits';

interface UserOptions {
  readonly name?: string;
  readonly email?: string;
  readonly customer?: string;
  readonly language?: UserRequest['language'];
  readonly timeZone?: string;
}

interface AuthoriseOptions {
  readonly contract?: string;
  readonly role: Authorisation['role'];
  readonly from?: string;
  readonly at?: string;
}

export function peopleCommands(program: Command, terminal: Terminal): void {
  const customers = paged(program.command('customers').description('the customers of the provider')).action(
    async (options: PageOptions, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      tellPage(output, await client.customers(pageOf(options)), customersView);
    },
  );

  customers
    .command('add <name>')
    .description('make a customer (provider)')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.makeCustomer(name);
      if (output.json) output.raw(text);
      else output.say(customersView([body], output.paint));
    });

  customers
    .command('rename <customer> <name>')
    .description('change the name of a customer (provider)')
    .action(async (id: string, name: string, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.renameCustomer(id, name);
      if (output.json) output.raw(text);
      else output.say(customersView([body], output.paint));
    });

  const users = onContract(
    program.command('users').description('who is, was and will be authorised on a contract'),
  ).action(async ({ contract }: AuthoriseOptions, command: Command) => {
    const { client, output } = invocationOf(command, terminal, 'contract-admin');
    const { body, text } = await client.contractUsers(await namedContract(client, contract));
    if (output.json) output.raw(text);
    else output.say(authorisationsView(body.items, output.paint));
  });

  onContract(users.command('authorise <user>').description('authorise a user on a contract (contract-admin, provider)'))
    .addOption(new Option('--role <role>', 'what the user may there').choices(CONTRACT_ROLES).default('submitter'))
    .option('--from <instant>', 'from this instant on, if not now')
    .action(async (userId: string, _options: unknown, command: Command) => {
      const { contract, role, from } = command.optsWithGlobals<AuthoriseOptions>();
      const authorisedAt = from === undefined ? {} : { authorisedAt: readInstant('--from', from) };
      const { client, output } = invocationOf(command, terminal, 'contract-admin');
      const id = await namedContract(client, contract);
      const { body, text } = await client.authorise(id, { userId, role, ...authorisedAt });
      if (output.json) output.raw(text);
      else output.say(authorisationsView([body], output.paint));
    });

  onContract(users.command('remove <user>').description('remove a user from a contract (contract-admin, provider)'))
    .option('--at <instant>', 'at this instant, if not now; it can be changed until it comes')
    .action(async (userId: string, _options: unknown, command: Command) => {
      const { contract, at } = command.optsWithGlobals<AuthoriseOptions>();
      const query = at === undefined ? {} : { removedAt: readInstant('--at', at) };
      const { client, output } = invocationOf(command, terminal, 'contract-admin');
      const { body, text } = await client.removeFromContract(await namedContract(client, contract), userId, query);
      if (output.json) output.raw(text);
      else output.say(authorisationsView([body], output.paint));
    });

  users
    .command('show <user>')
    .description('a user')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.user(id);
      if (output.json) output.raw(text);
      else output.say(userView(body, output.paint));
    });

  described(users.command('add <name>').description('make a user (provider)'))
    .requiredOption('--email <address>', 'one person has one')
    .option('--customer <id>', 'of this customer; without one the provider’s own')
    .action(async (name: string, { email = '', customer, ...rest }: UserOptions, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.makeUser({ name, email, customerId: customer ?? null, ...choicesOf(rest) });
      if (output.json) output.raw(text);
      else output.say(userView(body, output.paint));
    });

  described(users.command('change <user>').description('change a user (provider; language and time zone: the user)'))
    .option('--name <name>', 'the name')
    .option('--email <address>', 'the address')
    .action(async (id: string, options: UserOptions, command: Command) => {
      const { name, email } = options;
      const change: UserChange = {
        ...(name !== undefined && { name }),
        ...(email !== undefined && { email }),
        ...choicesOf(options),
      };
      if (Object.keys(change).length === 0) throw new WrongUsage('Say what changes.');
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.changeUser(id, change);
      if (output.json) output.raw(text);
      else output.say(userView(body, output.paint));
    });
}

function onContract(command: Command): Command {
  return command.option('--contract <id>', 'on this contract: an id or a part of its name');
}

function described(command: Command): Command {
  return command
    .addOption(new Option('--language <language>', 'in which the user is written to').choices(LANGUAGES))
    .option('--time-zone <name>', 'by whose clock, such as Europe/Berlin');
}

function choicesOf({ language, timeZone }: UserOptions): Pick<UserChange, 'language' | 'timeZone'> {
  return { ...(language !== undefined && { language }), ...(timeZone !== undefined && { timeZone }) };
}
