/** The journal as transfers, for those who audit it. */
import type { Command } from 'commander';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import { transfersView } from '../ledgerViews';
import type { Terminal } from '../output';
import { namedContract } from './credits';

interface TransferOptions {
  readonly lot?: string;
  readonly job?: string;
  readonly contract?: string;
  readonly user?: string;
  readonly limit: string;
  readonly cursor?: string;
}

export function transferCommands(program: Command, terminal: Terminal): void {
  program
    .command('transfers')
    .description('what moved in the ledger, newest first (finance)')
    .option('--lot <id>', 'of this lot')
    .option('--job <id>', 'of this job and its refunds')
    .option('--contract <id>', 'of the lots of this contract: an id or a part of its name')
    .option('--user <id>', 'of the lots of this user')
    .option('--limit <count>', 'how many', '20')
    .option('--cursor <cursor>', 'go on after an earlier page')
    .action(async ({ contract, ...options }: TransferOptions, command: Command) => {
      const { lot, job, user } = options;
      if ([lot, job, contract, user].filter((one) => one !== undefined).length > 1) {
        throw new WrongUsage('Give one of --lot, --job, --contract and --user.');
      }
      const { client, output } = invocationOf(command, terminal, 'finance');
      const ofContract = contract === undefined ? {} : { contract: await namedContract(client, contract) };
      const { body, text } = await client.transfers({ ...options, ...ofContract });
      if (output.json) return output.raw(text);
      output.say(transfersView(body.items, output.paint));
      if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
    });
}
