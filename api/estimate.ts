/** From a request to its price: the service, the file's facts, the rates in force and the rated estimate. */
import { z } from 'zod';
import type { Input } from '../db/inputs';
import { findInput } from '../db/inputs';
import type { Person } from '../db/people';
import { findRateCardInForce } from '../db/rateCards';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type Forecast, rateEstimate } from '../domain/quote';
import type { ServiceRates } from '../domain/rateCard';
import { NotRatable } from '../domain/rating';
import type { Dimensions, Estimate } from '../domain/usage';
import type { ApiDependencies } from './app';
import { notFound } from './problems';

export interface Priced {
  readonly service: string;
  readonly input: Input;
  readonly parameters: Record<string, unknown>;
  readonly dimensions: Dimensions;
  readonly estimate: Estimate;
  readonly rateCardVersion: number;
  readonly rates: ServiceRates;
  readonly forecast: Forecast;
}

export interface PricedRequest {
  readonly service: string;
  readonly input: string;
  readonly parameters: Record<string, unknown>;
  readonly contractId: string | null;
}

/**
 * Prices a request by its actual input file, at the rates in force (R10, R11).
 *
 * @throws BillingError `not_found`, `invalid_request`, `service_not_sold`. @throws InputError when the file cannot be run.
 */
export async function priceRequest(
  { db, services, store }: ApiDependencies,
  person: Person,
  request: PricedRequest,
  at: Instant,
): Promise<Priced> {
  if (request.contractId !== null && !person.contractIds.includes(request.contractId)) throw notFound('contract');
  const service = services.get(request.service);
  if (!service) throw notFound('service');
  const input = await findInput(db, person.userId, request.input);
  if (!input) throw notFound('input');
  const card = await findRateCardInForce(db, at);
  const rates = card?.services.find((one) => one.service === service.name);
  if (!card || !rates) {
    throw new BillingError('service_not_sold', `The rates in force at ${at} do not sell ${service.name}.`);
  }
  const parsed = service.parameters.safeParse(request.parameters);
  if (!parsed.success) throw parametersInvalid(parsed.error);
  const facts = await service.inspect({ path: await store.pathOf(input.digest), size: input.size });
  const estimate = service.estimate(facts, parsed.data);
  const dimensions = service.dimensions(facts, parsed.data);
  return {
    service: service.name,
    input,
    parameters: z.record(z.string(), z.unknown()).parse(parsed.data),
    dimensions,
    estimate,
    rateCardVersion: card.version,
    rates,
    forecast: forecastOf(rates, dimensions, estimate),
  };
}

/** A card can name a class or a dimension that the service does not give; whoever asks for a price is told, and why. */
function forecastOf(rates: ServiceRates, dimensions: Dimensions, estimate: Estimate): Forecast {
  try {
    return rateEstimate(rates, dimensions, estimate);
  } catch (cause) {
    if (!(cause instanceof NotRatable)) throw cause;
    const sentence = `The rates in force cannot price this job of ${rates.service}: ${cause.message}. Tell the provider.`;
    throw new BillingError('service_not_sold', sentence, {}, { cause });
  }
}

function parametersInvalid(error: z.ZodError): BillingError {
  const errors = error.issues.map(({ path, message }) => ({ field: ['parameters', ...path].join('.'), message }));
  return new BillingError('invalid_request', errors.map(({ field, message }) => `${field}: ${message}`).join('; '), {
    errors,
  });
}
