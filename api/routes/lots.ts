import type { z } from 'zod';
import { type AsOf, lotsAsOf } from '../../db/asOf';
import { getContractState } from '../../db/contracts';
import { type DescribedLot, findVisibleLot, listLots, type NewLot } from '../../db/lots';
import { findVisibleContract, findVisibleUser, type Person } from '../../db/people';
import { type ContractState, sharedLifeIn } from '../../domain/contract';
import { formatCredits, parseCredits, sumOf, ZERO } from '../../domain/credits';
import { BillingError } from '../../domain/errors';
import { importedTimes, objectionToImport } from '../../domain/imports';
import { type Instant, parseInstant } from '../../domain/instant';
import { BUCKETS, isAlive, LOT_KINDS, type LotKind } from '../../domain/lots';
import type { ApiDependencies } from '../app';
import { type Granting, grantAndTell } from '../granting';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';

const TAG = 'Lots and balances';

export function lotRoutes(dependencies: ApiDependencies): Route[] {
  const { db } = dependencies;

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

  async function visibleLot(person: Person, id: string) {
    const lot = await findVisibleLot(db, person, id);
    if (!lot) throw notFound('lot');
    return lot;
  }

  /** The lots of a pool as they are, or as of the instants that were asked for. */
  function lotsOf(poolId: string, asOf: AsOf): Promise<DescribedLot[]> {
    return asOf.bookedAt === null && asOf.recordedAt === null ? listLots(db, poolId) : lotsAsOf(db, poolId, asOf);
  }

  async function lotsPage(poolId: string, query: AsOfQuery, now: Instant) {
    const { at, asOf } = instantsOf(query, now);
    const lots = await lotsOf(poolId, asOf);
    return { status: 200, body: { items: lots.map((lot) => lotView(lot, at)), nextCursor: null } };
  }

  async function balance(poolId: string, query: AsOfQuery, now: Instant) {
    const { at, asOf } = instantsOf(query, now);
    return { status: 200, body: balanceView(await lotsOf(poolId, asOf), at, asOf) };
  }

  async function grant(lot: NewLot, by: Granting) {
    return { status: 201, body: lotView(await grantAndTell(dependencies, lot, by), by.at) };
  }

  const lotsAnswer = {
    200: { description: 'All lots, ended ones too.', schema: schemas.pageOf(schemas.lot, 'LotPage') },
  };
  const balanceAnswer = { 200: { description: 'The balance.', schema: schemas.balance } };
  const grantAnswer = { 201: { description: 'Granted.', schema: schemas.lot } };
  const asOfDescription =
    'With bookedAt or recordedAt as of then: with what counted and was known, and the lives that lots had.';

  return [
    route({
      method: 'get',
      path: '/v1/contracts/:id/lots',
      tag: TAG,
      summary: 'The shared and courtesy lots of a contract',
      description: asOfDescription,
      params: schemas.idParams,
      query: schemas.asOfQuery,
      answers: lotsAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, query, at }) =>
        lotsPage((await visibleContract(person, params.id)).id, query, at),
    }),
    route({
      method: 'get',
      path: '/v1/contracts/:id/balance',
      tag: TAG,
      summary: 'What a contract can spend, now or as of another instant',
      description: asOfDescription,
      params: schemas.idParams,
      query: schemas.asOfQuery,
      answers: balanceAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, query, at }) =>
        balance((await visibleContract(person, params.id)).id, query, at),
    }),
    route({
      method: 'post',
      path: '/v1/contracts/:id/lots',
      tag: TAG,
      summary: 'Grant a shared or courtesy lot to a contract',
      description:
        'A shared lot expires 12 months after its purchase or with its contract, whichever is earlier. It repays the advances of the contract first. Jobs parked for credits go on at once.',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.contractLotRequest,
      idempotent: true,
      answers: grantAnswer,
      refusals: ['not_found', 'lot_invalid', 'contract_not_in_force', 'overloaded'],
      handle: async ({ person, params, body, resourceId, claimedAt }) => {
        const contract = await visibleContract(person, params.id);
        const by = { actor: person.userId, reason: body.reason, at: claimedAt };
        const lot = { id: resourceId, poolId: contract.id, amount: parseCredits(body.amount) };
        if (body.kind === 'courtesy') return grant({ ...lot, ...courtesyOf(body, claimedAt) }, by);
        const { receivedAt, ...times } = sharedTimes(body, await getContractState(db, contract.id), claimedAt);
        const shared = {
          kind: 'shared',
          source: body.source,
          reference: body.reference ?? null,
          advance: false,
        } as const;
        return grant({ ...lot, ...shared, ...times }, { ...by, ...(receivedAt !== undefined && { receivedAt }) });
      },
    }),
    route({
      method: 'get',
      path: '/v1/users/:id/lots',
      tag: TAG,
      summary: 'The individual lots of a user',
      description: asOfDescription,
      params: schemas.idParams,
      query: schemas.asOfQuery,
      answers: lotsAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, query, at }) => lotsPage((await visibleUser(person, params.id)).id, query, at),
    }),
    route({
      method: 'get',
      path: '/v1/users/:id/balance',
      tag: TAG,
      summary: 'What a user can spend of their own, now or as of another instant',
      description: asOfDescription,
      params: schemas.idParams,
      query: schemas.asOfQuery,
      answers: balanceAnswer,
      refusals: ['not_found'],
      handle: async ({ person, params, query, at }) => balance((await visibleUser(person, params.id)).id, query, at),
    }),
    route({
      method: 'post',
      path: '/v1/users/:id/lots',
      tag: TAG,
      summary: 'Grant an individual lot to a user',
      description: 'What was received before 2013-12-13 is shared, whatever it was called: import it into a contract.',
      roles: ['provider'],
      params: schemas.idParams,
      body: schemas.userLotRequest,
      idempotent: true,
      answers: grantAnswer,
      refusals: ['not_found', 'lot_invalid', 'overloaded'],
      handle: async ({ person, params, body, resourceId, claimedAt }) => {
        const user = await visibleUser(person, params.id);
        const imported = body.source === 'import' ? timesOfImport('individual', body, claimedAt) : undefined;
        return grant(
          {
            id: resourceId,
            poolId: user.id,
            kind: 'individual',
            source: body.source,
            amount: parseCredits(body.amount),
            effectiveAt: imported?.effectiveAt ?? claimedAt,
            expiresAt: null,
            graceUntil: null,
            purchasedAt: body.purchasedAt === undefined ? null : parseInstant(body.purchasedAt),
            reference: body.reference ?? null,
            advance: false,
          },
          {
            actor: person.userId,
            reason: body.reason,
            at: claimedAt,
            ...(imported && { receivedAt: imported.receivedAt }),
          },
        );
      },
    }),
    route({
      method: 'get',
      path: '/v1/lots/:id/balance',
      tag: TAG,
      summary: 'What a lot holds, now or as of another instant',
      description: asOfDescription,
      params: schemas.idParams,
      query: schemas.asOfQuery,
      answers: { 200: { description: 'The balance.', schema: schemas.lotBalance } },
      refusals: ['not_found'],
      handle: async ({ person, params, query, at: now }) => {
        const lot = await visibleLot(person, params.id);
        const { at, asOf } = instantsOf(query, now);
        const then = (await lotsOf(lot.poolId, asOf)).find(({ id }) => id === lot.id);
        return { status: 200, body: lotBalanceView(lot, then, at, asOf) };
      },
    }),
  ];
}

type AsOfQuery = z.output<typeof schemas.asOfQuery>;

/** What is asked for, and the instant whose lives decide what is spendable then. */
function instantsOf({ bookedAt, recordedAt }: AsOfQuery, now: Instant): { at: Instant; asOf: AsOf } {
  const asOf = {
    bookedAt: bookedAt === undefined ? null : parseInstant(bookedAt),
    recordedAt: recordedAt === undefined ? null : parseInstant(recordedAt),
  };
  return { at: asOf.bookedAt ?? asOf.recordedAt ?? now, asOf };
}

function courtesyOf(body: z.output<typeof schemas.courtesyLotRequest>, at: Instant) {
  return {
    kind: 'courtesy',
    source: 'courtesy',
    effectiveAt: at,
    expiresAt: parseInstant(body.expiresAt),
    graceUntil: null,
    purchasedAt: null,
    reference: null,
    advance: body.repay,
  } as const;
}

/** @throws BillingError `lot_invalid`, `contract_not_in_force` for credits that are not imported into a contract that is over. */
function sharedTimes(body: z.output<typeof schemas.sharedLotRequest>, contract: ContractState, at: Instant) {
  const isImport = body.source === 'import';
  const times = isImport ? timesOfImport('shared', body, at) : timesOfPurchase(body, at);
  if (!isImport && at >= contract.endsAt) {
    throw new BillingError('contract_not_in_force', `The contract “${contract.name}” ended at ${contract.endsAt}.`);
  }
  const { expiresAt, graceUntil } = sharedLifeIn(contract, times);
  return { ...times, expiresAt, graceUntil };
}

interface SharedTimes {
  readonly purchasedAt: Instant;
  readonly effectiveAt: Instant;
  readonly receivedAt?: Instant;
}

function timesOfPurchase({ purchasedAt: given }: { purchasedAt?: string | undefined }, at: Instant): SharedTimes {
  const purchasedAt = given === undefined ? at : parseInstant(given);
  if (purchasedAt > at) throw new BillingError('lot_invalid', `body.purchasedAt: ${purchasedAt} is in the future.`);
  return { purchasedAt, effectiveAt: at };
}

/** The times of what is imported. @throws BillingError `lot_invalid` when they cannot be (R3, R5). */
function timesOfImport(
  kind: 'individual' | 'shared',
  given: { receivedAt?: string | undefined; effectiveAt?: string | undefined; purchasedAt?: string | undefined },
  at: Instant,
) {
  const read = (text: string | undefined) => (text === undefined ? undefined : parseInstant(text));
  const { receivedAt, effectiveAt, purchasedAt } = given;
  if (receivedAt === undefined) throw new Error('an import without receivedAt came through its schema');
  const times = importedTimes({
    receivedAt: parseInstant(receivedAt),
    effectiveAt: read(effectiveAt),
    purchasedAt: read(purchasedAt),
  });
  const objection = objectionToImport(kind, times, at);
  if (objection) throw new BillingError('lot_invalid', `body.${objection}`);
  return times;
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
    receivedAt: lot.receivedAt,
    effectiveAt: lot.effectiveAt,
    expiresAt: lot.expiresAt,
    graceUntil: lot.graceUntil,
    withdrawnAt: lot.withdrawnAt,
    endedAs: lot.endedAs,
    advance: lot.advance,
    owed: formatCredits(lot.advance ? lot.consumed : ZERO),
    spendable: lot.available > 0n && isAlive(lot, at),
  };
}

function balanceView(lots: readonly DescribedLot[], at: Instant, asOf: AsOf) {
  return {
    at,
    ...asOf,
    ...amountsOf(lots, at),
    byKind: LOT_KINDS.map((kind) => ({ kind, ...amountsOf(ofKind(lots, kind), at) })),
  };
}

function lotBalanceView(lot: DescribedLot, then: DescribedLot | undefined, at: Instant, asOf: AsOf) {
  return {
    lotId: lot.id,
    kind: lot.kind,
    at,
    ...asOf,
    ...amountsOf(then ? [then] : [], at),
    effectiveAt: then?.effectiveAt ?? null,
    expiresAt: then?.expiresAt ?? null,
    withdrawnAt: then?.withdrawnAt ?? null,
  };
}

function amountsOf(lots: readonly DescribedLot[], at: Instant) {
  const alive = lots.filter((lot) => isAlive(lot, at));
  const [available, reserved, consumed, expired, withdrawn] = BUCKETS.map((bucket) =>
    formatCredits(sumOf(lots, (lot) => lot[bucket])),
  );
  return {
    granted: formatCredits(sumOf(lots, (lot) => lot.granted)),
    spendable: formatCredits(sumOf(alive, (lot) => lot.available)),
    available,
    reserved,
    consumed,
    expired,
    withdrawn,
  };
}

function ofKind(lots: readonly DescribedLot[], kind: LotKind): DescribedLot[] {
  return lots.filter((lot) => lot.kind === kind);
}
