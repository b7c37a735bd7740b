/** Budgets, refunds and transfers as people read them. Every amount is shown with the API's own digits. */
import type { Budget, Refund, Transfer } from './client';
import { amountCell, formatPairs, formatTable, inCredits, instantCell, type Paint } from './output';

export function budgetsView(budgets: readonly Budget[], paint: Paint): string {
  if (budgets.length === 0) return 'No budgets.';
  return formatTable(
    [
      { title: 'budget' },
      { title: 'for' },
      { title: 'period' },
      { title: 'amount', align: 'right' },
      { title: 'used', align: 'right' },
      { title: 'remaining', align: 'right' },
      { title: 'until' },
      { title: '' },
    ],
    budgets.map((budget) => [
      budget.id,
      whoseText(budget),
      budget.period,
      amountCell(budget.amount),
      amountCell(budget.current.used),
      amountCell(budget.current.remaining),
      budget.current.endsAt === null ? '–' : instantCell(budget.current.endsAt),
      stateText(budget, paint),
    ]),
    paint,
  );
}

export function budgetView(budget: Budget, paint: Paint): string {
  const { amount, warnPercent, refusePercent, current } = budget;
  return formatPairs(
    [
      ['budget', budget.id],
      ['for', whoseText(budget)],
      ['period', budget.period],
      ['amount', paint.bold(inCredits(amount))],
      ['warns at', percentText(warnPercent)],
      ['refuses above', percentText(refusePercent)],
      ['used', `${inCredits(current.used)}: ${current.charged} charged, ${current.reserved} reserved`],
      ['remaining', inCredits(current.remaining)],
      ...(current.endsAt === null ? [] : [['until', instantCell(current.endsAt)] as [string, string]]),
    ],
    paint,
  );
}

export function refundsView(refunds: readonly Refund[], paint: Paint): string {
  if (refunds.length === 0) return 'No refunds.';
  return formatTable(
    [
      { title: 'refund' },
      { title: 'asked for' },
      { title: 'state' },
      { title: 'given back', align: 'right' },
      { title: 'asked at' },
      { title: 'reason' },
    ],
    refunds.map((refund) => [
      refund.id,
      askedText(refund),
      statusText(refund, paint),
      refund.refunded === null ? '–' : amountCell(refund.refunded),
      instantCell(refund.requestedAt),
      refund.reason,
    ]),
    paint,
  );
}

export function refundView(refund: Refund, paint: Paint): string {
  const { refunded, unwound, decidedBy, decidedAt, decisionReason } = refund;
  const pairs: [string, string][] = [
    ['refund', refund.id],
    ['charge', refund.chargeId],
    ['asked for', `${askedText(refund)}, by ${refund.requestedBy}`],
    ['reason', refund.reason],
    ['state', statusText(refund, paint)],
  ];
  if (decidedBy !== null) pairs.push(['decided', `by ${decidedBy}, ${instantCell(decidedAt)}`]);
  if (decisionReason !== null) pairs.push(['because', decisionReason]);
  if (refunded !== null) pairs.push(['given back', paint.bold(inCredits(refunded))]);
  if (unwound !== null && unwound !== '0') pairs.push(['absorbed less', inCredits(unwound)]);
  const view = formatPairs(pairs, paint);
  if (refund.returned.length === 0) return view;
  const lots = formatTable(
    [{ title: 'lot' }, { title: 'kind' }, { title: 'amount', align: 'right' }, { title: 'to' }],
    refund.returned.map(({ lotId, kind, amount, to }) => [lotId, kind, amountCell(amount), to]),
    paint,
  );
  return `${view}\n\nTo:\n${lots}`;
}

export function transfersView(transfers: readonly Transfer[], paint: Paint): string {
  if (transfers.length === 0) return 'No transfers.';
  return formatTable(
    [
      { title: 'booked at' },
      { title: 'what' },
      { title: 'lot' },
      { title: 'from' },
      { title: 'to' },
      { title: 'amount', align: 'right' },
      { title: 'by' },
      { title: 'reason' },
    ],
    transfers.map(({ bookedAt, kind, lotId, from, to, amount, actor, reason }) => [
      instantCell(bookedAt),
      kind,
      lotId,
      from,
      to,
      amountCell(amount),
      actor,
      reason,
    ]),
    paint,
  );
}

function whoseText({ userId, project }: Budget): string {
  return project === null ? `user ${userId}` : `project ${project}`;
}

function percentText(percent: number | null): string {
  return percent === null ? 'never' : `${percent} %`;
}

function stateText({ current }: Budget, paint: Paint): string {
  if (current.refusing) return paint.red('used up');
  return current.warning ? paint.yellow('nearly used up') : '';
}

function askedText({ amount, actual }: Refund): string {
  return amount === null ? `an actual of ${actual}` : inCredits(amount);
}

function statusText({ status }: Refund, paint: Paint): string {
  if (status === 'booked') return paint.green(status);
  return status === 'rejected' ? paint.red(status) : paint.yellow(status);
}
