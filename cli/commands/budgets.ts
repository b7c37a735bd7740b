/** Budgets of users and projects inside a contract. */
import { type Command, Option } from 'commander';
import { BUDGET_PERIODS } from '../../domain/budget';
import type { Answer, Budget, BudgetChange, BudgetRequest, Client } from '../client';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import { budgetsView, budgetView } from '../ledgerViews';
import type { Terminal } from '../output';
import { namedContract } from './credits';
import { readAmount } from './submit';

interface ContractOption {
  readonly contract?: string;
}

interface SetOptions extends ContractOption {
  readonly user?: string;
  readonly project?: string;
  readonly period: Budget['period'];
  readonly warn?: string;
  readonly refuse?: string;
  readonly reason?: string;
}

export function budgetCommands(program: Command, terminal: Terminal): void {
  const budgets = ofContract(
    program.command('budgets').description('the budgets of a contract, and what is used of them'),
  ).action(async ({ contract }: ContractOption, command: Command) => {
    const { client, output } = invocationOf(command, terminal);
    const { body, text } = await client.budgets(await namedContract(client, contract));
    if (output.json) output.raw(text);
    else output.say(budgetsView(body.items, output.paint));
  });

  ofContract(
    budgets.command('set <credits>').description('limit what a user or a project may cost; again to change it'),
  )
    .option('--user <id>', 'a user of the contract')
    .option('--project <name>', 'the project that jobs name')
    .addOption(new Option('--period <period>', 'how long it is for').choices(BUDGET_PERIODS).default('month'))
    .option('--warn <percent>', 'tell jobs that bring it here (80), or never')
    .option('--refuse <percent>', 'refuse jobs that would go beyond (100), or never')
    .option('--reason <text>', 'why; stays in the ledger')
    .action(async (credits: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<SetOptions>();
      const wanted = wantedBudget(credits, options);
      const { client, output } = invocationOf(command, terminal, 'contract-admin');
      const { body, text } = await put(client, await namedContract(client, options.contract), wanted);
      if (output.json) output.raw(text);
      else output.say(budgetView(body, output.paint));
    });

  ofContract(budgets.command('close <budget>').description('end a budget; it limits nothing any more'))
    .option('--reason <text>', 'why; stays in the ledger')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { contract, reason } = command.optsWithGlobals<SetOptions>();
      const { client, output } = invocationOf(command, terminal, 'contract-admin');
      const contractId = await namedContract(client, contract);
      const { etag } = await client.budget(contractId, id);
      const { text } = await client.closeBudget(contractId, id, reason === undefined ? {} : { reason }, etag ?? '*');
      if (output.json) output.raw(text);
      else output.say('The budget is closed.');
    });
}

function ofContract(command: Command): Command {
  return command.option('--contract <id>', 'of this contract: an id or a part of its name');
}

/** What is wanted, or why it cannot be meant, before anything is sent. */
function wantedBudget(credits: string, options: SetOptions): BudgetRequest {
  const { user, project, period, warn, refuse, reason } = options;
  readAmount('The amount', credits);
  if ((user === undefined) === (project === undefined)) {
    throw new WrongUsage('Say whose budget it is: either --user or --project.');
  }
  return {
    ...(user !== undefined && { userId: user }),
    ...(project !== undefined && { project }),
    period,
    amount: credits,
    ...(warn !== undefined && { warnPercent: readPercent('--warn', warn) }),
    ...(refuse !== undefined && { refusePercent: readPercent('--refuse', refuse) }),
    ...(reason !== undefined && { reason }),
  };
}

function readPercent(name: string, text: string): number | null {
  if (text === 'never') return null;
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new WrongUsage(`${name} is a whole percent or never, unlike "${text}".`);
  return Number(text);
}

/** Sets a budget, or changes the one that there is for the same user or project and period. */
async function put(client: Client, contractId: string, wanted: BudgetRequest): Promise<Answer<Budget>> {
  const { userId = null, project = null, period, ...ceiling } = wanted;
  const { items } = (await client.budgets(contractId)).body;
  const found = items.find((one) => one.userId === userId && one.project === project && one.period === period);
  if (!found) return client.setBudget(contractId, wanted);
  const { etag } = await client.budget(contractId, found.id);
  const { warnPercent, refusePercent } = found;
  const change: BudgetChange = { warnPercent, refusePercent, ...ceiling };
  return client.changeBudget(contractId, found.id, change, etag ?? '*');
}
