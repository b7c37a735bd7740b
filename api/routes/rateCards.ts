import type { Person } from '../../db/people';
import { findRateCardDraft } from '../../db/rateCardDrafts';
import { findRateCard, listPublications } from '../../db/rateCards';
import { parseInstant } from '../../domain/instant';
import { cardInForce } from '../../domain/rateCard';
import { diffCards } from '../../domain/rateCardDiff';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type AnyCard, namedCard, rateBy, rateCardViews } from '../rateCardView';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Rates';

export function rateCardRoutes({ db }: ApiDependencies): Route[] {
  /** A version by its number, or for the provider's people a draft by its id: prices that are not published are theirs. */
  async function cardNamed(person: Person, name: string): Promise<AnyCard> {
    const isVersion = /^[0-9]+$/.test(name);
    const found = isVersion
      ? await findRateCard(db, Number(name))
      : person.everything
        ? await findRateCardDraft(db, name)
        : undefined;
    if (!found) throw notFound('rate card');
    return found;
  }

  return [
    route({
      method: 'get',
      path: '/v1/rate-cards',
      tag: TAG,
      summary: 'All published versions of the rates, or the one in force at an instant',
      description: 'Each says where it stands now: scheduled, in force, or superseded by another.',
      query: schemas.inForceQuery,
      answers: { 200: { description: 'Oldest first.', schema: schemas.pageOf(schemas.rateCard, 'RateCardPage') } },
      refusals: [],
      handle: async ({ person, query, at }) => {
        const publications = await listPublications(db);
        const views = rateCardViews(publications, person, at);
        if (query.at === undefined) return { status: 200, body: { items: views, nextCursor: null } };
        const cards = publications.map(({ card }) => card);
        const inForce = cardInForce(cards, parseInstant(query.at))?.version;
        return { status: 200, body: { items: views.filter(({ version }) => version === inForce), nextCursor: null } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/rate-cards/:version',
      tag: TAG,
      summary: 'One published version of the rates',
      params: schemas.versionParams,
      answers: { 200: { description: 'The version.', schema: schemas.rateCard } },
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => {
        const views = rateCardViews(await listPublications(db), person, at);
        const found = views.find(({ version }) => version === params.version);
        if (!found) throw notFound('rate card');
        return { status: 200, body: found };
      },
    }),
    route({
      method: 'get',
      path: '/v1/rate-cards/:a/diff/:b',
      tag: TAG,
      summary: 'What changes from one card to another, in rates, rounding, reservation and policy',
      description: 'Cards are named by version; the provider’s people may name drafts by their id.',
      params: schemas.rateCardDiffParams,
      answers: { 200: { description: 'The services that change.', schema: schemas.rateCardDiff } },
      refusals: ['not_found'],
      handle: async ({ person, params: { a, b } }) => {
        const [from, to] = await Promise.all([cardNamed(person, a), cardNamed(person, b)]);
        return {
          status: 200,
          body: { from: namedCard(from), to: namedCard(to), services: diffCards(from, to) },
        };
      },
    }),
    route({
      method: 'post',
      path: '/v1/rate-cards/:version/rate',
      tag: TAG,
      summary: 'What some usage costs by a version; nothing is changed',
      params: schemas.versionParams,
      body: schemas.rateRequest,
      answers: { 200: { description: 'Rated, line by line.', schema: schemas.rated } },
      refusals: ['not_found', 'service_not_sold', 'usage_not_ratable'],
      handle: async ({ params, body }) => {
        const card = await findRateCard(db, params.version);
        if (!card) throw notFound('rate card');
        return { status: 200, body: rateBy(card, body) };
      },
    }),
  ];
}
