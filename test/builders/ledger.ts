/** Lots, contracts and operations with quiet defaults: one user, one contract of 2026, ten credits. */
import type { Authorisation, ContractTerm, LedgerState, Reservation } from '../../domain/batch';
import { type Credits, parseCredits, sumOf, ZERO } from '../../domain/credits';
import { BUCKETS, type Lot } from '../../domain/lots';
import type {
  GrantOperation,
  Operation,
  RaiseCapOperation,
  ReleaseOperation,
  ReserveOperation,
  SettleOperation,
  TopUpOperation,
} from '../../domain/operations';
import { atHour, idOf } from './ids';

export const USER = idOf('user', 1);
export const CONTRACT = idOf('contract', 1);
export const JOB = idOf('job', 1);
const HOURS_OF_A_YEAR = 8760;

/** Credits from a decimal string. */
export function amount(text: string): Credits {
  return parseCredits(text);
}

/** A shared lot of the contract with ten available credits; `granted` follows from the buckets. */
export function aLot(given: Partial<Lot> = {}): Lot {
  const kind = given.kind ?? 'shared';
  const buckets = {
    available: given.available ?? amount('10'),
    reserved: given.reserved ?? ZERO,
    consumed: given.consumed ?? ZERO,
    expired: given.expired ?? ZERO,
    withdrawn: given.withdrawn ?? ZERO,
  };
  return {
    id: idOf('lot', 1),
    poolId: kind === 'individual' ? USER : CONTRACT,
    kind,
    granted: sumOf(BUCKETS, (bucket) => buckets[bucket]),
    effectiveAt: atHour(0),
    expiresAt: kind === 'individual' ? null : atHour(HOURS_OF_A_YEAR),
    withdrawnAt: null,
    endedAs: null,
    ...given,
    ...buckets,
  };
}

export function aTerm(given: Partial<ContractTerm> = {}): ContractTerm {
  return { contractId: CONTRACT, startsAt: atHour(0), endsAt: atHour(HOURS_OF_A_YEAR), ...given };
}

export function anAuthorisation(given: Partial<Authorisation> = {}): Authorisation {
  return { contractId: CONTRACT, userId: USER, authorisedAt: atHour(0), removedAt: null, ...given };
}

/** An open reservation of the user on the contract. */
export function aReservation(given: Partial<Reservation> = {}): Reservation {
  return {
    jobId: JOB,
    userId: USER,
    contractId: CONTRACT,
    state: 'open',
    cap: amount('100'),
    draws: [],
    openedAt: atHour(0),
    closedAt: null,
    ...given,
  };
}

/** The user is authorised on the contract; lots and reservations as given. */
export function aLedger(given: Partial<LedgerState> = {}): LedgerState {
  return { lots: [], reservations: [], contracts: [aTerm()], authorisations: [anAuthorisation()], ...given };
}

type Given<O extends Operation> = Partial<Omit<O, 'kind'>>;

let made = 0;

/** Every operation has its own id and key unless the test gives them. */
function base() {
  made += 1;
  return {
    id: idOf('operation', made),
    key: `key-${made}`,
    at: atHour(1),
    actor: 'test',
    reason: 'a test asks for it',
  };
}

function job() {
  return { ...base(), jobId: JOB, userId: USER, contractId: CONTRACT };
}

export function grant({
  lot,
  ...given
}: Partial<Omit<GrantOperation, 'lot'>> & { lot?: Partial<GrantOperation['lot']> } = {}): GrantOperation {
  const kind = lot?.kind ?? 'shared';
  return {
    ...base(),
    ...given,
    kind: 'grant',
    lot: {
      id: idOf('lot', 1),
      poolId: kind === 'individual' ? USER : CONTRACT,
      kind,
      source: 'purchase',
      amount: amount('10'),
      effectiveAt: atHour(0),
      expiresAt: kind === 'individual' ? null : atHour(HOURS_OF_A_YEAR),
      purchasedAt: null,
      reference: null,
      ...lot,
    },
  };
}

export function reserve(given: Given<ReserveOperation> = {}): ReserveOperation {
  return { ...job(), amount: amount('1'), cap: amount('100'), ...given, kind: 'reserve' };
}

export function topUp(given: Given<TopUpOperation> = {}): TopUpOperation {
  return { ...job(), target: amount('2'), ...given, kind: 'topUp' };
}

export function raiseCap(given: Given<RaiseCapOperation> = {}): RaiseCapOperation {
  return { ...job(), cap: amount('200'), ...given, kind: 'raiseCap' };
}

export function settle(given: Given<SettleOperation> = {}): SettleOperation {
  return { ...job(), actual: amount('1'), ...given, kind: 'settle' };
}

export function release(given: Given<ReleaseOperation> = {}): ReleaseOperation {
  return { ...job(), ...given, kind: 'release' };
}
