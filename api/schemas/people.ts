/** Customers and users. */
import { z } from 'zod';
import { LANGUAGES } from '../../domain/notices';
import { timeZone, uuid } from './base';

/** What people and things are called. */
export const givenName = z
  .string()
  .max(200)
  .regex(/^[^\s\p{C}]([^\p{C}]*[^\s\p{C}])?$/u, 'a name of 1 to 200 visible characters, without spaces around it');

export const customerRequest = z.strictObject({ name: givenName }).meta({ id: 'CustomerRequest' });

export const customer = z
  .object({ id: uuid, name: z.string() })
  .meta({ id: 'Customer', description: 'An organisation that has contracts with the provider.' });

const email = z.email('an address such as sana@aurora.example').max(254);

export const userRequest = z
  .strictObject({
    name: givenName,
    email: email.describe('One person has one address, however it is written.'),
    customerId: uuid.nullable().describe('Null for the provider’s own people.'),
    language: z.enum(LANGUAGES).default('en').describe('In which the user is written to.'),
    timeZone: timeZone.default('UTC').describe('By whose clock.'),
  })
  .meta({ id: 'UserRequest' });

export const userChange = z
  .strictObject({
    name: givenName.optional(),
    email: email.optional(),
    language: z.enum(LANGUAGES).optional(),
    timeZone: timeZone.optional(),
  })
  .refine((change) => Object.values(change).some((one) => one !== undefined), 'say what changes')
  .meta({ id: 'UserChange', description: 'What is left out stays. Name and address are for the provider to change.' });

export const user = z
  .object({
    id: uuid,
    customerId: uuid.nullable(),
    name: z.string(),
    email: z.string(),
    language: z.enum(LANGUAGES),
    timeZone: z.string(),
  })
  .meta({ id: 'User', description: 'A person with a name.' });
