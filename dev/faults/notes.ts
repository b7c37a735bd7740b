/** What was answered, kept outside of everything that is killed, and compared with the journal at the end. */
import { type Db, rows } from '../../db/client';
import { type Operation, type Outcome, subjectOf, type Transfer } from '../../domain/operations';

interface Noted {
  readonly operation: Operation;
  readonly said: string;
}

/** How many rows are read at once. */
const PAGE = 20_000;

export class Notes {
  accepted = 0;
  refused = 0;
  /** Answers that were repeats: the first one was lost, and the operation was not. */
  repeated = 0;
  private readonly kept = new Map<string, Noted>();

  note(operation: Operation, outcome: Outcome): void {
    if (!outcome.accepted) {
      this.refused += 1;
      return;
    }
    this.accepted += 1;
    if (outcome.replayed) this.repeated += 1;
    this.kept.set(keyOf(operation), { operation, said: saidOf(outcome.transfers, outcome.absorbed) });
  }

  /** Every so many-th of the operations that were answered as accepted, with what was answered. */
  sample(every: number): { operation: Operation; differs: (outcome: Outcome) => string | undefined }[] {
    return [...this.kept.values()]
      .filter((_, index) => index % every === 0)
      .map(({ operation, said }) => ({
        operation,
        differs(outcome) {
          const again =
            outcome.accepted && outcome.replayed ? saidOf(outcome.transfers, outcome.absorbed) : 'no repeat';
          return again === said ? undefined : `${keyOf(operation)} was answered with ${said} and then with ${again}`;
        },
      }));
  }

  /**
   * Compares the journal with what was answered: what was accepted is there once, as it was told; what was refused, or is
   * told of nobody, is not there.
   */
  async compare(db: Db): Promise<string[]> {
    const found: string[] = [];
    const missing = new Set(this.kept.keys());
    for (let from: Place | undefined = { batchId: 0n, position: -1 }; from; ) {
      const page: JournalRow[] = await rows<JournalRow>(
        db,
        `select batch_id as "batchId", position, subject, act, moves, lot_ids as "lotIds", amounts,
           coalesce(absorbed, 0) as absorbed
         from operations
         where (batch_id, position) > (?, ?) and kind <> 'repay'
         order by batch_id, position
         limit ${PAGE}`,
        [String(from.batchId), from.position],
      );
      for (const row of page) {
        const key = `${row.subject}/${row.act}`;
        const noted = this.kept.get(key);
        if (!noted) found.push(`${key} is in the journal, and was never answered as accepted`);
        else if (!missing.delete(key)) found.push(`${key} is in the journal twice`);
        else if (noted.said !== writtenOf(row)) {
          found.push(`${key} was answered with ${noted.said}, and the journal has ${writtenOf(row)}`);
        }
      }
      from = page.length === PAGE ? page.at(-1) : undefined;
    }
    for (const key of missing) found.push(`${key} was answered as accepted, and is not in the journal`);
    return found;
  }
}

interface Place {
  readonly batchId: bigint;
  readonly position: number;
}

interface JournalRow extends Place {
  readonly subject: string;
  readonly act: string;
  readonly moves: string;
  readonly lotIds: readonly string[];
  readonly amounts: readonly bigint[];
  readonly absorbed: bigint;
}

function keyOf(operation: Operation): string {
  return `${subjectOf(operation)}/${operation.act}`;
}

function saidOf(transfers: readonly Transfer[], absorbed: bigint): string {
  const moves = transfers.map(
    ({ lotId, from, to, amount }) => `${amount} of ${lotId} ${from.charAt(0)}${to.charAt(0)}`,
  );
  return `${absorbed} absorbed; ${moves.join(', ')}`;
}

function writtenOf({ moves, lotIds, amounts, absorbed }: JournalRow): string {
  const letters = (index: number) => moves.slice(2 * index, 2 * index + 2);
  return `${absorbed} absorbed; ${lotIds.map((id, index) => `${amounts[index]} of ${id} ${letters(index)}`).join(', ')}`;
}
