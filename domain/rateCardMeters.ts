/**
 * Whether a card fits the services that are installed. A rate on a meter that a service does not have would charge
 * nothing, for ever and in silence; so would a meter that nobody priced.
 */
import type { ServiceRates } from './rateCard';

export interface MeteredService {
  readonly name: string;
  readonly meters: readonly { readonly name: string; readonly unit: string; readonly rated: boolean }[];
}

/** What does not fit, as sentences. Services that are not installed may have rates: nobody can buy them here yet. */
export function objectionsToMeters(
  services: readonly ServiceRates[],
  installed: ReadonlyMap<string, MeteredService>,
): string[] {
  return services.flatMap(({ service, rates }, index) => {
    const known = installed.get(service);
    return known ? objectionsToRates(`services.${index}.rates`, rates, known) : [];
  });
}

function objectionsToRates(path: string, rates: ServiceRates['rates'], { name, meters }: MeteredService): string[] {
  const wrong = rates.flatMap(({ meter, unit }, index) => {
    const found = meters.find((one) => one.name === meter);
    if (!found) {
      const there = meters.map((one) => one.name).join(', ');
      return [`${path}.${index}.meter: ${name} has no meter ${meter}; it has ${there}.`];
    }
    return found.unit === unit
      ? []
      : [`${path}.${index}.unit: ${name} meters ${meter} in ${found.unit}, not in ${unit}.`];
  });
  const unpriced = meters
    .filter((one) => one.rated && !rates.some(({ meter }) => meter === one.name))
    .map((one) => `${path}: ${name} meters ${one.name}, which has no price; "0" includes it.`);
  return [...wrong, ...unpriced];
}
