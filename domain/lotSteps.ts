/** What happens to a lot in its life: it is granted, its life changes, its end is booked (R2–R4, R8, R9). */
import type { Book } from './book';
import { CREDITS_MAX, ZERO } from './credits';
import { type Lot, type LotEnd, objectionToLife } from './lots';
import type {
  ChangeLifeOperation,
  ExpireOperation,
  GrantOperation,
  LotOperation,
  Refused,
  WithdrawOperation,
} from './operations';
import { repaymentsBy } from './repayment';
import { refused, type Step } from './step';

/** A new lot in the pool of its owner; a shared one repays the contract's advances at once. Refusal: `lot_invalid`. */
export function planGrant(book: Book, operation: GrantOperation): Step | Refused {
  const { id, poolId, kind, amount, effectiveAt, expiresAt, graceUntil, advance } = operation.lot;
  if (book.find(id)) return refused('lot_invalid', `Lot ${id} exists already.`);
  if (amount <= ZERO || amount > CREDITS_MAX) {
    return refused('lot_invalid', 'A lot holds more than zero and at most 9000000000000 credits.');
  }
  const life = { effectiveAt, expiresAt, withdrawnAt: null, graceUntil };
  const objection = objectionToLife(kind, life);
  if (objection) return refused('lot_invalid', objection);
  if (advance && kind !== 'courtesy') {
    return refused('lot_invalid', `Only a courtesy lot is granted as an advance, not a ${kind} one.`);
  }
  const empty = { available: ZERO, reserved: ZERO, consumed: ZERO, expired: ZERO, withdrawn: ZERO };
  return {
    lot: { id, poolId, kind, granted: amount, ...empty, ...life, endedAs: null, advance },
    transfers: [{ lotId: id, from: 'granted', to: 'available', amount }],
    // Credits that are dead already, such as imported ones, are worth nothing and repay nothing.
    repaid:
      kind === 'shared' && expiresAt !== null && operation.at < expiresAt
        ? repaymentsBy(operation, book.advancesOwedBy(poolId))
        : [],
  };
}

/** Books that a lot expired: what is available goes to `expired`. Refusals: `not_found`, `lot_ended`, `lot_not_over`. */
export function planExpire(book: Book, operation: ExpireOperation): Step | Refused {
  const lot = lotOf(book, operation);
  if ('code' in lot) return lot;
  if (lot.expiresAt === null) return refused('lot_not_over', `Lot ${lot.id} never expires.`);
  if (operation.at < lot.expiresAt) return refused('lot_not_over', `Lot ${lot.id} expires at ${lot.expiresAt}.`);
  return ending(lot, 'expired');
}

/** Books that a user's lot was withdrawn. Refusals: `not_found`, `lot_ended`, `lot_not_over`. */
export function planWithdraw(book: Book, operation: WithdrawOperation): Step | Refused {
  const lot = lotOf(book, operation);
  if ('code' in lot) return lot;
  if (lot.withdrawnAt === null) return refused('lot_not_over', `No notice stands that withdraws lot ${lot.id}.`);
  if (operation.at < lot.withdrawnAt) {
    return refused('lot_not_over', `Lot ${lot.id} is withdrawn at ${lot.withdrawnAt}.`);
  }
  return ending(lot, 'withdrawn');
}

/**
 * Another life for a lot whose end is not booked: also after it expired, for a contract that is renewed in time (R3), but
 * a notice that took effect is not rescinded (R4). What jobs hold is theirs whatever happens (R8). Refusals: `not_found`,
 * `lot_ended`, `lot_invalid`.
 */
export function planChangeLife(book: Book, { life, ...operation }: ChangeLifeOperation): Step | Refused {
  const lot = lotOf(book, operation);
  if ('code' in lot) return lot;
  if (lot.withdrawnAt !== null && operation.at >= lot.withdrawnAt) {
    return refused('lot_ended', `Lot ${lot.id} was withdrawn at ${lot.withdrawnAt}.`);
  }
  const objection = objectionToLife(lot.kind, life);
  if (objection) return refused('lot_invalid', objection);
  const { effectiveAt, expiresAt, withdrawnAt, graceUntil } = life;
  return { lot: { ...lot, effectiveAt, expiresAt, withdrawnAt, graceUntil }, transfers: [] };
}

/** A lot whose end is not booked, in the pool of the owner that the operation names. */
function lotOf(book: Book, { lotId, poolId }: Pick<LotOperation, 'lotId' | 'poolId'>): Lot | Refused {
  const lot = book.find(lotId);
  if (lot?.poolId !== poolId) return refused('not_found', `There is no lot ${lotId} in pool ${poolId}.`);
  if (lot.endedAs !== null) return refused('lot_ended', `Lot ${lotId} is ${lot.endedAs} already.`);
  return lot;
}

function ending(lot: Lot, endedAs: LotEnd): Step {
  return {
    lot: { ...lot, endedAs },
    transfers: lot.available > ZERO ? [{ lotId: lot.id, from: 'available', to: endedAs, amount: lot.available }] : [],
  };
}
