import { recordedJobs } from '../../db/charges';
import type { Person } from '../../db/people';
import {
  addRateCardDraft,
  changeRateCardDraft,
  type DraftedCard,
  deleteRateCardDraft,
  findPublishedBy,
  findRateCardDraft,
  listRateCardDrafts,
  publishRateCardDraft,
  type RateCardDraft,
  refuseWith,
} from '../../db/rateCardDrafts';
import { listPublications } from '../../db/rateCards';
import { formatCredits } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import { addMilliseconds, type Instant, parseInstant } from '../../domain/instant';
import type { RateCard, ServiceRates } from '../../domain/rateCard';
import { objectionsToMeters } from '../../domain/rateCardMeters';
import { objectionsToCard } from '../../domain/rateCardObjections';
import { Replay } from '../../domain/replay';
import type { ApiDependencies } from '../app';
import { etagOf, mustMatch } from '../ifMatch';
import { pageOfRows } from '../pages';
import { notFound } from '../problems';
import { draftView, namedCard, rateBy, rateCardViews } from '../rateCardView';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Rates';
const REPLAY_MAX_MS = 400 * 86_400_000;

export function rateCardDraftRoutes({ db, services }: ApiDependencies): Route[] {
  const objectionsTo = (card: DraftedCard) => {
    const objections = objectionsToCard(card);
    // Meters can only be compared in a card of the right shape.
    return objections.length > 0 ? objections : objectionsToMeters(card.services, services);
  };

  /** What was sent as a card. @throws BillingError `rate_card_invalid` with everything that is wrong with it. */
  function drafted(body: { title: string; effectiveAt: string | null; services: unknown[] }): DraftedCard {
    const card = {
      title: body.title,
      effectiveAt: body.effectiveAt === null ? null : parseInstant(body.effectiveAt),
      services: body.services as ServiceRates[],
    };
    refuseWith(objectionsTo(card));
    return card;
  }

  async function draftOf(id: string): Promise<RateCardDraft> {
    const draft = await findRateCardDraft(db, id);
    if (!draft) throw notFound('draft of a rate card');
    return draft;
  }

  function reply(status: 200 | 201, draft: RateCardDraft) {
    const body = draftView(draft);
    const location = status === 201 ? { Location: body.links.self ?? '' } : {};
    return { status, body, headers: { ...location, ETag: draftEtag(draft) } };
  }

  async function published({ version }: RateCard, person: Person, at: Instant) {
    const views = rateCardViews(await listPublications(db), person, at);
    return { status: 201, body: views.find((one) => one.version === version) };
  }

  return [
    route({
      method: 'post',
      path: '/v1/rate-card-drafts',
      tag: TAG,
      summary: 'Draft a rate card',
      description:
        'A whole card. It is checked at once, everything that is wrong with it is said, and nothing counts before it is published.',
      roles: ['provider'],
      body: schemas.rateCardDraftRequest,
      idempotent: true,
      created: (id) => ({ Location: `/v1/rate-card-drafts/${id}`, ETag: draftEtag({ revision: 1 }) }),
      answers: { 201: { description: 'Drafted.', schema: schemas.rateCardDraft } },
      refusals: ['rate_card_invalid'],
      handle: async ({ person, body, resourceId, claimedAt }) => {
        const by = { actor: person.userId, at: claimedAt };
        return reply(201, await addRateCardDraft(db, resourceId, drafted(body), by));
      },
    }),
    route({
      method: 'get',
      path: '/v1/rate-card-drafts',
      tag: TAG,
      summary: 'Drafts of rate cards, the newest first',
      roles: ['provider', 'finance'],
      query: schemas.pageQuery,
      answers: { 200: { description: 'A page.', schema: schemas.pageOf(schemas.rateCardDraft, 'RateCardDraftPage') } },
      refusals: [],
      handle: async ({ query: { limit, cursor = null } }) => {
        const found = await listRateCardDrafts(db, { before: cursor, limit: limit + 1 });
        const { items, nextCursor } = pageOfRows(found, limit, ({ id }) => id);
        return { status: 200, body: { items: items.map(draftView), nextCursor } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/rate-card-drafts/:id',
      tag: TAG,
      summary: 'A draft of a rate card',
      roles: ['provider', 'finance'],
      params: schemas.idParams,
      answers: { 200: { description: 'The draft.', schema: schemas.rateCardDraft } },
      refusals: ['not_found'],
      handle: async ({ params }) => reply(200, await draftOf(params.id)),
    }),
    route({
      method: 'put',
      path: '/v1/rate-card-drafts/:id',
      tag: TAG,
      summary: 'Change a draft that is as it was read',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.rateCardDraftRequest,
      idempotent: true,
      ifMatch: true,
      answers: { 200: { description: 'Changed.', schema: schemas.rateCardDraft } },
      refusals: ['not_found', 'rate_card_invalid', 'draft_published'],
      handle: async ({ person, params, body, request, claimedAt, isRepeat }) => {
        const draft = await draftOf(params.id);
        const isDone = isRepeat && draft.changedAt === claimedAt && draft.changedBy === person.userId;
        if (isDone) return reply(200, draft);
        mustMatch(request, draftEtag(draft));
        const by = { actor: person.userId, at: claimedAt };
        return reply(200, await changeRateCardDraft(db, draft, drafted(body), by));
      },
    }),
    route({
      method: 'delete',
      path: '/v1/rate-card-drafts/:id',
      tag: TAG,
      summary: 'Delete a draft that is as it was read, and is not published',
      roles: ['provider'],
      params: schemas.idParams,
      idempotent: true,
      ifMatch: true,
      answers: { 200: { description: 'Deleted.', schema: schemas.rateCardDraftDeleted } },
      refusals: ['not_found', 'draft_published'],
      handle: async ({ params: { id }, request, isRepeat }) => {
        const done = { status: 200, body: { id } };
        if (isRepeat && !(await findRateCardDraft(db, id))) return done;
        const draft = await draftOf(id);
        mustMatch(request, draftEtag(draft));
        await deleteRateCardDraft(db, draft);
        return done;
      },
    }),
    route({
      method: 'post',
      path: '/v1/rate-card-drafts/:id/publish',
      tag: TAG,
      summary: 'Publish a draft that is as it was read, for now or the future',
      description:
        'It becomes the next version, which never changes. Quotes and jobs keep the version that they were made with; past charges never change.',
      roles: ['provider'],
      params: schemas.idParams,
      idempotent: true,
      ifMatch: true,
      answers: { 201: { description: 'Published.', schema: schemas.rateCard } },
      refusals: ['not_found', 'rate_card_invalid', 'draft_published'],
      handle: async ({ person, params: { id }, request, resourceId: requestId, isRepeat, at }) => {
        const done = isRepeat ? await findPublishedBy(db, requestId) : undefined;
        if (done) return published(done, person, at);
        const draft = await draftOf(id);
        mustMatch(request, draftEtag(draft));
        const { revision } = draft;
        const asked = { id, revision, requestId, actor: person.userId, at, objectionsTo };
        return published(await publishRateCardDraft(db, asked), person, at);
      },
    }),
    route({
      method: 'post',
      path: '/v1/rate-card-drafts/:id/rate',
      tag: TAG,
      summary: 'What some usage would cost by a draft; nothing is changed',
      roles: ['provider', 'finance'],
      params: schemas.idParams,
      body: schemas.rateRequest,
      answers: { 200: { description: 'Rated, line by line.', schema: schemas.rated } },
      refusals: ['not_found', 'service_not_sold', 'usage_not_ratable'],
      handle: async ({ params, body }) => ({ status: 200, body: rateBy(await draftOf(params.id), body) }),
    }),
    route({
      method: 'post',
      path: '/v1/rate-card-drafts/:id/replay',
      tag: TAG,
      summary: 'What recorded jobs would have cost under a draft; nothing is changed',
      description:
        'Of the charges that were booked in [from, to) the recorded usage, dimensions and end are rated anew. Refunds do not count, and neither do jobs that were released without a charge.',
      roles: ['provider', 'finance'],
      params: schemas.idParams,
      body: schemas.replayRequest,
      answers: { 200: { description: 'By service.', schema: schemas.replay } },
      refusals: ['not_found'],
      handle: async ({ params, body }) => {
        const draft = await draftOf(params.id);
        const period = { from: parseInstant(body.from), to: parseInstant(body.to) };
        checkPeriod(period);
        const replay = new Replay(draft.services);
        for await (const job of recordedJobs(db, period)) replay.add(job);
        return { status: 200, body: { card: namedCard(draft), ...period, ...replayView(replay) } };
      },
    }),
  ];
}

function draftEtag({ revision }: Pick<RateCardDraft, 'revision'>): string {
  return etagOf(String(revision));
}

function checkPeriod({ from, to }: { from: Instant; to: Instant }): void {
  if (to <= from) throw new BillingError('invalid_request', 'body.to: it is after from');
  if (to > addMilliseconds(from, REPLAY_MAX_MS)) {
    throw new BillingError('invalid_request', 'body.to: at most 400 days after from');
  }
}

function replayView({ services, unrated, unratedCount }: Replay) {
  return {
    services: services.map((one) => ({
      ...one,
      charged: formatCredits(one.charged),
      absorbed: formatCredits(one.absorbed),
      underDraft: formatCredits(one.underDraft),
      difference: formatCredits(one.difference),
    })),
    unratedJobs: unratedCount,
    unrated: unrated.map((one) => ({ ...one, charged: formatCredits(one.charged) })),
  };
}
