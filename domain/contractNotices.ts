/** What the people who administer a contract are told of what its calendar brought. */
import { type ContractState, graceEndOf, lastTerm } from './contract';
import type { CalendarEntry, ContractLot } from './contractCalendar';
import { type Credits, formatCredits, ZERO } from './credits';
import type { Instant } from './instant';
import type { DigestEntry } from './notices';

export interface Told {
  readonly entry: CalendarEntry;
  /** As it is once the entry is done. */
  readonly contract: ContractState;
  /** The lots that the entry names, as they were before it was done. */
  readonly lots: readonly ContractLot[];
  /** What each of those lots is called by the people who bought it. */
  readonly references: ReadonlyMap<string, string | null>;
  /** The lot that an allocation is. */
  readonly allocated?: AllocatedLot;
}

export interface AllocatedLot {
  readonly lotId: string;
  readonly kind: 'shared' | 'individual';
  readonly amount: Credits;
  readonly expiresAt: Instant | null;
}

/** What a digest says of an entry of the calendar; nothing where there is nothing to say. */
export function digestEntriesOf({ entry, contract, lots, references, allocated }: Told): DigestEntry[] {
  const { act, at, bookedAt, of } = entry;
  const { name: contractName, startsAt, endsAt, renewal } = contract;
  const graceEnd = graceEndOf(contract);
  const graceUntil = graceEnd > endsAt ? graceEnd : null;
  const amount = formatCredits(entry.credits);
  switch (act) {
    case 'activate':
      return [{ kind: 'contract-activated', at, facts: { contractName, startsAt, endsAt } }];
    case 'renew':
      return [{ kind: 'contract-renewed', at, facts: { contractName, endsAt: lastTerm(contract).endsAt } }];
    case 'end':
      return [{ kind: 'contract-ended', at, facts: { contractName, endedAt: endsAt, graceUntil, amount } }];
    case 'close':
      return [{ kind: 'contract-closed', at, facts: { contractName, closedAt: contract.closedAt ?? at } }];
    case 'expire':
      return perLot(lots, (lot) => ({
        kind: 'lot-expired',
        at,
        facts: { ...named(lot, references), contractName, expiredAt: bookedAt },
      }));
    case 'remind':
      if (of?.subject === 'lots') {
        const expiresAt: Instant = of.at;
        return perLot(lots, (lot) => ({
          kind: 'lot-expiring',
          at,
          facts: { ...named(lot, references), contractName, expiresAt },
        }));
      }
      return [{ kind: 'contract-ending', at, facts: { contractName, endsAt, renewal, graceUntil, amount } }];
    case 'allocate':
      return allocated ? [granted(allocated, contractName, at)] : [];
  }
}

function granted({ lotId, kind, amount, expiresAt }: AllocatedLot, contract: string, at: Instant): DigestEntry {
  const contractName = kind === 'shared' ? contract : null;
  const facts = { lotId, reference: null, contractName, amount: formatCredits(amount), effectiveAt: at, expiresAt };
  return { kind: 'lot-granted', at, facts };
}

/** Of empty lots nothing is told. */
function perLot(lots: readonly ContractLot[], told: (lot: ContractLot) => DigestEntry): DigestEntry[] {
  return lots.filter(({ available }) => available > ZERO).map(told);
}

function named({ id, available }: { id: string; available: Credits }, references: ReadonlyMap<string, string | null>) {
  return { lotId: id, reference: references.get(id) ?? null, amount: formatCredits(available) };
}
