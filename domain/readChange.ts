/** Changes of contracts as they come from people: in the words of plain JSON, which is not what the types say. */
import type { ContractChange, ContractProduct, RENEWALS } from './contract';
import { type Instant, parseInstant } from './instant';
import type { Refused } from './operations';
import { refused } from './step';

type Given = Readonly<Record<string, unknown>>;
class Unreadable extends Error {}

/** The change that is meant, with canonical instants. Refusal: `change_invalid`, saying which field is wrong. */
export function readChange(kind: ContractChange['kind'], given: Given): ContractChange | Refused {
  try {
    return changeOf(kind, given);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return refused('change_invalid', error.message);
  }
}

function changeOf(kind: ContractChange['kind'], given: Given): ContractChange {
  switch (kind) {
    case 'renew':
      return given.months === undefined ? { kind } : { kind, months: number(given, 'months') };
    case 'extend':
      return { kind, endsAt: instant(given, 'endsAt') };
    case 'terminate':
      return given.at === undefined || given.at === null ? { kind } : { kind, at: instant(given, 'at') };
    case 'changeProducts':
      return { kind, products: products(given) };
    case 'changeRenewal':
      return {
        kind,
        renewal: text(given, 'renewal') as (typeof RENEWALS)[number],
        renewalMonths: number(given, 'renewalMonths'),
        graceDays: number(given, 'graceDays'),
      };
    default:
      return { kind };
  }
}

function products({ products: listed }: Given): ContractProduct[] {
  if (!Array.isArray(listed)) throw new Unreadable('products: a list of {product, type, level, seats}.');
  return listed.map((one: unknown) => {
    if (typeof one !== 'object' || one === null)
      throw new Unreadable('products: each is {product, type, level, seats}.');
    const given = one as Given;
    const [product, type, level] = [text(given, 'product'), text(given, 'type'), text(given, 'level')];
    return { product, type, level, seats: number(given, 'seats') };
  });
}

function instant(given: Given, field: string): Instant {
  try {
    return parseInstant(text(given, field));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Unreadable(`${field}: ${error.message}.`, { cause: error });
  }
}

function number(given: Given, field: string): number {
  const value = given[field];
  if (typeof value !== 'number') throw new Unreadable(`${field}: a number is needed.`);
  return value;
}

function text(given: Given, field: string): string {
  const value = given[field];
  if (typeof value !== 'string') throw new Unreadable(`${field}: a text is needed.`);
  return value;
}
