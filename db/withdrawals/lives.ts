/**
 * What withdrawals mean to the ledger: the end of a notice is a lot's `withdrawnAt`, and at that instant the lot is
 * withdrawn. Both follow from the rows of the campaigns, so that doing it again, or after a crash, does what is missing.
 */
import type { Instant } from '../../domain/instant';
import type { Operation, Outcome } from '../../domain/operations';
import { rows } from '../client';
import type { Ledger } from '../ledger';

/** Who has the ledger changed, and why. */
export interface Acting {
  readonly actor: string;
  readonly reason: string;
}

/** Two campaigns that meet on a lot see each other's rows at the latest in the second round. */
const ROUNDS_MAX = 5;

/**
 * Gives the lots of a page the end that the campaigns' notices say: the earliest of those that stand, or none. Looked at
 * again after each change, because another campaign may have changed its mind in between; the last to write has seen both.
 *
 * @throws Error when it does not come to rest: try again.
 */
export async function settleLives(
  ledger: Pick<Ledger, 'db' | 'apply'>,
  place: { readonly withdrawalId: string; readonly page: number },
  acting: Acting,
): Promise<void> {
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const lots = await lotsWithAnotherEnd(ledger, place);
    const outcomes = await Promise.all(lots.map((lot) => ledger.apply(changeOf(lot, place.withdrawalId, acting))));
    // What ended otherwise in the meantime has no end of a notice any more.
    if (outcomes.every((outcome) => !outcome.accepted && outcome.code === 'lot_ended')) return;
    for (const outcome of outcomes) mustBeDone(outcome);
  }
  throw new Error(`the lots of page ${place.page} of withdrawal ${place.withdrawalId} get other ends again and again`);
}

/** Books the withdrawal of what is over in a page, each lot at its own instant; what ended otherwise is left alone (R8). */
export async function bookWithdrawals(
  ledger: Pick<Ledger, 'db' | 'apply'>,
  place: { readonly withdrawalId: string; readonly page: number },
  acting: Acting,
): Promise<void> {
  const lots = await rows<{ lotId: string; poolId: string; withdrawnAt: Instant }>(
    ledger.db,
    `select l.id as "lotId", l.pool_id as "poolId", l.withdrawn_at as "withdrawnAt"
     from withdrawal_users u
     join withdrawal_lots s on s.withdrawal_id = u.withdrawal_id and s.user_id = u.user_id
     join lots l on l.id = s.lot_id
     where u.withdrawal_id = ? and u.page = ? and u.state = 'withdrawn' and l.ended_as is null
       and l.withdrawn_at <= u.withdraws_at`,
    [place.withdrawalId, place.page],
  );
  const outcomes = await Promise.all(
    lots.map(({ withdrawnAt, ...lot }) =>
      ledger.apply({ kind: 'withdraw', act: 'withdraw', ...lot, ...acting, at: withdrawnAt }),
    ),
  );
  for (const outcome of outcomes) mustBeDone(outcome);
}

interface LotWithAnotherEnd {
  readonly lotId: string;
  readonly poolId: string;
  readonly effectiveAt: Instant;
  /** When what is to be written began to be so. */
  readonly changedAt: Instant;
  readonly endsAt: Instant | null;
  /** How often this campaign has changed the lot's life. */
  readonly changes: number;
}

function lotsWithAnotherEnd(
  { db }: Pick<Ledger, 'db'>,
  { withdrawalId, page }: { withdrawalId: string; page: number },
): Promise<LotWithAnotherEnd[]> {
  return rows<LotWithAnotherEnd>(
    db,
    `select l.id as "lotId", l.pool_id as "poolId", l.effective_at as "effectiveAt", u.changed_at as "changedAt",
       said.ends_at as "endsAt",
       (select count(*)::int from operations o where o.subject = l.id and o.act like ?) as changes
     from withdrawal_users u
     join withdrawal_lots s on s.withdrawal_id = u.withdrawal_id and s.user_id = u.user_id
     join lots l on l.id = s.lot_id
     cross join lateral (
       -- One user at a time: before the new rows are analysed a join would read every user that is noticed, for each lot.
       select min((
         select other.withdraws_at from withdrawal_users other
         where other.withdrawal_id = theirs.withdrawal_id and other.user_id = theirs.user_id
           and other.state in ('noticed', 'withdrawn')
       )) as ends_at
       from withdrawal_lots theirs
       where theirs.lot_id = l.id
     ) said
     where u.withdrawal_id = ? and u.page = ? and l.ended_as is null and l.withdrawn_at is distinct from said.ends_at`,
    [`${actOf(withdrawalId)}%`, withdrawalId, page],
  );
}

function changeOf(lot: LotWithAnotherEnd, withdrawalId: string, acting: Acting): Operation {
  const { lotId, poolId, effectiveAt, changedAt, endsAt, changes } = lot;
  return {
    kind: 'changeLife',
    act: `${actOf(withdrawalId)}${changes + 1}`,
    lotId,
    poolId,
    life: { effectiveAt, expiresAt: null, withdrawnAt: endsAt, graceUntil: null },
    ...acting,
    at: changedAt,
  };
}

function actOf(withdrawalId: string): string {
  return `changeLife/notice-${withdrawalId}-`;
}

/** A used key or an ended lot says that somebody else was faster: the next look tells what is left to do. */
function mustBeDone(outcome: Outcome): void {
  if (outcome.accepted || outcome.code === 'lot_ended' || outcome.code === 'idempotency_key_reused') return;
  throw new Error(outcome.message);
}
