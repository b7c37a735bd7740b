/** Giving back what was charged, by one person or by two. */
import { type Command, Option } from 'commander';
import type { RefundRequest } from '../client';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import { refundsView, refundView } from '../ledgerViews';
import type { Terminal } from '../output';
import { findCharge } from './charges';
import { readAmount } from './submit';

interface RefundOptions {
  readonly amount?: string;
  readonly actual?: string;
  readonly reason: string;
}

export function refundCommands(program: Command, terminal: Terminal): void {
  program
    .command('refund <job-or-charge>')
    .description('give back an amount of a charge, or correct it to its true actual (finance, provider)')
    .option('--amount <credits>', 'what to give back')
    .option('--actual <credits>', 'what the job should have cost')
    .requiredOption('--reason <text>', 'why; the ledger and the customer see it')
    .action(async (id: string, options: RefundOptions, command: Command) => {
      const request = requestOf(options);
      const { client, output } = invocationOf(command, terminal, 'finance');
      const { body: charge } = await findCharge(client, id);
      const { body, text } = await client.askForRefund(charge.id, request);
      if (output.json) return output.raw(text);
      output.say(refundView(body, output.paint));
      if (body.status === 'waiting') {
        output.say(`\nIt waits for a second person:\nholdfast refunds approve ${body.id} --as finance-approver`);
      }
    });

  const refunds = program
    .command('refunds')
    .description('the refunds that need a second person, newest first')
    .addOption(new Option('--status <status>', 'only those').choices(['waiting', 'booked', 'rejected']))
    .option('--limit <count>', 'how many', '20')
    .option('--cursor <cursor>', 'go on after an earlier page')
    .action(async (options: Record<string, string>, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'finance-approver');
      const { body, text } = await client.refunds(options);
      if (output.json) return output.raw(text);
      output.say(refundsView(body.items, output.paint));
      if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
    });

  refunds
    .command('show <refund>')
    .description('a refund, and where it went')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.refund(id);
      if (output.json) output.raw(text);
      else output.say(refundView(body, output.paint));
    });

  refunds
    .command('approve <refund>')
    .description('book a refund that waits (finance-approver; never who asked for it)')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'finance-approver');
      const { body, text } = await client.approveRefund(id);
      if (output.json) output.raw(text);
      else output.say(refundView(body, output.paint));
    });

  refunds
    .command('reject <refund>')
    .description('give nothing back (finance-approver; never who asked for it)')
    .requiredOption('--reason <text>', 'why not')
    .action(async (id: string, { reason }: { reason: string }, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'finance-approver');
      const { body, text } = await client.rejectRefund(id, reason);
      if (output.json) output.raw(text);
      else output.say(refundView(body, output.paint));
    });
}

/** What is asked for, or why it cannot be meant, before anything is sent. */
function requestOf({ amount, actual, reason }: RefundOptions): RefundRequest {
  if (amount !== undefined && actual === undefined) {
    if (readAmount('--amount', amount) === 0n) throw new WrongUsage('--amount is more than zero.');
    return { amount, reason };
  }
  if (actual === undefined || amount !== undefined) {
    throw new WrongUsage('Say either --amount, what to give back, or --actual, what the job should have cost.');
  }
  readAmount('--actual', actual);
  return { actual, reason };
}
