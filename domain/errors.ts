/** Expected refusals: one table of codes, with what they mean to a caller. Bugs are ordinary errors. */

interface Refusal {
  /** The HTTP status the API answers with. */
  readonly status: number;
  /** Whether the same request can succeed later without a change by the caller. */
  readonly retry: boolean;
  readonly title: string;
}

/** Every refusal there is. Codes are stable; `docs/api.md` lists them and a test compares. */
export const REFUSALS = {
  invalid_request: { status: 400, retry: false, title: 'The request is not valid' },
  idempotency_key_required: { status: 400, retry: false, title: 'An Idempotency-Key header is required' },
  unauthenticated: { status: 401, retry: false, title: 'A valid API key is required' },
  insufficient_credits: { status: 402, retry: false, title: 'There are not enough credits' },
  forbidden: { status: 403, retry: false, title: 'Your role does not allow this' },
  not_found: { status: 404, retry: false, title: 'There is nothing here that you may see' },
  method_not_allowed: { status: 405, retry: false, title: 'This method is not available here' },
  job_already_ended: { status: 409, retry: false, title: 'The job has ended' },
  job_not_ended: { status: 409, retry: true, title: 'The job has not ended yet' },
  reservation_closed: { status: 409, retry: false, title: 'The reservation is closed' },
  cap_not_raised: { status: 409, retry: false, title: 'The new not-to-exceed amount is not above the present one' },
  cap_exceeded: { status: 409, retry: false, title: 'The not-to-exceed amount would be exceeded' },
  contract_not_in_force: { status: 409, retry: false, title: 'The contract is not in force' },
  contract_suspended: { status: 409, retry: false, title: 'The contract is suspended' },
  contract_closed: { status: 409, retry: false, title: 'The contract is over for good' },
  change_refused: { status: 409, retry: false, title: 'The contract cannot be changed like this now' },
  contract_of_another_customer: { status: 409, retry: false, title: 'The contract belongs to another customer' },
  user_not_authorised: { status: 409, retry: false, title: 'The user is not authorised on the contract' },
  user_already_authorised: { status: 409, retry: false, title: 'The user is authorised on the contract already' },
  email_taken: { status: 409, retry: false, title: 'Another user has this address' },
  lot_ended: { status: 409, retry: false, title: 'The life of the lot is over' },
  lot_not_over: { status: 409, retry: false, title: 'The life of the lot is not over yet' },
  budget_exceeded: { status: 409, retry: false, title: 'A budget would be exceeded' },
  budget_exists: { status: 409, retry: false, title: 'There is such a budget already' },
  nothing_to_refund: { status: 409, retry: false, title: 'There is no charge to refund' },
  refund_exceeds_charge: { status: 409, retry: false, title: 'That is more than remains of the charge' },
  refund_decided: { status: 409, retry: false, title: 'The refund is decided already' },
  order_number_reused: { status: 409, retry: false, title: 'Another purchase has this order number' },
  purchase_allocated: { status: 409, retry: false, title: 'The purchase is allocated to another contract' },
  purchase_expired: { status: 409, retry: false, title: 'The twelve months of the purchase are over' },
  attempt_over: { status: 409, retry: false, title: 'The attempt is over' },
  session_ended: { status: 409, retry: false, title: 'The session has ended' },
  draft_published: { status: 409, retry: false, title: 'The draft is published already' },
  quote_expired: { status: 409, retry: false, title: 'The quote is no longer valid' },
  precondition_failed: { status: 412, retry: false, title: 'Somebody changed it meanwhile' },
  input_too_large: { status: 413, retry: false, title: 'The input is too large' },
  body_too_large: { status: 413, retry: false, title: 'The request body is too large' },
  unsupported_media_type: { status: 415, retry: false, title: 'This content type is not accepted here' },
  idempotency_key_reused: { status: 422, retry: false, title: 'The Idempotency-Key was used with another request' },
  input_invalid: { status: 422, retry: false, title: 'The input cannot be run' },
  engine_not_offered: { status: 422, retry: false, title: 'No compute worker has the engine that this input needs' },
  service_not_sold: { status: 422, retry: false, title: 'The rate card in force has no rate for this service' },
  nothing_to_withdraw: { status: 422, retry: false, title: 'The selection holds no credits to withdraw' },
  lot_invalid: { status: 422, retry: false, title: 'A lot cannot be granted like this' },
  change_invalid: { status: 422, retry: false, title: 'The change of the contract is not valid' },
  authorisation_invalid: { status: 422, retry: false, title: 'An authorisation cannot begin or end like this' },
  product_unknown: { status: 422, retry: false, title: 'There is no such product to purchase' },
  purchase_invalid: { status: 422, retry: false, title: 'A purchase cannot be recorded like this' },
  rules_invalid: { status: 422, retry: false, title: 'Allocation rules cannot be published like this' },
  rate_card_invalid: { status: 422, retry: false, title: 'A rate card cannot be published like this' },
  usage_not_ratable: { status: 422, retry: false, title: 'The rates have no price for this usage' },
  precondition_required: { status: 428, retry: false, title: 'An If-Match header is required' },
  internal_error: { status: 500, retry: true, title: 'Something went wrong on our side' },
  overloaded: { status: 503, retry: true, title: 'There is more to do than can be done at the moment' },
  unavailable: { status: 503, retry: true, title: 'A part of the service is not reachable at the moment' },
} as const satisfies Record<string, Refusal>;

export type RefusalCode = keyof typeof REFUSALS;

/** A refusal with a sentence for the caller and the facts behind it (plain JSON, amounts as decimal strings). */
export class BillingError extends Error {
  override readonly name = 'BillingError';
  constructor(
    readonly code: RefusalCode,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
