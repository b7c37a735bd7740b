/**
 * Services that an installation adds to those of this folder: each a folder of its own, in plain JavaScript, that needs
 * nothing of ours but what it is handed.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { formatQuantity, quantity, wholeUnits } from '../domain/usage';
import { InputError, type Service } from './service';

/** What an added service is handed. `docs/adding-a-service.md` shows one. */
const KIT = { z, InputError, quantity, wholeUnits, formatQuantity } as const;
export type ServiceKit = typeof KIT;

/** What the `index.js` of an added service exports. Its engine is `engine/main.js` in the same folder. */
export type AddedService = (kit: ServiceKit) => Omit<Service, 'engines'>;

const NAME = /^[a-z][a-z0-9-]{0,59}$/;
const FUNCTIONS = ['inspect', 'estimate', 'dimensions', 'usageOf'] as const;

/**
 * The services of a folder together with others.
 *
 * @throws Error with a sentence that names the folder of a service that cannot be sold.
 */
export function withAddedServices(
  services: ReadonlyMap<string, Service>,
  folder: string | undefined,
): ReadonlyMap<string, Service> {
  if (folder === undefined) return services;
  const all = new Map(services);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const service = readService(join(folder, entry.name));
    if (all.has(service.name))
      throw new Error(`${join(folder, entry.name)}: there is a service "${service.name}" already`);
    all.set(service.name, service);
  }
  return all;
}

function readService(folder: string): Service {
  const refuse = (what: string, cause?: unknown) => new Error(`${folder}: ${what}`, { cause });
  const main = join(folder, 'engine', 'main.js');
  if (!existsSync(main)) throw refuse('it has no engine/main.js');
  let added: ReturnType<AddedService>;
  try {
    added = (require(join(folder, 'index.js')) as AddedService)(KIT);
  } catch (error) {
    throw refuse(`its index.js cannot be used: ${(error as Error).message}`, error);
  }
  const { name, meters, parameters } = added;
  if (!NAME.test(name)) throw refuse(`"${name}" is no name of a service, such as word-count`);
  const missing = FUNCTIONS.find((one) => typeof added[one] !== 'function');
  if (missing) throw refuse(`it has no function ${missing}`);
  if (!(parameters instanceof z.ZodType)) throw refuse('its parameters are no schema of the z that it was handed');
  if (!Array.isArray(meters) || !meters.some(({ rated }) => rated)) throw refuse('none of its meters is rated');
  return { ...added, engines: [{ name, main, onLostAttempt: 'restart' }] };
}
