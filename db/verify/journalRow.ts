import type { Instant } from '../../domain/instant';
import type { LotAccount } from './accounts';
import { mustBe, Wrong } from './findings';

/** An operation as it stands in the journal. One object is filled again and again: whoever keeps something copies it. */
export interface JournalRow {
  readonly kind: string;
  readonly subject: string;
  readonly act: string;
  readonly refersTo: string | null;
  readonly userId: string | null;
  readonly contractId: string | null;
  readonly project: string | null;
  readonly bookedAt: Instant;
  readonly cap: bigint | null;
  readonly absorbed: bigint | null;
  readonly effectiveAt: Instant | null;
  readonly expiresAt: Instant | null;
  readonly withdrawnAt: Instant | null;
  readonly graceUntil: Instant | null;
  /** Read when they are asked for: mostly nobody does. */
  readonly actor: () => string;
  readonly reason: () => string;
  /** Two letters a transfer. */
  readonly moves: string;
  /** How many transfers there are: as many of the lots and amounts belong to them. */
  readonly count: number;
  readonly lots: readonly LotAccount[];
  readonly amounts: readonly bigint[];
  /** Whether the first schema wrote it: then neither what was asked is known, nor a job's cap before it was raised. */
  readonly isMigrated: boolean;
}

/** Kinds that point at something. */
const REFERRING = new Set(['refund', 'correct', 'repay']);
const LIVING = new Set(['grant', 'changeLife']);
const CAPPED = new Set(['reserve', 'raiseCap']);
const ABSORBING = new Set(['settle', 'correct']);

/** @throws Wrong when an operation says what none of its kind says. */
export function mustFitItsKind(row: JournalRow): void {
  const { kind } = row;
  if (row.moves.length !== 2 * row.count) {
    throw new Wrong('moves, lots and amounts do not match', `${row.count}`, `${row.moves.length / 2}`);
  }
  if ((row.refersTo !== null) !== REFERRING.has(kind))
    throw new Wrong(NOT_OF_ITS_KIND, kind, `refers_to ${row.refersTo}`);
  if ((row.effectiveAt !== null) !== LIVING.has(kind))
    throw new Wrong(NOT_OF_ITS_KIND, kind, `a life from ${row.effectiveAt}`);
  if (row.graceUntil !== null && !LIVING.has(kind)) throw new Wrong(NOT_OF_ITS_KIND, kind, `a grace ${row.graceUntil}`);
  if ((row.cap !== null) !== CAPPED.has(kind)) throw new Wrong(NOT_OF_ITS_KIND, kind, `a cap of ${row.cap}`);
  if (row.absorbed !== null && !ABSORBING.has(kind)) throw new Wrong(NOT_OF_ITS_KIND, kind, `${row.absorbed} absorbed`);
}

const NOT_OF_ITS_KIND = 'it says what its kind does not say';

/** @throws Wrong when an operation has another act than its kind. */
export function mustHaveAct({ act }: JournalRow, expected: string): void {
  if (act !== expected) throw new Wrong('its act does not fit its kind', expected, act);
}

/** @throws Wrong when an operation has not an act that begins so, with something of its own behind. */
export function mustHaveActLike({ act }: JournalRow, beginning: string): void {
  if (!act.startsWith(beginning)) throw new Wrong('its act does not fit its kind', `${beginning}…`, act);
}

/** @throws Wrong when an operation moves something. */
export function mustHaveMovedNothing({ moves }: JournalRow): void {
  mustBe('it moves something', moves, '');
}
