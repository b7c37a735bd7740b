import { lotsAsOf } from '../../db/asOf';
import { listAuthorisations } from '../../db/authorisations';
import { getContractStateAt } from '../../db/contracts';
import { type DescribedLot, findVisibleLot } from '../../db/lots';
import { findVisibleUser, type Person } from '../../db/people';
import { contractPhase } from '../../domain/contractPhase';
import { formatCredits, ZERO } from '../../domain/credits';
import { type Instant, parseInstant } from '../../domain/instant';
import { obstacleToSpending, type SpendingFacts } from '../../domain/spenders';
import type { ApiDependencies } from '../app';
import { notFound } from '../problems';
import { type Route, route } from '../route';
import * as schemas from '../schemas';
import { mustAdminister } from './contracts';

interface Named {
  readonly userId: string;
  readonly name: string;
  readonly email: string;
}

export function spenderRoutes({ db }: ApiDependencies): Route[] {
  /** Whom it could be, and everything as it was. */
  async function factsOf(
    person: Person,
    lot: DescribedLot,
    at: Instant,
  ): Promise<SpendingFacts & { readonly users: readonly Named[] }> {
    const lots = await lotsAsOf(db, lot.poolId, { bookedAt: at, recordedAt: null });
    const then = lots.find(({ id }) => id === lot.id);
    if (lot.kind === 'individual') {
      const owner = await findVisibleUser(db, person, lot.poolId);
      if (!owner) throw new Error(`lot ${lot.id} has no owner`);
      const { id: userId, name, email } = owner;
      return { lot: then, contract: null, authorisations: [], users: [{ userId, name, email }] };
    }
    const authorisations = await listAuthorisations(db, lot.poolId);
    const users = [...new Map(authorisations.map((one) => [one.userId, one])).values()];
    return { lot: then, contract: await getContractStateAt(db, lot.poolId, at), authorisations, users };
  }

  return [
    route({
      method: 'get',
      path: '/v1/lots/:id/spenders',
      tag: 'Lots and balances',
      summary: 'Who could spend a lot at an instant, and why the others could not',
      description:
        'From the history: the lot, its contract and the authorisations as they were then. Everybody who ever was on the contract is listed; of an individual lot its user alone. For the administrators of the contract and the provider’s people, or the user.',
      params: schemas.idParams,
      query: schemas.spendersQuery,
      answers: { 200: { description: 'Everybody whom it could be.', schema: schemas.spenders } },
      refusals: ['not_found', 'forbidden'],
      handle: async ({ person, params, query, at: now }) => {
        const lot = await findVisibleLot(db, person, params.id);
        if (!lot) throw notFound('lot');
        if (lot.kind !== 'individual') mustAdminister(person, lot.poolId, 'who could spend its lots');
        const at = query.at === undefined ? now : parseInstant(query.at);
        const { users, ...facts } = await factsOf(person, lot, at);
        const { contract, lot: then } = facts;
        const body = {
          lotId: lot.id,
          at,
          kind: lot.kind,
          granted: formatCredits(lot.granted),
          available: formatCredits(then?.available ?? ZERO),
          contractId: contract?.contractId ?? null,
          contractState: contract && contractPhase(contract, at),
          users: users.map(({ userId, name, email }) => {
            const obstacle = obstacleToSpending(facts, userId, at);
            const { because, message } = obstacle ?? { because: null, message: null };
            return { userId, name, email, maySpend: obstacle === null, because, message };
          }),
        };
        return { status: 200, body };
      },
    }),
  ];
}
