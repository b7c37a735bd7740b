/** Random histories: what people and clocks do to a ledger, and one run of them beside the model of single credits. */
import * as fc from 'fast-check';
import type { Authorisation, ContractTerm } from '../../domain/batch';
import { type Credits, credits, parseCredits } from '../../domain/credits';
import type { Lot } from '../../domain/lots';
import type { Operation, Outcome } from '../../domain/operations';
import { atHour, idOf } from './ids';
import { UnitCredits, type UnitLot, type UnitOutcome } from './unitCredits';

const USERS = 3;
const CONTRACTS = 2;
/** Which job: a newer or older one of those that are open, or now and then any, also one that does not exist yet. */
interface Chosen {
  readonly job: number;
  readonly wild: number | null;
  /** Somebody else than who reserved it asks. */
  readonly stranger: number | null;
}

/** Contracts end at different hours, within what the clocks of a history reach. */
const CONTRACT_ENDS = [60, 90];

interface Passing {
  /** Hours until the next step; clocks of several machines may stand still or go back. */
  readonly hours: number;
}

export type Step = Passing &
  (
    | { do: 'grant'; owner: number; kind: UnitLot['kind']; amount: number; from: number; life: number }
    | { do: 'reserve'; again: number | null; user: number; contract: number | null; amount: number; room: number }
    | ({ do: 'topUp'; target: number } & Chosen)
    | ({ do: 'raiseCap'; cap: number } & Chosen)
    | ({ do: 'settle'; actual: number } & Chosen)
    | ({ do: 'release' } & Chosen)
    | { do: 'withdraw'; lot: number; after: number }
    | { do: 'bookEnd'; lot: number }
  );

type JobStep = Exclude<Step, { do: 'grant' | 'withdraw' | 'bookEnd' }>;

export interface History {
  readonly authorised: readonly { contract: number; user: number; from: number; to: number | null }[];
  readonly steps: readonly Step[];
  /** How many operations are planned together, in turn. */
  readonly batches: readonly number[];
}

const small = (max: number) => fc.integer({ min: 0, max });
const mostly = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 8 });
const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });

const passing = {
  hours: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -5, max: -1 }) },
    { weight: 4, arbitrary: small(6) },
  ),
};
const chosen = { job: small(3), wild: rarely(small(20)), stranger: rarely(small(USERS - 1)) };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant('grant' as const),
      owner: small(USERS - 1),
      kind: fc.constantFrom('individual' as const, 'shared' as const, 'shared' as const, 'courtesy' as const),
      amount: fc.oneof(
        { weight: 1, arbitrary: fc.constant(0) },
        { weight: 20, arbitrary: fc.integer({ min: 1, max: 20 }) },
      ),
      from: fc.integer({ min: -10, max: 4 }),
      life: small(60),
      ...passing,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('reserve' as const),
      again: rarely(small(20)),
      user: small(USERS - 1),
      contract: mostly(small(CONTRACTS - 1)),
      amount: small(9),
      room: fc.integer({ min: -1, max: 12 }),
      ...passing,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('topUp' as const), ...chosen, target: small(20), ...passing }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('raiseCap' as const), ...chosen, cap: small(30), ...passing }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('settle' as const), ...chosen, actual: small(25), ...passing }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), ...chosen, ...passing }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('withdraw' as const), lot: small(9), after: small(5), ...passing }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('bookEnd' as const), lot: small(9), ...passing }) },
);

/** Histories of so many steps. */
export function histories(steps: { min: number; max: number }): fc.Arbitrary<History> {
  return fc.record({
    authorised: fc.array(
      fc.record({
        contract: small(CONTRACTS - 1),
        user: small(USERS - 1),
        from: fc.constantFrom(0, 0, 0, 0, 20),
        to: fc.option(fc.integer({ min: 30, max: 80 }), { freq: 1 }),
      }),
      { minLength: 4, maxLength: 12 },
    ),
    steps: fc.array(step, { minLength: steps.min, maxLength: steps.max }),
    batches: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
  });
}

/** What a history starts with. */
export interface World {
  readonly contracts: readonly ContractTerm[];
  readonly authorisations: readonly Authorisation[];
  readonly users: readonly string[];
}

/** A ledger under test. */
export interface LedgerUnderTest {
  open(world: World): Promise<void> | void;
  /** Applies operations together, in order. */
  apply(operations: readonly Operation[]): Promise<readonly Outcome[]> | readonly Outcome[];
  /** A notice takes effect at an instant. */
  withdrawFrom(lotId: string, hour: number): Promise<void> | void;
  /** The end of a lot is booked; a ledger that cannot do this yet leaves it out. */
  bookEnd?(lotId: string, end: 'expired' | 'withdrawn'): Promise<void> | void;
  lots(): Promise<readonly Lot[]> | readonly Lot[];
  /** Slices by lot of the reservation of each job, and its state. */
  reservations(): Promise<readonly ReservationSeen[]> | readonly ReservationSeen[];
}

export interface ReservationSeen {
  readonly jobId: string;
  readonly state: string;
  readonly cap: bigint;
  readonly draws: readonly { readonly lotId: string; readonly amount: bigint }[];
}

export interface Tally {
  operations: number;
  readonly outcomes: Map<string, number>;
}

export function newTally(): Tally {
  return { operations: 0, outcomes: new Map() };
}

/**
 * Runs a history on a ledger and on the model and compares after every batch: each outcome, each bucket of each lot, each
 * reservation. One microcredit of the ledger is one credit of the model.
 *
 * @throws Error that names the first difference.
 */
export async function runBesideModel(
  history: History,
  ledger: LedgerUnderTest,
  { tally, world: number = 0 }: { tally: Tally; world?: number },
): Promise<UnitCredits> {
  const play = new Play(history, number);
  await ledger.open(play.world);
  let batch: { operation: Operation; expected: UnitOutcome }[] = [];
  let turn = 0;
  const flush = async () => {
    if (batch.length === 0) return;
    const outcomes = await ledger.apply(batch.map(({ operation }) => operation));
    batch.forEach(({ operation, expected }, index) => {
      compareOutcome(operation, expected, outcomes[index]);
      tally.operations += 1;
      const what = `${operation.kind} ${expected.accepted ? 'accepted' : expected.code}`;
      tally.outcomes.set(what, (tally.outcomes.get(what) ?? 0) + 1);
    });
    batch = [];
    turn += 1;
    compareLots(play.model, await ledger.lots());
    compareReservations(play.model, await ledger.reservations());
  };
  for (const next of history.steps) {
    play.pass(next.hours);
    if (next.do === 'withdraw' || next.do === 'bookEnd') {
      await flush();
      await play.endLot(next, ledger);
      continue;
    }
    batch.push(play.ask(next));
    if (batch.length >= (history.batches[turn % history.batches.length] ?? 1)) await flush();
  }
  await flush();
  return play.model;
}

/** Turns steps into operations, and lets the model decide each. */
class Play {
  readonly world: World;
  readonly model: UnitCredits;
  private hour = 0;
  private asked = 0;
  private granted = 0;
  private reserved = 0;

  constructor(
    history: History,
    private readonly number: number,
  ) {
    const terms = CONTRACT_ENDS.map((to, n) => ({ contractId: this.contract(n), from: 0, to }));
    const authorised = oncePerStart(history.authorised).map(({ contract, user, from, to }) => ({
      contractId: this.contract(contract),
      userId: this.user(user),
      from,
      to,
    }));
    this.model = new UnitCredits({ terms: new Map(terms.map((term) => [term.contractId, term])), authorised });
    this.world = {
      users: Array.from({ length: USERS }, (_, n) => this.user(n)),
      contracts: terms.map(({ contractId, from, to }) => ({
        contractId,
        startsAt: atHour(from),
        endsAt: atHour(to),
      })),
      authorisations: authorised.map(({ contractId, userId, from, to }) => ({
        contractId,
        userId,
        authorisedAt: atHour(from),
        removedAt: to === null ? null : atHour(to),
      })),
    };
  }

  pass(hours: number): void {
    this.hour += hours;
  }

  ask(next: Exclude<Step, { do: 'withdraw' | 'bookEnd' }>): { operation: Operation; expected: UnitOutcome } {
    this.asked += 1;
    const at = this.hour;
    const base = {
      id: idOf('operation', this.asked, this.number),
      key: `${this.number}/${this.asked}`,
      at: atHour(at),
      actor: 'history',
      reason: 'a history asks for it',
    };
    if (next.do === 'grant') {
      const lot = this.newLot(next, at);
      const expected = this.model.grant(lot, next.amount);
      const { id, kind, ownerId: poolId } = lot;
      const life = {
        effectiveAt: atHour(lot.effectiveAt),
        expiresAt: lot.expiresAt === null ? null : atHour(lot.expiresAt),
      };
      const granting = { id, kind, poolId, source: 'purchase' as const, purchasedAt: null, reference: null };
      return {
        operation: { ...base, kind: 'grant', lot: { ...granting, ...life, amount: micro(next.amount) } },
        expected,
      };
    }
    const jobId = idOf('job', this.jobNumber(next), this.number);
    const spender = this.spenderOf(jobId, next);
    const spending = { jobId, ...spender, at };
    const asked = { ...base, jobId, ...spender };
    switch (next.do) {
      case 'reserve': {
        const cap = Math.max(0, next.amount + next.room);
        return {
          operation: { ...asked, kind: 'reserve', amount: micro(next.amount), cap: micro(cap) },
          expected: this.model.reserve(spending, next.amount, cap),
        };
      }
      case 'topUp':
        return {
          operation: { ...asked, kind: 'topUp', target: micro(next.target) },
          expected: this.model.topUp(spending, next.target),
        };
      case 'raiseCap':
        return {
          operation: { ...asked, kind: 'raiseCap', cap: micro(next.cap) },
          expected: this.model.raiseCap(spending, next.cap),
        };
      case 'settle':
        return {
          operation: { ...asked, kind: 'settle', actual: micro(next.actual) },
          expected: this.model.settle(spending, next.actual),
        };
      case 'release':
        return { operation: { ...asked, kind: 'release' }, expected: this.model.release(spending) };
    }
  }

  /** Withdraws an individual lot, or books the end of a lot that is over. Other lots are left alone. */
  async endLot(next: Extract<Step, { do: 'withdraw' | 'bookEnd' }>, ledger: LedgerUnderTest): Promise<void> {
    const lots = [...this.model.lots.values()];
    const lot = lots[next.lot % Math.max(1, lots.length)];
    if (!lot) return;
    if (next.do === 'withdraw') {
      if (lot.kind !== 'individual' || lot.withdrawnAt !== null) return;
      this.model.withdrawFrom(lot.id, this.hour + next.after);
      await ledger.withdrawFrom(lot.id, this.hour + next.after);
      return;
    }
    const end = lot.kind === 'individual' ? ('withdrawn' as const) : ('expired' as const);
    const endsAt = end === 'withdrawn' ? lot.withdrawnAt : lot.expiresAt;
    if (!ledger.bookEnd || lot.endedAs !== null || endsAt === null || endsAt > this.hour) return;
    this.model.bookEnd(lot.id, end);
    await ledger.bookEnd(lot.id, end);
  }

  private newLot({ kind, owner, from, life }: Extract<Step, { do: 'grant' }>, at: number): UnitLot {
    this.granted += 1;
    const effectiveAt = at + from;
    return {
      id: idOf('lot', this.granted, this.number),
      kind,
      ownerId: kind === 'individual' ? this.user(owner) : this.contract(owner % CONTRACTS),
      effectiveAt,
      expiresAt: kind === 'individual' ? null : effectiveAt + life,
      withdrawnAt: null,
      endedAs: null,
    };
  }

  private jobNumber(next: JobStep): number {
    if (next.do === 'reserve') {
      if (next.again !== null) return next.again % (this.reserved + 1);
      this.reserved += 1;
      return this.reserved;
    }
    const open = [...this.model.jobs].filter(([, { state }]) => state === 'open').map(([id]) => id);
    const jobId = open[open.length - 1 - (next.job % Math.max(1, open.length))];
    if (jobId === undefined || next.wild !== null) return (next.wild ?? next.job) % (this.reserved + 3);
    return Number.parseInt(jobId.slice(-12), 16);
  }

  /** Jobs are operated by who reserved them; now and then somebody else tries. */
  private spenderOf(jobId: string, next: JobStep) {
    if (next.do === 'reserve') {
      return { userId: this.user(next.user), contractId: next.contract === null ? null : this.contract(next.contract) };
    }
    const known = this.model.jobs.get(jobId) ?? { userId: this.user(next.job), contractId: this.contract(next.job) };
    return { userId: next.stranger === null ? known.userId : this.user(next.stranger), contractId: known.contractId };
  }

  private user(n: number): string {
    return idOf('user', (n % USERS) + 1, this.number);
  }

  private contract(n: number): string {
    return idOf('contract', (n % CONTRACTS) + 1, this.number);
  }
}

function micro(amount: number): Credits {
  return credits(BigInt(amount));
}

/** The same person is authorised on the same contract at most once from the same instant. */
function oncePerStart(authorised: History['authorised']): History['authorised'] {
  return [...new Map(authorised.map((one) => [`${one.contract} ${one.user} ${one.from}`, one])).values()];
}

function compareOutcome(operation: Operation, expected: UnitOutcome, outcome: Outcome | undefined): void {
  const seen = !outcome
    ? 'nothing'
    : outcome.accepted
      ? `accepted, ${outcome.absorbed} absorbed`
      : refusalText(outcome.code, outcome.details.shortfall);
  const wanted = expected.accepted
    ? `accepted, ${expected.absorbed} absorbed`
    : refusalText(expected.code, expected.shortfall === undefined ? undefined : micro(expected.shortfall));
  if (seen !== wanted)
    throw new Error(`${operation.kind} ${operation.key}: the ledger says ${seen}, the rules ${wanted}`);
}

function refusalText(code: string, shortfall: string | bigint | undefined): string {
  if (shortfall === undefined) return code;
  return `${code}, ${typeof shortfall === 'string' ? parseCredits(shortfall) : shortfall} short`;
}

const STATES = ['available', 'reserved', 'consumed', 'expired', 'withdrawn'] as const;

function compareLots(model: UnitCredits, lots: readonly Lot[]): void {
  const byId = new Map(lots.map((lot) => [lot.id, lot]));
  if (byId.size !== model.lots.size) throw new Error(`the ledger has ${byId.size} lots, the rules ${model.lots.size}`);
  for (const id of model.lots.keys()) {
    const lot = byId.get(id);
    const seen = STATES.map((state) => `${lot?.[state]} ${state}`).join(', ');
    const wanted = STATES.map((state) => `${model.count(id, state)} ${state}`).join(', ');
    if (seen !== wanted) throw new Error(`lot ${id}: the ledger says ${seen}, the rules ${wanted}`);
  }
}

function compareReservations(model: UnitCredits, reservations: readonly ReservationSeen[]): void {
  const text = (state: string, cap: number | bigint, slices: Readonly<Record<string, number | bigint>>) =>
    `${state} up to ${cap}: ${Object.keys(slices)
      .sort()
      .map((id) => `${slices[id]} of ${id}`)
      .join(', ')}`;
  const seen = new Map(
    reservations.map(({ jobId, state, cap, draws }) => {
      if (new Set(draws.map(({ lotId }) => lotId)).size < draws.length)
        throw new Error(`${jobId}: two slices of a lot`);
      return [jobId, text(state, cap, Object.fromEntries(draws.map(({ lotId, amount }) => [lotId, amount])))];
    }),
  );
  if (seen.size !== model.jobs.size) throw new Error(`the ledger has ${seen.size} jobs, the rules ${model.jobs.size}`);
  for (const [jobId, job] of model.jobs) {
    const wanted = text(job.state, job.cap, model.slicesOf(jobId));
    if (seen.get(jobId) !== wanted)
      throw new Error(`job ${jobId}: the ledger says ${seen.get(jobId)}, the rules ${wanted}`);
  }
}
