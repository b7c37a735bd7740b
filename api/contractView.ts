/** A contract as the API answers it. */
import type { NamedContract } from '../db/contracts';
import { graceEndOf } from '../domain/contract';
import { contractPhase } from '../domain/contractPhase';
import type { Instant } from '../domain/instant';
import { etagOf } from './ifMatch';

export function contractView(contract: NamedContract, at: Instant) {
  const { contractId: id, ...state } = contract;
  const path = `/v1/contracts/${id}`;
  return {
    id,
    ...state,
    state: contractPhase(contract, at),
    graceEndsAt: graceEndOf(contract),
    links: {
      self: path,
      changes: `${path}/changes`,
      users: `${path}/users`,
      lots: `${path}/lots`,
      calendar: `${path}/calendar`,
    },
  };
}

/** Names the version of a contract. */
export function contractEtag({ version }: Pick<NamedContract, 'version'>): string {
  return etagOf(String(version));
}
