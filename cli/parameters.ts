/** `--param name=value` as the service's own parameters. */
import type { Service } from './client';
import { WrongUsage } from './failures';
import { type ParameterSchema, propertiesOf } from './views';

/** Reads `--param` texts by the types that the service declares; what the values may be is for the service to say. */
export function readParameters(service: Service, texts: readonly string[]): Record<string, unknown> {
  const known = propertiesOf(service.parameters);
  const parameters: Record<string, unknown> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) throw new WrongUsage(`--param is written name=value, unlike "${text}".`);
    const name = text.slice(0, equals);
    const schema = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!schema) {
      throw new WrongUsage(`${service.name} has no parameter "${name}"; it has: ${Object.keys(known).join(', ')}.`);
    }
    if (Object.hasOwn(parameters, name)) throw new WrongUsage(`--param ${name} is given twice.`);
    parameters[name] = readValue(name, schema, text.slice(equals + 1));
  }
  return parameters;
}

/** The most variants that one preview prices. */
const VARIANTS_MAX = 50;

/** Reads `--vary name=a|b` texts into every combination of their values, each named by them. */
export function readVariants(service: Service, texts: readonly string[]): Variant[] {
  let variants: Variant[] = [{ name: '', parameters: {} }];
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) throw new WrongUsage(`--vary is written name=value|value, unlike "${text}".`);
    const name = text.slice(0, equals);
    const values = text.slice(equals + 1).split('|');
    if (variants.some(({ parameters }) => Object.hasOwn(parameters, name))) {
      throw new WrongUsage(`--vary ${name} is given twice.`);
    }
    variants = variants.flatMap((before) =>
      values.map((value) => ({
        name: [before.name, `${name}=${value}`].filter((part) => part !== '').join(' '),
        parameters: { ...before.parameters, ...readParameters(service, [`${name}=${value}`]) },
      })),
    );
    if (variants.length > VARIANTS_MAX) {
      throw new WrongUsage(`These are ${variants.length} variants; at most ${VARIANTS_MAX} are priced at once.`);
    }
  }
  return variants;
}

interface Variant {
  readonly name: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** The media type that a service gives to files with this name. */
export function mediaTypeOf(service: Service, name: string): string {
  const lower = name.toLowerCase();
  return service.accepts.find(({ extension }) => lower.endsWith(extension))?.mediaType ?? 'application/octet-stream';
}

function readValue(name: string, { type }: ParameterSchema, text: string): unknown {
  switch (type) {
    case 'integer':
    case 'number': {
      if (!/^-?\d+(\.\d+)?$/.test(text)) throw new WrongUsage(`--param ${name} is a number, unlike "${text}".`);
      return Number(text);
    }
    case 'boolean': {
      if (text !== 'true' && text !== 'false') throw new WrongUsage(`--param ${name} is true or false.`);
      return text === 'true';
    }
    case 'array':
    case 'object':
      return readJson(name, type, text);
    default:
      return text;
  }
}

/** Lists may also be written with commas between plain words. Commas inside brackets belong to a word, as in `v(a,b)`. */
function readJson(name: string, type: string, text: string): unknown {
  if (type === 'array' && !text.trimStart().startsWith('[')) return text === '' ? [] : text.split(/,(?![^(]*\))/);
  try {
    return JSON.parse(text);
  } catch {
    throw new WrongUsage(`--param ${name} is JSON, unlike "${text}".`);
  }
}
