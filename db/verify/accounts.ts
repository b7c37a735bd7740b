/** What is kept while a journal is folded: pools, lots, and the jobs whose reservations are open. */
import type { Instant } from '../../domain/instant';
import type { BudgetCounter } from './budgets';
import { amountOf, hexOf, NULL, nullableInstantOf, nullableTextOf, quoted, truthOf } from './fields';
import { Wrong } from './findings';

export const FIRST_HEAD = '0'.repeat(64);

/** A pool with its chain as the links so far give it. */
export class PoolAccount {
  seq = 0n;
  head = FIRST_HEAD;
  bookedMax: Instant | null = null;
  recordedAt: Instant | null = null;
  digest: string | null = null;
  /** The batch that concerned the pool last, and the one that was linked to it last. */
  concernedBy = '';
  linkedBy = '';

  constructor(
    readonly id: string,
    readonly owner: string,
    private readonly written: readonly string[],
  ) {}

  static of(fields: readonly string[]): PoolAccount {
    const [, id = '', owner = ''] = fields;
    return new PoolAccount(id, owner, fields);
  }

  /** The columns that cache the last link, as they are written. */
  cached(): Pick<PoolAccount, 'seq' | 'head' | 'bookedMax' | 'recordedAt' | 'digest'> {
    const [, , , seq = '', head = '', bookedMax = NULL, recordedAt = NULL, digest = NULL] = this.written;
    return {
      seq: amountOf(seq),
      head: hexOf(head),
      bookedMax: nullableInstantOf(bookedMax),
      recordedAt: nullableInstantOf(recordedAt),
      digest: digest === NULL ? null : hexOf(digest),
    };
  }
}

export type LotEnd = 'expired' | 'withdrawn';

/** A lot with its buckets and its life as the operations so far give them. */
export class LotAccount {
  available = 0n;
  reserved = 0n;
  consumed = 0n;
  expired = 0n;
  withdrawn = 0n;
  isGranted = false;
  effectiveAt: Instant | null = null;
  expiresAt: Instant | null = null;
  withdrawnAt: Instant | null = null;
  graceUntil: Instant | null = null;
  endedAs: LotEnd | null = null;

  constructor(
    readonly id: string,
    readonly pool: PoolAccount,
    readonly kind: string,
    readonly granted: bigint,
    /** A courtesy lot that the next shared lots repay (R9). */
    readonly isAdvance: boolean,
    private readonly written: readonly string[],
  ) {}

  static of(fields: readonly string[], pools: ReadonlyMap<string, PoolAccount>): LotAccount {
    const [, id = '', poolId = '', owner, kind = '', , , granted = ''] = fields;
    const pool = pools.get(poolId);
    if (!pool) throw new Wrong('its pool does not exist', 'a pool', poolId);
    if (pool.owner !== owner) throw new Wrong('its pool has another owner', pool.owner, owner);
    if ((kind === 'individual') !== (owner === 'user'))
      throw new Wrong('its kind does not fit its owner (R2)', owner, kind);
    const isAdvance = truthOf(fields[18] ?? '');
    if (isAdvance && kind !== 'courtesy') throw new Wrong('an advance is a courtesy lot (R9)', 'courtesy', kind);
    return new LotAccount(id, pool, kind, amountOf(granted), isAdvance, fields);
  }

  /** What the canonical line of the lot's grant ends with. */
  canonical(): string {
    const [, , poolId, owner = '', kind = '', source = '', reference = NULL, granted] = this.written;
    const purchasedAt = nullableInstantOf(this.written[13] ?? NULL);
    return (
      `,"${poolId}",${quoted(owner)},${quoted(kind)},${quoted(source)},${quoted(reference)},"${granted}",` +
      `${purchasedAt === null ? 'null' : `"${purchasedAt}"`},"${this.isAdvance}"`
    );
  }

  /** The columns that follow from operations, as they are written, by name. */
  columns(): Readonly<Record<string, string | bigint | null>> {
    const field = (index: number) => this.written[index] ?? NULL;
    return {
      available: amountOf(field(8)),
      reserved: amountOf(field(9)),
      consumed: amountOf(field(10)),
      expired: amountOf(field(11)),
      withdrawn: amountOf(field(12)),
      effective_at: nullableInstantOf(field(14)),
      expires_at: nullableInstantOf(field(15)),
      withdrawn_at: nullableInstantOf(field(16)),
      ended_as: nullableTextOf(field(17)),
      grace_until: nullableInstantOf(field(19)),
    };
  }

  /** The same columns as the operations give them. */
  recomputed(): Readonly<Record<string, string | bigint | null>> {
    return {
      available: this.available,
      reserved: this.reserved,
      consumed: this.consumed,
      expired: this.expired,
      withdrawn: this.withdrawn,
      effective_at: this.effectiveAt,
      expires_at: this.expiresAt,
      withdrawn_at: this.withdrawnAt,
      ended_as: this.endedAs,
      grace_until: this.graceUntil,
    };
  }
}

export interface Slice {
  readonly lot: LotAccount;
  readonly amount: bigint;
}

/** What one operation of a job drew. */
export interface Drawn {
  readonly kind: string;
  readonly at: Instant;
  readonly slices: readonly Slice[];
}

/** How a job's billing was closed, and what became of it since. */
export interface Closing {
  readonly state: 'settled' | 'released';
  readonly at: Instant;
  readonly reason: string;
  /** In the order in which it was done. */
  readonly captured: readonly Slice[];
  readonly returned: readonly (Slice & { readonly to: string })[];
  /** What the provider bore; what corrections unwound of it; what refunds gave back of what was captured. */
  readonly absorbed: bigint;
  unwound: bigint;
  refunded: bigint;
  /** The charge, once its row was read. */
  chargeId: string | null;
}

/** A job's billing as its operations so far give it. Kept small: there are as many as there are open reservations. */
export interface JobAccount {
  readonly id: string;
  readonly userId: string;
  readonly contractId: string | null;
  readonly project: string | null;
  /** The pool to whose chain all of the job's operations belong. */
  readonly home: PoolAccount;
  /** Whether it was ever reserved: a release of nothing leaves a mark. */
  readonly isReserved: boolean;
  /** Whether the first schema wrote its reservation: then its cap is known as it was last. */
  readonly isMigrated: boolean;
  /** The not-to-exceed amount now, and when the job was reserved. */
  cap: bigint;
  readonly firstCap: bigint;
  /** Everything that was drawn: all of it is held until the job is closed. */
  drawn: readonly Drawn[];
  readonly budgets: readonly BudgetCounter[];
  closing: Closing | null;
}
