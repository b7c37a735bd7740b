/** Purchases (R2, R3): credits that a customer bought, which wait until they are allocated to a contract. */
import { type ContractState, sharedLifeIn } from './contract';
import { contractPhase } from './contractPhase';
import { addMonths, type Instant } from './instant';
import type { LotLife } from './lots';
import type { Refused } from './operations';
import { refused } from './step';

export const PURCHASE_STATES = ['waiting', 'allocated', 'expired'] as const;
export type PurchaseState = (typeof PURCHASE_STATES)[number];

/** What decides about a purchase. */
export interface Purchased {
  readonly customerId: string;
  readonly purchasedAt: Instant;
}

/** Where a purchase stands: its twelve months run while it waits (R3). */
export function purchaseState(
  purchase: Purchased & { readonly contractId: string | null },
  at: Instant,
): PurchaseState {
  if (purchase.contractId !== null) return 'allocated';
  return at < waitsUntil(purchase) ? 'waiting' : 'expired';
}

/**
 * Up to when a purchase can wait. Without a contract there is no time zone: the calendar is UTC's until one is named, whose own
 * calendar then decides (R7).
 */
export function waitsUntil({ purchasedAt }: Pick<Purchased, 'purchasedAt'>): Instant {
  return addMonths(purchasedAt, 12, 'UTC');
}

/**
 * Why a purchase cannot be recorded at an instant; null when it can. Refusals: `purchase_invalid` when it lies in the future,
 * `purchase_expired` when its twelve months are over.
 */
export function objectionToPurchase({ purchasedAt }: Pick<Purchased, 'purchasedAt'>, at: Instant): Refused | null {
  if (purchasedAt > at) return refused('purchase_invalid', `purchasedAt: ${purchasedAt} is in the future.`);
  const until = waitsUntil({ purchasedAt });
  return at < until ? null : expired(until);
}

/**
 * The life of the lot that a purchase becomes in a contract at an instant: effective then, its twelve months counted from the
 * purchase (R3). Refusals: `contract_of_another_customer`, `contract_not_in_force`, `purchase_invalid`, `purchase_expired`.
 */
export function planPurchaseAllocation(purchase: Purchased, contract: ContractState, at: Instant): LotLife | Refused {
  const { customerId, name, endsAt } = contract;
  if (customerId !== purchase.customerId) {
    return refused('contract_of_another_customer', `The contract “${name}” belongs to another customer.`);
  }
  const phase = contractPhase(contract, at);
  if (phase === 'grace' || phase === 'ended') {
    const hint = phase === 'grace' ? ' Renew it first.' : '';
    return refused('contract_not_in_force', `The contract “${name}” ended at ${endsAt}.${hint}`, { endsAt });
  }
  const { purchasedAt } = purchase;
  if (purchasedAt > at) return refused('purchase_invalid', `purchasedAt: ${purchasedAt} is in the future.`);
  const life = sharedLifeIn(contract, { effectiveAt: at, purchasedAt });
  return life.expiresAt !== null && life.expiresAt <= at ? expired(life.expiresAt) : life;
}

function expired(expiredAt: Instant): Refused {
  return refused('purchase_expired', `The twelve months of the purchase were over at ${expiredAt}.`, { expiredAt });
}
