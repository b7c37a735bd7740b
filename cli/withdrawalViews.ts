/** Withdrawals as people read them. Every amount is shown with the API's own digits. */
import type {
  PendingWithdrawal,
  Rescission,
  Withdrawal,
  WithdrawalPreview,
  WithdrawalUser,
  WithdrawalWithCounts,
} from './client';
import { amountCell, formatPairs, formatTable, inCredits, instantCell, type Paint } from './output';

export function withdrawalPreviewView(
  { users, lots, available, reserved, items }: WithdrawalPreview,
  paint: Paint,
): string {
  if (users === 0) return 'Nothing that is selected holds credits.';
  const totals = formatPairs(
    [
      ['users', String(users)],
      ['lots', String(lots)],
      ['available', paint.bold(inCredits(available))],
      ['reserved', `${inCredits(reserved)}: jobs keep it`],
    ],
    paint,
  );
  const table = formatTable(
    [
      { title: 'user' },
      { title: 'name' },
      { title: 'lots', align: 'right' },
      { title: 'available', align: 'right' },
      { title: 'reserved', align: 'right' },
    ],
    items.map((user) => [
      user.userId,
      user.name,
      String(user.lots),
      amountCell(user.available),
      amountCell(user.reserved),
    ]),
    paint,
  );
  return `${totals}\n\n${table}`;
}

export function withdrawalsView(withdrawals: readonly Withdrawal[], paint: Paint): string {
  if (withdrawals.length === 0) return 'No withdrawals.';
  return formatTable(
    [
      { title: 'withdrawal' },
      { title: 'state' },
      { title: 'started' },
      { title: 'users', align: 'right' },
      { title: 'available', align: 'right' },
      { title: 'reason' },
    ],
    withdrawals.map(({ id, state, startedAt, selected, reason }) => [
      id,
      state,
      instantCell(startedAt),
      String(selected.users),
      amountCell(selected.available),
      reason,
    ]),
    paint,
  );
}

export function withdrawalView(withdrawal: WithdrawalWithCounts, paint: Paint): string {
  const { id, reason, state, selected, startedAt, endedAt, counts, nextAt, nextWhat } = withdrawal;
  return formatPairs(
    [
      ['withdrawal', id],
      ['reason', reason],
      ['state', endedAt === null ? state : `${state} at ${instantCell(endedAt)}`],
      ['started', instantCell(startedAt)],
      ['selected', `${selected.users} users, ${selected.lots} lots, ${inCredits(selected.available)} available`],
      ['waiting', String(counts.waiting)],
      ['noticed', String(counts.noticed)],
      ['rescinded', String(counts.rescinded)],
      ['withdrawn', String(counts.withdrawn)],
      ['undeliverable', String(counts.undeliverable)],
      ...(nextAt === null ? [] : [['next', `${nextWhat}, at ${instantCell(nextAt)}`] as [string, string]]),
    ],
    paint,
  );
}

export function withdrawalUsersView(users: readonly WithdrawalUser[], paint: Paint): string {
  if (users.length === 0) return 'No such users.';
  return formatTable(
    [
      { title: 'user' },
      { title: 'state' },
      { title: 'delivered' },
      { title: 'by' },
      { title: 'withdrawn from' },
      { title: 'last failure' },
    ],
    users.map(({ userId, state, deliveredAt, channel, withdrawsAt, failure }) => [
      userId,
      state,
      instantCell(deliveredAt),
      channel ?? '–',
      instantCell(withdrawsAt),
      failure ?? '',
    ]),
    paint,
  );
}

export function rescissionView({ rescinded, tookEffect, tookEffectCount }: Rescission): string {
  const kept = `${rescinded} ${rescinded === 1 ? 'user keeps' : 'users keep'} the credits.`;
  if (tookEffectCount === 0) return kept;
  return `${kept} The credits of ${tookEffectCount} are gone already:\n${tookEffect.join('\n')}`;
}

export function pendingWithdrawalsView(pending: readonly PendingWithdrawal[], paint: Paint): string {
  if (pending.length === 0) return 'Nothing is to be withdrawn.';
  return formatTable(
    [
      { title: 'lot' },
      { title: 'available', align: 'right' },
      { title: 'withdrawn from' },
      { title: 'told' },
      { title: 'reason' },
    ],
    pending.flatMap(({ lots, withdrawsAt, deliveredAt, reason }) =>
      lots.map(({ lotId, available }) => [
        lotId,
        amountCell(available),
        instantCell(withdrawsAt),
        instantCell(deliveredAt),
        reason,
      ]),
    ),
    paint,
  );
}
