import { contractFacts, contractLot, contractState } from '../test/builders/contracts';
import { type CalendarEntry, type ContractFacts, calendarOf, lifeIn } from './contractCalendar';
import { parseCredits } from './credits';
import { parseInstant } from './instant';

/** An entry in one line: the instant, the instant that counts where it is another, what, how many credits. */
function line({ at, bookedAt, act, credits, of }: CalendarEntry): string {
  const short = (instant: string) => instant.replace('.000000Z', 'Z').replace('T00:00:00Z', '');
  const booked = bookedAt === at ? '' : ` as of ${short(bookedAt)}`;
  const what = of === null ? act : `${act} ${of.subject} ${of.days}`;
  return `${short(at)}${booked}: ${what}${credits === 0n ? '' : ` ${credits / 1_000_000n}`}`;
}

const lines = (facts: Partial<ContractFacts>) => calendarOf(contractFacts(facts)).map(line);

describe('a contract without lots', () => {
  it('begins, is reminded of, and closes at its end', () => {
    const contract = contractState({ activatedAt: null });
    expect(lines({ contract })).toEqual([
      '2026-01-01: activate',
      '2026-11-02: remind contract 60',
      '2026-12-02: remind contract 30',
      '2026-12-25: remind contract 7',
      '2026-12-31: remind contract 1',
      '2027-01-01: close',
    ]);
  });

  it('ends, and closes only after its grace', () => {
    expect(lines({ contract: contractState({ graceDays: 30 }) }).slice(-2)).toEqual([
      '2027-01-01: end',
      '2027-01-31: close',
    ]);
  });

  it('is reminded of no instant before it begins', () => {
    const contract = contractState({ startsAt: '2026-12-20T00:00:00Z', activatedAt: '2026-12-20T00:00:00Z' });
    expect(lines({ contract }).slice(0, 2)).toEqual(['2026-12-25: remind contract 7', '2026-12-31: remind contract 1']);
  });

  it('has nothing ahead of it once it is closed', () => {
    expect(lines({ contract: contractState({ closedAt: '2027-01-01T00:00:00Z' }) })).toEqual([]);
  });

  it('leaves out what is booked', () => {
    const [first] = calendarOf(contractFacts());
    expect(lines({ booked: new Set([first?.key ?? '']) })[0]).toBe('2026-12-02: remind contract 30');
  });

  it('has the same keys however often it is made, and others once its end is another', () => {
    const keys = (endsAt: string) =>
      calendarOf(contractFacts({ contract: contractState({ endsAt }) })).map(({ key }) => key);
    expect(keys('2027-01-01T00:00:00Z')).toEqual(keys('2027-01-01T00:00:00Z'));
    const earlier = new Set(keys('2027-01-01T00:00:00Z'));
    expect(keys('2028-01-01T00:00:00Z').filter((key) => earlier.has(key))).toEqual([]);
  });
});

describe('lots', () => {
  it('die of their twelve months where these end first, and are reminded of by themselves', () => {
    const lots = [contractLot(1, { purchasedAt: '2025-06-01T00:00:00Z' })];
    expect(lines({ lots }).slice(0, 5)).toEqual([
      '2026-04-02: remind lots 60 10',
      '2026-05-02: remind lots 30 10',
      '2026-05-25: remind lots 7 10',
      '2026-05-31: remind lots 1 10',
      '2026-06-01: expire 10',
    ]);
  });

  it('die with their contract, after its closing, and the contract’s reminders name them', () => {
    const lots = [
      contractLot(1, { purchasedAt: '2026-06-01T00:00:00Z' }),
      contractLot(2, { purchasedAt: '2026-07-01T00:00:00Z', available: '5' }),
    ];
    expect(lines({ lots }).slice(-3)).toEqual([
      '2026-12-31: remind contract 1 15',
      '2027-01-01: close',
      '2027-01-01: expire 15',
    ]);
  });

  it('that would outlive the contract wait for its grace, and expire as of its end', () => {
    const contract = contractState({ graceDays: 30 });
    const lots = [
      contractLot(1, { purchasedAt: '2026-06-01T00:00:00Z' }),
      // Twelve months over within the grace: whether they end then or before is known when the grace is over.
      contractLot(2, { purchasedAt: '2026-01-11T00:00:00Z', available: '5' }),
      // Twelve months over when the contract ends, or before.
      contractLot(3, { purchasedAt: '2026-01-01T00:00:00Z', available: '3' }),
    ];
    expect(lines({ contract, lots }).slice(-5)).toEqual([
      '2027-01-01: expire 3',
      '2027-01-01: end 15',
      '2027-01-31: close',
      '2027-01-31 as of 2027-01-01: expire 5',
      '2027-01-31 as of 2027-01-01: expire 10',
    ]);
  });

  it('that are empty are not reminded of, and their end is booked', () => {
    const lots = [contractLot(1, { purchasedAt: '2025-06-01T00:00:00Z', available: '0' })];
    expect(lines({ lots })[0]).toBe('2026-06-01: expire');
  });

  it('given in courtesy end when they were said to, also after the contract', () => {
    const lots = [
      contractLot(1, {
        kind: 'courtesy',
        purchasedAt: null,
        effectiveAt: '2026-12-01T00:00:00Z',
        expiresAt: '2027-02-01T00:00:00Z',
      }),
    ];
    expect(lines({ contract: contractState({ closedAt: '2027-01-01T00:00:00Z' }), lots }).slice(-1)).toEqual([
      '2027-02-01: expire 10',
    ]);
  });

  it('end with a termination, at its instant', () => {
    const contract = contractState({
      terminatesAt: '2026-09-01T00:00:00Z',
      endsAt: '2026-09-01T00:00:00Z',
      graceDays: 30,
    });
    expect(lines({ contract, lots: [contractLot(1)] }).slice(-2)).toEqual([
      '2026-09-01: close',
      '2026-09-01: expire 10',
    ]);
  });
});

describe('a contract that renews itself', () => {
  const contract = contractState({ renewal: 'automatic', renewalMonths: 3 });

  it('does so a day ahead, as often as its lots live, and they die of their twelve months', () => {
    expect(lines({ contract, lots: [contractLot(1, { purchasedAt: '2026-06-15T00:00:00Z' })] })).toEqual([
      '2026-12-31: renew',
      '2027-03-31: renew',
      '2027-04-16: remind lots 60 10',
      '2027-05-16: remind lots 30 10',
      '2027-06-08: remind lots 7 10',
      '2027-06-14: remind lots 1 10',
      '2027-06-15: expire 10',
    ]);
  });

  it('renews itself once where no lot lives longer', () => {
    expect(lines({ contract })).toEqual(['2026-12-31: renew']);
  });

  it('does not when it is terminated', () => {
    const terminated = { ...contract, terminatesAt: contract.endsAt };
    expect(lines({ contract: terminated }).filter((one) => one.includes('renew'))).toEqual([]);
  });

  it('renews a term of less than a day at its beginning', () => {
    const short = contractState({
      renewal: 'automatic',
      startsAt: '2026-12-31T12:00:00Z',
      activatedAt: '2026-12-31T12:00:00Z',
    });
    expect(lines({ contract: short })).toEqual(['2026-12-31T12:00:00Z: renew']);
  });
});

describe('allocations', () => {
  it('come with the contract as it will be', () => {
    const allocationsOf: ContractFacts['allocationsOf'] = ({ terms }) =>
      terms.map(({ number, startsAt: at }) => ({
        key: `term ${number}`,
        at,
        amount: parseCredits('100'),
        because: 'a rule',
      }));
    expect(lines({ contract: contractState({ renewal: 'automatic' }), allocationsOf })).toEqual([
      '2026-01-01: allocate 100',
      '2026-12-31: renew',
      '2027-01-01: allocate 100',
    ]);
  });
});

describe('the life of a lot', () => {
  it.each([
    // Bought, contract's end, expiry: the published examples.
    ['2024-02-29T00:00:00Z', '2026-01-01T00:00:00Z', '2025-02-28T00:00:00Z'],
    ['2024-03-01T00:00:00Z', '2024-12-31T00:00:00Z', '2024-12-31T00:00:00Z'],
    ['2024-03-01T00:00:00Z', '2025-12-31T00:00:00Z', '2025-03-01T00:00:00Z'],
  ])('bought at %s in a contract until %s expires at %s', (purchasedAt, endsAt, expiresAt) => {
    const contract = contractState({ startsAt: '2020-01-01T00:00:00Z', endsAt });
    expect(lifeIn(contract, contractLot(1, { purchasedAt })).expiresAt).toBe(parseInstant(expiresAt));
  });

  it('is never empty: terminated in the very instant in which it began it has a microsecond', () => {
    const at = '2026-05-01T00:00:00Z';
    const contract = contractState({ terminatesAt: at, endsAt: at });
    expect(lifeIn(contract, contractLot(1, { purchasedAt: at }))).toMatchObject({
      effectiveAt: parseInstant(at),
      expiresAt: parseInstant('2026-05-01T00:00:00.000001Z'),
      graceUntil: null,
    });
  });
});
