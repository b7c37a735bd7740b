/** From a request to its price: the service, the file's facts, the rates in force and the rated estimate. */
import { z } from 'zod';
import { offersSince } from '../db/computeOffers';
import type { Input } from '../db/inputs';
import { findInput } from '../db/inputs';
import type { Person } from '../db/people';
import { findRateCardInForce } from '../db/rateCards';
import { BillingError } from '../domain/errors';
import { addMilliseconds, type Instant } from '../domain/instant';
import { type Forecast, rateEstimate } from '../domain/quote';
import type { ServiceRates } from '../domain/rateCard';
import { NotRatable } from '../domain/rating';
import { chooseRoute, type Route, type RunnerName } from '../domain/route';
import type { Dimensions, Estimate } from '../domain/usage';
import type { Engine, Service } from '../services/service';
import type { ApiDependencies } from './app';
import { notFound } from './problems';

export interface Priced {
  readonly service: string;
  readonly definition: Service;
  readonly input: Input;
  readonly parameters: Record<string, unknown>;
  readonly dimensions: Dimensions;
  readonly estimate: Estimate;
  /** What was read in the input file. */
  readonly facts: unknown;
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

/** A compute worker says what it offers every half minute; one that restarts is missed for no longer than this. */
const OFFERED_MS = 10 * 60_000;

/**
 * Prices a request by its actual input file, at the rates in force (R10, R11). Leaves no trace.
 *
 * @param inspected what was read in input files of this service before, by digest: variants of one file read it once.
 * @throws BillingError `not_found`, `invalid_request`, `service_not_sold`, `engine_not_offered`. @throws InputError when
 * the file cannot be run.
 */
export async function priceRequest(
  dependencies: ApiDependencies,
  person: Person,
  request: PricedRequest,
  at: Instant,
  inspected = new Map<string, Promise<unknown>>(),
): Promise<Priced> {
  const { db, services, store } = dependencies;
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
  const inspecting =
    inspected.get(input.digest) ?? service.inspect({ path: await store.pathOf(input.digest), size: input.size });
  inspected.set(input.digest, inspecting);
  const facts = await inspecting;
  const estimate = service.estimate(facts, parsed.data);
  const dimensions = service.dimensions(facts, parsed.data);
  // Refused now, not when somebody has decided by the price.
  await routeOf(dependencies, service, { facts, parameters: parsed.data, at });
  return {
    service: service.name,
    definition: service,
    input,
    parameters: z.record(z.string(), z.unknown()).parse(parsed.data),
    dimensions,
    estimate,
    facts,
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

/**
 * Where a job would run now; nowhere when no engine runs it.
 *
 * @param job `wanted` is the runner that the submitter asks for.
 * @throws BillingError `engine_not_offered`.
 */
export async function routeOf(
  { db }: Pick<ApiDependencies, 'db'>,
  service: Service,
  job: { facts: unknown; parameters: unknown; at: Instant; wanted?: RunnerName | undefined },
): Promise<Route | null> {
  if (service.engines.length === 0) return null;
  const { facts, parameters, at, wanted } = job;
  const engines = enginesOf(service, facts, parameters);
  const offers = await offersSince(db, addMilliseconds(at, -OFFERED_MS));
  const route = chooseRoute({ engines, offers, wanted });
  if (route) return route;
  const names = engines.map(({ name }) => name).join(' or ');
  const where = wanted === undefined ? '' : ` through the runner ${wanted}`;
  throw new BillingError(
    'engine_not_offered',
    `This input runs on ${names}${where}, which no compute worker offers now: ask the operator for one, or ${
      wanted === undefined ? 'send the input in another format that the service accepts' : 'ask for no runner'
    }.`,
    { engines: engines.map(({ name }) => name) },
  );
}

function enginesOf(service: Service, facts: unknown, parameters: unknown): Engine[] {
  const names = service.enginesFor?.(facts, parameters) ?? service.engines.map(({ name }) => name);
  return names.flatMap((name) => service.engines.find((engine) => engine.name === name) ?? []);
}

function parametersInvalid(error: z.ZodError): BillingError {
  const errors = error.issues.map(({ path, message }) => ({ field: ['parameters', ...path].join('.'), message }));
  return new BillingError('invalid_request', errors.map(({ field, message }) => `${field}: ${message}`).join('; '), {
    errors,
  });
}
