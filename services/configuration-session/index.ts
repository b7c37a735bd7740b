/** A configuration session: one user works on one design; charged once however long it takes. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { wholeUnits } from '../../domain/usage';
import { InputError, type Service } from '../service';

const INPUT_BYTES_MAX = 256 * 1024;
const OPTIONS_MAX = 200;
const CHOICES_MAX = 200;

const name = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[^\p{C}]+$/u, 'a name of visible characters');

/** A design that can be configured: options, each with the choices that it has. */
const design = z.strictObject({
  title: name,
  options: z
    .array(z.strictObject({ name, choices: z.array(name).min(1).max(CHOICES_MAX) }))
    .min(1)
    .max(OPTIONS_MAX)
    .refine((options) => new Set(options.map((one) => one.name)).size === options.length, 'an option is named twice'),
});
export type Design = z.output<typeof design>;

const parameters = z.strictObject({
  viewer: z
    .enum(['user', 'administrator'], 'the viewer is a user or an administrator')
    .default('user')
    .describe('Who looks: an administrator of the contract looks for nothing. Set when the session is opened.'),
});
export type SessionParameters = z.output<typeof parameters>;

export const service: Service<SessionParameters, Design> = {
  name: 'configuration-session',
  title: 'Configuration session',
  description: 'A session in which one user configures a design; opened with POST /v1/sessions.',
  parameters,
  accepts: [{ extension: '.design.json', mediaType: 'application/json', title: 'design with its options' }],
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'sessions', unit: 'session', title: 'Sessions', rated: true },
    { name: 'administratorSessions', unit: 'session', title: 'Sessions of administrators', rated: false },
  ],
  engines: [],
  inspect: async ({ path, size }) => {
    if (size > INPUT_BYTES_MAX) throw new InputError('input_too_large', 'a design is at most 256 KiB');
    return readDesign(await readFile(path, 'utf8'));
  },
  estimate(_design, { viewer }) {
    const isFree = viewer === 'administrator';
    const usage = [{ meter: isFree ? 'administratorSessions' : 'sessions', quantity: wholeUnits(1) }];
    const reason = isFree
      ? 'It is 1 session of an administrator of the contract, which is metered and free.'
      : 'It is 1 session, however long it takes and however often its page is loaded anew.';
    return { low: usage, expected: usage, high: usage, reason };
  },
  dimensions: (_design, { viewer }) => ({ viewer }),
  usageOf: () => [],
};

/** Reads a design. @throws InputError `input_not_design`. */
export function readDesign(text: string): Design {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError('input_not_design', 'the file is not JSON, so it is no design', { cause: error });
  }
  const read = design.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const where = issue?.path.join('.') || 'the design';
  throw new InputError(
    'input_not_design',
    `${where}: ${issue?.message}; a design has a title and options with choices`,
  );
}
