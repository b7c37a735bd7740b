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
    '**What comes next**',
    '',
    ...(calendar.length === 0 ? ['Nothing.'] : ['| at | what | credits | why |', '| --- | --- | ---: | --- |']),
    ...calendar.map(({ at, act, credits, because }) => `| ${at} | ${act} | ${credits} | ${because} |`),
    '',
    '**What was done last**',
    '',
    ...(done.length === 0 ? ['Nothing.'] : ['| at | what | told |', '| --- | --- | ---: |']),
    ...done.map(({ at, act, told }) => `| ${at} | ${act} | ${told === 0 ? '' : `${told} people`} |`),
    '',
    `**Lots that live or wait for their end** (${lotsInAll})`,
    '',
    ...(lots.length === 0
      ? []
      : ['| lot | kind | available | reserved | expires |', '| --- | --- | ---: | ---: | --- |']),
    ...lots.map(
      ({ id, kind, available, reserved, expiresAt }) =>
        `| \`${id}\` | ${kind} | ${available} | ${reserved} | ${expiresAt ?? 'never'} |`,
    ),
  ].join('\n');
}
