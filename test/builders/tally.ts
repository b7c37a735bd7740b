/** How often random histories did what: a history that never gets anywhere would compare equal as well. */

export interface Tally {
  operations: number;
  /** By kind and outcome, such as `reserve budget_exceeded`, and by what else seldom happens. */
  readonly outcomes: Map<string, number>;
}

export function newTally(): Tally {
  return { operations: 0, outcomes: new Map() };
}

export function count(tally: Tally, what: string, times = 1): void {
  tally.outcomes.set(what, (tally.outcomes.get(what) ?? 0) + times);
}

/** What each kind of operation must have been answered with, and what must have happened. */
const EXPECTED: Readonly<Record<string, string>> = {
  grant: 'accepted replayed idempotency_key_reused lot_invalid',
  expire: 'accepted replayed not_found lot_not_over lot_ended',
  withdraw: 'accepted replayed not_found lot_not_over lot_ended',
  changeLife: 'accepted replayed idempotency_key_reused not_found lot_ended lot_invalid',
  reserve:
    'accepted warned replayed idempotency_key_reused reservation_closed cap_exceeded contract_not_in_force user_not_authorised budget_exceeded insufficient_credits',
  topUp:
    'accepted warned replayed idempotency_key_reused reservation_closed not_found contract_not_in_force user_not_authorised budget_exceeded insufficient_credits',
  raiseCap: 'accepted replayed idempotency_key_reused reservation_closed not_found cap_not_raised',
  settle: 'accepted warned replayed idempotency_key_reused reservation_closed not_found',
  release: 'accepted replayed idempotency_key_reused not_found',
  refund: 'accepted replayed idempotency_key_reused nothing_to_refund not_found refund_exceeds_charge',
  correct: 'accepted replayed idempotency_key_reused nothing_to_refund not_found refund_exceeds_charge',
  openBudget: 'accepted replayed idempotency_key_reused budget_exists',
  closeBudget: 'accepted replayed not_found',
};
const MARKS = [
  'an advance was repaid',
  'a repayment was undone',
  'a lot came back to life',
  'a notice was rescinded',
  'a job drew on two kinds',
  'a settlement drew on lots',
  'a budget limited a settlement',
  'a correction unwound what was absorbed',
  'credits came back to a dead lot',
  'refunds crossed lots',
];

/** What happened less than so many times in a hundred thousand operations, with how often it did. */
export function seldom({ operations, outcomes }: Tally, perHundredThousand: number): string[] {
  const expected = Object.entries(EXPECTED).flatMap(([kind, codes]) =>
    codes.split(' ').map((code) => `${kind} ${code}`),
  );
  return [...expected, ...MARKS]
    .map((what) => ({ what, times: outcomes.get(what) ?? 0 }))
    .filter(({ times }) => times * 100_000 < perHundredThousand * operations)
    .map(({ what, times }) => `${what}: ${times}`);
}
