import { atHour, idOf } from '../test/builders/ids';
import {
  type Aftermath,
  aBudget,
  aBudgetPeriod,
  afterBatch,
  aLedger,
  aLot,
  amount,
  anAuthorisation,
  closeBudget,
  correct,
  expire,
  openBudget,
  raiseCap,
  refund,
  release,
  reserve,
  settle,
  topUp,
} from '../test/builders/ledger';
import { type LedgerState, planBatch } from './batch';
import { formatCredits, ZERO } from './credits';
import { type Instant, parseInstant } from './instant';
import type { Operation } from './operations';

const OTHER_USER = idOf('user', 2);
const OTHER_JOB = idOf('job', 2);
const APOLLO = 'apollo';

/** A budget of ten credits for the user in January, on a hundred credits of the contract. */
function ledger(given: Partial<LedgerState> = {}): LedgerState {
  const authorisations = [anAuthorisation(), anAuthorisation({ userId: OTHER_USER })];
  return aLedger({ lots: [aLot({ available: amount('100') })], authorisations, budgets: [aBudget()], ...given });
}

/** What counts in each period, as decimals: reserved and charged. */
function counted({ budgetPeriods }: Pick<LedgerState, 'budgetPeriods'>, budgetId = idOf('budget', 1)): string[] {
  return budgetPeriods
    .filter((period) => period.budgetId === budgetId)
    .map(({ reserved, charged }) => `${formatCredits(reserved)} + ${formatCredits(charged)}`);
}

const run = (...operations: Operation[]): Aftermath => afterBatch(ledger(), ...operations);

describe('a budget counts', () => {
  test('a reservation, and what a top-up adds to it', () => {
    expect(counted(run(reserve({ amount: amount('3') })))).toEqual(['3 + 0']);
    expect(counted(run(reserve({ amount: amount('3') }), topUp({ target: amount('5') })))).toEqual(['5 + 0']);
  });

  test('the charge in place of the reservation once a job is settled', () => {
    expect(counted(run(reserve({ amount: amount('3') }), settle({ actual: amount('2') })))).toEqual(['0 + 2']);
    expect(counted(run(reserve({ amount: amount('3') }), settle({ actual: amount('4') })))).toEqual(['0 + 4']);
  });

  test('nothing of a job that was released', () => {
    expect(counted(run(reserve({ amount: amount('3') }), release()))).toEqual(['0 + 0']);
    expect(run(release()).budgetPeriods).toEqual([]);
  });

  test('less after a refund or a correction, and nothing of what the provider bears', () => {
    const settled = run(reserve({ amount: amount('3'), cap: amount('3') }), settle({ actual: amount('5') }));
    expect(counted(settled)).toEqual(['0 + 3']);
    expect(counted(afterBatch(settled, refund({ amount: amount('1') })))).toEqual(['0 + 2']);
    expect(counted(afterBatch(settled, correct({ actual: amount('3') })))).toEqual(['0 + 3']);
    expect(counted(afterBatch(settled, correct({ actual: amount('1') })))).toEqual(['0 + 1']);
  });

  test('what goes back to a dead lot as what comes back to the customer', () => {
    const state = afterBatch(
      ledger({ lots: [aLot({ expiresAt: atHour(10) })] }),
      reserve({ amount: amount('3') }),
      expire({ at: atHour(10) }),
      settle({ actual: amount('1'), at: atHour(11) }),
    );
    expect(counted(state)).toEqual(['0 + 1']);
  });

  test('on top of what was counted in earlier batches', () => {
    const budgetPeriods = [aBudgetPeriod({ reserved: amount('2'), charged: amount('3') })];
    const state = afterBatch(ledger({ budgetPeriods }), reserve({ amount: amount('4') }));
    expect(state.budgetPeriods).toEqual([{ ...budgetPeriods[0], reserved: amount('6') }]);
  });

  test('a plan names only the periods that changed, and changes none that it was given', () => {
    const february = { startsAt: atHour(744), endsAt: atHour(1416) };
    const budgetPeriods = [
      aBudgetPeriod({ charged: amount('3') }),
      aBudgetPeriod({ ...february, charged: amount('9') }),
    ];
    const state = ledger({ budgetPeriods });
    const before = structuredClone(state);
    const { budgetPeriods: changed } = planBatch(state, [
      reserve({ amount: amount('2'), at: atHour(800) }),
      reserve({ jobId: OTHER_JOB, amount: amount('2') }),
    ]);
    expect(changed).toEqual([aBudgetPeriod({ reserved: amount('2'), charged: amount('3') })]);
    expect(state).toEqual(before);
  });

  test('less than nothing only when the state is not the journal’s, and that fails loudly', () => {
    const state = { ...run(reserve({ amount: amount('3') })), budgetPeriods: [] };
    expect(() => planBatch(state, [release()])).toThrow(/below zero/);
  });
});

describe('a budget concerns', () => {
  const isCounted = (budget: Parameters<typeof aBudget>[0], given: Parameters<typeof reserve>[0]) =>
    planBatch(ledger({ budgets: [aBudget(budget)] }), [reserve(given)]).budgetPeriods.length > 0;

  test('every job of its user on its contract, whatever it is for', () => {
    expect(isCounted({}, {})).toBe(true);
    expect(isCounted({}, { project: APOLLO })).toBe(true);
    expect(isCounted({}, { userId: OTHER_USER })).toBe(false);
    expect(isCounted({ contractId: idOf('contract', 2) }, {})).toBe(false);
  });

  test('every job for its project on its contract, whoever submits it', () => {
    expect(isCounted({ project: APOLLO }, { project: APOLLO })).toBe(true);
    expect(isCounted({ project: APOLLO }, { project: APOLLO, userId: OTHER_USER })).toBe(true);
    expect(isCounted({ project: APOLLO }, {})).toBe(false);
    expect(isCounted({ project: APOLLO }, { project: 'gemini' })).toBe(false);
    expect(isCounted({ project: APOLLO, contractId: idOf('contract', 2) }, { project: APOLLO })).toBe(false);
  });

  test('no job on individual credits alone', () => {
    const lots = [aLot({ kind: 'individual' })];
    const { outcomes, budgetPeriods } = planBatch(ledger({ lots, budgets: [aBudget({ amount: ZERO })] }), [
      reserve({ contractId: null }),
    ]);
    expect(outcomes).toMatchObject([{ accepted: true }]);
    expect(budgetPeriods).toEqual([]);
  });

  test('a job of its user for its project twice: in the user’s budget and in the project’s', () => {
    const project = aBudget({ id: idOf('budget', 2), project: APOLLO, amount: amount('3') });
    const state = afterBatch(
      ledger({ budgets: [aBudget(), project] }),
      reserve({ amount: amount('2'), project: APOLLO }),
    );
    expect(counted(state)).toEqual(['2 + 0']);
    expect(counted(state, project.id)).toEqual(['2 + 0']);
    const second = { jobId: OTHER_JOB, amount: amount('2') };
    expect(planBatch(state, [reserve({ ...second, project: APOLLO })]).outcomes).toMatchObject([
      { code: 'budget_exceeded', details: { budgetId: project.id } },
    ]);
    expect(planBatch(state, [reserve(second)]).outcomes).toMatchObject([{ accepted: true }]);
  });
});

describe('a budget refuses', () => {
  test('what would pass its limit, and lets through what reaches it exactly', () => {
    const { outcomes } = run(
      reserve({ amount: amount('4') }),
      reserve({ jobId: OTHER_JOB, amount: amount('6.000001') }),
      reserve({ jobId: idOf('job', 3), amount: amount('6') }),
    );
    expect(outcomes).toMatchObject([
      { accepted: true },
      {
        code: 'budget_exceeded',
        details: { budgetId: idOf('budget', 1), used: '4', required: '6.000001', limit: '10' },
      },
      { accepted: true },
    ]);
  });

  test('open reservations and charges alike', () => {
    const { outcomes } = run(
      reserve({ amount: amount('4') }),
      settle({ actual: amount('4') }),
      reserve({ jobId: OTHER_JOB, amount: amount('4') }),
      reserve({ jobId: idOf('job', 3), amount: amount('4') }),
    );
    expect(outcomes).toMatchObject([{ accepted: true }, { accepted: true }, { accepted: true }, { accepted: false }]);
  });

  test('nothing that a release, a smaller charge or a refund made room for', () => {
    const full = reserve({ amount: amount('10') });
    const next = reserve({ jobId: OTHER_JOB, amount: amount('5') });
    const [settled, half] = [settle({ actual: amount('10') }), refund({ amount: amount('5') })];
    expect(run(full, next).outcomes.at(-1)).toMatchObject({ code: 'budget_exceeded' });
    expect(run(full, release(), next).outcomes.at(-1)).toMatchObject({ accepted: true });
    expect(run(full, settle({ actual: amount('5') }), next).outcomes.at(-1)).toMatchObject({ accepted: true });
    expect(run(full, settled, next).outcomes.at(-1)).toMatchObject({ accepted: false });
    expect(run(full, settled, half, next).outcomes.at(-1)).toMatchObject({ accepted: true });
  });

  test('a top-up, whole, by what it would add', () => {
    const state = run(
      reserve({ amount: amount('4') }),
      topUp({ target: amount('10.5') }),
      topUp({ target: amount('10') }),
    );
    expect(state.outcomes).toMatchObject([
      { accepted: true },
      { code: 'budget_exceeded', details: { used: '4', required: '6.5', limit: '10' } },
      { accepted: true },
    ]);
    expect(counted(state)).toEqual(['10 + 0']);
  });

  test('everything but a reservation of zero when it is zero', () => {
    const state = ledger({ budgets: [aBudget({ amount: ZERO })] });
    const free = [reserve({ amount: ZERO }), topUp({ target: ZERO }), settle({ actual: ZERO })];
    expect(planBatch(state, free).outcomes).toMatchObject([{ accepted: true }, { accepted: true }, { accepted: true }]);
    expect(planBatch(state, [reserve({ amount: amount('0.000001') })]).outcomes).toMatchObject([
      { code: 'budget_exceeded', details: { limit: '0' } },
    ]);
  });

  test('nothing at all without a threshold to refuse at, but counts', () => {
    const state = afterBatch(
      ledger({ budgets: [aBudget({ refusePercent: null })] }),
      reserve({ amount: amount('50') }),
    );
    expect(state.outcomes).toMatchObject([{ accepted: true }]);
    expect(counted(state)).toEqual(['50 + 0']);
  });

  test('at its own percent, also above the amount', () => {
    const state = ledger({ budgets: [aBudget({ refusePercent: 150 })] });
    expect(planBatch(state, [reserve({ amount: amount('15') })]).outcomes).toMatchObject([{ accepted: true }]);
    expect(planBatch(state, [reserve({ amount: amount('15.000001') })]).outcomes).toMatchObject([{ accepted: false }]);
  });

  test('before the credits are counted, and after the contract and the not-to-exceed amount are', () => {
    const asked = (given: Parameters<typeof reserve>[0]) => planBatch(ledger(), [reserve(given)]).outcomes;
    expect(asked({ amount: amount('1000'), cap: amount('1000') })).toMatchObject([{ code: 'budget_exceeded' }]);
    expect(asked({ amount: amount('11'), cap: amount('10') })).toMatchObject([{ code: 'cap_exceeded' }]);
    expect(asked({ amount: amount('11'), at: atHour(9_000) })).toMatchObject([{ code: 'contract_not_in_force' }]);
  });

  test('two users racing for the last of a project’s budget: one of them', () => {
    const state = ledger({ budgets: [aBudget({ project: APOLLO })] });
    const race = [
      reserve({ project: APOLLO, amount: amount('6') }),
      reserve({ project: APOLLO, amount: amount('6'), jobId: OTHER_JOB, userId: OTHER_USER }),
    ];
    expect(planBatch(state, race).outcomes).toMatchObject([{ accepted: true }, { code: 'budget_exceeded' }]);
  });
});

describe('what a settlement draws beyond its reservation', () => {
  const settled = (given: Partial<LedgerState>, actual: string, ...before: Operation[]) =>
    afterBatch(ledger(given), ...before, reserve({ amount: amount('4') }), settle({ actual: amount(actual) }));

  test('is what the budget leaves; the provider bears the rest', () => {
    const state = settled({}, '9', reserve({ jobId: OTHER_JOB, amount: amount('3') }));
    expect(state.outcomes.at(-1)).toMatchObject({ accepted: true, absorbed: amount('2') });
    expect(counted(state)).toEqual(['3 + 7']);
  });

  test('is what the strictest of several budgets leaves', () => {
    const project = aBudget({ id: idOf('budget', 2), project: APOLLO, amount: amount('6') });
    const state = afterBatch(
      ledger({ budgets: [aBudget(), project] }),
      reserve({ amount: amount('4'), project: APOLLO }),
      settle({ actual: amount('9') }),
    );
    expect(state.outcomes.at(-1)).toMatchObject({ absorbed: amount('3') });
    expect(counted(state, project.id)).toEqual(['0 + 6']);
  });

  test('is nothing when the budget was passed before, but what was reserved is captured', () => {
    const budgets = [aBudget({ refusePercent: null })];
    const over = afterBatch(
      ledger({ budgets }),
      reserve({ amount: amount('4') }),
      reserve({ jobId: OTHER_JOB, amount: amount('20') }),
    );
    const state = afterBatch({ ...over, budgets: [aBudget()] }, settle({ actual: amount('6') }));
    expect(state.outcomes).toMatchObject([{ accepted: true, absorbed: amount('2') }]);
    expect(counted(state)).toEqual(['20 + 4']);
  });

  test('is all that is due without a limit', () => {
    const state = settled({ budgets: [aBudget({ refusePercent: null })] }, '20');
    expect(state.outcomes.at(-1)).toMatchObject({ absorbed: 0n });
  });
});

describe('a budget warns', () => {
  const warnings = (state: LedgerState, ...operations: Operation[]) =>
    planBatch(state, operations).outcomes.map((outcome) =>
      outcome.accepted ? outcome.warnings.map(({ used }) => formatCredits(used)) : outcome.code,
    );
  const job = (n: number, tokens: string) => reserve({ jobId: idOf('job', n), amount: amount(tokens) });

  test('exactly once, when an operation brings it to its threshold', () => {
    expect(warnings(ledger(), job(1, '7.999999'), job(2, '0.000001'), job(3, '1'))).toEqual([[], ['8'], []]);
    expect(warnings(ledger(), job(1, '9'), job(2, '1'))).toEqual([['9'], []]);
  });

  test('names the budget, what is used and its amount', () => {
    expect(planBatch(ledger(), [job(1, '9')]).outcomes).toMatchObject([
      { warnings: [{ budgetId: idOf('budget', 1), used: amount('9'), amount: amount('10') }] },
    ]);
  });

  test('again when it fell below its threshold in between', () => {
    expect(warnings(ledger(), job(1, '9'), release(), job(2, '9'))).toEqual([['9'], [], ['9']]);
  });

  test('at a top-up and at a settlement that draws more', () => {
    expect(warnings(ledger(), job(1, '4'), topUp({ target: amount('8') }))).toEqual([[], ['8']]);
    expect(warnings(ledger(), job(1, '4'), settle({ actual: amount('9') }))).toEqual([[], ['9']]);
  });

  test('not when a refused operation would have brought it there, nor without a threshold', () => {
    expect(warnings(ledger(), job(1, '7'), job(2, '4'))).toEqual([[], 'budget_exceeded']);
    expect(warnings(ledger({ budgets: [aBudget({ warnPercent: null })] }), job(1, '9'))).toEqual([[]]);
  });

  test('once for each budget that reaches its threshold', () => {
    const budgets = [aBudget(), aBudget({ id: idOf('budget', 2), period: 'year', amount: amount('12') })];
    expect(warnings(ledger({ budgets }), job(1, '8.5'), job(2, '1.5'))).toEqual([['8.5'], ['10']]);
    const [both] = planBatch(ledger({ budgets }), [job(1, '9.6')]).outcomes;
    expect(both).toMatchObject({ warnings: [{ budgetId: idOf('budget', 1) }, { budgetId: idOf('budget', 2) }] });
  });
});

describe('a job counts in the period in which it was reserved', () => {
  const lastOfJanuary = parseInstant('2026-01-31T23:59:59.999999Z');
  const firstOfFebruary = parseInstant('2026-02-01T00:00:00Z');
  const at = (instant: Instant) => ({ at: instant });

  test('also when it is topped up, settled, refunded and corrected in the next', () => {
    const state = run(
      reserve({ amount: amount('4'), ...at(lastOfJanuary) }),
      topUp({ target: amount('5'), ...at(firstOfFebruary) }),
      settle({ actual: amount('6'), ...at(firstOfFebruary) }),
      refund({ amount: amount('1'), ...at(firstOfFebruary) }),
      correct({ actual: amount('3'), ...at(firstOfFebruary) }),
    );
    expect(state.budgetPeriods).toEqual([aBudgetPeriod({ charged: amount('3') })]);
  });

  test('so that a new period begins with nothing', () => {
    const { outcomes, budgetPeriods } = run(
      reserve({ amount: amount('10'), ...at(lastOfJanuary) }),
      reserve({ jobId: OTHER_JOB, amount: amount('0.000001'), ...at(lastOfJanuary) }),
      reserve({ jobId: idOf('job', 3), amount: amount('10'), ...at(firstOfFebruary) }),
    );
    expect(outcomes).toMatchObject([{ accepted: true }, { accepted: false }, { accepted: true }]);
    expect(budgetPeriods.map(({ startsAt }) => startsAt)).toEqual([atHour(0), firstOfFebruary]);
  });

  test('by the calendar of the contract’s time zone', () => {
    const budgets = [aBudget({ timeZone: 'America/Los_Angeles' })];
    const state = afterBatch(ledger({ budgets }), reserve(at(firstOfFebruary)));
    expect(state.budgetPeriods).toMatchObject([
      { startsAt: '2026-01-01T08:00:00.000000Z', endsAt: '2026-02-01T08:00:00.000000Z' },
    ]);
  });

  test('in one period for all times when the budget is a total', () => {
    const budgets = [aBudget({ period: 'total' })];
    const { outcomes } = afterBatch(
      ledger({ budgets }),
      reserve({ amount: amount('6'), ...at(lastOfJanuary) }),
      reserve({ jobId: OTHER_JOB, amount: amount('6'), ...at(firstOfFebruary) }),
    );
    expect(outcomes).toMatchObject([{ accepted: true }, { code: 'budget_exceeded' }]);
  });
});

describe('openBudget', () => {
  const unlimited = ledger({ budgets: [] });

  test('limits from then on', () => {
    const state = afterBatch(unlimited, openBudget());
    expect(state.outcomes).toEqual([{ accepted: true, replayed: false, transfers: [], absorbed: 0n, warnings: [] }]);
    expect(planBatch(state, [reserve({ amount: amount('11') })]).outcomes).toMatchObject([{ code: 'budget_exceeded' }]);
  });

  test('counts what was reserved and charged before, which is written with it', () => {
    const budgetPeriods = [aBudgetPeriod({ reserved: amount('3'), charged: amount('4') })];
    const { outcomes, budgetPeriods: written } = planBatch({ ...unlimited, budgetPeriods }, [
      openBudget(),
      reserve({ amount: amount('3.000001') }),
    ]);
    expect(outcomes).toMatchObject([{ accepted: true }, { code: 'budget_exceeded', details: { used: '7' } }]);
    expect(written).toEqual(budgetPeriods);
  });

  test('counts what earlier operations of its batch did, without limiting those or warning of them', () => {
    const state = afterBatch(
      unlimited,
      reserve({ amount: amount('12') }),
      openBudget(),
      settle({ actual: amount('9') }),
    );
    expect(state.outcomes).toMatchObject([{ accepted: true, warnings: [] }, { accepted: true }, { accepted: true }]);
    expect(counted(state)).toEqual(['0 + 9']);
  });

  test('returns a budget to what a job reserved before it was opened', () => {
    const opened = afterBatch(unlimited, reserve({ amount: amount('9') }), openBudget());
    expect(counted(afterBatch(opened, release()))).toEqual(['0 + 0']);
  });

  test.each([
    ['the same user and period', {}],
    ['the same project and period', { project: APOLLO }],
  ])('is refused while there is one for %s', (_, given) => {
    const second = aBudget({ id: idOf('budget', 2), amount: amount('99'), ...given });
    const { outcomes, budgetPeriods } = planBatch(ledger({ budgets: [aBudget(given)] }), [
      reserve({ project: APOLLO }),
      openBudget({ budget: second }),
    ]);
    expect(outcomes[1]).toMatchObject({ code: 'budget_exists', details: { budgetId: idOf('budget', 1) } });
    expect(budgetPeriods.map(({ budgetId }) => budgetId)).toEqual([idOf('budget', 1)]);
  });

  test.each([
    ['another period', { period: 'day' as const }],
    ['a project', { project: APOLLO }],
    ['another user', { userId: OTHER_USER }],
    ['another contract', { contractId: idOf('contract', 2) }],
  ])('stands beside one for %s', (_, given) => {
    const second = aBudget({ id: idOf('budget', 2), ...given });
    expect(planBatch(ledger(), [openBudget({ budget: second })]).outcomes).toMatchObject([{ accepted: true }]);
  });

  test('of what is no budget is refused', () => {
    const budget = aBudget({ warnPercent: 0.5 });
    expect(planBatch(unlimited, [openBudget({ budget })]).outcomes).toMatchObject([{ code: 'invalid_request' }]);
  });
});

describe('closeBudget', () => {
  test('neither limits nor warns nor counts from then on', () => {
    const { outcomes, budgetPeriods } = run(
      reserve({ amount: amount('7') }),
      closeBudget(),
      reserve({ jobId: OTHER_JOB, amount: amount('50') }),
      settle({ actual: amount('1') }),
    );
    expect(outcomes).toMatchObject([
      { accepted: true },
      { accepted: true },
      { accepted: true, warnings: [] },
      { accepted: true },
    ]);
    expect(counted({ budgetPeriods })).toEqual(['7 + 0']);
  });

  test('makes room for another of the same kind, in the same batch', () => {
    const second = aBudget({ id: idOf('budget', 2), amount: amount('99') });
    const state = run(reserve({ amount: amount('7') }), closeBudget(), openBudget({ budget: second }));
    expect(state.outcomes).toMatchObject([{ accepted: true }, { accepted: true }, { accepted: true }]);
    expect(counted(state, second.id)).toEqual(['7 + 0']);
  });

  test('finds no budget that is closed, not there, or of another contract', () => {
    expect(run(closeBudget(), closeBudget()).outcomes).toMatchObject([{ accepted: true }, { code: 'not_found' }]);
    const elsewhere = closeBudget({ contractId: idOf('contract', 2) });
    const unknown = closeBudget({ budgetId: idOf('budget', 9) });
    expect(run(elsewhere, unknown).outcomes).toMatchObject(Array(2).fill({ code: 'not_found' }));
  });
});

test('consent to a higher not-to-exceed amount counts nothing', () => {
  const state = run(reserve({ amount: amount('4') }), raiseCap());
  expect(counted(state)).toEqual(['4 + 0']);
});
