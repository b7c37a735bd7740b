import { describeDraws } from '../../db/billing';
import { lotsOfPools } from '../../db/ledger';
import type { Person } from '../../db/people';
import { findQuote, insertQuote, type Quote, type QuotedEstimate } from '../../db/quotes';
import { formatCredits } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import { addMilliseconds, type Instant } from '../../domain/instant';
import { payersOf } from '../../domain/quote';
import { type Estimate, formatQuantity } from '../../domain/usage';
import { InputError } from '../../services/service';
import type { ApiDependencies } from '../app';
import { type Priced, priceRequest } from '../estimate';
import { inputInvalid, notFound, problemOf } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

/** How long a quote's frozen rates are honoured. */
const VALID_MS = 24 * 3_600_000;

export function quoteRoutes(dependencies: ApiDependencies): Route[] {
  const { db } = dependencies;

  /** A price as answers show it, with what would pay it at an instant. */
  async function viewOfPrice(price: Price, at: Instant) {
    const { reason, ...usage } = price.estimate;
    const poolIds = price.contractId === null ? [price.userId] : [price.userId, price.contractId];
    const payers = payersOf(await lotsOfPools(db, poolIds), price.expected, at);
    return {
      input: price.inputDigest,
      parameters: price.parameters,
      dimensions: price.dimensions,
      low: formatCredits(price.low),
      expected: formatCredits(price.expected),
      high: formatCredits(price.high),
      maxCredits: formatCredits(price.maxCredits),
      reason,
      usage,
      payers: {
        draws: await describeDraws(db, payers.draws),
        available: formatCredits(payers.available),
        shortfall: formatCredits(payers.shortfall),
        remaining: formatCredits(payers.remaining),
      },
    };
  }

  async function viewOf(quote: Quote, at: Instant) {
    return {
      id: quote.id,
      service: quote.service,
      contractId: quote.contractId,
      rateCardVersion: quote.rateCardVersion,
      ...(await viewOfPrice(quote, at)),
      quotedAt: quote.quotedAt,
      validUntil: quote.validUntil,
    };
  }

  return [
    route({
      method: 'post',
      path: '/v1/quotes',
      tag: 'Quotes',
      summary: 'What a job would cost, before it runs',
      description: 'Computed from the uploaded file itself. Freezes the rates for a day and reserves nothing.',
      roles: ['submitter', 'contract-admin'],
      body: schemas.quoteRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/quotes/${id}` }),
      answers: { 201: { description: 'The quote.', schema: schemas.quote } },
      refusals: ['not_found', 'input_invalid', 'service_not_sold', 'engine_not_offered'],
      handle: async ({ person, body, resourceId, claimedAt }) => {
        const priced = await priceRequest(dependencies, person, body, claimedAt);
        const quote: Quote = {
          id: resourceId,
          service: priced.service,
          facts: priced.facts,
          rateCardVersion: priced.rateCardVersion,
          ...priceOf(person, body.contractId, priced),
          quotedAt: claimedAt,
          validUntil: addMilliseconds(claimedAt, VALID_MS),
        };
        await insertQuote(db, quote);
        return { status: 201, body: await viewOf(quote, claimedAt), headers: { Location: `/v1/quotes/${quote.id}` } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/quotes/preview',
      tag: 'Quotes',
      summary: 'What variants of a job would cost, side by side',
      description:
        'A dry run: nothing is kept, reserved or frozen. Each variant is priced by itself, so one that cannot be run says why beside the prices of the others.',
      roles: ['submitter', 'contract-admin'],
      body: schemas.previewRequest,
      answers: {
        200: { description: 'A price or a problem for each variant, in their order.', schema: schemas.preview },
      },
      refusals: ['not_found', 'service_not_sold'],
      handle: async ({ person, body, at, request: { originalUrl } }) => {
        const inspected = new Map<string, Promise<unknown>>();
        const variants: unknown[] = [];
        let rateCardVersion: number | null = null;
        for (const [index, variant] of body.variants.entries()) {
          const name = variant.name ?? String(index + 1);
          const { service, contractId } = body;
          const parameters = { ...body.parameters, ...variant.parameters };
          const request = { service, contractId, input: variant.input ?? body.input, parameters };
          try {
            const priced = await priceRequest(dependencies, person, request, at, inspected);
            rateCardVersion = priced.rateCardVersion;
            variants.push({ name, ...(await viewOfPrice(priceOf(person, contractId, priced), at)) });
          } catch (error) {
            const refusal = refusalOfVariant(error);
            if (!refusal) throw error;
            variants.push({ name, problem: problemOf(refusal, originalUrl) });
          }
        }
        return { status: 200, body: { rateCardVersion, variants } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/quotes/:id',
      tag: 'Quotes',
      summary: 'A quote of yours, with what would pay now',
      params: schemas.idParams,
      answers: { 200: { description: 'The quote.', schema: schemas.quote } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const quote = await findQuote(db, person.userId, params.id);
        if (!quote) throw notFound('quote');
        return { status: 200, body: await viewOf(quote, at) };
      },
    }),
  ];
}

/** What a price is made of, whether it is kept as a quote or only shown. */
type Price = Omit<Quote, 'id' | 'service' | 'facts' | 'rateCardVersion' | 'quotedAt' | 'validUntil'>;

function priceOf(person: Person, contractId: string | null, priced: Priced): Price {
  return {
    userId: person.userId,
    contractId,
    inputDigest: priced.input.digest,
    parameters: priced.parameters,
    dimensions: priced.dimensions,
    estimate: written(priced.estimate),
    ...priced.forecast,
    maxCredits: priced.forecast.high,
  };
}

/** What is wrong with one variant alone; anything else is wrong with all of them. */
function refusalOfVariant(error: unknown): BillingError | undefined {
  if (error instanceof InputError) return inputInvalid(error);
  const own = ['invalid_request', 'engine_not_offered'];
  return error instanceof BillingError && own.includes(error.code) ? error : undefined;
}

function written({ low, expected, high, reason }: Estimate): QuotedEstimate {
  const scenario = (usage: Estimate['low']) =>
    usage.map(({ meter, quantity }) => ({ meter, quantity: formatQuantity(quantity) }));
  return { low: scenario(low), expected: scenario(expected), high: scenario(high), reason };
}
