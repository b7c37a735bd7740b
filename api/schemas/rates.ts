/** Rate cards, their drafts, and what is asked about them. */
import { z } from 'zod';
import { JOB_ENDS, RATE_CARD_STATUSES } from '../../domain/rateCard';
import { amount, count, instant, signedAmount, text, uuid } from './base';

const services = z
  .array(z.record(z.string(), z.unknown()))
  .describe('The rates, rounding and policy of each service, as docs/rates.md says them.');

export const rateCard = z
  .object({
    version: count,
    title: z.string(),
    effectiveAt: instant,
    status: z.enum(RATE_CARD_STATUSES).describe('Where it stands now.'),
    services,
    publishedBy: z.string().nullable().describe('Who published it; only the provider’s people are told.'),
    recordedAt: instant,
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'RateCard', description: 'One published, immutable version of the rates.' });

export const rateCardDraftRequest = z
  .strictObject({
    title: text(200),
    effectiveAt: instant
      .nullable()
      .default(null)
      .describe('From when on it counts; null for the instant at which it is published.'),
    services,
  })
  .meta({ id: 'RateCardDraftRequest', description: 'A whole card; published, it replaces the one before.' });

export const rateCardDraft = z
  .object({
    id: uuid,
    title: z.string(),
    effectiveAt: instant.nullable(),
    services,
    revision: count.describe('Its ETag.'),
    createdBy: z.string(),
    createdAt: instant,
    changedBy: z.string(),
    changedAt: instant,
    publishedVersion: count.nullable().describe('Once it is published; from then on it stays as it is.'),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'RateCardDraft', description: 'A rate card that is not published yet, and can still be changed.' });

export const rateCardDraftDeleted = z.object({ id: uuid }).meta({ id: 'RateCardDraftDeleted' });

/** A published version by its number, or a draft by its id. */
const cardName = z
  .string()
  .regex(
    /^([0-9]{1,7}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/,
    'the number of a published version, or the id of a draft',
  );
export const rateCardDiffParams = z.strictObject({ a: cardName, b: cardName });

const cardNamed = z.object({
  version: count.nullable().describe('Null for a draft.'),
  draftId: uuid.nullable().describe('Null for a published version.'),
  title: z.string(),
  effectiveAt: instant.nullable(),
});

const change = z.enum(['added', 'removed', 'changed']);
const beforeAndAfter = <Value extends z.ZodType>(value: Value) => ({
  before: value.nullable(),
  after: value.nullable(),
});
const words = z.object(beforeAndAfter(z.string()));
const object = z.record(z.string(), z.unknown());

export const rateCardDiff = z
  .object({
    from: cardNamed,
    to: cardNamed,
    services: z
      .array(
        z.object({
          service: z.string(),
          change,
          rates: z.array(z.object({ meter: z.string(), change, ...beforeAndAfter(object) })),
          rounding: words.nullable(),
          reserves: words.nullable(),
          policy: z.array(z.object({ end: z.string(), ...beforeAndAfter(object) })),
          sentences: z.array(z.string()).describe('The same in words.'),
        }),
      )
      .describe('Those that change; none when both cards charge the same.'),
  })
  .meta({ id: 'RateCardDiff', description: 'What changes from one card to another.' });

export const rateRequest = z
  .strictObject({
    service: text(60),
    dimensions: z
      .record(z.string().max(60), z.string().max(200))
      .default({})
      .describe('What classifies the job for its rates, such as {"quality": "final"}.'),
    usage: z
      .array(
        z.strictObject({
          meter: text(60),
          quantity: amount.describe('In units of the meter, such as "2.5" megapixels.'),
        }),
      )
      .max(200)
      .describe('Several of one meter count as their sum.'),
    end: z.enum(JOB_ENDS).default('completed').describe('How the job would end; the policy says who pays then.'),
  })
  .meta({ id: 'RateRequest' });

export const rated = z
  .object({
    card: cardNamed,
    service: z.string(),
    lines: z.array(z.record(z.string(), z.string())),
    exact: z.string().describe('The exact sum of the lines: a decimal, or a fraction such as "100/3".'),
    rounding: z.string(),
    total: amount.describe('The sum as it is rounded.'),
    payment: z.object({ pays: z.enum(['nothing', 'actual']), upTo: amount.optional() }),
    charged: amount.describe('What the policy lets be charged of it, before any not-to-exceed amount.'),
    unrated: z.array(z.string()).describe('Meters of the request without a rate: evidence, which costs nothing.'),
  })
  .meta({ id: 'Rated', description: 'What some usage costs by a card. Nothing was changed.' });

export const replayRequest = z
  .strictObject({
    from: instant.describe('Charges booked from here on,'),
    to: instant.describe('and before here; at most 400 days later.'),
  })
  .meta({ id: 'ReplayRequest' });

export const replay = z
  .object({
    card: cardNamed,
    from: instant,
    to: instant,
    services: z.array(
      z.object({
        service: z.string(),
        jobs: count,
        charged: amount,
        absorbed: amount.describe('What the provider bore of these jobs.'),
        underDraft: amount.describe('What they would have come to, without their not-to-exceed amounts.'),
        difference: signedAmount.describe('underDraft less charged and absorbed.'),
      }),
    ),
    unratedJobs: count,
    unrated: z
      .array(z.object({ jobId: uuid, chargeId: uuid, service: z.string(), charged: amount, reason: z.string() }))
      .describe('Jobs that the draft cannot rate, and why; at most 1000 of them. They are in no sum.'),
  })
  .meta({ id: 'Replay', description: 'What recorded jobs would have cost under a draft. Nothing was changed.' });
