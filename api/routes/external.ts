/** Jobs on somebody else's compute: it claims a run, reports with the token of the attempt, and sends results. */
import { pipeline } from 'node:stream/promises';
import type { Request } from 'express';
import { z } from 'zod';
import { offerEngines } from '../../db/computeOffers';
import {
  addExternalResult,
  claimExternalRun,
  endExternalRun,
  inputOfExternalRun,
  reportExternalRun,
} from '../../db/externalRuns';
import { BillingError } from '../../domain/errors';
import type { ApiDependencies } from '../app';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

/** A claimer that is silent for a minute is lost; reports every ten seconds survive a few that get lost. */
const HEARTBEAT_SECONDS = 10;
const RESULT_BYTES_MAX = 512 * 1024 * 1024;
const RESULT_MEDIA_TYPES = ['application/octet-stream'];

const resultParams = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$/, 'a plain file name'),
});
const resultQuery = z.strictObject({
  mediaType: z
    .string()
    .regex(/^[a-z]+\/[a-z0-9][a-z0-9.+-]{0,99}(; ?charset=[a-z0-9-]+)?$/i, 'a media type')
    .default('application/octet-stream'),
});

export function externalRoutes({ db, store, log }: ApiDependencies): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/external/claims',
      tag: 'External compute',
      summary: 'Claim a run',
      description:
        'Also says which engines the claimer offers; jobs are sent to external compute only while somebody has asked within ten minutes.',
      roles: ['compute'],
      body: schemas.externalClaimRequest,
      answers: {
        200: {
          description: 'A run, or null when none waits.',
          schema: z.object({ claim: schemas.externalClaim.nullable() }),
        },
      },
      refusals: [],
      handle: async ({ person, body: { agent, engines }, at }) => {
        const offers = engines.map((engine) => ({ runner: 'external' as const, engine }));
        await offerEngines(db, { worker: `external/${person.userId}/${agent}`, offers, at });
        const claim = await claimExternalRun(db, { agent, engines, at });
        if (!claim) return { status: 200, body: { claim: null } };
        const { timeLimitMs, ...run } = claim;
        const limits = { timeLimitSeconds: timeLimitMs / 1000, heartbeatSeconds: HEARTBEAT_SECONDS };
        return { status: 200, body: { claim: { ...run, ...limits } } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/external/input',
      tag: 'External compute',
      summary: 'The input of a claimed run',
      roles: ['compute'],
      answers: { 200: { description: 'The file.', mediaType: 'application/octet-stream' } },
      refusals: ['not_found', 'attempt_over'],
      handle: async ({ request, response }) => {
        const { digest } = await inputOfExternalRun(db, tokenOf(request));
        response.set({ 'Content-Type': 'application/octet-stream', ETag: `"${digest}"` });
        await pipeline(await store.read(digest), response).catch((err) => log.debug({ err }, 'a download ended early'));
        return undefined;
      },
    }),
    route({
      method: 'post',
      path: '/v1/external/heartbeat',
      tag: 'External compute',
      summary: 'Report what a claimed run has done',
      description: 'Figures never fall, so late, doubled and disordered reports are harmless. Answers what to do now.',
      roles: ['compute'],
      body: schemas.externalReport,
      answers: { 200: { description: 'What the run is to do.', schema: schemas.externalWish } },
      refusals: ['not_found', 'attempt_over'],
      handle: async ({ request, body, at }) => ({
        status: 200,
        body: { wants: await reportExternalRun(db, tokenOf(request), body, at) },
      }),
    }),
    route({
      method: 'put',
      path: '/v1/external/results/:name',
      tag: 'External compute',
      summary: 'Send a result of a claimed run',
      roles: ['compute'],
      params: resultParams,
      query: resultQuery,
      rawBody: { mediaTypes: RESULT_MEDIA_TYPES, description: 'The file.' },
      answers: { 200: { description: 'Stored.', schema: schemas.externalResult } },
      refusals: ['not_found', 'attempt_over', 'input_too_large'],
      handle: async ({ request, params: { name }, query: { mediaType } }) => {
        const token = tokenOf(request);
        // Asked first: nobody stores anything here without a claim.
        await inputOfExternalRun(db, token);
        const { digest, size } = await store.put(request, RESULT_BYTES_MAX);
        await addExternalResult(db, token, { name, digest, size, mediaType });
        return { status: 200, body: { name, digest, size, mediaType } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/external/end',
      tag: 'External compute',
      summary: 'Say how a claimed run ended',
      description: 'After its results were sent. From then on nothing that is reported of it counts.',
      roles: ['compute'],
      body: schemas.externalEnd,
      answers: { 200: { description: 'Noted.', schema: schemas.externalWish } },
      refusals: ['not_found', 'attempt_over'],
      handle: async ({ request, body, at }) => {
        await endExternalRun(db, tokenOf(request), body, at);
        return { status: 200, body: { wants: 'stop' } };
      },
    }),
  ];
}

/** @throws BillingError `invalid_request` without the token of an attempt. */
function tokenOf(request: Request): string {
  const token = request.header('Attempt-Token') ?? '';
  if (/^hfa_[A-Za-z0-9_-]{10,100}$/.test(token)) return token;
  throw new BillingError('invalid_request', 'Send the token of the claim in the header "Attempt-Token: hfa_…".');
}
