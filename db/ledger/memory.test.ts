import type { Authorisation } from '../../domain/batch';
import type { Budget, BudgetPeriod } from '../../domain/budget';
import { ZERO } from '../../domain/credits';
import type { Lot } from '../../domain/lots';
import type { JobOperation, Operation } from '../../domain/operations';
import type { JournalLine } from '../../domain/reservation';
import { atHour, idOf } from '../../test/builders/ids';
import {
  aBudget,
  aBudgetPeriod,
  aLot,
  amount,
  anAuthorisation,
  aReservation,
  aTerm,
  CONTRACT,
  changeLife,
  closeBudget,
  correct,
  expire,
  grant,
  JOB,
  openBudget,
  raiseCap,
  refund,
  release,
  reserve,
  settle,
  topUp,
  USER,
  withdraw,
} from '../../test/builders/ledger';
import { type FoundPool, type KnownContract, type KnownJob, type KnownPool, type Left, Memory } from './memory';

const OTHER_CONTRACT = idOf('contract', 2);
const OTHER_USER = idOf('user', 2);
const OTHER_JOB = idOf('job', 2);

const digest = (n: number) => Buffer.alloc(32, n);
const lot = (n: number, given: Partial<Lot> = {}) => aLot({ id: idOf('lot', n), ...given });

/** The contract's pool as it is found after the n-th batch, with nothing in it but what is given. */
function pool(n: number | null, given: Partial<FoundPool> = {}): FoundPool {
  const state = { seq: BigInt(n ?? 0), digest: n === null ? null : digest(n), terms: 1n };
  return { id: CONTRACT, ...state, lots: [], jobs: [], contract: null, ...given };
}

/** The user's pool likewise. */
function poolOfUser(n: number | null, given: Partial<FoundPool> = {}): FoundPool {
  return pool(n, { id: USER, ...given });
}

/** A contract of which the user was asked for, or others, and budgets with their periods. */
function contract(
  users: Readonly<Record<string, readonly Authorisation[]>> = { [USER]: [anAuthorisation()] },
  ...budgets: readonly (readonly [Budget, ...BudgetPeriod[]])[]
): KnownContract {
  return {
    term: aTerm(),
    users: new Map(Object.entries(users)),
    budgets: new Map(
      budgets.map(([budget, ...periods]) => [
        budget.id,
        { budget, periods: new Map(periods.map((period) => [period.startsAt, period])) },
      ]),
    ),
  };
}

function line(kind: JournalLine['kind']): JournalLine {
  const quiet = { userId: USER, contractId: CONTRACT, cap: null, absorbed: ZERO, project: null, transfers: [] };
  return { kind, act: kind, bookedAt: atHour(1), ...quiet };
}

/** The user's job on the contract, reserved and open unless the test says otherwise. */
function job(jobId: string, given: Partial<KnownJob['reservation']> = {}): KnownJob {
  return { reservation: aReservation({ jobId, ...given }), lines: [line('reserve')] };
}

/** What a batch finds that asks what is known of pools and locks them. */
function find(memory: Memory, ...pools: readonly FoundPool[]): readonly Lot[] {
  return memory.found(pools, memory.known(pools.map(({ id }) => id)));
}

/** A batch that was planned with what is known of the contract's pool, or of others, leaves them. */
function leave(
  memory: Memory,
  n: number,
  { poolIds = [CONTRACT], linesOf = () => [], ...plan }: Partial<Omit<Left, 'digest' | 'plan'> & Left['plan']> = {},
): void {
  const quiet = { lots: [], reservations: [], budgetPeriods: [] };
  memory.left({ digest: digest(n), poolIds, plan: { ...quiet, ...plan }, linesOf }, memory.known(poolIds));
}

function knownOf(memory: Memory, id = CONTRACT): KnownPool | undefined {
  return memory.known([id]).get(id);
}

function jobsOf(memory: Memory, id = CONTRACT): string[] {
  return [...(knownOf(memory, id)?.jobs.keys() ?? [])];
}

function isCalm(memory: Memory): boolean | undefined {
  return knownOf(memory)?.isCalm;
}

/** A memory of the contract's and the user's pools, with an open job, in which the user is authorised. */
function aMemory(): Memory {
  const memory = new Memory();
  find(memory, pool(1, { contract: contract(), jobs: [job(JOB)] }), poolOfUser(1));
  return memory;
}

describe('the lots of a pool', () => {
  test('are given without being loaded when the pool is as it was known', () => {
    const memory = new Memory();
    expect(memory.known([CONTRACT])).toEqual(new Map());
    expect(find(memory, pool(1, { lots: [lot(1)] }))).toEqual([lot(1)]);
    expect(knownOf(memory)).toMatchObject({ digest: digest(1), terms: 1n, lots: [lot(1)] });
    expect(find(memory, pool(1))).toEqual([lot(1)]);
  });

  test('are what was loaded when somebody else wrote the last batch', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1)] }));
    const spent = lot(1, { available: amount('4'), consumed: amount('6') });
    expect(find(memory, pool(2, { lots: [spent] }))).toEqual([spent]);
    expect(find(memory, pool(2))).toEqual([spent]);
  });

  test('are known of a pool without any batch, until its first one', () => {
    const memory = new Memory();
    expect(find(memory, pool(null))).toEqual([]);
    expect(knownOf(memory)).toMatchObject({ digest: null, lots: [] });
    leave(memory, 1, { lots: [lot(1)] });
    expect(find(memory, pool(1))).toEqual([lot(1)]);
    const other = new Memory();
    find(other, pool(null));
    expect(find(other, pool(1, { lots: [lot(1)] }))).toEqual([lot(1)]);
  });

  test('stand in the order in which they pay, however they were loaded', () => {
    const memory = new Memory();
    const first = lot(3, { expiresAt: atHour(10) });
    expect(find(memory, pool(1, { lots: [lot(2), lot(1), first] }))).toEqual([first, lot(1), lot(2)]);
    expect(find(memory, pool(1))).toEqual([first, lot(1), lot(2)]);
  });

  test('are after a batch what it leaves, without those that are used up', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1), lot(2)] }));
    const used = lot(1, { available: amount('0'), consumed: amount('10') });
    const granted = lot(3, { expiresAt: atHour(10) });
    leave(memory, 2, { lots: [used, granted] });
    // In the order in which they pay.
    expect(find(memory, pool(2))).toEqual([granted, lot(2)]);
  });

  test('that were granted and used up by the same batch are not known', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1)] }));
    leave(memory, 2, { lots: [lot(2, { available: amount('0'), consumed: amount('10') })] });
    expect(find(memory, pool(2))).toEqual([lot(1)]);
  });

  test('that hold only what jobs reserved stay known', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1)] }));
    const reserved = lot(1, { available: amount('0'), reserved: amount('10') });
    leave(memory, 2, { lots: [reserved] });
    expect(find(memory, pool(2))).toEqual([reserved]);
  });

  test('are known with the life that a batch gave them', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1, { expiresAt: atHour(10) }), lot(2, { expiresAt: atHour(20) })] }));
    const extended = lot(1, { expiresAt: atHour(30) });
    leave(memory, 2, { lots: [extended] });
    expect(new Set(find(memory, pool(2)))).toEqual(new Set([lot(2, { expiresAt: atHour(20) }), extended]));
  });

  test('that are advances stay as long as they are owed something', () => {
    const memory = new Memory();
    const advance = { kind: 'courtesy' as const, advance: true, available: amount('0') };
    find(memory, pool(1, { lots: [lot(1, { ...advance, consumed: amount('3') })] }));
    const owed = lot(1, { ...advance, consumed: amount('1'), withdrawn: amount('2') });
    const repaid = lot(1, { ...advance, withdrawn: amount('3') });
    leave(memory, 2, { lots: [owed] });
    expect(find(memory, pool(2))).toEqual([owed]);
    leave(memory, 3, { lots: [repaid] });
    expect(find(memory, pool(3))).toEqual([]);
  });

  test('go to their own pools', () => {
    const memory = new Memory();
    const theirs = lot(2, { poolId: OTHER_CONTRACT });
    const pools = [pool(1, { lots: [lot(1)] }), pool(1, { id: OTHER_CONTRACT, lots: [theirs] })];
    expect(find(memory, ...pools)).toEqual([lot(1), theirs]);
    const granted = lot(4, { poolId: OTHER_CONTRACT });
    leave(memory, 2, { poolIds: [CONTRACT, OTHER_CONTRACT], lots: [lot(3), granted] });
    expect(find(memory, pool(2, { id: OTHER_CONTRACT }))).toEqual([theirs, granted]);
    expect(find(memory, pool(2))).toEqual([lot(1), lot(3)]);
  });

  test('stay known to a batch that is loading although another batch pushes the pool out', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1)] }));
    const known = memory.known([CONTRACT]);
    find(memory, pool(1, { id: OTHER_CONTRACT, lots: manyLots(110_000, OTHER_CONTRACT) }));
    expect(knownOf(memory)).toBeUndefined();
    expect(memory.found([pool(1)], known)).toEqual([lot(1)]);
  });
});

describe('what a batch leaves', () => {
  test('is what the next batch is planned with before this one is answered', () => {
    const memory = aMemory();
    leave(memory, 2, { lots: [lot(1)] });
    leave(memory, 3, { lots: [lot(2)] });
    expect(knownOf(memory)).toMatchObject({ digest: digest(3), terms: 1n, lots: [lot(1), lot(2)], isCalm: true });
    expect(knownOf(memory)?.contract).toEqual(contract());
  });

  test('is never used when it was not committed', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1)] }));
    const reserved = lot(1, { available: amount('7'), reserved: amount('3') });
    leave(memory, 2, { lots: [reserved] });
    // The pool is where it was, or where another batch brought it.
    expect(find(memory, pool(1, { lots: [lot(1)] }))).toEqual([lot(1)]);
    leave(memory, 2, { lots: [reserved] });
    expect(find(memory, pool(3, { lots: [lot(1)] }))).toEqual([lot(1)]);
  });

  test.each([
    ['after another batch', new Map([[CONTRACT, { seq: 1n, digest: digest(5), terms: 1n }]])],
    ['after the same batch on top of another', new Map([[CONTRACT, { seq: 2n, digest: digest(1), terms: 1n }]])],
    ['before the first batch', new Map([[CONTRACT, { seq: 0n, digest: null, terms: 1n }]])],
    ['with other terms', new Map([[CONTRACT, { seq: 1n, digest: digest(1), terms: 2n }]])],
    ['without having found the pool', new Map()],
  ])('makes nothing known when it began %s', (_, before) => {
    const memory = aMemory();
    const plan = { lots: [lot(2)], reservations: [], budgetPeriods: [] };
    memory.left({ digest: digest(6), poolIds: [CONTRACT], plan, linesOf: () => [] }, before);
    expect(memory.known([CONTRACT])).toEqual(new Map());
    expect(find(memory, pool(6, { lots: [lot(1), lot(2)] }))).toEqual([lot(1), lot(2)]);
  });

  test('makes nothing known of a pool that was pushed out, and nothing of one that it is not linked to', () => {
    const memory = aMemory();
    const before = memory.known([CONTRACT, USER]);
    memory.forget([CONTRACT]);
    const plan = { lots: [lot(1)], reservations: [], budgetPeriods: [] };
    memory.left({ digest: digest(2), poolIds: [CONTRACT], plan, linesOf: () => [] }, before);
    expect(knownOf(memory)).toBeUndefined();
    expect(knownOf(memory, USER)).toMatchObject({ digest: digest(1) });
  });
});

describe('terms', () => {
  test('that changed leave of a pool only its lots, which change with batches alone', () => {
    const memory = new Memory();
    find(memory, pool(1, { lots: [lot(1)], jobs: [job(JOB)], contract: contract() }));
    expect(find(memory, pool(1, { terms: 2n }))).toEqual([lot(1)]);
    expect(knownOf(memory)).toMatchObject({ terms: 2n, lots: [lot(1)], jobs: new Map(), contract: null });
  });

  test('that changed are known as they were loaded, with the user for whom they were', () => {
    const memory = aMemory();
    const removed = anAuthorisation({ userId: OTHER_USER, removedAt: atHour(2) });
    const loaded = { ...contract({ [OTHER_USER]: [removed] }), term: aTerm({ endsAt: atHour(100) }) };
    find(memory, pool(1, { terms: 2n, contract: loaded }));
    expect(knownOf(memory)?.contract).toEqual(loaded);
    expect(memory.knows(reserve())).toBe(false);
  });

  test('that changed are somebody else’s doing: the pool is calm when it is found unchanged', () => {
    const memory = aMemory();
    find(memory, pool(1, { terms: 2n }));
    expect(isCalm(memory)).toBe(false);
    find(memory, pool(1, { terms: 2n }));
    expect(isCalm(memory)).toBe(true);
  });
});

describe('a pool is calm', () => {
  test('when nobody else is known to have changed it', () => {
    const memory = new Memory();
    find(memory, pool(1));
    expect(isCalm(memory)).toBe(true);
    leave(memory, 2);
    expect(isCalm(memory)).toBe(true);
    find(memory, pool(2));
    expect(isCalm(memory)).toBe(true);
  });

  test('not after somebody else changed it, until it is found unchanged; what this process leaves does not count', () => {
    const memory = new Memory();
    find(memory, pool(1));
    find(memory, pool(2));
    expect(isCalm(memory)).toBe(false);
    leave(memory, 3);
    expect(isCalm(memory)).toBe(false);
    find(memory, pool(3));
    expect(isCalm(memory)).toBe(true);
  });

  test('not after it was lost, until it is found unchanged', () => {
    const memory = new Memory();
    find(memory, pool(1));
    memory.lost([CONTRACT]);
    expect(knownOf(memory)).toBeUndefined();
    find(memory, pool(2));
    expect(isCalm(memory)).toBe(false);
    find(memory, pool(3));
    expect(isCalm(memory)).toBe(false);
    leave(memory, 4);
    find(memory, pool(4));
    expect(isCalm(memory)).toBe(true);
  });

  test('not after it was lost and then forgotten, however often, until it is found unchanged', () => {
    const memory = new Memory();
    memory.lost([CONTRACT]);
    for (const n of [1, 2]) {
      find(memory, pool(n));
      expect(isCalm(memory)).toBe(false);
      memory.forget([CONTRACT]);
    }
    find(memory, pool(3));
    find(memory, pool(3));
    expect(isCalm(memory)).toBe(true);
    // Nothing is held against it any more.
    memory.forget([CONTRACT]);
    find(memory, pool(4));
    expect(isCalm(memory)).toBe(true);
  });

  test('whatever happened to other pools', () => {
    const memory = new Memory();
    memory.lost([OTHER_CONTRACT]);
    find(memory, pool(1));
    expect(isCalm(memory)).toBe(true);
  });

  test('or nothing of it is known: neither a contract’s pool nor a user’s that others change is planned with', () => {
    for (const lost of [CONTRACT, USER]) {
      const memory = aMemory();
      memory.lost([lost]);
      expect(memory.knows(reserve())).toBe(false);
      const again = () => find(memory, pool(1, { contract: contract() }), poolOfUser(1));
      again();
      expect(memory.knows(reserve())).toBe(false);
      again();
      expect(memory.knows(reserve())).toBe(true);
    }
  });
});

describe('the users of a contract', () => {
  test('are unknown until they were asked for', () => {
    const memory = aMemory();
    const asked = { [OTHER_USER]: [anAuthorisation({ userId: OTHER_USER })] };
    const others = reserve({ userId: OTHER_USER });
    find(memory, pool(1, { id: OTHER_USER }));
    expect(memory.knows(others)).toBe(false);
    find(memory, pool(1, { contract: contract(asked) }));
    expect(memory.knows(others)).toBe(true);
    expect(memory.knows(reserve())).toBe(true);
    expect(knownOf(memory)?.contract).toEqual(contract({ [USER]: [anAuthorisation()], ...asked }));
  });

  test('are known not to be authorised when that is what was found', () => {
    const memory = new Memory();
    find(memory, pool(1, { contract: contract({ [USER]: [] }) }), poolOfUser(1));
    expect(memory.knows(reserve())).toBe(true);
    expect(memory.stateFor([reserve()], memory.known([CONTRACT, USER]))).toMatchObject({
      contracts: [aTerm()],
      authorisations: [],
    });
  });

  test('are unknown where nothing of the contract was asked for', () => {
    const memory = new Memory();
    find(memory, pool(1), poolOfUser(1));
    expect(memory.knows(reserve())).toBe(false);
  });

  test('stay known while batches ask for nothing of the contract, and are forgotten when somebody else changed it', () => {
    const memory = aMemory();
    leave(memory, 2);
    find(memory, pool(2));
    expect(memory.knows(reserve())).toBe(true);
    find(memory, pool(3, { contract: contract({ [OTHER_USER]: [] }) }));
    expect([...(knownOf(memory)?.contract?.users.keys() ?? [])]).toEqual([OTHER_USER]);
  });
});

describe('jobs', () => {
  const ALONE = { contractId: null };

  test('that are open are known with their operations', () => {
    const memory = new Memory();
    find(memory, pool(1, { jobs: [job(JOB)] }));
    const { reservation } = job(OTHER_JOB);
    const lines = [line('reserve'), line('topUp')];
    leave(memory, 2, { reservations: [reservation], linesOf: (jobId) => (jobId === OTHER_JOB ? lines : []) });
    expect(knownOf(memory)?.jobs).toEqual(
      new Map([
        [JOB, job(JOB)],
        [OTHER_JOB, { reservation, lines }],
      ]),
    );
  });

  test('are known as the last batch leaves them', () => {
    const memory = aMemory();
    const { reservation } = job(JOB, { cap: amount('300') });
    const lines = [line('reserve'), line('raiseCap')];
    leave(memory, 2, { reservations: [reservation], linesOf: () => lines });
    expect(knownOf(memory)?.jobs).toEqual(new Map([[JOB, { reservation, lines }]]));
  });

  test.each(['settled', 'released'] as const)('that are %s are no longer known', (state) => {
    const memory = aMemory();
    leave(memory, 2, { reservations: [job(JOB, { state }).reservation, job(OTHER_JOB, { state }).reservation] });
    expect(jobsOf(memory)).toEqual([]);
    expect(memory.knows(settle())).toBe(false);
  });

  test('are known in the pool of their contract, or of their user when they have none', () => {
    const memory = new Memory();
    find(memory, pool(1, { contract: contract() }), poolOfUser(1));
    const onContract = job(JOB).reservation;
    const alone = job(OTHER_JOB, ALONE).reservation;
    leave(memory, 2, { poolIds: [CONTRACT, USER], reservations: [onContract, alone] });
    expect(jobsOf(memory, CONTRACT)).toEqual([JOB]);
    expect(jobsOf(memory, USER)).toEqual([OTHER_JOB]);
    expect(memory.knows(settle())).toBe(true);
    expect(memory.knows(settle(ALONE))).toBe(false);
    expect(memory.knows(settle({ jobId: OTHER_JOB, ...ALONE }))).toBe(true);
    expect(memory.knows(settle({ jobId: OTHER_JOB }))).toBe(false);
  });

  test('that are loaded are known beside those that were, until somebody else changed the pool', () => {
    const memory = aMemory();
    find(memory, pool(1, { jobs: [job(OTHER_JOB)] }));
    expect(jobsOf(memory)).toEqual([JOB, OTHER_JOB]);
    find(memory, pool(2, { jobs: [job(OTHER_JOB)] }));
    expect(jobsOf(memory)).toEqual([OTHER_JOB]);
  });

  test('that rested longest are forgotten when a pool has more of them than may be', () => {
    const memory = new Memory();
    const ids = Array.from({ length: 20_000 }, (_, n) => idOf('job', n + 1));
    find(memory, pool(1, { jobs: manyJobs(ids) }));
    leave(memory, 2, { reservations: [job(JOB).reservation] });
    expect(jobsOf(memory)).toHaveLength(20_000);
    const added = [idOf('job', 20_001), idOf('job', 20_002)];
    leave(memory, 3, { reservations: added.map((id) => job(id).reservation) });
    // The first had just been written.
    expect(jobsOf(memory)).toEqual([...ids.slice(3), JOB, ...added]);
  });
});

describe('budgets', () => {
  const january = aBudgetPeriod();
  const february = aBudgetPeriod({ startsAt: atHour(744), endsAt: atHour(1416) });
  const counted = aBudgetPeriod({ reserved: amount('3') });
  const ofProject = aBudget({ id: idOf('budget', 2), project: 'alpha' });
  const users = { [USER]: [anAuthorisation()] };

  test('are known with all the periods that were loaded, the last that was read of each', () => {
    const memory = new Memory();
    find(memory, pool(1, { contract: contract(users, [aBudget(), january]) }));
    find(memory, pool(1, { contract: contract(users, [aBudget(), february], [ofProject]) }));
    expect(knownOf(memory)?.contract).toEqual(contract(users, [aBudget(), january, february], [ofProject]));
    find(memory, pool(1, { contract: contract(users, [aBudget(), counted]) }));
    expect(knownOf(memory)?.contract).toEqual(contract(users, [aBudget(), counted, february], [ofProject]));
  });

  test('have counted what a batch leaves of their periods', () => {
    const memory = new Memory();
    find(memory, pool(1, { contract: contract(users, [aBudget(), january], [ofProject]) }));
    const first = aBudgetPeriod({ budgetId: ofProject.id, charged: amount('1') });
    leave(memory, 2, { budgetPeriods: [counted, first] });
    expect(knownOf(memory)?.contract).toEqual(contract(users, [aBudget(), counted], [ofProject, first]));
  });

  test('that are not known stay unknown when something counts in one of their periods', () => {
    const memory = new Memory();
    find(memory, pool(1, { contract: contract(users, [aBudget(), january]) }), poolOfUser(1));
    leave(memory, 2, { poolIds: [CONTRACT, USER], budgetPeriods: [aBudgetPeriod({ budgetId: ofProject.id })] });
    expect(knownOf(memory)?.contract).toEqual(contract(users, [aBudget(), january]));
    expect(knownOf(memory, USER)?.contract).toBeNull();
  });

  test('are forgotten when somebody else changed the contract’s pool', () => {
    const memory = new Memory();
    find(memory, pool(1, { contract: contract(users, [aBudget(), january]) }));
    find(memory, pool(2, { contract: contract(users, [ofProject]) }));
    expect(knownOf(memory)?.contract).toEqual(contract(users, [ofProject]));
  });
});

describe('known is', () => {
  const of: readonly [string, boolean, Operation][] = [
    ['a reserve of a job that is not known', true, reserve({ jobId: OTHER_JOB })],
    ['a reserve of a job that is known', true, reserve()],
    ['a top-up of a job that is known', true, topUp()],
    ['a raise of the not-to-exceed amount of a job that is known', true, raiseCap()],
    ['a settlement of a job that is known', true, settle()],
    ['a release of a job that is known', true, release()],
    ['a top-up of another job', false, topUp({ jobId: OTHER_JOB })],
    ['a raise of the not-to-exceed amount of another job', false, raiseCap({ jobId: OTHER_JOB })],
    ['a settlement of another job', false, settle({ jobId: OTHER_JOB })],
    // It may have been reserved, or closed; or this leaves a mark.
    ['a release of another job', false, release({ jobId: OTHER_JOB })],
    ['a reserve on individual credits', true, reserve({ contractId: null })],
    ['a reserve on individual credits of another user', false, reserve({ userId: OTHER_USER, contractId: null })],
    ['a reserve of another user', false, reserve({ userId: OTHER_USER })],
    ['a reserve on another contract', false, reserve({ contractId: OTHER_CONTRACT })],
    ['a refund', false, refund()],
    ['a correction', false, correct()],
    ['a grant', false, grant()],
    ['an expiry', false, expire()],
    ['a withdrawal', false, withdraw()],
    ['a change of life', false, changeLife()],
    ['a new budget', false, openBudget()],
    ['the end of a budget', false, closeBudget()],
  ];

  test.each(of)('%s: %s', (_, isKnown, operation) => {
    expect(aMemory().knows(operation)).toBe(isKnown);
  });

  test('nothing of a pool that was forgotten', () => {
    for (const id of [CONTRACT, USER]) {
      const memory = aMemory();
      memory.forget([id]);
      expect([reserve(), settle()].map((operation) => memory.knows(operation))).toEqual([false, false]);
    }
  });
});

describe('operations are planned with', () => {
  const individual = lot(2, { kind: 'individual', poolId: USER });
  const ofProject = aBudget({ id: idOf('budget', 2), project: 'alpha' });
  const ofOther = aBudget({ id: idOf('budget', 3), userId: OTHER_USER });
  const periodOf = ({ id }: Budget) => aBudgetPeriod({ budgetId: id });
  const authorisations = {
    [USER]: [anAuthorisation({ removedAt: atHour(1) }), anAuthorisation({ authorisedAt: atHour(2) })],
    [OTHER_USER]: [anAuthorisation({ userId: OTHER_USER })],
  };

  function stateFor(...operations: readonly JobOperation[]) {
    const memory = new Memory();
    const budgets = [aBudget(), ofProject, ofOther].map((budget) => [budget, periodOf(budget)] as const);
    find(
      memory,
      pool(1, { lots: [lot(1)], jobs: [job(JOB), job(OTHER_JOB)], contract: contract(authorisations, ...budgets) }),
      poolOfUser(1, { lots: [individual], jobs: [job(idOf('job', 3), { contractId: null })] }),
    );
    const poolIds = new Set(operations.flatMap(({ contractId, userId }) => [contractId ?? userId, userId]));
    return memory.stateFor(operations, memory.known([...poolIds]));
  }

  test('the lots of their pools, their jobs, their contract, and what concerns their users of it, each once', () => {
    expect(stateFor(topUp(), reserve({ jobId: idOf('job', 4) }), settle())).toEqual({
      lots: [lot(1), individual],
      reservations: [job(JOB).reservation],
      repayments: [],
      contracts: [aTerm()],
      authorisations: authorisations[USER],
      budgets: [aBudget(), ofProject],
      budgetPeriods: [periodOf(aBudget()), periodOf(ofProject)],
    });
  });

  test('what concerns each of their users', () => {
    expect(stateFor(topUp(), topUp({ jobId: OTHER_JOB, userId: OTHER_USER }))).toMatchObject({
      reservations: [job(JOB).reservation, job(OTHER_JOB).reservation],
      authorisations: Object.values(authorisations).flat(),
      budgets: [aBudget(), ofProject, ofOther],
      budgetPeriods: [periodOf(aBudget()), periodOf(ofProject), periodOf(ofOther)],
    });
  });

  test('nothing of any contract when they spend individual credits alone', () => {
    expect(stateFor(settle({ jobId: idOf('job', 3), contractId: null }))).toEqual({
      lots: [individual],
      reservations: [job(idOf('job', 3), { contractId: null }).reservation],
      repayments: [],
      contracts: [],
      authorisations: [],
      budgets: [],
      budgetPeriods: [],
    });
  });
});

describe('rather than grow, it forgets', () => {
  const large: readonly [string, (count: number) => Partial<FoundPool>][] = [
    ['lots', (count) => ({ lots: manyLots(count, CONTRACT) })],
    ['jobs', (count) => ({ jobs: manyJobs(Array.from({ length: count }, (_, n) => idOf('job', n))) })],
    ['users', (count) => ({ contract: contract(manyUsers(count)) })],
  ];

  test.each(large)('the pools that rested longest, which here have many %s', (_, content) => {
    const memory = new Memory();
    find(memory, pool(1, content(60_000)));
    expect(knownOf(memory)).toBeDefined();
    find(memory, pool(1, { id: OTHER_CONTRACT, lots: manyLots(60_000, OTHER_CONTRACT) }));
    expect([...memory.known([CONTRACT, OTHER_CONTRACT]).keys()]).toEqual([OTHER_CONTRACT]);
  });

  test('no pool that was written since, although it was found first', () => {
    const memory = new Memory();
    const third = idOf('contract', 3);
    find(memory, pool(1, { lots: manyLots(40_000, CONTRACT) }));
    find(memory, pool(1, { id: OTHER_CONTRACT, lots: manyLots(40_000, OTHER_CONTRACT) }));
    leave(memory, 2);
    find(memory, pool(1, { id: third, lots: manyLots(40_000, third) }));
    expect([...memory.known([CONTRACT, OTHER_CONTRACT, third]).keys()]).toEqual([CONTRACT, third]);
  });

  test('nothing for pools that were forgotten, lost or found anew', () => {
    const memory = new Memory();
    const lots = manyLots(60_000, CONTRACT);
    for (const n of [1, 2, 3]) find(memory, pool(n, { lots }));
    find(memory, pool(1, { id: OTHER_CONTRACT, lots: manyLots(30_000, OTHER_CONTRACT) }));
    expect([...memory.known([CONTRACT, OTHER_CONTRACT]).keys()]).toEqual([CONTRACT, OTHER_CONTRACT]);
    memory.forget([CONTRACT, CONTRACT]);
    find(memory, pool(4, { lots }));
    memory.lost([CONTRACT]);
    find(memory, pool(5, { lots }));
    expect([...memory.known([CONTRACT, OTHER_CONTRACT]).keys()]).toEqual([CONTRACT, OTHER_CONTRACT]);
  });

  test('which pools were lost', () => {
    const memory = new Memory();
    memory.lost([CONTRACT]);
    memory.lost(Array.from({ length: 100_000 }, (_, n) => idOf('user', n)));
    find(memory, pool(1));
    expect(isCalm(memory)).toBe(true);
  });
});

function manyLots(count: number, poolId: string): Lot[] {
  const one = lot(0, { poolId });
  return Array.from({ length: count }, (_, n) => ({ ...one, id: idOf('lot', n) }));
}

function manyJobs(ids: readonly string[]): KnownJob[] {
  const { reservation, lines } = job(JOB);
  return ids.map((jobId) => ({ reservation: { ...reservation, jobId }, lines }));
}

function manyUsers(count: number): Record<string, readonly Authorisation[]> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [idOf('user', n), []]));
}
