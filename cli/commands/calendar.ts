/** What will happen to a contract. */
import type { Command } from 'commander';
import type { Calendar } from '../client';
import { invocationOf } from '../invocation';
import { amountCell, formatTable, instantCell, type Paint, type Terminal } from '../output';
import { namedContract } from './credits';

export function calendarCommands(program: Command, terminal: Terminal): void {
  program
    .command('calendar [contract]')
    .description('what will happen to a contract and its lots, when, and why')
    .action(async (contract: string | undefined, _options: unknown, command: Command) => {
      const { client, output } = invocationOf(command, terminal);
      const { body, text } = await client.calendar(await namedContract(client, contract));
      if (output.json) output.raw(text);
      else output.say(calendarView(body, output.paint));
    });
}

export function calendarView({ phase, items }: Calendar, paint: Paint): string {
  const state = `The contract is ${paint.bold(phase)}.`;
  if (items.length === 0) return `${state} Nothing will happen to it.`;
  const table = formatTable(
    [{ title: 'at' }, { title: 'what' }, { title: 'credits', align: 'right' }, { title: 'why' }],
    items.map(({ at, act, credits, because, remindsOf }) => [
      instantCell(at),
      remindsOf === null ? act : `${act}, ${remindsOf.days} d`,
      credits === '0' ? '' : amountCell(credits),
      because,
    ]),
    paint,
  );
  return `${state}\n\n${table}`;
}
