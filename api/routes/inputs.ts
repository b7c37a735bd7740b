import { z } from 'zod';
import { addInput, findInput } from '../../db/inputs';
import { tooLarge } from '../../db/objectStore';
import { BillingError } from '../../domain/errors';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const digestParams = z.strictObject({ digest: schemas.digest });
const uploadQuery = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(200)
    .regex(/^[^/\\\p{Cc}]+$/u, 'a file name without slashes or control characters')
    .default('input')
    .describe('The file’s name, for people.'),
});

export function inputRoutes({ db, store, services, settings }: ApiDependencies): Route[] {
  const mediaTypes = [
    ...new Set([
      ...[...services.values()].flatMap((one) => one.accepts.map(({ mediaType }) => mediaType)),
      'application/octet-stream',
    ]),
  ];
  return [
    route({
      method: 'post',
      path: '/v1/inputs',
      tag: 'Inputs',
      summary: 'Upload a file',
      description:
        'Streams the body into the content-addressed store. The same contents get the same digest, so a repeat is harmless.',
      roles: ['submitter', 'contract-admin'],
      query: uploadQuery,
      rawBody: { mediaTypes, description: `The file, at most ${settings.inputBytesMax} bytes.` },
      answers: { 201: { description: 'Stored.', schema: schemas.input } },
      refusals: ['input_too_large', 'unsupported_media_type', 'input_invalid'],
      handle: async ({ person, query, request }) => {
        const mediaType = mediaTypes.find((type) => request.is(type));
        if (mediaType === undefined) {
          throw new BillingError('unsupported_media_type', `Send the file's bytes as one of ${mediaTypes.join(', ')}.`);
        }
        if (Number(request.headers['content-length'] ?? 0) > settings.inputBytesMax)
          throw tooLarge(settings.inputBytesMax);
        const stored = await store.put(request, settings.inputBytesMax);
        if (stored.size === 0) throw new BillingError('input_invalid', 'The file is empty.');
        await addInput(db, person.userId, { ...stored, name: query.name, mediaType });
        const body = await findInput(db, person.userId, stored.digest);
        return { status: 201, body, headers: { Location: `/v1/inputs/${stored.digest}` } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/inputs/:digest',
      tag: 'Inputs',
      summary: 'A file that you uploaded',
      params: digestParams,
      answers: { 200: { description: 'What is known of it.', schema: schemas.input } },
      refusals: ['not_found'],
      handle: async ({ person, params }) => {
        const input = await findInput(db, person.userId, params.digest);
        if (!input) throw notFound('input');
        return { status: 200, body: input };
      },
    }),
  ];
}
