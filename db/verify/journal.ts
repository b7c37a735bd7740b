/** The journal walked batch by batch: digests, chains, and each operation folded in its place. */
import { hash } from 'node:crypto';
import type { Instant } from '../../domain/instant';
import { FIRST_HEAD, type JobAccount, type LotAccount, type PoolAccount } from './accounts';
import { amountOf, hexOf, instantOf } from './fields';
import { type Findings, mustBe, type Place, Wrong } from './findings';
import type { JournalRow } from './journalRow';
import { Ledger, type LedgerParts } from './ledger';
import { OperationLine } from './operationLine';

interface Batch {
  readonly id: string;
  /** Of the row in `batches`; absent when there is none. */
  readonly recordedAt: Instant | null;
  readonly digest: string | null;
  operations: number;
  bookedMax: Instant | null;
  /** The pools to which its operations belong, and those to which it is linked. */
  readonly concerned: PoolAccount[];
  readonly linked: PoolAccount[];
  /** The jobs that it closed. */
  readonly closed: Map<string, JobAccount>;
}

export interface JournalCounts {
  batches: number;
  operations: number;
  links: number;
}

export class Journal {
  readonly counts: JournalCounts = { batches: 0, operations: 0, links: 0 };
  /** Called before a batch is looked at as a whole, while the jobs that it closed are known. */
  onBatchEnd: () => void = () => {};
  /** Called with the key of every operation. */
  onKey: ((subject: string, act: string) => void) | null = null;
  private batch: Batch | null = null;
  private readonly line: OperationLine;
  /** What the operations give. */
  readonly ledger: Ledger;

  constructor(
    private readonly parts: Omit<LedgerParts, 'onClosed'>,
    private readonly findings: Findings,
  ) {
    this.line = new OperationLine((id) => parts.lots.get(id));
    this.ledger = new Ledger({ ...parts, onClosed: (job) => this.batch?.closed.set(job.id, job) });
  }

  /** A row of `batches`. */
  addBatch(fields: readonly string[]): void {
    const [, id = '', recordedAt = '', digest = ''] = fields;
    this.counts.batches += 1;
    this.begin(id);
    this.findings.check([], { table: 'batches', row: id, batchId: id }, () => {
      this.batch = { ...newBatch(id), recordedAt: instantOf(recordedAt), digest: hexOf(digest) };
    });
  }

  /**
   * A row of `operations`, in the order of batches and positions.
   *
   * @returns the index behind its line.
   */
  addOperation(bytes: Buffer, at: number): number {
    const { line } = this;
    this.counts.operations += 1;
    const next = line.read(bytes, at);
    const batch = this.batch && line.isOf(this.batch.id) ? this.batch : this.begin(line.batchId());
    const position = batch.operations;
    batch.operations += 1;
    let row: JournalRow | undefined;
    try {
      // Also of what cannot have happened: the digest says whether it was written so.
      line.beginLine();
      line.endLine(this.rowBeside());
      this.onKey?.(line.subject(), line.act());
      if (batch.digest === null && position === 0) throw new Wrong('its batch does not exist', 'a batch', batch.id);
      if (!line.isAt(position)) throw new Wrong('positions have a gap', `${position}`);
      row = line.operation();
      for (let index = 0; index < row.count; index += 1) concern(batch, (row.lots[index] as LotAccount).pool);
      const { bookedAt } = row;
      if (batch.bookedMax === null || bookedAt > batch.bookedMax) batch.bookedMax = bookedAt;
      const home = this.ledger.book(row);
      if (home) concern(batch, home);
    } catch (error) {
      this.noteWrongOperation(batch, position, row, error);
    }
    return next;
  }

  /** A row of `links`, behind the operations of its batch. */
  addLink(fields: readonly string[]): void {
    this.counts.links += 1;
    const [, batchId = '', poolId = '', seq = '', head = '', bookedMax = '', recordedAt = ''] = fields;
    const batch = this.within(batchId);
    const pool = this.parts.pools.get(poolId);
    const place = { table: 'links', row: `${poolId} ${seq}`, batchId };
    this.findings.check([poolId], place, () => {
      if (!pool) throw new Wrong('its pool does not exist', 'a pool', poolId);
      const before = { seq: pool.seq, head: pool.head, bookedMax: pool.bookedMax, recordedAt: pool.recordedAt };
      pool.digest = batch.digest;
      // What is written is taken over, so that only the first wrong link is named.
      pool.seq = amountOf(seq);
      pool.head = hexOf(head);
      pool.bookedMax = instantOf(bookedMax);
      pool.recordedAt = instantOf(recordedAt);
      if (pool.linkedBy === batch.id) throw new Wrong('the batch is linked twice to the pool');
      pool.linkedBy = batch.id;
      batch.linked.push(pool);
      if (batch.digest === null) throw new Wrong('its batch does not exist', 'a batch', batchId);
      if (pool.concernedBy !== batch.id) throw new Wrong('the batch does not concern the pool');
      mustBe('seq does not continue the chain', pool.seq, before.seq + 1n);
      mustBe('head does not follow from the head before and the batch', pool.head, nextHead(before.head, batch));
      mustBe('recorded_at is not that of the batch', pool.recordedAt, batch.recordedAt);
      if (before.recordedAt !== null && pool.recordedAt < before.recordedAt) {
        throw new Wrong('recorded_at falls along the chain', `from ${before.recordedAt} on`, pool.recordedAt);
      }
      mustBe('booked_max is not the latest so far', pool.bookedMax, latest(before.bookedMax, batch.bookedMax));
    });
  }

  /** A job that a batch closed, until the next batch begins. */
  closed(batchId: string, jobId: string): JobAccount | undefined {
    return this.batch?.id === batchId ? this.batch.closed.get(jobId) : undefined;
  }

  /** Looks at the batch that was read as a whole: nothing of it follows any more. */
  finishBatch(): void {
    const { batch } = this;
    this.onBatchEnd();
    if (!batch) return;
    this.batch = null;
    const place: Place = { table: 'batches', row: batch.id, batchId: batch.id };
    const poolIds = new Set([...batch.concerned, ...batch.linked].map(({ id }) => id));
    this.findings.check(poolIds, place, () => {
      if (batch.operations === 0) throw new Wrong('it has no operations');
      if (batch.digest === null) throw new Wrong('it does not exist');
      mustBe(
        'digest is not that of its canonical form',
        batch.digest,
        hash('sha256', this.line.canonicalText(), 'hex'),
      );
      this.ledger.finishBatch();
    });
    for (const pool of batch.concerned) {
      if (pool.linkedBy === batch.id) continue;
      const missing = { table: 'links', row: `${pool.id} ${pool.seq + 1n}`, batchId: batch.id };
      this.findings.add([pool.id], missing, new Wrong('the batch concerns the pool and is not linked to it'));
    }
  }

  private begin(id: string): Batch {
    this.finishBatch();
    this.line.beginBatch();
    this.batch = newBatch(id);
    return this.batch;
  }

  /** The batch to which a row belongs: the present one, or one without a row of its own. */
  private within(id: string): Batch {
    return this.batch?.id === id ? this.batch : this.begin(id);
  }

  /** A wrong operation concerns its home and the pools of its lots, as far as they can be told. */
  private noteWrongOperation(batch: Batch, position: number, row: JournalRow | undefined, error: unknown): void {
    const { line } = this;
    const [subject, act] = [line.subject(), line.act()];
    const home = row && this.ledger.homeOf(row);
    if (home) concern(batch, home);
    const moved = row ? row.lots.slice(0, row.count) : [];
    const poolIds = new Set([...moved.map(({ pool }) => pool.id), ...(home ? [home.id] : [])]);
    const name = subject === '' ? `position ${position}` : `${subject}/${act}`;
    const key = subject === '' ? {} : { subject, act };
    const place = { table: 'operations', row: name, batchId: batch.id, position, ...key };
    this.findings.add(poolIds, place, error);
  }

  /** What the canonical line of a grant or a new budget goes on with. */
  private rowBeside(): string {
    const kind = this.line.kind();
    if (kind === 'grant') return this.parts.lots.get(this.line.subject())?.canonical() ?? '';
    if (kind === 'openBudget') return this.parts.budgets.get(this.line.subject())?.canonical() ?? '';
    return '';
  }
}

function newBatch(batchId: string): Batch {
  return {
    id: batchId,
    recordedAt: null,
    digest: null,
    operations: 0,
    bookedMax: null,
    concerned: [],
    linked: [],
    closed: new Map(),
  };
}

function concern(batch: Batch, pool: PoolAccount): void {
  if (pool.concernedBy === batch.id) return;
  pool.concernedBy = batch.id;
  batch.concerned.push(pool);
}

function latest(a: Instant | null, b: Instant | null): Instant | null {
  if (a === null || b === null) return a ?? b;
  return a > b ? a : b;
}

function nextHead(head: string, { id, recordedAt, digest }: Batch): string {
  return hash('sha256', `holdfast-link/1 ${head} ${id} ${recordedAt} ${digest}`, 'hex');
}

/** A pool's cached columns against its last link. @throws Wrong when they differ. */
export function comparePool(pool: PoolAccount): void {
  const cached = pool.cached();
  mustBe('seq', cached.seq, pool.seq);
  mustBe('head', cached.head, pool.seq === 0n ? FIRST_HEAD : pool.head);
  mustBe('booked_max', cached.bookedMax, pool.bookedMax);
  mustBe('recorded_at', cached.recordedAt, pool.recordedAt);
  mustBe('digest', cached.digest, pool.digest);
}
