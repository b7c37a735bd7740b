/**
 * The verifier: recomputes a ledger from its operations alone, in one pass over them, and compares everything that is
 * stored beside them. It shares no code with what writes.
 */
import { LotAccount, PoolAccount } from './accounts';
import { BudgetAccount, Budgets } from './budgets';
import { Facts } from './facts';
import { textOf } from './fields';
import { type Finding, Findings, mustBe, Wrong } from './findings';
import { comparePool, Journal, type JournalCounts } from './journal';
import { Keys } from './keys';
import { RefundRequests } from './refundRequests';
import { STATE } from './sections';
import { type LedgerSource, openSource } from './source';

export interface VerifyOptions {
  /** Called now and then with how many operations were folded. */
  readonly onProgress?: (operations: number) => void;
}

export interface Verification {
  /** Whether nothing is wrong. */
  readonly sound: boolean;
  /** The first wrong row of each pool. */
  readonly findings: readonly Finding[];
  readonly counts: JournalCounts & { readonly pools: number; readonly lots: number; readonly openReservations: number };
}

/**
 * Recomputes every balance, reservation, chain and budget period of a ledger, and the charges, usage, quotes and jobs
 * around it. A database is read at one instant and may be written meanwhile. Memory grows with lots, open reservations
 * and pools, not with operations.
 *
 * @throws NotAnExport when a stream is no export. An export that was cut or changed is a finding.
 */
export async function verifyLedger(source: LedgerSource, options: VerifyOptions = {}): Promise<Verification> {
  const opened = await openSource(source);
  const verifier = new Verifier(opened.keysAreListed);
  try {
    for (const { place, wrong } of opened.flaws) verifier.findings.add([], place, wrong);
    await readAll(verifier, opened.lines, options);
    verifier.finish();
  } finally {
    await opened.close();
  }
  return verifier.verification();
}

async function readAll(
  verifier: Verifier,
  handfuls: AsyncGenerator<Buffer[]>,
  { onProgress }: VerifyOptions,
): Promise<void> {
  try {
    for await (const runs of handfuls) {
      for (const lines of runs) verifier.add(lines);
      onProgress?.(verifier.operations);
    }
  } catch (error) {
    // An export says at its end whether it is whole.
    if (!(error instanceof Wrong)) throw error;
    verifier.findings.add([], { table: 'export', row: 'the last line' }, error);
  }
}

const LINE_END = '\n'.charCodeAt(0);
const OPERATION = 'o'.charCodeAt(0);
/** Letters of sections whose lines stand before the journal. */
const STATE_LETTERS = new Set(STATE.map(({ letter }) => letter));

class Verifier {
  readonly findings = new Findings();
  private readonly timeZones = new Map<string, string>();
  private readonly userIds = new Map<string, true>();
  private readonly pools = new Map<string, PoolAccount>();
  private readonly lots = new Map<string, LotAccount>();
  private readonly budgets = new Budgets();
  private readonly requests = new RefundRequests();
  private readonly refundedLater = new Map<string, true>();
  private readonly rateCards = new Map<string, readonly string[]>();
  private readonly keys = new Keys();
  /** What walks the journal: made when everything that stands before it was read. */
  private book: { readonly journal: Journal; readonly facts: Facts } | undefined;

  /** @param keysAreListed whether the keys of operations follow at the end. */
  constructor(private readonly keysAreListed: boolean) {}

  get operations(): number {
    return this.book?.journal.counts.operations ?? 0;
  }

  /** Reads whole lines, each with its end, and operations as tuples, which begin with a zero. */
  add(lines: Buffer): void {
    for (let at = 0; at < lines.length; ) {
      if (lines[at] === OPERATION || lines[at] === 0) {
        this.book ??= this.openBook();
        at = this.book.journal.addOperation(lines, at);
      } else {
        const end = lines.indexOf(LINE_END, at);
        this.addLine(lines.toString('utf8', at, end).split('\t'));
        at = end + 1;
      }
    }
  }

  private addLine(fields: readonly string[]): void {
    const letter = fields[0] ?? '';
    if (STATE_LETTERS.has(letter)) {
      this.addState(letter, fields);
      return;
    }
    this.book ??= this.openBook();
    const { journal, facts } = this.book;
    switch (letter) {
      case 'b':
        journal.addBatch(fields);
        return;
      case 'k':
        journal.addLink(fields);
        return;
      case 'y':
        this.keys.addListed(fields, this.findings);
        return;
      default:
        facts.add(letter, fields);
    }
  }

  /** Compares what is stored with what was recomputed, once everything was read. */
  finish(): void {
    this.book ??= this.openBook();
    const { journal } = this.book;
    journal.finishBatch();
    for (const lot of this.lots.values()) {
      this.findings.check([lot.pool.id], { table: 'lots', row: lot.id }, () => {
        if (!lot.isGranted) throw new Wrong('no operation granted the lot');
        const recomputed = lot.recomputed();
        for (const [name, written] of Object.entries(lot.columns())) mustBe(name, written, recomputed[name] ?? null);
      });
    }
    for (const pool of this.pools.values()) {
      this.findings.check([pool.id], { table: 'pools', row: pool.id }, () => {
        mustBe('owner', pool.owner, this.ownerOf(pool.id));
        comparePool(pool);
      });
    }
    for (const id of [...this.timeZones.keys(), ...this.userIds.keys()]) {
      if (!this.pools.has(id))
        this.findings.add([id], { table: 'pools', row: id }, new Wrong('the pool does not exist'));
    }
    this.budgets.compare(this.findings);
    if (this.keysAreListed) this.keys.compare(this.findings);
  }

  verification(): Verification {
    const findings = this.findings.list();
    const { counts } = this.book?.journal ?? { counts: { batches: 0, operations: 0, links: 0 } };
    return {
      sound: findings.length === 0,
      findings,
      counts: {
        ...counts,
        pools: this.pools.size,
        lots: this.lots.size,
        openReservations: this.book?.journal.ledger.jobs.open.size ?? 0,
      },
    };
  }

  private addState(letter: string, fields: readonly string[]): void {
    const [, id = '', second = ''] = fields;
    switch (letter) {
      case 'n':
        this.keep('contracts', fields, [id], () => add(this.timeZones, id, textOf(second)));
        return;
      case 'u':
        this.keep('users', fields, [id], () => add(this.userIds, id, true));
        return;
      case 'v':
        this.keep('rate_cards', fields, [], () => add(this.rateCards, id, fields));
        return;
      case 'p':
        this.keep('pools', fields, [id], () => add(this.pools, id, PoolAccount.of(fields)));
        return;
      case 'l':
        this.keep('lots', fields, [second], () => add(this.lots, id, LotAccount.of(fields, this.pools)));
        return;
      case 'g':
        this.keep('budgets', fields, [second], () => this.budgets.add(BudgetAccount.of(fields, this.timeZones)));
        return;
      case 'h': {
        const contractId = this.budgets.get(id)?.contractId;
        this.keep('budget_periods', fields, contractId === undefined ? [] : [contractId], () =>
          this.budgets.addWritten(fields),
        );
        return;
      }
      case 'r':
        this.keep('refund_requests', fields, [], () => this.requests.add(fields));
        return;
      case 'x':
        this.keep('refund_rejections', fields, [], () => this.requests.addRejection(fields));
        return;
      default:
        this.keep('operations', fields, [], () => add(this.refundedLater, id, true));
    }
  }

  private keep(table: string, [, id = '']: readonly string[], pools: readonly string[], keep: () => void): void {
    this.findings.check(pools, { table, row: id }, keep);
  }

  private openBook() {
    const { pools, lots, budgets, requests, refundedLater, findings } = this;
    const journal = new Journal({ pools, lots, budgets, requests, refundedLater }, findings);
    const facts = new Facts(journal, findings);
    for (const card of this.rateCards.values()) facts.addRateCard(card);
    if (this.keysAreListed) journal.onKey = (subject, act) => this.keys.addUsed(subject, act);
    return { journal, facts };
  }

  private ownerOf(id: string): string | null {
    if (this.timeZones.has(id)) return 'contract';
    return this.userIds.has(id) ? 'user' : null;
  }
}

/** @throws Wrong when there is such a row already: no database has two of them, but an export could. */
function add<T>(rows: Map<string, T>, id: string, row: T): void {
  if (rows.has(id)) throw new Wrong('it stands there twice');
  rows.set(id, row);
}
