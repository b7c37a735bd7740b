/** Rate cards and their drafts as the API shows them, and what it answers about either. */

import type { RateCardDraft } from '../db/rateCardDrafts';
import type { Publication } from '../db/rateCards';
import { assess } from '../domain/charge';
import { CREDITS_MAX, formatCredits } from '../domain/credits';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import { type JobEnd, type RateCard, type ServiceRates, statusOfCard } from '../domain/rateCard';
import { NotRatable } from '../domain/rating';
import type { Dimensions } from '../domain/usage';

/** Published versions with where each stands at an instant. */
export function rateCardViews(
  publications: readonly Publication[],
  viewer: { readonly everything: boolean },
  at: Instant,
) {
  const cards = publications.map(({ card }) => card);
  return publications.map(({ card, publishedBy, recordedAt }) => ({
    ...card,
    status: statusOfCard(card, cards, at),
    publishedBy: viewer.everything ? publishedBy : null,
    recordedAt,
    links: { self: `/v1/rate-cards/${card.version}` },
  }));
}

export function draftView(draft: RateCardDraft) {
  const links: Record<string, string> = { self: `/v1/rate-card-drafts/${draft.id}` };
  if (draft.publishedVersion !== null) links.published = `/v1/rate-cards/${draft.publishedVersion}`;
  return { ...draft, links };
}

/** A published version or a draft, as far as rates are asked for. */
export type AnyCard = RateCard | RateCardDraft;

/** Which card an answer is about. */
export function namedCard(card: AnyCard) {
  const { title, effectiveAt } = card;
  return 'version' in card
    ? { version: card.version, draftId: null, title, effectiveAt }
    : { version: null, draftId: card.id, title, effectiveAt };
}

/**
 * What some usage of a service costs by a card.
 *
 * @throws BillingError `service_not_sold`, `usage_not_ratable`.
 */
export function rateBy(
  card: AnyCard,
  asked: {
    service: string;
    dimensions: Dimensions;
    usage: readonly { meter: string; quantity: string }[];
    end: JobEnd;
  },
) {
  const { service, usage, end } = asked;
  const rates = card.services.find((one) => one.service === service);
  if (!rates) throw new BillingError('service_not_sold', `This card does not sell ${service}.`);
  const { rating, payment, actual } = assessed(rates, asked, end);
  return {
    card: namedCard(card),
    service,
    lines: rating.lines,
    exact: rating.exact,
    rounding: rating.rounding,
    total: formatCredits(rating.total),
    payment,
    charged: formatCredits(actual),
    unrated: [...new Set(usage.map(({ meter }) => meter))].filter(
      (meter) => !rates.rates.some((r) => r.meter === meter),
    ),
  };
}

function assessed(
  rates: ServiceRates,
  { dimensions, usage }: { dimensions: Dimensions; usage: readonly { meter: string; quantity: string }[] },
  end: JobEnd,
) {
  const used = usage.map((one) => ({ attempt: 1, charged: true, ...one }));
  try {
    const assessment = assess({ rateCardVersion: 0, rates, dimensions }, end, used);
    if (assessment.rating.total <= CREDITS_MAX) return assessment;
  } catch (cause) {
    if (!(cause instanceof NotRatable)) throw cause;
    throw new BillingError('usage_not_ratable', `${rates.service}: ${cause.message}.`, {}, { cause });
  }
  throw new BillingError('usage_not_ratable', `${rates.service}: this comes to more than any job can cost.`);
}
