/** Commands that list in pages. */
import type { Command } from 'commander';
import type { Answer, Page } from './client';
import { WrongUsage } from './failures';
import type { Output, Paint } from './output';

export interface PageOptions {
  readonly limit: string;
  readonly cursor?: string;
}

export function paged(command: Command): Command {
  return command.option('--limit <count>', 'how many', '20').option('--cursor <cursor>', 'go on after an earlier page');
}

/** The page that is asked for, as the API is asked for it. */
export function pageOf({ limit, cursor }: PageOptions): Readonly<Record<string, string>> {
  return { limit, ...(cursor !== undefined && { cursor }) };
}

/** Says a page, and how to go on where there is more. */
export function tellPage<T>(
  output: Output,
  { body, text }: Answer<Page<T>>,
  view: (items: readonly T[], paint: Paint) => string,
): void {
  if (output.json) {
    output.raw(text);
    return;
  }
  output.say(view(body.items, output.paint));
  if (body.nextCursor) output.note(`There are more: --cursor ${body.nextCursor}`);
}

/** @throws WrongUsage unless the text is a whole number above zero. */
export function readWhole(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new WrongUsage(`${name} is a whole number, unlike "${text}".`);
  return Number(text);
}
