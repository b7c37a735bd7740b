/** What a person was told. */
import type { Command } from 'commander';
import type { Notice } from '../client';
import { WrongUsage } from '../failures';
import { invocationOf } from '../invocation';
import { instantCell, type Terminal } from '../output';

interface NoticesOptions {
  readonly all?: boolean;
  readonly read?: string;
  readonly limit: string;
  readonly cursor?: string;
}

export function noticeCommands(program: Command, terminal: Terminal): void {
  program
    .command('notices')
    .description('the notices that wait to be read by you')
    .option('--all', 'those that you have read, too')
    .option('--read <notice>', 'say that you have read one')
    .option('--limit <count>', 'how many', '20')
    .option('--cursor <cursor>', 'go on after an earlier page')
    .action(async ({ all = false, read, limit, cursor }: NoticesOptions, command: Command) => {
      if (read !== undefined && all) throw new WrongUsage('Either --read one or list --all.');
      const { client, output } = invocationOf(command, terminal);
      if (read !== undefined) {
        const { body, text } = await client.readNotice(read);
        if (output.json) output.raw(text);
        else output.say(`Read: ${body.subject}`);
        return;
      }
      const { body, text } = await client.notices({
        limit,
        ...(!all && { unread: 'true' }),
        ...(cursor !== undefined && { cursor }),
      });
      if (output.json) return output.raw(text);
      if (body.items.length === 0) output.say(all ? 'There are no notices.' : 'Nothing waits to be read.');
      else output.say(body.items.map(noticeView).join('\n\n'));
      if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
    });
}

function noticeView({ id, subject, text, shownAt, readAt, unread, channel }: Notice): string {
  const stands = readAt !== null ? `read ${instantCell(readAt)}` : unread ? `unread: --read ${id}` : `by ${channel}`;
  return `${subject}\n${instantCell(shownAt)}, ${stands}\n\n${text.trimEnd()}`;
}
