import type { z } from 'zod';
import {
  type NoticePreferences,
  noticePreferencesOf,
  setNoticePreferences,
  unsubscribe,
} from '../../db/noticePreferences';
import {
  listShownNotices,
  type NoticeProof,
  proofOf,
  readNotice,
  recordBounce,
  type ShownNotice,
} from '../../db/notices';
import type { Person } from '../../db/people';
import { formatCredits, parseCredits } from '../../domain/credits';
import { DIGEST_ENTRY_KINDS } from '../../domain/notices';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';
import { sendUnsubscribed, sendUnsubscribeQuestion } from '../unsubscribePage';

const TAG = 'Notices';

export function noticeRoutes({ db, workflows }: ApiDependencies): Route[] {
  const page = { description: 'A page that says the same to everybody.', mediaType: 'text/html' };

  return [
    route({
      method: 'get',
      path: '/v1/notices',
      tag: TAG,
      summary: 'What you were told: what waits to be read first, then the rest, newest first',
      description:
        'Also what is to be told to persons whose contracts you administer, where it reached them by you. What was mailed is among it and counts as read.',
      query: schemas.noticesQuery,
      answers: { 200: { description: 'A page of them.', schema: schemas.pageOf(schemas.notice, 'NoticePage') } },
      refusals: [],
      handle: async ({ person, query: { limit, cursor, unread } }) => {
        const [part, position = '0'] = cursor?.split('.') ?? [];
        const found = await listShownNotices(db, person.userId, {
          after: part === undefined ? null : { unread: part === 'unread', position: BigInt(position) },
          limit: limit + 1,
          unreadOnly: unread === 'true',
        });
        const shown = found.slice(0, limit);
        const last = found.length > limit ? shown.at(-1) : undefined;
        const nextCursor = last ? `${last.unread ? 'unread' : 'read'}.${last.position}` : null;
        return { status: 200, body: { items: shown.map(noticeView), nextCursor } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/notices/:id/read',
      tag: TAG,
      summary: 'Say that you have read a notice',
      description: 'The first time is kept beside the proof of its delivery.',
      params: schemas.idParams,
      idempotent: true,
      answers: { 200: { description: 'The notice.', schema: schemas.notice } },
      refusals: ['not_found'],
      handle: async ({ person, params, claimedAt }) => {
        const read = await readNotice(db, { noticeId: params.id, userId: person.userId, at: claimedAt });
        if (!read) throw notFound('notice');
        return { status: 200, body: noticeView(read) };
      },
    }),
    route({
      method: 'get',
      path: '/v1/notices/:id/deliveries',
      tag: TAG,
      summary: 'The proof of what became of a notice',
      roles: ['operator', 'provider', 'finance'],
      params: schemas.idParams,
      answers: { 200: { description: 'Every attempt, with what was said and answered.', schema: schemas.noticeProof } },
      refusals: ['not_found'],
      handle: async ({ params }) => {
        const proof = await proofOf(db, params.id);
        if (!proof) throw notFound('notice');
        return { status: 200, body: proofView(proof) };
      },
    }),
    route({
      method: 'post',
      path: '/v1/notices/bounces',
      tag: TAG,
      summary: 'Report that a mail came back after its server had accepted it',
      description: 'The notice is undelivered again, and its next delivery goes on with the next channel.',
      roles: ['operator', 'provider'],
      body: schemas.bounceRequest,
      idempotent: true,
      answers: { 200: { description: 'The notice that it was.', schema: schemas.bounce } },
      refusals: ['not_found', 'unavailable'],
      handle: async ({ person, body, claimedAt }) => {
        const messageId = `<${body.messageId.trim().replace(/^<|>$/g, '')}>`;
        const bounced = await recordBounce(db, {
          messageId,
          reason: body.reason,
          at: claimedAt,
          actor: person.userId,
        });
        if (!bounced) throw notFound('mail');
        // The 90 days that began with its delivery did not begin. Who cannot be reached now is told by a repeat.
        if (bounced.kind === 'withdrawal' && bounced.subjectId !== null) {
          await workflows.noticeBounced(bounced.subjectId, bounced.userId, bounced.at);
        }
        return {
          status: 200,
          body: { ...bounced, links: { deliveries: `/v1/notices/${bounced.noticeId}/deliveries` } },
        };
      },
    }),
    route({
      method: 'get',
      path: '/v1/me/notice-preferences',
      tag: TAG,
      summary: 'What you want to be told where nothing requires it',
      answers: { 200: { description: 'Your preferences.', schema: schemas.noticePreferences } },
      refusals: [],
      handle: async ({ person }) => ({
        status: 200,
        body: preferencesView(await noticePreferencesOf(db, person.userId)),
      }),
    }),
    route({
      method: 'put',
      path: '/v1/me/notice-preferences',
      tag: TAG,
      summary: 'Say what you want to be told where nothing requires it',
      body: schemas.noticePreferencesRequest,
      idempotent: true,
      answers: { 200: { description: 'Your preferences now.', schema: schemas.noticePreferences } },
      refusals: ['not_found'],
      handle: async ({ person, body, claimedAt }) => {
        const wanted = preferencesOf(body, person);
        return {
          status: 200,
          body: preferencesView(await setNoticePreferences(db, person.userId, wanted, claimedAt)),
        };
      },
    }),
    route({
      method: 'get',
      path: '/v1/unsubscribe/:token',
      tag: TAG,
      summary: 'A page that asks whether to end your digests',
      roles: 'anyone',
      params: schemas.unsubscribeParams,
      answers: { 200: page },
      refusals: [],
      handle: async ({ response }) => {
        sendUnsubscribeQuestion(response);
        return undefined;
      },
    }),
    route({
      method: 'post',
      path: '/v1/unsubscribe/:token',
      tag: TAG,
      summary: 'End your digests, as a mail program does with one click (RFC 8058)',
      roles: 'anyone',
      params: schemas.unsubscribeParams,
      answers: { 200: page },
      refusals: [],
      handle: async ({ params, response, at }) => {
        await unsubscribe(db, params.token, at);
        sendUnsubscribed(response);
        return undefined;
      },
    }),
  ];
}

function noticeView(notice: ShownNotice) {
  return {
    id: notice.id,
    kind: notice.kind,
    required: notice.required,
    subjectId: notice.subjectId,
    about: { userId: notice.userId, name: notice.userName },
    channel: notice.channel,
    subject: notice.subject,
    text: notice.body,
    shownAt: notice.shownAt,
    readAt: notice.readAt,
    unread: notice.unread,
    links: { read: `/v1/notices/${notice.id}/read` },
  };
}

function proofView({ notice, state, nextAt, attempts, bounce, readers }: NoticeProof) {
  const { id, kind, userId, subjectId, required, at } = notice;
  return {
    notice: { id, kind, userId, subjectId, required, at },
    state,
    nextAt,
    attempts: attempts.map(({ body, result, ...attempt }) => ({
      ...attempt,
      text: body,
      result: result?.kind ?? null,
      answer: result?.answer ?? null,
      answeredAt: result?.at ?? null,
    })),
    bounce,
    readers,
  };
}

/** What was asked for, as it is kept. @throws BillingError `not_found` for a contract that the person is not on. */
function preferencesOf(
  { language, timeZone, digests, entries, thresholds }: z.output<typeof schemas.noticePreferencesRequest>,
  { contractIds }: Person,
): NoticePreferences {
  return {
    language,
    timeZone,
    digests,
    muted: DIGEST_ENTRY_KINDS.filter((kind) => entries[kind] === false),
    thresholds: thresholds.map(({ contractId, threshold }) => {
      if (contractId !== null && !contractIds.includes(contractId)) throw notFound('contract');
      return { contractId, threshold: threshold === null ? null : parseCredits(threshold) };
    }),
  };
}

function preferencesView({ language, timeZone, digests, muted, thresholds }: NoticePreferences) {
  return {
    language,
    timeZone,
    digests,
    entries: Object.fromEntries(DIGEST_ENTRY_KINDS.map((kind) => [kind, !muted.includes(kind)])),
    thresholds: thresholds.map(({ contractId, threshold }) => ({
      contractId,
      threshold: threshold === null ? null : formatCredits(threshold),
    })),
  };
}
