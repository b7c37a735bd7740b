/** A job's billing, folded: reserved once, topped up, closed once, and then nothing is held any more (R2, R6, R8, R11, R17). */
import type { Instant } from '../../domain/instant';
import type { Closing, JobAccount, LotAccount, PoolAccount, Slice } from './accounts';
import type { Budgets } from './budgets';
import { Wrong } from './findings';
import { type JournalRow, mustHaveAct, mustHaveMovedNothing } from './journalRow';
import { drawdownOrder, giveBack, isAlive, lifeOf, mustBePositive } from './rules';

const NONE: never[] = [];

export class Jobs {
  /** Jobs whose reservation is open. */
  readonly open = new Map<string, JobAccount>();
  /** Settled jobs that are refunded later; every other closed job is forgotten. */
  readonly refundable = new Map<string, JobAccount>();
  /** Jobs that were released before they were reserved, which cannot be reserved any more. */
  private readonly marked = new Set<string>();

  constructor(
    private readonly poolOf: (id: string) => PoolAccount,
    private readonly budgets: Budgets,
    /** Jobs that refunds or corrections point at. */
    private readonly refundedLater: ReadonlyMap<string, unknown>,
    private readonly onClosed: (job: JobAccount) => void,
  ) {}

  reserve(row: JournalRow): PoolAccount {
    const { subject, userId } = row;
    mustHaveAct(row, 'reserve');
    if (this.marked.has(subject)) throw new Wrong('the job was released before');
    if (this.open.has(subject) || this.refundable.has(subject)) throw new Wrong('the job was reserved before');
    if (userId === null) throw new Wrong('nobody reserves');
    const job = this.newJob(row, { userId, isReserved: true });
    this.open.set(subject, job);
    mustOnlyDraw(row);
    draw(job, row, row.count);
    return job.home;
  }

  topUp(row: JournalRow): PoolAccount {
    const job = this.openJob(row);
    mustOnlyDraw(row);
    draw(job, row, row.count);
    return job.home;
  }

  raiseCap(row: JournalRow): PoolAccount {
    const job = this.openJob(row);
    mustHaveMovedNothing(row);
    if (row.cap === null || (row.isMigrated ? row.cap < job.cap : row.cap <= job.cap)) {
      throw new Wrong('it does not raise the not-to-exceed amount', `more than ${job.cap}`, String(row.cap));
    }
    job.cap = row.cap;
    return job.home;
  }

  /** Draws what is missing, captures in the order of R6, gives the rest back. */
  settle(row: JournalRow): PoolAccount {
    const job = this.openJob(row);
    mustHaveAct(row, 'close');
    const drawn = runOf('ar', row, 0);
    draw(job, row, drawn);
    const held = holdingsOf(job);
    const captured = capture(job, held, row, drawn);
    const rest = drawn + captured.length;
    const absorbed = row.absorbed ?? 0n;
    if (row.absorbed !== null && absorbed <= 0n) {
      throw new Wrong('it absorbs less than nothing', 'more than 0', `${absorbed}`);
    }
    if (rest < row.count) {
      if (absorbed > 0n) throw new Wrong('it absorbs something and gives something back');
      // Whoever draws more than was reserved needs all that was reserved.
      if (drawn > 0) throw new Wrong('it draws something and gives something back');
    }
    const returned = giveBackRest(job, held, row, rest);
    this.close(job, row, { state: 'settled', captured, returned, absorbed });
    return job.home;
  }

  release(row: JournalRow): PoolAccount {
    mustHaveAct(row, 'close');
    const { subject, userId } = row;
    if (userId === null) throw new Wrong('nobody releases');
    const job = this.open.get(subject);
    if (job) {
      mustBeOf(job, row);
      const returned = giveBackRest(job, holdingsOf(job), row, 0);
      this.close(job, row, { state: 'released', captured: NONE, returned, absorbed: 0n });
      return job.home;
    }
    if (this.marked.has(subject) || this.refundable.has(subject)) throw new Wrong('the job was closed before');
    mustHaveMovedNothing(row);
    this.marked.add(subject);
    const mark = this.newJob(row, { userId, isReserved: false });
    this.close(mark, row, { state: 'released', captured: NONE, returned: NONE, absorbed: 0n });
    return mark.home;
  }

  private newJob(row: JournalRow, { userId, isReserved }: { userId: string; isReserved: boolean }): JobAccount {
    const { subject, contractId, project, isMigrated } = row;
    const cap = row.cap ?? 0n;
    return {
      id: subject,
      userId,
      contractId,
      project,
      home: this.poolOf(contractId ?? userId),
      isReserved,
      isMigrated,
      cap,
      firstCap: cap,
      drawn: NONE,
      budgets: isReserved ? this.budgets.countersOf(row) : NONE,
      closing: null,
    };
  }

  private openJob(row: JournalRow): JobAccount {
    const job = this.open.get(row.subject);
    if (!job) throw new Wrong('the job has no open reservation');
    const draws = row.moves.startsWith('ar');
    if (draws !== (row.userId !== null)) throw new Wrong('who draws is said where something is drawn, and only there');
    if (draws) mustBeOf(job, row);
    return job;
  }

  private close(
    job: JobAccount,
    { bookedAt, reason }: JournalRow,
    closing: Pick<Closing, 'state' | 'captured' | 'returned' | 'absorbed'>,
  ): void {
    const { state, captured, returned, absorbed } = closing;
    job.closing = {
      state,
      at: bookedAt,
      reason: reason(),
      captured,
      returned,
      absorbed,
      unwound: 0n,
      refunded: 0n,
      chargeId: null,
    };
    this.open.delete(job.id);
    if (this.refundedLater.has(job.id)) this.refundable.set(job.id, job);
    this.onClosed(job);
  }
}

/** R2: whoever names a spender names the job's. @throws Wrong */
export function mustBeOf(job: JobAccount, { userId, contractId }: JournalRow): void {
  if (userId !== job.userId) throw new Wrong('the job is another user’s', job.userId, String(userId));
  if (contractId !== job.contractId) {
    throw new Wrong('the job is on another contract', String(job.contractId), String(contractId));
  }
}

/** The index behind the transfers that are of one kind, from an index on. */
function runOf(move: string, { moves }: JournalRow, from: number): number {
  let next = from;
  while (moves.startsWith(move, 2 * next)) next += 1;
  return next;
}

function mustOnlyDraw(row: JournalRow): void {
  if (runOf('ar', row, 0) !== row.count) throw new Wrong('it does more than draw', 'ar', row.moves);
}

/** The first transfers of an operation: from lots of the job's spender (R2), alive (R7), in the order of R6, within the cap. */
function draw(job: JobAccount, row: JournalRow, count: number): void {
  if (count === 0) return;
  const { kind, lots, amounts, bookedAt } = row;
  // Of the size that they will have: there is one list for every draw of every job.
  const slices = new Array<Slice>(count);
  let sum = 0n;
  let last: LotAccount | null = null;
  for (let index = 0; index < count; index += 1) {
    const lot = lots[index] as LotAccount;
    const amount = mustBePositive(amounts[index]);
    mustBeDrawable(lot, last, job, bookedAt);
    lot.available -= amount;
    lot.reserved += amount;
    if (lot.available < 0n) {
      throw new Wrong(`lot ${lot.id} has not that much available`, `at most ${lot.available + amount}`, `${amount}`);
    }
    slices[index] = { lot, amount };
    sum = index === 0 ? amount : sum + amount;
    last = lot;
  }
  const drawn = { kind, at: bookedAt, slices };
  const held = job.drawn.length === 0 ? sum : sum + drawnBy(job);
  job.drawn = job.drawn.length === 0 ? [drawn] : [...job.drawn, drawn];
  if (held > job.cap) {
    throw new Wrong('more than the not-to-exceed amount is reserved (R11)', `at most ${job.cap}`, `${held}`);
  }
  for (const counter of job.budgets) counter.reserve(sum);
}

function mustBeDrawable(lot: LotAccount, last: LotAccount | null, job: JobAccount, at: Instant): void {
  const owner = lot.kind === 'individual' ? job.userId : job.contractId;
  if (lot.pool.id !== owner) {
    throw new Wrong(`lot ${lot.id} is not the job’s spender’s (R2)`, String(owner), lot.pool.id);
  }
  if (!isAlive(lot, at)) throw new Wrong(`lot ${lot.id} is drawn on outside its life (R7)`, lifeOf(lot), at);
  if (!last) return;
  if (drawdownOrder(last, lot) >= 0) throw new Wrong(`lot ${lot.id} is not drawn on in the drawdown order (R6)`);
  if (last.available > 0n) throw new Wrong(`lot ${last.id} is not used up before lot ${lot.id} is drawn on (R6)`);
}

function drawnBy({ drawn }: JobAccount): bigint {
  let sum = 0n;
  for (const { slices } of drawn) for (const { amount } of slices) sum += amount;
  return sum;
}

/** What a job holds of a lot, while it is being closed. */
interface Holding {
  readonly lot: LotAccount;
  amount: bigint;
}

/** One holding a lot (R6), whatever was drawn when. */
function holdingsOf({ drawn }: JobAccount): Holding[] {
  const holdings: Holding[] = [];
  for (const { slices } of drawn) {
    for (const { lot, amount } of slices) {
      const known = holdings.find((holding) => holding.lot === lot);
      if (known) known.amount += amount;
      else holdings.push({ lot, amount });
    }
  }
  return holdings;
}

/** The transfers of a settlement that capture, from an index on. */
function capture(job: JobAccount, held: readonly Holding[], row: JournalRow, from: number): Slice[] {
  const { lots, amounts } = row;
  const end = runOf('rc', row, from);
  const captured = new Array<Slice>(end - from);
  let charged = 0n;
  let left = 0n;
  for (let index = from; index < end; index += 1) {
    const lot = lots[index] as LotAccount;
    const amount = mustBePositive(amounts[index]);
    if (index > from) {
      const last = lots[index - 1] as LotAccount;
      if (drawdownOrder(last, lot) >= 0) throw new Wrong(`lot ${lot.id} is not captured in the drawdown order (R6)`);
      if (left > 0n) throw new Wrong(`lot ${last.id} is not used up before lot ${lot.id} is captured (R6)`);
    }
    left = takeFrom(held, lot, amount);
    lot.consumed += amount;
    charged = index === from ? amount : charged + amount;
    captured[index - from] = { lot, amount };
  }
  if (charged > job.cap) {
    throw new Wrong('more than the not-to-exceed amount is captured (R11)', `at most ${job.cap}`, `${charged}`);
  }
  for (const counter of job.budgets) counter.capture(charged);
  return captured;
}

/** @returns what is still held of the lot. */
function takeFrom(held: readonly Holding[], lot: LotAccount, amount: bigint): bigint {
  for (const holding of held) {
    if (holding.lot !== lot || holding.amount < amount) continue;
    holding.amount -= amount;
    lot.reserved -= amount;
    return holding.amount;
  }
  throw new Wrong(`the job holds not that much of lot ${lot.id}`, undefined, `${amount}`);
}

/** The last transfers of a closing: what is left goes to where its lots take it back (R8), and nothing stays reserved. */
function giveBackRest(job: JobAccount, held: readonly Holding[], row: JournalRow, from: number): Closing['returned'] {
  const { moves, lots, amounts, count, bookedAt } = row;
  const returned = count === from ? NONE : new Array<Closing['returned'][number]>(count - from);
  for (let index = from; index < count; index += 1) {
    const lot = lots[index] as LotAccount;
    const amount = mustBePositive(amounts[index]);
    if (moves[2 * index] !== 'r') {
      throw new Wrong('a closing ends with what it gives back', 'r', moves.slice(2 * index));
    }
    takeFrom(held, lot, amount);
    returned[index - from] = { lot, amount, to: giveBack(lot, amount, moves[2 * index + 1], bookedAt) };
    for (const counter of job.budgets) counter.giveBack(amount);
  }
  for (const { lot, amount } of held) {
    if (amount !== 0n) throw new Wrong(`it leaves something of lot ${lot.id} reserved`, '0', `${amount}`);
  }
  return returned;
}
