/** Lots, balances and grants. */
import type { Command } from 'commander';
import type { Answer, Balance, Client, Lot, Page } from '../client';
import { WrongUsage } from '../failures';
import { contractOf, type Invocation, invocationOf } from '../invocation';
import { inCredits, type Terminal } from '../output';
import { balanceView, lotsView } from '../views';
import { readAmount } from './submit';

interface PoolOptions {
  readonly contract?: string;
  readonly user?: string;
}

interface GrantOptions extends PoolOptions {
  readonly reason: string;
  readonly reference?: string;
  readonly courtesyUntil?: string;
}

export function creditCommands(program: Command, terminal: Terminal): void {
  pools(program.command('lots').description('your lots and those of your contracts')).action(
    (options: PoolOptions, command: Command) =>
      showPools<Page<Lot>>(invocationOf(command, terminal), options, {
        ofUser: (client, id) => client.userLots(id),
        ofContract: (client, id) => client.contractLots(id),
        view: ({ items }, { output }) => lotsView(items, output.paint),
      }),
  );

  pools(program.command('balance').description('what you and your contracts can spend now')).action(
    (options: PoolOptions, command: Command) =>
      showPools<Balance>(invocationOf(command, terminal), options, {
        ofUser: (client, id) => client.userBalance(id),
        ofContract: (client, id) => client.contractBalance(id),
        view: (balance, { output }) => balanceView(balance, output.paint),
      }),
  );

  pools(program.command('grant <credits>').description('grant a lot to a contract or a user (provider)'))
    .requiredOption('--reason <text>', 'why; stays in the ledger')
    .option('--reference <text>', 'an order number or the like')
    .option('--courtesy-until <instant>', 'a courtesy lot of a contract that ends at this instant')
    .action(async (credits: string, options: GrantOptions, command: Command) => {
      readAmount('The amount', credits);
      if ((options.contract === undefined) === (options.user === undefined)) {
        throw new WrongUsage('Say who gets the credits: either --contract or --user.');
      }
      const invocation = invocationOf(command, terminal, 'provider');
      const { body, text } = await grant(invocation.client, credits, options);
      const { output } = invocation;
      if (output.json) output.raw(text);
      else output.say(`${inCredits(body.granted)} granted.\n\n${lotsView([body], output.paint)}`);
    });
}

function pools(command: Command): Command {
  return command
    .option('--contract <id>', 'of this contract: an id or a part of its name')
    .option('--user <id>', 'of this user');
}

interface PoolView<T> {
  readonly ofUser: (client: Client, id: string) => Promise<Answer<T>>;
  readonly ofContract: (client: Client, id: string) => Promise<Answer<T>>;
  readonly view: (body: T, invocation: Invocation) => string;
}

/** One pool when one is named; otherwise the person's own and those of all contracts the person is authorised on. */
async function showPools<T>(invocation: Invocation, options: PoolOptions, show: PoolView<T>): Promise<void> {
  const { client, output } = invocation;
  const { contract, user } = options;
  if (contract !== undefined && user !== undefined) throw new WrongUsage('Give either --contract or --user.');
  if (contract !== undefined || user !== undefined) {
    const { body, text } =
      user !== undefined
        ? await show.ofUser(client, user)
        : await show.ofContract(client, await namedContract(client, contract ?? ''));
    if (output.json) output.raw(text);
    else output.say(show.view(body, invocation));
    return;
  }
  const me = (await client.me()).body;
  const own = (await show.ofUser(client, me.userId)).body;
  const contracts = (await client.contracts()).body.items.filter(({ id }) => me.contractIds.includes(id));
  const shared = await Promise.all(
    contracts.map(async ({ id, name }) => ({ id, name, body: (await show.ofContract(client, id)).body })),
  );
  if (output.json) {
    const ofContracts = Object.fromEntries(shared.map(({ id, body }) => [id, body]));
    output.raw(JSON.stringify({ users: { [me.userId]: own }, contracts: ofContracts }));
    return;
  }
  const parts = [
    `${output.paint.bold(me.name)}, individual\n${show.view(own, invocation)}`,
    ...shared.map(({ id, name, body }) => `${output.paint.bold(name)}  ${id}\n${show.view(body, invocation)}`),
  ];
  output.say(parts.join('\n\n'));
}

async function namedContract(client: Client, wanted: string): Promise<string> {
  const id = await contractOf(client, (await client.me()).body, wanted);
  if (id === null) throw new WrongUsage('Name a contract.');
  return id;
}

async function grant(client: Client, amount: string, options: GrantOptions): Promise<Answer<Lot>> {
  const { contract, user, reason, reference, courtesyUntil } = options;
  const common = { amount, reason };
  const referred = { ...common, ...(reference !== undefined && { reference }) };
  if (user !== undefined) {
    if (courtesyUntil !== undefined) throw new WrongUsage('A courtesy lot belongs to a contract.');
    return client.grantToUser(user, referred);
  }
  const id = await namedContract(client, contract ?? '');
  if (courtesyUntil === undefined) return client.grantToContract(id, { kind: 'shared', ...referred });
  if (reference !== undefined) throw new WrongUsage('A courtesy lot has no reference.');
  return client.grantToContract(id, { kind: 'courtesy', ...common, expiresAt: courtesyUntil });
}
