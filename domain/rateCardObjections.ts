/**
 * What keeps a rate card from being published. It is asked before a draft is kept, and again when one is published, of
 * whatever somebody sent: nothing about its shape is taken for granted.
 */
import { parseCredits } from './credits';
import { parseInstant } from './instant';
import { BLOCK_ROUNDINGS, JOB_ENDS, RESERVED_SCENARIOS, ROUNDINGS, TIERINGS } from './rateCard';

const SERVICES_MAX = 200;
const RATES_MAX = 20;
const CLASSES_MAX = 100;
const TIERS_MAX = 100;
const INFERRED_MAX = 50;
/** Services, meters, dimensions and classes: `road-profile`, `doeRuns`, `final`. */
const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,58}[A-Za-z0-9])?$/;

/** Everything that is wrong with a card, each as a sentence that begins with the field; none when it can be published. */
export function objectionsToCard(card: { title: unknown; effectiveAt: unknown; services: unknown }): string[] {
  const objections = new Objections();
  text(objections, 'title', card.title ?? null, 200);
  if (card.effectiveAt !== null && !isInstant(card.effectiveAt)) {
    objections.add(
      'effectiveAt',
      'an instant in RFC 3339, such as "2026-01-31T12:00:00Z", or null for when it is published',
    );
  }
  list(objections, 'services', card.services, { max: SERVICES_MAX, what: 'a service' }, checkService);
  noTwice(objections, 'services', card.services, 'service');
  return objections.sentences;
}

class Objections {
  readonly sentences: string[] = [];
  add(path: string, sentence: string): void {
    this.sentences.push(`${path}: ${sentence}.`);
  }
}

type Fields = Readonly<Record<string, unknown>>;

function checkService(objections: Objections, path: string, value: unknown): void {
  const required = ['service', 'rates', 'rounding', 'reserves', 'policy'];
  const service = fields(objections, path, value, { required, optional: ['inferred'] });
  if (!service) return;
  name(objections, `${path}.service`, service.service, 'a service, such as road-profile');
  list(
    objections,
    `${path}.rates`,
    service.rates,
    { max: RATES_MAX, what: 'a rate; what is included is priced at "0"' },
    checkRate,
  );
  noTwice(objections, `${path}.rates`, service.rates, 'meter');
  oneOf(objections, `${path}.rounding`, service.rounding, ROUNDINGS);
  oneOf(objections, `${path}.reserves`, service.reserves, RESERVED_SCENARIOS);
  checkPolicy(objections, `${path}.policy`, service.policy);
  if (service.inferred !== undefined) {
    list(objections, `${path}.inferred`, service.inferred, { max: INFERRED_MAX, min: 0, what: '' }, (_, at, one) =>
      text(objections, at, one, 500),
    );
  }
}

function checkRate(objections: Objections, path: string, value: unknown): void {
  const rate = fields(objections, path, value, { required: ['meter', 'unit', 'model'] });
  if (!rate) return;
  name(objections, `${path}.meter`, rate.meter, 'a meter, such as megapixels');
  text(objections, `${path}.unit`, rate.unit, 40);
  const at = `${path}.model`;
  if (!isObject(rate.model)) {
    objections.add(at, 'an object with the kind of the model');
    return;
  }
  const check = MODELS.get(String(rate.model.kind));
  if (check) check(objections, at, rate.model);
  else
    objections.add(
      `${at}.kind`,
      `there is no model ${said(rate.model.kind)}; there are ${[...MODELS.keys()].join(', ')}`,
    );
}

const BOUNDS = ['minimum', 'maximum', 'freeBelow'];

const MODELS = new Map<string, (objections: Objections, path: string, model: Fields) => void>([
  [
    'per-unit',
    (objections, path, model) => {
      fields(objections, path, model, { required: ['kind', 'price'], optional: BOUNDS });
      decimal(objections, `${path}.price`, model.price);
      checkBounds(objections, path, model);
    },
  ],
  [
    'by-class',
    (objections, path, model) => {
      fields(objections, path, model, { required: ['kind', 'dimension', 'classes'] });
      name(objections, `${path}.dimension`, model.dimension, 'a dimension of the job, such as quality');
      checkClasses(objections, `${path}.classes`, model.classes);
    },
  ],
  [
    'tiered',
    (objections, path, model) => {
      fields(objections, path, model, { required: ['kind', 'tiering', 'tiers'], optional: BOUNDS });
      oneOf(objections, `${path}.tiering`, model.tiering, TIERINGS);
      checkTiers(objections, `${path}.tiers`, model.tiers);
      checkBounds(objections, path, model);
    },
  ],
  [
    'block',
    (objections, path, model) => {
      fields(objections, path, model, { required: ['kind', 'size', 'price'], optional: ['rounding', ...BOUNDS] });
      const size = decimal(objections, `${path}.size`, model.size);
      if (size === 0n) objections.add(`${path}.size`, 'a block holds more than nothing');
      decimal(objections, `${path}.price`, model.price);
      if (model.rounding !== undefined) oneOf(objections, `${path}.rounding`, model.rounding, BLOCK_ROUNDINGS);
      checkBounds(objections, path, model);
    },
  ],
]);

function checkClasses(objections: Objections, path: string, value: unknown): void {
  if (!isObject(value)) {
    objections.add(path, 'an object with a price for each class');
    return;
  }
  const classes = Object.entries(value);
  if (classes.length === 0) objections.add(path, 'there is no class, so that nothing has a price');
  if (classes.length > CLASSES_MAX) objections.add(path, `at most ${CLASSES_MAX} classes`);
  for (const [label, priced] of classes.slice(0, CLASSES_MAX)) {
    const at = `${path}.${label}`;
    name(objections, at, label, 'the name of a class, such as final');
    const price = fields(objections, at, priced, { required: ['price'], optional: BOUNDS });
    if (!price) continue;
    decimal(objections, `${at}.price`, price.price);
    checkBounds(objections, at, price);
  }
}

/** Tiers follow each other from zero to no end, so that every quantity has one price and only one. */
function checkTiers(objections: Objections, path: string, value: unknown): void {
  let end: { readonly at: bigint; readonly text: string } | null | undefined = { at: 0n, text: '0' };
  list(objections, path, value, { max: TIERS_MAX, what: 'a tier' }, (_, at, one) => {
    const tier = fields(objections, at, one, { required: ['from', 'price'], optional: ['upTo'] });
    if (!tier) {
      end = undefined;
      return;
    }
    decimal(objections, `${at}.price`, tier.price);
    const from = decimal(objections, `${at}.from`, tier.from);
    const upTo = tier.upTo === undefined ? null : decimal(objections, `${at}.upTo`, tier.upTo);
    if (end === null) objections.add(`${at}.from`, 'the tier before has no end, so that nothing is left for this one');
    else if (end !== undefined && from !== undefined && from !== end.at) {
      const wrong = from > end.at ? 'a gap: nothing has a price' : 'an overlap: two prices';
      const [low, high] = from > end.at ? [end.text, tier.from] : [tier.from, end.text];
      objections.add(`${at}.from`, `${wrong} between ${low} and ${high}; begin at ${end.text}`);
    }
    if (from !== undefined && typeof upTo === 'bigint' && upTo <= from) {
      objections.add(`${at}.upTo`, `a tier ends above its beginning, ${tier.from}`);
    }
    end = upTo === null ? null : upTo === undefined ? undefined : { at: upTo, text: String(tier.upTo) };
  });
  if (end && Array.isArray(value) && value.length > 0) {
    objections.add(path, `a gap: nothing has a price above ${end.text}; leave upTo out of the last tier`);
  }
}

function checkBounds(objections: Objections, path: string, model: Fields): void {
  const minimum = model.minimum === undefined ? undefined : decimal(objections, `${path}.minimum`, model.minimum);
  const maximum = model.maximum === undefined ? undefined : decimal(objections, `${path}.maximum`, model.maximum);
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
    objections.add(`${path}.minimum`, `${model.minimum} is above the maximum, ${model.maximum}`);
  }
  if (model.freeBelow === undefined) return;
  const free = fields(objections, `${path}.freeBelow`, model.freeBelow, { required: ['dimension', 'threshold'] });
  if (!free) return;
  name(objections, `${path}.freeBelow.dimension`, free.dimension, 'a dimension of the job, such as imageMegapixels');
  decimal(objections, `${path}.freeBelow.threshold`, free.threshold);
}

/** Every end of a job says who pays (R14): an end that nobody thought of would be found when a job ends that way. */
function checkPolicy(objections: Objections, path: string, value: unknown): void {
  const policy = fields(objections, path, value, { required: JOB_ENDS, why: 'say who pays for a job that ends so' });
  if (!policy) return;
  for (const end of JOB_ENDS) {
    const at = `${path}.${end}`;
    const payment = policy[end];
    if (payment === undefined) continue;
    if (!isObject(payment)) objections.add(at, 'an object such as {"pays": "actual"}');
    else if (payment.pays === 'nothing') fields(objections, at, payment, { required: ['pays'] });
    else if (payment.pays === 'actual') {
      fields(objections, at, payment, { required: ['pays'], optional: ['upTo'] });
      if (payment.upTo !== undefined) decimal(objections, `${at}.upTo`, payment.upTo);
    } else objections.add(`${at}.pays`, `nothing or actual, unlike ${said(payment.pays)}`);
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object with its fields, and no others: a misspelt one would be believed to count. */
function fields(
  objections: Objections,
  path: string,
  value: unknown,
  known: { required: readonly string[]; optional?: readonly string[]; why?: string },
): Fields | undefined {
  const { required, optional = [], why = 'it is missing' } = known;
  if (!isObject(value)) {
    objections.add(path, `an object with ${required.join(', ')}`);
    return undefined;
  }
  for (const field of required) if (!Object.hasOwn(value, field)) objections.add(`${path}.${field}`, why);
  for (const field of Object.keys(value)) {
    if (required.includes(field) || optional.includes(field)) continue;
    objections.add(
      `${path}.${field}`,
      `there is no such field here; there are ${[...required, ...optional].join(', ')}`,
    );
  }
  return value;
}

function list(
  objections: Objections,
  path: string,
  value: unknown,
  { min = 1, max, what }: { min?: number; max: number; what: string },
  check: (objections: Objections, path: string, value: unknown) => void,
): void {
  if (!Array.isArray(value)) objections.add(path, 'a list');
  else if (value.length < min) objections.add(path, `it is empty; there is at least ${what}`);
  else if (value.length > max) objections.add(path, `at most ${max}, and there are ${value.length}`);
  else for (const [index, one] of value.entries()) check(objections, `${path}.${index}`, one);
}

function noTwice(objections: Objections, path: string, value: unknown, field: string): void {
  if (!Array.isArray(value)) return;
  const seen = new Set<unknown>();
  for (const [index, one] of value.entries()) {
    const named = isObject(one) ? one[field] : undefined;
    if (typeof named === 'string' && seen.has(named)) {
      objections.add(`${path}.${index}.${field}`, `${named} is there twice, and nobody could say which counts`);
    }
    seen.add(named);
  }
}

function name(objections: Objections, path: string, value: unknown, what: string): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || !NAME.test(value)) {
    objections.add(
      path,
      `the name of ${what}: 1 to 60 letters, digits, hyphens, dots and underscores, unlike ${said(value)}`,
    );
  }
}

function text(objections: Objections, path: string, value: unknown, max: number): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || value.trim() === '' || value.length > max) {
    objections.add(path, `a text of 1 to ${max} characters`);
  }
}

function oneOf(objections: Objections, path: string, value: unknown, words: readonly string[]): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || !words.includes(value)) {
    objections.add(path, `${words.join(' or ')}, unlike ${said(value)}`);
  }
}

/** A decimal string in millionths, or what would make it one. */
function decimal(objections: Objections, path: string, value: unknown): bigint | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') {
    const asText = typeof value === 'number' ? ` "${value}"` : '';
    objections.add(path, `write the decimal${asText} as a string, since numbers in JSON lose digits`);
    return undefined;
  }
  try {
    return parseCredits(value);
  } catch {
    objections.add(path, `${said(value)} is no decimal: ${faultOfDecimal(value)}`);
    return undefined;
  }
}

function faultOfDecimal(value: string): string {
  if (/\p{Sc}|[A-Z]{3}/u.test(value)) return 'credits are written without a currency, such as "5"';
  if (/^-/.test(value)) return 'nothing is priced below zero';
  if (value.includes(',')) return 'decimals are written with a point and nothing groups them, such as "1234.5"';
  if (/^\d+(\.\d+)?e[+-]?\d+$/i.test(value)) return 'write it out, without an exponent';
  if (/^\d+\.\d{7,}$/.test(value)) return 'it has at most six places';
  return 'digits with at most six places, such as "12.345", and no more than 9000000000000';
}

function isInstant(value: unknown): boolean {
  try {
    parseInstant(String(value));
    return typeof value === 'string';
  } catch {
    return false;
  }
}

function said(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}
