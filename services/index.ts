import { rendering } from './rendering';
import type { Service } from './service';
import { simulation } from './simulation';

/** What can be bought, by name. */
export const SERVICES: ReadonlyMap<string, Service> = new Map(
  [rendering, simulation].map((service) => [service.name, service as unknown as Service]),
);
