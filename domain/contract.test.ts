import { contractState } from '../test/builders/contracts';
import { type ContractChange, type ContractState, graceEndOf, planContractChange } from './contract';
import { type Instant, parseInstant } from './instant';

const at = (text: string): Instant => parseInstant(text);
const MAY = at('2026-05-01T00:00:00Z');
const END = at('2027-01-01T00:00:00Z');

function changed(state: ContractState, change: ContractChange, when: Instant = MAY): ContractState {
  const planned = planContractChange(state, change, when);
  if ('code' in planned) throw new Error(`${planned.code}: ${planned.message}`);
  return planned;
}

function refusal(state: ContractState, change: ContractChange, when: Instant = MAY): string {
  const planned = planContractChange(state, change, when);
  return 'code' in planned ? planned.code : 'changed';
}

describe('a renewal', () => {
  it('adds a term that begins where the last one ends, whenever it is asked for', () => {
    const once = changed(contractState(), { kind: 'renew' });
    const twice = changed(once, { kind: 'renew', months: 3 });
    expect(twice.terms).toEqual([
      { number: 1, startsAt: at('2026-01-01T00:00:00Z'), endsAt: END },
      { number: 2, startsAt: END, endsAt: at('2028-01-01T00:00:00Z') },
      { number: 3, startsAt: at('2028-01-01T00:00:00Z'), endsAt: at('2028-04-01T00:00:00Z') },
    ]);
    expect(twice.endsAt).toBe(at('2028-04-01T00:00:00Z'));
    expect(twice.version).toBe(3);
  });

  it.each([
    ['29 February is followed by 28 February', 'UTC', '2024-02-29T12:00:00Z', 12, '2025-02-28T12:00:00Z'],
    ['the last of a month stays in its month', 'UTC', '2026-01-31T00:00:00Z', 1, '2026-02-28T00:00:00Z'],
    [
      'midnight stays midnight when the clocks change',
      'Europe/Berlin',
      '2026-02-28T23:00:00Z',
      1,
      '2026-03-31T22:00:00Z',
    ],
    [
      'a day is that of the contract’s side of the date line',
      'Pacific/Kiritimati',
      '2026-01-30T10:00:00Z',
      1,
      '2026-02-27T10:00:00Z',
    ],
    ['and of the other side', 'Pacific/Niue', '2026-01-31T11:00:00Z', 1, '2026-02-28T11:00:00Z'],
  ])('is by the calendar of the contract’s zone: %s', (_, timeZone, endsAt, months, then) => {
    const state = contractState({ startsAt: '2020-01-01T00:00:00Z', endsAt, timeZone });
    expect(changed(state, { kind: 'renew', months }, at('2021-01-01T00:00:00Z')).endsAt).toBe(at(then));
  });

  it('is possible in the grace up to its last microsecond, and not at its end', () => {
    const state = contractState({ graceDays: 30 });
    expect(graceEndOf(state)).toBe(at('2027-01-31T00:00:00Z'));
    expect(refusal(state, { kind: 'renew' }, at('2027-01-30T23:59:59.999999Z'))).toBe('changed');
    expect(refusal(state, { kind: 'renew' }, at('2027-01-31T00:00:00Z'))).toBe('contract_closed');
  });

  it('needs no grace before the end, and without one is too late at the end', () => {
    expect(refusal(contractState(), { kind: 'renew' }, at('2026-12-31T23:59:59.999999Z'))).toBe('changed');
    expect(refusal(contractState(), { kind: 'renew' }, END)).toBe('contract_closed');
  });

  it.each([0, -1, 1.5, 121, Number.NaN])('of %s months is refused', (months) => {
    expect(refusal(contractState(), { kind: 'renew', months })).toBe('change_invalid');
  });
});

describe('a grace', () => {
  it('counts days of the calendar, so that an hour that clocks skip shortens none', () => {
    const state = contractState({ timeZone: 'Europe/Berlin', endsAt: '2027-03-26T23:00:00Z', graceDays: 2 });
    expect(graceEndOf(state)).toBe(at('2027-03-28T22:00:00Z'));
  });

  it('is not had by who terminates', () => {
    const state = changed(contractState({ graceDays: 30 }), { kind: 'terminate', at: at('2026-06-01T00:00:00Z') });
    expect(graceEndOf(state)).toBe(at('2026-06-01T00:00:00Z'));
  });
});

describe('an extension', () => {
  it('moves the end of the last term', () => {
    const state = changed(contractState(), { kind: 'extend', endsAt: at('2027-02-01T00:00:00Z') });
    expect(state.terms).toEqual([{ number: 1, startsAt: state.startsAt, endsAt: at('2027-02-01T00:00:00Z') }]);
    expect(state.endsAt).toBe(at('2027-02-01T00:00:00Z'));
  });

  it('never shortens, and does not end in the past', () => {
    expect(refusal(contractState(), { kind: 'extend', endsAt: END })).toBe('change_invalid');
    const inGrace = contractState({ graceDays: 30 });
    const day20 = at('2027-01-20T00:00:00Z');
    expect(refusal(inGrace, { kind: 'extend', endsAt: at('2027-01-10T00:00:00Z') }, day20)).toBe('change_invalid');
    expect(refusal(inGrace, { kind: 'extend', endsAt: at('2027-01-21T00:00:00Z') }, day20)).toBe('changed');
  });
});

describe('a termination', () => {
  const june = at('2026-06-01T00:00:00Z');

  it('ends the contract at its instant, or at once', () => {
    expect(changed(contractState(), { kind: 'terminate', at: june })).toMatchObject({
      endsAt: june,
      terminatesAt: june,
    });
    expect(changed(contractState(), { kind: 'terminate' })).toMatchObject({ endsAt: MAY, terminatesAt: MAY });
  });

  it('can be moved and taken back until it takes effect, and not at that instant', () => {
    const state = changed(contractState(), { kind: 'terminate', at: june });
    const july = at('2026-07-01T00:00:00Z');
    expect(changed(changed(state, { kind: 'revokeTermination' }), { kind: 'terminate', at: july }).endsAt).toBe(july);
    expect(changed(state, { kind: 'terminate', at: july }).endsAt).toBe(july);
    expect(changed(state, { kind: 'revokeTermination' }, at('2026-05-31T23:59:59.999999Z'))).toMatchObject({
      endsAt: END,
      terminatesAt: null,
    });
    expect(refusal(state, { kind: 'revokeTermination' }, june)).toBe('contract_closed');
    expect(refusal(contractState(), { kind: 'revokeTermination' })).toBe('change_refused');
  });

  it('stands in the way of renewals and extensions until it is taken back', () => {
    const state = changed(contractState(), { kind: 'terminate', at: june });
    expect(refusal(state, { kind: 'renew' })).toBe('change_refused');
    expect(refusal(state, { kind: 'extend', endsAt: at('2029-01-01T00:00:00Z') })).toBe('change_refused');
    expect(refusal(state, { kind: 'renew' }, june)).toBe('contract_closed');
  });

  it.each([
    ['in the past', '2026-04-30T23:59:59.999999Z', 'change_invalid'],
    ['at the end that the contract has anyway', '2027-01-01T00:00:00Z', 'change_invalid'],
    ['before the contract begins', '2025-12-31T00:00:00Z', 'change_invalid'],
  ])('is refused %s', (_, when, code) => {
    expect(refusal(contractState(), { kind: 'terminate', at: at(when) })).toBe(code);
  });

  it('is refused once the contract has ended', () => {
    expect(refusal(contractState({ graceDays: 9 }), { kind: 'terminate' }, END)).toBe('contract_not_in_force');
  });
});

describe('a suspension', () => {
  it('holds from its instant until it is ended', () => {
    const state = changed(contractState(), { kind: 'suspend' });
    expect(state.suspendedAt).toBe(MAY);
    expect(refusal(state, { kind: 'suspend' })).toBe('change_refused');
    expect(changed(state, { kind: 'resume' }).suspendedAt).toBeNull();
    expect(refusal(contractState(), { kind: 'resume' })).toBe('change_refused');
  });
});

describe('products and renewal terms', () => {
  const product = { product: 'render', type: 'annual', level: 'standard', seats: 3 };

  it('change while the contract runs', () => {
    expect(changed(contractState(), { kind: 'changeProducts', products: [product] }).products).toEqual([product]);
    const terms = { renewal: 'automatic', renewalMonths: 6, graceDays: 10 } as const;
    expect(changed(contractState(), { kind: 'changeRenewal', ...terms })).toMatchObject(terms);
    expect(refusal(contractState(), { kind: 'changeProducts', products: [product] }, END)).toBe(
      'contract_not_in_force',
    );
  });

  it.each([
    ['no seats', [{ ...product, seats: 0 }]],
    ['half a seat', [{ ...product, seats: 0.5 }]],
    ['no name', [{ ...product, product: '' }]],
    ['a name of spaces', [{ ...product, level: '  ' }]],
    ['one twice', [product, { ...product, seats: 1 }]],
  ])('are refused with %s', (_, products) => {
    expect(refusal(contractState(), { kind: 'changeProducts', products })).toBe('change_invalid');
  });

  it.each([
    { renewal: 'never', renewalMonths: 12, graceDays: 0 },
    { renewal: 'manual', renewalMonths: 0, graceDays: 0 },
    { renewal: 'manual', renewalMonths: 12, graceDays: 367 },
  ])('are refused as %j', (terms) => {
    expect(refusal(contractState(), { kind: 'changeRenewal', ...terms } as ContractChange)).toBe('change_invalid');
  });
});

describe('a contract that is over', () => {
  it('is closed at the end of its grace, not before', () => {
    const state = contractState({ graceDays: 30 });
    expect(refusal(state, { kind: 'close' }, at('2027-01-30T23:59:59.999999Z'))).toBe('change_refused');
    expect(changed(state, { kind: 'close' }, at('2027-03-01T00:00:00Z')).closedAt).toBe(at('2027-01-31T00:00:00Z'));
  });

  it('takes no change any more', () => {
    const state = contractState({ closedAt: '2027-01-01T00:00:00Z' });
    const kinds: ContractChange[] = [
      { kind: 'renew' },
      { kind: 'suspend' },
      { kind: 'terminate' },
      { kind: 'activate' },
    ];
    for (const change of kinds) expect(refusal(state, change)).toBe('contract_closed');
  });
});
