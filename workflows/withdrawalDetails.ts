/** What the Temporal UI shows of a withdrawal: Markdown for operators. */
import type { WithdrawalLook } from '../activities/withdrawals';

export function describeWithdrawal({ reason, counts, isDone, nextAt, nextWhat, failures }: WithdrawalLook): string {
  const { waiting, noticed, rescinded, withdrawn, undeliverable } = counts;
  const next = nextAt === null ? 'nothing by itself' : `${nextWhat}, at **${nextAt}**`;
  return [
    `**${isDone ? 'ended' : 'running'}**: ${reason}`,
    '',
    '| waiting | noticed | rescinded | withdrawn | undeliverable |',
    '| ------: | ------: | --------: | --------: | ------------: |',
    `| ${waiting} | ${noticed} | ${rescinded} | ${withdrawn} | ${undeliverable} |`,
    '',
    ...(isDone ? [] : [`- next: ${next}`]),
    ...(undeliverable > 0 ? ['- undeliverable users wait for the update `retry` or `rescind`'] : []),
    ...failures.map((failure) => `- ${failure}`),
  ].join('\n');
}
