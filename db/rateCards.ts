/** Published rate cards. A published version never changes, so it may be remembered. */
import type { Instant } from '../domain/instant';
import { cardInForce, type RateCard, type ServiceRates } from '../domain/rateCard';
import { type Db, firstRow, rows, type Trx } from './client';

/** Publishes a version once; publishing the same version again changes nothing. */
export async function publishRateCard(db: Db | Trx, card: RateCard, publishedBy: string): Promise<void> {
  await db.raw(
    `insert into rate_cards (version, effective_at, card, published_by)
     values (?, ?, ?, ?)
     on conflict (version) do nothing`,
    [card.version, card.effectiveAt, JSON.stringify(card), publishedBy],
  );
}

/** A version with who published it and when. */
export interface Publication {
  readonly card: RateCard;
  readonly publishedBy: string;
  readonly recordedAt: Instant;
}

/** Every version, in the order of their numbers. */
export function listPublications(db: Db | Trx): Promise<Publication[]> {
  return rows<Publication>(
    db,
    'select card, published_by as "publishedBy", recorded_at as "recordedAt" from rate_cards order by version',
  );
}

export async function listRateCards(db: Db | Trx): Promise<RateCard[]> {
  const found = await rows<{ card: RateCard }>(db, 'select card from rate_cards order by version');
  return found.map(({ card }) => card);
}

/** The version in force at an instant (R10). */
export async function findRateCardInForce(db: Db | Trx, at: Instant): Promise<RateCard | undefined> {
  return cardInForce(await listRateCards(db), at);
}

/** Versions that were read before, per database: a published one never changes. */
const known = new WeakMap<Db | Trx, Map<number, RateCard>>();

export async function findRateCard(db: Db | Trx, version: number): Promise<RateCard | undefined> {
  const cards = known.get(db) ?? new Map<number, RateCard>();
  known.set(db, cards);
  const before = cards.get(version);
  if (before) return before;
  const found = await firstRow<{ card: RateCard }>(db, 'select card from rate_cards where version = ?', [version]);
  if (found) cards.set(version, found.card);
  return found?.card;
}

/** A service's rates in a version. @throws Error when the version does not sell the service. */
export async function ratesOf(db: Db | Trx, version: number, service: string): Promise<ServiceRates> {
  const rates = (await findRateCard(db, version))?.services.find((one) => one.service === service);
  if (!rates) throw new Error(`rate card ${version} has no rates for ${service}`);
  return rates;
}
