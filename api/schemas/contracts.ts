/** Contracts: what they are, how they change, and who is authorised on them. */
import { z } from 'zod';
import { CONTRACT_ROLES } from '../../db/authorisations';
import { RENEWALS } from '../../domain/contract';
import { CONTRACT_PHASES } from '../../domain/contractPhase';
import { LOT_KINDS } from '../../domain/lots';
import { SPENDING_OBSTACLES } from '../../domain/spenders';
import { amount, count, instant, pageQuery, reason, signedAmount, timeZone, uuid } from './base';
import { givenName } from './people';

export const contractProduct = z
  .strictObject({
    product: z.string().max(100),
    type: z.string().max(100).describe('Such as annual or quarterly.'),
    level: z.string().max(100),
    seats: z.number().int().min(1).max(1_000_000),
  })
  .meta({ id: 'ContractProduct', description: 'What a contract is for; allocation rules say what it grants.' });

const products = z.array(contractProduct).max(100);
const months = z.number().int().min(1).max(120);

const renewalTerms = {
  renewal: z.enum(RENEWALS),
  renewalMonths: months,
  graceDays: z
    .number()
    .int()
    .min(0)
    .max(366)
    .describe(
      'For how many days after its end the contract may still be renewed, as if it had never been interrupted.',
    ),
};

export const contractRequest = z
  .strictObject({
    customerId: uuid,
    name: givenName,
    startsAt: instant,
    endsAt: instant,
    timeZone: timeZone.describe(
      'By whose calendar its terms, its grace and the twelve months of its lots are counted.',
    ),
    renewal: renewalTerms.renewal.default('manual'),
    renewalMonths: renewalTerms.renewalMonths.default(12),
    graceDays: renewalTerms.graceDays.default(0),
    products: products.default([]),
    reason,
  })
  .meta({ id: 'ContractRequest' });

export const contract = z
  .object({
    id: uuid,
    customerId: uuid,
    customer: z.string(),
    name: z.string(),
    state: z.enum(CONTRACT_PHASES).describe('Only an active contract can be spent on.'),
    startsAt: instant,
    endsAt: instant.describe('The end of its last term, or its termination.'),
    graceEndsAt: instant.describe('Up to when it may still be renewed; its end where it has no grace.'),
    timeZone: z.string(),
    terms: z.array(z.object({ number: count, startsAt: instant, endsAt: instant })),
    products: z.array(contractProduct),
    ...renewalTerms,
    terminatesAt: instant.nullable(),
    suspendedAt: instant.nullable(),
    activatedAt: instant.nullable().describe('When its beginning was booked for.'),
    closedAt: instant.nullable().describe('From when on it is over for good, once that is booked.'),
    version: count.describe('How often it was changed; its ETag.'),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Contract' });

export const contractsQuery = pageQuery.extend({
  state: z.enum(CONTRACT_PHASES).optional(),
  customer: uuid.optional(),
});

export const renewRequest = z
  .strictObject({ months: months.optional().describe('By default as its renewal terms say.'), reason })
  .meta({ id: 'RenewRequest' });
export const extendRequest = z.strictObject({ endsAt: instant, reason }).meta({ id: 'ExtendRequest' });
export const terminateRequest = z
  .strictObject({ at: instant.optional().describe('Now by default.'), reason })
  .meta({ id: 'TerminateRequest' });
export const contractReason = z.strictObject({ reason }).meta({ id: 'ContractReason' });
export const productsRequest = z.strictObject({ products, reason }).meta({ id: 'ContractProductsRequest' });
export const renewalRequest = z.strictObject({ ...renewalTerms, reason }).meta({ id: 'RenewalRequest' });

export const contractChange = z
  .object({
    number: count,
    kind: z.string(),
    at: instant.describe('From when on the contract is like this.'),
    recordedAt: instant,
    actor: z.string(),
    reason: z.string(),
    request: z.record(z.string(), z.unknown()).describe('What was asked for.'),
    state: z.record(z.string(), z.unknown()).describe('What the contract was from there on.'),
  })
  .meta({ id: 'ContractChange' });

export const contractChangesQuery = pageQuery.extend({
  cursor: z
    .string()
    .regex(/^\d{1,9}$/, 'the nextCursor of the page before')
    .optional(),
});

export const authorisationRequest = z
  .strictObject({
    userId: uuid,
    role: z.enum(CONTRACT_ROLES),
    authorisedAt: instant.optional().describe('Now by default, or later.'),
  })
  .meta({ id: 'AuthorisationRequest' });

export const authorisation = z
  .object({
    userId: uuid,
    name: z.string(),
    email: z.string(),
    role: z.enum(CONTRACT_ROLES),
    authorisedAt: instant,
    removedAt: instant.nullable().describe('Not authorised any more from then on.'),
  })
  .meta({ id: 'Authorisation', description: 'A stretch of time in which a user may spend on a contract.' });

export const contractUserParams = z.strictObject({ id: uuid, userId: uuid });
export const removalQuery = z.strictObject({
  removedAt: instant.optional().describe('Now by default, or later; it can be changed until it comes.'),
});

export const spendersQuery = z.strictObject({
  at: instant.optional().describe('Now by default; of an instant to come it is answered as it is known now.'),
});

export const spenders = z
  .object({
    lotId: uuid,
    at: instant,
    kind: z.enum(LOT_KINDS),
    granted: amount,
    available: signedAmount.describe('What of it was available then.'),
    contractId: uuid.nullable(),
    contractState: z.enum(CONTRACT_PHASES).nullable().describe('Where the contract stood then.'),
    users: z.array(
      z.object({
        userId: uuid,
        name: z.string(),
        email: z.string(),
        maySpend: z.boolean(),
        because: z.enum(SPENDING_OBSTACLES).nullable().describe('Why not; null for those who could.'),
        message: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'Spenders', description: 'Who could spend a lot at an instant, and why the others could not.' });
