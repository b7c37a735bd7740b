/** What the Temporal UI shows of a contract: Markdown for operators. */
import type { ContractProgress } from '../domain/contractProgress';

export function describeContract({ contract, phase, calendar, lots, lotsInAll, done }: ContractProgress): string {
  const { name, startsAt, endsAt, timeZone, terms, renewal, renewalMonths, graceDays, terminatesAt, suspendedAt } =
    contract;
  return [
    `**${name}** is **${phase}**, from ${startsAt} to ${endsAt} (${timeZone}), term ${terms.length}`,
    '',
    `- renewal ${renewal}, ${renewalMonths} months, grace of ${graceDays} days`,
    ...(terminatesAt === null ? [] : [`- terminated at **${terminatesAt}**`]),
    ...(suspendedAt === null ? [] : [`- suspended since **${suspendedAt}**`]),
    ...contract.products.map(({ product, type, level, seats }) => `- ${seats} seats of ${product}, ${type}, ${level}`),
    '',
    // Lists, not tables: the UI puts no space between a table's columns.
    '**What comes next**',
    '',
    ...orNothing(
      calendar.map(({ at, act, credits, because }) => `- ${at} **${act}**${creditsText(credits)}: ${because}`),
    ),
    '',
    '**What was done last**',
    '',
    ...orNothing(done.map(({ at, act, told }) => `- ${at} **${act}**${told === 0 ? '' : `, ${told} told`}`)),
    '',
    `**Lots that live or wait for their end** (${lotsInAll})`,
    '',
    ...orNothing(
      lots.map(
        ({ id, kind, available, reserved, expiresAt }) =>
          `- \`${id}\` ${kind}: **${available}** available, **${reserved}** reserved, expires ${expiresAt ?? 'never'}`,
      ),
    ),
  ].join('\n');
}

function orNothing(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? ['Nothing.'] : lines;
}

function creditsText(credits: string): string {
  return credits === '0' ? '' : `, ${credits} credits`;
}
