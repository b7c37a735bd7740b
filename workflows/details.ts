/** What the Temporal UI shows of a job: Markdown for operators. */
import type { JobInput, JobView } from './messages';

export function describeJob(input: JobInput, view: JobView, note: string): string {
  const rows = [
    ['State', view.parkedFor ? `**${view.state}** for ${view.parkedFor}` : `**${view.state}**`],
    ...(view.closing ? closingRows(view.closing) : runningRows(view)),
    ['Expected', input.expected],
    ['Not to exceed', view.maxCredits],
    ['Top-ups', String(view.topUps)],
    ['Service', input.service],
    ['Contract', input.contractId ?? 'none: individual credits only'],
    ['User', input.userId],
  ];
  const table = ['| | credits |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
  return note === '' ? table : `${note}\n\n${table}`;
}

function runningRows({ reserved, draws, metered, forecast }: JobView): string[][] {
  return [
    ['Reserved', reserved],
    ...draws.map(({ lotId, kind, amount }) => ['&nbsp;&nbsp;of', `${amount} ${kind} lot \`${lotId}\``]),
    ['Metered at the last report', metered],
    ['Forecast at the last report', forecast],
  ];
}

function closingRows({ charged, absorbed, released }: NonNullable<JobView['closing']>): string[][] {
  return [
    ['Charged', `**${charged}**`],
    ['Released', released],
    ...(absorbed === '0' ? [] : [['Absorbed by the provider', absorbed]]),
  ];
}
