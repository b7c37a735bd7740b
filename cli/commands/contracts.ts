/** Contracts: what they are, how they change, and who is on them. */
import { type Command, Option } from 'commander';
import { RENEWALS } from '../../domain/contract';
import { CONTRACT_PHASES } from '../../domain/contractPhase';
import type { Contract, ContractRequest } from '../client';
import { changesView, contractsView, contractView, spendersView } from '../contractViews';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import type { Terminal } from '../output';
import { type PageOptions, paged, pageOf, readWhole, tellPage } from '../paged';
import { namedContract, readInstant } from './credits';

interface ListOptions extends PageOptions {
  readonly state?: string;
  readonly customer?: string;
}

interface AddOptions {
  readonly from: string;
  readonly until: string;
  readonly timeZone: string;
  readonly renewal: Contract['renewal'];
  readonly months: string;
  readonly grace: string;
  readonly product: readonly string[];
  readonly reason: string;
}

type ChangeOptions = Readonly<Record<string, string>> & { readonly reason: string };

export function contractCommands(program: Command, terminal: Terminal): void {
  const contracts = paged(program.command('contracts').description('the contracts that you may see'))
    .addOption(new Option('--state <state>', 'only those').choices(CONTRACT_PHASES))
    .option('--customer <id>', 'only of this customer')
    .action(async ({ state, customer, ...page }: ListOptions, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const wanted = { ...(state !== undefined && { state }), ...(customer !== undefined && { customer }) };
      tellPage(output, await client.contracts({ ...pageOf(page), ...wanted }), contractsView);
    });

  withRenewal(contracts.command('add <customer> <name>').description('make a contract of a customer (provider)'))
    .requiredOption('--from <instant>', 'when it begins')
    .requiredOption('--until <instant>', 'when its first term ends')
    .requiredOption('--time-zone <name>', 'by whose calendar, such as Europe/Berlin')
    .option('--product <product,type,level,seats>', 'what it is for; may be repeated', collect, [])
    .requiredOption('--reason <text>', 'why; stays in its history')
    .action(async (customerId: string, name: string, options: AddOptions, command: Command) => {
      const request = requestOf(customerId, name, options);
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.makeContract(request);
      if (output.json) output.raw(text);
      else output.say(contractView(body, output.paint));
    });

  const contract = program
    .command('contract [contract]')
    .description('a contract: terms, products, renewal; and how it changes')
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.contract(await namedContract(client, name));
      if (output.json) output.raw(text);
      else output.say(contractView(body, output.paint));
    });

  paged(contract.command('history <contract>').description('every change, the last first')).action(
    async (name: string, options: PageOptions, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'contract-admin');
      const id = await namedContract(client, name);
      tellPage(output, await client.contractChanges(id, pageOf(options)), changesView);
    },
  );

  /** A command that changes a contract, with a body made of its options. */
  function change(
    what: string,
    description: string,
    options: readonly Option[],
    bodyOf: (options: ChangeOptions) => Readonly<Record<string, unknown>>,
  ): void {
    const command = contract.command(`${what} <contract>`).description(`${description} (provider)`);
    for (const option of options) command.addOption(option);
    command
      .requiredOption('--reason <text>', 'why; stays in its history')
      .action(async (name: string, given: ChangeOptions, self: Command) => {
        const body = { ...bodyOf(given), reason: given.reason };
        const { client, output } = invocationOf(self, terminal, 'provider');
        const { body: changed, text } = await client.changeContract(await namedContract(client, name), what, body);
        if (output.json) output.raw(text);
        else output.say(contractView(changed, output.paint));
      });
  }

  change(
    'renew',
    'one more term, within its grace, too',
    [new Option('--months <count>', 'for how long, if not as its renewal terms say')],
    ({ months }) => (months === undefined ? {} : { months: readWhole('--months', months) }),
  );
  change(
    'extend',
    'a later end for its last term',
    [new Option('--until <instant>', 'the new end').makeOptionMandatory()],
    ({ until = '' }) => ({ endsAt: readInstant('--until', until) }),
  );
  change(
    'terminate',
    'end it, now or at an instant to come',
    [new Option('--at <instant>', 'when, if not now')],
    ({ at }) => (at === undefined ? {} : { at: readInstant('--at', at) }),
  );
  change('revoke-termination', 'take a termination back that has not come', [], () => ({}));
  change('suspend', 'let nothing of it be spent', [], () => ({}));
  change('resume', 'end its suspension', [], () => ({}));

  contract
    .command('products <contract>')
    .description('change what it is for: the whole list (provider)')
    .option('--product <product,type,level,seats>', 'may be repeated; none leaves nothing', collect, [])
    .requiredOption('--reason <text>', 'why; stays in its history')
    .action(async (name: string, given: Pick<AddOptions, 'product' | 'reason'>, command: Command) => {
      const body = { products: given.product.map(readProduct), reason: given.reason };
      await replace(name, 'products', () => body, command);
    });

  contract
    .command('renewal <contract>')
    .description('change how it is renewed, and its grace; what is left out stays (provider)')
    .addOption(new Option('--renewal <how>', 'by hand or by itself').choices(RENEWALS))
    .option('--months <count>', 'for how many months')
    .option('--grace <days>', 'for how many days after its end it may still be renewed')
    .requiredOption('--reason <text>', 'why; stays in its history')
    .action(async (name: string, given: Partial<AddOptions>, command: Command) => {
      const { renewal, months, grace, reason } = given;
      const wanted = {
        ...(renewal !== undefined && { renewal }),
        ...(months !== undefined && { renewalMonths: readWhole('--months', months) }),
        ...(grace !== undefined && { graceDays: readDays(grace) }),
      };
      const keep = ({ renewal: how, renewalMonths, graceDays }: Contract) => ({
        renewal: how,
        renewalMonths,
        graceDays,
      });
      await replace(name, 'renewal', (before) => ({ ...keep(before), ...wanted, reason }), command);
    });

  /** Replaces a part of a contract that nobody has changed meanwhile. */
  async function replace(
    name: string,
    what: string,
    bodyOf: (before: Contract) => unknown,
    command: Command,
  ): Promise<void> {
    const { client, output } = invocationOf(command, terminal, 'provider');
    const { body: before, etag } = await client.contract(await namedContract(client, name));
    const { body, text } = await client.replaceInContract(before.id, what, bodyOf(before), etag ?? '*');
    if (output.json) output.raw(text);
    else output.say(contractView(body, output.paint));
  }

  program
    .command('spenders <lot>')
    .description('who could spend a lot on a day, and why the others could not')
    .option('--at <instant>', 'at this instant, if not now')
    .action(async (lot: string, { at }: { at?: string }, command: Command) => {
      const query = at === undefined ? {} : { at: readInstant('--at', at) };
      const { client, output } = invocationOf(command, terminal, 'contract-admin');
      const { body, text } = await client.spenders(lot, query);
      if (output.json) output.raw(text);
      else output.say(spendersView(body, output.paint));
    });
}

function withRenewal(command: Command): Command {
  return command
    .addOption(new Option('--renewal <how>', 'by hand or by itself').choices(RENEWALS).default('manual'))
    .option('--months <count>', 'for how many months it is renewed', '12')
    .option('--grace <days>', 'for how many days after its end it may still be renewed', '0');
}

function requestOf(customerId: string, name: string, options: AddOptions): ContractRequest {
  const { from, until, timeZone, renewal, months, grace, product, reason } = options;
  return {
    customerId,
    name,
    startsAt: readInstant('--from', from),
    endsAt: readInstant('--until', until),
    timeZone,
    renewal,
    renewalMonths: readWhole('--months', months),
    graceDays: readDays(grace),
    products: product.map(readProduct),
    reason,
  };
}

function readDays(text: string): number {
  return text === '0' ? 0 : readWhole('--grace', text);
}

function readProduct(text: string): Contract['products'][number] {
  const [product, type, level, seats, ...more] = text.split(',').map((part) => part.trim());
  if (!product || !type || !level || !seats || more.length > 0) {
    throw new WrongUsage(`--product is product,type,level,seats, unlike "${text}".`);
  }
  return { product, type, level, seats: readWhole('The seats of --product', seats) };
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}
