/** Drafts of rate cards: changed by whoever read them last, published once as the next version (R12). */
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { RateCard, ServiceRates } from '../domain/rateCard';
import { type Db, firstRow, inTransaction, rows, type Trx } from './client';
import { findRateCard, publishRateCard } from './rateCards';

export interface RateCardDraft {
  readonly id: string;
  readonly title: string;
  /** Null for the instant at which it is published. */
  readonly effectiveAt: Instant | null;
  readonly services: readonly ServiceRates[];
  readonly revision: number;
  readonly createdBy: string;
  readonly createdAt: Instant;
  readonly changedBy: string;
  readonly changedAt: Instant;
  /** Set once it is published; it is never changed from then on. */
  readonly publishedVersion: number | null;
}

export type DraftedCard = Pick<RateCardDraft, 'title' | 'effectiveAt' | 'services'>;

interface Acting {
  readonly actor: string;
  readonly at: Instant;
}

const COLUMNS = `id, title, effective_at as "effectiveAt", services, revision, created_by as "createdBy",
  created_at as "createdAt", changed_by as "changedBy", changed_at as "changedAt", published_version as "publishedVersion"`;

/** Keeps a draft under an id; again under the same id, it answers what was kept first. */
export async function addRateCardDraft(
  db: Db,
  id: string,
  { title, effectiveAt, services }: DraftedCard,
  { actor, at }: Acting,
): Promise<RateCardDraft> {
  await db.raw(
    `insert into rate_card_drafts (id, title, effective_at, services, created_by, created_at, changed_by, changed_at)
     values (?, ?, ?, ?, ?, ?, ?, ?)
     on conflict (id) do nothing`,
    [id, title, effectiveAt, JSON.stringify(services), actor, at, actor, at] as never,
  );
  const draft = await findRateCardDraft(db, id);
  if (!draft) throw new Error(`draft ${id} was kept and is not there`);
  return draft;
}

export function findRateCardDraft(db: Db | Trx, id: string): Promise<RateCardDraft | undefined> {
  return firstRow<RateCardDraft>(db, `select ${COLUMNS} from rate_card_drafts where id = ?`, [id]);
}

/** The newest first, before the draft with id `before`. */
export function listRateCardDrafts(
  db: Db,
  page: { readonly before: string | null; readonly limit: number },
): Promise<RateCardDraft[]> {
  return rows<RateCardDraft>(
    db,
    `select ${COLUMNS} from rate_card_drafts where ?::uuid is null or id < ?::uuid order by id desc limit ?`,
    [page.before, page.before, page.limit],
  );
}

/**
 * Changes a draft that is as it was read.
 *
 * @throws BillingError `precondition_failed`, `draft_published`, `not_found`.
 */
export async function changeRateCardDraft(
  db: Db,
  read: { readonly id: string; readonly revision: number },
  { title, effectiveAt, services }: DraftedCard,
  { actor, at }: Acting,
): Promise<RateCardDraft> {
  return inTransaction(db, async (trx) => {
    await lockDraft(trx, read);
    const changed = await firstRow<RateCardDraft>(
      trx,
      `update rate_card_drafts
       set title = ?, effective_at = ?, services = ?, revision = revision + 1, changed_by = ?, changed_at = ?
       where id = ?
       returning ${COLUMNS}`,
      [title, effectiveAt, JSON.stringify(services), actor, at, read.id],
    );
    return changed as RateCardDraft;
  });
}

/** Deletes a draft that is as it was read. @throws BillingError as {@link changeRateCardDraft}. */
export async function deleteRateCardDraft(
  db: Db,
  read: { readonly id: string; readonly revision: number },
): Promise<void> {
  await inTransaction(db, async (trx) => {
    await lockDraft(trx, read);
    await trx.raw('delete from rate_card_drafts where id = ?', [read.id]);
  });
}

/** Locks are taken in namespaces of their own; this one serialises who numbers the versions of rate cards. */
const PUBLISHING = 0x72617465;

/**
 * Publishes a draft that is as it was read as the next version, once per request, for the instant at which it is asked for
 * or a later one (R12). Of two who publish the same draft the second is refused; two drafts become two versions.
 *
 * @param asked `at` is the present, not when the request was first made: a repeat of one that was lost on the way must not
 *   change the rates of what was quoted in between. `objectionsTo` is asked about the draft that is published.
 * @throws BillingError `rate_card_invalid`, `precondition_failed`, `draft_published`, `not_found`.
 */
export async function publishRateCardDraft(
  db: Db,
  asked: Acting & {
    readonly id: string;
    readonly revision: number;
    readonly requestId: string;
    readonly objectionsTo: (draft: RateCardDraft) => readonly string[];
  },
): Promise<RateCard> {
  const { id, requestId, actor, at, objectionsTo } = asked;
  return inTransaction(db, async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?, 0)', [PUBLISHING]);
    const draft = await lockDraft(trx, asked);
    const over =
      draft.effectiveAt !== null && draft.effectiveAt < at
        ? [`effectiveAt: ${draft.effectiveAt} is over; rates are published for now or the future.`]
        : [];
    refuseWith([...over, ...objectionsTo(draft)]);
    const last = await firstRow<{ version: number | null }>(trx, 'select max(version) as version from rate_cards');
    const version = (last?.version ?? 0) + 1;
    const card = { version, title: draft.title, effectiveAt: draft.effectiveAt ?? at, services: draft.services };
    await publishRateCard(trx, card, actor);
    await trx.raw('update rate_card_drafts set published_version = ?, publish_request_id = ? where id = ?', [
      version,
      requestId,
      id,
    ]);
    return card;
  });
}

/** What a request published, if it did. */
export async function findPublishedBy(db: Db, requestId: string): Promise<RateCard | undefined> {
  const found = await firstRow<{ version: number }>(
    db,
    'select published_version as version from rate_card_drafts where publish_request_id = ?',
    [requestId],
  );
  return found && findRateCard(db, found.version);
}

/** @throws BillingError `rate_card_invalid` with every objection, unless there is none. */
export function refuseWith(objections: readonly string[]): void {
  if (objections.length > 0) {
    throw new BillingError('rate_card_invalid', objections.slice(0, 20).join(' '), { objections });
  }
}

async function lockDraft(trx: Trx, read: { readonly id: string; readonly revision: number }): Promise<RateCardDraft> {
  const draft = await firstRow<RateCardDraft>(trx, `select ${COLUMNS} from rate_card_drafts where id = ? for update`, [
    read.id,
  ]);
  if (!draft) throw new BillingError('not_found', 'The draft was deleted.');
  if (draft.publishedVersion !== null) {
    throw new BillingError(
      'draft_published',
      `The draft is published as version ${draft.publishedVersion}; make another.`,
    );
  }
  if (draft.revision !== read.revision) {
    throw new BillingError('precondition_failed', 'Somebody changed the draft meanwhile; read it again.');
  }
  return draft;
}
