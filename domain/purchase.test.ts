import { contractState } from '../test/builders/contracts';
import { type Instant, parseInstant } from './instant';
import { objectionToPurchase, planPurchaseAllocation, purchaseState } from './purchase';

const at = (text: string): Instant => parseInstant(text);
const contract = contractState({ graceDays: 10 });
const { customerId } = contract;

function planned(purchasedAt: string, when: string, state = contract): unknown {
  const life = planPurchaseAllocation({ customerId, purchasedAt: at(purchasedAt) }, state, at(when));
  return 'code' in life ? life.code : life;
}

describe('an allocated purchase', () => {
  it('is effective from its allocation and expires twelve months after its purchase', () => {
    expect(planned('2025-06-01T00:00:00Z', '2026-03-01T00:00:00Z')).toEqual({
      effectiveAt: at('2026-03-01T00:00:00Z'),
      expiresAt: at('2026-06-01T00:00:00Z'),
      withdrawnAt: null,
      graceUntil: null,
    });
  });

  it('ends with its contract where that is earlier, and waits for a renewal in its grace', () => {
    expect(planned('2026-05-01T00:00:00Z', '2026-05-01T00:00:00Z')).toMatchObject({
      expiresAt: at('2027-01-01T00:00:00Z'),
      graceUntil: at('2027-01-11T00:00:00Z'),
    });
  });

  it('is refused from the instant on at which its twelve months are over', () => {
    expect(planned('2025-06-01T00:00:00Z', '2026-05-31T23:59:59.999999Z')).not.toBe('purchase_expired');
    expect(planned('2025-06-01T00:00:00Z', '2026-06-01T00:00:00Z')).toBe('purchase_expired');
  });

  it.each([
    ['2026-12-31T23:59:59.999999Z', false],
    ['2027-01-01T00:00:00Z', true],
    ['2027-01-11T00:00:00Z', true],
  ])('at %s is refused for the end of its contract: %s', (when, isRefused) => {
    expect(planned('2026-06-01T00:00:00Z', when) === 'contract_not_in_force').toBe(isRefused);
  });

  it('belongs to a contract of its own customer, and never begins before its purchase', () => {
    const other = { ...contract, customerId: 'another' };
    expect(planned('2026-06-01T00:00:00Z', '2026-06-01T00:00:00Z', other)).toBe('contract_of_another_customer');
    expect(planned('2026-06-01T00:00:00.000001Z', '2026-06-01T00:00:00Z')).toBe('purchase_invalid');
  });
});

describe('a purchase that waits', () => {
  it.each([
    ['2024-02-29T12:00:00Z', '2025-02-28T12:00:00Z'],
    ['2025-06-01T00:00:00Z', '2026-06-01T00:00:00Z'],
  ])('of %s is expired from %s on', (bought, end) => {
    const purchasedAt = at(bought);
    const last = at(end.replace(':00Z', ':00Z'));
    const before = parseInstant(`${new Date(Date.parse(end) - 1000).toISOString().slice(0, 19)}.999999Z`);
    const waiting = { customerId, purchasedAt, contractId: null };
    expect([purchaseState(waiting, before), purchaseState(waiting, last)]).toEqual(['waiting', 'expired']);
    expect([objectionToPurchase(waiting, before)?.code, objectionToPurchase(waiting, last)?.code]).toEqual([
      undefined,
      'purchase_expired',
    ]);
    expect(purchaseState({ ...waiting, contractId: contract.contractId }, last)).toBe('allocated');
  });

  it('lies in the past', () => {
    const purchasedAt = at('2026-06-01T00:00:00.000001Z');
    expect(objectionToPurchase({ purchasedAt }, at('2026-06-01T00:00:00Z'))?.code).toBe('purchase_invalid');
    expect(objectionToPurchase({ purchasedAt }, purchasedAt)).toBeNull();
  });
});
