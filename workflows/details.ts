/** What the Temporal UI shows of a job: Markdown for operators. */
import type { JobInput, JobView } from './messages';

export function describeJob(input: JobInput, view: JobView, note: string): string {
  const lines = [
    `**${view.state}**${view.parkedFor ? ` for ${view.parkedFor}` : ''}${note === '' ? '' : `: ${note}`}`,
    '',
    ...(view.closing ? closingLines(view.closing) : runningLines(view)),
    `- expected **${input.expected}**, not to exceed **${view.maxCredits}**, topped up ${view.topUps} times`,
    `- service ${input.service}, contract \`${input.contractId ?? 'none'}\`, user \`${input.userId}\``,
  ];
  return lines.join('\n');
}

function runningLines({ reserved, draws, metered, forecast }: JobView): string[] {
  return [
    `- reserved **${reserved}** credits`,
    ...lotLines(draws),
    `- metered **${metered}** and forecast **${forecast}** at the last report`,
  ];
}

function closingLines({ charged, absorbed, released, draws }: NonNullable<JobView['closing']>): string[] {
  return [
    `- charged **${charged}** credits, released **${released}**, absorbed by the provider **${absorbed}**`,
    ...lotLines(draws),
  ];
}

function lotLines(draws: JobView['draws']): string[] {
  return draws.map(({ lotId, kind, amount }) => `  - ${amount} of ${kind} lot \`${lotId}\``);
}
