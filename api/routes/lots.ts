import { jobsParkedForCredits } from '../../db/jobs';
import { type DescribedLot, findLot, grantLot, listLots, type NewLot } from '../../db/lots';
import { findVisibleContract, findVisibleUser, type Person } from '../../db/people';
import { formatCredits, parseCredits, sumOf } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import { type Instant, parseInstant } from '../../domain/instant';
import { isAlive, LOT_KINDS, sharedLotExpiry } from '../../domain/lots';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Lots and balances';

export function lotRoutes(dependencies: ApiDependencies): Route[] {
  const { db, log, workflows } = dependencies;

  async function visibleContract(person: Person, id: string) {
    const contract = await findVisibleContract(db, person, id);
    if (!contract) throw notFound('contract');
    return contract;
  }

  async function visibleUser(person: Person, id: string) {
    const user = await findVisibleUser(db, person, id);
    if (!user) throw notFound('user');
    return user;
  }

  async function lotsPage(poolId: string, at: Instant) {
    const lots = await listLots(db, poolId);
    return { status: 200, body: { items: lots.map((lot) => lotView(lot, at)), nextCursor: null } };
  }

  async function balance(poolId: string, at: Instant) {
    return { status: 200, body: balanceView(await listLots(db, poolId), at) };
  }

  /** Grants a lot once and wakes the jobs that wait for it. */
  async function grant(lot: NewLot, by: { actor: string; reason: string; at: Instant }) {
    await grantLot(db, { lot, ...by });
    for (const { id } of await jobsParkedForCredits(db, lot.poolId)) {
      // A parked job also asks by itself from time to time, so a lost wake-up only costs time.
      await workflows
        .creditsArrived(id)
        .catch((error) => log.warn({ err: error, jobId: id }, 'a parked job was not woken'));
    }
    const granted = await findLot(db, lot.id);
    if (!granted) throw new Error(`lot ${lot.id} was granted and is not there`);
    return { status: 201, body: lotView(granted, by.at) };
  }

  const lotsAnswer = {
    200: { description: 'All lots, ended ones too.', schema: schemas.pageOf(schemas.lot, 'LotPage') },
  };
  const balanceAnswer = { 200: { description: 'The balance.', schema: schemas.balance } };
  const grantAnswer = { 201: { description: 'Granted.', schema: schemas.lot } };

  return [
    route({
      method: 'get',
      path: '/v1/contracts/:id/lots',
      tag: TAG,
      summary: 'The shared and courtesy lots of a contract',
      params: schemas.idParams,
      answers: lotsAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => lotsPage((await visibleContract(person, params.id)).id, at),
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id/balance',
      tag: TAG,
      summary: 'What a contract can spend now',
      params: schemas.idParams,
      answers: balanceAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => balance((await visibleContract(person, params.id)).id, at),
    }),
    route({
      method: 'post',
      path: '/v1/contracts/:id/lots',
      tag: TAG,
      summary: 'Grant a shared or courtesy lot to a contract',
      description:
        'A shared lot expires 12 months after its purchase or with its contract, whichever is earlier. Jobs parked for credits go on at once.',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.contractLotRequest,
      idempotent: true,
      answers: grantAnswer,
      refusals: ['not_found', 'lot_invalid'],
      handle: async ({ person, params, body, resourceId, claimedAt }) => {
        const contract = await visibleContract(person, params.id);
        const by = { actor: person.userId, reason: body.reason, at: claimedAt };
        const common = {
          id: resourceId,
          poolId: contract.id,
          amount: parseCredits(body.amount),
          effectiveAt: claimedAt,
        };
        if (body.kind === 'courtesy') {
          const expiresAt = parseInstant(body.expiresAt);
          return grant(
            { ...common, kind: 'courtesy', source: 'courtesy', expiresAt, purchasedAt: null, reference: null },
            by,
          );
        }
        const purchasedAt = body.purchasedAt === undefined ? claimedAt : parseInstant(body.purchasedAt);
        if (purchasedAt > claimedAt) {
          throw new BillingError('lot_invalid', `body.purchasedAt: ${purchasedAt} is in the future.`);
        }
        const expiresAt = sharedLotExpiry({
          purchasedAt,
          contractEndsAt: contract.endsAt,
          timeZone: contract.timeZone,
        });
        const reference = body.reference ?? null;
        return grant({ ...common, kind: 'shared', source: 'purchase', expiresAt, purchasedAt, reference }, by);
      },
    }),
    route({
      method: 'get',
      path: '/v1/users/:id/lots',
      tag: TAG,
      summary: 'The individual lots of a user',
      params: schemas.idParams,
      answers: lotsAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => lotsPage((await visibleUser(person, params.id)).id, at),
    }),
    route({
      method: 'get',
      path: '/v1/users/:id/balance',
      tag: TAG,
      summary: 'What a user can spend of their own now',
      params: schemas.idParams,
      answers: balanceAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, at }) => balance((await visibleUser(person, params.id)).id, at),
    }),
    route({
      method: 'post',
      path: '/v1/users/:id/lots',
      tag: TAG,
      summary: 'Grant an individual lot to a user',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.userLotRequest,
      idempotent: true,
      answers: grantAnswer,
      refusals: ['not_found', 'lot_invalid'],
      handle: async ({ person, params, body, resourceId, claimedAt }) => {
        const user = await visibleUser(person, params.id);
        return grant(
          {
            id: resourceId,
            poolId: user.id,
            kind: 'individual',
            source: 'allocation',
            amount: parseCredits(body.amount),
            effectiveAt: claimedAt,
            expiresAt: null,
            purchasedAt: null,
            reference: body.reference ?? null,
          },
          { actor: person.userId, reason: body.reason, at: claimedAt },
        );
      },
    }),
  ];
}

function lotView(lot: DescribedLot, at: Instant) {
  return {
    id: lot.id,
    kind: lot.kind,
    source: lot.source,
    reference: lot.reference,
    granted: formatCredits(lot.granted),
    available: formatCredits(lot.available),
    reserved: formatCredits(lot.reserved),
    consumed: formatCredits(lot.consumed),
    expired: formatCredits(lot.expired),
    withdrawn: formatCredits(lot.withdrawn),
    purchasedAt: lot.purchasedAt,
    effectiveAt: lot.effectiveAt,
    expiresAt: lot.expiresAt,
    withdrawnAt: lot.withdrawnAt,
    spendable: lot.available > 0n && isAlive(lot, at),
  };
}

function balanceView(lots: readonly DescribedLot[], at: Instant) {
  const alive = lots.filter((lot) => isAlive(lot, at));
  return {
    at,
    available: formatCredits(sumOf(alive, (lot) => lot.available)),
    reserved: formatCredits(sumOf(lots, (lot) => lot.reserved)),
    consumed: formatCredits(sumOf(lots, (lot) => lot.consumed)),
    expired: formatCredits(sumOf(lots, (lot) => lot.expired)),
    withdrawn: formatCredits(sumOf(lots, (lot) => lot.withdrawn)),
    byKind: LOT_KINDS.map((kind) => ({
      kind,
      available: formatCredits(
        sumOf(
          alive.filter((lot) => lot.kind === kind),
          (lot) => lot.available,
        ),
      ),
    })),
  };
}
