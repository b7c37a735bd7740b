/** The journal as rows: how an operation is written, read back, and recognised when it is asked for again. */
import { hash } from 'node:crypto';
import type { JournalEntry } from '../../domain/batch';
import { type Credits, credits } from '../../domain/credits';
import type { Instant } from '../../domain/instant';
import type { Bucket } from '../../domain/lots';
import { type Operation, type Repayment, subjectOf, type Transfer } from '../../domain/operations';
import type { JournalLine } from '../../domain/reservation';
import type { OperationRow } from './chain';

const LETTERS: Readonly<Record<Transfer['from'], string>> = {
  granted: 'g',
  available: 'a',
  reserved: 'r',
  consumed: 'c',
  expired: 'e',
  withdrawn: 'w',
};
const BUCKET_OF = new Map(Object.entries(LETTERS).map(([bucket, letter]) => [letter, bucket as Bucket | 'granted']));

/** The columns of a {@link RecordedRow}. */
export const RECORDED_COLUMNS = `subject, act, kind, refers_to as "refersTo", user_id as "userId", contract_id as "contractId",
  booked_at as "bookedAt", cap, absorbed, project, moves, lot_ids as "lotIds", amounts, request_hash as "requestHash"`;

/** A row of the journal as it is read. */
export interface RecordedRow {
  readonly subject: string;
  readonly act: string;
  readonly kind: JournalLine['kind'];
  readonly refersTo: string | null;
  readonly userId: string | null;
  readonly contractId: string | null;
  readonly bookedAt: Instant;
  readonly cap: bigint | null;
  readonly absorbed: bigint | null;
  readonly project: string | null;
  readonly moves: string;
  readonly lotIds: readonly string[];
  readonly amounts: readonly bigint[];
  readonly requestHash: Buffer | null;
}

/** The bucket that a letter of `moves` stands for. @throws Error when it stands for none. */
export function bucketOfLetter(letter: string): Transfer['from'] {
  const bucket = BUCKET_OF.get(letter);
  if (bucket === undefined) throw new Error(`no bucket has the letter ${JSON.stringify(letter)}`);
  return bucket;
}

/** Reads an operation's arrays back as transfers, like the view `transfers` does. */
export function transfersOf(row: Pick<RecordedRow, 'lotIds' | 'moves' | 'amounts'>): Transfer[] {
  return row.lotIds.map((lotId, index) => {
    const from = bucketOfLetter(row.moves.charAt(2 * index));
    const to = bucketOfLetter(row.moves.charAt(2 * index + 1));
    if (to === 'granted') throw new Error(`nothing is moved to granted, as ${row.moves} says`);
    return { lotId, from, to, amount: credits(row.amounts[index] ?? 0n) };
  });
}

/** A row as what a reservation is folded from. */
export function lineOf(row: RecordedRow): JournalLine {
  const { kind, act, bookedAt, userId, contractId, project } = row;
  return {
    kind,
    act,
    bookedAt,
    userId,
    contractId,
    project,
    cap: row.cap === null ? null : credits(row.cap),
    absorbed: credits(row.absorbed ?? 0n),
    transfers: transfersOf(row),
  };
}

/** The row that an accepted operation becomes. */
export function rowOf({ operation, transfers, absorbed }: JournalEntry): OperationRow {
  const { kind, act, actor, reason, at } = operation;
  const spends = kind === 'reserve' || kind === 'release' || kind === 'refund' || kind === 'correct';
  const draws = transfers[0]?.from === 'available' && transfers[0].to === 'reserved';
  const spender = 'userId' in operation && (spends || draws) ? operation : null;
  const life =
    kind === 'grant' ? { ...operation.lot, withdrawnAt: null } : kind === 'changeLife' ? operation.life : null;
  return {
    kind,
    act,
    actor,
    reason,
    bookedAt: at,
    subject: subjectOf(operation),
    refersTo: referenceOf(operation),
    userId: spender?.userId ?? null,
    contractId: spender ? spender.contractId : kind === 'closeBudget' ? operation.contractId : null,
    project: kind === 'reserve' ? operation.project : null,
    cap: kind === 'reserve' || kind === 'raiseCap' ? operation.cap : null,
    absorbed: absorbed === 0n ? null : absorbed,
    effectiveAt: life?.effectiveAt ?? null,
    expiresAt: life?.expiresAt ?? null,
    withdrawnAt: life?.withdrawnAt ?? null,
    graceUntil: life?.graceUntil ?? null,
    moves: movesOf(transfers),
    lotIds: transfers.map(({ lotId }) => lotId),
    amounts: transfers.map(({ amount }) => amount),
    requestHash: requestHash(operation),
    lot: kind === 'grant' ? operation.lot : null,
    budget: kind === 'openBudget' ? operation.budget : null,
  };
}

function movesOf(transfers: readonly Transfer[]): string {
  let moves = '';
  for (const { from, to } of transfers) moves += LETTERS[from] + LETTERS[to];
  return moves;
}

function referenceOf(operation: Operation | Repayment): string | null {
  if (operation.kind === 'repay') return operation.advanceId;
  return operation.kind === 'refund' || operation.kind === 'correct' ? operation.jobId : null;
}

/** What was asked, without the instant: a repeat brings a new one. Eight bytes of sha256: it is only ever compared with the one row under its key. */
export function requestHash(operation: Operation | Repayment): Buffer {
  return hash('sha256', JSON.stringify(askedFor(operation)), 'buffer').subarray(0, 8);
}

/** Whether a recorded row answers an operation that is asked for. Rows of the first schema do not know what was asked. */
export function answers(row: RecordedRow, operation: Operation): boolean {
  return row.requestHash === null ? row.kind === operation.kind : row.requestHash.equals(requestHash(operation));
}

function askedFor(operation: Operation | Repayment): unknown[] {
  const { kind, act, actor, reason } = operation;
  const asked = [kind, act, actor, reason];
  switch (operation.kind) {
    case 'repay':
      return [...asked, operation.subject, operation.advanceId];
    case 'grant': {
      const { lot } = operation;
      const { id, poolId, source, amount, effectiveAt, expiresAt, graceUntil, purchasedAt, reference, advance } = lot;
      return [
        ...asked,
        id,
        poolId,
        lot.kind,
        source,
        text(amount),
        effectiveAt,
        expiresAt,
        purchasedAt,
        reference,
        advance,
        ...ifThere(graceUntil),
      ];
    }
    case 'openBudget': {
      const { id, contractId, userId, project, period, amount, warnPercent, refusePercent } = operation.budget;
      return [...asked, id, contractId, userId, project, period, text(amount), warnPercent, refusePercent];
    }
    case 'closeBudget':
      return [...asked, operation.budgetId, operation.contractId];
    case 'expire':
    case 'withdraw':
      return [...asked, operation.lotId, operation.poolId];
    case 'changeLife': {
      const { effectiveAt, expiresAt, withdrawnAt, graceUntil } = operation.life;
      const lot = [operation.lotId, operation.poolId];
      return [...asked, ...lot, effectiveAt, expiresAt, withdrawnAt, ...ifThere(graceUntil)];
    }
  }
  const job = [operation.jobId, operation.userId, operation.contractId];
  switch (operation.kind) {
    case 'reserve':
      return [...asked, ...job, text(operation.amount), text(operation.cap), operation.project];
    case 'topUp':
      return [...asked, ...job, text(operation.target)];
    case 'raiseCap':
      return [...asked, ...job, text(operation.cap)];
    case 'settle':
      return [...asked, ...job, text(operation.actual)];
    case 'release':
      return [...asked, ...job];
    case 'refund':
      return [...asked, ...job, operation.refundId, text(operation.amount)];
    case 'correct':
      return [...asked, ...job, operation.refundId, text(operation.actual)];
  }
}

/** What older operations did not say is left out where there is none: their hashes are what they were. */
function ifThere(instant: Instant | null): Instant[] {
  return instant === null ? [] : [instant];
}

function text(amount: Credits): string {
  return amount.toString();
}
