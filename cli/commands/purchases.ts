/** Packs and purchases of credits. */
import type { Command } from 'commander';
import type { PurchaseRequest } from '../client';
import { packsView, purchasesView, purchaseView } from '../contractViews';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import type { Terminal } from '../output';
import { type PageOptions, paged, pageOf, readWhole, tellPage } from '../paged';
import { namedContract, readInstant } from './credits';
import { readAmount } from './submit';

interface ListOptions extends PageOptions {
  readonly customer?: string;
  readonly waiting?: boolean;
}

interface RecordOptions {
  readonly customer: string;
  readonly pack?: string;
  readonly quantity?: string;
  readonly amount?: string;
  readonly price?: string;
  readonly purchased?: string;
  readonly contract?: string;
}

export function purchaseCommands(program: Command, terminal: Terminal): void {
  program
    .command('packs')
    .description('in what credits are sold')
    .action(async (_options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.packs();
      if (output.json) output.raw(text);
      else output.say(packsView(body.items, output.paint));
    });

  paged(program.command('purchases').description('what was purchased, the newest first'))
    .option('--customer <id>', 'only by this customer')
    .option('--waiting', 'only what is not allocated to a contract yet')
    .action(async ({ customer, waiting = false, ...page }: ListOptions, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const wanted = { ...(customer !== undefined && { customer }), ...(waiting && { unallocated: 'true' }) };
      tellPage(output, await client.purchases({ ...pageOf(page), ...wanted }), purchasesView);
    });

  const purchase = program
    .command('purchase [purchase]')
    .description('one purchase; or to record and to allocate one')
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      if (id === undefined) throw new WrongUsage('Say which purchase: "holdfast purchases" lists them.');
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.purchase(id);
      if (output.json) output.raw(text);
      else output.say(purchaseView(body, output.paint));
    });

  purchase
    .command('record <order-number>')
    .description('record a purchase, once per order number (provider)')
    .requiredOption('--customer <id>', 'who bought')
    .option('--pack <code>', 'a pack')
    .option('--quantity <count>', 'how many packs, if not one')
    .option('--amount <credits>', 'what was bought, where not in packs')
    .option('--price <amount currency>', 'what was paid for all of it, in the smallest unit, such as "129900 EUR"')
    .option('--purchased <instant>', 'when, if not now; its twelve months begin then')
    .option('--contract <id>', 'allocate it at once: an id or a part of its name')
    .action(async (orderNumber: string, options: RecordOptions, command: Command) => {
      const request = requestOf(orderNumber, options);
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { contract } = options;
      const contractId = contract === undefined ? {} : { contractId: await namedContract(client, contract) };
      const { body, text } = await client.recordPurchase({ ...request, ...contractId });
      if (output.json) output.raw(text);
      else output.say(purchaseView(body, output.paint));
    });

  purchase
    .command('allocate <purchase>')
    .description('allocate a purchase to a contract of its customer, once (provider)')
    .requiredOption('--contract <id>', 'an id or a part of its name')
    .action(async (id: string, { contract }: { contract: string }, command: Command) => {
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.allocatePurchase(id, await namedContract(client, contract));
      if (output.json) output.raw(text);
      else output.say(purchaseView(body, output.paint));
    });
}

/** What was ordered, or why it cannot be meant, before anything is sent. */
function requestOf(orderNumber: string, options: RecordOptions): PurchaseRequest {
  const { customer, pack, quantity, amount, price, purchased } = options;
  if ((pack === undefined) === (amount === undefined)) {
    throw new WrongUsage('Say what was bought: either --pack or --amount.');
  }
  if (quantity !== undefined && pack === undefined) throw new WrongUsage('Only packs are counted: give --pack, too.');
  if (amount !== undefined) readAmount('--amount', amount);
  return {
    orderNumber,
    customerId: customer,
    ...(pack !== undefined && { pack }),
    ...(quantity !== undefined && { quantity: readWhole('--quantity', quantity) }),
    ...(amount !== undefined && { amount }),
    ...(price !== undefined && { price: readPrice(price) }),
    ...(purchased !== undefined && { purchasedAt: readInstant('--purchased', purchased) }),
  };
}

function readPrice(text: string): { minor: number; currency: string } {
  const [, minor, currency] = /^(\d{1,15}) ([A-Z]{3})$/.exec(text) ?? [];
  if (minor === undefined || currency === undefined) {
    throw new WrongUsage(
      `--price is an amount in the smallest unit and a currency, such as "129900 EUR", unlike "${text}".`,
    );
  }
  return { minor: Number(minor), currency };
}
