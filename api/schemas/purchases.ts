/** Packs and purchases. */
import { z } from 'zod';
import { PURCHASE_STATES } from '../../domain/purchase';
import { amount, count, instant, pageQuery, uuid } from './base';

export const pack = z
  .object({ code: z.string(), title: z.string(), amount })
  .meta({ id: 'Pack', description: 'In what credits are sold.' });

export const price = z
  .strictObject({
    minor: z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).describe('In the smallest unit: cents.'),
    currency: z.string().regex(/^[A-Z]{3}$/, 'the code of a currency, such as EUR'),
  })
  .meta({ id: 'Price' });

export const purchaseRequest = z
  .strictObject({
    orderNumber: z
      .string()
      .max(200)
      .regex(/^[^\s\p{C}]([^\p{C}]*[^\s\p{C}])?$/u, 'an order number of 1 to 200 visible characters'),
    customerId: uuid,
    pack: z.string().max(60).optional().describe('The code of a pack.'),
    quantity: z.number().int().min(1).max(1_000_000).optional().describe('How many packs; 1 by default.'),
    amount: amount
      .refine((text) => /[1-9]/.test(text), 'more than zero')
      .optional()
      .describe('What was bought, where it was not bought in packs.'),
    price: price.optional().describe('What was paid for all of it.'),
    purchasedAt: instant.optional().describe('Now by default. Its twelve months begin here.'),
    contractId: uuid.optional().describe('Allocates it at once; without one it waits on its customer.'),
  })
  .superRefine(({ pack: code, quantity, amount: bought }, context) => {
    const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
    if ((code === undefined) === (bought === undefined)) refuse('pack', 'say what was bought: either pack or amount');
    if (quantity !== undefined && code === undefined) refuse('quantity', 'only packs are counted');
  })
  .meta({ id: 'PurchaseRequest' });

export const allocationRequest = z.strictObject({ contractId: uuid }).meta({ id: 'PurchaseAllocationRequest' });

export const purchase = z
  .object({
    id: uuid,
    orderNumber: z.string(),
    customerId: uuid,
    pack: z.string().nullable(),
    quantity: count.nullable(),
    amount,
    price: price.nullable(),
    purchasedAt: instant,
    recordedAt: instant,
    state: z.enum(PURCHASE_STATES),
    expiresAt: instant.describe(
      'When its twelve months are over, or its lot, as it was allocated, expires. A contract’s calendar decides once there is one.',
    ),
    contractId: uuid.nullable(),
    lotId: uuid.nullable(),
    allocatedAt: instant.nullable(),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Purchase', description: 'Credits that a customer bought under an order number.' });

export const purchasesQuery = pageQuery.extend({
  customer: uuid.optional(),
  unallocated: z.enum(['true', 'false']).optional().describe('Only what waits, or only what is allocated.'),
});
