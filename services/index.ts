/** What can be bought: every folder beside this file that holds an `index` exporting one `service`. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Service } from './service';

/** What can be bought, by name. */
export const SERVICES: ReadonlyMap<string, Service> = new Map(
  readdirSync(__dirname, { withFileTypes: true })
    .filter(
      (entry) =>
        entry.isDirectory() && ['.ts', '.js'].some((end) => existsSync(join(__dirname, entry.name, `index${end}`))),
    )
    .map(({ name }) => (require(join(__dirname, name)) as { service: Service }).service)
    .map((service) => [service.name, service]),
);
