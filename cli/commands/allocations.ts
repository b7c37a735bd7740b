/** What was allocated, and the rules by which it is. */
import type { Command } from 'commander';
import type { Allocation, AllocationRules, AllocationRulesRequest, Page } from '../client';
import { invocationOf } from '../invocation';
import { readJsonFile } from '../jsonFile';
import { amountCell, formatTable, instantCell, type Paint, type Terminal } from '../output';
import { type PoolOptions, pools, readInstant, showPools } from './credits';

export function allocationCommands(program: Command, terminal: Terminal): void {
  pools(program.command('allocations').description('what you and your contracts were allocated, and why')).action(
    (options: PoolOptions, command: Command) =>
      showPools<Page<Allocation>>(invocationOf(command, terminal), options, {
        ofUser: (client, id) => client.userAllocations(id),
        ofContract: (client, id) => client.contractAllocations(id),
        view: ({ items }, { output }) => allocationsView(items, output.paint),
      }),
  );

  const rules = program
    .command('allocation-rules')
    .description('what products grant, to whom and how often: every version')
    .option('--at <instant>', 'only the version in force at this instant')
    .action(async ({ at }: { at?: string }, command: Command) => {
      const query = at === undefined ? {} : { at: readInstant('--at', at) };
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.allocationRules(query);
      if (output.json) output.raw(text);
      else output.say(body.items.map((one) => rulesView(one, output.paint)).join('\n\n') || 'No rules are published.');
    });

  rules
    .command('publish <file>')
    .description('publish a version: JSON with title, rules and perhaps effectiveAt (provider)')
    .action(async (file: string, _options: unknown, command: Command) => {
      const request = await readJsonFile<AllocationRulesRequest>(file);
      const { client, output } = invocationOf(command, terminal, 'provider');
      const { body, text } = await client.publishAllocationRules(request);
      if (output.json) output.raw(text);
      else output.say(`Published.\n\n${rulesView(body, output.paint)}`);
    });
}

export function allocationsView(items: readonly Allocation[], paint: Paint): string {
  if (items.length === 0) return 'Nothing was allocated.';
  return formatTable(
    [{ title: 'at' }, { title: 'kind' }, { title: 'credits', align: 'right' }, { title: 'version' }, { title: 'why' }],
    items.map(({ at, kind, amount, version, because }) => [
      instantCell(at),
      kind,
      amountCell(amount),
      String(version),
      because,
    ]),
    paint,
  );
}

export function rulesView({ version, title, effectiveAt, rules }: AllocationRules, paint: Paint): string {
  const head = `${paint.bold(`Version ${version}`)} from ${instantCell(effectiveAt)}: ${title}`;
  if (rules.length === 0) return `${head}\nNothing is allocated.`;
  const table = formatTable(
    [
      { title: 'rule' },
      { title: 'product, type, level' },
      { title: 'credits', align: 'right' },
      { title: 'per' },
      { title: 'to' },
      { title: 'how often' },
    ],
    rules.map(({ key, product, type, level, amount, per, recipient, frequency }) => [
      key,
      [product, type, level].map((word) => word ?? 'any').join(', '),
      amountCell(amount),
      per,
      recipient,
      frequency,
    ]),
    paint,
  );
  return `${head}\n${table}`;
}
