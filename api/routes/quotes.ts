import { describeDraws } from '../../db/billing';
import { lotsOfPools } from '../../db/ledger';
import { findQuote, insertQuote, type Quote, type QuotedEstimate } from '../../db/quotes';
import { formatCredits } from '../../domain/credits';
import { addMilliseconds, type Instant } from '../../domain/instant';
import { payersOf } from '../../domain/quote';
import { type Estimate, formatQuantity } from '../../domain/usage';
import type { ApiDependencies } from '../app';
import { priceRequest } from '../estimate';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

/** How long a quote's frozen rates are honoured. */
const VALID_MS = 24 * 3_600_000;

export function quoteRoutes(dependencies: ApiDependencies): Route[] {
  const { db } = dependencies;

  async function viewOf(quote: Quote, at: Instant) {
    const poolIds = quote.contractId === null ? [quote.userId] : [quote.userId, quote.contractId];
    const payers = payersOf(await lotsOfPools(db, poolIds), quote.expected, at);
    const { reason, ...usage } = quote.estimate;
    return {
      id: quote.id,
      service: quote.service,
      input: quote.inputDigest,
      parameters: quote.parameters,
      contractId: quote.contractId,
      dimensions: quote.dimensions,
      rateCardVersion: quote.rateCardVersion,
      low: formatCredits(quote.low),
      expected: formatCredits(quote.expected),
      high: formatCredits(quote.high),
      maxCredits: formatCredits(quote.maxCredits),
      reason,
      usage,
      payers: {
        draws: await describeDraws(db, payers.draws),
        available: formatCredits(payers.available),
        shortfall: formatCredits(payers.shortfall),
        remaining: formatCredits(payers.remaining),
      },
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
      refusals: ['not_found', 'input_invalid', 'service_not_sold'],
      handle: async ({ person, body, resourceId, claimedAt }) => {
        const priced = await priceRequest(dependencies, person, body, claimedAt);
        const quote: Quote = {
          id: resourceId,
          userId: person.userId,
          contractId: body.contractId,
          service: priced.service,
          inputDigest: priced.input.digest,
          parameters: priced.parameters,
          dimensions: priced.dimensions,
          estimate: written(priced.estimate),
          rateCardVersion: priced.rateCardVersion,
          ...priced.forecast,
          maxCredits: priced.forecast.high,
          quotedAt: claimedAt,
          validUntil: addMilliseconds(claimedAt, VALID_MS),
        };
        await insertQuote(db, quote);
        return { status: 201, body: await viewOf(quote, claimedAt), headers: { Location: `/v1/quotes/${quote.id}` } };
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

function written({ low, expected, high, reason }: Estimate): QuotedEstimate {
  const scenario = (usage: Estimate['low']) =>
    usage.map(({ meter, quantity }) => ({ meter, quantity: formatQuantity(quantity) }));
  return { low: scenario(low), expected: scenario(expected), high: scenario(high), reason };
}
