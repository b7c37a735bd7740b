/** Contracts for tests: everything quiet but what a test says. */
import type { ContractState } from '../../domain/contract';
import type { ContractFacts, ContractLot } from '../../domain/contractCalendar';
import { credits, parseCredits, ZERO } from '../../domain/credits';
import { parseInstant } from '../../domain/instant';
import { idOf } from './ids';

type Said<T> = { readonly [Key in keyof T]?: T[Key] extends string | null ? string | null : T[Key] };

/** A contract of the year 2026 in UTC, without products, renewed by hand, with no grace. */
export function contractState(said: Said<ContractState> = {}): ContractState {
  const startsAt = parseInstant(said.startsAt ?? '2026-01-01T00:00:00Z');
  const endsAt = parseInstant(said.endsAt ?? '2027-01-01T00:00:00Z');
  const read = (text: string | null | undefined) => (text == null ? null : parseInstant(text));
  return {
    contractId: idOf('contract', 1),
    customerId: idOf('customer', 1),
    name: 'Aurora',
    timeZone: 'UTC',
    products: [],
    renewal: 'manual',
    renewalMonths: 12,
    graceDays: 0,
    version: 1,
    terms: [{ number: 1, startsAt, endsAt }],
    ...said,
    startsAt,
    endsAt,
    terminatesAt: read(said.terminatesAt),
    suspendedAt: read(said.suspendedAt),
    activatedAt: said.activatedAt === undefined ? startsAt : read(said.activatedAt),
    closedAt: read(said.closedAt),
  } as ContractState;
}

/** A shared lot of ten credits that the contract of {@link contractState} bought when it began. */
export function contractLot(
  number: number,
  said: Said<Omit<ContractLot, 'available'>> & { available?: string } = {},
): ContractLot {
  const purchasedAt = parseInstant(said.purchasedAt ?? '2026-01-01T00:00:00Z');
  const granted = parseCredits(said.available ?? '10');
  return {
    id: idOf('lot', number),
    poolId: idOf('contract', 1),
    kind: 'shared',
    reserved: ZERO,
    consumed: ZERO,
    expired: ZERO,
    withdrawn: ZERO,
    withdrawnAt: null,
    graceUntil: null,
    endedAs: null,
    advance: false,
    ...said,
    granted,
    available: credits(granted),
    purchasedAt: said.purchasedAt === null ? null : purchasedAt,
    effectiveAt: parseInstant(said.effectiveAt ?? purchasedAt),
    expiresAt: parseInstant(said.expiresAt ?? '2027-01-01T00:00:00Z'),
  } as ContractLot;
}

export function contractFacts(said: Partial<ContractFacts> = {}): ContractFacts {
  return { contract: contractState(), lots: [], allocationsOf: () => [], booked: new Set(), ...said };
}
