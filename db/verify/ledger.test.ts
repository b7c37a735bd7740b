/** Each rule of the verifier broken once, by operations that a mistaken writer could chain as well as any others. */
import type { Instant } from '../../domain/instant';
import { atHour, idOf } from '../../test/builders/ids';
import { type JobAccount, LotAccount, PoolAccount } from './accounts';
import { BudgetAccount, Budgets } from './budgets';
import { NULL } from './fields';
import { Wrong } from './findings';
import type { JournalRow } from './journalRow';
import { Ledger } from './ledger';
import { RefundRequests } from './refundRequests';

const [USER, OTHER_USER] = [idOf('user', 1), idOf('user', 2)];
const [CONTRACT, OTHER_CONTRACT] = [idOf('contract', 1), idOf('contract', 2)];
const [OWN, SHARED, LATER, COURTESY, ADVANCE, FOREIGN, NEW] = [1, 2, 3, 4, 5, 6, 7].map((n) =>
  idOf('lot', n),
) as string[];
const BUDGET = idOf('budget', 1);
const JOB = idOf('job', 1);
const REFUND = idOf('refund', 1);
const NEVER = atHour(9_000);

type Given = Partial<Omit<JournalRow, 'lots' | 'amounts' | 'count' | 'moves'>> & {
  /** A move, a lot, an amount. */
  readonly transfers?: readonly (readonly [move: string, lotId: string, amount: number])[];
};

class World {
  private readonly pools = new Map<string, PoolAccount>();
  private readonly lots = new Map<string, LotAccount>();
  private readonly budgets = new Budgets();
  readonly ledger: Ledger;
  readonly closed: JobAccount[] = [];

  constructor() {
    for (const [id, owner] of [
      [USER, 'user'],
      [OTHER_USER, 'user'],
      [CONTRACT, 'contract'],
      [OTHER_CONTRACT, 'contract'],
    ] as const) {
      this.pools.set(id, PoolAccount.of(['p', id, owner]));
    }
    this.lot(OWN, USER, 'individual', 10);
    this.lot(SHARED, CONTRACT, 'shared', 10);
    this.lot(LATER, CONTRACT, 'shared', 10);
    this.lot(COURTESY, CONTRACT, 'courtesy', 10);
    this.lot(ADVANCE, CONTRACT, 'courtesy', 10, 't');
    this.lot(FOREIGN, OTHER_CONTRACT, 'shared', 10);
    this.lot(NEW, CONTRACT, 'shared', 10);
    const budget = ['g', BUDGET, CONTRACT, USER, NULL, 'month', '25', NULL, '100', NULL];
    this.budgets.add(BudgetAccount.of(budget, new Map([[CONTRACT, 'UTC']])));
    this.ledger = new Ledger({
      pools: this.pools,
      lots: this.lots,
      budgets: this.budgets,
      requests: new RefundRequests(),
      refundedLater: new Map([[JOB, true]]),
      onClosed: (job) => this.closed.push(job),
    });
    const ends: Readonly<Record<string, Instant | null>> = {
      [OWN ?? '']: null,
      [SHARED ?? '']: atHour(100),
      [LATER ?? '']: atHour(200),
    };
    for (const id of [OWN, SHARED, LATER, COURTESY, ADVANCE, FOREIGN] as string[]) {
      this.grant(id, id in ends ? (ends[id] as Instant | null) : NEVER);
    }
    this.book({ kind: 'openBudget', act: 'set', subject: BUDGET });
  }

  grant(id: string, expiresAt: Instant | null = NEVER): void {
    const transfers = [['ga', id, 10]] as const;
    this.book({ kind: 'grant', act: 'grant', subject: id, effectiveAt: atHour(0), expiresAt, transfers });
  }

  /** Of the user's job on the contract unless the test says otherwise. */
  book({ transfers = [], ...given }: Given): void {
    const moves = transfers.map(([move]) => move).join('');
    const kind = given.kind ?? 'reserve';
    const draws = moves.startsWith('ar') || ['reserve', 'release', 'refund', 'correct'].includes(kind);
    this.ledger.book({
      kind,
      subject: JOB,
      act: kind,
      refersTo: null,
      userId: draws ? USER : null,
      contractId: draws ? CONTRACT : null,
      project: null,
      bookedAt: atHour(10),
      cap: kind === 'reserve' ? 20n : null,
      absorbed: null,
      effectiveAt: null,
      expiresAt: null,
      withdrawnAt: null,
      graceUntil: null,
      actor: () => 'test',
      reason: () => 'a test asks for it',
      isMigrated: false,
      ...given,
      moves,
      count: transfers.length,
      lots: transfers.map(([, id]) => this.lots.get(id) as LotAccount),
      amounts: transfers.map(([, , amount]) => BigInt(amount)),
    });
  }

  private lot(id: string | undefined, poolId: string, kind: string, granted: number, advance = 'f'): void {
    const owner = kind === 'individual' ? 'user' : 'contract';
    const fields = ['l', id ?? '', poolId, owner, kind, 'purchase', NULL, String(granted)];
    this.lots.set(id ?? '', LotAccount.of([...fields, ...Array(10).fill(NULL), advance], this.pools));
  }
}

const drawn = (...amounts: readonly (readonly [string | undefined, number])[]) =>
  amounts.map(([id, amount]) => ['ar', id ?? '', amount] as const);
const reserved: Given = { transfers: drawn([OWN, 10], [SHARED, 3]) };
const settled: Given = {
  kind: 'settle',
  act: 'close',
  transfers: [
    ['rc', OWN ?? '', 10],
    ['rc', SHARED ?? '', 1],
    ['ra', SHARED ?? '', 2],
  ],
};
const CAPTURED = [
  ['rc', OWN ?? '', 10],
  ['rc', SHARED ?? '', 1],
] as const;
const graced = (graceUntil: Instant): Given => ({
  kind: 'changeLife',
  act: 'changeLife/1',
  subject: SHARED ?? '',
  effectiveAt: atHour(0),
  expiresAt: atHour(100),
  graceUntil,
});
const closed = (transfers: Given['transfers'], more: Partial<Given> = {}): Given => ({
  kind: 'settle',
  act: 'close',
  transfers: transfers ?? [],
  ...more,
});

test('what the rules allow is booked', () => {
  const world = new World();
  for (const one of [
    reserved,
    { kind: 'topUp', act: 'topUp/1', transfers: drawn([SHARED, 2]) },
    { kind: 'raiseCap', act: 'raiseCap/1', cap: 21n },
    {
      kind: 'settle',
      act: 'close',
      transfers: [
        ['rc', OWN ?? '', 10],
        ['rc', SHARED ?? '', 4],
        ['re', SHARED ?? '', 1],
      ],
      bookedAt: atHour(100),
    },
    {
      kind: 'refund',
      subject: REFUND,
      refersTo: JOB,
      transfers: [
        ['ce', SHARED ?? '', 4],
        ['ca', OWN ?? '', 2],
      ],
      bookedAt: atHour(101),
    },
    { kind: 'expire', subject: SHARED ?? '', transfers: [['ae', SHARED ?? '', 5]], bookedAt: atHour(102) },
  ] as Given[]) {
    world.book(one);
  }
  world.ledger.finishBatch();
  expect(world.closed).toMatchObject([{ id: JOB, closing: { state: 'settled', refunded: 6n } }]);
});

test.each<[string, readonly Given[], RegExp]>([
  ['a job reserved twice', [reserved, reserved], /reserved before/],
  ['a reservation under another act', [{ ...reserved, act: 'reserve/2' }], /act/],
  ['a draw on another contract’s lot', [{ transfers: drawn([FOREIGN, 1]) }], /R2/],
  ['a draw on another user’s lot', [{ userId: OTHER_USER, transfers: drawn([OWN, 1]) }], /R2/],
  [
    'a draw on an individual lot for a contract that is no user',
    [{ contractId: null, transfers: drawn([SHARED, 1]) }],
    /R2/,
  ],
  [
    'a draw before a lot is effective',
    [{ bookedAt: '2025-01-01T00:00:00.000000Z' as Instant, transfers: drawn([SHARED, 1]) }],
    /R7/,
  ],
  ['a draw at the instant of a lot’s end', [{ bookedAt: atHour(100), transfers: drawn([SHARED, 1]) }], /R7/],
  ['a draw on a lot that was not granted', [{ transfers: drawn([NEW, 1]) }], /R7/],
  ['shared credits before individual ones', [{ transfers: drawn([SHARED, 10], [OWN, 1]) }], /R6/],
  ['a later end before an earlier one', [{ transfers: drawn([LATER, 10], [SHARED, 1]) }], /R6/],
  ['the next lot before the first is used up', [{ transfers: drawn([OWN, 9], [SHARED, 1]) }], /used up/],
  ['one lot drawn on twice at once', [{ transfers: drawn([SHARED, 5], [SHARED, 5]) }], /R6/],
  ['more than a lot has', [{ transfers: drawn([SHARED, 11]) }], /available/],
  ['nothing drawn', [{ transfers: drawn([SHARED, 0]) }], /positive/],
  ['more than the not-to-exceed amount', [{ cap: 12n, ...reserved }], /R11/],
  ['a reservation that captures', [{ transfers: [...drawn([OWN, 1]), ['rc', OWN ?? '', 1]] }], /more than draw/],
  ['a reservation without a not-to-exceed amount', [{ ...reserved, cap: null }], /its kind/],
  [
    'a budget that is used up',
    [reserved, settled, { subject: idOf('job', 2), transfers: drawn([SHARED, 9], [LATER, 6]) }],
    /R17/,
  ],
  [
    'a top-up of nothing that was reserved',
    [{ kind: 'topUp', act: 'topUp/1', transfers: drawn([OWN, 1]) }],
    /no open reservation/,
  ],
  [
    'a top-up by another user',
    [reserved, { kind: 'topUp', act: 'topUp/1', userId: OTHER_USER, transfers: drawn([SHARED, 1]) }],
    /another user/,
  ],
  [
    'a not-to-exceed amount that is not raised',
    [reserved, { kind: 'raiseCap', act: 'raiseCap/1', cap: 20n }],
    /does not raise/,
  ],
  ['a settlement of more than is held', [reserved, closed([['rc', OWN ?? '', 11]])], /holds not that much/],
  ['a settlement that leaves something reserved', [reserved, closed([['rc', OWN ?? '', 10]])], /reserved/],
  [
    'a capture out of order',
    [
      reserved,
      closed([
        ['rc', SHARED ?? '', 3],
        ['rc', OWN ?? '', 10],
      ]),
    ],
    /R6/,
  ],
  [
    'a capture that skips what is left',
    [
      reserved,
      closed([
        ['rc', OWN ?? '', 9],
        ['rc', SHARED ?? '', 3],
        ['ra', OWN ?? '', 1],
      ]),
    ],
    /used up/,
  ],
  [
    'a capture above the not-to-exceed amount',
    [
      { ...reserved, cap: 13n },
      closed([
        ['ar', SHARED ?? '', 1],
        ['rc', OWN ?? '', 10],
        ['rc', SHARED ?? '', 4],
      ]),
    ],
    /R11/,
  ],
  ['something absorbed and given back', [reserved, { ...settled, absorbed: 1n }], /absorbs something/],
  [
    'something drawn and given back',
    [
      reserved,
      closed([
        ['ar', SHARED ?? '', 1],
        ['rc', OWN ?? '', 10],
        ['ra', SHARED ?? '', 4],
      ]),
    ],
    /draws something/,
  ],
  ['less than nothing absorbed', [reserved, { ...settled, absorbed: -1n }], /less than nothing/],
  ['credits of a dead lot that come back', [reserved, { ...settled, bookedAt: atHour(100) }], /R8/],
  [
    'credits of a living lot that expire',
    [
      reserved,
      closed([
        ['rc', OWN ?? '', 10],
        ['re', SHARED ?? '', 3],
      ]),
    ],
    /R8/,
  ],
  ['a second closing', [reserved, settled, settled], /no open reservation/],
  ['a release after the settlement', [reserved, settled, { kind: 'release', act: 'close' }], /closed before/],
  ['a reservation after its release', [{ kind: 'release', act: 'close' }, reserved], /released before/],
  [
    'a refund of what is not settled',
    [reserved, { kind: 'refund', subject: REFUND, refersTo: JOB, transfers: [['ca', OWN ?? '', 1]] }],
    /not settled/,
  ],
  [
    'a refund of more than was captured',
    [
      reserved,
      settled,
      {
        kind: 'refund',
        subject: REFUND,
        refersTo: JOB,
        transfers: [
          ['ca', SHARED ?? '', 1],
          ['ca', OWN ?? '', 11],
        ],
      },
    ],
    /remains/,
  ],
  [
    'a refund that begins with the first draw',
    [reserved, settled, { kind: 'refund', subject: REFUND, refersTo: JOB, transfers: [['ca', OWN ?? '', 1]] }],
    /backwards/,
  ],
  [
    'a refund to another user',
    [
      reserved,
      settled,
      { kind: 'refund', subject: REFUND, refersTo: JOB, userId: OTHER_USER, transfers: [['ca', SHARED ?? '', 1]] },
    ],
    /another user/,
  ],
  ['a refund of nothing', [reserved, settled, { kind: 'refund', subject: REFUND, refersTo: JOB }], /refunds nothing/],
  [
    'a correction that unwinds what was not absorbed',
    [reserved, settled, { kind: 'correct', subject: REFUND, refersTo: JOB, absorbed: -1n }],
    /unwound/,
  ],
  [
    'a correction that corrects nothing',
    [reserved, settled, { kind: 'correct', subject: REFUND, refersTo: JOB }],
    /corrects nothing/,
  ],
  [
    'a lot granted twice',
    [{ kind: 'grant', act: 'grant', subject: OWN ?? '', effectiveAt: atHour(0), transfers: [['ga', OWN ?? '', 10]] }],
    /granted before/,
  ],
  [
    'a lot granted in part',
    [
      {
        kind: 'grant',
        act: 'grant',
        subject: NEW ?? '',
        effectiveAt: atHour(0),
        expiresAt: NEVER,
        transfers: [['ga', NEW ?? '', 9]],
      },
    ],
    /in full/,
  ],
  [
    'an individual lot that expires',
    [{ kind: 'changeLife', act: 'changeLife/1', subject: OWN ?? '', effectiveAt: atHour(0), expiresAt: NEVER }],
    /R3, R4/,
  ],
  [
    'a shared lot without an end',
    [{ kind: 'changeLife', act: 'changeLife/1', subject: SHARED ?? '', effectiveAt: atHour(0) }],
    /R3, R4/,
  ],
  [
    'a shared lot that is withdrawn',
    [
      {
        kind: 'changeLife',
        act: 'changeLife/1',
        subject: SHARED ?? '',
        effectiveAt: atHour(0),
        expiresAt: NEVER,
        withdrawnAt: NEVER,
      },
    ],
    /R4/,
  ],
  [
    'an empty life',
    [{ kind: 'changeLife', act: 'changeLife/1', subject: SHARED ?? '', effectiveAt: atHour(5), expiresAt: atHour(5) }],
    /R7/,
  ],
  [
    'an individual lot with a grace',
    [
      {
        kind: 'changeLife',
        act: 'changeLife/1',
        subject: OWN ?? '',
        effectiveAt: atHour(0),
        graceUntil: NEVER,
      },
    ],
    /no grace \(R3\)/,
  ],
  ['a grace that is over with the expiry', [graced(atHour(100))], /grace is empty/],
  ['a grace of what is no life', [{ ...reserved, graceUntil: NEVER }], /its kind/],
  [
    'a return in the grace that goes to the end',
    [graced(atHour(120)), reserved, closed([...CAPTURED, ['re', SHARED ?? '', 2]], { bookedAt: atHour(119) })],
    /R8/,
  ],
  [
    'a return after the grace that stays available',
    [graced(atHour(120)), reserved, closed([...CAPTURED, ['ra', SHARED ?? '', 2]], { bookedAt: atHour(120) })],
    /R8/,
  ],
  ['a draw in the grace', [graced(atHour(120)), { bookedAt: atHour(110), transfers: drawn([SHARED, 1]) }], /R7/],
  [
    'an end that has not come',
    [{ kind: 'expire', subject: SHARED ?? '', transfers: [['ae', SHARED ?? '', 10]] }],
    /before it came/,
  ],
  [
    'an end that leaves something available',
    [{ kind: 'expire', subject: SHARED ?? '', bookedAt: atHour(100), transfers: [['ae', SHARED ?? '', 9]] }],
    /all that is available/,
  ],
  [
    'a second end',
    [
      { kind: 'expire', subject: SHARED ?? '', bookedAt: atHour(100), transfers: [['ae', SHARED ?? '', 10]] },
      { kind: 'expire', subject: SHARED ?? '', bookedAt: atHour(101) },
    ],
    /booked before/,
  ],
  [
    'a life after the end',
    [
      { kind: 'expire', subject: SHARED ?? '', bookedAt: atHour(100), transfers: [['ae', SHARED ?? '', 10]] },
      { kind: 'changeLife', act: 'changeLife/1', subject: SHARED ?? '', effectiveAt: atHour(0), expiresAt: NEVER },
    ],
    /booked before/,
  ],
  [
    'a withdrawal without a notice',
    [{ kind: 'withdraw', subject: OWN ?? '', transfers: [['aw', OWN ?? '', 10]] }],
    /before it came/,
  ],
  [
    'a shared lot withdrawn',
    [{ kind: 'withdraw', subject: SHARED ?? '', transfers: [['aw', SHARED ?? '', 10]] }],
    /R3, R4/,
  ],
  [
    'a repayment that was not due',
    [
      {
        kind: 'repay',
        subject: SHARED ?? '',
        act: `repay/${ADVANCE}`,
        refersTo: ADVANCE ?? '',
        transfers: [
          ['ac', SHARED ?? '', 1],
          ['cw', ADVANCE ?? '', 1],
        ],
      },
    ],
    /R9/,
  ],
  [
    'a repayment of what is no advance',
    [
      {
        kind: 'repay',
        subject: SHARED ?? '',
        act: `repay/${COURTESY}`,
        refersTo: COURTESY ?? '',
        transfers: [
          ['ac', SHARED ?? '', 1],
          ['cw', COURTESY ?? '', 1],
        ],
      },
    ],
    /R9/,
  ],
  [
    'an undone repayment that never was',
    [
      {
        kind: 'repay',
        subject: REFUND,
        act: 'unrepay/1',
        refersTo: ADVANCE ?? '',
        transfers: [
          ['ca', SHARED ?? '', 1],
          ['wc', ADVANCE ?? '', 1],
        ],
      },
    ],
    /R15/,
  ],
  ['a budget opened twice', [{ kind: 'openBudget', act: 'set', subject: BUDGET }], /opened before/],
  [
    'a budget closed for another contract',
    [{ kind: 'closeBudget', act: 'close', subject: BUDGET, contractId: OTHER_CONTRACT }],
    /another contract/,
  ],
  ['a kind that there is not', [{ kind: 'give', act: 'give' }], /no such kind/],
])('%s is found', (_, operations, what) => {
  const world = new World();
  const last = operations.at(-1) as Given;
  for (const operation of operations.slice(0, -1)) world.book(operation);
  expect(() => world.book(last)).toThrow(Wrong);
  const again = new World();
  for (const operation of operations.slice(0, -1)) again.book(operation);
  expect(() => again.book(last)).toThrow(what);
});

test('a shared lot must repay the advance that was used, at once and all of it', () => {
  const used = () => {
    const world = new World();
    world.book({ subject: idOf('job', 3), transfers: drawn([OWN, 10], [SHARED, 6]) });
    world.book({ kind: 'expire', subject: SHARED ?? '', bookedAt: atHour(100), transfers: [['ae', SHARED ?? '', 4]] });
    world.book({ kind: 'expire', subject: LATER ?? '', bookedAt: atHour(200), transfers: [['ae', LATER ?? '', 10]] });
    world.book({ bookedAt: atHour(201), userId: OTHER_USER, transfers: drawn([COURTESY, 10], [ADVANCE, 4]) });
    world.book(
      closed(
        [
          ['rc', COURTESY ?? '', 10],
          ['rc', ADVANCE ?? '', 4],
        ],
        { bookedAt: atHour(202) },
      ),
    );
    world.grant(NEW ?? '');
    return world;
  };
  const repayment = (amount: number): Given => ({
    kind: 'repay',
    subject: NEW ?? '',
    act: `repay/${ADVANCE}`,
    refersTo: ADVANCE ?? '',
    transfers: [
      ['ac', NEW ?? '', amount],
      ['cw', ADVANCE ?? '', amount],
    ],
  });
  expect(() => used().ledger.finishBatch()).toThrow(/repaid nothing/);
  expect(() => used().book({ kind: 'release', act: 'close', subject: idOf('job', 9) })).toThrow(/repaid nothing/);
  expect(() => used().book(repayment(3))).toThrow(/another amount/);
  const world = used();
  world.book(repayment(4));
  world.ledger.finishBatch();

  // A refund that needs the advance again undoes as much of the repayment as it lacks, and no more.
  const undone = (amount: number): Given => ({
    kind: 'repay',
    subject: REFUND,
    act: 'unrepay/1',
    refersTo: ADVANCE ?? '',
    transfers: [
      ['ca', NEW ?? '', amount],
      ['wc', ADVANCE ?? '', amount],
    ],
  });
  const refund: Given = {
    kind: 'refund',
    subject: REFUND,
    refersTo: JOB,
    userId: OTHER_USER,
    transfers: [['ca', ADVANCE ?? '', 2]],
  };
  expect(() => world.book(refund)).toThrow(/consumed/);
  const tooMuch = used();
  tooMuch.book(repayment(4));
  tooMuch.book(undone(3));
  expect(() => tooMuch.book(refund)).toThrow(/more repayments/);
  const right = used();
  right.book(repayment(4));
  right.book(undone(2));
  right.book(refund);
  right.ledger.finishBatch();
});
