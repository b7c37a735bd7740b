/** Withdrawing individual credits: preview, start, watch, rescind. */
import { type Command, Option } from 'commander';
import { WITHDRAWAL_USER_STATES } from '../../domain/withdrawal';
import type { WithdrawalSelection } from '../client';
import { WrongUsage } from '../failures';
import { confirm, type Invocation, invocationOf, isInteractive } from '../invocation';
import type { Terminal } from '../output';
import { type PageOptions, paged, readWhole, tellPage } from '../paged';
import {
  pendingWithdrawalsView,
  rescissionView,
  withdrawalPreviewView,
  withdrawalsView,
  withdrawalUsersView,
  withdrawalView,
} from '../withdrawalViews';
import { readInstant } from './credits';

interface SelectionOptions {
  readonly user: readonly string[];
  readonly lot: readonly string[];
  readonly customer?: string;
  readonly grantedBefore?: string;
}

interface StatusOptions extends PageOptions {
  readonly users?: boolean;
  readonly state?: string;
}

interface StartOptions extends SelectionOptions {
  readonly reason: string;
  readonly perSecond?: string;
  readonly yes?: boolean;
}

interface RescindOptions {
  readonly user: readonly string[];
  readonly all?: boolean;
  readonly reason: string;
}

export function withdrawalCommands(program: Command, terminal: Terminal): void {
  const withdraw = program
    .command('withdraw')
    .description('take individual credits back on 90 days’ notice (provider), or let users keep them');

  selecting(paged(withdraw.command('preview').description('who and how much; nothing of it is kept'))).action(
    async (options: SelectionOptions & PageOptions, command: Command) => {
      const selection = selectionOf(options);
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { cursor } = options;
      const page = { limit: readWhole('--limit', options.limit), ...(cursor !== undefined && { cursor }) };
      const { body, text } = await client.previewWithdrawal({ selection, ...page });
      if (output.json) return output.raw(text);
      output.say(withdrawalPreviewView(body, output.paint));
      if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
    },
  );

  selecting(
    withdraw.command('start').description('send every user a notice; 90 days after its delivery their credits go'),
  )
    .requiredOption('--reason <text>', 'why; every notice says it')
    .option('--per-second <count>', 'how many notices go out a second at most (20)')
    .option('--yes', 'without asking')
    .action(async (options: StartOptions, command: Command) => {
      const { reason, perSecond, yes } = options;
      const selection = selectionOf(options);
      const pace = perSecond === undefined ? {} : { noticesPerSecond: readWhole('--per-second', perSecond) };
      if (!yes && !isInteractive(terminal)) {
        throw new WrongUsage('Nobody is here to be asked: look with "withdraw preview", then start with --yes.');
      }
      const invocation = invocationOf(command, terminal, 'provider');
      if (!yes && !(await isWanted(invocation, selection))) return;
      const { client, output } = invocation;
      const { body, text } = await client.startWithdrawal({ selection, reason, ...pace });
      if (output.json) return output.raw(text);
      output.say(`${withdrawalView(body, output.paint)}\n\nholdfast withdraw status ${body.id}`);
    });

  paged(withdraw.command('status [withdrawal]').description('all withdrawals, or one: how far it is'))
    .option('--users', 'its users, each with state and instants')
    .addOption(new Option('--state <state>', 'only those of its users').choices(WITHDRAWAL_USER_STATES))
    .action(async (id: string | undefined, options: StatusOptions, command: Command) => {
      const { users, state, limit, cursor } = options;
      const ofUsers = users === true || state !== undefined;
      const page = { limit, ...(cursor !== undefined && { cursor }) };
      if (id === undefined) {
        if (ofUsers) throw new WrongUsage('Say of which withdrawal the users are to be listed.');
        const { client, output } = invocationOf(command, terminal, 'operator');
        return tellPage(output, await client.withdrawals(page), withdrawalsView);
      }
      const { client, output } = invocationOf(command, terminal, 'operator');
      if (ofUsers) {
        const query = { ...page, ...(state !== undefined && { state }) };
        return tellPage(output, await client.withdrawalUsers(id, query), withdrawalUsersView);
      }
      const { body, text } = await client.withdrawal(id);
      if (output.json) output.raw(text);
      else output.say(withdrawalView(body, output.paint));
    });

  withdraw
    .command('rescind <withdrawal>')
    .description('let users keep their credits, as long as they are not gone (provider)')
    .option('--user <id>', 'this user; may be repeated', collect, [])
    .option('--all', 'all users')
    .requiredOption('--reason <text>', 'why; stays in the ledger')
    .action(async (id: string, { user, all = false, reason }: RescindOptions, command: Command) => {
      if (all === user.length > 0) throw new WrongUsage('Say who keeps the credits: either --user or --all.');
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.rescindWithdrawal(id, { userIds: all ? 'all' : [...user], reason });
      if (output.json) return output.raw(text);
      output.say('rescinded' in body ? rescissionView(body) : 'It is under way.');
    });

  withdraw
    .command('pending')
    .description('what was announced to you, or to a user, and is still to come')
    .option('--user <id>', 'of this user')
    .action(async ({ user }: { user?: string }, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.pendingWithdrawals(user ?? (await client.me()).body.userId);
      if (output.json) output.raw(text);
      else output.say(pendingWithdrawalsView(body.items, output.paint));
    });
}

function selecting(command: Command): Command {
  return command
    .option('--user <id>', 'all individual lots of this user; may be repeated', collect, [])
    .option('--lot <id>', 'this individual lot; may be repeated', collect, [])
    .option('--customer <id>', 'all individual lots of this customer’s users')
    .option('--granted-before <instant>', 'all individual lots granted before this instant');
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}

/** What is selected, or why it cannot be meant, before anything is sent. */
function selectionOf({ user, lot, customer, grantedBefore }: SelectionOptions): WithdrawalSelection {
  const wanted: WithdrawalSelection[] = [
    ...(user.length > 0 ? [{ userIds: [...user] }] : []),
    ...(lot.length > 0 ? [{ lotIds: [...lot] }] : []),
    ...(customer !== undefined ? [{ customerId: customer }] : []),
    ...(grantedBefore !== undefined ? [{ grantedBefore: readInstant('--granted-before', grantedBefore) }] : []),
  ];
  const [one] = wanted;
  if (!one || wanted.length > 1) {
    throw new WrongUsage('Select by one of --user, --lot, --customer and --granted-before.');
  }
  return one;
}

/** Shows who and how much, and asks. */
async function isWanted({ client, output, terminal }: Invocation, selection: WithdrawalSelection): Promise<boolean> {
  const { body } = await client.previewWithdrawal({ selection, limit: 20 });
  output.note(withdrawalPreviewView(body, output.paint));
  return confirm(terminal, 'Send them a notice now?');
}
