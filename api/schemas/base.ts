/** What the shapes of requests and answers are made of. */
import { z } from 'zod';
import { parseCredits } from '../../domain/credits';
import { parseInstant } from '../../domain/instant';
import { isTimeZone } from '../../domain/notices';

/** Makes a string schema out of a function that reads strings and throws a sentence. */
function readBy(read: (text: string) => unknown, schema: z.ZodString) {
  return schema.superRefine((text, context) => {
    try {
      read(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  });
}

export const amount = readBy(parseCredits, z.string().max(40)).meta({
  id: 'Amount',
  description: 'Credits as a plain decimal string with at most six decimals, such as "12.345".',
  examples: ['12.345'],
});
export const signedAmount = readBy((text) => parseCredits(text.replace(/^-/, '')), z.string().max(41)).meta({
  id: 'SignedAmount',
  description:
    'An amount that may be below zero: between two operations that are booked in another order than they were recorded.',
  examples: ['12.345'],
});
export const instant = readBy(parseInstant, z.string().max(40)).meta({
  id: 'Instant',
  description: 'An instant in RFC 3339.',
  examples: ['2026-01-31T12:00:00Z'],
});
export const uuid = z
  .uuid('an id such as 01890a5d-ac96-774b-bcce-b302099a8057')
  .meta({ examples: ['01890a5d-ac96-774b-bcce-b302099a8057'] });
export const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'a digest as POST /v1/inputs answers it: sha256: and 64 hex digits')
  .meta({
    id: 'Digest',
    description: 'The sha256 of a stored file.',
    examples: ['sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
  });
export const text = (max: number) => z.string().max(max);
/** Says why something is done; the ledger keeps it. */
export const reason = z.string().min(1).max(500);
export const count = z.number().int().nonnegative();

/** A place of the IANA database, such as Europe/Berlin. */
export const timeZone = z
  .string()
  .max(100)
  .refine(isTimeZone, 'a time zone of the IANA database, such as Europe/Berlin')
  .meta({ examples: ['Europe/Berlin'] });

/** A page of a list; `nextCursor` is null on the last one. */
export function pageOf<Item extends z.ZodType>(item: Item, id: string) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() }).meta({ id });
}

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: uuid.optional().describe('The nextCursor of the page before.'),
});

export const idParams = z.strictObject({ id: uuid });
