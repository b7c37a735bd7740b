/** What the Temporal UI shows of a job while it lives: Markdown for operators. */
import type { JobInput, JobView } from './messages';

export function describeJob(input: JobInput, view: JobView, note: string): string {
  const rows = [
    ['State', view.parkedFor ? `**${view.state}** for ${view.parkedFor}` : `**${view.state}**`],
    ['Expected', `${input.expected} credits`],
    ['Reserved', `${view.reserved} credits`],
    ['Metered', `${view.metered} credits at the last report`],
    ['Forecast', `${view.forecast} credits`],
    ['Not to exceed', `${view.maxCredits} credits`],
    ['Top-ups', String(view.topUps)],
    ['Service', input.service],
    ['Contract', input.contractId ?? 'none: individual credits only'],
    ['User', input.userId],
  ];
  const table = ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
  return note === '' ? table : `${note}\n\n${table}`;
}
