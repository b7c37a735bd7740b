/** What a batch says in its canonical form. The database makes the heads of chains from it: `next_head` in the migrations. */
import { hash } from 'node:crypto';
import type { Credits } from '../../domain/credits';
import type { Instant } from '../../domain/instant';
import type { GrantOperation, OpenBudgetOperation } from '../../domain/operations';

/** A row of the journal before it is written: what `canonical_operations` shows of it afterwards. */
export interface OperationRow {
  readonly kind: string;
  readonly subject: string;
  readonly act: string;
  readonly refersTo: string | null;
  readonly userId: string | null;
  readonly contractId: string | null;
  readonly project: string | null;
  readonly bookedAt: Instant;
  readonly cap: Credits | null;
  readonly absorbed: Credits | null;
  readonly effectiveAt: Instant | null;
  readonly expiresAt: Instant | null;
  readonly withdrawnAt: Instant | null;
  readonly graceUntil: Instant | null;
  readonly actor: string;
  readonly reason: string;
  readonly moves: string;
  readonly lotIds: readonly string[];
  readonly amounts: readonly bigint[];
  readonly requestHash: Buffer;
  /** What a grant or a new budget writes beside its operation. */
  readonly lot: GrantOperation['lot'] | null;
  readonly budget: OpenBudgetOperation['budget'] | null;
}

/**
 * sha256 of the canonical form of a batch's operations; `docs/ledger.md` says the form, `canonical_operations` shows it.
 *
 * @throws RangeError when a text is not one that can be stored.
 */
export function digestOf(rows: readonly OperationRow[]): Buffer {
  const text = rows.map(canonicalLine).join('\n');
  // Half a pair is written as an escape here and stored as a replacement: what is digested would not be what is there.
  if (text.includes('\\ud') && HALF_A_PAIR.test(text)) throw new RangeError('a text holds half of a surrogate pair');
  return hash('sha256', text, 'buffer');
}

/** The escape of half a surrogate pair, which is no backslash of the text itself. */
const HALF_A_PAIR = /(?<!\\)(?:\\\\)*\\ud[89ab]/;

function canonicalLine(row: OperationRow, position: number): string {
  const fields = [
    String(position),
    row.kind,
    row.subject,
    row.act,
    row.refersTo,
    row.userId,
    row.contractId,
    row.project,
    row.bookedAt,
    text(row.cap),
    text(row.absorbed),
    row.effectiveAt,
    row.expiresAt,
    row.withdrawnAt,
    row.actor,
    row.reason,
    row.moves,
    row.lotIds.join(' '),
    row.amounts.join(' '),
    row.requestHash.toString('hex'),
  ];
  const { lot, budget } = row;
  if (lot) {
    const owner = lot.kind === 'individual' ? 'user' : 'contract';
    const { poolId, kind, source, reference, amount, purchasedAt, advance } = lot;
    fields.push(poolId, owner, kind, source, reference, amount.toString(), purchasedAt, String(advance));
  }
  if (budget) {
    const { contractId, userId, project, period, amount, warnPercent, refusePercent } = budget;
    fields.push(contractId, userId, project, period, amount.toString(), text(warnPercent), text(refusePercent));
  }
  // At the end and only where there is one, so that older lines are what they were.
  if (row.graceUntil !== null) fields.push(row.graceUntil);
  return JSON.stringify(fields);
}

function text(value: bigint | number | null): string | null {
  return value === null ? null : value.toString();
}
