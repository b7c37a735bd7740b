/** Lots, balances and grants. */
import type { Command } from 'commander';
import { parseInstant } from '../../domain/instant';
import type { Answer, Balance, Client, Lot, Page } from '../client';
import { WrongUsage } from '../failures';
import { contractOf, type Invocation, invocationOf } from '../invocation';
import { inCredits, type Terminal } from '../output';
import { balanceView, lotsView } from '../views';
import { readAmount } from './submit';

export interface PoolOptions {
  readonly contract?: string;
  readonly user?: string;
  readonly asOf?: string;
  readonly knownAt?: string;
}

interface GrantOptions {
  readonly contract?: string;
  readonly user?: string;
  readonly reason: string;
  readonly reference?: string;
  readonly courtesyUntil?: string;
  readonly repay?: boolean;
  readonly received?: string;
  readonly effective?: string;
  readonly purchased?: string;
}

export function creditCommands(program: Command, terminal: Terminal): void {
  asOf(pools(program.command('lots').description('your lots and those of your contracts'))).action(
    (options: PoolOptions, command: Command) =>
      showPools<Page<Lot>>(invocationOf(command, terminal), options, {
        ofUser: (client, id) => client.userLots(id, instantsOf(options)),
        ofContract: (client, id) => client.contractLots(id, instantsOf(options)),
        view: ({ items }, { output }) => lotsView(items, output.paint),
      }),
  );

  asOf(pools(program.command('balance').description('what you and your contracts can spend'))).action(
    (options: PoolOptions, command: Command) =>
      showPools<Balance>(invocationOf(command, terminal), options, {
        ofUser: (client, id) => client.userBalance(id, instantsOf(options)),
        ofContract: (client, id) => client.contractBalance(id, instantsOf(options)),
        view: (balance, { output }) => balanceView(balance, output.paint),
      }),
  );

  pools(program.command('grant <credits>').description('grant a lot to a contract or a user (provider)'))
    .requiredOption('--reason <text>', 'why; stays in the ledger')
    .option('--reference <text>', 'an order number or the like')
    .option('--courtesy-until <instant>', 'a courtesy lot of a contract that ends at this instant')
    .option('--repay', 'an advance: the next shared lots repay what was used of the courtesy lot')
    .option('--received <instant>', 'an import: when the customer received the credits')
    .option('--effective <instant>', 'from when on an import can be spent, if not from when it was received')
    .option('--purchased <instant>', 'when a shared lot was purchased, if not now')
    .action(async (credits: string, options: GrantOptions, command: Command) => {
      readAmount('The amount', credits);
      refuseContradictions(options);
      timesOf(options);
      const invocation = invocationOf(command, terminal, 'provider');
      const { body, text } = await grant(invocation.client, credits, options);
      const { output } = invocation;
      if (output.json) output.raw(text);
      else output.say(`${inCredits(body.granted)} granted.\n\n${lotsView([body], output.paint)}`);
    });
}

function asOf(command: Command): Command {
  return command
    .option('--as-of <instant>', 'as of this instant: with what is booked not later')
    .option('--known-at <instant>', 'as it was known at this instant: with what was recorded not later');
}

/** The instants that are asked for; those that are none are wrong usage. */
function instantsOf({ asOf: bookedAt, knownAt: recordedAt }: PoolOptions): Record<string, string> {
  return {
    ...(bookedAt !== undefined && { bookedAt: readInstant('--as-of', bookedAt) }),
    ...(recordedAt !== undefined && { recordedAt: readInstant('--known-at', recordedAt) }),
  };
}

/** @throws WrongUsage unless the text is an instant. */
export function readInstant(name: string, text: string): string {
  try {
    return parseInstant(text);
  } catch (error) {
    throw new WrongUsage(`${name}: ${(error as Error).message}.`, { cause: error });
  }
}

/** Options for whose it is. */
export function pools(command: Command): Command {
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
export async function showPools<T>(invocation: Invocation, options: PoolOptions, show: PoolView<T>): Promise<void> {
  instantsOf(options);
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

/** The contract that is meant. @throws WrongUsage when that is not clear. */
export async function namedContract(client: Client, wanted: string | undefined): Promise<string> {
  const id = await contractOf(client, (await client.me()).body, wanted);
  if (id === null) throw new WrongUsage('Name a contract.');
  return id;
}

async function grant(client: Client, amount: string, options: GrantOptions): Promise<Answer<Lot>> {
  const { contract, user, reason, reference, courtesyUntil, repay = false } = options;
  const common = { amount, reason };
  const referred = { ...common, ...(reference !== undefined && { reference }), ...timesOf(options) };
  if (user !== undefined) return client.grantToUser(user, referred);
  const id = await namedContract(client, contract ?? '');
  if (courtesyUntil === undefined) return client.grantToContract(id, { kind: 'shared', ...referred });
  return client.grantToContract(id, { kind: 'courtesy', ...common, expiresAt: courtesyUntil, repay });
}

/** What cannot be meant is refused before anything is sent. */
function refuseContradictions(options: GrantOptions): void {
  const { contract, user, reference, courtesyUntil, repay, received, effective, purchased } = options;
  if ((contract === undefined) === (user === undefined)) {
    throw new WrongUsage('Say who gets the credits: either --contract or --user.');
  }
  if (courtesyUntil === undefined) {
    if (repay) throw new WrongUsage('An advance is a courtesy lot: give --courtesy-until, too.');
  } else {
    if (user !== undefined) throw new WrongUsage('A courtesy lot belongs to a contract.');
    if (reference !== undefined) throw new WrongUsage('A courtesy lot has no reference.');
    if ([received, effective, purchased].some((one) => one !== undefined)) {
      throw new WrongUsage('A courtesy lot has no times of its own but its end.');
    }
  }
  if (effective !== undefined && received === undefined) {
    throw new WrongUsage('Only what is imported has times of its own: give --received, too.');
  }
}

function timesOf({ received, effective, purchased }: GrantOptions) {
  return {
    ...(received !== undefined && { source: 'import' as const, receivedAt: readInstant('--received', received) }),
    ...(effective !== undefined && { effectiveAt: readInstant('--effective', effective) }),
    ...(purchased !== undefined && { purchasedAt: readInstant('--purchased', purchased) }),
  };
}
