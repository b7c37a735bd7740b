import { contractState } from '../test/builders/contracts';
import { credits, parseCredits, ZERO } from './credits';
import { type Instant, parseInstant } from './instant';
import type { Lot } from './lots';
import { obstacleToSpending, type SpendingFacts } from './spenders';

const at = (text: string): Instant => parseInstant(text);
const NOW = at('2026-05-01T00:00:00Z');
const LOT: Lot = {
  id: 'lot',
  poolId: 'contract',
  kind: 'shared',
  granted: parseCredits('5'),
  available: parseCredits('5'),
  reserved: ZERO,
  consumed: ZERO,
  expired: ZERO,
  withdrawn: ZERO,
  effectiveAt: at('2026-02-01T00:00:00Z'),
  expiresAt: at('2026-12-01T00:00:00Z'),
  withdrawnAt: null,
  graceUntil: null,
  endedAs: null,
  advance: false,
};
const NAMED = { userId: 'ana', authorisedAt: at('2026-03-01T00:00:00Z'), removedAt: at('2026-10-01T00:00:00Z') };
const FACTS: SpendingFacts = { lot: LOT, contract: contractState(), authorisations: [NAMED] };

const because = (over: Partial<SpendingFacts> = {}, when: Instant = NOW, user = 'ana') =>
  obstacleToSpending({ ...FACTS, ...over }, user, when)?.because ?? 'yes';

it.each<[string, Partial<SpendingFacts>, Instant]>([
  ['yes', {}, NOW],
  ['yes', {}, at('2026-03-01T00:00:00Z')],
  ['not_authorised', {}, at('2026-02-28T23:59:59.999999Z')],
  ['yes', {}, at('2026-09-30T23:59:59.999999Z')],
  ['not_authorised', {}, at('2026-10-01T00:00:00Z')],
  ['not_authorised', { authorisations: [] }, NOW],
  ['not_authorised', { authorisations: [{ ...NAMED, authorisedAt: NOW, removedAt: NOW }] }, NOW],
  ['contract_not_in_force', { contract: contractState({ startsAt: at('2026-05-02T00:00:00Z') }) }, NOW],
  ['contract_not_in_force', { contract: contractState({ endsAt: NOW, graceDays: 10 }) }, NOW],
  ['contract_not_in_force', { contract: contractState({ endsAt: NOW, graceDays: 0 }) }, NOW],
  ['contract_suspended', { contract: contractState({ suspendedAt: NOW }) }, NOW],
  ['yes', { contract: contractState({ suspendedAt: at('2026-05-01T00:00:00.000001Z') }) }, NOW],
  ['lot_not_granted', { lot: undefined }, NOW],
  ['lot_not_effective', { lot: { ...LOT, effectiveAt: at('2026-05-01T00:00:00.000001Z') } }, NOW],
  ['lot_expired', { lot: { ...LOT, expiresAt: NOW } }, NOW],
  ['lot_expired', { lot: { ...LOT, endedAs: 'expired', available: ZERO, expired: LOT.granted } }, NOW],
  ['nothing_available', { lot: { ...LOT, available: ZERO, reserved: LOT.granted } }, NOW],
  ['nothing_available', { lot: { ...LOT, available: credits(-1n) } }, NOW],
])('%s: %#', (word, over, when) => {
  expect(because(over, when)).toBe(word);
});

it('an individual lot is spent without a contract, until it is withdrawn', () => {
  const individual: Lot = { ...LOT, kind: 'individual', expiresAt: null, withdrawnAt: NOW };
  const facts = { lot: individual, contract: null, authorisations: [] };
  expect(because(facts, at('2026-04-30T23:59:59.999999Z'))).toBe('yes');
  expect(because(facts)).toBe('lot_withdrawn');
});

it('what concerns the user is said first, then the contract, then the lot', () => {
  const suspended = contractState({ suspendedAt: NOW });
  expect(because({ contract: suspended, authorisations: [], lot: undefined })).toBe('not_authorised');
  expect(because({ contract: suspended, lot: undefined })).toBe('contract_suspended');
});

it('the nearest time before tells who was removed, and the first one who comes later', () => {
  const again = { ...NAMED, authorisedAt: at('2026-11-01T00:00:00Z'), removedAt: null };
  const facts = { ...FACTS, authorisations: [NAMED, again] };
  const message = (when: Instant) => obstacleToSpending(facts, 'ana', when)?.message;
  expect(message(at('2026-10-15T00:00:00Z'))).toBe(`The user was removed from the contract at ${NAMED.removedAt}.`);
  expect(message(at('2026-02-15T00:00:00Z'))).toBe(
    `The user is authorised on the contract only from ${NAMED.authorisedAt} on.`,
  );
});
